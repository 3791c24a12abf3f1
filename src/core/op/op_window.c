/*
** Windows over time: for each step what stood k - 1, ..., 1, 0 places before it,
** one after the other, places being 'dilation' steps apart. A convolution is a
** product with these. Places: see op_places.c.
*/
#include "op.h"

/* saved: the plan. Inputs: x, state. */
static saros_status window_backward(const tape_entry *e) {
  const op_window_sizes *s = e->arguments;
  const op_window_plan plan = {e->saved[0], e->saved[1]};
  saros_tensor *d[2] = {NULL, NULL};
  for (int i = 0; i < 2; i++)
    if (e->input[i] != NULL)
      TRY(tensor_node_gradient(e->input[i], &d[i]));
  for (int which = 0; which < 2; which++) {
    saros_tensor *dy;
    TRY(tape_entry_gradient(e, which, &dy));
    if (dy == NULL)
      continue;
    op_window_move m = op_window_move_of(e->context, s, &plan, which);
    m.windows = tensor_reals(dy);
    m.x = d[0] ? tensor_reals(d[0]) : NULL;
    m.state = d[1] ? tensor_reals(d[1]) : NULL;
    saros_status status = op_window_add(&m);
    saros_tensor_release(dy);
    TRY(status);
  }
  return SAROS_OK;
}

static const tape_operation window_operation = {"window", window_backward};

/* The windows (0), or the last state (1). */
static saros_status copy_parts(const op_window_parts *p,
                               const op_window_sizes *s, int which,
                               saros_tensor **out) {
  saros_context *context = p->x->context;
  const int shape[] = {s->T, s->B, s->k * s->F}, rows[] = {s->B, s->R * s->F};
  TRY(tensor_new(context, SAROS_REAL, which ? 2 : 3, which ? rows : shape,
                 out));
  op_window_move m = op_window_move_of(context, s, &p->plan, which);
  m.windows = tensor_reals(*out);
  m.x = tensor_reals(p->x);
  m.state = p->state ? tensor_reals(p->state) : NULL;
  return op_window_copy(&m);
}

saros_status saros_window(saros_tensor *x, saros_tensor *state,
                          const saros_window_options *o, saros_tensor **out,
                          saros_tensor **last) {
  *out = *last = NULL;
  op_window_sizes s;
  TRY(op_expect_window("window", x, state, o, &s));
  saros_tensor *result[2] = {NULL, NULL};
  op_window_parts p = {0};
  saros_status status;
  TRY_OR_DONE(op_window_prepare(&s, x, state, o, &p));
  TRY_OR_DONE(copy_parts(&p, &s, 0, &result[0]));
  TRY_OR_DONE(copy_parts(&p, &s, 1, &result[1]));
  status = tape_record(
      x->context,
      &(tape_call){&window_operation, 2, (saros_tensor *[]){p.x, p.state}, 2,
                   result, 2, (saros_tensor *[]){p.plan.windows, p.plan.state},
                   &s, sizeof s});
done:
  op_window_release(&p);
  *out = result[0], *last = result[1];
  return status == SAROS_OK ? status
                            : (tensor_or_nothing(status, last),
                               tensor_or_nothing(status, out));
}
