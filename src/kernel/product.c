/*
** Matrix products, by OpenBLAS. This file adds what BLAS leaves open: a product
** over k = 0 terms, the promise that with beta 0 whatever C held, NaN included,
** is gone, and the way to gemv where one side is a vector, as at batch size 1.
** There gemm would copy the whole matrix to use it once (512 by 2048, one row:
** six times the time of gemv).
*/
#include <cblas.h>
#include <string.h>

#include "kernel.h"

#ifdef SAROS_DOUBLE
#define blas_gemm cblas_dgemm
#define blas_gemv cblas_dgemv
#else
#define blas_gemm cblas_sgemm
#define blas_gemv cblas_sgemv
#endif

/* C (m, n) = beta C */
static void scale_rows(real *c, int ldc, int m, int n, real beta) {
  for (int row = 0; row < m; row++, c += ldc)
    for (int column = 0; column < n; column++)
      c[column] = beta == 0 ? 0 : beta * c[column];
}

/* y = M x + beta y, where the stored matrix (rows, columns) is M, or its
** transpose if 'transposed'. beta 0 is done here: not every BLAS keeps a NaN in
** y from surviving it. */
static void multiply_vector(real *y, int y_step, const real *matrix, int ld,
                            int rows, int columns, int transposed,
                            const real *x, int x_step, real beta) {
  if (beta == 0)
    scale_rows(y, y_step, transposed ? columns : rows, 1, 0);
  blas_gemv(CblasRowMajor, transposed ? CblasTrans : CblasNoTrans, rows,
            columns, 1, matrix, ld, x, x_step, beta == 0 ? 1 : beta, y, y_step);
}

static void multiply(real *c, int ldc, const real *a, int lda, int a_transposed,
                     const real *b, int ldb, int b_transposed, int m, int n,
                     int k, real beta) {
  if (m == 0 || n == 0)
    return;
  if (k == 0)
    scale_rows(c, ldc, m, n, beta);
  else if (m == 1 && b_transposed)  // c = B a
    multiply_vector(c, 1, b, ldb, n, k, 0, a, a_transposed ? lda : 1, beta);
  else if (m == 1)
    multiply_vector(c, 1, b, ldb, k, n, 1, a, a_transposed ? lda : 1, beta);
  else if (n == 1 && a_transposed)  // c = A' b
    multiply_vector(c, ldc, a, lda, k, m, 1, b, b_transposed ? 1 : ldb, beta);
  else if (n == 1)
    multiply_vector(c, ldc, a, lda, m, k, 0, b, b_transposed ? 1 : ldb, beta);
  else
    blas_gemm(CblasRowMajor, a_transposed ? CblasTrans : CblasNoTrans,
              b_transposed ? CblasTrans : CblasNoTrans, m, n, k, 1, a, lda, b,
              ldb, beta, c, ldc);
}

const product_kernels KERNEL_TABLE(product) = {.multiply = multiply};
