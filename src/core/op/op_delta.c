/*
** The delta rule over a sequence: matrix states, one for each row and head, which
** the chunks of kernel/delta.c walk.
**
** A unit is one head of one row. It goes through all of its steps on its own, so
** threads share units and the bits are the same for any number of them. Its steps
** are cut at fixed places:
**
**   segment  of BORDER micro-steps that count; the state before each is kept for the
**            way back, and those between are made again
**   chunk    a part of a segment, in which no state starts again but before the first
**            step
**
** A plan, made once for a call, lists the steps of each row that count, in the order
** of the walk.
*/
#include <string.h>

#include "op_delta.h"

/* Micro-steps from one kept state to the next. */
#define BORDER 64
#define CHUNK 16

/* --- A unit ------------------------------------------------------------------------ */

typedef struct delta_unit {
  const op_delta_run *r;
  const delta_kernels *kernels;
  int row, head;
  const int32_t *plan;
  kernel_delta_chunk chunk;
  size_t rows[KERNEL_DELTA_MOST], ahead[KERNEL_DELTA_MOST];
  size_t sources[KERNEL_DELTA_MOST];
  ptrdiff_t past[KERNEL_DELTA_TAPS];
  real *scratch;
} delta_unit;

static real *reals_or_null(const saros_tensor *x) {
  return x ? tensor_reals(x) : NULL;
}

/* Elements of a state on its own, and padded. */
static size_t state_size(const op_delta_run *r) {
  return (size_t)r->sizes.K * (size_t)r->sizes.V;
}

static size_t padded_size(const op_delta_run *r) {
  return (size_t)KERNEL_DELTA_PADDED(r->sizes.K) *
         (size_t)KERNEL_DELTA_PADDED(r->sizes.V);
}

/* Where the unit's state stands in (B, heads K V); null without a tensor. */
static real *state_at(const delta_unit *u, const saros_tensor *states) {
  const size_t unit =
      (size_t)u->row * (size_t)u->r->sizes.heads + (size_t)u->head;
  return states ? tensor_reals(states) + unit * state_size(u->r) : NULL;
}

static real *first_at(const delta_unit *u, const saros_tensor *first) {
  return first ? tensor_reals(first) + (size_t)u->head * state_size(u->r)
               : NULL;
}

static real *border_at(const delta_unit *u, int segment) {
  const op_delta_run *r = u->r;
  if (r->t[OP_DELTA_BORDERS] == NULL)
    return NULL;
  const size_t unit = (size_t)u->row * (size_t)r->sizes.heads + (size_t)u->head;
  return tensor_reals(r->t[OP_DELTA_BORDERS]) +
         (unit * (size_t)r->segments + (size_t)segment) * state_size(r);
}

/* Copies a state between rows of V and padded rows, or all at once where these are the
** same. */
static void copy_state(const delta_unit *u, real *to, ptrdiff_t to_row,
                       const real *from, ptrdiff_t from_row) {
  const kernel_delta_sizes *s = &u->r->sizes;
  const int is_whole = to_row == from_row;
  u->r->context->kernels->strip->copy_rows(
      to, to_row, from, from_row, is_whole ? 1 : (size_t)s->K,
      is_whole ? state_size(u->r) : (size_t)s->V);
}

/* m, padded, = a state, or zeros. What lies between its rows may be another unit's,
** and NaN. */
static void load(const delta_unit *u, real *m, const real *state) {
  const kernel_delta_sizes *s = &u->r->sizes;
  const int padded = KERNEL_DELTA_PADDED(s->V);
  if (state == NULL || s->V != padded)
    memset(m, 0, padded_size(u->r) * sizeof *m);
  if (state != NULL)
    copy_state(u, m, padded, state, s->V);
}

/* A state, if it is wanted, = m. */
static void store(const delta_unit *u, real *state, const real *m) {
  const kernel_delta_sizes *s = &u->r->sizes;
  if (state != NULL)
    copy_state(u, state, s->V, m, KERNEL_DELTA_PADDED(s->V));
}

/* A state, if it is wanted, += m. */
static void add_to(const delta_unit *u, real *state, const real *m) {
  const kernel_delta_sizes *s = &u->r->sizes;
  for (int row = 0; row < s->K && state != NULL; row++)
    u->r->context->kernels->pointwise->add_scaled(
        state + (size_t)row * (size_t)s->V, 1,
        m + row * KERNEL_DELTA_PADDED(s->V), (size_t)s->V);
}

