/*
** Reductions over one axis or all of them.
*/
#include <string.h>

#include "op.h"

op_axis_split op_split_at_axis(const saros_tensor *x, int axis) {
  op_axis_split s = {1, 1, 1};
  if (axis == SAROS_ALL_AXES) {
    s.n = x->count;
    return s;
  }
  for (int i = 0; i < axis; i++)
    s.outer *= (size_t)x->shape[i];
  s.n = (size_t)x->shape[axis];
  for (int i = axis + 1; i < x->rank; i++)
    s.inner *= (size_t)x->shape[i];
  return s;
}

/* The shape of x without the axis, or with 1 in its place. */
static int reduced_shape(const saros_tensor *x, int axis, int keep,
                         int *shape) {
  int rank = 0;
  for (int i = 0; i < x->rank; i++) {
    if (axis == SAROS_ALL_AXES || i == axis) {
      if (keep)
        shape[rank++] = 1;
    } else {
      shape[rank++] = x->shape[i];
    }
  }
  return rank;
}

typedef struct reduction {
  int axis;
  double scale;  // of the gradient
} reduction;

/* Checks the axis, makes x contiguous and the result's tensor. */
static saros_status prepare(const char *function, saros_tensor *x, int *axis,
                            int keep, saros_dtype dtype, saros_tensor **from,
                            saros_tensor **out) {
  *out = NULL;
  TRY(tensor_expect_real(function, "the tensor", x));
  if (*axis != SAROS_ALL_AXES)
    TRY(tensor_expect_axis(function, x, axis));
  TRY(saros_contiguous(x, from));
  int shape[SAROS_MAX_RANK], rank = reduced_shape(x, *axis, keep, shape);
  saros_status status = tensor_new(x->context, dtype, rank, shape, out);
  if (status != SAROS_OK)
    saros_tensor_release(*from);
  return status;
}

/* A gradient of the result with the reduced axis (or all) as size 1. */
static saros_status keep_axis(const tape_entry *e, int axis,
                              saros_tensor **out) {
  const tensor_node *n = e->input[0];
  int shape[SAROS_MAX_RANK];
  for (int i = 0; i < n->rank; i++)
    shape[i] = axis == SAROS_ALL_AXES || i == axis ? 1 : n->shape[i];
  return saros_reshape(e->output[0]->gradient, n->rank, shape, out);
}

/* --- Sum and mean --------------------------------------------------------------- */

static saros_status sum_backward(const tape_entry *e) {
  const reduction *r = e->arguments;
  tensor_node *n = e->input[0];
  saros_tensor *kept = NULL, *scaled = NULL, *dx = NULL;
  saros_status status;
  TRY_OR_DONE(keep_axis(e, r->axis, &kept));
  TRY_OR_DONE(saros_tensor_new(n->context, SAROS_REAL, kept->rank, kept->shape,
                               &scaled));
  TRY_OR_DONE(saros_add_scaled(scaled, r->scale, kept));
  TRY_OR_DONE(op_expand(scaled, n->rank, n->shape, &dx));
  status = tensor_node_add(n, dx);
done:
  saros_tensor_release(kept);
  saros_tensor_release(scaled);
  return status;
}

static const tape_operation sum_operation = {"sum", sum_backward};
static const tape_operation mean_operation = {"mean", sum_backward};

/* Elements from which one sum is shared out, instead of whole sums. */
#define LARGE ((size_t)1 << 17)

typedef struct middle_sums {
  const reduce_kernels *kernels;
  real *y;
  const real *x;
  size_t n, inner;
} middle_sums;

static void sum_middles(void *arguments, size_t from, size_t outer) {
  const middle_sums *s = arguments;
  s->kernels->sum(s->y + from * s->inner, s->x + from * s->n * s->inner, outer,
                  s->n, s->inner);
}

