/*
** Products with a matrix that is packed in int8, by the tiles of AMX; the file is
** empty elsewhere. packed_bytes.h has the layout.
**
** The rows of A are shared out evenly among tiles of at most 16 rows. The last tile
** may read bytes of A beyond the last row: their sums are not stored. Two tiles of
** rows meet two of columns at a time, or one meets four: four tiles of sums hide the
** latency of a product. Sums are exact and leave the tiles through a buffer, from
** which the same code stores them as in packed_vnni.c, so the bits are the same.
** packed_vnni.c multiplies fewer rows than a tile has: they only take the time to
** read the packed matrix.
*/
#if (defined(__AMX_INT8__) || defined(__AMXINT8__) ||                          \
     defined(KERNEL_TILES_EMULATED)) &&                                        \
    !defined(SAROS_DOUBLE)
#include "amx_tiles.h"
#include "packed_bytes.h"

#define ROWS 16  // of a tile, at most
#define LINE 64  // bytes of a tile's row

/* Rows of A, in tiles of 'count', by a panel. */
typedef struct byte_operands {
  const packed_bytes_rows *a;
  packed_bytes_tile c;
  int rows, count, k;
  __m512i sums[4 * ROWS];
} byte_operands;

/*
** The sums of two tiles of rows or one, by so many tiles of columns. Tiles 0..3 are
** sums, 4 and 5 of A, 6 and 7 of B. 'rows' and 'columns' are constants wherever this
** is inlined.
*/
static inline __attribute__((always_inline)) void
sum_tiles(const int rows, const int columns, const uint32_t *begin, int width,
          const uint8_t *a, const uint8_t *lower, int k) {
  const ptrdiff_t a_stride = bytes_padded(k);
  const ptrdiff_t b_stride = width * (ptrdiff_t)sizeof *begin;
  const uint32_t *b = begin + width;
  const int second = rows > 1 ? 0 : 2 * PACKED_BYTES_LANES;
  KERNEL_TILE_LOAD(0, begin, 0);
  if (columns > 1)
    KERNEL_TILE_LOAD(1, begin + PACKED_BYTES_LANES, 0);
  if (rows > 1 || columns > 2)
    KERNEL_TILE_LOAD(2, begin + second, 0);
  if (columns > 2 || (rows > 1 && columns > 1))
    KERNEL_TILE_LOAD(3, begin + second + PACKED_BYTES_LANES, 0);
  for (int from = 0; from < k; from += LINE) {
    KERNEL_TILE_LOAD(4, a + from, a_stride);
    KERNEL_TILE_LOAD(6, b, b_stride);
    KERNEL_TILE_DOT_INT8(0, 4, 6);
    if (columns > 1) {
      KERNEL_TILE_LOAD(7, b + PACKED_BYTES_LANES, b_stride);
      KERNEL_TILE_DOT_INT8(1, 4, 7);
    }
    if (rows > 1) {
      KERNEL_TILE_LOAD(5, lower + from, a_stride);
      KERNEL_TILE_DOT_INT8(2, 5, 6);
      if (columns > 1)
        KERNEL_TILE_DOT_INT8(3, 5, 7);
    } else if (columns > 2) {
      KERNEL_TILE_LOAD(6, b + 2 * PACKED_BYTES_LANES, b_stride);
      KERNEL_TILE_DOT_INT8(2, 4, 6);
      KERNEL_TILE_LOAD(7, b + 3 * PACKED_BYTES_LANES, b_stride);
      KERNEL_TILE_DOT_INT8(3, 4, 7);
    }
    b += ROWS * width;
  }
}

