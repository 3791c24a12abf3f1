/*
** Programs over whole sequences. Components of the node table are computed in
** order: a node that no state reaches is an ordinary operation over all steps
** and rows, a cell or a window is one operation, and a loop walks from step to
** step. Whatever is computed is recorded on the tape as usual.
**
** With a mask, inputs are hidden before anything reads them, states stay as they
** are at masked steps, and outputs are 0 there.
*/
#include <string.h>

#include "program_run.h"

typedef struct running {
  saros_context *context;
  const saros_program *p;
  saros_program_options how;
  int T, B;
  program_lead lead;
  saros_tensor *const *parameters, *const *inputs, *const *first;
  saros_tensor **value;  // by node; null before it is computed, and after its
                         // last use
  int *uses;             // by node: components and outputs that will read it
  int *reader;           // by state: the first node that reads it, or -1
  int *keeper;           // by state: the node that keeps it by itself, or -1
  saros_tensor **last;   // by state
} running;

/* --- What is given ------------------------------------------------------------------ */

static saros_status expect_shape(const running *r, const char *what,
                                 const char *name, const saros_tensor *x,
                                 int rank, const int *shape) {
  if (x != NULL && x->rank == rank &&
      memcmp(x->shape, shape, (size_t)rank * sizeof *shape) == 0)
    return tensor_expect_context("program", r->context, x);
  return saros_fail(r->context, SAROS_EARGUMENT,
                    "program: expected %s %s of shape %s, got %s", what, name,
                    tensor_shape_format(&(tensor_shape_text){{0}}, rank, shape),
                    x ? TENSOR_SHAPE(x) : "none");
}

static saros_status check_parameters(const running *r) {
  for (int i = 0; i < r->p->parameter_count; i++) {
    const program_parameter *x = &r->p->parameters[i];
    TRY(expect_shape(r, "parameter", BASE_QUOTE(x->name), r->parameters[i],
                     x->rank, x->shape));
    TRY(tensor_expect_real("program", BASE_QUOTE(x->name), r->parameters[i]));
  }
  return SAROS_OK;
}

/* T and B from the first input, which the others must share. */
static saros_status check_inputs(running *r) {
  const saros_program *p = r->p;
  if (p->input_count == 0)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "program: expected one with an input, from which steps "
                      "and rows are known, got one without");
  for (int i = 0; i < p->input_count; i++) {
    const saros_tensor *x = r->inputs[i];
    const program_node *n = &p->nodes[p->inputs[i].node];
    int rank = n->op == NODE_IDS ? 2 : 3;
    const char *name = BASE_QUOTE(p->inputs[i].name);
    if (x == NULL || x->rank != rank || x->shape[0] < 1)
      return saros_fail(
          r->context, SAROS_EARGUMENT,
          "program: expected input %s of shape (T, B%s) with T >= 1, got %s",
          name, rank == 2 ? "" : ", F", x ? TENSOR_SHAPE(x) : "none");
    if (i == 0)
      r->T = x->shape[0], r->B = x->shape[1];
    const int shape[3] = {r->T, r->B, n->width};
    TRY(expect_shape(r, "input", name, x, rank, shape));
    TRY(n->op == NODE_IDS ? tensor_expect_ids("program", name, x)
                          : tensor_expect_real("program", name, x));
  }
  if ((double)r->T * r->B > INT32_MAX)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "program: expected fewer than 2^31 rows over all steps, "
                      "got %d steps of %d",
                      r->T, r->B);
  r->lead = (program_lead){2, {r->T, r->B}};
  return SAROS_OK;
}

