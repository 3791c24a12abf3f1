/*
** Steps from packed weights against twins in double that take the weights as
** they are, one unit after the other.
*/
#include <stdlib.h>

#include "kernel_spec.h"

#define MOST_ROWS 9
#define MOST_UNITS 70
#define MOST_TERMS 40

/* 64 bytes and more, as the kernels want them. */
#define ALIGNED __attribute__((aligned(64)))

static const int units[] = {1, 2, 4, 5, 8, 9, 15, 16, 17, 24, 31, 33, 64, 70};
static const int rows_of[] = {1, 2, 3, 4, 5, 9};
#define COUNT(list) ((int)(sizeof list / sizeof *list))

typedef struct arrays {
  ALIGNED real w[4 * MOST_UNITS * MOST_TERMS];
  ALIGNED real u[4 * MOST_UNITS * MOST_UNITS];
  ALIGNED real packed[4 * 80 * (MOST_TERMS + 80)];
  ALIGNED real bias[4 * MOST_UNITS], start[MOST_ROWS * 4 * 80];
  ALIGNED real x[MOST_ROWS * 48], h_prev[MOST_ROWS * 80], h[MOST_ROWS * 80];
  ALIGNED real c[MOST_ROWS * 80], c_prev[MOST_ROWS * 80], peephole[3 * 80];
  const real *starts[MOST_ROWS];
} arrays;

/* An element of row 'row' of w (n, k) times a row of an array, in double. */
static double product(const real *w, int row, const real *x, int k) {
  double sum = 0;
  for (int p = 0; p < k; p++)
    sum += (double)w[row * k + p] * (double)x[p];
  return sum;
}

/* --- Cells --------------------------------------------------------------------- */

/* How a case differs from the plain one. */
typedef struct cell_case {
  int gates, inputs, P, H, rows, peepholes;
} cell_case;

/* The rows of the arrays, so that each lane that does not count holds a NaN. */
static void fill_rows(real *x, int rows, int n) {
  for (int i = 0; i < rows * STEP_WIDTH(n); i++)
    x[i] = i % STEP_WIDTH(n) < n ? (real)random_between(-1, 1) : (real)NAN;
}

static void prepare(arrays *a, const kernels *k, const cell_case *t) {
  const int GH = t->gates * t->H;
  fill_random(a->w, (size_t)(GH * t->inputs), -1, 1);
  fill_random(a->u, (size_t)(GH * t->P), -0.5, 0.5);
  fill_random(a->bias, (size_t)(4 * t->H), -1, 1);
  fill_rows(a->x, t->rows, t->inputs > 0 ? t->inputs : 1);
  fill_rows(a->h_prev, t->rows, t->P);
  fill_rows(a->c, t->rows, t->H);
  fill_rows(a->peephole, 3, t->H);
  memcpy(a->c_prev, a->c, sizeof a->c);
  const size_t bytes = k->step->cell_bytes(t->gates, t->H, t->inputs + t->P);
  CHECK(bytes <= sizeof a->packed, "%s: room for %zu bytes", k->isa, bytes);
  k->step->pack_cell(a->packed, a->w, t->inputs, a->u, t->P, t->gates, t->H);
  k->step->arrange(a->start, a->bias, t->H);
  for (int row = 0; row < t->rows; row++)
    a->starts[row] = a->start;
}

/* The pre-activation of a gate of a unit: its part from x and from h. */
static void sums_of(const arrays *a, const cell_case *t, int row, int gate,
                    int unit, double *from_x, double *from_h) {
  const int at = gate * t->H + unit;
  *from_x = product(a->w, at, a->x + row * STEP_WIDTH(t->inputs), t->inputs);
  *from_h = product(a->u, at, a->h_prev + row * STEP_WIDTH(t->P), t->P);
}

static double lstm_unit(const arrays *a, const cell_case *t, int row, int unit,
                        double *h) {
  const int width = STEP_WIDTH(t->H);
  const double c_prev = (double)a->c_prev[row * width + unit];
  double s[4], p[3];
  for (int gate = 0; gate < 4; gate++) {
    double from_x, from_h;
    sums_of(a, t, row, gate, unit, &from_x, &from_h);
    s[gate] = (double)a->bias[gate * t->H + unit] + from_x + from_h;
  }
  for (int i = 0; i < 3; i++)
    p[i] = t->peepholes ? (double)a->peephole[i * width + unit] : 0;
  const double c = logistic(s[1] + p[1] * c_prev) * c_prev +
                   logistic(s[0] + p[0] * c_prev) * tanh(s[2]);
  *h = logistic(s[3] + p[2] * c) * tanh(c);
  return c;
}

