/*
** Products with a matrix that is packed in bf16, by the tiles of AMX; the file
** is empty elsewhere. The words of A and the packed matrix are those of
** packed_avx512bf16.c.
**
** The rows of A are shared out evenly among tiles of at most 16 rows; the last
** one may repeat rows of the one before, so that all have the same shape. Two
** tiles of rows meet two of columns at a time, or one meets four: four tiles of
** sums hide the latency of a product. Sums leave the tiles through a buffer,
** from which they are added to 'start' or C. A row is multiplied in the same
** way whatever the others are, so the bits do not depend on how rows are shared
** among calls.
*/
#if (defined(__AMX_BF16__) || defined(__AMXBF16__) ||                          \
     defined(KERNEL_TILES_EMULATED)) &&                                        \
    !defined(SAROS_DOUBLE)
#include "amx_tiles.h"
#include "packed_words.h"

#define ROWS 16  // of a tile, at most
#define AHEAD 4  // lines to fetch with each step

/* The rows of a tile: 'count' of them from 'row' on, of which the first 'known'
** were in the tile before. */
typedef struct tile_rows {
  int row, count, known;
} tile_rows;

/* The sums of one tile, for 16 columns, to C. */
static void store_sums(const float *sums, const packed_operands *o,
                       tile_rows at, int column) {
  const __mmask16 mask = mask_of(o->columns - column);
  const __m512 start = _mm512_load_ps(o->panel + column);
  real *c = o->c + (ptrdiff_t)(at.row + at.known) * o->ldc + column;
  for (int row = at.known; row < at.count; row++, c += o->ldc) {
    __m512 value =
        _mm512_add_ps(_mm512_load_ps(sums + row * PACKED_LANES), start);
    if (o->add)
      value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, c));
    _mm512_mask_storeu_ps(c, mask, value);
  }
}

/* Brings the places near to which the sums will go. */
static inline __attribute__((always_inline)) void
fetch_places(const packed_operands *o, tile_rows at, int column,
             const int columns) {
  const real *c = o->c + (ptrdiff_t)at.row * o->ldc + column;
  for (int row = 0; row < at.count; row++, c += o->ldc)
    for (int i = 0; i < columns; i++)
      __builtin_prefetch(c + i * PACKED_LANES, 1);
}

/*
** The sums of two tiles of rows or one, by so many tiles of columns from
** 'column' on. Tiles 0..3 are sums, 4 and 5 of A, 6 and 7 of B. 'rows' and
** 'columns' are constants wherever this is inlined.
*/
static inline __attribute__((always_inline)) void
sum_tiles(const int rows, const int columns, packed_operands *o,
          const packed_word *a, const packed_word *lower,
          const packed_word *b) {
  const ptrdiff_t a_stride = o->lda * (ptrdiff_t)sizeof *a;
  const ptrdiff_t b_stride = o->width * (ptrdiff_t)sizeof *b;
  const ptrdiff_t line = o->lines > 0 ? PACKED_LINE : 0;
  const int steps = o->pairs / ROWS, width = o->width;
  const char *ahead = o->ahead;
  KERNEL_TILE_ZERO(0);
  KERNEL_TILE_ZERO(1);
  KERNEL_TILE_ZERO(2);
  KERNEL_TILE_ZERO(3);
  for (int step = 0; step < steps; step++) {
    KERNEL_TILE_LOAD(4, a, a_stride);
    KERNEL_TILE_LOAD(6, b, b_stride);
    KERNEL_TILE_DOT_BF16(0, 4, 6);
    if (columns > 1) {
      KERNEL_TILE_LOAD(7, b + PACKED_LANES, b_stride);
      KERNEL_TILE_DOT_BF16(1, 4, 7);
    }
    if (rows > 1) {
      KERNEL_TILE_LOAD(5, lower, a_stride);
      KERNEL_TILE_DOT_BF16(2, 5, 6);
      if (columns > 1)
        KERNEL_TILE_DOT_BF16(3, 5, 7);
    } else if (columns > 2) {
      KERNEL_TILE_LOAD(6, b + 2 * PACKED_LANES, b_stride);
      KERNEL_TILE_DOT_BF16(2, 4, 6);
      KERNEL_TILE_LOAD(7, b + 3 * PACKED_LANES, b_stride);
      KERNEL_TILE_DOT_BF16(3, 4, 7);
    }
    for (int i = 0; i < AHEAD; i++, ahead += line)
      __builtin_prefetch(ahead, 0, 2);
    a += PACKED_LANES, lower += PACKED_LANES, b += ROWS * width;
  }
  o->ahead = ahead, o->lines -= AHEAD * steps;
}

