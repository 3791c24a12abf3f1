/*
** Attention over the last W steps, as a stage: its plan and its step.
**
** The keys and values of the steps lie in a ring of W slots, so that nothing
** moves as time goes by: step t of a row goes to slot t mod W. Each row has a
** place of its own, since it begins by itself with nothing to look back at; the
** slots in use are always the first ones, and all of them from step W on.
** Scores do not care for the order of the slots, but for how far back they lie:
** 'distance' is kept twice in a row, so that it can be read from any place on.
*/
#include <string.h>

#include "session.h"

/* --- The plan --------------------------------------------------------------------- */

/* The place of a row is a real, where whole numbers below 2 W must be exact. */
#define LONGEST_WINDOW (1 << 23)

/* Heads and window from 'distance', and F from what they are to look at. */
static saros_status measure(session_planner *p) {
  const saros_tensor *d = p->given->distance;
  saros_context *context = p->plan->context;
  session_stage *g = p->stage;
  int is_fit = d != NULL && d->rank == 2 && d->shape[0] > 0 &&
               d->shape[0] <= WIDEST && d->shape[1] > 0;
  g->heads = is_fit ? d->shape[0] : 1;
  g->window = is_fit ? d->shape[1] : 1;
  TRY(session_plan_expect(p, "distance", d, 2, g->heads, g->window));
  if (p->width % (3 * g->heads) != 0)
    return saros_fail(context, SAROS_EARGUMENT,
                      "session: expected queries, keys and values of %d heads "
                      "in stage %d, got %d features",
                      g->heads, p->number + context->index_base, p->width);
  g->outputs = p->width / 3;
  int longest = WIDEST / g->outputs / ATTENTION_SLOTS * ATTENTION_SLOTS;
  longest = longest < LONGEST_WINDOW ? longest : LONGEST_WINDOW;
  if (g->window > longest)
    return saros_fail(context, SAROS_EARGUMENT,
                      "session: expected a window of at most %d steps in stage "
                      "%d, got %d",
                      longest, p->number + context->index_base, g->window);
  return SAROS_OK;
}

/* (heads, 2 W): each row twice. */
static saros_status plan_distance(session_planner *p) {
  const session_stage *g = p->stage;
  const size_t n = (size_t)g->window;
  saros_tensor *from;
  TRY(session_plan_own(p, DISTANCE, (size_t)g->heads * 2 * n));
  TRY(saros_contiguous(p->given->distance, &from));
  real *to = g->owned[DISTANCE];
  for (int head = 0; head < g->heads; head++, to += 2 * n) {
    memcpy(to, tensor_reals(from) + (size_t)head * n, n * sizeof(real));
    memcpy(to + n, to, n * sizeof(real));
  }
  saros_tensor_release(from);
  return SAROS_OK;
}

saros_status session_plan_attention(session_planner *p) {
  session_stage *g = p->stage;
  TRY(measure(p));
  TRY(plan_distance(p));
  g->run = session_run_attention;
  g->states = 3;
  session_plan_array(p, KEYS, ATTENTION_KEYS(g->outputs, g->window));
  session_plan_array(p, VALUES, g->outputs * g->window);
  session_plan_array(p, PLACE, 1);
  session_plan_array(p, SCORES, g->heads * g->window);
  session_plan_array(p, Y, g->outputs);
  return SAROS_OK;
}

/* --- The step --------------------------------------------------------------------- */

/* A row of an array of the stage. */
static real *row_of(const saros_session *s, const session_stage *g, int which,
                    int row, int n) {
  return session_array_of(s, g, which) + (ptrdiff_t)row * STEP_WIDTH(n);
}

/* The key and the value of this step, from x = q, k, v, go into their slot. */
static void remember(real *keys, real *values, const real *x, int slot, int F) {
  const int block = slot / ATTENTION_SLOTS, lane = slot % ATTENTION_SLOTS;
  keys += (ptrdiff_t)block * F * ATTENTION_SLOTS + lane;
  for (int i = 0; i < F; i++)
    keys[i * ATTENTION_SLOTS] = x[F + i];
  memcpy(values + (ptrdiff_t)slot * F, x + 2 * F, (size_t)F * sizeof(real));
}

/* One row. Its place counts steps from 0 on, but goes from 2 W - 1 back to W. */
static void step_row(const saros_session *s, const session_stage *g, int row,
                     const real *x) {
  const kernels *k = s->context->kernels;
  const int F = g->outputs, window = g->window;
  real *place = row_of(s, g, PLACE, row, 1);
  const int at = (int)*place, slot = at % window;
  const int seen = at < window ? at + 1 : window;
  real *keys = row_of(s, g, KEYS, row, ATTENTION_KEYS(F, window));
  real *values = row_of(s, g, VALUES, row, F * window);
  real *scores = row_of(s, g, SCORES, row, g->heads * window);
  const real *distance = g->owned[DISTANCE];
  remember(keys, values, x, slot, F);
  k->attention->score(scores, x, keys, distance + window - 1 - slot, g->heads,
                      F, seen, window);
  k->softmax->softmax(scores, scores, (size_t)g->heads, (size_t)seen);
  k->attention->read(row_of(s, g, Y, row, F), scores, values, g->heads, F,
                     seen);
  *place = (real)(at + 1 < 2 * window ? at + 1 : window);
}

void session_run_attention(saros_session *s, const session_stage *g,
                           const real *x) {
  for (int row = 0; row < s->streams; row++)
    step_row(s, g, row, x + (ptrdiff_t)row * STEP_WIDTH(g->inputs));
  session_run_next(s, g, session_array_of(s, g, Y));
}
