/*
** From the nodes of a program to stages.
**
** Nodes are taken in groups of a rank: what is not element-wise first, then what
** is. A node is of the rank of what it reads; what is not element-wise is one
** above element-wise nodes that it reads. So element-wise nodes gather into
** chains as long as the program allows, and products of one value meet:
**
**     rank 0   h, x, concatenate, products for r z n     | r z r*h chain
**     rank 1   the product of r*h                        | n, h chain
*/
#include <string.h>

#include "session.h"

/* --- What is known of nodes ------------------------------------------------------- */

static int elementwise(const session_planner *p, int node) {
  return session_is_elementwise(&p->program->nodes[p->nodes[node].source]);
}

/* Dropout does nothing in a session. */
static void find_sources(session_planner *p) {
  for (int i = 0; i < p->program->node_count; i++) {
    const program_node *n = &p->program->nodes[i];
    p->nodes[i] = (session_node){
        .source = n->op == NODE_DROPOUT ? p->nodes[n->input[0]].source : i,
        .value = -1,
        .reader = -1,
        .product = -1};
  }
}

static void want(session_planner *p, int node) {
  p->nodes[p->nodes[node].source].live = 1;
  p->nodes[p->nodes[node].source].read++;
}

/* Outputs and all states are wanted, and what these depend on. */
static void find_live(session_planner *p) {
  const saros_program *program = p->program;
  for (int i = 0; i < program->output_count; i++)
    want(p, program->outputs[i].node);
  for (int i = 0; i < program->state_count; i++) {
    want(p, program->states[i].next);
    if (program->states[i].first >= 0)
      want(p, program->states[i].first);
  }
  for (int i = program->node_count - 1; i >= 0; i--) {
    const program_node *n = &program->nodes[i];
    for (int operand = 0; p->nodes[i].live && operand < n->inputs; operand++) {
      want(p, n->input[operand]);
      p->nodes[p->nodes[n->input[operand]].source].reader = i;
    }
  }
}

static void find_ranks(session_planner *p) {
  for (int i = 0; i < p->program->node_count; i++) {
    const program_node *n = &p->program->nodes[i];
    for (int operand = 0; operand < n->inputs; operand++) {
      const int from = p->nodes[n->input[operand]].source;
      const int above = elementwise(p, from) && !elementwise(p, i) &&
                        !p->program->nodes[from].invariant;
      const int rank = p->nodes[from].rank + above;
      if (rank > p->nodes[i].rank)
        p->nodes[i].rank = rank;
    }
  }
}

/* The products of a value that were linked so far. */
typedef struct products {
  int last, rows;
} products;

/* True if a product can share a stage: weights that are not packed cannot. */
static int joins(const session_planner *p, const program_node *n,
                 const products *of_x) {
  const session_plan *plan = p->plan;
  return n->op == NODE_LINEAR && !n->invariant &&
         (n->width > STEP_FEW ||
          plan->kernels == plan->math->step[STEP_REAL]) &&
         of_x->rows + STEP_WIDTH(n->width) <= SESSION_WIDEST;
}

/* Links the products of one value, the first of which makes the stage. */
static saros_status link_products(session_planner *p) {
  base_pool *pool = &p->plan->context->pool;
  const size_t count = (size_t)p->program->node_count;
  products *of = pool_take(pool, count * sizeof *of);
  if (of == NULL)
    return base_out_of_memory(p->plan->context, count * sizeof *of);
  for (size_t i = 0; i < count; i++)
    of[i] = (products){.last = -1};
  for (int i = 0; i < p->program->node_count; i++) {
    const program_node *n = &p->program->nodes[i];
    products *x = n->inputs > 0 ? &of[p->nodes[n->input[0]].source] : NULL;
    if (x == NULL || !p->nodes[i].live || !joins(p, n, x))
      continue;
    if (x->last >= 0)
      p->nodes[x->last].product = i, p->nodes[i].joined = 1;
    x->last = i;
    x->rows += STEP_WIDTH(n->width);
  }
  pool_give(pool, of);
  return SAROS_OK;
}

/* --- Their order --------------------------------------------------------------------- */

static int group_of(const session_planner *p, int node) {
  return 2 * p->nodes[node].rank + elementwise(p, node);
}

