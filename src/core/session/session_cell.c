/*
** The plan of a recurrent stage: which way its cell takes, what it owns for
** that, and where the sums of its gates begin. The reader of programs has checked
** what the cell is given.
*/
#include <string.h>

#include "recurrent.h"
#include "session.h"

/* True if the sums of the stage start from rows of a table. */
static int has_table(const session_layer *l) {
  return l->symbols != NULL || l->tensors[R_TABLE] != NULL;
}

static const recurrent_cell *cell_of(const session_layer *l) {
  return recurrent_cells[l->cell];
}

/* True if the weights of so few gates stay as they are. A kernel that does all
** of the step would have them packed. */
static int stays_exact(const session_planner *p, const session_layer *l) {
  return saros_cell_of(l->cell).gates * l->H <= STEP_FEW &&
         p->plan->kernels != p->plan->math->step[STEP_REAL];
}

/* True if one kernel does all of the step. */
static int is_fused(const session_planner *p, const session_layer *l) {
  return cell_of(l)->session->fused != NULL && !stays_exact(p, l) &&
         (l->tensors[R_WEIGHT_IH] != NULL || has_table(l)) &&
         l->tensors[R_NORM_GAIN] == NULL && l->tensors[R_NORM_C_GAIN] == NULL &&
         l->zoneout[0] == 0 && l->zoneout[1] == 0;
}

static int is_linear(const session_layer *l) {
  return cell_of(l)->facts.linear;
}

/* --- Where sums begin ------------------------------------------------------------------ */

static real bias_at(const real *bias, int i) {
  return bias != NULL ? bias[i] : 0;
}

/* The bias of W x of gate element i; b' is in it unless it belongs to U h. */
static real bias_of_gate(const session_stage *g, const session_layer *l,
                         int i) {
  int apart =
      g->owned[SESSION_BIAS_U] != NULL || (g->separate && i >= 2 * g->H);
  return bias_at(l->tensors[R_BIAS_IH], i) +
         (apart ? 0 : bias_at(l->tensors[R_BIAS_HH], i));
}

/* The row that the sums of a step start from: biases, and W x of G H elements, if
** it is known (else null). A fused cell has four parts: the GRU's last is b' of n. */
static void put_start(const session_planner *p, const session_layer *l,
                      real *start, const real *wx, real *scratch) {
  const session_stage *g = p->stage;
  int GH = g->G * g->H;
  for (int i = 0; i < GH; i++)
    scratch[i] = bias_of_gate(g, l, i) + (wx != NULL ? wx[i] : 0);
  if (!is_fused(p, l)) {
    memcpy(start, scratch, (size_t)GH * sizeof(real));
    return;
  }
  for (int i = GH; i < 4 * g->H; i++)
    scratch[i] = bias_at(l->tensors[R_BIAS_HH], i - g->H);
  p->plan->kernels->arrange(start, scratch, g->H);
}

/* W as steps would have it packed. */
static void round_weights(const session_planner *p, const session_layer *l,
                          real *w, int GH) {
  memcpy(w, l->tensors[R_WEIGHT_IH],
         (size_t)GH * (size_t)l->width * sizeof(real));
  if (GH > STEP_FEW)
    p->plan->kernels->round_rows(w, NULL, GH, l->width);
}

/* W x of a symbol: (G H). */
static void find_product(const session_planner *p, const session_layer *l,
                         real *wx, const real *w, int id, int GH) {
  if (l->tensors[R_TABLE] != NULL) {
    memcpy(wx, l->tensors[R_TABLE] + (ptrdiff_t)id * GH,
           (size_t)GH * sizeof(real));
    p->plan->kernels->round_rows(wx, NULL, 1, GH);
    return;
  }
  p->plan->math->product->multiply(
      wx, GH, l->symbols + (ptrdiff_t)id * l->width, l->width, 0, w, l->width,
      1, 1, GH, l->width, 0);
}

/* A table with the start of the sums for each symbol, W x included. */
static saros_status plan_table(session_planner *p, const session_layer *l,
                               real *scratch) {
  session_stage *g = p->stage;
  const int GH = g->G * g->H;
  g->table_width = STEP_WIDTH((is_fused(p, l) ? 4 : g->G) * STEP_WIDTH(g->H));
  TRY(session_plan_own(p, SESSION_TABLE,
                       (size_t)l->V * (size_t)g->table_width));
  real *wx = scratch + 4 * g->H, *w = wx + GH;
  real *start = g->owned[SESSION_TABLE];
  if (l->symbols != NULL)
    round_weights(p, l, w, GH);
  for (int id = 0; id < l->V; id++, start += g->table_width) {
    find_product(p, l, wx, w, id, GH);
    put_start(p, l, start, wx, scratch);
  }
  return SAROS_OK;
}