static saros_status check_states(const running *r) {
  for (int i = 0; i < r->p->state_count; i++) {
    const program_state *s = &r->p->states[i];
    const int row[2] = {r->B, s->width}, zone[3] = {r->T, r->B, s->width};
    if (r->first && r->first[i])
      TRY(expect_shape(r, "state", BASE_QUOTE(s->name), r->first[i], 2, row));
    if (r->how.dropout && r->how.dropout[i])
      TRY(expect_shape(r, "dropout of", BASE_QUOTE(s->name), r->how.dropout[i],
                       2, row));
    if (r->how.zoneout && r->how.zoneout[i])
      TRY(expect_shape(r, "zoneout of", BASE_QUOTE(s->name), r->how.zoneout[i],
                       3, zone));
    if (r->how.dropout && r->how.dropout[i] && r->keeper[i] >= 0)
      return saros_fail(r->context, SAROS_EARGUMENT,
                        "program: expected no dropout of %s, which a cell "
                        "keeps, got one",
                        BASE_QUOTE(s->name));
    if (r->how.zoneout && r->how.zoneout[i] && r->keeper[i] >= 0)
      return saros_fail(r->context, SAROS_EARGUMENT,
                        "program: expected no zoneout of %s, which a cell "
                        "keeps, got one",
                        BASE_QUOTE(s->name));
  }
  return SAROS_OK;
}

static saros_status check_given(running *r) {
  TRY(check_inputs(r));
  TRY(check_parameters(r));
  TRY(check_states(r));
  const int steps[2] = {r->T, r->B};
  if (r->how.mask)
    TRY(expect_shape(r, "a", "mask", r->how.mask, 2, steps));
  if (r->how.reset)
    TRY(expect_shape(r, "a", "reset", r->how.reset, 2, steps));
  return SAROS_OK;
}

/* --- Uses ----------------------------------------------------------------------------- */

/* Of several nodes that read a state the first in order of evaluation counts; the
** others have its value. */
static void find_states(running *r) {
  const saros_program *p = r->p;
  for (int i = 0; i < p->state_count; i++)
    r->reader[i] = r->keeper[i] = -1;
  for (int at = p->node_count - 1; at >= 0; at--) {
    const program_node *n = &p->nodes[p->order[at]];
    for (int i = 0; i < n->states; i++)
      (n->op == NODE_STATE ? r->reader : r->keeper)[n->state[i]] = p->order[at];
  }
}

/* Nodes are counted where another component reads them; states where the loop
** around them does not. */
static void count_uses(running *r) {
  const saros_program *p = r->p;
  for (int node = 0; node < p->node_count; node++) {
    const program_node *n = &p->nodes[node];
    for (int i = 0; i < n->inputs; i++)
      r->uses[n->input[i]] += p->component[n->input[i]] != p->component[node];
    int reader = n->op == NODE_STATE ? r->reader[n->state[0]] : node;
    r->uses[reader] += p->component[reader] != p->component[node];
  }
  for (int i = 0; i < p->output_count; i++)
    r->uses[p->outputs[i].node]++;
  for (int i = 0; i < p->state_count; i++) {
    const program_state *s = &p->states[i];
    int reader = r->reader[i];
    if (s->first >= 0)
      r->uses[s->first]++;
    if (r->keeper[i] < 0 &&
        (reader < 0 || p->component[reader] != p->component[s->next]))
      r->uses[s->next]++;
  }
}

static void drop_use(running *r, int node) {
  if (--r->uses[node] > 0)
    return;
  saros_tensor_release(r->value[node]);
  r->value[node] = NULL;
}

/* --- Nodes that no state reaches --------------------------------------------------------- */

static saros_status give(running *r, saros_tensor *x, saros_tensor **out) {
  if (r->how.mask != NULL)
    return saros_mask_rows(x, r->how.mask, out);
  *out = saros_tensor_retain(x);
  return SAROS_OK;
}

static saros_status constant(running *r, const program_node *n,
                             saros_tensor **out) {
  TRY(tensor_new(r->context, SAROS_REAL, 1, &n->width, out));
  real *values = tensor_reals(*out);
  for (int i = 0; i < n->width; i++)
    values[i] = (real)(n->values ? n->values[i] : n->number[NUMBER_VALUE]);
  return SAROS_OK;
}

static program_walk walk_of(const running *r, int reverse) {
  return (program_walk){
      r->p, r->T, r->B, r->how.mask, r->how.reset, reverse, r->how.generator};
}