/* y (outer, inner) = the sum of x over its middle axis */
static saros_status sum_middle(saros_context *context, real *y, const real *x,
                               op_axis_split s) {
  const size_t size = s.n * s.inner;
  if (size < LARGE)
    return team_rows(
        context, s.outer, size, sum_middles,
        &(middle_sums){context->kernels->reduce, y, x, s.n, s.inner});
  for (size_t at = 0; at < s.outer; at++)
    TRY(op_sum_rows(context, y + at * s.inner, 0, x + at * size, s.n, s.inner));
  return SAROS_OK;
}

static saros_status sum_scaled(const tape_operation *op, saros_tensor *x,
                               int axis, int keep, int divide,
                               saros_tensor **out) {
  saros_tensor *from;
  TRY(prepare(op->name, x, &axis, keep, SAROS_REAL, &from, out));
  op_axis_split s = op_split_at_axis(from, axis);
  reduction r = {axis, divide ? 1 / (double)s.n : 1};
  saros_status status;
  TRY_OR_DONE(
      sum_middle(x->context, tensor_reals(*out), tensor_reals(from), s));
  if (divide)
    x->context->kernels->pointwise->scale(tensor_reals(*out), (real)r.scale,
                                          (*out)->count);
  status = tape_record_unary(op, from, NULL, &r, sizeof r, out);
done:
  saros_tensor_release(from);
  return tensor_or_nothing(status, out);
}

saros_status saros_sum(saros_tensor *x, int axis, int keep,
                       saros_tensor **out) {
  return sum_scaled(&sum_operation, x, axis, keep, 0, out);
}

saros_status saros_mean(saros_tensor *x, int axis, int keep,
                        saros_tensor **out) {
  return sum_scaled(&mean_operation, x, axis, keep, 1, out);
}

/* --- Largest and smallest --------------------------------------------------------- */

static saros_status max_backward(const tape_entry *e) {
  const op_axis_split *s = e->arguments;
  saros_tensor *dx, *dy;
  TRY(tensor_node_gradient(e->input[0], &dx));
  TRY(tape_entry_gradient(e, 0, &dy));
  const int32_t *at = tensor_ids(e->saved[0]);
  const real *g = tensor_reals(dy);
  for (size_t outer = 0; outer < s->outer; outer++)
    for (size_t inner = 0; inner < s->inner; inner++, at++, g++)
      tensor_reals(dx)[(outer * s->n + (size_t)*at) * s->inner + inner] += *g;
  saros_tensor_release(dy);
  return SAROS_OK;
}

static const tape_operation max_operation = {"max", max_backward};

/* The largest elements and, in ids of the same shape, where they are. */
static saros_status max_and_place(const char *function, saros_tensor *x,
                                  int *axis, int keep, saros_tensor **from,
                                  saros_tensor **largest,
                                  saros_tensor **place) {
  TRY(prepare(function, x, axis, keep, SAROS_REAL, from, largest));
  op_axis_split s = op_split_at_axis(*from, *axis);
  saros_status status =
      s.n > 0 ? tensor_new(x->context, SAROS_IDS, (*largest)->rank,
                           (*largest)->shape, place)
              : saros_fail(x->context, SAROS_EARGUMENT,
                           "%s: expected at least one element, got shape %s",
                           function, TENSOR_SHAPE(x));
  if (status == SAROS_OK) {
    x->context->kernels->reduce->max(tensor_reals(*largest), tensor_ids(*place),
                                     tensor_reals(*from), s.outer, s.n,
                                     s.inner);
    return SAROS_OK;
  }
  saros_tensor_release(*from);
  saros_tensor_release(*largest);
  *largest = NULL;
  return status;
}

saros_status saros_max(saros_tensor *x, int axis, int keep,
                       saros_tensor **out) {
  saros_tensor *from, *place;
  TRY(max_and_place("max", x, &axis, keep, &from, out, &place));
  op_axis_split s = op_split_at_axis(from, axis);
  saros_status status =
      tape_record_unary(&max_operation, from, place, &s, sizeof s, out);
  saros_tensor_release(from);
  saros_tensor_release(place);
  return status;
}

