/*
** Products of arrays, for the operations that are made of them (multiply.c), and
** sums of outer products, as the gradients of weights are (outer.c).
**
** Products with a packed matrix are made in the precision of the context, one of
** PACKED_REAL, PACKED_BF16 and PACKED_INT8; their shape alone decides whether
** matrices are packed, so small products are real in every precision.
*/
#ifndef PRODUCT_H
#define PRODUCT_H

#include "base.h"

/* A matrix as it lies in memory: its rows, or if transposed its columns, are
** contiguous and ld elements apart. */
typedef struct product_view {
  const real *data;
  int ld, transposed;
} product_view;

/* Of a product of (m, k) and (k, n). */
typedef struct product_sizes {
  int m, n, k;
} product_sizes;

/* C = A B + beta C for C (m, n) of contiguous rows ldc apart, beta being 0 or 1;
** blocks of rows of C are shared among the threads. */
saros_status product_multiply(saros_context *context, real *c, int ldc,
                              product_view a, product_view b,
                              product_sizes sizes, real beta);

/* y (m, n) = x (m, k) W^T + b for W (n, k); b (n) may be null. */
saros_status product_affine(saros_context *context, real *y, const real *x,
                            const real *w, const real *b, product_sizes sizes);

/*
** A matrix (k, n) that is packed for many products. Its rows lie in layers of
** product_depth(k) <= PRODUCT_DEPTH, each packed by itself. The terms of a sum that
** belong to a layer are added up before the result is touched, so a panel of the
** layer and the rows that it meets stay in the cache.
*/
typedef struct product_packed {
  void *data;  // of the context's pool; null: not packed
  int n, k;
  int kind;  // PACKED_REAL, ...
  int *
      users;  // of data that stay with a frozen matrix, kept.c; null: they do not
} product_packed;

/* The rows of one product with a packed matrix: C (m, n) = start + A B, or C +=
** the same with 'add', for A (m, k). */
typedef struct product_rows {
  real *c;
  int ldc;
  const real *a;
  int lda, m, add;
  const real *ahead;  // what the caller will read next; null: nothing
  size_t ahead_count;
  int transposed;  // A is stored as (k, m)
  int backwards;  // take parts of a large matrix from the last columns to the first
} product_rows;

#define PRODUCT_DEPTH PACKED_DEPTH

/* Packs B (k, n) in the precision of the context, and with it 'start' (n), from
** which every row of a product starts; null: zeros. In low precision the packed form
** of a frozen matrix is kept with it, and the next call returns it again. */
saros_status product_packed_new(saros_context *context, product_packed *p,
                                product_view b, const real *start, int n,
                                int k);
void product_packed_release(saros_context *context, product_packed *p);

/* In the calling thread. */
void product_packed_multiply(const kernels *k, const product_packed *p,
                             const product_rows *rows);

/* Shares the columns among the threads if the product is large enough; for the
** calling thread of the context only. */
saros_status product_packed_multiply_shared(saros_context *context,
                                            const product_packed *p,
                                            const product_rows *rows);

/*
** Blocks into which a walk over time cuts the rows of a batch. Each block reads all
** weights at every step, so there are no more than threads to take them. That is
** allowed where the bits of a row do not depend on the rows that share its block, as
** with packed products; elsewhere the number is fixed by the rows alone.
*/
int product_row_blocks(const saros_context *context, int rows);
int product_fixed_row_blocks(int rows);

/* dy^T x for the rows of one dy and of one x or two, as an affine map's weights
** and bias have it for their gradient. It is never made in int8, and the sums of
** the rows of dy are those of unrounded values. */
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

/* True if the packed form of a matrix is kept in the context's precision: products of
** few rows, which would not repay packing, are then made of it, too. (kept.c) */
int product_is_kept(const saros_context *context, const real *matrix);

/* --- What multiply.c and kept.c share ------------------------------------------ */

/* The bytes of p->data, from its sizes and kind. */
size_t product_packed_bytes(const kernels *k, const product_packed *p);
/* Fills p->data. */
saros_status product_pack(saros_context *context, const product_packed *p,
                          product_view b, const real *start);
/* Sets p->data to the form that is kept with a frozen matrix, which it makes first if
** there is none. (kept.c) */
saros_status product_keep(saros_context *context, product_packed *p,
                          product_view b, const real *start);

/* --- What multiply.c and outer.c share ---------------------------------------- */

/* The kind that the context's precision means, PACKED_REAL where the set of kernels
** lacks it. */
int product_kind(const saros_context *context);

/* Rows in a layer of k rows; all layers but the last have this many. */
int product_depth(int k);

/* True if a product of m rows is large enough to pay for packing. */
int product_suits_packing(const saros_context *context, int m, int n, int k);

#endif
