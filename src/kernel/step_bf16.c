/*
** Steps from weights in bf16, the upper half of a float, rounded to nearest
** even: a word is the weights of two terms, the first in its lower half. Either
** is a float again after one operation, and sums are taken in floats, so only
** the weights lose digits.
*/
#include "bf16.h"

#define STEP_PACKING step_bf16
#define STEP_GROUP 2
#define STEP_HEAD 0

typedef uint32_t step_word;

static inline step_word pack_word(const real *w, int count,
                                  const step_word *head) {
  (void)head;
  return bf16_of(w[0]) | (count > 1 ? bf16_of(w[1]) << 16 : 0);
}

static inline real round_row(real *w, int k) {
  for (int p = 0; p < k; p++)
    w[p] = bf16_round(w[p]);
  return 1;
}

#include "step_packing.h"
