/*
** Dropout and layer normalisation.
*/
#include <string.h>

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

/* --- With a gate ------------------------------------------------------------------------ */

/* Rows whose gradients of the gain are one sum. */
#define GATED_ROWS 512

typedef enum gated_part { X, GATE, GAIN, FACTOR, GATED_PARTS } gated_part;

typedef struct gated {
  const layer_norm_kernels *kernels;
  saros_tensor *t[GATED_PARTS];
  saros_tensor *y;
  double epsilon;
  int is_silu;
  const saros_tensor *dy;
  saros_tensor *dx, *dgate;
  double *sums;  // (groups, n)
} gated;

static void gate_rows(void *arguments, size_t from, size_t rows) {
  const gated *a = arguments;
  const size_t n = a->t[GAIN]->count, at = from * n;
  a->kernels->gated_forward(
      tensor_reals(a->y) + at, tensor_reals(a->t[FACTOR]) + from,
      tensor_reals(a->t[X]) + at, tensor_reals(a->t[GATE]) + at,
      tensor_reals(a->t[GAIN]), a->epsilon, a->is_silu, rows, n);
}

static void gate_group_back(void *arguments, int group) {
  const gated *a = arguments;
  const size_t n = a->t[GAIN]->count, from = (size_t)group * GATED_ROWS;
  const size_t left = a->t[FACTOR]->count - from, at = from * n;
  a->kernels->gated_backward(
      tensor_reals(a->dx) + at, tensor_reals(a->dgate) + at,
      a->sums + (size_t)group * n, tensor_reals(a->dy) + at,
      tensor_reals(a->t[X]) + at, tensor_reals(a->t[GATE]) + at,
      tensor_reals(a->t[GAIN]), tensor_reals(a->t[FACTOR]) + from, a->is_silu,
      left < GATED_ROWS ? left : GATED_ROWS, n);
}

/* All gradients, those of the gain as sums of groups in order. */
static saros_status gate_back(const tape_entry *e, gated *a) {
  const size_t n = a->t[GAIN]->count, rows = a->t[FACTOR]->count;
  const size_t groups = (rows + GATED_ROWS - 1) / GATED_ROWS;
  const size_t bytes = groups * n * sizeof(double) + 1;
  a->sums = pool_take(&e->context->pool, bytes);
  if (a->sums == NULL)
    return base_out_of_memory(e->context, bytes);
  memset(a->sums, 0, bytes);
  saros_tensor *dgain = NULL;
  saros_status status = team_share(e->context, 40 * (double)rows * (double)n,
                                   (int)groups, gate_group_back, a);
  if (status == SAROS_OK && e->input[GAIN] != NULL)
    status = tensor_node_gradient(e->input[GAIN], &dgain);
  for (size_t i = 0; i < n && dgain != NULL; i++) {
    double sum = 0;
    for (size_t group = 0; group < groups; group++)
      sum += a->sums[group * n + i];
    tensor_reals(dgain)[i] += (real)sum;
  }
  pool_give(&e->context->pool, a->sums);
  return status;
}

/* saved: x, gate, gain, factor; the argument: is_silu */
static saros_status gated_backward(const tape_entry *e) {
  gated a = {.kernels = e->context->kernels->layer_norm,
             .is_silu = *(const int *)e->arguments};
  memcpy(a.t, e->saved, sizeof a.t);
  saros_tensor *dy;
  TRY(tape_entry_gradient(e, 0, &dy));
  a.dy = dy;
  saros_status status;
  TRY_OR_DONE(tensor_like(a.t[X], &a.dx));
  TRY_OR_DONE(tensor_like(a.t[GATE], &a.dgate));
  TRY_OR_DONE(gate_back(e, &a));
  status = tensor_node_add(e->input[X], saros_tensor_retain(a.dx));
  if (status == SAROS_OK)
    status = tensor_node_add(e->input[GATE], saros_tensor_retain(a.dgate));
done:
  saros_tensor_release(dy);
  saros_tensor_release(a.dx);
  saros_tensor_release(a.dgate);
  return status;
}

static const tape_operation gated_operation = {"gated_rms_norm",
                                               gated_backward};

static saros_status expect_gated(saros_tensor *x, saros_tensor *gate,
                                 saros_tensor *gain, double epsilon,
                                 saros_function function) {
  static const char name[] = "gated_rms_norm";
  TRY(tensor_expect_real(name, "x", x));
  TRY(tensor_expect_context(name, x->context, gate));
  TRY(tensor_expect_real(name, "the gate", gate));
  TRY(tensor_expect_context(name, x->context, gain));
  TRY(tensor_expect_real(name, "gain", gain));
  const int width = x->rank > 0 ? x->shape[x->rank - 1] : 0;
  if (gain->rank != 1 || gain->shape[0] < 1 || width < 1 ||
      width % gain->shape[0] != 0)
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "gated_rms_norm: expected x of shape (..., heads n) and "
                      "gain of shape (n), got %s and %s",
                      TENSOR_SHAPE(x), TENSOR_SHAPE(gain));
  if (gate->rank != x->rank ||
      memcmp(gate->shape, x->shape, (size_t)x->rank * sizeof *x->shape) != 0)
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "gated_rms_norm: expected a gate of shape %s, got %s",
                      TENSOR_SHAPE(x), TENSOR_SHAPE(gate));
  if (!(epsilon >= 0))
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "gated_rms_norm: expected epsilon >= 0, got %g", epsilon);
  if (function == SAROS_SILU || function == SAROS_SIGMOID)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "gated_rms_norm: expected silu or sigmoid");
}

saros_status saros_gated_rms_norm(saros_tensor *x, saros_tensor *gate,
                                  saros_tensor *gain, double epsilon,
                                  saros_function function, saros_tensor **out) {
  *out = NULL;
  TRY(expect_gated(x, gate, gain, epsilon, function));
  gated a = {.kernels = x->context->kernels->layer_norm,
             .epsilon = epsilon,
             .is_silu = function == SAROS_SILU};
  saros_tensor **t = a.t;
  saros_status status;
  TRY_OR_DONE(saros_contiguous(x, &t[X]));
  TRY_OR_DONE(saros_contiguous(gate, &t[GATE]));
  TRY_OR_DONE(saros_contiguous(gain, &t[GAIN]));
  const size_t rows = x->count / gain->count;
  TRY_OR_DONE(tensor_new(x->context, SAROS_REAL, 1, (const int[]){(int)rows},
                         &t[FACTOR]));
  TRY_OR_DONE(tensor_like(t[X], out));
  a.y = *out;
  TRY_OR_DONE(team_rows(x->context, rows, gain->count, gate_rows, &a));
  status = tape_record(x->context, &(tape_call){&gated_operation, FACTOR, t, 1,
                                                out, GATED_PARTS, t, &a.is_silu,
                                                sizeof a.is_silu});
done:
  for (int i = 0; i < GATED_PARTS; i++)
    saros_tensor_release(t[i]);
  return tensor_or_nothing(status, out);
}
