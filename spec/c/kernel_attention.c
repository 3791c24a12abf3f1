/* A step of attention over a window, against twins in double. */
#include "kernel_spec.h"

enum { LARGEST = 48, SLOTS = 40, BLOCKS = (SLOTS + 15) / 16 };

static real q[LARGEST], keys[BLOCKS * LARGEST * ATTENTION_SLOTS];
static real values[SLOTS * LARGEST], distance[LARGEST * 2 * SLOTS];
static real weights[LARGEST * SLOTS], scores[LARGEST * SLOTS], y[LARGEST];

/* The key of a slot, feature by feature. */
static double key_at(int slot, int feature, int F) {
  return (double)keys[(slot / 16 * F + feature) * 16 + slot % 16];
}

static double score_twin(int head, int slot, int D, int F, int W) {
  double sum = 0;
  for (int i = head * D; i < (head + 1) * D; i++)
    sum += (double)q[i] * key_at(slot, i, F);
  return sum / sqrt(D) + (double)distance[head * 2 * W + slot];
}

static double read_twin(int head, int feature, int F, int n) {
  double sum = 0;
  for (int slot = 0; slot < n; slot++)
    sum +=
        (double)weights[head * n + slot] * (double)values[slot * F + feature];
  return sum;
}

static void check_step(const kernels *k, int heads, int D, int n, int W) {
  const int F = heads * D;
  int wrong = 0;
  scores[heads * n] = y[F] = 7;
  k->attention->score(scores, q, keys, distance, heads, F, n, W);
  k->attention->read(y, weights, values, heads, F, n);
  for (int head = 0; head < heads; head++) {
    for (int slot = 0; slot < n; slot++)
      wrong +=
          !near(scores[head * n + slot], score_twin(head, slot, D, F, W), D, 4);
    for (int i = head * D; i < (head + 1) * D; i++)
      wrong += !near(y[i], read_twin(head, i, F, n), n, 4);
  }
  wrong += scores[heads * n] != 7 || y[F] != 7;
  CHECK(!wrong, "%s: %d heads of %d, %d slots of %d: %d wrong", k->isa, heads,
        D, n, W, wrong);
}

static void check_set(const kernels *k) {
  static const int slots[] = {1, 2, 15, 16, 17, 32, SLOTS};
  fill_random(q, LARGEST, -1, 1);
  fill_random(keys, sizeof keys / sizeof *keys, -1, 1);
  fill_random(values, sizeof values / sizeof *values, -1, 1);
  fill_random(distance, sizeof distance / sizeof *distance, -1, 1);
  fill_random(weights, sizeof weights / sizeof *weights, -1, 1);
  for (int heads = 1; heads <= 4; heads++)
    for (int D = 1; heads * D < LARGEST; D += 5)
      for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        check_step(k, heads, D, slots[i], slots[i]);
        check_step(k, heads, D, slots[i], SLOTS);
      }
}

int main(void) {
  return report_every_isa(check_set);
}
