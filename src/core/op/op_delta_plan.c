/*
** The plan of a call of the delta rule: which steps of each row count, in the order of the
** walk, and how they are cut into segments and chunks (see op_delta.c).
*/
#include "op_delta.h"

int op_delta_chunk_steps(const op_delta_run *r, const int32_t *plan, int from) {
  const int end = from - from % r->segment + r->segment;
  int to = from + 1;
  while (to < plan[0] && to < end && to - from < r->chunk && plan[1 + to] >= 0)
    to++;
  return to - from;
}

static void plan_row(const op_delta_run *r, int32_t *plan, const real *mask,
                     const real *keep, int reverse) {
  plan[0] = 0;
  for (int left = r->T; left > 0; left--) {
    const int t = reverse ? left - 1 : r->T - left;
    const size_t at = (size_t)t * (size_t)r->B;
    if (mask == NULL || mask[at] != 0)
      plan[1 + plan[0]++] = keep != NULL && keep[at] == 0 ? ~t : t;
  }
}

/* The most chunks of a segment, and segments of a row. */
static void count_parts(op_delta_run *r) {
  r->segments = r->slots = 0;
  for (int row = 0; row < r->B; row++) {
    const int32_t *plan = op_delta_plan(r, row);
    int chunks = 0;
    for (int at = 0; at < plan[0]; at += op_delta_chunk_steps(r, plan, at)) {
      chunks = at % r->segment == 0 ? 1 : chunks + 1;
      r->slots = chunks > r->slots ? chunks : r->slots;
    }
    const int segments = base_divide_up(plan[0], r->segment);
    r->segments = segments > r->segments ? segments : r->segments;
  }
}

saros_status op_delta_make_plan(op_delta_run *r, const saros_delta_options *o) {
  saros_tensor *mask = NULL, *keep = NULL;
  saros_status status = SAROS_OK;
  if (o->mask != NULL)
    TRY(saros_contiguous(o->mask, &mask));
  if (o->reset != NULL)
    TRY_OR_DONE(saros_keep(o->reset, o->mask, o->reverse, &keep));
  TRY_OR_DONE(tensor_new(r->context, SAROS_IDS, 2,
                         (const int[]){r->B, r->T + 1}, &r->t[OP_DELTA_PLAN]));
  for (int row = 0; row < r->B; row++)
    plan_row(r,
             tensor_ids(r->t[OP_DELTA_PLAN]) + (size_t)row * ((size_t)r->T + 1),
             mask ? tensor_reals(mask) + row : NULL,
             keep ? tensor_reals(keep) + row : NULL, o->reverse);
  count_parts(r);
done:
  saros_tensor_release(mask);
  saros_tensor_release(keep);
  return status;
}
