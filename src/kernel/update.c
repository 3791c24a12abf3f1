/*
** Update rules of the optimizers, one array at a time. Rates arrive in double,
** whatever depends on the step alone is worked out in double, once, and the
** loop is then in real. Variants are factors that are 0 or 1 rather than
** branches: the loops wait for memory, so the arithmetic is free.
*/
#include "elementary.h"

/* p -= rate g; the rule where there is no momentum */
static void descend(real *p, const real *gradient, double rate, double decay,
                    size_t n) {
  const real r = (real)rate, d = (real)decay;
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++)
    p[i] -= r * (gradient[i] + d * p[i]);
}

static void sgd(real *p, real *v, const real *gradient, double rate,
                double momentum, int nesterov, double decay, size_t n) {
  if (v == NULL) {
    descend(p, gradient, rate, decay, n);
    return;
  }
  const real r = (real)rate, d = (real)decay, mu = (real)momentum;
  const real take_g = nesterov ? 1 : 0;
  const real take_v = nesterov ? mu : 1;
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++) {
    const real g = gradient[i] + d * p[i];
    v[i] = mu * v[i] + g;
    p[i] -= r * (take_g * g + take_v * v[i]);
  }
}

static void rmsprop(real *p, real *s, const real *gradient, double rate,
                    double alpha, double epsilon, double decay, size_t n) {
  const real r = (real)rate, e = (real)epsilon, d = (real)decay;
  const real keep = (real)alpha, take = (real)(1 - alpha);
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++) {
    const real g = gradient[i] + d * p[i];
    s[i] = keep * s[i] + take * g * g;
    p[i] -= r * g / (sqrt(s[i]) + e);
  }
}

static void adam(real *p, real *m, real *s, const real *gradient, double rate,
                 double beta1, double beta2, double epsilon, double decay,
                 int coupled, double t, size_t n) {
  const real keep_m = (real)beta1, take_m = (real)(1 - beta1);
  const real keep_s = (real)beta2, take_s = (real)(1 - beta2);
  const real r = (real)(rate / (1 - pow(beta1, t)));
  const real widen = (real)(1 / sqrt(1 - pow(beta2, t)));
  const real e = (real)epsilon;
  const real into_g = coupled ? (real)decay : 0;
  const real off_p = coupled ? 0 : (real)(rate * decay);
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++) {
    const real g = gradient[i] + into_g * p[i];
    m[i] = keep_m * m[i] + take_m * g;
    s[i] = keep_s * s[i] + take_s * g * g;
    p[i] -= off_p * p[i] + r * m[i] / (sqrt(s[i]) * widen + e);
  }
}

const update_kernels KERNEL_TABLE(update) = {
    .sgd = sgd,
    .rmsprop = rmsprop,
    .adam = adam,
};
