/*
** The walk of a code over time. Rows of a batch never meet, so blocks of rows
** take it independently, each through the whole window. A window of one block
** shares its products among the threads instead.
*/
#include <string.h>

#include "loop_window.h"

int loop_step_before(const loop_window *w, int t) {
  if (w->plan->reverse)
    return t == w->T - 1 ? -1 : t + 1;
  return t - 1;
}

static int at_most(int most, int n) {
  return n < most ? n : most;
}

/* --- Where arrays lie ---------------------------------------------------------- */

int loop_window_size(const loop_plan *plan) {
  return plan->outside + plan->states + loop_factors(plan) + 3 + plan->kept;
}

void loop_window_name(loop_window *w) {
  const loop_plan *plan = w->plan;
  w->outside = w->t;
  w->first = w->outside + plan->outside;
  w->factor = w->first + plan->states;
  w->mask = w->factor + loop_factors(plan);
  w->keep = w->mask + 1;
  w->holder = w->keep + 1;
  w->kept = w->holder + 1;
}

/* An array of all steps, (T, B, w); rows may lie apart. */
static loop_bound bind_steps(const saros_tensor *x) {
  if (x == NULL)
    return (loop_bound){0};
  return (loop_bound){tensor_reals(x), x->stride[0], x->stride[1]};
}

/* One of all rows, (B, w), the same at every step; or of all steps. */
static loop_bound bind_factor(const saros_tensor *x) {
  if (x == NULL || x->rank == 3)
    return bind_steps(x);
  return (loop_bound){tensor_reals(x), 0, x->stride[0]};
}

static loop_bound bind(const loop_walk *walk, const loop_array *a) {
  const loop_window *w = walk->window;
  int n = a->which;
  switch (a->kind) {
    case LOOP_ARRAY_OUTSIDE:
      return bind_steps(w->outside[n]);
    case LOOP_ARRAY_INVARIANT:
      return (loop_bound){tensor_reals(w->outside[n]), 0, 0};
    case LOOP_ARRAY_CONSTANT:
      return (loop_bound){&walk->numbers[n], 0, 0};
    case LOOP_ARRAY_MASK:
      return bind_steps(*w->mask);
    case LOOP_ARRAY_KEEP:
      return bind_steps(*w->keep);
    case LOOP_ARRAY_FACTOR:
      return bind_factor(w->factor[n]);
    case LOOP_ARRAY_KEPT:
      return bind_steps(w->kept[n]);
    case LOOP_ARRAY_DVALUE:
      return bind_steps(w->dvalue ? w->dvalue[n] : NULL);
    case LOOP_ARRAY_DKEPT:
      return bind_steps(w->dkept ? w->dkept[n] : NULL);
    case LOOP_ARRAY_SCRATCH:
      return (loop_bound){NULL, 0, loop_padded(a->width)};
    default:  // states: see state_before and dstate_at
      return (loop_bound){NULL, 0, a->width};
  }
}

/* The array in which a state is left by every step. */
static const saros_tensor *state_after(const loop_window *w, int state) {
  const loop_code *code = &w->plan->code;
  for (size_t i = 0; i < code->sinks; i++)
    if (code->sink[i].kind == LOOP_SINK_AFTER && code->sink[i].which == state)
      return w->kept[w->plan->array[code->sink[i].array].which];
  return NULL;
}

const real *loop_state_before(const loop_window *w, int state, int t) {
  int before = loop_step_before(w, t);
  const saros_tensor *x = before < 0 ? w->first[state] : state_after(w, state);
  return tensor_reals(x) + (before < 0 ? 0 : before * x->stride[0]);
}

/* The arrays of a block at step t, the step number 'count' of the walk. */
static void point_at_step(const loop_block *b, int t, int count) {
  const loop_walk *walk = b->walk;
  const loop_window *w = walk->window;
  for (size_t i = 0; i < w->plan->arrays; i++) {
    const loop_array *a = &w->plan->array[i];
    const loop_bound *at = &walk->bound[i];
    real *data = at->data;
    if (a->kind == LOOP_ARRAY_SCRATCH && a->which < walk->code->scratch)
      b->base[i] = b->scratch + (size_t)a->which * (size_t)walk->rows;
    if (a->kind == LOOP_ARRAY_BEFORE)
      data = (real *)loop_state_before(w, a->which, t);
    else if (a->kind == LOOP_ARRAY_DAFTER && w->dstate)
      data = tensor_reals(w->dstate[2 * a->which + count % 2]);
    else if (a->kind == LOOP_ARRAY_DBEFORE && w->dstate)
      data = tensor_reals(w->dstate[2 * a->which + 1 - count % 2]);
    if (data != NULL)
      b->base[i] = data + t * at->time + b->row * at->ld;
  }
}

