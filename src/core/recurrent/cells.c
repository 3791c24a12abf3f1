/*
** The cells: what one step does to a block of rows, forward and back. What
** surrounds a step (starting again, masks, zoneout, dropout, the walk itself)
** is recurrent_walk.c's.
**
** U h + b' is added to the gates in one product where the cell allows; a cell
** that needs it by itself, and any cell with layer norm, gets it in u, and in v
** after the norm.
*/
#include <math.h>
#include <string.h>

#include "recurrent.h"

static const real *parameter(const recurrence *r, int which) {
  return r->t[which] ? tensor_reals(r->t[which]) : NULL;
}

/* y (rows, n) = b in every row; 0 if there is no b. */
static int fill_rows(real *y, const real *b, int rows, int n) {
  if (b == NULL)
    return 0;
  for (int row = 0; row < rows; row++)
    memcpy(y + (ptrdiff_t)row * n, b, (size_t)n * sizeof(real));
  return 1;
}

/* --- The product of the state ----------------------------------------------------- */

/* A step alone is not worth packing, nor can a packed U be used in parts. */
saros_status recurrent_pack(recurrence *r, int backward) {
  int GH = r->G * r->H;
  if (r->T < 3 || r->cell->inner || r->cell->facts.linear)
    return SAROS_OK;
  const real *start = backward || !r->t[R_U] ? NULL : parameter(r, R_BIAS_HH);
  const product_view U = {parameter(r, R_WEIGHT_HH), r->P, !backward};
  return product_packed_new(r->context, &r->packed, U, start,
                            backward ? r->P : GH, backward ? GH : r->P);
}

/* C = A U or A U^T, or += with 'add', by the packed U. */
static void multiply_packed(const recurrence *r, const recurrent_step *s,
                            real *c, int ldc, const real *a, int lda, int add) {
  size_t ahead = (size_t)s->rows * (size_t)r->G * (size_t)r->H;
  const product_rows rows = {c,       ldc, a,        lda,
                             s->rows, add, s->ahead, s->ahead ? ahead : 0};
  if (r->alone)  // an interrupt is the walk's business
    product_packed_multiply_shared(r->context, &r->packed, &rows);
  else
    product_packed_multiply(r->kernels, &r->packed, &rows);
}

/* Gates first..first + count - 1 of U read, into out (rows, G H). */
static void multiply_gates(const recurrence *r, const recurrent_step *s,
                           real *out, const real *read, int first, int count,
                           real beta) {
  int width = r->G * r->H, from = first * r->H;
  r->kernels->product->multiply(out + from, width, read, r->P, 0,
                                parameter(r, R_WEIGHT_HH) +
                                    (ptrdiff_t)from * r->P,
                                r->P, 1, s->rows, count * r->H, r->P, beta);
}

/* gates += U read, or u = U read + b' */
static void multiply_state(const recurrence *r, const recurrent_step *s) {
  int width = r->G * r->H;
  if (r->packed.data != NULL) {
    multiply_packed(r, s, s->u ? s->u : s->gates, width, s->read, r->P,
                    s->u == NULL);
  } else if (s->u == NULL) {
    multiply_gates(r, s, s->gates, s->read, 0, r->G, 1);
  } else {
    int biased = fill_rows(s->u, parameter(r, R_BIAS_HH), s->rows, width);
    multiply_gates(r, s, s->u, s->read, 0, r->G, biased ? 1 : 0);
  }
}

/* Adds U read to the gates, or leaves it in u, and in v after layer norm. */
static void project(const recurrence *r, const recurrent_step *s) {
  int width = r->G * r->H;
  multiply_state(r, s);
  if (r->t[R_NORM_GAIN] == NULL)
    return;
  r->kernels->layer_norm->forward(
      s->v, s->v_mean, s->v_rstd, s->u, parameter(r, R_NORM_GAIN),
      parameter(r, R_NORM_BIAS), NORM_EPSILON, (size_t)s->rows, (size_t)width);
  if (!r->cell->separate)
    r->kernels->pointwise->add_scaled(s->gates, 1, s->v,
                                      (size_t)s->rows * (size_t)width);
}

