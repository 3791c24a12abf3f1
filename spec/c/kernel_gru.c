/*
** One step of the GRU, in both conventions, against a twin in double that
** computes one unit, and its gradients against central differences of it.
*/
#include "kernel_spec.h"

#define ROWS 3
#define SLACK (1e-8 + 40 * REAL_EPSILON)

/* What a unit reads: W x + b, U h + b' (of n, without the reset), and h; where h
** is reset before, the first three are sums of both, and the next are not read. */
enum { A_R, A_Z, A_N, U_R, U_Z, U_N, H_PREV, ARGUMENTS };

static double mix(double z, double n, double h_prev) {
  return (1 - z) * n + z * h_prev;
}

static double unit_after(const double *a) {
  const double r = logistic(a[A_R] + a[U_R]), z = logistic(a[A_Z] + a[U_Z]);
  return mix(z, tanh(a[A_N] + r * a[U_N]), a[H_PREV]);
}

static double unit_before(const double *a) {
  return mix(logistic(a[A_Z]), tanh(a[A_N]), a[H_PREV]);
}

typedef double (*unit)(const double *a);

static double slope_of(unit f, const double *at, int which) {
  double a[ARGUMENTS], y[2];
  const double step = 1e-5;
  for (int side = 0; side < 2; side++) {
    memcpy(a, at, sizeof a);
    a[which] += side ? step : -step;
    y[side] = f(a);
  }
  return (y[1] - y[0]) / (2 * step);
}

typedef struct arrays {
  real gates[ROWS * 3 * LONGEST], u[ROWS * 3 * LONGEST];
  real gates_kept[ROWS * 3 * LONGEST], u_kept[ROWS * 3 * LONGEST];
  real u_n[ROWS * LONGEST];
  real h_prev[ROWS * LONGEST], h[ROWS * LONGEST], read[ROWS * LONGEST];
  real dh[ROWS * LONGEST], dread[ROWS * LONGEST], dh_prev[ROWS * LONGEST];
} arrays;

static void arguments_at(const arrays *x, size_t row, size_t k, size_t H,
                         double *a) {
  for (size_t gate = 0; gate < 3; gate++) {
    a[gate] = (double)x->gates_kept[(row * 3 + gate) * H + k];
    a[3 + gate] = (double)x->u_kept[(row * 3 + gate) * H + k];
  }
  a[H_PREV] = (double)x->h_prev[row * H + k];
}

/* The gradient in x, one of the arrays of all gates, of what the unit reads as
** its argument 'which'. */
static int wrong_gate(const arrays *all, const real *x, unit f, const double *a,
                      size_t row, int which, size_t k, size_t H) {
  const double dh = (double)all->dh[row * H + k];
  const real found = x[(row * 3 + (size_t)which % 3) * H + k];
  return fabs((double)found - dh * slope_of(f, a, which)) > SLACK;
}

static void prepare(arrays *x, size_t H) {
  fill_random(x->gates, ROWS * 3 * H, -3, 3);
  fill_random(x->u, ROWS * 3 * H, -2, 2);
  fill_random(x->h_prev, ROWS * H, -1, 1);
  fill_random(x->dh, ROWS * H, -1, 1);
  fill_random(x->dread, ROWS * H, -1, 1);
  memcpy(x->gates_kept, x->gates, sizeof x->gates);
  memcpy(x->u_kept, x->u, sizeof x->u);
  for (size_t i = 0; i < ROWS * H; i++)
    x->dh_prev[i] = 1;  // to be added to
}

static void check_after(const kernels *k, size_t H) {
  static arrays x;
  int wrong = 0;
  prepare(&x, H);
  k->gru->step(x.h, x.gates, x.u_n, x.u, x.h_prev, ROWS, H);
  fill_random(x.u, ROWS * 3 * H, -9, 9);  // u is not needed to go back
  k->gru->step_backward(x.dh_prev, x.gates, x.u_n, x.u, x.dh, x.h_prev, ROWS,
                        H);
  for (size_t row = 0; row < ROWS; row++)
    for (size_t i = 0; i < H; i++) {
      double a[ARGUMENTS];
      arguments_at(&x, row, i, H, a);
      wrong += !near(x.h[row * H + i], unit_after(a), 1, 16);
      wrong += x.u_n[row * H + i] != x.u[(row * 3 + 2) * H + i];
      for (int which = A_R; which <= U_N; which++)
        wrong += wrong_gate(&x, which < U_R ? x.gates : x.u, unit_after, a, row,
                            which, i, H);
      wrong += fabs((double)x.dh_prev[row * H + i] - 1 -
                    (double)x.dh[row * H + i] *
                        slope_of(unit_after, a, H_PREV)) > SLACK;
    }
  CHECK(!wrong, "%s: GRU step of %zu: %d wrong", k->isa, H, wrong);
}

/* r h_prev, and its gradients: those of one product of two functions. */
static int wrong_reset(const arrays *x, const double *a, size_t row, size_t i,
                       size_t H) {
  const double r = logistic(a[A_R]);
  const double dread = (double)x->dread[row * H + i];
  const double da = dread * a[H_PREV] * r * (1 - r);
  return !near(x->read[row * H + i], r * a[H_PREV], 1, 16) +
         (fabs((double)x->gates[row * 3 * H + i] - da) > SLACK);
}

static void check_before(const kernels *k, size_t H) {
  static arrays x;
  int wrong = 0;
  prepare(&x, H);
  k->gru->reset(x.read, x.gates, x.h_prev, ROWS, H);
  k->gru->finish(x.h, x.gates, x.h_prev, ROWS, H);
  k->gru->finish_backward(x.dh_prev, x.gates, x.dh, x.h_prev, ROWS, H);
  k->gru->reset_backward(x.dh_prev, x.gates, x.dread, x.h_prev, ROWS, H);
  for (size_t row = 0; row < ROWS; row++)
    for (size_t i = 0; i < H; i++) {
      double a[ARGUMENTS];
      arguments_at(&x, row, i, H, a);
      wrong += !near(x.h[row * H + i], unit_before(a), 1, 16);
      wrong += wrong_reset(&x, a, row, i, H);
      for (int which = A_Z; which <= A_N; which++)
        wrong += wrong_gate(&x, x.gates, unit_before, a, row, which, i, H);
      const double direct =
          (double)x.dh[row * H + i] * slope_of(unit_before, a, H_PREV);
      const double reset = (double)x.dread[row * H + i] * logistic(a[A_R]);
      wrong +=
          fabs((double)x.dh_prev[row * H + i] - 1 - direct - reset) > 2 * SLACK;
    }
  CHECK(!wrong, "%s: GRU step of %zu, reset before: %d wrong", k->isa, H,
        wrong);
}

static void check_set(const kernels *k) {
  for (size_t l = 0; l < LENGTH_COUNT; l++) {
    check_after(k, lengths[l]);
    check_before(k, lengths[l]);
  }
}

int main(void) {
  return report_every_isa(check_set);
}
