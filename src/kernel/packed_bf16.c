/*
** Products with a packed matrix in bf16, on any processor: both operands are
** rounded and stay reals, so the rest is the work of packed.c. Only rows of A
** are held here, a few at a time.
*/
#include "bf16.h"
#include "packed_panel.h"

/* y (n) = x rounded; y may be x */
static void round_all(real *y, const real *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    y[i] = bf16_round(x[i]);
}

static void pack(void *packed, const real *b, int ldb, int b_transposed,
                 const real *start, int n, int k) {
  KERNEL_TABLE(packed).pack(packed, b, ldb, b_transposed, start, n, k);
  real *panel = packed;
  for (int column = 0, width; column < n; column += width) {
    width = packed_width(n - column);
    panel += width;  // what the sums start from is not rounded
    round_all(panel, panel, (size_t)width * (size_t)k);
    panel += (ptrdiff_t)width * k;
  }
}

/* Elements of A that are rounded at a time, and what keeps neighbours in a
** column apart in the cache. */
#define ROOM ((int)(65536 / sizeof(real)))
#define GAP 16

static void multiply(real *c, int ldc, const real *a, int lda, int a_transposed,
                     const void *packed, int m, int n, int k, int add,
                     const real *ahead, size_t ahead_count) {
  real rounded[ROOM];
  const int most = ROOM / (k + GAP);
  for (int row = 0, rows; row < m; row += rows) {
    rows = m - row < most ? m - row : most;
    const int lines = a_transposed ? k : rows, length = a_transposed ? rows : k;
    const int ld = a_transposed ? most : k + GAP;
    const real *from = a + (ptrdiff_t)row * (a_transposed ? 1 : lda);
    for (int line = 0; line < lines; line++)
      round_all(rounded + (ptrdiff_t)line * ld, from + (ptrdiff_t)line * lda,
                (size_t)length);
    KERNEL_TABLE(packed).multiply(c + (ptrdiff_t)row * ldc, ldc, rounded, ld,
                                  a_transposed, packed, rows, n, k, add, ahead,
                                  ahead_count);
    ahead = NULL, ahead_count = 0;
  }
}

static size_t bytes(int n, int k) {
  return KERNEL_TABLE(packed).bytes(n, k);
}

const packed_kernels KERNEL_TABLE(packed_bf16) = {
    .width = PACKED_WIDTH,
    .bytes = bytes,
    .pack = pack,
    .multiply = multiply,
};
