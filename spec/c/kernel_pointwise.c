/* The pointwise kernels against one-line twins in double. */
#include "kernel_spec.h"

/* --- Twins ---------------------------------------------------------------- */

static double negate(double x) {
  return -x;
}
static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}
static double relu(double x) {
  return x > 0 ? x : 0;
}
static double is_finite(double x) {
  return isfinite(x);
}
static double is_nan(double x) {
  return isnan(x);
}
static double softplus(double x) {
  return log1p(exp(x));
}
static double silu(double x) {
  return x / (1 + exp(-x));
}
static double gelu(double x) {
  return x * 0.5 * erfc(-x / sqrt(2));
}
static double gelu_tanh(double x) {
  const double a = sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x);
  return x / (1 + exp(-2 * a));  // (1 + tanh(a)) / 2 loses digits below 0
}
static double elu(double x) {
  return x > 0 ? x : expm1(x);
}
static double leaky_relu(double x) {
  return x < 0 ? 0.01 * x : x;
}
static double hard_sigmoid(double x) {
  return fmin(fmax(x / 6 + 0.5, 0), 1);
}
static double hard_tanh(double x) {
  return fmin(fmax(x, -1), 1);
}
static double add(double a, double b) {
  return a + b;
}
static double subtract(double a, double b) {
  return a - b;
}
static double multiply(double a, double b) {
  return a * b;
}
static double divide(double a, double b) {
  return a / b;
}
static double less(double a, double b) {
  return a < b;
}
static double less_equal(double a, double b) {
  return a <= b;
}
static double equal(double a, double b) {
  return a == b;
}

typedef struct unary_twin {
  const char *name;
  double (*f)(double);
  double low, high;  // where to take x from
  double more;       // roundings beyond 3
} unary_twin;

static const unary_twin unaries[UNARY_COUNT] = {
    [UNARY_NEGATE] = {"negate", negate, -3, 3, 0},
    [UNARY_ABS] = {"abs", fabs, -3, 3, 0},
    [UNARY_EXP] = {"exp", exp, -3, 3, 0},
    [UNARY_LOG] = {"log", log, 0.1, 3, 0},
    [UNARY_SQRT] = {"sqrt", sqrt, 0.1, 3, 0},
    [UNARY_TANH] = {"tanh", tanh, -3, 3, 0},
    [UNARY_SIGMOID] = {"sigmoid", sigmoid, -3, 3, 0},
    [UNARY_RELU] = {"relu", relu, -3, 3, 0},
    [UNARY_ISFINITE] = {"isfinite", is_finite, -3, 3, 0},
    [UNARY_ISNAN] = {"isnan", is_nan, -3, 3, 0},
    [UNARY_SIN] = {"sin", sin, -30, 30, 0},
    [UNARY_COS] = {"cos", cos, -30, 30, 0},
    [UNARY_SOFTPLUS] = {"softplus", softplus, -20, 20, 2},
    [UNARY_SILU] = {"silu", silu, -20, 20, 2},
    [UNARY_GELU] = {"gelu", gelu, -5, 5, 30},
    [UNARY_GELU_TANH] = {"gelu_tanh", gelu_tanh, -4, 4, 60},
    [UNARY_ELU] = {"elu", elu, -20, 5, 0},
    [UNARY_LEAKY_RELU] = {"leaky_relu", leaky_relu, -3, 3, 0},
    [UNARY_HARD_SIGMOID] = {"hard_sigmoid", hard_sigmoid, -2.9, 5, 6},
    [UNARY_HARD_TANH] = {"hard_tanh", hard_tanh, -3, 3, 0},
};

typedef struct binary_twin {
  const char *name;
  double (*f)(double, double);
} binary_twin;

static const binary_twin binaries[BINARY_COUNT] = {
    [BINARY_ADD] = {"add", add},
    [BINARY_SUBTRACT] = {"subtract", subtract},
    [BINARY_MULTIPLY] = {"multiply", multiply},
    [BINARY_DIVIDE] = {"divide", divide},
    [BINARY_POWER] = {"power", pow},
    [BINARY_MAXIMUM] = {"maximum", fmax},
    [BINARY_MINIMUM] = {"minimum", fmin},
    [BINARY_LESS] = {"less", less},
    [BINARY_LESS_EQUAL] = {"less or equal", less_equal},
    [BINARY_EQUAL] = {"equal", equal},
};

/* --- One operand ---------------------------------------------------------- */

