/*
** The recurrent layer as an operation: one layer of a cell over a whole
** sequence, one entry on the tape.
**
** What does not depend on h(t-1) is done for all steps at once: the projection
** of the input is one product, and so are, backwards, the gradients of the
** input and of the weights. Only the product of h(t-1) and its gradient walk
** from step to step (recurrent_walk.c); a cell that is linear has no such
** product, and what walks is a multiplication and an addition for each unit.
**
** Arrays that can be one are one: y is h unless something is masked, a single
** gate is h unless states are mixed, c is c_new likewise, v is u and c_seen is
** c_new without layer norm.
*/
#include <string.h>

#include "recurrent.h"

static const char *const names[R_GIVEN] = {
    [R_X] = "x",
    [R_H_FIRST] = "the state h",
    [R_C_FIRST] = "the state c",
    [R_WEIGHT_IH] = "weight_ih",
    [R_WEIGHT_HH] = "weight_hh",
    [R_BIAS_IH] = "bias_ih",
    [R_BIAS_HH] = "bias_hh",
    [R_WEIGHT_HR] = "weight_hr",
    [R_PEEPHOLE] = "peephole",
    [R_NORM_GAIN] = "norm_gain",
    [R_NORM_BIAS] = "norm_bias",
    [R_NORM_C_GAIN] = "norm_c_gain",
    [R_NORM_C_BIAS] = "norm_c_bias",
    [R_TABLE] = "table",
    [R_NU] = "nu",
    [R_THETA] = "theta",
    [R_H_RESTART] = "first_h",
    [R_C_RESTART] = "first_c",
    [R_MASK] = "mask",
    [R_RESET] = "reset",
    [R_DROPOUT] = "dropout",
    [R_ZONEOUT_H] = "zoneout_h",
    [R_ZONEOUT_C] = "zoneout_c",
};

/* --- Checks ------------------------------------------------------------------------ */

static saros_status expect_shape(const recurrence *r, int which, int rank,
                                 const int *shape) {
  const saros_tensor *x = r->t[which];
  const char *function = r->cell->facts.name;
  if (x == NULL)
    return SAROS_OK;
  TRY(tensor_expect_context(function, r->context, x));
  TRY(tensor_expect_real(function, names[which], x));
  if (x->rank == rank &&
      memcmp(x->shape, shape, (size_t)rank * sizeof(int)) == 0)
    return SAROS_OK;
  return saros_fail(
      r->context, SAROS_EARGUMENT, "%s: expected %s of shape %s, got %s",
      function, names[which],
      tensor_shape_format(&(tensor_shape_text){{0}}, rank, shape), SHAPE(x));
}

/* x (T, B, I) as the parameters want it. */
static saros_status expect_x(const recurrence *r, int width) {
  const saros_tensor *x = r->t[R_X];
  const char *function = r->cell->facts.name;
  TRY(tensor_expect_real(function, "x", x));
  if (x->rank != 3 || x->shape[0] < 1 || x->shape[2] != width)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected x of shape (T, B, %d) with T >= 1, got %s",
                      function, width, SHAPE(x));
  if ((double)x->shape[0] * x->shape[1] <= INT32_MAX)
    return SAROS_OK;
  return saros_fail(r->context, SAROS_EARGUMENT,
                    "%s: expected fewer than 2^31 rows over all steps, got "
                    "shape %s",
                    function, SHAPE(x));
}

/* x is ids (T, B) of rows of the table (V, G H). */
static saros_status expect_ids_of_table(const recurrence *r, int width) {
  const saros_tensor *x = r->t[R_X], *table = r->t[R_TABLE];
  const char *function = r->cell->facts.name;
  TRY(tensor_expect_context(function, r->context, table));
  TRY(tensor_expect_real(function, names[R_TABLE], table));
  TRY(tensor_expect_ids(function, "x", x));
  if (r->t[R_WEIGHT_IH] != NULL)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected a table or weight_ih, got both", function);
  if (table->rank != 2 || table->shape[1] != width)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected a table of shape (V, %d), got %s", function,
                      width, SHAPE(table));
  if (x->rank == 2 && x->shape[0] >= 1 && x->count <= INT32_MAX)
    return SAROS_OK;
  return saros_fail(r->context, SAROS_EARGUMENT,
                    "%s: expected ids of shape (T, B) with T >= 1, got %s",
                    function, SHAPE(x));
}

