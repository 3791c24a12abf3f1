/*
** Attention over the last W steps, as a stage: its plan and its step.
**
** Keys and values are kept in a ring of W slots, so that none has to be moved: step
** t of a row is written to slot t mod W. Each row counts its own steps, since rows
** start at different times. The slots in use are the first ones, and all W of them
** from step W on. The order of the slots does not matter to the scores, but their
** distance in steps does: 'distance' is stored twice in a row, so that W of its
** elements can be read from any slot on. Outside a session, the state is the last
** W - 1 steps in order, and their number.
*/
#include <string.h>

#include "session.h"

/* The place of a row is stored as a real, which must be exact up to 2 W. */
#define LONGEST_WINDOW (1 << 23)

/* --- The plan --------------------------------------------------------------------- */

/* (heads, 2 W): each row twice. */
static saros_status plan_distance(session_planner *p, const real *from) {
  const session_stage *g = p->stage;
  const size_t n = (size_t)g->window;
  TRY(session_plan_own(p, SESSION_DISTANCE, (size_t)g->heads * 2 * n));
  real *to = g->owned[SESSION_DISTANCE];
  for (int head = 0; head < g->heads; head++, from += n, to += 2 * n) {
    memcpy(to, from, n * sizeof(real));
    memcpy(to + n, from, n * sizeof(real));
  }
  return SAROS_OK;
}

static saros_status expect_window(const session_planner *p, int F, int window) {
  int longest = SESSION_WIDEST / F / ATTENTION_SLOTS * ATTENTION_SLOTS;
  longest = longest < LONGEST_WINDOW ? longest : LONGEST_WINDOW;
  if (window <= longest)
    return SAROS_OK;
  return saros_fail(p->plan->context, SAROS_EARGUMENT,
                    "session: expected a window of at most %d steps, got %d",
                    longest, window);
}

/* The states are the stage's own arrays, laid out as its kernels read them: each
** row has all keys and then all values. */
static void place_states(session_planner *p, const program_node *n) {
  const session_stage *g = p->stage;
  const int F = g->outputs, window = g->window;
  session_state *memory = &p->plan->states[n->state[0]];
  session_state *exists = &p->plan->states[n->state[1]];
  memory->n = ATTENTION_KEYS(F, window) + F * window;
  session_plan_array(p, SESSION_KEYS, memory->n);
  memory->at = memory->at_odd = g->at[SESSION_KEYS];
  exists->n = 1;
  session_plan_array(p, SESSION_PLACE, 1);
  exists->at = exists->at_odd = g->at[SESSION_PLACE];
  exists->places = 2 * window;
  memory->attention = n->state[1] + 1, exists->attention = n->state[0] + 1;
  memory->features = exists->features = F;
  memory->steps = exists->steps = window;
}

saros_status session_plan_attention(session_planner *p, int node) {
  const program_node *n = &p->program->nodes[node];
  TRY(expect_window(p, n->width, n->at[AT_WINDOW]));
  session_stage *g = session_plan_stage(p, session_run_attention, -1, n->width);
  g->heads = n->at[AT_HEADS], g->window = n->at[AT_WINDOW];
  TRY(session_plan_block(p, SESSION_OPERANDS, 3 * sizeof(int)));
  for (int i = 0; i < 3; i++)
    ((int *)g->owned[SESSION_OPERANDS])[i] = session_operand(p, n, i);
  TRY(plan_distance(p, p->nodes[p->nodes[n->input[3]].source].data));
  place_states(p, n);
  session_plan_array(p, SESSION_SCORES, g->heads * g->window);
  g->y = p->nodes[node].value = session_plan_result(p, n->width);
  return g->y < 0 ? base_out_of_memory(p->plan->context, 0) : SAROS_OK;
}

/* --- The step --------------------------------------------------------------------- */

/* A row of an array of the stage. */
static real *row_of(const saros_session *s, const session_stage *g, int which,
                    int row, int n) {
  return session_array_of(s, g, which) + (ptrdiff_t)row * STEP_WIDTH(n);
}

/* Writes the key k and the value v of this step to their slot. */
static void put_slot(real *keys, real *values, const real *k, const real *v,
                     int slot, int F) {
  const int block = slot / ATTENTION_SLOTS, lane = slot % ATTENTION_SLOTS;
  keys += (ptrdiff_t)block * F * ATTENTION_SLOTS + lane;
  for (int i = 0; i < F; i++)
    keys[i * ATTENTION_SLOTS] = k[i];
  memcpy(values + (ptrdiff_t)slot * F, v, (size_t)F * sizeof(real));
}

/* One row. Its place counts steps from 0 on, but goes from 2 W - 1 back to W. */
static void step_row(const saros_session *s, const session_stage *g, int row) {
  const kernels *k = s->context->kernels;
  const int *operands = g->owned[SESSION_OPERANDS];
  const int F = g->outputs, window = g->window;
  real *place = row_of(s, g, SESSION_PLACE, row, 1);
  const int at = (int)*place, slot = at % window;
  const int seen = at < window ? at + 1 : window;
  const int size = ATTENTION_KEYS(F, window);
  real *keys = row_of(s, g, SESSION_KEYS, row, size + F * window);
  real *values = keys + size;
  real *scores = row_of(s, g, SESSION_SCORES, row, g->heads * window);
  const real *distance = g->owned[SESSION_DISTANCE];
  put_slot(keys, values, session_row(s, operands[1], row),
           session_row(s, operands[2], row), slot, F);
  k->attention->score(scores, session_row(s, operands[0], row), keys,
                      distance + window - 1 - slot, g->heads, F, seen, window);
  k->softmax->softmax(scores, scores, (size_t)g->heads, (size_t)seen);
  k->attention->read(session_row(s, g->y, row), scores, values, g->heads, F,
                     seen);
  *place = (real)(at + 1 < 2 * window ? at + 1 : window);
}

