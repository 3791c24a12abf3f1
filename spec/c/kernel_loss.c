/* Losses of two arrays against twins in double, their slopes by differences. */
#include "kernel_spec.h"

#define DELTA 0.75

typedef double (*twin)(double x, double t);

static double mse(double x, double t) {
  return (x - t) * (x - t);
}
static double l1(double x, double t) {
  return fabs(x - t);
}
static double huber(double x, double t) {
  const double e = fabs(x - t);
  return e <= DELTA ? e * e / 2 : DELTA * (e - DELTA / 2);
}
static double bce(double x, double t) {
  return fmax(x, 0) - x * t + log1p(exp(-fabs(x)));
}
static double kl(double x, double t) {
  return t == 0 ? 0 : t * (log(t) - x);
}

static const twin twins[LOSS_COUNT] = {
    [LOSS_MSE] = mse, [LOSS_L1] = l1, [LOSS_HUBER] = huber,
    [LOSS_BCE] = bce, [LOSS_KL] = kl,
};

static real x[LONGEST], t[LONGEST], w[LONGEST], y[LONGEST + 1];

/* Every fifth weight is 0, and there x or t is NaN. */
static void fill(size_t n) {
  fill_random(x, n, -3, 3);
  fill_random(t, n, 0.1, 1);
  fill_random(w, n, 0.5, 2);
  for (size_t i = 0; i < n; i += 5) {
    w[i] = 0;
    *(i % 2 ? &x[i] : &t[i]) = (real)NAN;
  }
}

static void check_value(const kernels *k, kernel_loss_kind kind, size_t n) {
  fill(n);
  y[n] = 77;
  k->loss->value[kind](y, x, t, w, DELTA, n);
  int wrong = y[n] != 77;
  for (size_t i = 0; i < n; i++) {
    const double once = twins[kind]((double)x[i], (double)t[i]);
    wrong += w[i] == 0 ? y[i] != 0 : !near(y[i], (double)w[i] * once, 1, 8);
  }
  CHECK(!wrong, "%s: loss %d of %zu: %d wrong", k->isa, (int)kind, n, wrong);
}

/* The slope of f in x, or in t. */
static double slope_in(twin f, double at_x, double at_t, int of_t) {
  const double h = 1e-4, hx = of_t ? 0 : h, ht = of_t ? h : 0;
  return (f(at_x + hx, at_t + ht) - f(at_x - hx, at_t - ht)) / (2 * h);
}

static void check_slope(const kernels *k, kernel_loss_kind kind, int of_t,
                        size_t n) {
  fill(n);
  k->pointwise->fill(y, 0.5, n);
  k->loss->backward[of_t][kind](y, 2, x, t, w, DELTA, n);
  int wrong = 0;
  for (size_t i = 0; i < n; i++) {
    const double at_x = (double)x[i], at_t = (double)t[i];
    const double e = fabs(at_x - at_t);
    if (w[i] == 0)
      wrong += y[i] != (real)0.5;
    else if (e > 1e-3 && fabs(e - DELTA) > 1e-3)  // not at a corner
      wrong +=
          fabs((double)y[i] - 0.5 -
               2 * (double)w[i] * slope_in(twins[kind], at_x, at_t, of_t)) >
          1e-5 + 60 * REAL_EPSILON;
  }
  CHECK(!wrong, "%s: slope %d of loss %d of %zu: %d wrong", k->isa, of_t,
        (int)kind, n, wrong);
}

static real value_at(const kernels *k, kernel_loss_kind kind, double at_x,
                     double at_t) {
  const real one = 1, a = (real)at_x, b = (real)at_t;
  real loss;
  k->loss->value[kind](&loss, &a, &b, &one, DELTA, 1);
  return loss;
}

static void check_limits(const kernels *k) {
  CHECK(value_at(k, LOSS_BCE, 1000, 1) == 0, "%s: bce of a sure hit", k->isa);
  CHECK(value_at(k, LOSS_BCE, -1000, 1) == 1000, "%s: of a sure miss", k->isa);
  CHECK(near(value_at(k, LOSS_BCE, 20, 1), log1p(exp(-20.0)), 0, 8),
        "%s: bce keeps its accuracy where it is small", k->isa);
  CHECK(value_at(k, LOSS_KL, -INFINITY, 0) == 0, "%s: kl at 0", k->isa);
  CHECK(isnan(value_at(k, LOSS_MSE, NAN, 1)), "%s: a NaN that counts", k->isa);
  CHECK(isnan(value_at(k, LOSS_HUBER, NAN, 1)), "%s: likewise", k->isa);
}

static void check_set(const kernels *k) {
  for (size_t l = 0; l < LENGTH_COUNT; l++)
    for (kernel_loss_kind kind = 0; kind < LOSS_COUNT; kind++) {
      check_value(k, kind, lengths[l]);
      check_slope(k, kind, 0, lengths[l]);
      check_slope(k, kind, 1, lengths[l]);
    }
  check_limits(k);
}

int main(void) {
  return report_every_isa(check_set);
}
