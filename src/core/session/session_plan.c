/*
** The plan of a session: what stages own, places in the memory for values and
** states, and what the files that make stages (session_node.c) are given for that.
*/
#include <string.h>

#include "session.h"

/* --- Helpers of what makes stages -------------------------------------------------- */

saros_status session_plan_block(session_planner *p, int which, size_t bytes) {
  saros_context *context = p->plan->context;
  void *block = pool_take(&context->pool, bytes);
  if (block == NULL)
    return base_out_of_memory(context, bytes);
  memset(block, 0, bytes);
  p->stage->owned[which] = block;
  return SAROS_OK;
}

saros_status session_plan_own(session_planner *p, int which, size_t elements) {
  return session_plan_block(p, which, elements * sizeof(real));
}

saros_status session_plan_copy(session_planner *p, int which, const real *x,
                               size_t n) {
  if (x == NULL)
    return SAROS_OK;
  TRY(session_plan_own(p, which, (n + 15) / 16 * 16));
  memcpy(p->stage->owned[which], x, n * sizeof(real));
  return SAROS_OK;
}

size_t session_plan_room(session_planner *p, int n) {
  const size_t at = p->at;
  p->at += (size_t)STEP_WIDTH(n);
  return at;
}

void session_plan_array(session_planner *p, int which, int n) {
  p->stage->at[which] = session_plan_room(p, n);
}

saros_status session_plan_dense(session_planner *p, int which, const real *w,
                                int n, int k) {
  const step_kernels *step = p->plan->kernels;
  TRY(session_plan_block(p, which, step->dense_bytes(n, k)));
  step->pack_dense(p->stage->owned[which], w, n, k);
  return SAROS_OK;
}

session_stage *session_plan_stage(session_planner *p,
                                  void (*run)(saros_session *s,
                                              const session_stage *g),
                                  int x, int outputs) {
  p->stage = &p->plan->stages[p->plan->count++];
  p->stage->run = run;
  p->stage->x = x, p->stage->y = -1;
  p->stage->outputs = outputs;
  return p->stage;
}

int session_plan_value(session_planner *p, session_value like) {
  session_plan *plan = p->plan;
  if (array_reserve(plan->context, &plan->values, plan->value_count,
                    &p->value_room, sizeof like) != SAROS_OK)
    return -1;
  plan->values[plan->value_count] = like;
  return plan->value_count++;
}

int session_plan_result(session_planner *p, int n) {
  return session_plan_value(p, (session_value){.width = n,
                                               .stride = STEP_WIDTH(n),
                                               .place = session_plan_room(p, n),
                                               .state = -1});
}

/* --- What a program is given ---------------------------------------------------------- */

static saros_status expect_parameter(const char *function,
                                     const program_parameter *wanted,
                                     saros_context *context,
                                     const saros_tensor *x) {
  if (x == NULL)
    return saros_fail(context, SAROS_EARGUMENT, "%s: expected %s, got none",
                      function, BASE_QUOTE(wanted->name));
  TRY(tensor_expect_context(function, context, x));
  TRY(tensor_expect_real(function, BASE_QUOTE(wanted->name), x));
  if (x->rank == wanted->rank &&
      memcmp(x->shape, wanted->shape, (size_t)x->rank * sizeof(int)) == 0)
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "%s: expected %s of shape %s, got %s", function,
                    BASE_QUOTE(wanted->name),
                    tensor_shape_format(&(tensor_shape_text){{0}}, wanted->rank,
                                        wanted->shape),
                    TENSOR_SHAPE(x));
}

saros_status session_expect_parameters(const char *function,
                                       const saros_program *program,
                                       saros_context *context,
                                       saros_tensor *const *parameters) {
  for (int i = 0; i < program->parameter_count; i++)
    TRY(expect_parameter(function, &program->parameters[i], context,
                         parameters[i]));
  return SAROS_OK;
}

/* Of the states that walk from the end of a sequence there can be no next one. */
static saros_status expect_steps(saros_context *context,
                                 const saros_program *program) {
  for (int i = 0; i < program->state_count; i++)
    if (program->states[i].reverse)
      return saros_fail(
          context, SAROS_EARGUMENT,
          "session: expected layers of one direction, got state %s, "
          "which walks from the end of a sequence",
          BASE_QUOTE(program->states[i].name));
  if (program->output_count == 0)
    return saros_fail(context, SAROS_EARGUMENT,
                      "session: expected a program with an output, got none");
  return SAROS_OK;
}

/* --- Making and ending ------------------------------------------------------------------ */

