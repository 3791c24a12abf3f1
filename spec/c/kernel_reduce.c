/* The reductions against one loop each, in double. */
#include "kernel_spec.h"

#define ROOM (3 * LONGEST * 3)

static real x[ROOM], y[3 * LONGEST];
static int32_t at[3 * LONGEST];

static void check_sum(const kernels *k, size_t outer, size_t n, size_t inner) {
  fill_random(x, outer * n * inner, -1, 1);
  k->reduce->sum(y, x, outer, n, inner);
  int wrong = 0;
  for (size_t o = 0; o < outer; o++)
    for (size_t i = 0; i < inner; i++) {
      double sum = 0;
      for (size_t j = 0; j < n; j++)
        sum += (double)x[(o * n + j) * inner + i];
      const double twin_error = 1e-16 * (double)n / REAL_EPSILON;
      wrong += !near(y[o * inner + i], sum, 1, 1 + twin_error);
    }
  CHECK(!wrong, "%s: sum over (%zu, %zu, %zu): %d wrong", k->isa, outer, n,
        inner, wrong);
}

/* The order of a sum is the same on every machine, so its last bit is. */
static void check_same_sum(const kernels *k, size_t n) {
  real here, there;
  fill_random(x, n, -1, 1);
  k->reduce->sum(&here, x, 1, n, 1);
  kernel_select("baseline")->reduce->sum(&there, x, 1, n, 1);
  CHECK(here == there, "%s: sum of %zu differs from baseline by %g", k->isa, n,
        (double)here - (double)there);
}

/* Multiples of 1/4, so that there are ties; sometimes a NaN. */
static void check_columns(const kernels *k, size_t rows, size_t n) {
  static real b[ROOM];
  static double total[LONGEST];
  const size_t first = n / 3, width = n - first;
  fill_random(x, rows * n, -1, 1);
  fill_random(b, rows * n, -1, 1);
  for (int products = 0; products < 2; products++) {
    int wrong = 0;
    if (products)
      k->reduce->sum_products(total, x + first, b + first, rows, n, width);
    else
      k->reduce->sum_rows(total, x + first, rows, n, width);
    for (size_t i = 0; i < width; i++) {
      double expected = 0;
      for (size_t e = first + i; e < rows * n; e += n)
        expected += products ? (double)(x[e] * b[e]) : (double)x[e];
      const double error = fabs(total[i] - expected);
      wrong += error > (products ? (double)rows * REAL_EPSILON
                                 : (double)rows * DBL_EPSILON);
    }
    CHECK(!wrong, "%s: %s of columns of (%zu, %zu): %d wrong", k->isa,
          products ? "products" : "sums", rows, n, wrong);
  }
}

static void fill_for_max(size_t n, int with_nan) {
  fill_random(x, n, -20, 20);
  for (size_t i = 0; i < n; i++)
    x[i] = (real)floor((double)x[i]) / 4;
  for (size_t i = 5; i < n && with_nan; i += 13)
    x[i] = (real)NAN;
}

static void check_max(const kernels *k, size_t outer, size_t n, size_t inner,
                      int with_nan) {
  fill_for_max(outer * n * inner, with_nan);
  k->reduce->max(y, at, x, outer, n, inner);
  int wrong = 0;
  for (size_t o = 0; o < outer; o++)
    for (size_t i = 0; i < inner; i++) {
      const real *column = x + o * n * inner + i;
      size_t best = 0;
      for (size_t j = 1; j < n && !isnan(column[best * inner]); j++)
        if (column[j * inner] > column[best * inner] ||
            isnan(column[j * inner]))
          best = j;
      const size_t here = o * inner + i;
      wrong += at[here] != (int32_t)best;
      wrong += !near(y[here], (double)column[best * inner], 0, 0);
    }
  k->reduce->max(y, NULL, x, outer, n, inner);
  for (size_t o = 0; o < outer; o++)
    for (size_t i = 0; i < inner; i++) {
      const size_t here = o * inner + i;
      const real *column = x + o * n * inner + i;
      wrong += !near(y[here], (double)column[(size_t)at[here] * inner], 0, 0);
    }
  CHECK(!wrong, "%s: max over (%zu, %zu, %zu)%s: %d wrong", k->isa, outer, n,
        inner, with_nan ? " with NaN" : "", wrong);
}

