/*
** A delta node as a stage: a matrix (K, V) of each head is the state, which a step
** changes in place. The states of sessions are reals, however weights are packed.
*/
#include "session.h"

enum { Q, KEY, VALUE, WRITE, ERASE, DECAY, OPERANDS };

/* The value of an operand. A gate that is one constant for all becomes a block of
** the stage, or nothing at all if it does nothing; -1 then, and for no decay. */
static saros_status plan_gate(session_planner *p, const program_node *n, int i,
                              double nothing, int which) {
  session_stage *g = p->stage;
  const program_node *in = &p->program->nodes[n->input[i]];
  const int gates = n->at[AT_HEADS] * n->at[AT_REFLECTIONS];
  const double value = in->number[NUMBER_VALUE];
  if (in->op != NODE_CONSTANT || in->values != NULL)
    return SAROS_OK;
  ((int *)g->owned[SESSION_OPERANDS])[i] = -1;
  if (value == nothing)
    return SAROS_OK;
  TRY(session_plan_own(p, which, (size_t)gates));
  for (int gate = 0; gate < gates; gate++)
    ((real *)g->owned[which])[gate] = (real)value;
  return SAROS_OK;
}

/* q (H K) and y (H V); a decay of each channel, unless there is one of each head. */
static saros_status plan_sizes(session_planner *p, const program_node *n) {
  const program_node *nodes = p->program->nodes;
  const int heads = n->at[AT_HEADS], K = nodes[n->input[Q]].width / heads;
  TRY(session_plan_block(p, SESSION_SIZES, sizeof(kernel_delta_sizes)));
  *(kernel_delta_sizes *)p->stage->owned[SESSION_SIZES] = (kernel_delta_sizes){
      .heads = heads,
      .K = K,
      .V = n->width / heads,
      .reflections = n->at[AT_REFLECTIONS],
      .channels = n->inputs > DECAY && nodes[n->input[DECAY]].width > heads};
  return SAROS_OK;
}

saros_status session_plan_delta(session_planner *p, int node) {
  const program_node *n = &p->program->nodes[node];
  session_stage *g = session_plan_stage(p, session_run_delta, -1, n->width);
  session_state *x = &p->plan->states[n->state[0]];
  g->node = n;
  TRY(session_plan_block(p, SESSION_OPERANDS, OPERANDS * sizeof(int)));
  int *operands = g->owned[SESSION_OPERANDS];
  for (int i = 0; i < OPERANDS; i++)
    operands[i] = i < n->inputs ? session_operand(p, n, i) : -1;
  TRY(plan_sizes(p, n));
  TRY(plan_gate(p, n, WRITE, 1, SESSION_WRITE));
  TRY(plan_gate(p, n, ERASE, 0, SESSION_ERASE));
  session_plan_array(p, SESSION_MATRIX, x->n);
  x->at = x->at_odd = g->at[SESSION_MATRIX];
  g->y = p->nodes[node].value = session_plan_result(p, n->width);
  return g->y < 0 ? base_out_of_memory(p->plan->context, 0) : SAROS_OK;
}

/* --- The step --------------------------------------------------------------------- */

static const real *row_of(const saros_session *s, const session_stage *g,
                          int which, int row) {
  const int value = ((const int *)g->owned[SESSION_OPERANDS])[which];
  return value < 0 ? NULL : session_row(s, value, row);
}

/* A gate of a row; null if it does nothing. */
static const real *gate_of(const saros_session *s, const session_stage *g,
                           int which, int row) {
  const real *gate = row_of(s, g, which, row);
  return gate ? gate : g->owned[which == WRITE ? SESSION_WRITE : SESSION_ERASE];
}

static void step_row(const saros_session *s, const session_stage *g, int row) {
  const int at = STEP_WIDTH(s->plan->states[g->node->state[0]].n);
  const kernel_delta_inputs x = {
      row_of(s, g, Q, row),      row_of(s, g, KEY, row),
      row_of(s, g, VALUE, row),  gate_of(s, g, WRITE, row),
      gate_of(s, g, ERASE, row), row_of(s, g, DECAY, row)};
  s->context->kernels->delta->step(session_row(s, g->y, row),
                                   session_array_of(s, g, SESSION_MATRIX) +
                                       (ptrdiff_t)row * at,
                                   &x, g->owned[SESSION_SIZES]);
}

void session_run_delta(saros_session *s, const session_stage *g) {
  for (int row = 0; row < s->streams; row++)
    step_row(s, g, row);
  session_run_next(s, g);
}