saros_status saros_min(saros_tensor *x, int axis, int keep,
                       saros_tensor **out) {
  *out = NULL;
  saros_tensor *negative = NULL, *largest = NULL;
  saros_status status;
  TRY_OR_DONE(tensor_expect_real("min", "the tensor", x));
  TRY_OR_DONE(saros_apply(SAROS_NEGATE, x, &negative));
  TRY_OR_DONE(saros_max(negative, axis, keep, &largest));
  status = saros_apply(SAROS_NEGATE, largest, out);
done:
  saros_tensor_release(negative);
  saros_tensor_release(largest);
  return status;
}

saros_status saros_argmax(saros_tensor *x, int axis, saros_tensor **out) {
  *out = NULL;
  saros_tensor *from, *largest;
  TRY(max_and_place("argmax", x, &axis, 0, &from, &largest, out));
  saros_tensor_release(from);
  saros_tensor_release(largest);
  return SAROS_OK;
}

/* The ids of the k largest of the rows of x. */
static saros_status top_of_rows(saros_tensor *x, int k, saros_tensor **ids) {
  saros_tensor *from;
  int shape[SAROS_MAX_RANK];
  memcpy(shape, x->shape, sizeof shape);
  shape[x->rank - 1] = k;
  TRY(saros_contiguous(x, &from));
  saros_status status = tensor_new(x->context, SAROS_IDS, x->rank, shape, ids);
  if (status == SAROS_OK) {
    const size_t n = (size_t)x->shape[x->rank - 1];
    x->context->kernels->reduce->top(tensor_ids(*ids), tensor_reals(from),
                                     from->count / n, n, (size_t)k);
  }
  saros_tensor_release(from);
  return status;
}

saros_status saros_topk(saros_tensor *x, int k, int axis, saros_tensor **values,
                        saros_tensor **ids) {
  *values = *ids = NULL;
  TRY(tensor_expect_real("topk", "the tensor", x));
  TRY(tensor_expect_axis("topk", x, &axis));
  if (k < 1 || k > x->shape[axis])
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "topk: expected k in 1..%d, the size of axis %d, got %d",
                      x->shape[axis], axis + x->context->index_base, k);
  saros_tensor *turned = NULL, *at = NULL;
  saros_status status;
  TRY_OR_DONE(saros_transpose(x, axis, -1, &turned));
  TRY_OR_DONE(top_of_rows(turned, k, &at));
  TRY_OR_DONE(saros_transpose(at, axis, -1, ids));
  status = saros_gather(x, axis, *ids, values);
done:
  saros_tensor_release(turned);
  saros_tensor_release(at);
  return tensor_or_nothing(status, ids);
}

/* --- Running sums ------------------------------------------------------------------- */

static saros_status cumsum_backward(const tape_entry *e) {
  const op_axis_split *s = e->arguments;
  saros_tensor *dx, *dy;
  TRY(tensor_node_gradient(e->input[0], &dx));
  TRY(tape_entry_gradient(e, 0, &dy));
  e->context->kernels->reduce->running_sum(tensor_reals(dx), tensor_reals(dy),
                                           s->outer, s->n, s->inner, 1, 1);
  saros_tensor_release(dy);
  return SAROS_OK;
}

static const tape_operation cumsum_operation = {"cumsum", cumsum_backward};

saros_status saros_cumsum(saros_tensor *x, int axis, saros_tensor **out) {
  *out = NULL;
  TRY(tensor_expect_real("cumsum", "the tensor", x));
  TRY(tensor_expect_axis("cumsum", x, &axis));
  saros_tensor *from;
  TRY(saros_contiguous(x, &from));
  op_axis_split s = op_split_at_axis(from, axis);
  saros_status status = tensor_like(from, out);
  if (status == SAROS_OK) {
    x->context->kernels->reduce->running_sum(
        tensor_reals(*out), tensor_reals(from), s.outer, s.n, s.inner, 0, 0);
    status =
        tape_record_unary(&cumsum_operation, from, NULL, &s, sizeof s, out);
  }
  saros_tensor_release(from);
  return status;
}
