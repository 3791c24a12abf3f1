/*
** Operations that move elements about without changing them: views that share
** storage, copies, and joining. A view of a gradient is as good as a view of
** the value, so most backward functions are a view themselves.
*/
#include <string.h>

#include "op.h"

/* --- Slice and select --------------------------------------------------------- */

typedef struct slice_arguments {
  int axis, first, count;
  int step;  // 0: 1
} slice_arguments;

/* Narrows a tensor to some positions of an axis, in place of its shape. */
static void narrow(saros_tensor *x, const slice_arguments *s) {
  x->offset += (size_t)(s->first * x->stride[s->axis]);
  x->count = x->shape[s->axis] == 0
                 ? 0
                 : x->count / (size_t)x->shape[s->axis] * (size_t)s->count;
  x->shape[s->axis] = s->count;
  if (s->step != 0)
    x->stride[s->axis] *= s->step;
}

/* Removes an axis of size 1. */
static void drop_axis(saros_tensor *x, int axis) {
  x->rank--;
  for (int i = axis; i < x->rank; i++) {
    x->shape[i] = x->shape[i + 1];
    x->stride[i] = x->stride[i + 1];
  }
}

/* Adds dy to the part of dx that was sliced or selected. */
static saros_status add_to_part(const tape_entry *e, int selected) {
  saros_tensor *dx, *part;
  TRY(tensor_node_gradient(e->input[0], &dx));
  TRY(tensor_alias(dx, &part));
  const slice_arguments *s = e->arguments;
  narrow(part, s);
  if (selected)
    drop_axis(part, s->axis);
  saros_status status = saros_add_scaled(part, 1, e->output[0]->gradient);
  saros_tensor_release(part);
  return status;
}

static saros_status slice_backward(const tape_entry *e) {
  return add_to_part(e, 0);
}

static saros_status select_backward(const tape_entry *e) {
  return add_to_part(e, 1);
}

static const tape_operation slice_operation = {"slice", slice_backward};
static const tape_operation select_operation = {"select", select_backward};

saros_status saros_slice(saros_tensor *x, int axis, int first, int last,
                         saros_tensor **out) {
  *out = NULL;
  TRY(tensor_expect_axis("slice", x, &axis));
  int base = x->context->index_base;
  if (first < 0 || last < first || last > x->shape[axis])
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "slice: expected positions within %d..%d of axis %d, "
                      "got %d to %d",
                      base, x->shape[axis] - 1 + base, axis + base,
                      first + base, last - 1 + base);
  slice_arguments s = {axis, first, last - first, 1};
  TRY(tensor_alias(x, out));
  narrow(*out, &s);
  return tape_record_unary(&slice_operation, x, NULL, &s, sizeof s, out);
}

static saros_status expect_steps(const saros_tensor *x, int axis, int first,
                                 int count, int step) {
  const int base = x->context->index_base, size = x->shape[axis];
  const long long last = first + (long long)step * (count - 1);
  if (step != 0 && count >= 0 &&
      (count == 0 || (first >= 0 && first < size && last >= 0 && last < size)))
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "slice: expected positions within %d..%d of axis %d, got "
                    "%d from %d by steps of %d",
                    base, size - 1 + base, axis + base, count, first + base,
                    step);
}

/* A view with a negative stride, which does not leave this file: others need not
** expect one. */
static saros_status slice_by(saros_tensor *x, const slice_arguments *s,
                             saros_tensor **out) {
  saros_tensor *part;
  TRY(tensor_alias(x, &part));
  narrow(part, s);
  if (s->step > 0) {
    *out = part;
    return SAROS_OK;
  }
  saros_status status = tensor_like(part, out);
  if (status == SAROS_OK)
    tensor_copy(*out, part);
  saros_tensor_release(part);
  return status;
}

