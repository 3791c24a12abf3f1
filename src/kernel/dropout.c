/*
** Dropout. The factors of an array are 0 or 1 / (1 - p); they are made from random
** numbers where they are used, forward and back, so nothing is stored.
**
** An array is cut into blocks. Each block has LANES generators side by side, all
** xoshiro256++ (Blackman and Vigna 2019). Their states come from splitmix64
** (Steele, Lea and Flood 2014), whose counter begins at the key of the array for
** the first block and continues from block to block. A step of all lanes gives a
** 32-bit number to each of 2 LANES elements: the low halves first, then the high
** ones. Integers alone decide, so every machine drops the same elements.
*/
#include <string.h>

#include "elementary.h"

#define LANES 16
#define STEP (2 * LANES)  // elements of a step

typedef struct generators {
  uint64_t word[4][LANES];
} generators;

static void seed(generators *g, uint64_t key, size_t block) {
  const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
  const uint64_t start = key + step * (4 * LANES) * (uint64_t)block;
  for (int word = 0; word < 4; word++)
    for (int lane = 0; lane < LANES; lane++) {
      uint64_t z = start + step * (uint64_t)(word * LANES + lane + 1);
      z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
      z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
      g->word[word][lane] = z ^ (z >> 31);
    }
}

static inline uint64_t rotate_left(uint64_t x, int bits) {
  return (x << bits) | (x >> (64 - bits));
}

/* The next number of each of STEP elements. */
static inline void draw(generators *g, uint32_t number[STEP]) {
  uint64_t *a = g->word[0], *b = g->word[1], *c = g->word[2], *d = g->word[3];
  KERNEL_INDEPENDENT
  for (int lane = 0; lane < LANES; lane++) {
    const uint64_t drawn = rotate_left(a[lane] + d[lane], 23) + a[lane];
    const uint64_t shifted = b[lane] << 17;
    c[lane] ^= a[lane];
    d[lane] ^= b[lane];
    b[lane] ^= c[lane];
    a[lane] ^= d[lane];
    c[lane] ^= shifted;
    d[lane] = rotate_left(d[lane], 45);
    number[lane] = (uint32_t)drawn;
    number[LANES + lane] = (uint32_t)(drawn >> 32);
  }
}

static inline void drop(real *y, const real *x, const uint32_t *number,
                        uint32_t below, real factor, int add, size_t n) {
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++) {
    const real kept = only_if(number[i] >= below, factor * x[i]);
    y[i] = add ? y[i] + kept : kept;
  }
}

static inline void drop_block(real *y, const real *x, generators *g,
                              uint32_t below, real factor, int add, size_t n) {
  uint32_t number[STEP];
  size_t at = 0;
  for (; at + STEP <= n; at += STEP) {
    draw(g, number);
    drop(y + at, x + at, number, below, factor, add, STEP);
  }
  if (at < n) {
    draw(g, number);
    drop(y + at, x + at, number, below, factor, add, n - at);
  }
}

static inline void drop_blocks(real *y, const real *x, uint64_t key,
                               size_t block, uint32_t below, real factor,
                               int add, size_t n) {
  generators g;
  for (size_t at = 0; at < n; at += KERNEL_DROPOUT_BLOCK, block++) {
    seed(&g, key, block);
    drop_block(y + at, x + at, &g, below, factor, add,
               n - at < KERNEL_DROPOUT_BLOCK ? n - at : KERNEL_DROPOUT_BLOCK);
  }
}

static void forward(real *y, const real *x, uint64_t key, size_t block,
                    uint32_t below, real factor, size_t n) {
  drop_blocks(y, x, key, block, below, factor, 0, n);
}

static void backward(real *dx, const real *dy, uint64_t key, size_t block,
                     uint32_t below, real factor, size_t n) {
  drop_blocks(dx, dy, key, block, below, factor, 1, n);
}

const dropout_kernels KERNEL_TABLE(dropout) = {
    .forward = forward,
    .backward = backward,
};
