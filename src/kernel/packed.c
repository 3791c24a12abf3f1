/*
** Products with a packed matrix: recurrent weights, which are used at every
** step, and every large product, where packing is a small part of the work.
**
** The packed matrix lies in panels of PACKED_WIDTH columns, the columns left
** over in panels of one vector each. A panel is what the sums of its columns
** start from, then k rows of neighbours, zeros beyond the last column. A tile of
** up to PACKED_ROWS rows by one panel stays in registers while k goes by; the
** rows of a product are shared out evenly, so there is no tile of a row or two
** at the end.
**
**   AVX-512: 6 rows x 4 vectors of 16 floats; AVX2: 6 x 2 of 8; NEON, which also
**   has 32 registers: 6 x 4 of 4; else 4 x 2 of 4
*/
#include <string.h>

#include "packed_panel.h"
#include "square.h"

typedef real vector __attribute__((vector_size(PACKED_VECTOR), may_alias));
/* The same anywhere in memory. */
typedef real loose __attribute__((vector_size(PACKED_VECTOR),
                                  aligned(sizeof(real)), may_alias));

static size_t bytes(int n, int k) {
  const size_t vectors =
      ((size_t)n + (size_t)PACKED_LANES - 1) / (size_t)PACKED_LANES;
  return vectors * (size_t)PACKED_LANES * ((size_t)k + 1) * sizeof(real);
}

/* One row of a panel: x, then zeros. */
static void pack_row(real *packed, const real *x, int columns, int width) {
  for (int column = 0; column < columns; column++)
    packed[column] = x[column];
  for (int column = columns; column < width; column++)
    packed[column] = 0;
}

/* Rows of a panel of B from its columns, which are contiguous. */
static void pack_few_rows(real *packed, const real *b, int ldb, int columns,
                          int width, int rows) {
  for (int row = 0; row < rows; row++, packed += width) {
    for (int column = 0; column < columns; column++)
      packed[column] = b[(ptrdiff_t)column * ldb + row];
    for (int column = columns; column < width; column++)
      packed[column] = 0;
  }
}

/* All rows of a panel, as many at a time as a vector has lanes. */
static void pack_columns(real *packed, const real *b, int ldb, int columns,
                         int width, int k) {
  int row = 0;
  for (; row + SQUARE_LANES <= k && columns == width; row += SQUARE_LANES) {
    for (int column = 0; column < width; column += SQUARE_LANES)
      square_transpose(packed + column, width,
                       b + (ptrdiff_t)column * ldb + row, ldb);
    packed += SQUARE_LANES * width;
  }
  for (; row < k; row += SQUARE_LANES, packed += SQUARE_LANES * width)
    pack_few_rows(packed, b + row, ldb, columns, width,
                  k - row < SQUARE_LANES ? k - row : SQUARE_LANES);
}

/* The rows of all panels at once, as each row of B is contiguous. */
static void pack_rows(real *packed, const real *b, int ldb, int n, int k) {
  for (int row = 0; row < k; row++, b += ldb) {
    real *to = packed;
    for (int column = 0; column < n;) {
      const int width = packed_width(n - column);
      const int columns = n - column < width ? n - column : width;
      real *place = to + (ptrdiff_t)width * (row + 1);
      if (columns == PACKED_WIDTH)
        memcpy(place, b + column, PACKED_WIDTH * sizeof *b);
      else
        pack_row(place, b + column, columns, width);
      to += (ptrdiff_t)width * (k + 1);
      column += columns;
    }
  }
}

static void pack(void *to, const real *b, int ldb, int b_transposed,
                 const real *start, int n, int k) {
  real *packed = to;
  if (!b_transposed)
    pack_rows(packed, b, ldb, n, k);
  for (int column = 0; column < n;) {
    const int width = packed_width(n - column);
    const int columns = n - column < width ? n - column : width;
    pack_row(packed, start, start == NULL ? 0 : columns, width);
    if (b_transposed)
      pack_columns(packed + width, b, ldb, columns, width, k);
    packed += (ptrdiff_t)width * (k + 1);
    b += b_transposed ? (ptrdiff_t)columns * ldb : 0;
    start += start == NULL ? 0 : columns;
    column += columns;
  }
}

/* --- The product ------------------------------------------------------------ */

/* Adds a tile to C, or writes it, where only some columns belong to C. */
static void store_part(real *c, int ldc, const vector *tile, int rows,
                       int columns, int add) {
  const real *value = (const real *)tile;
  for (int row = 0; row < rows; row++, c += ldc, value += PACKED_LANES)
    for (int column = 0; column < columns; column++)
      c[column] = add ? c[column] + value[column] : value[column];
}

/* A product C = A B on its way: element (row, p) of A is at
** a[row * row_step + p * k_step]. */
typedef struct operands {
  real *c;
  int ldc;
  const real *a;
  ptrdiff_t row_step, k_step;
  const real *panel;
  int columns, k, add;
  const char *ahead;  // what to fetch meanwhile, a line with each term
  ptrdiff_t lines;    // of it that are left
} operands;

#define LINE 64

