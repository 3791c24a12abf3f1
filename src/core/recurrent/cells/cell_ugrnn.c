/*
** The update gate RNN (Collins, Sohl-Dickstein and Sussillo 2016): gates z n,
** h = z h(t-1) + (1 - z) n.
*/
#include "recurrent.h"
#include "session.h"

static const char *const parameters[] = {"weight_ih", "weight_hh", "bias_ih",
                                         "bias_hh",   "norm_gain", "norm_bias",
                                         "table",     "first_h",   NULL};

static const char *const needed[] = {"weight_hh", NULL};

static void ugrnn_forward(const recurrence *r, const recurrent_step *s) {
  recurrent_project(r, s);
  r->kernels->ugrnn->step(s->h, s->gates, s->h_before, (size_t)s->rows,
                          (size_t)r->H);
}

static void ugrnn_backward(const recurrence *r, const recurrent_step *s) {
  r->kernels->ugrnn->step_backward(s->dh_before, s->gates, s->dh, s->h_before,
                                   (size_t)s->rows, (size_t)r->H);
  recurrent_unproject(r, s, s->gates);
}

/* --- In sessions --------------------------------------------------------------- */

static void stream_ugrnn(saros_session *s, const session_stage *g,
                         const real *x, real *h, const real *h_before) {
  const int H = g->H;
  real *gates = session_array_of(s, g, SESSION_GATES);
  session_project_input(s, g, x);
  session_project_state(s, g, h_before);
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(H);
    s->context->kernels->ugrnn->step(h + at,
                                     gates + (ptrdiff_t)row * STEP_WIDTH(2 * H),
                                     h_before + at, 1, (size_t)H);
  }
  session_mix_rows(s, h, h_before, g->owned[SESSION_SHARE_H], H);
}

static const session_cell in_sessions = {.step = stream_ugrnn};

const recurrent_cell cell_ugrnn = {
    .facts = {"ugrnn", 2, 1, 0, parameters},
    .needed = needed,
    .session = &in_sessions,
    .forward = ugrnn_forward,
    .backward = ugrnn_backward,
};
