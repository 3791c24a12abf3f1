/*
** A part of a graph, what some sinks need, becomes code: an order of steps
** (loop_schedule.c), a place for every value that a step leaves for another, and
** instructions (here).
**
** Places: what sinks ask for lies in arrays of all steps; the parts of a gather
** are written where they are gathered; a sum with a product is left where the
** product adds to it; everything else is scratch of the block, or never leaves
** the registers of a chain.
*/
#include <string.h>

#include "loop_code.h"

/* --- Sinks and arrays ---------------------------------------------------------- */

saros_status loop_add_sink(loop_plan *plan, loop_code *code, int kind,
                           int which, int value) {
  TRY(plan->graph.status);
  TRY(array_grow(plan->context, &code->sink, code->sinks, &code->sink_room, 1,
                 sizeof *code->sink));
  code->sink[code->sinks++] = (loop_sink){kind, which, value, -1, -1};
  return SAROS_OK;
}

int loop_array_of(loop_plan *plan, int kind, int which, int width) {
  for (size_t i = 0; i < plan->arrays && kind != LOOP_ARRAY_SCRATCH; i++)
    if (plan->array[i].kind == kind && plan->array[i].which == which)
      return (int)i;
  if (plan->graph.status == SAROS_OK)
    plan->graph.status = array_grow(plan->context, &plan->array, plan->arrays,
                                    &plan->array_room, 1, sizeof *plan->array);
  if (plan->graph.status != SAROS_OK)
    return 0;
  plan->array[plan->arrays] = (loop_array){kind, which, width};
  return (int)plan->arrays++;
}

static loop_place new_scratch(loop_compiler *c, int width) {
  int which = c->code->scratch;
  c->code->scratch += loop_padded(width);
  return (loop_place){loop_array_of(c->plan, LOOP_ARRAY_SCRATCH, which, width),
                      0};
}

static loop_place place_of_leaf(loop_compiler *c, int v) {
  static const int kinds[LOOP_LEAVES] = {
      [LOOP_OUTSIDE] = LOOP_ARRAY_OUTSIDE,
      [LOOP_INVARIANT] = LOOP_ARRAY_INVARIANT,
      [LOOP_CONSTANT] = LOOP_ARRAY_CONSTANT,
      [LOOP_BEFORE] = LOOP_ARRAY_BEFORE,
      [LOOP_MASK] = LOOP_ARRAY_MASK,
      [LOOP_KEEP] = LOOP_ARRAY_KEEP,
      [LOOP_FACTOR] = LOOP_ARRAY_FACTOR,
      [LOOP_DVALUE] = LOOP_ARRAY_DVALUE,
      [LOOP_DAFTER] = LOOP_ARRAY_DAFTER,
  };
  const loop_value *value = &c->g->value[v];
  int is_back = c->code == &c->plan->back;
  if (value->op >= LOOP_LEAVES || (value->op == LOOP_LIFTED && is_back))
    return c->plan->code.place[v];  // kept by the way forward
  if (value->op == LOOP_LIFTED && value->inputs > 1)
    return c->code->place[loop_input(c->g, v, 1)];
  if (value->op == LOOP_LIFTED)
    return (loop_place){
        loop_array_of(c->plan, LOOP_ARRAY_KEPT, c->plan->kept++, value->width),
        0};
  int which = value->op == LOOP_CONSTANT ? v : value->which;
  return (loop_place){
      loop_array_of(c->plan, kinds[value->op], which, value->width), 0};
}

/* --- What is computed ------------------------------------------------------------ */

int loop_code_is_leaf(const loop_compiler *c, int v) {
  return c->g->value[v].op < LOOP_LEAVES ||
         (c->code == &c->plan->back && v < c->plan->forward &&
          c->plan->saved[v]);
}

/* A view takes no time, unless it is saved by itself. */
static int is_virtual(const loop_compiler *c, int v) {
  return c->g->value[v].op == LOOP_VIEW && !c->copied[v];
}

