/*
** The way back through a chunk of delta_chunk.h. With d for the gradient of what
** follows it, and all rows and micro-steps at once:
**
**   du      = scores^T dy + until dm, then from the last micro-step to the first
**             du_r += the sum of scores[j, r] dread_j over later keys j,
**             dread_r = -erase_r du_r
**   dscores = dread u^T where something is seen,   duntil = u dm^T
**   dsince  = dread m^T,   dm = G(end) dm + since^T dread
**
** The gradient of log G at a row is the row times its gradient as what reads, minus
** the key times its gradient as what is read; a decay acts on G from its step on.
*/
#ifndef DELTA_BACK_H
#define DELTA_BACK_H

#include "delta_chunk.h"

/* --- Backward ---------------------------------------------------------------------- */

/* Gradients of the arrays of a chunk. */
typedef struct delta_gradients {
  real *read, *read_turned;  // (R, Vp), (V, Rp)
  real *u, *u_turned;        // (C, Vp); the transpose of u itself, (V, Cp)
  real *scores;              // (R, Cp)
  real *until;               // (K, Cp)
  real *since;               // (K, Rp), transposed
  real *rows, *keys;         // (R, Kp): as what reads; (C, Kp): as what is read
  real *fading;              // (C, Kp): keys on their way to the end
  real *end, *fades;         // (Kp), (Q, Kp): of log G(end), and at each step
  double *later;             // (Kp): their sum from one step on
  real *
      plain;  // (Q + taps - 1, P): of sums of convolutions, then of their inputs
  size_t used;
} delta_gradients;

static delta_gradients lay_out_gradients(const delta_chunk *c, int taps,
                                         real *room) {
  delta_gradients d = {0};
  d.read = take(room, &d.used, c->Rp * c->Vp);
  d.read_turned = take(room, &d.used, c->Vp * c->Rp);
  d.u = take(room, &d.used, c->Cp * c->Vp);
  d.u_turned = take(room, &d.used, c->Vp * c->Cp);
  d.scores = take(room, &d.used, c->Rp * c->Cp);
  d.until = take(room, &d.used, c->Kp * c->Cp);
  d.since = take(room, &d.used, c->Kp * c->Rp);
  d.rows = take(room, &d.used, c->Rp * c->Kp);
  d.keys = take(room, &d.used, c->Cp * c->Kp);
  d.fading = take(room, &d.used, c->Cp * c->Kp);
  d.end = take(room, &d.used, c->Kp);
  d.fades = take(room, &d.used, c->Q * c->Kp);
  d.later = (double *)(void *)take(room, &d.used, 2 * c->Kp);
  d.plain = take(room, &d.used, (c->Q + taps) * c->P);
  return d;
}

static size_t backward_room(const kernel_delta_sizes *s, int steps) {
  const delta_chunk c = lay_out(s, steps, 1, 1, NULL);
  return lay_out_gradients(&c, s->taps, NULL).used;
}

/* d.read of queries is dy; d.u = scores^T dy + until dm */
static void begin_back(const delta_chunk *c, const delta_gradients *d,
                       const real *dy, const real *dm,
                       const kernel_delta_chunk *x) {
  const size_t H = (size_t)x->sizes->heads, V = (size_t)c->V;
  real *queries = d->read + c->C * c->Vp;
  if (dy == NULL)
    memset(queries, 0, (size_t)(c->Q * c->Vp) * sizeof *queries);
  for (int s = 0; s < c->Q && dy != NULL; s++)
    copy_padded(queries + s * c->Vp, dy + (x->row[s] * H + (size_t)x->head) * V,
                c->V, c->Vp);
  delta_product p = {.c = d->u,
                     .ldc = c->Vp,
                     .a = c->scores + c->C * c->Cp,
                     .row_step = 1,
                     .k_step = c->Cp,
                     .b = queries,
                     .ldb = c->Vp,
                     .m = c->C,
                     .n = (int)c->Vp,
                     .k = c->Q};
  delta_multiply(&p);
  p.a = c->until, p.k_step = c->Cp, p.b = dm, p.k = c->K, p.old = d->u;
  delta_multiply(&p);
}

