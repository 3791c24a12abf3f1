/*
** One time step of the cells that are linear in their state, unit by unit:
**
**   h(t) = a(t) h(t-1) + b(t)
**
** where a and b depend on x(t) alone, so that the products for all steps are
** one, and this is all that walks. The papers train such cells by a parallel
** prefix sum, in log space where a sum of products may overflow; walking in the
** order of time needs no more than one pass over memory, and as a is in [0, 1]
** nothing can overflow on the way.
**
** Going back, the gates' values are made again from the pre-activations: that
** takes less time than to write and read them.
*/
#include "elementary.h"

/* sigmoid(x) and 1 - sigmoid(x), each to its own last bits. */
typedef struct share {
  real taken, left;
} share;

static inline share share_of(real x) {
  const real e = exp_of(-fabs(x));
  const real more = 1 / (1 + e), less = e * more;
  return (share){x < 0 ? less : more, x < 0 ? more : less};
}

/* i / (f + i) and f / (f + i) for i = sigmoid(x), f = sigmoid(y). As i is
** 1 / (1 + exp(-x)), these are 1 + exp(-y) and 1 + exp(-x) over their sum; a
** common factor makes the largest term 1. */
static inline share share_between(real x, real y) {
  const real low = x < y ? x : y, least = low < 0 ? low : 0;
  const real one = exp_of(least);
  const real i = one + exp_of(least - y), f = one + exp_of(least - x);
  const real scale = 1 / (i + f);
  return (share){i * scale, f * scale};
}

/* The candidate, and its slope. g is Feng et al.'s, continuous and above 0. */
static inline real candidate(real n, int positive) {
  const real low = share_of(n).taken;
  return !positive ? n : n < 0 ? low : n + (real)0.5;
}

static inline real candidate_slope(real n, int positive) {
  const share s = share_of(n);
  return positive && n < 0 ? s.taken * s.left : 1;
}

/* --- minGRU ------------------------------------------------------------------ */

static inline void mingru_row(real *h, const real *z, const real *h_prev,
                              int positive, size_t count, size_t H) {
  const real *n = z + H;
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < count; k++) {
    const share s = share_of(z[k]);
    h[k] = s.left * h_prev[k] + s.taken * candidate(n[k], positive);
  }
}

static inline void mingru_row_backward(real *dh_prev, real *z, const real *dh,
                                       const real *h_prev, int positive,
                                       size_t count, size_t H) {
  real *n = z + H;
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < count; k++) {
    const share s = share_of(z[k]);
    const real fresh = candidate(n[k], positive);
    dh_prev[k] += dh[k] * s.left;
    z[k] = dh[k] * (fresh - h_prev[k]) * (s.taken * s.left);
    n[k] = dh[k] * s.taken * candidate_slope(n[k], positive);
  }
}

/* --- minLSTM ------------------------------------------------------------------- */

static inline void minlstm_row(real *h, const real *i, const real *h_prev,
                               int positive, size_t count, size_t H) {
  const real *f = i + H, *n = f + H;
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < count; k++) {
    const share s = share_between(i[k], f[k]);
    h[k] = s.left * h_prev[k] + s.taken * candidate(n[k], positive);
  }
}

/* The share left is sigmoid(log f - log i), and the slope of log sigmoid(x) is
** 1 - sigmoid(x). */
static inline void minlstm_row_backward(real *dh_prev, real *i, const real *dh,
                                        const real *h_prev, int positive,
                                        size_t count, size_t H) {
  real *f = i + H, *n = f + H;
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < count; k++) {
    const share s = share_between(i[k], f[k]);
    const real fresh = candidate(n[k], positive);
    const real both = dh[k] * (fresh - h_prev[k]) * (s.taken * s.left);
    dh_prev[k] += dh[k] * s.left;
    i[k] = both * share_of(i[k]).left;
    f[k] = -both * share_of(f[k]).left;
    n[k] = dh[k] * s.taken * candidate_slope(n[k], positive);
  }
}

/* --- Rows ------------------------------------------------------------------------ */

/* A step of G gates from a step of a row, once for each kind of candidate, which
** the compiler then knows. */
#define FORWARD(cell, G)                                                       \
  static void cell(real *h, const real *gates, const real *h_prev,             \
                   int positive, size_t rows, size_t n, size_t H) {            \
    for (size_t row = 0; row < rows; row++) {                                  \
      if (positive)                                                            \
        cell##_row(h, gates, h_prev, 1, n, H);                                 \
      else                                                                     \
        cell##_row(h, gates, h_prev, 0, n, H);                                 \
      h += H, h_prev += H, gates += (G)*H;                                     \
    }                                                                          \
  }

#define BACKWARD(cell, G)                                                      \
  static void cell##_backward(real *dh_prev, real *gates, const real *dh,      \
                              const real *h_prev, int positive, size_t rows,   \
                              size_t n, size_t H) {                            \
    for (size_t row = 0; row < rows; row++) {                                  \
      if (positive)                                                            \
        cell##_row_backward(dh_prev, gates, dh, h_prev, 1, n, H);              \
      else                                                                     \
        cell##_row_backward(dh_prev, gates, dh, h_prev, 0, n, H);              \
      dh_prev += H, dh += H, h_prev += H, gates += (G)*H;                      \
    }                                                                          \
  }

FORWARD(mingru, 2)
BACKWARD(mingru, 2)
FORWARD(minlstm, 3)
BACKWARD(minlstm, 3)

/* --- LRU ------------------------------------------------------------------------- */

static void lru(real *h, const real *b, const real *h_prev, const real *decay,
                size_t rows, size_t n, size_t H) {
  for (size_t row = 0; row < rows; row++, h += H, b += H, h_prev += H) {
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < n; k += 2) {
      const real re = h_prev[k], im = h_prev[k + 1];
      h[k] = decay[k] * re - decay[k + 1] * im + b[k];
      h[k + 1] = decay[k] * im + decay[k + 1] * re + b[k + 1];
    }
  }
}

static void lru_backward(real *dh_prev, real *db, const real *dh,
                         const real *decay, size_t rows, size_t n, size_t H) {
  for (size_t row = 0; row < rows; row++, dh_prev += H, db += H, dh += H) {
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < n; k += 2) {
      const real re = dh[k], im = dh[k + 1];
      dh_prev[k] += decay[k] * re + decay[k + 1] * im;
      dh_prev[k + 1] += decay[k] * im - decay[k + 1] * re;
      db[k] = re, db[k + 1] = im;
    }
  }
}

static void decay_backward(double *ddecay, const real *db, const real *h_prev,
                           size_t rows, size_t H) {
  for (size_t row = 0; row < rows; row++, db += H, h_prev += H) {
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < H; k += 2) {
      const real re = h_prev[k], im = h_prev[k + 1];
      ddecay[k] += (double)(db[k] * re + db[k + 1] * im);
      ddecay[k + 1] += (double)(db[k + 1] * re - db[k] * im);
    }
  }
}

const scan_kernels KERNEL_TABLE(scan) = {
    .mingru = mingru,
    .mingru_backward = mingru_backward,
    .minlstm = minlstm,
    .minlstm_backward = minlstm_backward,
    .lru = lru,
    .lru_backward = lru_backward,
    .decay_backward = decay_backward,
};
