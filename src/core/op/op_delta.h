/*
** A call of the delta rule, which op_delta.c walks, and the convolutions of its inputs,
** op_delta_convolve.c.
*/
#ifndef OP_DELTA_H
#define OP_DELTA_H

#include "op.h"

typedef enum delta_place {
  D_Q,
  D_K,
  D_V,
  D_WRITE,
  D_ERASE,
  D_DECAY,
  D_STATE,
  D_FIRST,
  D_TAPS,                                    // of q, k and v
  D_MEMORY = D_TAPS + KERNEL_DELTA_STREAMS,  // of their convolutions
  D_INPUTS = D_MEMORY + KERNEL_DELTA_STREAMS,
  D_PLAN = D_INPUTS,  // (B, 1 + T): how many, then steps t, or ~t where the
                      // state starts again before the step
  D_BORDERS,          // (B, heads, segments, K V), or null
  D_IDS,              // (T, B): q, k and v are tables of these rows; or null
  D_WEIGHTS,  // (heads, taps, P): the taps as the kernel reads them, or null
  D_TENSORS
} delta_place;

typedef struct delta_run {
  saros_context *context;
  kernel_delta_sizes sizes;
  kernel_delta_lengths length;
  int T, B;
  int chunk, segment;  // steps of each, at most
  int segments;        // of a row, at most
  int slots;           // chunks of a segment, at most
  saros_tensor *t[D_TENSORS];
  int has_silu;
  saros_tensor *y, *last;  // or their gradients, null: zeros
  saros_tensor
      *after[KERNEL_DELTA_STREAMS];  // the memories after the last step, or
                                     // their gradients
  saros_tensor
      *gradient[D_INPUTS];  // null where not wanted; with ids, those of q, k
                            // and v are of each step
  saros_tensor *table[D_V + 1];  // and these of the tables, or null
  int is_fresh;                  // those of q, k and v are to be written
  saros_tensor
      *first;    // (B, heads K V): the gradient of 'first' by row, or null
  double *taps;  // (B, heads, taps, P): gradients of taps, or null
  real *scratch;
  size_t scratch_size;  // of a block
  int blocks;
} delta_run;

/* The plan of a row: see D_PLAN. */
static inline const int32_t *op_delta_plan(const delta_run *r, int row) {
  return tensor_ids(r->t[D_PLAN]) + (size_t)row * ((size_t)r->T + 1);
}

/* Where the features of q, k and v of a row (T, B) are. */
static inline size_t op_delta_source(const delta_run *r, size_t row) {
  return r->t[D_IDS] ? (size_t)tensor_ids(r->t[D_IDS])[row] : row;
}

/* Features of q, k or v. */
static inline int op_delta_features(const delta_run *r, int stream) {
  const kernel_delta_sizes *s = &r->sizes;
  const int parts = s->heads * (stream == D_Q ? 1 : s->reflections);
  return parts * (stream == D_V ? s->V : s->K);
}

/* --- Convolutions (op_delta_convolve.c) ------------------------------------------ */

/* Puts the convolutions of a call, which may be null, among its inputs; checks them, and
** completes the sizes. */
saros_status op_delta_expect_taps(delta_run *r, saros_tensor **given,
                                  const saros_delta_convolutions *c);

/* Makes D_WEIGHTS, and the memories after the last step. */
saros_status op_delta_prepare_taps(delta_run *r);

/* The convolutions of a row. */
kernel_delta_convolution op_delta_convolution_of(const delta_run *r, int row);

/* The past of a chunk that begins at a place of a row's list. */
void op_delta_list_past(const delta_run *r, const int32_t *plan, int row,
                        int from, ptrdiff_t *past);

/* Elements of the carry of a unit, and of its gradients of taps. */
size_t op_delta_carry_size(const delta_run *r);
size_t op_delta_taps_size(const delta_run *r);

/* Adds the carry of a unit, which has come to its first step, to the gradients of the
** memories. */
void op_delta_end_carry(const delta_run *r, int row, int head,
                        const real *carry);

/* Takes r->taps, which is zeros, if gradients of taps are wanted. */
saros_status op_delta_take_taps(delta_run *r);

/* Adds r->taps to the gradients of the taps, and the gradients of the memories after the last step to those of what they hold. */
void op_delta_end_taps(delta_run *r);

#endif
