/*
** A call of the delta rule, which op_delta.c walks, and the convolutions of its inputs,
** op_delta_convolve.c.
*/
#ifndef OP_DELTA_H
#define OP_DELTA_H

#include "op.h"

typedef enum op_delta_place {
  OP_DELTA_Q,
  OP_DELTA_K,
  OP_DELTA_V,
  OP_DELTA_WRITE,
  OP_DELTA_ERASE,
  OP_DELTA_DECAY,
  OP_DELTA_STATE,
  OP_DELTA_FIRST,
  OP_DELTA_TAPS,  // of q, k and v
  OP_DELTA_MEMORY =
      OP_DELTA_TAPS + KERNEL_DELTA_STREAMS,  // of their convolutions
  OP_DELTA_INPUTS = OP_DELTA_MEMORY + KERNEL_DELTA_STREAMS,
  OP_DELTA_PLAN =
      OP_DELTA_INPUTS,  // (B, 1 + T): how many, then steps t, or ~t where the
                        // state starts again before the step
  OP_DELTA_BORDERS,     // (B, heads, segments, K V), or null
  OP_DELTA_IDS,         // (T, B): q, k and v are tables of these rows; or null
  OP_DELTA_WEIGHTS,  // (heads, taps, P): the taps as the kernel reads them, or null
  OP_DELTA_TENSORS
} op_delta_place;

typedef struct op_delta_run {
  saros_context *context;
  kernel_delta_sizes sizes;
  kernel_delta_lengths length;
  int T, B;
  int chunk, segment;  // steps of each, at most
  int segments;        // of a row, at most
  int slots;           // chunks of a segment, at most
  saros_tensor *t[OP_DELTA_TENSORS];
  int has_silu;
  saros_tensor *y, *last;  // or their gradients, null: zeros
  saros_tensor
      *after[KERNEL_DELTA_STREAMS];  // the memories after the last step, or
                                     // their gradients
  saros_tensor *gradient
      [OP_DELTA_INPUTS];  // null where not wanted; with ids, those of q, k
                          // and v are of each step
  saros_tensor *table[OP_DELTA_V + 1];  // and these of the tables, or null
  int is_fresh;                         // those of q, k and v are to be written
  saros_tensor
      *first;    // (B, heads K V): the gradient of 'first' by row, or null
  double *taps;  // (B, heads, taps, P): gradients of taps, or null
  real *scratch;
  size_t scratch_size;  // of a block
  int blocks;
} op_delta_run;

/* The plan of a row: see OP_DELTA_PLAN. */
static inline const int32_t *op_delta_plan(const op_delta_run *r, int row) {
  return tensor_ids(r->t[OP_DELTA_PLAN]) + (size_t)row * ((size_t)r->T + 1);
}

/* Makes the plan of all rows, and counts its segments and the chunks of one.
** (op_delta_plan.c) */
saros_status op_delta_make_plan(op_delta_run *r, const saros_delta_options *o);

/* The steps of the chunk that begins at a place of a row's list. */
int op_delta_chunk_steps(const op_delta_run *r, const int32_t *plan, int from);

/* Where the features of q, k and v of a row (T, B) are. */
static inline size_t op_delta_source(const op_delta_run *r, size_t row) {
  return r->t[OP_DELTA_IDS] ? (size_t)tensor_ids(r->t[OP_DELTA_IDS])[row] : row;
}

/* Features of q, k or v. */
static inline int op_delta_features(const op_delta_run *r, int stream) {
  const kernel_delta_sizes *s = &r->sizes;
  const int parts = s->heads * (stream == OP_DELTA_Q ? 1 : s->reflections);
  return parts * (stream == OP_DELTA_V ? s->V : s->K);
}

/* --- Convolutions (op_delta_convolve.c) ------------------------------------------ */

/* Puts the convolutions of a call, which may be null, among its inputs; checks them, and
** completes the sizes. */
saros_status op_delta_expect_taps(op_delta_run *r, saros_tensor **given,
                                  const saros_delta_convolutions *c);

/* Makes OP_DELTA_WEIGHTS, and the memories after the last step. */
saros_status op_delta_prepare_taps(op_delta_run *r);

/* The convolutions of a row. */
kernel_delta_convolution op_delta_convolution_of(const op_delta_run *r,
                                                 int row);

/* The past of a chunk that begins at a place of a row's list. */
void op_delta_list_past(const op_delta_run *r, const int32_t *plan, int row,
                        int from, ptrdiff_t *past);

/* Elements of the carry of a unit, and of its gradients of taps. */
size_t op_delta_carry_size(const op_delta_run *r);
size_t op_delta_taps_size(const op_delta_run *r);

/* Adds the carry of a unit, which has come to its first step, to the gradients of the
** memories. */
void op_delta_end_carry(const op_delta_run *r, int row, int head,
                        const real *carry);

/* Takes r->taps, which is zeros, if gradients of taps are wanted. */
saros_status op_delta_take_taps(op_delta_run *r);

/* Adds r->taps to the gradients of the taps, and the gradients of the memories after
** the last step to those of what they hold. */
void op_delta_end_taps(op_delta_run *r);

#endif
