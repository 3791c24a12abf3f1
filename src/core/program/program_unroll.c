/*
** A component of a program over the steps of a sequence by ordinary operations,
** each recorded on the tape: slow, obvious, and able to do whatever a node can.
** Specs compare the fast loop with it, and what that does not know runs here.
*/
#include <string.h>

#include "program_run.h"

typedef struct unrolling {
  saros_context *context;
  const loop_spec *spec;
  const saros_program *p;
  int T, B, reverse, t;
  program_lead lead;
  const loop_options *how;
  saros_generator *generator;
  saros_tensor *keep;    // (T, B), or null: nothing starts again
  saros_tensor **given;  // by node: values of all steps from outside, borrowed
  saros_tensor **value;  // by node: of this step
  saros_tensor **state;  // by number of the program: before the step
  saros_tensor **first;  // by number: (B, w), where a row starts again
  saros_tensor **dropout;  // by node: factors of a dropout node
  saros_tensor **steps;    // wanted values of all steps: [wanted][t]
} unrolling;

/* --- Rows of a step ------------------------------------------------------------------ */

/* Row t of a tensor (T, ...), or null. */
static saros_status at_step(const unrolling *u, saros_tensor *x,
                            saros_tensor **out) {
  *out = NULL;
  return x ? saros_select(x, 0, u->t, out) : SAROS_OK;
}

/* a where the mask (B) is 1, b where it is 0; what is not taken is not read. */
static saros_status choose(saros_tensor *mask, saros_tensor *a, saros_tensor *b,
                           saros_tensor **out) {
  saros_tensor *one = NULL, *other = NULL, *x = NULL, *y = NULL;
  saros_status status;
  *out = NULL;
  TRY_OR_DONE(tensor_scalar(mask->context, 1, &one));
  TRY_OR_DONE(saros_combine(SAROS_SUBTRACT, one, mask, &other));
  TRY_OR_DONE(saros_mask_rows(a, mask, &x));
  TRY_OR_DONE(saros_mask_rows(b, other, &y));
  status = saros_combine(SAROS_ADD, x, y, out);
done:
  saros_tensor_release(one);
  saros_tensor_release(other);
  saros_tensor_release(x);
  saros_tensor_release(y);
  return status;
}

static void set(saros_tensor **place, saros_tensor *x) {
  saros_tensor_release(*place);
  *place = x;
}

/* --- Nodes of a step ------------------------------------------------------------------- */

/* The value of a node at this step: (B, w), or the invariant. */
static saros_status value_at(unrolling *u, int node, saros_tensor **out) {
  saros_tensor *x = u->value[node];
  if (x != NULL) {
    *out = saros_tensor_retain(x);
    return SAROS_OK;
  }
  x = u->given[node];
  if (x == NULL)
    return saros_fail(u->context, SAROS_ESTATE,
                      "program: expected the value of node %d, got none", node);
  if (!u->p->nodes[node].invariant)
    return at_step(u, x, out);
  *out = saros_tensor_retain(x);
  return SAROS_OK;
}

/* A product reads a state through its dropout. */
static saros_status through_dropout(unrolling *u, const program_node *n,
                                    saros_tensor **x) {
  const program_node *in = &u->p->nodes[n->input[0]];
  if (n->op != NODE_LINEAR || in->op != NODE_STATE || u->how->dropout == NULL)
    return SAROS_OK;
  for (int s = 0; s < u->spec->state_count; s++)
    if (u->spec->states[s] == in->state[0] && u->how->dropout[s] != NULL)
      TRY(PROGRAM_MAKE(
          *x, saros_combine(SAROS_MULTIPLY, *x, u->how->dropout[s], &made)));
  return SAROS_OK;
}

static saros_status drop(unrolling *u, int node, saros_tensor *x,
                         saros_tensor **out) {
  saros_tensor *factor = u->dropout[node];
  *out = saros_tensor_retain(x);
  if (factor == NULL)
    return SAROS_OK;
  if (factor->rank == 2)
    return PROGRAM_MAKE(*out, saros_combine(SAROS_MULTIPLY, x, factor, &made));
  TRY(tensor_or_nothing(at_step(u, factor, &factor), out));
  saros_status status =
      PROGRAM_MAKE(*out, saros_combine(SAROS_MULTIPLY, x, factor, &made));
  saros_tensor_release(factor);
  return status;
}

