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
    KERNEL_INDEPENDENT                                                         \
    for (size_t i = 0; i < n; i++)                                             \
      y[i] = value;                                                            \
  }

#define UNARY_BACKWARD(name, gradient)                                         \
  static void name(real *dx, const real *dy, const real *x, const real *y,     \
                   size_t n) {                                                 \
    (void)x, (void)y; /* each function reads one of them or none */            \
    KERNEL_INDEPENDENT                                                         \
    for (size_t i = 0; i < n; i++)                                             \
      dx[i] += gradient;                                                       \
  }

/* exp(-x^2 / 2) / sqrt(2 pi) x + the share of a normal distribution below x */
static inline real gelu_slope(real x) {
  const real density = (real)0.398942280401432678 * exp_of((real)-0.5 * x * x);
  return normal_below(x) + x * density;
}

/* Twice what tanh is taken of: (1 + tanh(a)) / 2 is the sigmoid of 2 a. From
** |x| = 100 on, the sigmoid is 0 or 1, and the cube would overflow. */
static inline real gelu_argument(real x) {
  const real near = clamped(x, -100, 100);
  return (real)1.59576912160573072 *
         (near + (real)0.044715 * near * near * near);
}

static inline real gelu_tanh_slope(real x) {
  const real near = clamped(x, -100, 100), a = gelu_argument(x);
  const real s = sigmoid_of(a);
  return s + near * s * sigmoid_of(-a) * (real)1.59576912160573072 *
                 (1 + (real)(3 * 0.044715) * near * near);
}

/* The slope of leaky_relu below 0. */
#define LEAK ((real)0.01)

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

UNARY(softplus, softplus_of(x[i]))
UNARY_BACKWARD(softplus_backward, dy[i] * sigmoid_of(x[i]))

UNARY(silu, x[i] * sigmoid_of(x[i]))
UNARY_BACKWARD(silu_backward,
               dy[i] * sigmoid_of(x[i]) * (1 + x[i] * sigmoid_of(-x[i])))

UNARY(gelu, x[i] * normal_below(x[i]))
UNARY_BACKWARD(gelu_backward, dy[i] * gelu_slope(x[i]))

UNARY(gelu_tanh, x[i] * sigmoid_of(gelu_argument(x[i])))
UNARY_BACKWARD(gelu_tanh_backward, dy[i] * gelu_tanh_slope(x[i]))

UNARY(elu, x[i] > 0 ? x[i] : expm1_of(x[i] > 0 ? 0 : x[i]))
UNARY_BACKWARD(elu_backward, y[i] > 0 ? dy[i] : dy[i] * (y[i] + 1))

UNARY(leaky_relu, x[i] < 0 ? LEAK * x[i] : x[i])
UNARY_BACKWARD(leaky_relu_backward, y[i] > 0 ? dy[i] : LEAK * dy[i])

UNARY(hard_sigmoid, clamped(x[i] / 6 + (real)0.5, 0, 1))
UNARY_BACKWARD(hard_sigmoid_backward, only_if(fabs(x[i]) < 3, dy[i] / 6))

UNARY(hard_tanh, clamped(x[i], -1, 1))
UNARY_BACKWARD(hard_tanh_backward, only_if(fabs(x[i]) < 1, dy[i]))

UNARY(is_finite, x[i] - x[i] == 0 ? 1 : 0)
UNARY(is_nan, x[i] != x[i] ? 1 : 0)
/* clang-format on */

/*
** sin and cos. Far angles are libm's, one by one, after the block has been
** computed as if there were none; y may be x, so the block's x is copied.
*/
#define ANGLES 256

