/*
** Random cells for specs of the loop: of every kind of node, and of gates.
*/
#ifndef LOOP_RANDOM_H
#define LOOP_RANDOM_H

#include "loop_spec.h"

/* --- Random choices ------------------------------------------------------------- */

static unsigned long long seed_of_choices;

static inline int choose(int n) {
  seed_of_choices =
      seed_of_choices * 6364136223846793005ull + 1442695040888963407ull;
  return (int)((seed_of_choices >> 33) % (unsigned long long)n);
}

static inline int sigmoid_of(made *m, int x) {
  return made_unary(m, SAROS_SIGMOID, x);
}

static inline int times(made *m, int a, int b) {
  return made_binary(m, SAROS_MULTIPLY, a, b);
}

static inline int plus(made *m, int a, int b) {
  return made_binary(m, SAROS_ADD, a, b);
}

static inline int concatenate(made *m, int count, const int *x) {
  int width = 0;
  for (int i = 0; i < count; i++)
    width += m->node[x[i]].width;
  return made_node(m, NODE_CONCATENATE, 0, width, x, count);
}

static inline int any_function(made *m, int x) {
  static const int functions[] = {
      SAROS_NEGATE, SAROS_ABS,  SAROS_TANH,     SAROS_SIGMOID,     SAROS_RELU,
      SAROS_SIN,    SAROS_COS,  SAROS_SOFTPLUS, SAROS_SILU,        SAROS_GELU,
      SAROS_ELU,    SAROS_TANH, SAROS_SIGMOID,  SAROS_HARD_SIGMOID};
  switch (choose(8)) {
    case 0:  // of what is positive
      x = made_unary(m, SAROS_SOFTPLUS, x);
      return made_unary(m, choose(2) ? SAROS_LOG : SAROS_SQRT, x);
    case 1:
      return made_unary(m, SAROS_EXP, made_unary(m, SAROS_TANH, x));
    default:
      return made_unary(m, functions[choose(14)], x);
  }
}

static inline int any_operator(made *m, int a, int b) {
  switch (choose(9)) {
    case 0:  // by what is not near 0
      b = plus(m, made_unary(m, SAROS_SOFTPLUS, b), made_constant(m, 0.5));
      return made_binary(m, SAROS_DIVIDE, a, b);
    case 1:
      a = plus(m, made_unary(m, SAROS_SIGMOID, a), made_constant(m, 0.2));
      return made_binary(m, SAROS_POWER, a, made_unary(m, SAROS_TANH, b));
    case 2:
      return made_binary(m, choose(2) ? SAROS_MAXIMUM : SAROS_MINIMUM, a, b);
    case 3: {
      int c = made_binary(m, SAROS_LESS, a, b);
      return made_node(m, NODE_WHERE, 0, m->node[c].width, (int[]){c, a, b}, 3);
    }
    case 4:
    case 5:
      return times(m, a, b);
    case 6:
      return made_binary(m, SAROS_SUBTRACT, a, b);
    default:
      return plus(m, a, b);
  }
}

/* W is 12: (2, 3, 2) and the like. */
#define W 12

/* Every second element of x, beside a part of y. */
static inline int gathered(made *m, int x, int y) {
  int half = made_row(m, NODE_SLICE, 6, x, (int[]){2, 6, 1, 1, 3, 2});
  return made_node(m, NODE_CONCATENATE, 0, W,
                   (int[]){half, made_slice(m, y, 3, 6)}, 2);
}

static inline int interleaved(made *m, int x, int y) {
  int n = made_node(m, NODE_CONCATENATE, 0, 2 * W, (int[]){x, y}, 2);
  m->node[n].at[AT_OUTER] = 3;
  return made_slice(m, n, choose(W), W);
}

static inline int any_norm(made *m, int x) {
  int k = choose(2) ? 12 : 6, layer = choose(2);
  int gain = made_parameter(m, 1, 1, k), bias = made_parameter(m, 1, 1, k);
  int n = made_node(m, layer ? NODE_LAYER_NORM : NODE_RMS_NORM, 0, W,
                    (int[]){x, gain, bias}, layer ? 3 : 2);
  m->node[n].at[AT_N] = k;
  m->node[n].number[NUMBER_EPSILON] = 1e-2;
  return n;
}

