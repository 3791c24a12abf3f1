/*
** Dropout and layer normalisation.
*/
#include "op.h"

/* --- Dropout ---------------------------------------------------------------------- */

/* What decides which elements are dropped, instead of a stored mask. */
typedef struct dropping {
  uint64_t key;
  uint32_t below;
  real factor;
} dropping;

/* y = x times the factors, or with 'backward' y += the same, for n elements */
typedef struct drop {
  dropping by;
  saros_tensor *y;
  const saros_tensor *x;
  int backward;
} drop;

static void drop_blocks(void *arguments, size_t from, size_t blocks) {
  const drop *d = arguments;
  const dropout_kernels *k = d->y->context->kernels->dropout;
  const size_t at = from * KERNEL_DROPOUT_BLOCK, left = d->y->count - at,
               n = blocks * KERNEL_DROPOUT_BLOCK;
  (d->backward ? k->backward : k->forward)(
      tensor_reals(d->y) + at, tensor_reals(d->x) + at, d->by.key, from,
      d->by.below, d->by.factor, n < left ? n : left);
}

static saros_status drop_all(drop *d) {
  const size_t blocks =
      (d->y->count + KERNEL_DROPOUT_BLOCK - 1) / KERNEL_DROPOUT_BLOCK;
  return team_rows(d->y->context, blocks, KERNEL_DROPOUT_BLOCK, drop_blocks, d);
}

static saros_status dropout_backward(const tape_entry *e) {
  saros_tensor *dy, *dx;
  TRY(tensor_node_gradient(e->input[0], &dx));
  TRY(tape_entry_gradient(e, 0, &dy));
  saros_status status =
      drop_all(&(drop){*(const dropping *)e->arguments, dx, dy, 1});
  saros_tensor_release(dy);
  return status;
}

static const tape_operation dropout_operation = {"dropout", dropout_backward};

saros_status saros_dropout(saros_tensor *x, double p,
                           saros_generator *generator, saros_tensor **out) {
  *out = NULL;
  TRY(tensor_expect_real("dropout", "the tensor", x));
  if (!(p >= 0 && p < 1))
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "dropout: expected a probability in [0, 1), got %g", p);
  if (p == 0 || !tape_is_training(x->context)) {
    *out = saros_tensor_retain(x);
    return SAROS_OK;
  }
  TRY(tensor_expect_generator("dropout", x->context, generator));
  saros_tensor *from;
  TRY(saros_contiguous(x, &from));
  saros_status status;
  TRY_OR_DONE(tensor_like(from, out));
  const dropping by = {tensor_random_bits(generator), (uint32_t)(p * 0x1p32),
                       (real)(1 / (1 - p))};
  TRY_OR_DONE(drop_all(&(drop){by, *out, from, 0}));
  status =
      tape_record_unary(&dropout_operation, from, NULL, &by, sizeof by, out);
done:
  saros_tensor_release(from);
  return tensor_or_nothing(status, out);
}

/* --- The way back of norms -------------------------------------------------------- */

typedef struct norm_sums {
  const kernels *kernels;
  const op_norm_gradients *g;
} norm_sums;

static void sum_gains(const void *arguments, double *total, size_t from,
                      size_t to, size_t first, size_t n) {
  const norm_sums *s = arguments;
  const op_norm_gradients *g = s->g;
  const size_t at = from * g->n + first;
  s->kernels->layer_norm->sum_gains(total, g->dy + at, g->x + at,
                                    g->mean ? g->mean + from : NULL,
                                    g->factor + from, to - from, g->n, n);
}

static void norm_rows_backward(void *arguments, size_t from, size_t rows) {
  const norm_sums *s = arguments;
  const op_norm_gradients *g = s->g;
  const layer_norm_kernels *k = s->kernels->layer_norm;
  const size_t at = from * g->n;
  if (g->mean != NULL)
    k->backward(g->dx + at, g->dy + at, g->x + at, g->gain, g->mean + from,
                g->factor + from, rows, g->n);
  else
    k->rms_backward(g->dx + at, g->dy + at, g->x + at, g->gain,
                    g->factor + from, rows, g->n);
}