#define PERIODIC(name, of, value)                                              \
  static void name##_block(real *y, const real *x, size_t n) {                 \
    real angle[ANGLES];                                                        \
    int far = 0;                                                               \
    memcpy(angle, x, n * sizeof *x);                                           \
    for (size_t i = 0; i < n; i++)                                             \
      far |= is_far_angle(angle[i]);                                           \
    KERNEL_INDEPENDENT                                                         \
    for (size_t i = 0; i < n; i++)                                             \
      y[i] = value(angle[i]);                                                  \
    for (size_t i = 0; far && i < n; i++)                                      \
      if (is_far_angle(angle[i]))                                              \
        y[i] = of(angle[i]);                                                   \
  }                                                                            \
  static void name(real *y, const real *x, size_t n) {                         \
    for (size_t at = 0; at < n; at += ANGLES)                                  \
      name##_block(y + at, x + at, n - at < ANGLES ? n - at : ANGLES);         \
  }

PERIODIC(sine, sin, sin_of)
PERIODIC(cosine, cos, cos_of)

/* dx += sign dy f(x), f being sine or cosine */
static void add_slopes(real *dx, const real *dy, const real *x, real sign,
                       void (*f)(real *y, const real *x, size_t n), size_t n) {
  real slope[ANGLES];
  for (size_t at = 0; at < n; at += ANGLES) {
    const size_t count = n - at < ANGLES ? n - at : ANGLES;
    f(slope, x + at, count);
    KERNEL_INDEPENDENT
    for (size_t i = 0; i < count; i++)
      dx[at + i] += sign * dy[at + i] * slope[i];
  }
}

static void sine_backward(real *dx, const real *dy, const real *x,
                          const real *y, size_t n) {
  (void)y;
  add_slopes(dx, dy, x, 1, cosine, n);
}

static void cosine_backward(real *dx, const real *dy, const real *x,
                            const real *y, size_t n) {
  (void)y;
  add_slopes(dx, dy, x, -1, sine, n);
}

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
    KERNEL_INDEPENDENT                                                         \
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
  KERNEL_INDEPENDENT
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
  KERNEL_INDEPENDENT
  for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)
    y[i * y_step] = x[i * x_step];
}

static void add_scaled(real *y, real alpha, const real *x, size_t n) {
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++)
    y[i] += alpha * x[i];
}

static void scale(real *y, real alpha, size_t n) {
  for (size_t i = 0; i < n; i++)
    y[i] *= alpha;
}

static void clamp(real *y, real low, real high, size_t n) {
  for (size_t i = 0; i < n; i++)
    y[i] = clamped(y[i], low, high);
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
              [UNARY_ISNAN] = is_nan,
              [UNARY_SIN] = sine,
              [UNARY_COS] = cosine,
              [UNARY_SOFTPLUS] = softplus,
              [UNARY_SILU] = silu,
              [UNARY_GELU] = gelu,
              [UNARY_GELU_TANH] = gelu_tanh,
              [UNARY_ELU] = elu,
              [UNARY_LEAKY_RELU] = leaky_relu,
              [UNARY_HARD_SIGMOID] = hard_sigmoid,
              [UNARY_HARD_TANH] = hard_tanh},
    .unary_backward = {[UNARY_NEGATE] = negate_backward,
                       [UNARY_ABS] = absolute_backward,
                       [UNARY_EXP] = exponential_backward,
                       [UNARY_LOG] = logarithm_backward,
                       [UNARY_SQRT] = square_root_backward,
                       [UNARY_TANH] = hyperbolic_tangent_backward,
                       [UNARY_SIGMOID] = sigmoid_backward,
                       [UNARY_RELU] = relu_backward,
                       [UNARY_SIN] = sine_backward,
                       [UNARY_COS] = cosine_backward,
                       [UNARY_SOFTPLUS] = softplus_backward,
                       [UNARY_SILU] = silu_backward,
                       [UNARY_GELU] = gelu_backward,
                       [UNARY_GELU_TANH] = gelu_tanh_backward,
                       [UNARY_ELU] = elu_backward,
                       [UNARY_LEAKY_RELU] = leaky_relu_backward,
                       [UNARY_HARD_SIGMOID] = hard_sigmoid_backward,
                       [UNARY_HARD_TANH] = hard_tanh_backward},
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
