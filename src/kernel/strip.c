/*
** What the chains of a compiled loop have beside the functions and operators of
** pointwise.c: several of them in one pass, and strips of rows that are copied so
** that their elements are neighbours.
*/
#include <string.h>

#include "elementary.h"

/* As in pointwise.c: the steps of the common case are constants. */
#define TERNARY(name, value)                                                   \
  static inline __attribute__((always_inline)) void name##_by_steps(           \
      real *y, const real *as, ptrdiff_t a_step, const real *bs,               \
      ptrdiff_t b_step, const real *cs, ptrdiff_t c_step, size_t n) {          \
    KERNEL_INDEPENDENT                                                         \
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {                             \
      const real a = as[i * a_step];                                           \
      const real b = bs[i * b_step];                                           \
      const real c = cs[i * c_step];                                           \
      y[i] = value;                                                            \
    }                                                                          \
  }                                                                            \
  static void name(real *y, const real *a, ptrdiff_t a_step, const real *b,    \
                   ptrdiff_t b_step, const real *c, ptrdiff_t c_step,          \
                   size_t n) {                                                 \
    if (n == 0)                                                                \
      return;                                                                  \
    const real c_first = *c;                                                   \
    if (a_step == 1 && b_step == 1 && c_step == 1)                             \
      name##_by_steps(y, a, 1, b, 1, c, 1, n);                                 \
    else if (a_step == 1 && b_step == 1 && c_step == 0)                        \
      name##_by_steps(y, a, 1, b, 1, &c_first, 0, n);                          \
    else                                                                       \
      name##_by_steps(y, a, a_step, b, b_step, c, c_step, n);                  \
  }

/* clang-format off */
TERNARY(multiply_add, a * b + c)
TERNARY(subtract_product, c - a * b)
TERNARY(multiply_sigmoid_back, a * b * (c * (1 - c)))
TERNARY(multiply_tanh_back, a * b * (1 - c * c))
TERNARY(blend, only_if(c != 0, c * a) + (1 - c) * b)
/* clang-format on */

static void sigmoid_back(real *y, const real *dy, const real *s, size_t n) {
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++)
    y[i] = dy[i] * (s[i] * (1 - s[i]));
}

static void tanh_back(real *y, const real *dy, const real *t, size_t n) {
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++)
    y[i] = dy[i] * (1 - t[i] * t[i]);
}

static void masked(real *y, const real *x, const real *m, ptrdiff_t m_step,
                   size_t n) {
  KERNEL_INDEPENDENT
  for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {
    const real factor = m[i * m_step];
    y[i] = only_if(factor != 0, factor * x[i]);
  }
}

/* Rows of a width that the compiler knows are a few vectors each. */
static inline __attribute__((always_inline)) void
rows_of(real *y, ptrdiff_t ldy, const real *x, ptrdiff_t ldx, size_t rows,
        const size_t n) {
  for (size_t row = 0; row < rows; row++, y += ldy, x += ldx)
    memcpy(y, x, n * sizeof *y);
}

static void copy_rows(real *y, ptrdiff_t ldy, const real *x, ptrdiff_t ldx,
                      size_t rows, size_t n) {
  if (n == 8)
    rows_of(y, ldy, x, ldx, rows, 8);
  else if (n == 16)
    rows_of(y, ldy, x, ldx, rows, 16);
  else if (n == 32)
    rows_of(y, ldy, x, ldx, rows, 32);
  else
    rows_of(y, ldy, x, ldx, rows, n);
}

static void spread_rows(real *y, ptrdiff_t ldy, const real *x, ptrdiff_t ldx,
                        size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, y += ldy, x += ldx) {
    const real value = *x;
    for (size_t i = 0; i < n; i++)
      y[i] = value;
  }
}

static void add_rows(double *sums, const real *x, ptrdiff_t ldx, size_t rows,
                     size_t n) {
  for (size_t row = 0; row < rows; row++, x += ldx)
    for (size_t i = 0; i < n; i++)
      sums[i] += (double)x[i];
}

const strip_kernels KERNEL_TABLE(strip) = {
    .multiply_add = multiply_add,
    .subtract_product = subtract_product,
    .multiply_sigmoid_back = multiply_sigmoid_back,
    .multiply_tanh_back = multiply_tanh_back,
    .blend = blend,
    .sigmoid_back = sigmoid_back,
    .tanh_back = tanh_back,
    .masked = masked,
    .copy_rows = copy_rows,
    .spread_rows = spread_rows,
    .add_rows = add_rows,
};
