/*
** What the way forward saves for the way back: values that cost something to
** compute (functions, products, rows), and cheap ones only if they cannot be made
** again from what is there. Leaves are there: outside values, parameters, and the
** states of all steps.
*/
#include <string.h>

#include "loop.h"

static int is_cheap(const loop_value *v) {
  switch (v->op) {
    case LOOP_UNARY:
      return UNARY_IS_CHEAP(v->function);
    case LOOP_BINARY:
      return v->function != SAROS_DIVIDE && v->function != SAROS_POWER;
    case LOOP_WHERE:
    case LOOP_BLEND:
    case LOOP_MASKED:
    case LOOP_COPY:
    case LOOP_VIEW:
      return 1;
    default:
      return v->op < LOOP_LEAVES;
  }
}

/* Marks the values of the way forward that the way back reads by itself. */
static void find_read(const loop_plan *plan, char *read) {
  const loop_graph *g = &plan->graph;
  for (size_t i = 0; i < plan->back.sinks; i++)
    read[plan->back.sink[i].value] = 1;
  for (int v = (int)g->count - 1; v >= plan->forward; v--)
    for (int i = 0; read[v] && i < g->value[v].inputs; i++)
      read[loop_input(g, v, i)] = 1;
}

/* True if the value can be made again from what is saved. */
static int is_there(const loop_plan *plan, const char *there, int v) {
  const loop_value *value = &plan->graph.value[v];
  if (!is_cheap(value))
    return 0;
  for (int i = 0; i < value->inputs; i++)
    if (!there[loop_input(&plan->graph, v, i)])
      return 0;
  return 1;
}

/* The operands of products meet the gradients of their results after the walk. */
static void save_operands(loop_plan *plan) {
  const loop_graph *g = &plan->graph;
  for (size_t i = 0; i < plan->back.sinks; i++) {
    const loop_sink *sink = &plan->back.sink[i];
    if (sink->kind != LOOP_SINK_DPRODUCT)
      continue;
    int x = loop_input(g, sink->which, 0);
    if (g->value[x].op != LOOP_BEFORE && g->value[x].op != LOOP_OUTSIDE)
      plan->saved[x] = 1;
  }
}

/* What is left in an array of all steps anyway is there. */
static void save_results(loop_plan *plan, const char *read) {
  for (size_t i = 0; i < plan->code.sinks; i++) {
    int v = plan->code.sink[i].value;
    if (read[v] && loop_is_elementwise(plan->graph.value[v].op))
      plan->saved[v] = 1;
  }
}

/* What the way back makes again reads its operands, too. */
static void spread_read(const loop_plan *plan, char *read) {
  for (int v = plan->forward - 1; v >= 0; v--)
    for (int i = 0;
         read[v] && !plan->saved[v] && i < plan->graph.value[v].inputs; i++)
      read[loop_input(&plan->graph, v, i)] = 1;
}

saros_status loop_save(loop_plan *plan) {
  saros_context *context = plan->context;
  size_t count = plan->graph.count;
  char *there = pool_take(&context->pool, count), *read;
  plan->saved = pool_take(&context->pool, 2 * count);
  if (there == NULL || plan->saved == NULL) {
    pool_give(&context->pool, there);
    return base_out_of_memory(context, 2 * count);
  }
  memset(there, 0, count);
  memset(plan->saved, 0, 2 * count);
  read = plan->reread = plan->saved + count;
  if (plan->gradients) {
    find_read(plan, read);
    save_operands(plan);
    save_results(plan, read);
  }
  saros_status status = SAROS_OK;
  for (int v = 0; v < plan->forward; v++)
    if (read[v] && !is_cheap(&plan->graph.value[v]))
      plan->saved[v] = 1;
  for (int v = 0; v < plan->forward && status == SAROS_OK; v++) {
    there[v] = plan->saved[v] || is_there(plan, there, v);
    if (read[v] && !there[v])
      plan->saved[v] = there[v] = 1;
    if (plan->saved[v])
      status = loop_add_sink(plan, &plan->code, LOOP_SINK_SAVED, v, v);
  }
  spread_read(plan, read);
  pool_give(&context->pool, there);
  return status;
}
