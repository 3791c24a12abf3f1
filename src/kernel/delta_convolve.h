/*
** The convolutions of q, k and v in a chunk of the delta rule. What a head reads of a
** step is a few short ranges of memory, so they are gathered anyhow; here they are
** convolved on the way, and the way back adds to the gradients of its rows but once.
**
** Columns are independent. A few of them walk the steps of a chunk with their taps in
** registers:
**
**   z(s)  = the sum over j of tap_j x(s - (k - 1 - j)),   y = f(z)
**   dx(s) = the sum over j of tap_j dz(s + (k - 1 - j)),  dtap_j += dz(s) x(s - (k - 1 - j))
**
** dz of the first steps of a chunk is kept for the chunk before it, in 'carry'.
*/
#ifndef DELTA_CONVOLVE_H
#define DELTA_CONVOLVE_H

#include "delta_channels.h"
#include "elementary.h"

/* Columns of a walk. Rows of x begin with the taps - 1 steps before the chunk. */
typedef struct delta_filter {
  int taps, steps;
  ptrdiff_t P;
  const real *weights;  // (taps, P)
  const real *x;        // (taps - 1 + steps, P)
} delta_filter;

/* z of one vector of columns; 'taps' is a constant where it is usual. */
static inline __attribute__((always_inline)) void
delta_filter_vector(const int taps, const delta_filter f, ptrdiff_t column,
                    real *z, ptrdiff_t step) {
  delta_vector weight[KERNEL_DELTA_TAPS], x[KERNEL_DELTA_TAPS];
  for (int j = 0; j < taps; j++)
    weight[j] = *delta_at(f.weights, j * f.P + column);
  for (int j = 0; j < taps - 1; j++)
    x[j] = *delta_at(f.x, j * f.P + column);
  for (int s = 0; s < f.steps; s++) {
    delta_vector sum = {0};
    x[taps - 1] = *delta_at(f.x, (s + taps - 1) * f.P + column);
    for (int j = 0; j < taps; j++)
      sum += weight[j] * x[j];
    for (int j = 0; j < taps - 1; j++)
      x[j] = x[j + 1];
    *delta_at(z, s * step) = sum;
  }
}

/* z (steps, width), its rows a step apart, of the columns from one on. */
static void delta_filter_forward(const delta_filter *f, ptrdiff_t column,
                                 ptrdiff_t width, real *z, ptrdiff_t step) {
  for (ptrdiff_t i = 0; i < width; i += DELTA_LANES)
    if (f->taps == 4)
      delta_filter_vector(4, *f, column + i, z + i, step);
    else
      delta_filter_vector(f->taps, *f, column + i, z + i, step);
}

/* y (steps, width) = silu(y); slope (steps, P), which may be null, its derivative. */
static void delta_silu(real *y, ptrdiff_t step, real *slope, ptrdiff_t P,
                       int steps, ptrdiff_t width) {
  for (int s = 0; s < steps; s++, y += step) {
    if (slope == NULL) {
      KERNEL_INDEPENDENT
      for (ptrdiff_t p = 0; p < width; p++)
        y[p] *= sigmoid_of(y[p]);
      continue;
    }
    KERNEL_INDEPENDENT
    for (ptrdiff_t p = 0; p < width; p++) {
      const real z = y[p], share = sigmoid_of(z);
      y[p] = z * share;
      slope[p] = share * (1 + z * (1 - share));
    }
    slope += P;
  }
}

/* dz (steps + taps - 1, P), of which the last rows are those after the chunk, becomes
** dx, and 'sums', which may be null, gains the gradient of the taps. */
static inline __attribute__((always_inline)) void
delta_filter_vector_back(const int taps, const delta_filter f, real *dz,
                         double *sums, ptrdiff_t column) {
  delta_vector weight[KERNEL_DELTA_TAPS], d[KERNEL_DELTA_TAPS];
  delta_vector sum[KERNEL_DELTA_TAPS] = {0};
  for (int j = 0; j < taps; j++)
    weight[j] = *delta_at(f.weights, j * f.P + column);
  for (int j = 0; j < taps - 1; j++)
    d[j] = *delta_at(dz, (f.steps + j) * f.P + column);
  for (int s = f.steps - 1; s >= 0; s--) {
    for (int j = taps - 1; j > 0; j--)
      d[j] = d[j - 1];
    d[0] = *delta_at(dz, s * f.P + column);
    delta_vector dx = {0};
    for (int j = 0; j < taps; j++) {
      dx += weight[taps - 1 - j] * d[j];
      sum[j] += d[0] * *delta_at(f.x, (s + j) * f.P + column);
    }
    *delta_at(dz, s * f.P + column) = dx;
  }
  for (int j = 0; j < taps && sums != NULL; j++)
    for (int i = 0; i < DELTA_LANES; i++)
      sums[j * f.P + column + i] += (double)sum[j][i];
}

static void delta_filter_back(const delta_filter *f, real *dz, double *sums) {
  for (ptrdiff_t column = 0; column < f->P; column += DELTA_LANES)
    if (f->taps == 4)
      delta_filter_vector_back(4, *f, dz, sums, column);
    else
      delta_filter_vector_back(f->taps, *f, dz, sums, column);
}

#endif
