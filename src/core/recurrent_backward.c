/*
** The recurrent layer going back: the walk through time, then what can be done
** for all steps at once.
*/
#include <string.h>

#include "recurrence.h"

/* --- What the walk works on ----------------------------------------------------------- */

static saros_status zeros(const recurrence *r, int rank, int width,
                          saros_tensor **out) {
  const int sequence[3] = {r->T, r->B, width}, rows[2] = {r->B, width};
  return saros_tensor_new(r->context, SAROS_REAL, rank,
                          rank == 3 ? sequence : rows, out);
}

/* The gradient of an output to work on: a copy, or zeros if it has none. */
static saros_status gradient_of_last(const tape_entry *e, const recurrence *r,
                                     int output, int width,
                                     saros_tensor **out) {
  TRY(zeros(r, 2, width, out));
  saros_tensor *gradient = e->output[output]->gradient;
  if (gradient != NULL)
    tensor_copy(*out, gradient);
  return SAROS_OK;
}

static saros_status gradient_of_y(const tape_entry *e, recurrence *r) {
  TRY(entry_gradient(e, 0, &r->dy));
  return r->dy ? SAROS_OK : zeros(r, 3, r->P, &r->dy);
}

/* da and du take the place of activations that nobody else sees; Elman's may
** be y, and layer norm needs u itself. */
static saros_status make_gate_gradients(recurrence *r) {
  int GH = r->G * r->H, norm = r->t[NORM_GAIN] != NULL;
  if (r->G == 1)
    TRY(zeros(r, 3, GH, &r->da));
  else
    r->da = saros_tensor_retain(r->t[GATES]);
  if (norm)
    return zeros(r, 3, GH, &r->du);
  r->du = saros_tensor_retain(r->cell->separate ? r->t[U] : r->da);
  return SAROS_OK;
}

static saros_status prepare(const tape_entry *e, recurrence *r) {
  TRY(pack_state_weights(r, 1));
  TRY(gradient_of_y(e, r));
  TRY(make_gate_gradients(r));
  TRY(gradient_of_last(e, r, 1, r->P, &r->dh[0]));
  TRY(zeros(r, 2, r->P, &r->dh[1]));
  if (r->cell->facts.states == 2) {
    TRY(gradient_of_last(e, r, 2, r->H, &r->dc[0]));
    TRY(zeros(r, 2, r->H, &r->dc[1]));
  }
  if (r->t[READ])
    TRY(zeros(r, 2, r->P, &r->dread));
  if (r->t[INNER])
    TRY(zeros(r, 2, r->H, &r->dinner));
  if (r->t[WEIGHT_HR])
    TRY(zeros(r, 3, r->P, &r->dh_new));
  if (r->t[NORM_C_GAIN])
    TRY(zeros(r, 3, r->H, &r->dc_seen));
  return SAROS_OK;
}

static void release(recurrence *r) {
  saros_tensor *own[] = {r->packed, r->dy,     r->da,     r->du,
                         r->dh[0],  r->dh[1],  r->dc[0],  r->dc[1],
                         r->dread,  r->dinner, r->dh_new, r->dc_seen};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    saros_tensor_release(own[i]);
}

/* --- All steps at once -------------------------------------------------------------------- */

/* target (m, n) += dy (rows, from column 'first' of ld) ^T x (rows, n) */
typedef struct outer {
  const real *dy;
  int ld, m;
  const real *x;
  int n, rows;
} outer;

static void add_outer(const recurrence *r, real *target, outer o) {
  multiply(r->context, target, o.n, o.dy, o.ld, 1, o.x, o.n, 0, o.m, o.n,
           o.rows, 1);
}

static saros_status add_dx(const tape_entry *e, const recurrence *r) {
  saros_tensor *dx;
  if (r->t[WEIGHT_IH] == NULL)
    return node_add(e->input[X], saros_tensor_retain(r->da));
  real beta;
  TRY(node_target(e->input[X], &dx, &beta));
  int GH = r->G * r->H;
  multiply(r->context, reals(dx), r->I, reals(r->da), GH, 0,
           reals(r->t[WEIGHT_IH]), r->I, 0, r->T * r->B, r->I, GH, beta);
  return SAROS_OK;
}

static saros_status add_dweight_ih(const tape_entry *e, const recurrence *r) {
  saros_tensor *dweight;
  int GH = r->G * r->H;
  TRY(node_gradient(e->input[WEIGHT_IH], &dweight));
  add_outer(r, reals(dweight),
            (outer){reals(r->da), GH, GH, reals(r->t[X]), r->I, r->T * r->B});
  return SAROS_OK;
}

/* Gates first.. of dW_hh += du^T read, where read(t) is h(t-1) as it was left:
** all steps but the first on the walk in one product, then that one. */
static void add_shifted(const recurrence *r, real *dweight, int first,
                        int count) {
  int GH = r->G * r->H, from = first * r->H, m = count * r->H;
  ptrdiff_t rows = r->B;
  const real *du = reals(r->du) + from, *h = reals(r->t[H_AFTER]);
  real *target = dweight + (ptrdiff_t)from * r->P;
  ptrdiff_t du_skip = r->reverse ? 0 : rows * GH;
  ptrdiff_t h_skip = r->reverse ? rows * r->P : 0;
  ptrdiff_t begin = r->reverse ? (r->T - 1) * rows * GH : 0;
  add_outer(r, target,
            (outer){du + du_skip, GH, m, h + h_skip, r->P, (r->T - 1) * r->B});
  add_outer(r, target,
            (outer){du + begin, GH, m, reals(r->t[H_FIRST]), r->P, r->B});
}

