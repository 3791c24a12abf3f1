/*
** Random numbers: xoshiro256++ (Blackman and Vigna 2019), its state spread from
** a seed by splitmix64 (Steele, Lea and Flood 2014).
*/
#include <math.h>
#include <string.h>

#include "tensor.h"

struct saros_generator {
  saros_context *context;
  uint64_t word[SAROS_GENERATOR_WORDS];
};

static uint64_t rotate_left(uint64_t x, int bits) {
  return (x << bits) | (x >> (64 - bits));
}

static uint64_t next(saros_generator *g) {
  uint64_t *s = g->word;
  uint64_t result = rotate_left(s[0] + s[3], 23) + s[0];
  uint64_t shifted = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = rotate_left(s[3], 45);
  return result;
}

void saros_generator_seed(saros_generator *g, uint64_t seed) {
  for (int i = 0; i < SAROS_GENERATOR_WORDS; i++) {
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    g->word[i] = z ^ (z >> 31);
  }
}

saros_status saros_generator_new(saros_context *context, uint64_t seed,
                                 saros_generator **out) {
  TRY(base_object_new(context, sizeof(saros_generator), (void **)out));
  (*out)->context = context;
  saros_generator_seed(*out, seed);
  return SAROS_OK;
}

void saros_generator_release(saros_generator *g) {
  if (g != NULL)
    base_object_free(g->context, g);
}

saros_status tensor_expect_generator(const char *function,
                                     saros_context *context,
                                     const saros_generator *g) {
  if (g != NULL && g->context == context)
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "%s: expected a generator of the tensor's context",
                    function);
}

void saros_generator_save(const saros_generator *g,
                          uint64_t words[SAROS_GENERATOR_WORDS]) {
  memcpy(words, g->word, sizeof g->word);
}

saros_status
saros_generator_restore(saros_generator *g,
                        const uint64_t words[SAROS_GENERATOR_WORDS]) {
  uint64_t any = 0;
  for (int i = 0; i < SAROS_GENERATOR_WORDS; i++)
    any |= words[i];
  if (any == 0)
    return saros_fail(g->context, SAROS_EARGUMENT,
                      "restore: expected the state of a generator, got zeros");
  memcpy(g->word, words, sizeof g->word);
  return SAROS_OK;
}

/* --- Numbers ------------------------------------------------------------------------ */

uint64_t tensor_random_bits(saros_generator *g) {
  return next(g);
}

double saros_uniform(saros_generator *g) {
  return (double)(next(g) >> 11) * 0x1p-53;
}

/* Rejects the few values that would make small results likelier. */
uint64_t saros_below(saros_generator *g, uint64_t limit) {
  uint64_t rejected = -limit % limit, x;
  do
    x = next(g);
  while (x < rejected);
  return x % limit;
}

/* Two independent standard normal numbers (Box and Muller 1958). */
static void normal_pair(saros_generator *g, double pair[2]) {
  double radius = sqrt(-2 * log(1 - saros_uniform(g)));
  double angle = 6.283185307179586 * saros_uniform(g);
  pair[0] = radius * cos(angle);
  pair[1] = radius * sin(angle);
}

/* --- Filling tensors ------------------------------------------------------------------- */

/* What each way of filling has in common: checks, and contiguous elements to
** write to, which are copied back where the tensor is a view with strides. */
static saros_status begin_fill(saros_generator *g, const char *function,
                               saros_tensor *x, saros_tensor **buffer) {
  TRY(tensor_expect_context(function, g->context, x));
  TRY(tensor_expect_real(function, "the tensor", x));
  TRY(saros_tensor_writable(x, function));
  if (!saros_tensor_is_contiguous(x))
    return tensor_like(x, buffer);
  *buffer = saros_tensor_retain(x);
  return SAROS_OK;
}

static void end_fill(saros_tensor *x, saros_tensor *buffer) {
  if (buffer != x)
    tensor_copy(x, buffer);
  saros_tensor_release(buffer);
}

saros_status saros_fill_uniform(saros_generator *g, double low, double high,
                                saros_tensor *x) {
  saros_tensor *buffer;
  if (!(low <= high) || !isfinite(high - low))
    return saros_fail(g->context, SAROS_EARGUMENT,
                      "fill_uniform: expected finite low <= high, got %g and "
                      "%g",
                      low, high);
  TRY(begin_fill(g, "fill_uniform", x, &buffer));
  for (size_t i = 0; i < buffer->count; i++)
    tensor_reals(buffer)[i] = (real)(low + (high - low) * saros_uniform(g));
  end_fill(x, buffer);
  return SAROS_OK;
}

static void fill_normal(saros_generator *g, double mean, double deviation,
                        real *x, size_t n) {
  double pair[2];
  for (size_t i = 0; i < n; i++) {
    if (i % 2 == 0)
      normal_pair(g, pair);
    x[i] = (real)(mean + deviation * pair[i % 2]);
  }
}

