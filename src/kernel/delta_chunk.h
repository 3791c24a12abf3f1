/*
** Chunks of steps of the delta rule in WY form (Yang et al. 2024, "Parallelizing Linear Transformers with the Delta
** Rule over Sequence Length"; with decays, Yang et al. 2025, "Gated Delta
** Networks").
**
** A chunk has Q steps and C = n Q micro-steps, one for each reflection. What reads
** the state are its R = C + Q rows: the key of each micro-step, then the query of
** each step. With G(r) the decay from the chunk's beginning to row r:
**
**   scores[r, i] = row_r . (G(r) / G(i)) key_i    for the micro-steps i that r sees:
**                                                 those before a key, those up to
**                                                 the end of a query's step
**   since_r = G(r) row_r,   until_i = (G(end) / G(i)) key_i
**   read    = since M + scores u         of keys: what is erased; of queries: y
**   u_i     = write_i v_i - erase_i read_i        one micro-step after the other
**   M       = G(end) M + until^T u
**
** Ratios of G are made by multiplying on from i to r, never by dividing, so a decay
** to 0 is exact.
*/
#ifndef DELTA_CHUNK_H
#define DELTA_CHUNK_H

#include "delta_convolve.h"

/* --- The arrays of a chunk ------------------------------------------------------ */

/* What the way back needs of the way forward. Rows and columns are padded. */
typedef struct delta_chunk {
  int K, V, n, Q, C, R;
  int by_heads;  // the decay is one number a head
  int readers;   // the first row that reads: 0, or C where nothing is erased
  ptrdiff_t Kp, Vp, Cp, Rp;  // padded
  real *rows, *keys;         // (R, Kp), and its first C rows turned (K, Cp)
  real *since, *until;  // (R, Kp) and (K, Cp), or those two without a decay
  real *scores;         // (R, Cp), zeros where nothing is seen
  real *read, *u;       // (R, Vp), (C, Vp)
  real *values;         // (C, Vp)
  real *write, *erase;  // (C)
  real *stretch;  // (R): what rows were multiplied by to have their length
  real *factor,
      *faded;  // (Q, Kp): of each step, and of all up to it; or null. With one
               // decay a head, the first column, and the last row
  real *
      fade;  // (Rp): with one decay a head, G(r), which 'since' has not; or null
  real *weight;  // (R, Cp): of scores: 0 where nothing is seen, else 1 or,
                 // with one decay a head, G(r) / G(i)
  ptrdiff_t P;   // columns of what is convolved
  real *plain;   // (taps - 1 + Q, P): before the convolution
  real *slope;   // (Q, P): the derivative of silu
  size_t used;   // elements
} delta_chunk;

/* The next part of a block of memory, which is null where sizes are asked for. */
static real *take(real *room, size_t *used, ptrdiff_t count) {
  real *part = room ? room + *used : NULL;
  *used += (size_t)count;
  return part;
}

static ptrdiff_t padded(int n) {
  return KERNEL_DELTA_PADDED(n);
}

