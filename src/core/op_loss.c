/*
** Softmax and the losses. A loss is the mean over positions, weighted by a
** mask where there is one: sum(mask * loss) / sum(mask).
*/
#include <math.h>
#include <string.h>

#include "core.h"

/* --- Softmax and its logarithm ----------------------------------------------------- */

static saros_status softmax_backward(const tape_entry *e);

static const operation softmax_operation = {"softmax", softmax_backward};
static const operation log_softmax_operation = {"log_softmax",
                                                softmax_backward};

/* Rows (n) of y from those of x or, going back, of dx from those of dy and y. */
typedef struct softmax_rows {
  const softmax_kernels *kernels;
  int is_log;
  real *to;
  const real *x, *y;
  size_t n;
} softmax_rows;

static void make_rows(void *arguments, size_t from, size_t rows) {
  const softmax_rows *s = arguments;
  size_t at = from * s->n;
  (s->is_log ? s->kernels->log_softmax
             : s->kernels->softmax)(s->to + at, s->x + at, rows, s->n);
}

static void make_rows_backward(void *arguments, size_t from, size_t rows) {
  const softmax_rows *s = arguments;
  size_t at = from * s->n;
  (s->is_log ? s->kernels->log_softmax_backward : s->kernels->softmax_backward)(
      s->to + at, s->x + at, s->y + at, rows, s->n);
}

/* Does it to all rows of the last axis, in which there may be nothing. */
static saros_status each_row(const operation *op, saros_tensor *to,
                             const saros_tensor *x, const saros_tensor *y) {
  size_t n = (size_t)to->shape[to->rank - 1];
  softmax_rows s = {to->context->kernels->softmax,
                    op == &log_softmax_operation,
                    reals(to),
                    reals(x),
                    y != NULL ? reals(y) : NULL,
                    n};
  return parallel_rows(to->context, n ? to->count / n : 0, n,
                       y != NULL ? make_rows_backward : make_rows, &s);
}

static saros_status softmax_backward(const tape_entry *e) {
  saros_tensor *dx, *dy;
  TRY(node_gradient(e->input[0], &dx));
  TRY(entry_gradient(e, 0, &dy));
  saros_status status = each_row(e->operation, dx, dy, e->saved[0]);
  saros_tensor_release(dy);
  return status;
}

static saros_status softmax_of_rows(const operation *op, saros_tensor *x,
                                    saros_tensor **out) {
  saros_tensor *from;
  TRY(saros_contiguous(x, &from));
  saros_status status;
  TRY_OR_DONE(tensor_like(from, out));
  TRY_OR_DONE(each_row(op, *out, from, NULL));
  status = tape_record_unary(op, from, *out, NULL, 0, out);
done:
  saros_tensor_release(from);
  return or_nothing(status, out);
}

static saros_status softmax_over(const operation *op, saros_tensor *x, int axis,
                                 saros_tensor **out) {
  *out = NULL;
  TRY(expect_real(op->name, "the tensor", x));
  TRY(expect_axis(op->name, x, &axis));
  if (axis == x->rank - 1)
    return softmax_of_rows(op, x, out);
  saros_tensor *turned = NULL, *y = NULL;
  saros_status status;
  TRY_OR_DONE(saros_transpose(x, axis, -1, &turned));
  TRY_OR_DONE(softmax_of_rows(op, turned, &y));
  status = saros_transpose(y, axis, -1, out);
done:
  saros_tensor_release(turned);
  saros_tensor_release(y);
  return status;
}

saros_status saros_softmax(saros_tensor *x, int axis, saros_tensor **out) {
  return softmax_over(&softmax_operation, x, axis, out);
}

saros_status saros_log_softmax(saros_tensor *x, int axis, saros_tensor **out) {
  return softmax_over(&log_softmax_operation, x, axis, out);
}

/* --- The weighted mean ---------------------------------------------------------------- */