/* dread += gates first.. of du, times U. */
static void unmultiply_gates(const recurrence *r, const recurrent_step *s,
                             real *dread, int first, int count, real beta) {
  int width = r->G * r->H, from = first * r->H;
  if (r->packed.data != NULL) {
    multiply_packed(r, s, dread, r->P, s->du, width, beta != 0);
    return;
  }
  r->kernels->product->multiply(dread, r->P, s->du + from, width, 0,
                                parameter(r, R_WEIGHT_HH) +
                                    (ptrdiff_t)from * r->P,
                                r->P, 0, s->rows, r->P, count * r->H, beta);
}

/* From dv, the gradient of v, to du and dread. Without layer norm du is dv. */
static void unproject(const recurrence *r, const recurrent_step *s,
                      const real *dv) {
  size_t width = (size_t)r->G * (size_t)r->H, rows = (size_t)s->rows;
  if (r->t[R_NORM_GAIN] != NULL) {
    memset(s->du, 0, rows * width * sizeof(real));
    r->kernels->layer_norm->backward(s->du, NULL, NULL, dv, s->u,
                                     parameter(r, R_NORM_GAIN), s->v_mean,
                                     s->v_rstd, rows, width);
  }
  unmultiply_gates(r, s, s->dread, 0, r->G, 1);
}

/* --- Elman ------------------------------------------------------------------------- */

/* The activations stay in gates; h may be the same array. */
static void elman_forward(const recurrence *r, const recurrent_step *s) {
  size_t n = (size_t)s->rows * (size_t)r->H;
  const elman_kernels *k = r->kernels->elman;
  project(r, s);
  if (r->cell == &recurrent_cells[SAROS_ELMAN_TANH])
    k->tanh_step(s->gates, s->gates, n);
  else
    k->relu_step(s->gates, s->gates, n);
  if (s->h != s->gates)
    memcpy(s->h, s->gates, n * sizeof(real));
}

static void elman_backward(const recurrence *r, const recurrent_step *s) {
  size_t n = (size_t)s->rows * (size_t)r->H;
  const elman_kernels *k = r->kernels->elman;
  if (r->cell == &recurrent_cells[SAROS_ELMAN_TANH])
    k->tanh_step_backward(s->da, s->dh, s->gates, n);
  else
    k->relu_step_backward(s->da, s->dh, s->gates, n);
  unproject(r, s, s->da);
}

/* --- LSTM --------------------------------------------------------------------------- */

/* Does anything stand between the cell state and h, or is h changed after? */
static int is_plain_lstm(const recurrence *r) {
  return r->t[R_NORM_C_GAIN] == NULL && r->t[R_WEIGHT_HR] == NULL;
}

static void lstm_forward(const recurrence *r, const recurrent_step *s) {
  const lstm_kernels *k = r->kernels->lstm;
  size_t rows = (size_t)s->rows, H = (size_t)r->H;
  project(r, s);
  if (is_plain_lstm(r)) {
    k->step(s->h, s->c_new, s->gates, s->c_before, parameter(r, R_PEEPHOLE),
            rows, H);
    return;
  }
  k->cell(s->c_new, s->gates, s->c_before, parameter(r, R_PEEPHOLE), rows, H);
  if (r->t[R_NORM_C_GAIN] != NULL)
    r->kernels->layer_norm->forward(
        s->c_seen, s->c_mean, s->c_rstd, s->c_new, parameter(r, R_NORM_C_GAIN),
        parameter(r, R_NORM_C_BIAS), NORM_EPSILON, rows, H);
  if (r->t[R_WEIGHT_HR] == NULL) {
    k->output(s->h, s->gates, s->c_seen, rows, H);
    return;
  }
  k->output(s->inner, s->gates, s->c_seen, rows, H);
  r->kernels->product->multiply(s->h, r->P, s->inner, r->H, 0,
                                parameter(r, R_WEIGHT_HR), r->H, 1, s->rows,
                                r->P, r->H, 0);
}

