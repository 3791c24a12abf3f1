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

/*
** Sums of many rows, shared among the threads (op_sum.c). The rows are cut into
** blocks, each of which is summed in double; the sums of the blocks are added in
** order. How they are cut depends on the shape alone.
*/

/* total (n) = the sums of columns first..first + n - 1 over rows from..to - 1 */
typedef void op_block_sum(const void *arguments, double *total, size_t from,
                          size_t to, size_t first, size_t n);
/* *total (columns): all of them. The caller gives it back to the pool. */
saros_status op_sum_blocks(saros_context *context, op_block_sum *sum,
                           const void *arguments, size_t rows, size_t columns,
                           double **total);
/* y (columns) = the sums of x (rows, columns), or with 'add' y += the same */
saros_status op_sum_rows(saros_context *context, real *y, int add,
                         const real *x, size_t rows, size_t columns);
/* y (columns) += the sums of a b, element by element */
saros_status op_add_products(saros_context *context, real *y, const real *a,
                             const real *b, size_t rows, size_t columns);
/* The sum of the squares of x. */
saros_status op_sum_of_squares(saros_context *context, const real *x, size_t n,
                               double *sum);

/* Gradients of a norm of rows; gain (n), mean and factor (rows). Those that are
** null are not made; without a mean it is the norm by the mean square.
** (op_layer.c) */
typedef struct op_norm_gradients {
  real *dx, *dgain, *dbias;
  const real *dy, *x, *gain, *mean, *factor;
  size_t rows, n;
} op_norm_gradients;
saros_status op_norm_backward(saros_context *context,
                              const op_norm_gradients *g);

/* y (count, n): rows of a table by id. (op_table.c) */
saros_status op_gather_rows(saros_context *context, real *y, const real *table,
                            const int32_t *ids, size_t count, size_t n);
/* dtable[ids[i]] += dy[i], in the order of i */
saros_status op_scatter_rows(saros_context *context, real *dtable,
                             const real *dy, const int32_t *ids, size_t count,
                             size_t n);

/*
** Windows over time: which step or which part of the state each part of a window
** comes from. (op_places.c)
*/
typedef struct op_window_sizes {
  int T, B, F;
  int k, dilation, ahead;
  int R;  // places of the state
  int reverse;
} op_window_sizes;

/* A part is a step t >= 0, place -2 - p of the state, or nothing: zeros. */
#define OP_NOTHING (-1)

typedef struct op_window_plan {
  saros_tensor *windows;  // ids (T, B, k)
  saros_tensor *state;    // ids (B, R): of the last state
} op_window_plan;

/* The tensors of a call, contiguous; all but x and the plan may be null. */
typedef struct op_window_parts {
  saros_tensor *x, *state, *mask, *keep;
  op_window_plan plan;
} op_window_parts;

/* t, unless it is null, has shape (rows, columns). */
saros_status op_expect_matrix(const char *function, const saros_tensor *x,
                              const char *name, saros_tensor *t, int rows,
                              int columns);
/* Checks a call and fills in the sizes. */
saros_status op_expect_window(const char *function, saros_tensor *x,
                              saros_tensor *state,
                              const saros_window_options *o,
                              op_window_sizes *s);
/* Fills in *p, which holds nulls; to be released also on failure. */
saros_status op_window_prepare(const op_window_sizes *s, saros_tensor *x,
                               saros_tensor *state,
                               const saros_window_options *o,
                               op_window_parts *p);
void op_window_release(op_window_parts *p);

/* Parts of F elements for steps of rows: copied from x and the state, or added to
** them. */
typedef struct op_window_move {
  saros_context *context;
  const op_window_sizes *sizes;
  int steps, parts;
  const int32_t *plan;  // (steps, B, parts)
  real *windows;        // (steps, B, parts F)
  real *x, *state;      // (T, B, F), (B, R F); null if not wanted
} op_window_move;

/* That of the windows (0) or of the last state (1), without its arrays. */
op_window_move op_window_move_of(saros_context *context,
                                 const op_window_sizes *s,
                                 const op_window_plan *plan, int which);
saros_status op_window_copy(op_window_move *m);
saros_status op_window_add(op_window_move *m);

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

/* --- The delta rule ---------------------------------------------------------- */

/* Checks the arguments of saros_delta, and finds their sizes. */
saros_status op_expect_delta(kernel_delta_sizes *s, saros_tensor *q,
                             saros_tensor *k, saros_tensor *v,
                             const saros_delta_options *o, saros_tensor *state);

#endif