static saros_status add_gains(saros_context *context, norm_sums *s) {
  double *total;
  TRY(op_sum_blocks(context, sum_gains, s, s->g->rows, s->g->n, &total));
  for (size_t i = 0; i < s->g->n; i++)
    s->g->dgain[i] += (real)total[i];
  pool_give(&context->pool, total);
  return SAROS_OK;
}

saros_status op_norm_backward(saros_context *context,
                              const op_norm_gradients *g) {
  norm_sums s = {context->kernels, g};
  if (g->dgain != NULL)
    TRY(add_gains(context, &s));
  if (g->dbias != NULL)
    TRY(op_sum_rows(context, g->dbias, 1, g->dy, g->rows, g->n));
  if (g->dx == NULL)
    return SAROS_OK;
  return team_rows(context, g->rows, g->n, norm_rows_backward, &s);
}

/* The gradients of the inputs of a norm, x, gain and perhaps bias. */
static saros_status norm_backward(const tape_entry *e, int inputs,
                                  const saros_tensor *mean,
                                  const saros_tensor *factor) {
  saros_tensor *d[3] = {NULL, NULL, NULL}, *dy;
  for (int i = 0; i < inputs; i++)
    if (e->input[i] != NULL)
      TRY(tensor_node_gradient(e->input[i], &d[i]));
  TRY(tape_entry_gradient(e, 0, &dy));
  const saros_tensor *gain = e->saved[1];
  saros_status status = op_norm_backward(
      e->context, &(op_norm_gradients){
                      .dx = d[0] ? tensor_reals(d[0]) : NULL,
                      .dgain = d[1] ? tensor_reals(d[1]) : NULL,
                      .dbias = d[2] ? tensor_reals(d[2]) : NULL,
                      .dy = tensor_reals(dy),
                      .x = tensor_reals(e->saved[0]),
                      .gain = tensor_reals(gain),
                      .mean = mean ? tensor_reals(mean) : NULL,
                      .factor = tensor_reals(factor),
                      .rows = factor->count,
                      .n = gain->count,
                  });
  saros_tensor_release(dy);
  return status;
}

/* --- Layer normalisation ------------------------------------------------------------ */

/* saved: x, gain, mean, rstd */
static saros_status layer_norm_backward(const tape_entry *e) {
  return norm_backward(e, 3, e->saved[2], e->saved[3]);
}

static const tape_operation layer_norm_operation = {"layer_norm",
                                                    layer_norm_backward};

static saros_status expect_vector(const char *function, const char *name,
                                  saros_tensor *v, const saros_tensor *x) {
  TRY(tensor_expect_context(function, x->context, v));
  TRY(tensor_expect_real(function, name, v));
  int n = x->shape[x->rank - 1];
  if (v->rank == 1 && v->shape[0] == n)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "%s: expected %s of shape (%d), got %s", function, name, n,
                    TENSOR_SHAPE(v));
}

/* The bias may be null. */
static saros_status expect_norm(const char *function, saros_tensor *x,
                                saros_tensor *gain, saros_tensor *bias,
                                double epsilon) {
  TRY(tensor_expect_real(function, "x", x));
  if (x->rank < 1 || x->shape[x->rank - 1] < 1)
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "%s: expected x of shape (..., n), got %s", function,
                      TENSOR_SHAPE(x));
  if (!(epsilon >= 0))
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "%s: expected epsilon >= 0, got %g", function, epsilon);
  TRY(expect_vector(function, "gain", gain, x));
  return bias ? expect_vector(function, "bias", bias, x) : SAROS_OK;
}

typedef struct norm {
  const layer_norm_kernels *kernels;
  saros_tensor *y, *mean, *rstd;
  const saros_tensor *x, *gain, *bias;
  double epsilon;
} norm;

static void normalise_rows(void *arguments, size_t from, size_t rows) {
  const norm *a = arguments;
  size_t n = a->gain->count, at = from * n;
  a->kernels->forward(tensor_reals(a->y) + at, tensor_reals(a->mean) + from,
                      tensor_reals(a->rstd) + from, tensor_reals(a->x) + at,
                      tensor_reals(a->gain), tensor_reals(a->bias), a->epsilon,
                      rows, n);
}

