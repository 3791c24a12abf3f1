--- The C functions that an exported model may consist of, by name. `$name` is
--- the model's, `$real` its type of numbers, and `$f` follows the functions of
--- math.h. A file has those that it uses, in the order of this list: what a function
--- calls stands before it.

local core = require "saros.core"
local elementary = require "saros.export.elementary"

local functions = {}

local function add(name, source)
  functions[#functions + 1] = { name = name, source = source }
end

for _, entry in ipairs(elementary[core.info().real]) do
  add(entry[1], entry[2])
end

-- --- Products -------------------------------------------------------------------------------

-- Products in registers of 16 bytes, which all machines of a kind have, and for those
-- with AVX2 of 32; $bytes, $wide and $target stand for what differs.
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

--- A piece for registers of one size.
local function sized(text, wide)
  return (text:gsub("%$target\n", wide and "$NAME_WIDE\n" or ""):gsub("%$(%a+)", { wide = wide and "_wide" or "",
    bytes = wide and "32" or "16" }))
end

local WIDE = [[
#if defined(__GNUC__) && defined(__x86_64__) && !defined($NAME_WIDE) && \
    !defined($NAME_PLAIN)
#define $NAME_WIDE __attribute__((target("avx2,fma"))) /* where there is that */
#endif
]]

add("products", table.concat { WIDE, "\n#ifdef __GNUC__ /* which has words for several numbers in a register */\n",
  sized(LANES), "\nstatic inline $real $name_fold($name_lanes s) {\n  return ", FOLD[core.info().real], ";\n}\n\n",
  sized(PRODUCTS), "\n#ifdef $NAME_WIDE\n", sized(LANES, true), "\n", sized(FOLD_WIDE, true), sized(PRODUCTS, true),
  "#endif\n#else\n", PLAIN, "#endif\n" })

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
  for (int i = 0; b && i < n; i++)
    y[i] += b[i];
}
]])

