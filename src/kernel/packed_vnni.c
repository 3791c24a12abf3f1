/*
** Products in int8 where the processor multiplies bytes (AVX-512 VNNI): four
** products and their sum in each lane of one instruction. The file is empty
** elsewhere. packed_bytes.h has the layout.
*/
#if defined(__AVX512VNNI__) && !defined(SAROS_DOUBLE)
#include "packed_bytes.h"

#define ROWS 6

static inline __attribute__((always_inline)) __m512i four(const uint8_t *x) {
  int word;
  memcpy(&word, x, sizeof word);
  return _mm512_set1_epi32(word);
}

/* The compiler would read the weights again for each row. */
#define IN_REGISTER(x) __asm__("" : "+v"(x))

/* 'rows' and 'vectors' are constants wherever this is inlined, so the loops over
** them vanish and the sums are registers. */
static inline __attribute__((always_inline)) void
tile(const int rows, const int vectors, const packed_bytes_tile *t,
     const uint32_t *panel, const uint8_t *a, const float *scale, int k) {
  const int words = (k + PACKED_BYTES_GROUP - 1) / PACKED_BYTES_GROUP;
  const ptrdiff_t row_step = bytes_padded(k);
  const __m512i *b = (const __m512i *)(const void *)panel + 2 * vectors;
  __m512i sum[ROWS * PACKED_BYTES_VECTORS], w[PACKED_BYTES_VECTORS];
#pragma GCC unroll 24
  for (int i = 0; i < rows * vectors; i++)
    sum[i] = b[i % vectors];
  b += vectors;
  for (int word = 0; word < words;
       word++, b += vectors, a += PACKED_BYTES_GROUP) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
      w[v] = b[v];
      IN_REGISTER(w[v]);
    }
#pragma GCC unroll 6
    for (int row = 0; row < rows; row++) {
      const __m512i x = four(a + row * row_step);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; v++)
        sum[row * vectors + v] =
            _mm512_dpbusd_epi32(sum[row * vectors + v], x, w[v]);
    }
  }
  __m512i total[ROWS * PACKED_BYTES_VECTORS];
#pragma GCC unroll 24
  for (int i = 0; i < rows * vectors; i++)
    total[i] = sum[i];
  // in registers, the branches would cost more of these than there are
  bytes_store(t, rows, vectors, total, scale);
}

/* One row: its sums are too few to hide the time of an instruction, so they are in
** two parts, of the even and of the odd words. */
static inline __attribute__((always_inline)) void
row_tile(const int vectors, const packed_bytes_tile *t, const uint32_t *panel,
         const uint8_t *a, const float *scale, int k) {
  const int words = (k + PACKED_BYTES_GROUP - 1) / PACKED_BYTES_GROUP;
  const __m512i *b = (const __m512i *)(const void *)panel + 2 * vectors;
  __m512i even[PACKED_BYTES_VECTORS], odd[PACKED_BYTES_VECTORS];
#pragma GCC unroll 4
  for (int v = 0; v < vectors; v++)
    even[v] = b[v], odd[v] = _mm512_setzero_si512();
  b += vectors;
  // with an odd number of words, the last pair ends in zeros
  for (int word = 0; word < words;
       word += 2, b += 2 * vectors, a += 2 * PACKED_BYTES_GROUP) {
    const __m512i x = four(a), next = four(a + PACKED_BYTES_GROUP);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
      even[v] = _mm512_dpbusd_epi32(even[v], x, b[v]);
      odd[v] = _mm512_dpbusd_epi32(odd[v], next, b[vectors + v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < vectors; v++)
    even[v] = _mm512_add_epi32(even[v], odd[v]);
  bytes_store(t, 1, vectors, even, scale);
}

static inline __attribute__((always_inline)) void
rows_of_tile(int rows, const int vectors, const packed_bytes_tile *t,
             const uint32_t *panel, const uint8_t *a, const float *scale,
             int k) {
  switch (rows) {
    case 1:
      row_tile(vectors, t, panel, a, scale, k);
      break;
    case 2:
      tile(2, vectors, t, panel, a, scale, k);
      break;
    case 3:
      tile(3, vectors, t, panel, a, scale, k);
      break;
    case 4:
      tile(4, vectors, t, panel, a, scale, k);
      break;
    case 5:
      tile(5, vectors, t, panel, a, scale, k);
      break;
    default:
      tile(6, vectors, t, panel, a, scale, k);
  }
}

static void wide_tile(int rows, const packed_bytes_tile *t,
                      const uint32_t *panel, const uint8_t *a,
                      const float *scale, int k) {
  rows_of_tile(rows, PACKED_BYTES_VECTORS, t, panel, a, scale, k);
}

static void narrow_tile(int rows, const packed_bytes_tile *t,
                        const uint32_t *panel, const uint8_t *a,
                        const float *scale, int k) {
  rows_of_tile(rows, 1, t, panel, a, scale, k);
}

/* All rows of A that are bytes by one panel, shared out evenly among tiles. */
static void multiply_panel(const packed_bytes_tile *whole,
                           const uint32_t *panel, int width,
                           const packed_bytes_rows *a, int m, int k) {
  packed_bytes_tile t = *whole;
  const int tiles = (m + ROWS - 1) / ROWS;
  for (int i = 0, row = 0; i < tiles; i++) {
    const int rows = (m - row) / (tiles - i);
    const uint8_t *term = a->term + (ptrdiff_t)row * bytes_padded(k);
    if (width == PACKED_BYTES_WIDTH)
      wide_tile(rows, &t, panel, term, a->scale + row, k);
    else
      narrow_tile(rows, &t, panel, term, a->scale + row, k);
    t.c += (ptrdiff_t)rows * t.ldc;
    row += rows;
  }
}

static void multiply(real *c, int ldc, const real *a, int lda, int a_transposed,
                     const void *packed, int m, int n, int k, int add,
                     const real *ahead, size_t ahead_count) {
  packed_bytes_rows rows;
  (void)ahead, (void)ahead_count;
  for (int row = 0; row < m;
       row += PACKED_BYTES_CHUNK, c += (ptrdiff_t)PACKED_BYTES_CHUNK * ldc) {
    const int chunk =
        m - row < PACKED_BYTES_CHUNK ? m - row : PACKED_BYTES_CHUNK;
    const uint32_t *panel = packed;
    bytes_make_rows(&rows, a + (ptrdiff_t)row * (a_transposed ? 1 : lda), lda,
                    a_transposed, chunk, k);
    for (int column = 0, width; column < n; column += width) {
      width = bytes_panel_width(n - column);
      const float *start = (const float *)(const void *)panel;
      const packed_bytes_tile t = {c + column, ldc,   n - column,
                                   add,        start, width};
      multiply_panel(&t, panel, width, &rows, chunk, k);
      panel += bytes_panel_words(width, k);
    }
  }
}

const packed_kernels KERNEL_TABLE(packed_vnni) = {
    .width = PACKED_BYTES_WIDTH,
    .bytes = bytes_size,
    .pack = bytes_pack,
    .multiply = multiply,
};

#endif
