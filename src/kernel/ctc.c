/*
** Connectionist temporal classification (Graves et al. 2006): the probability
** of a target, summed over all alignments with the steps of a row, and its
** gradient.
**
** A path walks through 2 L + 1 states: blank 0, label 0, blank 1, label 1, ...,
** label L - 1, blank L. At each step it stays, goes to the next state, or goes
** past a blank from one label to the next, unless both are the same label. It
** begins before blank 0 and ends in label L - 1 or blank L.
**
** Labels and blanks are kept apart, so that each kind is one loop over
** neighbours that runs on vectors. A row of states, of ROW(L) doubles, is
**
**   pad, label 0 .. label L - 1, pad, blank 0 .. blank L
**
** where the pads are states that no path reaches. Everything is a logarithm,
** in double whatever real is, as the sums reach thousands; only the difference
** of two of them, of which exp is taken, is a real.
*/
#include <float.h>

#include "elementary.h"
#include "lanes.h"

#define ROW(L) (2 * (L) + 3)

static inline double *labels_of(double *row) {
  return row + 1;
}

static inline double *blanks_of(double *row, size_t L) {
  return row + L + 2;
}

/* --- Sums of probabilities ------------------------------------------------ */

/* The larger of two, and a finite number if both are -infinity, so that it can
** be taken off. (It may lose a NaN: the sums below have each term in them.) */
static inline double finite_top(double a, double b) {
  const double top = a > b ? a : b;
  return top > -DBL_MAX ? top : -DBL_MAX;
}

/* log(exp(a) + exp(b)) */
static inline double log_add(double a, double b) {
  const double top = finite_top(a, b);
  return top +
         (double)log_of(exp_of((real)(a - top)) + exp_of((real)(b - top)));
}

/* log(exp(a) + exp(b) + exp(c)) */
static inline double log_add3(double a, double b, double c) {
  const double top = finite_top(finite_top(a, b), c);
  return top +
         (double)log_of(exp_of((real)(a - top)) + exp_of((real)(b - top)) +
                        exp_of((real)(c - top)));
}

/* --- Walking -------------------------------------------------------------- */

/* skip (L + 1): 0 where a path may go from label i - 1 to label i without a
** blank, else -infinity, as at both ends. */
static void find_skips(double *skip, const int32_t *target, size_t L) {
  for (size_t i = 0; i <= L; i++)
    skip[i] = i > 0 && i < L && target[i] != target[i - 1] ? 0 : -INFINITY;
}

/* A row with one state to start from, which the caller sets, and no other. */
static void clear_states(double *row, size_t L) {
  for (size_t i = 0; i < ROW(L); i++)
    row[i] = -INFINITY;
}

/* next = the states a step after 'now', where the step's emissions are not yet
** counted; the pads of next are not touched. */
static void step_forward(double *next, double *now, const double *skip,
                         size_t L) {
  double *label = labels_of(next), *blank = blanks_of(next, L);
  const double *here = labels_of(now), *before = now, *gap = blanks_of(now, L);
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < L; i++)
    label[i] = log_add3(here[i], gap[i], before[i] + skip[i]);
  KERNEL_INDEPENDENT
  for (size_t i = 0; i <= L; i++)
    blank[i] = log_add(gap[i], before[i]);
}

/* The same against time: previous = the states a step before 'now'. */
static void step_backward(double *previous, double *now, const double *skip,
                          size_t L) {
  double *label = labels_of(previous), *blank = blanks_of(previous, L);
  const double *here = labels_of(now), *gap = blanks_of(now, L);
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < L; i++)
    label[i] = log_add3(here[i], gap[i + 1], here[i + 1] + skip[i + 1]);
  KERNEL_INDEPENDENT
  for (size_t i = 0; i <= L; i++)
    blank[i] = log_add(gap[i], here[i]);
}