int loop_code_kind(const loop_compiler *c, int v) {
  int op = c->g->value[v].op;
  if (!c->live[v] || loop_code_is_leaf(c, v) || is_virtual(c, v) ||
      c->fold[v] >= 0)
    return -1;
  if (c->product[v] >= 0 || op == LOOP_LINEAR || op == LOOP_LINEAR_BACK)
    return LOOP_STEP_PRODUCT;
  return loop_is_elementwise(op) || op == LOOP_VIEW ? LOOP_STEP_CHAIN
                                                    : LOOP_STEP_ROW;
}

static void find_live(loop_compiler *c) {
  for (size_t i = 0; i < c->code->sinks; i++) {
    c->live[c->code->sink[i].value] = 1;
    c->uses[c->code->sink[i].value]++;
  }
  for (int v = c->count - 1; v >= 0; v--) {
    int is_lifted = c->g->value[v].op == LOOP_LIFTED;
    if (!c->live[v] || (loop_code_is_leaf(c, v) && !is_lifted))
      continue;
    for (int i = is_lifted; i < c->g->value[v].inputs; i++) {
      int x = loop_input(c->g, v, i);
      c->live[x] = 1;
      c->uses[x]++;
    }
  }
}

/* --- Places of sinks --------------------------------------------------------------- */

static int is_placed(const loop_compiler *c, int v) {
  return c->code->place[v].array >= 0;
}

/* True if a sink may be read where value v already is. */
static int can_share(const loop_compiler *c, const loop_sink *sink, int v) {
  if (!is_placed(c, v))
    return 0;
  loop_place at = c->code->place[v];
  const loop_array *array = &c->plan->array[at.array];
  if (at.column != 0 || array->width != c->g->value[v].width)
    return 0;
  switch (sink->kind) {
    case LOOP_SINK_AFTER:
    case LOOP_SINK_VALUE:
    case LOOP_SINK_SAVED:
      return array->kind == LOOP_ARRAY_KEPT;
    case LOOP_SINK_DOUTSIDE:
    case LOOP_SINK_DPRODUCT:
      return array->kind == LOOP_ARRAY_DKEPT ||
             array->kind == LOOP_ARRAY_DVALUE;
    default:
      return 0;
  }
}

static loop_place new_place_of_sink(loop_compiler *c, const loop_sink *sink) {
  loop_plan *plan = c->plan;
  int width = c->g->value[sink->value].width, array;
  if (sink->kind == LOOP_SINK_DBEFORE)
    array = loop_array_of(plan, LOOP_ARRAY_DBEFORE, sink->which,
                          plan->width[sink->which]);
  else if (sink->kind == LOOP_SINK_DOUTSIDE || sink->kind == LOOP_SINK_DPRODUCT)
    array = loop_array_of(plan, LOOP_ARRAY_DKEPT, plan->dkept++, width);
  else
    array = loop_array_of(plan, LOOP_ARRAY_KEPT, plan->kept++, width);
  return (loop_place){array, 0};
}

/* True if the value is computed by a step that can leave it anywhere. */
static int can_be_placed(const loop_compiler *c, int v) {
  return !loop_code_is_leaf(c, v) && !is_virtual(c, v) && !is_placed(c, v);
}

/* A copy of a value for a sink, as wide as the sink is. */
static int copy_for(loop_compiler *c, const loop_sink *sink) {
  int copy = loop_copy(c->g, sink->value);
  if (c->g->status == SAROS_OK && sink->kind == LOOP_SINK_DBEFORE)
    c->g->value[copy].width = c->plan->width[sink->which];
  c->count = (int)c->g->count;
  c->live[copy] = 1;
  return copy;
}

/* The value whose columns a view shows, and the first of them. */
static int parent_of(const loop_compiler *c, int v, int *column) {
  int is_view = c->g->value[v].op == LOOP_VIEW;
  *column = is_view ? c->g->value[v].at[0] : 0;
  return is_view ? loop_input(c->g, v, 0) : v;
}

/* True if p is a product of all steps that the way back does not read. */
static int is_spent(const loop_compiler *c, int p) {
  int op = c->g->value[p].op;
  return (op == LOOP_LINEAR || op == LOOP_LIFTED) && is_placed(c, p) &&
         !c->plan->reread[p] &&
         c->plan->array[c->code->place[p].array].kind == LOOP_ARRAY_KEPT;
}

