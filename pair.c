/*
** pair.
** Written by Saros 0.1.0 from a trained model.
**
**   model_state state;
**   model_reset(&state);                   before the first step
**   model_step(&state, a, b, output);     once for each step, as often as you like
**   model_run(&state, a, b, steps, output);     or for several steps at once, one behind the other
**
** a:       3 numbers
** b:       2 numbers
** output:  4 numbers; not where the input is
** weights: 28, constant
** state:   48 bytes; nothing else changes, nothing is allocated
**
** Declarations alone:  #define MODEL_DECLARE, then #include this file.
** Without code that asks an x86 for AVX2:  #define MODEL_PLAIN
** Does it work here?   cc -std=c99 -O2 -DMODEL_TEST THIS_FILE -lm && ./a.out
*/
#ifndef MODEL_INCLUDED
#define MODEL_INCLUDED

#include <stdint.h>

#define MODEL_INPUTS_A 3 /* numbers that go in */
#define MODEL_INPUTS_B 2 /* numbers that go in */
#define MODEL_OUTPUTS 4 /* numbers that come out */

#ifdef __cplusplus
extern "C" {
#endif

/*
** What is carried from step to step: nothing.
** Members keep their names and their meaning as long as the model does; copy them,
** or the whole struct, to go on from a step later.
*/
typedef struct model_state {
  /* of the step under way; without a meaning between steps */
  float linear_1[4];
  float linear_2[4];
  float add_1[4];
} model_state;

void model_reset(model_state *state);
void model_step(model_state *state, const float *a, const float *b,
    float *output);
void model_run(model_state *state, const float *a, const float *b,
    int steps, float *output);

#ifdef __cplusplus
}
#endif
#endif

#ifndef MODEL_DECLARE

#include <math.h>
#include <stddef.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__) /* lets it make vector code of loops */
#pragma GCC push_options
#pragma GCC optimize("no-trapping-math")
#endif

static const float model_la_bias[4] = {
    -0x7e63ffp-24f, -0xf94c81p-27f, -0xf2b131p-25f, -0xcb2b83p-25f,
};

static const float model_la_weight[12] = {
    0xb83a29p-25f, 0x921707p-25f, -0xec64b9p-25f, 0x123215p-22f,
    -0x5d35c7p-24f, 0x6afbc3p-26f, 0x47f5f7p-23f, 0x6ec0efp-28f,
    -0x773efp-20f, -0xd8353dp-25f, 0x7c4411p-24f, -0x5c85f3p-25f,
};

static const float model_lb_bias[4] = {
    -0xbdee35p-25f, 0x94d17bp-26f, -0x1c9539p-22f, 0xae870bp-24f,
};

static const float model_lb_weight[8] = {
    0xa579abp-27f, -0x273d73p-26f, 0xa5c671p-24f, 0x67010fp-25f,
    -0xaae617p-25f, 0x1a9abfp-22f, -0x7b8e1bp-24f, -0x7d5075p-26f,
};

