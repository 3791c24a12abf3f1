/*
** Losses of two arrays, element by element and weighted, and their slopes in
** both. A weight of 0 hides whatever x and t are there, NaN included.
**
** As in pointwise.c, the kernels differ in one expression: f, or its slope, in
** the elements x and t, their difference e, and delta.
*/
#include "elementary.h"

#define LOSS(name, f)                                                          \
  static void name(real *y, const real *xs, const real *ts, const real *w,     \
                   real delta, size_t n) {                                     \
    (void)delta; /* one of them reads it */                                    \
    KERNEL_INDEPENDENT                                                         \
    for (size_t i = 0; i < n; i++) {                                           \
      const real x = xs[i], t = ts[i], e = x - t;                              \
      (void)e;                                                                 \
      y[i] = only_if(w[i] != 0, w[i] * (f));                                   \
    }                                                                          \
  }

#define SLOPE(name, f)                                                         \
  static void name(real *d, real dy, const real *xs, const real *ts,           \
                   const real *w, real delta, size_t n) {                      \
    (void)delta;                                                               \
    KERNEL_INDEPENDENT                                                         \
    for (size_t i = 0; i < n; i++) {                                           \
      const real x = xs[i], t = ts[i], e = x - t;                              \
      (void)e, (void)x, (void)t;                                               \
      d[i] += only_if(w[i] != 0, dy * w[i] * (f));                             \
    }                                                                          \
  }

/* -1, 0 or 1 */
static inline real sign_of(real e) {
  return (e > 0 ? (real)1 : 0) - (e < 0 ? (real)1 : 0);
}

/* e in -limit..limit; NaN stays NaN */
static inline real limited(real e, real limit) {
  const real raised = e < -limit ? -limit : e;
  return raised > limit ? limit : raised;
}

static inline real huber_of(real e, real delta) {
  const real size = fabs(e);
  return size <= delta ? e * e / 2 : delta * (size - delta / 2);
}

/* clang-format off */
LOSS(mse, e * e)
SLOPE(mse_of_x, 2 * e)
SLOPE(mse_of_t, -2 * e)

LOSS(l1, fabs(e))
SLOPE(l1_of_x, sign_of(e))
SLOPE(l1_of_t, -sign_of(e))

LOSS(huber, huber_of(e, delta))
SLOPE(huber_of_x, limited(e, delta))
SLOPE(huber_of_t, -limited(e, delta))

LOSS(bce, relu_of(x) - x * t + log1p_of(exp_of(-fabs(x))))
SLOPE(bce_of_x, sigmoid_of(x) - t)
SLOPE(bce_of_t, -x)

LOSS(kl, t == 0 ? 0 : t * (log_of(t) - x))
SLOPE(kl_of_x, -t)
SLOPE(kl_of_t, t == 0 ? 0 : log_of(t) + 1 - x)
/* clang-format on */

const loss_kernels KERNEL_TABLE(loss) = {
    .value = {[LOSS_MSE] = mse,
              [LOSS_L1] = l1,
              [LOSS_HUBER] = huber,
              [LOSS_BCE] = bce,
              [LOSS_KL] = kl},
    .backward = {{[LOSS_MSE] = mse_of_x,
                  [LOSS_L1] = l1_of_x,
                  [LOSS_HUBER] = huber_of_x,
                  [LOSS_BCE] = bce_of_x,
                  [LOSS_KL] = kl_of_x},
                 {[LOSS_MSE] = mse_of_t,
                  [LOSS_L1] = l1_of_t,
                  [LOSS_HUBER] = huber_of_t,
                  [LOSS_BCE] = bce_of_t,
                  [LOSS_KL] = kl_of_t}},
};
