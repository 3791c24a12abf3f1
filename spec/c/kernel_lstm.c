/*
** One step of the LSTM against a twin in double that computes one unit, and its
** gradients against central differences of that twin.
*/
#include "kernel_spec.h"

#define ROWS 3
#define SLACK (1e-8 + 40 * REAL_EPSILON)

enum { A_I, A_F, A_G, A_O, C_PREV, P_I, P_F, P_O, ARGUMENTS };

/* c of one unit, and its h in *h. */
static double unit(const double *a, double *h) {
  const double i = logistic(a[A_I] + a[P_I] * a[C_PREV]);
  const double f = logistic(a[A_F] + a[P_F] * a[C_PREV]);
  const double c = f * a[C_PREV] + i * tanh(a[A_G]);
  *h = logistic(a[A_O] + a[P_O] * c) * tanh(c);
  return c;
}

/* The slope of dh h + dc c in one argument. */
static double slope_of(const double *at, int which, double dh, double dc) {
  double a[ARGUMENTS], h[2], c[2];
  const double step = 1e-5;
  for (int side = 0; side < 2; side++) {
    memcpy(a, at, sizeof a);
    a[which] += side ? step : -step;
    c[side] = unit(a, &h[side]);
  }
  return (dh * (h[1] - h[0]) + dc * (c[1] - c[0])) / (2 * step);
}

typedef struct arrays {
  real gates[ROWS * 4 * LONGEST], kept[ROWS * 4 * LONGEST];
  real c_prev[ROWS * LONGEST], c[ROWS * LONGEST], h[ROWS * LONGEST];
  real dh[ROWS * LONGEST], dc[ROWS * LONGEST], dc_kept[ROWS * LONGEST];
  real dc_prev[ROWS * LONGEST], peephole[3 * LONGEST], dpeephole[3 * LONGEST];
} arrays;

/* The arguments of the unit at one row and place. */
static void arguments_at(const arrays *x, int peepholes, size_t row, size_t k,
                         size_t H, double *a) {
  for (size_t gate = 0; gate < 4; gate++)
    a[gate] = (double)x->kept[(row * 4 + gate) * H + k];
  a[C_PREV] = (double)x->c_prev[row * H + k];
  for (size_t p = 0; p < 3; p++)
    a[P_I + p] = peepholes ? (double)x->peephole[p * H + k] : 0;
}

static int wrong_forward(const arrays *x, int peepholes, size_t H) {
  int wrong = 0;
  for (size_t row = 0; row < ROWS; row++)
    for (size_t k = 0; k < H; k++) {
      double a[ARGUMENTS], h;
      arguments_at(x, peepholes, row, k, H, a);
      const double c = unit(a, &h);
      wrong += !near(x->c[row * H + k], c, 1, 16);
      wrong += !near(x->h[row * H + k], h, 1, 16);
    }
  return wrong;
}

static int wrong_backward(const arrays *x, int peepholes, size_t H) {
  int wrong = 0;
  for (size_t k = 0; k < H; k++) {
    double dp[3] = {0};
    for (size_t row = 0; row < ROWS; row++) {
      double a[ARGUMENTS];
      const double dh = (double)x->dh[row * H + k];
      const double dc = (double)x->dc_kept[row * H + k];
      arguments_at(x, peepholes, row, k, H, a);
      for (int gate = 0; gate < 4; gate++)
        wrong += fabs((double)x->gates[(row * 4 + (size_t)gate) * H + k] -
                      slope_of(a, gate, dh, dc)) > SLACK;
      wrong += fabs((double)x->dc_prev[row * H + k] - 1 -
                    slope_of(a, C_PREV, dh, dc)) > SLACK;
      for (int p = 0; p < 3; p++)
        dp[p] += slope_of(a, P_I + p, dh, dc);
    }
    for (size_t p = 0; peepholes && p < 3; p++)
      wrong += fabs((double)x->dpeephole[p * H + k] - dp[p]) > 3 * SLACK;
  }
  return wrong;
}

static void check_step(const kernels *k, int peepholes, int together,
                       size_t H) {
  static arrays x;
  const real *peephole = peepholes ? x.peephole : NULL;
  fill_random(x.gates, ROWS * 4 * H, -3, 3);
  fill_random(x.c_prev, ROWS * H, -2, 2);
  fill_random(x.peephole, 3 * H, -1, 1);
  fill_random(x.dh, ROWS * H, -1, 1);
  fill_random(x.dc, ROWS * H, -1, 1);
  memcpy(x.kept, x.gates, sizeof x.gates);
  memcpy(x.dc_kept, x.dc, sizeof x.dc);
  memset(x.dpeephole, 0, sizeof x.dpeephole);
  if (together) {
    k->lstm->step(x.h, x.c, x.gates, x.c_prev, peephole, ROWS, H);
  } else {
    k->lstm->cell(x.c, x.gates, x.c_prev, peephole, ROWS, H);
    k->lstm->output(x.h, x.gates, x.c, ROWS, H);
  }
  int wrong = wrong_forward(&x, peepholes, H);
  CHECK(!wrong, "%s: LSTM step of %zu: %d wrong", k->isa, H, wrong);

  for (size_t i = 0; i < ROWS * H; i++)
    x.dc_prev[i] = 1;  // to be added to
  if (together) {
    k->lstm->step_backward(x.dc_prev, x.dc, x.gates, x.dh, x.c, x.c_prev,
                           peephole, ROWS, H);
  } else {
    k->lstm->output_backward(x.dc, x.gates, x.dh, x.c, ROWS, H);
    k->lstm->cell_backward(x.dc_prev, x.dc, x.gates, x.c_prev, peephole, ROWS,
                           H);
  }
  k->lstm->peephole_backward(x.dpeephole, x.gates, x.c_prev, x.c, ROWS, H);
  wrong = wrong_backward(&x, peepholes, H);
  CHECK(!wrong, "%s: LSTM step of %zu going back: %d wrong", k->isa, H, wrong);
}

static void check_set(const kernels *k) {
  for (size_t l = 0; l < LENGTH_COUNT; l++)
    for (int way = 0; way < 4; way++)
      check_step(k, way & 1, way >> 1, lengths[l]);
}

int main(void) {
  return report_every_isa(check_set);
}
