/*
** Programs made by hand for specs of the loop, and the naive twin of the loop:
** the operations of the core, node by node and step by step.
*/
#ifndef LOOP_SPEC_H
#define LOOP_SPEC_H

#include <stdlib.h>
#include <string.h>

#include "loop.h"

#define MOST_NODES 160
#define MOST_STATES 4

/* A program, and the spec of its only component. */
typedef struct made {
  saros_context *context;
  struct saros_program p;
  program_node node[MOST_NODES];
  int operand[MOST_NODES][8];
  program_state state[MOST_STATES];
  int nodes[MOST_NODES], states[MOST_STATES];
  int outside[MOST_NODES], wanted[MOST_NODES];
  int rank[MOST_NODES], shape[MOST_NODES][2];  // of parameters
  loop_spec spec;
} made;

static inline void made_start(made *m, saros_context *context) {
  memset(m, 0, sizeof *m);
  m->context = context;
  m->p.nodes = m->node, m->p.states = m->state;
  m->spec.p = &m->p;
  m->spec.nodes = m->nodes, m->spec.states = m->states;
  m->spec.outside = m->outside, m->spec.wanted = m->wanted;
}

static inline int made_node(made *m, int op, int function, int width,
                            const int *in, int inputs) {
  int n = m->p.node_count++;
  program_node *node = &m->node[n];
  node->op = op, node->function = function, node->width = width;
  node->inputs = inputs;
  node->input = m->operand[n];
  if (inputs > 0)
    memcpy(m->operand[n], in, (size_t)inputs * sizeof *in);
  if (op == NODE_INPUT || op == NODE_PARAMETER || op == NODE_CONSTANT)
    m->outside[m->spec.outside_count++] = n;
  else
    m->nodes[m->spec.count++] = n;
  node->invariant = op == NODE_PARAMETER || op == NODE_CONSTANT;
  return n;
}

static inline int made_input(made *m, int width) {
  return made_node(m, NODE_INPUT, 0, width, NULL, 0);
}

static inline int made_parameter(made *m, int rank, int rows, int columns) {
  int n = made_node(m, NODE_PARAMETER, 0, rows * columns, NULL, 0);
  m->rank[n] = rank;
  m->shape[n][0] = rows, m->shape[n][1] = columns;
  return n;
}

static inline int made_constant(made *m, double value) {
  int n = made_node(m, NODE_CONSTANT, 0, 1, NULL, 0);
  m->node[n].number[NUMBER_VALUE] = value;
  return n;
}

static inline int made_state(made *m, int width, int first) {
  int s = m->p.state_count++;
  m->state[s] = (program_state){"s", width, first, -1, 0};
  m->states[s] = s;
  m->spec.state_count = m->p.state_count;
  int n = made_node(m, NODE_STATE, 0, width, NULL, 0);
  m->node[n].states = 1;
  m->node[n].state[0] = s;
  return n;
}

static inline int made_unary(made *m, int f, int x) {
  return made_node(m, NODE_UNARY, f, m->node[x].width, &x, 1);
}

static inline int made_binary(made *m, int f, int a, int b) {
  int of_a = m->node[a].width, of_b = m->node[b].width;
  return made_node(m, NODE_BINARY, f, of_a > of_b ? of_a : of_b, (int[]){a, b},
                   2);
}

/* x W^T + b with a new W, and a new b if 'biased'. */
static inline int made_linear(made *m, int x, int width, int biased) {
  int weight = made_parameter(m, 2, width, m->node[x].width);
  int bias = biased ? made_parameter(m, 1, 1, width) : -1;
  return made_node(m, NODE_LINEAR, 0, width, (int[]){x, weight, bias},
                   biased ? 3 : 2);
}

static inline int made_row(made *m, int op, int width, int x, const int *at) {
  int n = made_node(m, op, 0, width, &x, 1);
  memcpy(m->node[n].at, at, sizeof(int[6]));
  return n;
}

static inline int made_slice(made *m, int x, int from, int count) {
  return made_row(m, NODE_SLICE, count, x,
                  (int[]){1, m->node[x].width, 1, from, count, 1});
}

static inline void made_want(made *m, int node) {
  m->wanted[m->spec.wanted_count++] = node;
}

/* --- The twin --------------------------------------------------------------------- */

/* Ends the program where the core refuses what the spec should not ask. */
static inline void must(saros_context *context, saros_status status) {
  if (status == SAROS_OK)
    return;
  printf("refused: %s\n", saros_error(context));
  exit(1);
}

/* Tensors to be released in the end. */
typedef struct heap {
  saros_context *context;
  saros_tensor **item;
  size_t count;
} heap;

