/*
** The element types of safetensors files, and how their elements become real
** numbers or ids. Values of floating-point types are rounded where they have
** more digits than real; ids must fit.
*/
#include <string.h>

#include "file.h"
#include "little_endian.h"

/* --- Real numbers --------------------------------------------------------- */

static float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* A number of 16 bits: sign, 5 bits of exponent, 10 of fraction (IEEE 754). */
static float half_of(uint16_t bits) {
  uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = bits & 0x7FFF;
  if (rest < 0x0400) {  // subnormal: a multiple of 2^-24
    float size = (float)rest * 0x1p-24f;
    return sign ? -size : size;
  }
  uint32_t bias = rest < 0x7C00 ? 127 - 15 : 255 - 31;  // or infinite, NaN
  return float_of(sign | ((rest << 13) + (bias << 23)));
}

static size_t decode_f64(void *to, const char *from, size_t count) {
  real *y = to;
  for (size_t i = 0; i < count; i++) {
    uint64_t bits = base_load_64(from + 8 * i);
    double x;
    memcpy(&x, &bits, sizeof x);
    y[i] = (real)x;
  }
  return count;
}

static size_t decode_f32(void *to, const char *from, size_t count) {
  real *y = to;
  for (size_t i = 0; i < count; i++)
    y[i] = float_of(base_load_32(from + 4 * i));
  return count;
}

static size_t decode_f16(void *to, const char *from, size_t count) {
  real *y = to;
  for (size_t i = 0; i < count; i++)
    y[i] = half_of(base_load_16(from + 2 * i));
  return count;
}

/* The upper half of a float. */
static size_t decode_bf16(void *to, const char *from, size_t count) {
  real *y = to;
  for (size_t i = 0; i < count; i++)
    y[i] = float_of((uint32_t)base_load_16(from + 2 * i) << 16);
  return count;
}

/* --- Ids ------------------------------------------------------------------ */

static size_t decode_i64(void *to, const char *from, size_t count) {
  int32_t *y = to;
  for (size_t i = 0; i < count; i++) {
    int64_t x = (int64_t)base_load_64(from + 8 * i);
    if (x < INT32_MIN || x > INT32_MAX)
      return i;
    y[i] = (int32_t)x;
  }
  return count;
}

static size_t decode_i32(void *to, const char *from, size_t count) {
  int32_t *y = to;
  for (size_t i = 0; i < count; i++)
    y[i] = (int32_t)base_load_32(from + 4 * i);
  return count;
}

static size_t decode_i16(void *to, const char *from, size_t count) {
  int32_t *y = to;
  for (size_t i = 0; i < count; i++)
    y[i] = (int16_t)base_load_16(from + 2 * i);
  return count;
}

static size_t decode_i8(void *to, const char *from, size_t count) {
  int32_t *y = to;
  for (size_t i = 0; i < count; i++)
    y[i] = (signed char)from[i];
  return count;
}

static size_t decode_u8(void *to, const char *from, size_t count) {
  int32_t *y = to;
  for (size_t i = 0; i < count; i++)
    y[i] = (unsigned char)from[i];
  return count;
}

static size_t decode_bool(void *to, const char *from, size_t count) {
  int32_t *y = to;
  for (size_t i = 0; i < count; i++) {
    if (from[i] != 0 && from[i] != 1)
      return i;
    y[i] = from[i];
  }
  return count;
}

/* --- The table ------------------------------------------------------------ */

static const file_element_type types[] = {
    {"F64", SAROS_REAL, 8, decode_f64}, {"F32", SAROS_REAL, 4, decode_f32},
    {"F16", SAROS_REAL, 2, decode_f16}, {"BF16", SAROS_REAL, 2, decode_bf16},
    {"I64", SAROS_IDS, 8, decode_i64},  {"I32", SAROS_IDS, 4, decode_i32},
    {"I16", SAROS_IDS, 2, decode_i16},  {"I8", SAROS_IDS, 1, decode_i8},
    {"U8", SAROS_IDS, 1, decode_u8},    {"BOOL", SAROS_IDS, 1, decode_bool},
};

const file_element_type *file_element_type_named(const char *name) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strcmp(name, types[i].name) == 0)
      return &types[i];
  return NULL;
}
