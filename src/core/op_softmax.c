/*
** Softmax and its logarithm along one axis.
*/
#include "core.h"

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
