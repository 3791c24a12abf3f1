/*
** Steps from weights in bf16, the upper half of a float, rounded to nearest
** even: a word is the weights of two terms, the first in its lower half. Either
** is a float again after one operation, and sums are taken in floats, so only
** the weights lose digits.
*/
#include <string.h>

#include "kernel.h"

#define STEP_PACKING step_bf16
#define STEP_GROUP 2
#define STEP_HEAD 0

typedef uint32_t step_word;

/* Infinities stay what they are, and so does NaN. */
static inline step_word bf16_of(real x) {
  const float narrow = (float)x;
  uint32_t bits;
  memcpy(&bits, &narrow, sizeof bits);
  if (narrow != narrow)
    return 0x7fc0;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static inline step_word pack_word(const real *w, int count,
                                  const step_word *head) {
  (void)head;
  return bf16_of(w[0]) | (count > 1 ? bf16_of(w[1]) << 16 : 0);
}

static inline real round_row(real *w, int k) {
  for (int p = 0; p < k; p++) {
    const uint32_t bits = bf16_of(w[p]) << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    w[p] = value;
  }
  return 1;
}

#include "step_packing.h"
