--- The C functions that an exported model may consist of, by name. `$name` is
--- the model's, `$real` its type of numbers, and `$f` follows the functions of
--- math.h. A file has those that it uses, in the order of this list.

local functions = {}

local function add(name, source)
  functions[#functions + 1] = { name = name, source = source }
end

add("sigmoid", [[
static $real $name_sigmoid($real x) {
  return 1 / (1 + exp$f(-x));
}
]])

add("affine", [[
/* y = W x + b, W of n rows of k weights; b may be null. */
static void $name_affine($real *y, const $real *w, const $real *b,
                         const $real *x, int n, int k) {
  for (int i = 0; i < n; i++, w += k) {
    $real sum = 0;
    for (int j = 0; j < k; j++)
      sum += w[j] * x[j];
    y[i] = b ? sum + b[i] : sum;
  }
}
]])

add("affine_int8", [[
/* y = W x + b, where row i of W is scale[i] times its n rows of k integers. */
static void $name_affine_int8($real *y, const int8_t *w, const $real *scale,
                              const $real *b, const $real *x, int n, int k) {
  for (int i = 0; i < n; i++, w += k) {
    $real sum = 0;
    for (int j = 0; j < k; j++)
      sum += w[j] * x[j];
    y[i] = b ? scale[i] * sum + b[i] : scale[i] * sum;
  }
}
]])

add("row_int8", [[
/* y = scale times a row of n integers. */
static void $name_row_int8($real *y, const int8_t *row, $real scale, int n) {
  for (int i = 0; i < n; i++)
    y[i] = scale * row[i];
}
]])

add("layer_norm", [[
/* y = (x - mean) / deviation * gain + bias; y may be x. */
static void $name_layer_norm($real *y, const $real *x, const $real *gain,
                             const $real *bias, $real epsilon, int n) {
  $real mean = 0, variance = 0;
  for (int i = 0; i < n; i++)
    mean += x[i] / n;
  for (int i = 0; i < n; i++)
    variance += (x[i] - mean) * (x[i] - mean) / n;
  const $real scale = 1 / sqrt$f(variance + epsilon);
  for (int i = 0; i < n; i++)
    y[i] = (x[i] - mean) * scale * gain[i] + bias[i];
}
]])

add("add", [[
/* y = a + b */
static void $name_add($real *y, const $real *a, const $real *b, int n) {
  for (int i = 0; i < n; i++)
    y[i] = a[i] + b[i];
}
]])

add("add_scaled", [[
/* y = a + scale b */
static void $name_add_scaled($real *y, const $real *a, const $real *scale,
                             const $real *b, int n) {
  for (int i = 0; i < n; i++)
    y[i] = a[i] + scale[i] * b[i];
}
]])

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

add("mix", [[
/* Zoneout: a share of the new state, the rest of the old one. */
static void $name_mix($real *state, const $real *now, $real share, int n) {
  for (int i = 0; i < n; i++)
    state[i] = share * now[i] + (1 - share) * state[i];
}
]])

-- What cells do with a, the sums from the input, and u, those from the state.

add("elman_tanh", [[
static void $name_elman_tanh($real *h, const $real *a, const $real *u, int n) {
  for (int k = 0; k < n; k++)
    h[k] = tanh$f(a[k] + u[k]);
}
]])

add("elman_relu", [[
static void $name_elman_relu($real *h, const $real *a, const $real *u, int n) {
  for (int k = 0; k < n; k++) {
    const $real sum = a[k] + u[k];
    h[k] = sum < 0 ? 0 : sum;
  }
}
]])

add("lstm", [[
/*
** The new c of an LSTM from the sums of its gates i, f, g, o; the output gate
** comes into a. p: the peepholes of i, f and o, or null; c_new may be c.
*/
static void $name_lstm($real *c_new, $real *a, const $real *u, const $real *c,
                       const $real *p, int n) {
  for (int k = 0; k < n; k++) {
    $real i = a[k] + u[k], f = a[n + k] + u[n + k];
    const $real g = a[2 * n + k] + u[2 * n + k];
    $real o = a[3 * n + k] + u[3 * n + k];
    if (p) {
      i += p[k] * c[k];
      f += p[n + k] * c[k];
    }
    c_new[k] = $name_sigmoid(f) * c[k] + $name_sigmoid(i) * tanh$f(g);
    if (p)
      o += p[2 * n + k] * c_new[k];
    a[k] = $name_sigmoid(o);
  }
}
]])

add("lstm_output", [[
/* h = o tanh(c) */
static void $name_lstm_output($real *h, const $real *o, const $real *c, int n) {
  for (int k = 0; k < n; k++)
    h[k] = o[k] * tanh$f(c[k]);
}
]])

add("gru", [[
/* A GRU with the gates r, z, n that resets after the product; h_new may be h. */
static void $name_gru($real *h_new, const $real *a, const $real *u,
                      const $real *h, int n) {
  for (int k = 0; k < n; k++) {
    const $real r = $name_sigmoid(a[k] + u[k]);
    const $real z = $name_sigmoid(a[n + k] + u[n + k]);
    const $real fresh = tanh$f(a[2 * n + k] + r * u[2 * n + k]);
    h_new[k] = fresh + z * (h[k] - fresh);
  }
}
]])

add("gru_reset", [[
/* What the product for n of a GRU reads if it resets before that: r h. The gate
** z comes into a. */
static void $name_gru_reset($real *read, $real *a, const $real *u,
                            const $real *h, int n) {
  for (int k = 0; k < n; k++) {
    read[k] = $name_sigmoid(a[k] + u[k]) * h[k];
    a[n + k] = $name_sigmoid(a[n + k] + u[n + k]);
  }
}
]])

add("gru_finish", [[
/* u: the product for n; h_new may be h. */
static void $name_gru_finish($real *h_new, const $real *a, const $real *u,
                             const $real *h, int n) {
  for (int k = 0; k < n; k++) {
    const $real fresh = tanh$f(a[2 * n + k] + u[k]);
    h_new[k] = fresh + a[n + k] * (h[k] - fresh);
  }
}
]])

add("candidate", [[
/* The candidate of a minimal cell: as it is, or made positive. */
static $real $name_candidate($real n, int positive) {
  return !positive ? n : n < 0 ? $name_sigmoid(n) : n + ($real)0.5;
}
]])

add("mingru", [[
/* A minimal GRU from the sums of its gates z, n. */
static void $name_mingru($real *h, const $real *a, int positive, int n) {
  for (int k = 0; k < n; k++)
    h[k] = $name_sigmoid(-a[k]) * h[k] +
           $name_sigmoid(a[k]) * $name_candidate(a[n + k], positive);
}
]])

add("minlstm", [[
/* A minimal LSTM from the sums of its gates i, f, n. i and f over their sum are
** made of exponentials none of which is above 1. */
static void $name_minlstm($real *h, const $real *a, int positive, int n) {
  for (int k = 0; k < n; k++) {
    const $real low = a[k] < a[n + k] ? a[k] : a[n + k];
    const $real least = low < 0 ? low : 0, one = exp$f(least);
    const $real i = one + exp$f(least - a[n + k]), f = one + exp$f(least - a[k]);
    h[k] = (f * h[k] + i * $name_candidate(a[2 * n + k], positive)) / (i + f);
  }
}
]])

add("lru", [[
/* n / 2 complex units, pairs of real and imaginary part: h = decay h + scale a. */
static void $name_lru($real *h, const $real *a, const $real *decay,
                      const $real *scale, int n) {
  for (int k = 0; k < n; k += 2) {
    const $real re = h[k], im = h[k + 1];
    h[k] = decay[k] * re - decay[k + 1] * im + scale[k / 2] * a[k];
    h[k + 1] = decay[k] * im + decay[k + 1] * re + scale[k / 2] * a[k + 1];
  }
}
]])

add("attention_weights", [[
/* The weights of the first 'seen' slots of a ring of w, for a head of d features
** of f: the softmax of what its q and their keys say, by how far back they lie. */
static void $name_attention_weights($real *weights, const $real *q,
                                    const $real *keys, const $real *distance,
                                    int f, int d, int w, int slot, int seen) {
  $real top = 0, sum = 0;
  for (int s = 0; s < seen; s++) {
    $real product = 0;
    for (int i = 0; i < d; i++)
      product += q[i] * keys[s * f + i];
    weights[s] = product / sqrt$f(($real)d) + distance[(s + w - 1 - slot) % w];
    top = s == 0 || weights[s] > top ? weights[s] : top;
  }
  for (int s = 0; s < seen; s++)
    sum += weights[s] = exp$f(weights[s] - top);
  for (int s = 0; s < seen; s++)
    weights[s] /= sum;
}
]])

add("attention", [[
/*
** Attention over the last w steps, of heads of d features, from x = q, k, v. Step
** t since the beginning is in slot t mod w of a ring; place: that of this step,
** which counts on, but from 2 w - 1 back to w.
*/
static void $name_attention($real *y, $real *keys, $real *values, $real *place,
                            $real *weights, const $real *x,
                            const $real *distance, int heads, int d, int w) {
  const int f = heads * d, at = (int)*place, slot = at % w;
  const int seen = at < w ? at + 1 : w;
  memcpy(keys + slot * f, x + f, (size_t)f * sizeof *keys);
  memcpy(values + slot * f, x + 2 * f, (size_t)f * sizeof *values);
  *place = ($real)(at + 1 < 2 * w ? at + 1 : w);
  for (int first = 0; first < f; first += d, distance += w) {
    $name_attention_weights(weights, x + first, keys + first, distance, f, d, w,
                            slot, seen);
    memset(y + first, 0, (size_t)d * sizeof *y);
    for (int s = 0; s < seen; s++)
      for (int i = first; i < first + d; i++)
        y[i] += weights[s] * values[s * f + i];
  }
}
]])

-- Functions of each element.
for _, entry in ipairs {
  { "tanh", "tanh$f(x[i])" },
  { "sigmoid", "$name_sigmoid(x[i])" },
  { "relu", "x[i] < 0 ? 0 : x[i]" },
  { "exp", "exp$f(x[i])" },
  { "log", "log$f(x[i])" },
  { "sqrt", "sqrt$f(x[i])" },
  { "abs", "fabs$f(x[i])" },
  { "negate", "-x[i]" },
  { "sin", "sin$f(x[i])" },
  { "cos", "cos$f(x[i])" },
  { "softplus", "(x[i] < 0 ? 0 : x[i]) + log1p$f(exp$f(-fabs$f(x[i])))" },
  { "silu", "x[i] * $name_sigmoid(x[i])" },
  { "gelu", "x[i] * ($real)0.5 * erfc$f(x[i] * ($real)-0.707106781186547524)" },
  { "gelu_tanh", "x[i] * $name_sigmoid(($real)1.59576912160573072 *\n"
    .. "        (x[i] + ($real)0.044715 * x[i] * x[i] * x[i]))" },
  { "elu", "x[i] > 0 ? x[i] : expm1$f(x[i])" },
  { "leaky_relu", "x[i] < 0 ? ($real)0.01 * x[i] : x[i]" },
  { "hard_sigmoid", "x[i] < -3 ? 0 : x[i] > 3 ? 1 : x[i] / 6 + ($real)0.5" },
  { "hard_tanh", "x[i] < -1 ? -1 : x[i] > 1 ? 1 : x[i]" },
} do
  add("apply_" .. entry[1], ([[
static void $name_apply_%s($real *y, const $real *x, int n) {
  for (int i = 0; i < n; i++)
    y[i] = %s;
}
]]):format(entry[1], entry[2]))
end

return functions
