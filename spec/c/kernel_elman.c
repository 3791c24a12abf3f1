/* One step of Elman's cell against twins in double. */
#include "kernel_spec.h"

static double relu(double x) {
  return x > 0 ? x : 0;
}

static void check_step(const kernels *k, const char *name, double (*f)(double),
                       void (*step)(real *, const real *, size_t),
                       void (*backward)(real *, const real *, const real *,
                                        size_t),
                       size_t n) {
  static real a[LONGEST + 1], h[LONGEST + 1], dh[LONGEST], da[LONGEST];
  fill_random(a, n + 1, -3, 3);
  fill_random(dh, n, -1, 1);
  memcpy(h, a, sizeof a);
  step(h, h, n);  // in place
  int wrong = h[n] != a[n];
  for (size_t i = 0; i < n; i++)
    wrong += !near(h[i], f((double)a[i]), 0, 3);
  backward(da, dh, h, n);
  for (size_t i = 0; i < n; i++) {
    const double arrived = (double)dh[i];
    if (fabs((double)a[i]) > 1e-3)  // relu has a corner at 0
      wrong += fabs((double)da[i] - arrived * slope(f, (double)a[i])) >
               1e-8 + 16 * REAL_EPSILON;
  }
  backward(dh, dh, h, n);
  wrong += memcmp(dh, da, n * sizeof *da) != 0;
  CHECK(!wrong, "%s: %s step of %zu: %d wrong", k->isa, name, n, wrong);
}

static void check_set(const kernels *k) {
  const elman_kernels *e = k->elman;
  for (size_t l = 0; l < LENGTH_COUNT; l++) {
    check_step(k, "tanh", tanh, e->tanh_step, e->tanh_step_backward,
               lengths[l]);
    check_step(k, "relu", relu, e->relu_step, e->relu_step_backward,
               lengths[l]);
  }
}

int main(void) {
  return report_every_isa(check_set);
}
