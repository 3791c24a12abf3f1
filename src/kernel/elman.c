/*
** One time step of Elman's cell (Elman 1990), h = f(x W + h U + b), from the
** pre-activations on; the products are the caller's. f is tanh, or the ramp
** max(a, 0) (Le, Jaitly and Hinton 2015).
**
**   a, h       (n)  n = B H: the pre-activations and the state at time t
**   dh         (n)  gradient of h(t), from outputs and from step t + 1
**   da         (n)  out: gradient of a(t)
*/
#include "elementary.h"

static void tanh_step(real *h, const real *a, size_t n) {
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++)
    h[i] = tanh_of(a[i]);
}

static void tanh_step_backward(real *da, const real *dh, const real *h,
                               size_t n) {
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++)
    da[i] = dh[i] * (1 - h[i] * h[i]);
}

static void relu_step(real *h, const real *a, size_t n) {
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++)
    h[i] = relu_of(a[i]);
}

static void relu_step_backward(real *da, const real *dh, const real *h,
                               size_t n) {
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++)
    da[i] = only_if(h[i] > 0, dh[i]);
}

const elman_kernels KERNEL_TABLE(elman) = {
    .tanh_step = tanh_step,
    .relu_step = relu_step,
    .tanh_step_backward = tanh_step_backward,
    .relu_step_backward = relu_step_backward,
};
