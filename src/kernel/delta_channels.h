/*
** Scores of a chunk with K decays a step, each key fading on its way to what reads it.
*/
#ifndef DELTA_CHANNELS_H
#define DELTA_CHANNELS_H

#include "delta_solve.h"

/*
** rows (C + Q, ld): the keys of C micro-steps, then the queries of Q steps of n
** micro-steps each. Row p of keys (K, Cp) has element p of each key, and of 'until'
** the same as it reaches the end of the chunk. factor (Q, ld) is that of each step.
*/
typedef struct delta_fading {
  int K, C, n, Cp;
  const real *rows, *factor;
  ptrdiff_t ld;
  const real *keys;
  real *until;
  real *scores;        // (C + Q, Cp)
  const real *weight;  // (C + Q, Cp): 0 where nothing is seen
} delta_fading;

/* Micro-steps that are walked together: each has the sums of a key and a query. */
#define DELTA_WALKED (DELTA_SUMS / 2)

static inline delta_vector *delta_at(const real *x, ptrdiff_t place) {
  return (delta_vector *)(void *)(x + place);
}

/* x, but lane i of y; none where i is no lane. */
static inline delta_vector delta_insert(delta_vector x, delta_vector y, int i) {
  delta_vector lane;
  for (int j = 0; j < DELTA_LANES; j++)
    lane[j] = (real)j;
  const __typeof__(lane == lane) here = lane == (real)i;
  return (delta_vector)(((__typeof__(here))x & ~here) |
                        ((__typeof__(here))y & here));
}

static inline void delta_store_scores(const delta_fading *f, ptrdiff_t row,
                                      int column, delta_vector sum) {
  const ptrdiff_t at = row * f->Cp + column;
  *delta_at(f->scores, at) = delta_weigh(sum, *delta_at(f->weight, at));
}

/*
** Micro-steps from..from + count - 1, for a vector of keys: they have come as far as
** 'until' says. 'count', and 'n' where it is 1, are constants where this is inlined.
*/
static inline __attribute__((always_inline)) void
delta_walk(const int count, const int n, const delta_fading *f, int from,
           int column) {
  delta_vector by_key[DELTA_WALKED] = {0}, by_query[DELTA_WALKED] = {0};
  const int step = from / n, begins = from % n;
  const real *key_row = f->rows + from * f->ld;
  const real *query = f->rows + (f->C + step) * f->ld;
  const real *factor = f->factor + step * f->ld;
  for (int p = 0; p < f->K; p++, key_row++, query++, factor++) {
    const delta_vector new = *delta_at(f->keys, p * f->Cp + column);
    delta_vector *until = delta_at(f->until, p * f->Cp + column);
    delta_vector key = from > column ? *until : (delta_vector){0};
    for (int r = 0; r < count; r++) {
      const int s = (begins + r) / n, j = (begins + r) % n;
      if (j == 0)
        key *= factor[s * f->ld];
      by_key[r] += key_row[r * f->ld] * key;
      key = delta_insert(key, new, from + r - column);
      if (j == n - 1)
        by_query[r] += query[s * f->ld] * key;
    }
    *until = key;
  }
  for (int r = 0; r < count; r++) {
    delta_store_scores(f, from + r, column, by_key[r]);
    if ((begins + r) % n == n - 1)
      delta_store_scores(f, f->C + step + (begins + r) / n, column,
                         by_query[r]);
  }
}

/* No row before a vector of keys sees one of them. */
static void delta_see_nothing(const delta_fading *f, int from, int to,
                              int column) {
  for (ptrdiff_t row = from; row < to; row++)
    *delta_at(f->scores, row * f->Cp + column) = (delta_vector){0};
}

/* Takes a copy, which no store to its arrays can change. */
static inline __attribute__((always_inline)) void
delta_walk_all(const int n, const delta_fading f) {
  for (int column = 0; column < f.C; column += DELTA_LANES) {
    int from = column;
    delta_see_nothing(&f, 0, column, column);
    delta_see_nothing(&f, f.C, f.C + column / n, column);
    for (; from + DELTA_WALKED <= f.C; from += DELTA_WALKED)
      delta_walk(DELTA_WALKED, n, &f, from, column);
    for (; from < f.C; from++)
      delta_walk(1, n, &f, from, column);
  }
}

/* Scores, and keys as they reach the end. */
static void delta_score_channels(const delta_fading *f) {
  if (f->n == 1)
    delta_walk_all(1, *f);
  else
    delta_walk_all(f->n, *f);
}

#endif
