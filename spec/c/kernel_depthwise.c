/* Sums of rows, each feature with its own weights, and their gradients, against
** twins in double. */
#include "kernel_spec.h"

enum { MOST = 5, WIDE = LONGEST + 7 };

static real x[MOST][LONGEST], weights[MOST * WIDE], sums[MOST * WIDE];
static real start[LONGEST], y[LONGEST + 1], before[MOST * WIDE];
static real dx[MOST][LONGEST], dx_before[MOST][LONGEST];
static const real *rows[MOST];

/* Some rows are left out. */
static void choose_rows(int k) {
  for (int j = 0; j < k; j++)
    rows[j] = j % 3 == 1 ? NULL : x[j];
}

static double combined(double from, int k, size_t i) {
  for (int j = 0; j < k; j++)
    if (rows[j] != NULL)
      from += (double)weights[(size_t)j * WIDE + i] * (double)rows[j][i];
  return from;
}

static void check_combine(const kernels *k, int count, size_t n) {
  int wrong = 0;
  y[n] = 7;
  k->depthwise->combine(y, start, rows, weights, WIDE, count, n);
  for (size_t i = 0; i < n; i++)
    wrong += !near(y[i], combined((double)start[i], count, i), count + 1, 4);
  k->depthwise->combine(y, NULL, rows, weights, WIDE, count, n);
  for (size_t i = 0; i < n; i++)
    wrong += !near(y[i], combined(0, count, i), count, 4);
  memcpy(y, start, n * sizeof *y);
  k->depthwise->combine(y, y, rows, weights, WIDE, count, n);
  for (size_t i = 0; i < n; i++)
    wrong += !near(y[i], combined((double)start[i], count, i), count + 1, 4);
  CHECK(!wrong && y[n] == 7, "%s: %d rows of %zu combined: %d wrong", k->isa,
        count, n, wrong);
}

/* True if an element grew by a b, or, unless 'by' is true, is what it was. */
static int grew(real is, real was, int by, real a, real b) {
  return by ? near(is, (double)was + (double)a * (double)b, 2, 4) : is == was;
}

static void check_spread(const kernels *k, int count, size_t n, int has_sums) {
  int wrong = 0;
  real *to[MOST];
  memcpy(sums, before, sizeof sums);
  memcpy(dx, dx_before, sizeof dx);
  for (int j = 0; j < MOST; j++)
    to[j] = j == 2 ? NULL : dx[j];
  k->depthwise->spread(to, has_sums ? sums : NULL, start, rows, weights, WIDE,
                       count, n);
  for (int j = 0; j < MOST; j++)
    for (size_t i = 0; i < LONGEST; i++) {
      const size_t at = (size_t)j * WIDE + i;
      const int is_in = j < count && i < n;
      wrong += !grew(sums[at], before[at], is_in && rows[j] && has_sums,
                     start[i], x[j][i]);
      wrong += !grew(dx[j][i], dx_before[j][i], is_in && to[j], start[i],
                     weights[at]);
    }
  CHECK(!wrong, "%s: spread to %d rows of %zu: %d wrong", k->isa, count, n,
        wrong);
}

/* dy silu'(z), for z of either sign and far from 0. */
static void check_silu_backward(const kernels *k, size_t n) {
  static real z[LONGEST];
  int wrong = 0;
  for (size_t i = 0; i < n; i++)
    z[i] = start[i] * (i % 3 == 0 ? 100 : 4);
  y[n] = 7;
  k->depthwise->silu_backward(y, x[0], z, n);
  for (size_t i = 0; i < n; i++) {
    const double s = logistic((double)z[i]);
    const double slope = s * (1 + (double)z[i] * (1 - s));
    wrong += !near(y[i], (double)x[0][i] * slope, 1 + fabs((double)z[i]), 4);
  }
  CHECK(!wrong && y[n] == 7, "%s: silu backward of %zu: %d wrong", k->isa, n,
        wrong);
}

static void check_set(const kernels *k) {
  fill_random(&x[0][0], sizeof x / sizeof(real), -1, 1);
  fill_random(weights, sizeof weights / sizeof *weights, -1, 1);
  fill_random(before, sizeof before / sizeof *before, -1, 1);
  fill_random(start, LONGEST, -1, 1);
  fill_random(&dx_before[0][0], sizeof dx / sizeof(real), -1, 1);
  for (int count = 0; count <= MOST; count++)
    for (size_t i = 0; i < LENGTH_COUNT; i++) {
      choose_rows(count);
      check_combine(k, count, lengths[i]);
      check_spread(k, count, lengths[i], 1);
      check_spread(k, count, lengths[i], 0);
    }
  for (size_t i = 0; i < LENGTH_COUNT; i++)
    check_silu_backward(k, lengths[i]);
}

int main(void) {
  return report_every_isa(check_set);
}
