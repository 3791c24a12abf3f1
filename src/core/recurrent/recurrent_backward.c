/*
** The recurrent layer going back: the walk through time, then what can be done
** for all steps at once.
*/
#include <string.h>

#include "recurrent.h"

/* --- What the walk works on ----------------------------------------------------------- */

saros_status recurrent_scratch(const recurrence *r, int rank, int width,
                               saros_tensor **out) {
  const int sequence[3] = {r->T, r->B, width}, rows[2] = {r->B, width};
  return tensor_new(r->context, SAROS_REAL, rank, rank == 3 ? sequence : rows,
                    out);
}

static saros_status zeros(const recurrence *r, int rank, int width,
                          saros_tensor **out) {
  TRY(recurrent_scratch(r, rank, width, out));
  tensor_zero(*out);
  return SAROS_OK;
}

/* The gradient of an output to work on: a copy, or zeros if it has none. */
static saros_status gradient_of_last(const tape_entry *e, const recurrence *r,
                                     int output, int width,
                                     saros_tensor **out) {
  saros_tensor *gradient = e->output[output]->gradient;
  if (gradient == NULL)
    return zeros(r, 2, width, out);
  TRY(recurrent_scratch(r, 2, width, out));
  tensor_copy(*out, gradient);
  return SAROS_OK;
}

static saros_status gradient_of_y(const tape_entry *e, recurrence *r) {
  TRY(tape_entry_gradient(e, 0, &r->dy));
  return r->dy ? SAROS_OK : zeros(r, 3, r->P, &r->dy);
}

/* da and du take the place of activations that nobody else sees; Elman's may
** be y, and layer norm needs u itself. */
static saros_status make_gate_gradients(recurrence *r) {
  int GH = r->G * r->H, norm = r->t[R_NORM_GAIN] != NULL;
  if (r->G == 1)
    TRY(recurrent_scratch(r, 3, GH, &r->da));
  else
    r->da = saros_tensor_retain(r->t[R_GATES]);
  if (norm)
    return recurrent_scratch(r, 3, GH, &r->du);
  r->du = saros_tensor_retain(r->cell->separate ? r->t[R_U] : r->da);
  return SAROS_OK;
}

static saros_status prepare(const tape_entry *e, recurrence *r) {
  TRY(recurrent_pack(r, 1));
  TRY(gradient_of_y(e, r));
  TRY(make_gate_gradients(r));
  TRY(gradient_of_last(e, r, 1, r->P, &r->dh[0]));
  TRY(recurrent_scratch(r, 2, r->P, &r->dh[1]));
  if (r->cell->facts.states == 2) {
    TRY(gradient_of_last(e, r, 2, r->H, &r->dc[0]));
    TRY(recurrent_scratch(r, 2, r->H, &r->dc[1]));
  }
  if (r->t[R_KEEP] && e->input[R_H_RESTART])
    TRY(zeros(r, 2, r->P, &r->dh_restart));
  if (r->t[R_KEEP] && e->input[R_C_RESTART])
    TRY(zeros(r, 2, r->H, &r->dc_restart));
  if (r->t[R_READ])
    TRY(recurrent_scratch(r, 2, r->P, &r->dread));
  if (r->t[R_INNER])
    TRY(recurrent_scratch(r, 2, r->H, &r->dinner));
  return r->cell->make_gradients ? r->cell->make_gradients(r) : SAROS_OK;
}

static void release(recurrence *r) {
  saros_tensor *own[] = {r->dy,        r->da,     r->du,      r->dh[0],
                         r->dh[1],     r->dc[0],  r->dc[1],   r->dread,
                         r->dinner,    r->dh_new, r->dc_seen, r->dh_restart,
                         r->dc_restart};
  recurrent_unpack(r);
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    saros_tensor_release(own[i]);
}

/* --- All steps at once -------------------------------------------------------------------- */

static saros_status add_dx(const tape_entry *e, const recurrence *r) {
  saros_tensor *dx;
  if (r->t[R_WEIGHT_IH] == NULL)
    return tensor_node_add(e->input[R_X], saros_tensor_retain(r->da));
  real beta;
  TRY(tensor_node_target(e->input[R_X], &dx, &beta));
  int GH = r->G * r->H;
  return product_multiply(
      r->context, tensor_reals(dx), r->I,
      (product_view){tensor_reals(r->da), GH, 0},
      (product_view){tensor_reals(r->t[R_WEIGHT_IH]), r->I, 0},
      (product_sizes){r->T * r->B, r->I, GH}, beta);
}

/* Gradients of W and U that are being made, a range of gates at a time. */
typedef struct weight_sums {
  const recurrence *r;
  saros_tensor *dw, *du;  // null where nobody wants them
  real beta_w, beta_u;    // 0: there is nothing in them yet
  tensor_node *bias_ih, *bias_hh;
} weight_sums;

