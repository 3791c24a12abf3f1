/*
** Values of a loop's graph, made once each. Operands come before what reads
** them, so the order of the values is an order of evaluation.
**
** A view of an element-wise value is made of views of its operands instead: the
** gates of one product are then computed as separate values, whose width is that
** of the states.
*/
#include <string.h>

#include "loop.h"

void loop_graph_start(loop_graph *g, saros_context *context) {
  memset(g, 0, sizeof *g);
  g->context = context;
  for (int i = 0; i < LOOP_HEADS; i++)
    g->head[i] = -1;
}

void loop_graph_release(loop_graph *g) {
  pool_give(&g->context->pool, g->value);
  pool_give(&g->context->pool, g->ints);
  g->value = NULL, g->ints = NULL;
}

/* --- One value ------------------------------------------------------------------ */

static unsigned mix(unsigned hash, int x) {
  return (hash ^ (unsigned)x) * 16777619u;
}

static unsigned hash_of(const loop_value *v, const int *in, const int *more) {
  unsigned hash = 2166136261u;
  hash = mix(mix(mix(hash, v->op), v->function), v->width);
  hash = mix(hash, v->which);
  for (int i = 0; i < PROGRAM_ATTRIBUTES; i++)
    hash = mix(hash, v->at[i]);
  for (int i = 0; i < v->inputs; i++)
    hash = mix(hash, in[i]);
  for (int i = 0; i < v->extras; i++)
    hash = mix(hash, more[i]);
  return (hash ^ hash >> 15) % LOOP_HEADS;
}

static int same_ints(const int *a, const int *b, int n) {
  for (int i = 0; i < n; i++)
    if (a[i] != b[i])
      return 0;
  return 1;
}

static int is_same(const loop_graph *g, const loop_value *a,
                   const loop_value *b, const int *in, const int *more) {
  return a->op == b->op && a->function == b->function && a->width == b->width &&
         a->which == b->which &&
         memcmp(&a->number, &b->number, sizeof a->number) == 0 &&
         a->inputs == b->inputs && a->extras == b->extras &&
         same_ints(a->at, b->at, PROGRAM_ATTRIBUTES) &&
         same_ints(g->ints + a->in, in, a->inputs) &&
         same_ints(g->ints + a->more, more, a->extras);
}

/* Appends numbers; their place. */
static int append_ints(loop_graph *g, const int *x, int n) {
  size_t at = g->ints_used;
  if (n == 0)
    return (int)at;
  g->status = array_grow(g->context, &g->ints, at, &g->ints_room, (size_t)n,
                         sizeof *g->ints);
  if (g->status != SAROS_OK)
    return 0;
  memcpy(g->ints + at, x, (size_t)n * sizeof *x);
  g->ints_used += (size_t)n;
  return (int)at;
}

/* The value with this hash that is the same; -1: none yet. */
static int find(const loop_graph *g, const loop_value *like, unsigned hash,
                const int *in, const int *more) {
  for (int v = g->head[hash]; v >= 0; v = g->value[v].next)
    if (is_same(g, &g->value[v], like, in, more))
      return v;
  return -1;
}

int loop_add(loop_graph *g, loop_value like, const int *in, int inputs,
             const int *more, int extras) {
  if (g->status != SAROS_OK)
    return 0;
  like.inputs = inputs, like.extras = extras;
  unsigned hash = hash_of(&like, in, more);
  int same = like.op == LOOP_COPY ? -1 : find(g, &like, hash, in, more);
  if (same >= 0)
    return same;
  like.in = append_ints(g, in, inputs);
  if (g->status == SAROS_OK)
    like.more = append_ints(g, more, extras);
  if (g->status == SAROS_OK)
    g->status = array_grow(g->context, &g->value, g->count, &g->room, 1,
                           sizeof *g->value);
  if (g->status != SAROS_OK)
    return 0;
  like.next = g->head[hash];
  g->head[hash] = (int)g->count;
  g->value[g->count] = like;
  return (int)g->count++;
}

/* --- Kinds of values ------------------------------------------------------------- */

int loop_leaf(loop_graph *g, int op, int which, int width) {
  return loop_add(g, (loop_value){.op = op, .which = which, .width = width},
                  NULL, 0, NULL, 0);
}

int loop_constant(loop_graph *g, double number) {
  return loop_add(
      g, (loop_value){.op = LOOP_CONSTANT, .number = number, .width = 1}, NULL,
      0, NULL, 0);
}

static loop_value unary_of(const loop_graph *g, int function, int x) {
  return (loop_value){
      .op = LOOP_UNARY, .function = function, .width = g->value[x].width};
}