/* --- Nodes with states of their own, a step at a time ------------------------------------ */

/* x (B, ...) as (1, B, ...), or null. */
static saros_status as_steps(saros_tensor *x, saros_tensor **out) {
  int shape[SAROS_MAX_RANK] = {1};
  *out = NULL;
  if (x == NULL)
    return SAROS_OK;
  memcpy(shape + 1, x->shape, (size_t)x->rank * sizeof *shape);
  return saros_reshape(x, x->rank + 1, shape, out);
}

/* Where rows start again before this step: 1 - keep[t], as (1, B). */
static saros_status reset_at(unrolling *u, saros_tensor **out) {
  saros_tensor *one = NULL, *keep = NULL;
  saros_status status;
  *out = NULL;
  if (u->keep == NULL)
    return SAROS_OK;
  TRY_OR_DONE(at_step(u, u->keep, &keep));
  TRY_OR_DONE(tensor_scalar(u->context, 1, &one));
  TRY_OR_DONE(saros_combine(SAROS_SUBTRACT, one, keep, out));
  TRY_OR_DONE(PROGRAM_MAKE(*out, as_steps(*out, &made)));
done:
  saros_tensor_release(one);
  saros_tensor_release(keep);
  return status;
}

static saros_status keep_step(unrolling *u, int node, const program_walk *walk,
                              saros_tensor **x, saros_tensor **out) {
  const program_node *n = &u->p->nodes[node];
  saros_tensor *state[PROGRAM_STATES], *last[PROGRAM_STATES] = {NULL};
  saros_tensor *first[PROGRAM_STATES] = {NULL};
  for (int i = 0; i < n->states; i++) {
    int node_of_first = u->p->states[n->state[i]].first;
    state[i] = u->state[n->state[i]];
    first[i] = node_of_first >= 0 ? u->given[node_of_first] : NULL;
  }
  for (int i = 0; i < n->inputs; i++)
    if (!u->p->nodes[n->input[i]].invariant)
      TRY(PROGRAM_MAKE(x[i], as_steps(x[i], &made)));
  TRY(program_keep(walk, n, x, state, first, out, last));
  for (int i = 0; i < n->states; i++)
    set(&u->state[n->state[i]], last[i]);
  TRY(PROGRAM_MAKE(*out, saros_select(*out, 0, 0, &made)));
  return SAROS_OK;
}

static saros_status keeper(unrolling *u, int node, saros_tensor **x,
                           saros_tensor **out) {
  program_walk walk = {u->p, 1, u->B, NULL, NULL, 0, u->generator};
  saros_tensor *mask = NULL;
  saros_status status;
  TRY_OR_DONE(at_step(u, u->how->mask, &mask));
  TRY_OR_DONE(as_steps(mask, &walk.mask));
  TRY_OR_DONE(reset_at(u, &walk.reset));
  status = keep_step(u, node, &walk, x, out);
done:
  saros_tensor_release(mask);
  saros_tensor_release(walk.mask);
  saros_tensor_release(walk.reset);
  return status;
}

/* --- A step --------------------------------------------------------------------------------- */

static saros_status compute(unrolling *u, int node, saros_tensor **x) {
  const program_node *n = &u->p->nodes[node];
  saros_tensor *y = NULL;
  for (int i = 0; i < n->inputs; i++)
    TRY(value_at(u, n->input[i], &x[i]));
  if (n->op == NODE_STATE)
    y = saros_tensor_retain(u->state[n->state[0]]);
  else if (n->op == NODE_DROPOUT)
    TRY(drop(u, node, x[0], &y));
  else if (n->states > 0)
    TRY(keeper(u, node, x, &y));
  else {
    TRY(through_dropout(u, n, &x[0]));
    TRY(program_evaluate(u->p, n, &u->lead, x, &y));
  }
  set(&u->value[node], y);
  return SAROS_OK;
}