static delta_chunk lay_out(const kernel_delta_sizes *s, int steps, int erases,
                           int decays, real *room) {
  delta_chunk c = {.K = s->K, .V = s->V, .n = s->reflections, .Q = steps};
  c.C = c.n * c.Q, c.R = c.C + c.Q;
  c.readers = erases ? 0 : c.C;
  c.by_heads = decays && !s->channels;
  c.Kp = padded(c.K), c.Vp = padded(c.V), c.Cp = padded(c.C);
  c.Rp = padded(c.R);
  c.rows = take(room, &c.used, c.Rp * c.Kp);
  c.keys = take(room, &c.used, c.Kp * c.Cp);
  c.since = c.rows, c.until = c.keys;
  if (decays && !c.by_heads)
    c.since = take(room, &c.used, c.Rp * c.Kp);
  if (c.by_heads)
    c.fade = take(room, &c.used, c.Rp);
  if (decays) {
    c.until = take(room, &c.used, c.Kp * c.Cp);
    c.factor = take(room, &c.used, c.Q * c.Kp);
    c.faded = take(room, &c.used, c.Q * c.Kp);
  }
  c.weight = take(room, &c.used, c.Rp * c.Cp);
  c.scores = take(room, &c.used, c.Rp * c.Cp);
  c.read = take(room, &c.used, c.Rp * c.Vp);
  c.u = take(room, &c.used, c.Cp * c.Vp);
  c.values = take(room, &c.used, c.Cp * c.Vp);
  c.write = take(room, &c.used, c.Cp);
  c.erase = take(room, &c.used, c.Cp);
  c.stretch = take(room, &c.used, c.Rp);
  c.P = kernel_delta_columns(s);
  c.plain = take(room, &c.used, (s->taps + c.Q) * c.P);
  c.slope = take(room, &c.used, c.Q * c.P);
  return c;
}

static delta_chunk chunk_of(const kernel_delta_chunk *x, real *kept) {
  return lay_out(x->sizes, x->steps, x->x.erase != NULL, x->x.decay != NULL,
                 kept);
}

static size_t room(const kernel_delta_sizes *s, int steps) {
  return lay_out(s, steps, 1, 1, NULL).used;
}

/* --- Forward --------------------------------------------------------------------- */

/* to (width) = from (n), then zeros. Whole blocks are copied in place: calls of
** memcpy would take longer than they. */
static inline void copy_padded(real *to, const real *from, int n,
                               ptrdiff_t width) {
  int i = 0;
  for (; i + DELTA_BLOCK <= n; i += DELTA_BLOCK)
    memcpy(to + i, from + i, DELTA_BLOCK * sizeof *to);
  for (; i < n; i++)
    to[i] = from[i];
  for (; i < width; i++)
    to[i] = 0;
}

/*
** Fetches what the next chunk reads or adds to, of x (rows, parts, heads, n): the
** rows of a head are far apart, so the processor does not see them coming. Stands
** between products, which leave the memory idle. (Inlined, as GCC drops the call of a
** function that does nothing but fetch.)
*/
static inline __attribute__((always_inline)) void
fetch_ahead(const kernel_delta_chunk *x, const real *from, int parts, int n) {
  if (from == NULL)
    return;
  const size_t H = (size_t)x->sizes->heads;
  for (int s = 0; s < x->ahead_steps; s++)
    for (int j = 0; j < parts; j++) {
      const real *row = from + ((x->ahead[s] * (size_t)parts + (size_t)j) * H +
                                (size_t)x->ahead_head) *
                                   (size_t)n;
      for (int i = 0; i < n; i += 64 / (int)sizeof *row)
        __builtin_prefetch(row + i, 0, 2);
    }
}

/* The same of q, k and v: rows of tables are near already. */
static inline __attribute__((always_inline)) void
fetch_source(const kernel_delta_chunk *x, const real *from, int parts, int n) {
  if (x->fetches_sources)
    fetch_ahead(x, from, parts, n);
}

/* to (rows) = the sums of a (rows, width) times b, row by row; b is null for ones.
** Rows are 'width' apart. Up to DELTA_LANES sums are made together: their lanes are
** turned, so that each has one. */
static void sum_rows(real *to, const real *a, const real *b, int rows,
                     ptrdiff_t width) {
  for (int from = 0; from < rows; from += DELTA_LANES) {
    delta_vector part[DELTA_LANES] = {0}, turned[DELTA_LANES];
    for (int r = 0; r < DELTA_LANES && from + r < rows; r++)
      for (ptrdiff_t i = (from + r) * width; i < (from + r + 1) * width;
           i += DELTA_LANES) {
        const delta_vector x = *(const delta_vector *)(const void *)(a + i);
        if (b != NULL)
          part[r] += x * *(const delta_vector *)(const void *)(b + i);
        else
          part[r] += x;
      }
    square_transpose((real *)turned, DELTA_LANES, (real *)part, DELTA_LANES);
    for (int r = 1; r < DELTA_LANES; r++)
      turned[0] += turned[r];
    memcpy(to + from, turned,
           (size_t)(rows - from < DELTA_LANES ? rows - from : DELTA_LANES) *
               sizeof *to);
  }
}

