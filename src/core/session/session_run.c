/*
** What the stages of a session do in one step.
**
** The plain LSTM and GRU are fused: one kernel from the inputs to the new
** state. Whatever their options put between product and state (layer norm,
** zoneout), and the other cells, take the same kernels for products and those
** of whole sequences for the rest.
*/
#include <string.h>

#include "session.h"

/* --- Products ------------------------------------------------------------------- */

/* Sums of all rows begin at one row. */
static const real *const *at_row(const saros_session *s, const real *row) {
  for (int stream = 0; stream < s->streams; stream++)
    s->starts[stream] = row;
  return s->starts;
}

/* Sums of each row go on from what is in it. */
static const real *const *at_rows(const saros_session *s, const real *rows,
                                  int n) {
  for (int stream = 0; stream < s->streams; stream++)
    s->starts[stream] = rows + (ptrdiff_t)stream * STEP_WIDTH(n);
  return s->starts;
}

/* Sums begin where the table has them for the symbol of each row. */
static const real *const *at_symbols(const saros_session *s,
                                     const session_stage *g) {
  const real *table = g->owned[TABLE];
  for (int stream = 0; stream < s->streams; stream++)
    s->starts[stream] = table + (ptrdiff_t)s->ids[stream] * g->table_width;
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

/* --- Stages without a state ------------------------------------------------------- */

void session_run_output(saros_session *s, const session_stage *g,
                        const real *x) {
  size_t n = (size_t)g->outputs;
  real *y = tensor_reals(s->output);
  for (int row = 0; row < s->streams; row++, y += n, x += STEP_WIDTH(n))
    memcpy(y, x, n * sizeof(real));
}

void session_run_embedding(saros_session *s, const session_stage *g,
                           const real *x) {
  real *y = session_array_of(s, g, Y);
  const real *const *row = at_symbols(s, g);
  (void)x;
  for (int stream = 0; stream < s->streams; stream++)
    memcpy(y + (ptrdiff_t)stream * STEP_WIDTH(g->outputs), row[stream],
           (size_t)g->outputs * sizeof(real));
  session_run_next(s, g, y);
}

void session_run_linear(saros_session *s, const session_stage *g,
                        const real *x) {
  real *y = session_array_of(s, g, Y);
  multiply_rows(s, y, g->owned[W], at_row(s, g->owned[BIAS]), x, g->outputs,
                g->inputs);
  session_run_next(s, g, y);
}

void session_run_layer_norm(saros_session *s, const session_stage *g,
                            const real *x) {
  real *y = session_array_of(s, g, Y);
  normalise_rows(s, y, x, g->owned[NORM_GAIN], g->owned[NORM_BIAS], g->epsilon,
                 g->outputs);
  session_run_next(s, g, y);
}

void session_run_function(saros_session *s, const session_stage *g,
                          const real *x) {
  real *y = session_array_of(s, g, Y);
  for (int row = 0; row < s->streams; row++) {
    const ptrdiff_t at = (ptrdiff_t)row * STEP_WIDTH(g->outputs);
    s->context->kernels->pointwise->unary[g->function](y + at, x + at,
                                                       (size_t)g->outputs);
  }
  session_run_next(s, g, y);
}

void session_run_add(saros_session *s, const session_stage *g, const real *x) {
  const real *read = s->read[g->number - g->back];
  real *y = session_array_of(s, g, Y);
  const real *scale = g->owned[SCALE];
  const int n = g->outputs, width = STEP_WIDTH(n);
  copy_rows(s, y, width, read, width, n);
  for (int row = 0; scale != NULL && row < s->streams; row++)
    s->context->kernels->pointwise->binary[BINARY_MULTIPLY](
        y + (ptrdiff_t)row * width, y + (ptrdiff_t)row * width, 1, scale, 1,
        (size_t)n);
  add_rows(s, y, x, n);
  session_run_next(s, g, y);
}

/* --- Recurrent stages --------------------------------------------------------------- */

void session_run_recurrent(saros_session *s, const session_stage *g,
                           const real *x) {
  real *h = session_array_of(s, g, s->odd ? H_ODD : H_EVEN);
  g->step(s, g, x, h, session_array_of(s, g, s->odd ? H_EVEN : H_ODD));
  real *y = g->residual ? session_array_of(s, g, Y) : h;
  if (g->residual) {
    copy_rows(s, y, STEP_WIDTH(g->P), h, STEP_WIDTH(g->P), g->P);
    add_rows(s, y, x, g->P);
  }
  session_run_next(s, g, y);
}

/* Where the sums of a fused cell begin. */
static const real *const *fused_start(const saros_session *s,
                                      const session_stage *g) {
  return g->owned[TABLE] ? at_symbols(s, g) : at_row(s, g->owned[BIAS]);
}

/* h from what an LSTM's output gate let through. */
static void project_output(const saros_session *s, const session_stage *g,
                           real *h) {
  multiply_rows(s, h, g->owned[R], at_row(s, g->owned[BIAS_R]),
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

/* gates = W x + b, the first part normalised where that is wanted. */
static void project_input(const saros_session *s, const session_stage *g,
                          const real *x) {
  int n = g->G * g->H;
  real *gates = session_array_of(s, g, GATES);
  if (g->owned[TABLE] != NULL) {
    const real *const *row = at_symbols(s, g);
    for (int stream = 0; stream < s->streams; stream++)
      memcpy(gates + (ptrdiff_t)stream * STEP_WIDTH(n), row[stream],
             (size_t)n * sizeof(real));
    return;
  }
  multiply_rows(s, gates, g->owned[W], at_row(s, g->owned[BIAS]), x, n,
                g->inputs);
  if (g->owned[NORM_X_GAIN] != NULL)
    normalise_rows(s, gates, gates, g->owned[NORM_X_GAIN],
                   g->owned[NORM_X_BIAS], CELL_NORM_EPSILON, n);
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
  multiply_rows(s, u, g->owned[U], at_row(s, g->owned[BIAS_U]), h_before, n,
                g->P);
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
