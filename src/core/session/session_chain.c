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

/* A place of a row. Missing operands of an element are places of value 0, which
** nothing reads: that takes fewer jumps than a loop over the operands. */
static inline real *place(const saros_session *s, int value, int row,
                          size_t at) {
  return session_row(s, value, row) + at;
}

/* All elements over n places of a row, strip by strip. */
static inline void run_row(saros_session *s, const session_stage *g, int row,
                           size_t n) {
  const session_element *first = g->owned[SESSION_ELEMENTS];
  const session_element *end = first + g->count;
  const kernels *k = s->context->kernels;
  for (size_t from = 0; from < n; from += STRIP) {
    const size_t count = n - from < STRIP ? n - from : STRIP;
    for (const session_element *e = first; e < end; e++) {
      const real *const x[3] = {
          place(s, e->x[0], row, from * (size_t)e->step[0]),
          place(s, e->x[1], row, from * (size_t)e->step[1]),
          place(s, e->x[2], row, from * (size_t)e->step[2])};
      session_compute_element(k, e, place(s, e->y, row, from), x, count);
    }
  }
}

/* A single stream is one row, however its values lie. */
void session_run_chain(saros_session *s, const session_stage *g) {
  const size_t width = (size_t)g->outputs;
  if (g->flat || s->streams == 1)
    run_row(s, g, 0, (size_t)(s->streams - 1) * STEP_WIDTH(width) + width);
  else
    for (int row = 0; row < s->streams; row++)
      run_row(s, g, row, width);
  session_run_next(s, g);
}
