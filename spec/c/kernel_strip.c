/* What the chains of a loop have beside pointwise.c, against twins in double. */
#include "kernel_spec.h"

#define ROWS 3

static double expected(int which, double a, double b, double c) {
  switch (which) {
    case 0:
      return a * b + c;
    case 1:
      return a * b * c * (1 - c);
    case 2:
      return a * b * (1 - c * c);
    case 3:
      return c - a * b;
    default:
      return c * a + (1 - c) * b;
  }
}

/* Each operand is an array or a repeated scalar, by the bits of 'steps'. */
static void check_ternary(const kernels *k, int which, int steps, size_t n) {
  static real a[LONGEST], b[LONGEST], c[LONGEST], y[LONGEST];
  kernel_strip_ternary *const functions[] = {
      k->strip->multiply_add, k->strip->multiply_sigmoid_back,
      k->strip->multiply_tanh_back, k->strip->subtract_product,
      k->strip->blend};
  const ptrdiff_t as = steps & 1, bs = steps >> 1 & 1, cs = steps >> 2;
  int wrong = 0;
  fill_random(a, LONGEST, -2, 2);
  fill_random(b, LONGEST, -2, 2);
  fill_random(c, LONGEST, -1, 1);
  functions[which](y, a, as, b, bs, c, cs, n);
  for (size_t i = 0; i < n; i++) {
    const size_t at = i;
    wrong += !near(y[i],
                   expected(which, (double)a[as ? at : 0],
                            (double)b[bs ? at : 0], (double)c[cs ? at : 0]),
                   4, 4);
  }
  CHECK(!wrong, "%s: function %d of %zu, steps %d: %d wrong", k->isa, which, n,
        steps, wrong);
}

static void check_slopes(const kernels *k, size_t n) {
  static real dy[LONGEST], v[LONGEST], y[LONGEST], z[LONGEST];
  int wrong = 0;
  fill_random(dy, LONGEST, -2, 2);
  fill_random(v, LONGEST, -1, 1);
  k->strip->sigmoid_back(y, dy, v, n);
  k->strip->tanh_back(z, dy, v, n);
  for (size_t i = 0; i < n; i++) {
    const double d = (double)dy[i], s = (double)v[i];
    wrong += !near(y[i], d * s * (1 - s), 4, 4);
    wrong += !near(z[i], d * (1 - s * s), 4, 4);
  }
  CHECK(!wrong, "%s: slopes of %zu: %d wrong", k->isa, n, wrong);
}

/* What is not chosen does not matter. */
static void check_not_a_number(const kernels *k) {
  const real new_state[2] = {NAN, 1}, old[2] = {3, 4}, none[2] = {0, 0};
  real y[2], z[2];
  k->strip->blend(y, new_state, 1, old, 1, none, 0, 2);
  CHECK(y[0] == 3 && y[1] == 4, "%s: a state that is held", k->isa);
  k->strip->masked(z, new_state, none, 1, 2);
  CHECK(z[0] == 0 && z[1] == 0, "%s: a value that is masked", k->isa);
  k->strip->masked(z, old, old, 0, 2);
  CHECK(z[0] == 9 && z[1] == 12, "%s: a value that is scaled", k->isa);
}

static void check_rows(const kernels *k, size_t n) {
  static real x[ROWS * (LONGEST + 5)], y[ROWS * (LONGEST + 2)];
  static real z[ROWS * (LONGEST + 2)];
  static double sums[LONGEST];
  const ptrdiff_t ldx = (ptrdiff_t)n + 5, ldy = (ptrdiff_t)n + 2;
  int wrong = 0;
  fill_random(x, sizeof x / sizeof *x, -2, 2);
  memset(sums, 0, sizeof sums);
  for (size_t i = 0; i < sizeof y / sizeof *y; i++)
    y[i] = z[i] = 7;
  k->strip->copy_rows(y, ldy, x, ldx, ROWS, n);
  k->strip->spread_rows(z, ldy, x, ldx, ROWS, n);
  k->strip->add_rows(sums, x, ldx, ROWS, n);
  for (ptrdiff_t row = 0; row < ROWS; row++) {
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {
      wrong += y[row * ldy + i] != x[row * ldx + i];
      wrong += z[row * ldy + i] != x[row * ldx];
      sums[i] -= (double)x[row * ldx + i];
    }
    wrong += y[row * ldy + (ptrdiff_t)n] != 7;
    wrong += z[row * ldy + (ptrdiff_t)n] != 7;
  }
  for (size_t i = 0; i < n; i++)
    wrong += fabs(sums[i]) > 1e-12;
  CHECK(!wrong, "%s: rows of %zu: %d wrong", k->isa, n, wrong);
}

static void check_all(const kernels *k) {
  static const size_t short_rows[] = {8, 32};
  for (size_t i = 0; i < LENGTH_COUNT; i++) {
    for (int which = 0; which < 5; which++)
      for (int steps = 0; steps < 8; steps++)
        check_ternary(k, which, steps, lengths[i]);
    check_slopes(k, lengths[i]);
    check_rows(k, lengths[i]);
  }
  check_rows(k, short_rows[0]);
  check_rows(k, short_rows[1]);
  check_not_a_number(k);
}

int main(void) {
  return report_every_isa(check_all);
}
