/*
** Connectionist temporal classification against the textbook's algorithm in
** long double, one state after the other, and against a walk through all
** paths.
*/
#include <stdlib.h>

#include "kernel_spec.h"

#define MAX_T 300
#define MAX_L 40
#define MAX_V 33
#define MAX_STATES (2 * MAX_L + 1)
#define STEP (MAX_V + 3)  // between the steps of a row: more than its classes

typedef struct problem {
  size_t T, L, V;
  int32_t blank;
  int32_t target[MAX_L];
  real log_probs[MAX_T * STEP];
} problem;

static problem p;
static real gradient[MAX_T * STEP];
static double scratch[CTC_SCRATCH(MAX_T + 1, MAX_L)];

/* --- The twin ------------------------------------------------------------- */

static long double alpha[MAX_T][MAX_STATES], beta[MAX_T][MAX_STATES];

static long double log_add(long double a, long double b) {
  const long double top = a > b ? a : b;
  return isinf(top) ? top : top + logl(expl(a - top) + expl(b - top));
}

static int32_t class_of(size_t s) {
  return s % 2 ? p.target[s / 2] : p.blank;
}

static long double emission(size_t t, size_t s) {
  return (long double)p.log_probs[t * STEP + (size_t)class_of(s)];
}

/* May a path go from state s - 2 to s? */
static int may_skip(size_t s) {
  return s >= 2 && s % 2 == 1 && class_of(s) != class_of(s - 2);
}

static long double alpha_before(size_t t, size_t s) {
  if (t == 0)
    return s <= 1 ? 0 : -INFINITY;
  long double sum = alpha[t - 1][s];
  if (s >= 1)
    sum = log_add(sum, alpha[t - 1][s - 1]);
  return may_skip(s) ? log_add(sum, alpha[t - 1][s - 2]) : sum;
}

/* beta leaves out the emission of its own step. */
static long double beta_after(size_t t, size_t s) {
  const size_t states = 2 * p.L + 1;
  if (t + 1 == p.T)
    return s + 2 >= states ? 0 : -INFINITY;
  long double sum = beta[t + 1][s] + emission(t + 1, s);
  if (s + 1 < states)
    sum = log_add(sum, beta[t + 1][s + 1] + emission(t + 1, s + 1));
  if (s + 2 < states && may_skip(s + 2))
    sum = log_add(sum, beta[t + 1][s + 2] + emission(t + 1, s + 2));
  return sum;
}

/* Fills alpha and beta; the loss. */
static long double twin(void) {
  const size_t states = 2 * p.L + 1;
  for (size_t t = 0; t < p.T; t++)
    for (size_t s = 0; s < states; s++)
      alpha[t][s] = alpha_before(t, s) + emission(t, s);
  for (size_t t = p.T; t-- > 0;)
    for (size_t s = 0; s < states; s++)
      beta[t][s] = beta_after(t, s);
  long double total = alpha[p.T - 1][states - 1];
  if (p.L > 0)
    total = log_add(total, alpha[p.T - 1][states - 2]);
  return -total;
}

static double twin_gradient(size_t t, size_t v, long double loss) {
  long double posterior = 0;
  for (size_t s = 0; s < 2 * p.L + 1; s++)
    if (class_of(s) == (int32_t)v)
      posterior += expl(alpha[t][s] + beta[t][s] + loss);
  return (double)(expl((long double)p.log_probs[t * STEP + v]) - posterior);
}

/* --- Problems --------------------------------------------------------------- */

/* Log-probabilities of random logits of a size, and a random target in which
** labels repeat. */
static void make_problem(const kernels *k, size_t T, size_t L, size_t V,
                         double size) {
  p.T = T, p.L = L, p.V = V;
  p.blank = (int32_t)(V / 2);
  for (size_t i = 0; i < L; i++) {
    const int32_t id = (int32_t)random_between(0, (double)V - 1.001);
    p.target[i] = id + (id >= p.blank);
  }
  fill_random(p.log_probs, MAX_T * STEP, -size, size);
  for (size_t t = 0; t < T; t++)
    k->softmax->log_softmax(p.log_probs + t * STEP, p.log_probs + t * STEP, 1,
                            V);
}

/* Runs both kernels; gradient holds what backward made. */
static double run(const kernels *k) {
  const double loss = k->ctc->forward(scratch, p.T + 1, p.log_probs, STEP,
                                      p.target, p.T, p.L, p.blank);
  memcpy(gradient, p.log_probs, sizeof gradient);
  k->ctc->backward(gradient, scratch, loss, STEP, p.target, p.T, p.V, p.L,
                   p.blank);
  return loss;
}

