/*
** Attention over the last W steps inside a program, for whole sequences:
**
**   score(t, s) = q(t) . k(s) / sqrt(F / heads) + distance[t - s]
**   y(t) = sum over s of softmax(score(t, .))(s) v(s),   t - W < s <= t
**
** The steps that each step sees are gathered as a window, so the states are the
** rings of two windows: keys and values, and whether there was such a step.
** Masked steps see nothing, and a piece sees nothing of another one.
*/
#include <math.h>

#include "program_run.h"

/* Added to the scores of steps that there are not. */
#define FAR_BELOW 1e9

typedef struct attending {
  const program_node *n;
  int T, B, W, heads, F, d;
  saros_tensor *both;    // (T, B, 2 F): k then v
  saros_tensor *seen;    // (T, B, W, 2 F)
  saros_tensor *exists;  // (T, B, W)
  saros_tensor *scores;  // (T, B, heads, 1, W)
  saros_tensor *values;  // (T, B, heads, W, d)
} attending;

static saros_status reshape(saros_tensor **x, int rank, const int *shape) {
  TRY(PROGRAM_MAKE(*x, saros_reshape(*x, rank, shape, &made)));
  return SAROS_OK;
}

static saros_status times(saros_tensor **x, double factor) {
  saros_tensor *scalar;
  TRY(tensor_scalar((*x)->context, factor, &scalar));
  saros_status status =
      PROGRAM_MAKE(*x, saros_combine(SAROS_MULTIPLY, *x, scalar, &made));
  saros_tensor_release(scalar);
  return status;
}

static saros_status plus(saros_tensor **x, saros_tensor *y) {
  return PROGRAM_MAKE(*x, saros_combine(SAROS_ADD, *x, y, &made));
}

/* Keys or values of the steps seen, (T, B, heads, W, d). */
static saros_status part(const attending *a, int first, saros_tensor **out) {
  const int shape[5] = {a->T, a->B, a->W, a->heads, a->d};
  TRY(saros_slice(a->seen, -1, first, first + a->F, out));
  TRY(reshape(out, 5, shape));
  return PROGRAM_MAKE(*out, saros_transpose(*out, 2, 3, &made));
}

static saros_status gather(attending *a, const program_walk *walk,
                           saros_tensor *const *x, saros_tensor *const *state,
                           saros_tensor **last) {
  const int ones[3] = {a->T, a->B, 1}, seen[4] = {a->T, a->B, a->W, 2 * a->F};
  saros_tensor *const pair[2] = {x[1], x[2]};
  TRY(saros_concatenate(walk->p->context, 2, pair, -1, &a->both));
  TRY(program_window(walk, a->W, 1, a->both, state[0], &a->seen, &last[0]));
  TRY(reshape(&a->seen, 4, seen));
  TRY(program_filled(walk->p->context, 1, 3, ones, &a->exists));
  return PROGRAM_MAKE(a->exists, program_window(walk, a->W, 1, a->exists,
                                                state[1], &made, &last[1]));
}

/* Scores of the steps seen, those that there are not far below the others. */
static saros_status score(attending *a, saros_tensor *q, saros_tensor *keys,
                          saros_tensor *distance) {
  const int query[5] = {a->T, a->B, a->heads, 1, a->d};
  const int flags[5] = {a->T, a->B, 1, 1, a->W};
  const int steps[3] = {a->heads, 1, a->W};
  saros_tensor *rows = NULL, *by = NULL, *far = NULL, *minus_one = NULL;
  saros_status status;
  TRY_OR_DONE(saros_reshape(q, 5, query, &rows));
  TRY_OR_DONE(times(&rows, 1 / sqrt((double)a->d)));
  TRY_OR_DONE(saros_matmul(rows, keys, &a->scores));
  TRY_OR_DONE(program_reshape(distance, 0, 3, steps, &by));
  TRY_OR_DONE(plus(&a->scores, by));
  TRY_OR_DONE(saros_reshape(a->exists, 5, flags, &far));
  TRY_OR_DONE(tensor_scalar(q->context, -1, &minus_one));
  TRY_OR_DONE(plus(&far, minus_one));
  TRY_OR_DONE(times(&far, FAR_BELOW));
  TRY_OR_DONE(plus(&a->scores, far));
done:
  saros_tensor_release(minus_one);
  saros_tensor_release(rows);
  saros_tensor_release(by);
  saros_tensor_release(far);
  return status;
}

static saros_status attend(attending *a, const program_walk *walk,
                           saros_tensor *const *x, saros_tensor *const *state,
                           saros_tensor **y, saros_tensor **last) {
  const int row[3] = {a->T, a->B, a->F};
  saros_tensor *keys = NULL;
  saros_status status;
  TRY(gather(a, walk, x, state, last));
  TRY_OR_DONE(part(a, 0, &keys));
  TRY_OR_DONE(PROGRAM_MAKE(keys, saros_transpose(keys, 3, 4, &made)));
  TRY_OR_DONE(part(a, a->F, &a->values));
  TRY_OR_DONE(score(a, x[0], keys, x[3]));
  TRY_OR_DONE(PROGRAM_MAKE(a->scores, saros_softmax(a->scores, -1, &made)));
  TRY_OR_DONE(saros_matmul(a->scores, a->values, y));
  status = reshape(y, 3, row);
done:
  saros_tensor_release(keys);
  return status;
}

saros_status program_attend(const program_walk *walk, const program_node *n,
                            saros_tensor *const *x, saros_tensor *const *state,
                            saros_tensor **y, saros_tensor **last) {
  const program_lead lead = {2, {walk->T, walk->B}};
  saros_tensor *all[4] = {NULL, NULL, NULL, x[3]};
  saros_status status;
  attending a = {.n = n,
                 .T = walk->T,
                 .B = walk->B,
                 .W = n->at[AT_WINDOW],
                 .heads = n->at[AT_HEADS],
                 .F = n->width,
                 .d = n->width / n->at[AT_HEADS]};
  for (int i = 0; i < 3; i++)
    TRY_OR_DONE(
        program_spread(&walk->p->nodes[n->input[i]], &lead, x[i], &all[i]));
  status = attend(&a, walk, all, state, y, last);
done:
  for (int i = 0; i < 3; i++)
    saros_tensor_release(all[i]);
  saros_tensor_release(a.both);
  saros_tensor_release(a.seen);
  saros_tensor_release(a.exists);
  saros_tensor_release(a.scores);
  saros_tensor_release(a.values);
  return status;
}
