/* Conditional random fields against an enumeration of all tags, in double. */
#include "kernel_spec.h"

#define T 4
#define L 3
#define B 2      // rows that lie beside each other
#define WAYS 81  // L^T

static real emissions[T * B * L], transitions[L * L], start[L], stop[L];
static double wide_e[T * B * L], wide_m[L * L], wide_start[L], wide_stop[L];
static int32_t tags[T * B];

static void fill(real *x, double *wide, size_t n, double size) {
  fill_random(x, n, -size, size);
  for (size_t i = 0; i < n; i++)
    wide[i] = (double)x[i];
}

/* The tags of way number n. */
static void way(int n, size_t *y) {
  for (size_t t = T; t-- > 0; n /= L)
    y[t] = (size_t)(n % L);
}

static double score(const size_t *y, size_t row) {
  double sum = wide_start[y[0]] + wide_stop[y[T - 1]];
  for (size_t t = 0; t < T; t++)
    sum += wide_e[(t * B + row) * L + y[t]] +
           (t > 0 ? wide_m[y[t - 1] * L + y[t]] : 0);
  return sum;
}

static double loss(size_t row) {
  double top = -INFINITY, sum = 0;
  size_t y[T];
  for (int n = 0; n < WAYS; n++) {
    way(n, y);
    top = fmax(top, score(y, row));
  }
  for (int n = 0; n < WAYS; n++) {
    way(n, y);
    sum += exp(score(y, row) - top);
  }
  for (size_t t = 0; t < T; t++)
    y[t] = (size_t)tags[t * B + row];
  return top + log(sum) - score(y, row);
}

static void check_slopes(const kernels *k, const char *name, size_t row,
                         const real *got, size_t got_step, double *wide,
                         size_t wide_step, size_t steps, size_t n) {
  int wrong = 0;
  for (size_t t = 0; t < steps; t++)
    for (size_t i = 0; i < n; i++) {
      double *x = wide + t * wide_step + i;
      const double old = *x, h = 1e-5;
      *x = old + h;
      const double up = loss(row);
      *x = old - h;
      const double down = loss(row);
      *x = old;
      wrong += fabs((double)got[t * got_step + i] - (up - down) / (2 * h)) >
               1e-8 + 20 * REAL_EPSILON;
    }
  CHECK(!wrong, "%s: gradient of %s: %d wrong", k->isa, name, wrong);
}

static void check_row(const kernels *k, size_t row, double size) {
  const kernel_crf_scores scores = {transitions, start, stop};
  double shared[CRF_SHARED(L)], scratch[CRF_SCRATCH(T, L)];
  real gradient[T * B * L], dscores[L * L + 2 * L];
  const ptrdiff_t step = B * L;
  k->crf->prepare(shared, &scores, L);
  const double got = k->crf->forward(
      scratch, shared, &scores, emissions + row * L, step, tags + row, B, T, L);
  CHECK(fabs(got - loss(row)) <= 30 * REAL_EPSILON * (1 + size),
        "%s: loss: expected %.17g, got %.17g", k->isa, loss(row), got);
  k->crf->backward(gradient + row * L, step, dscores, scratch, shared,
                   emissions + row * L, tags + row, B, T, L);
  check_slopes(k, "emissions", row, gradient + row * L, B * L, wide_e + row * L,
               B * L, T, L);
  check_slopes(k, "transitions", row, dscores, 0, wide_m, 0, 1, L * L);
  check_slopes(k, "start", row, dscores + L * L, 0, wide_start, 0, 1, L);
  check_slopes(k, "stop", row, dscores + L * L + L, 0, wide_stop, 0, 1, L);
}

static void check_best(const kernels *k, size_t row, double size) {
  const kernel_crf_scores scores = {transitions, start, stop};
  double scratch[2 * L], highest = -INFINITY;
  int32_t from[T * L], got[T];
  size_t y[T], best[T] = {0};
  for (int n = 0; n < WAYS; n++) {
    way(n, y);
    if (score(y, row) > highest) {
      highest = score(y, row);
      memcpy(best, y, sizeof y);
    }
  }
  const double value = k->crf->best(got, 1, scratch, from, &scores,
                                    emissions + row * L, B * L, T, L);
  int wrong = fabs(value - highest) > 20 * REAL_EPSILON * (1 + size);
  for (size_t t = 0; t < T; t++)
    wrong += (size_t)got[t] != best[t];
  CHECK(!wrong, "%s: the best tags: %d wrong", k->isa, wrong);
}

static void check_set(const kernels *k) {
  for (int round = 0; round < 20; round++) {
    const double size = round % 2 ? 1 : 30;
    fill(emissions, wide_e, T * B * L, size);
    fill(transitions, wide_m, L * L, size);
    fill(start, wide_start, L, size);
    fill(stop, wide_stop, L, size);
    for (size_t i = 0; i < T * B; i++)
      tags[i] = (int32_t)random_between(0, L);
    for (size_t row = 0; row < B; row++) {
      check_row(k, row, size);
      check_best(k, row, size);
    }
  }
}

int main(void) {
  return report_every_isa(check_set);
}