/* Substitution backwards: d.u becomes the gradient of write v - erase read, and
** d.read of keys what is left of it. */
static void solve_back(const delta_chunk *c, const delta_gradients *d) {
  const ptrdiff_t last = c->C - 1;
  if (c->readers == 0)
    delta_solve(&(delta_system){.rows = c->C,
                                .width = (int)c->Vp,
                                .read = d->u + last * c->Vp,
                                .u = d->read + last * c->Vp,
                                .ld = -c->Vp,
                                .erase = c->erase + last,
                                .gate_step = -1,
                                .scores = c->scores + last * c->Cp + last,
                                .row_step = -1,
                                .k_step = -c->Cp});
}

/* The place of micro-step r among those of all rows and heads. */
static size_t place_of(const delta_chunk *c, const kernel_delta_chunk *x,
                       int r) {
  return (x->row[r / c->n] * (size_t)c->n + (size_t)(r % c->n)) *
             (size_t)x->sizes->heads +
         (size_t)x->head;
}

/* Adds the gradients of values, write and erase. */
static void add_value_gradients(const delta_chunk *c, const delta_gradients *d,
                                const kernel_delta_gradients *out,
                                const kernel_delta_chunk *x) {
  real sum[KERNEL_DELTA_MOST];
  const int adds = out->v != NULL && !x->sizes->is_convolved[KERNEL_DELTA_V];
  for (int r = 0; r < c->C && adds; r++) {
    const real *du = d->u + r * c->Vp, write = c->write[r];
    real *dv = out->v + place_of(c, x, r) * (size_t)c->V;
    KERNEL_INDEPENDENT
    for (int i = 0; i < c->V; i++)
      dv[i] = (out->is_fresh ? 0 : dv[i]) + write * du[i];
  }
  if (out->write != NULL)
    sum_rows(sum, d->u, c->values, c->C, c->Vp);
  for (int r = 0; r < c->C && out->write != NULL; r++)
    out->write[place_of(c, x, r)] += sum[r];
  if (out->erase != NULL)
    sum_rows(sum, d->u, c->read, c->C, c->Vp);
  for (int r = 0; r < c->C && out->erase != NULL; r++)
    out->erase[place_of(c, x, r)] -= sum[r];
}

/* d.scores, d.until and d.since, from m and dm of the chunk's ends. */
static void multiply_back(const delta_chunk *c, const delta_gradients *d,
                          const real *m, const real *dm) {
  delta_turn(d->u_turned, c->Cp, c->u, c->Vp, c->C, c->V);
  delta_turn(d->read_turned, c->Rp, d->read, c->Vp, c->R, c->V);
  delta_multiply(&(delta_product){.c = d->scores + c->readers * c->Cp,
                                  .ldc = c->Cp,
                                  .a = d->read_turned + c->readers,
                                  .row_step = 1,
                                  .k_step = c->Rp,
                                  .b = d->u_turned,
                                  .ldb = c->Cp,
                                  .m = c->R - c->readers,
                                  .n = (int)c->Cp,
                                  .k = c->V,
                                  .weight = c->weight + c->readers * c->Cp});
  delta_multiply(&(delta_product){.c = d->until,
                                  .ldc = c->Cp,
                                  .a = dm,
                                  .row_step = c->Vp,
                                  .k_step = 1,
                                  .b = d->u_turned,
                                  .ldb = c->Cp,
                                  .m = c->K,
                                  .n = (int)c->Cp,
                                  .k = c->V});
  delta_multiply(&(delta_product){.c = d->since,
                                  .ldc = c->Rp,
                                  .a = m,
                                  .row_step = c->Vp,
                                  .k_step = 1,
                                  .b = d->read_turned,
                                  .ldb = c->Rp,
                                  .m = c->K,
                                  .n = (int)c->Rp,
                                  .k = c->V,
                                  .column = c->fade});
}

/* d.end = the gradient of log G(end) by M, before dm moves. */
static void end_decay(const delta_chunk *c, const delta_gradients *d,
                      const real *m, const real *dm) {
  const real *factor = through(c);
  sum_rows(d->end, m, dm, c->K, c->Vp);
  for (int p = 0; p < c->K; p++)
    d->end[p] *= factor[p];
}

