/*
** The plan of a recurrent stage: which way its cell takes, what it owns for
** that, and where the sums of its gates begin.
*/
#include <math.h>
#include <string.h>

#include "session.h"

/* --- Checks ------------------------------------------------------------------------- */

static saros_status complain(session_planner *p, const char *message) {
  return saros_fail(p->plan->context, SAROS_EARGUMENT,
                    "session: expected %s in stage %d", message,
                    p->number + p->plan->context->index_base);
}

static saros_status expect_optional(session_planner *p, const char *name,
                                    const saros_tensor *x, int rank, int rows,
                                    int columns) {
  return x == NULL ? SAROS_OK
                   : session_plan_expect(p, name, x, rank, rows, columns);
}

static int is_linear(const session_planner *p) {
  return saros_cell_of(p->given->cell).linear;
}

/* Options that come in pairs, or that only some cells have. */
static saros_status expect_options(session_planner *p) {
  const saros_stage *given = p->given;
  const saros_layer *l = &given->layer;
  int is_lstm = given->cell == SAROS_LSTM;
  if (!l->norm_gain != !l->norm_bias || !l->norm_c_gain != !l->norm_c_bias ||
      !given->norm_ih_gain != !given->norm_ih_bias)
    return complain(p, "the gain and the bias of a norm, got one of them,");
  if (!is_lstm && (l->weight_hr || l->peephole || l->norm_c_gain ||
                   given->first[1] || given->zoneout[1] != 0))
    return complain(p, "no projection, peephole or state c without an lstm");
  if (l->table != NULL)
    return complain(p, "weight_ih after an embedding, got a table,");
  if (l->norm_gain && given->cell == SAROS_GRU_BEFORE)
    return complain(p, "no layer norm with gru_before; use gru");
  for (int i = 0; i < SAROS_MAX_STATES; i++)
    if (!(given->zoneout[i] >= 0 && given->zoneout[i] < 1))
      return complain(p, "zoneout in [0, 1)");
  return SAROS_OK;
}

/* What a cell that is linear in its state does without, and the LRU with. */
static saros_status expect_linear(session_planner *p) {
  const saros_layer *l = &p->given->layer;
  int H = p->stage->H, is_lru = p->given->cell == SAROS_LRU;
  if (is_linear(p) && (l->weight_hh || l->bias_hh || l->norm_gain))
    return complain(p, "no weights of the state, which its cell is linear in,");
  if (is_lru && H % 2 != 0)
    return complain(p, "units in pairs");
  if (is_lru != (l->nu != NULL) || is_lru != (l->theta != NULL))
    return complain(p, is_lru ? "nu and theta" : "nu and theta with an lru");
  if (!is_lru && p->given->gamma != NULL)
    return complain(p, "no gamma without an lru");
  TRY(expect_optional(p, "gamma", p->given->gamma, 1, H / 2, 0));
  TRY(expect_optional(p, "nu", l->nu, 1, H / 2, 0));
  return expect_optional(p, "theta", l->theta, 1, H / 2, 0);
}

/* H and P from the weights of the state or, without, of the input. */
static void measure_weights(session_planner *p) {
  const saros_layer *l = &p->given->layer;
  const saros_tensor *w = is_linear(p) ? l->weight_ih : l->weight_hh;
  session_stage *g = p->stage;
  int known = w != NULL && w->rank == 2 && w->shape[0] >= g->G &&
              w->shape[1] > 0 && w->shape[0] <= WIDEST;
  g->H = known ? w->shape[0] / g->G : 1;
  g->P = known && l->weight_hr != NULL ? w->shape[1] : g->H;
}

