/*
** Sums of outer products: the gradient of a weight is dy^T x, summed over all
** rows. It is made as x^T dy, because then it is dy that is packed, which is
** quick, as its rows stay as they are, and dy is packed once for all of x; the
** result is turned in the end.
*/
#include <stdatomic.h>
#include <string.h>

#include "product.h"

/* Columns of x that meet a packed layer of dy at a time. */
#define COLUMNS 192

/* Rows of dy in a layer, at most. Few columns of them stay in L2 with their sums;
** many come from L3 for every chunk of x, and repay that with more rows. */
static int layer_depth(const product_outer_sum *sum) {
  return sum->m < 1024 ? 128 : PRODUCT_DEPTH;
}

/* One on its way. A block is a range of the columns of dy and, where these are
** few, a part of the columns of every x. */
typedef struct outer_job {
  saros_context *context;
  const product_outer_sum *sum;
  const kernels *kernels;
  const packed_kernels *packing;
  int columns, groups;  // columns of dy in a block; blocks side by side
  int parts;            // of the columns of x
  int depth;            // rows of dy in a layer, at most
  int ld;               // of the sums
  int copies;           // true if long rows of x are copied
  size_t packed_size, chunk_size, size;  // of a block's scratch, in elements
  real *scratch;
  atomic_int next;  // block to take
} outer_job;

/* What one block works on. */
typedef struct outer_block {
  const outer_job *job;
  real *packed, *chunk, *sums;
  int first, columns, part;
} outer_block;

/* The columns of a factor that belong to the block. */
static int part_begin(const outer_block *b, const product_outer_factor *f) {
  return (int)((long)f->n * b->part / b->job->parts);
}

static int part_end(const outer_block *b, const product_outer_factor *f) {
  return (int)((long)f->n * (b->part + 1) / b->job->parts);
}

/* Some rows of dy that are packed together, all before the split or all behind it. */
typedef struct outer_layer {
  int row, rows, end;  // the first, how many, and where the last layer ends
} outer_layer;

/* The rows of a factor that belong to a layer. */
static const real *rows_of(const outer_block *b, const product_outer_factor *f,
                           const outer_layer *l) {
  const int split = b->job->sum->split, second = l->row >= split;
  return f->x[second] + (ptrdiff_t)(l->row - (second ? split : 0)) * f->n;
}

/* What is read after a factor has met a layer: the rows of the next factor, or the
** next layer of dy. Sets *count to 0 if it would not stay in L2 until then. */
static const real *ahead_of(const outer_block *b, int factor,
                            const outer_layer *l, size_t *count) {
  const product_outer_sum *s = b->job->sum;
  const product_outer_factor *next = &s->factor[factor + 1];
  const int left = l->end - l->row - l->rows,
            is_last = factor + 1 == s->factors;
  const int rows = is_last && left < l->rows ? left : l->rows;
  *count = (size_t)rows * (size_t)(is_last ? s->ldy : next->n);
  *count = *count > base_most_ahead(b->job->context) ? 0 : *count;
  return is_last ? s->dy + (ptrdiff_t)(l->row + l->rows) * s->ldy
                 : rows_of(b, next, l);
}

/*
** sums (columns of x, columns of dy) += x^T dy for the rows of a layer. Where the
** rows of x are long, a chunk of columns is copied first: neighbours in a column
** would lie in the same place of the cache.
** Kernels that convert x copy it themselves.
*/
static void add_terms(const outer_block *b, int factor, real *sums,
                      const outer_layer *l) {
  const packed_kernels *k = b->job->packing;
  const product_outer_factor *f = &b->job->sum->factor[factor];
  const real *x = rows_of(b, f, l);
  size_t ahead_count;
  const real *ahead = ahead_of(b, factor, l, &ahead_count);
  int end = part_end(b, f);
  for (int at = part_begin(b, f); at < end; at += COLUMNS) {
    int count = end - at < COLUMNS ? end - at : COLUMNS, ld = f->n;
    const real *from = x + at;
    if (b->job->copies && f->n > COLUMNS) {
      ld = COLUMNS + 16;
      for (int row = 0; row < l->rows; row++)
        memcpy(b->chunk + row * ld, from + (ptrdiff_t)row * f->n,
               (size_t)count * sizeof *from);
      from = b->chunk;
    }
    k->multiply(sums, b->job->ld, from, ld, 1, b->packed, count, b->columns,
                l->rows, l->row > 0, ahead, ahead_count);
    ahead_count = 0;
    sums += (ptrdiff_t)count * b->job->ld;
  }
}

/* Rows from..to-1 of dy, all before the split or all behind it. */
static void add_rows(const outer_block *b, int from, int to) {
  const product_outer_sum *s = b->job->sum;
  const int layers = base_divide_up(to - from, b->job->depth);
  const int depth = layers > 0 ? base_divide_up(to - from, layers) : 1;
  for (int row = from; row < to; row += depth) {
    const outer_layer l = {row, to - row < depth ? to - row : depth, to};
    const real *dy = s->dy + (ptrdiff_t)row * s->ldy + b->first;
    b->job->packing->pack(b->packed, dy, s->ldy, 0, NULL, b->columns, l.rows);
    if (s->dbias != NULL && b->part == 0)
      b->job->kernels->outer_sum->add_rows(s->dbias + b->first, dy, s->ldy,
                                           b->columns, l.rows);
    real *sums = b->sums;
    for (int i = 0; i < s->factors; i++) {
      const product_outer_factor *f = &s->factor[i];
      add_terms(b, i, sums, &l);
      sums += (ptrdiff_t)(part_end(b, f) - part_begin(b, f)) * b->job->ld;
    }
  }
}

