/*
** Products of large arrays, shared among the threads. Large ones are made of
** packed matrices (kernel/packed.c), the others go to BLAS; which is which, and
** how a product is cut into blocks, depends on its shape alone, so that the
** bits of the result do not depend on the number of threads.
*/
#include "product.h"

#include <string.h>

/* Rows of A that meet a packed matrix at a time. */
#define ROWS 96

/* Terms of a product that repay the hand-over to a second thread, a microsecond or
** two; bytes of a matrix that do, and the parts in which these are read. */
#define SHARED_TERMS 4e6
#define LARGE_BYTES 1000000
#define PARTS 8

/* Columns and terms of a product that a low precision rounds, at least. */
#define ROUNDED 16

int product_depth(int k) {
  return k == 0 ? 1 : base_divide_up(k, base_divide_up(k, PRODUCT_DEPTH));
}

int product_suits_packing(const saros_context *context, int m, int n, int k) {
  const double rows = saros_trace_rows(context, m);
  const int least = product_kind(context) == PACKED_REAL ? 4 : ROUNDED;
  return rows >= 32 && n >= least && k >= least && rows * n * k >= 1e5;
}

int product_kind(const saros_context *context) {
  int kind = context->precision;
  return context->kernels->packed[kind] != NULL ? kind : PACKED_REAL;
}

/* --- A packed matrix ------------------------------------------------------------- */

typedef struct packing {
  const kernels *kernels;
  const product_packed *to;
  product_view b;
  const real *start;
  int columns, groups;  // columns in a group, groups in a layer
} packing;

/* The bytes of a layer, all of which are aligned. */
static size_t layer_bytes(const packed_kernels *k, int n, int depth) {
  return (k->bytes(n, depth) + 63) / 64 * 64;
}

static char *layer_of(const packed_kernels *k, const product_packed *p,
                      int layer) {
  return (char *)p->data +
         layer_bytes(k, p->n, product_depth(p->k)) * (size_t)layer;
}

static void pack_group(void *arguments, int block) {
  const packing *p = arguments;
  const packed_kernels *k = p->kernels->packed[p->to->kind];
  int depth = product_depth(p->to->k), layer = block / p->groups;
  int row = layer * depth, column = block % p->groups * p->columns;
  int rows = p->to->k - row < depth ? p->to->k - row : depth;
  int left = p->to->n - column;
  ptrdiff_t at = p->b.transposed ? (ptrdiff_t)column * p->b.ld + row
                                 : (ptrdiff_t)row * p->b.ld + column;
  k->pack(layer_of(k, p->to, layer) + k->bytes(column, rows), p->b.data + at,
          p->b.ld, p->b.transposed,
          layer == 0 && p->start != NULL ? p->start + column : NULL,
          left < p->columns ? left : p->columns, rows);
}

size_t product_packed_bytes(const kernels *k, const product_packed *p) {
  int layers = p->k == 0 ? 1 : base_divide_up(p->k, PRODUCT_DEPTH);
  return layer_bytes(k->packed[p->kind], p->n, product_depth(p->k)) *
         (size_t)layers;
}

saros_status product_pack(saros_context *context, const product_packed *p,
                          product_view b, const real *start) {
  int layers = p->k == 0 ? 1 : base_divide_up(p->k, PRODUCT_DEPTH);
  int columns = 4 * context->kernels->packed[p->kind]->width;
  packing job = {
      context->kernels, p, b, start, columns, base_divide_up(p->n, columns)};
  return team_share(context, 8.0 * p->n * p->k, layers * job.groups, pack_group,
                    &job);
}

saros_status product_packed_new(saros_context *context, product_packed *p,
                                product_view b, const real *start, int n,
                                int k) {
  *p = (product_packed){NULL, n, k, product_kind(context), NULL};
  if (product_is_kept(context, b.data))
    return product_keep(context, p, b, start);
  size_t bytes = product_packed_bytes(context->kernels, p);
  p->data = pool_take(&context->pool, bytes);
  if (p->data == NULL)
    return base_out_of_memory(context, bytes);
  saros_status status = product_pack(context, p, b, start);
  if (status != SAROS_OK)
    product_packed_release(context, p);
  return status;
}

void product_packed_release(saros_context *context, product_packed *p) {
  if (p->users != NULL)
    --*p->users;
  else
    pool_give(&context->pool, p->data);
  p->data = NULL, p->users = NULL;
}