/* dm = G(end) dm + since^T d.read, which is not read again. */
static void move_back(const delta_chunk *c, const delta_gradients *d,
                      real *dm) {
  for (int r = c->readers; r < c->R && c->fade != NULL; r++) {
    real *read = d->read + r * c->Vp, fade = c->fade[r];
    KERNEL_INDEPENDENT
    for (ptrdiff_t i = 0; i < c->Vp; i++)
      read[i] *= fade;
  }
  delta_multiply(&(delta_product){.c = dm,
                                  .ldc = c->Vp,
                                  .a = c->since + c->readers * c->Kp,
                                  .row_step = 1,
                                  .k_step = c->Kp,
                                  .b = d->read + c->readers * c->Vp,
                                  .ldb = c->Vp,
                                  .m = c->K,
                                  .n = (int)c->Vp,
                                  .k = c->R - c->readers,
                                  .old = dm,
                                  .scale = through(c)});
}

/* d.end += the keys, times their gradients as if they stood at the end. */
static void add_end(const delta_chunk *c, const delta_gradients *d) {
  for (ptrdiff_t i = 0; i < c->C; i++) {
    const real *key = c->rows + i * c->Kp, *read = d->keys + i * c->Kp;
    KERNEL_INDEPENDENT
    for (ptrdiff_t p = 0; p < c->Kp; p++)
      d->end[p] += key[p] * read[p];
  }
}

/* d.rows and d.keys by M alone, as if nothing had been written in the chunk and
** nothing was read there. With K decays the keys are those that reach the end. */
static void begin_rows(const delta_chunk *c, const delta_gradients *d) {
  delta_turn(d->rows, c->Kp, d->since, c->Rp, c->K, c->R);
  delta_turn(d->keys, c->Kp, d->until, c->Cp, c->K, c->C);
  if (c->faded != NULL && !c->by_heads)
    multiply_faded(c, d->rows, d->rows);
  if (!c->by_heads)
    return;
  const real *last = last_weights(c);
  for (ptrdiff_t i = 0; i < c->C; i++) {
    real *key = d->keys + i * c->Kp;
    KERNEL_INDEPENDENT
    for (ptrdiff_t p = 0; p < c->Kp; p++)
      key[p] *= last[i];
  }
  add_end(c, d);
}

/* Adds what comes by the scores, whose gradients have the ratio of G in them. */
static void add_scores_back(const delta_chunk *c, const delta_gradients *d) {
  delta_product p = {.c = d->rows + c->readers * c->Kp,
                     .ldc = c->Kp,
                     .a = d->scores + c->readers * c->Cp,
                     .row_step = c->Cp,
                     .k_step = 1,
                     .b = c->rows,
                     .ldb = c->Kp,
                     .m = c->R - c->readers,
                     .n = (int)c->Kp,
                     .k = c->C,
                     .old = d->rows + c->readers * c->Kp};
  delta_multiply(&p);
  p.c = d->keys, p.old = d->keys, p.b = c->rows + c->readers * c->Kp;
  p.row_step = 1, p.k_step = c->Cp;
  p.m = c->C, p.k = c->R - c->readers;
  delta_multiply(&p);
}

/* Vector v of row r of x (rows, Kp), from a column on. */
static inline delta_vector *vector_of(const delta_chunk *c, real *x,
                                      ptrdiff_t r, int column, int v) {
  return delta_at(x, r * c->Kp + column + v * DELTA_LANES);
}

/* With K decays, some vectors of columns of a step: keys have come to the step before,
** and fade once more. Adds to the gradient of row r of the step, a key or the query,
** what it sees of them. */
static inline __attribute__((always_inline)) void
add_row_back(const int vectors, const delta_chunk *c, const delta_gradients *d,
             ptrdiff_t r, int seen, int column) {
  delta_vector sum[4];
  const real *score = d->scores + r * c->Cp;
  for (int v = 0; v < vectors; v++)
    sum[v] = *vector_of(c, d->rows, r, column, v);
  for (int i = 0; i < seen; i++)
    for (int v = 0; v < vectors; v++)
      sum[v] += score[i] * *vector_of(c, d->fading, i, column, v);
  for (int v = 0; v < vectors; v++)
    *vector_of(c, d->rows, r, column, v) = sum[v];
}

