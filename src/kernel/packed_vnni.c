/*
** Products in int8 where the processor multiplies bytes (AVX-512 VNNI): four
** products and their sum in each lane of one instruction. It is empty elsewhere.
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
#if defined(__AVX512VNNI__) && !defined(SAROS_DOUBLE)
#include <immintrin.h>

#include "packed_int8.h"

#define LANES 16
#define VECTORS 4
#define WIDTH (VECTORS * LANES)
#define ROWS 6
#define HEAD 3   // words of a column before its terms
#define GROUP 4  // terms in a word

/* Rows of A that become bytes at a time. */
#define CHUNK 96

static int padded(int k) {
  return (k + 63) & ~63;
}

static int panel_width(int left) {
  return left >= WIDTH ? WIDTH : LANES;
}

static size_t panel_words(int width, int k) {
  return (size_t)width * (HEAD + (size_t)padded(k) / GROUP);
}

static size_t bytes(int n, int k) {
  const int columns = (n + LANES - 1) / LANES * LANES;
  return panel_words(columns, k) * sizeof(uint32_t);
}

/* One column of a panel of 'width', at whose first word 'to' stands; the elements
** of b are 'step' apart. */
static void pack_column(uint32_t *to, int width, const real *b, ptrdiff_t step,
                        real start, int k) {
  real inverse;
  const real scale = int8_scale_of(b, step, k, &inverse);
  int sum = 0;
  memcpy(to, &start, sizeof start);
  memcpy(to + width, &scale, sizeof scale);
  uint32_t *word = to + HEAD * width;
  for (int p = 0; inverse != 0 && p < k; p++) {
    const int whole = (int)int8_whole(b[p * step], inverse);
    sum += whole;
    word[p / GROUP * width] |= (uint32_t)(whole & 0xff) << p % GROUP * 8;
  }
  to[2 * width] = (uint32_t)(-128 * sum);
}

static void pack(void *packed, const real *b, int ldb, int b_transposed,
                 const real *start, int n, int k) {
  uint32_t *panel = memset(packed, 0, bytes(n, k));
  const ptrdiff_t next = b_transposed ? ldb : 1, step = b_transposed ? 1 : ldb;
  for (int from = 0, width; from < n; from += width) {
    width = panel_width(n - from);
    const int columns = n - from < width ? n - from : width;
    for (int i = 0; i < columns; i++)
      pack_column(panel + i, width, b + (from + i) * next, step,
                  start ? start[from + i] : 0, k);
    panel += panel_words(width, k);
  }
}

/* --- Rows of A ---------------------------------------------------------------- */

/* Rows as bytes, padded(k) apart. */
typedef struct byte_rows {
  uint8_t term[CHUNK * PACKED_DEPTH] __attribute__((aligned(64)));
  float scale[CHUNK];
} byte_rows;

static __mmask16 lanes_left(int left) {
  return left >= LANES ? 0xffff : (__mmask16)((1 << left) - 1);
}

/* One row that is contiguous. */
static float make_bytes(uint8_t *to, const float *x, int k) {
  __m512i largest = _mm512_setzero_si512();
  const __m512i sign = _mm512_set1_epi32(0x7fffffff);
  for (int p = 0; p < k; p += LANES) {
    const __m512 v = _mm512_maskz_loadu_ps(lanes_left(k - p), x + p);
    largest = _mm512_max_epu32(largest,
                               _mm512_and_si512(_mm512_castps_si512(v), sign));
  }
  float inverse;
  const float scale = int8_scale(_mm512_reduce_max_epu32(largest), &inverse);
  if (inverse == 0) {
    memset(to, 128, (size_t)padded(k));
    return scale;
  }
  const __m512 factor = _mm512_set1_ps(inverse);
  const __m128i middle = _mm_set1_epi8(-128);
  for (int p = 0; p < padded(k); p += LANES) {
    const __mmask16 lanes = p < k ? lanes_left(k - p) : 0;
    const __m512 v = _mm512_maskz_loadu_ps(lanes, x + p);
    const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(v, factor));
    _mm_store_si128((__m128i *)(void *)(to + p),
                    _mm_xor_si128(_mm512_cvtepi32_epi8(whole), middle));
  }
  return scale;
}

static void make_rows(byte_rows *to, const real *a, int lda, int a_transposed,
                      int rows, int k) {
  float column[PACKED_DEPTH];
  uint8_t *term = to->term;
  for (int row = 0; row < rows; row++, term += padded(k)) {
    const float *x = a + (ptrdiff_t)row * lda;
    for (int p = 0; a_transposed && p < k; p++)
      column[p] = a[(ptrdiff_t)p * lda + row];
    to->scale[row] = make_bytes(term, a_transposed ? column : x, k);
  }
}

/* --- The product ---------------------------------------------------------------- */

/* Rows of C by a panel, of which some columns belong to C. */
typedef struct tile_of_c {
  float *c;
  int ldc, columns, add;
} tile_of_c;

static inline __attribute__((always_inline)) __m512i four(const uint8_t *x) {
  int word;
  memcpy(&word, x, sizeof word);
  return _mm512_set1_epi32(word);
}

