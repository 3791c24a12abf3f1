/*
** Sums of many rows, shared among the threads: gradients of what met every row,
** totals of losses, norms.
*/
#include <string.h>

#include "op.h"

/* --- Blocks ----------------------------------------------------------------------- */

/* Elements in a block, and the rows that it has at least, so that the sums of
** blocks are few beside the rows. */
#define ELEMENTS ((size_t)1 << 16)
#define LEAST_ROWS ((size_t)256)

typedef struct block_sums {
  op_block_sum *sum;
  const void *arguments;
  size_t rows, columns;  // in all
  size_t height, width;  // of a block
  size_t across;         // blocks side by side
  double *total;         // a row for each block of rows
} block_sums;

static size_t smaller(size_t a, size_t b) {
  return a < b ? a : b;
}

static size_t divide_up(size_t n, size_t by) {
  return (n + by - 1) / by;
}

/* The cut of (rows, columns), neither of them 0; blocks can be counted by int. */
static void cut_into_blocks(block_sums *s) {
  s->height = ELEMENTS / smaller(s->columns, ELEMENTS / LEAST_ROWS);
  s->height = smaller(s->height, s->rows);
  s->width = smaller(ELEMENTS / smaller(s->height, ELEMENTS), s->columns);
  while (divide_up(s->rows, s->height) * divide_up(s->columns, s->width) >=
         INT32_MAX)
    s->height *= 2;
  s->across = divide_up(s->columns, s->width);
}

static void sum_block(void *arguments, int block) {
  const block_sums *s = arguments;
  const size_t layer = (size_t)block / s->across,
               first = (size_t)block % s->across * s->width;
  s->sum(s->arguments, s->total + layer * s->columns + first, layer * s->height,
         smaller((layer + 1) * s->height, s->rows), first,
         smaller(s->width, s->columns - first));
}

saros_status op_sum_blocks(saros_context *context, op_block_sum *sum,
                           const void *arguments, size_t rows, size_t columns,
                           double **total) {
  block_sums s = {sum, arguments, rows, columns, 1, 1, 0, NULL};
  size_t layers = 1;
  if (rows > 0 && columns > 0) {
    cut_into_blocks(&s);
    layers = divide_up(rows, s.height);
  }
  const size_t bytes = layers * columns * sizeof(double) + 1;
  s.total = *total = pool_take(&context->pool, bytes);
  if (s.total == NULL)
    return base_out_of_memory(context, bytes);
  memset(s.total, 0, columns * sizeof(double));
  saros_status status = team_share(context, 8 * (double)rows * (double)columns,
                                   (int)(layers * s.across), sum_block, &s);
  if (status != SAROS_OK) {
    pool_give(&context->pool, s.total);
    return status;
  }
  for (size_t layer = 1; layer < layers; layer++)
    for (size_t i = 0; i < columns; i++)
      s.total[i] += s.total[layer * columns + i];
  return SAROS_OK;
}

/* --- What is summed ----------------------------------------------------------------- */

typedef struct operands {
  const reduce_kernels *kernels;
  const real *a, *b;
  size_t columns;
} operands;

static void sum_rows_of_block(const void *arguments, double *total, size_t from,
                              size_t to, size_t first, size_t n) {
  const operands *o = arguments;
  o->kernels->sum_rows(total, o->a + from * o->columns + first, to - from,
                       o->columns, n);
}

static void sum_products_of_block(const void *arguments, double *total,
                                  size_t from, size_t to, size_t first,
                                  size_t n) {
  const operands *o = arguments;
  const size_t at = from * o->columns + first;
  o->kernels->sum_products(total, o->a + at, o->b + at, to - from, o->columns,
                           n);
}

static void sum_squares_of_block(const void *arguments, double *total,
                                 size_t from, size_t to, size_t first,
                                 size_t n) {
  const operands *o = arguments;
  (void)first, (void)n;  // one column
  *total = o->kernels->sum_of_squares(o->a + from, to - from);
}

saros_status op_sum_rows(saros_context *context, real *y, int add,
                         const real *x, size_t rows, size_t columns) {
  const operands o = {context->kernels->reduce, x, NULL, columns};
  double *total;
  TRY(op_sum_blocks(context, sum_rows_of_block, &o, rows, columns, &total));
  for (size_t i = 0; i < columns; i++)
    y[i] = (real)total[i] + (add ? y[i] : 0);
  pool_give(&context->pool, total);
  return SAROS_OK;
}

saros_status op_add_products(saros_context *context, real *y, const real *a,
                             const real *b, size_t rows, size_t columns) {
  const operands o = {context->kernels->reduce, a, b, columns};
  double *total;
  TRY(op_sum_blocks(context, sum_products_of_block, &o, rows, columns, &total));
  for (size_t i = 0; i < columns; i++)
    y[i] += (real)total[i];
  pool_give(&context->pool, total);
  return SAROS_OK;
}

saros_status op_sum_of_squares(saros_context *context, const real *x, size_t n,
                               double *sum) {
  const operands o = {context->kernels->reduce, x, NULL, 1};
  double *total;
  TRY(op_sum_blocks(context, sum_squares_of_block, &o, n, 1, &total));
  *sum = *total;
  pool_give(&context->pool, total);
  return SAROS_OK;
}