/* Forward through the steps: gradients of rows, as keys fade on their way. */
static inline __attribute__((always_inline)) void
add_rows_back(const int vectors, const delta_chunk *c, const delta_gradients *d,
              int column) {
  for (int s = 0; s < c->Q; s++) {
    const int first = s * c->n, seen = first + c->n;
    for (int i = 0; i < first; i++)
      for (int v = 0; v < vectors; v++)
        *vector_of(c, d->fading, i, column, v) *=
            *vector_of(c, c->factor, s, column, v);
    for (int i = first; i < seen; i++)
      for (int v = 0; v < vectors; v++)
        *vector_of(c, d->fading, i, column, v) =
            *vector_of(c, c->rows, i, column, v);
    for (int r = first; r < seen && c->readers == 0; r++)
      add_row_back(vectors, c, d, r, r, column);
    add_row_back(vectors, c, d, c->C + s, seen, column);
  }
}

/* Backward through the steps: the gradient of key i, by the rows of a step that see
** it, then by the decay of the step. */
static inline __attribute__((always_inline)) void
add_key_back(const int vectors, const delta_chunk *c, const delta_gradients *d,
             int s, ptrdiff_t i, int column) {
  delta_vector sum[4];
  const int first = s * c->n, keys = c->readers == 0 ? first + c->n : 0;
  const real *score = d->scores + i, query = score[(c->C + s) * c->Cp];
  for (int v = 0; v < vectors; v++)
    sum[v] = *vector_of(c, d->keys, i, column, v) +
             query * *vector_of(c, c->rows, c->C + s, column, v);
  for (ptrdiff_t r = i < first ? first : i + 1; r < keys; r++)
    for (int v = 0; v < vectors; v++)
      sum[v] += score[r * c->Cp] * *vector_of(c, c->rows, r, column, v);
  for (int v = 0; v < vectors && i < first; v++)
    sum[v] *= *vector_of(c, c->factor, s, column, v);
  for (int v = 0; v < vectors; v++)
    *vector_of(c, d->keys, i, column, v) = sum[v];
}

static inline __attribute__((always_inline)) void
add_keys_back(const int vectors, const delta_chunk *c, const delta_gradients *d,
              int column) {
  for (int s = c->Q - 1; s >= 0; s--)
    for (int i = 0; i < (s + 1) * c->n; i++)
      add_key_back(vectors, c, d, s, i, column);
}

/* Some vectors of columns. Takes copies, which no store to an array can change. */
static inline __attribute__((always_inline)) void
add_columns_back(const int vectors, const delta_chunk c,
                 const delta_gradients d, int column) {
  add_rows_back(vectors, &c, &d, column);
  for (int i = 0; i < c.C; i++)
    for (int v = 0; v < vectors; v++)
      *vector_of(&c, d.end, 0, column, v) +=
          *vector_of(&c, d.fading, i, column, v) *
          *vector_of(&c, d.keys, i, column, v);
  add_keys_back(vectors, &c, &d, column);
}

/* The same with K decays. */
static void add_channels_back(const delta_chunk *c, const delta_gradients *d) {
  int column = 0;
  for (; column + 4 * DELTA_LANES <= c->Kp; column += 4 * DELTA_LANES)
    add_columns_back(4, *c, *d, column);
  for (; column + 2 * DELTA_LANES <= c->Kp; column += 2 * DELTA_LANES)
    add_columns_back(2, *c, *d, column);
  for (; column < c->Kp; column += DELTA_LANES)
    add_columns_back(1, *c, *d, column);
}

/* d.fades: a row has G as a factor as what reads, and as a divisor as what is read. */
static void fade_back(const delta_chunk *c, const delta_gradients *d) {
  const ptrdiff_t Kp = c->Kp;
  for (int s = 0; s < c->Q; s++) {
    const real *q = c->rows + (c->C + s) * Kp, *dq = d->rows + (c->C + s) * Kp;
    real *fade = d->fades + s * Kp;
    KERNEL_INDEPENDENT
    for (ptrdiff_t p = 0; p < Kp; p++)
      fade[p] = q[p] * dq[p];
    for (ptrdiff_t r = s * c->n; r < (s + 1) * c->n; r++) {
      const real *k = c->rows + r * Kp;
      const real *reads = d->rows + r * Kp, *read = d->keys + r * Kp;
      KERNEL_INDEPENDENT
      for (ptrdiff_t p = 0; p < Kp; p++)
        fade[p] += k[p] * ((c->readers == 0 ? reads[p] : 0) - read[p]);
    }
  }
}