static delta_unit unit_of(const op_delta_run *r, int number, real *scratch) {
  delta_unit u = {.r = r,
                  .kernels = r->context->kernels->delta,
                  .row = number / r->sizes.heads,
                  .head = number % r->sizes.heads,
                  .scratch = scratch};
  u.plan = op_delta_plan(r, u.row);
  u.chunk = (kernel_delta_chunk){
      .sizes = &r->sizes,
      .length = r->length,
      .x = {tensor_reals(r->t[OP_DELTA_Q]), tensor_reals(r->t[OP_DELTA_K]),
            tensor_reals(r->t[OP_DELTA_V]), reals_or_null(r->t[OP_DELTA_WRITE]),
            reals_or_null(r->t[OP_DELTA_ERASE]),
            reals_or_null(r->t[OP_DELTA_DECAY])},
      .fetches_sources = r->t[OP_DELTA_IDS] == NULL,
      .convolution = op_delta_convolution_of(r, u.row),
      .head = u.head};
  return u;
}

/* The rows, among (T, B), of places from..to - 1 of the list. */
static void list_rows(const delta_unit *u, size_t *rows, int from, int to) {
  for (int place = from; place < to; place++) {
    const int32_t step = u->plan[1 + place];
    rows[place - from] =
        (size_t)(step < 0 ? ~step : step) * (size_t)u->r->B + (size_t)u->row;
  }
}

/* Turns to the chunk at a place of the list; true if the state starts again. */
static int turn_to(delta_unit *u, int from) {
  u->chunk.row = u->rows;
  u->chunk.steps = op_delta_chunk_steps(u->r, u->plan, from);
  list_rows(u, u->rows, from, from + u->chunk.steps);
  for (int s = 0; s < u->chunk.steps; s++)
    u->sources[s] = op_delta_source(u->r, u->rows[s]);
  u->chunk.source = u->sources;
  u->chunk.convolution.past = u->past;
  op_delta_list_past(u->r, u->plan, u->row, from, u->past);
  return u->plan[1 + from] < 0;
}

/* Says that places from..to - 1 of a unit's list come next, of which a chunk is
** fetched: the one at the beginning or, on the way back, at the end. */
static void look_ahead(delta_unit *u, const delta_unit *next, int from, int to,
                       int back) {
  const int most = u->r->chunk;
  if (back && to - from > most)
    from = to - most;
  if (!back && to - from > most)
    to = from + most;
  list_rows(next, u->ahead, from, to);
  u->chunk.ahead = u->ahead;
  u->chunk.ahead_head = next->head;
  u->chunk.ahead_steps = to - from;
}

/* The same of the unit itself or, where it has no such places, of the unit after it:
** of all its places or, with 'last', of its last segment. */
static void look_on(delta_unit *u, int from, int to, int last, int back) {
  const int number = u->row * u->r->sizes.heads + u->head + 1;
  u->chunk.ahead_steps = 0;
  if (from < to) {
    look_ahead(u, u, from, to, back);
  } else if (number < u->r->B * u->r->sizes.heads) {
    const delta_unit next = unit_of(u->r, number, NULL);
    const int count = next.plan[0], segment = u->r->segment;
    from = last && count > 0 ? (count - 1) / segment * segment : 0;
    look_ahead(u, &next, from, count, back);
  }
}

/* --- Forward ------------------------------------------------------------------------ */

static void run_unit(delta_unit *u) {
  const op_delta_run *r = u->r;
  real *m = u->scratch, *kept = m + padded_size(r);
  const real *state = state_at(u, r->t[OP_DELTA_STATE]);
  const real *first = first_at(u, r->t[OP_DELTA_FIRST]);
  load(u, m, state ? state : first);
  for (int at = 0; at < u->plan[0]; at += u->chunk.steps) {
    if (at % r->segment == 0) {
      if (base_is_interrupted(r->context))
        return;
      store(u, border_at(u, at / r->segment), m);
    }
    if (turn_to(u, at))
      load(u, m, first);
    look_on(u, at + u->chunk.steps, u->plan[0], 0, 0);
    u->kernels->forward(tensor_reals(r->y), m, m, kept, &u->chunk);
  }
  store(u, state_at(u, r->last), m);
}

