/*
** Numbers at any address, in the order of bytes of files (little-endian) and in
** that of this machine.
*/
#ifndef LITTLE_ENDIAN_H
#define LITTLE_ENDIAN_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BASE_SWAP(bits, x) __builtin_bswap##bits(x)
#else
#define BASE_SWAP(bits, x) (x)
#endif

static inline uint32_t base_native_32(const void *from) {
  uint32_t x;
  memcpy(&x, from, sizeof x);
  return x;
}

static inline uint64_t base_native_64(const void *from) {
  uint64_t x;
  memcpy(&x, from, sizeof x);
  return x;
}

static inline uint16_t base_load_16(const void *from) {
  uint16_t x;
  memcpy(&x, from, sizeof x);
  return BASE_SWAP(16, x);
}

static inline uint32_t base_load_32(const void *from) {
  return BASE_SWAP(32, base_native_32(from));
}

static inline uint64_t base_load_64(const void *from) {
  return BASE_SWAP(64, base_native_64(from));
}

static inline void base_store_32(void *to, uint32_t x) {
  x = BASE_SWAP(32, x);
  memcpy(to, &x, sizeof x);
}

static inline void base_store_64(void *to, uint64_t x) {
  x = BASE_SWAP(64, x);
  memcpy(to, &x, sizeof x);
}

#endif