/* The sum of the squares of a row, where it may be too large or small for a real. */
static double wide_square(const real *x, int n) {
  double sum = 0;
  for (int p = 0; p < n; p++)
    sum += (double)x[p] * (double)x[p];
  return sum;
}

/* Gives rows from..to - 1 a length. */
static void stretch_rows(const delta_chunk *c, int from, int to, real length,
                         real epsilon) {
  real *x = c->rows + from * c->Kp, *stretch = c->stretch + from;
  if (length == 0)
    return;
  sum_rows(stretch, x, x, to - from, c->Kp);
  for (int r = 0; r < to - from; r++, x += c->Kp) {
    double square = (double)stretch[r];
    if (!(square > 1e-30 && square < 1e30))
      square = wide_square(x, c->K);
    stretch[r] = (real)((double)length / sqrt(square + (double)epsilon));
    KERNEL_INDEPENDENT
    for (ptrdiff_t p = 0; p < c->Kp; p++)
      x[p] *= stretch[r];
  }
}

/* Copies what is convolved of the head, from taps - 1 steps before the chunk on. */
static void gather_plain(const delta_chunk *c, const kernel_delta_chunk *x) {
  const real *const streams[] = {x->x.q, x->x.k, x->x.v};
  const kernel_delta_convolution *o = &x->convolution;
  const int before = x->sizes->taps - 1;
  for (int i = 0; i < kernel_delta_blocks(x->sizes); i++) {
    const kernel_delta_block b = kernel_delta_block_of(x->sizes, x->head, i);
    const real *from = streams[b.stream], *memory = o->memory[b.stream];
    for (int s = 0; s < before + c->Q && b.n > 0; s++) {
      const ptrdiff_t past = s < before ? o->past[s] : 0;
      const real *row = s >= before ? from + x->source[s - before] * b.row
                        : past >= 0 ? from + (size_t)past * b.row
                        : past == -1 || memory == NULL
                            ? NULL
                            : memory + (size_t)(-2 - past) * b.row;
      copy_padded(c->plain + s * c->P + b.at, row ? row + b.from : from,
                  row ? b.n : 0, padded(b.n));
    }
  }
}

/* Where a block stands in the chunk, and how far apart its steps are. */
static real *place_of_block(const delta_chunk *c, int block, ptrdiff_t *step) {
  *step = block == 0 ? c->Kp : c->n * (block <= c->n ? c->Kp : c->Vp);
  return block == 0      ? c->rows + c->C * c->Kp
         : block <= c->n ? c->rows + (block - 1) * c->Kp
                         : c->values + (block - 1 - c->n) * c->Vp;
}

static delta_filter filter_of(const delta_chunk *c,
                              const kernel_delta_chunk *x) {
  const int taps = x->sizes->taps;
  return (delta_filter){
      taps, c->Q, c->P,
      x->convolution.weights + (ptrdiff_t)x->head * taps * c->P, c->plain};
}

/* With 'goes_back', keeps the slopes. */
static void convolve(const delta_chunk *c, const kernel_delta_chunk *x,
                     int goes_back) {
  const delta_filter f = filter_of(c, x);
  gather_plain(c, x);
  for (int i = 0; i < kernel_delta_blocks(x->sizes); i++) {
    const kernel_delta_block b = kernel_delta_block_of(x->sizes, x->head, i);
    ptrdiff_t step;
    real *to = place_of_block(c, i, &step);
    if (b.n == 0)
      continue;
    delta_filter_forward(&f, b.at, padded(b.n), to, step);
    if (x->convolution.has_silu)
      delta_silu(to, step, goes_back ? c->slope + b.at : NULL, c->P, c->Q,
                 padded(b.n));
  }
}

