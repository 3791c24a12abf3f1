/*
** Walks over the rows (last axes) of tensors that broadcast to one shape.
*/
#include <string.h>

#include "tensor.h"

/* The strides of x along the axes of a shape that it broadcasts to. */
static void broadcast_strides(const saros_tensor *x, int rank,
                              ptrdiff_t *stride) {
  int missing = rank - x->rank;
  for (int axis = 0; axis < rank; axis++) {
    int own = axis - missing;
    stride[axis] = own < 0 || x->shape[own] == 1 ? 0 : x->stride[own];
  }
}

/* True if outer axis 'to' and inner axis 'from' are one axis for every tensor
** of the walk. */
static int mergeable(const tensor_walk *w, int to, int from) {
  for (int i = 0; i < w->tensors; i++)
    if (w->stride[i][to] != w->stride[i][from] * w->shape[from])
      return 0;
  return 1;
}

static void move_axis(tensor_walk *w, int to, int from) {
  w->shape[to] = w->shape[from];
  for (int i = 0; i < w->tensors; i++)
    w->stride[i][to] = w->stride[i][from];
}

/* Drops axes of size 1 and merges neighbours. */
static void merge_axes(tensor_walk *w) {
  int last = -1;
  for (int axis = 0; axis < w->rank; axis++) {
    if (w->shape[axis] == 1)
      continue;
    if (last >= 0 && mergeable(w, last, axis)) {
      int size = w->shape[last];
      if (!__builtin_mul_overflow(size, w->shape[axis], &size)) {
        move_axis(w, last, axis);
        w->shape[last] = size;
        continue;
      }
    }
    move_axis(w, ++last, axis);
  }
  w->rank = last + 1;
}

void tensor_walk_start(tensor_walk *w, int rank, const int *shape, int tensors,
                       const saros_tensor *const *x) {
  *w = (tensor_walk){.tensors = tensors, .rank = rank, .inner = 1};
  for (int axis = 0; axis < rank; axis++)
    w->shape[axis] = shape[axis];
  for (int i = 0; i < tensors; i++)
    broadcast_strides(x[i], rank, w->stride[i]);
  merge_axes(w);
  if (w->rank == 0)
    return;
  w->rank--;
  w->inner = (size_t)w->shape[w->rank];
  for (int i = 0; i < tensors; i++)
    w->step[i] = w->stride[i][w->rank];
}

void tensor_walk_skip(tensor_walk *w, size_t rows) {
  for (int axis = w->rank - 1; axis >= 0; axis--) {
    const size_t size = (size_t)w->shape[axis];
    w->index[axis] = (int)(rows % size);
    for (int i = 0; i < w->tensors; i++)
      w->at[i] += (size_t)(w->stride[i][axis] * w->index[axis]);
    rows /= size;
  }
}

int tensor_walk_next(tensor_walk *w) {
  for (int axis = w->rank - 1; axis >= 0; axis--) {
    int wraps = ++w->index[axis] == w->shape[axis];
    for (int i = 0; i < w->tensors; i++) {
      ptrdiff_t stride = w->stride[i][axis];
      w->at[i] += (size_t)(wraps ? -stride * (w->shape[axis] - 1) : stride);
    }
    if (!wraps)
      return 1;
    w->index[axis] = 0;
  }
  return 0;
}

/* --- On the threads ----------------------------------------------------------- */

typedef struct walk_job {
  tensor_walk walk;  // at the first row
  tensor_walk_visit *visit;
  const void *arguments;
} walk_job;

static void visit_elements(void *arguments, size_t from, size_t n) {
  const walk_job *job = arguments;
  job->visit(job->arguments, &job->walk, from, n);
}

static void visit_rows(void *arguments, size_t from, size_t rows) {
  const walk_job *job = arguments;
  tensor_walk w = job->walk;
  tensor_walk_skip(&w, from);
  for (size_t row = 0; row < rows; row++, tensor_walk_next(&w))
    job->visit(job->arguments, &w, 0, w.inner);
}

saros_status tensor_walk_parallel(tensor_walk_visit *visit,
                                  const void *arguments, int tensors,
                                  const saros_tensor *const *x) {
  const saros_tensor *y = x[0];
  walk_job job = {.visit = visit, .arguments = arguments};
  if (y->count == 0)
    return SAROS_OK;
  tensor_walk_start(&job.walk, y->rank, y->shape, tensors, x);
  size_t inner = job.walk.inner;
  if (inner == y->count)  // one row, whose elements are shared out
    return team_rows(y->context, inner, 1, visit_elements, &job);
  return team_rows(y->context, y->count / inner, inner, visit_rows, &job);
}

/* --- Sums ------------------------------------------------------------------------ */

/* y += alpha * x over rows of any steps. */
static void add_row(const pointwise_kernels *k, real *y, ptrdiff_t y_step,
                    real alpha, const real *x, ptrdiff_t x_step, size_t n) {
  if (y_step == 1 && x_step == 1) {
    k->add_scaled(y, alpha, x, n);
    return;
  }
  for (size_t i = 0; i < n; i++) {
    *y += alpha * *x;
    y += y_step, x += x_step;
  }
}

void tensor_add_scaled(saros_tensor *y, real alpha, const saros_tensor *x) {
  tensor_walk w;
  if (y->count == 0)
    return;
  tensor_walk_start(&w, y->rank, y->shape, 2,
                    (const saros_tensor *const[]){y, x});
  do
    add_row(y->context->kernels->pointwise, tensor_reals(y) + w.at[0],
            w.step[0], alpha, tensor_reals(x) + w.at[1], w.step[1], w.inner);
  while (tensor_walk_next(&w));
}
