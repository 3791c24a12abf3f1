/*
** What only the whole node table tells: whether states fit their nodes, and
** which nodes depend on each other through them (strongly connected components,
** Tarjan 1972, without recursion, as a program may have 65,536 nodes in a row).
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program_read.h"

/* --- States ------------------------------------------------------------------------ */

/* True if the node keeps its states by itself. */
static int is_keeper(const program_node *n) {
  return n->states > 0 && n->op != NODE_STATE;
}

static int is_state_of(const program_node *n, int state) {
  for (int i = 0; i < n->states; i++)
    if (n->state[i] == state)
      return 1;
  return 0;
}

static saros_status check_next(const program_reader *r, const program_state *s,
                               int number) {
  const saros_program *p = r->program;
  if (s->next >= p->node_count)
    return program_refuse(
        r, PROGRAM_WORDS("a node in 0..%d as next", p->node_count - 1),
        PROGRAM_WORDS("%d", s->next));
  const program_node *next = &p->nodes[s->next];
  if (next->op == NODE_IDS)
    return program_refuse(r, "features as next", "ids");
  if (is_keeper(next) && is_state_of(next, number))
    return SAROS_OK;
  if (next->width == s->width)
    return SAROS_OK;
  return program_refuse(
      r, PROGRAM_WORDS("a node of width %d as next", s->width),
      PROGRAM_WORDS("node %d of width %d", s->next, next->width));
}

static saros_status check_first(const program_reader *r,
                                const program_state *s) {
  const saros_program *p = r->program;
  if (s->first < 0)
    return SAROS_OK;
  if (s->first >= p->node_count || !p->nodes[s->first].invariant)
    return program_refuse(r,
                          "a node of parameters and constants alone as first",
                          PROGRAM_WORDS("%d", s->first));
  if (p->nodes[s->first].width == s->width)
    return SAROS_OK;
  return program_refuse(r,
                        PROGRAM_WORDS("a node of width %d as first", s->width),
                        PROGRAM_WORDS("%d", p->nodes[s->first].width));
}

/* A state that a node keeps by itself has that node as next, and nothing else
** reads it. */
static saros_status check_users(program_reader *r, int number, int *keeper) {
  const saros_program *p = r->program;
  const program_node *n = &p->nodes[number];
  snprintf(r->place, sizeof r->place, " in node %d (%s)", number,
           program_op_name(n));
  for (int i = 0; i < n->states; i++) {
    const program_state *s = &p->states[n->state[i]];
    const program_node *next = &p->nodes[s->next];
    if (is_keeper(n) && s->next != number)
      return program_refuse(
          r, PROGRAM_WORDS("states whose next is the node"),
          PROGRAM_WORDS("state %d with next %d", n->state[i], s->next));
    if (is_keeper(n) && keeper[n->state[i]] >= 0)
      return program_refuse(r, "each of its states once",
                            PROGRAM_WORDS("state %d twice", n->state[i]));
    if (is_keeper(n))
      keeper[n->state[i]] = number;
    else if (is_keeper(next) && is_state_of(next, n->state[i]))
      return program_refuse(
          r, "a state that no other node keeps",
          PROGRAM_WORDS("state %d of node %d", n->state[i], s->next));
  }
  for (int i = 1; is_keeper(n) && i < n->states; i++)
    if (p->states[n->state[i]].reverse != p->states[n->state[0]].reverse)
      return program_refuse(r, "states of one direction", "both directions");
  return SAROS_OK;
}

saros_status program_check_states(program_reader *r) {
  saros_program *p = r->program;
  int *keeper;
  for (int i = 0; i < p->state_count; i++) {
    snprintf(r->place, sizeof r->place, " in state %d (%.40s)", i,
             BASE_QUOTE(p->states[i].name));
    TRY(check_next(r, &p->states[i], i));
    TRY(check_first(r, &p->states[i]));
  }
  TRY(program_take(r, (size_t)(p->state_count + 1) * sizeof *keeper, &keeper));
  for (int i = 0; i < p->state_count; i++)
    keeper[i] = -1;
  for (int i = 0; i < p->node_count; i++)
    TRY(check_users(r, i, keeper));
  r->place[0] = 0;
  return SAROS_OK;
}

/* --- Components -------------------------------------------------------------------------- */

/* The search of Tarjan: 'low' is the earliest open node that a node reaches. */
typedef struct search {
  saros_program *p;
  int *visited;  // when, from 1; 0: not yet
  int *low;
  int *open;  // nodes whose component is not complete
  int *path;  // nodes from the root to the present one
  int *edge;  // of each node: how many were followed
  int time, open_count, depth, placed;
} search;

