/*
** From the nodes of a component to values: one function for each node, or a few
** values where there is no such function. Products that read the same value
** become one, of which each is a view.
**
** What acts on states around a step becomes values, too: rows that start again
** choose between two states, a mask and zoneout blend the new state with the old
** one, dropout of a state is a factor of what products read of it.
*/
#include <string.h>

#include "loop.h"

/* A component on its way into a graph. */
typedef struct lowering {
  loop_plan *plan;
  loop_graph *g;
  const loop_spec *spec;
  const loop_has *has;
  int *value;    // by node of the program; -1: none yet
  int dropouts;  // dropout nodes so far
} lowering;

static const program_node *node_at(const lowering *l, int n) {
  return &l->spec->p->nodes[n];
}

/* The number of a node among those outside; -1: it is not. */
static int outside_of(const loop_spec *spec, int node) {
  for (int i = 0; i < spec->outside_count; i++)
    if (spec->outside[i] == node)
      return i;
  return -1;
}

static int number_of_state(const loop_spec *spec, int state) {
  for (int i = 0; i < spec->state_count; i++)
    if (spec->states[i] == state)
      return i;
  return -1;
}

static int operand(const lowering *l, const program_node *n, int i) {
  return l->value[n->input[i]];
}

static int add(lowering *l, int a, int b) {
  return loop_binary(l->g, SAROS_ADD, a, b);
}

static int times(lowering *l, int a, int b) {
  return loop_binary(l->g, SAROS_MULTIPLY, a, b);
}

/* The factor of a kind and number, of this width; -1: there is none. */
static int factor_of(lowering *l, int kind, int which, int width) {
  int number = loop_factor(l->spec, kind, which);
  return l->has->factors[number] ? loop_leaf(l->g, LOOP_FACTOR, number, width)
                                 : -1;
}

static int times_factor(lowering *l, int x, int factor) {
  return factor < 0 ? x : times(l, x, factor);
}

/* --- Products ---------------------------------------------------------------------- */

/* A concatenation of what its operands are here. */
static int concatenation(lowering *l, const program_node *n,
                         int (*read)(lowering *l, int node)) {
  saros_context *context = l->plan->context;
  int outer = n->at[AT_OUTER] > 0 ? n->at[AT_OUTER] : 1, column = 0;
  size_t count = (size_t)outer * (size_t)n->inputs;
  int *parts = pool_take(&context->pool, 2 * count * sizeof *parts);
  if (parts == NULL) {
    l->g->status = base_out_of_memory(context, 2 * count * sizeof *parts);
    return 0;
  }
  for (int block = 0, k = 0; block < outer; block++)
    for (int i = 0; i < n->inputs; i++, k++) {
      int width = node_at(l, n->input[i])->width / outer;
      parts[k] = loop_view(l->g, read(l, n->input[i]), block * width, width);
      parts[(int)count + k] = column;
      column += width;
    }
  int all = loop_gather(l->g, parts, parts + count, (int)count, n->width);
  pool_give(&context->pool, parts);
  return all;
}

static int value_of(lowering *l, int node) {
  return l->value[node];
}

/* What a product reads of a node: states, alone or in a row, with their
** dropout. */
static int read_by_product(lowering *l, int node) {
  const program_node *n = node_at(l, node);
  int s = n->op == NODE_STATE ? number_of_state(l->spec, n->state[0]) : -1;
  if (n->op == NODE_CONCATENATE && n->at[AT_OUTER] <= 1 &&
      outside_of(l->spec, node) < 0)
    return concatenation(l, n, read_by_product);
  if (s < 0)
    return l->value[node];
  return times_factor(l, l->value[node],
                      factor_of(l, LOOP_FACTOR_DROPOUT, s, n->width));
}

static int is_product_of(const lowering *l, int node, int x) {
  const program_node *n = node_at(l, node);
  return n->op == NODE_LINEAR && n->input[0] == x;
}

/* All products of the component that read node x, from a column of it on: four
** numbers each, as in loop_value. Their count, or -1 without memory. */
static int weights_of(lowering *l, int x, int column, int biased, int **more) {
  saros_context *context = l->plan->context;
  size_t bytes = 4 * (size_t)l->spec->count * sizeof **more;
  int count = 0;
  *more = pool_take(&context->pool, bytes);
  if (*more == NULL) {
    l->g->status = base_out_of_memory(context, bytes);
    return -1;
  }
  for (int i = 0; i < l->spec->count; i++) {
    const program_node *n = node_at(l, l->spec->nodes[i]);
    if (!is_product_of(l, l->spec->nodes[i], x))
      continue;
    int has_bias = biased && n->inputs > 2;
    (*more)[count++] = outside_of(l->spec, n->input[1]);
    (*more)[count++] = has_bias ? outside_of(l->spec, n->input[2]) : -1;
    (*more)[count++] = column;
    (*more)[count++] = n->width;
  }
  return count;
}