static void check_unary(const kernels *k, kernel_unary id, size_t n,
                        int in_place) {
  const unary_twin *twin = &unaries[id];
  static real x[LONGEST + 1], y[LONGEST + 1];
  fill_random(x, n, twin->low, twin->high);
  memcpy(y, x, sizeof x);
  y[n] = 77;  // must survive
  k->pointwise->unary[id](y, in_place ? y : x, n);
  int wrong = y[n] != 77;
  for (size_t i = 0; i < n; i++)
    wrong += !near(y[i], twin->f((double)x[i]), 0, 3 + twin->more);
  CHECK(!wrong, "%s: %s of %zu: %d wrong", k->isa, twin->name, n, wrong);
}

/* Some functions have corners at 0, 1 or 3. */
static int is_near_corner(double x) {
  const double size = fabs(x);
  return size < 1e-3 || fabs(size - 1) < 1e-3 || fabs(size - 3) < 1e-3;
}

static void check_unary_backward(const kernels *k, kernel_unary id, size_t n) {
  const unary_twin *twin = &unaries[id];
  static real x[LONGEST], y[LONGEST], dy[LONGEST], dx[LONGEST], before[LONGEST];
  fill_random(x, n, twin->low, twin->high);
  fill_random(dy, n, -1, 1);
  fill_random(dx, n, -1, 1);
  memcpy(before, dx, sizeof dx);
  if (k->pointwise->unary_backward[id] == NULL)
    return;
  k->pointwise->unary[id](y, x, n);
  const int reads_x = UNARY_BACKWARD_READS_X(id);
  k->pointwise->unary_backward[id](dx, dy, reads_x ? x : NULL,
                                   reads_x ? NULL : y, n);
  int wrong = 0;
  for (size_t i = 0; i < n; i++) {
    if (is_near_corner((double)x[i]))
      continue;
    const double step = slope(twin->f, (double)x[i]);
    const double expected = (double)before[i] + (double)dy[i] * step;
    wrong += fabs((double)dx[i] - expected) > 8 * REAL_EPSILON * 20 + 1e-8;
  }
  CHECK(!wrong, "%s: %s backward of %zu: %d wrong", k->isa, twin->name, n,
        wrong);
}

/* Values and slopes (null: any) at the ends and of NaN, in a full vector and
** alone. */
static void check_far(const kernels *k, kernel_unary id, double at,
                      double expected, const double *expected_slope) {
  const pointwise_kernels *p = k->pointwise;
  real x[17], y[17], dy[17], dx[17] = {0};
  for (size_t i = 0; i < 17; i++)
    x[i] = (real)at, dy[i] = 1;
  p->unary[id](y, x, 17);
  p->unary_backward[id](dx, dy, x, y, 17);
  for (size_t i = 0; i < 17; i += 16) {
    CHECK(near(y[i], expected, 0, 4), "%s: %s(%g): expected %g, got %g", k->isa,
          unaries[id].name, at, expected, (double)y[i]);
    if (expected_slope != NULL)
      CHECK(near(dx[i], *expected_slope, 0, 4),
            "%s: slope of %s at %g: expected %g, got %g", k->isa,
            unaries[id].name, at, *expected_slope, (double)dx[i]);
  }
}

static void check_ends(const kernels *k) {
  const double none = 0, one = 1, leak = 0.01, nan = NAN;
  const struct {
    kernel_unary id;
    double below, slope_below, slope_above;
  } rows[] = {
      {UNARY_SOFTPLUS, 0, none, one}, {UNARY_SILU, 0, none, one},
      {UNARY_GELU, 0, none, one},     {UNARY_GELU_TANH, 0, none, one},
      {UNARY_ELU, -1, none, one},     {UNARY_LEAKY_RELU, -3e13, leak, one},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    check_far(k, rows[i].id, -3e15, rows[i].below, &rows[i].slope_below);
    check_far(k, rows[i].id, 3e15, 3e15, &rows[i].slope_above);
    check_far(k, rows[i].id, 0, rows[i].id == UNARY_SOFTPLUS ? log(2) : 0,
              NULL);
    check_far(k, rows[i].id, INFINITY, INFINITY, NULL);
  }
  check_far(k, UNARY_SOFTPLUS, -80, exp(-80), NULL);
  check_far(k, UNARY_HARD_SIGMOID, -4, 0, &none);
  check_far(k, UNARY_HARD_SIGMOID, 4, 1, &none);
  check_far(k, UNARY_HARD_TANH, -4, -1, &none);
  check_far(k, UNARY_HARD_TANH, 4, 1, &none);
  for (kernel_unary id = UNARY_SIN; id <= UNARY_HARD_TANH; id++)
    check_far(k, id, NAN, nan, NULL);
  for (double x = 1; x < 1e30; x *= -7.3) {
    const double at = (double)(real)x, slope_sin = cos(at),
                 slope_cos = -sin(at);
    check_far(k, UNARY_SIN, at, sin(at), &slope_sin);
    check_far(k, UNARY_COS, at, cos(at), &slope_cos);
  }
  check_far(k, UNARY_SIN, INFINITY, nan, NULL);
}