/* H and P from weight_hh. */
static saros_status expect_weight_hh(recurrence *r) {
  const saros_tensor *ih = r->t[R_WEIGHT_IH], *hh = r->t[R_WEIGHT_HH];
  const char *function = r->cell->facts.name;
  if (hh == NULL || hh->rank != 2 || hh->shape[0] % r->G != 0)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected weight_hh of shape (%d H, H), got %s",
                      function, r->G, hh ? SHAPE(hh) : "none");
  if (ih != NULL && ih->rank != 2)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected weight_ih of shape (%d, I), got %s",
                      function, hh->shape[0], SHAPE(ih));
  r->H = hh->shape[0] / r->G, r->P = hh->shape[1];
  if (r->P != r->H && r->t[R_WEIGHT_HR] == NULL)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected weight_hh of shape (%d, %d), got %s",
                      function, hh->shape[0], r->H, SHAPE(hh));
  return SAROS_OK;
}

/* H of a linear cell from what makes its gates: weight_ih, the table, or x. */
static saros_status expect_gates(recurrence *r) {
  const saros_tensor *ih = r->t[R_WEIGHT_IH], *table = r->t[R_TABLE];
  const saros_tensor *from = ih ? ih : table ? table : r->t[R_X];
  int units =
      r->cell == &recurrent_cells[SAROS_LRU] ? 2 : 1;  // they come in pairs
  int GH = from->rank == 0 ? 0 : from->shape[ih ? 0 : from->rank - 1];
  if (from->rank != (ih || table ? 2 : 3) || GH % (r->G * units) != 0)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected %s with a multiple of %d as its %s size, "
                      "got shape %s",
                      r->cell->facts.name,
                      ih ? names[R_WEIGHT_IH] : names[table ? R_TABLE : R_X],
                      r->G * units, ih ? "first" : "last", SHAPE(from));
  r->P = r->H = GH / r->G;
  return SAROS_OK;
}

/* The weights and x have the sizes that everything else must have. */
static saros_status expect_sizes(recurrence *r) {
  const saros_tensor *ih = r->t[R_WEIGHT_IH];
  TRY(r->cell->facts.linear ? expect_gates(r) : expect_weight_hh(r));
  int GH = r->G * r->H;
  if (r->t[R_TABLE] != NULL)
    TRY(expect_ids_of_table(r, GH));
  else
    TRY(expect_x(r, ih != NULL ? ih->shape[1] : GH));
  r->T = r->t[R_X]->shape[0], r->B = r->t[R_X]->shape[1];
  r->I = r->t[R_TABLE] != NULL ? GH : r->t[R_X]->shape[2];
  return SAROS_OK;
}

/* A linear cell has nothing that acts on h between two steps but zoneout, and
** the LRU alone, always, says what its units decay by. */
static saros_status expect_linear_options(const recurrence *r) {
  const char *function = r->cell->facts.name;
  static const int others[] = {R_WEIGHT_HH, R_BIAS_HH, R_NORM_GAIN, R_NORM_BIAS,
                               R_DROPOUT};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (r->t[others[i]] && r->cell->facts.linear)
      return saros_fail(r->context, SAROS_EARGUMENT,
                        "%s: expected no %s: h is not multiplied by weights",
                        function, names[others[i]]);
  int is_lru = r->cell == &recurrent_cells[SAROS_LRU];
  for (int i = R_NU; i <= R_THETA; i++)
    if ((r->t[i] != NULL) != is_lru)
      return saros_fail(r->context, SAROS_EARGUMENT, "%s: expected %s%s",
                        function, is_lru ? "a tensor " : "no ", names[i]);
  return SAROS_OK;
}

