/*
** The program as whole sequences compute it. A product of a concatenation inside
** a loop becomes a sum of products, so that what no state reaches is computed for
** all steps at once and the loop is left with the state's part alone:
**
**   linear([x, h], W, b)   is   linear(x, W_x, b) + linear(h, W_h)
**
** where W_x and W_h are columns of W. Nodes that nothing needs any more are left
** out. The names, lists and shapes of the new program are those of the first.
*/
#include <string.h>

#include "program_read.h"
#include "program_run.h"

#define MOST_PIECES 64
#define MOST_LEVELS 16  // of concatenations in concatenations

typedef struct splitting {
  program_reader r;  // of the new program
  const saros_program *from;
  int *map;  // number of each old node's value in the new table
} splitting;

/* An operand of a concatenation: an old node, and its first column. */
typedef struct piece {
  int node, column;
} piece;

typedef struct pieces {
  piece list[MOST_PIECES];
  int count, column;
  int is_whole;  // all of them had room
} pieces;

/* --- New nodes ------------------------------------------------------------------------ */

static int width_of(const splitting *s, int node) {
  return s->r.program->nodes[node].width;
}

static saros_status emit(splitting *s, const program_node *like,
                         const int *input, int inputs, int *number) {
  saros_program *p = s->r.program;
  program_node n = *like;
  int *copy;
  TRY(program_take(&s->r, ((size_t)inputs + 1) * sizeof *copy, &copy));
  memcpy(copy, input, (size_t)inputs * sizeof *copy);
  n.input = copy;
  n.inputs = inputs;
  TRY(array_grow(p->context, &p->nodes, (size_t)p->node_count, &s->r.node_room,
                 1, sizeof n));
  *number = p->node_count;
  p->nodes[p->node_count++] = n;
  return SAROS_OK;
}

static saros_status emit_columns(splitting *s, int weight, int rows, int from,
                                 int count, int *number) {
  program_node n = {.op = NODE_SLICE, .width = rows * count, .invariant = 1};
  n.at[AT_OUTER] = rows;
  n.at[AT_N] = width_of(s, weight) / rows;
  n.at[AT_INNER] = n.at[AT_STEP] = 1;
  n.at[AT_FROM] = from;
  n.at[AT_COUNT] = count;
  return emit(s, &n, &weight, 1, number);
}

static saros_status emit_sum(splitting *s, int a, int b, int *number) {
  program_node n = {
      .op = NODE_BINARY, .function = SAROS_ADD, .width = width_of(s, a)};
  const int both[2] = {a, b};
  return emit(s, &n, both, 2, number);
}

/* --- Pieces ------------------------------------------------------------------------------ */

static int is_concatenation(const program_node *n) {
  return n->op == NODE_CONCATENATE && n->at[AT_OUTER] == 1;
}

/* The operands of a concatenation of the loop, and of those inside it. */
static void find_pieces(const saros_program *p, int node, int level,
                        pieces *out) {
  const program_node *n = &p->nodes[node];
  for (int i = 0; i < n->inputs && out->is_whole; i++) {
    int x = n->input[i];
    if (is_concatenation(&p->nodes[x]) && level < MOST_LEVELS &&
        p->component[x] == p->component[node]) {
      find_pieces(p, x, level + 1, out);
      continue;
    }
    if (out->count == MOST_PIECES) {
      out->is_whole = 0;
      return;
    }
    out->list[out->count++] = (piece){x, out->column};
    out->column += p->nodes[x].width;
  }
}

/* What goes together: all that lies outside, each state, the rest. */
enum { OUTSIDE, STATE, INSIDE };

static int class_of(const saros_program *p, int node, int linear) {
  if (p->component[node] != p->component[linear])
    return OUTSIDE;
  return p->nodes[node].op == NODE_STATE ? STATE : INSIDE;
}

