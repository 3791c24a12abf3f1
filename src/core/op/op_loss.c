/*
** Losses of two tensors, element by element, and the weighted mean that every
** loss is. With weights w that sum to 1,
**
**   loss = sum of w[i] f(x[i], target[i])
**
** Where a weight is 0, x and target are not looked at: a NaN there reaches
** neither the value nor a gradient.
*/
#include <math.h>
#include <string.h>

#include "op.h"

_Static_assert((int)SAROS_LOSSES == (int)LOSS_COUNT, "losses");

/* --- Weights ------------------------------------------------------------------------- */

saros_status op_weights_from_mask(const char *function, saros_tensor *mask,
                                  const saros_tensor *like, int rank,
                                  saros_tensor **out) {
  saros_context *context = like->context;
  if (mask != NULL) {
    saros_tensor shaped = {.rank = rank};  // for the message
    memcpy(shaped.shape, like->shape, sizeof shaped.shape);
    TRY(tensor_expect_context(function, context, mask));
    TRY(tensor_expect_real(function, "mask", mask));
    TRY(tensor_expect_same_shape(function, "mask", mask, &shaped));
  }
  TRY(tensor_new(context, SAROS_REAL, rank, like->shape, out));
  if (mask != NULL)
    tensor_copy(*out, mask);
  else
    context->kernels->pointwise->fill(tensor_reals(*out), 1, (*out)->count);
  return SAROS_OK;
}

saros_status op_weights_sum(const char *function, const saros_tensor *weights,
                            real *sum) {
  saros_context *context = weights->context;
  TRY(op_sum_rows(context, sum, 0, tensor_reals(weights), weights->count, 1));
  if (weights->count == 0)
    return saros_fail(context, SAROS_EARGUMENT,
                      "%s: expected at least one position, got shape %s",
                      function, TENSOR_SHAPE(weights));
  if (isfinite(*sum) && isfinite(1 / *sum))
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "%s: expected weights with a finite sum other than 0, "
                    "got %g",
                    function, (double)*sum);
}

saros_status op_weighted_total(const saros_tensor *losses, saros_tensor **out) {
  TRY(tensor_new(losses->context, SAROS_REAL, 0, NULL, out));
  return tensor_or_nothing(op_sum_rows(losses->context, tensor_reals(*out), 0,
                                       tensor_reals(losses), losses->count, 1),
                           out);
}

/* --- Loss by element ------------------------------------------------------------------ */

static saros_status loss_backward(const tape_entry *e);

#define LOSS(kind, name) [kind] = {name, loss_backward}
static const tape_operation losses[SAROS_LOSSES] = {
    LOSS(SAROS_MSE, "mse"), LOSS(SAROS_L1, "l1"), LOSS(SAROS_HUBER, "huber"),
    LOSS(SAROS_BCE, "bce"), LOSS(SAROS_KL, "kl"),
};

const char *saros_loss_name(saros_loss_kind kind) {
  return (int)kind >= 0 && kind < SAROS_LOSSES ? losses[kind].name : NULL;
}

/* Of each element the weighted loss or, going back, its slope. */
typedef struct elements {
  const loss_kernels *kernels;
  int kind, of_target;
  real delta, dy;
  real *y;  // or a gradient
  const real *x, *target, *weight;
} elements;

static void losses_of(void *arguments, size_t from, size_t n) {
  const elements *e = arguments;
  e->kernels->value[e->kind](e->y + from, e->x + from, e->target + from,
                             e->weight + from, e->delta, n);
}

static void slopes_of(void *arguments, size_t from, size_t n) {
  const elements *e = arguments;
  e->kernels->backward[e->of_target][e->kind](e->y + from, e->dy, e->x + from,
                                              e->target + from,
                                              e->weight + from, e->delta, n);
}

/* saved: x, target, weights; the argument is delta */
static saros_status loss_backward(const tape_entry *e) {
  elements s = {.kernels = e->context->kernels->loss,
                .kind = (int)(e->operation - losses),
                .delta = *(const real *)e->arguments,
                .dy = tensor_reals(e->output[0]->gradient)[0],
                .x = tensor_reals(e->saved[0]),
                .target = tensor_reals(e->saved[1]),
                .weight = tensor_reals(e->saved[2])};
  for (s.of_target = 0; s.of_target < 2; s.of_target++) {
    saros_tensor *d;
    if (e->input[s.of_target] == NULL)
      continue;
    TRY(tensor_node_gradient(e->input[s.of_target], &d));
    s.y = tensor_reals(d);
    TRY(team_rows(e->context, d->count, 1, slopes_of, &s));
  }
  return SAROS_OK;
}

/* --- Arguments ------------------------------------------------------------------------- */

static saros_status expect_kind(saros_context *context, saros_loss_kind kind,
                                double delta) {
  TRY(base_expect_known(context, "loss", "a kind", (int)kind, SAROS_LOSSES));
  if (kind != SAROS_HUBER || (delta > 0 && isfinite(delta)))
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "huber: expected a finite delta > 0, got %g", delta);
}

