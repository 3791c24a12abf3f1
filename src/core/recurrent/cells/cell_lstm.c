/*
** The LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al.
** 2000): gates i f g o, states h and c. It may have peepholes (Gers and Schmidhuber
** 2000), a projection of h (Sak et al. 2014) and a layer norm of c (Ba et al. 2016).
*/
#include <string.h>

#include "recurrent.h"
#include "session.h"

static const char *const parameters[] = {
    "weight_ih", "weight_hh", "bias_ih",   "bias_hh",     "weight_hr",
    "peephole",  "norm_gain", "norm_bias", "norm_c_gain", "norm_c_bias",
    "table",     "first_h",   "first_c",   NULL};

static const char *const needed[] = {"weight_hh", NULL};

/* --- Arrays ---------------------------------------------------------------- */

static saros_status lstm_make(recurrence *r) {
  TRY(recurrent_make_or_share(r, R_C_SEEN, r->t[R_NORM_C_GAIN] != NULL, r->H,
                              R_C_NEW));
  if (r->t[R_NORM_C_GAIN])
    TRY(recurrent_make_norm(r, R_C_MEAN, R_C_RSTD));
  return r->t[R_WEIGHT_HR] ? recurrent_make(r, R_INNER, 3, r->H) : SAROS_OK;
}

static saros_status lstm_make_gradients(recurrence *r) {
  if (r->t[R_WEIGHT_HR])
    TRY(recurrent_scratch(r, 3, r->P, &r->dh_new));
  if (r->t[R_NORM_C_GAIN])
    TRY(recurrent_scratch(r, 3, r->H, &r->dc_seen));
  return SAROS_OK;
}

/* --- A step ---------------------------------------------------------------- */

/* True if nothing stands between the cell state and h, nor changes h after. */
static int is_plain_lstm(const recurrence *r) {
  return r->t[R_NORM_C_GAIN] == NULL && r->t[R_WEIGHT_HR] == NULL;
}

static void lstm_forward(const recurrence *r, const recurrent_step *s) {
  const lstm_kernels *k = r->kernels->lstm;
  size_t rows = (size_t)s->rows, H = (size_t)r->H;
  recurrent_project(r, s);
  if (is_plain_lstm(r)) {
    k->step(s->h, s->c_new, s->gates, s->c_before,
            recurrent_reals(r, R_PEEPHOLE), rows, H);
    return;
  }
  k->cell(s->c_new, s->gates, s->c_before, recurrent_reals(r, R_PEEPHOLE), rows,
          H);
  if (r->t[R_NORM_C_GAIN] != NULL)
    r->kernels->layer_norm->forward(s->c_seen, s->c_mean, s->c_rstd, s->c_new,
                                    recurrent_reals(r, R_NORM_C_GAIN),
                                    recurrent_reals(r, R_NORM_C_BIAS),
                                    RECURRENT_NORM_EPSILON, rows, H);
  if (r->t[R_WEIGHT_HR] == NULL) {
    k->output(s->h, s->gates, s->c_seen, rows, H);
    return;
  }
  k->output(s->inner, s->gates, s->c_seen, rows, H);
  recurrent_project_output(r, s);
}

/* The gradient of o tanh(c) from that of h. */
static const real *unproject_output(const recurrence *r,
                                    const recurrent_step *s) {
  if (r->t[R_WEIGHT_HR] == NULL)
    return s->dh;
  recurrent_unproject_output(r, s);
  return s->dinner;
}

