/* Layer normalisation against a twin in double and its central differences. */
#include "kernel_spec.h"

#define ROWS 3
#define EPSILON 1e-5
#define H 1e-5  // the step of the differences

static real x[ROWS * LONGEST], y[ROWS * LONGEST], dy[ROWS * LONGEST];
static real gain[LONGEST], bias[LONGEST], mean[ROWS], rstd[ROWS];

/* Parameters of the twin: x, gain and bias in double. */
static double wide_x[ROWS * LONGEST], wide_gain[LONGEST], wide_bias[LONGEST];

static void widen(double *to, const real *from, size_t n) {
  for (size_t i = 0; i < n; i++)
    to[i] = (double)from[i];
}

/* Element i of row r. */
static double twin(size_t r, size_t i, size_t n) {
  const double *row = wide_x + r * n;
  double centre = 0, variance = 0;
  for (size_t j = 0; j < n; j++)
    centre += row[j] / (double)n;
  for (size_t j = 0; j < n; j++)
    variance += (row[j] - centre) * (row[j] - centre) / (double)n;
  return (row[i] - centre) / sqrt(variance + EPSILON) * wide_gain[i] +
         wide_bias[i];
}

/* dy . y, whose gradients the backward kernel finds */
static double loss(size_t n) {
  double sum = 0;
  for (size_t r = 0; r < ROWS; r++)
    for (size_t i = 0; i < n; i++)
      sum += (double)dy[r * n + i] * twin(r, i, n);
  return sum;
}

static void fill_inputs(size_t n, double shift) {
  fill_random(x, ROWS * n, shift - 1, shift + 1);
  fill_random(dy, ROWS * n, -1, 1);
  fill_random(gain, n, 0.5, 2);
  fill_random(bias, n, -1, 1);
  widen(wide_x, x, ROWS * n);
  widen(wide_gain, gain, n);
  widen(wide_bias, bias, n);
}

static void check_forward(const kernels *k, size_t n, double shift) {
  fill_inputs(n, shift);
  memcpy(y, x, sizeof x);
  k->layer_norm->forward(y, mean, rstd, y, gain, bias, EPSILON, ROWS, n);
  const size_t step = n > 100 ? 97 : 1;
  const double factor = n == 1 ? 400 : 4;  // one element: 1 / sqrt(epsilon)
  int wrong = 0;
  for (size_t i = 0; i < ROWS * n; i += step)
    wrong += !near(y[i], twin(i / n, i % n, n), 4 + fabs(shift) * factor, 6);
  CHECK(!wrong, "%s: layer norm of %zu around %g: %d wrong", k->isa, n, shift,
        wrong);
}

/* The gradient 'got' of the n parameters of the twin in 'wide'. */
static void check_gradient(const kernels *k, const char *name, const real *got,
                           double (*f)(size_t n), double *wide, size_t count,
                           size_t n) {
  int wrong = 0;
  for (size_t i = 0; i < count; i++) {
    const double old = wide[i];
    wide[i] = old + H;
    const double up = f(n);
    wide[i] = old - H;
    const double down = f(n);
    wide[i] = old;
    const double expected = 0.25 + (up - down) / (2 * H);
    wrong += !near((real)((double)got[i] - expected), 0, 1,
                   100 + 1e-7 / REAL_EPSILON);
  }
  CHECK(!wrong, "%s: layer norm, %s of %zu: %d wrong", k->isa, name, n, wrong);
}

/* dgain (n) += its gradient, the columns in two parts */
static void add_gains(const kernels *k, real *dgain, const real *of_mean,
                      const real *factor, size_t n) {
  double total[LONGEST];
  const size_t first = n / 3;
  k->layer_norm->sum_gains(total, dy, x, of_mean, factor, ROWS, n, first);
  k->layer_norm->sum_gains(total + first, dy + first, x + first, of_mean,
                           factor, ROWS, n, n - first);
  for (size_t i = 0; i < n; i++)
    dgain[i] += (real)total[i];
}

static void check_backward(const kernels *k, size_t n) {
  real dx[ROWS * LONGEST], dgain[LONGEST];
  fill_inputs(n, 0.5);
  k->layer_norm->forward(y, mean, rstd, x, gain, bias, EPSILON, ROWS, n);
  k->pointwise->fill(dx, 0.25, ROWS * n);
  k->pointwise->fill(dgain, 0.25, n);
  k->layer_norm->backward(dx, dy, x, gain, mean, rstd, ROWS, n);
  add_gains(k, dgain, mean, rstd, n);
  check_gradient(k, "dx", dx, loss, wide_x, ROWS * n, n);
  check_gradient(k, "dgain", dgain, loss, wide_gain, n, n);
}

/* --- Without the mean ------------------------------------------------------- */

static double rms_twin(size_t r, size_t i, size_t n) {
  const double *row = wide_x + r * n;
  double square = 0;
  for (size_t j = 0; j < n; j++)
    square += row[j] * row[j] / (double)n;
  return row[i] / sqrt(square + EPSILON) * wide_gain[i];
}

static double rms_loss(size_t n) {
  double sum = 0;
  for (size_t r = 0; r < ROWS; r++)
    for (size_t i = 0; i < n; i++)
      sum += (double)dy[r * n + i] * rms_twin(r, i, n);
  return sum;
}

static void check_rms(const kernels *k, size_t n) {
  real factor[ROWS], dx[ROWS * LONGEST], dgain[LONGEST];
  int wrong = 0;
  fill_inputs(n, 0.5);
  k->layer_norm->rms_forward(y, factor, x, gain, EPSILON, ROWS, n);
  for (size_t i = 0; i<ROWS * n; i += n> 100 ? 97 : 1)
    wrong += !near(y[i], rms_twin(i / n, i % n, n), 0,
                   6 + 1e-16 * (double)n / REAL_EPSILON);
  CHECK(!wrong, "%s: rms norm of %zu: %d wrong", k->isa, n, wrong);
  if (n < 2 || n > 100)
    return;
  k->pointwise->fill(dx, 0.25, ROWS * n);
  k->pointwise->fill(dgain, 0.25, n);
  k->layer_norm->rms_backward(dx, dy, x, gain, factor, ROWS, n);
  add_gains(k, dgain, NULL, factor, n);
  check_gradient(k, "rms dx", dx, rms_loss, wide_x, ROWS * n, n);
  check_gradient(k, "rms dgain", dgain, rms_loss, wide_gain, n, n);
}

static void check_set(const kernels *k) {
  for (size_t l = 1; l < LENGTH_COUNT; l++) {
    check_forward(k, lengths[l], 0);
    check_forward(k, lengths[l], 1000);  // where E(x^2) - E(x)^2 would cancel
    if (lengths[l] > 1 && lengths[l] < 100)
      check_backward(k, lengths[l]);
  }
  k->layer_norm->forward(y, mean, rstd, x, gain, bias, EPSILON, 0, 5);
  for (size_t l = 1; l < LENGTH_COUNT; l++)
    check_rms(k, lengths[l]);
}

int main(void) {
  return report_every_isa(check_set);
}
