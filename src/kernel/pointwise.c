/*
** Functions applied element by element, their backward passes, and the small
** services every array needs: fill, copy, scale, clamp.
**
** The kernels differ in one expression only, so four macros hold the loops and
** each kernel is the line that gives its expression in x[i], y[i], dy[i] or in
** the elements a and b.
*/
#include "elementary.h"

/* --- One operand ---------------------------------------------------------- */

#define UNARY(name, value)                                                     \
  static void name(real *y, const real *x, size_t n) {                         \
    INDEPENDENT                                                                \
    for (size_t i = 0; i < n; i++)                                             \
      y[i] = value;                                                            \
  }

#define UNARY_BACKWARD(name, gradient)                                         \
  static void name(real *dx, const real *dy, const real *x, const real *y,     \
                   size_t n) {                                                 \
    (void)x, (void)y; /* each function reads one of them or none */            \
    INDEPENDENT                                                                \
    for (size_t i = 0; i < n; i++)                                             \
      dx[i] += gradient;                                                       \
  }

/* clang-format off */
UNARY(negate, -x[i])
UNARY_BACKWARD(negate_backward, -dy[i])

UNARY(absolute, fabs(x[i]))
UNARY_BACKWARD(absolute_backward,
               only_if(x[i] > 0, dy[i]) - only_if(x[i] < 0, dy[i]))

UNARY(exponential, exp_of(x[i]))
UNARY_BACKWARD(exponential_backward, dy[i] * y[i])

UNARY(logarithm, log_of(x[i]))
UNARY_BACKWARD(logarithm_backward, dy[i] / x[i])

UNARY(square_root, sqrt(x[i]))
UNARY_BACKWARD(square_root_backward, dy[i] * 0.5f / y[i])

UNARY(hyperbolic_tangent, tanh_of(x[i]))
UNARY_BACKWARD(hyperbolic_tangent_backward, dy[i] * (1 - y[i] * y[i]))

UNARY(sigmoid, sigmoid_of(x[i]))
UNARY_BACKWARD(sigmoid_backward, dy[i] * y[i] * (1 - y[i]))

UNARY(relu, relu_of(x[i]))
UNARY_BACKWARD(relu_backward, only_if(y[i] > 0, dy[i]))

UNARY(is_finite, x[i] - x[i] == 0 ? 1 : 0)
UNARY(is_nan, x[i] != x[i] ? 1 : 0)
/* clang-format on */

/* --- Two operands --------------------------------------------------------- */

/*
** 'name' walks a and b by their steps; the constant steps of the three common
** cases leave loops that the compiler can turn into vector code. A repeated
** scalar is read once, before y is written.
*/
#define BINARY(name, value)                                                    \
  static inline __attribute__((always_inline)) void name##_by_steps(           \
      real *y, const real *as, ptrdiff_t a_step, const real *bs,               \
      ptrdiff_t b_step, size_t n) {                                            \
    INDEPENDENT                                                                \
    for (size_t i = 0; i < n; i++) {                                           \
      const real a = as[(ptrdiff_t)i * a_step];                                \
      const real b = bs[(ptrdiff_t)i * b_step];                                \
      y[i] = value;                                                            \
    }                                                                          \
  }                                                                            \
  static void name(real *y, const real *a, ptrdiff_t a_step, const real *b,    \
                   ptrdiff_t b_step, size_t n) {                               \
    if (n == 0)                                                                \
      return;                                                                  \
    const real a_first = *a, b_first = *b;                                     \
    if (a_step == 1 && b_step == 1)                                            \
      name##_by_steps(y, a, 1, b, 1, n);                                       \
    else if (a_step == 1 && b_step == 0)                                       \
      name##_by_steps(y, a, 1, &b_first, 0, n);                                \
    else if (a_step == 0 && b_step == 1)                                       \
      name##_by_steps(y, &a_first, 0, b, 1, n);                                \
    else                                                                       \
      name##_by_steps(y, a, a_step, b, b_step, n);                             \
  }

/* clang-format off */
BINARY(add, a + b)
BINARY(subtract, a - b)
BINARY(multiply, a * b)
BINARY(divide, a / b)
BINARY(any_power, pow(a, b))
BINARY(maximum, a > b || a != a ? a : b)  // NaN if either is
BINARY(minimum, a < b || a != a ? a : b)
BINARY(less, a < b ? 1 : 0)
BINARY(less_equal, a <= b ? 1 : 0)
BINARY(equal, a == b ? 1 : 0)
/* clang-format on */

