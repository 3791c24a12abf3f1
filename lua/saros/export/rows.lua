--- The C functions that an exported model may consist of, by name. `$name` is
--- the model's, `$real` its type of numbers, and `$f` follows the functions of
--- math.h. A file has those that it uses, in the order of this list: what a function
--- calls stands before it.

local core = require "saros.core"
local elementary = require "saros.export.elementary"
local products = require "saros.export.products"

local functions = {}

local function add(name, source)
  functions[#functions + 1] = { name = name, source = source }
end

for _, entry in ipairs(elementary[core.info().real]) do
  add(entry[1], entry[2])
end

for _, entry in ipairs(products) do
  add(entry[1], entry[2])
end

-- --- Rows and heads ----------------------------------------------------------------------------

add("row_int8", [[
/* y = scale times a row of n integers. */
static void $name_row_int8($real *y, const int8_t *row, float scale, int n) {
  for (int i = 0; i < n; i++)
    y[i] = ($real)scale * ($real)row[i];
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

-- Their sums are taken in double precision, as those of the library are: values that
-- hardly differ would lose what tells them apart.
add("layer_norm", [[
/* (x - mean) / deviation * gain + bias, for each of some blocks of n; gain and
** bias may be null. */
static void $name_layer_norm($real *y, const $real *x, const $real *gain,
                             const $real *bias, $real epsilon, int blocks,
                             int n) {
  for (int block = 0; block < blocks; block++, x += n, y += n) {
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++)
      sum += x[i];
    const double mean = sum / n;
    for (int i = 0; i < n; i++)
      squares += (x[i] - mean) * (x[i] - mean);
    const $real shift = ($real)mean;
    const $real scale = ($real)(1 / sqrt(squares / n + (double)epsilon));
    for (int i = 0; i < n; i++) {
      y[i] = (x[i] - shift) * scale * (gain ? gain[i] : 1);
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
    double squares = 0;
    for (int i = 0; i < n; i++)
      squares += (double)x[i] * (double)x[i];
    const $real scale = ($real)(1 / sqrt(squares / n + (double)epsilon));
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

add("delta", [[
/*
** A step of heads with a matrix m of rows x columns each: m <- exp(decay) m, then n
** times, once for each k and v, m <- m + k u^T with u = write v - erase m^T k; y is
** m^T q. The decay has so many 'channels' a head, 1 or one for each row. Of what may be
** null, no write is 1, no erase is 0, no decay is 0. u is scratch.
*/
static void $name_delta($real *y, $real *m, $real *u, const $real *q,
                        const $real *k, const $real *v, const $real *write,
                        const $real *erase, const $real *decay, int channels,
                        int heads, int n, int rows, int columns) {
  for (int h = 0; h < heads; h++, m += rows * columns, y += columns) {
    for (int r = 0; r < n; r++) {
      const int at = r * heads + h;
      const $real *key = k + at * rows, *value = v + at * columns;
      const $real w = write ? write[at] : 1, e = erase ? erase[at] : 0;
      memset(u, 0, (size_t)columns * sizeof *u);
      for (int i = 0; i < rows; i++) {
        $real *row = m + i * columns;
        if (decay && r == 0) {
          const $real a = $name_exp(decay[channels > 1 ? h * rows + i : h]);
          for (int j = 0; j < columns; j++)
            row[j] *= a;
        }
        if (erase)
          for (int j = 0; j < columns; j++)
            u[j] += key[i] * row[j];
      }
      for (int j = 0; j < columns; j++)
        u[j] = w * value[j] - e * u[j];
      memset(y, 0, (size_t)columns * sizeof *y);
      for (int i = 0; i < rows; i++) {
        $real *row = m + i * columns;
        for (int j = 0; j < columns; j++) {
          row[j] += key[i] * u[j];
          y[j] += q[h * rows + i] * row[j];
        }
      }
    }
  }
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