static saros_status dropped(running *r, const program_node *n, saros_tensor *x,
                            saros_tensor **out) {
  program_walk walk = walk_of(r, 0);
  saros_tensor *factor;
  TRY(program_spread(&r->p->nodes[n->input[0]], &r->lead, x, out));
  TRY(tensor_or_nothing(program_node_dropout(&walk, n, 0, &factor), out));
  if (factor == NULL)
    return SAROS_OK;
  saros_status status =
      PROGRAM_MAKE(*out, saros_combine(SAROS_MULTIPLY, *out, factor, &made));
  saros_tensor_release(factor);
  return status;
}

static saros_status keep(running *r, const program_node *n,
                         saros_tensor *const *x, saros_tensor **out) {
  saros_tensor *state[PROGRAM_STATES] = {NULL}, *first[PROGRAM_STATES] = {NULL};
  saros_tensor *last[PROGRAM_STATES] = {NULL};
  const program_state *states = r->p->states;
  program_walk walk = walk_of(r, states[n->state[0]].reverse);
  for (int i = 0; i < n->states; i++) {
    int node = states[n->state[i]].first;
    state[i] = r->first ? r->first[n->state[i]] : NULL;
    first[i] = node >= 0 ? r->value[node] : NULL;
  }
  TRY(program_keep(&walk, n, x, state, first, out, last));
  for (int i = 0; i < n->states; i++)
    r->last[n->state[i]] = last[i];
  return SAROS_OK;
}

static saros_status compute(running *r, const program_node *n,
                            saros_tensor *const *x, saros_tensor **out) {
  switch (n->op) {
    case NODE_INPUT:
    case NODE_IDS:
      return give(r, r->inputs[n->at[AT_NUMBER]], out);
    case NODE_PARAMETER:
      *out = saros_tensor_retain(r->parameters[n->at[AT_NUMBER]]);
      return SAROS_OK;
    case NODE_CONSTANT:
      return constant(r, n, out);
    case NODE_DROPOUT:
      return dropped(r, n, x[0], out);
    default:
      return n->states > 0 ? keep(r, n, x, out)
                           : program_evaluate(r->p, n, &r->lead, x, out);
  }
}

static saros_status run_node(running *r, int node) {
  const program_node *n = &r->p->nodes[node];
  size_t bytes = ((size_t)n->inputs + 1) * sizeof(saros_tensor *);
  saros_tensor **x = pool_take(&r->context->pool, bytes);
  if (x == NULL)
    return base_out_of_memory(r->context, bytes);
  for (int i = 0; i < n->inputs; i++)
    x[i] = r->value[n->input[i]];
  saros_status status = compute(r, n, x, &r->value[node]);
  pool_give(&r->context->pool, x);
  for (int i = 0; i < n->inputs; i++)
    drop_use(r, n->input[i]);
  return status;
}

/* --- Loops --------------------------------------------------------------------------------- */

/* The lists of a loop_spec, with room for all there may be. */
typedef struct loop_room {
  loop_spec spec;
  int *states, *outside, *wanted, *seen;
  saros_tensor **values, **given, **first, **last, **dropout, **zoneout;
  saros_tensor **dropped;  // owned
} loop_room;

/* What 'seen' says of a node. */
enum { IS_READ = 1, IS_WANTED = 2 };

static void read_outside(loop_room *room, int node) {
  if (room->seen[node] & IS_READ)
    return;
  room->seen[node] |= IS_READ;
  room->outside[room->spec.outside_count++] = node;
}

static void want(loop_room *room, int node) {
  if (room->seen[node] & IS_WANTED)
    return;
  room->seen[node] |= IS_WANTED;
  room->wanted[room->spec.wanted_count++] = node;
}

static int is_zoned(const running *r, int state) {
  return r->how.zoneout != NULL && r->how.zoneout[state] != NULL;
}