/* Every tensor of a layer, and the sizes of the stage from them. */
static saros_status expect_layer(session_planner *p) {
  const saros_stage *given = p->given;
  const saros_layer *l = &given->layer;
  session_stage *g = p->stage;
  if (given->cell < 0 || given->cell >= SAROS_CELLS)
    return complain(p, "a known cell");
  g->G = saros_cell_of(given->cell).gates;
  g->states = saros_cell_of(given->cell).states;
  measure_weights(p);
  int GH = g->G * g->H;
  TRY(expect_linear(p));
  if (!is_linear(p))
    TRY(session_plan_expect(p, "weight_hh", l->weight_hh, 2, GH, g->P));
  TRY(session_plan_expect(p, "weight_ih", l->weight_ih, 2, GH, p->width));
  TRY(expect_optional(p, "bias_ih", l->bias_ih, 1, GH, 0));
  TRY(expect_optional(p, "bias_hh", l->bias_hh, 1, GH, 0));
  TRY(expect_optional(p, "weight_hr", l->weight_hr, 2, g->P, g->H));
  TRY(expect_optional(p, "peephole", l->peephole, 2, 3, g->H));
  TRY(expect_optional(p, "norm_gain", l->norm_gain, 1, GH, 0));
  TRY(expect_optional(p, "norm_bias", l->norm_bias, 1, GH, 0));
  TRY(expect_optional(p, "norm_c_gain", l->norm_c_gain, 1, g->H, 0));
  TRY(expect_optional(p, "norm_c_bias", l->norm_c_bias, 1, g->H, 0));
  TRY(expect_optional(p, "norm_ih_gain", given->norm_ih_gain, 1, GH, 0));
  TRY(expect_optional(p, "norm_ih_bias", given->norm_ih_bias, 1, GH, 0));
  TRY(expect_optional(p, "the first h", given->first[0], 1, g->P, 0));
  TRY(expect_optional(p, "the first c", given->first[1], 1, g->H, 0));
  return expect_options(p);
}

/* Whether one kernel does all of the step. */
static int is_fused(const saros_stage *given) {
  return (given->cell == SAROS_LSTM || given->cell == SAROS_GRU) &&
         !given->norm_ih_gain && !given->layer.norm_gain &&
         !given->layer.norm_c_gain && given->zoneout[0] == 0 &&
         given->zoneout[1] == 0;
}

/* --- Where sums begin ------------------------------------------------------------------ */

/* What is read of a stage's tensors, contiguous; null where there is none. */
typedef struct source {
  saros_tensor *w, *u, *bias_ih, *bias_hh, *weight_hr;
} source;

static real bias_at(const saros_tensor *bias, int i) {
  return bias != NULL ? tensor_reals(bias)[i] : 0;
}

/* The bias of W x of gate element i; b' is in it unless it belongs to U h. */
static real bias_of_gate(const session_stage *g, const source *from, int i) {
  int apart = g->owned[BIAS_U] != NULL || (g->separate && i >= 2 * g->H);
  return bias_at(from->bias_ih, i) + (apart ? 0 : bias_at(from->bias_hh, i));
}

/* The row where the sums of a step begin, from W x of G H elements (null: not
** known yet). A fused cell has four parts: the GRU's last is b' of n. */
static void put_start(const session_planner *p, const source *from, real *start,
                      const real *wx, real *scratch) {
  const session_stage *g = p->stage;
  int GH = g->G * g->H, normalised = g->owned[NORM_X_BIAS] != NULL;
  for (int i = 0; i < GH; i++)
    scratch[i] =
        (normalised ? 0 : bias_of_gate(g, from, i)) + (wx != NULL ? wx[i] : 0);
  if (!is_fused(p->given)) {
    memcpy(start, scratch, (size_t)GH * sizeof(real));
    return;
  }
  for (int i = GH; i < 4 * g->H; i++)
    scratch[i] = bias_at(from->bias_hh, i - g->H);
  p->plan->kernels->arrange(start, scratch, g->H);
}