static saros_status plan_starts(session_planner *p, const session_layer *l) {
  session_stage *g = p->stage;
  saros_context *context = p->plan->context;
  const size_t terms = l->symbols != NULL ? (size_t)l->width : 0;
  size_t bytes = (4 + (size_t)g->G * (1 + terms)) * (size_t)g->H * sizeof(real);
  real *scratch = pool_take(&context->pool, bytes);
  if (scratch == NULL)
    return base_out_of_memory(context, bytes);
  saros_status status =
      session_plan_own(p, SESSION_BIAS, 4 * (size_t)STEP_WIDTH(g->H));
  if (status == SAROS_OK)
    put_start(p, l, g->owned[SESSION_BIAS], NULL, scratch);
  if (status == SAROS_OK && has_table(l))
    status = plan_table(p, l, scratch);
  pool_give(&context->pool, scratch);
  return status;
}

/* --- What the cells own ------------------------------------------------------------------ */

/* W and U as one matrix; with a table, U alone. */
static saros_status plan_fused(session_planner *p, const session_layer *l) {
  session_stage *g = p->stage;
  const step_kernels *k = p->plan->kernels;
  int inputs = has_table(l) ? 0 : l->width;
  size_t bytes = k->cell_bytes(g->G, g->H, inputs, g->P);
  TRY(session_plan_block(p, SESSION_W, bytes));
  k->pack_cell(g->owned[SESSION_W], l->tensors[R_WEIGHT_IH], inputs,
               l->tensors[R_WEIGHT_HH], g->P, g->G, g->H);
  TRY(plan_starts(p, l));
  g->inputs = inputs;
  return SAROS_OK;
}

/* U, without the last gate's if that is apart, and its bias. */
static saros_status plan_state_product(session_planner *p,
                                       const session_layer *l) {
  session_stage *g = p->stage;
  const real *u = l->tensors[R_WEIGHT_HH];
  int GH = g->G * g->H, first = GH;
  if (cell_of(l)->in_parts) {
    first = GH - g->H;
    TRY(session_plan_dense(p, SESSION_U_N, u + (ptrdiff_t)first * g->P, g->H,
                           g->P));
  }
  TRY(session_plan_dense(p, SESSION_U, u, first, g->P));
  if (!g->separate && g->owned[SESSION_NORM_GAIN] == NULL)
    return SAROS_OK;
  TRY(session_plan_own(p, SESSION_BIAS_U, (size_t)STEP_WIDTH(GH)));
  for (int i = 0; i < first; i++)
    ((real *)g->owned[SESSION_BIAS_U])[i] = bias_at(l->tensors[R_BIAS_HH], i);
  return SAROS_OK;
}

/* The factors of zoneout, as rows. */
static saros_status plan_share(session_planner *p, int which, double zoneout,
                               int n) {
  if (zoneout == 0)
    return SAROS_OK;
  TRY(session_plan_own(p, which, (size_t)STEP_WIDTH(n)));
  for (int i = 0; i < n; i++)
    ((real *)p->stage->owned[which])[i] = (real)(1 - zoneout);
  return SAROS_OK;
}

/* Layer norm of U h. */
static saros_status plan_norm(session_planner *p, const session_layer *l) {
  const size_t GH = (size_t)p->stage->G * (size_t)l->H;
  TRY(session_plan_copy(p, SESSION_NORM_GAIN, l->tensors[R_NORM_GAIN], GH));
  return session_plan_copy(p, SESSION_NORM_BIAS, l->tensors[R_NORM_BIAS], GH);
}

static saros_status plan_parts(session_planner *p, const session_layer *l) {
  session_stage *g = p->stage;
  int GH = g->G * g->H;
  TRY(plan_norm(p, l));
  if (!is_linear(l))
    TRY(plan_state_product(p, l));
  TRY(plan_starts(p, l));
  if (!has_table(l) && l->tensors[R_WEIGHT_IH] != NULL)
    TRY(session_plan_dense(p, SESSION_W, l->tensors[R_WEIGHT_IH], GH,
                           l->width));
  TRY(plan_share(p, SESSION_SHARE_H, l->zoneout[0], g->P));
  TRY(plan_share(p, SESSION_SHARE_C, l->zoneout[1], g->H));
  session_plan_array(p, SESSION_GATES, GH);
  session_plan_array(p, SESSION_U_H, GH);
  session_plan_array(p, SESSION_PART, 2 * g->H);
  session_plan_array(p, SESSION_C_NEW, g->H);
  session_plan_array(p, SESSION_C_SEEN, g->H);
  return SAROS_OK;
}

