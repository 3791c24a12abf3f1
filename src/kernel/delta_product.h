/*
** Products and transposes of the small matrices of delta.c, which stay in L1 and
** L2. Rows are padded to whole blocks of DELTA_BLOCK elements and aligned to 64
** bytes, so tiles need no ragged edge on the right.
**
** A tile has as many sums as hide the latency of a multiply-add, and leaves
** registers for the vectors of B: with AVX-512 rows x vectors is 4 x 4, 8 x 2 or
** 16 x 1, by the width of C.
*/
#ifndef DELTA_PRODUCT_H
#define DELTA_PRODUCT_H

#include "square.h"

#if defined(__AVX512F__)
#define DELTA_VECTOR 64
#define DELTA_SUMS 16
#elif defined(__AVX2__)
#define DELTA_VECTOR 32
#define DELTA_SUMS 8
#elif defined(__aarch64__)
#define DELTA_VECTOR 16
#define DELTA_SUMS 16
#else
#define DELTA_VECTOR 16
#define DELTA_SUMS 8
#endif

#ifdef SAROS_DOUBLE
#define DELTA_LANES (DELTA_VECTOR / 8)
#else
#define DELTA_LANES (DELTA_VECTOR / 4)
#endif

#define DELTA_BLOCK KERNEL_DELTA_BLOCK

typedef real delta_vector __attribute__((vector_size(DELTA_VECTOR), may_alias));

/*
** C (m, n) = A B + old, each row of 'old' times its scale; it may be C. A is (m, k), its element (row, p) at a[row * row_step + p * k_step]; B is
** (k, n). n is a multiple of DELTA_BLOCK.
*/
typedef struct delta_product {
  real *c;
  ptrdiff_t ldc;
  const real *a;
  ptrdiff_t row_step, k_step;
  const real *b;
  ptrdiff_t ldb;
  int m, n, k;
  const real *old;    // (m, n), its rows ldc apart; null: zeros
  const real *scale;  // (m); null: ones
  const real
      *weight;  // (m, n), its rows ldc apart: C is times it at the end, and 0
                // where it is 0; null: ones
  const real *row,
      *column;  // (m), (n): C's rows and columns are times them at the
                // end; null: ones
} delta_product;

/* x times its weight; 0, whatever x is, where that is 0. */
static inline delta_vector delta_weigh(delta_vector x, delta_vector weight) {
  const __typeof__(weight != weight) counts = weight != 0;
  return (delta_vector)((__typeof__(counts))(x * weight) & counts);
}

static inline __attribute__((always_inline)) void
delta_store(const int rows, const int vectors, const delta_product *p, int row,
            int column, delta_vector *sum) {
  const ptrdiff_t at = row * p->ldc + column;
  for (int r = 0; r < rows && p->old != NULL; r++) {
    const delta_vector *old =
        (const delta_vector *)(const void *)(p->old + at + r * p->ldc);
    const real scale = p->scale ? p->scale[row + r] : 1;
    for (int v = 0; v < vectors; v++)
      sum[r * vectors + v] += scale * old[v];
  }
  for (int r = 0; r < rows && p->weight != NULL; r++) {
    const delta_vector *weight =
        (const delta_vector *)(const void *)(p->weight + at + r * p->ldc);
    for (int v = 0; v < vectors; v++)
      sum[r * vectors + v] = delta_weigh(sum[r * vectors + v], weight[v]);
  }
  for (int i = 0; i < rows * vectors && p->row != NULL; i++)
    sum[i] *= p->row[row + i / vectors];
  for (int i = 0; i < rows * vectors && p->column != NULL; i++)
    sum[i] *=
        ((const delta_vector *)(const void *)(p->column + column))[i % vectors];
  for (int r = 0; r < rows; r++) {
    delta_vector *c = (delta_vector *)(void *)(p->c + at + r * p->ldc);
    for (int v = 0; v < vectors; v++)
      c[v] = sum[r * vectors + v];
  }
}

