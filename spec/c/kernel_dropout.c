/* Dropout against a twin that draws one number after another, and the statistics of
** what it drops. */
#include "kernel_spec.h"

#define COUNT ((size_t)2 * KERNEL_DROPOUT_BLOCK + 77)
#define LANES 16

/* --- The twin ------------------------------------------------------------------ */

static uint64_t rotate(uint64_t x, int bits) {
  return x << bits | x >> (64 - bits);
}

/* Word i of what splitmix64 gives from a seed. */
static uint64_t splitmix(uint64_t seed, uint64_t i) {
  uint64_t z = seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

/* Number 'step' of a lane of a block, by xoshiro256++ from its beginning. */
static uint64_t lane_number(uint64_t key, size_t block, size_t lane,
                            size_t step) {
  uint64_t s[4], drawn = 0;
  for (size_t word = 0; word < 4; word++)
    s[word] = splitmix(key, (block * 4 + word) * LANES + lane);
  for (size_t i = 0; i <= step; i++) {
    drawn = rotate(s[0] + s[3], 23) + s[0];
    const uint64_t shifted = s[1] << 17;
    s[2] ^= s[0], s[3] ^= s[1], s[1] ^= s[2], s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
  }
  return drawn;
}

static uint32_t number_of(uint64_t key, size_t at) {
  const size_t in_block = at % KERNEL_DROPOUT_BLOCK,
               in_step = in_block % (2 * LANES);
  const uint64_t drawn = lane_number(key, at / KERNEL_DROPOUT_BLOCK,
                                     in_step % LANES, in_block / (2 * LANES));
  return (uint32_t)(in_step < LANES ? drawn : drawn >> 32);
}

/* --- Against it ------------------------------------------------------------------ */

static void check_twin(const kernels *k, size_t first, size_t n,
                       uint32_t below) {
  static real x[COUNT], y[COUNT], dx[COUNT];
  const uint64_t key = UINT64_C(0x0123456789abcdef);
  int wrong = 0;
  fill_random(x, n, -2, 2);
  fill_random(dx, n, -2, 2);
  if (n > 2)
    x[0] = NAN, x[1] = INFINITY, x[2] = -INFINITY;
  memcpy(y, dx, sizeof y);
  k->dropout->backward(dx, x, key, first, below, (real)1.25, n);
  for (size_t i = 0; i < n; i++) {
    const int dropped =
        number_of(key, first * KERNEL_DROPOUT_BLOCK + i) < below;
    const double gradient = (double)y[i] + (dropped ? 0 : 1.25 * (double)x[i]);
    wrong += !near(dx[i], gradient, 4, 1);
  }
  k->dropout->forward(y, x, key, first, below, (real)1.25, n);
  for (size_t i = 0; i < n; i++) {
    const int dropped =
        number_of(key, first * KERNEL_DROPOUT_BLOCK + i) < below;
    const real expected = dropped ? 0 : (real)1.25 * x[i];
    wrong += !(y[i] == expected || (isnan(y[i]) && isnan(expected)));
  }
  CHECK(!wrong, "%s: dropout of %zu from block %zu, below %u: %d wrong", k->isa,
        n, first, below, wrong);
}

/* --- Statistics ------------------------------------------------------------------ */

#define SAMPLE ((size_t)64 * KERNEL_DROPOUT_BLOCK)

/* The factors of many blocks, dropped with probability p. */
static const real *factors(const kernels *k, uint64_t key, double p) {
  static real ones[SAMPLE], y[SAMPLE];
  for (size_t i = 0; i < SAMPLE; i++)
    ones[i] = 1;
  k->dropout->forward(y, ones, key, 0, (uint32_t)(p * 0x1p32),
                      (real)(1 / (1 - p)), SAMPLE);
  return y;
}

/* Mean and variance within five standard deviations of what p says. */
static void check_moments(const kernels *k, double p) {
  const real *y = factors(k, 1, p);
  double kept = 0;
  for (size_t i = 0; i < SAMPLE; i++)
    kept += y[i] != 0;
  kept /= (double)SAMPLE;
  CHECK(fabs(kept - (1 - p)) <= 5 * sqrt(p * (1 - p) / (double)SAMPLE),
        "%s: with p = %g, %g are kept", k->isa, p, kept);
}

/* Elements at a distance are independent: the products of their deviations have
** mean 0, within five standard deviations. */
static void check_distance(const kernels *k, double p, size_t distance) {
  const real *y = factors(k, 2, p);
  double sum = 0;
  for (size_t i = 0; i + distance < SAMPLE; i++)
    sum += (((double)y[i] != 0) - (1 - p)) *
           (((double)y[i + distance] != 0) - (1 - p));
  const double n = (double)(SAMPLE - distance);
  CHECK(fabs(sum / n) <= 5 * p * (1 - p) / sqrt(n),
        "%s: with p = %g, elements %zu apart have covariance %g", k->isa, p,
        distance, sum / n);
}

/* Arrays of neighbouring keys are independent, too. */
static void check_keys(const kernels *k) {
  static real first[SAMPLE];
  memcpy(first, factors(k, 7, 0.5), sizeof first);
  const real *second = factors(k, 8, 0.5);
  double sum = 0;
  for (size_t i = 0; i < SAMPLE; i++)
    sum += ((double)first[i] - 1) * ((double)second[i] - 1);
  CHECK(fabs(sum) <= 5 * sqrt((double)SAMPLE), "%s: keys 7 and 8 covary: %g",
        k->isa, sum / (double)SAMPLE);
}

static void check_set(const kernels *k) {
  for (size_t l = 0; l < LENGTH_COUNT; l++)
    check_twin(k, 3, lengths[l], UINT32_C(1) << 30);
  check_twin(k, 0, COUNT, UINT32_C(1) << 31);
  check_twin(k, 5, 100, 0);
  check_twin(k, 5, 100, UINT32_MAX);
  const double p[] = {1e-4, 0.1, 0.5, 0.9, 0.9999};
  for (size_t i = 0; i < sizeof p / sizeof *p; i++)
    check_moments(k, p[i]);
  const size_t distances[] = {1,
                              2,
                              3,
                              7,
                              8,
                              15,
                              16,
                              17,
                              31,
                              32,
                              33,
                              64,
                              128,
                              256,
                              512,
                              1024,
                              50,
                              100,
                              300,
                              2048,
                              4095,
                              4096,
                              KERNEL_DROPOUT_BLOCK * 2};
  for (size_t i = 0; i < sizeof distances / sizeof *distances; i++) {
    check_distance(k, 0.5, distances[i]);
    check_distance(k, 0.1, distances[i]);
  }
  check_keys(k);
}

int main(void) {
  return report_every_isa(check_set);
}