/* True if nothing but views that do not overlap reads p. */
static int is_cut(const loop_compiler *c, int p) {
  int end = 0, views = 0;
  for (int v = p + 1; v < c->plan->forward; v++)
    for (int i = 0; c->live[v] && i < c->g->value[v].inputs; i++) {
      if (loop_input(c->g, v, i) != p)
        continue;
      if (c->g->value[v].op != LOOP_VIEW || c->g->value[v].at[0] < end)
        return 0;
      end = c->g->value[v].at[0] + c->g->value[v].width;
      views++;
    }
  return views == c->uses[p];
}

/* The sums that v alone is computed from, through element-wise values that have
** one reader each and so are not saved either; -1: none. */
static int sums_of(const loop_compiler *c, int v, int width) {
  for (int i = 0; i < c->g->value[v].inputs; i++) {
    int x = loop_input(c->g, v, i), column, p = parent_of(c, x, &column);
    if (c->g->value[x].width != width || c->uses[x] != 1)
      continue;
    if (is_spent(c, p) && (p == x || is_cut(c, p)))
      return x;
    if (loop_is_elementwise(c->g->value[x].op) && can_be_placed(c, x) &&
        (p = sums_of(c, x, width)) >= 0)
      return p;
  }
  return -1;
}

/* True if a product reads v, and its operand is needed as an array of its own. */
static int is_multiplied(const loop_compiler *c, int v) {
  for (int p = v + 1; p < c->plan->forward; p++)
    if (c->g->value[p].op == LOOP_LINEAR && loop_input(c->g, p, 0) == v)
      return 1;
  return 0;
}

/* Saves a function of gate sums in the place of the sums, which only the function
** reads: it comes after them, strip by strip. */
static int place_in_sums(loop_compiler *c, const loop_sink *sink) {
  int v = sink->value, width = c->g->value[v].width, column;
  if (sink->kind != LOOP_SINK_SAVED || width < LOOP_SHORT ||
      !loop_is_elementwise(c->g->value[v].op) || is_multiplied(c, v))
    return 0;
  int x = sums_of(c, v, width);
  if (x < 0)
    return 0;
  loop_place at = c->code->place[parent_of(c, x, &column)];
  c->code->place[v] = (loop_place){at.array, at.column + column};
  return 1;
}

static void place_sink(loop_compiler *c, loop_sink *sink) {
  if (sink->kind == LOOP_SINK_DINVARIANT)
    return;
  if (can_share(c, sink, sink->value)) {
    sink->array = c->code->place[sink->value].array;
    return;
  }
  int narrow = sink->kind == LOOP_SINK_DBEFORE &&
               c->g->value[sink->value].width != c->plan->width[sink->which];
  if (!can_be_placed(c, sink->value) || narrow)
    sink->value = copy_for(c, sink);
  else if (place_in_sums(c, sink))
    return;
  if (c->g->status != SAROS_OK)
    return;
  loop_place at = new_place_of_sink(c, sink);
  c->code->place[sink->value] = at;
  sink->array = at.array;
}

/* --- Several values in one --------------------------------------------------------- */

/* True if v's reader may take v over: nothing else reads it. */
static int can_fold(const loop_compiler *c, int v, int width) {
  return c->uses[v] == 1 && can_be_placed(c, v) && c->fold[v] < 0 &&
         c->product[v] < 0 && c->g->value[v].width == width;
}

static int is_binary(const loop_compiler *c, int v, int function) {
  return c->g->value[v].op == LOOP_BINARY &&
         c->g->value[v].function == function;
}

/* A sum with a product: the product adds to what the other term has left. */
static int fold_product(loop_compiler *c, int v) {
  for (int i = 0; i < 2; i++) {
    int p = loop_input(c->g, v, i), x = loop_input(c->g, v, 1 - i);
    int op = c->g->value[p].op, width = c->g->value[v].width;
    if ((op != LOOP_LINEAR && op != LOOP_LINEAR_BACK) ||
        c->g->value[p].inputs > 1 || !can_fold(c, p, width) ||
        !can_fold(c, x, width) || !loop_is_elementwise(c->g->value[x].op))
      continue;
    if (!is_placed(c, v))
      c->code->place[v] = new_scratch(c, width);
    c->code->place[x] = c->code->place[v];
    c->fold[p] = v, c->product[v] = p;
    return 1;
  }
  return 0;
}

