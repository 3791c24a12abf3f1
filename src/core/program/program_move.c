/*
** Elements of one row in another order, for all that computes row by row: the
** loop and sessions.
*/
#include <string.h>

#include "program.h"

static void copy(real *y, const real *x, ptrdiff_t n) {
  memcpy(y, x, (size_t)n * sizeof(real));
}

void program_slice_row(const int *at, real *y, const real *x, int back) {
  const ptrdiff_t inner = at[AT_INNER];
  ptrdiff_t block = 0, kept = 0;
  for (int outer = 0; outer < at[AT_OUTER]; outer++, block += at[AT_N] * inner)
    for (int i = 0; i < at[AT_COUNT]; i++, kept += inner) {
      ptrdiff_t place = at[AT_FROM] + (ptrdiff_t)i * at[AT_STEP];
      ptrdiff_t whole = block + place * inner;
      copy(y + (back ? whole : kept), x + (back ? kept : whole), inner);
    }
}

void program_expand_row(const int *at, real *y, const real *x) {
  const ptrdiff_t inner = at[AT_INNER];
  for (int outer = 0; outer < at[AT_OUTER]; outer++, x += inner)
    for (int i = 0; i < at[AT_TIMES]; i++, y += inner)
      copy(y, x, inner);
}

void program_transpose_row(const int *at, real *y, const real *x) {
  const ptrdiff_t a = at[AT_A], b = at[AT_B], inner = at[AT_INNER];
  for (int outer = 0; outer < at[AT_OUTER]; outer++, x += a * b * inner)
    for (ptrdiff_t j = 0; j < b; j++)
      for (ptrdiff_t i = 0; i < a; i++, y += inner)
        copy(y, x + (i * b + j) * inner, inner);
}
