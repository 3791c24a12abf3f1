/*
** Tensors: shapes and strides over shared storage, walks over their elements,
** random numbers, and the nodes in which gradients gather.
**
** Ownership: a tensor holds one reference to its storage, one to its node and
** one to its context.
*/
#ifndef TENSOR_H
#define TENSOR_H

#include "base.h"

/* --- Tensors (tensor.c) --------------------------------------------------------- */

typedef struct tensor_storage {
  int references;
  int pins;  // entries of the tape that will read it
  int read_only;
  int borrowed;
  size_t bytes;
  char *data;           // of the storage's own block, unless it is borrowed
  base_loan loan;       // of borrowed memory
  base_frozen *frozen;  // read-only for good; null: not so
} tensor_storage;

struct saros_tensor {
  saros_context *context;
  tensor_storage *storage;
  struct tensor_node *node;  // where its gradient gathers; null: nowhere
  int references;
  saros_dtype dtype;
  int rank;
  size_t offset;  // of the first element, in elements
  size_t count;
  int shape[SAROS_MAX_RANK];
  ptrdiff_t stride[SAROS_MAX_RANK];  // in elements
};

/* Uninitialised elements; otherwise as saros_tensor_new. */
saros_status tensor_new(saros_context *context, saros_dtype dtype, int rank,
                        const int *shape, saros_tensor **out);
saros_status tensor_like(const saros_tensor *x, saros_tensor **out);
saros_status tensor_scalar(saros_context *context, double value,
                           saros_tensor **out);
/* A second tensor on x's storage, without history, for the caller to reshape. */
saros_status tensor_alias(saros_tensor *x, saros_tensor **out);
/* x itself where it is contiguous, else a copy without history: a new reference. */
saros_status tensor_contiguous(saros_tensor *x, saros_tensor **out);
/* Makes x stand on the storage of source, which has its shape and type. */
void tensor_take_storage(saros_tensor *x, saros_tensor *source);

real *tensor_reals(const saros_tensor *x);   // first element; x is real
int32_t *tensor_ids(const saros_tensor *x);  // the same; x holds ids

/* Copies x, of any strides, into y, of any strides and the same shape. */
void tensor_copy(saros_tensor *y, const saros_tensor *x);
void tensor_zero(saros_tensor *y);
/* Sets rank, shape, count and row-major strides. */
void tensor_set_shape(saros_tensor *x, int rank, const int *shape);

int tensor_same_shape(const saros_tensor *a, const saros_tensor *b);

/* A shape for a message: "(2, 3)". The buffer is the caller's. */
typedef struct tensor_shape_text {
  char text[SAROS_MAX_RANK * 13 + 3];
} tensor_shape_text;
const char *tensor_shape_format(tensor_shape_text *buffer, int rank,
                                const int *shape);
/* The shape of a tensor in a message, valid until the end of the statement. */
#define TENSOR_SHAPE(x)                                                        \
  tensor_shape_format(&(tensor_shape_text){{0}}, (x)->rank, (x)->shape)

/* Checks that leave "function: expected name ..., got ...". */
saros_status tensor_expect_real(const char *function, const char *name,
                                const saros_tensor *x);
saros_status tensor_expect_ids(const char *function, const char *name,
                               const saros_tensor *x);
/* Replaces a negative axis; SAROS_EARGUMENT unless it is in -rank..rank-1. */
saros_status tensor_expect_axis(const char *function, const saros_tensor *x,
                                int *axis);
saros_status tensor_expect_same_shape(const char *function, const char *name,
                                      const saros_tensor *x,
                                      const saros_tensor *like);
/* Every id of ids, which must be contiguous, in 0..limit-1; names the first
** that is not. */
saros_status tensor_expect_ids_below(const char *function,
                                     const saros_tensor *ids, int limit);
/* All tensors belong to the context. */
saros_status tensor_expect_context(const char *function, saros_context *context,
                                   const saros_tensor *x);

/* An output is the caller's, or null if there is an error: releases it then, and
** returns the status. */
saros_status tensor_or_nothing(saros_status status, saros_tensor **out);

/* --- Walks (walk.c) --------------------------------------------------------------- */

/* A walk over the rows (last axes) of up to four tensors that broadcast to
** one shape; axes that can be merged are. Used by what goes element by element.
*/
#define TENSOR_MAX_WALK 4
typedef struct tensor_walk {
  int tensors;
  int rank;      // of the outer axes
  size_t inner;  // elements of a row
  int shape[SAROS_MAX_RANK];
  int index[SAROS_MAX_RANK];
  ptrdiff_t stride[TENSOR_MAX_WALK][SAROS_MAX_RANK];
  ptrdiff_t step[TENSOR_MAX_WALK];  // inside a row
  size_t at[TENSOR_MAX_WALK];       // where the row begins, in elements
} tensor_walk;
/* Shapes must broadcast to (rank, shape). */
void tensor_walk_start(tensor_walk *w, int rank, const int *shape, int tensors,
                       const saros_tensor *const *x);
void tensor_walk_skip(tensor_walk *w, size_t rows);  // from the first row
int tensor_walk_next(tensor_walk *w);                // 0 after the last row

/* Walks over x[0], to which the other tensors broadcast, on the threads of the
** context. Calls visit(arguments, w, from, n) for n elements of the row where
** 'w' is, from one of them on; calls must write to disjoint places. */
typedef void tensor_walk_visit(const void *arguments, const tensor_walk *w,
                               size_t from, size_t n);
__attribute__((warn_unused_result)) saros_status
tensor_walk_parallel(tensor_walk_visit *visit, const void *arguments,
                     int tensors, const saros_tensor *const *x);

/* y += alpha x, which broadcasts to y and lies in another storage. */
void tensor_add_scaled(saros_tensor *y, real alpha, const saros_tensor *x);

/* --- Random numbers (random.c) ---------------------------------------------------- */

saros_status tensor_expect_generator(const char *function,
                                     saros_context *context,
                                     const saros_generator *generator);

/* 64 random bits, one draw. */
uint64_t tensor_random_bits(saros_generator *generator);

/* The place where the running sum of the weights passes u of their total; -1
** if they are no weights. (random.c) */
int tensor_draw(saros_generator *generator, const real *weight, int n);

/* --- Nodes (node.c) ----------------------------------------------------------------- */

/* Where the gradient of a tensor gathers: its place on a tape. */
typedef struct tensor_node {
  saros_context *context;
  int references;
  int keep;                // trainable or watched: the gradient stays
  unsigned long serial;    // of its tape; 0: trainable, so on every tape
  saros_tensor *gradient;  // null until something was added
  saros_dtype dtype;
  int rank;
  int shape[SAROS_MAX_RANK];
} tensor_node;

/* A node for x, on the tape of this number; the caller's reference. */
saros_status tensor_node_new(const saros_tensor *x, unsigned long serial,
                             tensor_node **out);
void tensor_node_release(tensor_node *node);  // null is allowed
void tensor_node_clear(tensor_node *node);    // drops the gradient

/* Adds g to a node's gradient. Takes over the caller's reference, also on
** failure. node may be null. */
saros_status tensor_node_add(tensor_node *node, saros_tensor *g);

/* The node's gradient to add to in place: contiguous, zeros if it was empty,
** borrowed, and shared with nobody. */
saros_status tensor_node_gradient(tensor_node *node, saros_tensor **dx);

/* The same, but a gradient that was empty is left uninitialised and *beta is 0;
** otherwise *beta is 1. For kernels that compute y = ... + beta y. */
saros_status tensor_node_target(tensor_node *node, saros_tensor **dx,
                                real *beta);

#endif