/*
** One tile. 'rows' and 'vectors' are constants wherever this is inlined, so the
** loops over them vanish and the sums are registers; so is one of the steps.
*/
static inline __attribute__((always_inline)) void
tile(const int rows, const int vectors, const operands *o,
     const ptrdiff_t row_step, const ptrdiff_t k_step) {
  const real *a = o->a;
  const vector *b = (const vector *)(const void *)o->panel;
  const int k = o->k;
  vector sum[PACKED_ROWS * PACKED_VECTORS];
  for (int row = 0; row < rows; row++)
    for (int v = 0; v < vectors; v++) {
      sum[row * vectors + v] = b[v];
      __builtin_prefetch(o->c + (ptrdiff_t)row * o->ldc + v * PACKED_LANES, 1);
    }
  b += vectors;
  const char *ahead = o->ahead;
  const ptrdiff_t line = o->lines > 0 ? LINE : 0;
  for (int p = 0; p < k; p++, b += vectors, a += k_step, ahead += line) {
    __builtin_prefetch(ahead, 0, 2);
    for (int row = 0; row < rows; row++) {
      const real x = a[row * row_step];
      for (int v = 0; v < vectors; v++)
        sum[row * vectors + v] += x * b[v];
    }
  }
  if (o->columns < PACKED_LANES) {
    store_part(o->c, o->ldc, sum, rows, o->columns, o->add);
    return;
  }
  real *c = o->c;
  for (int row = 0; row < rows; row++, c += o->ldc) {
    loose *to = (loose *)(void *)c;
    for (int v = 0; v < vectors; v++) {
      if (o->add)
        to[v] += sum[row * vectors + v];
      else
        to[v] = sum[row * vectors + v];
    }
  }
}

static inline __attribute__((always_inline)) void
tile_of(const int rows, const int vectors, const operands *o) {
  if (o->k_step == 1)
    tile(rows, vectors, o, o->row_step, 1);
  else
    tile(rows, vectors, o, 1, o->k_step);
}

static inline __attribute__((always_inline)) void
rows_of_tile(int rows, const int vectors, const operands *o) {
  switch (rows) {
    case 1:
      tile_of(1, vectors, o);
      break;
    case 2:
      tile_of(2, vectors, o);
      break;
    case 3:
      tile_of(3, vectors, o);
      break;
    case 4:
      tile_of(4, vectors, o);
      break;
#if PACKED_ROWS > 4
    case 5:
      tile_of(5, vectors, o);
      break;
    case 6:
      tile_of(6, vectors, o);
      break;
#endif
  }
}

static void wide_tile(int rows, const operands *o) {
  rows_of_tile(rows, PACKED_VECTORS, o);
}

static void narrow_tile(int rows, const operands *o) {
  rows_of_tile(rows, 1, o);
}

/* All rows of one panel, and meanwhile 'next' lines of the panel after it, which may
** come from afar; what the caller wants ahead comes behind them. */
static void multiply_panel(operands *whole, int m, int width, ptrdiff_t next) {
  operands o = *whole;
  const int tiles = (m + PACKED_ROWS - 1) / PACKED_ROWS;
  if (next > 0)
    o.ahead = (const char *)(o.panel + (ptrdiff_t)width * (o.k + 1)),
    o.lines = next;
  for (int t = 0, row = 0; t < tiles; t++) {
    const int rows = (m - row) / (tiles - t);
    if (next > 0 && o.lines <= 0)
      o.ahead = whole->ahead, o.lines = whole->lines, next = 0;
    if (width == PACKED_WIDTH)
      wide_tile(rows, &o);
    else
      narrow_tile(rows, &o);
    o.c += (ptrdiff_t)rows * o.ldc, o.a += rows * o.row_step;
    o.ahead += o.lines > 0 ? (ptrdiff_t)o.k * LINE : 0, o.lines -= o.k;
    row += rows;
  }
  if (next <= 0)
    whole->ahead = o.ahead, whole->lines = o.lines;
}

/* Lines of memory of a panel. */
static ptrdiff_t panel_lines(int width, int k) {
  return (ptrdiff_t)width * (k + 1) * (ptrdiff_t)sizeof(real) / LINE;
}

static void multiply(real *c, int ldc, const real *a, int lda, int a_transposed,
                     const void *packed, int m, int n, int k, int add,
                     const real *ahead, size_t ahead_count) {
  operands o = {.ldc = ldc,
                .a = a,
                .row_step = a_transposed ? 1 : lda,
                .k_step = a_transposed ? lda : 1,
                .panel = packed,
                .k = k,
                .add = add,
                .ahead = ahead ? (const char *)ahead : (const char *)packed,
                .lines = (ptrdiff_t)(ahead_count * sizeof(real) / LINE)};
  for (int column = 0; column < n; column += o.columns) {
    const int width = packed_width(n - column);
    o.c = c + column;
    o.columns = n - column < width ? n - column : width;
    const int left = n - column - o.columns;
    multiply_panel(&o, m, width,
                   left > 0 ? panel_lines(packed_width(left), k) : 0);
    o.panel += (ptrdiff_t)width * (k + 1);
  }
}

const packed_kernels KERNEL_TABLE(packed) = {
    .width = PACKED_WIDTH,
    .bytes = bytes,
    .pack = pack,
    .multiply = multiply,
};
