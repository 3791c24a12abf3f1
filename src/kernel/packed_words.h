/*
** Matrices of bf16 for instructions that add up the products of two terms at
** a time: a word holds two terms that follow each other, the earlier one in
** its lower half. Terms are rounded to nearest even; subnormals become zeros.
**
** A packed matrix lies in panels of PACKED_WIDTH columns, the columns left over
** in panels of one vector each:
**
**   panel    start (width floats), then for each pair of terms a row of words
**   row      width words, a column each; zeros beyond the last column
**
** The terms are padded with zeros to a multiple of PACKED_STEP, so that the
** rows of a step are a whole tile of AMX, too: 16 rows of 16 words.
*/
#ifndef PACKED_WORDS_H
#define PACKED_WORDS_H

#include <immintrin.h>

#include "packed_panel.h"

/* Terms that are converted at a time; a vector of words. */
#define PACKED_STEP 32

typedef uint32_t packed_word __attribute__((may_alias));

/* Words in a row of k terms. */
static inline int words_of_terms(int k) {
  return (k + PACKED_STEP - 1) / PACKED_STEP * PACKED_LANES;
}

static inline ptrdiff_t panel_words(int width, int k) {
  return (ptrdiff_t)width * (words_of_terms(k) + 1);
}

static inline size_t packed_bytes(int n, int k) {
  const int vectors = (n + PACKED_LANES - 1) / PACKED_LANES;
  return (size_t)panel_words(PACKED_LANES, k) * (size_t)vectors *
         sizeof(packed_word);
}

/* The first 'count' of 16 lanes. */
static inline __mmask16 mask_of(int count) {
  return (__mmask16)(count <= 0 ? 0 : count < 16 ? (1u << count) - 1 : 0xffffu);
}

/* The first of 16 elements of x, at most 'count'; zeros follow. */
static inline __m512 some_of(const real *x, int count) {
  return count >= PACKED_LANES ? _mm512_loadu_ps(x)
                               : _mm512_maskz_loadu_ps(mask_of(count), x);
}

/* The words of 32 terms that follow each other, of which 'count' are there. */
static inline __m512i words_of_row(const real *x, int count) {
  const __m512 first = some_of(x, count);
  const __m512 second = count > PACKED_LANES
                            ? some_of(x + PACKED_LANES, count - PACKED_LANES)
                            : _mm512_setzero_ps();
  return (__m512i)_mm512_cvtne2ps_pbh(second, first);
}

/* Words of two terms each, the first of them in 'first', lane by lane. */
static inline __m512i words_of_pair(__m512 first, __m512 second) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11,
                                         26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order,
                                  (__m512i)_mm512_cvtne2ps_pbh(second, first));
}

/* Transposes 16 x 16 words. */
static inline void transpose_words(__m512i *x) {
  __m512i y[PACKED_LANES];
#pragma GCC unroll 8
  for (int i = 0; i < PACKED_LANES; i += 2) {
    y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < PACKED_LANES; i += 4) {
    x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
    x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
    x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
    x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
  }
  // x[4 g + j] holds the words 4 l + j of rows 4 g .. 4 g + 3 in its part l
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    const __m512i a = _mm512_shuffle_i32x4(x[j], x[4 + j], 0x88);
    const __m512i b = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0x88);
    const __m512i c = _mm512_shuffle_i32x4(x[j], x[4 + j], 0xdd);
    const __m512i d = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0xdd);
    y[j] = _mm512_shuffle_i32x4(a, b, 0x88);
    y[4 + j] = _mm512_shuffle_i32x4(c, d, 0x88);
    y[8 + j] = _mm512_shuffle_i32x4(a, b, 0xdd);
    y[12 + j] = _mm512_shuffle_i32x4(c, d, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < PACKED_LANES; i++)
    x[i] = y[i];
}

/* --- Rows of A ----------------------------------------------------------- */

/* to (rows, ld words): A (rows, k), each row padded with zeros */
static inline void words_of_rows(packed_word *to, int ld, const real *a,
                                 int lda, int rows, int k) {
  for (int row = 0; row < rows; row++, to += ld, a += lda)
    for (int p = 0; p < k; p += PACKED_STEP)
      _mm512_storeu_si512(to + p / 2, words_of_row(a + p, k - p));
}

/* 32 terms of 16 columns of A (k, columns), as 16 rows of 16 words */
static inline void words_of_square(__m512i *words, const real *a, int lda,
                                   int columns, int k) {
#pragma GCC unroll 16
  for (int i = 0; i < PACKED_LANES; i++) {
    const int p = 2 * i;
    const real *at = a + (ptrdiff_t)p * lda;
    words[i] = words_of_pair(p < k ? some_of(at, columns) : _mm512_setzero_ps(),
                             p + 1 < k ? some_of(at + lda, columns)
                                       : _mm512_setzero_ps());
  }
  transpose_words(words);
}

/* The same from A (k, rows). */
static inline void words_of_columns(packed_word *to, int ld, const real *a,
                                    int lda, int rows, int k) {
  for (int p = 0; p < k; p += PACKED_STEP)
    for (int row = 0; row < rows; row += PACKED_LANES) {
      __m512i words[PACKED_LANES];
      words_of_square(words, a + (ptrdiff_t)p * lda + row, lda, rows - row,
                      k - p);
      packed_word *at = to + (ptrdiff_t)row * ld + p / 2;
      for (int i = 0; i < PACKED_LANES && row + i < rows; i++, at += ld)
        _mm512_storeu_si512(at, words[i]);
    }
}