/* --- Steps ------------------------------------------------------------------------- */

static void run_product(const loop_block *b, size_t step) {
  const loop_walk *walk = b->walk;
  const loop_step *s = &walk->code->step[step];
  const loop_graph *g = &walk->window->plan->graph;
  const loop_value *value = &g->value[s->value];
  int x = loop_input(g, s->value, 0);
  loop_place from = walk->code->place[x];
  product_rows rows = {.c = loop_at(b, s->y),
                       .ldc = (int)walk->ld[s->y.array],
                       .a = loop_at(b, from),
                       .lda = (int)walk->ld[from.array],
                       .m = b->rows,
                       .add = s->add || value->inputs > 1,
                       .backwards = b->backwards};
  if (!walk->alone) {
    product_packed_multiply(walk->kernels, &walk->packed[step], &rows);
    return;
  }
  // an interrupt is the walk's business
  saros_status status = product_packed_multiply_shared(
      walk->window->context, &walk->packed[step], &rows);
  (void)status;
}

/* Adds the gradients of invariants to the block's sums. */
static void add_sums(const loop_block *b, double *sums) {
  const loop_walk *walk = b->walk;
  const loop_code *code = walk->code;
  for (size_t i = 0; i < code->sinks; i++) {
    const loop_sink *sink = &code->sink[i];
    if (sink->kind != LOOP_SINK_DINVARIANT)
      continue;
    loop_place at = code->place[sink->value];
    walk->kernels->strip->add_rows(
        sums + sink->place, loop_at(b, at), walk->ld[at.array], (size_t)b->rows,
        (size_t)walk->window->plan->graph.value[sink->value].width);
  }
}

static void run_step(const loop_block *b) {
  const loop_code *code = b->walk->code;
  for (size_t i = 0; i < code->steps; i++) {
    const loop_step *step = &code->step[i];
    if (step->kind == LOOP_STEP_CHAIN)
      loop_chain_run(b, step);
    else if (step->kind == LOOP_STEP_PRODUCT)
      run_product(b, i);
    else
      loop_row_run(b, step);
  }
}

/* Element counts of a block's memory: pointers to arrays, registers, scratch. */
static size_t pointer_bytes(const loop_walk *walk) {
  return (walk->window->plan->arrays * sizeof(real *) + 63) / 64 * 64;
}

static size_t register_count(const loop_walk *walk) {
  return (size_t)(walk->code->registers + LOOP_SPARE) * LOOP_STRIP;
}

static void walk_block(void *arguments, int number) {
  const loop_walk *walk = arguments;
  const loop_window *w = walk->window;
  char *memory = walk->memory + walk->block_size * (size_t)number;
  real *registers = (real *)(void *)(memory + pointer_bytes(walk));
  int row = number * walk->rows;
  loop_block b = {.walk = walk,
                  .row = row,
                  .rows = at_most(walk->rows, w->B - row),
                  .base = (real **)(void *)memory,
                  .scratch = registers + register_count(walk),
                  .registers = registers};
  int from_end = w->plan->reverse != walk->back;
  for (int count = 0; count < w->T; count++) {
    if (base_is_interrupted(w->context))
      return;
    b.backwards = count % 2;
    point_at_step(&b, from_end ? w->T - 1 - count : count, count);
    run_step(&b);
    if (walk->code->sums > 0)
      add_sums(&b, w->sums + (size_t)number * (size_t)walk->code->sums);
  }
}

/* --- A walk --------------------------------------------------------------------------- */

/* Blocks for the threads, but sums over the rows of a block are cut by the shape
** alone: bits must not depend on threads. */
static void cut_into_blocks(loop_walk *walk) {
  const loop_window *w = walk->window;
  const loop_graph *g = &w->plan->graph;
  const loop_code *code = walk->code;
  double work = 0;
  for (size_t i = 0; i < code->steps; i++) {
    const loop_step *s = &code->step[i];
    if (s->kind == LOOP_STEP_CHAIN)
      work += 4.0 * s->width * s->count;
    else if (s->kind == LOOP_STEP_ROW)
      work += 8.0 * g->value[s->value].width;
    else
      work += (double)g->value[s->value].width *
              g->value[loop_input(g, s->value, 0)].width;
  }
  const int fixed = code->sums > 0;
  int blocks = fixed ? product_fixed_row_blocks(w->B)
                     : product_row_blocks(w->context, w->B);
  walk->work = work * w->T * w->B;
  if (walk->work < (fixed ? 1e6 : TEAM_WAKES) || blocks == 0)
    blocks = 1;
  walk->rows = w->B > 0 ? base_divide_up(w->B, blocks) : 1;
  walk->blocks = base_divide_up(w->B, walk->rows);
  walk->alone = walk->blocks <= 1;
}