static inline float model_power_of_two(int32_t n) {
  const uint32_t bits = (uint32_t)(n + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return power;
}

/*
** The parts of exp(x) for x in -104..89: *n = x / log(2), rounded, and
** exp(x - n log(2)) - 1 by a polynomial. Adding 1.5 2^23 rounds and leaves n in the
** low bits of the sum, from where -ffast-math cannot take the rounding away.
*/
static inline float model_exp_parts(float x, int32_t *n) {
  const float sum = x * 1.442695041f + 12582912.0f;
  uint32_t bits;
  memcpy(&bits, &sum, sizeof bits);
  *n = (int32_t)(bits - 0x4b400000u);
  const float whole = (float)*n;
  const float r = x - whole * 0.693145752f - whole * 1.428606820e-6f;
  const float r2 = r * r;
  const float p =
      (1.389823388e-3f * r2 + (8.366076276e-3f * r + 4.166685417e-2f)) * r2 +
      (1.666654795e-1f * r + 0.5f);
  return p * r2 + r;
}

/* tanh(x) within 3 ulp */
static inline float model_tanh(float x) {
  const float distance = -2 * fabsf(x);
  int32_t n;
  const float p = model_exp_parts(distance < -20 ? -20 : distance, &n);
  const float scale = model_power_of_two(n);
  const float e = scale * p + (scale - 1);
  return copysignf(e / (scale * p + (scale + 1)), x);
}

#if defined(__GNUC__) && defined(__x86_64__) && !defined(MODEL_WIDE) && \
    !defined(MODEL_PLAIN)
#define MODEL_WIDE __attribute__((target("avx2,fma"))) /* where there is that */
#endif

#ifdef __GNUC__ /* which has words for several numbers in a register */
typedef float model_lanes
    __attribute__((vector_size(16), aligned(sizeof(float)), may_alias));

static inline float model_fold(model_lanes s) {
  return (s[0] + s[1]) + (s[2] + s[3]);
}

/* y = W x, W of n rows of k weights: four rows at a time, in sums that do not wait
** for each other. */
static void model_products(float *y, const float *w,
    const float *x, int n, int k) {
  typedef model_lanes lanes;
  const int step = (int)(sizeof(lanes) / sizeof(float));
  int i = 0;
  for (; i + 4 <= n; i += 4, w += 4 * k) {
    const float *w1 = w + k, *w2 = w1 + k, *w3 = w2 + k;
    lanes s = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    int j = 0;
    for (; j + step <= k; j += step) {
      const lanes v = *(const lanes *)(x + j);
      s += *(const lanes *)(w + j) * v;
      s1 += *(const lanes *)(w1 + j) * v;
      s2 += *(const lanes *)(w2 + j) * v;
      s3 += *(const lanes *)(w3 + j) * v;
    }
    float y0 = model_fold(s), y1 = model_fold(s1);
    float y2 = model_fold(s2), y3 = model_fold(s3);
    for (; j < k; j++) {
      y0 += w[j] * x[j], y1 += w1[j] * x[j];
      y2 += w2[j] * x[j], y3 += w3[j] * x[j];
    }
    y[i] = y0, y[i + 1] = y1, y[i + 2] = y2, y[i + 3] = y3;
  }
  for (; i < n; i++, w += k) {
    lanes s = {0}, more = {0};
    int j = 0;
    for (; j + 2 * step <= k; j += 2 * step) {
      s += *(const lanes *)(w + j) * *(const lanes *)(x + j);
      more += *(const lanes *)(w + j + step) * *(const lanes *)(x + j + step);
    }
    y[i] = model_fold(s + more);
    for (; j < k; j++)
      y[i] += w[j] * x[j];
  }
}

#ifdef MODEL_WIDE
typedef float model_lanes_wide
    __attribute__((vector_size(32), aligned(sizeof(float)), may_alias));

MODEL_WIDE
static float model_fold_wide(model_lanes_wide wide) {
  model_lanes halves[2];
  memcpy(halves, &wide, sizeof wide);
  return model_fold(halves[0] + halves[1]);
}

/* y = W x, W of n rows of k weights: four rows at a time, in sums that do not wait
** for each other. */
MODEL_WIDE
static void model_products_wide(float *y, const float *w,
    const float *x, int n, int k) {
  typedef model_lanes_wide lanes;
  const int step = (int)(sizeof(lanes) / sizeof(float));
  int i = 0;
  for (; i + 4 <= n; i += 4, w += 4 * k) {
    const float *w1 = w + k, *w2 = w1 + k, *w3 = w2 + k;
    lanes s = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    int j = 0;
    for (; j + step <= k; j += step) {
      const lanes v = *(const lanes *)(x + j);
      s += *(const lanes *)(w + j) * v;
      s1 += *(const lanes *)(w1 + j) * v;
      s2 += *(const lanes *)(w2 + j) * v;
      s3 += *(const lanes *)(w3 + j) * v;
    }
    float y0 = model_fold_wide(s), y1 = model_fold_wide(s1);
    float y2 = model_fold_wide(s2), y3 = model_fold_wide(s3);
    for (; j < k; j++) {
      y0 += w[j] * x[j], y1 += w1[j] * x[j];
      y2 += w2[j] * x[j], y3 += w3[j] * x[j];
    }
    y[i] = y0, y[i + 1] = y1, y[i + 2] = y2, y[i + 3] = y3;
  }
  for (; i < n; i++, w += k) {
    lanes s = {0}, more = {0};
    int j = 0;
    for (; j + 2 * step <= k; j += 2 * step) {
      s += *(const lanes *)(w + j) * *(const lanes *)(x + j);
      more += *(const lanes *)(w + j + step) * *(const lanes *)(x + j + step);
    }
    y[i] = model_fold_wide(s + more);
    for (; j < k; j++)
      y[i] += w[j] * x[j];
  }
}
#endif
#else
/* y = W x, W of n rows of k weights, in sums that do not wait for each other. */
static void model_products(float *y, const float *w, const float *x, int n,
                           int k) {
  for (int i = 0; i < n; i++, w += k) {
    float sum = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    int j = 0;
    for (; j + 4 <= k; j += 4) {
      sum += w[j] * x[j], sum1 += w[j + 1] * x[j + 1];
      sum2 += w[j + 2] * x[j + 2], sum3 += w[j + 3] * x[j + 3];
    }
    for (; j < k; j++)
      sum += w[j] * x[j];
    y[i] = (sum + sum1) + (sum2 + sum3);
  }
}
#endif

/* y = W x + b, W of n rows of k weights; b may be null. */
static void model_affine(float *y, const float *w, const float *b,
                         const float *x, int n, int k) {
#ifdef MODEL_WIDE
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    model_products_wide(y, w, x, n, k);
  else
#endif
    model_products(y, w, x, n, k);
  for (int i = 0; b && i < n; i++)
    y[i] += b[i];
}

/* --- The model ------------------------------------------------------------ */

/* Back to the beginning of a sequence. */
void model_reset(model_state *state) {
  memset(state, 0, sizeof *state);
}

void model_step(model_state *state, const float *a, const float *b,
    float *output) {
  /* linear: 3 -> 4 */
  model_affine(state->linear_1, model_la_weight, model_la_bias, a, 4, 3);
  /* linear: 2 -> 4 */
  model_affine(state->linear_2, model_lb_weight, model_lb_bias, b, 4, 2);
  for (int i = 0; i < 4; i++) {
    const float tanh_1 = model_tanh(state->linear_2[i]);
    const float add_1 = state->linear_1[i] + tanh_1;
    state->add_1[i] = add_1;
  }
  memcpy(output, state->add_1, 4 * sizeof(float));
}

void model_run(model_state *state, const float *a, const float *b,
    int steps, float *output) {
  for (int t = 0; t < steps; t++)
    model_step(state, a + (size_t)t * 3, b + (size_t)t * 2,
        output + (size_t)t * 4);
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

/* --- Does it work? --------------------------------------------------------- */

#ifdef MODEL_TEST
#include <stdio.h>
#include <stdlib.h>

#define MODEL_TEST_STEPS 8

static const float model_test_a[24] = {
    -0x88239fp-28f, -0xe9d665p-23f, -0x2cb993p-28f, -0xeb269dp-25f,
    -0x89dbbdp-24f, -0xb0241fp-25f, -0xba5f23p-22f, -0x6e7bd3p-24f,
    0x9963d3p-25f, 0xac702dp-25f, -0x9f9b0dp-23f, 0x77d6bbp-22f,
    -0x9c8fa1p-25f, 0xf434ffp-26f, 0x3d8839p-24f, 0xb86bf9p-25f,
    -0x5080c3p-22f, 0xdd6ffbp-26f, -0x32748bp-21f, -0xfb1f73p-23f,
    0xda8b9fp-26f, -0x606ba7p-23f, -0x1019d9p-21f, 0x9bb93fp-25f,
};

static const float model_test_b[16] = {
    -0x4b51f9p-23f, -0x717edp-20f, 0x28945fp-22f, -0x24bb1fp-25f,
    -0x2be3d3p-24f, -0x5748a5p-22f, -0xcac181p-24f, -0x8aa621p-23f,
    -0xdd9f31p-24f, -0xd0f6f9p-24f, -0x4670e1p-22f, 0x8e8209p-22f,
    -0x60d167p-27f, -0xf3e1e7p-25f, -0xc5bf77p-24f, -0x203d93p-20f,
};

static const float model_test_output[32] = {
    -0x59ccf7p-22f, 0x380a09p-24f, -0x1e4637p-21f, -0x3fb545p-23f,
    -0x3d79c7p-22f, 0xcdcadp-21f, -0x4bba9bp-22f, -0x9159dp-24f,
    -0x87ec57p-22f, -0x3fcafp-18f, -0x301475p-20f, 0x533b69p-22f,
    -0x3ef319p-21f, 0x18d743p-24f, -0x70062dp-22f, -0x5335dfp-23f,
    -0x211d47p-21f, -0xcaeccdp-24f, -0x9b0727p-23f, 0xa35c7p-20f,
    -0x2a3ba9p-21f, 0x57a6edp-24f, 0x486e5p-20f, -0x1da433p-22f,
    -0x41f80bp-21f, 0x5efb81p-25f, -0x423ea5p-21f, -0x51095p-22f,
    -0xb1fe59p-23f, -0x618e1p-19f, -0xe9a199p-23f, 0xf7dc2dp-25f,
};

/* How far an output is off, relative to values above its unit. */
static double model_test_off(double got, double expected, double unit) {
  if (got == expected || (got != got && expected != expected))
    return 0;
  const double off = fabs(got - expected) / (unit + fabs(expected));
  return off <= 1 ? off : 1; /* and where one is not a number */
}

/* Twice, since a reset has to lead back: step by step, and all at once. */
int main(void) {
  static model_state state;
  double worst = 0;
  for (int round = 0; round < 2; round++) {
    model_reset(&state);
    static float output[MODEL_TEST_STEPS * 4];
    for (int t = 0; t < MODEL_TEST_STEPS && round == 0; t++)
      model_step(&state, model_test_a + t * 3, model_test_b + t * 2, output + t * 4);
    if (round == 1)
      model_run(&state, model_test_a, model_test_b, MODEL_TEST_STEPS, output);
    for (int i = 0; i < MODEL_TEST_STEPS * 4; i++) {
      const double off = model_test_off(output[i], model_test_output[i], 1);
      worst = off > worst ? off : worst;
    }
  }
  printf("model: %d steps, off by at most %.2g: %s\n", MODEL_TEST_STEPS, worst,
         worst <= 1e-5 ? "well" : "WRONG");
  return worst <= 1e-5 ? 0 : 1;
}
#endif

#endif