/* W x of one symbol, normalised where that is wanted. */
static void project_symbol(const session_planner *p, const source *from,
                           real *wx, const real *x) {
  const session_stage *g = p->stage;
  const kernels *k = p->plan->context->kernels;
  int GH = g->G * g->H;
  real mean, rstd;
  k->product->multiply(wx, GH, x, g->inputs, 0, tensor_reals(from->w),
                       g->inputs, 1, 1, GH, g->inputs, 0);
  if (g->owned[NORM_X_GAIN] != NULL)
    k->layer_norm->forward(wx, &mean, &rstd, wx, g->owned[NORM_X_GAIN],
                           g->owned[NORM_X_BIAS], CELL_NORM_EPSILON, 1,
                           (size_t)GH);
}

/* The table of where sums begin for each symbol, in place of W x. */
static saros_status plan_table(session_planner *p, const source *from,
                               real *scratch) {
  session_stage *g = p->stage;
  int V = p->symbols->shape[0];
  saros_tensor *rows;
  g->table_width =
      STEP_WIDTH((is_fused(p->given) ? 4 : g->G) * STEP_WIDTH(g->H));
  TRY(session_plan_own(p, TABLE, (size_t)V * (size_t)g->table_width));
  TRY(saros_contiguous((saros_tensor *)p->symbols, &rows));
  real *wx = scratch + 4 * g->H, *start = g->owned[TABLE];
  for (int id = 0; id < V; id++, start += g->table_width) {
    project_symbol(p, from, wx, tensor_reals(rows) + (ptrdiff_t)id * g->inputs);
    put_start(p, from, start, wx, scratch);
  }
  saros_tensor_release(rows);
  return SAROS_OK;
}

/* Where W x is normalised, the biases are added afterwards: to the norm's own. */
static saros_status plan_starts(session_planner *p, const source *from) {
  session_stage *g = p->stage;
  saros_context *context = p->plan->context;
  size_t bytes = (size_t)(4 + g->G) * (size_t)g->H * sizeof(real);
  real *scratch = pool_take(&context->pool, bytes);
  if (scratch == NULL)
    return base_out_of_memory(context, bytes);
  real *norm_bias = g->owned[NORM_X_BIAS];
  for (int i = 0; norm_bias != NULL && i < g->G * g->H; i++)
    norm_bias[i] += bias_of_gate(g, from, i);
  saros_status status = session_plan_own(p, BIAS, 4 * (size_t)STEP_WIDTH(g->H));
  if (status == SAROS_OK)
    put_start(p, from, g->owned[BIAS], NULL, scratch);
  if (status == SAROS_OK && p->symbols != NULL)
    status = plan_table(p, from, scratch);
  pool_give(&context->pool, scratch);
  return status;
}

/* --- What the cells own ------------------------------------------------------------------ */

/* W and U as one matrix; with a table, U alone. */
static saros_status plan_fused(session_planner *p, const source *from) {
  session_stage *g = p->stage;
  const step_kernels *k = p->plan->kernels;
  const saros_tensor *peephole = p->given->layer.peephole;
  int inputs = p->symbols != NULL ? 0 : p->width;
  size_t bytes = k->cell_bytes(g->G, g->H, inputs, g->P);
  g->step = p->given->cell == SAROS_LSTM ? session_step_fused_lstm
                                         : session_step_fused_gru;
  g->separate = p->given->cell == SAROS_GRU;
  TRY(session_plan_block(p, W, bytes));
  k->pack_cell(g->owned[W], tensor_reals(from->w), inputs,
               tensor_reals(from->u), g->P, g->G, g->H);
  TRY(plan_starts(p, from));
  g->inputs = inputs;
  if (peephole == NULL)
    return SAROS_OK;
  TRY(session_plan_own(p, PEEPHOLE, 3 * (size_t)STEP_WIDTH(g->H)));
  for (int i = 0; i < 3 * g->H; i++)
    ((real *)g->owned[PEEPHOLE])[i / g->H * STEP_WIDTH(g->H) + i % g->H] =
        (real)saros_tensor_get(peephole, (size_t)i);
  return SAROS_OK;
}

