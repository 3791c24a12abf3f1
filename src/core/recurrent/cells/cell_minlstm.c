/*
** The minLSTM (Feng et al. 2024): gates i f n, linear in h, which it does not
** multiply by weights. The positive kind is the paper's, whose n is made positive.
*/
#include "recurrent.h"
#include "session.h"

static const char *const parameters[] = {"weight_ih", "bias_ih", "table",
                                         "first_h", NULL};

static void minlstm_forward(const recurrence *r, const recurrent_step *s) {
  r->kernels->scan->minlstm(s->h, s->gates, s->h_before, r->cell->positive,
                            (size_t)s->rows, (size_t)s->units, (size_t)r->H);
}

static void minlstm_backward(const recurrence *r, const recurrent_step *s) {
  r->kernels->scan->minlstm_backward(s->dh_before, s->gates, s->dh, s->h_before,
                                     r->cell->positive, (size_t)s->rows,
                                     (size_t)s->units, (size_t)r->H);
}

/* --- In sessions --------------------------------------------------------------- */

static void stream_minlstm(saros_session *s, const session_stage *g,
                           const real *x, real *h, const real *h_before) {
  session_step_linear(s, g, x, h, h_before, s->context->kernels->scan->minlstm);
}

static const session_cell in_sessions = {.step = stream_minlstm};

const recurrent_cell cell_minlstm = {
    .facts = {"minlstm", 3, 1, 1, parameters},
    .session = &in_sessions,
    .reason = recurrent_linear_reason,
    .forward = minlstm_forward,
    .backward = minlstm_backward,
};

const recurrent_cell cell_minlstm_positive = {
    .facts = {"minlstm_positive", 3, 1, 1, parameters},
    .positive = 1,
    .session = &in_sessions,
    .reason = recurrent_linear_reason,
    .forward = minlstm_forward,
    .backward = minlstm_backward,
};