/* row += the log-probabilities that a step gives to the states' classes */
static void emit(double *row, const real *log_probs, const int32_t *target,
                 size_t L, int32_t blank) {
  double *label = labels_of(row), *gap = blanks_of(row, L);
  for (size_t i = 0; i < L; i++)
    label[i] += (double)log_probs[target[i]];
  for (size_t i = 0; i <= L; i++)
    gap[i] += (double)log_probs[blank];
}

/* --- Forward -------------------------------------------------------------- */

static double forward(double *scratch, size_t kept, const real *log_probs,
                      ptrdiff_t step, const int32_t *target, size_t T, size_t L,
                      int32_t blank) {
  double *skip = scratch, *alpha = scratch + L + 1, *now = alpha;
  find_skips(skip, target, L);
  for (size_t row = 0; row < kept; row++)
    clear_states(alpha + row * ROW(L), L);
  blanks_of(now, L)[0] = 0;
  for (size_t t = 0; t < T; t++, log_probs += step) {
    double *next = alpha + (t + 1) % kept * ROW(L);
    step_forward(next, now, skip, L);
    emit(next, log_probs, target, L, blank);
    now = next;
  }
  return -log_add(now[L], blanks_of(now, L)[L]);
}

/* --- Backward ------------------------------------------------------------- */

/* The largest of x[0..n-1]; n >= 1. */
static double largest_of(const double *x, size_t n) {
  double best[KERNEL_LANES];
  for (size_t lane = 0; lane < KERNEL_LANES; lane++)
    best[lane] = x[0];
  for (size_t i = 0; i < n; i++)
    best[i % KERNEL_LANES] =
        x[i] > best[i % KERNEL_LANES] ? x[i] : best[i % KERNEL_LANES];
  for (size_t lane = 1; lane < KERNEL_LANES; lane++)
    best[0] = best[lane] > best[0] ? best[lane] : best[0];
  return best[0];
}

/* alpha = the posterior probabilities of the states of a step: exp(alpha +
** beta), over its sum, which is the same at every step but for roundings that
** a long walk gathers. At a step of its own each, they drop out. */
static void find_posterior(double *alpha, const double *beta, size_t L) {
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < ROW(L); i++)
    alpha[i] += beta[i];
  const double top = largest_of(alpha, ROW(L));
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < ROW(L); i++)
    alpha[i] = (double)exp_of((real)(alpha[i] - top));
  const double scale = 1 / KERNEL_SUM_OVER(i, ROW(L), alpha[i]);
  for (size_t i = 0; i < ROW(L); i++)
    alpha[i] *= scale;
}

/* The softmax of a step, less what the target wants of it. */
static void step_gradient(real *y, double *state, const int32_t *target,
                          size_t V, size_t L, int32_t blank) {
  const double *label = labels_of(state), *gap = blanks_of(state, L);
  KERNEL_INDEPENDENT
  for (size_t v = 0; v < V; v++)
    y[v] = exp_of(y[v]);
  y[blank] -= (real)KERNEL_SUM_OVER(i, L + 1, gap[i]);
  for (size_t i = 0; i < L; i++)
    y[target[i]] -= (real)label[i];
}

static void backward(real *log_probs, double *scratch, double loss,
                     ptrdiff_t step, const int32_t *target, size_t T, size_t V,
                     size_t L, int32_t blank) {
  double *skip = scratch, *alpha = scratch + L + 1 + T * ROW(L);
  double *now = alpha + ROW(L), *beta = now + ROW(L);
  clear_states(now, L);
  clear_states(beta, L);
  blanks_of(now, L)[L] = 0;
  real *y = log_probs + (ptrdiff_t)T * step;
  for (size_t t = T; t > 0; t--, alpha -= ROW(L)) {
    y -= step;
    if (isinf(loss)) {
      memset(y, 0, V * sizeof *y);
      continue;
    }
    step_backward(beta, now, skip, L);
    find_posterior(alpha, beta, L);
    memcpy(now, beta, ROW(L) * sizeof *now);
    emit(now, y, target, L, blank);
    step_gradient(y, alpha, target, V, L, blank);
  }
}

const ctc_kernels KERNEL_TABLE(ctc) = {
    .forward = forward,
    .backward = backward,
};
