/*
** Steps from weights in int8 where the processor multiplies bytes (AVX-512
** VNNI): four products and their sum in each lane of one instruction, which C
** cannot say, so this file has the only intrinsics. It is empty elsewhere.
**
** The other factor becomes whole numbers of 16 bits, for each step and row on
** the scale of its largest element, and these become two bytes: so it keeps more
** digits than the weights. The largest becomes 258 * 127, so that a row that was
** rounded to int8 itself stays as it is. A row that is not finite, or too long, is multiplied
** as step_int8.c does it, from the same packing.
*/
#if defined(__AVX512VNNI__) && !defined(SAROS_DOUBLE)
#include <immintrin.h>

#include "elementary.h"
#include "step_int8.h"

#define STEP_PACKING step_vnni
#define STEP_BYTES 1

/* The longest row; the sums of its products fit into 32 bits. */
#define LONGEST 8192

/* The whole number of the largest element of a row. */
#define MOST 32766

/* x = (256 upper + lower - 32768) scale */
typedef struct step_row_bytes {
  uint8_t upper[LONGEST], lower[LONGEST];
  float scale;
} step_row_bytes;

/* The row x (k), or null if it is to stay as it is. NaN is larger than anything
** if its bits are compared. */
static const step_row_bytes *split_row(step_row_bytes *to, const real *x,
                                       int k) {
  uint32_t largest = 0;
  for (int p = 0; p < k; p++) {
    const uint32_t size = bits_of(x[p]) & 0x7fffffff;
    largest = size > largest ? size : largest;
  }
  const float size = float_of(largest);
  if (k > LONGEST || largest >= 0x7f800000)
    return NULL;
  const float inverse = size < STEP_SMALLEST ? 0 : MOST / size;
  to->scale = size < STEP_SMALLEST ? 0 : size / MOST;
  for (int p = 0; p < k; p++) {
    const int value = (int)(x[p] * inverse + 32768.5f);
    to->upper[p] = (uint8_t)(value >> 8), to->lower[p] = (uint8_t)value;
  }
  for (int p = k; p % STEP_GROUP != 0; p++)
    to->upper[p] = to->lower[p] = 0;
  return to;
}

typedef step_word lanes_wide __attribute__((vector_size(64), may_alias));
typedef step_word lanes_narrow __attribute__((vector_size(32), may_alias));

/* The compiler would read the weights again for each product, and reading is
** what a step waits for. */
#define IN_REGISTER(x) __asm__("" : "+v"(x))

static inline int four(const uint8_t *x) {
  int bytes;
  memcpy(&bytes, x, sizeof bytes);
  return bytes;
}

/* sum + the products of four terms x with the weights of each lane */
static inline lanes_wide dot_wide(lanes_wide sum, const uint8_t *x,
                                  lanes_wide w) {
  return (lanes_wide)_mm512_dpbusd_epi32(
      (__m512i)sum, _mm512_set1_epi32(four(x)), (__m512i)w);
}

static inline lanes_narrow dot_narrow(lanes_narrow sum, const uint8_t *x,
                                      lanes_narrow w) {
  return (lanes_narrow)_mm256_dpbusd_epi32(
      (__m256i)sum, _mm256_set1_epi32(four(x)), (__m256i)w);
}

#include "step_packing.h"

#endif