static inline saros_tensor *keep(heap *h, saros_tensor *x) {
  h->item = realloc(h->item, (h->count + 1) * sizeof *h->item);
  h->item[h->count++] = x;
  return x;
}

static inline void heap_free(heap *h) {
  for (size_t i = 0; i < h->count; i++)
    saros_tensor_release(h->item[i]);
  free(h->item);
  h->item = NULL, h->count = 0;
}

#define MAKE(h, call)                                                          \
  ({                                                                           \
    saros_tensor *out_ = NULL, **out = &out_;                                  \
    must((h)->context, call);                                                  \
    keep(h, out_);                                                             \
  })

static inline saros_tensor *reshaped(heap *h, saros_tensor *x, int rank,
                                     const int *shape) {
  return MAKE(h, saros_reshape(x, rank, shape, out));
}

static inline saros_tensor *flat(heap *h, saros_tensor *x, int B) {
  return reshaped(h, x, 2, (int[]){B, -1});
}

static inline saros_tensor *twin_matrix(heap *h, const program_node *n,
                                        saros_tensor *a, saros_tensor *b,
                                        int B) {
  int heads = n->at[AT_HEADS];
  if (n->op == NODE_OUTER) {
    saros_tensor *u = reshaped(h, a, 4, (int[]){B, heads, -1, 1});
    saros_tensor *v = reshaped(h, b, 4, (int[]){B, heads, 1, -1});
    return flat(h, MAKE(h, saros_matmul(u, v, out)), B);
  }
  saros_tensor *m =
      reshaped(h, a, 4, (int[]){B, heads, n->at[AT_ROWS], n->at[AT_COLUMNS]});
  if (n->at[AT_TRANSPOSED])
    m = MAKE(h, saros_transpose(m, 2, 3, out));
  saros_tensor *v = reshaped(h, b, 4, (int[]){B, heads, -1, 1});
  return flat(h, MAKE(h, saros_matmul(m, v, out)), B);
}

static inline saros_tensor *twin_norm(heap *h, const program_node *n,
                                      saros_tensor **in, int B) {
  int k = n->at[AT_N];
  saros_tensor *x = reshaped(h, in[0], 3, (int[]){B, -1, k}), *number;
  if (n->op == NODE_LAYER_NORM) {
    saros_tensor *centre = MAKE(h, saros_mean(x, 2, 1, out));
    x = MAKE(h, saros_combine(SAROS_SUBTRACT, x, centre, out));
  }
  saros_tensor *square = MAKE(h, saros_combine(SAROS_MULTIPLY, x, x, out));
  saros_tensor *mean = MAKE(h, saros_mean(square, 2, 1, out));
  must(h->context, saros_tensor_new(h->context, SAROS_REAL, 0, NULL, &number));
  keep(h, number);
  saros_fill(number, n->number[NUMBER_EPSILON]);
  mean = MAKE(h, saros_combine(SAROS_ADD, mean, number, out));
  saros_tensor *size = MAKE(h, saros_apply(SAROS_SQRT, mean, out));
  x = MAKE(h, saros_combine(SAROS_DIVIDE, x, size, out));
  if (n->inputs > 1)
    x = MAKE(h, saros_combine(SAROS_MULTIPLY, x, in[1], out));
  if (n->inputs > 2)
    x = MAKE(h, saros_combine(SAROS_ADD, x, in[2], out));
  return flat(h, x, B);
}

static inline saros_tensor *twin_axis(heap *h, const program_node *n,
                                      saros_tensor *x, int B) {
  const int *at = n->at;
  x = reshaped(h, x, 4, (int[]){B, at[AT_OUTER], at[AT_N], at[AT_INNER]});
  switch (n->op) {
    case NODE_SLICE:
      x = MAKE(h, saros_slice_step(x, 2, at[AT_FROM], at[AT_COUNT], at[AT_STEP],
                                   out));
      break;
    case NODE_SUM:
      x = MAKE(h, saros_sum(x, 2, 0, out));
      break;
    case NODE_MEAN:
      x = MAKE(h, saros_mean(x, 2, 0, out));
      break;
    case NODE_MAX:
      x = MAKE(h, saros_max(x, 2, 0, out));
      break;
    case NODE_MIN:
      x = MAKE(h, saros_min(x, 2, 0, out));
      break;
    case NODE_LOGSUMEXP:
      x = MAKE(h, saros_logsumexp(x, 2, 0, out));
      break;
    case NODE_SOFTMAX:
      x = MAKE(h, saros_softmax(x, 2, out));
      break;
    case NODE_LOG_SOFTMAX:
      x = MAKE(h, saros_log_softmax(x, 2, out));
      break;
    default:
      x = MAKE(h, saros_cumsum(x, 2, out));
      break;
  }
  return flat(h, x, B);
}