/* Copies the inputs of the head that no convolution makes. */
static void gather_inputs(const delta_chunk *c, const kernel_delta_chunk *x) {
  const size_t H = (size_t)x->sizes->heads, head = (size_t)x->head;
  const size_t K = (size_t)c->K, V = (size_t)c->V;
  const int *convolved = x->sizes->is_convolved;
  for (int r = 0; r < c->C; r++) {
    const size_t j = (size_t)(r % c->n), n = (size_t)c->n;
    const size_t at = (x->row[r / c->n] * n + j) * H + head;
    const size_t from = (x->source[r / c->n] * n + j) * H + head;
    if (!convolved[KERNEL_DELTA_K])
      copy_padded(c->rows + r * c->Kp, x->x.k + from * K, c->K, c->Kp);
    if (!convolved[KERNEL_DELTA_V])
      copy_padded(c->values + r * c->Vp, x->x.v + from * V, c->V, c->Vp);
    c->write[r] = x->x.write ? x->x.write[at] : 1;
    c->erase[r] = x->x.erase ? x->x.erase[at] : 0;
  }
  for (int s = 0; s < c->Q && !convolved[KERNEL_DELTA_Q]; s++)
    copy_padded(c->rows + (c->C + s) * c->Kp,
                x->x.q + (x->source[s] * H + head) * K, c->K, c->Kp);
}

/* What the chunk computes with. */
static void gather(const delta_chunk *c, const kernel_delta_chunk *x,
                   int goes_back) {
  if (x->sizes->taps > 0)
    convolve(c, x, goes_back);
  gather_inputs(c, x);
  stretch_rows(c, 0, c->C, x->length.k, x->length.epsilon);
  stretch_rows(c, c->C, c->R, x->length.q, x->length.epsilon);
  delta_turn(c->keys, c->Cp, c->rows, c->Kp, c->C, c->K);
}

/* The factors of each step; with one decay a head, only the first of its K. */
static void find_factors_of_steps(const delta_chunk *c,
                                  const kernel_delta_chunk *x) {
  const size_t H = (size_t)x->sizes->heads, head = (size_t)x->head;
  real one[KERNEL_DELTA_MOST] = {0};
  for (int s = 0; s < c->Q && c->by_heads; s++)
    one[s] = x->x.decay[x->row[s] * H + head];
  KERNEL_INDEPENDENT
  for (int s = 0; s < (int)padded(c->Q); s++)
    one[s] = exp_of(one[s]);
  for (int s = 0; s < c->Q; s++) {
    real *factor = c->factor + s * c->Kp;
    *factor = one[s];
    if (c->by_heads)
      continue;
    copy_padded(factor, x->x.decay + (x->row[s] * H + head) * (size_t)c->K,
                c->K, c->Kp);
    KERNEL_INDEPENDENT
    for (ptrdiff_t p = 0; p < c->Kp; p++)
      factor[p] = exp_of(factor[p]);
  }
}

static inline void multiply_row(real *y, const real *x, const real *factor,
                                ptrdiff_t width) {
  KERNEL_INDEPENDENT
  for (ptrdiff_t p = 0; p < width; p++)
    y[p] = factor[p] * x[p];
}

/* Each row of x (R, Kp) times G at its step; y may be x. */
static void multiply_faded(const delta_chunk *c, real *y, const real *x) {
  for (int s = 0; s < c->Q; s++) {
    const ptrdiff_t query = (c->C + s) * c->Kp;
    multiply_row(y + query, x + query, c->faded + s * c->Kp, c->Kp);
    for (ptrdiff_t r = s * c->n; r < (s + 1) * c->n && c->readers == 0; r++)
      multiply_row(y + r * c->Kp, x + r * c->Kp, c->faded + s * c->Kp, c->Kp);
  }
}

