/*
** Differentiable operations: what they share, and what others build on.
*/
#ifndef OP_H
#define OP_H

#include "product.h"
#include "tape.h"

/* Sums g over the axes that broadcasting repeated, down to (rank, shape);
** takes over the reference, also on failure. */
saros_status op_reduce_to(saros_tensor *g, int rank, const int *shape,
                          saros_tensor **out);

/* A view of x, stretched along its axes of size 1 (or missing) to a shape. */
saros_status op_expand(saros_tensor *x, int rank, const int *shape,
                       saros_tensor **out);

/* The shape that a and b broadcast to. */
saros_status op_broadcast_shape(const char *function, const saros_tensor *a,
                                const saros_tensor *b, int *rank, int *shape);

/* The lengths of the rows of like (T, B, ...), or null, lie in that range.
** (op_ctc.c) */
saros_status op_expect_lengths(const char *function, const char *name,
                               const saros_tensor *like, const int *lengths,
                               int lowest, int highest);

/* A copy of a mask, whose shape must be the first 'rank' axes of like's, or ones
** where there is none. (op_loss.c) */
saros_status op_weights_from_mask(const char *function, saros_tensor *mask,
                                  const saros_tensor *like, int rank,
                                  saros_tensor **out);

/* Their sum; SAROS_EARGUMENT unless one can divide by it. */
saros_status op_weights_sum(const char *function, const saros_tensor *weights,
                            real *sum);

/* The sum of losses that are weighted already, as a tensor of rank 0. */
saros_status op_weighted_total(const saros_tensor *losses, saros_tensor **out);

/* x as (outer, n, inner) around one of its axes, or (1, count, 1). */
typedef struct op_axis_split {
  size_t outer, n, inner;
} op_axis_split;
op_axis_split op_split_at_axis(const saros_tensor *x, int axis);

#endif