static inline saros_tensor *twin_move(heap *h, const program_node *n,
                                      saros_tensor **in, int B) {
  const int *at = n->at;
  saros_tensor *x = in[0];
  if (n->op == NODE_CONCATENATE) {
    int outer = at[AT_OUTER] > 0 ? at[AT_OUTER] : 1;
    saros_tensor *parts[8];
    for (int i = 0; i < n->inputs; i++)
      parts[i] = reshaped(h, in[i], 3, (int[]){B, outer, -1});
    return flat(
        h, MAKE(h, saros_concatenate(h->context, n->inputs, parts, 2, out)), B);
  }
  if (n->op == NODE_TRANSPOSE) {
    x = reshaped(h, x, 5,
                 (int[]){B, at[AT_OUTER], at[AT_A], at[AT_B], at[AT_INNER]});
    return flat(h, MAKE(h, saros_transpose(x, 2, 3, out)), B);
  }
  x = reshaped(h, x, 4, (int[]){B, at[AT_OUTER], 1, at[AT_INNER]});
  saros_tensor *copies[16];
  for (int i = 0; i < at[AT_TIMES]; i++)
    copies[i] = x;
  return flat(
      h, MAKE(h, saros_concatenate(h->context, at[AT_TIMES], copies, 2, out)),
      B);
}

/* x (w) in every row. */
static inline saros_tensor *in_rows(heap *h, saros_tensor *x, int B) {
  saros_tensor *zeros = NULL;
  if (x->rank != 1)
    return x;
  must(h->context, saros_tensor_new(h->context, SAROS_REAL, 2,
                                    (int[]){B, x->shape[0]}, &zeros));
  keep(h, zeros);
  return MAKE(h, saros_combine(SAROS_ADD, zeros, x, out));
}

static inline saros_tensor *twin_node(heap *h, const program_node *n,
                                      saros_tensor **in, int B) {
  switch (n->op) {
    case NODE_LINEAR:
      return MAKE(
          h, saros_linear(in[0], in[1], n->inputs > 2 ? in[2] : NULL, out));
    case NODE_UNARY:
      return MAKE(h, saros_apply((saros_function)n->function, in[0], out));
    case NODE_BINARY:
      return MAKE(
          h, saros_combine((saros_operator)n->function, in[0], in[1], out));
    case NODE_WHERE:
      return MAKE(h, saros_where(in[0], in[1], in[2], out));
    case NODE_CONCATENATE:
    case NODE_TRANSPOSE:
    case NODE_EXPAND:
      return twin_move(h, n, in, B);
    case NODE_LAYER_NORM:
    case NODE_RMS_NORM:
      return twin_norm(h, n, in, B);
    case NODE_MATVEC:
    case NODE_OUTER:
      return twin_matrix(h, n, in[0], in[1], B);
    default:
      return twin_axis(h, n, in[0], B);
  }
}

/* Row t of a tensor of all steps; null stays null. */
static inline saros_tensor *at_step(heap *h, saros_tensor *x, int t) {
  return x ? MAKE(h, saros_select(x, 0, t, out)) : NULL;
}

/* w a + (1 - w) b */
static inline saros_tensor *blended(heap *h, saros_tensor *w, saros_tensor *a,
                                    saros_tensor *b) {
  saros_tensor *d = MAKE(h, saros_combine(SAROS_SUBTRACT, a, b, out));
  d = MAKE(h, saros_combine(SAROS_MULTIPLY, w, d, out));
  return MAKE(h, saros_combine(SAROS_ADD, b, d, out));
}

/* What the loop does, in the order of its letters. */
typedef struct twin_window {
  const made *m;
  int T, B;
  saros_tensor **outside, **first;
  const loop_options *how;
} twin_window;

/* A state in every row: zeros, or the vector that the program begins with. */
static inline saros_tensor *beginning(heap *h, const twin_window *w, int s) {
  const program_state *state = &w->m->state[s];
  saros_tensor *zeros = NULL;
  must(h->context, saros_tensor_new(h->context, SAROS_REAL, 2,
                                    (int[]){w->B, state->width}, &zeros));
  keep(h, zeros);
  for (int i = 0; state->first >= 0 && i < w->m->spec.outside_count; i++)
    if (w->m->outside[i] == state->first)
      return MAKE(h, saros_combine(SAROS_ADD, zeros, w->outside[i], out));
  return zeros;
}

