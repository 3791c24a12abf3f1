/*
** The LRU (Orvieto et al. 2023): H / 2 complex units, linear in their state, which
** turns by e^theta and decays by e^-e^nu in each step; real and imaginary parts are
** neighbours.
*/
#include <math.h>
#include <string.h>

#include "recurrent.h"
#include "session.h"

static const char *const parameters[] = {"weight_ih", "bias_ih", "table", "nu",
                                         "theta",     "first_h", NULL};

static const char *const needed[] = {"nu", "theta", NULL};

void recurrent_decay(real *decay, const real *nu, const real *theta, int H) {
  for (int k = 0; k < H / 2; k++) {
    double size = exp(-exp((double)nu[k])), phase = exp((double)theta[k]);
    decay[2 * k] = (real)(size * cos(phase));
    decay[2 * k + 1] = (real)(size * sin(phase));
  }
}

static saros_status lru_make(recurrence *r) {
  TRY(tensor_new(r->context, SAROS_REAL, 1, &r->H, &r->t[R_DECAY]));
  recurrent_decay(tensor_reals(r->t[R_DECAY]), tensor_reals(r->t[R_NU]),
                  tensor_reals(r->t[R_THETA]), r->H);
  return SAROS_OK;
}

static void lru_forward(const recurrence *r, const recurrent_step *s) {
  r->kernels->scan->lru(s->h, s->gates, s->h_before,
                        recurrent_reals(r, R_DECAY) + s->unit, (size_t)s->rows,
                        (size_t)s->units, (size_t)r->H);
}

static void lru_backward(const recurrence *r, const recurrent_step *s) {
  r->kernels->scan->lru_backward(
      s->dh_before, s->da, s->dh, recurrent_reals(r, R_DECAY) + s->unit,
      (size_t)s->rows, (size_t)s->units, (size_t)r->H);
}

/* The gradient of nu or theta from that of the decay, e^(i e^theta - e^nu). */
static saros_status add_log_rate(tensor_node *node, const recurrence *r,
                                 int which, const double *ddecay) {
  saros_tensor *gradient;
  if (node == NULL)
    return SAROS_OK;
  TRY(tensor_node_gradient(node, &gradient));
  const real *log_rate = tensor_reals(r->t[which]),
             *decay = tensor_reals(r->t[R_DECAY]);
  for (int k = 0; k < r->H / 2; k++) {
    double rate = exp((double)log_rate[k]);
    double re = (double)decay[2 * k], im = (double)decay[2 * k + 1];
    const double *d = &ddecay[2 * k];
    tensor_reals(gradient)[k] +=
        (real)(which == R_NU ? -rate * (d[0] * re + d[1] * im)
                             : rate * (d[1] * re - d[0] * im));
  }
  return SAROS_OK;
}

static saros_status lru_add_gradients(const tape_entry *e,
                                      const recurrence *r) {
  if (!e->input[R_NU] && !e->input[R_THETA])
    return SAROS_OK;
  size_t rows = (size_t)r->B, H = (size_t)r->H, bytes = H * sizeof(double);
  double *ddecay = pool_take(&r->context->pool, bytes);
  if (ddecay == NULL)
    return base_out_of_memory(r->context, bytes);
  memset(ddecay, 0, bytes);
  for (int t = 0; t < r->T; t++)
    r->kernels->scan->decay_backward(
        ddecay, tensor_reals(r->da) + (size_t)t * rows * H,
        recurrent_state_seen(r, t, R_H_BEFORE, R_H_AFTER, R_H_FIRST), rows, H);
  saros_status status = add_log_rate(e->input[R_NU], r, R_NU, ddecay);
  if (status == SAROS_OK)
    status = add_log_rate(e->input[R_THETA], r, R_THETA, ddecay);
  pool_give(&r->context->pool, ddecay);
  return status;
}

/* --- In sessions --------------------------------------------------------------- */

/* What the units are multiplied by, instead of a product. */
static saros_status plan_decay(session_planner *p, const session_layer *l,
                               int fused) {
  (void)fused;
  TRY(session_plan_own(p, SESSION_DECAY, (size_t)STEP_WIDTH(l->H)));
  recurrent_decay(p->stage->owned[SESSION_DECAY], l->tensors[R_NU],
                  l->tensors[R_THETA], l->H);
  return SAROS_OK;
}

static void stream_lru(saros_session *s, const session_stage *g, const real *x,
                       real *h, const real *h_before) {
  const real *gates = session_array_of(s, g, SESSION_GATES);
  size_t H = (size_t)g->H;
  session_project_input(s, g, x);
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(g->H);
    s->context->kernels->scan->lru(h + at, gates + at, h_before + at,
                                   g->owned[SESSION_DECAY], 1, H, H);
  }
  session_mix_rows(s, h, h_before, g->owned[SESSION_SHARE_H], g->H);
}

static const session_cell in_sessions = {.step = stream_lru,
                                         .plan = plan_decay};

const recurrent_cell cell_lru = {
    .facts = {"lru", 1, 1, 1, parameters},
    .needed = needed,
    .multiple = 2,
    .session = &in_sessions,
    .reason = recurrent_linear_reason,
    .make = lru_make,
    .forward = lru_forward,
    .backward = lru_backward,
    .add_gradients = lru_add_gradients,
};
