/*
** The way back of a graph, appended to it: the gradient of each value is the sum
** of what its readers contribute. Values are visited from the last to the first,
** so all readers of a value have been when its turn comes.
**
** What a view contributes covers a few columns only. Such parts that do not
** overlap are gathered into one value: the gradient of merged products, written
** part by part where it lies.
*/
#include <float.h>
#include <math.h>
#include <string.h>

#include "loop.h"

/* A contribution to some columns of a value. */
typedef struct part {
  int column, value;
  int next;  // of the same value, in the order of columns; -1: none
} part;

typedef struct adjoint {
  loop_plan *plan;
  loop_graph *g;
  const loop_has *has;
  int count;    // values of the way forward
  int *whole;   // by value: its gradient so far, or -1
  int *parts;   // by value: the first part, or -1
  char *wants;  // by value: a gradient is wanted
  part *part;
  size_t used, room;
} adjoint;

static int width_of(const adjoint *a, int value) {
  return a->g->value[value].width;
}

/* x, if v is -x; else -1. */
static int opposite_of(const adjoint *a, int v) {
  const loop_value *value = &a->g->value[v];
  return value->op == LOOP_UNARY && value->function == SAROS_NEGATE
             ? loop_input(a->g, v, 0)
             : -1;
}

static int negated(adjoint *a, int x) {
  int opposite = opposite_of(a, x);
  return opposite < 0 ? loop_unary(a->g, SAROS_NEGATE, x) : opposite;
}

/* x y; a minus before the gradient x is left for a later sum. */
static int times(adjoint *a, int x, int y) {
  int opposite = opposite_of(a, x);
  if (opposite >= 0)
    return negated(a, loop_binary(a->g, SAROS_MULTIPLY, opposite, y));
  return loop_binary(a->g, SAROS_MULTIPLY, x, y);
}

static int over(adjoint *a, int x, int y) {
  return loop_binary(a->g, SAROS_DIVIDE, x, y);
}

/* x + y, in one operation if there is a minus before one of them. */
static int plus(adjoint *a, int x, int y) {
  int of_x = opposite_of(a, x), of_y = opposite_of(a, y);
  if (of_y >= 0)
    return loop_binary(a->g, SAROS_SUBTRACT, x, of_y);
  if (of_x >= 0)
    return loop_binary(a->g, SAROS_SUBTRACT, y, of_x);
  return loop_binary(a->g, SAROS_ADD, x, y);
}

static int number(adjoint *a, double x) {
  return loop_constant(a->g, x);
}

/* --- Contributions ----------------------------------------------------------------- */

/* The gradient d of value v; the sum of d where v met every element. */
static void contribute(adjoint *a, int v, int d) {
  if (a->g->status != SAROS_OK || !a->wants[v])
    return;
  int width = width_of(a, d);
  if (width_of(a, v) == 1 && width > 1)
    d = loop_row(a->g, LOOP_SUM, 1, (int[PROGRAM_ATTRIBUTES]){1, width, 1}, 0,
                 d, -1);
  a->whole[v] = a->whole[v] < 0 ? d : plus(a, a->whole[v], d);
}

/* The gradient d of the columns of v from one on. */
static void contribute_part(adjoint *a, int v, int column, int d) {
  if (a->g->status != SAROS_OK || !a->wants[v])
    return;
  a->g->status = array_grow(a->plan->context, &a->part, a->used, &a->room, 1,
                            sizeof *a->part);
  if (a->g->status != SAROS_OK)
    return;
  int *link = &a->parts[v];
  while (*link >= 0 && a->part[*link].column <= column)
    link = &a->part[*link].next;
  a->part[a->used] = (part){column, d, *link};
  *link = (int)a->used++;
}

/* One value of parts that do not overlap; they leave the list. */
static int gather_parts(adjoint *a, int v, int *scratch) {
  int end = 0, count = 0, *columns = scratch + a->used;
  for (int *link = &a->parts[v]; *link >= 0;) {
    const part *p = &a->part[*link];
    if (p->column < end) {
      link = &a->part[*link].next;
      continue;
    }
    scratch[count] = p->value, columns[count] = p->column;
    end = p->column + width_of(a, p->value);
    count++;
    *link = p->next;
  }
  return loop_gather(a->g, scratch, columns, count, width_of(a, v));
}