saros_status saros_layer_norm(saros_tensor *x, saros_tensor *gain,
                              saros_tensor *bias, double epsilon,
                              saros_tensor **out) {
  *out = NULL;
  TRY(expect_norm("layer_norm", x, gain, bias, epsilon));
  enum { X, GAIN, BIAS, MEAN, RSTD, ALL };
  saros_tensor *t[ALL] = {NULL};
  saros_status status;
  TRY_OR_DONE(saros_contiguous(x, &t[X]));
  TRY_OR_DONE(saros_contiguous(gain, &t[GAIN]));
  TRY_OR_DONE(saros_contiguous(bias, &t[BIAS]));
  TRY_OR_DONE(
      tensor_new(x->context, SAROS_REAL, x->rank - 1, x->shape, &t[MEAN]));
  TRY_OR_DONE(tensor_like(t[MEAN], &t[RSTD]));
  TRY_OR_DONE(tensor_like(t[X], out));
  TRY_OR_DONE(team_rows(x->context, t[MEAN]->count, t[GAIN]->count,
                        normalise_rows,
                        &(norm){x->context->kernels->layer_norm, *out, t[MEAN],
                                t[RSTD], t[X], t[GAIN], t[BIAS], epsilon}));
  saros_tensor *saved[4] = {t[X], t[GAIN], t[MEAN], t[RSTD]};
  status = tape_record(x->context, &(tape_call){&layer_norm_operation, 3, t, 1,
                                                out, 4, saved, NULL, 0});
done:
  for (int i = 0; i < ALL; i++)
    saros_tensor_release(t[i]);
  return tensor_or_nothing(status, out);
}

/* --- Without the mean ------------------------------------------------------------------ */

/* saved: x, gain, factor */
static saros_status rms_norm_backward(const tape_entry *e) {
  return norm_backward(e, 2, NULL, e->saved[2]);
}

static const tape_operation rms_norm_operation = {"rms_norm",
                                                  rms_norm_backward};

static void scale_rows(void *arguments, size_t from, size_t rows) {
  const norm *a = arguments;
  size_t n = a->gain->count, at = from * n;
  a->kernels->rms_forward(tensor_reals(a->y) + at, tensor_reals(a->rstd) + from,
                          tensor_reals(a->x) + at, tensor_reals(a->gain),
                          a->epsilon, rows, n);
}

/* The gain of a call in contiguous form: ones where there is none. */
static saros_status gain_or_ones(saros_tensor *gain, saros_tensor *x,
                                 saros_tensor **out) {
  if (gain != NULL)
    return saros_contiguous(gain, out);
  TRY(tensor_expect_real("rms_norm", "x", x));
  const int n = x->rank > 0 ? x->shape[x->rank - 1] : 1;
  TRY(tensor_new(x->context, SAROS_REAL, 1, &n, out));
  return tensor_or_nothing(saros_fill(*out, 1), out);
}

saros_status saros_rms_norm(saros_tensor *x, saros_tensor *gain, double epsilon,
                            saros_tensor **out) {
  *out = NULL;
  enum { X, GAIN, FACTOR, ALL };
  saros_tensor *t[ALL] = {NULL};
  saros_status status;
  TRY_OR_DONE(gain_or_ones(gain, x, &t[GAIN]));
  TRY_OR_DONE(expect_norm("rms_norm", x, t[GAIN], NULL, epsilon));
  TRY_OR_DONE(saros_contiguous(x, &t[X]));
  TRY_OR_DONE(
      tensor_new(x->context, SAROS_REAL, x->rank - 1, x->shape, &t[FACTOR]));
  TRY_OR_DONE(tensor_like(t[X], out));
  TRY_OR_DONE(team_rows(x->context, t[FACTOR]->count, t[GAIN]->count,
                        scale_rows,
                        &(norm){x->context->kernels->layer_norm, *out, NULL,
                                t[FACTOR], t[X], t[GAIN], NULL, epsilon}));
  status = tape_record(x->context, &(tape_call){&rms_norm_operation, 2, t, 1,
                                                out, 3, t, NULL, 0});
done:
  for (int i = 0; i < ALL; i++)
    saros_tensor_release(t[i]);
  return tensor_or_nothing(status, out);
}
