/*
** Invariants of a program while a plan is made: parameters, constants, and what
** depends on these alone. Each is computed once. When the stages are there, those
** that a step reads are kept with the plan, and the others go. The rows that a
** lookup reads are here, too.
*/
#include <string.h>

#include "session.h"

/* A block of the planner for the elements of an invariant. */
static saros_status take(session_planner *p, int node, size_t elements) {
  saros_context *context = p->plan->context;
  const size_t bytes = (elements + 15) / 16 * 16 * sizeof(real);
  session_node *known = &p->nodes[node];
  known->block = pool_take(&context->pool, bytes);
  known->data = known->block;
  if (known->block == NULL)
    return base_out_of_memory(context, bytes);
  return SAROS_OK;
}

static saros_status hold_parameter(session_planner *p, int node,
                                   saros_tensor *parameter) {
  TRY(saros_contiguous(parameter, &p->nodes[node].tensor));
  p->nodes[node].data = tensor_reals(p->nodes[node].tensor);
  return SAROS_OK;
}

static void fill_constant(real *y, const program_node *n) {
  for (int i = 0; i < n->width; i++)
    y[i] = (real)(n->values != NULL ? n->values[i] : n->number[NUMBER_VALUE]);
}

static saros_status compute(session_planner *p, int node) {
  const program_node *n = &p->program->nodes[node];
  const kernels *k = p->plan->math;
  base_pool *pool = &p->plan->context->pool;
  const size_t count = (size_t)n->inputs;
  const real **x = pool_take(pool, count * sizeof *x + count * sizeof(int));
  if (x == NULL)
    return base_out_of_memory(p->plan->context, count);
  int *widths = (int *)(x + count);
  for (int i = 0; i < n->inputs; i++) {
    const int of = p->nodes[n->input[i]].source;
    x[i] = p->nodes[of].data, widths[i] = p->program->nodes[of].width;
  }
  real *y = p->nodes[node].block;
  if (session_is_elementwise(n)) {
    const session_element e = session_element_of(k, n, widths);
    session_compute_element(k, &e, y, x, (size_t)n->width);
  } else {
    session_compute_row(k, n, y, x, widths);
  }
  pool_give(pool, x);
  return SAROS_OK;
}

/* The rows that a lookup reads, rounded as the weights of products are. */
static saros_status hold_rows(session_planner *p, int node) {
  const program_node *n = &p->program->nodes[node];
  const int table = p->nodes[n->input[1]].source;
  const size_t count = (size_t)p->program->nodes[table].width;
  p->nodes[node].data = p->nodes[table].data;
  if (p->plan->kernels == p->plan->math->step[STEP_REAL])
    return SAROS_OK;
  TRY(take(p, node, count));
  memcpy(p->nodes[node].block, p->nodes[table].data, count * sizeof(real));
  p->plan->kernels->round_rows(p->nodes[node].block, NULL,
                               (int)(count / (size_t)n->width), n->width);
  return SAROS_OK;
}

saros_status session_plan_invariants(session_planner *p,
                                     saros_tensor *const *parameters) {
  for (int i = 0; i < p->program->node_count; i++) {
    const program_node *n = &p->program->nodes[i];
    if (n->op == NODE_LOOKUP && p->nodes[i].live)
      TRY(hold_rows(p, i));
    if (!n->invariant || !p->nodes[i].live)
      continue;
    if (n->op == NODE_PARAMETER) {
      TRY(hold_parameter(p, i, parameters[n->at[AT_NUMBER]]));
      continue;
    }
    TRY(take(p, i, (size_t)n->width));
    if (n->op == NODE_CONSTANT)
      fill_constant(p->nodes[i].block, n);
    else
      TRY(compute(p, i));
  }
  return SAROS_OK;
}

/* A block of the plan's with the elements of an invariant. */
static saros_status keep(session_planner *p, int node, real **out) {
  session_node *known = &p->nodes[node];
  session_plan *plan = p->plan;
  if (known->block == NULL) {
    const size_t n = (size_t)p->program->nodes[node].width;
    const real *from = known->data;
    TRY(take(p, node, n));
    memcpy(known->block, from, n * sizeof(real));
  }
  *out = plan->fixed[plan->fixed_count++] = known->block;
  known->block = NULL;
  return SAROS_OK;
}

saros_status session_keep_invariant(session_planner *p, int node, real **out) {
  session_node *known = &p->nodes[node];
  if (known->kept == NULL)
    TRY(keep(p, node, &known->kept));
  *out = known->kept;
  return SAROS_OK;
}