/* Counts the groups into 'start', from which each one's nodes begin in order. */
static void count_groups(const session_planner *p, int *start, int groups) {
  memset(start, 0, ((size_t)groups + 1) * sizeof *start);
  for (int i = 0; i < p->program->node_count; i++)
    start[group_of(p, i) + 1]++;
  for (int group = 0; group < groups; group++)
    start[group + 1] += start[group];
}

/* Nodes by group and, inside it, in the order of the program. */
static saros_status find_order(session_planner *p) {
  base_pool *pool = &p->plan->context->pool;
  int groups = 0;
  for (int i = 0; i < p->program->node_count; i++)
    if (group_of(p, i) >= groups)
      groups = group_of(p, i) + 1;
  const size_t bytes = ((size_t)groups + 1) * sizeof(int);
  int *start = pool_take(pool, bytes);
  if (start == NULL)
    return base_out_of_memory(p->plan->context, bytes);
  count_groups(p, start, groups);
  for (int i = 0; i < p->program->node_count; i++)
    p->order[start[group_of(p, i)]++] = i;
  pool_give(pool, start);
  return SAROS_OK;
}

/* --- Values --------------------------------------------------------------------------- */

static saros_status give_value(session_planner *p, int node,
                               session_value like) {
  p->nodes[node].value = session_plan_value(p, like);
  return p->nodes[node].value < 0 ? base_out_of_memory(p->plan->context, 0)
                                  : SAROS_OK;
}

int session_operand(const session_planner *p, const program_node *n,
                    int which) {
  return p->nodes[p->nodes[n->input[which]].source].value;
}

saros_status session_plan_whole(session_planner *p, int value, int *out) {
  const session_value x = p->plan->values[value];
  *out = value;
  if (x.stride == STEP_WIDTH(x.width))
    return SAROS_OK;
  session_stage *g = session_plan_stage(p, session_run_copy, value, x.width);
  *out = g->y = session_plan_result(p, x.width);
  return *out < 0 ? base_out_of_memory(p->plan->context, 0) : SAROS_OK;
}

/* The value that an invariant is to the steps that read it. */
static saros_status plan_fixed(session_planner *p, int node) {
  const program_node *n = &p->program->nodes[node];
  real *fixed;
  TRY(session_keep_invariant(p, node, &fixed));
  return give_value(
      p, node, (session_value){.width = n->width, .fixed = fixed, .state = -1});
}

/* --- Stages of single nodes -------------------------------------------------------------- */

static saros_status plan_input(session_planner *p, int node) {
  const program_node *n = &p->program->nodes[node];
  session_plan *plan = p->plan;
  session_port *port = &plan->inputs[n->at[AT_NUMBER]];
  if (n->op == NODE_IDS) {
    p->nodes[node].value = port->value = plan->ids_count++;
    return SAROS_OK;
  }
  TRY(give_value(p, node,
                 (session_value){.width = n->width,
                                 .stride = STEP_WIDTH(n->width),
                                 .place = session_plan_room(p, n->width),
                                 .moves = 1,
                                 .state = -1}));
  port->value = p->nodes[node].value;
  return SAROS_OK;
}

static saros_status plan_state(session_planner *p, int node) {
  const int number = p->program->nodes[node].state[0];
  const session_state *x = &p->plan->states[number];
  return give_value(p, node,
                    (session_value){.width = x->n,
                                    .stride = STEP_WIDTH(x->n),
                                    .place = x->at,
                                    .state = number});
}

/* A table whose rows are a whole width apart; nothing if a cell has it inside. */
static saros_status plan_lookup(session_planner *p, int node) {
  const program_node *n = &p->program->nodes[node];
  const int table = p->nodes[n->input[1]].source, E = n->width;
  const int V = p->program->nodes[table].width / E;
  if (session_folds(p, node) || session_product_folds(p, node))
    return SAROS_OK;
  session_stage *g = session_plan_stage(p, session_run_lookup, -1, E);
  g->ids = session_operand(p, n, 0);
  g->table_width = STEP_WIDTH(E);
  TRY(session_plan_own(p, SESSION_TABLE, (size_t)V * (size_t)STEP_WIDTH(E)));
  for (int id = 0; id < V; id++)
    memcpy((real *)g->owned[SESSION_TABLE] + (ptrdiff_t)id * STEP_WIDTH(E),
           p->nodes[node].data + (ptrdiff_t)id * E, (size_t)E * sizeof(real));
  g->y = p->nodes[node].value = session_plan_result(p, E);
  return g->y < 0 ? base_out_of_memory(p->plan->context, 0) : SAROS_OK;
}