/* The whole gradient of v; -1 if nothing contributed. */
static int total(adjoint *a, int v) {
  while (a->parts[v] >= 0 && a->g->status == SAROS_OK) {
    size_t bytes = 2 * a->used * sizeof(int);
    int *scratch = pool_take(&a->plan->context->pool, bytes);
    if (scratch == NULL) {
      a->g->status = base_out_of_memory(a->plan->context, bytes);
      return -1;
    }
    contribute(a, v, gather_parts(a, v, scratch));
    pool_give(&a->plan->context->pool, scratch);
  }
  return a->whole[v];
}

/* --- Functions and operators --------------------------------------------------------- */

/* Operand i of value v. */
static int in(const adjoint *a, int v, int i) {
  return loop_input(a->g, v, i);
}

/* The slope of softplus at x is sigmoid(x). It is 1 - sigmoid(-x) where the way
** forward needs that in any case. */
static int softplus_slope(adjoint *a, int x) {
  int opposite = opposite_of(a, x);
  int s = opposite < 0 ? -1 : loop_find_unary(a->g, SAROS_SIGMOID, opposite);
  return s < 0 ? loop_unary(a->g, SAROS_SIGMOID, x)
               : loop_binary(a->g, SAROS_SUBTRACT, number(a, 1), s);
}

static void back_unary(adjoint *a, int v, int d) {
  int f = a->g->value[v].function, x = in(a, v, 0);
  if (f == SAROS_ISFINITE || f == SAROS_ISNAN)
    return;
  if (f == SAROS_NEGATE)
    contribute(a, x, negated(a, d));
  else if (f == SAROS_EXP)
    contribute(a, x, times(a, d, v));
  else if (f == SAROS_SOFTPLUS)
    contribute(a, x, times(a, d, softplus_slope(a, x)));
  else
    contribute(a, x,
               loop_add(a->g,
                        (loop_value){.op = LOOP_UNARY_BACK,
                                     .function = f,
                                     .width = width_of(a, v)},
                        (int[]){d, UNARY_BACKWARD_READS_X(f) ? x : v}, 2, NULL,
                        0));
}

/* a^b: b a^(b-1) and a^b log a, which is 0 at a = 0 */
static void back_power(adjoint *a, int x, int y, int d) {
  if (a->wants[x]) {
    int less = loop_binary(a->g, SAROS_SUBTRACT, y, number(a, 1));
    int power = loop_binary(a->g, SAROS_POWER, x, less);
    contribute(a, x, times(a, times(a, d, y), power));
  }
  if (a->wants[y]) {
    int size = loop_binary(a->g, SAROS_MAXIMUM, x, number(a, FLT_MIN));
    int power = loop_binary(a->g, SAROS_POWER, x, y);
    contribute(a, y,
               times(a, times(a, d, loop_unary(a->g, SAROS_LOG, size)), power));
  }
}

/* Lets the gradient of maximum (or minimum) through to the operand that won; the
** first one, if both are equal. */
static void back_choice(adjoint *a, int v, int d) {
  int x = in(a, v, 0), y = in(a, v, 1);
  int is_max = a->g->value[v].function == SAROS_MAXIMUM;
  int low = is_max ? y : x, high = is_max ? x : y;
  contribute(a, x, times(a, d, loop_binary(a->g, SAROS_LESS_EQUAL, low, high)));
  contribute(a, y, times(a, d, loop_binary(a->g, SAROS_LESS, high, low)));
}

static void back_binary(adjoint *a, int v, int d) {
  int x = in(a, v, 0), y = in(a, v, 1);
  switch (a->g->value[v].function) {
    case SAROS_ADD:
      contribute(a, x, d);
      contribute(a, y, d);
      break;
    case SAROS_SUBTRACT:
      contribute(a, x, d);
      if (a->wants[y])
        contribute(a, y, negated(a, d));
      break;
    case SAROS_MULTIPLY:
      if (a->wants[x])
        contribute(a, x, times(a, d, y));
      if (a->wants[y])
        contribute(a, y, times(a, d, x));
      break;
    case SAROS_DIVIDE:
      if (a->wants[x])
        contribute(a, x, over(a, d, y));
      if (a->wants[y])
        contribute(a, y, negated(a, over(a, times(a, over(a, d, y), x), y)));
      break;
    case SAROS_POWER:
      back_power(a, x, y, d);
      break;
    case SAROS_MAXIMUM:
    case SAROS_MINIMUM:
      back_choice(a, v, d);
      break;
    default:
      break;  // comparisons
  }
}

