/*
** New weights for a session: its plan is replaced by one of the same program with
** other parameters. Its states stay as they are.
*/
#include "session.h"

/* The kind of weights of a plan. */
static saros_weights weights_of(const session_plan *p) {
  saros_weights weights = 0;
  while (p->math->step[weights] != p->kernels)
    weights++;
  return weights;
}

/* The program of the plan, read again if it is of another context. The caller
** releases it. */
static saros_status program_of(const saros_session *s, saros_program **out) {
  saros_program *program = s->plan->program;
  if (program->context != s->context)
    return saros_program_read(s->context, program->text, program->size, out);
  *out = program;
  saros_program_retain(program);
  return SAROS_OK;
}

saros_status saros_session_repack(saros_session *s,
                                  saros_tensor *const *parameters) {
  session_plan *old = s->plan, *new;
  saros_program *program;
  TRY(session_expect_parameters("repack", old->program, s->context,
                                parameters));
  TRY(program_of(s, &program));
  saros_status status =
      session_plan_new(s->context, program, parameters, weights_of(old), &new);
  saros_program_release(program);
  if (status != SAROS_OK)
    return status;
  s->plan = new;
  session_place_values(s);
  session_plan_release(old);
  saros_tensor_release(s->lender);
  s->lender = NULL;  // the new plan is the session's own
  return SAROS_OK;
}
