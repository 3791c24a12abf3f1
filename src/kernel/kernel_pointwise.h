/*
** A part of kernel.h: functions of each element.
*/
#ifndef KERNEL_POINTWISE_H
#define KERNEL_POINTWISE_H

/* --- Element by element (pointwise.c) ----------------------------------- */

/*
** The functions, a row each: ROW(name, reads, cost).
**
**   reads  X or Y: which of x and y = f(x) the backward pass reads (negate reads
**          neither; isfinite and isnan give 1 or 0 and have none)
**   cost   CHEAP if computing y again takes no longer than reading it from
**          memory, else COSTLY
*/
#define UNARY_TABLE(ROW)                                                       \
  ROW(NEGATE, Y, CHEAP)                                                        \
  ROW(ABS, X, CHEAP)                                                           \
  ROW(EXP, Y, COSTLY)                                                          \
  ROW(LOG, X, COSTLY)                                                          \
  ROW(SQRT, Y, COSTLY)                                                         \
  ROW(TANH, Y, COSTLY)                                                         \
  ROW(SIGMOID, Y, COSTLY)                                                      \
  ROW(RELU, Y, CHEAP)                                                          \
  ROW(ISFINITE, Y, CHEAP)                                                      \
  ROW(ISNAN, Y, CHEAP)                                                         \
  ROW(SIN, X, COSTLY)                                                          \
  ROW(COS, X, COSTLY)                                                          \
  ROW(SOFTPLUS, X, COSTLY)                                                     \
  ROW(SILU, X, COSTLY)                                                         \
  ROW(GELU, X, COSTLY)                                                         \
  ROW(GELU_TANH, X, COSTLY)                                                    \
  ROW(ELU, Y, COSTLY)                                                          \
  ROW(LEAKY_RELU, Y, CHEAP)                                                    \
  ROW(HARD_SIGMOID, X, CHEAP)                                                  \
  ROW(HARD_TANH, X, CHEAP)

#define UNARY_NAME(name, reads, cost) UNARY_##name,
typedef enum kernel_unary { UNARY_TABLE(UNARY_NAME) UNARY_COUNT } kernel_unary;
#undef UNARY_NAME

/* Bits of the functions that have a property. */
#define UNARY_READS_X(name) 1u << UNARY_##name
#define UNARY_READS_Y(name) 0u
#define UNARY_READS_BIT(name, reads, cost) | UNARY_READS_##reads(name)
#define UNARY_BACKWARD_READS_X(f)                                              \
  ((int)((0u UNARY_TABLE(UNARY_READS_BIT)) >> (unsigned)(f)&1u))

#define UNARY_CHEAP(name) 1u << UNARY_##name
#define UNARY_COSTLY(name) 0u
#define UNARY_CHEAP_BIT(name, reads, cost) | UNARY_##cost(name)
#define UNARY_IS_CHEAP(f)                                                      \
  ((int)((0u UNARY_TABLE(UNARY_CHEAP_BIT)) >> (unsigned)(f)&1u))

typedef enum kernel_binary {
  BINARY_ADD,
  BINARY_SUBTRACT,
  BINARY_MULTIPLY,
  BINARY_DIVIDE,
  BINARY_POWER,
  BINARY_MAXIMUM,  // of these two, NaN if either is NaN
  BINARY_MINIMUM,
  BINARY_LESS,  // comparisons give 1 or 0
  BINARY_LESS_EQUAL,
  BINARY_EQUAL,
  BINARY_COUNT
} kernel_binary;

typedef struct pointwise_kernels {
  /* y[i] = f(x[i]) for i in 0..n-1 */
  void (*unary[UNARY_COUNT])(real *y, const real *x, size_t n);

  /* dx[i] += dy[i] * f'(x[i]); y = f(x). Each function reads x or y, not
  ** both, and the other may be null: see UNARY_BACKWARD_READS_X. Null
  ** where there is no gradient. */
  void (*unary_backward[UNARY_COUNT])(real *dx, const real *dy, const real *x,
                                      const real *y, size_t n);

  /* y[i] = f(a[i * a_step], b[i * b_step]); a step of 0 repeats a scalar. */
  void (*binary[BINARY_COUNT])(real *y, const real *a, ptrdiff_t a_step,
                               const real *b, ptrdiff_t b_step, size_t n);

  /* y[i] = c[i * c_step] != 0 ? a[i * a_step] : b[i * b_step] */
  void (*choose)(real *y, const real *c, ptrdiff_t c_step, const real *a,
                 ptrdiff_t a_step, const real *b, ptrdiff_t b_step, size_t n);

  void (*fill)(real *y, real value, size_t n);

  /* y[i * y_step] = x[i * x_step]; no overlap */
  void (*copy)(real *y, ptrdiff_t y_step, const real *x, ptrdiff_t x_step,
               size_t n);

  /* y[i] += alpha * x[i] */
  void (*add_scaled)(real *y, real alpha, const real *x, size_t n);

  /* y[i] *= alpha */
  void (*scale)(real *y, real alpha, size_t n);

  /* y[i] = min(max(y[i], low), high); NaN stays NaN */
  void (*clamp)(real *y, real low, real high, size_t n);
} pointwise_kernels;

#endif
