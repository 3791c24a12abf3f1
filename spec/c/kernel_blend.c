/* What steps of all cells share, against twins in double. */
#include "kernel_spec.h"

#define ROWS 3

typedef struct arrays {
  real h[ROWS * LONGEST], h_prev[ROWS * LONGEST], kept[ROWS * LONGEST];
  real zone[ROWS * LONGEST], dh_prev[ROWS * LONGEST], mask[ROWS];
} arrays;

static void prepare(arrays *x, size_t n) {
  fill_random(x->h, ROWS * n, -2, 2);
  fill_random(x->h_prev, ROWS * n, -2, 2);
  fill_random(x->dh_prev, ROWS * n, -2, 2);
  fill_random(x->zone, ROWS * n, 0, 1);
  memcpy(x->kept, x->h, sizeof x->h);
  x->mask[0] = 1, x->mask[1] = 0, x->mask[2] = 1;
}

static double weight(const arrays *x, int masked, int zoned, size_t at,
                     size_t n) {
  return (masked ? (double)x->mask[at / n] : 1) *
         (zoned ? (double)x->zone[at] : 1);
}

static void check_blend(const kernels *k, int masked, int zoned, size_t n) {
  static arrays x;
  const real *mask = masked ? x.mask : NULL, *zone = zoned ? x.zone : NULL;
  int wrong = 0;
  prepare(&x, n);
  k->blend->blend(x.h, x.h_prev, mask, zone, ROWS, n);
  for (size_t i = 0; i < ROWS * n; i++) {
    const double w = weight(&x, masked, zoned, i, n);
    wrong += !near(x.h[i],
                   w * (double)x.kept[i] + (1 - w) * (double)x.h_prev[i], 2, 4);
  }
  prepare(&x, n);
  memcpy(x.h_prev, x.dh_prev, sizeof x.h_prev);
  k->blend->blend_backward(x.h, x.dh_prev, mask, zone, ROWS, n);
  for (size_t i = 0; i < ROWS * n; i++) {
    const double w = weight(&x, masked, zoned, i, n), dh = (double)x.kept[i];
    wrong += !near(x.h[i], w * dh, 2, 4);
    wrong += !near(x.dh_prev[i], (double)x.h_prev[i] + (1 - w) * dh, 2, 4);
  }
  CHECK(!wrong, "%s: blend of %zu (mask %d, zone %d): %d wrong", k->isa, n,
        masked, zoned, wrong);
}

/* A masked row keeps its state whatever the new one is. */
static void check_masked_nan(const kernels *k) {
  real h[2] = {NAN, INFINITY}, h_prev[2] = {3, 4}, mask[1] = {0};
  k->blend->blend(h, h_prev, mask, NULL, 1, 2);
  CHECK(h[0] == 3 && h[1] == 4, "%s: a masked row keeps its state", k->isa);
}

/* What is multiplied by 0 is not read. */
static void check_unread_nan(const kernels *k) {
  const real x[2] = {NAN, INFINITY}, factor[1] = {0};
  real y[2] = {3, 4};
  k->blend->add_scaled_rows(y, x, factor, 1, 2);
  CHECK(y[0] == 3 && y[1] == 4, "%s: a row times 0 adds nothing", k->isa);
  k->blend->scale_rows(y, x, factor, 1, 2);
  CHECK(y[0] == 0 && y[1] == 0, "%s: a row times 0 is 0", k->isa);
}

static void check_rows(const kernels *k, size_t n) {
  static arrays x;
  int wrong = 0;
  prepare(&x, n);
  k->blend->scale_rows(x.h, x.h, x.mask, ROWS, n);
  k->blend->add_scaled_rows(x.h, x.h_prev, x.mask, ROWS, n);
  for (size_t i = 0; i < ROWS * n; i++) {
    const double factor = (double)x.mask[i / n];
    wrong +=
        !near(x.h[i], factor * ((double)x.kept[i] + (double)x.h_prev[i]), 2, 2);
  }
  CHECK(!wrong, "%s: scaled rows of %zu: %d wrong", k->isa, n, wrong);
}

static void check_set(const kernels *k) {
  check_masked_nan(k);
  check_unread_nan(k);
  for (size_t l = 0; l < LENGTH_COUNT; l++) {
    check_rows(k, lengths[l]);
    for (int which = 0; which < 4; which++)
      check_blend(k, which & 1, which >> 1, lengths[l]);
  }
}

int main(void) {
  return report_every_isa(check_set);
}