saros_status saros_slice_step(saros_tensor *x, int axis, int first, int count,
                              int step, saros_tensor **out) {
  *out = NULL;
  TRY(tensor_expect_axis("slice", x, &axis));
  TRY(expect_steps(x, axis, first, count, step));
  slice_arguments s = {axis, count > 0 ? first : 0, count, step};
  TRY(slice_by(x, &s, out));
  return tape_record_unary(&slice_operation, x, NULL, &s, sizeof s, out);
}

static const tape_operation flip_operation = {"flip", slice_backward};

saros_status saros_flip(saros_tensor *x, int axis, saros_tensor **out) {
  *out = NULL;
  TRY(tensor_expect_axis("flip", x, &axis));
  const int size = x->shape[axis];
  slice_arguments s = {axis, size > 0 ? size - 1 : 0, size, -1};
  TRY(slice_by(x, &s, out));
  return tape_record_unary(&flip_operation, x, NULL, &s, sizeof s, out);
}

saros_status saros_select(saros_tensor *x, int axis, int position,
                          saros_tensor **out) {
  *out = NULL;
  TRY(tensor_expect_axis("select", x, &axis));
  int base = x->context->index_base;
  if (position < 0 || position >= x->shape[axis])
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "select: expected a position in %d..%d of axis %d, got "
                      "%d",
                      base, x->shape[axis] - 1 + base, axis + base,
                      position + base);
  slice_arguments s = {axis, position, 1, 1};
  TRY(tensor_alias(x, out));
  narrow(*out, &s);
  drop_axis(*out, axis);
  return tape_record_unary(&select_operation, x, NULL, &s, sizeof s, out);
}

/* --- Transpose ------------------------------------------------------------------ */

static saros_status transpose_backward(const tape_entry *e) {
  const int *axes = e->arguments;
  saros_tensor *dx;
  TRY(saros_transpose(e->output[0]->gradient, axes[0], axes[1], &dx));
  return tensor_node_add(e->input[0], dx);
}

static const tape_operation transpose_operation = {"transpose",
                                                   transpose_backward};

saros_status saros_transpose(saros_tensor *x, int axis1, int axis2,
                             saros_tensor **out) {
  *out = NULL;
  TRY(tensor_expect_axis("transpose", x, &axis1));
  TRY(tensor_expect_axis("transpose", x, &axis2));
  TRY(tensor_alias(x, out));
  saros_tensor *y = *out;
  y->shape[axis1] = x->shape[axis2], y->shape[axis2] = x->shape[axis1];
  y->stride[axis1] = x->stride[axis2], y->stride[axis2] = x->stride[axis1];
  int axes[2] = {axis1, axis2};
  return tape_record_unary(&transpose_operation, x, NULL, axes, sizeof axes,
                           out);
}

/* --- Reshape -------------------------------------------------------------------- */

static saros_status reshape_backward(const tape_entry *e) {
  tensor_node *n = e->input[0];
  if (n == NULL)
    return SAROS_OK;
  saros_tensor *dx;
  TRY(saros_reshape(e->output[0]->gradient, n->rank, n->shape, &dx));
  return tensor_node_add(n, dx);
}

static const tape_operation reshape_operation = {"reshape", reshape_backward};

/* Replaces a size of -1 by what the others leave. */
static saros_status infer_shape(saros_tensor *x, int rank, const int *shape,
                                int *full) {
  size_t known = 1;
  int open = -1, valid = rank >= 0 && rank <= SAROS_MAX_RANK;
  for (int axis = 0; valid && axis < rank; axis++) {
    full[axis] = shape[axis];
    if (shape[axis] == -1 && open < 0)
      open = axis;
    else
      valid = shape[axis] >= 0 &&
              !__builtin_mul_overflow(known, (size_t)shape[axis], &known);
  }
  if (valid && open >= 0) {
    valid = known > 0 && x->count % known == 0 && x->count / known <= INT32_MAX;
    if (valid)
      full[open] = (int)(x->count / known);
  }
  if (valid && (open >= 0 || known == x->count))
    return SAROS_OK;
  int shown = rank < 0 ? 0 : rank > SAROS_MAX_RANK ? SAROS_MAX_RANK : rank;
  return saros_fail(
      x->context, SAROS_EARGUMENT,
      "reshape: expected a shape of %zu elements, got %s "
      "for %s",
      x->count, tensor_shape_format(&(tensor_shape_text){{0}}, shown, shape),
      TENSOR_SHAPE(x));
}

