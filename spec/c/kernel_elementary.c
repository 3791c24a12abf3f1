/*
** The accuracy of exp, log, tanh and sigmoid, in units in the last place, over
** a sweep of all bit patterns, and their values at infinities and NaN.
**
**   kernel_elementary          every 509th float, or as many doubles
**   kernel_elementary 1        every float; takes minutes
*/
#include <stdlib.h>

#include "kernel_spec.h"

#define BLOCK 4096

/* A twin needs more digits than real has. */
#ifdef SAROS_DOUBLE
typedef long double wide;
typedef uint64_t pattern;
#define WIDE(f) f##l
#define STRIDE 17592186044423u
#else
typedef double wide;
typedef uint32_t pattern;
#define WIDE(f) f
#define STRIDE 509
#endif

static wide exp_twin(wide x) {
  return WIDE(exp)(x);
}

static wide log_twin(wide x) {
  return WIDE(log)(x);
}

static wide tanh_twin(wide x) {
  return WIDE(tanh)(x);
}

static wide sigmoid_twin(wide x) {
  return 1 / (1 + WIDE(exp)(-x));
}

typedef struct function {
  const char *name;
  kernel_unary id;
  wide (*twin)(wide);
  double limit;  // ulp, as elementary.h states it
} function;

static const function functions[] = {
    {"exp", UNARY_EXP, exp_twin, 2},
    {"log", UNARY_LOG, log_twin, 2},
    {"tanh", UNARY_TANH, tanh_twin, 3},
    {"sigmoid", UNARY_SIGMOID, sigmoid_twin, 3},
};
#define FUNCTION_COUNT (sizeof functions / sizeof *functions)

static const char *const names[] = {"baseline", "avx2", "avx512"};
#define ISA_COUNT (sizeof names / sizeof *names)

/* The distance of 'got' from 'exact' in units of the last place of a real.
** 'flushed' allows anything subnormal where that is what is expected. */
static double ulps(real got, wide exact, int flushed) {
  const real nearest = (real)exact;
  if (got == nearest || (isnan(got) && isnan(nearest)))
    return 0;
  if (isnan(got) || isnan(nearest) || isinf(got) || isinf(nearest))
    return INFINITY;
  const real size = (real)fabs((double)nearest);
  if (flushed && (double)size < FLT_MIN)
    return (double)got <= FLT_MIN ? 0 : INFINITY;
  const real up = (real)(sizeof(real) == sizeof(float)
                             ? (double)nextafterf((float)size, INFINITY)
                             : nextafter((double)size, INFINITY));
  const wide unit = isinf(up) ? WIDE(ldexp)(1, sizeof(real) == 4 ? 104 : 971)
                              : (wide)up - (wide)size;
  return (double)(WIDE(fabs)((wide)got - exact) / unit);
}

typedef struct worst {
  double ulps;
  real x;
} worst;

static void sweep(const function *f, const kernels *const *sets, pattern stride,
                  worst *found) {
  real x[BLOCK], y[BLOCK];
  wide exact[BLOCK];
  pattern bits = 0;
  int more = 1;
  while (more) {
    size_t n = 0;
    for (; n < BLOCK && more; n++) {
      memcpy(&x[n], &bits, sizeof *x);
      exact[n] = f->twin((wide)x[n]);
      more = bits <= (pattern)-1 - stride;
      bits += stride;
    }
    for (size_t s = 0; s < ISA_COUNT; s++) {
      if (sets[s] == NULL)
        continue;
      sets[s]->pointwise->unary[f->id](y, x, n);
      for (size_t i = 0; i < n; i++) {
        const double error = ulps(y[i], exact[i], f->id == UNARY_SIGMOID);
        if (error > found[s].ulps)
          found[s] = (worst){error, x[i]};
      }
    }
  }
}

/* One known value, from a full vector and from a single element. */
static void check_value(const kernels *k, const function *f, double at,
                        double expected) {
  real x[17], y[17];
  for (size_t i = 0; i < 17; i++)
    x[i] = (real)at;
  k->pointwise->unary[f->id](y, x, 17);
  for (size_t i = 0; i < 17; i += 16)
    CHECK(isnan(expected) ? isnan(y[i]) : (double)y[i] == expected,
          "%s: %s(%g): expected %g, got %g", k->isa, f->name, at, expected,
          (double)y[i]);
}

static void check_values(const kernels *k) {
  const function *exp_f = &functions[0], *log_f = &functions[1];
  const function *tanh_f = &functions[2], *sigmoid_f = &functions[3];
  for (size_t i = 0; i < FUNCTION_COUNT; i++)
    check_value(k, &functions[i], NAN, NAN);
  check_value(k, exp_f, -INFINITY, 0);
  check_value(k, exp_f, INFINITY, INFINITY);
  check_value(k, exp_f, 1e30, INFINITY);
  check_value(k, exp_f, 0, 1);
  check_value(k, log_f, 0, -INFINITY);
  check_value(k, log_f, 1, 0);
  check_value(k, log_f, -1, NAN);
  check_value(k, log_f, -INFINITY, NAN);
  check_value(k, log_f, INFINITY, INFINITY);
  check_value(k, tanh_f, -INFINITY, -1);
  check_value(k, tanh_f, INFINITY, 1);
  check_value(k, tanh_f, 0, 0);
  check_value(k, sigmoid_f, -INFINITY, 0);
  check_value(k, sigmoid_f, INFINITY, 1);
  check_value(k, sigmoid_f, 0, 0.5);
}

int main(int count, char **arguments) {
  const pattern stride =
      count > 1 ? (pattern)strtoull(arguments[1], NULL, 10) : STRIDE;
  const kernels *sets[ISA_COUNT];
  for (size_t s = 0; s < ISA_COUNT; s++) {
    sets[s] = kernel_select(names[s]);
    if (sets[s] == NULL)
      printf("%s: skipped, this processor or build lacks it\n", names[s]);
    else
      check_values(sets[s]);
  }
  for (size_t i = 0; i < FUNCTION_COUNT; i++) {
    const function *f = &functions[i];
    worst found[ISA_COUNT] = {{0, 0}};
    sweep(f, sets, stride, found);
    for (size_t s = 0; s < ISA_COUNT; s++) {
      if (sets[s] == NULL)
        continue;
      printf("%-8s %-8s %.2f ulp at %.9g\n", f->name, names[s], found[s].ulps,
             (double)found[s].x);
      CHECK(found[s].ulps <= f->limit,
            "%s: %s: expected %g ulp, got %g at %.9g", names[s], f->name,
            f->limit, found[s].ulps, (double)found[s].x);
    }
  }
  return report();
}