/* Parameters that only some cells have, and that come in pairs. */
static saros_status expect_options(const recurrence *r) {
  const char *function = r->cell->facts.name;
  static const int lstm_only[] = {R_C_FIRST,     R_WEIGHT_HR,   R_PEEPHOLE,
                                  R_NORM_C_GAIN, R_NORM_C_BIAS, R_C_RESTART,
                                  R_ZONEOUT_C};
  for (size_t i = 0; i < sizeof lstm_only / sizeof *lstm_only; i++)
    if (r->t[lstm_only[i]] && r->cell->facts.states == 1)
      return saros_fail(r->context, SAROS_EARGUMENT,
                        "%s: expected no %s: only the lstm has it", function,
                        names[lstm_only[i]]);
  if (!r->t[R_NORM_GAIN] != !r->t[R_NORM_BIAS] ||
      !r->t[R_NORM_C_GAIN] != !r->t[R_NORM_C_BIAS])
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected the gain and the bias of a norm, got one "
                      "of them",
                      function);
  if (r->t[R_NORM_GAIN] && r->cell == &recurrent_cells[SAROS_GRU_BEFORE])
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected no layer norm: its projection is made in "
                      "two parts; use gru",
                      function);
  return SAROS_OK;
}

static saros_status expect_recurrence(recurrence *r) {
  TRY(expect_sizes(r));
  TRY(expect_options(r));
  TRY(expect_linear_options(r));
  int GH = r->G * r->H, pairs = r->H / 2;
  const int weight_ih[2] = {GH, r->I};
  const int h[2] = {r->B, r->P}, c[2] = {r->B, r->H};
  const int weight_hh[2] = {GH, r->P}, weight_hr[2] = {r->P, r->H};
  const int peephole[2] = {3, r->H}, steps[2] = {r->T, r->B};
  const int zone_h[3] = {r->T, r->B, r->P}, zone_c[3] = {r->T, r->B, r->H};
  TRY(expect_shape(r, R_WEIGHT_IH, 2, weight_ih));
  TRY(expect_shape(r, R_H_FIRST, 2, h));
  TRY(expect_shape(r, R_C_FIRST, 2, c));
  TRY(expect_shape(r, R_WEIGHT_HH, 2, weight_hh));
  TRY(expect_shape(r, R_WEIGHT_HR, 2, weight_hr));
  TRY(expect_shape(r, R_PEEPHOLE, 2, peephole));
  for (int i = R_BIAS_IH; i <= R_BIAS_HH; i++)
    TRY(expect_shape(r, i, 1, &GH));
  for (int i = R_NORM_GAIN; i <= R_NORM_BIAS; i++)
    TRY(expect_shape(r, i, 1, &GH));
  for (int i = R_NORM_C_GAIN; i <= R_NORM_C_BIAS; i++)
    TRY(expect_shape(r, i, 1, &r->H));
  for (int i = R_NU; i <= R_THETA; i++)
    TRY(expect_shape(r, i, 1, &pairs));
  TRY(expect_shape(r, R_H_RESTART, 1, &r->P));
  TRY(expect_shape(r, R_C_RESTART, 1, &r->H));
  TRY(expect_shape(r, R_MASK, 2, steps));
  TRY(expect_shape(r, R_RESET, 2, steps));
  TRY(expect_shape(r, R_DROPOUT, 2, h));
  TRY(expect_shape(r, R_ZONEOUT_H, 3, zone_h));
  return expect_shape(r, R_ZONEOUT_C, 3, zone_c);
}

/* --- Arrays ------------------------------------------------------------------------- */

static saros_status make(recurrence *r, int which, int rank, int width) {
  return tensor_new(r->context, SAROS_REAL, rank,
                    (const int[]){r->T, r->B, width}, &r->t[which]);
}

