/*
** Products in int8 (packed_int8.c, packed_bytes.h). Each column of the packed
** matrix has a scale, a 127th of its largest element, and so has each row of the
** other one; what is multiplied are whole numbers in -127..127, and a product is
** scale times scale times a sum of these, which is exact. So every instruction set
** gives the same sums.
**
** What is not finite makes its scale NaN, and so all that it touches. A row or a
** column of nothing larger than PACKED_SMALLEST counts as zeros.
*/
#ifndef PACKED_INT8_H
#define PACKED_INT8_H

#include <math.h>
#include <string.h>

#include "kernel.h"

#define PACKED_SMALLEST ((real)1e-30)
#define PACKED_MOST 127

#ifdef SAROS_DOUBLE
typedef uint64_t packed_bits;
#define PACKED_INFINITE 0x7ff0000000000000u
#else
typedef uint32_t packed_bits;
#define PACKED_INFINITE 0x7f800000u
#endif

/* The scale of a vector whose largest size is 'largest', as bits: these have the
** order of the sizes, and those of a NaN are the largest. The elements times
** *inverse are the whole numbers, but for rounding. */
static inline real int8_scale(packed_bits largest, real *inverse) {
  real size;
  memcpy(&size, &largest, sizeof size);
  *inverse = 0;
  if (largest >= PACKED_INFINITE)
    return (real)NAN;
  if (size < PACKED_SMALLEST)
    return 0;
  *inverse = PACKED_MOST / size;
  return size / PACKED_MOST;
}

/* The scale of k elements that are 'step' apart. */
static inline real int8_scale_of(const real *x, ptrdiff_t step, int k,
                                 real *inverse) {
  packed_bits largest = 0;
  for (int p = 0; p < k; p++) {
    packed_bits bits;
    memcpy(&bits, x + p * step, sizeof bits);
    bits &= (packed_bits)-1 >> 1;
    largest = bits > largest ? bits : largest;
  }
  return int8_scale(largest, inverse);
}

/* The whole number of an element: the nearest, the even one of two. (Nothing is
** added to the product, so that no compiler leaves out its rounding.) */
static inline real int8_whole(real x, real inverse) {
  const real product = x * inverse;
#ifdef SAROS_DOUBLE
  return rint(product);
#else
  return rintf(product);
#endif
}

#endif
