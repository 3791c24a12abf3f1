/*
** Cells written as programs beside the fused ones: one layer over (T, B), forward
** and backward, in turns. Prints a line of JSON for each cell and size.
**
**   own [seconds [cell [hidden]]]
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"
#include "peak.h"

#define MOST_NODES 32
#define MOST_SAMPLES 200

/* Ends the program where the library refuses. */
static void must(saros_context *context, saros_status status) {
  if (status == SAROS_OK)
    return;
  fprintf(stderr, "own: %s\n", saros_error(context));
  exit(EXIT_FAILURE);
}

/* --- Programs ----------------------------------------------------------------------- */

/* A cell: node 0 is what comes from outside, node 1 a weight, node 2 its bias. The
** LSTM has one map of x .. h, the GRU adds what it reads of W x + b and U h + b'. */
typedef struct own_cell {
  struct saros_program p;
  program_node node[MOST_NODES];
  int operand[MOST_NODES][3];
  program_state state[2];
  int nodes[MOST_NODES], wanted;
  loop_spec spec;
} own_cell;

static int add_node(own_cell *c, int op, int function, int width, int a, int b,
                    int d) {
  int n = c->p.node_count++;
  program_node *node = &c->node[n];
  *node = (program_node){.op = op, .function = function, .width = width};
  const int operands[] = {a, b, d};
  for (int i = 0; i < 3 && operands[i] >= 0; i++)
    c->operand[n][node->inputs++] = operands[i];
  node->input = c->operand[n];
  if (n > 2)
    c->nodes[c->spec.count++] = n;
  return n;
}

static int add_state(own_cell *c, int H) {
  int n = add_node(c, NODE_STATE, 0, H, -1, -1, -1);
  c->state[c->p.state_count] = (program_state){"s", H, -1, -1, 0};
  c->node[n].state[0] = c->p.state_count++;
  return n;
}

static int combine(own_cell *c, int f, int a, int b) {
  int width =
      c->node[a].width > c->node[b].width ? c->node[a].width : c->node[b].width;
  return add_node(c, NODE_BINARY, f, width, a, b, -1);
}

static int apply(own_cell *c, int f, int x) {
  return add_node(c, NODE_UNARY, f, c->node[x].width, x, -1, -1);
}

static int gate(own_cell *c, int x, int number, int H) {
  int n = add_node(c, NODE_SLICE, 0, H, x, -1, -1);
  const int at[] = {1, c->node[x].width, 1, number * H, H, 1};
  memcpy(c->node[n].at, at, sizeof at);
  return n;
}

static void start_cell(own_cell *c, int outside_width, int H, int gates,
                       int read) {
  static const int outside[] = {0, 1, 2}, states[] = {0, 1};
  memset(c, 0, sizeof *c);
  c->p.nodes = c->node, c->p.states = c->state;
  c->spec = (loop_spec){.p = &c->p,
                        .nodes = c->nodes,
                        .states = states,
                        .outside = outside,
                        .outside_count = 3,
                        .wanted = &c->wanted,
                        .wanted_count = 1};
  add_node(c, NODE_INPUT, 0, outside_width, -1, -1, -1);
  add_node(c, NODE_PARAMETER, 0, gates * H * read, -1, -1, -1);
  add_node(c, NODE_PARAMETER, 0, gates * H, -1, -1, -1);
  c->node[1].invariant = c->node[2].invariant = 1;
}

static void make_lstm(own_cell *c, int H) {
  start_cell(c, H, H, 4, 2 * H);
  int h = add_state(c, H), old = add_state(c, H);
  int both = add_node(c, NODE_CONCATENATE, 0, 2 * H, 0, h, -1);
  int all = add_node(c, NODE_LINEAR, 0, 4 * H, both, 1, 2);
  int i = apply(c, SAROS_SIGMOID, gate(c, all, 0, H));
  int f = apply(c, SAROS_SIGMOID, gate(c, all, 1, H));
  int g = apply(c, SAROS_TANH, gate(c, all, 2, H));
  int o = apply(c, SAROS_SIGMOID, gate(c, all, 3, H));
  int next = combine(c, SAROS_ADD, combine(c, SAROS_MULTIPLY, f, old),
                     combine(c, SAROS_MULTIPLY, i, g));
  c->wanted = combine(c, SAROS_MULTIPLY, o, apply(c, SAROS_TANH, next));
  c->state[0].next = c->wanted, c->state[1].next = next;
  c->spec.state_count = 2;
}

static void make_gru(own_cell *c, int H) {
  start_cell(c, 3 * H, H, 3, H);
  int h = add_state(c, H);
  int u = add_node(c, NODE_LINEAR, 0, 3 * H, h, 1, 2);
  int r = combine(c, SAROS_ADD, gate(c, 0, 0, H), gate(c, u, 0, H));
  int z = combine(c, SAROS_ADD, gate(c, 0, 1, H), gate(c, u, 1, H));
  r = apply(c, SAROS_SIGMOID, r), z = apply(c, SAROS_SIGMOID, z);
  int n = combine(c, SAROS_ADD, gate(c, 0, 2, H),
                  combine(c, SAROS_MULTIPLY, r, gate(c, u, 2, H)));
  n = apply(c, SAROS_TANH, n);
  int old = combine(c, SAROS_SUBTRACT, h, n);
  c->wanted = combine(c, SAROS_ADD, n, combine(c, SAROS_MULTIPLY, z, old));
  c->state[0].next = c->wanted;
  c->spec.state_count = 1;
}

/* --- Layers --------------------------------------------------------------------------- */

