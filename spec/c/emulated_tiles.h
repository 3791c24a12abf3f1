/*
** The tiles of AMX in C, after the description of the instructions in Intel's
** manual (Software Developer's Manual, volume 2: LDTILECFG, TILELOADD,
** TDPBF16PS, TDPBUSD), for the specs of kernels that this machine may not run.
*/
#ifndef EMULATED_TILES_H
#define EMULATED_TILES_H

#include <math.h>
#include <string.h>

#define EMULATED_TILES 8

static kernel_tile_shapes emulated_shapes;
static uint32_t emulated_tiles[EMULATED_TILES][16][16];

#define KERNEL_TILE_CONFIGURE(shapes) emulated_configure(shapes)
#define KERNEL_TILE_RELEASE() emulated_release()
#define KERNEL_TILE_ZERO(tile) emulated_zero(tile)
#define KERNEL_TILE_LOAD(tile, from, stride) emulated_load(tile, from, stride)
#define KERNEL_TILE_STORE(tile, to, stride) emulated_store(tile, to, stride)
#define KERNEL_TILE_DOT_BF16(sums, a, b) emulated_dot_bf16(sums, a, b)
#define KERNEL_TILE_DOT_INT8(sums, a, b) emulated_dot_int8(sums, a, b)

static inline void emulated_configure(const kernel_tile_shapes *shapes) {
  emulated_shapes = *shapes;
  memset(emulated_tiles, 0, sizeof emulated_tiles);
}

static inline void emulated_release(void) {
  memset(&emulated_shapes, 0, sizeof emulated_shapes);
}

static inline int rows_of(int tile) {
  return emulated_shapes.rows[tile];
}

/* Words in a row of a tile. */
static inline int words_of(int tile) {
  return emulated_shapes.row_bytes[tile] / 4;
}

static inline void emulated_zero(int tile) {
  memset(emulated_tiles[tile], 0, sizeof emulated_tiles[tile]);
}

/* The rows and columns that the shape does not have become zeros. */
static inline void emulated_load(int tile, const void *from, ptrdiff_t stride) {
  emulated_zero(tile);
  for (int row = 0; row < rows_of(tile); row++)
    memcpy(emulated_tiles[tile][row], (const char *)from + row * stride,
           emulated_shapes.row_bytes[tile]);
}

static inline void emulated_store(int tile, void *to, ptrdiff_t stride) {
  for (int row = 0; row < rows_of(tile); row++)
    memcpy((char *)to + row * stride, emulated_tiles[tile][row],
           emulated_shapes.row_bytes[tile]);
}

static inline float float_from(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Subnormals are zeros, before and after an operation. */
static inline float flushed(float x) {
  return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

static inline float term_of(uint32_t word, int term) {
  return flushed(float_from(term == 0 ? word << 16 : word & 0xffff0000u));
}

/* The earlier and the later terms of the words have a sum each, which are
** joined in the end. */
static inline void emulated_dot_bf16(int sums, int a, int b) {
  for (int row = 0; row < rows_of(sums); row++)
    for (int column = 0; column < words_of(sums); column++) {
      float part[2] = {0, 0};
      for (int p = 0; p < words_of(a); p++)
        for (int term = 0; term < 2; term++)
          part[term] = flushed(fmaf(term_of(emulated_tiles[a][row][p], term),
                                    term_of(emulated_tiles[b][p][column], term),
                                    part[term]));
      uint32_t *at = &emulated_tiles[sums][row][column];
      const float joined = flushed(part[0] + part[1]);
      const float sum = flushed(flushed(float_from(*at)) + joined);
      memcpy(at, &sum, sizeof sum);
    }
}

static inline void emulated_dot_int8(int sums, int a, int b) {
  for (int row = 0; row < rows_of(sums); row++)
    for (int column = 0; column < words_of(sums); column++)
      for (int p = 0; p < words_of(a); p++)
        for (int byte = 0; byte < 32; byte += 8)
          emulated_tiles[sums][row][column] +=
              (uint32_t)((uint8_t)(emulated_tiles[a][row][p] >> byte) *
                         (int8_t)(emulated_tiles[b][p][column] >> byte));
}

#endif