/* Adds the gradients of K decays a step: a decay acts on G from its step on. Where
** the state was wiped out, its logarithm has none. */
static void add_channel_decays(const delta_chunk *c, const delta_gradients *d,
                               real *out, const kernel_delta_chunk *x) {
  const size_t H = (size_t)x->sizes->heads, K = (size_t)c->K;
  for (size_t p = 0; p < K; p++)
    d->later[p] = (double)d->end[p];
  for (int s = c->Q - 1; s >= 0; s--) {
    const real *factor = c->factor + s * c->Kp, *fade = d->fades + s * c->Kp;
    real *to = out + (x->row[s] * H + (size_t)x->head) * K;
    KERNEL_INDEPENDENT
    for (size_t p = 0; p < K; p++) {
      d->later[p] += (double)fade[p];
      to[p] += only_if(factor[p] != 0, (real)d->later[p]);
    }
  }
}

/* The same of one decay a head. */
static void add_head_decays(const delta_chunk *c, const delta_gradients *d,
                            real *out, const kernel_delta_chunk *x) {
  const size_t H = (size_t)x->sizes->heads;
  double later = 0;
  real sum[KERNEL_DELTA_MOST];
  for (int p = 0; p < c->K; p++)
    later += (double)d->end[p];
  for (int s = 0; s < c->Q; s++)
    for (ptrdiff_t p = c->K; p < c->Kp; p++)
      d->fades[s * c->Kp + p] = 0;
  sum_rows(sum, d->fades, NULL, c->Q, c->Kp);
  for (int s = c->Q - 1; s >= 0; s--) {
    later += (double)sum[s];
    out[x->row[s] * H + (size_t)x->head] +=
        only_if(c->factor[s * c->Kp] != 0, (real)later);
  }
}

/* With a length L, dx = stretch (dy - y (y . dy) / L^2) of rows y = stretch x: puts
** it in the place of dy = d.rows, for rows from..to - 1. */
static void stretch_back(const delta_chunk *c, const delta_gradients *d,
                         int from, int to, real length) {
  const real *y = c->rows + from * c->Kp;
  real *dy = d->rows + from * c->Kp;
  real along[KERNEL_DELTA_MOST];
  if (length == 0)
    return;
  for (int r = 0; r < to - from; r++)  // sums are of whole blocks
    for (ptrdiff_t p = c->K; p < c->Kp; p++)
      dy[r * c->Kp + p] = 0;
  sum_rows(along, y, dy, to - from, c->Kp);
  for (int r = 0; r < to - from; r++, y += c->Kp, dy += c->Kp) {
    const real stretch = c->stretch[from + r];
    const real share = along[r] / (length * length);
    KERNEL_INDEPENDENT
    for (ptrdiff_t p = 0; p < c->Kp; p++)
      dy[p] = stretch * (dy[p] - share * y[p]);
  }
}

/* Gradients of keys by both ways. */
static void join_keys(const delta_chunk *c, const delta_gradients *d) {
  const ptrdiff_t size = c->C * c->Kp;
  KERNEL_INDEPENDENT
  for (ptrdiff_t i = 0; i < size; i++)
    d->rows[i] = (c->readers == 0 ? d->rows[i] : 0) + d->keys[i];
}

/* to (n) = x or, unless it is fresh, to + x */
static inline void put_row(real *to, const real *x, size_t n, int is_fresh) {
  KERNEL_INDEPENDENT
  for (size_t p = 0; p < n; p++)
    to[p] = (is_fresh ? 0 : to[p]) + x[p];
}

/* Adds the gradients of queries and keys. */
static void add_row_gradients(const delta_chunk *c, const delta_gradients *d,
                              const kernel_delta_gradients *out,
                              const kernel_delta_chunk *x) {
  const size_t H = (size_t)x->sizes->heads, K = (size_t)c->K;
  join_keys(c, d);
  stretch_back(c, d, 0, c->C, x->length.k);
  stretch_back(c, d, c->C, c->R, x->length.q);
  const int *convolved = x->sizes->is_convolved;
  for (int s = 0; s < c->Q && out->q && !convolved[KERNEL_DELTA_Q]; s++)
    put_row(out->q + (x->row[s] * H + (size_t)x->head) * K,
            d->rows + (c->C + s) * c->Kp, K, out->is_fresh);
  for (int r = 0; r < c->C && out->k && !convolved[KERNEL_DELTA_K]; r++)
    put_row(out->k + place_of(c, x, r) * K, d->rows + r * c->Kp, K,
            out->is_fresh);
}