/* True if a product is worth splitting. */
static int is_split(const saros_program *p, int linear, pieces *out) {
  const program_node *n = &p->nodes[linear];
  *out = (pieces){.is_whole = 1};
  if (n->op != NODE_LINEAR || !p->components[p->component[linear]].loops ||
      !is_concatenation(&p->nodes[n->input[0]]) ||
      p->component[n->input[0]] != p->component[linear])
    return 0;
  find_pieces(p, n->input[0], 0, out);
  int apart = 0;
  for (int i = 0; i < out->count; i++)
    apart += class_of(p, out->list[i].node, linear) != INSIDE;
  return out->is_whole && out->count > 1 && apart > 0;
}

/* --- Products -------------------------------------------------------------------------------- */

/* The product of pieces first..last - 1, which are next to each other. */
static saros_status emit_part(splitting *s, const program_node *n,
                              const pieces *all, int first, int last, int bias,
                              int *number) {
  int input[MOST_PIECES], operands[3], width = 0;
  program_node x = {.op = NODE_CONCATENATE, .invariant = 1};
  x.at[AT_OUTER] = 1;
  for (int i = first; i < last; i++) {
    input[i - first] = s->map[all->list[i].node];
    width += width_of(s, input[i - first]);
    x.invariant &= s->r.program->nodes[input[i - first]].invariant;
  }
  x.width = width;
  operands[0] = input[0];
  if (last - first > 1)
    TRY(emit(s, &x, input, last - first, &operands[0]));
  TRY(emit_columns(s, s->map[n->input[1]], n->width, all->list[first].column,
                   width, &operands[1]));
  operands[2] = bias;
  program_node product = {.op = NODE_LINEAR, .width = n->width};
  product.invariant = x.invariant;
  return emit(s, &product, operands, bias < 0 ? 2 : 3, number);
}

/* Adds the products of all pieces of a class to *sum (-1: none so far). */
static saros_status emit_class(splitting *s, int linear, const pieces *all,
                               int class, int *sum) {
  const saros_program *p = s->from;
  const program_node *n = &p->nodes[linear];
  for (int first = 0, last; first < all->count; first = last) {
    int part, bias = -1;
    last = first + 1;
    if (class_of(p, all->list[first].node, linear) != class)
      continue;
    while (class != STATE && last < all->count &&
           class_of(p, all->list[last].node, linear) == class)
      last++;
    if (*sum < 0 && n->inputs > 2)
      bias = s->map[n->input[2]];
    TRY(emit_part(s, n, all, first, last, bias, &part));
    if (*sum >= 0)
      TRY(emit_sum(s, *sum, part, &part));
    *sum = part;
  }
  return SAROS_OK;
}

static saros_status copy_node(splitting *s, int node) {
  const program_node *n = &s->from->nodes[node];
  size_t bytes = ((size_t)n->inputs + 1) * sizeof(int);
  pieces all;
  if (is_split(s->from, node, &all)) {
    int sum = -1;
    for (int class = OUTSIDE; class <= INSIDE; class ++)
      TRY(emit_class(s, node, &all, class, &sum));
    s->map[node] = sum;
    return SAROS_OK;
  }
  int *input = pool_take(&s->r.context->pool, bytes);
  if (input == NULL)
    return base_out_of_memory(s->r.context, bytes);
  for (int i = 0; i < n->inputs; i++)
    input[i] = s->map[n->input[i]];
  saros_status status = emit(s, n, input, n->inputs, &s->map[node]);
  pool_give(&s->r.context->pool, input);
  return status;
}

/* --- The new program ---------------------------------------------------------------------------- */

static saros_status copy_list(saros_context *context, const void *list,
                              int count, size_t size, void *out) {
  size_t bytes = ((size_t)count + 1) * size;
  void *copy = pool_take(&context->pool, bytes);
  if (copy == NULL)
    return base_out_of_memory(context, bytes);
  if (count > 0)
    memcpy(copy, list, (size_t)count * size);
  *(void **)out = copy;
  return SAROS_OK;
}

static saros_status copy_lists(splitting *s) {
  const saros_program *from = s->from;
  saros_program *p = s->r.program;
  saros_context *context = p->context;
  TRY(copy_list(context, from->states, from->state_count, sizeof *p->states,
                &p->states));
  TRY(copy_list(context, from->parameters, from->parameter_count,
                sizeof *p->parameters, &p->parameters));
  TRY(copy_list(context, from->inputs, from->input_count, sizeof *p->inputs,
                &p->inputs));
  TRY(copy_list(context, from->outputs, from->output_count, sizeof *p->outputs,
                &p->outputs));
  p->state_count = from->state_count;
  p->parameter_count = from->parameter_count;
  p->input_count = from->input_count;
  p->output_count = from->output_count;
  return SAROS_OK;
}