/* Squares are by far the most frequent powers, and pow is not a vector. */
static void power(real *y, const real *a, ptrdiff_t a_step, const real *b,
                  ptrdiff_t b_step, size_t n) {
  if (n > 0 && b_step == 0 && *b == 2)
    multiply(y, a, a_step, a, a_step, n);
  else
    any_power(y, a, a_step, b, b_step, n);
}

/* --- Three operands ------------------------------------------------------- */

/* Both elements are read, so that the loop needs no branch. */
static inline __attribute__((always_inline)) void
choose_by_steps(real *y, const real *cs, ptrdiff_t c_step, const real *as,
                ptrdiff_t a_step, const real *bs, ptrdiff_t b_step, size_t n) {
  INDEPENDENT
  for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {
    const real a = as[i * a_step], b = bs[i * b_step];
    y[i] = cs[i * c_step] != 0 ? a : b;
  }
}

static void choose(real *y, const real *c, ptrdiff_t c_step, const real *a,
                   ptrdiff_t a_step, const real *b, ptrdiff_t b_step,
                   size_t n) {
  if (n == 0)
    return;
  const real a_first = *a, b_first = *b;
  if (c_step == 1 && a_step == 1 && b_step == 1)
    choose_by_steps(y, c, 1, a, 1, b, 1, n);
  else if (c_step == 1 && a_step == 1 && b_step == 0)
    choose_by_steps(y, c, 1, a, 1, &b_first, 0, n);
  else if (c_step == 1 && a_step == 0 && b_step == 1)
    choose_by_steps(y, c, 1, &a_first, 0, b, 1, n);
  else
    choose_by_steps(y, c, c_step, a, a_step, b, b_step, n);
}

/* --- Services ------------------------------------------------------------- */

static void fill(real *y, real value, size_t n) {
  for (size_t i = 0; i < n; i++)
    y[i] = value;
}

static void copy(real *y, ptrdiff_t y_step, const real *x, ptrdiff_t x_step,
                 size_t n) {
  if (n > 0 && y_step == 1 && x_step == 1) {
    memcpy(y, x, n * sizeof *y);
    return;
  }
  INDEPENDENT
  for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)
    y[i * y_step] = x[i * x_step];
}

static void add_scaled(real *y, real alpha, const real *x, size_t n) {
  INDEPENDENT
  for (size_t i = 0; i < n; i++)
    y[i] += alpha * x[i];
}

static void scale(real *y, real alpha, size_t n) {
  for (size_t i = 0; i < n; i++)
    y[i] *= alpha;
}

static void clamp(real *y, real low, real high, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const real raised = y[i] < low ? low : y[i];
    y[i] = raised > high ? high : raised;
  }
}

const pointwise_kernels KERNEL_TABLE(pointwise) = {
    .unary = {[UNARY_NEGATE] = negate,
              [UNARY_ABS] = absolute,
              [UNARY_EXP] = exponential,
              [UNARY_LOG] = logarithm,
              [UNARY_SQRT] = square_root,
              [UNARY_TANH] = hyperbolic_tangent,
              [UNARY_SIGMOID] = sigmoid,
              [UNARY_RELU] = relu,
              [UNARY_ISFINITE] = is_finite,
              [UNARY_ISNAN] = is_nan},
    .unary_backward = {[UNARY_NEGATE] = negate_backward,
                       [UNARY_ABS] = absolute_backward,
                       [UNARY_EXP] = exponential_backward,
                       [UNARY_LOG] = logarithm_backward,
                       [UNARY_SQRT] = square_root_backward,
                       [UNARY_TANH] = hyperbolic_tangent_backward,
                       [UNARY_SIGMOID] = sigmoid_backward,
                       [UNARY_RELU] = relu_backward},
    .binary = {[BINARY_ADD] = add,
               [BINARY_SUBTRACT] = subtract,
               [BINARY_MULTIPLY] = multiply,
               [BINARY_DIVIDE] = divide,
               [BINARY_POWER] = power,
               [BINARY_MAXIMUM] = maximum,
               [BINARY_MINIMUM] = minimum,
               [BINARY_LESS] = less,
               [BINARY_LESS_EQUAL] = less_equal,
               [BINARY_EQUAL] = equal},
    .choose = choose,
    .fill = fill,
    .copy = copy,
    .add_scaled = add_scaled,
    .scale = scale,
    .clamp = clamp,
};
