/*
** Weights in int8: -127..127, and a scale for each output, so that its largest
** weight is 127 of its scale. A word is the weights of four terms, the first in
** its lowest byte. Before the words of the terms of a panel stand the scales of
** its outputs, as floats, and the sums of their weights.
**
** A row of weights that holds one that is not finite has NaN as its scale, so
** all that it makes is NaN.
*/
#ifndef STEP_INT8_H
#define STEP_INT8_H

#include <math.h>
#include <string.h>

#include "kernel.h"

#define STEP_GROUP 4
#define STEP_HEAD 2

typedef uint32_t step_word;

/* A row of nothing larger than that is taken for zeros. */
#define STEP_SMALLEST 1e-30f

static inline float scale_of(const real *w, int k) {
  float largest = 0;
  for (int p = 0; p < k; p++) {
    const float size = fabsf((float)w[p]);
    if (!isfinite(size))
      return NAN;
    largest = size > largest ? size : largest;
  }
  return largest < STEP_SMALLEST ? 0 : largest / 127;
}

static inline int int8_of(real w, float scale) {
  return scale > 0 ? (int)rintf((float)w / scale) : 0;
}

static inline step_word pack_word(const real *w, int count,
                                  const step_word *head) {
  step_word packed = 0;
  float scale;
  memcpy(&scale, head, sizeof scale);
  for (int t = 0; t < STEP_GROUP && t < count; t++)
    packed |= (step_word)(int8_of(w[t], scale) & 0xff) << 8 * t;
  return packed;
}

static inline void pack_head(step_word *head, int outputs, const real *w,
                             int k) {
  const float scale = scale_of(w, k);
  int sum = 0;
  memcpy(head, &scale, sizeof scale);
  for (int p = 0; p < k; p++)
    sum += int8_of(w[p], scale);
  head[outputs] = (step_word)sum;
}

static inline real round_row(real *w, int k) {
  const float scale = scale_of(w, k);
  for (int p = 0; p < k; p++)
    w[p] = (real)int8_of(w[p], scale);
  return scale;
}

#endif
