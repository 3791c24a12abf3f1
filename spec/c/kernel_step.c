/*
** Steps from packed weights against twins in double that take the weights, as
** the packing rounds them, one unit after the other.
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

/* --- Packings ------------------------------------------------------------------ */

static const char *const packings[STEP_KINDS] = {"real", "bf16", "int8"};

/* The bf16 nearest to x, of two as near the even one, by looking for it. */
static real nearest_bf16(real x) {
  const double size = fabs((double)(float)x), ulp = ldexp(1, ilogb(size) - 7);
  return size == 0 ? 0 : (real)copysign(rint(size / ulp) * ulp, (double)x);
}

/* The row w (k) as whole numbers of a scale, the largest being 127. */
static void round_to_scale(real *w, int k) {
  float largest = 0;
  for (int p = 0; p < k; p++)
    largest = fmaxf(largest, fabsf((float)w[p]));
  const float scale = largest / 127;
  for (int p = 0; p < k && scale > 0; p++)
    w[p] = (real)rintf((float)w[p] / scale) * (real)scale;
}

/* The weights w (n, k) that a packing keeps in place of w. */
static void keep(int packing, real *w, int n, int k) {
  for (int i = 0; packing == STEP_BF16 && i < n * k; i++)
    w[i] = nearest_bf16(w[i]);
  for (int row = 0; packing == STEP_INT8 && row < n; row++)
    round_to_scale(w + row * k, k);
}

/* True of the sets that multiply bytes, which are all from "avx512vnni" on. */
static int multiplies_bytes(const kernels *k) {
  return strncmp(k->isa, "avx512", 6) == 0 && k->isa[6] != '\0';
}

/* How many roundings a sum may be off: products of bytes know the terms to 15
** bits of the largest one. */
static double roundings_of(const kernels *k, int packing) {
  return packing == STEP_INT8 && multiplies_bytes(k) ? 3000 : 60;
}

/* Dense layers of so many outputs keep their weights as they are. */
#define FEW 4

/* --- Twins --------------------------------------------------------------------- */

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
  int packing, gates, inputs, P, H, rows, peepholes;
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
  const step_kernels *step = k->step[t->packing];
  const size_t bytes = step->cell_bytes(t->gates, t->H, t->inputs, t->P);
  CHECK(bytes <= sizeof a->packed, "%s: room for %zu bytes", k->isa, bytes);
  step->pack_cell(a->packed, a->w, t->inputs, a->u, t->P, t->gates, t->H);
  keep(t->packing, a->w, GH, t->inputs);
  keep(t->packing, a->u, GH, t->P);
  step->arrange(a->start, a->bias, t->H);
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

static int wrong_units(const arrays *a, const cell_case *t, double roundings) {
  const int width = STEP_WIDTH(t->H);
  int wrong = 0;
  for (int row = 0; row < t->rows; row++)
    for (int unit = 0; unit < t->H; unit++) {
      double h;
      if (t->gates == 4)
        wrong += !near(a->c[row * width + unit], lstm_unit(a, t, row, unit, &h),
                       1, roundings);
      else
        h = gru_unit(a, t, row, unit);
      wrong += !near(a->h[row * width + unit], h, 1, roundings);
    }
  return wrong;
}

static void check_cell(const kernels *k, const cell_case *t) {
  static arrays a;
  const step_kernels *step = k->step[t->packing];
  prepare(&a, k, t);
  if (t->gates == 4)
    step->lstm(a.h, a.c, a.packed, a.starts, a.x, t->inputs, a.h_prev, t->P,
               t->peepholes ? a.peephole : NULL, t->rows, t->H);
  else
    step->gru(a.h, a.packed, a.starts, a.x, t->inputs, a.h_prev, t->rows, t->H);
  int wrong = wrong_units(&a, t, roundings_of(k, t->packing));
  CHECK(!wrong, "%s, %s: %d gates, %d inputs, H %d, P %d, %d rows: %d wrong",
        k->isa, packings[t->packing], t->gates, t->inputs, t->H, t->P, t->rows,
        wrong);
}

