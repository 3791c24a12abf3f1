/*
** What steps of all cells share: rows that take part or not, units that are
** held back.
*/
#include <string.h>

#include "elementary.h"

static void scale_rows(real *y, const real *x, const real *factor, size_t rows,
                       size_t n) {
  for (size_t row = 0; row < rows; row++, y += n, x += n) {
    if (factor[row] == 0) {
      memset(y, 0, n * sizeof(real));
      continue;
    }
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < n; k++)
      y[k] = factor[row] * x[k];
  }
}

static void add_scaled_rows(real *y, const real *x, const real *factor,
                            size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, y += n, x += n) {
    if (factor[row] == 0)
      continue;
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < n; k++)
      y[k] += factor[row] * x[k];
  }
}

/* A row whose w is one number, or one for each unit. What is masked keeps its
** state even if the new one is not finite. */
static void blend(real *h, const real *h_prev, const real *mask,
                  const real *zone, size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, h += n, h_prev += n) {
    const real taken = mask != NULL ? mask[row] : 1;
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < n; k++) {
      const real w = taken * (zone != NULL ? zone[row * n + k] : 1);
      h[k] = only_if(w != 0, w * h[k]) + (1 - w) * h_prev[k];
    }
  }
}

static void blend_backward(real *dh, real *dh_prev, const real *mask,
                           const real *zone, size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, dh += n, dh_prev += n) {
    const real taken = mask != NULL ? mask[row] : 1;
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < n; k++) {
      const real w = taken * (zone != NULL ? zone[row * n + k] : 1);
      dh_prev[k] += (1 - w) * dh[k];
      dh[k] *= w;
    }
  }
}

const blend_kernels KERNEL_TABLE(blend) = {
    .scale_rows = scale_rows,
    .add_scaled_rows = add_scaled_rows,
    .blend = blend,
    .blend_backward = blend_backward,
};