if core.info().real == "float" then
  add("round_row", [[
/* x as whole numbers of 16 bits, and what one of them stands for: NaN if x is not
** finite. */
static float $name_round_row(int16_t *whole, const float *x, int k) {
  float largest = 0;
  int finite = 1;
  for (int j = 0; j < k; j++) {
    const float size = fabsf(x[j]);
    finite &= size < INFINITY;
    largest = size > largest ? size : largest;
  }
  const float inverse = largest < 1e-30f ? 0 : 32767 / largest;
  for (int j = 0; j < k && finite; j++)
    whole[j] = (int16_t)((int)(x[j] * inverse + 32768.5f) - 32768);
  return !finite ? NAN : largest < 1e-30f ? 0 : largest / 32767;
}
]])

  local WHOLE = [[
/* y = W x, of whole numbers, in parts whose sums fit into 32 bits. */
$target
static void $name_whole_products$wide(float *y, const int8_t *w,
    const int16_t *x, int n, int k) {
  for (int i = 0; i < n; i++, w += k) {
    float sum = 0;
    int j = 0;
    while (j < k) {
      const int end = k - j > 512 ? j + 512 : k;
      int32_t part = 0;
      for (; j + 64 <= end; j += 64)
        for (int p = 0; p < 64; p++)
          part += w[j + p] * x[j + p];
      for (; j < end; j++)
        part += w[j] * x[j];
      sum += (float)part;
    }
    y[i] = sum;
  }
}
]]
  add("whole_products", table.concat { WIDE, "\n", sized(WHOLE), "\n#ifdef $NAME_WIDE\n", sized(WHOLE, true),
    "#endif\n" })

  add("affine_int8", [[
/* y = W x + b, where row i of W is scale[i] times its n rows of k integers; whole:
** room for x as integers of 16 bits. */
static void $name_affine_int8(float *y, const int8_t *w, const float *scale,
                              const float *b, const float *x, int16_t *whole,
                              int n, int k) {
  const float unit = $name_round_row(whole, x, k);
  const int finite = unit == unit;
#ifdef $NAME_WIDE
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    $name_whole_products_wide(y, w, whole, n, k);
  else
#endif
    $name_whole_products(y, w, whole, n, k);
  for (int i = 0; i < n; i++) {
    if (!finite)
      y[i] = 0;
    for (int j = 0; j < k && !finite; j++)
      y[i] += (float)w[i * k + j] * x[j];
    y[i] = y[i] * (finite ? scale[i] * unit : scale[i]) + (b ? b[i] : 0);
  }
}
]])
else
  add("affine_int8", [[
/* y = W x + b, where row i of W is scale[i] times its n rows of k integers. */
static void $name_affine_int8(double *y, const int8_t *w, const double *scale,
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

add("row_int8", [[
/* y = scale times a row of n integers. */
static void $name_row_int8($real *y, const int8_t *row, $real scale, int n) {
  for (int i = 0; i < n; i++)
    y[i] = scale * ($real)row[i];
}
]])

add("matvec", [[
/* y = M x for each head, M of rows of columns. */
static void $name_matvec($real *y, const $real *m, const $real *x, int heads,
                         int rows, int columns) {
  for (int h = 0; h < heads; h++, x += columns, y += rows, m += rows * columns)
    $name_affine(y, m, NULL, x, rows, columns);
}
]])

add("matvec_transposed", [[
/* y = M^T x for each head, M of rows of columns. */
static void $name_matvec_transposed($real *y, const $real *m, const $real *x,
                                    int heads, int rows, int columns) {
  for (int h = 0; h < heads; h++, y += columns, x += rows) {
    memset(y, 0, (size_t)columns * sizeof *y);
    for (int i = 0; i < rows; i++, m += columns)
      for (int j = 0; j < columns; j++)
        y[j] += m[j] * x[i];
  }
}
]])

add("outer", [[
/* m = u v^T for each head, of a and b numbers. */
static void $name_outer($real *m, const $real *u, const $real *v, int heads,
                        int a, int b) {
  for (int h = 0; h < heads; h++, v += b)
    for (int i = 0; i < a; i++, u++, m += b)
      for (int j = 0; j < b; j++)
        m[j] = *u * v[j];
}
]])

-- --- Elements in another order -----------------------------------------------------------------

add("expand", [[
/* Repeats each block of 'inner' numbers 'times' times. */
static void $name_expand($real *y, const $real *x, int outer, int times,
                         int inner) {
  for (int o = 0; o < outer; o++, x += inner)
    for (int t = 0; t < times; t++, y += inner)
      memcpy(y, x, (size_t)inner * sizeof *y);
}
]])

add("slice", [[
/* Of n blocks of 'inner' numbers, those at from, from + step, ... */
static void $name_slice($real *y, const $real *x, int outer, int n, int inner,
                        int from, int count, int step) {
  for (int o = 0; o < outer; o++, x += n * inner)
    for (int i = 0; i < count; i++, y += inner)
      memcpy(y, x + (from + i * step) * inner, (size_t)inner * sizeof *y);
}
]])

add("interleave", [[
/* Blocks of x, each 'apart' behind the one before. */
static void $name_interleave($real *y, const $real *x, int outer, int width,
                             int apart) {
  for (int o = 0; o < outer; o++, y += apart, x += width)
    memcpy(y, x, (size_t)width * sizeof *y);
}
]])

add("transpose", [[
/* (outer, a, b, inner) as (outer, b, a, inner). */
static void $name_transpose($real *y, const $real *x, int outer, int a, int b,
                            int inner) {
  for (int o = 0; o < outer; o++, x += a * b * inner)
    for (int j = 0; j < b; j++)
      for (int i = 0; i < a; i++, y += inner)
        memcpy(y, x + (i * b + j) * inner, (size_t)inner * sizeof *y);
}
]])

-- --- Sums -----------------------------------------------------------------------------------

add("sum", [[
/* The sum over the n of (outer, n, inner). */
static void $name_sum($real *y, const $real *x, int outer, int n, int inner) {
  for (int o = 0; o < outer; o++, x += (n - 1) * inner)
    for (int i = 0; i < inner; i++, x++) {
      $real result = 0;
      for (int k = 0; k < n; k++)
        result += x[k * inner];
      *y++ = result;
    }
}
]])

add("mean", [[
/* The mean over the n of (outer, n, inner). */
static void $name_mean($real *y, const $real *x, int outer, int n, int inner) {
  for (int o = 0; o < outer; o++, x += (n - 1) * inner)
    for (int i = 0; i < inner; i++, x++) {
      $real result = 0;
      for (int k = 0; k < n; k++)
        result += x[k * inner];
      result /= ($real)n;
      *y++ = result;
    }
}
]])

add("max", [[
/* The largest, NaN if there is one, over the n of (outer, n, inner). */
static void $name_max($real *y, const $real *x, int outer, int n, int inner) {
  for (int o = 0; o < outer; o++, x += (n - 1) * inner)
    for (int i = 0; i < inner; i++, x++) {
      $real result = *x;
      for (int k = 1; k < n; k++)
        if (x[k * inner] > result || x[k * inner] != x[k * inner])
          result = x[k * inner];
      *y++ = result;
    }
}
]])

add("min", [[
/* The smallest, NaN if there is one, over the n of (outer, n, inner). */
static void $name_min($real *y, const $real *x, int outer, int n, int inner) {
  for (int o = 0; o < outer; o++, x += (n - 1) * inner)
    for (int i = 0; i < inner; i++, x++) {
      $real result = *x;
      for (int k = 1; k < n; k++)
        if (x[k * inner] < result || x[k * inner] != x[k * inner])
          result = x[k * inner];
      *y++ = result;
    }
}
]])

add("top", [[
/* The largest of n numbers. */
static $real $name_top(const $real *x, int n, int apart) {
  $real top = *x;
  for (int k = 1; k < n; k++)
    top = x[k * apart] > top ? x[k * apart] : top;
  return top;
}
]])

add("logsumexp", [[
/* log(sum(exp(x))) over the n of (outer, n, inner). */
static void $name_logsumexp($real *y, const $real *x, int outer, int n, int inner) {
  for (int o = 0; o < outer; o++, x += (n - 1) * inner)
    for (int i = 0; i < inner; i++, x++) {
      const $real top = $name_top(x, n, inner);
      const $real shift = top - top == 0 ? top : 0; /* infinite ones stay so */
      $real result = 0;
      for (int k = 0; k < n; k++)
        result += $name_exp(x[k * inner] - shift);
      result = log$f(result) + shift;
      *y++ = result;
    }
}
]])

add("softmax", [[
/* exp(x) over their sum along the n of (outer, n, inner). */
static void $name_softmax($real *y, const $real *x, int outer, int n, int inner) {
  for (int o = 0; o < outer; o++, x += (n - 1) * inner, y += (n - 1) * inner)
    for (int i = 0; i < inner; i++, x++, y++) {
      const $real top = $name_top(x, n, inner);
      $real sum = 0;
      for (int k = 0; k < n; k++)
        sum += y[k * inner] = $name_exp(x[k * inner] - top);
      for (int k = 0; k < n; k++)
        y[k * inner] /= sum;
    }
}
]])

add("log_softmax", [[
/* x - log(sum(exp(x))) along the n of (outer, n, inner). */
static void $name_log_softmax($real *y, const $real *x, int outer, int n, int inner) {
  for (int o = 0; o < outer; o++, x += (n - 1) * inner, y += (n - 1) * inner)
    for (int i = 0; i < inner; i++, x++, y++) {
      const $real top = $name_top(x, n, inner);
      $real sum = 0;
      for (int k = 0; k < n; k++)
        sum += $name_exp(x[k * inner] - top);
      sum = log$f(sum);
      for (int k = 0; k < n; k++)
        y[k * inner] = x[k * inner] - top - sum;
    }
}
]])

add("cumsum", [[
/* The sums so far along the n of (outer, n, inner). */
static void $name_cumsum($real *y, const $real *x, int outer, int n, int inner) {
  for (int o = 0; o < outer; o++, x += (n - 1) * inner, y += (n - 1) * inner)
    for (int i = 0; i < inner; i++, x++, y++) {
      $real sum = 0;
      for (int k = 0; k < n; k++)
        y[k * inner] = sum += x[k * inner];
    }
}
]])

add("layer_norm", [[
/* (x - mean) / deviation * gain + bias, for each of some blocks of n; gain and
** bias may be null. */
static void $name_layer_norm($real *y, const $real *x, const $real *gain,
                             const $real *bias, $real epsilon, int blocks,
                             int n) {
  for (int block = 0; block < blocks; block++, x += n, y += n) {
    $real mean = 0, variance = 0;
    for (int i = 0; i < n; i++)
      mean += x[i] / ($real)n;
    for (int i = 0; i < n; i++)
      variance += (x[i] - mean) * (x[i] - mean) / ($real)n;
    const $real scale = 1 / sqrt$f(variance + epsilon);
    for (int i = 0; i < n; i++) {
      y[i] = (x[i] - mean) * scale * (gain ? gain[i] : 1);
      y[i] += bias ? bias[i] : 0;
    }
  }
}
]])

add("rms_norm", [[
/* x over the root of its mean square, times gain, for each of some blocks of n;
** gain may be null. */
static void $name_rms_norm($real *y, const $real *x, const $real *gain,
                           $real epsilon, int blocks, int n) {
  for (int block = 0; block < blocks; block++, x += n, y += n) {
    $real square = 0;
    for (int i = 0; i < n; i++)
      square += x[i] * x[i] / ($real)n;
    const $real scale = 1 / sqrt$f(square + epsilon);
    for (int i = 0; i < n; i++)
      y[i] = x[i] * scale * (gain ? gain[i] : 1);
  }
}
]])

-- --- What looks back --------------------------------------------------------------------------

add("rotate", [[
/* n / 2 complex numbers, pairs of real and imaginary part: y = decay h + a; y may be
** h. */
static void $name_rotate($real *y, const $real *h, const $real *decay,
                         const $real *a, int n) {
  for (int k = 0; k < n; k += 2) {
    const $real re = h[k], im = h[k + 1];
    y[k] = decay[k] * re - decay[k + 1] * im + a[k];
    y[k + 1] = decay[k] * im + decay[k + 1] * re + a[k + 1];
  }
}
]])

add("window", [[
/* x and those of 'apart', 2 apart, ... steps before, the oldest first: y (taps, n).
** The ring has the last (taps - 1) apart steps; place: that of the oldest. */
static void $name_window($real *y, $real *ring, int32_t *place, const $real *x,
                         int n, int taps, int apart) {
  const int slots = (taps - 1) * apart, at = *place;
  const size_t bytes = (size_t)n * sizeof *y;
  for (int k = 0; k < taps - 1; k++, y += n)
    memcpy(y, ring + (at + k * apart) % slots * n, bytes);
  memcpy(y, x, bytes);
  if (slots > 0) {
    memcpy(ring + at * n, x, bytes);
    *place = (at + 1) % slots;
  }
}
]])

add("attention", [[
/*
** Attention over this step and up to w - 1 before, of heads of d features. The ring has
** keys and values of those, side by side; place: that of the oldest, and how many there
** are. distance: what is added to a weight, by how far back its step lies.
*/
static void $name_attention($real *y, $real *ring, int32_t *place,
                            $real *weights, const $real *q, const $real *k,
                            const $real *v, const $real *distance, int heads,
                            int d, int w) {
  const int f = heads * d, slots = w - 1, seen = place[1];
  for (int first = 0; first < f; first += d, distance += w) {
    $real top = 0, sum = 0;
    for (int back = 0; back <= seen; back++) {
      const $real *key = back == 0
          ? k : ring + (place[0] + slots - back) % slots * 2 * f;
      $real product = 0;
      for (int i = first; i < first + d; i++)
        product += q[i] * key[i];
      weights[back] = product / sqrt$f(($real)d) + distance[slots - back];
      top = back == 0 || weights[back] > top ? weights[back] : top;
    }
    for (int back = 0; back <= seen; back++)
      sum += weights[back] = $name_exp(weights[back] - top);
    memset(y + first, 0, (size_t)d * sizeof *y);
    for (int back = 0; back <= seen; back++) {
      const $real *value = back == 0
          ? v : ring + (place[0] + slots - back) % slots * 2 * f + f;
      for (int i = first; i < first + d; i++)
        y[i] += weights[back] / sum * value[i];
    }
  }
  memcpy(ring + place[0] * 2 * f, k, (size_t)f * sizeof *k);
  memcpy(ring + (place[0] * 2 + 1) * f, v, (size_t)f * sizeof *v);
  place[0] = (place[0] + 1) % slots;
  place[1] = seen < slots ? seen + 1 : slots;
}
]])

-- --- The units of the data --------------------------------------------------------------------

add("scale", [[
/* Columns in their own units to numbers near 1. */
static void $name_scale($real *y, const $real *x, const double *shift,
                        const double *factor, int n) {
  for (int i = 0; i < n; i++)
    y[i] = ($real)((x[i] - shift[i]) / factor[i]);
}
]])

add("ahead", [[
/* And back: h steps of n columns. If place is not null, x tells by how much they
** will differ from what those columns of the scaled input are now. */
static void $name_ahead($real *y, const $real *x, const $real *now,
                        const int32_t *place, const double *shift,
                        const double *factor, int h, int n) {
  for (int k = 0; k < h; k++, y += n, x += n)
    for (int i = 0; i < n; i++) {
      const int32_t at = place ? place[i] : 0;
      y[i] = ($real)((x[i] + (place ? now[at] : 0)) * factor[i] + shift[i]);
    }
}
]])

return functions