/* A product among the operands first..last that the instruction of v takes over. */
static void fold_multiply(loop_compiler *c, int v, int first, int last) {
  for (int i = last; i >= first; i--) {
    int m = loop_input(c->g, v, i);
    if (is_binary(c, m, SAROS_MULTIPLY) &&
        can_fold(c, m, c->g->value[v].width)) {
      c->fold[m] = v;
      return;
    }
  }
}

static int has_fast_slope(int function) {
  return function == SAROS_SIGMOID || function == SAROS_TANH;
}

static void fold_values(loop_compiler *c) {
  for (int v = c->count - 1; v >= 0; v--) {
    const loop_value *value = &c->g->value[v];
    if (loop_code_kind(c, v) != LOOP_STEP_CHAIN)
      continue;
    if (is_binary(c, v, SAROS_ADD)) {
      if (!fold_product(c, v))
        fold_multiply(c, v, 0, 1);
    } else if (is_binary(c, v, SAROS_SUBTRACT)) {
      fold_multiply(c, v, 1, 1);
    } else if (value->op == LOOP_UNARY_BACK &&
               has_fast_slope(value->function)) {
      fold_multiply(c, v, 0, 0);
    }
  }
}

/* The parts of a gather are written where they belong. */
static void place_gathers(loop_compiler *c) {
  for (int v = c->count - 1; v >= 0; v--) {
    const loop_value *value = &c->g->value[v];
    if (value->op != LOOP_GATHER || loop_code_kind(c, v) < 0)
      continue;
    if (!is_placed(c, v))
      c->code->place[v] = new_scratch(c, value->width);
    loop_place at = c->code->place[v];
    for (int i = 0; i < value->inputs; i++) {
      int part = loop_input(c->g, v, i);
      if (can_be_placed(c, part) && c->fold[part] < 0)
        c->code->place[part] =
            (loop_place){at.array, at.column + loop_extra(c->g, v, i)};
    }
  }
}

/* The value that a product is added to; -1: none. */
static int base_of(const loop_compiler *c, int v) {
  const loop_value *value = &c->g->value[v];
  return value->op == LOOP_LINEAR && value->inputs > 1 &&
                 !loop_code_is_leaf(c, v)
             ? loop_input(c->g, v, 1)
             : -1;
}

/* The place of a product that is added to another value, and of that value. A copy
** gets an array of all steps if there is a way back that does not read the sum:
** then the array also holds what is saved in place of the sum. */
static loop_place place_of_sum(loop_compiler *c, int v) {
  int base = base_of(c, v), is_copy = c->g->value[base].op == LOOP_COPY;
  if (is_copy && c->code == &c->plan->code && c->plan->gradients &&
      !c->plan->reread[v])
    c->code->place[base] =
        (loop_place){loop_array_of(c->plan, LOOP_ARRAY_KEPT, c->plan->kept++,
                                   c->g->value[v].width),
                     0};
  return c->code->place[base];
}

/* A product is made where the one is that it is added to. */
static void place_bases(loop_compiler *c) {
  for (int v = c->count - 1; v >= 0; v--) {
    int base = base_of(c, v);
    if (base < 0 || loop_code_kind(c, v) < 0 || is_placed(c, base))
      continue;
    if (!is_placed(c, v))
      c->code->place[v] = new_scratch(c, c->g->value[v].width);
    c->code->place[base] = c->code->place[v];
  }
}

/* --- The rest ------------------------------------------------------------------------ */

/* Values that a step leaves for another one must lie in memory. */
static void need(loop_compiler *c, int v, int step) {
  const loop_value *value = &c->g->value[v];
  if (loop_code_is_leaf(c, v))
    return;
  if (is_virtual(c, v)) {
    need(c, loop_input(c->g, v, 0), -1);
  } else if (c->fold[v] >= 0) {
    for (int i = 0; i < value->inputs; i++)
      need(c, loop_input(c->g, v, i), step);
  } else if (c->step_of[v] != step && !is_placed(c, v)) {
    c->code->place[v] = new_scratch(c, value->width);
  }
}