/* The sums lie in memory: in registers, the branches would cost more of these than
** there are. */
static void store(const tile_of_c *t, int rows, int vectors, const __m512i *sum,
                  const uint32_t *panel, const float *scale) {
  const float *start = (const float *)(const void *)panel;
  const float *factor = start + vectors * LANES;
  float *c = t->c;
  for (int row = 0; row < rows; row++, c += t->ldc)
    for (int v = 0; v < vectors; v++, sum++) {
      const __mmask16 lanes = lanes_left(t->columns - v * LANES);
      const __m512 by = _mm512_mul_ps(_mm512_load_ps(factor + v * LANES),
                                      _mm512_set1_ps(scale[row]));
      __m512 value = _mm512_fmadd_ps(by, _mm512_cvtepi32_ps(*sum),
                                     _mm512_load_ps(start + v * LANES));
      if (t->add)
        value =
            _mm512_add_ps(value, _mm512_maskz_loadu_ps(lanes, c + v * LANES));
      _mm512_mask_storeu_ps(c + v * LANES, lanes, value);
    }
}

/* The compiler would read the weights again for each row. */
#define IN_REGISTER(x) __asm__("" : "+v"(x))

/* 'rows' and 'vectors' are constants wherever this is inlined, so the loops over
** them vanish and the sums are registers. */
static inline __attribute__((always_inline)) void
tile(const int rows, const int vectors, const tile_of_c *t,
     const uint32_t *panel, const uint8_t *a, const float *scale, int k) {
  const int words = (k + GROUP - 1) / GROUP;
  const ptrdiff_t row_step = padded(k);
  const __m512i *b = (const __m512i *)(const void *)panel + 2 * vectors;
  __m512i sum[ROWS * VECTORS], w[VECTORS];
#pragma GCC unroll 24
  for (int i = 0; i < rows * vectors; i++)
    sum[i] = b[i % vectors];
  b += vectors;
  for (int word = 0; word < words; word++, b += vectors, a += GROUP) {
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
  __m512i total[ROWS * VECTORS];
#pragma GCC unroll 24
  for (int i = 0; i < rows * vectors; i++)
    total[i] = sum[i];
  store(t, rows, vectors, total, panel, scale);
}

/* One row: its sums are too few to hide the time of an instruction, so they are in
** two parts, of the even and of the odd words. */
static inline __attribute__((always_inline)) void
row_tile(const int vectors, const tile_of_c *t, const uint32_t *panel,
         const uint8_t *a, const float *scale, int k) {
  const int words = (k + GROUP - 1) / GROUP;
  const __m512i *b = (const __m512i *)(const void *)panel + 2 * vectors;
  __m512i even[VECTORS], odd[VECTORS];
#pragma GCC unroll 4
  for (int v = 0; v < vectors; v++)
    even[v] = b[v], odd[v] = _mm512_setzero_si512();
  b += vectors;
  // with an odd number of words, the last pair ends in zeros
  for (int word = 0; word < words;
       word += 2, b += 2 * vectors, a += 2 * GROUP) {
    const __m512i x = four(a), next = four(a + GROUP);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
      even[v] = _mm512_dpbusd_epi32(even[v], x, b[v]);
      odd[v] = _mm512_dpbusd_epi32(odd[v], next, b[vectors + v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < vectors; v++)
    even[v] = _mm512_add_epi32(even[v], odd[v]);
  store(t, 1, vectors, even, panel, scale);
}

static inline __attribute__((always_inline)) void
rows_of_tile(int rows, const int vectors, const tile_of_c *t,
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

static void wide_tile(int rows, const tile_of_c *t, const uint32_t *panel,
                      const uint8_t *a, const float *scale, int k) {
  rows_of_tile(rows, VECTORS, t, panel, a, scale, k);
}

static void narrow_tile(int rows, const tile_of_c *t, const uint32_t *panel,
                        const uint8_t *a, const float *scale, int k) {
  rows_of_tile(rows, 1, t, panel, a, scale, k);
}

/* All rows of A that are bytes by one panel, shared out evenly among tiles. */
static void multiply_panel(const tile_of_c *whole, const uint32_t *panel,
                           int width, const byte_rows *a, int m, int k) {
  tile_of_c t = *whole;
  const int tiles = (m + ROWS - 1) / ROWS;
  for (int i = 0, row = 0; i < tiles; i++) {
    const int rows = (m - row) / (tiles - i);
    const uint8_t *term = a->term + (ptrdiff_t)row * padded(k);
    if (width == WIDTH)
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
  byte_rows rows;
  (void)ahead, (void)ahead_count;
  for (int row = 0; row < m; row += CHUNK, c += (ptrdiff_t)CHUNK * ldc) {
    const int chunk = m - row < CHUNK ? m - row : CHUNK;
    const uint32_t *panel = packed;
    make_rows(&rows, a + (ptrdiff_t)row * (a_transposed ? 1 : lda), lda,
              a_transposed, chunk, k);
    for (int column = 0, width; column < n; column += width) {
      width = panel_width(n - column);
      const tile_of_c t = {c + column, ldc, n - column, add};
      multiply_panel(&t, panel, width, &rows, chunk, k);
      panel += panel_words(width, k);
    }
  }
}

const packed_kernels KERNEL_TABLE(packed_vnni) = {
    .width = WIDTH,
    .bytes = bytes,
    .pack = pack,
    .multiply = multiply,
};

#endif