static saros_status weight_sums_of(const tape_entry *e, const recurrence *r,
                                   weight_sums *w) {
  *w = (weight_sums){
      .r = r, .bias_ih = e->input[R_BIAS_IH], .bias_hh = e->input[R_BIAS_HH]};
  if (e->input[R_WEIGHT_IH] != NULL)
    TRY(tensor_node_target(e->input[R_WEIGHT_IH], &w->dw, &w->beta_w));
  if (e->input[R_WEIGHT_HH] != NULL)
    TRY(tensor_node_target(e->input[R_WEIGHT_HH], &w->du, &w->beta_u));
  return SAROS_OK;
}

/* Some gates of an array of da or du, and which of the sums they belong to. */
typedef struct gates {
  const saros_tensor *array;
  int column;        // of the array, where the first of them begins
  int first, count;  // of the cell's gates
  int meet_x, meet_h;
} gates;

void recurrent_add_factor(product_outer_sum *sum, const real *x, int n,
                          real *target, real beta) {
  sum->factor[sum->factors++] = (product_outer_factor){
      {x, x + (ptrdiff_t)sum->split * n}, n, target, beta != 0};
}

/* What the product of the state read for these gates: the array
** 'inner' for the last one if it is made in parts; one array or, mostly, h as the
** step before left it, which for the first step on the walk was given. */
static void add_read(const weight_sums *w, const gates *g,
                     product_outer_sum *sum) {
  const recurrence *r = w->r;
  const saros_tensor *read = r->t[R_READ] ? r->t[R_READ] : r->t[R_H_BEFORE];
  if (r->cell->in_parts && g->first == r->G - 1)
    read = r->t[R_INNER];
  const real *h = tensor_reals(read ? read : r->t[R_H_AFTER]);
  recurrent_add_factor(sum, h, r->P,
                       tensor_reals(w->du) + (ptrdiff_t)g->first * r->H * r->P,
                       w->beta_u);
  if (read != NULL)
    return;
  product_outer_factor *f = &sum->factor[sum->factors - 1];
  f->x[0] =
      r->reverse ? h + (ptrdiff_t)r->B * r->P : tensor_reals(r->t[R_H_FIRST]);
  f->x[1] = r->reverse ? tensor_reals(r->t[R_H_FIRST]) : h;
}

/* Adds x to the elements of a gradient from the first one on. */
static saros_status add_part(tensor_node *node, const recurrence *r, int first,
                             const saros_tensor *x) {
  saros_tensor *gradient;
  if (node == NULL)
    return SAROS_OK;
  TRY(tensor_node_gradient(node, &gradient));
  r->kernels->pointwise->add_scaled(tensor_reals(gradient) + first, 1,
                                    tensor_reals(x), x->count);
  return SAROS_OK;
}

/* The rows of dW, dU and their biases that belong to some gates. The rows of
** time are cut at the step whose h before it was given. */
static saros_status add_gates(const weight_sums *w, const gates *g) {
  const recurrence *r = w->r;
  const int first = g->first * r->H, rows = r->T * r->B;
  tensor_node *bias = g->meet_x ? w->bias_ih : NULL;
  tensor_node *other = g->meet_h ? w->bias_hh : NULL;
  saros_tensor *dbias = NULL;
  product_outer_sum sum = {.dy = tensor_reals(g->array) + g->column,
                           .ldy = g->array->shape[2],
                           .m = g->count * r->H,
                           .rows = rows,
                           .split = r->reverse ? rows - r->B : r->B};
  saros_status status = SAROS_OK;
  if (g->meet_x && w->dw != NULL)
    recurrent_add_factor(&sum, tensor_reals(r->t[R_X]), r->I,
                         tensor_reals(w->dw) + (ptrdiff_t)first * r->I,
                         w->beta_w);
  if (g->meet_h && w->du != NULL)
    add_read(w, g, &sum);
  if (bias != NULL || other != NULL) {
    TRY(saros_tensor_new(r->context, SAROS_REAL, 1, &sum.m, &dbias));
    sum.dbias = tensor_reals(dbias);
  }
  TRY_OR_DONE(product_add_outer(r->context, &sum));
  TRY_OR_DONE(add_part(bias, r, first, dbias));
  status = add_part(other, r, first, dbias);
done:
  saros_tensor_release(dbias);
  return status;
}

/* The gradients of W, U and their biases. All in one pass, if da is du and all
** gates read the same, else the last one is apart. */
static saros_status add_weights(const tape_entry *e, const recurrence *r) {
  weight_sums w;
  const int G = r->G, last = G - 1, apart = r->cell->separate;
  TRY(weight_sums_of(e, r, &w));
  if (r->t[R_NORM_GAIN] != NULL) {
    TRY(add_gates(&w, &(gates){r->da, 0, 0, G, 1, 0}));
    return add_gates(&w, &(gates){r->du, 0, 0, G, 0, 1});
  }
  if (!apart && !r->cell->in_parts)
    return add_gates(&w, &(gates){r->da, 0, 0, G, 1, 1});
  TRY(add_gates(&w, &(gates){r->da, 0, 0, last, 1, 1}));
  TRY(add_gates(&w, &(gates){r->da, last * r->H, last, 1, 1, !apart}));
  return apart ? add_gates(&w, &(gates){r->t[R_U_N], 0, last, 1, 0, 1})
               : SAROS_OK;
}