static void outer_block_run(const outer_block *b) {
  const product_outer_sum *s = b->job->sum;
  add_rows(b, 0, s->split);
  add_rows(b, s->split, s->rows);
  const real *sums = b->sums;
  for (int i = 0; i < s->factors; i++) {
    const product_outer_factor *f = &s->factor[i];
    int begin = part_begin(b, f), count = part_end(b, f) - begin;
    b->job->kernels->outer_sum->add_transposed(
        f->target + (ptrdiff_t)b->first * f->n + begin, f->n, sums, b->job->ld,
        b->columns, count, f->add);
    sums += (ptrdiff_t)count * b->job->ld;
  }
}

/* Takes blocks until none is left, with the scratch of one worker. */
static void work_on_outer(void *arguments, int worker) {
  outer_job *job = arguments;
  real *scratch = job->scratch + job->size * (size_t)worker;
  int block;
  while (!base_is_interrupted(job->context) &&
         (block = atomic_fetch_add(&job->next, 1)) < job->groups * job->parts) {
    int first = block / job->parts * job->columns;
    int left = job->sum->m - first;
    outer_block_run(&(outer_block){
        job, scratch, scratch + job->packed_size,
        scratch + job->packed_size + job->chunk_size, first,
        left < job->columns ? left : job->columns, block % job->parts});
  }
}

/* That many elements, or a few more, so that what follows is aligned to 64 bytes. */
static size_t aligned(size_t elements) {
  return (elements + 15) / 16 * 16;
}

/* Cuts the work into blocks: at most 1024 columns of dy, and one for each thread at
** least, as far as there are columns. */
static void cut_outer(outer_job *job) {
  const product_outer_sum *s = job->sum;
  const int threads = job->context->threads;
  int width = job->packing->width, panels = base_divide_up(s->m, width);
  int groups = base_divide_up(s->m, 1024), most = base_divide_up(panels, 2);
  if (groups < threads)
    groups = threads < most ? threads : most;
  job->parts = groups < threads && panels < 4 ? 2 : 1;
  job->columns = base_divide_up(panels, groups) * width;
  job->groups = base_divide_up(s->m, job->columns);
  job->depth = layer_depth(s);
  job->ld = job->columns + 16;
  int n = 0, is_long = 0;
  for (int i = 0; i < s->factors; i++) {
    n += base_divide_up(s->factor[i].n, job->parts);
    is_long |= s->factor[i].n > COLUMNS;
  }
  job->packed_size =
      aligned(job->packing->bytes(job->columns, job->depth) / sizeof(real));
  job->copies = is_long && job->packing == job->kernels->packed[PACKED_REAL];
  job->chunk_size = job->copies ? (size_t)job->depth * (COLUMNS + 16) : 0;
  job->size =
      aligned(job->packed_size + job->chunk_size + (size_t)n * (size_t)job->ld);
}

/* n: columns of all x */
static saros_status add_outer_packed(saros_context *context,
                                     const product_outer_sum *s, int n) {
  const int kind = product_kind(context);
  outer_job job = {.context = context, .sum = s, .kernels = context->kernels};
  job.packing = job.kernels->packed[kind == PACKED_INT8 ? PACKED_REAL : kind];
  cut_outer(&job);
  int blocks = job.groups * job.parts;
  int workers = context->threads < blocks ? context->threads : blocks;
  size_t bytes = job.size * (size_t)workers * sizeof(real);
  job.scratch = pool_take(&context->pool, bytes);
  if (job.scratch == NULL)
    return base_out_of_memory(context, bytes);
  saros_status status = team_share(context, (double)s->rows * s->m * n, workers,
                                   work_on_outer, &job);
  pool_give(&context->pool, job.scratch);
  return status;
}

/* target = dy^T x by BLAS, or += with 'add'. */
static saros_status add_outer_blas(saros_context *context,
                                   const product_outer_sum *s,
                                   const product_outer_factor *f) {
  const real *rest = s->dy + (ptrdiff_t)s->split * s->ldy;
  const product_view dy[2] = {{s->dy, s->ldy, 1}, {rest, s->ldy, 1}};
  const product_view x[2] = {{f->x[0], f->n, 0}, {f->x[1], f->n, 0}};
  TRY(product_multiply(context, f->target, f->n, dy[0], x[0],
                       (product_sizes){s->m, f->n, s->split}, f->add ? 1 : 0));
  return product_multiply(context, f->target, f->n, dy[1], x[1],
                          (product_sizes){s->m, f->n, s->rows - s->split}, 1);
}

saros_status product_add_outer(saros_context *context,
                               const product_outer_sum *s) {
  int n = 0;
  for (int i = 0; i < s->factors; i++)
    n += s->factor[i].n;
  if (product_suits_packing(context, s->rows, s->m, n))
    return add_outer_packed(context, s, n);
  for (int i = 0; i < s->factors; i++)
    TRY(add_outer_blas(context, s, &s->factor[i]));
  for (int row = 0; s->dbias != NULL && row < s->rows; row++)
    context->kernels->pointwise->add_scaled(
        s->dbias, 1, s->dy + (ptrdiff_t)row * s->ldy, (size_t)s->m);
  return SAROS_OK;
}