static void back_where(adjoint *a, int v, int d) {
  int c = in(a, v, 0), zero = number(a, 0);
  if (a->wants[in(a, v, 1)])
    contribute(a, in(a, v, 1), loop_ternary(a->g, LOOP_WHERE, c, d, zero));
  if (a->wants[in(a, v, 2)])
    contribute(a, in(a, v, 2), loop_ternary(a->g, LOOP_WHERE, c, zero, d));
}

static void back_blend(adjoint *a, int v, int d) {
  int w = in(a, v, 2);
  int rest = loop_binary(a->g, SAROS_SUBTRACT, number(a, 1), w);
  contribute(a, in(a, v, 0), times(a, d, w));
  contribute(a, in(a, v, 1), times(a, d, rest));
}

/* --- Rows ------------------------------------------------------------------------------ */

/* A row operation with the attributes of another value. */
static int row(adjoint *a, int op, int width, int like, int x, int y) {
  const loop_value *v = &a->g->value[like];
  int at[PROGRAM_ATTRIBUTES];
  memcpy(at, v->at, sizeof at);
  return loop_row(a->g, op, width, at, v->number, x, y);
}

/* y (outer, inner) as (outer, n, inner), in the sizes of value v. */
static int spread(adjoint *a, int v, int y) {
  const int *at = a->g->value[v].at;
  int times_of[PROGRAM_ATTRIBUTES] = {at[AT_OUTER], at[AT_N], at[AT_INNER]};
  return loop_row(a->g, LOOP_EXPAND, at[AT_OUTER] * at[AT_N] * at[AT_INNER],
                  times_of, 0, y, -1);
}

static void back_transpose(adjoint *a, int v, int d) {
  const int *at = a->g->value[v].at;
  int turned[PROGRAM_ATTRIBUTES];
  memcpy(turned, at, sizeof turned);
  turned[AT_A] = at[AT_B], turned[AT_B] = at[AT_A];
  contribute(a, in(a, v, 0),
             loop_row(a->g, LOOP_TRANSPOSE, width_of(a, v), turned, 0, d, -1));
}

static void back_cumsum(adjoint *a, int v, int d) {
  int at[PROGRAM_ATTRIBUTES];
  memcpy(at, a->g->value[v].at, sizeof at);
  at[3] = !at[3];
  contribute(a, in(a, v, 0),
             loop_row(a->g, LOOP_CUMSUM, width_of(a, v), at, 0, d, -1));
}

/* dx = dy e^(x - y), by the rules of the kernel: what nothing goes back to stays
** out of it, whatever x is, and under y = -inf all of x is. */
static void back_logsumexp(adjoint *a, int v, int d) {
  int x = in(a, v, 0), zero = number(a, 0), dy = spread(a, v, d);
  int is_empty = loop_binary(a->g, SAROS_EQUAL, v, number(a, -HUGE_VAL));
  int y = loop_ternary(a->g, LOOP_WHERE, is_empty, zero, v);
  int below = loop_binary(a->g, SAROS_SUBTRACT, x, spread(a, v, y));
  int share = times(a, dy, loop_unary(a->g, SAROS_EXP, below));
  contribute(a, x, loop_ternary(a->g, LOOP_WHERE, dy, share, zero));
}

static void back_extreme(adjoint *a, int v, int d) {
  int at[PROGRAM_ATTRIBUTES], x = in(a, v, 0);
  memcpy(at, a->g->value[v].at, sizeof at);
  at[3] = a->g->value[v].op == LOOP_MIN;
  contribute(a, x, loop_row(a->g, LOOP_MAX_BACK, width_of(a, x), at, 0, d, x));
}

static void back_norm(adjoint *a, int v, int d) {
  int x = in(a, v, 0), n = a->g->value[v].at[AT_N];
  int rstd = row(a, LOOP_RSTD, width_of(a, v) / n, v, x, -1);
  loop_value like = a->g->value[v];
  like.op = LOOP_NORM_BACK;
  contribute(a, x, loop_add(a->g, like, (int[]){d, v, rstd}, 3, NULL, 0));
}