static void check_cells(const kernels *k, int packing) {
  static const int inputs[] = {0, 1, 3, 16, 37};
  for (int u = 0; u < COUNT(units); u++)
    for (int r = 0; r < COUNT(rows_of); r++)
      for (int i = 0; i < COUNT(inputs); i++) {
        cell_case t = {packing,  4,          inputs[i], units[u],
                       units[u], rows_of[r], 0};
        check_cell(k, &t);
        t.peepholes = 1, t.P = (units[u] + 1) / 2;
        check_cell(k, &t);
        t = (cell_case){packing,  3,          inputs[i], units[u],
                        units[u], rows_of[r], 0};
        check_cell(k, &t);
      }
}

/* --- Dense layers ------------------------------------------------------------------ */

static void check_dense(const kernels *k, int packing, int n, int terms,
                        int rows) {
  static arrays a;
  static ALIGNED real y[MOST_ROWS * 80], before[MOST_ROWS * 80];
  int wrong = 0, width = STEP_WIDTH(n);
  fill_random(a.u, (size_t)(n * terms), -1, 1);
  fill_rows(a.h_prev, rows, terms);
  fill_rows(y, rows, n);
  memcpy(before, y, sizeof y);
  const step_kernels *step = k->step[packing];
  const double roundings = roundings_of(k, packing);
  const size_t bytes = step->dense_bytes(n, terms);
  CHECK(bytes <= sizeof a.packed, "%s: room for %zu bytes", k->isa, bytes);
  step->pack_dense(a.packed, a.u, n, terms);
  keep(n > FEW ? packing : STEP_REAL, a.u, n, terms);
  for (int row = 0; row < rows; row++)
    a.starts[row] = y + row * width;
  step->dense(y, a.packed, a.starts, a.h_prev, rows, n, terms);
  for (int row = 0; row < rows; row++)
    for (int i = 0; i < n; i++)
      wrong +=
          !near(y[row * width + i],
                (double)before[row * width + i] +
                    product(a.u, i, a.h_prev + row * STEP_WIDTH(terms), terms),
                1, roundings);
  CHECK(!wrong, "%s, %s: dense (%d, %d) of %d rows: %d wrong", k->isa,
        packings[packing], n, terms, rows, wrong);
}

static void check_packing(const kernels *k, int packing) {
  check_cells(k, packing);
  for (int n = 0; n < COUNT(units); n++)
    for (int terms = 0; terms < COUNT(units); terms++)
      for (int r = 0; r < COUNT(rows_of); r++)
        check_dense(k, packing, units[n], units[terms], rows_of[r]);
}

/* --- Weights that are hard to round -------------------------------------------- */

/* What a weight is after packing, seen by a product with 1. */
static real kept(const kernels *k, int packing, real weight) {
  static ALIGNED real packed[512], y[16], x[16] = {1}, zeros[16];
  const real w[FEW + 1] = {0, 0, weight};
  const real *const start[1] = {zeros};
  k->step[packing]->pack_dense(packed, w, FEW + 1, 1);
  k->step[packing]->dense(y, packed, start, x, 1, FEW + 1, 1);
  return y[2];
}

static void check_bf16(const kernels *k) {
  static const double cases[][2] = {
      {1, 1},
      {0x1.01p0, 0x1p0},
      {0x1.03p0, 0x1.04p0},
      {-3, -3},
      {0x1.0101p0, 0x1.02p0},
      {0x1.fffp127, INFINITY},
      {1e-45, 0},
      {INFINITY, INFINITY},
      {-INFINITY, -INFINITY},
      {0x1p-133, 0x1p-133},
  };
  for (int i = 0; i < COUNT(cases); i++) {
    const real got = kept(k, STEP_BF16, (real)cases[i][0]);
    CHECK((double)got == cases[i][1], "%s: %g as bf16 is %g", k->isa,
          cases[i][0], (double)got);
  }
  CHECK(isnan(kept(k, STEP_BF16, (real)NAN)), "%s: NaN as bf16", k->isa);
}