/* Runs the units of a block. */
static void run_block(const op_delta_run *r, int block,
                      void (*run)(delta_unit *u)) {
  const int units = r->B * r->sizes.heads;
  const int from = (int)((int64_t)units * block / r->blocks);
  const int to = (int)((int64_t)units * (block + 1) / r->blocks);
  real *scratch = r->scratch + (size_t)block * r->scratch_size;
  for (int i = from; i < to; i++) {
    delta_unit u = unit_of(r, i, scratch);
    run(&u);
  }
}

static void run_forward(void *arguments, int block) {
  run_block(arguments, block, run_unit);
}

/* Shares out the units; 'size' elements of scratch for each block, and about 'work'
** multiply-adds for an element of a state and a micro-step. */
static saros_status share_units(op_delta_run *r, size_t size, double work,
                                void (*run)(void *arguments, int block)) {
  const int units = r->B * r->sizes.heads;
  work *= (double)r->T * units * r->sizes.reflections * (double)state_size(r);
  r->blocks = 4 * r->context->threads < units ? 4 * r->context->threads : units;
  if (work < TEAM_LEAST || r->context->threads == 1)
    r->blocks = units > 0;
  r->scratch_size = (size + 15) & ~(size_t)15;
  const size_t bytes = (size_t)r->blocks * r->scratch_size * sizeof(real);
  r->scratch = pool_take(&r->context->pool, bytes);
  if (r->scratch == NULL)
    return base_out_of_memory(r->context, bytes);
  memset(r->scratch, 0, bytes);
  saros_status status = team_share(r->context, work, r->blocks, run, r);
  pool_give(&r->context->pool, r->scratch);
  return status;
}

/* --- Backward ----------------------------------------------------------------------- */

/* Where the gradients of the inputs go. */
static kernel_delta_gradients targets_of(const op_delta_run *r) {
  saros_tensor *const *d = r->gradient;
  return (kernel_delta_gradients){reals_or_null(d[OP_DELTA_Q]),
                                  reals_or_null(d[OP_DELTA_K]),
                                  reals_or_null(d[OP_DELTA_V]),
                                  reals_or_null(d[OP_DELTA_WRITE]),
                                  reals_or_null(d[OP_DELTA_ERASE]),
                                  reals_or_null(d[OP_DELTA_DECAY]),
                                  r->is_fresh,
                                  NULL,
                                  NULL};
}

/* The scratch of the way back: dm and what the convolutions carry, then for each chunk of a segment the state before
** it and what its way forward keeps, then the kernel's own. */
typedef struct delta_scratch {
  real *dm, *carry, *slots, *own;
  size_t slot, room;
} delta_scratch;

static delta_scratch scratch_of(const op_delta_run *r, real *scratch) {
  const delta_kernels *k = r->context->kernels->delta;
  const size_t state = padded_size(r);
  delta_scratch s = {.dm = scratch, .carry = scratch + state};
  s.slots = s.carry + op_delta_carry_size(r);
  s.room = k->room(&r->sizes, r->chunk);
  s.slot = state + s.room;
  s.own = s.slots + (size_t)r->slots * s.slot;
  return s;
}

/* Makes the states of a segment again, and what its chunks keep; returns the number
** of chunks, whose places in the list go to 'at'. */
static int replay(delta_unit *u, const delta_scratch *s, int segment, int *at) {
  const op_delta_run *r = u->r;
  const int from = segment * r->segment;
  const int end =
      u->plan[0] - from < r->segment ? u->plan[0] : from + r->segment;
  int count = 0;
  load(u, s->slots, border_at(u, segment));
  for (int place = from; place < end; place += u->chunk.steps, count++) {
    real *m = s->slots + (size_t)count * s->slot;
    at[count] = place;
    if (turn_to(u, place))
      load(u, m, first_at(u, r->t[OP_DELTA_FIRST]));
    const int after = place + u->chunk.steps;
    if (after < end)
      look_on(u, after, end, 1, 0);
    else
      look_on(u, segment > 0 ? from - r->segment : 0, from, 1, 0);
    real *next = after < end ? m + s->slot : NULL;
    u->kernels->forward(NULL, next, m, m + padded_size(r), &u->chunk);
  }
  return count;
}

