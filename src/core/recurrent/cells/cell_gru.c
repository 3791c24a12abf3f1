/*
** The GRU (Cho et al. 2014): gates r z n. The reset gate acts after the product
** U_n h, as PyTorch has it, or on h before it, as the paper does (gru_before).
*/
#include "recurrent.h"
#include "session.h"

static const char *const parameters[] = {"weight_ih", "weight_hh", "bias_ih",
                                         "bias_hh",   "norm_gain", "norm_bias",
                                         "table",     "first_h",   NULL};

static const char *const parameters_before[] = {
    "weight_ih", "weight_hh", "bias_ih", "bias_hh", "table", "first_h", NULL};

static const char *const needed[] = {"weight_hh", NULL};

static void gru_forward(const recurrence *r, const recurrent_step *s) {
  recurrent_project(r, s);
  r->kernels->gru->step(s->h, s->gates, s->u_n, s->v, s->h_before,
                        (size_t)s->rows, (size_t)r->H);
}

static void gru_backward(const recurrence *r, const recurrent_step *s) {
  r->kernels->gru->step_backward(s->dh_before, s->gates, s->u_n, s->v, s->dh,
                                 s->h_before, (size_t)s->rows, (size_t)r->H);
  recurrent_unproject(r, s, s->v);
}

/* The reset gate acts on what the product for n reads. */
static void gru_before_forward(const recurrence *r, const recurrent_step *s) {
  const gru_kernels *k = r->kernels->gru;
  size_t rows = (size_t)s->rows, H = (size_t)r->H;
  recurrent_multiply_gates(r, s, s->gates, s->read, 0, 2, 1);
  k->reset(s->inner, s->gates, s->read, rows, H);
  recurrent_multiply_gates(r, s, s->gates, s->inner, 2, 1, 1);
  k->finish(s->h, s->gates, s->h_before, rows, H);
}

static void gru_before_backward(const recurrence *r, const recurrent_step *s) {
  const gru_kernels *k = r->kernels->gru;
  size_t rows = (size_t)s->rows, H = (size_t)r->H;
  k->finish_backward(s->dh_before, s->gates, s->dh, s->h_before, rows, H);
  recurrent_unmultiply_gates(r, s, s->dinner, 2, 1, 0);
  k->reset_backward(s->dread, s->gates, s->dinner, s->read, rows, H);
  recurrent_unmultiply_gates(r, s, s->dread, 0, 2, 1);
}

static saros_status gru_before_make(recurrence *r) {
  return recurrent_make(r, R_INNER, 3, r->H);
}

static const char *gru_before_reason(int which) {
  return which == R_NORM_GAIN || which == R_NORM_BIAS
             ? "its projection is made in two parts; use gru"
             : NULL;
}

/* --- In sessions --------------------------------------------------------------- */

static void stream_fused_gru(saros_session *s, const session_stage *g,
                             const real *x, real *h, const real *h_before) {
  s->plan->kernels->gru(h, g->owned[SESSION_W], session_fused_start(s, g), x,
                        g->inputs, h_before, s->streams, g->H);
}

static void stream_gru(saros_session *s, const session_stage *g, const real *x,
                       real *h, const real *h_before) {
  const int H = g->H, width = STEP_WIDTH(3 * H);
  real *gates = session_array_of(s, g, SESSION_GATES),
       *u = session_array_of(s, g, SESSION_U_H);
  real *part = session_array_of(s, g, SESSION_PART);
  session_project_input(s, g, x);
  session_project_state(s, g, h_before);
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(H);
    s->context->kernels->gru->step(h + at, gates + (ptrdiff_t)row * width, part,
                                   u + (ptrdiff_t)row * width, h_before + at, 1,
                                   (size_t)H);
  }
  session_mix_rows(s, h, h_before, g->owned[SESSION_SHARE_H], H);
}

/* The product for n reads r h, so it has to wait for r. */
static void stream_gru_before(saros_session *s, const session_stage *g,
                              const real *x, real *h, const real *h_before) {
  const gru_kernels *k = s->context->kernels->gru;
  const int H = g->H, width = STEP_WIDTH(3 * H);
  real *gates = session_array_of(s, g, SESSION_GATES), *n = gates + 2 * H;
  real *u = session_array_of(s, g, SESSION_U_H);
  real *part = session_array_of(s, g, SESSION_PART),
       *inner = session_array_of(s, g, SESSION_INNER);
  session_project_input(s, g, x);
  session_multiply_rows(s, part, g->owned[SESSION_U],
                        session_at_rows(s, gates, 3 * H), h_before, 2 * H, H);
  session_copy_rows(s, gates, width, part, STEP_WIDTH(2 * H), 2 * H);
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(H);
    k->reset(inner + at, gates + (ptrdiff_t)row * width, h_before + at, 1,
             (size_t)H);
  }
  session_copy_rows(s, u, STEP_WIDTH(H), n, width,
                    H);  // where rows of vectors begin
  session_multiply_rows(s, part, g->owned[SESSION_U_N],
                        session_at_rows(s, u, H), inner, H, H);
  session_copy_rows(s, n, width, part, STEP_WIDTH(H), H);
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(H);
    k->finish(h + at, gates + (ptrdiff_t)row * width, h_before + at, 1,
              (size_t)H);
  }
  session_mix_rows(s, h, h_before, g->owned[SESSION_SHARE_H], H);
}

static const session_cell in_sessions = {.step = stream_gru,
                                         .fused = stream_fused_gru};
static const session_cell in_sessions_before = {.step = stream_gru_before};

const recurrent_cell cell_gru = {
    .facts = {"gru", 3, 1, 0, parameters},
    .needed = needed,
    .separate = 1,
    .session = &in_sessions,
    .forward = gru_forward,
    .backward = gru_backward,
};

const recurrent_cell cell_gru_before = {
    .facts = {"gru_before", 3, 1, 0, parameters_before},
    .needed = needed,
    .in_parts = 1,
    .session = &in_sessions_before,
    .reason = gru_before_reason,
    .make = gru_before_make,
    .forward = gru_before_forward,
    .backward = gru_before_backward,
};