/* The gradient of o tanh(c) from that of h. */
static const real *unproject_output(const recurrence *r,
                                    const recurrent_step *s) {
  if (r->t[R_WEIGHT_HR] == NULL)
    return s->dh;
  r->kernels->product->multiply(s->dinner, r->H, s->dh, r->P, 0,
                                parameter(r, R_WEIGHT_HR), r->H, 0, s->rows,
                                r->H, r->P, 0);
  return s->dinner;
}

static void lstm_backward(const recurrence *r, const recurrent_step *s) {
  const lstm_kernels *k = r->kernels->lstm;
  size_t rows = (size_t)s->rows, H = (size_t)r->H;
  if (is_plain_lstm(r)) {
    k->step_backward(s->dc_before, s->dc, s->gates, s->dh, s->c_new,
                     s->c_before, parameter(r, R_PEEPHOLE), rows, H);
    unproject(r, s, s->gates);
    return;
  }
  const real *doutput = unproject_output(r, s);
  if (r->t[R_NORM_C_GAIN] == NULL) {
    k->output_backward(s->dc, s->gates, doutput, s->c_seen, rows, H);
  } else {
    memset(s->dc_seen, 0, rows * H * sizeof(real));
    k->output_backward(s->dc_seen, s->gates, doutput, s->c_seen, rows, H);
    r->kernels->layer_norm->backward(s->dc, NULL, NULL, s->dc_seen, s->c_new,
                                     parameter(r, R_NORM_C_GAIN), s->c_mean,
                                     s->c_rstd, rows, H);
  }
  k->cell_backward(s->dc_before, s->dc, s->gates, s->c_before,
                   parameter(r, R_PEEPHOLE), rows, H);
  unproject(r, s, s->gates);
}

/* --- GRU ------------------------------------------------------------------------------ */

static void gru_forward(const recurrence *r, const recurrent_step *s) {
  project(r, s);
  r->kernels->gru->step(s->h, s->gates, s->u_n, s->v, s->h_before,
                        (size_t)s->rows, (size_t)r->H);
}

static void gru_backward(const recurrence *r, const recurrent_step *s) {
  r->kernels->gru->step_backward(s->dh_before, s->gates, s->u_n, s->v, s->dh,
                                 s->h_before, (size_t)s->rows, (size_t)r->H);
  unproject(r, s, s->v);
}

/* The reset gate acts on what the product for n reads. */
static void gru_before_forward(const recurrence *r, const recurrent_step *s) {
  const gru_kernels *k = r->kernels->gru;
  size_t rows = (size_t)s->rows, H = (size_t)r->H;
  multiply_gates(r, s, s->gates, s->read, 0, 2, 1);
  k->reset(s->inner, s->gates, s->read, rows, H);
  multiply_gates(r, s, s->gates, s->inner, 2, 1, 1);
  k->finish(s->h, s->gates, s->h_before, rows, H);
}

static void gru_before_backward(const recurrence *r, const recurrent_step *s) {
  const gru_kernels *k = r->kernels->gru;
  size_t rows = (size_t)s->rows, H = (size_t)r->H;
  k->finish_backward(s->dh_before, s->gates, s->dh, s->h_before, rows, H);
  unmultiply_gates(r, s, s->dinner, 2, 1, 0);
  k->reset_backward(s->dread, s->gates, s->dinner, s->read, rows, H);
  unmultiply_gates(r, s, s->dread, 0, 2, 1);
}

/* --- Cells that are linear in their state ---------------------------------------------- */

static void mingru_forward(const recurrence *r, const recurrent_step *s) {
  r->kernels->scan->mingru(s->h, s->gates, s->h_before, r->cell->positive,
                           (size_t)s->rows, (size_t)s->units, (size_t)r->H);
}