/* The gradient of a step's block, times the slope of what made it; of values, which
** micro-step r has, that of u times write. */
static inline void fall_back(real *to, const real *dy, const real *slope,
                             real factor, ptrdiff_t width) {
  KERNEL_INDEPENDENT
  for (ptrdiff_t p = 0; p < width; p++)
    to[p] = factor * dy[p] * (slope ? slope[p] : 1);
}

/* d.plain, but for its last rows, of the sums that silu read. */
static void begin_convolution(const delta_chunk *c, const delta_gradients *d,
                              const kernel_delta_chunk *x) {
  for (int i = 0; i < kernel_delta_blocks(x->sizes); i++) {
    const kernel_delta_block b = kernel_delta_block_of(x->sizes, x->head, i);
    const int j = i <= c->n ? i - 1 : i - 1 - c->n;
    for (int s = 0; s < c->Q && b.n > 0; s++) {
      const ptrdiff_t at = s * c->P + b.at, r = s * c->n + j;
      fall_back(d->plain + at,
                i == 0      ? d->rows + (c->C + s) * c->Kp
                : i <= c->n ? d->rows + r * c->Kp
                            : d->u + r * c->Vp,
                x->convolution.has_silu ? c->slope + at : NULL,
                i > c->n ? c->write[r] : 1, padded(b.n));
    }
  }
}

/* Adds the gradients of what is convolved, and of the taps. */
static void convolve_back(const delta_chunk *c, const delta_gradients *d,
                          const kernel_delta_gradients *out,
                          const kernel_delta_chunk *x) {
  real *const streams[] = {out->q, out->k, out->v};
  const delta_filter f = filter_of(c, x);
  const size_t kept =
      (size_t)(x->sizes->taps - 1) * (size_t)c->P * sizeof(real);
  begin_convolution(c, d, x);
  memcpy(d->plain + c->Q * c->P, out->carry, kept);
  memcpy(out->carry, d->plain, kept);
  delta_filter_back(&f, d->plain, out->taps);
  for (int i = 0; i < kernel_delta_blocks(x->sizes); i++) {
    const kernel_delta_block b = kernel_delta_block_of(x->sizes, x->head, i);
    real *to = streams[b.stream];
    for (int s = 0; s < c->Q && b.n > 0 && to != NULL; s++)
      put_row(to + x->row[s] * b.row + b.from, d->plain + s * c->P + b.at,
              (size_t)b.n, out->is_fresh);
  }
}

static void backward(const kernel_delta_gradients *out, const real *dy,
                     real *dm, const real *m, real *kept, real *given,
                     const kernel_delta_chunk *x) {
  const delta_chunk c = chunk_of(x, kept);
  const delta_gradients d = lay_out_gradients(&c, x->sizes->taps, given);
  fetch_ahead(x, dy, 1, c.V);
  begin_back(&c, &d, dy, dm, x);
  fetch_ahead(x, out->v, c.n, c.V);
  solve_back(&c, &d);
  add_value_gradients(&c, &d, out, x);
  fetch_ahead(x, out->k, c.n, c.K);
  if (x->sizes->channels)
    fetch_ahead(x, out->decay, 1, c.K);
  multiply_back(&c, &d, m, dm);
  if (c.factor != NULL)
    end_decay(&c, &d, m, dm);
  fetch_ahead(x, out->q, 1, c.K);
  move_back(&c, &d, dm);
  begin_rows(&c, &d);
  if (c.factor != NULL && !c.by_heads)
    add_channels_back(&c, &d);
  else
    add_scores_back(&c, &d);
  if (out->decay != NULL) {
    fade_back(&c, &d);
    if (c.by_heads)
      add_head_decays(&c, &d, out->decay, x);
    else
      add_channel_decays(&c, &d, out->decay, x);
  }
  add_row_gradients(&c, &d, out, x);
  if (x->sizes->taps > 0)
    convolve_back(&c, &d, out, x);
}

#endif