/* The only weight of a row is 127 of its scale, a float on both builds. */
static void check_int8(const kernels *k) {
  static const double cases[][2] = {
      {0, 0},       {1, 1},           {-3, -3},        {1e-6, 1e-6},
      {1e30, 1e30}, {1e-31, 0},       {0x1p-149, 0},   {NAN, NAN},
      {3e38, 3e38}, {-INFINITY, NAN}, {INFINITY, NAN},
  };
  for (int i = 0; i < COUNT(cases); i++) {
    const real got = kept(k, STEP_INT8, (real)cases[i][0]);
    CHECK(near(got, cases[i][1], 0, 4 * (double)FLT_EPSILON / REAL_EPSILON),
          "%s: %g as int8 is %g", k->isa, cases[i][0], (double)got);
  }
}

/* Rows are rounded as they are packed, also up to their scale. */
static void check_round_rows(const kernels *k, int packing) {
  enum { N = 3, K = 21 };
  real w[N * K], expected[N * K], parts[N * K], scale[N];
  fill_random(w, N * K, -1, 1);
  memcpy(expected, w, sizeof w);
  memcpy(parts, w, sizeof w);
  keep(packing, expected, N, K);
  k->step[packing]->round_rows(w, NULL, N, K);
  k->step[packing]->round_rows(parts, scale, N, K);
  for (int i = 0; i < N * K; i++) {
    CHECK(near(w[i], expected[i], 1, 4), "%s, %s: %g is %g", k->isa,
          packings[packing], (double)expected[i], (double)w[i]);
    CHECK(near(parts[i] * scale[i / K], expected[i], 1, 4),
          "%s, %s: %g in parts", k->isa, packings[packing],
          (double)expected[i]);
    CHECK(packing != STEP_INT8 || parts[i] == rint((double)parts[i]),
          "%s: %g is whole", k->isa, (double)parts[i]);
  }
}

/* Terms that are not finite reach all sums; so do many, large and tiny ones. */
static void check_terms(const kernels *k, int packing, int terms, double x0) {
  enum { N = FEW + 1, MOST = 9000 };
  static ALIGNED real packed[N * MOST * 4], y[16], x[MOST + 16], zeros[16];
  static real w[N * MOST];
  const real *const start[1] = {zeros};
  fill_random(w, (size_t)(N * terms), 0.5, 1);
  fill_random(x, (size_t)terms, -1, 1);
  x[0] = (real)x0;
  k->step[packing]->pack_dense(packed, w, N, terms);
  k->step[packing]->dense(y, packed, start, x, 1, N, terms);
  keep(packing, w, N, terms);
  for (int i = 0; i < N; i++)
    CHECK(near(y[i], product(w, i, x, terms), sqrt(terms) * fmax(1, fabs(x0)),
               roundings_of(k, packing)),
          "%s, %s: %d terms, of which one is %g: %g", k->isa, packings[packing],
          terms, x0, (double)y[i]);
}

static void check_set(const kernels *k) {
  for (int packing = 0; packing < STEP_KINDS; packing++)
    check_packing(k, packing), check_round_rows(k, packing);
  check_bf16(k);
  check_int8(k);
  for (int packing = 0; packing < STEP_KINDS; packing++) {
    static const double first[] = {0, 1, NAN, INFINITY, -INFINITY, 1e20, 1e-40};
    for (int i = 0; i < COUNT(first); i++) {
      check_terms(k, packing, 1, first[i]);
      check_terms(k, packing, 37, first[i]);
      check_terms(k, packing, 8999, first[i]);
    }
  }
}

int main(void) {
  return report_every_isa(check_set);
}