void session_run_attention(saros_session *s, const session_stage *g) {
  for (int row = 0; row < s->streams; row++)
    step_row(s, g, row);
  session_run_next(s, g);
}

/* --- The state from outside ----------------------------------------------------------- */

/*
** Outside, the state of a row is what the whole-sequence layer keeps: 'memory'
** (W - 1, 2, F), key and value of the last steps, the oldest first, and 'exists'
** (W - 1), 1 for the steps that there were. Inside it is a ring and its place.
*/
static real *row_of_state(const saros_session *s, const session_state *x,
                          int row) {
  return session_state_rows(s, x) + (ptrdiff_t)row * STEP_WIDTH(x->n);
}

static const session_state *other_of(const saros_session *s,
                                     const session_state *x) {
  return &s->plan->states[x->attention - 1];
}

/* Copies a slot of keys and values out of a row, or into it. */
static void move_slot(const session_state *x, real *row, int slot,
                      real *outside, int in) {
  const int F = x->features;
  const ptrdiff_t block = slot / ATTENTION_SLOTS, lane = slot % ATTENTION_SLOTS;
  real *key = row + block * F * ATTENTION_SLOTS + lane;
  real *value = row + ATTENTION_KEYS(F, x->steps) + (ptrdiff_t)slot * F;
  for (int i = 0; i < F; i++, key += ATTENTION_SLOTS)
    if (in)
      *key = outside[i], value[i] = outside[F + i];
    else
      outside[i] = *key, outside[F + i] = value[i];
}

/* All of the last W - 1 steps before place 'at', whether they exist or not. */
static void move_steps(const session_state *x, real *row, int at, real *outside,
                       int in) {
  for (int i = 0; i < x->steps - 1; i++, outside += 2 * x->features)
    move_slot(x, row, (at + 1 + i) % x->steps, outside, in);
}

void session_read_attention(const saros_session *s, const session_state *x,
                            int row, real *to) {
  const int is_memory = x->places == 0, past = x->steps - 1;
  const session_state *place = is_memory ? other_of(s, x) : x;
  const int at = (int)*row_of_state(s, place, row);
  const int missing = at < past ? past - at : 0;
  if (is_memory) {
    move_steps(x, row_of_state(s, x, row), at, to, 0);
    memset(to, 0, (size_t)missing * 2 * (size_t)x->features * sizeof(real));
    return;
  }
  for (int i = 0; i < past; i++)
    to[i] = i >= missing;
}

void session_write_attention(saros_session *s, const session_state *x, int row,
                             const real *from) {
  const int at = (int)*row_of_state(s, other_of(s, x), row);
  move_steps(x, row_of_state(s, x, row), at, (real *)from, 1);
}

/* How many steps there were; -1 if these are not the last ones. */
static int count_steps(const real *exists, int past) {
  int missing = 0;
  while (missing < past && exists[missing] == 0)
    missing++;
  for (int i = missing; i < past; i++)
    if (exists[i] != 1)
      return -1;
  return past - missing;
}

saros_status session_expect_exists(const saros_session *s,
                                   const session_state *x,
                                   const saros_tensor *from) {
  const int past = x->steps - 1;
  saros_tensor *rows;
  TRY(saros_contiguous((saros_tensor *)from, &rows));
  int row = 0;
  while (row < s->streams &&
         count_steps(tensor_reals(rows) + (ptrdiff_t)row * past, past) >= 0)
    row++;
  saros_tensor_release(rows);
  if (row == s->streams)
    return SAROS_OK;
  return saros_fail(s->context, SAROS_EARGUMENT,
                    "set_state: expected %s to be zeros and then ones, got "
                    "others in row %d",
                    BASE_QUOTE(x->name), row + s->context->index_base);
}

/* Rows get new places, so their keys and values are moved to other slots. */
saros_status session_write_exists(saros_session *s, const session_state *x,
                                  const real *exists) {
  base_pool *pool = &s->context->pool;
  const session_state *memory = other_of(s, x);
  const size_t n = (size_t)(x->steps - 1) * 2 * (size_t)x->features;
  real *steps = pool_take(pool, n * sizeof *steps);
  if (steps == NULL)
    return base_out_of_memory(s->context, n * sizeof *steps);
  for (int row = 0; row < s->streams; row++, exists += x->steps - 1) {
    real *own = row_of_state(s, memory, row), *place = row_of_state(s, x, row);
    const int seen = count_steps(exists, x->steps - 1);
    move_steps(memory, own, (int)*place, steps, 0);
    move_steps(memory, own, seen, steps, 1);
    *place = (real)seen;
  }
  pool_give(pool, steps);
  return SAROS_OK;
}