/* U, in two parts for the reset before the product, and its bias. */
static saros_status plan_state_product(session_planner *p, const source *from) {
  session_stage *g = p->stage;
  int GH = g->G * g->H, first = GH;
  if (p->given->cell == SAROS_GRU_BEFORE) {
    first = 2 * g->H;
    TRY(session_plan_dense(
        p, U_N, tensor_reals(from->u) + (ptrdiff_t)first * g->P, g->H, g->P));
  }
  TRY(session_plan_dense(p, U, tensor_reals(from->u), first, g->P));
  if (!g->separate && g->owned[NORM_GAIN] == NULL)
    return SAROS_OK;
  TRY(session_plan_own(p, BIAS_U, (size_t)STEP_WIDTH(GH)));
  for (int i = 0; i < first; i++)
    ((real *)g->owned[BIAS_U])[i] = bias_at(from->bias_hh, i);
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

static saros_status plan_norms(session_planner *p) {
  const saros_layer *l = &p->given->layer;
  TRY(session_plan_copy(p, NORM_X_GAIN, p->given->norm_ih_gain));
  TRY(session_plan_copy(p, NORM_X_BIAS, p->given->norm_ih_bias));
  TRY(session_plan_copy(p, NORM_GAIN, l->norm_gain));
  TRY(session_plan_copy(p, NORM_BIAS, l->norm_bias));
  TRY(session_plan_copy(p, NORM_C_GAIN, l->norm_c_gain));
  return session_plan_copy(p, NORM_C_BIAS, l->norm_c_bias);
}

/* What the units of an LRU are multiplied by, instead of a product. */
static saros_status plan_decay(session_planner *p) {
  const saros_layer *l = &p->given->layer;
  saros_tensor *nu = NULL, *theta = NULL;
  if (l->nu == NULL)
    return SAROS_OK;
  TRY(session_plan_own(p, DECAY, (size_t)STEP_WIDTH(p->stage->H)));
  saros_status status = saros_contiguous(l->nu, &nu);
  if (status == SAROS_OK)
    status = saros_contiguous(l->theta, &theta);
  if (status == SAROS_OK)
    recurrent_decay(p->stage->owned[DECAY], tensor_reals(nu),
                    tensor_reals(theta), p->stage->H);
  saros_tensor_release(nu);
  saros_tensor_release(theta);
  return status;
}

static saros_status plan_parts(session_planner *p, const source *from) {
  static void (*const steps[])(saros_session * s, const session_stage *g,
                               const real *x, real *h, const real *h_before) = {
      [SAROS_ELMAN_TANH] = session_step_elman_tanh,
      [SAROS_ELMAN_RELU] = session_step_elman_relu,
      [SAROS_LSTM] = session_step_lstm,
      [SAROS_GRU] = session_step_gru,
      [SAROS_GRU_BEFORE] = session_step_gru_before,
      [SAROS_MINGRU] = session_step_mingru,
      [SAROS_MINGRU_POSITIVE] = session_step_mingru,
      [SAROS_MINLSTM] = session_step_minlstm,
      [SAROS_MINLSTM_POSITIVE] = session_step_minlstm,
      [SAROS_LRU] = session_step_lru,
  };
  session_stage *g = p->stage;
  saros_cell cell = p->given->cell;
  int GH = g->G * g->H;
  g->step = steps[cell];
  g->separate = cell == SAROS_GRU;
  g->positive = cell == SAROS_MINGRU_POSITIVE || cell == SAROS_MINLSTM_POSITIVE;
  TRY(plan_norms(p));
  TRY(is_linear(p) ? plan_decay(p) : plan_state_product(p, from));
  TRY(plan_starts(p, from));
  if (p->symbols == NULL)
    TRY(session_plan_dense(p, W, tensor_reals(from->w), GH, p->width));
  TRY(session_plan_copy(p, PEEPHOLE, p->given->layer.peephole));
  TRY(plan_share(p, SHARE_H, p->given->zoneout[0], g->P));
  TRY(plan_share(p, SHARE_C, p->given->zoneout[1], g->H));
  session_plan_array(p, GATES, GH);
  session_plan_array(p, U_H, GH);
  session_plan_array(p, PART, 2 * g->H);
  session_plan_array(p, C_NEW, g->H);
  session_plan_array(p, C_SEEN, g->H);
  return SAROS_OK;
}

/* --- The stage ------------------------------------------------------------------------------ */

static saros_status plan_projection(session_planner *p, const source *from) {
  session_stage *g = p->stage;
  if (from->weight_hr == NULL)
    return SAROS_OK;
  TRY(session_plan_own(p, BIAS_R, (size_t)STEP_WIDTH(g->P)));
  return session_plan_dense(p, R, tensor_reals(from->weight_hr), g->P, g->H);
}

/* weight_ih as an LRU's product has it: its rows times e^gamma, in pairs. */
static saros_status scale_rows(session_planner *p, source *from) {
  const saros_tensor *gamma = p->given->gamma;
  saros_tensor *w;
  if (gamma == NULL)
    return SAROS_OK;
  TRY(tensor_like(from->w, &w));
  int columns = p->width;
  for (int row = 0; row < p->stage->H; row++) {
    double factor = exp(saros_tensor_get(gamma, (size_t)row / 2));
    ptrdiff_t at = (ptrdiff_t)row * columns;
    for (int i = 0; i < columns; i++)
      tensor_reals(w)[at + i] =
          (real)(factor * (double)tensor_reals(from->w)[at + i]);
  }
  saros_tensor_release(from->w);
  from->w = w;
  return SAROS_OK;
}

static saros_status plan_source(session_planner *p, source *from) {
  const saros_layer *l = &p->given->layer;
  TRY(saros_contiguous(l->weight_ih, &from->w));
  TRY(scale_rows(p, from));
  if (l->weight_hh != NULL)
    TRY(saros_contiguous(l->weight_hh, &from->u));
  if (l->bias_ih != NULL)
    TRY(saros_contiguous(l->bias_ih, &from->bias_ih));
  if (l->bias_hh != NULL)
    TRY(saros_contiguous(l->bias_hh, &from->bias_hh));
  if (l->weight_hr != NULL)
    TRY(saros_contiguous(l->weight_hr, &from->weight_hr));
  return SAROS_OK;
}

static void source_release(source *from) {
  saros_tensor_release(from->w);
  saros_tensor_release(from->u);
  saros_tensor_release(from->bias_ih);
  saros_tensor_release(from->bias_hh);
  saros_tensor_release(from->weight_hr);
}

static void plan_state(session_planner *p) {
  session_stage *g = p->stage;
  session_plan_array(p, H_EVEN, g->P);
  session_plan_array(p, H_ODD, g->P);
  session_plan_array(p, C, g->H);
  session_plan_array(p, INNER, g->H);
  session_plan_array(p, Y, g->P);
}

saros_status session_plan_recurrent(session_planner *p) {
  session_stage *g = p->stage;
  source from = {NULL};
  TRY(expect_layer(p));
  g->run = session_run_recurrent;
  g->outputs = g->P;
  g->residual = p->given->residual && g->P == p->width;
  plan_state(p);
  TRY(session_plan_copy(p, FIRST_H, p->given->first[0]));
  TRY(session_plan_copy(p, FIRST_C, p->given->first[1]));
  saros_status status = plan_source(p, &from);
  if (status == SAROS_OK)
    status = is_fused(p->given) ? plan_fused(p, &from) : plan_parts(p, &from);
  if (status == SAROS_OK)
    status = plan_projection(p, &from);
  source_release(&from);
  return status;
}