static double gru_unit(const arrays *a, const cell_case *t, int row, int unit) {
  double x[3], u[3];
  for (int gate = 0; gate < 3; gate++) {
    sums_of(a, t, row, gate, unit, &x[gate], &u[gate]);
    x[gate] += (double)a->bias[gate * t->H + unit];
  }
  u[2] += (double)a->bias[3 * t->H + unit];
  const double r = logistic(x[0] + u[0]), z = logistic(x[1] + u[1]);
  const double n = tanh(x[2] + r * u[2]);
  return (1 - z) * n + z * (double)a->h_prev[row * STEP_WIDTH(t->P) + unit];
}

static int wrong_units(const arrays *a, const cell_case *t) {
  const int width = STEP_WIDTH(t->H);
  int wrong = 0;
  for (int row = 0; row < t->rows; row++)
    for (int unit = 0; unit < t->H; unit++) {
      double h;
      if (t->gates == 4)
        wrong += !near(a->c[row * width + unit], lstm_unit(a, t, row, unit, &h),
                       1, 60);
      else
        h = gru_unit(a, t, row, unit);
      wrong += !near(a->h[row * width + unit], h, 1, 60);
    }
  return wrong;
}

static void check_cell(const kernels *k, const cell_case *t) {
  static arrays a;
  prepare(&a, k, t);
  if (t->gates == 4)
    k->step->lstm(a.h, a.c, a.packed, a.starts, a.x, t->inputs, a.h_prev, t->P,
                  t->peepholes ? a.peephole : NULL, t->rows, t->H);
  else
    k->step->gru(a.h, a.packed, a.starts, a.x, t->inputs, a.h_prev, t->rows,
                 t->H);
  int wrong = wrong_units(&a, t);
  CHECK(!wrong, "%s: %d gates, %d inputs, H %d, P %d, %d rows: %d wrong",
        k->isa, t->gates, t->inputs, t->H, t->P, t->rows, wrong);
}

static void check_cells(const kernels *k) {
  static const int inputs[] = {0, 1, 3, 16, 37};
  for (int u = 0; u < COUNT(units); u++)
    for (int r = 0; r < COUNT(rows_of); r++)
      for (int i = 0; i < COUNT(inputs); i++) {
        cell_case t = {4, inputs[i], units[u], units[u], rows_of[r], 0};
        check_cell(k, &t);
        t.peepholes = 1, t.P = (units[u] + 1) / 2;
        check_cell(k, &t);
        t = (cell_case){3, inputs[i], units[u], units[u], rows_of[r], 0};
        check_cell(k, &t);
      }
}

/* --- Dense layers ------------------------------------------------------------------ */

static void check_dense(const kernels *k, int n, int terms, int rows) {
  static arrays a;
  static ALIGNED real y[MOST_ROWS * 80], before[MOST_ROWS * 80];
  int wrong = 0, width = STEP_WIDTH(n);
  fill_random(a.u, (size_t)(n * terms), -1, 1);
  fill_rows(a.h_prev, rows, terms);
  fill_rows(y, rows, n);
  memcpy(before, y, sizeof y);
  k->step->pack_dense(a.packed, a.u, n, terms);
  for (int row = 0; row < rows; row++)
    a.starts[row] = y + row * width;
  k->step->dense(y, a.packed, a.starts, a.h_prev, rows, n, terms);
  for (int row = 0; row < rows; row++)
    for (int i = 0; i < n; i++)
      wrong +=
          !near(y[row * width + i],
                (double)before[row * width + i] +
                    product(a.u, i, a.h_prev + row * STEP_WIDTH(terms), terms),
                1, 60);
  CHECK(!wrong, "%s: dense (%d, %d) of %d rows: %d wrong", k->isa, n, terms,
        rows, wrong);
}

static void check_set(const kernels *k) {
  check_cells(k);
  for (int n = 0; n < COUNT(units); n++)
    for (int terms = 0; terms < COUNT(units); terms++)
      for (int r = 0; r < COUNT(rows_of); r++)
        check_dense(k, units[n], units[terms], rows_of[r]);
}

int main(void) {
  return report_every_isa(check_set);
}
