/*
** Softmax and its logarithm along one axis; the logarithm of a sum of exp.
*/
#include <string.h>

#include "op.h"

static saros_status softmax_backward(const tape_entry *e);

static const tape_operation softmax_operation = {"softmax", softmax_backward};
static const tape_operation log_softmax_operation = {"log_softmax",
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

/* Does it to all rows of the last axis, in which there may be nothing. An
** exponential counts as four elements. */
static saros_status each_row(const tape_operation *op, saros_tensor *to,
                             const saros_tensor *x, const saros_tensor *y) {
  size_t n = (size_t)to->shape[to->rank - 1];
  softmax_rows s = {to->context->kernels->softmax,
                    op == &log_softmax_operation,
                    tensor_reals(to),
                    tensor_reals(x),
                    y != NULL ? tensor_reals(y) : NULL,
                    n};
  return team_rows(to->context, n ? to->count / n : 0, 4 * n,
                   y != NULL ? make_rows_backward : make_rows, &s);
}

static saros_status softmax_backward(const tape_entry *e) {
  saros_tensor *dx, *dy;
  TRY(tensor_node_gradient(e->input[0], &dx));
  TRY(tape_entry_gradient(e, 0, &dy));
  saros_status status = each_row(e->operation, dx, dy, e->saved[0]);
  saros_tensor_release(dy);
  return status;
}

static saros_status softmax_of_rows(const tape_operation *op, saros_tensor *x,
                                    saros_tensor **out) {
  saros_tensor *from;
  TRY(saros_contiguous(x, &from));
  saros_status status;
  TRY_OR_DONE(tensor_like(from, out));
  TRY_OR_DONE(each_row(op, *out, from, NULL));
  status = tape_record_unary(op, from, *out, NULL, 0, out);
done:
  saros_tensor_release(from);
  return tensor_or_nothing(status, out);
}

static saros_status softmax_over(const tape_operation *op, saros_tensor *x,
                                 int axis, saros_tensor **out) {
  *out = NULL;
  TRY(tensor_expect_real(op->name, "the tensor", x));
  TRY(tensor_expect_axis(op->name, x, &axis));
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

/* --- The logarithm of a sum of exp ---------------------------------------------- */

typedef struct sum_rows {
  const softmax_kernels *kernels;
  real *to, *y;  // going back, 'to' is dx
  const real *x, *dy;
  size_t n;
} sum_rows;

static void add_up_rows(void *arguments, size_t from, size_t rows) {
  const sum_rows *s = arguments;
  s->kernels->log_sum_exp(s->y + from, s->x + from * s->n, rows, s->n);
}

static void add_up_rows_backward(void *arguments, size_t from, size_t rows) {
  const sum_rows *s = arguments;
  const size_t at = from * s->n;
  s->kernels->log_sum_exp_backward(s->to + at, s->dy + from, s->x + at,
                                   s->y + from, rows, s->n);
}

/* saved: x, y */
static saros_status logsumexp_backward(const tape_entry *e) {
  saros_tensor *dx, *dy;
  TRY(tensor_node_gradient(e->input[0], &dx));
  TRY(tape_entry_gradient(e, 0, &dy));
  const size_t n = (size_t)dx->shape[dx->rank - 1];
  saros_status status =
      team_rows(e->context, dy->count, n, add_up_rows_backward,
                &(sum_rows){e->context->kernels->softmax, tensor_reals(dx),
                            tensor_reals(e->saved[1]),
                            tensor_reals(e->saved[0]), tensor_reals(dy), n});
  saros_tensor_release(dy);
  return status;
}

static const tape_operation logsumexp_operation = {"logsumexp",
                                                   logsumexp_backward};

/* Over the last axis, which stays with size 1. */
static saros_status logsumexp_of_rows(saros_tensor *x, saros_tensor **out) {
  saros_tensor *from;
  int shape[SAROS_MAX_RANK];
  memcpy(shape, x->shape, sizeof shape);
  shape[x->rank - 1] = 1;
  TRY(saros_contiguous(x, &from));
  const size_t n = (size_t)x->shape[x->rank - 1];
  saros_status status;
  TRY_OR_DONE(tensor_new(x->context, SAROS_REAL, x->rank, shape, out));
  TRY_OR_DONE(
      team_rows(x->context, (*out)->count, n, add_up_rows,
                &(sum_rows){x->context->kernels->softmax, NULL,
                            tensor_reals(*out), tensor_reals(from), NULL, n}));
  status = tape_record(
      x->context, &(tape_call){&logsumexp_operation, 1, &from, 1, out, 2,
                               (saros_tensor *const[]){from, *out}, NULL, 0});
done:
  saros_tensor_release(from);
  return tensor_or_nothing(status, out);
}

static saros_status logsumexp_of_axis(saros_tensor *x, int axis, int keep,
                                      saros_tensor **out) {
  saros_tensor *turned = NULL, *sums = NULL, *back = NULL;
  saros_status status;
  TRY_OR_DONE(saros_transpose(x, axis, -1, &turned));
  TRY_OR_DONE(logsumexp_of_rows(turned, &sums));
  TRY_OR_DONE(saros_transpose(sums, axis, -1, &back));
  int shape[SAROS_MAX_RANK], rank = 0;
  for (int i = 0; i < x->rank; i++)
    if (i != axis || keep)
      shape[rank++] = i == axis ? 1 : x->shape[i];
  status = saros_reshape(back, rank, shape, out);
done:
  saros_tensor_release(turned);
  saros_tensor_release(sums);
  saros_tensor_release(back);
  return status;
}

saros_status saros_logsumexp(saros_tensor *x, int axis, int keep,
                             saros_tensor **out) {
  *out = NULL;
  TRY(tensor_expect_real("logsumexp", "the tensor", x));
  if (axis != SAROS_ALL_AXES) {
    TRY(tensor_expect_axis("logsumexp", x, &axis));
    return logsumexp_of_axis(x, axis, keep, out);
  }
  int size = x->count > 0 ? -1 : 0, ones[SAROS_MAX_RANK];
  saros_tensor *flat = NULL, *sum = NULL;
  saros_status status;
  for (int i = 0; i < SAROS_MAX_RANK; i++)
    ones[i] = 1;
  TRY_OR_DONE(saros_reshape(x, 1, &size, &flat));
  TRY_OR_DONE(logsumexp_of_axis(flat, 0, 0, &sum));
  status = saros_reshape(sum, keep ? x->rank : 0, ones, out);
done:
  saros_tensor_release(flat);
  saros_tensor_release(sum);
  return status;
}