static void place_rest(loop_compiler *c) {
  for (size_t i = 0; i < c->code->sinks; i++)
    need(c, c->code->sink[i].value, -1);
  for (int v = 0; v < c->count; v++) {
    int kind = loop_code_kind(c, v);
    if (kind < 0)
      continue;
    if (kind != LOOP_STEP_CHAIN && !is_placed(c, v))
      c->code->place[v] = new_scratch(c, c->g->value[v].width);
    int inputs = c->g->value[v].inputs;
    for (int i = 0; i < inputs; i++)
      need(c, loop_input(c->g, v, i),
           kind == LOOP_STEP_CHAIN ? c->step_of[v] : -1);
  }
}

/* Views are where their parents are. */
static void place_views(loop_compiler *c) {
  for (int v = 0; v < c->count; v++) {
    if (!c->live[v])
      continue;
    if (!is_virtual(c, v) || loop_code_is_leaf(c, v))
      continue;
    loop_place at = c->code->place[loop_input(c->g, v, 0)];
    at.column += c->g->value[v].at[0];
    c->code->place[v] = at;
  }
}

static void count_sums(loop_compiler *c) {
  for (size_t i = 0; i < c->code->sinks; i++) {
    loop_sink *sink = &c->code->sink[i];
    if (sink->kind != LOOP_SINK_DINVARIANT)
      continue;
    sink->place = c->code->sums;
    c->code->sums += c->g->value[sink->value].width;
  }
}

/* --- All together ---------------------------------------------------------------------- */

static saros_status compile(loop_compiler *c) {
  for (int v = 0; v < c->count; v++)
    c->copied[v] = c->g->value[v].op == LOOP_VIEW &&
                   c->code == &c->plan->code && c->plan->saved[v];
  find_live(c);
  for (int v = 0; v < c->count; v++)
    if (c->live[v] && loop_code_is_leaf(c, v))
      c->code->place[v] = place_of_leaf(c, v);
    else if (c->live[v] && base_of(c, v) >= 0)
      c->code->place[v] = place_of_sum(c, v);
  size_t sinks = c->code->sinks;
  for (size_t i = 0; i < sinks; i++)
    place_sink(c, &c->code->sink[i]);
  TRY(c->g->status);
  fold_values(c);
  place_gathers(c);
  place_bases(c);
  TRY(loop_schedule(c));
  place_rest(c);
  place_views(c);
  count_sums(c);
  TRY(c->g->status);
  return loop_emit(c);
}

saros_status loop_compile(loop_plan *plan, loop_code *code) {
  saros_context *context = plan->context;
  size_t room = plan->graph.count + code->sinks;
  size_t bytes = room * (4 * sizeof(int) + 4);
  loop_compiler c = {.plan = plan,
                     .g = &plan->graph,
                     .code = code,
                     .count = (int)plan->graph.count};
  char *block = pool_take(&context->pool, bytes);
  code->place = pool_take(&context->pool, room * sizeof *code->place);
  if (block == NULL || code->place == NULL) {
    pool_give(&context->pool, block);
    return base_out_of_memory(context, bytes);
  }
  memset(code->place, 0xff, room * sizeof *code->place);
  c.uses = (int *)(void *)block, c.fold = c.uses + room;
  c.product = c.fold + room, c.step_of = c.product + room;
  c.live = (char *)(c.step_of + room), c.copied = c.live + room;
  c.done = c.copied + room, c.chosen = c.done + room;
  memset(block, 0, bytes);
  memset(c.fold, 0xff, 3 * room * sizeof(int));
  saros_status status = compile(&c);
  pool_give(&context->pool, block);
  return status;
}

void loop_code_release(saros_context *context, loop_code *code) {
  pool_give(&context->pool, code->sink);
  pool_give(&context->pool, code->step);
  pool_give(&context->pool, code->instruction);
  pool_give(&context->pool, code->place);
}