/* Checks a mask and makes weights (count) that sum to 1; without a mask all
** are 1 / count. */
static saros_status mean_weights(const char *function, saros_tensor *mask,
                                 const saros_tensor *like, int rank,
                                 saros_tensor **out) {
  saros_context *context = like->context;
  const kernels *k = context->kernels;
  TRY(tensor_new(context, SAROS_REAL, rank, like->shape, out));
  saros_tensor *weights = *out;
  real sum = (real)weights->count;
  saros_status status = SAROS_OK;
  if (mask == NULL) {
    k->pointwise->fill(reals(weights), 1, weights->count);
  } else {
    TRY_OR_DONE(expect_context(function, context, mask));
    TRY_OR_DONE(expect_real(function, "mask", mask));
    TRY_OR_DONE(expect_same_shape(function, "mask", mask, weights));
    tensor_copy(weights, mask);
    k->reduce->sum(&sum, reals(weights), 1, weights->count, 1);
  }
  if (sum != 0 && isfinite(sum)) {
    k->pointwise->scale(reals(weights), 1 / sum, weights->count);
    return SAROS_OK;
  }
  status = mask ? saros_fail(context, SAROS_EARGUMENT,
                             "%s: expected a mask with a finite sum other than "
                             "0, got %g",
                             function, (double)sum)
                : saros_fail(context, SAROS_EARGUMENT,
                             "%s: expected at least one position, got shape %s",
                             function, SHAPE(like));
done:
  saros_tensor_release(weights);
  *out = NULL;
  return status;
}

/* sum(weights * loss) as a tensor of rank 0 */
static saros_status weighted_sum(saros_tensor *weights, saros_tensor *loss,
                                 saros_tensor **out) {
  saros_tensor *product;
  TRY(saros_combine(SAROS_MULTIPLY, weights, loss, &product));
  saros_status status = saros_sum(product, SAROS_ALL_AXES, 0, out);
  saros_tensor_release(product);
  return status;
}

/* --- Cross-entropy ---------------------------------------------------------------------- */

/* Where the gradient of the logits goes: in the place of the logits themselves
** if this entry is the last to hold them, as they are the largest array of a
** model with many symbols. */
static saros_status logits_target(tape_node *n, saros_tensor *logits,
                                  saros_tensor **dlogits, real *beta) {
  int ours = logits->references == 1 && logits->storage->references == 1;
  if (n->gradient != NULL || !ours)
    return node_target(n, dlogits, beta);
  TRY(tensor_alias(logits, &n->gradient));
  *dlogits = n->gradient;
  *beta = 0;
  return SAROS_OK;
}

typedef struct cross_entropy {
  saros_tensor *logits, *targets, *log_norm, *weights, *loss;
  saros_tensor
      *dlogits;  // going back, when 'loss' is the gradient of the losses
  real beta;
} cross_entropy;

static size_t symbols_of(const cross_entropy *c) {
  return (size_t)c->logits->shape[c->logits->rank - 1];
}

static void losses_of_rows(void *arguments, size_t from, size_t rows) {
  const cross_entropy *c = arguments;
  size_t V = symbols_of(c);
  c->logits->context->kernels->softmax->cross_entropy(
      reals(c->loss) + from, reals(c->log_norm) + from,
      reals(c->logits) + from * V, ids_of(c->targets) + from, rows, V);
}

static void losses_of_rows_backward(void *arguments, size_t from, size_t rows) {
  const cross_entropy *c = arguments;
  size_t V = symbols_of(c);
  c->logits->context->kernels->softmax->cross_entropy_backward(
      reals(c->dlogits) + from * V, reals(c->loss) + from,
      reals(c->logits) + from * V, reals(c->log_norm) + from,
      ids_of(c->targets) + from, c->beta, rows, V);
}

static saros_status each_position(cross_entropy *c,
                                  void (*part)(void *arguments, size_t from,
                                               size_t rows)) {
  return parallel_rows(c->logits->context, c->loss->count, symbols_of(c), part,
                       c);
}

