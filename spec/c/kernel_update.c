/* Three steps of each update rule against its formula in double. */
#include "kernel_spec.h"

#define STEPS 3
#define RATE 0.1
#define DECAY 0.01
#define EPSILON 1e-8

/* Parameters and moments: of the kernels, and of the twins in double. */
static real p[LONGEST], v[LONGEST], s[LONGEST], gradient[LONGEST];
static double wide_p[LONGEST], wide_v[LONGEST], wide_s[LONGEST];

static void start(size_t n) {
  fill_random(p, n, -1, 1);
  memset(v, 0, sizeof v);
  memset(s, 0, sizeof s);
  memset(wide_v, 0, sizeof wide_v);
  memset(wide_s, 0, sizeof wide_s);
  for (size_t i = 0; i < n; i++)
    wide_p[i] = (double)p[i];
}

static void check_result(const kernels *k, const char *name, size_t n) {
  int wrong = 0;
  for (size_t i = 0; i < n; i++) {
    wrong += !near(p[i], wide_p[i], 1, 8);
    wrong += !near(v[i], wide_v[i], 1, 8) + !near(s[i], wide_s[i], 1, 8);
  }
  CHECK(!wrong, "%s: %s of %zu: %d wrong", k->isa, name, n, wrong);
}

static void check_sgd(const kernels *k, size_t n, double momentum,
                      int nesterov) {
  start(n);
  for (int step = 0; step < STEPS; step++) {
    fill_random(gradient, n, -1, 1);
    k->update->sgd(p, momentum == 0 ? NULL : v, gradient, RATE, momentum,
                   nesterov, DECAY, n);
    for (size_t i = 0; i < n; i++) {
      const double g = (double)gradient[i] + DECAY * wide_p[i];
      if (momentum == 0) {
        wide_p[i] -= RATE * g;
        continue;
      }
      wide_v[i] = momentum * wide_v[i] + g;
      wide_p[i] -= RATE * (nesterov ? g + momentum * wide_v[i] : wide_v[i]);
    }
  }
  check_result(k, nesterov ? "Nesterov's sgd" : "sgd", n);
}

static void check_rmsprop(const kernels *k, size_t n) {
  const double alpha = 0.95;
  start(n);
  for (int step = 0; step < STEPS; step++) {
    fill_random(gradient, n, 0.5, 1);
    k->update->rmsprop(p, s, gradient, RATE, alpha, EPSILON, DECAY, n);
    for (size_t i = 0; i < n; i++) {
      const double g = (double)gradient[i] + DECAY * wide_p[i];
      wide_s[i] = alpha * wide_s[i] + (1 - alpha) * g * g;
      wide_p[i] -= RATE * g / (sqrt(wide_s[i]) + EPSILON);
    }
  }
  check_result(k, "rmsprop", n);
}

static void check_adam(const kernels *k, size_t n, int coupled) {
  const double beta1 = 0.9, beta2 = 0.999;
  start(n);
  for (int t = 1; t <= STEPS; t++) {
    fill_random(gradient, n, 0.5, 1);
    k->update->adam(p, v, s, gradient, RATE, beta1, beta2, EPSILON, DECAY,
                    coupled, t, n);
    for (size_t i = 0; i < n; i++) {
      const double g = (double)gradient[i] + (coupled ? DECAY * wide_p[i] : 0);
      wide_v[i] = beta1 * wide_v[i] + (1 - beta1) * g;
      wide_s[i] = beta2 * wide_s[i] + (1 - beta2) * g * g;
      const double m_hat = wide_v[i] / (1 - pow(beta1, t));
      const double s_hat = wide_s[i] / (1 - pow(beta2, t));
      wide_p[i] -= coupled ? 0 : RATE * DECAY * wide_p[i];
      wide_p[i] -= RATE * m_hat / (sqrt(s_hat) + EPSILON);
    }
  }
  check_result(k, coupled ? "adam" : "adamw", n);
}

static void check_set(const kernels *k) {
  for (size_t l = 0; l < LENGTH_COUNT; l++) {
    const size_t n = lengths[l];
    check_sgd(k, n, 0, 0);
    check_sgd(k, n, 0.9, 0);
    check_sgd(k, n, 0.9, 1);
    check_rmsprop(k, n);
    check_adam(k, n, 0);
    check_adam(k, n, 1);
  }
}

int main(void) {
  return report_every_isa(check_set);
}