/* The same, and from the tiles to C. */
static inline __attribute__((always_inline)) void
multiply_tiles(const int rows, const int columns, packed_operands *o,
               tile_rows upper, tile_rows lower, int column) {
  float sums[4][ROWS * PACKED_LANES] __attribute__((aligned(64)));
  fetch_places(o, upper, column, columns);
  if (rows > 1)
    fetch_places(o, lower, column, columns);
  sum_tiles(rows, columns, o, o->a + (ptrdiff_t)upper.row * o->lda,
            o->a + (ptrdiff_t)lower.row * o->lda, o->panel + o->width + column);
  KERNEL_TILE_STORE(0, sums[0], PACKED_LINE);
  KERNEL_TILE_STORE(1, sums[1], PACKED_LINE);
  KERNEL_TILE_STORE(2, sums[2], PACKED_LINE);
  KERNEL_TILE_STORE(3, sums[3], PACKED_LINE);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++)
      store_sums(sums[2 * i + j], o, i == 0 ? upper : lower,
                 column + j * PACKED_LANES);
}

static tile_rows rows_of_tile(const packed_operands *o, int tile) {
  const int tiles = (o->rows + ROWS - 1) / ROWS;
  const int count = (o->rows + tiles - 1) / tiles, row = tile * count;
  const int last = o->rows - count;
  return row <= last ? (tile_rows){row, count, 0}
                     : (tile_rows){last, count, row - last};
}

/* All rows of one panel. */
static void multiply_panel(packed_operands *o) {
  const int tiles = (o->rows + ROWS - 1) / ROWS, pairs = tiles / 2;
  for (int column = 0; column < o->width; column += 2 * PACKED_LANES)
    for (int pair = 0; pair < pairs; pair++) {
      const tile_rows upper = rows_of_tile(o, 2 * pair);
      const tile_rows lower = rows_of_tile(o, 2 * pair + 1);
      if (o->width == PACKED_WIDTH)
        multiply_tiles(2, 2, o, upper, lower, column);
      else
        multiply_tiles(2, 1, o, upper, lower, column);
    }
  if (tiles % 2 == 0)
    return;
  const tile_rows last = rows_of_tile(o, tiles - 1);
  if (o->width == PACKED_WIDTH)
    multiply_tiles(1, 4, o, last, last, 0);
  else
    multiply_tiles(1, 1, o, last, last, 0);
}

/* No thread keeps tiles between calls, so none has to save them. */
static void multiply_rows(packed_operands *o, int n) {
  const uint8_t count = (uint8_t)rows_of_tile(o, 0).count;
  kernel_tile_shapes shapes = {.palette = 1};
  for (int tile = 0; tile < 8; tile++) {
    shapes.row_bytes[tile] = PACKED_LINE;
    shapes.rows[tile] = tile < 6 ? count : ROWS;
  }
  KERNEL_TILE_CONFIGURE(&shapes);
  multiply_panels(o, n, multiply_panel);
  KERNEL_TILE_RELEASE();
}

static void multiply(real *c, int ldc, const real *a, int lda, int a_transposed,
                     const void *packed, int m, int n, int k, int add,
                     const real *ahead, size_t ahead_count) {
  multiply_words(c, ldc, a, lda, a_transposed, packed, m, n, k, add, ahead,
                 ahead_count, multiply_rows);
}

const packed_kernels KERNEL_TABLE(packed_amx) = {
    .width = PACKED_WIDTH,
    .bytes = packed_bytes,
    .pack = pack_words,
    .multiply = multiply,
};

#endif
