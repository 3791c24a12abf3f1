/*
** Finite-state cells: heads whose state is one of n, each step a function of the
** n states onto themselves. A function is given by n rows of n logits, one row
** for each state before the step; the largest of a row names the state after it.
**
** The hard form walks integers. Its way back is that of the straight-through
** estimator (Bengio, Leonard and Courville 2013): the state's gradient goes back
** through the function itself, that of the logits through their softmax. The soft
** form multiplies with the softmax both ways.
*/
#include "elementary.h"

/* NaN counts as the largest, as in reduce.c. */
static void choose(int32_t *at, const real *x, size_t rows, int n) {
  for (size_t row = 0; row < rows; row++, x += n) {
    int best = 0;
    for (int i = 1; i < n && x[best] == x[best]; i++)
      if (x[i] > x[best] || x[i] != x[i])
        best = i;
    at[row] = best;
  }
}

static void step(int32_t *after, const int32_t *before, const int32_t *next,
                 int heads, int P, int n) {
  for (int h = 0; h < heads; h++, after += P, before += P, next += n)
    for (int p = 0; p < P; p++)
      after[p] = next[before[p]];
}

static void step_backward(real *ds, real *dm, const real *dy,
                          const int32_t *before, const int32_t *next, int P,
                          int n) {
  for (int p = 0; p < P; p++, ds += n, dy += n) {
    real *row = dm + (ptrdiff_t)before[p] * n;
    KERNEL_INDEPENDENT
    for (int i = 0; i < n; i++)
      row[i] += dy[i];
    for (int i = 0; i < n; i++)
      ds[i] = dy[next[i]];
  }
}

static void soft_step(real *y, const real *s, const real *m, int heads, int P,
                      int n) {
  memset(y, 0, (size_t)heads * (size_t)P * (size_t)n * sizeof *y);
  for (int h = 0; h < heads; h++, m += (ptrdiff_t)n * n)
    for (int p = 0; p < P; p++, y += n, s += n)
      for (int i = 0; i < n; i++) {
        const real *row = m + (ptrdiff_t)i * n;
        KERNEL_INDEPENDENT
        for (int j = 0; j < n; j++)
          y[j] += s[i] * row[j];
      }
}

static void soft_step_backward(real *ds, real *dm, const real *dy,
                               const real *s, const real *m, int P, int n) {
  for (int p = 0; p < P; p++, ds += n, dy += n, s += n)
    for (int i = 0; i < n; i++) {
      const real *row = m + (ptrdiff_t)i * n;
      real *drow = dm + (ptrdiff_t)i * n, sum = 0;
      for (int j = 0; j < n; j++)
        sum += row[j] * dy[j];
      ds[i] = sum;
      KERNEL_INDEPENDENT
      for (int j = 0; j < n; j++)
        drow[j] += s[i] * dy[j];
    }
}

static int are_zeros(const real *x, int n) {
  for (int i = 0; i < n; i++)
    if (x[i] != 0)
      return 0;
  return 1;
}

/* One row; y is room for its softmax. */
static void logits_row(real *dx, real *y, const real *dy, const real *x,
                       int n) {
  real top = x[0];
  double sum = 0, mean = 0;
  for (int i = 1; i < n; i++)
    top = x[i] > top ? x[i] : top;
  KERNEL_INDEPENDENT
  for (int i = 0; i < n; i++)
    y[i] = exp_of(x[i] - top);
  for (int i = 0; i < n; i++) {
    sum += (double)y[i];
    mean += (double)y[i] * (double)dy[i];
  }
  const real factor = (real)(1 / sum), shift = (real)(mean / sum);
  KERNEL_INDEPENDENT
  for (int i = 0; i < n; i++)
    dx[i] += y[i] * factor * (dy[i] - shift);
}

static void logits_backward(real *dx, const real *dy, const real *x,
                            size_t rows, int n) {
  real y[FINITE_MOST_STATES];
  for (size_t row = 0; row < rows; row++, dx += n, dy += n, x += n)
    if (!are_zeros(dy, n))
      logits_row(dx, y, dy, x, n);
}

const finite_kernels KERNEL_TABLE(finite) = {
    .choose = choose,
    .step = step,
    .step_backward = step_backward,
    .soft_step = soft_step,
    .soft_step_backward = soft_step_backward,
    .logits_backward = logits_backward,
};
