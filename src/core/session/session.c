/*
** Sessions: a plan and a state. All memory is allocated when a session is made;
** steps allocate none.
*/
#include <string.h>

#include "session.h"

/* --- Life --------------------------------------------------------------------------- */

static size_t memory_bytes(const saros_session *s) {
  return (s->plan->memory * (size_t)s->streams + 16) * sizeof(real);
}

/* A block of the pool; *failed becomes true if there is none. */
static void *take(const saros_session *s, size_t bytes, int *failed) {
  void *block = pool_take(&s->context->pool, bytes);
  *failed |= block == NULL;
  return block;
}

static int is_direct(const saros_session *s) {
  return s->streams == 1 && s->plan->direct;
}

/* An output that a stage writes directly has room for STEP_WIDTH elements. */
static saros_status take_output(saros_session *s, int output) {
  const int width = s->plan->outputs[output].width;
  const int wide = is_direct(s) ? STEP_WIDTH(width) : width;
  const int room[2] = {s->streams, wide}, shape[2] = {s->streams, width};
  TRY(saros_tensor_new(s->context, SAROS_REAL, 2, room, &s->outputs[output]));
  tensor_set_shape(s->outputs[output], 2, shape);
  return SAROS_OK;
}

static saros_status take_outputs(saros_session *s) {
  const session_plan *p = s->plan;
  const size_t bytes = (size_t)p->output_count * sizeof *s->outputs;
  s->outputs = pool_take(&s->context->pool, bytes);
  if (s->outputs == NULL)
    return base_out_of_memory(s->context, bytes);
  memset(s->outputs, 0, bytes);
  for (int i = 0; i < p->output_count; i++)
    TRY(take_output(s, i));
  const int shape[2] = {s->streams, p->outputs->width};
  return saros_tensor_new(s->context, SAROS_REAL, 2, shape, &s->probabilities);
}

/* Allocates all memory of a session. After a failure, saros_session_release
** releases what there is. */
static saros_status take_memory(saros_session *s) {
  const session_plan *p = s->plan;
  const size_t outputs = (size_t)p->outputs->width;
  int failed = 0;
  s->memory = take(s, memory_bytes(s), &failed);
  s->starts = take(s, (size_t)s->streams * sizeof *s->starts, &failed);
  s->ids = take(s, ((size_t)p->ids_count + 1) * sizeof *s->ids, &failed);
  s->values =
      take(s, ((size_t)p->value_count + 1) * sizeof *s->values, &failed);
  s->operands =
      take(s, ((size_t)p->operands + 1) * sizeof *s->operands, &failed);
  s->weights = take(s, outputs * sizeof *s->weights, &failed);
  s->order = take(s, outputs * sizeof *s->order, &failed);
  if (failed)
    return base_out_of_memory(s->context, memory_bytes(s));
  TRY(take_outputs(s));
  session_place_values(s);
  return SAROS_OK;
}

void session_place_values(saros_session *s) {
  for (int i = 0; i < s->plan->value_count; i++) {
    const session_value *x = &s->plan->values[i];
    real *row = x->direct && is_direct(s) ? tensor_reals(s->outputs[0])
                                          : session_array_at(s, x->place);
    s->values[i] = x->fixed != NULL ? (real *)x->fixed : row + x->offset;
  }
}

/* The lender is released last, as it may own the memory of the plan. */
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

saros_status saros_session_new(saros_context *context, saros_program *program,
                               saros_tensor *const *parameters, int streams,
                               saros_weights weights, saros_session **out) {
  saros_session wanted = {.context = context, .streams = streams};
  *out = NULL;
  if (streams < 1 || streams > 65536)
    return saros_fail(context, SAROS_EARGUMENT,
                      "session: expected 1..65536 streams, got %d", streams);
  TRY(session_expect_parameters("session", program, context, parameters));
  TRY(session_plan_shared(context, program, parameters, weights, &wanted.plan,
                          &wanted.lender));
  if (wanted.plan == NULL)
    TRY(session_plan_new(context, program, parameters, weights, &wanted.plan));
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
  for (int i = 0; i < s->plan->output_count; i++)
    tensor_copy(s->outputs[i], from->outputs[i]);
  return SAROS_OK;
}

void saros_session_release(saros_session *s) {
  if (s == NULL)
    return;
  base_pool *pool = &s->context->pool;
  for (int i = 0; s->outputs != NULL && i < s->plan->output_count; i++)
    saros_tensor_release(s->outputs[i]);
  saros_tensor_release(s->probabilities);
  let_go(s);
  void *const blocks[] = {s->memory,   s->starts,  s->ids,   s->values,
                          s->operands, s->weights, s->order, s->outputs};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
    pool_give(pool, blocks[i]);
  base_object_free(s->context, s);
}