/* An array of its own if needed, or another one by a second name. */
static saros_status make_or_share(recurrence *r, int which, int needed,
                                  int width, int other) {
  if (needed)
    return make(r, which, 3, width);
  r->t[which] = saros_tensor_retain(r->t[other]);
  return SAROS_OK;
}

static saros_status make_norm(recurrence *r, int mean, int rstd) {
  TRY(make(r, mean, 2, 0));
  return make(r, rstd, 2, 0);
}

/* The state before the first step, where none was given. */
static saros_status make_first(recurrence *r, int which, int width,
                               int restart) {
  if (r->t[which] != NULL)
    return SAROS_OK;
  TRY(saros_tensor_new(r->context, SAROS_REAL, 2, (const int[]){r->B, width},
                       &r->t[which]));
  size_t n = (size_t)width;
  for (size_t row = 0; r->t[restart] != NULL && row < (size_t)r->B; row++)
    memcpy(tensor_reals(r->t[which]) + row * n, tensor_reals(r->t[restart]),
           n * sizeof(real));
  return SAROS_OK;
}

static saros_status make_cell_state(recurrence *r) {
  TRY(make_first(r, R_C_FIRST, r->H, R_C_RESTART));
  TRY(make(r, R_C_NEW, 3, r->H));
  TRY(make_or_share(r, R_C_AFTER, recurrent_is_blended(r), r->H, R_C_NEW));
  TRY(make_or_share(r, R_C_SEEN, r->t[R_NORM_C_GAIN] != NULL, r->H, R_C_NEW));
  if (r->t[R_NORM_C_GAIN])
    TRY(make_norm(r, R_C_MEAN, R_C_RSTD));
  if (r->t[R_KEEP])
    TRY(make(r, R_C_BEFORE, 3, r->H));
  return SAROS_OK;
}

/* u and what belongs to it. */
static saros_status make_state_projection(recurrence *r) {
  int GH = r->G * r->H, norm = r->t[R_NORM_GAIN] != NULL;
  const int rows[2] = {r->B, GH};
  if (r->cell->separate)
    TRY(make(r, R_U_N, 3, r->H));
  if (norm) {
    TRY(make(r, R_U, 3, GH));
    TRY(make(r, R_V, 3, GH));
    return make_norm(r, R_V_MEAN, R_V_RSTD);
  }
  if (!r->cell->separate)
    return SAROS_OK;
  TRY(tensor_new(r->context, SAROS_REAL, 2, rows, &r->t[R_U]));
  r->t[R_V] = saros_tensor_retain(r->t[R_U]);
  return SAROS_OK;
}

static saros_status make_decay(recurrence *r) {
  TRY(tensor_new(r->context, SAROS_REAL, 1, &r->H, &r->t[R_DECAY]));
  recurrent_decay(tensor_reals(r->t[R_DECAY]), tensor_reals(r->t[R_NU]),
                  tensor_reals(r->t[R_THETA]), r->H);
  return SAROS_OK;
}

/* Nothing to look for if no row starts again. */
static saros_status make_keep(recurrence *r) {
  if (r->t[R_RESET] == NULL)
    return SAROS_OK;
  TRY(saros_keep(r->t[R_RESET], r->t[R_MASK], r->reverse, &r->t[R_KEEP]));
  const saros_tensor *keep = r->t[R_KEEP];
  for (size_t i = 0; i < keep->count; i++)
    if (tensor_reals(keep)[i] == 0)
      return SAROS_OK;
  saros_tensor_release(r->t[R_KEEP]);
  r->t[R_KEEP] = NULL;
  return SAROS_OK;
}