static void run_unit_back(delta_unit *u) {
  const op_delta_run *r = u->r;
  const delta_scratch s = scratch_of(r, u->scratch);
  kernel_delta_gradients targets = targets_of(r);
  const real *dy = reals_or_null(r->y);
  const size_t unit = (size_t)u->row * (size_t)r->sizes.heads + (size_t)u->head;
  int at[BORDER];
  load(u, s.dm, state_at(u, r->last));
  targets.carry = s.carry;
  targets.taps = r->taps ? r->taps + unit * op_delta_taps_size(r) : NULL;
  memset(s.carry, 0, op_delta_carry_size(r) * sizeof(real));
  for (int segment = base_divide_up(u->plan[0], r->segment) - 1; segment >= 0;
       segment--) {
    if (base_is_interrupted(r->context))
      return;
    for (int i = replay(u, &s, segment, at) - 1; i >= 0; i--) {
      real *m = s.slots + (size_t)i * s.slot;
      const int starts = turn_to(u, at[i]);
      look_on(u, 0, at[i], 1, 1);
      u->kernels->backward(&targets, dy, s.dm, m, m + padded_size(r), s.own,
                           &u->chunk);
      if (!starts)
        continue;
      add_to(u, state_at(u, r->first), s.dm);
      load(u, s.dm, NULL);
      memset(s.carry, 0, op_delta_carry_size(r) * sizeof(real));
    }
  }
  add_to(u,
         state_at(u, r->t[OP_DELTA_STATE] ? r->gradient[OP_DELTA_STATE]
                                          : r->first),
         s.dm);
  op_delta_end_carry(r, u->row, u->head, s.carry);
}

static void run_backward(void *arguments, int block) {
  run_block(arguments, block, run_unit_back);
}

/* True if all steps of all rows count, so that each has a gradient. */
static int has_all_steps(const op_delta_run *r) {
  for (int row = 0; row < r->B; row++)
    if (*op_delta_plan(r, row) < r->T)
      return 0;
  return 1;
}

/* With ids, gradients of each step of q, k and v, where those of the tables are
** wanted. */
static saros_status take_rows(op_delta_run *r) {
  r->is_fresh = 1;
  for (int i = 0; i <= OP_DELTA_V; i++) {
    r->table[i] = r->gradient[i], r->gradient[i] = NULL;
    const int shape[] = {r->T, r->B, op_delta_features(r, i)};
    if (r->table[i] == NULL)
      continue;
    TRY(has_all_steps(r)
            ? tensor_new(r->context, SAROS_REAL, 3, shape, &r->gradient[i])
            : saros_tensor_new(r->context, SAROS_REAL, 3, shape,
                               &r->gradient[i]));
  }
  return SAROS_OK;
}

/* Adds those to the gradients of the tables, and releases them. */
static saros_status return_rows(op_delta_run *r, saros_status status) {
  for (int i = 0; i <= OP_DELTA_V && r->t[OP_DELTA_IDS] != NULL; i++) {
    if (status == SAROS_OK && r->table[i] != NULL)
      status = op_scatter_rows(
          r->context, tensor_reals(r->table[i]), tensor_reals(r->gradient[i]),
          tensor_ids(r->t[OP_DELTA_IDS]), r->t[OP_DELTA_IDS]->count,
          (size_t)op_delta_features(r, i));
    if (r->table[i] != NULL)
      saros_tensor_release(r->gradient[i]);
  }
  return status;
}

/* Where gradients are wanted. Those of q, k and v are written rather than added to
** if they are new, each of a tensor of its own, and there is one of every step. */
static saros_status take_targets(const tape_entry *e, op_delta_run *r) {
  int is_new[OP_DELTA_V + 1] = {0};
  for (int i = OP_DELTA_INPUTS - 1; i >= 0; i--) {
    real beta = 1;
    if (e->input[i] == NULL)
      continue;
    TRY(i > OP_DELTA_V || r->t[OP_DELTA_IDS] != NULL
            ? tensor_node_gradient(e->input[i], &r->gradient[i])
            : tensor_node_target(e->input[i], &r->gradient[i], &beta));
    if (i <= OP_DELTA_V)
      is_new[i] = beta == 0;
  }
  if (r->t[OP_DELTA_IDS] != NULL)
    return take_rows(r);
  r->is_fresh = has_all_steps(r);
  for (int i = 0; i <= OP_DELTA_V; i++)
    r->is_fresh &= is_new[i] || r->gradient[i] == NULL;
  for (int i = 0; i <= OP_DELTA_V && !r->is_fresh; i++)
    if (is_new[i])
      memset(tensor_reals(r->gradient[i]), 0,
             r->gradient[i]->count * sizeof(real));
  return SAROS_OK;
}

