--- The C functions of products of a matrix and a vector, in the order of a file: see
--- rows.lua, which has the others. Compilers make vector code of them at -O2 alone:
--- gcc does that only where no iteration is left over, so loops run over a multiple
--- of what a register holds, or over blocks of a fixed size, and the rest follows.

local core = require "saros.core"

local products = {}

local function add(name, source)
  products[#products + 1] = { name, source }
end

-- Functions are compiled for registers of 16 bytes, which all machines of a kind have,
-- for those with AVX2 of 32 and, whole numbers, for AVX-512 that multiplies them (VNNI);
-- $wide and $target stand for what differs, and $bytes for the size.
local LANES = [[
typedef $real $name_lanes$wide
    __attribute__((vector_size($bytes), aligned(sizeof($real)), may_alias));
]]

local FOLD = {
  float = "(s[0] + s[1]) + (s[2] + s[3])",
  double = "s[0] + s[1]",
}

local PRODUCTS = [[
/* y = W x, W of n rows of k weights: four rows at a time, in sums that do not wait
** for each other. */
$target
static void $name_products$wide($real *y, const $real *w,
    const $real *x, int n, int k) {
  typedef $name_lanes$wide lanes;
  const int step = (int)(sizeof(lanes) / sizeof($real));
  int i = 0;
  for (; i + 4 <= n; i += 4, w += 4 * k) {
    const $real *w1 = w + k, *w2 = w1 + k, *w3 = w2 + k;
    lanes s = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    int j = 0;
    for (; j + step <= k; j += step) {
      const lanes v = *(const lanes *)(x + j);
      s += *(const lanes *)(w + j) * v;
      s1 += *(const lanes *)(w1 + j) * v;
      s2 += *(const lanes *)(w2 + j) * v;
      s3 += *(const lanes *)(w3 + j) * v;
    }
    $real y0 = $name_fold$wide(s), y1 = $name_fold$wide(s1);
    $real y2 = $name_fold$wide(s2), y3 = $name_fold$wide(s3);
    for (; j < k; j++) {
      y0 += w[j] * x[j], y1 += w1[j] * x[j];
      y2 += w2[j] * x[j], y3 += w3[j] * x[j];
    }
    y[i] = y0, y[i + 1] = y1, y[i + 2] = y2, y[i + 3] = y3;
  }
  for (; i < n; i++, w += k) {
    lanes s = {0}, more = {0};
    int j = 0;
    for (; j + 2 * step <= k; j += 2 * step) {
      s += *(const lanes *)(w + j) * *(const lanes *)(x + j);
      more += *(const lanes *)(w + j + step) * *(const lanes *)(x + j + step);
    }
    y[i] = $name_fold$wide(s + more);
    for (; j < k; j++)
      y[i] += w[j] * x[j];
  }
}
]]

local FOLD_WIDE = [[
$target
static $real $name_fold_wide($name_lanes_wide wide) {
  $name_lanes halves[2];
  memcpy(halves, &wide, sizeof wide);
  return $name_fold(halves[0] + halves[1]);
}

]]

local PLAIN = [[
/* y = W x, W of n rows of k weights, in sums that do not wait for each other. */
static void $name_products($real *y, const $real *w, const $real *x, int n,
                           int k) {
  for (int i = 0; i < n; i++, w += k) {
    $real sum = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    int j = 0;
    for (; j + 4 <= k; j += 4) {
      sum += w[j] * x[j], sum1 += w[j + 1] * x[j + 1];
      sum2 += w[j + 2] * x[j + 2], sum3 += w[j + 3] * x[j + 3];
    }
    for (; j < k; j++)
      sum += w[j] * x[j];
    y[i] = (sum + sum1) + (sum2 + sum3);
  }
}
]]

-- The name and the attribute of each.
local NARROW, WIDE, WIDEST = { "", "", 16 }, { "_wide", "$NAME_WIDE\n", 32 }, { "_widest", "$NAME_WIDEST\n", 64 }

--- A piece for registers of one size.
local function sized(text, size)
  return (text:gsub("%$target\n", size[2]):gsub("%$(%a+)", { wide = size[1], bytes = tostring(size[3]) }))
end

local TARGETS = [[
#if defined(__GNUC__) && defined(__x86_64__) && !defined($NAME_WIDE) && \
    !defined($NAME_PLAIN)
#define $NAME_WIDE __attribute__((target("avx2,fma"))) /* where there is that */
#if defined(__clang__) || __GNUC__ >= 8 /* which know of that */
#define $NAME_WIDEST __attribute__((target("avx512bw,avx512vl,avx512vnni")))
#endif
#endif
]]

add("products", table.concat { TARGETS, "\n#ifdef __GNUC__ /* which has words for several numbers in a register */\n",
  sized(LANES, NARROW), "\nstatic inline $real $name_fold($name_lanes s) {\n  return ", FOLD[core.info().real],
  ";\n}\n\n", sized(PRODUCTS, NARROW), "\n#ifdef $NAME_WIDE\n", sized(LANES, WIDE), "\n", sized(FOLD_WIDE, WIDE),
  sized(PRODUCTS, WIDE), "#endif\n#else\n", PLAIN, "#endif\n" })

add("add_bias", [[
static void $name_add_bias($real *y, const $real *b, int n) {
  int i = 0;
  for (; i + 8 <= n; i += 8) {
    $real sums[8];
    for (int p = 0; p < 8; p++)
      sums[p] = y[i + p] + b[i + p];
    memcpy(y + i, sums, sizeof sums);
  }
  for (; i < n; i++)
    y[i] += b[i];
}
]])

add("affine", [[
/* y = W x + b, W of n rows of k weights; b may be null. */
static void $name_affine($real *y, const $real *w, const $real *b,
                         const $real *x, int n, int k) {
#ifdef $NAME_WIDE
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    $name_products_wide(y, w, x, n, k);
  else
#endif
    $name_products(y, w, x, n, k);
  if (b)
    $name_add_bias(y, b, n);
}
]])

if core.info().real == "float" then
  add("round_row", [[
/* x as whole numbers of 16 bits, and what one of them stands for: -1 if x is not
** finite. The largest is 258 * 127, so rows of int8 stay as they are. Sizes are
** compared by their bits, which have the same order. */
static float $name_round_row(int16_t *whole, const float *x, int k) {
  int32_t size[8] = {0}, bits[8] = {0};
  float largest;
  for (int j = 0; j < k; j += 8) {
    if (k - j >= 8)
      memcpy(bits, x + j, sizeof bits);
    else
      memcpy(bits, x + j, (size_t)(k - j) * sizeof *x);
    for (int p = 0; p < 8; p++) {
      const int32_t now = bits[p] & 0x7fffffff;
      size[p] = now > size[p] ? now : size[p];
    }
  }
  for (int p = 1; p < 8; p++)
    size[0] = size[p] > size[0] ? size[p] : size[0];
  if (size[0] >= 0x7f800000)
    return -1;
  memcpy(&largest, size, sizeof largest);
  const float inverse = largest < 1e-30f ? 0 : 32766 / largest;
  const int most = k & ~7;
  for (int j = 0; j < most; j++)
    whole[j] = (int16_t)((int)(x[j] * inverse + 32768.5f) - 32768);
  for (int j = most; j < k; j++)
    whole[j] = (int16_t)((int)(x[j] * inverse + 32768.5f) - 32768);
  return largest < 1e-30f ? 0 : largest / 32766;
}
]])

  local WHOLE = [[
/* y = W x, of whole numbers, in parts whose sums fit into 32 bits: four rows at a
** time, as above. */
$target
static void $name_whole_products$wide(float *y, const int8_t *w,
    const int16_t *x, int n, int k) {
  int i = 0;
  for (; i + 4 <= n; i += 4, w += 4 * k) {
    const int8_t *w1 = w + k, *w2 = w1 + k, *w3 = w2 + k;
    float y0 = 0, y1 = 0, y2 = 0, y3 = 0;
    for (int j = 0; j < k;) {
      const int end = k - j > 512 ? j + 512 : k, most = (end - j) & ~63;
      int32_t s = 0, s1 = 0, s2 = 0, s3 = 0;
      for (int p = 0; p < most; p++) {
        s += w[j + p] * x[j + p], s1 += w1[j + p] * x[j + p];
        s2 += w2[j + p] * x[j + p], s3 += w3[j + p] * x[j + p];
      }
      for (j += most; j < end; j++) {
        s += w[j] * x[j], s1 += w1[j] * x[j];
        s2 += w2[j] * x[j], s3 += w3[j] * x[j];
      }
      y0 += (float)s, y1 += (float)s1, y2 += (float)s2, y3 += (float)s3;
    }
    y[i] = y0, y[i + 1] = y1, y[i + 2] = y2, y[i + 3] = y3;
  }
  for (; i < n; i++, w += k) {
    y[i] = 0;
    for (int j = 0; j < k;) {
      const int end = k - j > 512 ? j + 512 : k;
      int32_t sum = 0;
      for (; j < end; j++)
        sum += w[j] * x[j];
      y[i] += (float)sum;
    }
  }
}
]]
  add("whole_products", table.concat { TARGETS, "\n", sized(WHOLE, NARROW), "\n#ifdef $NAME_WIDE\n",
    sized(WHOLE, WIDE), "#endif\n\n#ifdef $NAME_WIDEST\n", sized(WHOLE, WIDEST), "#endif\n" })

  add("integer_products", [[
/* y = W x by the functions of this machine. */
static void $name_integer_products(float *y, const int8_t *w, const int16_t *x,
                                   int n, int k) {
#ifdef $NAME_WIDEST
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vnni")) {
    $name_whole_products_widest(y, w, x, n, k);
    return;
  }
#endif
#ifdef $NAME_WIDE
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    $name_whole_products_wide(y, w, x, n, k);
    return;
  }
#endif
  $name_whole_products(y, w, x, n, k);
}
]])

  add("affine_int8", [[
/* y = W x + b, where row i of W is scale[i] times its n rows of k integers; whole:
** room for x as integers of 16 bits. */
static void $name_affine_int8(float *y, const int8_t *w, const float *scale,
                              const float *b, const float *x, int16_t *whole,
                              int n, int k) {
  float unit = $name_round_row(whole, x, k);
  if (unit >= 0)
    $name_integer_products(y, w, whole, n, k);
  for (int i = 0; unit < 0 && i < n; i++) {
    y[i] = 0;
    for (int j = 0; j < k; j++)
      y[i] += (float)w[i * k + j] * x[j];
  }
  unit = unit < 0 ? 1 : unit;
  int i = 0;
  for (; i + 8 <= n; i += 8) {
    float scaled[8];
    for (int p = 0; p < 8; p++)
      scaled[p] = y[i + p] * (scale[i + p] * unit);
    memcpy(y + i, scaled, sizeof scaled);
  }
  for (; i < n; i++)
    y[i] *= scale[i] * unit;
  if (b)
    $name_add_bias(y, b, n);
}
]])
else
  add("affine_int8", [[
/* y = W x + b, where row i of W is scale[i] times its n rows of k integers. */
static void $name_affine_int8(double *y, const int8_t *w, const float *scale,
                              const double *b, const double *x, int16_t *whole,
                              int n, int k) {
  (void)whole; /* which is for files in single precision */
  for (int i = 0; i < n; i++, w += k) {
    double sum = 0;
    for (int j = 0; j < k; j++)
      sum += w[j] * x[j];
    y[i] = b ? scale[i] * sum + b[i] : scale[i] * sum;
  }
}
]])
end

return products