/* With one decay a head: G of each row, and of M's rows at the end. */
static void fade_rows(const delta_chunk *c) {
  real all = 1, *faded = c->faded + (c->Q - 1) * c->Kp;
  for (int s = 0; s < c->Q; s++) {
    all *= c->factor[s * c->Kp];
    for (int i = 0; i < c->n; i++)
      c->fade[s * c->n + i] = all;
    c->fade[c->C + s] = all;
  }
  for (ptrdiff_t r = c->R; r < c->Rp; r++)
    c->fade[r] = 0;
  for (ptrdiff_t p = 0; p < c->Kp; p++)
    faded[p] = all;
}

static void find_decays(const delta_chunk *c, const kernel_delta_chunk *x) {
  find_factors_of_steps(c, x);
  if (c->by_heads) {
    fade_rows(c);
    return;
  }
  copy_padded(c->faded, c->factor, (int)c->Kp, c->Kp);
  for (int s = 1; s < c->Q; s++) {
    real *faded = c->faded + s * c->Kp;
    multiply_row(faded, faded - c->Kp, c->factor + s * c->Kp, c->Kp);
  }
  multiply_faded(c, c->since, c->rows);
}

/* A product's factors of rows from one on; null: ones. */
static const real *fade_from(const delta_chunk *c, int row) {
  return c->fade ? c->fade + row : NULL;
}

/* The next row of weights: those so far, times a factor, and 1 for micro-step i. */
static void next_weights(real *to, const real *from, real factor, int i,
                         ptrdiff_t width) {
  KERNEL_INDEPENDENT
  for (int j = 0; j < (int)width; j++)
    to[j] = j == i ? 1 : from[j] * factor;
}

/* The rows go step by step: what a key sees is what was seen before it. */
static void find_weights(const delta_chunk *c) {
  real seen[KERNEL_DELTA_MOST] = {0};
  for (int s = 0; s < c->Q; s++) {
    const real factor = c->by_heads ? c->factor[s * c->Kp] : 1;
    real *query = c->weight + (c->C + s) * c->Cp;
    next_weights(query, s > 0 ? query - c->Cp : seen, factor, -1, c->Cp);
    for (int i = s * c->n; i < (s + 1) * c->n; i++) {
      copy_padded(c->weight + i * c->Cp, query, (int)c->Cp, c->Cp);
      next_weights(query, query, 1, i, c->Cp);
    }
  }
}

/* Weights of keys as they reach the end. */
static const real *last_weights(const delta_chunk *c) {
  return c->weight + (c->R - 1) * c->Cp;
}

/* Scores of rows from..to - 1 with keys (K, Cp), one column for each. */
static void score_rows(const delta_chunk *c, const real *keys, int from,
                       int to) {
  delta_multiply(&(delta_product){.c = c->scores + from * c->Cp,
                                  .ldc = c->Cp,
                                  .a = c->rows + from * c->Kp,
                                  .row_step = c->Kp,
                                  .k_step = 1,
                                  .b = keys,
                                  .ldb = c->Cp,
                                  .m = to - from,
                                  .n = (int)c->Cp,
                                  .k = c->K,
                                  .weight = c->weight + from * c->Cp});
}

/* With one decay a head: the keys until the end. */
static void fade_heads(const delta_chunk *c) {
  const real *last = last_weights(c);
  for (int p = 0; p < c->K; p++)
    for (int i = 0; i < c->Cp; i += DELTA_LANES)
      *(delta_vector *)(void *)(c->until + p * c->Cp + i) =
          *(const delta_vector *)(const void *)(c->keys + p * c->Cp + i) *
          *(const delta_vector *)(const void *)(last + i);
}

/* With K decays. */
static void score_channels(const delta_chunk *c) {
  delta_score_channels(&(delta_fading){.K = c->K,
                                       .C = c->C,
                                       .n = c->n,
                                       .Cp = (int)c->Cp,
                                       .rows = c->rows,
                                       .factor = c->factor,
                                       .ld = c->Kp,
                                       .keys = c->keys,
                                       .until = c->until,
                                       .scores = c->scores,
                                       .weight = c->weight});
}

