/*
** Products of arrays, for the operations that are made of them (multiply.c), and
** sums of outer products, as the gradients of weights are (outer.c).
*/
#ifndef PRODUCT_H
#define PRODUCT_H

#include "base.h"

/* C = op(A) op(B) + beta C on arrays as in kernel.h, beta being 0 or 1; blocks
** of rows of C are shared among the threads. */
saros_status product_multiply(saros_context *context, real *c, int ldc,
                              const real *a, int lda, int a_transposed,
                              const real *b, int ldb, int b_transposed, int m,
                              int n, int k, real beta);

/* y (m, n) = x (m, k) W^T + b for W (n, k); b (n) may be null. */
saros_status product_affine(saros_context *context, real *y, const real *x,
                            const real *w, const real *b, int m, int n, int k);

/*
** A matrix (k, n) that is packed for many products. Its rows lie in layers of
** product_depth(k) <= PRODUCT_DEPTH, each packed by itself: so many terms of a sum are
** added up before the result is touched, as keep a panel, and the rows it meets,
** near the processor.
*/
typedef struct product_packed {
  real *data;  // of the context's pool; null: not packed
  int n, k;
} product_packed;

#define PRODUCT_DEPTH 512

/* Packs op(B) with what every row of a product starts from, as in kernel.h. */
saros_status product_packed_new(saros_context *context, product_packed *p,
                                const real *b, int ldb, int b_transposed,
                                const real *start, int n, int k);
void product_packed_release(saros_context *context, product_packed *p);

/* C (m, n) = start + A B, or C += the same with 'add', in the calling thread.
** ahead (ahead_count), if not null, is what the caller will read next. */
void product_packed_multiply(const kernels *k, real *c, int ldc, const real *a,
                             int lda, const product_packed *p, int m, int add,
                             const real *ahead, size_t ahead_count);

/* dy^T x for the rows of one dy and of one x or two, as an affine map's weights
** and bias have it for their gradient. */
typedef struct product_outer_factor {
  const real *x[2];  // rows before 'split' and from it on, (..., n) each
  int n;
  real *target;  // (m, n) = dy^T x, or += with 'add'
  int add;
} product_outer_factor;

typedef struct product_outer_sum {
  const real *dy;  // (rows, m), each stored row ldy long
  int ldy, m, rows, split;
  int factors;
  product_outer_factor factor[2];
  real *dbias;  // (m) += the rows of dy; may be null
} product_outer_sum;

saros_status product_add_outer(saros_context *context,
                               const product_outer_sum *sum);

/* The same, the columns being shared among the threads if the product is large
** enough; for the calling thread of the context only. */
saros_status product_packed_multiply_shared(saros_context *context, real *c,
                                            int ldc, const real *a, int lda,
                                            const product_packed *p, int m,
                                            int add);

/* --- What multiply.c and outer.c share ---------------------------------------- */

/* Rows in a layer of k rows; all layers but the last have so many. */
int product_depth(int k);

/* True if a product of m rows is large enough to pay for packing. */
int product_suits_packing(const saros_context *context, int m, int n, int k);

#endif
