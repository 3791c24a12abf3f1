/*
** Recurrence: one layer of a cell over a whole sequence, forward and back
** through time.
**
** What does not depend on h(t-1) is done for all steps at once: the projection
** of the input is one product, and so are, backwards, the gradients of the
** input and of both weight matrices. Only the product of h(t-1) and its
** gradient walk from step to step. Rows of a batch never meet on that walk, so
** blocks of rows take it independently, each through the whole window.
**
** Cells are rows of a table. Elman's cell keeps its activations in y itself:
** the pre-activations are projected into y and turned into h in place.
**
** Letters: T steps, B rows, I input features, H hidden units.
*/
#include <string.h>

#include "core.h"

/* --- The cells ------------------------------------------------------------------------ */

typedef struct cell {
  const char *name;
  void (*step)(const kernels *k, real *h, size_t n);
  void (*step_backward)(const kernels *k, real *da, const real *dh,
                        const real *dh_next, const real *h, size_t n);
} cell;

static void tanh_step(const kernels *k, real *h, size_t n) {
  k->elman->tanh_step(h, h, n);
}

static void relu_step(const kernels *k, real *h, size_t n) {
  k->elman->relu_step(h, h, n);
}

static void tanh_step_backward(const kernels *k, real *da, const real *dh,
                               const real *dh_next, const real *h, size_t n) {
  k->elman->tanh_step_backward(da, dh, dh_next, h, n);
}

static void relu_step_backward(const kernels *k, real *da, const real *dh,
                               const real *dh_next, const real *h, size_t n) {
  k->elman->relu_step_backward(da, dh, dh_next, h, n);
}

static const cell cells[SAROS_CELLS] = {
    [SAROS_ELMAN_TANH] = {"elman_tanh", tanh_step, tanh_step_backward},
    [SAROS_ELMAN_RELU] = {"elman_relu", relu_step, relu_step_backward},
};

const char *saros_cell_name(saros_cell c) {
  return cells[c].name;
}

/* --- A sequence ---------------------------------------------------------------------------- */

/* The order of the inputs of the entry; the first five are saved with y. */
enum { X, STATE, WEIGHT_IH, WEIGHT_HH, BIAS_IH, BIAS_HH, INPUTS };
enum { Y = INPUTS - 2, SAVED };  // X, STATE, WEIGHT_IH, WEIGHT_HH, Y

typedef struct sequence {
  const cell *cell;
  saros_context *context;
  int T, B, I, H;
  int rows;  // of a block
  const real *x, *state, *weight_ih, *weight_hh;
  real *y;
  real *da;        // (T, B, H), backward only
  const real *dy;  // (T, B, H)
  real *dh;        // (B, H), comes back from the step after
} sequence;

/* Rows in a block, from the shape alone: bits must not depend on threads. */
static int rows_of_block(int T, int B, int H) {
  if ((double)T * B * H * H < 1e6)
    return B;
  int blocks = (B + 31) / 32;
  if (blocks == 1 && B >= 8)
    blocks = 2;
  return (B + blocks - 1) / blocks;
}

static sequence sequence_of(saros_context *context, saros_cell c,
                            saros_tensor *const *tensor, saros_tensor *y) {
  const saros_tensor *x = tensor[X];
  int T = x->shape[0], B = x->shape[1], H = y->shape[2];
  return (sequence){
      .cell = &cells[c],
      .context = context,
      .T = T,
      .B = B,
      .I = x->shape[2],
      .H = H,
      .rows = rows_of_block(T, B, H),
      .x = reals(x),
      .state = tensor[STATE] ? reals(tensor[STATE]) : NULL,
      .weight_ih = reals(tensor[WEIGHT_IH]),
      .weight_hh = reals(tensor[WEIGHT_HH]),
      .y = reals(y),
  };
}

static int block_count(const sequence *s) {
  return (s->B + s->rows - 1) / s->rows;
}

/* --- Forward ---------------------------------------------------------------------------------- */