static int edge_count(const saros_program *p, int node) {
  const program_node *n = &p->nodes[node];
  return n->op == NODE_STATE ? 1 : n->inputs;
}

static int edge_of(const saros_program *p, int node, int i) {
  const program_node *n = &p->nodes[node];
  return n->op == NODE_STATE ? p->states[n->state[0]].next : n->input[i];
}

static void enter(search *s, int node) {
  s->visited[node] = s->low[node] = ++s->time;
  s->open[s->open_count++] = node;
  s->path[s->depth++] = node;
}

static int compare_numbers(const void *a, const void *b) {
  return *(const int *)a - *(const int *)b;
}

/* True if a node alone is a state that stays what it is. */
static int leads_to_itself(const saros_program *p, int node) {
  return p->nodes[node].op == NODE_STATE && edge_of(p, node, 0) == node;
}

/* The nodes from 'root' on that are open are a component. */
static void complete(search *s, int root) {
  saros_program *p = s->p;
  program_component *c = &p->components[p->component_count];
  c->first = s->placed;
  int node;
  do {
    node = s->open[--s->open_count];
    p->component[node] = p->component_count;
    p->order[s->placed++] = node;
    s->low[node] = INT32_MAX;
  } while (node != root);
  c->count = s->placed - c->first;
  c->loops = c->count > 1 || leads_to_itself(p, root);
  qsort(p->order + c->first, (size_t)c->count, sizeof *p->order,
        compare_numbers);
  p->component_count++;
}

static void visit(search *s, int root) {
  enter(s, root);
  while (s->depth > 0) {
    int node = s->path[s->depth - 1];
    if (s->edge[node] < edge_count(s->p, node)) {
      int to = edge_of(s->p, node, s->edge[node]++);
      if (s->visited[to] == 0)
        enter(s, to);
      else if (s->low[to] != INT32_MAX && s->visited[to] < s->low[node])
        s->low[node] = s->visited[to];
      continue;
    }
    s->depth--;
    int low = s->low[node];
    if (low == s->visited[node])
      complete(s, node);
    else if (low < s->low[s->path[s->depth - 1]])
      s->low[s->path[s->depth - 1]] = low;
  }
}

static saros_status check_directions(program_reader *r) {
  saros_program *p = r->program;
  for (int i = 0; i < p->component_count; i++) {
    program_component *c = &p->components[i];
    const program_state *state = NULL;
    for (int k = 0; c->loops && k < c->count; k++) {
      const program_node *n = &p->nodes[p->order[c->first + k]];
      if (n->op != NODE_STATE)
        continue;
      const program_state *other = &p->states[n->state[0]];
      if (state != NULL && other->reverse != state->reverse)
        return program_refuse(
            r, "states that depend on each other in one direction",
            PROGRAM_WORDS("%s and %s", BASE_QUOTE(state->name),
                          BASE_QUOTE(other->name)));
      state = other;
      c->reverse = state->reverse;
    }
  }
  return SAROS_OK;
}

/* A cell or window that is part of a loop would have to be stepped inside it. */
static saros_status check_keepers(program_reader *r) {
  const saros_program *p = r->program;
  for (int i = 0; i < p->node_count; i++) {
    const program_node *n = &p->nodes[i];
    const program_component *c = &p->components[p->component[i]];
    if (is_keeper(n) && c->loops &&
        p->states[n->state[0]].reverse != c->reverse)
      return program_refuse(
          r, "states that depend on each other in one direction",
          PROGRAM_WORDS("those of node %d and of what it reads", i));
  }
  return SAROS_OK;
}

saros_status program_find_components(program_reader *r) {
  saros_program *p = r->program;
  size_t nodes = (size_t)p->node_count + 1;
  size_t bytes = 5 * nodes * sizeof(int);
  TRY(program_take(r, nodes * sizeof *p->components, &p->components));
  TRY(program_take(r, nodes * sizeof(int), &p->order));
  TRY(program_take(r, nodes * sizeof(int), &p->component));
  int *scratch = pool_take(&r->context->pool, bytes);
  if (scratch == NULL)
    return base_out_of_memory(r->context, bytes);
  memset(scratch, 0, bytes);
  search s = {.p = p,
              .visited = scratch,
              .low = scratch + nodes,
              .open = scratch + 2 * nodes,
              .path = scratch + 3 * nodes,
              .edge = scratch + 4 * nodes};
  for (int node = 0; node < p->node_count; node++)
    if (s.visited[node] == 0)
      visit(&s, node);
  pool_give(&r->context->pool, scratch);
  TRY(check_directions(r));
  return check_keepers(r);
}