static saros_status compute_node(unrolling *u, int node) {
  const program_node *n = &u->p->nodes[node];
  size_t bytes = ((size_t)n->inputs + 1) * sizeof(saros_tensor *);
  saros_tensor **x = pool_take(&u->context->pool, bytes);
  if (x == NULL)
    return base_out_of_memory(u->context, bytes);
  memset(x, 0, bytes);
  saros_status status = compute(u, node, x);
  for (int i = 0; i < n->inputs; i++)
    saros_tensor_release(x[i]);
  pool_give(&u->context->pool, x);
  return status;
}

/* True if a node inside keeps the state by itself. */
static int is_kept(const unrolling *u, int state) {
  const program_node *n = &u->p->nodes[u->p->states[state].next];
  for (int i = 0; n->op != NODE_STATE && i < n->states; i++)
    if (n->state[i] == state)
      return 1;
  return 0;
}

/* Rows that start again do so from 'first'. */
static saros_status begin(unrolling *u, int state) {
  saros_tensor *keep;
  if (u->keep == NULL || is_kept(u, state))
    return SAROS_OK;
  TRY(at_step(u, u->keep, &keep));
  saros_tensor *chosen;
  saros_status status = choose(keep, u->state[state], u->first[state], &chosen);
  saros_tensor_release(keep);
  if (status == SAROS_OK)
    set(&u->state[state], chosen);
  return status;
}

/* A new state from the value of its next node. */
static saros_status new_state(unrolling *u, int s, saros_tensor **out) {
  int number = u->spec->states[s], next = u->p->states[number].next;
  saros_tensor *old = u->state[number], *z = NULL, *mask = NULL;
  saros_status status;
  TRY_OR_DONE(value_at(u, next, out));
  TRY_OR_DONE(PROGRAM_MAKE(
      *out, program_spread(&u->p->nodes[next], &u->lead, *out, &made)));
  if (u->how->zoneout != NULL) {
    TRY_OR_DONE(at_step(u, u->how->zoneout[s], &z));
    if (z != NULL)
      TRY_OR_DONE(PROGRAM_MAKE(*out, program_blend(z, *out, old, &made)));
  }
  TRY_OR_DONE(at_step(u, u->how->mask, &mask));
  if (mask != NULL)
    TRY_OR_DONE(PROGRAM_MAKE(*out, choose(mask, *out, old, &made)));
done:
  saros_tensor_release(z);
  saros_tensor_release(mask);
  return status;
}

/* All new states are made of values before any state changes. */
static saros_status end_step(unrolling *u, saros_tensor **fresh) {
  for (int s = 0; s < u->spec->state_count; s++)
    if (!is_kept(u, u->spec->states[s]))
      TRY(new_state(u, s, &fresh[s]));
  for (int s = 0; s < u->spec->state_count; s++)
    if (fresh[s] != NULL) {
      set(&u->state[u->spec->states[s]], fresh[s]);
      fresh[s] = NULL;
    }
  return SAROS_OK;
}

static saros_status keep_wanted(unrolling *u) {
  for (int i = 0; i < u->spec->wanted_count; i++) {
    int node = u->spec->wanted[i];
    saros_tensor *mask, *all = NULL;
    saros_tensor **place = &u->steps[(size_t)i * (size_t)u->T + (size_t)u->t];
    TRY(program_spread(&u->p->nodes[node], &u->lead, u->value[node], &all));
    saros_status status = at_step(u, u->how->mask, &mask);
    if (status == SAROS_OK && mask != NULL)
      status = saros_mask_rows(all, mask, place);
    else
      *place = saros_tensor_retain(all);
    saros_tensor_release(mask);
    saros_tensor_release(all);
    TRY(status);
  }
  return SAROS_OK;
}

static saros_status one_step(unrolling *u, saros_tensor **fresh) {
  for (int s = 0; s < u->spec->state_count; s++)
    TRY(begin(u, u->spec->states[s]));
  for (int i = 0; i < u->spec->count; i++)
    TRY(compute_node(u, u->spec->nodes[i]));
  TRY(end_step(u, fresh));
  TRY(keep_wanted(u));
  for (int i = 0; i < u->spec->count; i++)
    set(&u->value[u->spec->nodes[i]], NULL);
  return SAROS_OK;
}

/* --- The whole walk ---------------------------------------------------------------------------- */