/* A zeroed array of the pool; *failed becomes true if there is none. */
static void *take(session_plan *p, size_t count, size_t size, int *failed) {
  const size_t bytes = (count + 1) * size;
  void *block = pool_take(&p->context->pool, bytes);
  if (block != NULL)
    memset(block, 0, bytes);
  else
    *failed = 1;
  return block;
}

static session_port port_of(const saros_program *program, program_port from) {
  const program_node *n = &program->nodes[from.node];
  const int is_ids = n->op == NODE_IDS;
  return (session_port){.name = from.name,
                        .width = is_ids ? 0 : n->width,
                        .symbols = is_ids ? n->at[AT_IDS] : 0,
                        .value = -1};
}

/* All lists of a plan, with what the program says of inputs, outputs, states. */
static saros_status take_lists(session_plan *p, const saros_program *program) {
  int failed = 0;
  const size_t nodes = (size_t)program->node_count;
  const size_t states = (size_t)program->state_count;
  p->input_count = program->input_count;
  p->output_count = program->output_count;
  p->state_count = program->state_count;
  p->inputs = take(p, (size_t)p->input_count, sizeof *p->inputs, &failed);
  p->outputs = take(p, (size_t)p->output_count, sizeof *p->outputs, &failed);
  p->states = take(p, states, sizeof *p->states, &failed);
  p->next = take(p, states, sizeof *p->next, &failed);
  p->fixed = take(p, nodes, sizeof *p->fixed, &failed);
  p->stages = take(p, 2 * nodes + states + 1, sizeof *p->stages, &failed);
  if (failed)
    return base_out_of_memory(p->context, nodes * sizeof *p->stages);
  for (int i = 0; i < p->input_count; i++)
    p->inputs[i] = port_of(program, program->inputs[i]);
  for (int i = 0; i < p->output_count; i++)
    p->outputs[i] = port_of(program, program->outputs[i]);
  for (int i = 0; i < p->state_count; i++)
    p->states[i] = (session_state){.name = program->states[i].name,
                                   .n = program->states[i].width};
  return SAROS_OK;
}

static saros_status fill_plan(session_plan *made,
                              saros_tensor *const *parameters) {
  int failed = 0;
  base_pool *pool = &made->context->pool;
  const size_t count = (size_t)made->program->node_count;
  TRY(take_lists(made, made->program));
  session_planner p = {.plan = made, .program = made->program};
  p.nodes = take(made, count, sizeof *p.nodes, &failed);
  p.order = take(made, count, sizeof *p.order, &failed);
  saros_status status =
      failed ? base_out_of_memory(made->context, count * sizeof *p.nodes)
             : session_plan_nodes(&p, parameters);
  for (size_t i = 0; p.nodes != NULL && i < count; i++) {
    pool_give(pool, p.nodes[i].block);
    saros_tensor_release(p.nodes[i].tensor);
  }
  pool_give(pool, p.nodes);
  pool_give(pool, p.order);
  made->memory = p.at;
  return status;
}

saros_status session_plan_new(saros_context *context, saros_program *program,
                              saros_tensor *const *parameters,
                              saros_weights weights, session_plan **out) {
  session_plan *made;
  *out = NULL;
  TRY(base_expect_known(context, "session", "a kind of weights", (int)weights,
                        SAROS_WEIGHTS_KINDS));
  TRY(expect_steps(context, program));
  TRY(base_object_new(context, sizeof *made, (void **)&made));
  *made = (session_plan){.context = context,
                         .references = 1,
                         .program = program,
                         .math = context->kernels,
                         .kernels = context->kernels->step[weights]};
  saros_program_retain(program);
  saros_status status = fill_plan(made, parameters);
  if (status == SAROS_OK)
    *out = made;
  else
    session_plan_release(made);
  return status;
}

void session_plan_retain(session_plan *p) {
  atomic_fetch_add(&p->references, 1);
}

void session_plan_release(session_plan *p) {
  if (p == NULL || atomic_fetch_sub(&p->references, 1) > 1)
    return;
  base_pool *pool = &p->context->pool;
  for (int i = 0; i < p->count; i++)
    for (int which = 0; which < SESSION_OWNED; which++)
      pool_give(pool, p->stages[i].owned[which]);
  for (int i = 0; i < p->fixed_count; i++)
    pool_give(pool, p->fixed[i]);
  void *const lists[] = {p->inputs, p->outputs, p->states, p->next,
                         p->values, p->fixed,   p->stages};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    pool_give(pool, lists[i]);
  saros_program_release(p->program);
  base_object_free(p->context, p);
}
