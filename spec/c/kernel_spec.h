/*
** What the specs of the kernels share: a run for each instruction set, random
** arrays, and comparison with a twin that is written in double.
*/
#ifndef KERNEL_SPEC_H
#define KERNEL_SPEC_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernel.h"

#ifdef SAROS_DOUBLE
#define REAL_EPSILON DBL_EPSILON
#else
#define REAL_EPSILON ((double)FLT_EPSILON)
#endif

#define LONGEST 1000

/* Lengths around the widths of vectors. */
static const size_t lengths[] = {0, 1, 3, 15, 16, 17, 33, 65, LONGEST};
#define LENGTH_COUNT (sizeof lengths / sizeof *lengths)

/* Runs 'spec' with the kernels of each instruction set; the exit status. */
static inline int report_every_isa(void (*spec)(const kernels *k)) {
  static const char *const names[] = {"baseline",   "avx2",       "avx512",
                                      "avx512vnni", "avx512bf16", "avx512amx"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const kernels *k = kernel_select(names[i]);
    if (k == NULL)
      printf("%s: skipped, this processor or build lacks it\n", names[i]);
    else
      spec(k);
  }
  return report();
}

/* A uniform number in low..high (xorshift64*, Vigna 2016); same each run. */
static inline double random_between(double low, double high) {
  static uint64_t state = 88172645463325252u;
  state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
  const uint64_t top = (state * 2685821657736338717u) >> 11;
  return low + (high - low) * (double)top / 9007199254740992.0;
}

static inline void fill_random(real *x, size_t n, double low, double high) {
  for (size_t i = 0; i < n; i++)
    x[i] = (real)random_between(low, high);
}

/*
** Is 'got' 'expected', but for 'roundings' errors of rounding relative to the
** larger of |expected| and 'scale'? Infinities and NaN must match.
*/
static inline int near(real got, double expected, double scale,
                       double roundings) {
  if (isnan(expected))
    return isnan(got);
  if ((double)got == expected ||
      (isinf(got) && (double)(real)expected == (double)got))
    return 1;
  const double size = fmax(fabs(expected), scale);
  return fabs((double)got - expected) <= roundings * REAL_EPSILON * size;
}

static inline double logistic(double x) {
  return 1 / (1 + exp(-x));
}

/* The slope of f at x by central differences, good to about 1e-9. */
static inline double slope(double (*f)(double), double x) {
  const double h = 1e-5 * fmax(1, fabs(x));
  return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h);
}

#endif
