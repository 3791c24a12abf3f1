/*
** One step of the cells that are linear in their state against twins in double,
** their gradients against central differences of these, gates of any size, and
** very many steps against a naive loop in double.
*/
#include "kernel_spec.h"

#define ROWS 3
#define SLACK (1e-8 + 40 * REAL_EPSILON)

/* --- Cells with gates ----------------------------------------------------------- */

/* What a unit reads: its gates, and h. */
enum { MOST_GATES = 3, H_PREV = MOST_GATES, ARGUMENTS };

static double candidate(double n, int positive) {
  return !positive ? n : n < 0 ? logistic(n) : n + 0.5;
}

static double mingru_unit(const double *a, int positive) {
  const double z = logistic(a[0]);
  return (1 - z) * a[H_PREV] + z * candidate(a[1], positive);
}

static double minlstm_unit(const double *a, int positive) {
  const double i = logistic(a[0]), f = logistic(a[1]);
  return (f * a[H_PREV] + i * candidate(a[2], positive)) / (f + i);
}

typedef struct cell {
  const char *name;
  int gates;
  double (*unit)(const double *a, int positive);
  void (*step)(real *h, const real *gates, const real *h_prev, int positive,
               size_t rows, size_t n, size_t H);
  void (*back)(real *dh_prev, real *gates, const real *dh, const real *h_prev,
               int positive, size_t rows, size_t n, size_t H);
} cell;

typedef struct arrays {
  real gates[ROWS * MOST_GATES * LONGEST], kept[ROWS * MOST_GATES * LONGEST];
  real h_prev[ROWS * LONGEST], h[ROWS * LONGEST];
  real dh[ROWS * LONGEST], dh_prev[ROWS * LONGEST];
} arrays;

static arrays x;

static double slope_of(const cell *c, int positive, const double *at,
                       int which) {
  double a[ARGUMENTS], y[2];
  const double step = 1e-5;
  for (int side = 0; side < 2; side++) {
    memcpy(a, at, sizeof a);
    a[which] += side ? step : -step;
    y[side] = c->unit(a, positive);
  }
  return (y[1] - y[0]) / (2 * step);
}

static void arguments_at(const cell *c, size_t row, size_t k, size_t H,
                         double *a) {
  for (int gate = 0; gate < c->gates; gate++)
    a[gate] = (double)x.kept[(row * c->gates + gate) * H + k];
  a[H_PREV] = (double)x.h_prev[row * H + k];
}

static void prepare(const cell *c, size_t H) {
  size_t gates = ROWS * (size_t)c->gates * H;
  fill_random(x.gates, gates, -3, 3);
  fill_random(x.h_prev, ROWS * H, -1, 1);
  fill_random(x.dh, ROWS * H, -1, 1);
  memcpy(x.kept, x.gates, gates * sizeof(real));
  for (size_t i = 0; i < ROWS * H; i++)
    x.dh_prev[i] = 1;  // to be added to
}

static int wrong_unit(const cell *c, int positive, size_t row, size_t k,
                      size_t H) {
  double a[ARGUMENTS];
  arguments_at(c, row, k, H, a);
  const size_t at = row * H + k;
  const double dh = (double)x.dh[at];
  int wrong = !near(x.h[at], c->unit(a, positive), 1, 16);
  for (int gate = 0; gate < c->gates; gate++)
    wrong += fabs((double)x.gates[(row * c->gates + gate) * H + k] -
                  dh * slope_of(c, positive, a, gate)) > SLACK;
  return wrong + (fabs((double)x.dh_prev[at] - 1 -
                       dh * slope_of(c, positive, a, H_PREV)) > SLACK);
}

/* Steps of a part of the units, then of the rest. */
static void check_cell(const kernels *k, const cell *c, int positive,
                       size_t H) {
  size_t part = H / 3;
  int wrong = 0;
  prepare(c, H);
  c->step(x.h, x.gates, x.h_prev, positive, ROWS, part, H);
  c->step(x.h + part, x.gates + part, x.h_prev + part, positive, ROWS, H - part,
          H);
  c->back(x.dh_prev, x.gates, x.dh, x.h_prev, positive, ROWS, part, H);
  c->back(x.dh_prev + part, x.gates + part, x.dh + part, x.h_prev + part,
          positive, ROWS, H - part, H);
  for (size_t row = 0; row < ROWS; row++)
    for (size_t i = 0; i < H; i++)
      wrong += wrong_unit(c, positive, row, i, H);
  CHECK(!wrong, "%s: %s step of %zu, %s: %d wrong", k->isa, c->name, H,
        positive ? "positive" : "plain", wrong);
}

