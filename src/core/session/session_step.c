/*
** What the steps of cells are made of (recurrent/cells/). Products take the kernels
** of sessions, whatever lies between them those of whole sequences.
*/
#include <string.h>

#include "session.h"

/* --- Rows -------------------------------------------------------------------------- */

/* Sums of each row go on from what is in it. */
const real *const *session_at_rows(const saros_session *s, const real *rows,
                                   int n) {
  for (int stream = 0; stream < s->streams; stream++)
    s->starts[stream] = rows + (ptrdiff_t)stream * STEP_WIDTH(n);
  return s->starts;
}

void session_multiply_rows(const saros_session *s, real *y, const void *packed,
                           const real *const *start, const real *x, int n,
                           int k) {
  s->plan->kernels->dense(y, packed, start, x, s->streams, n, k);
}

/* y (streams, n) += x, or = x */
static void add_rows(const saros_session *s, real *y, const real *x, int n) {
  const pointwise_kernels *k = s->context->kernels->pointwise;
  for (int row = 0; row < s->streams; row++)
    k->add_scaled(y + (ptrdiff_t)row * STEP_WIDTH(n), 1,
                  x + (ptrdiff_t)row * STEP_WIDTH(n), (size_t)n);
}

void session_copy_rows(const saros_session *s, real *y, int y_width,
                       const real *x, int x_width, int n) {
  for (int row = 0; row < s->streams; row++)
    memcpy(y + (ptrdiff_t)row * y_width, x + (ptrdiff_t)row * x_width,
           (size_t)n * sizeof(real));
}

static void normalise_rows(const saros_session *s, real *y, const real *x,
                           const real *gain, const real *bias, double epsilon,
                           int n) {
  real mean, rstd;
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(n);
    s->context->kernels->layer_norm->forward(y + at, &mean, &rstd, x + at, gain,
                                             bias, epsilon, 1, (size_t)n);
  }
}

/* --- Parts --------------------------------------------------------------------------- */

/* Where the sums of a fused cell begin. */
const real *const *session_fused_start(const saros_session *s,
                                       const session_stage *g) {
  return g->owned[SESSION_TABLE] ? session_at_symbols(s, g)
                                 : session_at_row(s, g->owned[SESSION_BIAS]);
}

/* gates = W x + b; without W, x is W x. */
void session_project_input(const saros_session *s, const session_stage *g,
                           const real *x) {
  const int n = g->G * g->H;
  real *gates = session_array_of(s, g, SESSION_GATES);
  if (g->owned[SESSION_W] != NULL) {
    session_multiply_rows(s, gates, g->owned[SESSION_W],
                          session_at_row(s, g->owned[SESSION_BIAS]), x, n,
                          g->inputs);
    return;
  }
  const int is_table = g->owned[SESSION_TABLE] != NULL;
  const real *const *row =
      is_table ? session_at_symbols(s, g) : session_at_rows(s, x, n);
  for (int stream = 0; stream < s->streams; stream++) {
    real *to = gates + (ptrdiff_t)stream * STEP_WIDTH(n);
    if (is_table)
      memcpy(to, row[stream], (size_t)n * sizeof(real));
    else
      s->context->kernels->pointwise->binary[BINARY_ADD](
          to, row[stream], 1, g->owned[SESSION_BIAS], 1, (size_t)n);
  }
}

/* gates += U h, or u = U h + b', normalised where that is wanted. */
void session_project_state(const saros_session *s, const session_stage *g,
                           const real *h_before) {
  int n = g->G * g->H;
  real *gates = session_array_of(s, g, SESSION_GATES),
       *u = session_array_of(s, g, SESSION_U_H);
  if (!g->separate && g->owned[SESSION_NORM_GAIN] == NULL) {
    session_multiply_rows(s, gates, g->owned[SESSION_U],
                          session_at_rows(s, gates, n), h_before, n, g->P);
    return;
  }
  session_multiply_rows(s, u, g->owned[SESSION_U],
                        session_at_row(s, g->owned[SESSION_BIAS_U]), h_before,
                        n, g->P);
  if (g->owned[SESSION_NORM_GAIN] != NULL)
    normalise_rows(s, u, u, g->owned[SESSION_NORM_GAIN],
                   g->owned[SESSION_NORM_BIAS], RECURRENT_NORM_EPSILON, n);
  if (!g->separate)
    add_rows(s, gates, u, n);
}

/* Zoneout: a share of the new state, the rest of the old one. */
void session_mix_rows(const saros_session *s, real *now, const real *before,
                      const real *share, int n) {
  for (int row = 0; share != NULL && row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(n);
    s->context->kernels->blend->blend(now + at, before + at, NULL, share, 1,
                                      (size_t)n);
  }
}

void session_step_linear(saros_session *s, const session_stage *g,
                         const real *x, real *h, const real *h_before,
                         session_scan *step) {
  const real *gates = session_array_of(s, g, SESSION_GATES);
  size_t H = (size_t)g->H;
  session_project_input(s, g, x);
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(g->H);
    step(h + at, gates + (ptrdiff_t)row * STEP_WIDTH(g->G * g->H),
         h_before + at, g->positive, 1, H, H);
  }
  session_mix_rows(s, h, h_before, g->owned[SESSION_SHARE_H], g->H);
}