static saros_status make_arrays(recurrence *r) {
  int GH = r->G * r->H;
  TRY(make_keep(r));
  TRY(make(r, R_Y, 3, r->P));
  TRY(make_or_share(r, R_H_AFTER, r->t[R_MASK] != NULL, r->P, R_Y));
  TRY(make_or_share(r, R_GATES, r->G > 1 || recurrent_is_blended(r), GH,
                    R_H_AFTER));
  TRY(make_first(r, R_H_FIRST, r->P, R_H_RESTART));
  if (r->cell->facts.states == 2)
    TRY(make_cell_state(r));
  TRY(make_state_projection(r));
  if (r->t[R_KEEP])
    TRY(make(r, R_H_BEFORE, 3, r->P));
  if (r->t[R_DROPOUT])
    TRY(make(r, R_READ, 3, r->P));
  if (r->cell->inner || r->t[R_WEIGHT_HR])
    TRY(make(r, R_INNER, 3, r->H));
  return r->t[R_NU] ? make_decay(r) : SAROS_OK;
}

/* --- Forward -------------------------------------------------------------------------- */

/* True if all bytes of x are 0 where the mask is. */
static int is_hidden(const saros_tensor *x, const saros_tensor *mask) {
  int is_ids = x->dtype == SAROS_IDS;
  size_t size = is_ids ? sizeof(int32_t) : sizeof(real), rows = mask->count;
  size_t bytes = rows ? x->count / rows * size : 0;
  const char *row =
      is_ids ? (const char *)tensor_ids(x) : (const char *)tensor_reals(x);
  for (size_t at = 0; at < rows && bytes > 0; at++, row += bytes)
    if (tensor_reals(mask)[at] == 0 &&
        (row[0] != 0 || memcmp(row, row + 1, bytes - 1) != 0))
      return 0;
  return 1;
}

/* What stands in x at masked steps never counts: not in the gradients of the
** weights either, which are products over all steps. */
static saros_status hide_padding(recurrence *r) {
  saros_tensor *hidden;
  if (r->t[R_MASK] == NULL || is_hidden(r->t[R_X], r->t[R_MASK]))
    return SAROS_OK;
  TRY(saros_mask_rows(r->t[R_X], r->t[R_MASK], &hidden));
  saros_tensor_release(r->t[R_X]);
  r->t[R_X] = hidden;
  return SAROS_OK;
}

/* Adds a bias to every row of gates. */
static void add_bias(const recurrence *r, const saros_tensor *bias) {
  size_t GH = (size_t)r->G * (size_t)r->H;
  size_t rows = (size_t)r->T * (size_t)r->B;
  real *gates = tensor_reals(r->t[R_GATES]);
  for (size_t row = 0; bias != NULL && row < rows; row++)
    r->kernels->pointwise->add_scaled(gates + row * GH, 1, tensor_reals(bias),
                                      GH);
}

/* What the projection of x starts from, b_ih, and b_hh unless u has it: one of
** them, their sum, or null. */
static saros_status sum_biases(const recurrence *r, saros_tensor **sum) {
  saros_tensor *one = r->t[R_BIAS_IH];
  saros_tensor *other = r->t[R_U] == NULL ? r->t[R_BIAS_HH] : NULL;
  if (one == NULL || other == NULL) {
    one = one ? one : other;
    *sum = one ? saros_tensor_retain(one) : NULL;
    return SAROS_OK;
  }
  TRY(tensor_like(one, sum));
  tensor_copy(*sum, one);
  r->kernels->pointwise->add_scaled(tensor_reals(*sum), 1, tensor_reals(other),
                                    other->count);
  return SAROS_OK;
}

/* gates = the rows of the table + the biases; the biases are added to the table,
** which is the smaller of the two. */
static saros_status look_up_input(const recurrence *r) {
  const saros_tensor *ids = r->t[R_X];
  size_t GH = (size_t)r->G * (size_t)r->H;
  TRY(tensor_expect_ids_below(r->cell->facts.name, ids,
                              r->t[R_TABLE]->shape[0]));
  saros_tensor *table = NULL, *bias = NULL;
  saros_status status;
  TRY_OR_DONE(sum_biases(r, &bias));
  TRY_OR_DONE(tensor_like(r->t[R_TABLE], &table));
  tensor_copy(table, r->t[R_TABLE]);
  for (int row = 0; bias != NULL && row < table->shape[0]; row++)
    r->kernels->pointwise->add_scaled(tensor_reals(table) + (size_t)row * GH, 1,
                                      tensor_reals(bias), GH);
  r->kernels->lookup->gather(tensor_reals(r->t[R_GATES]), tensor_reals(table),
                             tensor_ids(ids), ids->count, GH);
done:
  saros_tensor_release(table);
  saros_tensor_release(bias);
  return status;
}