saros_status saros_reshape(saros_tensor *x, int rank, const int *shape,
                           saros_tensor **out) {
  *out = NULL;
  int full[SAROS_MAX_RANK];
  TRY(infer_shape(x, rank, shape, full));
  saros_tensor *whole;
  TRY(saros_contiguous(x, &whole));
  saros_status status = tensor_alias(whole, out);
  if (status == SAROS_OK) {
    tensor_set_shape(*out, rank, full);
    status = tape_record_unary(&reshape_operation, whole, NULL, NULL, 0, out);
  }
  saros_tensor_release(whole);
  return status;
}

/* --- Copies ---------------------------------------------------------------------- */

static saros_status clone_backward(const tape_entry *e) {
  return tensor_node_add(e->input[0],
                         saros_tensor_retain(e->output[0]->gradient));
}

static const tape_operation clone_operation = {"clone", clone_backward};

saros_status saros_clone(saros_tensor *x, saros_tensor **out) {
  TRY(tensor_like(x, out));
  tensor_copy(*out, x);
  return tape_record_unary(&clone_operation, x, NULL, NULL, 0, out);
}

saros_status saros_contiguous(saros_tensor *x, saros_tensor **out) {
  if (!saros_tensor_is_contiguous(x))
    return saros_clone(x, out);
  *out = saros_tensor_retain(x);
  return SAROS_OK;
}

saros_status saros_detach(saros_tensor *x, saros_tensor **out) {
  return tensor_alias(x, out);
}

/* --- Joining ----------------------------------------------------------------------- */

/* Copies each x, in order, to its place along an axis of y. */
static saros_status place_parts(saros_tensor *y, int count,
                                saros_tensor *const *x, int axis, int stacked) {
  slice_arguments s = {.axis = axis};
  for (int i = 0; i < count; i++) {
    s.count = stacked ? 1 : x[i]->shape[axis];
    saros_tensor *part;
    TRY(tensor_alias(y, &part));
    narrow(part, &s);
    if (stacked)
      drop_axis(part, axis);
    tensor_copy(part, x[i]);
    saros_tensor_release(part);
    s.first += s.count;
  }
  return SAROS_OK;
}

/* Gives each input its part of dy. */
static saros_status split_gradient(const tape_entry *e, int stacked) {
  int axis = *(const int *)e->arguments, at = 0;
  saros_tensor *dy = e->output[0]->gradient;
  for (int i = 0; i < e->inputs; i++) {
    const int *sizes = (const int *)e->arguments + 1;
    if (e->input[i] != NULL) {
      saros_tensor *dx;
      if (stacked)
        TRY(saros_select(dy, axis, i, &dx));
      else
        TRY(saros_slice(dy, axis, at, at + sizes[i], &dx));
      TRY(tensor_node_add(e->input[i], dx));
    }
    if (!stacked)
      at += sizes[i];
  }
  return SAROS_OK;
}

static saros_status concatenate_backward(const tape_entry *e) {
  return split_gradient(e, 0);
}

static saros_status stack_backward(const tape_entry *e) {
  return split_gradient(e, 1);
}

static const tape_operation concatenate_operation = {"concatenate",
                                                     concatenate_backward};
static const tape_operation stack_operation = {"stack", stack_backward};