saros_status saros_fill_normal(saros_generator *g, double mean,
                               double deviation, saros_tensor *x) {
  saros_tensor *buffer;
  if (!(deviation >= 0) || !isfinite(mean) || !isfinite(deviation))
    return saros_fail(g->context, SAROS_EARGUMENT,
                      "fill_normal: expected a finite mean and deviation >= 0, "
                      "got %g and %g",
                      mean, deviation);
  TRY(begin_fill(g, "fill_normal", x, &buffer));
  fill_normal(g, mean, deviation, tensor_reals(buffer), buffer->count);
  end_fill(x, buffer);
  return SAROS_OK;
}

/* Makes row i of q (rows, n) orthogonal to the rows before it and of length 1,
** twice over, which is enough for full accuracy (Giraud, Langou and Rozloznik
** 2005). Returns its length before. */
static double orthonormalise(double *q, size_t i, size_t n) {
  double *row = q + i * n, length = 0;
  for (size_t j = 0; j < 2 * i; j++) {
    const double *other = q + (j % i) * n;
    double dot = 0;
    for (size_t k = 0; k < n; k++)
      dot += row[k] * other[k];
    for (size_t k = 0; k < n; k++)
      row[k] -= dot * other[k];
  }
  for (size_t k = 0; k < n; k++)
    length += row[k] * row[k];
  length = sqrt(length);
  for (size_t k = 0; k < n && length > 0; k++)
    row[k] /= length;
  return length;
}

static void orthonormal_rows(saros_generator *g, double *q, size_t rows,
                             size_t n) {
  for (size_t i = 0; i < rows; i++) {
    do {
      double pair[2];
      for (size_t k = 0; k < n; k++) {
        if (k % 2 == 0)
          normal_pair(g, pair);
        q[i * n + k] = pair[k % 2];
      }
    } while (orthonormalise(q, i, n) < 1e-6);
  }
}

saros_status saros_fill_orthogonal(saros_generator *g, double gain,
                                   saros_tensor *x) {
  if (x->rank != 2 || !isfinite(gain))
    return saros_fail(g->context, SAROS_EARGUMENT,
                      "fill_orthogonal: expected a tensor of rank 2 and a "
                      "finite gain, got shape %s and %g",
                      TENSOR_SHAPE(x), gain);
  size_t rows = (size_t)x->shape[0], columns = (size_t)x->shape[1];
  int wide = rows <= columns;
  saros_tensor *buffer;
  TRY(begin_fill(g, "fill_orthogonal", x, &buffer));
  double *q = pool_take(&g->context->pool, x->count * sizeof *q);
  if (q == NULL) {
    saros_tensor_release(buffer);
    return base_out_of_memory(g->context, x->count * sizeof *q);
  }
  orthonormal_rows(g, q, wide ? rows : columns, wide ? columns : rows);
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < columns; j++)
      tensor_reals(buffer)[i * columns + j] =
          (real)(gain * q[wide ? i * columns + j : j * rows + i]);
  pool_give(&g->context->pool, q);
  end_fill(x, buffer);
  return SAROS_OK;
}

/* --- Drawing ids -------------------------------------------------------------------------- */

int tensor_draw(saros_generator *g, const real *weight, int n) {
  double total = 0, sum = 0;
  int last = -1;
  for (int i = 0; i < n; i++) {
    if (!(weight[i] >= 0) || !isfinite(weight[i]))
      return -1;
    total += weight[i];
  }
  double threshold = saros_uniform(g) * total;
  for (int i = 0; i < n; i++) {
    if (weight[i] > 0)
      last = i;
    sum += weight[i];
    if (sum > threshold)
      return i;
  }
  return last;  // rounding
}

saros_status saros_categorical(saros_generator *g, saros_tensor *weights,
                               saros_tensor **out) {
  *out = NULL;
  TRY(tensor_expect_context("categorical", g->context, weights));
  TRY(tensor_expect_real("categorical", "weights", weights));
  if (weights->rank < 1)
    return saros_fail(g->context, SAROS_EARGUMENT,
                      "categorical: expected weights of shape (..., V), got a "
                      "number");
  saros_tensor *from;
  TRY(tensor_contiguous(weights, &from));
  saros_status status =
      tensor_new(g->context, SAROS_IDS, weights->rank - 1, weights->shape, out);
  int V = weights->shape[weights->rank - 1];
  for (size_t i = 0; status == SAROS_OK && i < (*out)->count; i++) {
    int id = tensor_draw(g, tensor_reals(from) + i * (size_t)V, V);
    tensor_ids(*out)[i] = id;
    if (id < 0)
      status = saros_fail(g->context, SAROS_EARGUMENT,
                          "categorical: expected finite weights >= 0 with a "
                          "sum > 0, got others in row %zu",
                          i + (size_t)g->context->index_base);
  }
  if (status != SAROS_OK) {
    saros_tensor_release(*out);
    *out = NULL;
  }
  saros_tensor_release(from);
  return status;
}

/* Fisher and Yates's shuffle. */
saros_status saros_permutation(saros_generator *g, int n, saros_tensor **out) {
  TRY(tensor_new(g->context, SAROS_IDS, 1, &n, out));
  int32_t *id = tensor_ids(*out);
  for (int i = 0; i < n; i++) {
    int j = (int)saros_below(g, (uint64_t)i + 1);
    id[i] = id[j];
    id[j] = i;
  }
  return SAROS_OK;
}
