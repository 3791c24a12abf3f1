/*
** A square of as many rows as a vector has lanes changes rows and columns in
** registers, in the instruction set being compiled.
*/
#ifndef SQUARE_H
#define SQUARE_H

#include "kernel.h"

#if defined(__AVX512F__)
#define SQUARE_VECTOR 64
#elif defined(__AVX2__)
#define SQUARE_VECTOR 32
#else
#define SQUARE_VECTOR 16
#endif

#ifdef SAROS_DOUBLE
#define SQUARE_LANES (SQUARE_VECTOR / 8)
#else
#define SQUARE_LANES (SQUARE_VECTOR / 4)
#endif

/* The lanes of two vectors by turns: those of their lower and upper halves. */
#if SQUARE_LANES == 16
#define SQUARE_LOWER 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define SQUARE_UPPER                                                           \
  8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif SQUARE_LANES == 8
#define SQUARE_LOWER 0, 8, 1, 9, 2, 10, 3, 11
#define SQUARE_UPPER 4, 12, 5, 13, 6, 14, 7, 15
#elif SQUARE_LANES == 4
#define SQUARE_LOWER 0, 4, 1, 5
#define SQUARE_UPPER 2, 6, 3, 7
#else
#define SQUARE_LOWER 0, 2
#define SQUARE_UPPER 1, 3
#endif

typedef real square_vector
    __attribute__((vector_size(SQUARE_VECTOR), may_alias));
/* The same anywhere in memory. */
typedef real square_loose __attribute__((vector_size(SQUARE_VECTOR),
                                         aligned(sizeof(real)), may_alias));

/*
** y = the transpose of x. Each round interleaves the rows of the upper half with
** those of the lower, which rotates the bits of (row, lane) by one place; after
** log2(SQUARE_LANES) rounds rows and lanes have changed places.
*/
static inline __attribute__((always_inline)) void
square_transpose(real *y, ptrdiff_t ldy, const real *x, ptrdiff_t ldx) {
  square_vector from[SQUARE_LANES], to[SQUARE_LANES];
  for (int row = 0; row < SQUARE_LANES; row++)
    from[row] = *(const square_loose *)(const void *)(x + row * ldx);
  for (int round = 1; round < SQUARE_LANES; round *= 2) {
    for (int row = 0; row < SQUARE_LANES / 2; row++) {
      const square_vector a = from[row], b = from[row + SQUARE_LANES / 2];
      to[2 * row] = __builtin_shufflevector(a, b, SQUARE_LOWER);
      to[2 * row + 1] = __builtin_shufflevector(a, b, SQUARE_UPPER);
    }
    for (int row = 0; row < SQUARE_LANES; row++)
      from[row] = to[row];
  }
  for (int row = 0; row < SQUARE_LANES; row++)
    *(square_loose *)(void *)(y + row * ldy) = from[row];
}

#endif
