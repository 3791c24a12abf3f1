/*
** Matrix states with the delta rule (Schlag et al. 2021; DeltaNet): one step at a
** time for sessions, and chunks of steps (delta_chunk.h, delta_back.h).
*/
#include "delta_back.h"

/* --- One step ---------------------------------------------------------------- */

typedef real lanes __attribute__((vector_size(DELTA_VECTOR),
                                  aligned(sizeof(real)), may_alias));

/* Vectors of columns at a time: their two sums each stay in registers. */
#define MOST_VECTORS 4

/* As many rows of M have their numbers computed once a micro-step. */
#define MOST_ROWS 256

/* What a block of rows p of M takes part in, with zeros behind the last one. */
typedef struct micro_rows {
  _Alignas(64) real decay[DELTA_BLOCK];  // exp(decay)
  real key[DELTA_BLOCK];
  real to_key[DELTA_BLOCK];    // exp(decay) key: its product with M is M^T k
  real to_query[DELTA_BLOCK];  // of the decayed M, and likewise for q
} micro_rows;

/* A micro-step of one head. */
typedef struct micro_step {
  const real *key, *value;
  const real *query;  // null but for the last one of a step
  const real *decay;  // null but for the first one, or where nothing decays
  int channels;       // decay has K numbers, not one
  real write, erase;
  int K, V;
  real inner;        // k . q
  micro_rows *rows;  // all of them, or the block under way
} micro_step;

/* How many rows the block from one on has. */
static inline int row_count(const micro_step *s, int from) {
  return s->K - from < DELTA_BLOCK ? s->K - from : DELTA_BLOCK;
}

/* x (count), with zeros behind, as a block. */
static inline void load_block(real *to, const real *x, int count) {
  if (count == DELTA_BLOCK) {
    memcpy(to, x, DELTA_BLOCK * sizeof(real));
    return;
  }
  memset(to, 0, DELTA_BLOCK * sizeof(real));
  for (int i = 0; i < count; i++)
    to[i] = x[i];
}

static inline void find_decay(real *decay, const micro_step *s, int from,
                              int count) {
  if (s->decay == NULL || !s->channels) {
    const real all = s->decay ? exp_of(*s->decay) : 1;
    for (int i = 0; i < DELTA_BLOCK; i++)
      decay[i] = all;
    return;
  }
  load_block(decay, s->decay + from, count);
  KERNEL_INDEPENDENT
  for (int i = 0; i < DELTA_BLOCK; i++)
    decay[i] = exp_of(decay[i]);
}

/* The rows from one on; adds the products of keys and queries to 'inner'. */
static void find_rows(micro_rows *r, const micro_step *s, int from,
                      real *inner) {
  const int count = row_count(s, from);
  _Alignas(64) real query[DELTA_BLOCK] = {0};
  find_decay(r->decay, s, from, count);
  load_block(r->key, s->key + from, count);
  if (s->query != NULL)
    load_block(query, s->query + from, count);
  for (int i = 0; i < DELTA_BLOCK; i++) {
    r->to_key[i] = r->decay[i] * r->key[i];
    r->to_query[i] = r->decay[i] * query[i];
    inner[i] += r->key[i] * query[i];
  }
}

/* Finds all rows, if there is room, and k . q. */
static void find_all_rows(micro_step *s) {
  _Alignas(64) real inner[DELTA_BLOCK] = {0};
  for (int from = 0; from < s->K; from += DELTA_BLOCK)
    find_rows(s->rows + (s->K <= MOST_ROWS ? from / DELTA_BLOCK : 0), s, from,
              inner);
  for (int n = DELTA_BLOCK / 2; n > 0; n /= 2)
    for (int i = 0; i < n; i++)
      inner[i] += inner[i + n];
  s->inner = *inner;
}

/* The block of rows from one on. */
static inline const micro_rows *rows_at(const micro_step *s, int from) {
  real unused[DELTA_BLOCK] = {0};
  if (s->K <= MOST_ROWS)
    return s->rows + from / DELTA_BLOCK;
  find_rows(s->rows, s, from, unused);
  return s->rows;
}