/* --- Gates of any size ------------------------------------------------------------ */

static const double sizes[] = {0,    -1,    1,    -30,   30,  -87,
                               87,   -89,   89,   -104,  104, -1000,
                               1000, -1e30, 1e30, -3e38, 3e38};
#define SIZE_COUNT (sizeof sizes / sizeof *sizes)

/* log(sigmoid(gate)) */
static long double log_logistic(double gate) {
  return fminl(gate, 0) - log1pl(expl(-fabsl(gate)));
}

/* The share of the old state by way of logarithms, which never overflow. */
static double share_left(const cell *c, const double *a) {
  const long double odds =
      c->gates == 2 ? -a[0] : log_logistic(a[1]) - log_logistic(a[0]);
  return (double)(1 / (1 + expl(-odds)));
}

static void check_size(const kernels *k, const cell *c, double first,
                       double second) {
  real gates[MOST_GATES] = {(real)first, (real)second, 1}, h, h_prev = 3;
  double a[] = {first, second};
  if (c->gates == 2)
    gates[1] = 1;
  c->step(&h, gates, &h_prev, 0, 1, 1, 1);
  const double left = share_left(c, a);
  CHECK(near(h, 3 * left + (1 - left), 1, 16),
        "%s: %s with gates %g and %g: expected %g, got %g", k->isa, c->name,
        first, second, 3 * left + (1 - left), (double)h);
  real dh = 1, dh_prev = 0;
  c->back(&dh_prev, gates, &dh, &h_prev, 0, 1, 1, 1);
  int finite = isfinite(dh_prev) != 0;
  for (int gate = 0; gate < c->gates; gate++)
    finite = finite && isfinite(gates[gate]);
  CHECK(finite && near(dh_prev, left, 1e-37, 16),
        "%s: %s back with gates %g and %g: expected %g, got %g", k->isa,
        c->name, first, second, left, (double)dh_prev);
}

/* --- LRU -------------------------------------------------------------------------- */

/* (a + bi) (c + di) */
static void product(double *out, double a, double b, double c, double d) {
  out[0] = a * c - b * d, out[1] = a * d + b * c;
}

static void check_lru(const kernels *k, size_t H) {
  static real decay[LONGEST], db[ROWS * LONGEST];
  static double ddecay[LONGEST];
  size_t n = ROWS * H, part = H / 4 * 2;
  int wrong = 0;
  prepare(&(cell){.gates = 1}, H);
  fill_random(decay, H, -1, 1);
  k->scan->lru(x.h, x.gates, x.h_prev, decay, ROWS, part, H);
  k->scan->lru(x.h + part, x.gates + part, x.h_prev + part, decay + part, ROWS,
               H - part, H);
  k->scan->lru_backward(x.dh_prev, db, x.dh, decay, ROWS, H, H);
  memset(ddecay, 0, sizeof ddecay);
  k->scan->decay_backward(ddecay, db, x.h_prev, ROWS, H);
  for (size_t i = 0; i < n; i += 2) {
    const real *d = decay + i % H;
    double y[2], back[2];
    product(y, (double)d[0], (double)d[1], (double)x.h_prev[i],
            (double)x.h_prev[i + 1]);
    product(back, (double)d[0], -(double)d[1], (double)x.dh[i],
            (double)x.dh[i + 1]);
    for (size_t part_of = 0; part_of < 2; part_of++) {
      const size_t at = i + part_of;
      wrong += !near(x.h[at], y[part_of] + (double)x.gates[at], 1, 16);
      wrong += !near(x.dh_prev[at], 1 + back[part_of], 1, 16);
      wrong += db[at] != x.dh[at];
    }
  }
  for (size_t i = 0; i < H; i += 2) {
    double sum[2] = {0, 0};
    for (size_t at = i; at < n; at += H) {
      double one[2];
      product(one, (double)db[at], (double)db[at + 1], (double)x.h_prev[at],
              -(double)x.h_prev[at + 1]);
      sum[0] += one[0], sum[1] += one[1];
    }
    wrong += fabs(ddecay[i] - sum[0]) > 16 * REAL_EPSILON;
    wrong += fabs(ddecay[i + 1] - sum[1]) > 16 * REAL_EPSILON;
  }
  CHECK(!wrong, "%s: LRU step of %zu: %d wrong", k->isa, H, wrong);
}