/* The products of node x with some columns of their weights as one, added to
** 'base', if any, which has the bias then. They read the value 'from'. */
static int multiply(lowering *l, int x, int from, int column, int base) {
  int *more, width = 0, in[2] = {from, base};
  int count = weights_of(l, x, column, base < 0, &more);
  for (int i = 3; i < count; i += 4)
    width += more[i];
  int op = l->g->status == SAROS_OK && l->g->value[from].op == LOOP_OUTSIDE
               ? LOOP_LIFTED
               : LOOP_LINEAR;
  int all =
      loop_add(l->g, (loop_value){.op = op, .width = width, .which = x + 1}, in,
               base < 0 ? 1 : 2, more, count > 0 ? count : 0);
  pool_give(&l->plan->context->pool, more);
  return all;
}

/* True if the product of x is that of its parts. */
static int splits(const lowering *l, int x) {
  const program_node *n = node_at(l, x);
  if (n->op != NODE_CONCATENATE || n->at[AT_OUTER] > 1 || l->value[x] < 0)
    return 0;
  for (int i = 0; i < n->inputs; i++)
    if (node_at(l, n->input[i])->invariant)
      return 0;
  return 1;
}

/* The product of a concatenation: first what is known of all steps, then what is
** added to it in the loop. */
static int multiply_parts(lowering *l, int x) {
  const program_node *n = node_at(l, x);
  int all = -1;
  for (int lifted = 1; lifted >= 0; lifted--) {
    int column = 0;
    for (int i = 0; i < n->inputs && l->g->status == SAROS_OK; i++) {
      int from = read_by_product(l, n->input[i]);
      if ((l->g->value[from].op == LOOP_OUTSIDE) == lifted)
        all = multiply(l, x, from, column, all);
      column += node_at(l, n->input[i])->width;
    }
  }
  return all < 0 ? 0 : all;
}

static void lower_products(lowering *l, int x) {
  int column = 0;
  int all = splits(l, x) ? multiply_parts(l, x)
                         : multiply(l, x, read_by_product(l, x), 0, -1);
  for (int i = 0; i < l->spec->count; i++) {
    int node = l->spec->nodes[i], width = node_at(l, node)->width;
    if (!is_product_of(l, node, x))
      continue;
    l->value[node] = loop_view(l->g, all, column, width);
    column += width;
  }
}

/* True if the nodes of the component read x once in all, and nothing outside does. */
static int is_read_once(const lowering *l, int x) {
  int reads = 0;
  for (int i = 0; i < l->spec->count; i++) {
    const program_node *n = node_at(l, l->spec->nodes[i]);
    for (int k = 0; k < n->inputs; k++)
      reads += n->input[k] == x;
  }
  for (int i = 0; i < l->spec->wanted_count; i++)
    reads += l->spec->wanted[i] == x;
  for (int s = 0; s < l->spec->state_count; s++)
    reads += l->spec->p->states[l->spec->states[s]].next == x;
  return reads == 1;
}

/* The sum of an outside value and a product that is read here alone: the product is
** added to a copy, in one place with what later becomes of its parts. -1: it is
** another sum. */
static int add_product(lowering *l, int outside, int node) {
  int x = l->value[outside], product = l->value[node];
  if (l->g->status != SAROS_OK || node_at(l, node)->op != NODE_LINEAR ||
      l->g->value[x].op != LOOP_OUTSIDE || !is_read_once(l, node))
    return -1;
  loop_value like = l->g->value[product];
  if (like.op != LOOP_LINEAR || like.inputs > 1 ||
      like.width != l->g->value[x].width)
    return -1;
  int in[2] = {loop_input(l->g, product, 0), loop_copy(l->g, x)};
  int more[4];
  if (l->g->status != SAROS_OK || like.extras != 4)
    return -1;
  memcpy(more, l->g->ints + like.more, sizeof more);
  return more[1] < 0 ? loop_add(l->g, like, in, 2, more, 4) : -1;  // no bias
}

static int lower_binary(lowering *l, const program_node *n) {
  int sum = -1;
  if (n->function == SAROS_ADD)
    sum = add_product(l, n->input[0], n->input[1]);
  if (n->function == SAROS_ADD && sum < 0)
    sum = add_product(l, n->input[1], n->input[0]);
  return sum >= 0 ? sum
                  : loop_binary(l->g, n->function, operand(l, n, 0),
                                operand(l, n, 1));
}

