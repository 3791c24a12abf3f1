/*
** Products in int8 on any processor. The whole numbers are multiplied as reals, in
** which the sum of a layer is exact: 127 * 127 * 512 < 2^24.
**
** The packed matrix lies in panels of WIDTH columns: what the columns start from
** and their scales, WIDTH reals each, then rows of WIDTH words, each of four terms
** of a column, the first in the lowest byte. Columns and terms beyond the last are
** zeros.
*/
#include "packed_int8.h"

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define ROWS 6
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#define ROWS 4
#else
#define VECTOR_BYTES 16
#define ROWS 4
#endif

#define VECTORS 2
#define LANES ((int)(VECTOR_BYTES / sizeof(real)))
#define WIDTH (VECTORS * LANES)

typedef real vector __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t words __attribute__((vector_size(4 * LANES), may_alias));

#define GROUP 4  // terms in a word

/* Rows of A that become whole numbers at a time. */
#define CHUNK (2 * ROWS)

static int padded(int k) {
  return (k + GROUP - 1) / GROUP * GROUP;
}

static size_t panel_bytes(int k) {
  return (size_t)WIDTH * (2 * sizeof(real) + (size_t)padded(k));
}

static size_t bytes(int n, int k) {
  return ((size_t)n + WIDTH - 1) / WIDTH * panel_bytes(k);
}

/* One column of a panel, whose elements are 'step' apart. */
static void pack_column(char *panel, int column, const real *b, ptrdiff_t step,
                        real start, int k) {
  real *head = (real *)(void *)panel, inverse;
  uint32_t *word = (uint32_t *)(void *)(head + 2 * WIDTH) + column;
  head[column] = start;
  head[WIDTH + column] = int8_scale_of(b, step, k, &inverse);
  for (int p = 0; inverse != 0 && p < k; p++) {
    const int whole = (int)int8_whole(b[p * step], inverse);
    word[p / GROUP * WIDTH] |= (uint32_t)(whole & 0xff) << p % GROUP * 8;
  }
}

static void pack(void *packed, const real *b, int ldb, int b_transposed,
                 const real *start, int n, int k) {
  char *panel = packed;
  const ptrdiff_t next = b_transposed ? ldb : 1, step = b_transposed ? 1 : ldb;
  memset(packed, 0, bytes(n, k));
  for (int column = 0; column < n; column++, b += next) {
    pack_column(panel, column % WIDTH, b, step, start ? start[column] : 0, k);
    panel += column % WIDTH == WIDTH - 1 ? panel_bytes(k) : 0;
  }
}

/* --- The product ------------------------------------------------------------ */

/* Some rows of A as whole numbers, row after row. */
typedef struct whole_rows {
  real term[CHUNK * PACKED_DEPTH], scale[CHUNK];
} whole_rows;

static void make_whole(whole_rows *to, const real *a, ptrdiff_t row_step,
                       ptrdiff_t k_step, int rows, int k) {
  real *term = to->term, inverse;
  for (int row = 0; row < rows; row++, a += row_step, term += padded(k)) {
    to->scale[row] = int8_scale_of(a, k_step, k, &inverse);
    for (int p = 0; p < k; p++)
      term[p] = inverse == 0 ? 0 : int8_whole(a[p * k_step], inverse);
    for (int p = k; p < padded(k); p++)
      term[p] = 0;
  }
}

/* A tile of C: rows by a panel, of which some columns belong to C. */
typedef struct tile_of_c {
  real *c;
  int ldc, columns, add;
} tile_of_c;

static inline __attribute__((always_inline)) void
store_row(const tile_of_c *t, int row, const vector *sum, const real *head,
          real scale) {
  real *c = t->c + (ptrdiff_t)row * t->ldc, value[WIDTH];
  memcpy(value, sum, sizeof value);
  for (int i = 0; i < WIDTH; i++)
    value[i] = head[i] + scale * head[WIDTH + i] * value[i];
  for (int i = 0; i < t->columns; i++)
    c[i] = t->add ? c[i] + value[i] : value[i];
}

/* 'rows' is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) void
tile(const int rows, const tile_of_c *t, const char *panel, const real *a,
     const real *scale, int k) {
  const real *head = (const real *)(const void *)panel;
  const ptrdiff_t row_step = padded(k);
  const words *b = (const words *)(const void *)(head + 2 * WIDTH);
  vector sum[ROWS * VECTORS] = {{0}};
  for (int p = 0; p < k; p += GROUP, b += VECTORS)
    for (int term = 0; term < GROUP; term++) {
      vector w[VECTORS];
      for (int v = 0; v < VECTORS; v++)
        w[v] = __builtin_convertvector(b[v] << 8 * (GROUP - 1 - term) >> 24,
                                       vector);
      for (int row = 0; row < rows; row++)
        for (int v = 0; v < VECTORS; v++)
          sum[row * VECTORS + v] += a[row * row_step + p + term] * w[v];
    }
  for (int row = 0; row < rows; row++)
    store_row(t, row, sum + row * VECTORS, head, scale[row]);
}

static void multiply_tile(int rows, const tile_of_c *t, const char *panel,
                          const real *a, const real *scale, int k) {
  switch (rows) {
    case 1:
      tile(1, t, panel, a, scale, k);
      break;
    case 2:
      tile(2, t, panel, a, scale, k);
      break;
    case 3:
      tile(3, t, panel, a, scale, k);
      break;
    case 4:
      tile(4, t, panel, a, scale, k);
      break;
#if ROWS > 4
    case 5:
      tile(5, t, panel, a, scale, k);
      break;
    case 6:
      tile(6, t, panel, a, scale, k);
      break;
#endif
  }
}

static void multiply(real *c, int ldc, const real *a, int lda, int a_transposed,
                     const void *packed, int m, int n, int k, int add,
                     const real *ahead, size_t ahead_count) {
  const ptrdiff_t row_step = a_transposed ? 1 : lda;
  whole_rows whole;
  (void)ahead, (void)ahead_count;
  for (int from = 0; from < m; from += CHUNK, a += CHUNK * row_step) {
    const int chunk = m - from < CHUNK ? m - from : CHUNK;
    const char *panel = packed;
    make_whole(&whole, a, row_step, a_transposed ? lda : 1, chunk, k);
    for (int column = 0; column < n; column += WIDTH, panel += panel_bytes(k))
      for (int row = 0; row < chunk; row += ROWS) {
        const int rows = chunk - row < ROWS ? chunk - row : ROWS;
        const tile_of_c t = {c + (ptrdiff_t)(from + row) * ldc + column, ldc,
                             n - column < WIDTH ? n - column : WIDTH, add};
        multiply_tile(rows, &t, panel, whole.term + (ptrdiff_t)row * padded(k),
                      whole.scale + row, k);
      }
  }
}

const packed_kernels KERNEL_TABLE(packed_int8) = {
    .width = WIDTH,
    .bytes = bytes,
    .pack = pack,
    .multiply = multiply,
};
