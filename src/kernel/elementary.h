/*
** Elementary functions of one element, and the note that lets a loop of them
** run on vectors.
**
** The float versions have no branch, no table and no call, so the compiler
** turns a loop over them into vector code for any instruction set. Selections
** are written x < y ? x : y because that form, unlike fminf, is one vector
** instruction; and in the order that lets a NaN through. The double versions,
** which exist for checking, are libm's.
**
** spec/c/kernel_elementary.c measures the errors stated below.
*/
#ifndef ELEMENTARY_H
#define ELEMENTARY_H

#include <stdint.h>
#include <string.h>
#include <tgmath.h>

#include "kernel.h"

/*
** Stands before a loop whose iterations do not read what others write, which
** is every loop of y[i] = f(x[i]). The compiler cannot know that y and x are
** either the same array or apart, and would run y == x one by one. (clang takes
** the note for an order, and would complain where it cannot follow.)
*/
#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#pragma clang diagnostic ignored "-Wpass-failed"
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

/* max(x, 0); NaN stays NaN */
static inline real relu_of(real x) {
  return x < 0 ? 0 : x;
}

/* y, or 0 where 'condition' is false, even if y is NaN. A function, so that y
** is read in any case and the loop needs no branch. */
static inline real only_if(int condition, real y) {
  return condition ? y : 0;
}

#ifdef SAROS_DOUBLE

static inline real exp_of(real x) {
  return exp(x);
}

static inline real log_of(real x) {
  return log(x);
}

static inline real tanh_of(real x) {
  return tanh(x);
}

static inline real sigmoid_of(real x) {
  const real e = exp(-fabs(x));
  return (x < 0 ? e : 1) / (1 + e);
}

#else

static inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* 2^n for n in -126..127, and 0 for -127, by placing n in the exponent */
static inline float power_of_two(int32_t n) {
  return float_of((uint32_t)(n + 127) << 23);
}

/*
** The parts of exp(x), for x in -104..89 or NaN: with *n = x / log(2), rounded
** to an integer, and r = x - *n log(2), exp(x) = 2^*n exp(r). The result is
** exp(r) - 1, a polynomial as |r| <= log(2) / 2. Adding 1.5 * 2^23 rounds
** x / log(2) and leaves n in the low bits of the sum. log(2) is taken off in
** two parts, the first so short that n times it is exact.
**
** Here and below, sums are written so that few operations wait for each other:
** a step of a small cell takes no longer than its longest chain of them.
*/
static inline float exp_parts(float x, int32_t *n) {
  const float rounder = 12582912.0f;
  const float sum = x * 1.442695041f + rounder;
  const float rounded = sum - rounder;
  const float r = x - rounded * 0.693145752f - rounded * 1.428606820e-6f;
  const float r2 = r * r;
  const float p =
      (1.389823388e-3f * r2 + (8.366076276e-3f * r + 4.166685417e-2f)) * r2 +
      (1.666654795e-1f * r + 0.5f);
  *n = (int32_t)(bits_of(sum) - bits_of(rounder));
  return p * r2 + r;
}

/*
** exp(x) within 2 ulp; subnormal results are gradual, not flushed. 2^n goes on
** in two halves, as n reaches beyond the exponents of a float where exp(x)
** overflows or is subnormal.
*/
static inline float exp_of(float x) {
  int32_t n;
  x = x < -104 ? -104 : x;
  x = x > 89 ? 89 : x;
  const float p = 1 + exp_parts(x, &n);
  const int32_t half = n >> 1;
  return p * power_of_two(half) * power_of_two(n - half);
}

/*
** 1 / (1 + exp(-x)) within 3 ulp. As exp is taken of -|x| it never overflows,
** and the result keeps its relative accuracy down to the smallest normal
** float; from about -87.7 down it is 0.
*/
static inline float sigmoid_of(float x) {
  const float distance = -fabsf(x);
  int32_t n;
  const float p = exp_parts(distance < -88 ? -88 : distance, &n);
  const float scale = power_of_two(n);
  const float e = scale * p + scale;
  return (x < 0 ? e : 1) / (scale * p + (scale + 1));
}

/*
** tanh(x) within 3 ulp: with e = exp(-2 |x|) - 1, tanh |x| = -e / (2 + e).
** Taking e as a whole, not exp and then 1 off, keeps the accuracy of small x.
** From |x| = 10 on, tanh is 1 to float precision.
*/
static inline float tanh_of(float x) {
  const float distance = -2 * fabsf(x);
  int32_t n;
  const float p = exp_parts(distance < -20 ? -20 : distance, &n);
  const float scale = power_of_two(n);
  const float e = scale * p + (scale - 1);
  return copysignf(e / (scale * p + (scale + 1)), x);
}

/*
** log(x) within 2 ulp, subnormal x included. With x = 2^n (1 + f) and 1 + f in
** sqrt(1/2)..sqrt(2), log(x) = n log(2) + log(1 + f), the latter a polynomial.
** Subtracting the bits of sqrt(1/2) before the exponent is read off puts 1 + f
** into that range.
*/
static inline float log_of(float x) {
  const uint32_t root_half = 0x3f3504f3;
  const float scaled = x < 1.175494351e-38f ? x * 8388608 : x;
  const int32_t offset = (int32_t)(bits_of(scaled) - root_half);
  const float f =
      float_of(bits_of(scaled) - ((uint32_t)(offset >> 23) << 23)) - 1;
  const float n = (float)(offset >> 23) - (x < 1.175494351e-38f ? 23.0f : 0.0f);
  float p = 6.746640056e-2f;
  p = p * f - 1.167565212e-1f;
  p = p * f + 1.188816205e-1f;
  p = p * f - 1.240558922e-1f;
  p = p * f + 1.421955228e-1f;
  p = p * f - 1.666799635e-1f;
  p = p * f + 2.000211924e-1f;
  p = p * f - 2.500000894e-1f;
  p = p * f + 3.333331347e-1f;
  const float tail = f * f * (p * f - 0.5f) + n * 1.428606820e-6f;
  const float y = n * 0.693145752f + (f + tail);
  const float above_zero = x < INFINITY ? y : x;
  return x > 0 ? above_zero : x == 0 ? -INFINITY : NAN;
}

#endif

#endif