typedef struct layer {
  saros_context *context;
  saros_cell cell;
  own_cell own;
  int T, B, H;
  saros_tensor *x, *weight_ih, *weight_hh, *bias_ih, *bias_hh, *dy;
  saros_tensor *weight;  // (G H, 2 H): of x .. h
} layer;

static saros_tensor *new_tensor(layer *l, int rank, const int *shape,
                                double scale, int trainable) {
  saros_tensor *x;
  must(l->context, saros_tensor_new(l->context, SAROS_REAL, rank, shape, &x));
  for (size_t i = 0; i < x->count; i++)
    tensor_reals(x)[i] = (real)(scale * (2.0 * rand() / RAND_MAX - 1));
  if (trainable)
    must(l->context, saros_set_trainable(x, 1));
  return x;
}

static void make_layer(layer *l) {
  int gates = saros_cell_of(l->cell).gates, GH = gates * l->H;
  double scale = 1 / (double)l->H + 0.05;
  if (l->cell == SAROS_LSTM)
    make_lstm(&l->own, l->H);
  else
    make_gru(&l->own, l->H);
  l->x = new_tensor(l, 3, (int[]){l->T, l->B, l->H}, 1, 1);
  l->weight_ih = new_tensor(l, 2, (int[]){GH, l->H}, scale, 1);
  l->weight_hh = new_tensor(l, 2, (int[]){GH, l->H}, scale, 1);
  l->weight = new_tensor(l, 2, (int[]){GH, 2 * l->H}, scale, 1);
  l->bias_ih = new_tensor(l, 1, &GH, 0.1, 1);
  l->bias_hh = new_tensor(l, 1, &GH, 0.1, 1);
  l->dy = new_tensor(l, 3, (int[]){l->T, l->B, l->H}, 1, 0);
}

static void free_layer(layer *l) {
  saros_tensor *all[] = {l->x,       l->weight_ih, l->weight_hh, l->weight,
                         l->bias_ih, l->bias_hh,   l->dy};
  for (int i = 0; i < 7; i++)
    saros_tensor_release(all[i]);
  loop_forget(l->own.p.loops);
}

static void run_fused(layer *l, saros_tensor **y, saros_tensor **last) {
  const saros_named_tensor with[] = {{"weight_ih", l->weight_ih},
                                     {"weight_hh", l->weight_hh},
                                     {"bias_ih", l->bias_ih},
                                     {"bias_hh", l->bias_hh}};
  must(l->context,
       saros_recurrent(l->cell, l->x, NULL, with, 4, NULL, y, last));
}

static void run_own(layer *l, saros_tensor **y, saros_tensor **last) {
  saros_tensor *outside[] = {l->x, l->weight, l->bias_ih}, *gates = NULL;
  if (l->cell == SAROS_GRU) {
    must(l->context, saros_linear(l->x, l->weight_ih, l->bias_ih, &gates));
    outside[0] = gates, outside[1] = l->weight_hh, outside[2] = l->bias_hh;
  }
  must(l->context, loop_run(l->context, &l->own.spec, l->T, l->B, outside, NULL,
                            NULL, y, last));
  saros_tensor_release(gates);
}

/* Seconds of one pass forward and back. */
static double time_once(layer *l, void (*run)(layer *, saros_tensor **,
                                              saros_tensor **)) {
  saros_tape *tape;
  saros_tensor *y, *last[2] = {NULL, NULL};
  double begin = peak_clock();
  must(l->context, saros_tape_open(l->context, 1, &tape));
  run(l, &y, last);
  must(l->context, saros_tape_backward(tape, y, l->dy));
  saros_tensor_release(y);
  saros_tensor_release(last[0]);
  saros_tensor_release(last[1]);
  saros_tape_release(tape);
  return peak_clock() - begin;
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int n) {
  qsort(values, (size_t)n, sizeof *values, compare);
  return values[n / 2];
}

static void measure(layer *l, double seconds) {
  double fused[MOST_SAMPLES], own[MOST_SAMPLES], ratio[MOST_SAMPLES];
  int n = 0;
  make_layer(l);
  time_once(l, run_fused), time_once(l, run_own);
  double begin = peak_clock();
  while (n < 5 || (n < MOST_SAMPLES && peak_clock() - begin < seconds)) {
    fused[n] = time_once(l, run_fused);
    own[n] = time_once(l, run_own);
    ratio[n] = own[n] / fused[n];
    n++;
  }
  printf(
      "{\"case\": \"own\", \"cell\": \"%s\", \"hidden\": %d, \"batch\": %d, "
      "\"steps\": %d, \"ms_fused\": %.3f, \"ms_own\": %.3f, "
      "\"ratio\": %.3f}\n",
      saros_cell_of(l->cell).name, l->H, l->B, l->T, 1e3 * median(fused, n),
      1e3 * median(own, n), median(ratio, n));
  fflush(stdout);
  free_layer(l);
}

int main(int count, char **word) {
  static const int sizes[][3] = {
      {16, 50, 50}, {32, 50, 50}, {128, 50, 50}, {512, 64, 128}};
  double seconds = count > 1 ? atof(word[1]) : 1;
  saros_context *context = saros_context_new(NULL, NULL);
  must(context, saros_set_threads(context, 1));
  for (int i = 0; i < 8; i++) {
    layer l = {.context = context,
               .cell = i % 2 ? SAROS_GRU : SAROS_LSTM,
               .H = sizes[i / 2][0],
               .B = sizes[i / 2][1],
               .T = sizes[i / 2][2]};
    if ((count > 2 && strcmp(word[2], saros_cell_of(l.cell).name) != 0) ||
        (count > 3 && atoi(word[3]) != l.H))
      continue;
    measure(&l, seconds);
  }
  saros_context_release(context);
  return 0;
}
