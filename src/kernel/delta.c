/*
** Matrix states with the delta rule (Schlag et al. 2021; DeltaNet): one step at a
** time for sessions, and chunks of steps (delta_chunk.h, delta_back.h).
*/
#include "delta_back.h"

/* --- One step ---------------------------------------------------------------- */

typedef real block __attribute__((vector_size(DELTA_BLOCK * sizeof(real)),
                                  aligned(sizeof(real)), may_alias));

/* A micro-step of one head. */
typedef struct micro_step {
  const real *key, *value;
  const real *query;  // null but for the last one of a step
  const real *decay;  // null but for the first one, or where nothing decays
  int channels;       // decay has K numbers, not one
  real write, erase;
  int K, V;
} micro_step;

/* The factors of rows from..from + DELTA_BLOCK - 1 of M, as far as there are. */
static void find_factors(real *factor, const micro_step *s, int from) {
  const int count = s->K - from < DELTA_BLOCK ? s->K - from : DELTA_BLOCK;
  real decay[DELTA_BLOCK] = {0};
  for (int i = 0; i < count && s->decay != NULL; i++)
    decay[i] = s->decay[s->channels ? from + i : 0];
  KERNEL_INDEPENDENT
  for (int i = 0; i < DELTA_BLOCK; i++)
    factor[i] = exp_of(decay[i]);
}

/* 'blocks' blocks of columns of M (K, V) from one on; columns are independent. */
static inline __attribute__((always_inline)) void
step_blocks(const int blocks, real *y, real *m, const micro_step *s,
            int column) {
  block sum[4] = {0}, u[4];
  real factor[DELTA_BLOCK];
  real *from = m + column;
  for (int p = 0; p < s->K; p++, from += s->V) {
    if (p % DELTA_BLOCK == 0)
      find_factors(factor, s, p);
    block *row = (block *)(void *)from;
    for (int i = 0; i < blocks; i++) {
      row[i] = factor[p % DELTA_BLOCK] * row[i];
      sum[i] += s->key[p] * row[i];
    }
  }
  for (int i = 0; i < blocks; i++) {
    const block *value = (const block *)(const void *)(s->value + column);
    u[i] = s->write * value[i] - s->erase * sum[i];
    sum[i] = (block){0};
  }
  from = m + column;
  for (int p = 0; p < s->K; p++, from += s->V) {
    block *row = (block *)(void *)from;
    const real query = s->query ? s->query[p] : 0;
    for (int i = 0; i < blocks; i++) {
      row[i] += s->key[p] * u[i];
      sum[i] += query * row[i];
    }
  }
  for (int i = 0; i < blocks && s->query != NULL; i++)
    ((block *)(void *)(y + column))[i] = sum[i];
}

/* One column. */
static void step_column(real *y, real *m, const micro_step *s, int column) {
  real sum = 0, factor[DELTA_BLOCK];
  real *from = m + column;
  for (int p = 0; p < s->K; p++, from += s->V) {
    if (p % DELTA_BLOCK == 0)
      find_factors(factor, s, p);
    *from *= factor[p % DELTA_BLOCK];
    sum += s->key[p] * *from;
  }
  const real u = s->write * s->value[column] - s->erase * sum;
  from = m + column, sum = 0;
  for (int p = 0; p < s->K; p++, from += s->V) {
    *from += s->key[p] * u;
    sum += (s->query ? s->query[p] : 0) * *from;
  }
  if (s->query != NULL)
    y[column] = sum;
}

static void take_micro_step(real *y, real *m, const micro_step *s) {
  int column = 0;
  for (; column + 4 * DELTA_BLOCK <= s->V; column += 4 * DELTA_BLOCK)
    step_blocks(4, y, m, s, column);
  for (; column + DELTA_BLOCK <= s->V; column += DELTA_BLOCK)
    step_blocks(1, y, m, s, column);
  for (; column < s->V; column++)
    step_column(y, m, s, column);
}

static void step(real *y, real *m, const kernel_delta_inputs *x,
                 const kernel_delta_sizes *s) {
  const ptrdiff_t K = s->K, V = s->V, H = s->heads;
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
                        x->erase ? x->erase[at] : 0, s->K, s->V});
    }
}

const delta_kernels KERNEL_TABLE(delta) = {
    .step = step,
    .room = room,
    .backward_room = backward_room,
    .forward = forward,
    .backward = backward,
};