static void lstm_backward(const recurrence *r, const recurrent_step *s) {
  const lstm_kernels *k = r->kernels->lstm;
  size_t rows = (size_t)s->rows, H = (size_t)r->H;
  if (s->dh_new != NULL)
    memcpy(s->dh_new, s->dh, rows * (size_t)r->P * sizeof(real));
  if (is_plain_lstm(r)) {
    k->step_backward(s->dc_before, s->dc, s->gates, s->dh, s->c_new,
                     s->c_before, recurrent_reals(r, R_PEEPHOLE), rows, H);
    recurrent_unproject(r, s, s->gates);
    return;
  }
  const real *doutput = unproject_output(r, s);
  if (r->t[R_NORM_C_GAIN] == NULL) {
    k->output_backward(s->dc, s->gates, doutput, s->c_seen, rows, H);
  } else {
    memset(s->dc_seen, 0, rows * H * sizeof(real));
    k->output_backward(s->dc_seen, s->gates, doutput, s->c_seen, rows, H);
    r->kernels->layer_norm->backward(s->dc, s->dc_seen, s->c_new,
                                     recurrent_reals(r, R_NORM_C_GAIN),
                                     s->c_mean, s->c_rstd, rows, H);
  }
  k->cell_backward(s->dc_before, s->dc, s->gates, s->c_before,
                   recurrent_reals(r, R_PEEPHOLE), rows, H);
  recurrent_unproject(r, s, s->gates);
}

/* --- Parameters ------------------------------------------------------------ */

static saros_status add_dweight_hr(const tape_entry *e, const recurrence *r) {
  int rows = r->T * r->B;
  saros_tensor *dweight;
  real beta;
  TRY(tensor_node_target(e->input[R_WEIGHT_HR], &dweight, &beta));
  product_outer_sum sum = {.dy = tensor_reals(r->dh_new),
                           .ldy = r->P,
                           .m = r->P,
                           .rows = rows,
                           .split = rows};
  recurrent_add_factor(&sum, tensor_reals(r->t[R_INNER]), r->H,
                       tensor_reals(dweight), beta);
  return product_add_outer(r->context, &sum);
}

static saros_status add_dpeephole(const tape_entry *e, const recurrence *r) {
  saros_tensor *dpeephole;
  TRY(tensor_node_gradient(e->input[R_PEEPHOLE], &dpeephole));
  size_t rows = (size_t)r->B, H = (size_t)r->H;
  for (int t = 0; t < r->T; t++) {
    size_t at = (size_t)t * rows;
    r->kernels->lstm->peephole_backward(
        tensor_reals(dpeephole), tensor_reals(r->da) + at * 4 * H,
        recurrent_state_seen(r, t, R_C_BEFORE, R_C_AFTER, R_C_FIRST),
        tensor_reals(r->t[R_C_NEW]) + at * H, rows, H);
  }
  return SAROS_OK;
}

static saros_status lstm_add_gradients(const tape_entry *e,
                                       const recurrence *r) {
  if (e->input[R_WEIGHT_HR])
    TRY(add_dweight_hr(e, r));
  if (e->input[R_PEEPHOLE])
    TRY(add_dpeephole(e, r));
  if (e->input[R_NORM_C_GAIN] || e->input[R_NORM_C_BIAS])
    TRY(recurrent_add_norm(
        r, e->input[R_NORM_C_GAIN], e->input[R_NORM_C_BIAS], r->dc_seen,
        (const int[]){R_NORM_C_GAIN, R_C_NEW, R_C_MEAN, R_C_RSTD}));
  return SAROS_OK;
}

/* --- In sessions --------------------------------------------------------------- */

static saros_status plan_peephole(session_planner *p, const session_layer *l,
                                  int fused) {
  session_stage *g = p->stage;
  const real *peephole = l->tensors[R_PEEPHOLE];
  if (peephole == NULL)
    return SAROS_OK;
  if (!fused)
    return session_plan_copy(p, SESSION_PEEPHOLE, peephole, 3 * (size_t)g->H);
  TRY(session_plan_own(p, SESSION_PEEPHOLE, 3 * (size_t)STEP_WIDTH(g->H)));
  for (int part = 0; part < 3; part++)
    memcpy((real *)g->owned[SESSION_PEEPHOLE] + part * STEP_WIDTH(g->H),
           peephole + (ptrdiff_t)part * g->H, (size_t)g->H * sizeof(real));
  return SAROS_OK;
}

