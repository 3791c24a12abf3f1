/*
** How the weights of sessions are rounded, for those that keep them elsewhere.
*/
#include "session.h"

static saros_status expect_matrix(const saros_tensor *w,
                                  saros_weights weights) {
  TRY(base_expect_known(w->context, "round_weights", "a kind of weights",
                        (int)weights, SAROS_WEIGHTS_KINDS));
  TRY(tensor_expect_real("round_weights", "w", w));
  if (w->rank != 2)
    return saros_fail(w->context, SAROS_EARGUMENT,
                      "round_weights: expected w of shape (N, K), got %s",
                      TENSOR_SHAPE(w));
  return SAROS_OK;
}

saros_status saros_round_weights(saros_tensor *w, saros_weights weights,
                                 saros_tensor **rows, saros_tensor **scale) {
  *rows = *scale = NULL;
  TRY(expect_matrix(w, weights));
  const int n = w->shape[0], k = w->shape[1];
  TRY(tensor_new(w->context, SAROS_REAL, 2, w->shape, rows));
  saros_status status = tensor_new(w->context, SAROS_REAL, 1, w->shape, scale);
  if (status != SAROS_OK) {
    saros_tensor_release(*rows);
    *rows = NULL;
    return status;
  }
  tensor_copy(*rows, w);
  w->context->kernels->step[weights]->round_rows(tensor_reals(*rows),
                                                 tensor_reals(*scale), n, k);
  return SAROS_OK;
}