static saros_status plan_rows(session_planner *p, int node) {
  const program_node *n = &p->program->nodes[node];
  session_stage *g = session_plan_stage(p, session_run_rows, -1, n->width);
  g->node = n, g->count = n->inputs;
  TRY(session_plan_block(p, SESSION_OPERANDS,
                         2 * (size_t)n->inputs * sizeof(int)));
  int *operands = g->owned[SESSION_OPERANDS];
  for (int i = 0; i < n->inputs; i++) {
    operands[i] = session_operand(p, n, i);
    operands[n->inputs + i] = p->program->nodes[n->input[i]].width;
  }
  if (p->plan->operands < n->inputs)
    p->plan->operands = n->inputs;
  g->y = p->nodes[node].value = session_plan_result(p, n->width);
  return g->y < 0 ? base_out_of_memory(p->plan->context, 0) : SAROS_OK;
}

/* Contiguous elements of a value whose place is fixed become a view of it. */
static saros_status plan_slice(session_planner *p, int node) {
  const program_node *n = &p->program->nodes[node];
  session_value like = p->plan->values[session_operand(p, n, 0)];
  if (n->at[AT_OUTER] > 1 || (n->at[AT_STEP] != 1 && n->at[AT_COUNT] > 1) ||
      like.moves)
    return plan_rows(p, node);
  like.width = n->width;
  like.offset += n->at[AT_FROM] * n->at[AT_INNER];
  if (like.fixed != NULL)
    like.fixed += n->at[AT_FROM] * n->at[AT_INNER];
  return give_value(p, node, like);
}

static saros_status plan_node(session_planner *p, int node) {
  switch (p->program->nodes[node].op) {
    case NODE_INPUT:
    case NODE_IDS:
      return plan_input(p, node);
    case NODE_STATE:
      return plan_state(p, node);
    case NODE_LINEAR:
      return p->nodes[node].joined ? SAROS_OK : session_plan_products(p, node);
    case NODE_LOOKUP:
      return plan_lookup(p, node);
    case NODE_CELL:
      return session_plan_cell(p, node);
    case NODE_ATTENTION:
      return session_plan_attention(p, node);
    case NODE_DELTA:
      return session_plan_delta(p, node);
    case NODE_WINDOW:
      return session_plan_window(p, node);
    case NODE_SLICE:
      return plan_slice(p, node);
    case NODE_DROPOUT:
      return SAROS_OK;
    default:
      return plan_rows(p, node);
  }
}

/* --- All of them -------------------------------------------------------------------------- */

/* Invariants become values where a node reads their elements in each step. */
static int reads_elements(const program_node *n, int which) {
  switch (n->op) {
    case NODE_CELL:
    case NODE_LINEAR:
    case NODE_LOOKUP:
      return which == 0;
    case NODE_ATTENTION:
      return which < 3;
    default:
      return 1;
  }
}

static saros_status plan_operands(session_planner *p, int node) {
  const program_node *n = &p->program->nodes[node];
  for (int i = 0; i < n->inputs; i++) {
    const int from = p->nodes[n->input[i]].source;
    if (p->program->nodes[from].invariant && p->nodes[from].value < 0 &&
        reads_elements(n, i))
      TRY(plan_fixed(p, from));
  }
  return SAROS_OK;
}

static int is_planned(const session_planner *p, int node) {
  return p->nodes[node].live && !p->program->nodes[node].invariant;
}

/* The nodes of the order from 'at' on that make one chain; how far it goes. */
static int chain_end(const session_planner *p, int at) {
  const int first = p->order[at], end = p->program->node_count;
  while (at < end && elementwise(p, p->order[at]) &&
         p->program->nodes[p->order[at]].width ==
             p->program->nodes[first].width)
    at++;
  return at;
}