/* (3 x 4) per row of its 12, times 3 or 4 of y. */
static inline int any_matvec(made *m, int x, int y) {
  int turned = choose(2);
  int v = made_slice(m, y, 2, turned ? 3 : 4);
  int n = made_node(m, NODE_MATVEC, 0, turned ? 4 : 3, (int[]){x, v}, 2);
  memcpy(m->node[n].at, (int[]){1, 3, 4, turned}, 4 * sizeof(int));
  return made_row(m, NODE_EXPAND, W, n,
                  turned ? (int[]){1, 3, 4, 0, 0, 0}
                         : (int[]){3, 4, 1, 0, 0, 0});
}

static inline int any_row(made *m, int x, int y) {
  static const int splits[][3] = {{1, 12, 1}, {2, 6, 1}, {2, 3, 2}, {1, 4, 3}};
  const int *split = splits[choose(4)];
  int at[6] = {split[0], split[1], split[2]};
  int left = split[0] * split[2];
  switch (choose(13)) {
    case 0:
    case 1: {
      static const int ops[] = {NODE_SUM, NODE_MEAN, NODE_MAX, NODE_MIN,
                                NODE_LOGSUMEXP};
      x = made_row(m, ops[choose(5)], left, x, at);
      return made_row(m, NODE_EXPAND, W, x, at);
    }
    case 2:
      return made_row(m, NODE_SOFTMAX, W, x, at);
    case 3:
      return made_row(m, NODE_LOG_SOFTMAX, W, x, at);
    case 4:
      return made_row(m, NODE_CUMSUM, W, x, at);
    case 5:  // flipped
      return made_row(
          m, NODE_SLICE, W, x,
          (int[]){split[0], split[1], split[2], split[1] - 1, split[1], -1});
    case 6:
      return gathered(m, x, y);
    case 7:
      return interleaved(m, x, y);
    case 8:
      return made_row(m, NODE_TRANSPOSE, W, x, (int[6]){2, 3, 2, 1});
    case 9:
      return any_norm(m, x);
    case 10:
      return any_matvec(m, x, y);
    case 11: {
      int u = made_slice(m, x, 1, 4), v = made_slice(m, y, 5, 6);
      int n = made_node(m, NODE_OUTER, 0, W, (int[]){u, v}, 2);
      m->node[n].at[AT_HEADS] = 2;
      return n;
    }
    default:  // a width of 1
      return made_row(m, NODE_SUM, 1, x, (int[6]){1, W, 1});
  }
}

/* A value of width W, or sometimes 1, made of earlier ones. */
static inline int any_value(made *m, const int *pool, int count) {
  int x = pool[choose(count)], y = pool[choose(count)];
  int wide = m->node[x].width == W;
  switch (choose(5)) {
    case 0:
      if (!choose(3))
        return made_node(m, NODE_DROPOUT, 0, m->node[x].width, &x, 1);
      return any_function(m, x);
    case 1:
      if (choose(2))
        x = concatenate(m, 2, (int[]){x, y});
      else if (!wide)
        return any_function(m, x);
      return made_linear(m, x, W, choose(2));
    case 2:
    case 3:
      return any_operator(m, x, y);
    default:
      return wide && m->node[y].width == W ? any_row(m, x, y)
                                           : any_operator(m, x, y);
  }
}

