/*
** Products that read the same value as one stage: their weights lie below each
** other, each from a whole width on, so that each result can be read in place.
**
**     x ----> [ W_r ]  r      one packed matrix, one row of sums
**             [ W_z ]  z
**             [ W_n ]  n
*/
#include <string.h>

#include "session.h"

/* The weights and biases of all products from a node on. */
typedef struct matrix {
  real *w, *bias;
  int n, k;
} matrix;

static int product_count(const session_planner *p, int node) {
  int count = 0;
  for (; node >= 0; node = p->nodes[node].product)
    count++;
  return count;
}

/* The rows of a product's part. A single product has no padding. */
static int part_rows(const session_planner *p, int node, int only) {
  const int n = p->program->nodes[node].width;
  return only ? n : STEP_WIDTH(n);
}

static const real *operand_data(const session_planner *p, const program_node *n,
                                int which) {
  return n->inputs > which ? p->nodes[p->nodes[n->input[which]].source].data
                           : NULL;
}

static void fill_matrix(const session_planner *p, int node, int only,
                        matrix *m) {
  size_t row = 0;
  for (; node >= 0; node = p->nodes[node].product) {
    const program_node *n = &p->program->nodes[node];
    const size_t k = (size_t)m->k, rows = (size_t)n->width;
    const real *bias = operand_data(p, n, 2);
    if (m->w != NULL)
      memcpy(m->w + row * k, operand_data(p, n, 1), rows * k * sizeof(real));
    if (bias != NULL)
      memcpy(m->bias + row, bias, rows * sizeof(real));
    row += (size_t)part_rows(p, node, only);
  }
}

/* The values of the products are parts of the stage's row. */
static saros_status place_parts(session_planner *p, int node, int only,
                                size_t place, int total) {
  int offset = 0;
  for (; node >= 0; node = p->nodes[node].product) {
    const int width = p->program->nodes[node].width;
    int value =
        session_plan_value(p, (session_value){.width = width,
                                              .stride = STEP_WIDTH(total),
                                              .place = place,
                                              .offset = offset,
                                              .state = -1});
    if (value < 0)
      return base_out_of_memory(p->plan->context, 0);
    p->nodes[node].value = value;
    offset += part_rows(p, node, only);
  }
  return SAROS_OK;
}

static int total_rows(const session_planner *p, int node, int only) {
  int rows = 0;
  for (; node >= 0; node = p->nodes[node].product)
    rows += part_rows(p, node, only);
  return rows;
}

/* Then the products of each symbol are read off a table. */
int session_product_folds(const session_planner *p, int lookup) {
  const program_node *n = &p->program->nodes[lookup];
  const int first = p->nodes[lookup].reader;
  if (n->op != NODE_LOOKUP || first < 0 || p->nodes[first].joined ||
      p->program->nodes[first].op != NODE_LINEAR)
    return 0;
  const int count = product_count(p, first);
  const size_t V = (size_t)p->program->nodes[n->input[1]].width / n->width;
  return count == p->nodes[lookup].read &&
         V * (size_t)STEP_WIDTH(total_rows(p, first, count == 1)) <=
             SESSION_LARGEST_TABLE;
}

/* The table of the products of all symbols, in place of the products. */
static saros_status plan_table(session_planner *p, int lookup,
                               const matrix *m) {
  const program_node *n = &p->program->nodes[lookup];
  const int table = p->nodes[n->input[1]].source;
  const int V = p->program->nodes[table].width / n->width;
  session_stage *g = p->stage;
  g->run = session_run_lookup;
  g->ids = session_operand(p, n, 0);
  g->table_width = STEP_WIDTH(m->n);
  TRY(session_plan_own(p, SESSION_TABLE, (size_t)V * (size_t)g->table_width));
  real *rows = g->owned[SESSION_TABLE];
  p->plan->math->product->multiply(rows, g->table_width, p->nodes[lookup].data,
                                   m->k, 0, m->w, m->k, 1, V, m->n, m->k, 0);
  for (int id = 0; id < V; id++)
    p->plan->math->pointwise->add_scaled(rows + (ptrdiff_t)id * g->table_width,
                                         1, m->bias, (size_t)m->n);
  return SAROS_OK;
}

static saros_status plan_matrix(session_planner *p, int node, int only, int n,
                                int k) {
  saros_context *context = p->plan->context;
  const int x = p->nodes[p->program->nodes[node].input[0]].source;
  const int folded = session_product_folds(p, x);
  const size_t bytes = (size_t)n * (size_t)k * sizeof(real);
  matrix m = {.n = n, .k = k};  // without weights, if they are packed at once
  TRY(session_plan_own(p, SESSION_BIAS, (size_t)STEP_WIDTH(n)));
  m.bias = p->stage->owned[SESSION_BIAS];
  if (only && !folded) {
    fill_matrix(p, node, only, &m);
    return session_plan_dense(
        p, SESSION_W, operand_data(p, &p->program->nodes[node], 1), n, k);
  }
  m.w = pool_take(&context->pool, bytes);
  if (m.w == NULL)
    return base_out_of_memory(context, bytes);
  memset(m.w, 0, bytes);
  fill_matrix(p, node, only, &m);
  if (folded && n > STEP_FEW)
    p->plan->kernels->round_rows(m.w, NULL, n, k);
  saros_status status = folded ? plan_table(p, x, &m)
                               : session_plan_dense(p, SESSION_W, m.w, n, k);
  pool_give(&context->pool, m.w);
  return status;
}

saros_status session_plan_products(session_planner *p, int node) {
  const program_node *first = &p->program->nodes[node];
  const int k = p->program->nodes[first->input[0]].width;
  const int only = product_count(p, node) == 1;
  const int n = total_rows(p, node, only);
  int x = session_operand(p, first, 0);
  if (x >= 0)  // else it is read off a table
    TRY(session_plan_whole(p, x, &x));
  session_stage *g = session_plan_stage(p, session_run_product, x, n);
  g->inputs = k;
  const size_t place = session_plan_room(p, n);
  TRY(place_parts(p, node, only, place, n));
  g->y = p->nodes[node].value;
  return plan_matrix(p, node, only, n, k);
}