/* What the nodes of a spec read from outside, and which of them are needed
** there. A value that becomes a state with zoneout is, seen from outside, that
** state: the blend needs the state before, too. */
static void connect(const running *r, loop_room *room) {
  const saros_program *p = r->p;
  loop_spec *spec = &room->spec;
  for (int i = 0; i < spec->count; i++)
    room->seen[spec->nodes[i]] = IS_READ;  // inside
  for (int i = 0; i < spec->count; i++) {
    const program_node *n = &p->nodes[spec->nodes[i]];
    for (int k = 0; k < n->inputs; k++)
      read_outside(room, n->input[k]);
    for (int k = 0; k < n->states; k++)
      if (n->op != NODE_STATE && p->states[n->state[k]].first >= 0)
        read_outside(room, p->states[n->state[k]].first);
    if (r->uses[spec->nodes[i]] > 0)
      want(room, spec->nodes[i]);
  }
  for (int i = 0; i < spec->state_count; i++) {
    const program_state *s = &p->states[spec->states[i]];
    read_outside(room, s->next);
    if (s->first >= 0)
      read_outside(room, s->first);
    if (is_zoned(r, spec->states[i]) && r->reader[spec->states[i]] >= 0)
      want(room, r->reader[spec->states[i]]);
  }
  for (int i = 0; i < spec->outside_count; i++)
    room->given[i] = r->value[room->outside[i]];
  for (int i = 0; i < spec->state_count; i++) {
    int state = spec->states[i];
    room->first[i] = r->first ? r->first[state] : NULL;
    room->dropout[i] = r->how.dropout ? r->how.dropout[state] : NULL;
    room->zoneout[i] = r->how.zoneout ? r->how.zoneout[state] : NULL;
  }
}

/* z next + (1 - z) before, over all steps. */
static saros_status zoned(const running *r, int state) {
  saros_tensor **next = &r->value[r->p->states[state].next];
  saros_tensor *before = r->value[r->reader[state]], *y;
  if (*next == NULL || before == NULL)
    return SAROS_OK;
  TRY(program_blend(r->how.zoneout[state], *next, before, &y));
  saros_tensor_release(*next);
  *next = y;
  return SAROS_OK;
}

/* True unless the states only take over what is computed outside. */
static int is_loop(const running *r, const loop_spec *spec) {
  return spec->count > 0 &&
         r->p->components[r->p->component[spec->nodes[0]]].loops;
}

/* What the dropout nodes of a loop multiply by, all drawn before its first step. */
static saros_status draw(const running *r, loop_room *room) {
  program_walk walk = walk_of(r, 0);
  for (int i = 0, dropouts = 0; i < room->spec.count; i++) {
    const program_node *n = &r->p->nodes[room->spec.nodes[i]];
    if (n->op == NODE_DROPOUT)
      TRY(program_node_dropout(&walk, n, 1, &room->dropped[dropouts++]));
  }
  return SAROS_OK;
}

static saros_status walk(running *r, loop_room *room) {
  loop_spec *spec = &room->spec;
  loop_options how = {r->how.mask, r->how.reset, room->dropout, room->zoneout,
                      room->dropped};
  connect(r, room);
  TRY(draw(r, room));
  if (r->how.plain || !is_loop(r, spec) || !loop_supports(spec))
    TRY(program_unroll(r->context, spec, r->T, r->B, room->given, room->first,
                       &how, r->how.generator, room->values, room->last));
  else
    TRY(loop_run(r->context, spec, r->T, r->B, room->given, room->first, &how,
                 room->values, room->last));
  for (int i = 0; i < spec->wanted_count; i++)
    r->value[room->wanted[i]] = room->values[i];
  for (int i = 0; i < spec->state_count; i++)
    r->last[spec->states[i]] = room->last[i];
  for (int i = 0; i < spec->state_count; i++)
    if (is_zoned(r, spec->states[i]) && r->reader[spec->states[i]] >= 0)
      TRY(zoned(r, spec->states[i]));
  return SAROS_OK;
}

/* Lets go of what a loop, or the walk of a state, was the last to read. */
static void drop_uses(running *r, const loop_spec *spec) {
  const saros_program *p = r->p;
  for (int i = 0; i < spec->count; i++) {
    const program_node *n = &p->nodes[spec->nodes[i]];
    for (int k = 0; k < n->inputs; k++)
      if (p->component[n->input[k]] != p->component[spec->nodes[i]])
        drop_use(r, n->input[k]);
  }
}