/* --- Rows ---------------------------------------------------------------------------- */

static int lower_norm(lowering *l, const program_node *n, int centred) {
  int at[PROGRAM_ATTRIBUTES] = {0, n->at[AT_N], centred};
  double epsilon = n->number[NUMBER_EPSILON];
  int runs = n->width / n->at[AT_N];
  int y =
      loop_row(l->g, LOOP_NORM, n->width, at, epsilon, operand(l, n, 0), -1);
  int repeat[PROGRAM_ATTRIBUTES] = {1, runs, n->at[AT_N]};
  for (int i = 1; i < n->inputs; i++) {
    int with = operand(l, n, i);
    if (runs > 1)
      with = loop_row(l->g, LOOP_EXPAND, n->width, repeat, 0, with, -1);
    y = i == 1 ? times(l, y, with) : add(l, y, with);
  }
  return y;
}

static int lower_mean(lowering *l, const program_node *n) {
  int sum = loop_row(l->g, LOOP_SUM, n->width, n->at, 0, operand(l, n, 0), -1);
  return times(l, sum, loop_constant(l->g, 1.0 / n->at[AT_N]));
}

static int plain_row(lowering *l, const program_node *n, int op) {
  return loop_row(l->g, op, n->width, n->at, 0, operand(l, n, 0),
                  n->inputs > 1 ? operand(l, n, 1) : -1);
}

static int lower_row(lowering *l, const program_node *n) {
  switch (n->op) {
    case NODE_CONCATENATE:
      return concatenation(l, n, value_of);
    case NODE_LAYER_NORM:
      return lower_norm(l, n, 1);
    case NODE_RMS_NORM:
      return lower_norm(l, n, 0);
    case NODE_MEAN:
      return lower_mean(l, n);
    case NODE_EXPAND:
      return plain_row(l, n, LOOP_EXPAND);
    case NODE_TRANSPOSE:
      return plain_row(l, n, LOOP_TRANSPOSE);
    case NODE_SUM:
      return plain_row(l, n, LOOP_SUM);
    case NODE_MAX:
      return plain_row(l, n, LOOP_MAX);
    case NODE_MIN:
      return plain_row(l, n, LOOP_MIN);
    case NODE_LOGSUMEXP:
      return plain_row(l, n, LOOP_LOGSUMEXP);
    case NODE_SOFTMAX:
      return plain_row(l, n, LOOP_SOFTMAX);
    case NODE_LOG_SOFTMAX:
      return plain_row(l, n, LOOP_LOG_SOFTMAX);
    case NODE_CUMSUM: {
      int at[PROGRAM_ATTRIBUTES] = {n->at[AT_OUTER], n->at[AT_N],
                                    n->at[AT_INNER]};
      return loop_row(l->g, LOOP_CUMSUM, n->width, at, 0, operand(l, n, 0), -1);
    }
    case NODE_MATVEC:
      return plain_row(l, n, LOOP_MATVEC);
    default:
      return plain_row(l, n, LOOP_OUTER);
  }
}

/* --- Nodes ---------------------------------------------------------------------------- */

int loop_supports(const loop_spec *spec) {
  for (int i = 0; i < spec->count; i++) {
    const program_node *n = &spec->p->nodes[spec->nodes[i]];
    if (n->states > 0 && n->op != NODE_STATE)
      return 0;
  }
  return 1;
}

int loop_dropouts(const loop_spec *spec) {
  int count = 0;
  for (int i = 0; i < spec->count; i++)
    count += spec->p->nodes[spec->nodes[i]].op == NODE_DROPOUT;
  return count;
}

int loop_supports_all(const struct saros_program *p) {
  for (int i = 0; i < p->component_count; i++) {
    const program_component *c = &p->components[i];
    const loop_spec spec = {
        .p = p, .nodes = p->order + c->first, .count = c->count};
    if (c->loops && !loop_supports(&spec))
      return 0;
  }
  return 1;
}

/* A state before the step: as it was left, or where a row starts again, as the
** program begins. */
static int lower_state(lowering *l, int s) {
  int width = l->plan->width[s], restart = l->plan->restart[s];
  int left = loop_leaf(l->g, LOOP_BEFORE, s, width);
  l->plan->before[s] = left;
  if (!l->has->keep)
    return left;
  int first = restart < 0 ? loop_constant(l->g, 0)
                          : l->value[l->spec->outside[restart]];
  return loop_ternary(l->g, LOOP_WHERE, loop_leaf(l->g, LOOP_KEEP, 0, 1), left,
                      first);
}

