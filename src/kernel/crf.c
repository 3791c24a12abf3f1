/*
** Linear-chain conditional random fields (Lafferty, McCallum and Pereira 2001) of
** one row: the score of tags y(0..T-1) is
**
**   start[y(0)] + sum of e[t][y(t)] + sum of m[y(t-1)][y(t)] + stop[y(T-1)]
**
** and their probability its exp over the sum of those of all tags, which the
** forward algorithm gives. Sums are taken in double, of exp of what is left of a
** score under the largest one; each step of the walk is scaled to the sum 1
** (Rabiner 1989), so that a step costs L^2 products and no logarithm of them:
**
**   a(t)[j] = w(t)[j] / c(t) * sum over i of a(t-1)[i] psi[i][j],  psi = exp(m - top)
**
** The log of the sum is that of all c, stop's included, and all largest scores.
*/
#include <float.h>

#include "elementary.h"
#include "lanes.h"

/* The weights that rows share: psi (L, L), then exp(start), exp(stop), then the
** largest of each, which exp has been taken under. */
typedef struct crf_weights {
  const double *psi, *start, *stop, *top;
} crf_weights;

static crf_weights weights_in(const double *shared, size_t L) {
  return (crf_weights){shared, shared + L * L, shared + L * L + L,
                       shared + L * L + 2 * L};
}

/* w (n) = exp(x - top); returns top, the largest x, but finite. */
static double exp_under_top(double *w, const real *x, size_t n) {
  real top = -FLT_MAX;
  for (size_t i = 0; i < n; i++)
    top = x[i] > top ? x[i] : top;
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++)
    w[i] = (double)exp_of(x[i] - top);
  return (double)top;
}

static void prepare(double *shared, const kernel_crf_scores *s, size_t L) {
  double *stop = shared + L * L + L, *top = stop + L;
  top[0] = exp_under_top(shared, s->transitions, L * L);
  top[1] = exp_under_top(shared + L * L, s->start, L);
  top[2] = exp_under_top(stop, s->stop, L);
}

/* --- Forward -------------------------------------------------------------------- */

/* a (L) divided by its sum, which is returned. */
static double scale_to_one(double *a, size_t L) {
  double sum = 0;
  for (size_t j = 0; j < L; j++)
    sum += a[j];
  for (size_t j = 0; j < L; j++)
    a[j] /= sum;
  return sum;
}

/* a = before psi */
static void move_on(double *a, const double *before, const double *psi,
                    size_t L) {
  memset(a, 0, L * sizeof *a);
  for (size_t i = 0; i < L; i++)
    for (size_t j = 0; j < L; j++)
      a[j] += before[i] * psi[i * L + j];
}

/* The log of the sum over all tags. scratch: a (T, L), c (T), w (L). */
static double log_sum(double *scratch, const double *shared,
                      const real *emissions, ptrdiff_t step, size_t T,
                      size_t L) {
  const crf_weights s = weights_in(shared, L);
  double *a = scratch, *c = scratch + T * L, *w = c + T;
  double sum = s.top[1] + s.top[2] + s.top[0] * (double)(T - 1);
  for (size_t t = 0; t < T; t++, a += L, emissions += step) {
    sum += exp_under_top(w, emissions, L);
    if (t == 0)
      memcpy(a, s.start, L * sizeof *a);
    else
      move_on(a, a - L, s.psi, L);
    for (size_t j = 0; j < L; j++)
      a[j] *= w[j];
    c[t] = scale_to_one(a, L);
    sum += log(c[t]);
  }
  double end = 0;
  for (size_t j = 0; j < L; j++)
    end += a[(ptrdiff_t)j - (ptrdiff_t)L] * s.stop[j];
  return sum + log(end);
}

static double score_of(const kernel_crf_scores *s, const real *emissions,
                       ptrdiff_t step, const int32_t *tags, ptrdiff_t tag_step,
                       size_t T, size_t L) {
  size_t tag = (size_t)*tags;
  double score = (double)s->start[tag] + (double)emissions[tag];
  for (size_t t = 1; t < T; t++) {
    const size_t next = (size_t)tags[(ptrdiff_t)t * tag_step];
    score += (double)s->transitions[tag * L + next] +
             (double)emissions[(ptrdiff_t)t * step + (ptrdiff_t)next];
    tag = next;
  }
  return score + (double)s->stop[tag];
}

static double forward(double *scratch, const double *shared,
                      const kernel_crf_scores *s, const real *emissions,
                      ptrdiff_t step, const int32_t *tags, ptrdiff_t tag_step,
                      size_t T, size_t L) {
  const double sum = log_sum(scratch, shared, emissions, step, T, L);
  const double score = score_of(s, emissions, step, tags, tag_step, T, L);
  return score == -INFINITY ? INFINITY : sum - score;
}

