/*
** The order of a code's steps. Products and rows come as soon as they can. When
** there is none, a chain is made of all element-wise values of one width that
** can be computed; it leaves out what nothing waits for yet, so that later chains
** find it in their registers, unless its place is fixed already.
*/
#include "loop_code.h"

/* True if v can be read: done, or in the chain that is being made. */
static int is_ready(const loop_compiler *c, int v) {
  const loop_value *value = &c->g->value[v];
  if (loop_code_is_leaf(c, v) || c->done[v] || c->chosen[v])
    return 1;
  if (c->fold[v] < 0 && loop_code_kind(c, v) >= 0)
    return 0;
  for (int i = 0; i < value->inputs; i++)
    if (!is_ready(c, loop_input(c->g, v, i)))
      return 0;
  return 1;
}

static int inputs_are_ready(const loop_compiler *c, int v) {
  for (int i = 0; i < c->g->value[v].inputs; i++)
    if (!is_ready(c, loop_input(c->g, v, i)))
      return 0;
  return 1;
}

static int new_step(loop_compiler *c, loop_step step) {
  loop_code *code = c->code;
  if (c->g->status == SAROS_OK)
    c->g->status = array_grow(c->plan->context, &code->step, code->steps,
                              &code->step_room, 1, sizeof *code->step);
  if (c->g->status != SAROS_OK)
    return 0;
  code->step[code->steps] = step;
  return (int)code->steps++;
}

/* All products and rows that can be computed; true if there were any. */
static int take_others(loop_compiler *c) {
  int taken = 0;
  for (int v = 0; v < c->count; v++) {
    int kind = loop_code_kind(c, v);
    if (c->done[v] || kind < 0 || kind == LOOP_STEP_CHAIN ||
        !inputs_are_ready(c, v))
      continue;
    c->step_of[v] = new_step(c, (loop_step){.kind = kind, .value = v});
    c->done[v] = 1;
    taken = 1;
  }
  return taken;
}

/* Marks the values of the chain that v reads. */
static void ask_for(const loop_compiler *c, int v, char *asked) {
  for (int i = 0; i < c->g->value[v].inputs; i++) {
    int x = loop_input(c->g, v, i);
    if (loop_code_is_leaf(c, x) || c->done[x] || asked[x])
      continue;
    asked[x] = 1;
    if (!c->chosen[x] && (c->fold[x] >= 0 || loop_code_kind(c, x) < 0))
      ask_for(c, x, asked);
  }
}

/* Leaves in the chain what other steps wait for, or what has a place. */
static void leave_urgent(loop_compiler *c, char *asked) {
  int urgent = 0;
  for (int v = 0; v < c->count; v++)
    asked[v] = c->chosen[v] && c->code->place[v].array >= 0;
  for (int v = c->count - 1; v >= 0; v--) {
    if (c->done[v] || (loop_code_kind(c, v) < 0) || (c->chosen[v] && !asked[v]))
      continue;
    ask_for(c, v, asked);
  }
  for (int v = 0; v < c->count; v++)
    urgent |= c->chosen[v] && asked[v];
  for (int v = 0; v < c->count && urgent; v++)
    c->chosen[v] = c->chosen[v] && asked[v];
}

/* The next chain; true if there was one. */
static int take_chain(loop_compiler *c, char *asked) {
  int width = -1;
  for (int v = 0; v < c->count; v++) {
    if (c->done[v] || loop_code_kind(c, v) != LOOP_STEP_CHAIN ||
        (width >= 0 && c->g->value[v].width != width) ||
        !inputs_are_ready(c, v))
      continue;
    width = c->g->value[v].width;
    c->chosen[v] = 1;
  }
  if (width < 0)
    return 0;
  leave_urgent(c, asked);
  int step = new_step(c, (loop_step){.kind = LOOP_STEP_CHAIN, .width = width});
  for (int v = 0; v < c->count; v++)
    if (c->chosen[v])
      c->step_of[v] = step, c->done[v] = 1, c->chosen[v] = 0;
  return 1;
}

saros_status loop_schedule(loop_compiler *c) {
  saros_context *context = c->plan->context;
  char *asked = pool_take(&context->pool, (size_t)c->count + 1);
  if (asked == NULL)
    return base_out_of_memory(context, (size_t)c->count + 1);
  while (c->g->status == SAROS_OK) {
    if (take_others(c))
      continue;
    if (!take_chain(c, asked))
      break;
  }
  pool_give(&context->pool, asked);
  return c->g->status;
}