/* The chain that begins at a place of the order; *at moves behind it. */
static saros_status plan_chain(session_planner *p, int *at) {
  const int end = chain_end(p, *at);
  int *nodes = p->order + *at, count = 0;
  for (; *at < end; ++*at)
    if (is_planned(p, p->order[*at])) {
      TRY(plan_operands(p, p->order[*at]));
      nodes[count++] = p->order[*at];
    }
  return count > 0 ? session_plan_chain(p, nodes, count) : SAROS_OK;
}

static saros_status plan_all(session_planner *p) {
  for (int at = 0; at < p->program->node_count;) {
    const int node = p->order[at];
    if (session_is_elementwise(&p->program->nodes[node])) {
      TRY(plan_chain(p, &at));
      continue;
    }
    at++;
    if (!is_planned(p, node))
      continue;
    TRY(plan_operands(p, node));
    TRY(plan_node(p, node));
  }
  return SAROS_OK;
}

/* --- The ends of a step ---------------------------------------------------------------------- */

/* The value of a node that an output or a state is. */
static saros_status value_of(session_planner *p, int node, int *out) {
  node = p->nodes[node].source;
  if (p->nodes[node].value < 0)
    TRY(plan_fixed(p, node));
  *out = p->nodes[node].value;
  return SAROS_OK;
}

/* True if a node with states of its own keeps the state, and does not just say what
** it becomes. */
static int is_owned(const session_planner *p, int state) {
  const program_node *n = &p->program->nodes[p->program->states[state].next];
  for (int i = 0; n->op != NODE_STATE && i < n->states; i++)
    if (n->state[i] == state)
      return 1;
  return 0;
}

/* States that become what another state was are copied before that changes. */
static saros_status plan_next(session_planner *p) {
  session_plan *plan = p->plan;
  for (int i = 0; i < plan->state_count; i++) {
    int value;
    if (is_owned(p, i))
      continue;
    TRY(value_of(p, p->program->states[i].next, &value));
    if (plan->values[value].state >= 0) {
      session_stage *g =
          session_plan_stage(p, session_run_copy, value, plan->states[i].n);
      value = g->y = session_plan_result(p, plan->states[i].n);
      if (value < 0)
        return base_out_of_memory(plan->context, 0);
    }
    plan->next[plan->next_count++] = (session_next){value, i};
  }
  session_plan_stage(p, session_run_last, -1, 0);
  return SAROS_OK;
}

/* With a single stream, the stage of the first output writes to the output itself,
** and others read it there, unless the value is kept elsewhere. */
static void plan_direct(session_plan *plan) {
  const session_value y = plan->values[plan->outputs->value];
  if (y.fixed != NULL || y.moves || y.state >= 0 || y.offset != 0 ||
      y.stride != STEP_WIDTH(y.width))
    return;
  plan->direct = 1;
  for (int i = 0; i < plan->value_count; i++) {
    session_value *x = &plan->values[i];
    x->direct = x->fixed == NULL && x->place == y.place;
  }
}

static saros_status plan_outputs(session_planner *p) {
  session_plan *plan = p->plan;
  for (int i = 0; i < plan->output_count; i++)
    TRY(value_of(p, p->program->outputs[i].node, &plan->outputs[i].value));
  plan_direct(plan);
  return SAROS_OK;
}

/* Room for the states that no stage has, and where all of them begin. */
static saros_status plan_states(session_planner *p) {
  for (int i = 0; i < p->plan->state_count; i++) {
    session_state *x = &p->plan->states[i];
    const int first = p->program->states[i].first;
    real *elements = NULL;
    if (first >= 0)
      TRY(session_keep_invariant(p, p->nodes[first].source, &elements));
    x->first = elements;
    if (!is_owned(p, i))
      x->at = x->at_odd = session_plan_room(p, x->n);
  }
  return SAROS_OK;
}

saros_status session_plan_nodes(session_planner *p,
                                saros_tensor *const *parameters) {
  find_sources(p);
  find_live(p);
  find_ranks(p);
  TRY(link_products(p));
  TRY(find_order(p));
  TRY(session_plan_invariants(p, parameters));
  TRY(plan_states(p));
  TRY(plan_all(p));
  TRY(plan_outputs(p));
  return plan_next(p);
}