/* --- Backward --------------------------------------------------------------------- */

/* What the way back of a row reads and gathers. */
typedef struct crf_back {
  double *w, *b, *q, *pairs;  // (L) each; (L, L)
} crf_back;

/* From b(t) to b(t-1): b = psi q with q = w b / c; adds the probability of each
** pair of tags. */
static void move_back(const crf_back *k, const double *before, double c,
                      const double *psi, size_t L) {
  for (size_t j = 0; j < L; j++)
    k->q[j] = k->w[j] * k->b[j] / c;
  for (size_t i = 0; i < L; i++) {
    const double *row = psi + i * L;
    double *pairs = k->pairs + i * L, sum = 0;
    for (size_t j = 0; j < L; j++) {
      const double part = row[j] * k->q[j];
      sum += part;
      pairs[j] += before[i] * part;
    }
    k->b[i] = sum;
  }
}

/* b(T-1), with which a(T-1) b(T-1) sums to 1. */
static void begin_back(double *b, const double *a, const double *stop,
                       size_t L) {
  double end = 0;
  for (size_t j = 0; j < L; j++)
    end += a[j] * stop[j];
  for (size_t j = 0; j < L; j++)
    b[j] = stop[j] / end;
}

static void backward(real *gradient, ptrdiff_t step, real *dscores,
                     double *scratch, const double *shared,
                     const real *emissions, const int32_t *tags,
                     ptrdiff_t tag_step, size_t T, size_t L) {
  const crf_weights s = weights_in(shared, L);
  const double *a = scratch, *c = scratch + T * L;
  double *w = scratch + T * L + T;
  const crf_back k = {w, w + L, w + 2 * L, w + 3 * L};
  real *dstart = dscores + L * L, *dstop = dstart + L;
  memset(k.pairs, 0, L * L * sizeof *k.pairs);
  begin_back(k.b, a + (T - 1) * L, s.stop, L);
  for (size_t t = T; t-- > 0;) {
    const size_t tag = (size_t)tags[(ptrdiff_t)t * tag_step];
    real *row = gradient + (ptrdiff_t)t * step;
    for (size_t j = 0; j < L; j++)
      row[j] = (real)(a[t * L + j] * k.b[j]) - (j == tag);
    if (t == T - 1)
      memcpy(dstop, row, L * sizeof *row);
    if (t == 0)
      memcpy(dstart, row, L * sizeof *row);
    else {
      exp_under_top(k.w, emissions + (ptrdiff_t)t * step, L);
      move_back(&k, a + (t - 1) * L, c[t], s.psi, L);
      k.pairs[(size_t)tags[(ptrdiff_t)(t - 1) * tag_step] * L + tag] -= 1;
    }
  }
  for (size_t i = 0; i < L * L; i++)
    dscores[i] = (real)k.pairs[i];
}

/* --- The best tags ------------------------------------------------------------------ */

/* The best way into tag j, from the scores before; ties go to the first tag. */
static int32_t best_into(double *score, const double *before,
                         const real *transitions, size_t j, size_t L) {
  size_t best = 0;
  *score = before[0] + (double)transitions[j];
  for (size_t i = 1; i < L; i++) {
    const double here = before[i] + (double)transitions[i * L + j];
    if (here > *score)
      best = i, *score = here;
  }
  return (int32_t)best;
}

static double best(int32_t *tags, ptrdiff_t tag_step, double *scratch,
                   int32_t *from, const kernel_crf_scores *s,
                   const real *emissions, ptrdiff_t step, size_t T, size_t L) {
  double *score = scratch, *next = scratch + L;
  for (size_t j = 0; j < L; j++)
    score[j] = (double)s->start[j] + (double)emissions[j];
  for (size_t t = 1; t < T; t++) {
    const real *e = emissions + (ptrdiff_t)t * step;
    for (size_t j = 0; j < L; j++) {
      from[t * L + j] = best_into(&next[j], score, s->transitions, j, L);
      next[j] += (double)e[j];
    }
    double *old = score;
    score = next, next = old;
  }
  size_t last = 0;
  for (size_t j = 0; j < L; j++) {
    score[j] += (double)s->stop[j];
    if (score[j] > score[last])
      last = j;
  }
  const double highest = score[last];
  for (size_t t = T; t-- > 0;) {
    tags[(ptrdiff_t)t * tag_step] = (int32_t)last;
    if (t > 0)
      last = (size_t)from[t * L + last];
  }
  return highest;
}

const crf_kernels KERNEL_TABLE(crf) = {
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
    .best = best,
};