/* y = M v per head, or M^T v */
static void back_matvec(adjoint *a, int v, int d) {
  int m = in(a, v, 0), x = in(a, v, 1);
  int at[PROGRAM_ATTRIBUTES];
  memcpy(at, a->g->value[v].at, sizeof at);
  int turned = at[AT_TRANSPOSED];
  contribute(a, m,
             loop_row(a->g, LOOP_OUTER, width_of(a, m), at, 0, turned ? x : d,
                      turned ? d : x));
  at[AT_TRANSPOSED] = !turned;
  contribute(a, x, loop_row(a->g, LOOP_MATVEC, width_of(a, x), at, 0, m, d));
}

static void back_outer(adjoint *a, int v, int d) {
  int x = in(a, v, 0), y = in(a, v, 1), heads = a->g->value[v].at[AT_HEADS];
  int at[PROGRAM_ATTRIBUTES] = {heads, width_of(a, x) / heads,
                                width_of(a, y) / heads, 0};
  contribute(a, x, loop_row(a->g, LOOP_MATVEC, width_of(a, x), at, 0, d, y));
  at[AT_TRANSPOSED] = 1;
  contribute(a, y, loop_row(a->g, LOOP_MATVEC, width_of(a, y), at, 0, d, x));
}

static void back_gather(adjoint *a, int v, int d) {
  for (int i = 0; i < a->g->value[v].inputs; i++) {
    int x = in(a, v, i);
    if (a->wants[x])
      contribute(a, x,
                 loop_view(a->g, d, loop_extra(a->g, v, i), width_of(a, x)));
  }
}

static void back_row(adjoint *a, int v, int d) {
  int x = in(a, v, 0), width = width_of(a, x);
  switch (a->g->value[v].op) {
    case LOOP_SLICE:
      contribute(a, x, row(a, LOOP_SCATTER, width, v, d, -1));
      break;
    case LOOP_EXPAND:
      contribute(a, x, row(a, LOOP_SUM, width, v, d, -1));
      break;
    case LOOP_SUM:
      contribute(a, x, spread(a, v, d));
      break;
    case LOOP_TRANSPOSE:
      back_transpose(a, v, d);
      break;
    case LOOP_MAX:
    case LOOP_MIN:
      back_extreme(a, v, d);
      break;
    case LOOP_LOGSUMEXP:
      back_logsumexp(a, v, d);
      break;
    case LOOP_SOFTMAX:
      contribute(a, x, row(a, LOOP_SOFTMAX_BACK, width, v, d, v));
      break;
    case LOOP_LOG_SOFTMAX:
      contribute(a, x, row(a, LOOP_LOG_SOFTMAX_BACK, width, v, d, v));
      break;
    case LOOP_CUMSUM:
      back_cumsum(a, v, d);
      break;
    case LOOP_NORM:
      back_norm(a, v, d);
      break;
    case LOOP_MATVEC:
      back_matvec(a, v, d);
      break;
    default:
      back_outer(a, v, d);
      break;
  }
}

/* --- Values ------------------------------------------------------------------------------ */

static saros_status back_linear(adjoint *a, int v, int d) {
  int x = in(a, v, 0);
  if (a->wants[x])
    contribute(a, x,
               loop_add(a->g,
                        (loop_value){.op = LOOP_LINEAR_BACK,
                                     .which = v,
                                     .width = width_of(a, x)},
                        &d, 1, NULL, 0));
  if (a->g->value[v].inputs > 1)
    contribute(a, in(a, v, 1), d);
  return loop_add_sink(a->plan, &a->plan->back, LOOP_SINK_DPRODUCT, v, d);
}

/* A leaf: its gradient is left in an array, or summed up. */
static saros_status back_leaf(adjoint *a, int v, int d) {
  const loop_value *leaf = &a->g->value[v];
  if (leaf->op == LOOP_LIFTED && leaf->inputs > 1)
    contribute(a, in(a, v, 1), d);
  if (a->g->value[v].op == LOOP_LIFTED)
    return loop_add_sink(a->plan, &a->plan->back, LOOP_SINK_DPRODUCT, v, d);
  int kind = leaf->op == LOOP_OUTSIDE     ? LOOP_SINK_DOUTSIDE
             : leaf->op == LOOP_INVARIANT ? LOOP_SINK_DINVARIANT
                                          : LOOP_SINK_DBEFORE;
  return loop_add_sink(a->plan, &a->plan->back, kind, leaf->which, d);
}

