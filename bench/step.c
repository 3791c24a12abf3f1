/*
** One step of one recurrent layer in a session, from C: input size 1, one
** stream, and a dense head if it is to have outputs. Prints a line of JSON: the
** time of a step among many, and of single ones, at the median and such that one
** of 1000 takes longer; and, where bench/plain.c has that cell and size, of a step
** as one writes it by hand, taken in turn with it.
**
**   step CELL HIDDEN WEIGHTS OUTPUTS    the cell as saros.h names it: "lstm"
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peak.h"
#include "plain.h"
#include "saros.h"
#include "../spec/c/stages.h"

#define SAMPLES 101
#define SAMPLE_SECONDS 0.001
#define FEWEST_SINGLE 2000
#define MOST_SINGLE 100000
#define SINGLE_SECONDS 0.3

static void fail(const saros_context *context) {
  fprintf(stderr, "step: %s\n", saros_error(context));
  exit(1);
}

static saros_tensor *weights(saros_generator *g, saros_context *context,
                             int rank, int rows, int columns) {
  saros_tensor *x;
  const int shape[2] = {rows, columns};
  if (saros_tensor_new(context, SAROS_REAL, rank, shape, &x) != SAROS_OK ||
      saros_fill_uniform(g, -0.05, 0.05, x) != SAROS_OK)
    fail(context);
  return x;
}

/* The layer, and the head. */
static void make_stages(stage stages[2], saros_context *context,
                        saros_cell cell, int H, int outputs) {
  const saros_cell_facts facts = saros_cell_of(cell);
  const int GH = facts.gates * H;
  saros_generator *g;
  if (saros_generator_new(context, 1, &g) != SAROS_OK)
    fail(context);
  stages[0] = (stage){.kind = STAGE_RECURRENT,
                      .cell = cell,
                      .layer = {.weight_ih = weights(g, context, 2, GH, 1),
                                .bias_ih = weights(g, context, 1, GH, 0)}};
  stages[1] = (stage){.kind = STAGE_LINEAR};
  if (!facts.linear) {
    stages[0].layer.weight_hh = weights(g, context, 2, GH, H);
    stages[0].layer.bias_hh = weights(g, context, 1, GH, 0);
  }
  if (outputs > 0) {
    stages[1].weight = weights(g, context, 2, outputs, H);
    stages[1].bias = weights(g, context, 1, outputs, 0);
  }
}

/* The same by hand; null if there is no such. */
static plain *plain_of(const stage *stages, int H, int outputs) {
  const stage_layer *l = &stages[0].layer;
  const int gates = saros_cell_of(stages[0].cell).gates;
  if ((stages[0].cell != SAROS_LSTM && stages[0].cell != SAROS_GRU) ||
      outputs != 1)
    return NULL;
  return plain_new(
      gates, H, saros_tensor_reals(l->weight_ih),
      saros_tensor_reals(l->weight_hh), saros_tensor_reals(l->bias_ih),
      saros_tensor_reals(l->bias_hh), saros_tensor_reals(stages[1].weight),
      saros_tensor_reals(stages[1].bias)[0]);
}

/* What is stepped: a session, or a cell by hand. */
typedef struct subject {
  saros_session *session;
  plain *plain;
} subject;

static saros_real input_at(int t) {
  return (saros_real)(t % 7) / 7;
}

static double time_steps(subject s, int steps) {
  const double begin = peak_clock();
  for (int t = 0; t < steps; t++) {
    const saros_real x = input_at(t);
    if (s.session != NULL)
      saros_session_step(s.session, &x);
    else
      plain_step(s.plain, x);
  }
  return (peak_clock() - begin) / steps;
}