static saros_status expect_pair(const char *name, saros_tensor *x,
                                saros_tensor *target) {
  TRY(tensor_expect_context(name, x->context, target));
  TRY(tensor_expect_real(name, "x", x));
  TRY(tensor_expect_real(name, "target", target));
  return tensor_expect_same_shape(name, "target", target, x);
}

/* Probabilities where they count: a target outside makes a loss without a
** minimum. Rounding may carry one a little past 1. */
static saros_status expect_probabilities(saros_loss_kind kind,
                                         const saros_tensor *target,
                                         const saros_tensor *weights) {
  const real *t = tensor_reals(target), *w = tensor_reals(weights);
  if (kind != SAROS_BCE && kind != SAROS_KL)
    return SAROS_OK;
  for (size_t i = 0; i < target->count; i++)
    if (w[i] != 0 && !(t[i] >= 0 && t[i] <= (real)1.00001))
      return saros_fail(target->context, SAROS_EARGUMENT,
                        "%s: expected targets in 0..1, got %g at position %zu",
                        losses[kind].name, (double)t[i],
                        i + (size_t)target->context->index_base);
  return SAROS_OK;
}

/* Weights of positions, for each of the n elements of each position. */
static saros_status spread_over(saros_tensor **weights,
                                const saros_tensor *like) {
  saros_tensor *column = NULL, *wide = NULL, *out = NULL;
  int shape[SAROS_MAX_RANK];
  saros_status status;
  memcpy(shape, like->shape, sizeof shape);
  shape[like->rank - 1] = 1;
  TRY_OR_DONE(saros_reshape(*weights, like->rank, shape, &column));
  TRY_OR_DONE(op_expand(column, like->rank, like->shape, &wide));
  status = saros_clone(wide, &out);
done:
  saros_tensor_release(column);
  saros_tensor_release(wide);
  if (status == SAROS_OK) {
    saros_tensor_release(*weights);
    *weights = out;
  }
  return status;
}

/* Weights of all elements that sum to 1, over the positions: of KL, whose
** distributions are along the last axis, the axes before it. */
static saros_status weigh_elements(saros_loss_kind kind, saros_tensor *mask,
                                   saros_tensor *x, saros_tensor **weights) {
  const char *name = losses[kind].name;
  real sum;
  if (kind == SAROS_KL && x->rank == 0)
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "kl: expected distributions along the last axis, got a "
                      "single number");
  TRY(op_weights_from_mask(name, mask, x, x->rank - (kind == SAROS_KL),
                           weights));
  TRY(op_weights_sum(name, *weights, &sum));
  x->context->kernels->pointwise->scale(tensor_reals(*weights), 1 / sum,
                                        (*weights)->count);
  return kind == SAROS_KL ? spread_over(weights, x) : SAROS_OK;
}

/* --- The loss ---------------------------------------------------------------------------- */

/* parts: x, target, weights, as they are saved */
static saros_status compute(saros_loss_kind kind, real delta,
                            saros_tensor *const *parts, saros_tensor **out) {
  saros_tensor *y;
  TRY(tensor_like(parts[0], &y));
  saros_status status =
      team_rows(y->context, y->count, 1, losses_of,
                &(elements){.kernels = y->context->kernels->loss,
                            .kind = (int)kind,
                            .delta = delta,
                            .y = tensor_reals(y),
                            .x = tensor_reals(parts[0]),
                            .target = tensor_reals(parts[1]),
                            .weight = tensor_reals(parts[2])});
  if (status == SAROS_OK)
    status = op_weighted_total(y, out);
  saros_tensor_release(y);
  return status;
}

saros_status saros_loss(saros_loss_kind kind, saros_tensor *x,
                        saros_tensor *target, saros_tensor *mask, double delta,
                        saros_tensor **out) {
  *out = NULL;
  TRY(expect_kind(x->context, kind, delta));
  TRY(expect_pair(losses[kind].name, x, target));
  const real bend = (real)delta;
  saros_tensor *parts[3] = {NULL};
  saros_status status;
  TRY_OR_DONE(saros_contiguous(x, &parts[0]));
  TRY_OR_DONE(saros_contiguous(target, &parts[1]));
  TRY_OR_DONE(weigh_elements(kind, mask, x, &parts[2]));
  TRY_OR_DONE(expect_probabilities(kind, parts[1], parts[2]));
  TRY_OR_DONE(compute(kind, bend, parts, out));
  status = tape_record(x->context, &(tape_call){&losses[kind], 2, parts, 1, out,
                                                3, parts, &bend, sizeof bend});
done:
  for (int i = 0; i < 3; i++)
    saros_tensor_release(parts[i]);
  return tensor_or_nothing(status, out);
}