static saros_status add_dtable(const tape_entry *e, const recurrence *r) {
  saros_tensor *dtable;
  TRY(tensor_node_gradient(e->input[R_TABLE], &dtable));
  return op_scatter_rows(r->context, tensor_reals(dtable), tensor_reals(r->da),
                         tensor_ids(r->t[R_X]), r->t[R_X]->count,
                         (size_t)dtable->shape[1]);
}

const real *recurrent_state_seen(const recurrence *r, int t, int restart,
                                 int left, int first) {
  if (r->t[restart] != NULL)
    return tensor_reals(r->t[restart]) +
           (size_t)t * (size_t)r->B * (size_t)r->H;
  return recurrent_state_before(r, left, first, t, 0, r->H);
}

saros_status recurrent_add_norm(const recurrence *r, tensor_node *gain,
                                tensor_node *bias, const saros_tensor *dy,
                                const int array[4]) {
  saros_tensor *dgain = NULL, *dbias = NULL;
  if (gain != NULL)
    TRY(tensor_node_gradient(gain, &dgain));
  if (bias != NULL)
    TRY(tensor_node_gradient(bias, &dbias));
  const saros_tensor *g = r->t[array[0]];
  return op_norm_backward(r->context,
                          &(op_norm_gradients){
                              .dgain = dgain ? tensor_reals(dgain) : NULL,
                              .dbias = dbias ? tensor_reals(dbias) : NULL,
                              .dy = tensor_reals(dy),
                              .x = tensor_reals(r->t[array[1]]),
                              .gain = tensor_reals(g),
                              .mean = tensor_reals(r->t[array[2]]),
                              .factor = tensor_reals(r->t[array[3]]),
                              .rows = (size_t)r->T * (size_t)r->B,
                              .n = g->count,
                          });
}

/* Adds the gradient of a state with which rows start (H_RESTART, C_RESTART): d
** (B, n) from the first step, if no state was given there, and drestart (B, n),
** if any, from later starts. */
static saros_status add_restart(const tape_entry *e, const recurrence *r,
                                int which, const saros_tensor *d,
                                const saros_tensor *drestart) {
  saros_tensor *gradient;
  int begins = r->begins[which - R_H_RESTART];
  if (e->input[which] == NULL || (!begins && drestart == NULL))
    return SAROS_OK;
  TRY(tensor_node_gradient(e->input[which], &gradient));
  size_t n = gradient->count, rows = (size_t)r->B;
  for (size_t k = 0; k < n; k++) {
    double sum = 0;
    for (size_t at = k; at < rows * n; at += n)
      sum += (begins ? (double)tensor_reals(d)[at] : 0) +
             (drestart ? (double)tensor_reals(drestart)[at] : 0);
    tensor_reals(gradient)[k] += (real)sum;
  }
  return SAROS_OK;
}

static saros_status add_parameters(const tape_entry *e, const recurrence *r) {
  TRY(add_weights(e, r));
  if (e->input[R_TABLE])
    TRY(add_dtable(e, r));
  if (e->input[R_NORM_GAIN] || e->input[R_NORM_BIAS])
    TRY(recurrent_add_norm(
        r, e->input[R_NORM_GAIN], e->input[R_NORM_BIAS],
        r->cell->separate ? r->t[R_V] : r->da,
        (const int[]){R_NORM_GAIN, R_U, R_V_MEAN, R_V_RSTD}));
  return r->cell->add_gradients ? r->cell->add_gradients(e, r) : SAROS_OK;
}

saros_status recurrent_backward(const tape_entry *e) {
  recurrence r = *(const recurrence *)e->arguments;
  memcpy(r.t, e->saved, sizeof r.t);
  saros_tensor *dh, *dc;
  saros_status status;
  TRY_OR_DONE(prepare(e, &r));
  TRY_OR_DONE(recurrent_walk_backward(&r, &dh, &dc));
  TRY_OR_DONE(add_parameters(e, &r));
  if (e->input[R_X])
    TRY_OR_DONE(add_dx(e, &r));
  TRY_OR_DONE(add_restart(e, &r, R_H_RESTART, dh, r.dh_restart));
  TRY_OR_DONE(add_restart(e, &r, R_C_RESTART, dc, r.dc_restart));
  TRY_OR_DONE(tensor_node_add(e->input[R_H_FIRST], saros_tensor_retain(dh)));
  if (dc != NULL)
    status = tensor_node_add(e->input[R_C_FIRST], saros_tensor_retain(dc));
done:
  release(&r);
  return status;
}