/* Those and the gradients of the outputs. */
static saros_status take_gradients(const tape_entry *e, op_delta_run *r) {
  TRY(take_targets(e, r));
  TRY(tape_entry_gradient(e, 0, &r->y));
  TRY(tape_entry_gradient(e, 1, &r->last));
  for (int i = 0, output = 2; i < KERNEL_DELTA_STREAMS; i++)
    if (r->sizes.is_convolved[i])
      TRY(tape_entry_gradient(e, output++, &r->after[i]));
  if (e->input[OP_DELTA_FIRST] == NULL)
    return SAROS_OK;
  return saros_tensor_new(
      r->context, SAROS_REAL, 2,
      (const int[]){r->B, r->sizes.heads * r->sizes.K * r->sizes.V}, &r->first);
}

/* saved: as op_delta_run's t. */
static saros_status delta_backward(const tape_entry *e) {
  op_delta_run r = *(const op_delta_run *)e->arguments;
  memcpy(r.t, e->saved, sizeof r.t);
  saros_status status;
  TRY_OR_DONE(take_gradients(e, &r));
  const delta_scratch s = scratch_of(&r, NULL);
  const size_t size =
      padded_size(&r) + op_delta_carry_size(&r) + (size_t)r.slots * s.slot +
      r.context->kernels->delta->backward_room(&r.sizes, r.chunk);
  TRY_OR_DONE(op_delta_take_taps(&r));
  TRY_OR_DONE(share_units(&r, size, 8, run_backward));
  op_delta_end_taps(&r);
  if (r.first != NULL)
    status = op_sum_rows(r.context, tensor_reals(r.gradient[OP_DELTA_FIRST]), 1,
                         tensor_reals(r.first), (size_t)r.B,
                         r.first->count / (r.B > 0 ? (size_t)r.B : 1));
done:
  status = return_rows(&r, status);
  pool_give(&r.context->pool, r.taps);
  for (int i = 0; i < KERNEL_DELTA_STREAMS; i++)
    saros_tensor_release(r.after[i]);
  saros_tensor_release(r.y);
  saros_tensor_release(r.last);
  saros_tensor_release(r.first);
  return status;
}

static const tape_operation delta_operation = {"delta", delta_backward};

/* --- The operation ------------------------------------------------------------------- */

static int is_recorded(const op_delta_run *r) {
  for (int i = 0; i < OP_DELTA_INPUTS; i++)
    if (tape_wants(r->context, r->t[i]))
      return 1;
  return 0;
}

static saros_status prepare(op_delta_run *r, saros_tensor *const *given,
                            const saros_delta_options *o) {
  for (int i = 0; i < OP_DELTA_INPUTS; i++)
    if (given[i] != NULL)
      TRY(saros_contiguous(given[i], &r->t[i]));
  if (o->ids != NULL)
    TRY(saros_contiguous(o->ids, &r->t[OP_DELTA_IDS]));
  if (o->ids != NULL)
    TRY(tensor_expect_ids_below("delta", r->t[OP_DELTA_IDS],
                                given[OP_DELTA_Q]->shape[0]));
  const kernel_delta_sizes *s = &r->sizes;
  const int n = s->reflections, chunk = (o->chunk ? o->chunk : CHUNK) / n;
  r->segment = BORDER / n;
  r->chunk = chunk < 1 ? 1 : chunk < r->segment ? chunk : r->segment;
  TRY(op_delta_make_plan(r, o));
  TRY(op_delta_prepare_taps(r));
  if (is_recorded(r) && r->segments > 0)
    TRY(tensor_new(r->context, SAROS_REAL, 4,
                   (const int[]){r->B, s->heads, r->segments, s->K * s->V},
                   &r->t[OP_DELTA_BORDERS]));
  TRY(tensor_new(r->context, SAROS_REAL, 2,
                 (const int[]){r->B, s->heads * s->K * s->V}, &r->last));
  const int shape[] = {r->T, r->B, s->heads * s->V};
  return o->mask ? saros_tensor_new(r->context, SAROS_REAL, 3, shape, &r->y)
                 : tensor_new(r->context, SAROS_REAL, 3, shape, &r->y);
}

