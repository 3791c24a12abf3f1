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

/* Squares that are turned at a time. */
#define SQUARE 16

static void add_transposed(real *c, int ldc, const real *x, int ldx, int m,
                           int n, int add) {
  for (int row = 0; row < m; row += SQUARE, c += (ptrdiff_t)SQUARE * ldc)
    for (int column = 0; column < n; column++) {
      const real *from = x + (ptrdiff_t)column * ldx + row;
      real *to = c + column;
      const int rows = m - row < SQUARE ? m - row : SQUARE;
      for (int i = 0; i < rows; i++, to += ldc)
        *to = add ? *to + from[i] : from[i];
    }
}

const outer_sum_kernels KERNEL_TABLE(outer_sum) = {
    .add_rows = add_rows,
    .add_transposed = add_transposed,
};
