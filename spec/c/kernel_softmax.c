/*
** Softmax and cross-entropy against twins in double; the backward kernels
** against central differences of those twins.
*/
#include "kernel_spec.h"

#define ROWS 3
#define H 1e-4  // the step of the differences

/* --- Twins, of one row ---------------------------------------------------- */

/* y (n) = log softmax(x) */
static void log_softmax_twin(double *y, const double *x, size_t n) {
  double top = -INFINITY, sum = 0;
  for (size_t i = 0; i < n; i++)
    top = fmax(top, x[i]);
  for (size_t i = 0; i < n; i++)
    sum += exp(x[i] - top);
  for (size_t i = 0; i < n; i++)
    y[i] = x[i] - top - log(sum);
}

/* Scalars whose gradients the backward kernels find when they are given dy. */
static double softmax_loss(const double *x, const real *dy, size_t n) {
  double y[LONGEST], sum = 0;
  log_softmax_twin(y, x, n);
  for (size_t i = 0; i < n; i++)
    sum += (double)dy[i] * exp(y[i]);
  return sum;
}

static double log_softmax_loss(const double *x, const real *dy, size_t n) {
  double y[LONGEST], sum = 0;
  log_softmax_twin(y, x, n);
  for (size_t i = 0; i < n; i++)
    sum += (double)dy[i] * y[i];
  return sum;
}

static double log_sum_exp_loss(const double *x, const real *dy, size_t n) {
  double y[LONGEST];
  log_softmax_twin(y, x, n);
  return (double)dy[0] * (x[0] - y[0]);
}

/* What every class shares of a target, in the smoothed losses. */
static real share[LONGEST];

/* The cross-entropy against id n / 2, or the smoothed one, times dy[0]. */
static double cross_entropy_loss(const double *x, const real *dy, size_t n) {
  double y[LONGEST];
  log_softmax_twin(y, x, n);
  return (double)dy[0] * -y[n / 2];
}

static double smoothed_loss(const double *x, const real *dy, size_t n) {
  double y[LONGEST], sum = 0;
  log_softmax_twin(y, x, n);
  for (size_t i = 0; i < n; i++)
    sum -= (double)share[i] * y[i];
  return (double)dy[0] * (-0.75 * y[n / 2] + 0.5 * sum);
}

static void fill_share(size_t n) {
  for (size_t i = 0; i < n; i++)
    share[i] = (real)(i % 3 ? 0.125 : 0);
}

/* --- Forward -------------------------------------------------------------- */

static real x[ROWS * LONGEST], y[ROWS * LONGEST];
static double row[LONGEST], expected[ROWS * LONGEST];

static const double *to_double(const real *from, size_t n) {
  for (size_t i = 0; i < n; i++)
    row[i] = (double)from[i];
  return row;
}

/* Random rows x and their logarithmic softmax by the twin. */
static void fill_rows(size_t n, double size) {
  fill_random(x, ROWS * n, -size, size);
  for (size_t r = 0; r < ROWS; r++)
    log_softmax_twin(expected + r * n, to_double(x + r * n, n), n);
}

static void check_softmax(const kernels *k, size_t n, double size) {
  fill_rows(n, size);
  int wrong = 0;
  k->softmax->softmax(y, x, ROWS, n);
  for (size_t i = 0; i < ROWS * n; i++)
    wrong += !near(y[i], exp(expected[i]), 1e-30, 12 + 2 * size);
  CHECK(!wrong, "%s: softmax of %zu, size %g: %d wrong", k->isa, n, size,
        wrong);
  memcpy(y, x, sizeof x);
  k->softmax->log_softmax(y, y, ROWS, n);  // in place
  wrong = 0;
  for (size_t i = 0; i < ROWS * n; i++)
    wrong += !near(y[i], expected[i], 4, 4);
  CHECK(!wrong, "%s: log_softmax of %zu, size %g: %d wrong", k->isa, n, size,
        wrong);
  real sums[ROWS];
  k->softmax->log_sum_exp(sums, x, ROWS, n);
  for (size_t r = 0; r < ROWS; r++)
    CHECK(near(sums[r], (double)x[r * n] - expected[r * n], 4, 4),
          "%s: log_sum_exp of %zu, size %g", k->isa, n, size);
}