/* y = x W_ih^T + b_ih + b_hh for all steps at once */
static void project_input(const sequence *s, const saros_tensor *bias_ih,
                          const saros_tensor *bias_hh) {
  const kernels *k = s->context->kernels;
  size_t H = (size_t)s->H, rows = (size_t)s->T * (size_t)s->B;
  const saros_tensor *bias[2] = {bias_ih, bias_hh};
  int biased = bias_ih != NULL || bias_hh != NULL;
  if (biased && rows > 0) {
    k->pointwise->fill(s->y, 0, H);
    for (int i = 0; i < 2; i++)
      if (bias[i])
        k->pointwise->add_scaled(s->y, 1, reals(bias[i]), H);
    for (size_t row = 1; row < rows; row++)
      memcpy(s->y + row * H, s->y, H * sizeof(real));
  }
  multiply(s->context, s->y, s->H, s->x, s->I, 0, s->weight_ih, s->I, 1,
           (int)rows, s->H, s->I, biased ? 1 : 0);
}

/* A block of rows through all steps: y(t) = f(y(t) + h(t-1) W_hh^T) */
static void forward_block(void *arguments, int block) {
  const sequence *s = arguments;
  const kernels *k = s->context->kernels;
  int first = block * s->rows, H = s->H;
  int rows = s->B - first < s->rows ? s->B - first : s->rows;
  ptrdiff_t step = (ptrdiff_t)s->B * H, skip = (ptrdiff_t)first * H;
  const real *h = s->state ? s->state + skip : NULL;
  real *y = s->y + skip;
  for (int t = 0; t < s->T; t++, y += step) {
    if (h != NULL)
      k->product->multiply(y, H, h, H, 0, s->weight_hh, H, 1, rows, H, H, 1);
    s->cell->step(k, y, (size_t)rows * (size_t)H);
    h = y;
  }
}

/* --- Backward ----------------------------------------------------------------------------------- */

/* A block of rows back through all steps: da(t) from dy(t) and da(t+1). What
** remains in dh is the gradient of the initial state. */
static void backward_block(void *arguments, int block) {
  const sequence *s = arguments;
  const kernels *k = s->context->kernels;
  int first = block * s->rows, H = s->H;
  int rows = s->B - first < s->rows ? s->B - first : s->rows;
  ptrdiff_t step = (ptrdiff_t)s->B * H, skip = (ptrdiff_t)first * H;
  real *dh = s->dh + skip;
  for (int t = s->T - 1; t >= 0; t--) {
    ptrdiff_t at = t * step + skip;
    s->cell->step_backward(k, s->da + at, s->dy + at, dh, s->y + at,
                           (size_t)rows * (size_t)H);
    k->product->multiply(dh, H, s->da + at, H, 0, s->weight_hh, H, 0, rows, H,
                         H, 0);
  }
}

/* dx += da W_ih */
static saros_status add_dx(const sequence *s, tape_node *n) {
  saros_tensor *dx;
  real beta;
  TRY(node_target(n, &dx, &beta));
  multiply(s->context, reals(dx), s->I, s->da, s->H, 0, s->weight_ih, s->I, 0,
           s->T * s->B, s->I, s->H, beta);
  return SAROS_OK;
}

/* dW_ih += da^T x */
static saros_status add_dweight_ih(const sequence *s, tape_node *n) {
  saros_tensor *dweight;
  real beta;
  TRY(node_target(n, &dweight, &beta));
  multiply(s->context, reals(dweight), s->I, s->da, s->H, 1, s->x, s->I, 0,
           s->H, s->I, s->T * s->B, beta);
  return SAROS_OK;
}

/* dW_hh += sum over t of da(t)^T h(t-1) */
static saros_status add_dweight_hh(const sequence *s, tape_node *n) {
  saros_tensor *dweight;
  real beta;
  TRY(node_target(n, &dweight, &beta));
  int H = s->H;
  ptrdiff_t step = (ptrdiff_t)s->B * H;
  multiply(s->context, reals(dweight), H, s->da + step, H, 1, s->y, H, 0, H, H,
           (s->T - 1) * s->B, beta);
  if (s->state != NULL)
    multiply(s->context, reals(dweight), H, s->da, H, 1, s->state, H, 0, H, H,
             s->B, 1);
  return SAROS_OK;
}

