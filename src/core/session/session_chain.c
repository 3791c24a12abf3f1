/*
** Element-wise nodes that follow each other as one stage: a chain. It runs strip
** by strip, so that what its nodes hand to each other stays in the first cache.
*/
#include "session.h"

/* Elements of a strip. */
#define STRIP 1024

/* --- The plan --------------------------------------------------------------------- */

/* True if all rows may be taken as one, padding included: every operand lies as
** the results do, or is a single number for all rows. */
static int is_flat(const session_plan *p, const session_element *e) {
  const ptrdiff_t stride = p->values[e->y].stride;
  for (int i = 0; i < e->operands; i++) {
    const session_value *x = &p->values[e->x[i]];
    if (e->step[i] == 0 ? x->stride != 0 : x->stride != stride)
      return 0;
  }
  return 1;
}

static saros_status plan_element(session_planner *p, int node,
                                 session_element *e) {
  const program_node *n = &p->program->nodes[node];
  int widths[3], y = session_plan_result(p, n->width);
  if (y < 0)
    return base_out_of_memory(p->plan->context, 0);
  for (int i = 0; i < n->inputs; i++)
    widths[i] = p->program->nodes[n->input[i]].width;
  *e = session_element_of(p->plan->math, n, widths);
  for (int i = 0; i < n->inputs; i++)
    e->x[i] = session_operand(p, n, i);
  e->y = p->nodes[node].value = y;
  return SAROS_OK;
}

saros_status session_plan_chain(session_planner *p, const int *nodes,
                                int count) {
  session_stage *g = session_plan_stage(p, session_run_chain, -1,
                                        p->program->nodes[*nodes].width);
  TRY(session_plan_block(p, SESSION_ELEMENTS,
                         (size_t)count * sizeof(session_element)));
  session_element *elements = g->owned[SESSION_ELEMENTS];
  g->flat = 1;
  for (int i = 0; i < count; i++) {
    TRY(plan_element(p, nodes[i], &elements[i]));
    g->flat &= is_flat(p->plan, &elements[i]);
  }
  g->count = count;
  return SAROS_OK;
}

/* --- The step --------------------------------------------------------------------- */

/* All elements over n places of a row from 'from' on. */
static inline void run_strip(saros_session *s, const session_stage *g, int row,
                             size_t from, size_t n) {
  const session_element *e = g->owned[SESSION_ELEMENTS];
  const kernels *k = s->context->kernels;
  for (const session_element *end = e + g->count; e < end; e++) {
    const real *x[3];
    for (int i = 0; i < e->operands; i++)
      x[i] = session_row(s, e->x[i], row) + (e->step[i] != 0 ? from : 0);
    session_compute_element(k, e, session_row(s, e->y, row) + from, x, n);
  }
}

void session_run_chain(saros_session *s, const session_stage *g) {
  const size_t width = (size_t)g->outputs;
  const size_t others = (size_t)(s->streams - 1);
  const size_t n = g->flat ? others * STEP_WIDTH(width) + width : width;
  const int rows = g->flat ? 1 : s->streams;
  for (int row = 0; row < rows; row++)
    for (size_t from = 0; from < n; from += STRIP)
      run_strip(s, g, row, from, n - from < STRIP ? n - from : STRIP);
  session_run_next(s, g);
}