static void add_read(const recurrence *r, real *dweight, int which, int first,
                     int count) {
  int GH = r->G * r->H, from = first * r->H;
  add_outer(r, dweight + (ptrdiff_t)from * r->P,
            (outer){reals(r->du) + from, GH, count * r->H, reals(r->t[which]),
                    r->P, r->T * r->B});
}

static saros_status add_dweight_hh(const tape_entry *e, const recurrence *r) {
  saros_tensor *dweight;
  TRY(node_gradient(e->input[WEIGHT_HH], &dweight));
  int gates = r->cell->inner ? 2 : r->G;  // the last gate of gru_before read
  real *target = reals(dweight);          // r h, which is 'inner'
  if (r->t[READ])
    add_read(r, target, READ, 0, gates);
  else if (r->t[H_BEFORE])
    add_read(r, target, H_BEFORE, 0, gates);
  else
    add_shifted(r, target, 0, gates);
  if (gates < r->G)
    add_read(r, target, INNER, gates, r->G - gates);
  return SAROS_OK;
}

static saros_status add_dweight_hr(const tape_entry *e, const recurrence *r) {
  saros_tensor *dweight;
  TRY(node_gradient(e->input[WEIGHT_HR], &dweight));
  add_outer(r, reals(dweight),
            (outer){reals(r->dh_new), r->P, r->P, reals(r->t[INNER]), r->H,
                    r->T * r->B});
  return SAROS_OK;
}

/* db += the sum of the rows of da, or of du */
static saros_status add_dbias(tape_node *n, const recurrence *r,
                              const saros_tensor *gradient) {
  saros_tensor *dbias;
  TRY(node_gradient(n, &dbias));
  add_row_sums(r->context, reals(dbias), reals(gradient),
               (size_t)r->T * (size_t)r->B, dbias->count);
  return SAROS_OK;
}

static saros_status add_dpeephole(const tape_entry *e, const recurrence *r) {
  saros_tensor *dpeephole;
  TRY(node_gradient(e->input[PEEPHOLE], &dpeephole));
  size_t rows = (size_t)r->B, H = (size_t)r->H;
  for (int t = 0; t < r->T; t++) {
    size_t at = (size_t)t * rows;
    int before = step_before(r, t);
    const real *c_before =
        r->t[C_BEFORE] ? reals(r->t[C_BEFORE]) + at * H
        : before < 0   ? reals(r->t[C_FIRST])
                       : reals(r->t[C_AFTER]) + (size_t)before * rows * H;
    r->kernels->lstm->peephole_backward(reals(dpeephole),
                                        reals(r->da) + at * 4 * H, c_before,
                                        reals(r->t[C_NEW]) + at * H, rows, H);
  }
  return SAROS_OK;
}

/* The gain and bias of a norm whose result has the gradient dy. */
static saros_status add_norm(const recurrence *r, tape_node *gain,
                             tape_node *bias, const saros_tensor *dy,
                             const int array[4]) {
  saros_tensor *dgain = NULL, *dbias = NULL;
  if (gain != NULL)
    TRY(node_gradient(gain, &dgain));
  if (bias != NULL)
    TRY(node_gradient(bias, &dbias));
  const saros_tensor *g = r->t[array[0]];
  r->kernels->layer_norm->backward(
      NULL, dgain ? reals(dgain) : NULL, dbias ? reals(dbias) : NULL, reals(dy),
      reals(r->t[array[1]]), reals(g), reals(r->t[array[2]]),
      reals(r->t[array[3]]), (size_t)r->T * (size_t)r->B, g->count);
  return SAROS_OK;
}

static saros_status add_parameters(const tape_entry *e, const recurrence *r) {
  if (e->input[WEIGHT_IH])
    TRY(add_dweight_ih(e, r));
  if (e->input[WEIGHT_HH])
    TRY(add_dweight_hh(e, r));
  if (e->input[WEIGHT_HR])
    TRY(add_dweight_hr(e, r));
  if (e->input[BIAS_IH])
    TRY(add_dbias(e->input[BIAS_IH], r, r->da));
  if (e->input[BIAS_HH])
    TRY(add_dbias(e->input[BIAS_HH], r, r->du));
  if (e->input[PEEPHOLE])
    TRY(add_dpeephole(e, r));
  if (e->input[NORM_GAIN] || e->input[NORM_BIAS])
    TRY(add_norm(r, e->input[NORM_GAIN], e->input[NORM_BIAS],
                 r->cell->separate ? r->t[V] : r->da,
                 (const int[]){NORM_GAIN, U, V_MEAN, V_RSTD}));
  if (e->input[NORM_C_GAIN] || e->input[NORM_C_BIAS])
    TRY(add_norm(r, e->input[NORM_C_GAIN], e->input[NORM_C_BIAS], r->dc_seen,
                 (const int[]){NORM_C_GAIN, C_NEW, C_MEAN, C_RSTD}));
  return SAROS_OK;
}

saros_status recurrent_backward(const tape_entry *e) {
  recurrence r = *(const recurrence *)e->arguments;
  memcpy(r.t, e->saved, sizeof r.t);
  saros_tensor *dh, *dc;
  saros_status status;
  TRY_OR_DONE(prepare(e, &r));
  walk_backward(&r, &dh, &dc);
  TRY_OR_DONE(add_parameters(e, &r));
  if (e->input[X])
    TRY_OR_DONE(add_dx(e, &r));
  TRY_OR_DONE(node_add(e->input[H_FIRST], saros_tensor_retain(dh)));
  if (dc != NULL)
    status = node_add(e->input[C_FIRST], saros_tensor_retain(dc));
done:
  release(&r);
  return status;
}