/* Whoever is faster must have done the same. */
static void compare_outputs(saros_session *s, plain *p) {
  for (int t = 0; t < 50; t++) {
    const saros_real x = input_at(t);
    saros_session_step(s, &x);
    const double y = saros_tensor_get(saros_session_output(s), 0);
    const double off = fabs(y - (double)plain_step(p, x));
    if (off < 1e-5)
      continue;
    fprintf(stderr, "step: the cell by hand is %g off at step %d\n", off, t);
    exit(1);
  }
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Seconds of a step, the medians over some samples of the session and, if there
** is one, of the cell by hand, sample by sample. */
static void median_steps(saros_session *s, plain *p, double median[2]) {
  double seconds[2][SAMPLES];
  const subject subjects[2] = {{.session = s}, {.plain = p}};
  int steps = 10;
  while (time_steps(subjects[0], steps) * steps < SAMPLE_SECONDS)
    steps *= 2;
  const int count = p != NULL ? 2 : 1;
  for (int i = 0; i < SAMPLES; i++)
    for (int which = 0; which < count; which++)
      seconds[which][i] = time_steps(subjects[which], steps);
  for (int which = 0; which < count; which++) {
    qsort(seconds[which], SAMPLES, sizeof(double), compare);
    median[which] = seconds[which][SAMPLES / 2];
  }
}

/* Seconds of so many steps one by one, or of nothing without a session, in
** ascending order. */
static void time_singly(double *seconds, saros_session *s, int steps) {
  for (int t = 0; t < steps; t++) {
    const saros_real x = input_at(t);
    const double begin = peak_clock();
    if (s != NULL)
      saros_session_step(s, &x);
    seconds[t] = peak_clock() - begin;
  }
  qsort(seconds, (size_t)steps, sizeof *seconds, compare);
}

/* The median of single steps and what one of 1000 exceeds, without the clock's
** own time. */
static void single_steps(saros_session *s, double step, double *median,
                         double *slow) {
  static double seconds[MOST_SINGLE];
  const double wanted = SINGLE_SECONDS / step;
  const int steps = wanted < FEWEST_SINGLE ? FEWEST_SINGLE
                    : wanted > MOST_SINGLE ? MOST_SINGLE
                                           : (int)wanted;
  time_singly(seconds, NULL, FEWEST_SINGLE);
  const double clock = seconds[FEWEST_SINGLE / 2];
  time_singly(seconds, s, steps);
  *median = seconds[steps / 2] - clock;
  *slow = seconds[steps - 1 - steps / 1000] - clock;
}

static const char *cell_name(int cell) {
  return saros_cell_of((saros_cell)cell).name;
}

static const char *weights_name(int kind) {
  static const char *const names[SAROS_WEIGHTS_KINDS] = {"real", "bf16",
                                                         "int8"};
  return names[kind];
}

/* The position of a name; 'count' if there is none such. */
static int find(const char *name, const char *(*name_of)(int), int count) {
  int at = 0;
  while (at < count && strcmp(name, name_of(at)) != 0)
    at++;
  return at;
}

int main(int count, char **words) {
  const int all = count == 5;
  int cell = all ? find(words[1], cell_name, SAROS_CELLS) : SAROS_CELLS;
  int H = all ? atoi(words[2]) : 0, outputs = all ? atoi(words[4]) : 0;
  int kind = all ? find(words[3], weights_name, SAROS_WEIGHTS_KINDS) : 0;
  if (H < 1 || cell == SAROS_CELLS || kind == SAROS_WEIGHTS_KINDS) {
    fprintf(stderr, "usage: step CELL HIDDEN WEIGHTS OUTPUTS\n");
    return 1;
  }
  saros_context *context = saros_context_new(NULL, NULL);
  stage stages[2];
  make_stages(stages, context, (saros_cell)cell, H, outputs);
  saros_session *s = stages_session(context, 1 + (outputs > 0), stages, 1,
                                    (saros_weights)kind);
  if (s == NULL)
    fail(context);
  plain *p = kind == SAROS_WEIGHTS_REAL ? plain_of(stages, H, outputs) : NULL;
  double step[2], single, slow;
  if (p != NULL)
    compare_outputs(s, p);
  median_steps(s, p, step);
  single_steps(s, step[0], &single, &slow);
  printf("{\"us_per_step\": %.5g, \"us_single\": %.5g, \"us_single_999\": %.5g",
         step[0] * 1e6, single * 1e6, slow * 1e6);
  if (p != NULL)
    printf(", \"us_plain\": %.5g", step[1] * 1e6);
  printf("}\n");
  free(p);
  saros_context_destroy(context);
  return 0;
}