/* Records a join; its arguments are the axis and, for concatenate, the size
** of each part along it. */
static saros_status record_join(const tape_operation *op, int count,
                                saros_tensor *const *x, int axis, int stacked,
                                saros_tensor **out) {
  saros_context *context = x[0]->context;
  size_t bytes = sizeof(int) * (stacked ? 1 : (size_t)count + 1);
  int *arguments = pool_take(&context->pool, bytes);
  if (arguments == NULL)
    return tensor_or_nothing(base_out_of_memory(context, bytes), out);
  arguments[0] = axis;
  for (int i = 0; i < count && !stacked; i++)
    arguments[i + 1] = x[i]->shape[axis];
  saros_status status = tape_record(
      context, &(tape_call){op, count, x, 1, out, 0, NULL, arguments, bytes});
  pool_give(&context->pool, arguments);
  return status;
}

static saros_status expect_parts(saros_context *context, const char *function,
                                 int count, saros_tensor *const *x) {
  if (count < 1)
    return saros_fail(context, SAROS_EARGUMENT,
                      "%s: expected at least one tensor, got none", function);
  for (int i = 0; i < count; i++) {
    TRY(tensor_expect_context(function, context, x[i]));
    if (x[i]->dtype != x[0]->dtype)
      return saros_fail(context, SAROS_EARGUMENT,
                        "%s: expected only real tensors or only ids", function);
  }
  return SAROS_OK;
}

static saros_status join(const tape_operation *op, int count,
                         saros_tensor *const *x, int axis, int stacked,
                         int rank, const int *shape, saros_tensor **out) {
  TRY(tensor_new(x[0]->context, x[0]->dtype, rank, shape, out));
  saros_status status = place_parts(*out, count, x, axis, stacked);
  if (status == SAROS_OK)
    return record_join(op, count, x, axis, stacked, out);
  return tensor_or_nothing(status, out);
}

/* Adds the size of x along axis to shape, whose other sizes x must have. */
static saros_status add_part(int *shape, const saros_tensor *first,
                             const saros_tensor *x, int axis) {
  int fits = x->rank == first->rank;
  for (int i = 0; fits && i < x->rank; i++)
    if (i != axis)
      fits = x->shape[i] == shape[i];
  if (fits)
    fits = !__builtin_add_overflow(shape[axis], x->shape[axis], &shape[axis]);
  if (fits)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "concatenate: expected shapes equal but for axis %d, got "
                    "%s and %s",
                    axis + x->context->index_base, TENSOR_SHAPE(first),
                    TENSOR_SHAPE(x));
}

saros_status saros_concatenate(saros_context *context, int count,
                               saros_tensor *const *x, int axis,
                               saros_tensor **out) {
  *out = NULL;
  TRY(expect_parts(context, "concatenate", count, x));
  TRY(tensor_expect_axis("concatenate", x[0], &axis));
  int shape[SAROS_MAX_RANK];
  memcpy(shape, x[0]->shape, sizeof shape);
  for (int i = 1; i < count; i++)
    TRY(add_part(shape, x[0], x[i], axis));
  return join(&concatenate_operation, count, x, axis, 0, x[0]->rank, shape,
              out);
}

saros_status saros_stack(saros_context *context, int count,
                         saros_tensor *const *x, int axis, saros_tensor **out) {
  *out = NULL;
  TRY(expect_parts(context, "stack", count, x));
  int rank = x[0]->rank + 1, given = axis;
  if (axis < 0)
    axis += rank;
  if (axis < 0 || axis >= rank || rank > SAROS_MAX_RANK)
    return saros_fail(context, SAROS_EARGUMENT,
                      "stack: expected a new axis of a rank up to %d, got axis "
                      "%d of rank %d",
                      SAROS_MAX_RANK,
                      given < 0 ? given : given + context->index_base, rank);
  for (int i = 1; i < count; i++)
    TRY(tensor_expect_same_shape("stack", "tensors", x[i], x[0]));
  int shape[SAROS_MAX_RANK];
  for (int i = 0; i < rank; i++)
    shape[i] = i == axis ? count : x[0]->shape[i > axis ? i - 1 : i];
  return join(&stack_operation, count, x, axis, 1, rank, shape, out);
}