static saros_status plan_lstm(session_planner *p, const session_layer *l,
                              int fused) {
  session_stage *g = p->stage;
  const size_t H = (size_t)l->H;
  TRY(plan_peephole(p, l, fused));
  TRY(session_plan_copy(p, SESSION_NORM_C_GAIN, l->tensors[R_NORM_C_GAIN], H));
  TRY(session_plan_copy(p, SESSION_NORM_C_BIAS, l->tensors[R_NORM_C_BIAS], H));
  if (l->tensors[R_WEIGHT_HR] == NULL)
    return SAROS_OK;
  TRY(session_plan_own(p, SESSION_BIAS_R, (size_t)STEP_WIDTH(g->P)));
  return session_plan_dense(p, SESSION_R, l->tensors[R_WEIGHT_HR], g->P, g->H);
}

/* h from what the output gate let through. */
static void project_output(const saros_session *s, const session_stage *g,
                           real *h) {
  session_multiply_rows(s, h, g->owned[SESSION_R],
                        session_at_row(s, g->owned[SESSION_BIAS_R]),
                        session_array_of(s, g, SESSION_INNER), g->P, g->H);
}

static void stream_fused_lstm(saros_session *s, const session_stage *g,
                              const real *x, real *h, const real *h_before) {
  real *output =
      g->owned[SESSION_R] ? session_array_of(s, g, SESSION_INNER) : h;
  s->plan->kernels->lstm(output, session_array_of(s, g, SESSION_C),
                         g->owned[SESSION_W], session_fused_start(s, g), x,
                         g->inputs, h_before, g->P, g->owned[SESSION_PEEPHOLE],
                         s->streams, g->H);
  if (g->owned[SESSION_R])
    project_output(s, g, h);
}

/* c of every row, and 'output' = o tanh(c). */
static void lstm_rows(const saros_session *s, const session_stage *g,
                      real *output) {
  const kernels *k = s->context->kernels;
  const int width = STEP_WIDTH(g->H);
  size_t H = (size_t)g->H;
  real *gates = session_array_of(s, g, SESSION_GATES),
       *c = session_array_of(s, g, SESSION_C);
  real *c_new =
      g->owned[SESSION_SHARE_C] ? session_array_of(s, g, SESSION_C_NEW) : c;
  real *c_seen = c_new, mean, rstd;
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * width;
    real *row_gates = gates + (ptrdiff_t)row * STEP_WIDTH(4 * g->H);
    k->lstm->cell(c_new + at, row_gates, c + at, g->owned[SESSION_PEEPHOLE], 1,
                  H);
    if (g->owned[SESSION_NORM_C_GAIN] != NULL) {
      c_seen = session_array_of(s, g, SESSION_C_SEEN);
      k->layer_norm->forward(
          c_seen + at, &mean, &rstd, c_new + at, g->owned[SESSION_NORM_C_GAIN],
          g->owned[SESSION_NORM_C_BIAS], RECURRENT_NORM_EPSILON, 1, H);
    }
    k->lstm->output(output + at, row_gates, c_seen + at, 1, H);
  }
  if (c_new == c)
    return;
  session_mix_rows(s, c_new, c, g->owned[SESSION_SHARE_C], g->H);
  session_copy_rows(s, c, width, c_new, width, g->H);
}

static void stream_lstm(saros_session *s, const session_stage *g, const real *x,
                        real *h, const real *h_before) {
  session_project_input(s, g, x);
  session_project_state(s, g, h_before);
  lstm_rows(s, g,
            g->owned[SESSION_R] ? session_array_of(s, g, SESSION_INNER) : h);
  if (g->owned[SESSION_R])
    project_output(s, g, h);
  session_mix_rows(s, h, h_before, g->owned[SESSION_SHARE_H], g->P);
}

static const session_cell in_sessions = {
    .step = stream_lstm, .fused = stream_fused_lstm, .plan = plan_lstm};

const recurrent_cell cell_lstm = {
    .facts = {"lstm", 4, 2, 0, parameters},
    .needed = needed,
    .session = &in_sessions,
    .make = lstm_make,
    .make_gradients = lstm_make_gradients,
    .forward = lstm_forward,
    .backward = lstm_backward,
    .add_gradients = lstm_add_gradients,
};
