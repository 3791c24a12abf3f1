/*
** Depthwise convolution: sums of a few rows, each feature with its own weights,
** and the gradient of these weights. The operation knows which rows meet.
*/
#include <string.h>

#include "kernel.h"

/* Features that are summed in registers at a time: four vectors. */
#define WIDTH 16
#define BLOCK (4 * WIDTH)

typedef real wide __attribute__((vector_size(WIDTH * sizeof(real)),
                                 aligned(sizeof(real)), may_alias));

static inline const wide *at(const real *x, size_t i) {
  return (const wide *)(x + i);
}

/* Of BLOCK features from i on. */
static inline void combine_block(real *y, const real *start,
                                 const real *const *x, const real *weights,
                                 size_t ldw, int k, size_t i) {
  wide a = {0}, b = {0}, c = {0}, d = {0};
  if (start != NULL) {
    a = at(start, i)[0], b = at(start, i)[1];
    c = at(start, i)[2], d = at(start, i)[3];
  }
  for (int j = 0; j < k; j++) {
    if (x[j] == NULL)
      continue;
    const wide *w = at(weights + (size_t)j * ldw, i), *v = at(x[j], i);
    a += w[0] * v[0], b += w[1] * v[1];
    c += w[2] * v[2], d += w[3] * v[3];
  }
  wide *out = (wide *)(y + i);
  out[0] = a, out[1] = b, out[2] = c, out[3] = d;
}

static void combine(real *y, const real *start, const real *const *x,
                    const real *weights, size_t ldw, int k, size_t n) {
  size_t i = 0;
  for (; i + BLOCK <= n; i += BLOCK)
    combine_block(y, start, x, weights, ldw, k, i);
  for (; i < n; i++) {
    real sum = start != NULL ? start[i] : 0;
    for (int j = 0; j < k; j++)
      if (x[j] != NULL)
        sum += weights[(size_t)j * ldw + i] * x[j][i];
    y[i] = sum;
  }
}

static void products(real *dweights, size_t ldw, const real *x,
                     const real *const *dy, int k, size_t n) {
  for (int j = 0; j < k; j++) {
    if (dy[j] == NULL)
      continue;
    real *restrict sums = dweights + (size_t)j * ldw;
    const real *y = dy[j];
    for (size_t i = 0; i < n; i++)
      sums[i] += x[i] * y[i];
  }
}

const depthwise_kernels KERNEL_TABLE(depthwise) = {
    .combine = combine,
    .products = products,
};
