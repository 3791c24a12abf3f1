/*
** What the stages of a session do in one step, but for the cells
** (session_step.c) and what has files of its own.
*/
#include <string.h>

#include "session.h"

/* --- Where sums begin ------------------------------------------------------------- */

const real *const *session_at_row(const saros_session *s, const real *row) {
  for (int stream = 0; stream < s->streams; stream++)
    s->starts[stream] = row;
  return s->starts;
}

const real *const *session_at_symbols(const saros_session *s,
                                      const session_stage *g) {
  const real *table = g->owned[SESSION_TABLE];
  const int32_t *ids = s->ids[g->ids];
  for (int stream = 0; stream < s->streams; stream++)
    s->starts[stream] = table + (ptrdiff_t)ids[stream] * g->table_width;
  return s->starts;
}

/* --- Products ----------------------------------------------------------------------- */

void session_run_lookup(saros_session *s, const session_stage *g) {
  const real *const *row = session_at_symbols(s, g);
  for (int stream = 0; stream < s->streams; stream++)
    memcpy(session_row(s, g->y, stream), row[stream],
           (size_t)g->outputs * sizeof(real));
  session_run_next(s, g);
}

void session_run_product(saros_session *s, const session_stage *g) {
  s->plan->kernels->dense(s->values[g->y], g->owned[SESSION_W],
                          session_at_row(s, g->owned[SESSION_BIAS]),
                          s->values[g->x], s->streams, g->outputs, g->inputs);
  session_run_next(s, g);
}

/* --- Cells --------------------------------------------------------------------------- */

void session_run_recurrent(saros_session *s, const session_stage *g) {
  real *even = session_array_of(s, g, SESSION_H_EVEN);
  real *odd = session_array_of(s, g, SESSION_H_ODD);
  real *h = s->odd ? odd : even;
  g->step(s, g, g->x >= 0 ? s->values[g->x] : NULL, h, s->odd ? even : odd);
  s->values[g->y] = h;
  session_run_next(s, g);
}

/* --- Rows ---------------------------------------------------------------------------- */

void session_run_rows(saros_session *s, const session_stage *g) {
  const kernels *k = s->context->kernels;
  const int *operands = g->owned[SESSION_OPERANDS];
  const real **x = s->operands;
  for (int row = 0; row < s->streams; row++) {
    for (int i = 0; i < g->count; i++)
      x[i] = session_row(s, operands[i], row);
    session_compute_row(k, g->node, session_row(s, g->y, row), x,
                        operands + g->count);
  }
  session_run_next(s, g);
}

void session_run_copy(saros_session *s, const session_stage *g) {
  for (int row = 0; row < s->streams; row++)
    memcpy(session_row(s, g->y, row), session_row(s, g->x, row),
           (size_t)g->outputs * sizeof(real));
  session_run_next(s, g);
}

/* --- The end of a step ---------------------------------------------------------------- */

static void copy_rows(const saros_session *s, real *to, ptrdiff_t stride,
                      int value, int n) {
  const real *from = s->values[value];
  const ptrdiff_t step = s->plan->values[value].stride;
  for (int row = 0; row < s->streams; row++, to += stride, from += step)
    memcpy(to, from, (size_t)n * sizeof(real));
}

/* Outputs may be what states were, so these come last. */
void session_run_last(saros_session *s, const session_stage *g) {
  const session_plan *p = s->plan;
  (void)g;
  for (int i = p->direct && s->streams == 1; i < p->output_count; i++)
    copy_rows(s, tensor_reals(s->outputs[i]), p->outputs[i].width,
              p->outputs[i].value, p->outputs[i].width);
  for (int i = 0; i < p->next_count; i++) {
    const session_state *to = &p->states[p->next[i].state];
    copy_rows(s, session_state_rows(s, to), STEP_WIDTH(to->n), p->next[i].value,
              to->n);
  }
}