static void check_cross_entropy(const kernels *k, size_t n, double size) {
  int32_t target[ROWS];
  real loss[ROWS], log_norm[ROWS];
  const real hit[ROWS] = {1, 0.5, 0}, spread[ROWS] = {0.25, 1, 0};
  const kernel_target_weights plain = {hit, NULL, NULL},
                              smooth = {hit, spread, share};
  real smoothed[ROWS];
  fill_rows(n, size);
  fill_share(n);
  for (size_t r = 0; r < ROWS; r++)
    target[r] = (int32_t)(r * (n - 1) / 2);
  target[2] = -1;  // not looked at, as its weights are 0
  k->softmax->cross_entropy(loss, log_norm, x, target, &plain, ROWS, n);
  k->softmax->cross_entropy(smoothed, log_norm, x, target, &smooth, ROWS, n);
  int wrong = loss[2] != 0 || smoothed[2] != 0;
  for (size_t r = 0; r < 2; r++) {
    const size_t at = r * n + (size_t)target[r];
    double shared = 0;
    for (size_t i = 0; i < n; i++)
      shared -= (double)share[i] * expected[r * n + i];
    const double once = -(double)hit[r] * expected[at];
    wrong += !near(loss[r], once, 1, 4);
    wrong += !near(smoothed[r], once + (double)spread[r] * shared, 1, 8);
    wrong += !near(log_norm[r], (double)x[at] - expected[at], size, 4);
  }
  CHECK(!wrong, "%s: cross-entropy of %zu, size %g: %d wrong", k->isa, n, size,
        wrong);
}

/* --- Backward ------------------------------------------------------------- */

typedef double (*loss_function)(const double *x, const real *dy, size_t n);

/* Compares dx, which began as 'start' everywhere, with differences of f. */
static void check_gradient(const kernels *k, const char *name, loss_function f,
                           const real *dx, const real *dy, size_t n,
                           double start) {
  double moved[LONGEST];
  memcpy(moved, to_double(x, n), n * sizeof *moved);
  int wrong = 0;
  for (size_t i = 0; i < n; i++) {
    moved[i] = row[i] + H;
    const double up = f(moved, dy, n);
    moved[i] = row[i] - H;
    const double down = f(moved, dy, n);
    moved[i] = row[i];
    const double slope_here = start + (up - down) / (2 * H);
    wrong += fabs((double)dx[i] - slope_here) > 2e-7 + 40 * REAL_EPSILON;
  }
  CHECK(!wrong, "%s: %s backward of %zu: %d wrong", k->isa, name, n, wrong);
}

