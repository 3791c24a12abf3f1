/*
** Depthwise convolution: sums of a few rows, each feature with its own weights,
** and their gradients. The operation knows which rows meet.
*/
#include "elementary.h"

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

/* a (BLOCK) += b c */
static inline void add_product(real *a, const real *b, const wide *c) {
  wide *out = (wide *)a;
  const wide *w = at(b, 0);
  out[0] += w[0] * c[0], out[1] += w[1] * c[1];
  out[2] += w[2] * c[2], out[3] += w[3] * c[3];
}

static void add_products(real *restrict a, const real *b, const real *c,
                         size_t n) {
  for (size_t i = 0; i < n; i++)
    a[i] += b[i] * c[i];
}

static void spread(real *const *dx, real *dweights, const real *dz,
                   const real *const *x, const real *weights, size_t ldw, int k,
                   size_t n) {
  size_t i = 0;
  for (; i + BLOCK <= n; i += BLOCK) {
    const wide d[] = {at(dz, i)[0], at(dz, i)[1], at(dz, i)[2], at(dz, i)[3]};
    for (int j = 0; j < k; j++) {
      if (dx[j] != NULL)
        add_product(dx[j] + i, weights + (size_t)j * ldw + i, d);
      if (x[j] != NULL && dweights != NULL)
        add_product(dweights + (size_t)j * ldw + i, x[j] + i, d);
    }
  }
  for (int j = 0; j < k; j++) {
    if (dx[j] != NULL)
      add_products(dx[j] + i, weights + (size_t)j * ldw + i, dz + i, n - i);
    if (x[j] != NULL && dweights != NULL)
      add_products(dweights + (size_t)j * ldw + i, x[j] + i, dz + i, n - i);
  }
}

static void silu_backward(real *restrict dz, const real *dy, const real *z,
                          size_t n) {
  for (size_t i = 0; i < n; i++) {
    const real s = sigmoid_of(z[i]);
    dz[i] = dy[i] * s * (1 + z[i] * (1 - s));
  }
}

const depthwise_kernels KERNEL_TABLE(depthwise) = {
    .combine = combine,
    .spread = spread,
    .silu_backward = silu_backward,
};
