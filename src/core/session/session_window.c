/*
** A window over the last steps as a stage: x of k steps, 'dilation' apart, the
** oldest first. The steps before the present one lie in a ring, whose place is
** the same for all rows: rows begin with zeros, wherever that is. It is an int in
** the memory of the session, so that forks have it, too.
*/
#include <string.h>

#include "session.h"

saros_status session_plan_window(session_planner *p, int node) {
  const program_node *n = &p->program->nodes[node];
  const int x = session_operand(p, n, 0), F = n->width / n->at[AT_TAPS];
  session_stage *g = session_plan_stage(p, session_run_window, x, n->width);
  g->inputs = F;
  g->node = n;
  g->steps = (n->at[AT_TAPS] - 1) * n->at[AT_DILATION];
  g->y = p->nodes[node].value = session_plan_result(p, n->width);
  if (g->y < 0)
    return base_out_of_memory(p->plan->context, 0);
  session_plan_array(p, SESSION_RING, g->steps * F);
  session_plan_array(p, SESSION_PLACE, 1);
  session_state *ring = &p->plan->states[n->state[0]];
  ring->at = ring->at_odd = g->at[SESSION_RING];
  ring->ring = g->at[SESSION_PLACE];
  ring->steps = g->steps;
  return SAROS_OK;
}

/* Slot 'place' of the ring holds the oldest step, which the present replaces. */
static void step_row(const saros_session *s, const session_stage *g, int row,
                     int place) {
  const int F = g->inputs, taps = g->node->at[AT_TAPS];
  const size_t bytes = (size_t)F * sizeof(real);
  const real *x = session_row(s, g->x, row);
  real *y = session_row(s, g->y, row);
  real *ring = session_array_of(s, g, SESSION_RING) +
               (ptrdiff_t)row * STEP_WIDTH(g->steps * F);
  for (int tap = 0, slot = place; tap < taps - 1; tap++, y += F) {
    memcpy(y, ring + (ptrdiff_t)slot * F, bytes);
    slot = (slot + g->node->at[AT_DILATION]) % g->steps;
  }
  memcpy(y, x, bytes);
  if (g->steps > 0)
    memcpy(ring + (ptrdiff_t)place * F, x, bytes);
}

void session_run_window(saros_session *s, const session_stage *g) {
  real *place = session_array_of(s, g, SESSION_PLACE);
  int at;
  memcpy(&at, place, sizeof at);
  for (int row = 0; row < s->streams; row++)
    step_row(s, g, row, at);
  at = at + 1 < g->steps ? at + 1 : 0;
  memcpy(place, &at, sizeof at);
  session_run_next(s, g);
}
