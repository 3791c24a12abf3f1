/*
** New weights for a session that goes on: another plan takes the place of its
** own, if both lay out the memory of a session in the same way.
*/
#include <string.h>

#include "session.h"

static int is_alike(const session_stage *a, const session_stage *b) {
  return a->run == b->run && a->step == b->step && a->outputs == b->outputs &&
         a->H == b->H && a->P == b->P && a->states == b->states &&
         a->heads == b->heads && a->window == b->window && a->back == b->back &&
         memcmp(a->at, b->at, sizeof a->at) == 0;
}

static int lie_alike(const session_plan *a, const session_plan *b) {
  int same = a->count == b->count && a->symbols == b->symbols &&
             a->inputs == b->inputs && a->memory == b->memory;
  for (int i = 0; same && i < a->count; i++)
    same = is_alike(&a->stages[i], &b->stages[i]);
  return same;
}

/* How a plan keeps its weights. */
static saros_weights weights_of(const session_plan *p) {
  saros_weights weights = 0;
  while (p->context->kernels->step[weights] != p->kernels)
    weights++;
  return weights;
}

saros_status saros_session_repack(saros_session *s, int count,
                                  const saros_stage *stages) {
  session_plan *old = s->plan, *new;
  TRY(session_plan_new(s->context, count, stages, weights_of(old), &new));
  if (!lie_alike(old, new)) {
    session_plan_release(new);
    return saros_fail(s->context, SAROS_EARGUMENT,
                      "repack: expected the stages that the session was made "
                      "of, got stages of other kinds or sizes");
  }
  s->plan = new;
  session_plan_release(old);
  saros_tensor_release(s->lender);
  s->lender = NULL;  // the new plan is the session's own
  return SAROS_OK;
}