static void mingru_backward(const recurrence *r, const recurrent_step *s) {
  r->kernels->scan->mingru_backward(s->dh_before, s->gates, s->dh, s->h_before,
                                    r->cell->positive, (size_t)s->rows,
                                    (size_t)s->units, (size_t)r->H);
}

static void minlstm_forward(const recurrence *r, const recurrent_step *s) {
  r->kernels->scan->minlstm(s->h, s->gates, s->h_before, r->cell->positive,
                            (size_t)s->rows, (size_t)s->units, (size_t)r->H);
}

static void minlstm_backward(const recurrence *r, const recurrent_step *s) {
  r->kernels->scan->minlstm_backward(s->dh_before, s->gates, s->dh, s->h_before,
                                     r->cell->positive, (size_t)s->rows,
                                     (size_t)s->units, (size_t)r->H);
}

static void lru_forward(const recurrence *r, const recurrent_step *s) {
  r->kernels->scan->lru(s->h, s->gates, s->h_before,
                        parameter(r, R_DECAY) + s->unit, (size_t)s->rows,
                        (size_t)s->units, (size_t)r->H);
}

static void lru_backward(const recurrence *r, const recurrent_step *s) {
  r->kernels->scan->lru_backward(
      s->dh_before, s->da, s->dh, parameter(r, R_DECAY) + s->unit,
      (size_t)s->rows, (size_t)s->units, (size_t)r->H);
}

void recurrent_decay(real *decay, const real *nu, const real *theta, int H) {
  for (int k = 0; k < H / 2; k++) {
    double size = exp(-exp((double)nu[k])), phase = exp((double)theta[k]);
    decay[2 * k] = (real)(size * cos(phase));
    decay[2 * k + 1] = (real)(size * sin(phase));
  }
}

/* --- The table --------------------------------------------------------------------------- */

const recurrent_cell recurrent_cells[SAROS_CELLS] = {
    [SAROS_ELMAN_TANH] = {.facts = {"elman_tanh", 1, 1, 0},
                          .forward = elman_forward,
                          .backward = elman_backward},
    [SAROS_ELMAN_RELU] = {.facts = {"elman_relu", 1, 1, 0},
                          .forward = elman_forward,
                          .backward = elman_backward},
    [SAROS_LSTM] = {.facts = {"lstm", 4, 2, 0},
                    .forward = lstm_forward,
                    .backward = lstm_backward},
    [SAROS_GRU] = {.facts = {"gru", 3, 1, 0},
                   .separate = 1,
                   .forward = gru_forward,
                   .backward = gru_backward},
    [SAROS_GRU_BEFORE] = {.facts = {"gru_before", 3, 1, 0},
                          .inner = 1,
                          .forward = gru_before_forward,
                          .backward = gru_before_backward},
    [SAROS_MINGRU] = {.facts = {"mingru", 2, 1, 1},
                      .forward = mingru_forward,
                      .backward = mingru_backward},
    [SAROS_MINGRU_POSITIVE] = {.facts = {"mingru_positive", 2, 1, 1},
                               .positive = 1,
                               .forward = mingru_forward,
                               .backward = mingru_backward},
    [SAROS_MINLSTM] = {.facts = {"minlstm", 3, 1, 1},
                       .forward = minlstm_forward,
                       .backward = minlstm_backward},
    [SAROS_MINLSTM_POSITIVE] = {.facts = {"minlstm_positive", 3, 1, 1},
                                .positive = 1,
                                .forward = minlstm_forward,
                                .backward = minlstm_backward},
    [SAROS_LRU] = {.facts = {"lru", 1, 1, 1},
                   .forward = lru_forward,
                   .backward = lru_backward},
};

saros_cell_facts saros_cell_of(saros_cell c) {
  return (int)c >= 0 && c < SAROS_CELLS ? recurrent_cells[c].facts
                                        : (saros_cell_facts){0};
}
