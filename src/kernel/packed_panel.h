/*
** The panels of a packed matrix, which packed.c draws, in the instruction set
** being compiled.
*/
#ifndef PACKED_PANEL_H
#define PACKED_PANEL_H

#include "kernel.h"

#if defined(__AVX512F__)
#define PACKED_VECTOR 64
#define PACKED_VECTORS 4
#define PACKED_ROWS 6
#elif defined(__AVX2__)
#define PACKED_VECTOR 32
#define PACKED_VECTORS 2
#define PACKED_ROWS 6
#elif defined(__aarch64__)
#define PACKED_VECTOR 16
#define PACKED_VECTORS 4
#define PACKED_ROWS 6
#else
#define PACKED_VECTOR 16
#define PACKED_VECTORS 2
#define PACKED_ROWS 4
#endif

#define PACKED_LANES ((int)(PACKED_VECTOR / sizeof(real)))
#define PACKED_WIDTH (PACKED_VECTORS * PACKED_LANES)

/* Columns of the panel that begins with so many columns left. */
static inline int packed_width(int left) {
  return left >= PACKED_WIDTH ? PACKED_WIDTH : PACKED_LANES;
}

#endif