static void score(const delta_chunk *c) {
  find_weights(c);
  if (c->factor != NULL && !c->by_heads)
    score_channels(c);
  else
    score_rows(c, c->keys, c->readers, c->R);
  if (c->by_heads)
    fade_heads(c);
}

/* u, and what is erased. */
static void solve(const delta_chunk *c) {
  if (c->readers == 0) {
    delta_solve(&(delta_system){.rows = c->C,
                                .width = (int)c->Vp,
                                .read = c->read,
                                .u = c->u,
                                .value = c->values,
                                .ld = c->Vp,
                                .write = c->write,
                                .erase = c->erase,
                                .gate_step = 1,
                                .scores = c->scores,
                                .row_step = c->Cp,
                                .k_step = 1});
    return;
  }
  for (int r = 0; r < c->C; r++)
    for (ptrdiff_t i = r * c->Vp; i < (r + 1) * c->Vp; i++)
      c->u[i] = c->write[r] * c->values[i];
}

/* The outputs of the steps. */
static void answer(const delta_chunk *c, real *y, const kernel_delta_chunk *x) {
  const size_t H = (size_t)x->sizes->heads, V = (size_t)c->V;
  real *read = c->read + c->C * c->Vp;
  delta_multiply(&(delta_product){.c = read,
                                  .ldc = c->Vp,
                                  .a = c->scores + c->C * c->Cp,
                                  .row_step = c->Cp,
                                  .k_step = 1,
                                  .b = c->u,
                                  .ldb = c->Vp,
                                  .m = c->Q,
                                  .n = (int)c->Vp,
                                  .k = c->C,
                                  .old = read});
  for (int s = 0; s < c->Q; s++)
    copy_padded(y + (x->row[s] * H + (size_t)x->head) * V, read + s * c->Vp,
                c->V, c->V);
}

/* The factors of M's rows through the whole chunk; null: none. */
static const real *through(const delta_chunk *c) {
  return c->faded ? c->faded + (c->Q - 1) * c->Kp : NULL;
}

static void forward(real *y, real *next, const real *m, real *kept,
                    const kernel_delta_chunk *x) {
  const delta_chunk c = chunk_of(x, kept);
  const int last = y ? c.R : c.C;
  gather(&c, x, y == NULL);
  if (c.factor != NULL)
    find_decays(&c, x);
  fetch_source(x, x->x.k, c.n, c.K);
  score(&c);
  if (x->sizes->channels)
    fetch_ahead(x, x->x.decay, 1, c.K);
  fetch_source(x, x->x.v, c.n, c.V);
  delta_multiply(&(delta_product){.c = c.read + c.readers * c.Vp,
                                  .ldc = c.Vp,
                                  .a = c.since + c.readers * c.Kp,
                                  .row_step = c.Kp,
                                  .k_step = 1,
                                  .b = m,
                                  .ldb = c.Vp,
                                  .m = last - c.readers,
                                  .n = (int)c.Vp,
                                  .k = c.K,
                                  .row = fade_from(&c, c.readers)});
  fetch_source(x, x->x.q, 1, c.K);
  solve(&c);
  if (y != NULL)
    answer(&c, y, x);
  if (y != NULL)
    fetch_ahead(x, y, 1, c.V);
  if (next != NULL)
    delta_multiply(&(delta_product){.c = next,
                                    .ldc = c.Vp,
                                    .a = c.until,
                                    .row_step = c.Cp,
                                    .k_step = 1,
                                    .b = c.u,
                                    .ldb = c.Vp,
                                    .m = c.K,
                                    .n = (int)c.Vp,
                                    .k = c.C,
                                    .old = m,
                                    .scale = through(&c)});
}

#endif