/* --- Packing B ----------------------------------------------------------- */

/* One pair of rows of B, or one row and zeros, into all panels. */
static inline void pack_pair(packed_word *packed, const real *b, int ldb,
                             int pair, int n, int k) {
  const int first = 2 * pair < k, second = 2 * pair + 1 < k;
  for (int column = 0; column < n;) {
    const int width = packed_width(n - column);
    packed_word *to = packed + (ptrdiff_t)width * (pair + 1);
    for (int i = 0; i < width; i += PACKED_LANES) {
      const int at = column + i, left = n - at;
      const __m512 none = _mm512_setzero_ps();
      _mm512_store_si512(
          to + i, words_of_pair(first ? some_of(b + at, left) : none,
                                second ? some_of(b + ldb + at, left) : none));
    }
    packed += panel_words(width, k);
    column += width;
  }
}

/* A panel from the columns of B, which are contiguous. */
static inline void pack_columns(packed_word *packed, const real *b, int ldb,
                                int columns, int width, int k) {
  for (int column = 0; column < width; column += PACKED_LANES)
    for (int p = 0; p < k; p += PACKED_STEP) {
      __m512i words[PACKED_LANES];
      for (int i = 0; i < PACKED_LANES; i++)
        words[i] =
            column + i < columns
                ? words_of_row(b + (ptrdiff_t)(column + i) * ldb + p, k - p)
                : _mm512_setzero_si512();
      transpose_words(words);
      packed_word *to = packed + (ptrdiff_t)(p / 2) * width + column;
      for (int i = 0; i < PACKED_LANES; i++, to += width)
        _mm512_store_si512(to, words[i]);
    }
}

static inline void pack_words(void *packed, const real *b, int ldb,
                              int b_transposed, const real *start, int n,
                              int k) {
  packed_word *to = packed;
  const int pairs = words_of_terms(k);
  for (int pair = 0; !b_transposed && pair < pairs; pair++)
    pack_pair(to, b + (ptrdiff_t)2 * pair * ldb, ldb, pair, n, k);
  for (int column = 0; column < n;) {
    const int width = packed_width(n - column);
    const int columns = n - column < width ? n - column : width;
    for (int i = 0; i < width; i += PACKED_LANES)
      _mm512_store_ps(to + i, start == NULL
                                  ? _mm512_setzero_ps()
                                  : some_of(start + column + i, columns - i));
    if (b_transposed)
      pack_columns(to + width, b + (ptrdiff_t)column * ldb, ldb, columns, width,
                   k);
    to += panel_words(width, k);
    column += columns;
  }
}

/* --- The product --------------------------------------------------------- */

/* Words of A at a time, and what its rows are padded with, so that neighbours
** in a column lie in different places of the cache. */
#define PACKED_BUFFER 16384
#define PACKED_PADDING PACKED_LANES

#define PACKED_LINE 64

/* Some rows of A by one panel. */
typedef struct packed_operands {
  real *c;
  int ldc, rows, add;
  const packed_word *a;
  int lda, pairs;  // words from row to row, and those that count
  const packed_word *panel;
  int width, columns;  // of the panel; those of its columns that C has
  const char *ahead;   // what to fetch meanwhile
  ptrdiff_t lines;     // of it that are left
} packed_operands;

/* Multiplies the rows of A by all panels of a packed matrix of n columns; 'o'
** holds the first of them. */
static inline void multiply_panels(packed_operands *o, int n,
                                   void (*multiply_panel)(packed_operands *)) {
  for (int column = 0; column < n; column += o->columns) {
    o->width = packed_width(n - column);
    o->columns = n - column < o->width ? n - column : o->width;
    multiply_panel(o);
    o->c += o->columns;
    o->panel += (ptrdiff_t)o->width * (o->pairs + 1);
  }
}

/* What packed_kernels has as 'multiply': rows of A become words, as many at a
** time as the buffer holds, and are multiplied. */
static inline __attribute__((always_inline)) void
multiply_words(real *c, int ldc, const real *a, int lda, int a_transposed,
               const void *packed, int m, int n, int k, int add,
               const real *ahead, size_t ahead_count,
               void (*multiply_rows)(packed_operands *, int n)) {
  packed_word words[PACKED_BUFFER] __attribute__((aligned(64)));
  packed_operands o = {
      .ldc = ldc,
      .add = add,
      .a = words,
      .lda = words_of_terms(k) + PACKED_PADDING,
      .pairs = words_of_terms(k),
      .ahead = ahead ? (const char *)ahead : (const char *)packed,
      .lines = (ptrdiff_t)(ahead_count * sizeof(real) / PACKED_LINE)};
  const int most = PACKED_BUFFER / o.lda;
  for (int chunks = (m + most - 1) / most; chunks > 0; chunks--) {
    o.rows = m / chunks, m -= o.rows;
    if (a_transposed)
      words_of_columns(words, o.lda, a, lda, o.rows, k);
    else
      words_of_rows(words, o.lda, a, lda, o.rows, k);
    o.c = c, o.panel = packed;
    multiply_rows(&o, n);
    a += o.rows * (a_transposed ? (ptrdiff_t)1 : lda);
    c += (ptrdiff_t)o.rows * ldc;
  }
}

#endif