/* gates = x W_ih^T + the biases, for all steps at once */
static saros_status project_input(const recurrence *r) {
  if (r->t[R_TABLE] != NULL)
    return look_up_input(r);
  if (r->t[R_WEIGHT_IH] == NULL) {
    tensor_copy(r->t[R_GATES], r->t[R_X]);
    add_bias(r, r->t[R_BIAS_IH]);
    if (r->t[R_U] == NULL)
      add_bias(r, r->t[R_BIAS_HH]);
    return SAROS_OK;
  }
  saros_tensor *bias = NULL;
  TRY(sum_biases(r, &bias));
  saros_status status = product_affine(
      r->context, tensor_reals(r->t[R_GATES]), tensor_reals(r->t[R_X]),
      tensor_reals(r->t[R_WEIGHT_IH]), bias ? tensor_reals(bias) : NULL,
      (product_sizes){r->T * r->B, r->G * r->H, r->I});
  saros_tensor_release(bias);
  return status;
}

/* A copy of a state after the last step. */
static saros_status copy_last(const recurrence *r, int which,
                              saros_tensor **last) {
  saros_tensor *view;
  TRY(tensor_alias(r->t[which], &view));
  int shape[2] = {r->B, view->shape[2]};
  size_t size = view->count / (size_t)r->T;
  view->offset += r->reverse ? 0 : (size_t)(r->T - 1) * size;
  tensor_set_shape(view, 2, shape);
  saros_status status = tensor_like(view, last);
  if (status == SAROS_OK)
    tensor_copy(*last, view);
  saros_tensor_release(view);
  return status;
}

/* Units of h in a block of one row: a quarter of them, as whole pages of memory
** pass by, in so many at a time that a step is worth its while. */
#define UNITS 64

/* The size of blocks, from the shape alone: bits must not depend on threads. */
static void cut_into_blocks(recurrence *r) {
  int linear = r->cell->facts.linear, few = r->B < 8;
  double work = (double)r->T * r->B * r->G * r->H * (linear ? 8 : r->P);
  int blocks = base_divide_up(r->B, 32);
  if (blocks == 1 && !few)
    blocks = 2;
  r->units = r->P > 0 ? r->P : 1;
  if (linear && few && work >= 1e6)
    blocks = r->B, r->units = base_divide_up(r->P, 4 * UNITS) * UNITS;
  if (work < 1e6 || blocks == 0)
    blocks = 1;
  r->rows = r->B > 0 ? base_divide_up(r->B, blocks) : 1;
  r->alone = r->rows >= r->B;
}

static saros_status run(recurrence *r, saros_tensor **last) {
  TRY(hide_padding(r));
  TRY(make_arrays(r));
  cut_into_blocks(r);
  TRY(recurrent_pack(r, 0));
  TRY(project_input(r));
  TRY(recurrent_walk_forward(r));
  TRY(copy_last(r, R_H_AFTER, &last[0]));
  return r->cell->facts.states == 2 ? copy_last(r, R_C_AFTER, &last[1])
                                    : SAROS_OK;
}

static const tape_operation recurrent_operation = {"recurrent",
                                                   recurrent_backward};