static saros_status add_dbias(const sequence *s, tape_node *n) {
  saros_tensor *dbias;
  TRY(node_gradient(n, &dbias));
  add_row_sums(s->context, reals(dbias), s->da, (size_t)s->T * (size_t)s->B,
               (size_t)s->H);
  return SAROS_OK;
}

static saros_status add_gradients(const tape_entry *e, const sequence *s,
                                  saros_tensor *dh) {
  if (e->input[X])
    TRY(add_dx(s, e->input[X]));
  if (e->input[WEIGHT_IH])
    TRY(add_dweight_ih(s, e->input[WEIGHT_IH]));
  if (e->input[WEIGHT_HH])
    TRY(add_dweight_hh(s, e->input[WEIGHT_HH]));
  if (e->input[BIAS_IH])
    TRY(add_dbias(s, e->input[BIAS_IH]));
  if (e->input[BIAS_HH])
    TRY(add_dbias(s, e->input[BIAS_HH]));
  return node_add(e->input[STATE], saros_tensor_retain(dh));
}

/* The gradient of an output, or zeros of its shape. */
static saros_status gradient_or_zeros(const tape_entry *e, int output,
                                      saros_tensor **out) {
  TRY(entry_gradient(e, output, out));
  if (*out != NULL)
    return SAROS_OK;
  const tape_node *n = e->output[output];
  return saros_tensor_new(e->context, SAROS_REAL, n->rank, n->shape, out);
}

static saros_status recurrent_backward(const tape_entry *e) {
  saros_tensor *dy = NULL, *dlast = NULL, *dh = NULL, *da = NULL;
  sequence s = sequence_of(e->context, *(const saros_cell *)e->arguments,
                           e->saved, e->saved[Y]);
  saros_status status;
  TRY_OR_DONE(gradient_or_zeros(e, 0, &dy));
  TRY_OR_DONE(gradient_or_zeros(e, 1, &dlast));
  TRY_OR_DONE(saros_clone(dlast, &dh));  // walked over: not the caller's
  TRY_OR_DONE(tensor_like(e->saved[Y], &da));
  s.dy = reals(dy), s.dh = reals(dh), s.da = reals(da);
  parallel_for(e->context, block_count(&s), backward_block, &s);
  status = add_gradients(e, &s, dh);
done:
  saros_tensor_release(dy);
  saros_tensor_release(dlast);
  saros_tensor_release(dh);
  saros_tensor_release(da);
  return status;
}

static const operation recurrent_operation = {"recurrent", recurrent_backward};

/* --- Checks ------------------------------------------------------------------------------------- */

static saros_status expect_shape(saros_context *context, const char *function,
                                 const char *name, const saros_tensor *x,
                                 int rank, const int *shape) {
  TRY(expect_context(function, context, x));
  TRY(expect_real(function, name, x));
  if (x->rank == rank &&
      memcmp(x->shape, shape, (size_t)rank * sizeof(int)) == 0)
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "%s: expected %s of shape %s, got %s", function, name,
                    shape_format(&(shape_text){{0}}, rank, shape), SHAPE(x));
}

static saros_status expect_sequence(const char *name, saros_tensor *x,
                                    const saros_tensor *weight_ih) {
  saros_context *context = x->context;
  TRY(expect_real(name, "x", x));
  TRY(expect_real(name, "weight_ih", weight_ih));
  if (weight_ih->rank != 2)
    return saros_fail(context, SAROS_EARGUMENT,
                      "%s: expected weight_ih of shape (H, I), got %s", name,
                      SHAPE(weight_ih));
  if (x->rank != 3 || x->shape[0] < 1 || x->shape[2] != weight_ih->shape[1])
    return saros_fail(context, SAROS_EARGUMENT,
                      "%s: expected x of shape (T, B, %d) with T >= 1, got %s",
                      name, weight_ih->shape[1], SHAPE(x));
  if ((double)x->shape[0] * x->shape[1] > INT32_MAX)
    return saros_fail(context, SAROS_EARGUMENT,
                      "%s: expected fewer than 2^31 rows over all steps, got "
                      "shape %s",
                      name, SHAPE(x));
  return SAROS_OK;
}