static void check_backward(const kernels *k, size_t n) {
  real dx[LONGEST], dy[LONGEST], loss[1], log_norm[1];
  const int32_t target[1] = {(int32_t)(n / 2)};
  fill_random(x, n, -2, 2);
  fill_random(dy, n, -1, 1);
  k->pointwise->fill(dx, 0.5, n);
  k->softmax->softmax(y, x, 1, n);
  k->softmax->softmax_backward(dx, dy, y, 1, n);
  check_gradient(k, "softmax", softmax_loss, dx, dy, n, 0.5);

  k->pointwise->fill(dx, 0.5, n);
  k->softmax->log_softmax(y, x, 1, n);
  k->softmax->log_softmax_backward(dx, dy, y, 1, n);
  check_gradient(k, "log_softmax", log_softmax_loss, dx, dy, n, 0.5);

  k->pointwise->fill(dx, 0.5, n);
  k->softmax->log_sum_exp(y, x, 1, n);
  k->softmax->log_sum_exp_backward(dx, dy, x, y, 1, n);
  check_gradient(k, "log_sum_exp", log_sum_exp_loss, dx, dy, n, 0.5);

  k->pointwise->fill(dx, 0.5, n);
  const real one = 1, quarters = 0.75, half = 0.5;
  const kernel_target_weights plain = {&one, NULL, NULL};
  const kernel_target_weights smooth = {&quarters, &half, share};
  fill_share(n);
  k->softmax->cross_entropy(loss, log_norm, x, target, &plain, 1, n);
  k->softmax->cross_entropy_backward(dx, dy[0], x, log_norm, target, &plain, 1,
                                     1, n);
  check_gradient(k, "cross_entropy", cross_entropy_loss, dx, dy, n, 0.5);

  memcpy(y, x, n * sizeof(real));
  k->softmax->cross_entropy_backward(y, dy[0], y, log_norm, target, &plain, 0,
                                     1, n);
  check_gradient(k, "cross_entropy in place", cross_entropy_loss, y, dy, n, 0);

  memcpy(y, x, n * sizeof(real));
  k->softmax->cross_entropy_backward(y, dy[0], y, log_norm, target, &smooth, 0,
                                     1, n);
  check_gradient(k, "smoothed cross_entropy", smoothed_loss, y, dy, n, 0);
}

/* --- Rows at the limits --------------------------------------------------- */

static void check_limits(const kernels *k) {
  real masked[4] = {(real)-INFINITY, 1, (real)-INFINITY, 1};
  k->softmax->softmax(masked, masked, 1, 4);
  CHECK(masked[0] == 0 && masked[1] == 0.5, "%s: softmax with -inf", k->isa);
  real strange[3] = {1, (real)NAN, 1};
  k->softmax->softmax(strange, strange, 1, 3);
  CHECK(isnan(strange[0]) && isnan(strange[2]), "%s: softmax of NaN", k->isa);
  const real huge[2] = {(real)3e38, (real)-3e38};
  real p[2], loss, log_norm;
  k->softmax->softmax(p, huge, 1, 2);
  CHECK(p[0] == 1 && p[1] == 0, "%s: softmax of huge values", k->isa);
  const int32_t target = 0;
  const real one = 1, none = 0;
  const kernel_target_weights counts = {&one, NULL, NULL},
                              hidden = {&none, NULL, NULL};
  k->softmax->cross_entropy(&loss, &log_norm, huge, &target, &counts, 1, 2);
  CHECK(loss == 0, "%s: cross-entropy of huge values", k->isa);
  real dlogits[2] = {7, 7};
  k->softmax->cross_entropy(&loss, &log_norm, strange, &target, &hidden, 1, 3);
  CHECK(loss == 0, "%s: the loss of a row without weight", k->isa);
  k->softmax->cross_entropy_backward(dlogits, 1, strange, &log_norm, &target,
                                     &hidden, 1, 1, 2);
  CHECK(dlogits[0] == 7 && dlogits[1] == 7, "%s: a row without weight", k->isa);
  k->softmax->cross_entropy_backward(dlogits, 1, strange, &log_norm, &target,
                                     &hidden, 0, 1, 2);
  CHECK(dlogits[0] == 0 && dlogits[1] == 0, "%s: likewise, not added", k->isa);
}

static void check_set(const kernels *k) {
  for (size_t l = 1; l < LENGTH_COUNT; l++) {
    check_softmax(k, lengths[l], 2);
    check_softmax(k, lengths[l], 300);
    check_cross_entropy(k, lengths[l], 2);
    check_cross_entropy(k, lengths[l], 300);
    if (lengths[l] < 100)
      check_backward(k, lengths[l]);
  }
  k->softmax->softmax(y, x, ROWS, 0);  // nothing to do is no error
  k->softmax->softmax(y, x, 0, 5);
  check_limits(k);
}

int main(void) {
  return report_every_isa(check_set);
}