/* saved: logits, targets, log_norm, weights */
static saros_status cross_entropy_backward(const tape_entry *e) {
  saros_tensor *dlogits, *dloss, *logits = e->saved[0];
  real beta;
  TRY(logits_target(e->input[0], logits, &dlogits, &beta));
  TRY(tensor_like(e->saved[3], &dloss));
  tensor_copy(dloss, e->saved[3]);
  real dy = reals(e->output[0]->gradient)[0];
  e->context->kernels->pointwise->scale(reals(dloss), dy, dloss->count);
  cross_entropy c = {.logits = logits,
                     .targets = e->saved[1],
                     .log_norm = e->saved[2],
                     .loss = dloss,
                     .dlogits = dlogits,
                     .beta = beta};
  saros_status status = each_position(&c, losses_of_rows_backward);
  saros_tensor_release(dloss);
  return status;
}

static const operation cross_entropy_operation = {"cross_entropy",
                                                  cross_entropy_backward};

static saros_status expect_targets(saros_tensor *logits,
                                   saros_tensor *targets) {
  TRY(expect_context("cross_entropy", logits->context, targets));
  TRY(expect_real("cross_entropy", "logits", logits));
  TRY(expect_ids("cross_entropy", "targets", targets));
  int fits = logits->rank == targets->rank + 1 &&
             memcmp(logits->shape, targets->shape,
                    (size_t)targets->rank * sizeof(int)) == 0;
  if (fits)
    return SAROS_OK;
  return saros_fail(logits->context, SAROS_EARGUMENT,
                    "cross_entropy: expected logits with the shape of targets "
                    "and one more axis, got logits %s, targets %s",
                    SHAPE(logits), SHAPE(targets));
}

static saros_status compute_cross_entropy(cross_entropy *c,
                                          saros_tensor *logits,
                                          saros_tensor *targets,
                                          saros_tensor *mask) {
  int V = logits->shape[logits->rank - 1];
  TRY(saros_contiguous(logits, &c->logits));
  TRY(saros_contiguous(targets, &c->targets));
  TRY(expect_ids_below("cross_entropy", c->targets, V));
  TRY(mean_weights("cross_entropy", mask, targets, targets->rank, &c->weights));
  TRY(tensor_like(c->weights, &c->log_norm));
  TRY(tensor_like(c->weights, &c->loss));
  return each_position(c, losses_of_rows);
}

saros_status saros_cross_entropy(saros_tensor *logits, saros_tensor *targets,
                                 saros_tensor *mask, saros_tensor **out) {
  *out = NULL;
  TRY(expect_targets(logits, targets));
  cross_entropy c = {0};
  saros_status status;
  TRY_OR_DONE(compute_cross_entropy(&c, logits, targets, mask));
  TRY_OR_DONE(weighted_sum(c.weights, c.loss, out));
  saros_tensor *saved[4] = {c.logits, c.targets, c.log_norm, c.weights};
  status = tape_record(logits->context,
                       &(record){&cross_entropy_operation, 1, &c.logits, 1, out,
                                 4, saved, NULL, 0});
done:
  saros_tensor_release(c.logits);
  saros_tensor_release(c.targets);
  saros_tensor_release(c.log_norm);
  saros_tensor_release(c.weights);
  saros_tensor_release(c.loss);
  return status;
}

/* --- Squared error: made of recorded operations ------------------------------------------ */

saros_status saros_mse(saros_tensor *x, saros_tensor *target,
                       saros_tensor *mask, saros_tensor **out) {
  *out = NULL;
  TRY(expect_context("mse", x->context, target));
  TRY(expect_real("mse", "x", x));
  TRY(expect_real("mse", "target", target));
  TRY(expect_same_shape("mse", "target", target, x));
  saros_tensor *weights = NULL, *error = NULL, *square = NULL;
  saros_status status;
  TRY_OR_DONE(mean_weights("mse", mask, x, x->rank, &weights));
  TRY_OR_DONE(saros_combine(SAROS_SUBTRACT, x, target, &error));
  TRY_OR_DONE(saros_combine(SAROS_MULTIPLY, error, error, &square));
  status = weighted_sum(weights, square, out);
done:
  saros_tensor_release(weights);
  saros_tensor_release(error);
  saros_tensor_release(square);
  return status;
}