/* --- What it is made from --------------------------------------------------------------------- */

static void find_layer(const session_planner *p, const program_node *n,
                       session_layer *l) {
  const program_state *states = p->program->states;
  *l = (session_layer){
      .cell = n->cell,
      .P = states[n->state[0]].width,
      .zoneout = {n->number[NUMBER_ZONEOUT], n->number[NUMBER_ZONEOUT + 1]},
      .width = p->program->nodes[n->input[0]].width};
  l->H = n->states > 1 ? states[n->state[1]].width : l->P;
  for (int i = 1; i < n->inputs; i++)
    l->tensors[n->with[i - 1]] = p->nodes[p->nodes[n->input[i]].source].data;
}

/* --- The stage ------------------------------------------------------------------------------ */

static void plan_states(session_planner *p, const program_node *n) {
  session_stage *g = p->stage;
  session_state *h = &p->plan->states[n->state[0]];
  session_plan_array(p, SESSION_H_EVEN, g->P);
  session_plan_array(p, SESSION_H_ODD, g->P);
  session_plan_array(p, SESSION_C, g->H);
  session_plan_array(p, SESSION_INNER, g->H);
  h->at = g->at[SESSION_H_EVEN], h->at_odd = g->at[SESSION_H_ODD];
  if (n->states > 1) {
    session_state *c = &p->plan->states[n->state[1]];
    c->at = c->at_odd = g->at[SESSION_C];
  }
}

static saros_status plan_layer(session_planner *p, const session_layer *l) {
  session_stage *g = p->stage;
  const recurrent_cell *cell = cell_of(l);
  const int fused = is_fused(p, l);
  g->step = fused ? cell->session->fused : cell->session->step;
  g->separate = cell->separate;
  g->positive = cell->positive;
  TRY(fused ? plan_fused(p, l) : plan_parts(p, l));
  return cell->session->plan ? cell->session->plan(p, l, fused) : SAROS_OK;
}

/* If true, a table has W x for each symbol. */
int session_folds(const session_planner *p, int lookup) {
  const program_node *n = &p->program->nodes[lookup];
  if (n->op != NODE_LOOKUP || p->nodes[lookup].read > 1 ||
      p->nodes[lookup].reader < 0)
    return 0;
  const program_node *cell = &p->program->nodes[p->nodes[lookup].reader];
  if (cell->op != NODE_CELL)
    return 0;
  session_layer l;
  find_layer(p, cell, &l);
  const size_t table = (size_t)p->program->nodes[n->input[1]].width;
  const size_t GH = (size_t)saros_cell_of(l.cell).gates * (size_t)l.H;
  return l.tensors[R_WEIGHT_IH] != NULL &&
         table / (size_t)n->width * GH * 4 / 3 <= SESSION_LARGEST_TABLE;
}

/* The input of the cell: a value, or ids if the layer has a table. */
static saros_status find_input(session_planner *p, int x, session_layer *l,
                               int *value, int *ids) {
  const program_node *n = &p->program->nodes[x];
  *value = *ids = -1;
  if (n->op == NODE_IDS) {
    *ids = p->nodes[x].value;
    l->V = n->at[AT_IDS];
  } else if (session_folds(p, x)) {
    const int table = p->nodes[n->input[1]].source;
    *ids = p->nodes[n->input[0]].value;
    l->symbols = p->nodes[x].data;
    l->V = p->program->nodes[table].width / n->width;
  } else {
    return session_plan_whole(p, p->nodes[x].value, value);
  }
  return SAROS_OK;
}

saros_status session_plan_cell(session_planner *p, int node) {
  const program_node *n = &p->program->nodes[node];
  session_layer l;
  int x, ids;
  find_layer(p, n, &l);
  TRY(find_input(p, p->nodes[n->input[0]].source, &l, &x, &ids));
  session_stage *g = session_plan_stage(p, session_run_recurrent, x, l.P);
  g->ids = ids;
  g->inputs = l.width;
  g->G = saros_cell_of(l.cell).gates, g->H = l.H, g->P = l.P;
  plan_states(p, n);
  TRY(plan_layer(p, &l));
  g->y = p->nodes[node].value =
      session_plan_value(p, (session_value){.width = g->P,
                                            .stride = STEP_WIDTH(g->P),
                                            .place = g->at[SESSION_H_EVEN],
                                            .moves = 1,
                                            .state = -1});
  return g->y < 0 ? base_out_of_memory(p->plan->context, 0) : SAROS_OK;
}
