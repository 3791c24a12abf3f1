/*
** Products in int8 where the processor multiplies bytes (packed_vnni.c,
** packed_amx_int8.c): the packed matrix, the rows of A, and how sums are
** stored in C.
**
** The packed matrix lies in panels of 64 columns, the columns left over in panels
** of 16. A panel of w columns is
**
**   start  (w)        float: what its columns start from
**   scale  (w)        float
**   begin  (w)        int32: -128 times the sum of the column's whole numbers
**   words  (K/4, w)   four terms of a column each, the first in the lowest byte
**
** with K = k rounded up to 64, the terms beyond the last being zeros: so 16 rows
** of 16 words are a tile of AMX, whose rows are w words apart.
**
** The instruction takes one factor without a sign. That is a row of A: its whole
** numbers + 128, for which the sums begin with 'begin'.
*/
#ifndef PACKED_BYTES_H
#define PACKED_BYTES_H

#include <immintrin.h>

#include "packed_int8.h"

#define PACKED_BYTES_LANES 16
#define PACKED_BYTES_VECTORS 4
#define PACKED_BYTES_WIDTH (PACKED_BYTES_VECTORS * PACKED_BYTES_LANES)
#define PACKED_BYTES_HEAD 3   // words of a column before its terms
#define PACKED_BYTES_GROUP 4  // terms in a word

/* Rows of A that become bytes at a time. */
#define PACKED_BYTES_CHUNK 96

static inline int bytes_padded(int k) {
  return (k + 63) & ~63;
}

static inline int bytes_panel_width(int left) {
  return left >= PACKED_BYTES_WIDTH ? PACKED_BYTES_WIDTH : PACKED_BYTES_LANES;
}

static inline size_t bytes_panel_words(int width, int k) {
  return (size_t)width *
         (PACKED_BYTES_HEAD + (size_t)bytes_padded(k) / PACKED_BYTES_GROUP);
}

static inline size_t bytes_size(int n, int k) {
  const int columns =
      (n + PACKED_BYTES_LANES - 1) / PACKED_BYTES_LANES * PACKED_BYTES_LANES;
  return bytes_panel_words(columns, k) * sizeof(uint32_t);
}

/* One column of a panel of 'width', at whose first word 'to' stands; the elements
** of b are 'step' apart. */
static inline void bytes_pack_column(uint32_t *to, int width, const real *b,
                                     ptrdiff_t step, real start, int k) {
  real inverse;
  const real scale = int8_scale_of(b, step, k, &inverse);
  int sum = 0;
  memcpy(to, &start, sizeof start);
  memcpy(to + width, &scale, sizeof scale);
  uint32_t *word = to + PACKED_BYTES_HEAD * width;
  for (int p = 0; inverse != 0 && p < k; p++) {
    const int whole = (int)int8_whole(b[p * step], inverse);
    sum += whole;
    word[p / PACKED_BYTES_GROUP * width] |= (uint32_t)(whole & 0xff)
                                            << p % PACKED_BYTES_GROUP * 8;
  }
  to[2 * width] = (uint32_t)(-128 * sum);
}

static inline void bytes_pack(void *packed, const real *b, int ldb,
                              int b_transposed, const real *start, int n,
                              int k) {
  uint32_t *panel = memset(packed, 0, bytes_size(n, k));
  const ptrdiff_t next = b_transposed ? ldb : 1, step = b_transposed ? 1 : ldb;
  for (int from = 0, width; from < n; from += width) {
    width = bytes_panel_width(n - from);
    const int columns = n - from < width ? n - from : width;
    for (int i = 0; i < columns; i++)
      bytes_pack_column(panel + i, width, b + (from + i) * next, step,
                        start ? start[from + i] : 0, k);
    panel += bytes_panel_words(width, k);
  }
}

/* --- Rows of A ---------------------------------------------------------------- */

