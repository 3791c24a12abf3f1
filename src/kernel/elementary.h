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
#define KERNEL_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#pragma clang diagnostic ignored "-Wpass-failed"
#else
#define KERNEL_INDEPENDENT _Pragma("GCC ivdep")
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

static inline real expm1_of(real x) {
  return expm1(x);
}

static inline real log1p_of(real x) {
  return log1p(x);
}

static inline real erfc_of_positive(real x) {
  return erfc(x);
}

static inline real sin_of(real x) {
  return sin(x);
}

static inline real cos_of(real x) {
  return cos(x);
}

/* True if sin_of and cos_of leave x to libm. */
static inline int is_far_angle(real x) {
  (void)x;
  return 0;
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

/* exp(x) - 1 for x <= 0, within 3 ulp */
static inline float expm1_of(float x) {
  int32_t n;
  const float p = exp_parts(x < -88 ? -88 : x, &n);
  const float scale = power_of_two(n);
  return scale * p + (scale - 1);
}

/*
** log(1 + x) for x in 0..1 within 2 ulp, also of the smallest x: twice artanh(s)
** with s = x / (2 + x), an odd series of which no more than four terms count, as
** s <= 1 / 3.
*/
static inline float log1p_of(float x) {
  const float s = x / (2 + x), s2 = s * s, s4 = s2 * s2;
  const float p = (2.6867550e-1f * s2 + 2.8233956e-1f) * s4 +
                  (4.0007671e-1f * s2 + 6.6666640e-1f);
  return (s * s2) * p + 2 * s;
}

/*
** 1 - erf(x) for x >= 0, with a relative error of some 1e-7 (1 + x^2):
** exp(-x^2) t P(t) with t = 1 / (1 + 0.4 x), where P interpolates at the
** Chebyshev points of 0..1 to 1e-8.
*/
static inline float erfc_of_positive(float x) {
  const float t = 1 / (1 + 0.4f * x);
  float p = -2.986862859e-2f;
  p = p * t + 1.438410697e-1f;
  p = p * t - 2.430417328e-1f;
  p = p * t + 1.468032467e-1f;
  p = p * t - 5.379316698e-2f;
  p = p * t + 8.712064190e-2f;
  p = p * t + 1.180951230e-1f;
  p = p * t + 1.718905719e-1f;
  p = p * t + 2.076007204e-1f;
  p = p * t + 2.256763169e-1f;
  p = p * t + 2.256758315e-1f;
  return exp_of(-x * x) * t * p;
}

/*
** sin(x + quarters pi / 2) within 1 ulp for |x| < 1e6, in double: x is reduced
** to r in -pi/4..pi/4 by n pi / 2, in two parts, the first so short that n times
** it is exact. The series of sin and cos are taken as far as float can tell.
*/
static inline float turned_sin_of(float x, int64_t quarters) {
  const double rounder = 6755399441055744.0;  // 1.5 * 2^52
  const double sum = (double)x * 0.63661977236758134308 + rounder;
  const double n = sum - rounder;
  const double r =
      ((double)x - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11;
  const double s = r * r;
  const double sine =
      r +
      r * s *
          (-1.0 / 6 + s * (1.0 / 120 + s * (-1.0 / 5040 + s * (1.0 / 362880))));
  const double cosine =
      1 + s * (-0.5 +
               s * (1.0 / 24 + s * (-1.0 / 720 +
                                    s * (1.0 / 40320 - s * (1.0 / 3628800)))));
  int64_t turn;
  memcpy(&turn, &sum, sizeof turn);
  turn += quarters;
  const double y = turn & 1 ? cosine : sine;
  return (float)(turn & 2 ? -y : y);
}

static inline float sin_of(float x) {
  return turned_sin_of(x, 0);
}

static inline float cos_of(float x) {
  return turned_sin_of(x, 1);
}

/* True if sin_of and cos_of leave x to libm. */
static inline int is_far_angle(float x) {
  return !(fabsf(x) < 1e6f);
}

#endif

/* log(1 + exp(x)), within 5 ulp; NaN stays NaN */
static inline real softplus_of(real x) {
  const real distance = -fabs(x);
  return relu_of(x) + log1p_of(exp_of(distance));
}

/* The share of a normal distribution that is below x. */
static inline real normal_below(real x) {
  const real tail = (real)0.5 * erfc_of_positive(fabs(x) * (real)M_SQRT1_2);
  return x > 0 ? 1 - tail : tail;
}

/* x in low..high; NaN stays NaN */
static inline real clamped(real x, real low, real high) {
  const real raised = x < low ? low : x;
  return raised > high ? high : raised;
}

/* Fetches n elements that lie 4 KB behind x. A step back meets rows that nothing has
** read since the forward walk, one after the other. */
static inline void fetch_behind(const real *x, size_t n) {
  for (size_t k = 0; k < n; k += 64 / sizeof(real))
    __builtin_prefetch(x + 4096 / sizeof(real) + k);
}

#endif