saros_session_facts saros_session_of(const saros_session *s) {
  const session_plan *p = s->plan;
  const session_port *x = p->inputs;
  saros_session_facts facts = {.streams = s->streams,
                               .input_count = p->input_count,
                               .output_count = p->output_count,
                               .state_count = p->state_count,
                               .outputs = p->outputs->width};
  if (p->input_count > 0)
    facts.symbols = x->symbols, facts.inputs = x->width;
  return facts;
}

const saros_program *saros_session_program(const saros_session *s) {
  return s->plan->program;
}

/* --- Steps ---------------------------------------------------------------------------- */

/* Checks that the outputs may be written to. The full check is rarely needed. */
static saros_status expect_writable(const saros_session *s) {
  for (int i = 0; i < s->plan->output_count; i++) {
    saros_tensor *y = s->outputs[i];
    if (y->storage->pins > 0 || y->node != NULL)
      TRY(saros_tensor_writable(y, "step"));
  }
  return SAROS_OK;
}

/* Takes the features of all streams. Those of a single stream are not copied. */
static void put_features(saros_session *s, const session_port *port,
                         const real *x) {
  if (port->value < 0)
    return;  // nothing depends on them
  if (s->streams == 1) {
    s->values[port->value] = (real *)x;  // which nothing writes to
    return;
  }
  for (int row = 0; row < s->streams; row++)
    memcpy(session_row(s, port->value, row), x + (ptrdiff_t)row * port->width,
           (size_t)port->width * sizeof(real));
}

static saros_status put_ids(saros_session *s, const session_port *port,
                            const int32_t *ids) {
  const int base = s->context->index_base, V = port->symbols;
  for (int row = 0; row < s->streams; row++)
    if (ids[row] < 0 || ids[row] >= V)
      return saros_fail(s->context, SAROS_EARGUMENT,
                        "step: expected ids in %d..%d, got %lld in row %d",
                        base, V - 1 + base, (long long)ids[row] + base,
                        row + base);
  if (port->value >= 0)
    s->ids[port->value] = ids;
  return SAROS_OK;
}

static void run_stages(saros_session *s) {
  s->odd = !s->odd;
  s->plan->stages->run(s, s->plan->stages);
}

static saros_status wrong_input(const saros_session *s) {
  const session_plan *p = s->plan;
  if (p->input_count != 1)
    return saros_fail(s->context, SAROS_EARGUMENT,
                      "step: expected %d inputs, got one", p->input_count);
  const int symbols = p->inputs->symbols;
  return saros_fail(s->context, SAROS_EARGUMENT, "step: expected %s, got %s",
                    symbols ? "ids" : "features", symbols ? "features" : "ids");
}

saros_status saros_session_step(saros_session *s, const saros_real *x) {
  const session_plan *p = s->plan;
  if (p->input_count != 1 || p->inputs->symbols > 0)
    return wrong_input(s);
  TRY(expect_writable(s));
  put_features(s, p->inputs, x);
  run_stages(s);
  return SAROS_OK;
}

saros_status saros_session_step_ids(saros_session *s, const int32_t *ids) {
  const session_plan *p = s->plan;
  if (p->input_count != 1 || p->inputs->symbols == 0)
    return wrong_input(s);
  TRY(put_ids(s, p->inputs, ids));
  TRY(expect_writable(s));
  run_stages(s);
  return SAROS_OK;
}

saros_status saros_session_step_inputs(saros_session *s,
                                       const void *const *inputs) {
  const session_plan *p = s->plan;
  for (int i = 0; i < p->input_count; i++)
    if (p->inputs[i].symbols > 0)
      TRY(put_ids(s, &p->inputs[i], inputs[i]));
  TRY(expect_writable(s));
  for (int i = 0; i < p->input_count; i++)
    if (p->inputs[i].symbols == 0)
      put_features(s, &p->inputs[i], inputs[i]);
  run_stages(s);
  return SAROS_OK;
}

/* --- What comes out ---------------------------------------------------------------------------- */

saros_tensor *saros_session_output(const saros_session *s) {
  return s->outputs[0];
}

saros_tensor *saros_session_output_at(const saros_session *s, int output) {
  return s->outputs[output];
}

saros_status saros_session_probabilities(saros_session *s, saros_tensor **out) {
  *out = NULL;
  TRY(saros_tensor_writable(s->probabilities, "probabilities"));
  s->context->kernels->softmax->softmax(
      tensor_reals(s->probabilities), tensor_reals(s->outputs[0]),
      (size_t)s->streams, (size_t)s->plan->outputs->width);
  *out = s->probabilities;
  return SAROS_OK;
}