/* Adds one column of A times one row of B. Rows of A go by fours, each with a pointer
** of its own: a register for each row would be too many. */
static inline __attribute__((always_inline)) void
delta_add_outer(const int rows, const int vectors, delta_vector *sum,
                const real *const *a, const ptrdiff_t row_step, const real *b) {
  const delta_vector *terms = (const delta_vector *)(const void *)b;
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < vectors; v++)
      sum[r * vectors + v] += a[r / 4][(r % 4) * row_step] * terms[v];
}

/* One tile; 'rows' and 'vectors' are constants where this is inlined. Where they are
** few, each sum is made in 'split' parts, so that there are as many as a large tile
** has. */
static inline __attribute__((always_inline)) void
delta_tile(const int rows, const int vectors, const delta_product *p, int row,
           int column, const ptrdiff_t row_step) {
  const int sums = rows * vectors, split = DELTA_SUMS / sums < 4 ? 1 : 4;
  delta_vector sum[DELTA_SUMS < 4 * 4 ? 4 * 4 : DELTA_SUMS] = {0};
  const real *a[4], *b = p->b + column;
  const ptrdiff_t k_step = p->k_step, ldb = p->ldb;
  for (int r = 0; r < rows; r += 4)
    a[r / 4] = p->a + (row + r) * row_step;
  int i = 0;
  for (; i + split <= p->k; i += split)
    for (int part = 0; part < split; part++, b += ldb) {
      delta_add_outer(rows, vectors, sum + part * sums, a, row_step, b);
      for (int r = 0; r < rows; r += 4)
        a[r / 4] += k_step;
    }
  for (; split > 1 && i < p->k; i++, b += ldb) {
    delta_add_outer(rows, vectors, sum, a, row_step, b);
    for (int r = 0; r < rows; r += 4)
      a[r / 4] += k_step;
  }
  for (int part = 1; part < split; part++)
    for (int j = 0; j < sums; j++)
      sum[j] += sum[part * sums + j];
  delta_store(rows, vectors, p, row, column, sum);
}

/* The rows of C in a column of tiles: as many tiles of 'most' rows as there are,
** then smaller ones. */
static inline __attribute__((always_inline)) void
delta_rows(const int most, const int vectors, const delta_product *p,
           int column, const ptrdiff_t row_step) {
  int row = 0;
#define DELTA_TILES(rows)                                                      \
  if (rows <= most)                                                            \
    for (; p->m - row >= rows; row += rows)                                    \
  delta_tile(rows <= most ? rows : 1, vectors, p, row, column, row_step)
  DELTA_TILES(16);
  DELTA_TILES(8);
  DELTA_TILES(4);
  DELTA_TILES(2);
  DELTA_TILES(1);
#undef DELTA_TILES
}

static inline __attribute__((always_inline)) void
delta_column(const int vectors, const delta_product *p, int column) {
  if (p->row_step == 1)
    delta_rows(DELTA_SUMS / vectors, vectors, p, column, 1);
  else
    delta_rows(DELTA_SUMS / vectors, vectors, p, column, p->row_step);
}

static void delta_multiply(const delta_product *p) {
  for (int column = 0; column < p->n;) {
    const int left = (p->n - column) / DELTA_LANES;
#if DELTA_SUMS == 16
    if (left >= 4) {
      delta_column(4, p, column);
      column += 4 * DELTA_LANES;
      continue;
    }
#endif
    if (left >= 2) {
      delta_column(2, p, column);
      column += 2 * DELTA_LANES;
      continue;
    }
    delta_column(1, p, column);
    column += DELTA_LANES;
  }
}

/* --- Transposes -------------------------------------------------------------- */

/* y (columns, rows) = the transpose of x (rows, columns), where both sizes are
** rounded up to whole blocks. */
static void delta_turn(real *y, ptrdiff_t ldy, const real *x, ptrdiff_t ldx,
                       int rows, int columns) {
  for (int row = 0; row < rows; row += DELTA_LANES)
    for (int column = 0; column < columns; column += DELTA_LANES)
      square_transpose(y + column * ldy + row, ldy, x + row * ldx + column,
                       ldx);
}

#endif
