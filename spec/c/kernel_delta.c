/* The delta rule: steps and chunks, against a twin in double. */
#include "kernel_spec.h"

enum { HEADS = 3, LARGEST = 70, STEPS = 70, MOST = 4 };

static real q[STEPS * HEADS * LARGEST], k[STEPS * MOST * HEADS * LARGEST];
static real v[STEPS * MOST * HEADS * LARGEST], decay[STEPS * HEADS * LARGEST];
static real write[STEPS * MOST * HEADS], erase[STEPS * MOST * HEADS];
static real y[STEPS * HEADS * LARGEST + 1];
static real m[HEADS * LARGEST * LARGEST + 1];
static double twin_m[HEADS * LARGEST * LARGEST];
static double twin_y[STEPS * HEADS * LARGEST];
static _Alignas(64) real padded[LARGEST * 80], room[200000];

/* Which inputs there are. */
typedef struct options {
  int write, erase, decay, channels;
} options;

static void twin_micro_step(double *head_m, int at, double write_by,
                            double erase_by, const kernel_delta_sizes *s) {
  for (int j = 0; j < s->V; j++) {
    double sum = 0;
    for (int i = 0; i < s->K; i++)
      sum += (double)k[at * s->K + i] * head_m[i * s->V + j];
    const double u = write_by * (double)v[at * s->V + j] - erase_by * sum;
    for (int i = 0; i < s->K; i++)
      head_m[i * s->V + j] += (double)k[at * s->K + i] * u;
  }
}

/* One step of one head, row 'row' of the arrays. */
static void twin_step(int row, int head, const options *o,
                      const kernel_delta_sizes *s) {
  const int H = s->heads, K = s->K, V = s->V;
  double *head_m = twin_m + head * K * V;
  for (int i = 0; i < K && o->decay; i++)
    for (int j = 0; j < V; j++)
      head_m[i * V + j] *=
          exp((double)(o->channels ? decay[(row * H + head) * K + i]
                                   : decay[row * H + head]));
  for (int j = 0; j < s->reflections; j++) {
    const int at = (row * s->reflections + j) * H + head;
    twin_micro_step(head_m, at, o->write ? (double)write[at] : 1,
                    o->erase ? (double)erase[at] : 0, s);
  }
  for (int j = 0; j < V; j++) {
    double *sum = &twin_y[(row * H + head) * V + j];
    *sum = 0;
    for (int i = 0; i < K; i++)
      *sum += (double)q[(row * H + head) * K + i] * head_m[i * V + j];
  }
}

/* Random inputs, with keys of length 1 at most; the same states for both. */
static void fill(const kernel_delta_sizes *s) {
  const double size = 1 / sqrt(s->K);
  fill_random(q, sizeof q / sizeof *q, -1, 1);
  fill_random(k, sizeof k / sizeof *k, -size, size);
  fill_random(v, sizeof v / sizeof *v, -1, 1);
  fill_random(write, sizeof write / sizeof *write, 0, 1);
  fill_random(erase, sizeof erase / sizeof *erase, 0, 2);
  fill_random(decay, sizeof decay / sizeof *decay, -1, 0);
  fill_random(m, (size_t)(s->heads * s->K * s->V), -1, 1);
  for (int i = 0; i < s->heads * s->K * s->V; i++)
    twin_m[i] = (double)m[i];
}

static kernel_delta_inputs inputs_of(const options *o) {
  return (kernel_delta_inputs){q,
                               k,
                               v,
                               o->write ? write : NULL,
                               o->erase ? erase : NULL,
                               o->decay ? decay : NULL};
}

static int count_wrong(const real *got, const double *expected, int count,
                       double roundings) {
  int wrong = 0;
  for (int i = 0; i < count; i++)
    wrong += !near(got[i], expected[i], 4, roundings);
  return wrong;
}

static void check_step(const kernels *set, const options *o,
                       const kernel_delta_sizes *s) {
  const kernel_delta_inputs x = inputs_of(o);
  const int states = s->heads * s->K * s->V, outputs = s->heads * s->V;
  fill(s);
  m[states] = y[outputs] = 7;
  for (int head = 0; head < s->heads; head++)
    twin_step(0, head, o, s);
  set->delta->step(y, m, &x, s);
  int wrong =
      count_wrong(m, twin_m, states, 16) + count_wrong(y, twin_y, outputs, 64);
  wrong += m[states] != 7 || y[outputs] != 7;
  CHECK(!wrong, "%s: a step of %d x %d, %d reflections: %d wrong", set->isa,
        s->K, s->V, s->reflections, wrong);
}

/* A chunk of the middle head, whose steps stand in every other row. */
static void check_chunk(const kernels *set, const options *o,
                        const kernel_delta_sizes *s, int steps) {
  const int K = s->K, V = s->V, width = KERNEL_DELTA_PADDED(V), head = 1;
  size_t row[STEPS];
  const kernel_delta_chunk x = {.sizes = s,
                                .x = inputs_of(o),
                                .head = head,
                                .steps = steps,
                                .row = row,
                                .source = row};
  int wrong = 0;
  fill(s);
  memset(padded, 0, sizeof padded);
  for (int i = 0; i < K; i++)
    memcpy(padded + i * width, m + (head * K + i) * V, (size_t)V * sizeof *m);
  for (int i = 0; i < steps; i++) {
    row[i] = (size_t)(2 * i);
    twin_step(2 * i, head, o, s);
  }
  CHECK(set->delta->room(s, steps) <= sizeof room / sizeof *room, "room");
  set->delta->forward(y, padded, padded, room, &x);
  for (int i = 0; i < K; i++)
    wrong +=
        count_wrong(padded + i * width, twin_m + (head * K + i) * V, V, 256);
  for (int i = 0; i < steps; i++) {
    const int at = (2 * i * s->heads + head) * V;
    wrong += count_wrong(y + at, twin_y + at, V, 512);
  }
  CHECK(!wrong, "%s: %d steps of %d x %d, %d reflections: %d wrong", set->isa,
        steps, K, V, s->reflections, wrong);
}

static void check_sizes(const kernels *set, const options *o, int K, int V) {
  static const int steps[] = {1, 2, 7, 16, 17, 35};
  for (int n = 1; n <= MOST; n += n) {
    const kernel_delta_sizes s = {.heads = HEADS,
                                  .K = K,
                                  .V = V,
                                  .reflections = n,
                                  .channels = o->channels};
    check_step(set, o, &s);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
      if (steps[i] * n <= KERNEL_DELTA_MOST)
        check_chunk(set, o, &s, steps[i]);
  }
}

static void check_set(const kernels *set) {
  static const options all[] = {{0, 0, 0, 0}, {1, 0, 0, 0}, {0, 1, 0, 0},
                                {1, 1, 1, 0}, {1, 1, 1, 1}, {1, 0, 1, 1}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    check_sizes(set, &all[i], 1, 1);
    check_sizes(set, &all[i], 3, 17);
    check_sizes(set, &all[i], 16, 16);
    check_sizes(set, &all[i], 33, LARGEST);
    check_sizes(set, &all[i], LARGEST, 32);
    check_sizes(set, &all[i], 64, 64);
    for (int n = 1; n <= 2; n++)  // keys of more rows than a step keeps at hand
      check_step(set, &all[i],
                 &(kernel_delta_sizes){.heads = HEADS,
                                       .K = 270,
                                       .V = 18,
                                       .reflections = n,
                                       .channels = all[i].channels});
  }
}

int main(void) {
  return report_every_isa(check_set);
}