static void check_running(const kernels *k, size_t outer, size_t n,
                          size_t inner, int from_end, int add) {
  static real before[ROOM], sums[ROOM];
  fill_random(x, outer * n * inner, -1, 1);
  fill_random(before, outer * n * inner, -1, 1);
  memcpy(sums, add ? before : x, sizeof sums);
  k->reduce->running_sum(sums, add ? x : sums, outer, n, inner, from_end, add);
  int wrong = 0;
  for (size_t o = 0; o < outer; o++)
    for (size_t i = 0; i < inner; i++) {
      double sum = 0;
      for (size_t j = 0; j < n; j++) {
        const size_t row = from_end ? n - 1 - j : j;
        const size_t here = (o * n + row) * inner + i;
        sum += (double)x[here];
        wrong += !near(sums[here], sum + (add ? (double)before[here] : 0),
                       1 + fabs(sum), 2);
      }
    }
  CHECK(!wrong, "%s: running sum over (%zu, %zu, %zu): %d wrong", k->isa, outer,
        n, inner, wrong);
}

/* Each next one is the best of those that are left. */
static void check_top(const kernels *k, size_t n, size_t wanted, int with_nan) {
  int wrong = 0;
  fill_for_max(2 * n, with_nan);
  k->reduce->top(at, x, 2, n, wanted);
  for (size_t row = 0; row < 2; row++) {
    char taken[LONGEST] = {0};
    for (size_t i = 0; i < wanted; i++) {
      size_t best = n;
      for (size_t j = 0; j < n; j++) {
        const real here = x[row * n + j], top = x[row * n + best % n];
        if (!taken[j] &&
            (best == n || (isnan(here) && !isnan(top)) || here > top))
          best = j;
      }
      taken[best] = 1;
      wrong += at[row * wanted + i] != (int32_t)best;
    }
  }
  CHECK(!wrong, "%s: top %zu of %zu: %d wrong", k->isa, wanted, n, wrong);
}

static void check_whole(const kernels *k, size_t n) {
  fill_random(x, n, -1, 1);
  double squares = 0;
  for (size_t i = 0; i < n; i++)
    squares += (double)x[i] * (double)x[i];
  const double got = k->reduce->sum_of_squares(x, n);
  CHECK(fabs(got - squares) <= 1e-13 * squares,
        "%s: sum of %zu squares: expected %.17g, got %.17g", k->isa, n, squares,
        got);
  CHECK(k->reduce->all_finite(x, n), "%s: %zu finite numbers", k->isa, n);
  const double strange[] = {NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < n; i += 1 + n / 7) {
    const real old = x[i];
    x[i] = (real)strange[i % 3];
    CHECK(!k->reduce->all_finite(x, n), "%s: not finite at %zu of %zu", k->isa,
          i, n);
    x[i] = old;
  }
}

static void check_set(const kernels *k) {
  static const size_t inners[] = {1, 2, 7, 64, 100};
  for (size_t l = 0; l < LENGTH_COUNT; l++) {
    const size_t n = lengths[l];
    check_whole(k, n);
    check_same_sum(k, n);
    for (size_t wanted = 1; wanted <= n; wanted += 1 + wanted / 2) {
      check_top(k, n, wanted, 0);
      check_top(k, n, wanted, 1);
    }
    for (size_t i = 0; i < sizeof inners / sizeof *inners; i++) {
      const size_t inner = inners[i];
      if (3 * n * inner > ROOM)
        continue;
      check_sum(k, 3, n, inner);
      check_columns(k, n, inner);
      for (int way = 0; way < 4; way++)
        check_running(k, 3, n, inner, way & 1, way >> 1);
      if (n == 0)
        continue;
      check_max(k, 3, n, inner, 0);
      check_max(k, 3, n, inner, 1);
    }
  }
}

int main(void) {
  return report_every_isa(check_set);
}
