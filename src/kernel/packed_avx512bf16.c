/*
** Products with a matrix that is packed in bf16, where the processor adds up
** the products of two terms in each lane of one instruction (AVX-512 BF16,
** vdpbf16ps). The file is empty elsewhere.
**
** Some rows of A become words first (packed_words.h), in a buffer; then a tile
** of up to PACKED_ROWS rows by one panel stays in registers while the terms go
** by, as in packed.c. Sums are of floats. The instruction takes subnormals for
** zeros and makes zeros of subnormal sums, whatever the processor is told to do
** with them.
*/
#if defined(__AVX512BF16__) && !defined(SAROS_DOUBLE)
#include "packed_words.h"

/* The compiler would read the words from memory again for each product. */
#define IN_REGISTER(x) __asm__("" : "+v"(x))

static inline __attribute__((always_inline)) void
store_sums(const __m512 *sum, const packed_operands *o, const int rows,
           const int vectors) {
  real *c = o->c;
  const __mmask16 mask = mask_of(o->columns);
  for (int row = 0; row < rows; row++, c += o->ldc)
    for (int v = 0; v < vectors; v++) {
      real *to = c + v * PACKED_LANES;
      __m512 value = sum[row * vectors + v];
      if (o->add)
        value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, to));
      _mm512_mask_storeu_ps(to, mask, value);
    }
}

/*
** One tile. 'rows' and 'vectors' are constants wherever this is inlined, so the
** loops over them vanish and the sums are registers.
*/
static inline __attribute__((always_inline)) void
tile(const int rows, const int vectors, const packed_operands *o) {
  const packed_word *a = o->a, *b = o->panel;
  const ptrdiff_t lda = o->lda;
  __m512 sum[PACKED_ROWS * PACKED_VECTORS];
  for (int row = 0; row < rows; row++)
    for (int v = 0; v < vectors; v++) {
      sum[row * vectors + v] = _mm512_load_ps(b + v * PACKED_LANES);
      __builtin_prefetch(o->c + (ptrdiff_t)row * o->ldc + v * PACKED_LANES, 1);
    }
  b += vectors * PACKED_LANES;
  const char *ahead = o->ahead;
  const ptrdiff_t line = o->lines > 0 ? PACKED_LINE : 0;
  for (int p = o->pairs; p > 0; p--, a++, ahead += line) {
    __m512i w[PACKED_VECTORS];
    __builtin_prefetch(ahead, 0, 2);
    for (int v = 0; v < vectors; v++, b += PACKED_LANES) {
      w[v] = _mm512_load_si512(b);
      IN_REGISTER(w[v]);
    }
    for (int row = 0; row < rows; row++) {
      __m512i x = _mm512_set1_epi32((int)a[row * lda]);
      IN_REGISTER(x);
      for (int v = 0; v < vectors; v++)
        sum[row * vectors + v] = _mm512_dpbf16_ps(sum[row * vectors + v],
                                                  (__m512bh)x, (__m512bh)w[v]);
    }
  }
  store_sums(sum, o, rows, vectors);
}

static inline __attribute__((always_inline)) void
rows_of_tile(int rows, const int vectors, const packed_operands *o) {
  switch (rows) {
    case 1:
      tile(1, vectors, o);
      break;
    case 2:
      tile(2, vectors, o);
      break;
    case 3:
      tile(3, vectors, o);
      break;
    case 4:
      tile(4, vectors, o);
      break;
    case 5:
      tile(5, vectors, o);
      break;
    case 6:
      tile(6, vectors, o);
      break;
  }
}

static void wide_tile(int rows, const packed_operands *o) {
  rows_of_tile(rows, PACKED_VECTORS, o);
}

static void narrow_tile(int rows, const packed_operands *o) {
  rows_of_tile(rows, 1, o);
}

static void multiply_panel(packed_operands *whole) {
  packed_operands o = *whole;
  const int tiles = (o.rows + PACKED_ROWS - 1) / PACKED_ROWS;
  for (int t = 0, row = 0; t < tiles; t++) {
    const int rows = (whole->rows - row) / (tiles - t);
    if (o.width == PACKED_WIDTH)
      wide_tile(rows, &o);
    else
      narrow_tile(rows, &o);
    o.c += (ptrdiff_t)rows * o.ldc, o.a += (ptrdiff_t)rows * o.lda;
    o.ahead += o.lines > 0 ? (ptrdiff_t)o.pairs * PACKED_LINE : 0;
    o.lines -= o.pairs;
    row += rows;
  }
  whole->ahead = o.ahead, whole->lines = o.lines;
}

static void multiply_rows(packed_operands *o, int n) {
  multiply_panels(o, n, multiply_panel);
}

static void multiply(real *c, int ldc, const real *a, int lda, int a_transposed,
                     const void *packed, int m, int n, int k, int add,
                     const real *ahead, size_t ahead_count) {
  multiply_words(c, ldc, a, lda, a_transposed, packed, m, n, k, add, ahead,
                 ahead_count, multiply_rows);
}

const packed_kernels KERNEL_TABLE(packed_avx512bf16) = {
    .width = PACKED_WIDTH,
    .bytes = packed_bytes,
    .pack = pack_words,
    .multiply = multiply,
};

#endif