static saros_status expect_layer(const char *name, saros_tensor *const *t) {
  static const char *const names[INPUTS] = {"x",         "state",   "weight_ih",
                                            "weight_hh", "bias_ih", "bias_hh"};
  if (t[WEIGHT_IH] == NULL || t[WEIGHT_HH] == NULL)
    return saros_fail(t[X]->context, SAROS_EARGUMENT,
                      "%s: expected weight_ih and weight_hh, got none", name);
  TRY(expect_sequence(name, t[X], t[WEIGHT_IH]));
  int B = t[X]->shape[1], H = t[WEIGHT_IH]->shape[0];
  for (int i = STATE; i < INPUTS; i++) {
    if (t[i] == NULL || i == WEIGHT_IH)
      continue;
    int shape[2] = {i == STATE ? B : H, H};
    TRY(expect_shape(t[X]->context, name, names[i], t[i], i < BIAS_IH ? 2 : 1,
                     shape));
  }
  return expect_context(name, t[X]->context, t[WEIGHT_IH]);
}

/* --- The operation ------------------------------------------------------------------------------ */

/* y over all steps, and last, a copy of its last step. */
static saros_status run(saros_context *context, saros_cell c,
                        saros_tensor *const *t, saros_tensor **y,
                        saros_tensor **last) {
  int T = t[X]->shape[0], B = t[X]->shape[1], H = t[WEIGHT_IH]->shape[0];
  TRY(tensor_new(context, SAROS_REAL, 3, (const int[]){T, B, H}, y));
  saros_status status =
      tensor_new(context, SAROS_REAL, 2, (const int[]){B, H}, last);
  if (status != SAROS_OK) {
    saros_tensor_release(*y);
    *y = NULL;
    return status;
  }
  sequence s = sequence_of(context, c, t, *y);
  project_input(&s, t[BIAS_IH], t[BIAS_HH]);
  parallel_for(context, block_count(&s), forward_block, &s);
  size_t n = (*last)->count;
  memcpy(reals(*last), s.y + (size_t)(T - 1) * n, n * sizeof(real));
  return SAROS_OK;
}

static saros_status record_run(saros_context *context, saros_cell c,
                               saros_tensor *const *t, saros_tensor **y,
                               saros_tensor **last) {
  saros_tensor *outputs[2] = {*y, *last};
  saros_tensor *saved[SAVED] = {t[X], t[STATE], t[WEIGHT_IH], t[WEIGHT_HH], *y};
  saros_status status =
      tape_record(context, &(record){&recurrent_operation, INPUTS, t, 2,
                                     outputs, SAVED, saved, &c, sizeof c});
  *y = outputs[0], *last = outputs[1];
  return status;
}

saros_status saros_recurrent(saros_cell c, saros_tensor *x,
                             saros_tensor *const *state,
                             const saros_layer *layer, saros_tensor **y,
                             saros_tensor **last) {
  *y = *last = NULL;
  saros_tensor *given[INPUTS] = {x,
                                 state ? state[0] : NULL,
                                 layer->weight_ih,
                                 layer->weight_hh,
                                 layer->bias_ih,
                                 layer->bias_hh};
  saros_tensor *t[INPUTS] = {NULL};
  saros_status status;
  TRY_OR_DONE(expect_layer(cells[c].name, given));
  for (int i = 0; i < INPUTS; i++)
    if (given[i] != NULL)
      TRY_OR_DONE(saros_contiguous(given[i], &t[i]));
  TRY_OR_DONE(run(x->context, c, t, y, last));
  status = record_run(x->context, c, t, y, last);
done:
  for (int i = 0; i < INPUTS; i++)
    saros_tensor_release(t[i]);
  return status;
}
