/*
** One time step of the update gate RNN (Collins, Sohl-Dickstein and Sussillo 2016)
** from its pre-activations.
**
**   z = sigmoid(...),  n = tanh(...),  h = z h_prev + (1 - z) n
**
** On the way back the gradients of the pre-activations take the place of the
** activations in gates.
*/
#include "elementary.h"

/* The two gates of a row of (rows, 2H). */
#define GATES(row) *z = (row), *n = z + H

static void step_row(real *h, real *gates, const real *h_prev, size_t H) {
  real GATES(gates);
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < H; k++) {
    z[k] = sigmoid_of(z[k]);
    n[k] = tanh_of(n[k]);
    h[k] = n[k] + z[k] * (h_prev[k] - n[k]);
  }
}

static void step(real *h, real *gates, const real *h_prev, size_t rows,
                 size_t H) {
  for (size_t row = 0; row < rows; row++) {
    step_row(h, gates, h_prev, H);
    h += H, h_prev += H, gates += 2 * H;
  }
}

static void step_row_backward(real *dh_prev, real *gates, const real *dh,
                              const real *h_prev, size_t H) {
  real GATES(gates);
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < H; k++) {
    const real da_n = dh[k] * (1 - z[k]) * (1 - n[k] * n[k]);
    const real da_z = dh[k] * (h_prev[k] - n[k]) * z[k] * (1 - z[k]);
    dh_prev[k] += dh[k] * z[k];
    z[k] = da_z;
    n[k] = da_n;
  }
}

static void step_backward(real *dh_prev, real *gates, const real *dh,
                          const real *h_prev, size_t rows, size_t H) {
  for (size_t row = 0; row < rows; row++) {
    step_row_backward(dh_prev, gates, dh, h_prev, H);
    dh_prev += H, dh += H, h_prev += H, gates += 2 * H;
  }
}

const ugrnn_kernels KERNEL_TABLE(ugrnn) = {
    .step = step,
    .step_backward = step_backward,
};
