/* Sums of rows, each feature with its own weights, against twins in double. */
#include "kernel_spec.h"

enum { MOST = 5, WIDE = LONGEST + 7 };

static real x[MOST][LONGEST], weights[MOST * WIDE], sums[MOST * WIDE];
static real start[LONGEST], y[LONGEST + 1], before[MOST * WIDE];
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

static void check_products(const kernels *k, int count, size_t n) {
  int wrong = 0;
  memcpy(sums, before, sizeof sums);
  k->depthwise->products(sums, WIDE, start, rows, count, n);
  for (int j = 0; j < MOST; j++)
    for (size_t i = 0; i < WIDE; i++) {
      const size_t at = (size_t)j * WIDE + i;
      const int adds = j < count && i < n && rows[j] != NULL;
      const double product = adds ? (double)start[i] * (double)rows[j][i] : 0;
      wrong += adds ? !near(sums[at], (double)before[at] + product, 2, 4)
                    : sums[at] != before[at];
    }
  CHECK(!wrong, "%s: products of %d rows of %zu: %d wrong", k->isa, count, n,
        wrong);
}

static void check_set(const kernels *k) {
  fill_random(&x[0][0], sizeof x / sizeof(real), -1, 1);
  fill_random(weights, sizeof weights / sizeof *weights, -1, 1);
  fill_random(before, sizeof before / sizeof *before, -1, 1);
  fill_random(start, LONGEST, -1, 1);
  for (int count = 0; count <= MOST; count++)
    for (size_t i = 0; i < LENGTH_COUNT; i++) {
      choose_rows(count);
      check_combine(k, count, lengths[i]);
      check_products(k, count, lengths[i]);
    }
}

int main(void) {
  return report_every_isa(check_set);
}
