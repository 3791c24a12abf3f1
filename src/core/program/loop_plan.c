/*
** Plans: what was compiled for a component and a set of options. A program keeps
** its plans; an entry on the tape keeps the one that it needs.
*/
#include <string.h>

#include "loop.h"

static loop_plan *plan_new(saros_context *context) {
  loop_plan *plan = pool_take(&context->pool, sizeof *plan);
  if (plan == NULL)
    return NULL;
  memset(plan, 0, sizeof *plan);
  plan->context = context;
  plan->references = 1;
  loop_graph_start(&plan->graph, context);
  return plan;
}

void loop_plan_release(loop_plan *plan) {
  if (plan == NULL || --plan->references > 0)
    return;
  base_pool *pool = &plan->context->pool;
  loop_graph_release(&plan->graph);
  loop_code_release(plan->context, &plan->code);
  loop_code_release(plan->context, &plan->back);
  pool_give(pool, plan->key);
  pool_give(pool, plan->restart);
  pool_give(pool, plan->saved);
  pool_give(pool, plan->array);
  pool_give(pool, plan);
}

void loop_forget(loop_plan *plans) {
  while (plans != NULL) {
    loop_plan *next = plans->next;
    loop_plan_release(plans);
    plans = next;
  }
}

/* --- Keys ------------------------------------------------------------------------ */

static saros_status add_to_key(loop_plan *plan, const int *x, int count) {
  size_t n = (size_t)count;
  TRY(array_grow(plan->context, &plan->key, plan->key_size, &plan->key_room,
                 n + 1, sizeof *plan->key));
  plan->key[plan->key_size++] = count;
  if (n > 0)
    memcpy(plan->key + plan->key_size, x, n * sizeof *x);
  plan->key_size += n;
  return SAROS_OK;
}

static saros_status add_flags(loop_plan *plan, const char *flags, int count) {
  for (int i = 0; i < count; i++) {
    int flag = flags != NULL && flags[i];
    TRY(add_to_key(plan, &flag, 1));
  }
  return SAROS_OK;
}

static saros_status make_key(loop_plan *plan, const loop_spec *spec,
                             const loop_has *has) {
  const int options[] = {has->mask, has->keep, has->gradients};
  TRY(add_to_key(plan, spec->nodes, spec->count));
  TRY(add_to_key(plan, spec->states, spec->state_count));
  TRY(add_to_key(plan, spec->outside, spec->outside_count));
  TRY(add_to_key(plan, spec->wanted, spec->wanted_count));
  TRY(add_to_key(plan, options, 3));
  TRY(add_flags(plan, has->factors,
                2 * spec->state_count + loop_dropouts(spec)));
  return add_flags(plan, has->gradients ? has->wants : NULL,
                   spec->outside_count);
}

static loop_plan *plan_with_key(loop_plan *plans, const loop_plan *like) {
  size_t bytes = like->key_size * sizeof *like->key;
  for (loop_plan *p = plans; p != NULL; p = p->next)
    if (p->key_size == like->key_size && memcmp(p->key, like->key, bytes) == 0)
      return p;
  return NULL;
}

/* --- Compilation -------------------------------------------------------------------- */

static saros_status make_states(loop_plan *plan, const loop_spec *spec) {
  size_t n = (size_t)spec->state_count;
  plan->states = spec->state_count;
  plan->outside = spec->outside_count;
  plan->wanted = spec->wanted_count;
  plan->dropouts = loop_dropouts(spec);
  plan->restart = pool_take(&plan->context->pool, 3 * n * sizeof(int) + 1);
  if (plan->restart == NULL)
    return base_out_of_memory(plan->context, 3 * n * sizeof(int));
  plan->width = plan->restart + n;
  plan->before = plan->width + n;
  return SAROS_OK;
}

static saros_status compile_plan(loop_plan *plan, const loop_spec *spec,
                                 const loop_has *has) {
  plan->gradients = has->gradients;
  TRY(make_states(plan, spec));
  TRY(loop_lower(plan, spec, has));
  if (has->gradients)
    TRY(loop_adjoint(plan, has));
  TRY(loop_save(plan));
  TRY(loop_compile(plan, &plan->code));
  return has->gradients ? loop_compile(plan, &plan->back) : SAROS_OK;
}

saros_status loop_plan_of(saros_context *context, const loop_spec *spec,
                          const loop_has *has, loop_plan **out) {
  struct saros_program *p =
      (struct saros_program *)spec->p;  // its cache is not its contents
  loop_plan *plan = plan_new(context);
  *out = NULL;
  if (plan == NULL)
    return base_out_of_memory(context, sizeof *plan);
  saros_status status = make_key(plan, spec, has);
  loop_plan *found = status == SAROS_OK ? plan_with_key(p->loops, plan) : NULL;
  if (found == NULL && status == SAROS_OK)
    status = compile_plan(plan, spec, has);
  if (found != NULL || status != SAROS_OK) {
    loop_plan_release(plan);
    *out = found;
    return status;
  }
  plan->next = p->loops;
  p->loops = plan;
  *out = plan;
  return SAROS_OK;
}
