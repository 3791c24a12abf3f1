/*
** Products with a matrix that is used many times, as the recurrent weights are
** at every step: it is packed once, and no step pays for that again.
**
** The packed matrix lies in panels of WIDTH columns, each k rows of WIDTH
** neighbours, zeros beyond the last column. A tile of up to ROWS rows by one
** panel stays in registers while k goes by; the rows of a product are shared
** out evenly, so there is no tile of a row or two at the end.
**
**   AVX-512: 6 rows x 4 vectors of 16 floats; AVX2: 6 x 2 of 8; else 4 x 2 of 4
*/
#include "kernel.h"

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define VECTORS 4
#define ROWS 6
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#define VECTORS 2
#define ROWS 6
#else
#define VECTOR_BYTES 16
#define VECTORS 2
#define ROWS 4
#endif

#define LANES ((int)(VECTOR_BYTES / sizeof(real)))
#define WIDTH (VECTORS * LANES)

typedef real vector __attribute__((vector_size(VECTOR_BYTES), may_alias));
/* The same anywhere in memory. */
typedef real loose __attribute__((vector_size(VECTOR_BYTES),
                                  aligned(sizeof(real)), may_alias));

static int panels_of(int n) {
  return (n + WIDTH - 1) / WIDTH;
}

static size_t size(int n, int k) {
  return (size_t)panels_of(n) * (size_t)WIDTH * (size_t)k;
}

static void pack_panel(real *packed, const real *b, ptrdiff_t row_step,
                       ptrdiff_t column_step, int columns, int k) {
  for (int p = 0; p < k; p++, packed += WIDTH, b += row_step) {
    for (int column = 0; column < columns; column++)
      packed[column] = b[column * column_step];
    for (int column = columns; column < WIDTH; column++)
      packed[column] = 0;
  }
}

static void pack(real *packed, const real *b, int ldb, int b_transposed, int n,
                 int k) {
  const ptrdiff_t row_step = b_transposed ? 1 : ldb;
  const ptrdiff_t column_step = b_transposed ? ldb : 1;
  for (int column = 0; column < n; column += WIDTH) {
    const int columns = n - column < WIDTH ? n - column : WIDTH;
    pack_panel(packed, b + column * column_step, row_step, column_step, columns,
               k);
    packed += (ptrdiff_t)WIDTH * k;
  }
}

/* Adds a tile to C, or writes it, where only some columns belong to C. */
static void store_part(real *c, int ldc, const vector *tile, int rows,
                       int columns, real beta) {
  const real *value = (const real *)tile;
  for (int row = 0; row < rows; row++, c += ldc, value += WIDTH)
    for (int column = 0; column < columns; column++)
      c[column] = beta != 0 ? c[column] + value[column] : value[column];
}

/*
** One tile. 'rows' is a constant wherever this is inlined, so the loops over
** rows and vectors vanish and the sums are registers.
*/
static inline __attribute__((always_inline)) void
tile(const int rows, real *c, int ldc, const real *a, int lda,
     const real *panel, int columns, int depth, real beta) {
  vector sum[ROWS * VECTORS];
  for (int i = 0; i < rows * VECTORS; i++)
    sum[i] = (vector){0};
  for (int p = 0; p < depth; p++, panel += WIDTH) {
    const vector *b = (const vector *)(const void *)panel;
    for (int row = 0; row < rows; row++) {
      const real x = a[(ptrdiff_t)row * lda + p];
      for (int v = 0; v < VECTORS; v++)
        sum[row * VECTORS + v] += x * b[v];
    }
  }
  if (columns < WIDTH) {
    store_part(c, ldc, sum, rows, columns, beta);
    return;
  }
  for (int row = 0; row < rows; row++, c += ldc) {
    loose *to = (loose *)(void *)c;
    for (int v = 0; v < VECTORS; v++) {
      if (beta != 0)
        to[v] += sum[row * VECTORS + v];
      else
        to[v] = sum[row * VECTORS + v];
    }
  }
}

static void multiply_tile(int rows, real *c, int ldc, const real *a, int lda,
                          const real *panel, int columns, int depth,
                          real beta) {
  switch (rows) {
    case 1:
      tile(1, c, ldc, a, lda, panel, columns, depth, beta);
      break;
    case 2:
      tile(2, c, ldc, a, lda, panel, columns, depth, beta);
      break;
    case 3:
      tile(3, c, ldc, a, lda, panel, columns, depth, beta);
      break;
    case 4:
      tile(4, c, ldc, a, lda, panel, columns, depth, beta);
      break;
#if ROWS > 4
    case 5:
      tile(5, c, ldc, a, lda, panel, columns, depth, beta);
      break;
    case 6:
      tile(6, c, ldc, a, lda, panel, columns, depth, beta);
      break;
#endif
  }
}

/* Terms of a sum that are added up before C is touched: so many rows of a
** panel, and of A, that both stay near the processor. */
#define DEPTH 512

/* So many terms of every sum; 'packed' and 'a' begin at the first. */
static void multiply_terms(real *c, int ldc, const real *a, int lda,
                           const real *packed, int m, int n, int k, int depth,
                           real beta) {
  const int tiles = (m + ROWS - 1) / ROWS;
  for (int column = 0; column < n; column += WIDTH) {
    const int columns = n - column < WIDTH ? n - column : WIDTH;
    for (int t = 0, row = 0; t < tiles; t++) {
      const int rows = (m - row) / (tiles - t);
      multiply_tile(rows, c + (ptrdiff_t)row * ldc + column, ldc,
                    a + (ptrdiff_t)row * lda, lda, packed, columns, depth,
                    beta);
      row += rows;
    }
    packed += (ptrdiff_t)WIDTH * k;
  }
}

static void multiply(real *c, int ldc, const real *a, int lda,
                     const real *packed, int m, int n, int k, real beta) {
  int first = 0;
  do {
    const int depth = k - first < DEPTH ? k - first : DEPTH;
    multiply_terms(c, ldc, a + first, lda, packed + (ptrdiff_t)first * WIDTH, m,
                   n, k, depth, first > 0 ? 1 : beta);
    first += depth;
  } while (first < k);
}

const packed_kernels KERNEL_TABLE(packed) = {
    .size = size,
    .pack = pack,
    .multiply = multiply,
};