/* The same for the rows from 'row' on, and from the tiles to C. */
static inline __attribute__((always_inline)) void
multiply_tiles(const int rows, const int columns, byte_operands *o, int row,
               int column) {
  __m512i *sums = o->sums;
  const ptrdiff_t stride = columns * LINE;
  const int left = o->rows - row;
  const uint8_t *a = o->a->term + (ptrdiff_t)row * bytes_padded(o->k);
  const uint8_t *lower = a + (ptrdiff_t)o->count * bytes_padded(o->k);
  __m512i *second = sums + (rows > 1 ? o->count * columns : 2);
  packed_bytes_tile t = o->c;
  t.c += (ptrdiff_t)row * t.ldc + column;
  t.start += column, t.columns -= column;
  sum_tiles(rows, columns,
            (const uint32_t *)(const void *)t.start + 2 * t.width, t.width, a,
            lower, o->k);
  KERNEL_TILE_STORE(0, sums, stride);
  if (columns > 1)
    KERNEL_TILE_STORE(1, sums + 1, stride);
  if (rows > 1 || columns > 2)
    KERNEL_TILE_STORE(2, second, stride);
  if (columns > 2 || (rows > 1 && columns > 1))
    KERNEL_TILE_STORE(3, second + 1, stride);
  bytes_store(&t, left < rows * o->count ? left : rows * o->count, columns,
              sums, o->a->scale + row);
}

/* All rows by one panel. */
static void multiply_panel(byte_operands *o) {
  const int width = o->c.width, count = o->count;
  int row = 0;
  for (; row + count < o->rows; row += 2 * count)
    if (width == PACKED_BYTES_WIDTH) {
      multiply_tiles(2, 2, o, row, 0);
      multiply_tiles(2, 2, o, row, 2 * PACKED_BYTES_LANES);
    } else {
      multiply_tiles(2, 1, o, row, 0);
    }
  if (row >= o->rows)
    return;
  if (width == PACKED_BYTES_WIDTH)
    multiply_tiles(1, 4, o, row, 0);
  else
    multiply_tiles(1, 1, o, row, 0);
}

static void multiply_panels(byte_operands *o, float *c, int ldc,
                            const void *packed, int n, int add) {
  const float *panel = packed;
  for (int column = 0, width; column < n; column += width) {
    width = bytes_panel_width(n - column);
    o->c = (packed_bytes_tile){c + column, ldc, n - column, add, panel, width};
    multiply_panel(o);
    panel += bytes_panel_words(width, o->k);
  }
}

/* No thread keeps tiles between calls, so none has to save them. */
static void multiply_rows(byte_operands *o, float *c, int ldc,
                          const void *packed, int n, int add) {
  const int tiles = (o->rows + ROWS - 1) / ROWS;
  kernel_tile_shapes shapes = {.palette = 1};
  o->count = (o->rows + tiles - 1) / tiles;
  for (int tile = 0; tile < 8; tile++) {
    shapes.row_bytes[tile] = LINE;
    shapes.rows[tile] = (uint8_t)(tile < 6 ? o->count : ROWS);
  }
  KERNEL_TILE_CONFIGURE(&shapes);
  multiply_panels(o, c, ldc, packed, n, add);
  KERNEL_TILE_RELEASE();
}

static void multiply(real *c, int ldc, const real *a, int lda, int a_transposed,
                     const void *packed, int m, int n, int k, int add,
                     const real *ahead, size_t ahead_count) {
  packed_bytes_rows rows;
  byte_operands o;
  o.a = &rows, o.k = k;
  for (int row = 0; row < m; row += PACKED_BYTES_CHUNK) {
    const int chunk =
        m - row < PACKED_BYTES_CHUNK ? m - row : PACKED_BYTES_CHUNK;
    const real *from = a + (ptrdiff_t)row * (a_transposed ? 1 : lda);
    real *to = c + (ptrdiff_t)row * ldc;
    if (chunk < ROWS) {
      KERNEL_NAME(packed_vnni, avx512)
          .multiply(to, ldc, from, lda, a_transposed, packed, chunk, n, k, add,
                    ahead, ahead_count);
      return;
    }
    bytes_make_rows(&rows, from, lda, a_transposed, chunk, k);
    o.rows = chunk;
    multiply_rows(&o, to, ldc, packed, n, add);
  }
}

const packed_kernels KERNEL_TABLE(packed_amx_int8) = {
    .width = PACKED_BYTES_WIDTH,
    .bytes = bytes_size,
    .pack = bytes_pack,
    .multiply = multiply,
};

#endif
