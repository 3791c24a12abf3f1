/*
** Sessions: a plan with a state, stepped for ever in the memory that was taken
** when it was made.
*/
#include <string.h>

#include "session.h"

/* --- Life --------------------------------------------------------------------------- */

static size_t memory_bytes(const saros_session *s) {
  return s->plan->memory * (size_t)s->streams * sizeof(real);
}

/* Everything that a session allocates. What it has after a failure is released
** by saros_session_release. */
static saros_status take_memory(saros_session *s) {
  const session_plan *p = s->plan;
  memory_pool *pool = &s->context->pool;
  const int shape[2] = {s->streams, p->outputs};
  size_t outputs = (size_t)p->outputs, streams = (size_t)s->streams;
  s->memory = pool_take(pool, memory_bytes(s));
  s->starts = pool_take(pool, streams * sizeof *s->starts);
  s->read = pool_take(pool, ((size_t)p->count + 1) * sizeof *s->read);
  s->weights = pool_take(pool, outputs * sizeof *s->weights);
  s->order = pool_take(pool, outputs * sizeof *s->order);
  if (!s->memory || !s->starts || !s->read || !s->weights || !s->order)
    return base_out_of_memory(s->context, memory_bytes(s));
  TRY(saros_tensor_new(s->context, SAROS_REAL, 2, shape, &s->output));
  return saros_tensor_new(s->context, SAROS_REAL, 2, shape, &s->probabilities);
}

/* The lender goes last: with it may go the memory that the plan is in. */
static void let_go(const saros_session *s) {
  session_plan_release(s->plan);
  saros_tensor_release(s->lender);
}

/* A session with the context, plan, lender and streams of another. It takes over
** one reference to the plan and the lender, also on failure. */
static saros_status session_like(const saros_session *given,
                                 saros_session **out) {
  saros_session *s;
  *out = NULL;
  saros_status status = base_object_new(given->context, sizeof *s, (void **)&s);
  if (status != SAROS_OK) {
    let_go(given);
    return status;
  }
  *s = (saros_session){.context = given->context,
                       .plan = given->plan,
                       .lender = given->lender,
                       .streams = given->streams};
  status = take_memory(s);
  if (status == SAROS_OK)
    *out = s;
  else
    saros_session_release(s);
  return status;
}

saros_status saros_session_new(saros_context *context, int count,
                               const saros_stage *stages, int streams,
                               saros_weights weights, saros_session **out) {
  saros_session wanted = {.context = context, .streams = streams};
  *out = NULL;
  if (streams < 1 || streams > 65536)
    return saros_fail(context, SAROS_EARGUMENT,
                      "session: expected 1..65536 streams, got %d", streams);
  TRY(session_plan_shared(context, count, stages, weights, &wanted.plan,
                          &wanted.lender));
  if (wanted.plan == NULL)
    TRY(session_plan_new(context, count, stages, weights, &wanted.plan));
  TRY(session_like(&wanted, out));
  memset((*out)->memory, 0, memory_bytes(*out));
  return saros_session_reset(*out, -1);
}

saros_status saros_session_fork(const saros_session *from,
                                saros_session **out) {
  session_plan_retain(from->plan);
  if (from->lender != NULL)
    saros_tensor_retain(from->lender);
  TRY(session_like(from, out));
  saros_session *s = *out;
  memcpy(s->memory, from->memory, memory_bytes(s));
  s->odd = from->odd;
  tensor_copy(s->output, from->output);
  return SAROS_OK;
}

void saros_session_release(saros_session *s) {
  if (s == NULL)
    return;
  memory_pool *pool = &s->context->pool;
  let_go(s);
  pool_give(pool, s->memory);
  pool_give(pool, s->starts);
  pool_give(pool, s->read);
  pool_give(pool, s->weights);
  pool_give(pool, s->order);
  saros_tensor_release(s->output);
  saros_tensor_release(s->probabilities);
  base_object_free(s->context, s);
}

saros_session_facts saros_session_of(const saros_session *s) {
  const session_plan *p = s->plan;
  return (saros_session_facts){s->streams, p->symbols, p->inputs, p->outputs};
}

/* --- Steps ---------------------------------------------------------------------------- */

/* Whether the output may be written to; the answer is mostly yes, and at once. */
static saros_status expect_writable(const saros_session *s) {
  if (s->output->storage->pins == 0 && s->output->node == NULL)
    return SAROS_OK;
  return saros_tensor_writable(s->output, "step");
}