int loop_unary(loop_graph *g, int function, int x) {
  return g->status == SAROS_OK
             ? loop_add(g, unary_of(g, function, x), &x, 1, NULL, 0)
             : 0;
}

int loop_find_unary(const loop_graph *g, int function, int x) {
  loop_value like = unary_of(g, function, x);
  like.inputs = 1;
  return find(g, &like, hash_of(&like, &x, NULL), &x, NULL);
}

static int wider(const loop_graph *g, int a, int b) {
  int of_a = g->value[a].width, of_b = g->value[b].width;
  return of_a > of_b ? of_a : of_b;
}

int loop_binary(loop_graph *g, int function, int a, int b) {
  if (g->status != SAROS_OK)
    return 0;
  return loop_add(g,
                  (loop_value){.op = LOOP_BINARY,
                               .function = function,
                               .width = wider(g, a, b)},
                  (int[]){a, b}, 2, NULL, 0);
}

int loop_ternary(loop_graph *g, int op, int a, int b, int c) {
  if (g->status != SAROS_OK)
    return 0;
  int width = wider(g, a, b), last = g->value[c].width;
  return loop_add(g,
                  (loop_value){.op = op, .width = width > last ? width : last},
                  (int[]){a, b, c}, 3, NULL, 0);
}

int loop_masked(loop_graph *g, int x, int mask) {
  if (g->status != SAROS_OK)
    return 0;
  return loop_add(g,
                  (loop_value){.op = LOOP_MASKED, .width = g->value[x].width},
                  (int[]){x, mask}, 2, NULL, 0);
}

int loop_copy(loop_graph *g, int x) {
  if (g->status != SAROS_OK)
    return 0;
  return loop_add(g, (loop_value){.op = LOOP_COPY, .width = g->value[x].width},
                  &x, 1, NULL, 0);
}

int loop_row(loop_graph *g, int op, int width, const int *at, double number,
             int a, int b) {
  loop_value like = {.op = op, .width = width, .number = number};
  if (at != NULL)
    memcpy(like.at, at, sizeof like.at);
  return loop_add(g, like, (int[]){a, b}, b < 0 ? 1 : 2, NULL, 0);
}

/* --- Views ------------------------------------------------------------------------ */

/* An element-wise value of some columns of its operands. */
static int push_view(loop_graph *g, int x, int column, int width) {
  loop_value like = g->value[x];
  int in[3];
  for (int i = 0; i < like.inputs; i++) {
    int operand = loop_input(g, x, i);
    in[i] = g->value[operand].width == 1 ? operand
                                         : loop_view(g, operand, column, width);
  }
  like.width = width;
  return loop_add(g, like, in, like.inputs, NULL, 0);
}

/* The part of a gather that a view is inside of; -1 if there is none. */
static int part_of_gather(const loop_graph *g, int x, int column, int width) {
  const loop_value *v = &g->value[x];
  for (int i = 0; i < v->inputs; i++) {
    int from = loop_extra(g, x, i);
    if (column >= from &&
        column + width <= from + g->value[loop_input(g, x, i)].width)
      return i;
  }
  return -1;
}

int loop_view(loop_graph *g, int x, int column, int width) {
  if (g->status != SAROS_OK)
    return 0;
  const loop_value *v = &g->value[x];
  if (column == 0 && width == v->width)
    return x;
  if (v->op == LOOP_VIEW)
    return loop_view(g, loop_input(g, x, 0), column + v->at[0], width);
  if (loop_is_elementwise(v->op) && v->op != LOOP_COPY)
    return push_view(g, x, column, width);
  int part = v->op == LOOP_GATHER ? part_of_gather(g, x, column, width) : -1;
  if (part >= 0)
    return loop_view(g, loop_input(g, x, part), column - loop_extra(g, x, part),
                     width);
  return loop_add(g,
                  (loop_value){.op = LOOP_VIEW, .width = width, .at = {column}},
                  &x, 1, NULL, 0);
}

int loop_slice(loop_graph *g, int x, const int *at) {
  int outer = at[AT_OUTER], inner = at[AT_INNER], count = at[AT_COUNT];
  if (outer == 1 && (at[AT_STEP] == 1 || count == 1))
    return loop_view(g, x, at[AT_FROM] * inner, count * inner);
  return loop_row(g, LOOP_SLICE, outer * count * inner, at, 0, x, -1);
}

int loop_gather(loop_graph *g, const int *parts, const int *columns, int count,
                int width) {
  if (g->status != SAROS_OK)
    return 0;
  if (count == 1 && g->value[parts[0]].width == width)
    return parts[0];
  return loop_add(g, (loop_value){.op = LOOP_GATHER, .width = width}, parts,
                  count, columns, count);
}