static void check_corners(const kernels *k) {
  const pointwise_kernels *p = k->pointwise;
  real zeros[17] = {0}, ones[17], dx[17] = {0}, y[17];
  for (size_t i = 0; i < 17; i++)
    ones[i] = 1;
  p->unary_backward[UNARY_RELU](dx, ones, NULL, zeros, 17);
  CHECK(dx[0] == 0 && dx[16] == 0, "%s: slope of relu at 0", k->isa);
  p->unary_backward[UNARY_ABS](dx, ones, zeros, NULL, 17);
  CHECK(dx[0] == 0 && dx[16] == 0, "%s: slope of abs at 0", k->isa);
  for (size_t i = 0; i < 17; i++)
    zeros[i] = (real)NAN;
  p->unary[UNARY_RELU](y, zeros, 17);
  CHECK(isnan(y[0]) && isnan(y[16]), "%s: relu(NaN)", k->isa);
  zeros[0] = (real)INFINITY, zeros[1] = (real)-INFINITY, zeros[2] = 0;
  p->unary[UNARY_ISFINITE](y, zeros, 17);
  CHECK(!y[0] && !y[1] && y[2] == 1 && !y[16], "%s: isfinite", k->isa);
  p->unary[UNARY_ISNAN](y, zeros, 17);
  CHECK(!y[0] && !y[1] && !y[2] && y[16] == 1, "%s: isnan", k->isa);
}

/* --- Two operands --------------------------------------------------------- */

static void check_binary(const kernels *k, kernel_binary id, ptrdiff_t a_step,
                         ptrdiff_t b_step, size_t n) {
  const binary_twin *twin = &binaries[id];
  real a[3 * LONGEST + 1], b[3 * LONGEST + 1], y[LONGEST + 1];
  fill_random(a, 3 * n + 1, 0.5, 2);
  fill_random(b, 3 * n + 1, 0.5, 2);
  for (size_t i = 0; i < n; i += 3)
    b[i] = a[i];  // for the comparisons
  y[n] = 77;
  k->pointwise->binary[id](y, a, a_step, b, b_step, n);
  int wrong = y[n] != 77;
  for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {
    const double left = (double)a[i * a_step], right = (double)b[i * b_step];
    wrong += !near(y[i], twin->f(left, right), 0, 2);
  }
  CHECK(!wrong, "%s: %s of %zu by steps %td, %td: %d wrong", k->isa, twin->name,
        n, a_step, b_step, wrong);
}

static void check_binary_in_place(const kernels *k, kernel_binary id) {
  const binary_twin *twin = &binaries[id];
  real a[33], b[33], y[33];
  fill_random(a, 33, 0.5, 2);
  fill_random(b, 33, 0.5, 2);
  int wrong = 0;
  memcpy(y, a, sizeof a);
  k->pointwise->binary[id](y, y, 1, b, 1, 33);
  for (size_t i = 0; i < 33; i++)
    wrong += !near(y[i], twin->f((double)a[i], (double)b[i]), 0, 2);
  memcpy(y, b, sizeof b);
  k->pointwise->binary[id](y, a, 1, y, 1, 33);
  for (size_t i = 0; i < 33; i++)
    wrong += !near(y[i], twin->f((double)a[i], (double)b[i]), 0, 2);
  CHECK(!wrong, "%s: %s in place: %d wrong", k->isa, twin->name, wrong);
}

static void check_binary_corners(const kernels *k) {
  const pointwise_kernels *p = k->pointwise;
  const real nan = (real)NAN, one = 1, two = 2;
  real x[17], y[17];
  fill_random(x, 17, -3, 3);
  p->binary[BINARY_POWER](y, x, 1, &two, 0, 17);
  CHECK(y[0] == x[0] * x[0] && y[16] == x[16] * x[16], "%s: square", k->isa);
  for (int swap = 0; swap < 2; swap++)
    for (kernel_binary id = BINARY_MAXIMUM; id <= BINARY_MINIMUM; id++) {
      p->binary[id](y, swap ? &one : &nan, 0, swap ? &nan : &one, 0, 17);
      CHECK(isnan(y[0]) && isnan(y[16]), "%s: %s with NaN", k->isa,
            binaries[id].name);
    }
}