static saros_status back_value(adjoint *a, int v, int d) {
  int op = a->g->value[v].op;
  if (op < LOOP_LEAVES)
    return back_leaf(a, v, d);
  if (op == LOOP_LINEAR)
    return back_linear(a, v, d);
  if (op == LOOP_UNARY)
    back_unary(a, v, d);
  else if (op == LOOP_BINARY)
    back_binary(a, v, d);
  else if (op == LOOP_WHERE)
    back_where(a, v, d);
  else if (op == LOOP_BLEND)
    back_blend(a, v, d);
  else if (op == LOOP_MASKED)
    contribute(a, in(a, v, 0), loop_masked(a->g, d, in(a, v, 1)));
  else if (op == LOOP_COPY)
    contribute(a, in(a, v, 0), d);
  else if (op == LOOP_VIEW)
    contribute_part(a, in(a, v, 0), a->g->value[v].at[0], d);
  else if (op == LOOP_GATHER)
    back_gather(a, v, d);
  else
    back_row(a, v, d);
  return SAROS_OK;
}

/* Whose gradients are wanted: leaves that are asked for, states, and all that
** depends on one of these. A product's weights always ask. */
static void find_wanted(adjoint *a) {
  for (int v = 0; v < a->count; v++) {
    const loop_value *value = &a->g->value[v];
    int is_outside = value->op == LOOP_OUTSIDE || value->op == LOOP_INVARIANT;
    a->wants[v] = value->op == LOOP_BEFORE || value->op == LOOP_LINEAR ||
                  value->op == LOOP_LIFTED ||
                  (is_outside && a->has->wants[value->which]);
    for (int i = 0; i < value->inputs; i++)
      a->wants[v] |= a->wants[in(a, v, i)];
  }
}

/* What reaches the results: the gradients of wanted values and of states. */
static void seed(adjoint *a) {
  const loop_code *code = &a->plan->code;
  for (size_t i = 0; i < code->sinks; i++) {
    const loop_sink *sink = &code->sink[i];
    int op = sink->kind == LOOP_SINK_VALUE ? LOOP_DVALUE : LOOP_DAFTER;
    if (a->wants[sink->value])
      contribute(a, sink->value,
                 loop_leaf(a->g, op, sink->which, width_of(a, sink->value)));
  }
}

/* A state that nothing read has the gradient 0. */
static saros_status add_unread(adjoint *a) {
  for (int s = 0; s < a->plan->states; s++) {
    int found = 0;
    for (size_t i = 0; i < a->plan->back.sinks; i++)
      found |= a->plan->back.sink[i].kind == LOOP_SINK_DBEFORE &&
               a->plan->back.sink[i].which == s;
    if (!found)
      TRY(loop_add_sink(a->plan, &a->plan->back, LOOP_SINK_DBEFORE, s,
                        number(a, 0)));
  }
  return SAROS_OK;
}

saros_status loop_adjoint(loop_plan *plan, const loop_has *has) {
  saros_context *context = plan->context;
  size_t count = plan->graph.count;
  size_t bytes = count * (2 * sizeof(int) + 1);
  adjoint a = {.plan = plan,
               .g = &plan->graph,
               .has = has,
               .count = (int)count,
               .whole = pool_take(&context->pool, bytes)};
  if (a.whole == NULL)
    return base_out_of_memory(context, bytes);
  a.parts = a.whole + count;
  a.wants = (char *)(a.parts + count);
  memset(a.whole, 0xff, 2 * count * sizeof(int));
  find_wanted(&a);
  seed(&a);
  saros_status status = SAROS_OK;
  for (int v = a.count - 1; v >= 0 && status == SAROS_OK; v--) {
    int d = a.wants[v] ? total(&a, v) : -1;
    if (d >= 0)
      status = back_value(&a, v, d);
  }
  if (status == SAROS_OK)
    status = add_unread(&a);
  pool_give(&context->pool, a.whole);
  pool_give(&context->pool, a.part);
  return status != SAROS_OK ? status : plan->graph.status;
}
