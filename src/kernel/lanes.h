/*
** Reductions over one contiguous row, in an order that depends on the length
** of the row alone: element i belongs to lane i mod KERNEL_LANES, each lane is taken
** in the order of i, and the lanes are then joined in pairs. The same order on
** every machine, with lanes enough to fill the vectors of each.
*/
#ifndef LANES_H
#define LANES_H

#include <stddef.h>

#include "kernel.h"

#define KERNEL_LANES 32

static inline double join_lanes(double *part) {
  for (int width = KERNEL_LANES / 2; width > 0; width /= 2)
    for (int lane = 0; lane < width; lane++)
      part[lane] += part[lane + width];
  return part[0];
}

/* The sum of 'term', an expression in i, over i = 0..n-1, in double. */
#define KERNEL_SUM_OVER(i, n, term)                                            \
  ({                                                                           \
    double part_[KERNEL_LANES] = {0};                                          \
    size_t base_ = 0;                                                          \
    for (; base_ + KERNEL_LANES <= (n); base_ += KERNEL_LANES)                 \
      for (size_t lane_ = 0; lane_ < KERNEL_LANES; lane_++) {                  \
        const size_t i = base_ + lane_;                                        \
        part_[lane_] += (double)(term);                                        \
      }                                                                        \
    for (size_t lane_ = 0; base_ + lane_ < (n); lane_++) {                     \
      const size_t i = base_ + lane_;                                          \
      part_[lane_] += (double)(term);                                          \
    }                                                                          \
    join_lanes(part_);                                                         \
  })

/* The larger of two, where NaN is larger than anything. */
static inline real larger(real a, real b) {
  const real c = b > a ? b : a;
  return b != b ? b : c;
}

/* The largest of x[0..n-1], NaN if there is one; n >= 1. */
static inline real largest(const real *x, size_t n) {
  real best[KERNEL_LANES];
  for (int lane = 0; lane < KERNEL_LANES; lane++)
    best[lane] = x[0];
  size_t base = 0;
  for (; base + KERNEL_LANES <= n; base += KERNEL_LANES)
    for (size_t lane = 0; lane < KERNEL_LANES; lane++)
      best[lane] = larger(best[lane], x[base + lane]);
  for (size_t lane = 0; base + lane < n; lane++)
    best[lane] = larger(best[lane], x[base + lane]);
  for (int lane = 1; lane < KERNEL_LANES; lane++)
    best[0] = larger(best[0], best[lane]);
  return best[0];
}

#endif