/* What recurrent_backward needs beside the tensors; see recurrence. */
static saros_status record_run(recurrence *r, saros_tensor **y,
                               saros_tensor **last) {
  saros_tensor *outputs[1 + SAROS_MAX_STATES] = {r->t[R_Y], last[0], last[1]};
  int count = 1 + r->cell->facts.states;
  saros_tensor_retain(r->t[R_Y]);
  recurrence kept = *r;
  memset(kept.t, 0, sizeof kept.t);
  kept.packed.data = NULL;
  saros_status status = tape_record(
      r->context, &(tape_call){&recurrent_operation, R_INPUTS, r->t, count,
                               outputs, R_TENSORS, r->t, &kept, sizeof kept});
  *y = outputs[0];
  last[0] = outputs[1], last[1] = outputs[2];
  return status;
}

/* What the caller gave, by place. */
static void take(saros_tensor **t, saros_tensor *x, saros_tensor *const *state,
                 const saros_layer *l, const saros_steps *s) {
  static const saros_steps plain = {0};
  if (s == NULL)
    s = &plain;
  t[R_X] = x;
  t[R_H_FIRST] = state ? state[0] : NULL;
  t[R_C_FIRST] = state ? state[1] : NULL;
  t[R_WEIGHT_IH] = l->weight_ih, t[R_WEIGHT_HH] = l->weight_hh;
  t[R_BIAS_IH] = l->bias_ih, t[R_BIAS_HH] = l->bias_hh;
  t[R_WEIGHT_HR] = l->weight_hr, t[R_PEEPHOLE] = l->peephole;
  t[R_NORM_GAIN] = l->norm_gain, t[R_NORM_BIAS] = l->norm_bias;
  t[R_NORM_C_GAIN] = l->norm_c_gain, t[R_NORM_C_BIAS] = l->norm_c_bias;
  t[R_TABLE] = l->table, t[R_NU] = l->nu, t[R_THETA] = l->theta;
  t[R_H_RESTART] = l->first_h, t[R_C_RESTART] = l->first_c;
  t[R_MASK] = s->mask, t[R_RESET] = s->reset, t[R_DROPOUT] = s->dropout;
  t[R_ZONEOUT_H] = s->zoneout_h, t[R_ZONEOUT_C] = s->zoneout_c;
}

saros_status saros_recurrent(saros_cell c, saros_tensor *x,
                             saros_tensor *const *state,
                             const saros_layer *layer, const saros_steps *steps,
                             saros_tensor **y, saros_tensor **last) {
  *y = last[0] = NULL;
  TRY(base_expect_known(x->context, "recurrent", "a cell", (int)c,
                        SAROS_CELLS));
  int two = recurrent_cells[c].facts.states == 2;
  saros_tensor *ends[SAROS_MAX_STATES] = {NULL};
  saros_tensor *first[SAROS_MAX_STATES] = {state ? state[0] : NULL,
                                           state && two ? state[1] : NULL};
  recurrence r = {.cell = &recurrent_cells[c],
                  .context = x->context,
                  .kernels = x->context->kernels,
                  .G = recurrent_cells[c].facts.gates,
                  .reverse = steps != NULL && steps->reverse,
                  .begins = {first[0] == NULL, first[1] == NULL}};
  take(r.t, x, first, layer, steps);
  TRY(expect_recurrence(&r));
  saros_tensor *given[R_GIVEN];
  memcpy(given, r.t, sizeof given);
  memset(r.t, 0, sizeof r.t);
  saros_status status;
  for (int i = 0; i < R_GIVEN; i++)
    if (given[i] != NULL)
      TRY_OR_DONE(saros_contiguous(given[i], &r.t[i]));
  TRY_OR_DONE(run(&r, ends));
  status = record_run(&r, y, ends);
done:
  product_packed_release(r.context, &r.packed);
  for (int i = 0; i < R_TENSORS; i++)
    saros_tensor_release(r.t[i]);
  if (status != SAROS_OK)
    for (int i = 0; i < SAROS_MAX_STATES; i++)
      saros_tensor_release(ends[i]), ends[i] = NULL;
  last[0] = ends[0];
  if (two)
    last[1] = ends[1];
  return status;
}