static saros_status pack(loop_walk *walk, size_t step) {
  const loop_window *w = walk->window;
  const loop_graph *g = &w->plan->graph;
  int value = walk->code->step[step].value;
  int back = g->value[value].op == LOOP_LINEAR_BACK;
  int linear = back ? g->value[value].which : value;
  int n = g->value[linear].width;
  int k = g->value[loop_input(g, linear, 0)].width;
  loop_matrix m;
  TRY(loop_weights(w, linear, &m));
  saros_status status = product_packed_new(
      w->context, &walk->packed[step], (product_view){m.data, m.ld, !back},
      back ? NULL : m.bias, back ? k : n, back ? n : k);
  pool_give(&w->context->pool, m.own);
  return status;
}

static saros_status prepare(loop_walk *walk) {
  const loop_window *w = walk->window;
  const loop_plan *plan = w->plan;
  for (size_t v = 0; v < plan->graph.count; v++)
    walk->numbers[v] = (real)plan->graph.value[v].number;
  for (size_t i = 0; i < plan->arrays; i++) {
    walk->bound[i] = bind(walk, &plan->array[i]);
    walk->ld[i] = walk->bound[i].ld;
  }
  for (size_t i = 0; i < walk->code->steps; i++)
    if (walk->code->step[i].kind == LOOP_STEP_PRODUCT)
      TRY(pack(walk, i));
  cut_into_blocks(walk);
  size_t scratch = (size_t)walk->code->scratch * (size_t)walk->rows;
  walk->block_size =
      pointer_bytes(walk) + (register_count(walk) + scratch) * sizeof(real);
  walk->block_size = (walk->block_size + 63) / 64 * 64;
  size_t bytes = walk->block_size * (size_t)walk->blocks + 1;
  walk->memory = pool_take(&w->context->pool, bytes);
  if (walk->memory == NULL)
    return base_out_of_memory(w->context, bytes);
  memset(walk->memory, 0, bytes);
  return SAROS_OK;
}

static saros_status make_sums(loop_window *w, const loop_walk *walk) {
  size_t count = (size_t)walk->code->sums * (size_t)walk->blocks;
  w->blocks = walk->blocks;
  if (count == 0)
    return SAROS_OK;
  w->sums = pool_take(&w->context->pool, count * sizeof *w->sums);
  if (w->sums == NULL)
    return base_out_of_memory(w->context, count * sizeof *w->sums);
  memset(w->sums, 0, count * sizeof *w->sums);
  return SAROS_OK;
}

/* Products of what is known of all steps. */
static saros_status lift_products(const loop_window *w) {
  const loop_plan *plan = w->plan;
  for (int v = 0; v < plan->forward; v++)
    if (plan->graph.value[v].op == LOOP_LIFTED &&
        plan->code.place[v].array >= 0)
      TRY(loop_lift(w, v));
  return SAROS_OK;
}

saros_status loop_walk_run(loop_window *w, const loop_code *code, int back) {
  base_pool *pool = &w->context->pool;
  size_t arrays = w->plan->arrays, values = w->plan->graph.count;
  size_t bytes = code->steps * sizeof(product_packed) +
                 arrays * (sizeof(loop_bound) + sizeof(ptrdiff_t)) +
                 values * sizeof(real) + 1;
  loop_walk walk = {
      .window = w, .code = code, .kernels = w->kernels, .back = back};
  walk.packed = pool_take(pool, bytes);
  if (walk.packed == NULL)
    return base_out_of_memory(w->context, bytes);
  memset(walk.packed, 0, bytes);
  walk.bound = (loop_bound *)(void *)(walk.packed + code->steps);
  walk.ld = (ptrdiff_t *)(void *)(walk.bound + arrays);
  walk.numbers = (real *)(void *)(walk.ld + arrays);
  saros_status status = back ? SAROS_OK : lift_products(w);
  if (status == SAROS_OK)
    status = prepare(&walk);
  if (status == SAROS_OK)
    status = make_sums(w, &walk);
  if (status == SAROS_OK)
    status = team_share(w->context, walk.work, walk.blocks, walk_block, &walk);
  for (size_t i = 0; i < code->steps; i++)
    product_packed_release(w->context, &walk.packed[i]);
  pool_give(pool, walk.memory);
  pool_give(pool, walk.packed);
  return status;
}