static saros_status with_room(running *r, const int *nodes, int count,
                              const int *states, int state_count) {
  const saros_program *p = r->p;
  size_t n = (size_t)p->node_count, s = (size_t)state_count;
  size_t pointers = (3 * n + 4 * s) * sizeof(saros_tensor *);
  size_t bytes = pointers + 3 * n * sizeof(int);
  char *block = pool_take(&r->context->pool, bytes);
  if (block == NULL)
    return base_out_of_memory(r->context, bytes);
  memset(block, 0, bytes);
  saros_tensor **t = (saros_tensor **)block;
  int *numbers = (int *)(block + pointers);
  loop_room room = {.outside = numbers,
                    .wanted = numbers + n,
                    .seen = numbers + 2 * n,
                    .values = t,
                    .given = t + n,
                    .first = t + 2 * n,
                    .last = t + 2 * n + s,
                    .dropout = t + 2 * n + 2 * s,
                    .zoneout = t + 2 * n + 3 * s,
                    .dropped = t + 2 * n + 4 * s};
  room.spec = (loop_spec){
      p, nodes, count, states, state_count, room.outside, 0, room.wanted, 0};
  saros_status status = walk(r, &room);
  for (size_t i = 0; i < n; i++)
    saros_tensor_release(room.dropped[i]);
  pool_give(&r->context->pool, block);
  if (status == SAROS_OK)
    drop_uses(r, &room.spec);
  return status;
}

/* The states that the nodes of a component read or keep. */
static int states_of(const running *r, const program_component *c,
                     int *states) {
  const saros_program *p = r->p;
  int count = 0;
  for (int i = 0; i < c->count; i++) {
    int node = p->order[c->first + i];
    const program_node *n = &p->nodes[node];
    for (int k = 0; k < n->states; k++)
      if (n->op != NODE_STATE || r->reader[n->state[k]] == node)
        states[count++] = n->state[k];
  }
  return count;
}

/* --- States that only delay ------------------------------------------------------------------- */

/* True if a window of two steps is all that a state is: rows start again from
** zeros, and nothing is blended. */
static int is_delay(const running *r, int state) {
  int restarts = r->how.reset != NULL && r->p->states[state].first >= 0;
  return !restarts && !is_zoned(r, state);
}

/* What the state is before the first step; null: zeros. */
static saros_status before_first(const running *r, int state,
                                 saros_tensor **out) {
  const program_lead rows = {1, {r->B, 0}};
  int first = r->p->states[state].first;
  *out = NULL;
  if (r->first != NULL && r->first[state] != NULL)
    *out = saros_tensor_retain(r->first[state]);
  else if (first >= 0)
    return program_spread(&r->p->nodes[first], &rows, r->value[first], out);
  return SAROS_OK;
}

/* The value of the next node one step before, which goes to the reader of the
** state if there is one, and the last of them. */
static saros_status delay(running *r, int state) {
  const program_state *s = &r->p->states[state];
  program_walk walk = walk_of(r, s->reverse);
  saros_tensor *x = NULL, *before = NULL, *both = NULL;
  saros_status status;
  TRY_OR_DONE(
      program_spread(&r->p->nodes[s->next], &r->lead, r->value[s->next], &x));
  TRY_OR_DONE(before_first(r, state, &before));
  TRY_OR_DONE(program_window(&walk, 2, 1, x, before, &both, &r->last[state]));
  if (r->reader[state] >= 0)
    status = saros_slice(both, -1, 0, s->width, &r->value[r->reader[state]]);
done:
  saros_tensor_release(x);
  saros_tensor_release(before);
  saros_tensor_release(both);
  drop_use(r, s->next);
  return status;
}

static saros_status run_component(running *r, const program_component *c) {
  const saros_program *p = r->p;
  int node = p->order[c->first];
  const program_node *n = &p->nodes[node];
  if (n->op == NODE_STATE && r->reader[n->state[0]] != node && c->count == 1) {
    r->value[node] = saros_tensor_retain(r->value[r->reader[n->state[0]]]);
    drop_use(r, r->reader[n->state[0]]);
    return SAROS_OK;
  }
  if (!c->loops && n->op != NODE_STATE)
    return run_node(r, node);
  if (!c->loops && is_delay(r, n->state[0]))
    return delay(r, n->state[0]);
  size_t bytes = ((size_t)p->state_count + 1) * sizeof(int);
  int *states = pool_take(&r->context->pool, bytes);
  if (states == NULL)
    return base_out_of_memory(r->context, bytes);
  int count = states_of(r, c, states);
  saros_status status =
      with_room(r, p->order + c->first, c->count, states, count);
  pool_give(&r->context->pool, states);
  return status;
}

