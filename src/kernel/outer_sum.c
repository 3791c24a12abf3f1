/*
** What sums of outer products need beside the product: sums of rows, and the
** result turned.
*/
#include "kernel.h"

/* Columns that are summed up at a time. */
#define COLUMNS 64

static void add_rows(real *sums, const real *x, int ldx, int n, int rows) {
  for (int column = 0; column < n; column += COLUMNS) {
    const int columns = n - column < COLUMNS ? n - column : COLUMNS;
    const real *from = x + column;
    real sum[COLUMNS] = {0};
    for (int row = 0; row < rows; row++, from += ldx)
      for (int i = 0; i < columns; i++)
        sum[i] += from[i];
    for (int i = 0; i < columns; i++)
      sums[column + i] += sum[i];
  }
}

/* Squares that are turned at a time: a line of C is met once. */
#define SQUARE 16

/* C (m, n) = X^T, or +=, for m, n <= SQUARE. */
static inline __attribute__((always_inline)) void
add_square(real *c, int ldc, const real *x, int ldx, int m, int n, int add) {
  real square[SQUARE][SQUARE];
  for (int column = 0; column < n; column++, x += ldx)
    for (int row = 0; row < m; row++)
      square[row][column] = x[row];
  for (int row = 0; row < m; row++, c += ldc)
    for (int column = 0; column < n; column++)
      c[column] = add ? c[column] + square[row][column] : square[row][column];
}

static void add_transposed(real *c, int ldc, const real *x, int ldx, int m,
                           int n, int add) {
  for (int row = 0; row < m; row += SQUARE, c += (ptrdiff_t)SQUARE * ldc)
    for (int column = 0; column < n; column += SQUARE) {
      const real *from = x + (ptrdiff_t)column * ldx + row;
      const int rows = m - row < SQUARE ? m - row : SQUARE;
      const int columns = n - column < SQUARE ? n - column : SQUARE;
      if (rows < SQUARE || columns < SQUARE)
        add_square(c + column, ldc, from, ldx, rows, columns, add);
      else
        add_square(c + column, ldc, from, ldx, SQUARE, SQUARE, add);
    }
}

const outer_sum_kernels KERNEL_TABLE(outer_sum) = {
    .add_rows = add_rows,
    .add_transposed = add_transposed,
};