/* --- Very many steps ---------------------------------------------------------------- */

#define STEPS 100000
#define UNITS 24

/* Relative to the largest state so far: h itself may pass through 0. */
static void check_long(const kernels *k, const cell *c, int positive) {
  double h[UNITS] = {0}, largest[UNITS] = {0}, worst = 0;
  real state[2][UNITS] = {{0}}, gates[MOST_GATES * UNITS];
  for (int t = 0; t < STEPS; t++) {
    fill_random(gates, (size_t)c->gates * UNITS, -4, 4);
    c->step(state[(t + 1) % 2], gates, state[t % 2], positive, 1, UNITS, UNITS);
    for (int i = 0; i < UNITS; i++) {
      double a[ARGUMENTS] = {0};
      for (int gate = 0; gate < c->gates; gate++)
        a[gate] = (double)gates[gate * UNITS + i];
      a[H_PREV] = h[i];
      h[i] = c->unit(a, positive);
      largest[i] = fmax(largest[i], fabs(h[i]));
      worst =
          fmax(worst, fabs((double)state[(t + 1) % 2][i] - h[i]) / largest[i]);
    }
  }
  CHECK(worst <= 8 * REAL_EPSILON, "%s: %d steps of %s: %g off", k->isa, STEPS,
        c->name, worst);
}

/* Units that remember for 10 steps to 1,000, and turn at any speed. (The errors of
** the steps that a unit remembers add up as a random walk does: in 10,000 steps
** to three times as much.) */
static void check_long_lru(const kernels *k) {
  double h[UNITS] = {0}, largest = 0, worst = 0;
  real state[2][UNITS] = {{0}}, b[UNITS], decay[UNITS];
  for (int i = 0; i < UNITS; i += 2) {
    const double size = 1 - pow(10, -1 - 2.0 * i / UNITS), phase = 0.3 * i;
    decay[i] = (real)(size * cos(phase));
    decay[i + 1] = (real)(size * sin(phase));
  }
  for (int t = 0; t < STEPS; t++) {
    fill_random(b, UNITS, -1, 1);
    k->scan->lru(state[(t + 1) % 2], b, state[t % 2], decay, 1, UNITS, UNITS);
    for (int i = 0; i < UNITS; i += 2) {
      double y[2];
      product(y, (double)decay[i], (double)decay[i + 1], h[i], h[i + 1]);
      for (int j = 0; j < 2; j++) {
        h[i + j] = y[j] + (double)b[i + j];
        largest = fmax(largest, fabs(h[i + j]));
        worst = fmax(worst, fabs((double)state[(t + 1) % 2][i + j] - h[i + j]));
      }
    }
  }
  CHECK(worst <= 16 * REAL_EPSILON * largest, "%s: %d steps of LRU: %g off",
        k->isa, STEPS, worst / largest);
}

static void check_set(const kernels *k) {
  const cell cells[] = {
      {"minGRU", 2, mingru_unit, k->scan->mingru, k->scan->mingru_backward},
      {"minLSTM", 3, minlstm_unit, k->scan->minlstm, k->scan->minlstm_backward},
  };
  for (const cell *c = cells; c < cells + 2; c++)
    for (int positive = 0; positive < 2; positive++) {
      for (size_t l = 0; l < LENGTH_COUNT; l++)
        check_cell(k, c, positive, lengths[l]);
      check_long(k, c, positive);
    }
  for (const cell *c = cells; c < cells + 2; c++)
    for (size_t i = 0; i < SIZE_COUNT; i++)
      for (size_t j = 0; j < SIZE_COUNT; j++)
        check_size(k, c, sizes[i], sizes[j]);
  for (size_t l = 0; l < LENGTH_COUNT; l++)
    check_lru(k, lengths[l] / 2 * 2);
  check_long_lru(k);
}

int main(void) {
  return report_every_isa(check_set);
}
