/*
** One time step of the GRU, from its projections on, in both conventions: the
** reset gate applied after the product with U_n, as PyTorch and cuDNN have it,
** or before it, as Cho et al. 2014 do.
**
**   r, z = sigmoid(...),  n = tanh(...),  h = (1 - z) n + z h_prev
**
** Going back, the gradients of the pre-activations take the place of the
** activations in gates. Those of the projection of h are the same but for n, so
** of that projection only n's part need be kept from step to step.
*/
#include "elementary.h"

/* The three gates of a row of (rows, 3H). */
#define GATES(row) *r = (row), *z = r + H, *n = z + H

static void step_row(real *h, real *gates, real *u_n, const real *u,
                     const real *h_prev, size_t H) {
  real GATES(gates);
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < H; k++) {
    r[k] = sigmoid_of(r[k] + u[k]);
    z[k] = sigmoid_of(z[k] + u[H + k]);
    u_n[k] = u[2 * H + k];
    n[k] = tanh_of(n[k] + r[k] * u_n[k]);
    h[k] = n[k] + z[k] * (h_prev[k] - n[k]);
  }
}

static void step(real *h, real *gates, real *u_n, const real *u,
                 const real *h_prev, size_t rows, size_t H) {
  for (size_t row = 0; row < rows; row++) {
    step_row(h, gates, u_n, u, h_prev, H);
    h += H, h_prev += H, gates += 3 * H, u += 3 * H, u_n += H;
  }
}

static void step_row_backward(real *dh_prev, real *gates, real *u_n, real *du,
                              const real *dh, const real *h_prev, size_t H) {
  real GATES(gates), *du_z = du + H, *du_n = du_z + H;
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < H; k++) {
    const real da_n = dh[k] * (1 - z[k]) * (1 - n[k] * n[k]);
    const real da_z = dh[k] * (h_prev[k] - n[k]) * z[k] * (1 - z[k]);
    const real da_r = da_n * u_n[k] * r[k] * (1 - r[k]);
    dh_prev[k] += dh[k] * z[k];
    du_n[k] = u_n[k] = da_n * r[k];
    du[k] = r[k] = da_r;
    du_z[k] = z[k] = da_z;
    n[k] = da_n;
  }
}

static void step_backward(real *dh_prev, real *gates, real *u_n, real *du,
                          const real *dh, const real *h_prev, size_t rows,
                          size_t H) {
  for (size_t row = 0; row < rows; row++) {
    fetch_behind(h_prev, H);
    fetch_behind(u_n, H);
    step_row_backward(dh_prev, gates, u_n, du, dh, h_prev, H);
    dh_prev += H, dh += H, h_prev += H, gates += 3 * H, du += 3 * H, u_n += H;
  }
}

/* --- The reset before the product ------------------------------------------ */

static void reset(real *read, real *gates, const real *h_prev, size_t rows,
                  size_t H) {
  for (size_t row = 0; row < rows; row++) {
    real *r = gates, *z = gates + H;
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < H; k++) {
      r[k] = sigmoid_of(r[k]);
      z[k] = sigmoid_of(z[k]);
      read[k] = r[k] * h_prev[k];
    }
    read += H, h_prev += H, gates += 3 * H;
  }
}

static void finish(real *h, real *gates, const real *h_prev, size_t rows,
                   size_t H) {
  for (size_t row = 0; row < rows; row++) {
    real *z = gates + H, *n = z + H;
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < H; k++) {
      n[k] = tanh_of(n[k]);
      h[k] = n[k] + z[k] * (h_prev[k] - n[k]);
    }
    h += H, h_prev += H, gates += 3 * H;
  }
}

static void finish_backward(real *dh_prev, real *gates, const real *dh,
                            const real *h_prev, size_t rows, size_t H) {
  for (size_t row = 0; row < rows; row++) {
    real *z = gates + H, *n = z + H;
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < H; k++) {
      const real da_n = dh[k] * (1 - z[k]) * (1 - n[k] * n[k]);
      const real da_z = dh[k] * (h_prev[k] - n[k]) * z[k] * (1 - z[k]);
      dh_prev[k] += dh[k] * z[k];
      n[k] = da_n;
      z[k] = da_z;
    }
    dh_prev += H, dh += H, h_prev += H, gates += 3 * H;
  }
}

static void reset_backward(real *dh_prev, real *gates, const real *dread,
                           const real *h_prev, size_t rows, size_t H) {
  for (size_t row = 0; row < rows; row++) {
    real *r = gates;
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < H; k++) {
      dh_prev[k] += dread[k] * r[k];
      r[k] = dread[k] * h_prev[k] * r[k] * (1 - r[k]);
    }
    dh_prev += H, dread += H, h_prev += H, gates += 3 * H;
  }
}

const gru_kernels KERNEL_TABLE(gru) = {
    .step = step,
    .step_backward = step_backward,
    .reset = reset,
    .finish = finish,
    .finish_backward = finish_backward,
    .reset_backward = reset_backward,
};
