/*
** What recurrent stages do in one step.
**
** The plain LSTM and GRU are fused: one kernel from the inputs to the new
** state. Whatever their options put between product and state (layer norm,
** zoneout), and the other cells, take the same kernels for products and those
** of whole sequences for the rest.
*/
#include <string.h>

#include "session.h"

/* --- Rows -------------------------------------------------------------------------- */

/* Sums of each row go on from what is in it. */
static const real *const *at_rows(const saros_session *s, const real *rows,
                                  int n) {
  for (int stream = 0; stream < s->streams; stream++)
    s->starts[stream] = rows + (ptrdiff_t)stream * STEP_WIDTH(n);
  return s->starts;
}

static void multiply_rows(const saros_session *s, real *y, const void *packed,
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

static void copy_rows(const saros_session *s, real *y, int y_width,
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

/* --- Fused cells ------------------------------------------------------------------- */

/* Where the sums of a fused cell begin. */
static const real *const *fused_start(const saros_session *s,
                                      const session_stage *g) {
  return g->owned[TABLE] ? session_at_symbols(s, g)
                         : session_at_row(s, g->owned[BIAS]);
}

/* h from what an LSTM's output gate let through. */
static void project_output(const saros_session *s, const session_stage *g,
                           real *h) {
  multiply_rows(s, h, g->owned[R], session_at_row(s, g->owned[BIAS_R]),
                session_array_of(s, g, INNER), g->P, g->H);
}

void session_step_fused_lstm(saros_session *s, const session_stage *g,
                             const real *x, real *h, const real *h_before) {
  real *output = g->owned[R] ? session_array_of(s, g, INNER) : h;
  s->plan->kernels->lstm(output, session_array_of(s, g, C), g->owned[W],
                         fused_start(s, g), x, g->inputs, h_before, g->P,
                         g->owned[PEEPHOLE], s->streams, g->H);
  if (g->owned[R])
    project_output(s, g, h);
}

void session_step_fused_gru(saros_session *s, const session_stage *g,
                            const real *x, real *h, const real *h_before) {
  s->plan->kernels->gru(h, g->owned[W], fused_start(s, g), x, g->inputs,
                        h_before, s->streams, g->H);
}

/* --- Cells from their parts ----------------------------------------------------------- */

/* gates = W x + b; without W, x is W x. */
static void project_input(const saros_session *s, const session_stage *g,
                          const real *x) {
  const int n = g->G * g->H;
  real *gates = session_array_of(s, g, GATES);
  if (g->owned[W] != NULL) {
    multiply_rows(s, gates, g->owned[W], session_at_row(s, g->owned[BIAS]), x,
                  n, g->inputs);
    return;
  }
  const int is_table = g->owned[TABLE] != NULL;
  const real *const *row =
      is_table ? session_at_symbols(s, g) : at_rows(s, x, n);
  for (int stream = 0; stream < s->streams; stream++) {
    real *to = gates + (ptrdiff_t)stream * STEP_WIDTH(n);
    memcpy(to, row[stream], (size_t)n * sizeof(real));
    if (!is_table)
      s->context->kernels->pointwise->add_scaled(to, 1, g->owned[BIAS],
                                                 (size_t)n);
  }
}

/* gates += U h, or u = U h + b', normalised where that is wanted. */
static void project_state(const saros_session *s, const session_stage *g,
                          const real *h_before) {
  int n = g->G * g->H;
  real *gates = session_array_of(s, g, GATES), *u = session_array_of(s, g, U_H);
  if (!g->separate && g->owned[NORM_GAIN] == NULL) {
    multiply_rows(s, gates, g->owned[U], at_rows(s, gates, n), h_before, n,
                  g->P);
    return;
  }
  multiply_rows(s, u, g->owned[U], session_at_row(s, g->owned[BIAS_U]),
                h_before, n, g->P);
  if (g->owned[NORM_GAIN] != NULL)
    normalise_rows(s, u, u, g->owned[NORM_GAIN], g->owned[NORM_BIAS],
                   CELL_NORM_EPSILON, n);
  if (!g->separate)
    add_rows(s, gates, u, n);
}

/* Zoneout: a share of the new state, the rest of the old one. */
static void mix_rows(const saros_session *s, real *now, const real *before,
                     const real *share, int n) {
  for (int row = 0; share != NULL && row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(n);
    s->context->kernels->blend->blend(now + at, before + at, NULL, share, 1,
                                      (size_t)n);
  }
}

static void step_elman(saros_session *s, const session_stage *g, const real *x,
                       real *h, const real *h_before,
                       void (*activate)(real *h, const real *a, size_t n)) {
  const real *gates = session_array_of(s, g, GATES);
  project_input(s, g, x);
  project_state(s, g, h_before);
  for (int row = 0; row < s->streams; row++)
    activate(h + (ptrdiff_t)row * STEP_WIDTH(g->H),
             gates + (ptrdiff_t)row * STEP_WIDTH(g->H), (size_t)g->H);
  mix_rows(s, h, h_before, g->owned[SHARE_H], g->H);
}

void session_step_elman_tanh(saros_session *s, const session_stage *g,
                             const real *x, real *h, const real *h_before) {
  step_elman(s, g, x, h, h_before, s->context->kernels->elman->tanh_step);
}

void session_step_elman_relu(saros_session *s, const session_stage *g,
                             const real *x, real *h, const real *h_before) {
  step_elman(s, g, x, h, h_before, s->context->kernels->elman->relu_step);
}

/* c of every row, and 'output' = o tanh(c). */
static void lstm_rows(const saros_session *s, const session_stage *g,
                      real *output) {
  const kernels *k = s->context->kernels;
  const int width = STEP_WIDTH(g->H);
  size_t H = (size_t)g->H;
  real *gates = session_array_of(s, g, GATES), *c = session_array_of(s, g, C);
  real *c_new = g->owned[SHARE_C] ? session_array_of(s, g, C_NEW) : c;
  real *c_seen = c_new, mean, rstd;
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * width;
    real *row_gates = gates + (ptrdiff_t)row * STEP_WIDTH(4 * g->H);
    k->lstm->cell(c_new + at, row_gates, c + at, g->owned[PEEPHOLE], 1, H);
    if (g->owned[NORM_C_GAIN] != NULL) {
      c_seen = session_array_of(s, g, C_SEEN);
      k->layer_norm->forward(c_seen + at, &mean, &rstd, c_new + at,
                             g->owned[NORM_C_GAIN], g->owned[NORM_C_BIAS],
                             CELL_NORM_EPSILON, 1, H);
    }
    k->lstm->output(output + at, row_gates, c_seen + at, 1, H);
  }
  if (c_new == c)
    return;
  mix_rows(s, c_new, c, g->owned[SHARE_C], g->H);
  copy_rows(s, c, width, c_new, width, g->H);
}

void session_step_lstm(saros_session *s, const session_stage *g, const real *x,
                       real *h, const real *h_before) {
  project_input(s, g, x);
  project_state(s, g, h_before);
  lstm_rows(s, g, g->owned[R] ? session_array_of(s, g, INNER) : h);
  if (g->owned[R])
    project_output(s, g, h);
  mix_rows(s, h, h_before, g->owned[SHARE_H], g->P);
}

void session_step_gru(saros_session *s, const session_stage *g, const real *x,
                      real *h, const real *h_before) {
  const int H = g->H, width = STEP_WIDTH(3 * H);
  real *gates = session_array_of(s, g, GATES), *u = session_array_of(s, g, U_H);
  real *part = session_array_of(s, g, PART);
  project_input(s, g, x);
  project_state(s, g, h_before);
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(H);
    s->context->kernels->gru->step(h + at, gates + (ptrdiff_t)row * width, part,
                                   u + (ptrdiff_t)row * width, h_before + at, 1,
                                   (size_t)H);
  }
  mix_rows(s, h, h_before, g->owned[SHARE_H], H);
}