static inline void make_random(made *m, int values) {
  int pool[MOST_NODES], count = 0, states = 1 + choose(3);
  for (int s = 0; s < states; s++)
    pool[count++] =
        made_state(m, W, choose(2) ? made_parameter(m, 1, 1, W) : -1);
  pool[count++] = made_input(m, W);
  pool[count++] = made_parameter(m, 1, 1, W);
  pool[count++] = made_constant(m, 0.5);
  int fixed = count;
  while (count < fixed + values && m->p.node_count < MOST_NODES - 30)
    pool[count] = any_value(m, pool, count), count++;
  for (int s = 0; s < states; s++) {
    int x = pool[fixed + choose(count - fixed)];
    if (m->node[x].width != W || m->node[x].invariant)
      x = plus(m, pool[s], x);
    m->state[s].next = made_unary(m, SAROS_TANH, x);
    made_want(m, m->state[s].next);
  }
  int any = pool[fixed + choose(count - fixed)];
  made_want(m, any);
}

/* --- Gates of any width ------------------------------------------------------------ */

/* A product of a row of inputs and states, cut into 'gates' of width H; columns
** across two gates, too, sometimes. Their count. */
static inline int make_sums(made *m, int H, int gates, const int *state,
                            int states, int *sums) {
  int parts[4], n = 0, count = 0;
  parts[n++] = made_input(m, 1 + choose(5));
  for (int s = 0; s < states; s++)
    if (choose(4))
      parts[n++] = state[s];
  if (choose(2))
    parts[n++] = made_input(m, 3);
  int all = made_linear(m, n > 1 ? concatenate(m, n, parts) : state[0],
                        gates * H, choose(2));
  for (int g = 0; g < gates; g++)
    sums[count++] = made_slice(m, all, g * H, H);
  if (!choose(4))
    sums[count++] = made_slice(m, all, choose((gates - 1) * H + 1), H);
  return count;
}

/* A sum on its way to a gate: a peephole, dropout, a function. */
static inline int any_gate(made *m, int x, int state) {
  if (!choose(3))
    x = plus(m, x, times(m, state, made_parameter(m, 1, 1, m->node[x].width)));
  if (!choose(4))
    x = made_node(m, NODE_DROPOUT, 0, m->node[x].width, &x, 1);
  return choose(5) ? any_function(m, x) : x;
}

/* An element-wise value, or a product, of earlier ones. */
static inline int any_mixture(made *m, int x, int y, int H) {
  switch (choose(8)) {
    case 0:
      return made_node(m, NODE_DROPOUT, 0, H, &x, 1);
    case 1:
      return any_function(m, x);
    case 2:
      return made_linear(m, x, H, choose(2));
    case 3:
    case 4:
      return times(m, made_unary(m, SAROS_TANH, x), y);
    default:
      return any_operator(m, x, y);
  }
}

/* A cell of one or two states and some gates, which its values read in any way. */
static inline void make_gates(made *m, int H) {
  int pool[MOST_NODES], state[2], sums[5], states = 1 + choose(2);
  for (int s = 0; s < states; s++)
    state[s] = made_state(m, H, choose(2) ? made_parameter(m, 1, 1, H) : -1);
  int count = make_sums(m, H, 1 + choose(4), state, states, sums);
  for (int i = 0; i < count; i++)
    pool[i] = any_gate(m, sums[i], state[choose(states)]);
  pool[count++] = state[0];
  for (int i = choose(7); i > 0; i--, count++)
    pool[count] = any_mixture(m, pool[choose(count)], pool[choose(count)], H);
  for (int s = 0; s < states; s++) {
    int x = any_operator(m, pool[choose(count)], pool[choose(count)]);
    m->state[s].next = made_unary(m, SAROS_TANH, x);
    made_want(m, m->state[s].next);
  }
  if (choose(2))
    made_want(m, pool[choose(count)]);
}

/* A constant of the pool is no value of a step. */
static inline int is_of_steps(const made *m, int node) {
  const program_node *n = &m->node[node];
  if (n->op == NODE_STATE || n->op == NODE_INPUT)
    return 1;
  for (int i = 0; i < n->inputs; i++)
    if (is_of_steps(m, n->input[i]))
      return 1;
  return 0;
}

/* Nodes that depend on parameters alone would lie outside. */
static inline int is_component(const made *m) {
  for (int i = 0; i < m->spec.count; i++)
    if (!is_of_steps(m, m->nodes[i]))
      return 0;
  return 1;
}

#endif