static void check(const kernels *k, size_t T, size_t L, size_t V, double size) {
  make_problem(k, T, L, V, size);
  const long double expected = twin();
  const double loss = run(k);
  // each step rounds the logarithm of a sum of up to three, and a sum in double
  const double size_of_sum = isinf(loss) ? 0 : fabs(loss);
  const double rounding = REAL_EPSILON + DBL_EPSILON * size_of_sum;
  const double allowed = 2 * rounding * (double)T;
  CHECK(isinf((double)expected) ? (double)expected == loss
                                : fabs(loss - (double)expected) <= allowed,
        "%s: loss of T %zu, L %zu, V %zu, size %g: %.12g, not %.12g", k->isa, T,
        L, V, size, loss, (double)expected);
  CHECK(loss == k->ctc->forward(scratch, 2, p.log_probs, STEP, p.target, T, L,
                                p.blank),
        "%s: the same loss with two rows kept", k->isa);
  int wrong = 0, touched = 0;
  for (size_t t = 0; t < T; t++) {
    for (size_t v = 0; v < V; v++) {
      const double slope_here = isinf(loss) ? 0 : twin_gradient(t, v, expected);
      wrong += !(fabs((double)gradient[t * STEP + v] - slope_here) <=
                 (20 + (double)T) * rounding);
    }
    touched += memcmp(gradient + t * STEP + V, p.log_probs + t * STEP + V,
                      (STEP - V) * sizeof(real)) != 0;
  }
  CHECK(!wrong, "%s: gradient of T %zu, L %zu, V %zu, size %g: %d wrong",
        k->isa, T, L, V, size, wrong);
  CHECK(!touched, "%s: %d steps were written past their classes", k->isa,
        touched);
}

/* --- All paths -------------------------------------------------------------- */

/* Whether a path, the digits of 'path' in base V, gives the target. */
static int collapses(size_t path) {
  size_t found = 0;
  int32_t last = p.blank;
  for (size_t t = 0; t < p.T; t++, path /= p.V) {
    const int32_t id = (int32_t)(path % p.V);
    if (id != p.blank && id != last) {
      if (found == p.L || p.target[found] != id)
        return 0;
      found++;
    }
    last = id;
  }
  return found == p.L;
}

static double probability_of(size_t path) {
  double sum = 0;
  for (size_t t = 0; t < p.T; t++, path /= p.V)
    sum += (double)p.log_probs[t * STEP + path % p.V];
  return exp(sum);
}

static void check_all_paths(const kernels *k, size_t T, size_t L, size_t V) {
  make_problem(k, T, L, V, 2);
  size_t paths = 1;
  for (size_t t = 0; t < T; t++)
    paths *= V;
  double total = 0;
  for (size_t path = 0; path < paths; path++)
    total += collapses(path) ? probability_of(path) : 0;
  const double loss = run(k);
  CHECK(total == 0 ? isinf(loss) : fabs(loss + log(total)) <= 40 * REAL_EPSILON,
        "%s: all paths of T %zu, L %zu, V %zu: %.12g, not %.12g", k->isa, T, L,
        V, loss, -log(total));
}

/* --- At the limits ------------------------------------------------------------ */

static void check_limits(const kernels *k) {
  make_problem(k, 3, 2, 4, 1);
  p.target[0] = p.target[1] = 0;
  CHECK(isfinite(run(k)), "%s: two equal labels in three steps", k->isa);
  p.T = 2;
  CHECK(run(k) == INFINITY, "%s: two equal labels in two steps", k->isa);
  CHECK(gradient[0] == 0 && gradient[STEP + 3] == 0,
        "%s: no gradient where nothing is possible", k->isa);
  make_problem(k, 5, 2, 4, 1);
  p.log_probs[2 * STEP + 1] = (real)NAN;
  p.target[0] = 1;
  CHECK(isnan(run(k)), "%s: NaN is not hidden", k->isa);
  make_problem(k, 4, 1, 3, 1);
  for (size_t i = 0; i < 4 * STEP; i++)
    p.log_probs[i] *= (real)1e30;
  const double loss = run(k);
  int wrong = 0;
  for (size_t t = 0; t < 4; t++)
    for (size_t v = 0; v < 3; v++)
      wrong += !(fabs((double)gradient[t * STEP + v]) <= 1);
  CHECK(isfinite(loss) && !wrong, "%s: log-probabilities of -1e30", k->isa);
}

static void check_set(const kernels *k) {
  static const size_t sizes[][3] = {{1, 0, 1},    {1, 0, 5},    {1, 1, 2},
                                    {2, 1, 3},    {4, 4, 3},    {9, 4, 2},
                                    {17, 8, 7},   {40, 15, 16}, {64, 16, 17},
                                    {90, 17, 33}, {150, 0, 5},  {300, 40, 30}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    check(k, sizes[i][0], sizes[i][1], sizes[i][2], 2);
    check(k, sizes[i][0], sizes[i][1], sizes[i][2], 30);
  }
  for (size_t T = 1; T <= 6; T++)
    for (size_t L = 0; L <= 3; L++)
      for (size_t V = 2; V <= 4; V++)
        check_all_paths(k, T, L, V);
  check_limits(k);
}

int main(void) {
  return report_every_isa(check_set);
}