/* Lists the outputs, and holds them: y, the state, and the memories that there are. */
static int list_outputs(const op_delta_run *r, saros_tensor **out) {
  int count = 0;
  out[count++] = saros_tensor_retain(r->y);
  out[count++] = saros_tensor_retain(r->last);
  for (int i = 0; i < KERNEL_DELTA_STREAMS; i++)
    if (r->after[i] != NULL)
      out[count++] = saros_tensor_retain(r->after[i]);
  return count;
}

static saros_status run_and_record(op_delta_run *r, saros_tensor **out) {
  const size_t size =
      padded_size(r) + r->context->kernels->delta->room(&r->sizes, r->chunk);
  TRY(share_units(r, size, 3, run_forward));
  op_delta_run kept = *r;
  memset(kept.t, 0, sizeof kept.t);
  memset(kept.after, 0, sizeof kept.after);
  kept.y = kept.last = NULL, kept.scratch = NULL;
  const int outputs = list_outputs(r, out);
  return tape_record(r->context,
                     &(tape_call){&delta_operation, OP_DELTA_INPUTS, r->t,
                                  outputs, out, OP_DELTA_TENSORS, r->t, &kept,
                                  sizeof kept});
}

/* Moves the outputs to where they belong, or releases them. */
static saros_status hand_over(const op_delta_run *r, saros_status status,
                              saros_tensor **out, saros_tensor **y,
                              saros_tensor **last, saros_tensor **memories) {
  int count = 2;
  *y = out[0], *last = out[1];
  for (int i = 0; i < KERNEL_DELTA_STREAMS && memories != NULL; i++)
    memories[i] = r->sizes.is_convolved[i] ? out[count++] : NULL;
  if (status == SAROS_OK)
    return status;
  for (int i = 0; i < KERNEL_DELTA_STREAMS && memories != NULL; i++)
    tensor_or_nothing(status, &memories[i]);
  tensor_or_nothing(status, last);
  return tensor_or_nothing(status, y);
}

saros_status saros_delta_convolved(saros_tensor *q, saros_tensor *k,
                                   saros_tensor *v,
                                   const saros_delta_options *o,
                                   const saros_delta_convolutions *c,
                                   saros_tensor *state, saros_tensor **y,
                                   saros_tensor **last,
                                   saros_tensor **memories) {
  op_delta_run r = {
      .context = q->context,
      .length = {(real)o->query_length, (real)o->key_length, (real)o->epsilon}};
  saros_tensor *given[OP_DELTA_INPUTS] = {q,        k,        v,     o->write,
                                          o->erase, o->decay, state, o->first};
  saros_tensor *out[2 + KERNEL_DELTA_STREAMS] = {NULL};
  saros_status status;
  TRY_OR_DONE(op_expect_delta(&r.sizes, q, k, v, o, state));
  r.T = (o->ids ? o->ids : q)->shape[0], r.B = (o->ids ? o->ids : q)->shape[1];
  TRY_OR_DONE(op_delta_expect_taps(&r, given, c));
  TRY_OR_DONE(prepare(&r, given, o));
  status = run_and_record(&r, out);
done:
  for (int i = 0; i < OP_DELTA_TENSORS; i++)
    saros_tensor_release(r.t[i]);
  for (int i = 0; i < KERNEL_DELTA_STREAMS; i++)
    saros_tensor_release(r.after[i]);
  saros_tensor_release(r.y);
  saros_tensor_release(r.last);
  return hand_over(&r, status, out, y, last, memories);
}

saros_status saros_delta(saros_tensor *q, saros_tensor *k, saros_tensor *v,
                         const saros_delta_options *o, saros_tensor *state,
                         saros_tensor **y, saros_tensor **last) {
  return saros_delta_convolved(q, k, v, o, NULL, state, y, last, NULL);
}