/* Columns first..first + n - 1 of the product, layer after layer; what the caller
** will read next is fetched during the first. */
static void multiply_layers(const kernels *k, const product_packed *p,
                            const product_rows *r, int first, int n) {
  const packed_kernels *packed = k->packed[p->kind];
  int depth = product_depth(p->k), row = 0;
  const real *ahead = r->ahead;
  size_t ahead_count = r->ahead_count;
  do {
    int rows = p->k - row < depth ? p->k - row : depth;
    const char *layer = layer_of(packed, p, row / depth);
    packed->multiply(r->c + first, r->ldc,
                     r->a + (ptrdiff_t)row * (r->transposed ? r->lda : 1),
                     r->lda, r->transposed, layer + packed->bytes(first, rows),
                     r->m, n, rows, row > 0 || r->add, ahead, ahead_count);
    ahead = NULL, ahead_count = 0;
    row += depth;
  } while (row < p->k);
}

void product_packed_multiply(const kernels *k, const product_packed *p,
                             const product_rows *rows) {
  multiply_layers(k, p, rows, 0, p->n);
}

/* A product whose columns are cut into blocks, for the threads, and these into parts. */
typedef struct shared_product {
  const kernels *kernels;
  const product_packed *packed;
  const product_rows *rows;
  int columns, part;  // in a block, in a part
} shared_product;

/* Every other product takes the parts in the opposite order: first what the one
** before it read last, which the cache still has of a matrix that it cannot hold. */
static void multiply_columns(void *arguments, int block) {
  const shared_product *s = arguments;
  product_rows rows = *s->rows;
  int first = block * s->columns, left = s->packed->n - first;
  int columns = left < s->columns ? left : s->columns;
  int parts = base_divide_up(columns, s->part);
  for (int i = 0; i < parts; i++) {
    int from = (rows.backwards ? parts - 1 - i : i) * s->part;
    left = columns - from;
    multiply_layers(s->kernels, s->packed, &rows, first + from,
                    left < s->part ? left : s->part);
    rows.ahead_count = 0;
  }
}

/* A share of columns, in whole panels. */
static int share_of(int columns, int shares, int width) {
  return base_divide_up(base_divide_up(columns, width), shares) * width;
}

/* The sums of a column do not depend on which others its block holds, so the
** blocks may be as many as the threads. A product is worth a second one by its terms,
** or, where few rows meet the matrix, by the bytes of this, as they have to be read. */
saros_status product_packed_multiply_shared(saros_context *context,
                                            const product_packed *p,
                                            const product_rows *rows) {
  int width = context->kernels->packed[p->kind]->width;
  int large = product_packed_bytes(context->kernels, p) >= LARGE_BYTES;
  int shared = large || (double)rows->m * p->n * p->k >= SHARED_TERMS;
  int columns = share_of(p->n, shared ? context->threads : 1, width);
  int part = share_of(columns, large ? PARTS : 1, width);
  shared_product s = {context->kernels, p, rows, columns, part};
  return team_for(context, base_divide_up(p->n, columns), multiply_columns, &s);
}

/* --- Rows of a walk ---------------------------------------------------------------- */

int product_fixed_row_blocks(int rows) {
  int blocks = base_divide_up(rows, 32);
  return blocks == 1 && rows >= 8 ? 2 : blocks;
}

int product_row_blocks(const saros_context *context, int rows) {
  int most = rows < 16 ? product_fixed_row_blocks(rows) : rows / 8;
  return most < context->threads ? most : context->threads;
}

/* --- op(A) op(B) ------------------------------------------------------------------ */

typedef struct product {
  const kernels *kernels;
  real *c;
  int ldc;
  product_view a, b;
  product_sizes sizes;
  int rows;  // of C in a block
  real beta;
  size_t most_ahead;  // elements
  product_packed packed;
} product;

/* Elements of A that the next block reads; 0 if they would not stay in L2. */
static size_t ahead_of(const product *p, int rows) {
  const size_t count =
      (size_t)(rows < p->rows ? rows : p->rows) * (size_t)p->a.ld;
  return p->a.transposed || count > p->most_ahead ? 0 : count;
}

