/*
** Elman's cells (Elman 1990): h = f(W x + b + U h + b') for f tanh, or max(., 0),
** which is the one that is positive.
*/
#include <string.h>

#include "recurrent.h"
#include "session.h"

static const char *const parameters[] = {"weight_ih", "weight_hh", "bias_ih",
                                         "bias_hh",   "norm_gain", "norm_bias",
                                         "table",     "first_h",   NULL};

static const char *const needed[] = {"weight_hh", NULL};

/* The activations stay in gates; h may be the same array. */
static void elman_forward(const recurrence *r, const recurrent_step *s) {
  size_t n = (size_t)s->rows * (size_t)r->H;
  const elman_kernels *k = r->kernels->elman;
  recurrent_project(r, s);
  if (r->cell->positive)
    k->relu_step(s->gates, s->gates, n);
  else
    k->tanh_step(s->gates, s->gates, n);
  if (s->h != s->gates)
    memcpy(s->h, s->gates, n * sizeof(real));
}

static void elman_backward(const recurrence *r, const recurrent_step *s) {
  size_t n = (size_t)s->rows * (size_t)r->H;
  const elman_kernels *k = r->kernels->elman;
  if (r->cell->positive)
    k->relu_step_backward(s->da, s->dh, s->gates, n);
  else
    k->tanh_step_backward(s->da, s->dh, s->gates, n);
  recurrent_unproject(r, s, s->da);
}

/* --- In sessions --------------------------------------------------------------- */

static void stream_elman(saros_session *s, const session_stage *g,
                         const real *x, real *h, const real *h_before,
                         void (*activate)(real *h, const real *a, size_t n)) {
  const real *gates = session_array_of(s, g, SESSION_GATES);
  session_project_input(s, g, x);
  session_project_state(s, g, h_before);
  for (int row = 0; row < s->streams; row++)
    activate(h + (ptrdiff_t)row * STEP_WIDTH(g->H),
             gates + (ptrdiff_t)row * STEP_WIDTH(g->H), (size_t)g->H);
  session_mix_rows(s, h, h_before, g->owned[SESSION_SHARE_H], g->H);
}

static void stream_elman_tanh(saros_session *s, const session_stage *g,
                              const real *x, real *h, const real *h_before) {
  stream_elman(s, g, x, h, h_before, s->context->kernels->elman->tanh_step);
}

static void stream_elman_relu(saros_session *s, const session_stage *g,
                              const real *x, real *h, const real *h_before) {
  stream_elman(s, g, x, h, h_before, s->context->kernels->elman->relu_step);
}

static const session_cell in_sessions_tanh = {.step = stream_elman_tanh};
static const session_cell in_sessions_relu = {.step = stream_elman_relu};

const recurrent_cell cell_elman_tanh = {
    .facts = {"elman_tanh", 1, 1, 0, parameters},
    .needed = needed,
    .session = &in_sessions_tanh,
    .forward = elman_forward,
    .backward = elman_backward,
};

const recurrent_cell cell_elman_relu = {
    .facts = {"elman_relu", 1, 1, 0, parameters},
    .needed = needed,
    .positive = 1,
    .session = &in_sessions_relu,
    .forward = elman_forward,
    .backward = elman_backward,
};
