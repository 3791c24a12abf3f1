/*
** bf16: the upper half of a float, rounded to nearest even. Infinities stay what
** they are, and so does NaN.
*/
#ifndef BF16_H
#define BF16_H

#include <string.h>

#include "kernel.h"

/* x in the lower 16 bits. */
static inline uint32_t bf16_of(real x) {
  const float narrow = (float)x;
  uint32_t bits;
  memcpy(&bits, &narrow, sizeof bits);
  return narrow != narrow ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static inline real bf16_round(real x) {
  const uint32_t bits = bf16_of(x) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

#endif
