/*
** One step of one recurrent layer in a session, from C: input size 1, one
** stream, and a dense head if it is to have outputs. Prints a line of JSON: the
** time of a step among many, and of single ones, at the median and such that one
** of 1000 takes longer.
**
**   step CELL HIDDEN WEIGHTS OUTPUTS    the cell as saros.h names it: "lstm"
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peak.h"
#include "saros.h"

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

static saros_session *open_session(saros_context *context, saros_cell cell,
                                   int H, saros_weights kind, int outputs) {
  const saros_cell_facts facts = saros_cell_of(cell);
  const int GH = facts.gates * H;
  saros_generator *g;
  saros_session *s;
  if (saros_generator_new(context, 1, &g) != SAROS_OK)
    fail(context);
  saros_stage stages[] = {{.kind = SAROS_STAGE_RECURRENT,
                           .cell = cell,
                           .layer = {.weight_ih = weights(g, context, 2, GH, 1),
                                     .bias_ih = weights(g, context, 1, GH, 0)}},
                          {.kind = SAROS_STAGE_LINEAR}};
  if (!facts.linear) {
    stages[0].layer.weight_hh = weights(g, context, 2, GH, H);
    stages[0].layer.bias_hh = weights(g, context, 1, GH, 0);
  }
  if (outputs > 0) {
    stages[1].weight = weights(g, context, 2, outputs, H);
    stages[1].bias = weights(g, context, 1, outputs, 0);
  }
  if (saros_session_new(context, 1 + (outputs > 0), stages, 1, kind, &s) !=
      SAROS_OK)
    fail(context);
  return s;
}

static double time_steps(saros_session *s, int steps) {
  const double begin = peak_clock();
  for (int t = 0; t < steps; t++) {
    const saros_real x = (saros_real)(t % 7) / 7;
    saros_session_step(s, &x);
  }
  return (peak_clock() - begin) / steps;
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Seconds of a step, the median over some samples. */
static double median_step(saros_session *s) {
  double seconds[SAMPLES];
  int steps = 10;
  while (time_steps(s, steps) * steps < SAMPLE_SECONDS)
    steps *= 2;
  for (int i = 0; i < SAMPLES; i++)
    seconds[i] = time_steps(s, steps);
  qsort(seconds, SAMPLES, sizeof *seconds, compare);
  return seconds[SAMPLES / 2];
}

/* Seconds of so many steps one by one, or of nothing without a session, in
** ascending order. */
static void time_singly(double *seconds, saros_session *s, int steps) {
  for (int t = 0; t < steps; t++) {
    const saros_real x = (saros_real)(t % 7) / 7;
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
  saros_session *s =
      open_session(context, (saros_cell)cell, H, (saros_weights)kind, outputs);
  const double step = median_step(s);
  double single, slow;
  single_steps(s, step, &single, &slow);
  printf(
      "{\"us_per_step\": %.5g, \"us_single\": %.5g, \"us_single_999\": %.5g}\n",
      step * 1e6, single * 1e6, slow * 1e6);
  saros_context_destroy(context);
  return 0;
}