static void run_stages(saros_session *s, const real *x) {
  s->odd = !s->odd;
  s->read[0] = x;
  s->plan->stages->run(s, s->plan->stages, x);
}

static saros_status wrong_input(const saros_session *s, const char *got) {
  return saros_fail(s->context, SAROS_EARGUMENT, "step: expected %s, got %s",
                    s->plan->symbols ? "ids" : "features", got);
}

saros_status saros_session_step(saros_session *s, const saros_real *x) {
  const session_plan *p = s->plan;
  if (p->symbols)
    return wrong_input(s, "features");
  TRY(expect_writable(s));
  if (s->streams == 1) {
    run_stages(s, x);
    return SAROS_OK;
  }
  real *rows = session_array_at(s, p->input);
  for (int row = 0; row < s->streams; row++)
    memcpy(rows + (ptrdiff_t)row * STEP_WIDTH(p->inputs),
           x + (ptrdiff_t)row * p->inputs, (size_t)p->inputs * sizeof(real));
  run_stages(s, rows);
  return SAROS_OK;
}

saros_status saros_session_step_ids(saros_session *s, const int32_t *ids) {
  int base = s->context->index_base;
  if (!s->plan->symbols)
    return wrong_input(s, "ids");
  for (int row = 0; row < s->streams; row++)
    if (ids[row] < 0 || ids[row] >= s->plan->symbols)
      return saros_fail(s->context, SAROS_EARGUMENT,
                        "step: expected ids in %d..%d, got %lld in row %d",
                        base, s->plan->symbols - 1 + base,
                        (long long)ids[row] + base, row + base);
  TRY(expect_writable(s));
  s->ids = ids;
  run_stages(s, NULL);
  return SAROS_OK;
}

/* --- The state ---------------------------------------------------------------------------- */

session_state session_state_of(const saros_session *s, const session_stage *g,
                               int which) {
  const int F = g->outputs, window = g->window;
  const session_state of_attention[] = {
      {.rows = session_array_of(s, g, KEYS), .n = ATTENTION_KEYS(F, window)},
      {.rows = session_array_of(s, g, VALUES), .n = F * window},
      {.rows = session_array_of(s, g, PLACE), .n = 1, .places = 2 * window},
  };
  const session_state of_recurrent[] = {
      {.rows = session_array_of(s, g, s->odd ? H_ODD : H_EVEN),
       .first = g->owned[FIRST_H],
       .n = g->P},
      {.rows = session_array_of(s, g, C),
       .first = g->owned[FIRST_C],
       .n = g->H},
  };
  return window > 0 ? of_attention[which] : of_recurrent[which];
}

/* One row of a state as it is at first. */
static void reset_row(session_state x, int row) {
  real *to = x.rows + (ptrdiff_t)row * STEP_WIDTH(x.n);
  if (x.first != NULL)
    memcpy(to, x.first, (size_t)x.n * sizeof(real));
  else
    memset(to, 0, (size_t)x.n * sizeof(real));
}

saros_status saros_session_reset(saros_session *s, int row) {
  const session_plan *p = s->plan;
  int base = s->context->index_base;
  if (row < -1 || row >= s->streams)
    return saros_fail(s->context, SAROS_EARGUMENT,
                      "reset: expected a row in %d..%d, got %d", base,
                      s->streams - 1 + base, row + base);
  TRY(saros_tensor_writable(s->output, "reset"));
  int first = row < 0 ? 0 : row, last = row < 0 ? s->streams - 1 : row;
  for (int at = first; at <= last; at++) {
    for (const session_stage *g = p->stages; g < p->stages + p->count; g++)
      for (int which = 0; which < g->states; which++)
        reset_row(session_state_of(s, g, which), at);
    memset(tensor_reals(s->output) + (ptrdiff_t)at * p->outputs, 0,
           (size_t)p->outputs * sizeof(real));
  }
  return SAROS_OK;
}

/* --- What comes out ---------------------------------------------------------------------------- */

saros_tensor *saros_session_output(const saros_session *s) {
  return s->output;
}

saros_status saros_session_probabilities(saros_session *s, saros_tensor **out) {
  *out = NULL;
  TRY(saros_tensor_writable(s->probabilities, "probabilities"));
  s->context->kernels->softmax->softmax(
      tensor_reals(s->probabilities), tensor_reals(s->output),
      (size_t)s->streams, (size_t)s->plan->outputs);
  *out = s->probabilities;
  return SAROS_OK;
}