/* --- Three operands ------------------------------------------------------- */

static void check_choose(const kernels *k, ptrdiff_t c_step, ptrdiff_t a_step,
                         ptrdiff_t b_step, size_t n) {
  real c[2 * LONGEST + 1], a[2 * LONGEST + 1], b[2 * LONGEST + 1],
      y[LONGEST + 1];
  fill_random(c, 2 * n + 1, -1, 1);
  fill_random(a, 2 * n + 1, -1, 1);
  fill_random(b, 2 * n + 1, -1, 1);
  for (size_t i = 0; i < 2 * n + 1; i++)
    c[i] = c[i] < 0 ? 0 : c[i];
  y[n] = 77;
  k->pointwise->choose(y, c, c_step, a, a_step, b, b_step, n);
  int wrong = y[n] != 77;
  for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)
    wrong += y[i] != (c[i * c_step] != 0 ? a[i * a_step] : b[i * b_step]);
  CHECK(!wrong, "%s: choose of %zu by steps %td, %td, %td: %d wrong", k->isa, n,
        c_step, a_step, b_step, wrong);
}

/* --- Services ------------------------------------------------------------- */

static void check_services(const kernels *k, size_t n) {
  const pointwise_kernels *p = k->pointwise;
  real x[3 * LONGEST + 1], y[3 * LONGEST + 1], z[3 * LONGEST + 1];
  fill_random(x, 3 * n + 1, -1, 1);
  fill_random(y, 3 * n + 1, -1, 1);
  int wrong = 0;
  memcpy(z, y, sizeof y);
  p->add_scaled(z, 3, x, n);
  for (size_t i = 0; i < n; i++)
    wrong += !near(z[i], (double)y[i] + 3 * (double)x[i], 4, 1);
  p->scale(z, 0.5, n);
  for (size_t i = 0; i < n; i++)
    wrong += !near(z[i], 0.5 * ((double)y[i] + 3 * (double)x[i]), 4, 1);
  p->clamp(z, -1, (real)0.25, n);
  for (size_t i = 0; i < n; i++)
    wrong += z[i] < -1 || z[i] > (real)0.25;
  p->copy(z, 2, x, 3, n);
  p->copy(z + 1, 2, y, 1, n);
  for (size_t i = 0; i < n; i++)
    wrong += z[2 * i] != x[3 * i] || z[2 * i + 1] != y[i];
  p->copy(z, 1, y, 1, n);
  wrong += memcmp(z, y, n * sizeof *y) != 0;
  p->fill(z, 5, n);
  for (size_t i = 0; i < n; i++)
    wrong += z[i] != 5;
  CHECK(!wrong, "%s: services of %zu: %d wrong", k->isa, n, wrong);
}

static void check_clamp_nan(const kernels *k) {
  real x[17];
  for (size_t i = 0; i < 17; i++)
    x[i] = (real)NAN;
  k->pointwise->clamp(x, -1, 1, 17);
  CHECK(isnan(x[0]) && isnan(x[16]), "%s: clamp drops NaN", k->isa);
}

static void check_set(const kernels *k) {
  for (size_t l = 0; l < LENGTH_COUNT; l++) {
    for (kernel_unary id = 0; id < UNARY_COUNT; id++) {
      check_unary(k, id, lengths[l], 0);
      check_unary(k, id, lengths[l], 1);
      check_unary_backward(k, id, lengths[l]);
    }
    for (kernel_binary id = 0; id < BINARY_COUNT; id++)
      for (ptrdiff_t a_step = 0; a_step < 4; a_step++)
        for (ptrdiff_t b_step = 0; b_step < 4; b_step++)
          check_binary(k, id, a_step, b_step, lengths[l]);
    for (ptrdiff_t step = 0; step < 27; step++)
      check_choose(k, step % 3, step / 3 % 3, step / 9, lengths[l]);
    check_services(k, lengths[l]);
  }
  for (kernel_binary id = 0; id < BINARY_COUNT; id++)
    check_binary_in_place(k, id);
  check_corners(k);
  check_ends(k);
  check_binary_corners(k);
  check_clamp_nan(k);
}

int main(void) {
  return report_every_isa(check_set);
}
