/*
** The tiles of AMX: eight registers of 16 rows of 64 bytes, numbered by
** literals. A tile of A has 16 words of each of its rows, one of B a row of 16
** words for each of the 16 words of A: the dot products of the terms in them
** are added to a tile of 32-bit sums. Multiplication does not depend on the
** state of the thread: sums are rounded to nearest even, and subnormals are
** zeros.
**
** Inline assembly, because the compilers' own functions do not say that tiles
** are loaded from memory, so that what was written just before may not be there
** yet. A spec defines KERNEL_TILES_EMULATED and has these operations in C.
*/
#ifndef AMX_TILES_H
#define AMX_TILES_H

#include <stddef.h>
#include <stdint.h>

/* What KERNEL_TILE_CONFIGURE reads: the shape of each tile. */
typedef struct kernel_tile_shapes {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} kernel_tile_shapes;

#ifdef KERNEL_TILES_EMULATED
#include "emulated_tiles.h"
#else

#define KERNEL_TILE_CONFIGURE(shapes)                                          \
  __asm__ volatile("ldtilecfg %0" ::"m"(*(shapes)))
#define KERNEL_TILE_RELEASE() __asm__ volatile("tilerelease" ::: "memory")
#define KERNEL_TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile ::)

/* Rows are 'stride' bytes apart; with 0, all rows are the same. */
#define KERNEL_TILE_LOAD(tile, from, stride)                                   \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from),             \
                   "r"((ptrdiff_t)(stride))                                    \
                   : "memory")
#define KERNEL_TILE_STORE(tile, to, stride)                                    \
  __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to),           \
                   "r"((ptrdiff_t)(stride))                                    \
                   : "memory")

/* sums += a b for words of two terms in bf16 */
#define KERNEL_TILE_DOT_BF16(sums, a, b)                                       \
  __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #sums ::)

/* sums += a b for words of four bytes, those of a without a sign */
#define KERNEL_TILE_DOT_INT8(sums, a, b)                                       \
  __asm__ volatile("tdpbusd %%tmm" #b ", %%tmm" #a ", %%tmm" #sums ::)

#endif
#endif