/* The product for n reads r h, so it has to wait for r. */
void session_step_gru_before(saros_session *s, const session_stage *g,
                             const real *x, real *h, const real *h_before) {
  const gru_kernels *k = s->context->kernels->gru;
  const int H = g->H, width = STEP_WIDTH(3 * H);
  real *gates = session_array_of(s, g, GATES), *n = gates + 2 * H;
  real *u = session_array_of(s, g, U_H);
  real *part = session_array_of(s, g, PART),
       *inner = session_array_of(s, g, INNER);
  project_input(s, g, x);
  multiply_rows(s, part, g->owned[U], at_rows(s, gates, 3 * H), h_before, 2 * H,
                H);
  copy_rows(s, gates, width, part, STEP_WIDTH(2 * H), 2 * H);
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(H);
    k->reset(inner + at, gates + (ptrdiff_t)row * width, h_before + at, 1,
             (size_t)H);
  }
  copy_rows(s, u, STEP_WIDTH(H), n, width, H);  // where rows of vectors begin
  multiply_rows(s, part, g->owned[U_N], at_rows(s, u, H), inner, H, H);
  copy_rows(s, n, width, part, STEP_WIDTH(H), H);
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(H);
    k->finish(h + at, gates + (ptrdiff_t)row * width, h_before + at, 1,
              (size_t)H);
  }
  mix_rows(s, h, h_before, g->owned[SHARE_H], H);
}

/* --- Cells that are linear in their state ------------------------------------------------ */

static void step_linear(const saros_session *s, const session_stage *g,
                        const real *x, real *h, const real *h_before,
                        void (*step)(real *h, const real *gates,
                                     const real *h_prev, int positive,
                                     size_t rows, size_t n, size_t H)) {
  const real *gates = session_array_of(s, g, GATES);
  size_t H = (size_t)g->H;
  project_input(s, g, x);
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(g->H);
    step(h + at, gates + (ptrdiff_t)row * STEP_WIDTH(g->G * g->H),
         h_before + at, g->positive, 1, H, H);
  }
  mix_rows(s, h, h_before, g->owned[SHARE_H], g->H);
}

void session_step_mingru(saros_session *s, const session_stage *g,
                         const real *x, real *h, const real *h_before) {
  step_linear(s, g, x, h, h_before, s->context->kernels->scan->mingru);
}

void session_step_minlstm(saros_session *s, const session_stage *g,
                          const real *x, real *h, const real *h_before) {
  step_linear(s, g, x, h, h_before, s->context->kernels->scan->minlstm);
}

void session_step_lru(saros_session *s, const session_stage *g, const real *x,
                      real *h, const real *h_before) {
  const real *gates = session_array_of(s, g, GATES);
  size_t H = (size_t)g->H;
  project_input(s, g, x);
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(g->H);
    s->context->kernels->scan->lru(h + at, gates + at, h_before + at,
                                   g->owned[DECAY], 1, H, H);
  }
  mix_rows(s, h, h_before, g->owned[SHARE_H], g->H);
}
