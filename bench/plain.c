/*
** Cells by hand: every size is a constant, the gates of a step are vectors that
** stay in registers while h goes by, and the weights lie as they are read.
*/
#include "plain.h"

#include <stdlib.h>

#include "elementary.h"

#define LANES 16
#define FEW 8
#define MOST 128  // units
#define ALIGNED __attribute__((aligned(64)))

typedef real lanes __attribute__((vector_size(LANES * sizeof(real)),
                                  aligned(sizeof(real)), may_alias));
typedef real few __attribute__((vector_size(FEW * sizeof(real)),
                                aligned(sizeof(real)), may_alias));

struct plain {
  ALIGNED real w[4 * MOST], bias[4 * MOST];  // of x; b + b' but for a GRU's n
  ALIGNED real bias_n[MOST];                 // b' of n
  ALIGNED real u[MOST * 4 * MOST];           // (H, gates H)
  ALIGNED real h[MOST], c[MOST], head[MOST];
  real head_bias;
  real (*step)(plain *p, real x);
};

/* Vectors of sums that are under way at a time. */
#define TOGETHER 16

/* What x and h add to so many columns of u (H, ld), of which the last FEW may be
** a vector of their own: a (LANES together + FEW rest). */
static inline __attribute__((always_inline)) void
sum_columns(real *a, const real *start, const real *w, real x, const real *u,
            const real *h, const int together, const int rest, const int ld,
            const int H) {
  const lanes *start_all = (const void *)start, *w_all = (const void *)w;
  lanes sum[TOGETHER];
  few last = {0};
  for (int v = 0; v < together; v++)
    sum[v] = start_all[v] + x * w_all[v];
  if (rest)
    last = *(const few *)(start_all + together) +
           x * *(const few *)(w_all + together);
  for (int k = 0; k < H; k++, u += ld) {
    const lanes *row = (const void *)u;
    for (int v = 0; v < together; v++)
      sum[v] += h[k] * row[v];
    if (rest)
      last += h[k] * *(const few *)(row + together);
  }
  memcpy(a, sum, (size_t)together * sizeof *sum);
  if (rest)
    memcpy(a + together * LANES, &last, sizeof last);
}

/* a (n) = start + x w + u^T h */
static inline __attribute__((always_inline)) void
sum_up(real *a, const real *start, const real *w, real x, const real *u,
       const real *h, const int n, const int ld, const int H) {
  int at = 0;
  for (; n - at > TOGETHER * LANES; at += TOGETHER * LANES)
    sum_columns(a + at, start + at, w + at, x, u + at, h, TOGETHER, 0, ld, H);
  sum_columns(a + at, start + at, w + at, x, u + at, h, (n - at) / LANES,
              n % LANES, ld, H);
}

static inline __attribute__((always_inline)) real head_of(const plain *p,
                                                          const int H) {
  lanes sum = {0};
  for (int k = 0; k < H; k += LANES)  // there are zeros behind
    sum += *(const lanes *)(p->h + k) * *(const lanes *)(p->head + k);
  real y = p->head_bias;
  for (int lane = 0; lane < LANES; lane++)
    y += sum[lane];
  return y;
}

static inline __attribute__((always_inline)) real lstm(plain *p, real x,
                                                       const int H) {
  ALIGNED real a[4 * MOST];
  sum_up(a, p->bias, p->w, x, p->u, p->h, 4 * H, 4 * H, H);
  KERNEL_INDEPENDENT
  for (int k = 0; k < H; k++) {
    p->c[k] = sigmoid_of(a[H + k]) * p->c[k] +
              sigmoid_of(a[k]) * tanh_of(a[2 * H + k]);
    p->h[k] = sigmoid_of(a[3 * H + k]) * tanh_of(p->c[k]);
  }
  return head_of(p, H);
}

static inline __attribute__((always_inline)) real gru(plain *p, real x,
                                                      const int H) {
  ALIGNED real a[3 * MOST], n[MOST];
  sum_up(a, p->bias, p->w, x, p->u, p->h, 2 * H, 3 * H, H);
  sum_up(n, p->bias_n, p->w, 0, p->u + 2 * H, p->h, H, 3 * H, H);
  KERNEL_INDEPENDENT
  for (int k = 0; k < H; k++) {
    const real wx = p->bias[2 * H + k] + x * p->w[2 * H + k];
    const real candidate = tanh_of(wx + sigmoid_of(a[k]) * n[k]);
    p->h[k] = candidate + sigmoid_of(a[H + k]) * (p->h[k] - candidate);
  }
  return head_of(p, H);
}

/* The sizes there are. */
#define EACH_SIZE(DO) DO(8) DO(16) DO(24) DO(32) DO(64) DO(128)

#define DEFINE(H)                                                              \
  static real lstm_##H(plain *p, real x) {                                     \
    return lstm(p, x, H);                                                      \
  }                                                                            \
  static real gru_##H(plain *p, real x) {                                      \
    return gru(p, x, H);                                                       \
  }

EACH_SIZE(DEFINE)

static real (*step_of(int gates, int H))(plain *p, real x) {
  switch (H) {
#define CASE(H)                                                                \
  case H:                                                                      \
    return gates == 4 ? lstm_##H : gru_##H;
    EACH_SIZE(CASE)
    default:
      return NULL;
  }
}

plain *plain_new(int gates, int H, const real *weight_ih, const real *weight_hh,
                 const real *bias_ih, const real *bias_hh, const real *head,
                 real head_bias) {
  plain *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
  const int n = gates * H;
  if (p == NULL || step_of(gates, H) == NULL) {
    free(p);
    return NULL;
  }
  memset(p, 0, sizeof *p);
  p->step = step_of(gates, H);
  p->head_bias = head_bias;
  memcpy(p->head, head, (size_t)H * sizeof *head);
  for (int i = 0; i < n; i++) {
    const int apart = gates == 3 && i >= 2 * H;
    p->w[i] = weight_ih[i];
    p->bias[i] = bias_ih[i] + (apart ? 0 : bias_hh[i]);
    if (apart)
      p->bias_n[i - 2 * H] = bias_hh[i];
    for (int k = 0; k < H; k++)
      p->u[k * n + i] = weight_hh[i * H + k];
  }
  return p;
}

real plain_step(plain *p, real x) {
  return p->step(p, x);
}