/*
** 'vectors' vectors of columns of M (K, V) from one on; columns are independent. M is
** read once and then changed once, as y follows from what was read:
**
**   y = (diag(a) M + k u^T)^T q = M^T (a q) + (k . q) u
*/
static inline __attribute__((always_inline)) void
step_vectors(const int vectors, real *y, real *m, const micro_step *s,
             int column) {
  lanes sum[MOST_VECTORS] = {{0}}, read[MOST_VECTORS] = {{0}};
  real *from = m + column;
  for (int first = 0; first < s->K; first += DELTA_BLOCK) {
    const micro_rows *r = rows_at(s, first);
    const int count = row_count(s, first);
    for (int p = 0; p < count; p++, from += s->V)
      for (int i = 0; i < vectors; i++) {
        const lanes row = ((const lanes *)(const void *)from)[i];
        sum[i] += r->to_key[p] * row;
        read[i] += r->to_query[p] * row;
      }
  }
  for (int i = 0; i < vectors; i++) {
    const lanes value = ((const lanes *)(const void *)(s->value + column))[i];
    sum[i] = s->write * value - s->erase * sum[i];
    if (s->query != NULL)
      ((lanes *)(void *)(y + column))[i] = read[i] + s->inner * sum[i];
  }
  from = m + column;
  for (int first = 0; first < s->K; first += DELTA_BLOCK) {
    const micro_rows *r = rows_at(s, first);
    const int count = row_count(s, first);
    for (int p = 0; p < count; p++, from += s->V)
      for (int i = 0; i < vectors; i++) {
        lanes *row = (lanes *)(void *)from + i;
        *row = r->decay[p] * *row + r->key[p] * sum[i];
      }
  }
}

/* One column. */
static void step_column(real *y, real *m, const micro_step *s, int column) {
  real sum = 0, read = 0;
  real *from = m + column;
  for (int first = 0; first < s->K; first += DELTA_BLOCK) {
    const micro_rows *r = rows_at(s, first);
    const int count = row_count(s, first);
    for (int p = 0; p < count; p++, from += s->V)
      sum += r->to_key[p] * *from, read += r->to_query[p] * *from;
  }
  const real u = s->write * s->value[column] - s->erase * sum;
  if (s->query != NULL)
    y[column] = read + s->inner * u;
  from = m + column;
  for (int first = 0; first < s->K; first += DELTA_BLOCK) {
    const micro_rows *r = rows_at(s, first);
    const int count = row_count(s, first);
    for (int p = 0; p < count; p++, from += s->V)
      *from = r->decay[p] * *from + r->key[p] * u;
  }
}

static void take_micro_step(real *y, real *m, micro_step *s) {
  const int many = MOST_VECTORS * DELTA_LANES;
  int column = 0;
  find_all_rows(s);
  for (; column + many <= s->V; column += many)
    step_vectors(MOST_VECTORS, y, m, s, column);
  for (; column + DELTA_LANES <= s->V; column += DELTA_LANES)
    step_vectors(1, y, m, s, column);
  for (; column < s->V; column++)
    step_column(y, m, s, column);
}

static void step(real *y, real *m, const kernel_delta_inputs *x,
                 const kernel_delta_sizes *s) {
  const ptrdiff_t K = s->K, V = s->V, H = s->heads;
  micro_rows rows[MOST_ROWS / DELTA_BLOCK];
  for (int head = 0; head < H; head++, m += K * V)
    for (int j = 0; j < s->reflections; j++) {
      const ptrdiff_t at = j * H + head;
      const real *decay =
          x->decay ? x->decay + head * (s->channels ? K : 1) : NULL;
      take_micro_step(
          y + head * V, m,
          &(micro_step){x->k + at * K, x->v + at * V,
                        j == s->reflections - 1 ? x->q + head * K : NULL,
                        j == 0 ? decay : NULL, s->channels,
                        x->write ? x->write[at] : 1,
                        x->erase ? x->erase[at] : 0, s->K, s->V, 0, rows});
    }
}

const delta_kernels KERNEL_TABLE(delta) = {
    .step = step,
    .room = room,
    .backward_room = backward_room,
    .forward = forward,
    .backward = backward,
};
