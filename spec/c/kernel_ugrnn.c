/*
** One step of the update gate RNN against a twin in double that computes one unit,
** and its gradients against central differences of the twin.
*/
#include "kernel_spec.h"

#define ROWS 3
#define SLACK (1e-8 + 40 * REAL_EPSILON)

/* What a unit reads: the pre-activations of both gates, and h. */
enum { A_Z, A_N, H_PREV, ARGUMENTS };

static double unit(const double *a) {
  const double z = logistic(a[A_Z]);
  return z * a[H_PREV] + (1 - z) * tanh(a[A_N]);
}

static double slope_of(const double *at, int which) {
  const double step = 1e-5;
  double above[ARGUMENTS], below[ARGUMENTS];
  memcpy(above, at, sizeof above);
  memcpy(below, at, sizeof below);
  above[which] += step;
  below[which] -= step;
  return (unit(above) - unit(below)) / (2 * step);
}

typedef struct arrays {
  real gates[ROWS * 2 * LONGEST], gates_kept[ROWS * 2 * LONGEST];
  real h_prev[ROWS * LONGEST], h[ROWS * LONGEST];
  real dh[ROWS * LONGEST], dh_prev[ROWS * LONGEST];
} arrays;

static void prepare(arrays *x, size_t H) {
  fill_random(x->gates, ROWS * 2 * H, -4, 4);
  fill_random(x->h_prev, ROWS * H, -1, 1);
  fill_random(x->dh, ROWS * H, -1, 1);
  memcpy(x->gates_kept, x->gates, sizeof x->gates);
  for (size_t i = 0; i < ROWS * H; i++)
    x->dh_prev[i] = 1;  // to be added to
}

static int wrong_unit(const arrays *x, size_t row, size_t i, size_t H) {
  const size_t z = row * 2 * H + i, n = z + H, at = row * H + i;
  const double a[ARGUMENTS] = {(double)x->gates_kept[z],
                               (double)x->gates_kept[n], (double)x->h_prev[at]};
  const double dh = (double)x->dh[at];
  int wrong = !near(x->h[at], unit(a), 1, 16);
  wrong += fabs((double)x->gates[z] - dh * slope_of(a, A_Z)) > SLACK;
  wrong += fabs((double)x->gates[n] - dh * slope_of(a, A_N)) > SLACK;
  wrong += fabs((double)x->dh_prev[at] - 1 - dh * slope_of(a, H_PREV)) > SLACK;
  return wrong;
}

static void check_step(const kernels *k, size_t H) {
  static arrays x;
  int wrong = 0;
  prepare(&x, H);
  k->ugrnn->step(x.h, x.gates, x.h_prev, ROWS, H);
  k->ugrnn->step_backward(x.dh_prev, x.gates, x.dh, x.h_prev, ROWS, H);
  for (size_t row = 0; row < ROWS; row++)
    for (size_t i = 0; i < H; i++)
      wrong += wrong_unit(&x, row, i, H);
  CHECK(!wrong, "%s: update gate step of %zu: %d wrong", k->isa, H, wrong);
}

static void check_set(const kernels *k) {
  for (size_t l = 0; l < LENGTH_COUNT; l++)
    check_step(k, lengths[l]);
}

int main(void) {
  return report_every_isa(check_set);
}
