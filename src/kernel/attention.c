/*
** One step of attention over a window, whose keys and values lie in W slots, in
** any order.
**
** Keys lie in blocks of SLOTS, a vector of them for each feature, so that the
** scores of a block are its sums; values lie slot by slot, as sums over slots
** are what is made of them.
*/
#include "elementary.h"

#define SLOTS ATTENTION_SLOTS

typedef real slots __attribute__((vector_size(SLOTS * sizeof(real)),
                                  aligned(sizeof(real)), may_alias));
typedef real eight __attribute__((vector_size(8 * sizeof(real)),
                                  aligned(sizeof(real)), may_alias));

/* The scores of the first 'count' slots of a block, for a head of D features. */
static void score_block(real *scores, const real *q, const real *keys,
                        const real *distance, int D, int count) {
  const real scale = (real)(1 / sqrt((double)D));
  slots sum = {0};
  real part[SLOTS];
  for (int d = 0; d < D; d++)
    sum += q[d] * ((const slots *)keys)[d];
  memcpy(part, &sum, sizeof part);
  KERNEL_INDEPENDENT
  for (int i = 0; i < count; i++)
    scores[i] = part[i] * scale + distance[i];
}

static void score(real *scores, const real *q, const real *keys,
                  const real *distance, int heads, int F, int n, int W) {
  const int D = F / heads;
  for (int head = 0; head < heads; head++) {
    const real *block = keys + (ptrdiff_t)head * D * SLOTS;
    for (int slot = 0; slot < n; slot += SLOTS, block += F * SLOTS)
      score_block(scores + slot, q, block, distance + slot, D,
                  n - slot < SLOTS ? n - slot : SLOTS);
    scores += n, q += D, distance += 2 * W;
  }
}

/* Adds the values of a block to y, D features of one head. */
static void read_block(real *y, const real *weights, const real *values, int D,
                       int F, int count) {
  int d = 0;
  for (; d + 8 <= D; d += 8) {
    eight sum = *(const eight *)(y + d);
    for (int i = 0; i < count; i++)
      sum += weights[i] * *(const eight *)(values + (ptrdiff_t)i * F + d);
    *(eight *)(y + d) = sum;
  }
  for (; d < D; d++)
    for (int i = 0; i < count; i++)
      y[d] += weights[i] * values[(ptrdiff_t)i * F + d];
}

static void read(real *y, const real *weights, const real *values, int heads,
                 int F, int n) {
  const int D = F / heads;
  memset(y, 0, (size_t)F * sizeof *y);
  for (int slot = 0; slot < n; slot += SLOTS, values += F * SLOTS)
    for (int head = 0; head < heads; head++)
      read_block(y + head * D, weights + (ptrdiff_t)head * n + slot,
                 values + head * D, D, F, n - slot < SLOTS ? n - slot : SLOTS);
}

const attention_kernels KERNEL_TABLE(attention) = {
    .score = score,
    .read = read,
};