/* States before the first step, and where rows start again. */
static saros_status first_states(unrolling *u, saros_tensor *const *first) {
  for (int s = 0; s < u->spec->state_count; s++) {
    int number = u->spec->states[s], node = u->p->states[number].first;
    const int shape[2] = {u->B, u->p->states[number].width};
    if (node >= 0)
      TRY(program_spread(&u->p->nodes[node], &u->lead, u->given[node],
                         &u->first[number]));
    else
      TRY(program_filled(u->context, 0, 2, shape, &u->first[number]));
    u->state[number] =
        saros_tensor_retain(first && first[s] ? first[s] : u->first[number]);
    u->reverse = u->p->states[number].reverse;
  }
  if (u->how->reset != NULL)
    TRY(saros_keep(u->how->reset, u->how->mask, u->reverse, &u->keep));
  return SAROS_OK;
}

static saros_tensor *retained(saros_tensor *x) {
  return x ? saros_tensor_retain(x) : NULL;
}

static saros_status prepare(unrolling *u, saros_tensor *const *outside,
                            saros_tensor *const *first) {
  for (int i = 0; i < u->spec->outside_count; i++)
    u->given[u->spec->outside[i]] = outside[i];
  TRY(first_states(u, first));
  for (int i = 0, dropouts = 0; i < u->spec->count; i++) {
    int node = u->spec->nodes[i];
    if (u->p->nodes[node].op == NODE_DROPOUT && u->how->dropped != NULL)
      u->dropout[node] = retained(u->how->dropped[dropouts++]);
  }
  return SAROS_OK;
}

static saros_status finish(unrolling *u, saros_tensor **values,
                           saros_tensor **last) {
  for (int i = 0; i < u->spec->wanted_count; i++)
    TRY(saros_stack(u->context, u->T, u->steps + (size_t)i * (size_t)u->T, 0,
                    &values[i]));
  for (int s = 0; s < u->spec->state_count; s++)
    last[s] = saros_tensor_retain(u->state[u->spec->states[s]]);
  return SAROS_OK;
}

static saros_status walk_steps(unrolling *u, saros_tensor *const *outside,
                               saros_tensor *const *first, saros_tensor **fresh,
                               saros_tensor **values, saros_tensor **last) {
  TRY(prepare(u, outside, first));
  for (int n = 0; n < u->T; n++) {
    u->t = u->reverse ? u->T - 1 - n : n;
    TRY(base_check_interrupt(u->context));
    TRY(one_step(u, fresh));
  }
  return finish(u, values, last);
}

static void release_all(saros_tensor **x, size_t count) {
  for (size_t i = 0; i < count; i++)
    saros_tensor_release(x[i]);
}

saros_status program_unroll(saros_context *context, const loop_spec *spec,
                            int T, int B, saros_tensor *const *outside,
                            saros_tensor *const *first, const loop_options *how,
                            saros_generator *generator, saros_tensor **values,
                            saros_tensor **last) {
  const saros_program *p = spec->p;
  size_t nodes = (size_t)p->node_count, states = (size_t)p->state_count;
  size_t steps = (size_t)spec->wanted_count * (size_t)T;
  size_t fresh = (size_t)spec->state_count;
  size_t owned = 2 * nodes + 2 * states + steps + fresh;
  size_t bytes = (owned + nodes) * sizeof(saros_tensor *);
  saros_tensor **room = pool_take(&context->pool, bytes);
  if (room == NULL)
    return base_out_of_memory(context, bytes);
  memset(room, 0, bytes);
  unrolling u = {.context = context,
                 .spec = spec,
                 .p = p,
                 .T = T,
                 .B = B,
                 .lead = {1, {B, 0}},
                 .how = how,
                 .generator = generator,
                 .value = room,
                 .dropout = room + nodes,
                 .state = room + 2 * nodes,
                 .first = room + 2 * nodes + states,
                 .steps = room + 2 * nodes + 2 * states,
                 .given = room + owned};
  saros_status status =
      walk_steps(&u, outside, first, u.steps + steps, values, last);
  for (int i = 0; status != SAROS_OK && i < spec->wanted_count; i++)
    tensor_or_nothing(status, &values[i]);
  release_all(room, owned);
  saros_tensor_release(u.keep);
  pool_give(&context->pool, room);
  return status;
}