static void multiply_block(void *arguments, int block) {
  const product *p = arguments;
  const product_view *a = &p->a, *b = &p->b;
  int first = block * p->rows, left = p->sizes.m - first;
  int m = left < p->rows ? left : p->rows;
  const real *from = a->data + (ptrdiff_t)first * (a->transposed ? 1 : a->ld);
  real *c = p->c + (ptrdiff_t)first * p->ldc;
  if (p->packed.data != NULL)
    product_packed_multiply(
        p->kernels, &p->packed,
        &(product_rows){.c = c,
                        .ldc = p->ldc,
                        .a = from,
                        .lda = a->ld,
                        .m = m,
                        .add = p->beta != 0,
                        .ahead = from + (ptrdiff_t)m * a->ld,
                        .ahead_count = ahead_of(p, left - m),
                        .transposed = a->transposed});
  else
    p->kernels->product->multiply(c, p->ldc, from, a->ld, a->transposed,
                                  b->data, b->ld, b->transposed, m, p->sizes.n,
                                  p->sizes.k, p->beta);
}

/* Rows in a block of a product by BLAS. Each block packs B again, so blocks are
** large, and small products stay whole. */
static int rows_for_blas(product_sizes s) {
  const int m = s.m;
  double work = (double)m * s.n * s.k;
  if (work < 1e6 || m < 64)
    return m;
  if (m < 512)
    return base_divide_up(m, 2);
  return 256;
}

/* True if the packed form of b pays: the product is large, or the form is kept and
** there is enough of it that it is read faster than b. */
static int is_packed(const saros_context *context, const real *b,
                     product_sizes s) {
  return product_suits_packing(context, s.m, s.n, s.k) ||
         (s.n >= 16 && s.k >= 16 && product_is_kept(context, b));
}

static saros_status multiply_packed(saros_context *context, product *p,
                                    const real *start) {
  const int m = p->sizes.m;
  TRY(product_packed_new(context, &p->packed, p->b, start, p->sizes.n,
                         p->sizes.k));
  p->rows = base_divide_up(m, base_divide_up(m, ROWS));
  p->most_ahead = base_most_ahead(context);
  saros_status status =
      team_share(context, (double)m * p->sizes.n * p->sizes.k,
                 base_divide_up(m, p->rows), multiply_block, p);
  product_packed_release(context, &p->packed);
  return status;
}

saros_status product_multiply(saros_context *context, real *c, int ldc,
                              product_view a, product_view b,
                              product_sizes sizes, real beta) {
  const int m = sizes.m, n = sizes.n, k = sizes.k;
  if (m == 0 || n == 0)
    return SAROS_OK;
  product p = {.kernels = context->kernels,
               .c = c,
               .ldc = ldc,
               .a = a,
               .b = b,
               .sizes = sizes,
               .rows = rows_for_blas(sizes),
               .beta = beta};
  if (!a.transposed && is_packed(context, b.data, sizes))
    return multiply_packed(context, &p, NULL);
  if (a.transposed && !b.transposed && b.ld == n &&
      product_suits_packing(context, k, m, n))
    return product_add_outer(
        context,
        &(product_outer_sum){.dy = a.data,
                             .ldy = a.ld,
                             .m = m,
                             .rows = k,
                             .split = k,
                             .factors = 1,
                             .factor = {{{b.data, b.data}, n, c, beta != 0}}});
  if (product_kind(context) != PACKED_REAL &&
      product_suits_packing(context, m, n, k))
    return multiply_packed(context, &p, NULL);
  return team_share(context, (double)m * n * k, base_divide_up(m, p.rows),
                    multiply_block, &p);
}

saros_status product_affine(saros_context *context, real *y, const real *x,
                            const real *w, const real *b, product_sizes sizes) {
  const int m = sizes.m, n = sizes.n, k = sizes.k;
  const product_view rows = {x, k, 0}, weights = {w, k, 1};
  if (m == 0 || n == 0)
    return SAROS_OK;
  if (is_packed(context, w, sizes)) {
    product p = {.kernels = context->kernels,
                 .c = y,
                 .ldc = n,
                 .a = rows,
                 .b = weights,
                 .sizes = sizes};
    return multiply_packed(context, &p, b);
  }
  for (int row = 0; b != NULL && row < m; row++)
    memcpy(y + (ptrdiff_t)row * n, b, (size_t)n * sizeof *y);
  return product_multiply(context, y, n, rows, weights, sizes, b ? 1 : 0);
}
