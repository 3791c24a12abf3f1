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
** gate is h unless states are mixed, c is c_new then, v is u and c_seen is
** c_new without layer norm.
*/
#include <string.h>

#include "recurrent.h"

/* --- Arrays ------------------------------------------------------------------------- */

saros_status recurrent_make(recurrence *r, int which, int rank, int width) {
  return tensor_new(r->context, SAROS_REAL, rank,
                    (const int[]){r->T, r->B, width}, &r->t[which]);
}

saros_status recurrent_make_or_share(recurrence *r, int which, int needed,
                                     int width, int other) {
  if (needed)
    return recurrent_make(r, which, 3, width);
  r->t[which] = saros_tensor_retain(r->t[other]);
  return SAROS_OK;
}

saros_status recurrent_make_norm(recurrence *r, int mean, int rstd) {
  TRY(recurrent_make(r, mean, 2, 0));
  return recurrent_make(r, rstd, 2, 0);
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

static saros_status make_second_state(recurrence *r) {
  TRY(make_first(r, R_C_FIRST, r->H, R_C_RESTART));
  TRY(recurrent_make(r, R_C_NEW, 3, r->H));
  TRY(recurrent_make_or_share(r, R_C_AFTER, recurrent_is_blended(r), r->H,
                              R_C_NEW));
  return r->t[R_KEEP] ? recurrent_make(r, R_C_BEFORE, 3, r->H) : SAROS_OK;
}

/* u and what belongs to it. */
static saros_status make_state_projection(recurrence *r) {
  int GH = r->G * r->H, norm = r->t[R_NORM_GAIN] != NULL;
  const int rows[2] = {r->B, GH};
  if (r->cell->separate)
    TRY(recurrent_make(r, R_U_N, 3, r->H));
  if (norm) {
    TRY(recurrent_make(r, R_U, 3, GH));
    TRY(recurrent_make(r, R_V, 3, GH));
    return recurrent_make_norm(r, R_V_MEAN, R_V_RSTD);
  }
  if (!r->cell->separate)
    return SAROS_OK;
  TRY(tensor_new(r->context, SAROS_REAL, 2, rows, &r->t[R_U]));
  r->t[R_V] = saros_tensor_retain(r->t[R_U]);
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
  TRY(recurrent_make(r, R_Y, 3, r->P));
  TRY(recurrent_make_or_share(r, R_H_AFTER, r->t[R_MASK] != NULL, r->P, R_Y));
  TRY(recurrent_make_or_share(r, R_GATES, r->G > 1 || recurrent_is_blended(r),
                              GH, R_H_AFTER));
  TRY(make_first(r, R_H_FIRST, r->P, R_H_RESTART));
  if (r->cell->facts.states == 2)
    TRY(make_second_state(r));
  TRY(make_state_projection(r));
  if (r->t[R_KEEP])
    TRY(recurrent_make(r, R_H_BEFORE, 3, r->P));
  if (r->t[R_DROPOUT])
    TRY(recurrent_make(r, R_READ, 3, r->P));
  return r->cell->make ? r->cell->make(r) : SAROS_OK;
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
  status = op_gather_rows(r->context, tensor_reals(r->t[R_GATES]),
                          tensor_reals(table), tensor_ids(ids), ids->count, GH);
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

/* Blocks of one row take a quarter of the units of h, in multiples of this, so that
** a step reads whole pages of memory and is long enough to share out. */
#define UNITS 64

/* Blocks for the threads where products are packed; by BLAS the bits of a row may
** depend on how many others there are, so there the shape alone decides. */
static void cut_into_blocks(recurrence *r) {
  int linear = r->cell->facts.linear, few = r->B < 8;
  double work = (double)r->T * r->B * r->G * r->H * (linear ? 8 : r->P);
  int blocks = recurrent_is_packed(r) ? product_row_blocks(r->context, r->B)
                                      : product_fixed_row_blocks(r->B);
  r->units = r->P > 0 ? r->P : 1;
  if (linear && few && work >= TEAM_WAKES)
    blocks = r->B, r->units = base_divide_up(r->P, 4 * UNITS) * UNITS;
  if (work < TEAM_WAKES || blocks == 0)
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
  memset(kept.packed, 0, sizeof kept.packed);
  saros_status status = tape_record(
      r->context, &(tape_call){&recurrent_operation, R_INPUTS, r->t, count,
                               outputs, R_TENSORS, r->t, &kept, sizeof kept});
  *y = outputs[0];
  last[0] = outputs[1], last[1] = outputs[2];
  return status;
}

/* What the caller gave, by place. */
static saros_status take(recurrence *r, saros_tensor *x,
                         saros_tensor *const *state,
                         const saros_named_tensor *parameters, int count,
                         const saros_steps *s) {
  static const saros_steps plain = {0};
  saros_tensor **t = r->t;
  if (s == NULL)
    s = &plain;
  t[R_X] = x;
  t[R_H_FIRST] = state ? state[0] : NULL;
  t[R_C_FIRST] = state && r->cell->facts.states == 2 ? state[1] : NULL;
  t[R_MASK] = s->mask, t[R_RESET] = s->reset, t[R_DROPOUT] = s->dropout;
  t[R_ZONEOUT_H] = s->zoneout_h, t[R_ZONEOUT_C] = s->zoneout_c;
  r->reverse = s->reverse;
  r->begins[0] = t[R_H_FIRST] == NULL, r->begins[1] = t[R_C_FIRST] == NULL;
  TRY(recurrent_take(r, parameters, count));
  return recurrent_check(r);
}

/* Replaces what was given by references that r owns, all contiguous. */
static saros_status hold(recurrence *r) {
  saros_tensor *given[R_GIVEN];
  memcpy(given, r->t, sizeof given);
  memset(r->t, 0, sizeof r->t);
  for (int i = 0; i < R_GIVEN; i++)
    if (given[i] != NULL)
      TRY(saros_contiguous(given[i], &r->t[i]));
  return SAROS_OK;
}

saros_status saros_recurrent(saros_cell c, saros_tensor *x,
                             saros_tensor *const *state,
                             const saros_named_tensor *parameters, int count,
                             const saros_steps *steps, saros_tensor **y,
                             saros_tensor **last) {
  *y = last[0] = NULL;
  TRY(base_expect_known(x->context, "recurrent", "a cell", (int)c,
                        SAROS_CELLS));
  const recurrent_cell *cell = recurrent_cells[c];
  saros_tensor *ends[SAROS_MAX_STATES] = {NULL};
  recurrence r = {.cell = cell,
                  .context = x->context,
                  .kernels = x->context->kernels,
                  .G = cell->facts.gates};
  TRY(take(&r, x, state, parameters, count, steps));
  saros_status status;
  TRY_OR_DONE(hold(&r));
  TRY_OR_DONE(run(&r, ends));
  status = record_run(&r, y, ends);
done:
  recurrent_unpack(&r);
  for (int i = 0; i < R_TENSORS; i++)
    saros_tensor_release(r.t[i]);
  for (int i = 0; i < SAROS_MAX_STATES && status != SAROS_OK; i++)
    saros_tensor_release(ends[i]), ends[i] = NULL;
  for (int i = 0; i < cell->facts.states; i++)
    last[i] = ends[i];
  return status;
}
