/*
** Softmax, its logarithm, and cross-entropy, row by row. The largest element
** of a row is subtracted before exp, so that nothing overflows; sums of exp
** are taken in double.
*/
#include "elementary.h"
#include "lanes.h"

/* --- Softmax -------------------------------------------------------------- */

static void softmax_row(real *y, const real *x, size_t n) {
  const real top = largest(x, n);
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++)
    y[i] = exp_of(x[i] - top);
  const real factor = (real)(1 / KERNEL_SUM_OVER(i, n, y[i]));
  for (size_t i = 0; i < n; i++)
    y[i] *= factor;
}

static void softmax(real *y, const real *x, size_t rows, size_t n) {
  if (n == 0)
    return;
  for (size_t row = 0; row < rows; row++, y += n, x += n)
    softmax_row(y, x, n);
}

/* dx = y (dy - sum of dy y) */
static void softmax_backward(real *dx, const real *dy, const real *y,
                             size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, dx += n, dy += n, y += n) {
    const real mean = (real)KERNEL_SUM_OVER(i, n, dy[i] * y[i]);
    KERNEL_INDEPENDENT
    for (size_t i = 0; i < n; i++)
      dx[i] += y[i] * (dy[i] - mean);
  }
}

/* --- Its logarithm -------------------------------------------------------- */

static void log_softmax_row(real *y, const real *x, size_t n) {
  const real top = largest(x, n);
  const real log_sum = (real)log(KERNEL_SUM_OVER(i, n, exp_of(x[i] - top)));
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++)
    y[i] = x[i] - top - log_sum;
}

static void log_softmax(real *y, const real *x, size_t rows, size_t n) {
  if (n == 0)
    return;
  for (size_t row = 0; row < rows; row++, y += n, x += n)
    log_softmax_row(y, x, n);
}

/* dx = dy - exp(y) (sum of dy) */
static void log_softmax_backward(real *dx, const real *dy, const real *y,
                                 size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, dx += n, dy += n, y += n) {
    const real total = (real)KERNEL_SUM_OVER(i, n, dy[i]);
    KERNEL_INDEPENDENT
    for (size_t i = 0; i < n; i++)
      dx[i] += dy[i] - exp_of(y[i]) * total;
  }
}

/* --- The logarithm of a sum of exp ----------------------------------------- */

/* Infinities are not subtracted: inf - inf is NaN. */
static real finite_or_zero(real x) {
  return x - x == 0 ? x : 0;
}

static void log_sum_exp(real *y, const real *x, size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, x += n) {
    const real top = n > 0 ? finite_or_zero(largest(x, n)) : 0;
    y[row] = top + (real)log(KERNEL_SUM_OVER(i, n, exp_of(x[i] - top)));
  }
}

/* dx = dy exp(x - y) */
static void log_sum_exp_backward(real *dx, const real *dy, const real *x,
                                 const real *y, size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, dx += n, x += n) {
    const real shift = y[row] == -INFINITY ? 0 : y[row], d = dy[row];
    if (d == 0)
      continue;  // whatever the row is
    KERNEL_INDEPENDENT
    for (size_t i = 0; i < n; i++)
      dx[i] += d * exp_of(x[i] - shift);
  }
}

/* --- Cross-entropy -------------------------------------------------------- */

/* The weight of what all classes share, in a row. */
static inline real spread_of(const kernel_target_weights *w, size_t row) {
  return w->spread != NULL ? w->spread[row] : 0;
}

/* The sum of share[v] ce(v), given the largest logit and the log of the sum of
** exp(logits - top). A class without a share may have any logit. */
static double shared_loss(const real *logits, const real *share, real top,
                          double log_sum, size_t V) {
  return KERNEL_SUM_OVER(i, V,
                         share[i] != 0
                             ? (double)share[i] *
                                   (log_sum - ((double)logits[i] - (double)top))
                             : 0);
}

/* The losses are formed from differences to the largest logit, not from
** log_norm, so that logits of any size keep their accuracy. */
static void cross_entropy(real *loss, real *log_norm, const real *logits,
                          const int32_t *target, const kernel_target_weights *w,
                          size_t rows, size_t V) {
  for (size_t row = 0; row < rows; row++, logits += V) {
    const real hit = w->hit[row], spread = spread_of(w, row);
    loss[row] = log_norm[row] = 0;
    if (hit == 0 && spread == 0)
      continue;
    const real top = largest(logits, V);
    const double log_sum = log(KERNEL_SUM_OVER(i, V, exp_of(logits[i] - top)));
    log_norm[row] = (real)((double)top + log_sum);
    if (hit != 0) {
      const real chosen = logits[target[row]];
      loss[row] = hit * (real)(log_sum - ((double)chosen - (double)top));
    }
    if (spread != 0)
      loss[row] +=
          spread * (real)shared_loss(logits, w->share, top, log_sum, V);
  }
}

/* One row of the gradient but for its target and what classes share. */
static void cross_entropy_row(real *dlogits, real weight, const real *logits,
                              real norm, real beta, size_t V) {
  if (beta != 0) {
    KERNEL_INDEPENDENT
    for (size_t i = 0; i < V; i++)
      dlogits[i] += weight * exp_of(logits[i] - norm);
  } else {
    KERNEL_INDEPENDENT
    for (size_t i = 0; i < V; i++)
      dlogits[i] = weight * exp_of(logits[i] - norm);
  }
}

static void cross_entropy_backward(real *dlogits, real dy, const real *logits,
                                   const real *log_norm, const int32_t *target,
                                   const kernel_target_weights *w, real beta,
                                   size_t rows, size_t V) {
  const real shares =
      w->spread != NULL ? (real)KERNEL_SUM_OVER(i, V, w->share[i]) : 0;
  for (size_t row = 0; row < rows; row++, dlogits += V, logits += V) {
    const real hit = dy * w->hit[row], spread = dy * spread_of(w, row);
    if (hit == 0 && spread == 0) {
      if (beta == 0)
        memset(dlogits, 0, V * sizeof(real));
      continue;
    }
    cross_entropy_row(dlogits, hit + spread * shares, logits, log_norm[row],
                      beta, V);
    if (hit != 0)
      dlogits[target[row]] -= hit;
    for (size_t i = 0; spread != 0 && i < V; i++)
      dlogits[i] -= spread * w->share[i];
  }
}

const softmax_kernels KERNEL_TABLE(softmax) = {
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .log_softmax = log_softmax,
    .log_softmax_backward = log_softmax_backward,
    .log_sum_exp = log_sum_exp,
    .log_sum_exp_backward = log_sum_exp_backward,
    .cross_entropy = cross_entropy,
    .cross_entropy_backward = cross_entropy_backward,
};