/* What a product reads: states, alone or in a row, with their dropout. */
static inline saros_tensor *read_by_product(heap *h, const twin_window *w,
                                            int node, saros_tensor **value) {
  const program_node *n = &w->m->node[node];
  const loop_options *how = w->how;
  if (n->op == NODE_CONCATENATE && n->at[AT_OUTER] <= 1) {
    saros_tensor *parts[8];
    for (int i = 0; i < n->inputs; i++)
      parts[i] = in_rows(h, read_by_product(h, w, n->input[i], value), w->B);
    return MAKE(h, saros_concatenate(h->context, n->inputs, parts, 1, out));
  }
  if (n->op != NODE_STATE || !how->dropout || !how->dropout[n->state[0]])
    return value[node];
  return MAKE(h, saros_combine(SAROS_MULTIPLY, value[node],
                               how->dropout[n->state[0]], out));
}

/* x times the factors of a dropout node at step t. */
static inline saros_tensor *dropped(heap *h, const loop_options *how,
                                    int number, int t, saros_tensor *x) {
  saros_tensor *by = how->dropped ? how->dropped[number] : NULL;
  if (by != NULL && by->rank == 3)
    by = at_step(h, by, t);
  return by ? MAKE(h, saros_combine(SAROS_MULTIPLY, x, by, out)) : x;
}

/* The values of step t, from the states before it; the states are replaced. */
static inline void twin_step(heap *h, const twin_window *w, int t,
                             saros_tensor **state, saros_tensor *mask,
                             saros_tensor **value) {
  const made *m = w->m;
  const loop_options *how = w->how;
  for (int i = 0; i < m->spec.outside_count; i++) {
    int n = m->outside[i];
    value[n] =
        m->node[n].invariant ? w->outside[i] : at_step(h, w->outside[i], t);
  }
  for (int i = 0, dropouts = 0; i < m->spec.count; i++) {
    const program_node *n = &m->node[m->nodes[i]];
    saros_tensor *in[8];
    if (n->op == NODE_STATE) {
      value[m->nodes[i]] = state[n->state[0]];
      continue;
    }
    for (int k = 0; k < n->inputs; k++)
      in[k] = value[n->input[k]];
    if (n->op == NODE_DROPOUT) {
      value[m->nodes[i]] = dropped(h, how, dropouts++, t, in[0]);
      continue;
    }
    int is_row = n->op != NODE_LINEAR && n->op != NODE_UNARY &&
                 n->op != NODE_BINARY && n->op != NODE_WHERE;
    int is_norm = n->op == NODE_LAYER_NORM || n->op == NODE_RMS_NORM;
    for (int k = 0; k < (is_norm ? 1 : n->inputs) && is_row; k++)
      in[k] = in_rows(h, in[k], w->B);
    if (n->op == NODE_LINEAR)
      in[0] = read_by_product(h, w, n->input[0], value);
    value[m->nodes[i]] = twin_node(h, n, in, w->B);
  }
  for (int s = 0; s < m->spec.state_count; s++) {
    saros_tensor *next = value[m->state[s].next];
    if (how->zoneout && how->zoneout[s])
      next = blended(h, at_step(h, how->zoneout[s], t), next, state[s]);
    state[s] = mask ? MAKE(h, saros_where(mask, next, state[s], out)) : next;
  }
}

/* values (T, B, w) of the wanted nodes, and the states after the last step. */
static inline void twin_run(heap *h, const twin_window *w,
                            saros_tensor **values, saros_tensor **last) {
  const made *m = w->m;
  const loop_options *how = w->how;
  int reverse = m->state[0].reverse, wanted = m->spec.wanted_count;
  saros_tensor *keeps = NULL, **steps;
  steps = calloc((size_t)(wanted * w->T), sizeof *steps);
  if (how->reset)
    keeps = MAKE(h, saros_keep(how->reset, how->mask, reverse, out));
  for (int s = 0; s < m->spec.state_count; s++)
    last[s] = w->first && w->first[s] ? w->first[s] : beginning(h, w, s);
  for (int count = 0; count < w->T; count++) {
    int t = reverse ? w->T - 1 - count : count;
    saros_tensor *value[MOST_NODES], *mask = at_step(h, how->mask, t);
    saros_tensor *again = at_step(h, keeps, t);
    if (mask)
      mask = reshaped(h, mask, 2, (int[]){w->B, 1});
    for (int s = 0; again && s < m->spec.state_count; s++)
      last[s] = MAKE(h, saros_where(reshaped(h, again, 2, (int[]){w->B, 1}),
                                    last[s], beginning(h, w, s), out));
    twin_step(h, w, t, last, mask, value);
    for (int i = 0; i < wanted; i++) {
      saros_tensor *y = value[m->wanted[i]];
      if (mask)
        y = MAKE(h, saros_combine(SAROS_MULTIPLY, y, mask, out));
      steps[i * w->T + t] = y;
    }
  }
  for (int i = 0; i < wanted; i++)
    values[i] =
        MAKE(h, saros_stack(h->context, w->T, steps + i * w->T, 0, out));
  free(steps);
}

#endif