static int lower_node(lowering *l, int node) {
  const program_node *n = node_at(l, node);
  switch (n->op) {
    case NODE_STATE:
      return lower_state(l, number_of_state(l->spec, n->state[0]));
    case NODE_CONSTANT:
      return loop_constant(l->g, n->number[NUMBER_VALUE]);
    case NODE_UNARY:
      return loop_unary(l->g, n->function, operand(l, n, 0));
    case NODE_BINARY:
      return lower_binary(l, n);
    case NODE_WHERE:
      return loop_ternary(l->g, LOOP_WHERE, operand(l, n, 0), operand(l, n, 1),
                          operand(l, n, 2));
    case NODE_SLICE:
      return loop_slice(l->g, operand(l, n, 0), n->at);
    case NODE_DROPOUT:
      return times_factor(
          l, operand(l, n, 0),
          factor_of(l, LOOP_FACTOR_NODE, l->dropouts++, n->width));
    default:
      return lower_row(l, n);
  }
}

static int lower_outside(lowering *l, int i) {
  const program_node *n = node_at(l, l->spec->outside[i]);
  if (n->op == NODE_CONSTANT && n->width == 1)
    return loop_constant(l->g,
                         n->values ? n->values[0] : n->number[NUMBER_VALUE]);
  return loop_leaf(l->g, n->invariant ? LOOP_INVARIANT : LOOP_OUTSIDE, i,
                   n->width);
}

/* The states, and what their rows start again from. */
static void take_states(lowering *l) {
  const struct saros_program *p = l->spec->p;
  for (int s = 0; s < l->spec->state_count; s++) {
    const program_state *state = &p->states[l->spec->states[s]];
    l->plan->width[s] = state->width;
    l->plan->before[s] = -1;
    l->plan->restart[s] =
        state->first < 0 ? -1 : outside_of(l->spec, state->first);
    l->plan->reverse = state->reverse != 0;
  }
}

static void lower_nodes(lowering *l) {
  for (int i = 0; i < l->spec->outside_count; i++)
    l->value[l->spec->outside[i]] = lower_outside(l, i);
  for (int i = 0; i < l->spec->count; i++) {
    int node = l->spec->nodes[i];
    if (l->value[node] >= 0)
      continue;
    if (node_at(l, node)->op == NODE_LINEAR)
      lower_products(l, node_at(l, node)->input[0]);
    else
      l->value[node] = lower_node(l, node);
  }
}

/* --- Around the step -------------------------------------------------------------------- */

/* A state after the step: the new one, or blended with the old one. */
static int after_of(lowering *l, int s, int old) {
  const program_state *state = &l->spec->p->states[l->spec->states[s]];
  int zone = factor_of(l, LOOP_FACTOR_ZONEOUT, s, state->width);
  int next = l->value[state->next], weight = -1;
  if (l->has->mask)
    weight = loop_leaf(l->g, LOOP_MASK, 0, 1);
  if (zone >= 0)
    weight = weight < 0 ? zone : times(l, weight, zone);
  if (weight < 0)
    return next;
  return loop_ternary(l->g, LOOP_BLEND, next, old, weight);
}

static saros_status lower_sinks(lowering *l) {
  loop_code *code = &l->plan->code;
  for (int s = 0; s < l->spec->state_count; s++) {
    int old = lower_state(l, s);
    TRY(loop_add_sink(l->plan, code, LOOP_SINK_AFTER, s, after_of(l, s, old)));
  }
  for (int i = 0; i < l->spec->wanted_count; i++) {
    int value = l->value[l->spec->wanted[i]];
    if (l->has->mask)
      value = loop_masked(l->g, value, loop_leaf(l->g, LOOP_MASK, 0, 1));
    TRY(loop_add_sink(l->plan, code, LOOP_SINK_VALUE, i, value));
  }
  return SAROS_OK;
}

saros_status loop_lower(loop_plan *plan, const loop_spec *spec,
                        const loop_has *has) {
  saros_context *context = plan->context;
  size_t bytes = (size_t)spec->p->node_count * sizeof(int);
  lowering l = {plan, &plan->graph, spec, has, pool_take(&context->pool, bytes),
                0};
  if (l.value == NULL)
    return base_out_of_memory(context, bytes);
  memset(l.value, 0xff, bytes);
  take_states(&l);
  lower_nodes(&l);
  saros_status status = lower_sinks(&l);
  pool_give(&context->pool, l.value);
  plan->forward = (int)plan->graph.count;
  return status != SAROS_OK ? status : plan->graph.status;
}