/* --- Outputs ---------------------------------------------------------------------------------- */

/* States that no node reads. */
static saros_status run_unread(running *r) {
  for (int i = 0; i < r->p->state_count; i++)
    if (r->keeper[i] < 0 && r->reader[i] < 0)
      TRY(is_delay(r, i) ? delay(r, i) : with_room(r, NULL, 0, &i, 1));
  return SAROS_OK;
}

/* True if the values of a node are 0 already where the mask is. */
static int is_masked(const running *r, int node) {
  const program_node *n = &r->p->nodes[node];
  return n->states > 0 || r->p->components[r->p->component[node]].loops;
}

static saros_status put_out(running *r, saros_tensor **outputs) {
  for (int i = 0; i < r->p->output_count; i++) {
    int node = r->p->outputs[i].node;
    TRY(program_spread(&r->p->nodes[node], &r->lead, r->value[node],
                       &outputs[i]));
    if (r->how.mask != NULL && !is_masked(r, node))
      TRY(PROGRAM_MAKE(outputs[i],
                       saros_mask_rows(outputs[i], r->how.mask, &made)));
  }
  return SAROS_OK;
}

/* Invariant nodes come before all others, since states begin with them. */
static saros_status run_components(running *r, int invariant) {
  const saros_program *p = r->p;
  for (int i = 0; i < p->component_count; i++) {
    const program_component *c = &p->components[i];
    if (p->nodes[p->order[c->first]].invariant == invariant)
      TRY(run_component(r, c));
  }
  return SAROS_OK;
}

static saros_status run(running *r, saros_tensor **outputs) {
  find_states(r);
  TRY(check_given(r));
  count_uses(r);
  TRY(run_components(r, 1));
  TRY(run_components(r, 0));
  TRY(run_unread(r));
  return put_out(r, outputs);
}

saros_status saros_program_run(saros_program *p,
                               saros_tensor *const *parameters,
                               saros_tensor *const *inputs,
                               saros_tensor *const *state,
                               const saros_program_options *how,
                               saros_tensor **outputs, saros_tensor **last) {
  saros_context *context = p->context;
  saros_program_options given = {0};
  memset(outputs, 0, (size_t)p->output_count * sizeof *outputs);
  memset(last, 0, (size_t)p->state_count * sizeof *last);
  if (how != NULL)
    TRY(base_read_options(context, "saros_program_options", how, &given,
                          sizeof given));
  if (given.plain || !loop_supports_all(p))
    TRY(program_sequence(p, &p));
  size_t nodes = (size_t)p->node_count, states = (size_t)p->state_count;
  size_t bytes = nodes * (sizeof(saros_tensor *) + sizeof(int)) +
                 2 * states * sizeof(int) + sizeof(int);
  running r = {.context = context,
               .p = p,
               .how = given,
               .parameters = parameters,
               .inputs = inputs,
               .first = state,
               .last = last};
  char *room = pool_take(&context->pool, bytes);
  if (room == NULL)
    return base_out_of_memory(context, bytes);
  memset(room, 0, bytes);
  r.value = (saros_tensor **)room;
  r.uses = (int *)(room + nodes * sizeof(saros_tensor *));
  r.reader = r.uses + nodes;
  r.keeper = r.reader + states;
  saros_status status = run(&r, outputs);
  for (size_t i = 0; i < nodes; i++)
    saros_tensor_release(r.value[i]);
  pool_give(&context->pool, room);
  for (int i = 0; status != SAROS_OK && i < p->output_count; i++)
    tensor_or_nothing(status, &outputs[i]);
  for (int i = 0; status != SAROS_OK && i < p->state_count; i++)
    tensor_or_nothing(status, &last[i]);
  return status;
}
