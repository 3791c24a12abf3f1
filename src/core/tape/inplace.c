/*
** Writing into a tensor that exists. Nothing here is recorded, so nothing here
** may touch what the open tape still reads: saros_tensor_writable says no.
*/
#include <math.h>

#include "tape.h"

/* Fills any real tensor, whatever its strides. */
static void fill_real(saros_tensor *x, real value) {
  const pointwise_kernels *k = x->context->kernels->pointwise;
  if (x->count == 0)
    return;
  if (saros_tensor_is_contiguous(x)) {
    k->fill(tensor_reals(x), value, x->count);
    return;
  }
  tensor_walk w;
  tensor_walk_start(&w, x->rank, x->shape, 1, (const saros_tensor *const[]){x});
  do
    k->copy(tensor_reals(x) + w.at[0], w.step[0], &value, 0, w.inner);
  while (tensor_walk_next(&w));
}

saros_status saros_fill(saros_tensor *x, double value) {
  TRY(saros_tensor_writable(x, "fill"));
  TRY(tensor_expect_real("fill", "the tensor", x));
  fill_real(x, (real)value);
  return SAROS_OK;
}

/* A source that can be copied into x: on no tape, of its type, broadcastable,
** and not on the same storage (then *source becomes a copy to release). */
static saros_status prepare_source(const char *function, saros_tensor *x,
                                   saros_tensor **source) {
  saros_tensor *s = *source;
  TRY(tensor_expect_context(function, x->context, s));
  if (s->dtype != x->dtype)
    return saros_fail(x->context, SAROS_EARGUMENT, "%s: expected %s, got %s",
                      function, x->dtype == SAROS_REAL ? "real numbers" : "ids",
                      s->dtype == SAROS_REAL ? "real numbers" : "ids");
  int fits = s->rank <= x->rank;
  for (int i = 1; fits && i <= s->rank; i++) {
    int size = s->shape[s->rank - i];
    fits = size == 1 || size == x->shape[x->rank - i];
  }
  if (!fits)
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "%s: expected a source that broadcasts to %s, got %s",
                      function, TENSOR_SHAPE(x), TENSOR_SHAPE(s));
  if (s->storage != x->storage) {
    saros_tensor_retain(s);
    return SAROS_OK;
  }
  TRY(tensor_like(s, source));
  tensor_copy(*source, s);
  return SAROS_OK;
}

saros_status saros_assign(saros_tensor *x, saros_tensor *source) {
  TRY(saros_tensor_writable(x, "assign"));
  if (tape_wants(x->context, source))
    return saros_fail(x->context, SAROS_ESTATE,
                      "assign: expected a source that is not on the open tape "
                      "(an assignment is not recorded); detach it, or build "
                      "the result with concatenate or stack");
  TRY(prepare_source("assign", x, &source));
  tensor_copy(x, source);
  saros_tensor_release(source);
  return SAROS_OK;
}

saros_status saros_clamp(saros_tensor *x, double low, double high) {
  TRY(saros_tensor_writable(x, "clamp"));
  TRY(tensor_expect_real("clamp", "the tensor", x));
  if (!(low <= high))
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "clamp: expected low <= high, got %g and %g", low, high);
  if (x->count == 0)
    return SAROS_OK;
  const pointwise_kernels *k = x->context->kernels->pointwise;
  tensor_walk w;
  tensor_walk_start(&w, x->rank, x->shape, 1, (const saros_tensor *const[]){x});
  do {
    real *row = tensor_reals(x) + w.at[0];
    if (w.step[0] == 1)
      k->clamp(row, (real)low, (real)high, w.inner);
    else
      for (size_t i = 0; i < w.inner; i++, row += w.step[0])
        k->clamp(row, (real)low, (real)high, 1);
  } while (tensor_walk_next(&w));
  return SAROS_OK;
}

saros_status saros_add_scaled(saros_tensor *y, double alpha,
                              saros_tensor *source) {
  TRY(saros_tensor_writable(y, "add_scaled"));
  TRY(tensor_expect_real("add_scaled", "a tensor", y));
  if (tape_wants(y->context, source))
    return saros_fail(y->context, SAROS_ESTATE,
                      "add_scaled: expected a source that is not on the open "
                      "tape (writing in place is not recorded); detach it");
  TRY(prepare_source("add_scaled", y, &source));
  tensor_add_scaled(y, (real)alpha, source);
  saros_tensor_release(source);
  return SAROS_OK;
}