/* Replaces the numbers of nodes in the lists by those of a table. */
static void renumber_lists(saros_program *p, const int *map) {
  for (int i = 0; i < p->state_count; i++) {
    p->states[i].next = map[p->states[i].next];
    if (p->states[i].first >= 0)
      p->states[i].first = map[p->states[i].first];
  }
  for (int i = 0; i < p->input_count; i++)
    p->inputs[i].node = map[p->inputs[i].node];
  for (int i = 0; i < p->output_count; i++)
    p->outputs[i].node = map[p->outputs[i].node];
}

/* Marks what inputs, outputs and states need, in 'live'. */
static void find_live(const saros_program *p, int *live) {
  for (int i = 0; i < p->state_count; i++) {
    live[p->states[i].next] = 1;
    if (p->states[i].first >= 0)
      live[p->states[i].first] = 1;
  }
  for (int i = 0; i < p->input_count; i++)
    live[p->inputs[i].node] = 1;
  for (int i = 0; i < p->output_count; i++)
    live[p->outputs[i].node] = 1;
  for (int node = p->node_count - 1; node >= 0; node--)
    for (int i = 0; live[node] && i < p->nodes[node].inputs; i++)
      live[p->nodes[node].input[i]] = 1;
}

/* Leaves out nodes that are not live; 'live' becomes their new numbers. The
** operands of a node are the new table's own, so they may be changed. */
static void compact(saros_program *p, int *live) {
  int count = 0;
  for (int node = 0; node < p->node_count; node++) {
    program_node *n = &p->nodes[node];
    if (!live[node])
      continue;
    int *input = (int *)n->input;
    for (int i = 0; i < n->inputs; i++)
      input[i] = live[input[i]];
    live[node] = count;
    p->nodes[count++] = *n;
  }
  p->node_count = count;
  renumber_lists(p, live);
}

static saros_status drop_dead(splitting *s) {
  saros_program *p = s->r.program;
  size_t bytes = ((size_t)p->node_count + 1) * sizeof(int);
  int *live = pool_take(&p->context->pool, bytes);
  if (live == NULL)
    return base_out_of_memory(p->context, bytes);
  memset(live, 0, bytes);
  find_live(p, live);
  compact(p, live);
  pool_give(&p->context->pool, live);
  return SAROS_OK;
}

static saros_status split(splitting *s) {
  TRY(copy_lists(s));
  for (int node = 0; node < s->from->node_count; node++)
    TRY(copy_node(s, node));
  renumber_lists(s->r.program, s->map);
  TRY(drop_dead(s));
  return program_find_components(&s->r);
}

static int has_split(const saros_program *p) {
  pieces all;
  for (int node = 0; node < p->node_count; node++)
    if (is_split(p, node, &all))
      return 1;
  return 0;
}

static saros_status make_split(saros_program *p) {
  splitting s = {.r = {.context = p->context}, .from = p};
  size_t bytes = ((size_t)p->node_count + 1) * sizeof(int);
  void *object;
  TRY(base_object_new(p->context, sizeof(saros_program), &object));
  s.r.program = object;
  s.r.program->context = p->context;
  s.r.program->references = 1;
  s.map = pool_take(&p->context->pool, bytes);
  saros_status status =
      s.map ? split(&s) : base_out_of_memory(p->context, bytes);
  pool_give(&p->context->pool, s.map);
  if (status == SAROS_OK)
    p->sequence = s.r.program;
  else
    saros_program_release(s.r.program);
  return status;
}

saros_status program_sequence(saros_program *p, saros_program **out) {
  if (p->sequence == NULL && !has_split(p))
    p->sequence = p;
  if (p->sequence == NULL)
    TRY(make_split(p));
  *out = p->sequence;
  return SAROS_OK;
}