/* Rows as bytes, bytes_padded(k) apart. */
typedef struct packed_bytes_rows {
  uint8_t term[PACKED_BYTES_CHUNK * PACKED_DEPTH] __attribute__((aligned(64)));
  float scale[PACKED_BYTES_CHUNK];
} packed_bytes_rows;

static inline __mmask16 bytes_mask(int left) {
  return left >= PACKED_BYTES_LANES ? 0xffff : (__mmask16)((1 << left) - 1);
}

/* One row that is contiguous. */
static inline float bytes_make_row(uint8_t *to, const float *x, int k) {
  __m512i largest = _mm512_setzero_si512();
  const __m512i sign = _mm512_set1_epi32(0x7fffffff);
  for (int p = 0; p < k; p += PACKED_BYTES_LANES) {
    const __m512 v = _mm512_maskz_loadu_ps(bytes_mask(k - p), x + p);
    largest = _mm512_max_epu32(largest,
                               _mm512_and_si512(_mm512_castps_si512(v), sign));
  }
  float inverse;
  const float scale = int8_scale(_mm512_reduce_max_epu32(largest), &inverse);
  if (inverse == 0) {
    memset(to, 128, (size_t)bytes_padded(k));
    return scale;
  }
  const __m512 factor = _mm512_set1_ps(inverse);
  const __m128i middle = _mm_set1_epi8(-128);
  for (int p = 0; p < bytes_padded(k); p += PACKED_BYTES_LANES) {
    const __mmask16 lanes = p < k ? bytes_mask(k - p) : 0;
    const __m512 v = _mm512_maskz_loadu_ps(lanes, x + p);
    const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(v, factor));
    _mm_store_si128((__m128i *)(void *)(to + p),
                    _mm_xor_si128(_mm512_cvtepi32_epi8(whole), middle));
  }
  return scale;
}

static inline void bytes_make_rows(packed_bytes_rows *to, const real *a,
                                   int lda, int a_transposed, int rows, int k) {
  float column[PACKED_DEPTH];
  uint8_t *term = to->term;
  for (int row = 0; row < rows; row++, term += bytes_padded(k)) {
    const float *x = a + (ptrdiff_t)row * lda;
    for (int p = 0; a_transposed && p < k; p++)
      column[p] = a[(ptrdiff_t)p * lda + row];
    to->scale[row] = bytes_make_row(term, a_transposed ? column : x, k);
  }
}

/* --- Sums ------------------------------------------------------------------------ */

/* Rows of C by columns of a panel of 'width' columns in all; 'start' points at the
** start of the first of them, 'columns' are left in C. */
typedef struct packed_bytes_tile {
  float *c;
  int ldc, columns, add;
  const float *start;
  int width;
} packed_bytes_tile;

/* Stores sums, 'vectors' of them a row, in C. Every kernel ends with it, so all give
** the same bits. */
static inline void bytes_store(const packed_bytes_tile *t, int rows,
                               int vectors, const __m512i *sum,
                               const float *scale) {
  const float *start = t->start, *factor = start + t->width;
  float *c = t->c;
  for (int row = 0; row < rows; row++, c += t->ldc)
    for (int v = 0; v < vectors; v++, sum++) {
      const __mmask16 lanes = bytes_mask(t->columns - v * PACKED_BYTES_LANES);
      const __m512 by =
          _mm512_mul_ps(_mm512_load_ps(factor + v * PACKED_BYTES_LANES),
                        _mm512_set1_ps(scale[row]));
      __m512 value =
          _mm512_fmadd_ps(by, _mm512_cvtepi32_ps(*sum),
                          _mm512_load_ps(start + v * PACKED_BYTES_LANES));
      if (t->add)
        value = _mm512_add_ps(
            value, _mm512_maskz_loadu_ps(lanes, c + v * PACKED_BYTES_LANES));
      _mm512_mask_storeu_ps(c + v * PACKED_BYTES_LANES, lanes, value);
    }
}

#endif
