/*
** Depthwise convolution over time: y(t) = b + the sum over j of w_j x(t - (k - 1 -
** j) d), feature by feature. It sums the parts of a window where they stand, so
** that the windows are never written out. Places and plans: see op_places.c.
**
** The way back reads the plan the other way round: the readers of a source are
** the steps that have it as part j. With these the gradient of x is again such a
** sum, and that of w_j the sum of x times the gradients of its readers.
**
** Work is cut into units of some features of a row or of a group of rows. The
** sums of each group are added in order, and the groups depend on B alone.
*/
#include <string.h>

#include "op.h"

#define FEATURES 256  // of a unit at most, so that its rows stay in L1
#define GROUPS 32     // of rows, at most
#define PARTS 16      // that are summed at a time
#define STEPS 64      // that are summed in 'real' before they are in double

typedef struct depthwise {
  saros_context *context;
  const op_window_sizes *sizes;
  const int32_t *windows;  // (T, B, k)
  const real *mask;        // (T, B), or null
  const real *taps;        // (k, F)
  const real *x, *state;   // (T, B, F), (B, R F) or null
  const real *bias;        // (F), or null
  real *y;                 // (T, B, F)

  // the way back; what is not wanted is null
  const int32_t *readers, *state_readers;  // (T, B, k), (B, R, k)
  const real *dy;
  real *dx, *dstate;
  real *sums;      // (groups, k + 1, F): of taps, then of the bias
  double *totals;  // the same
  int height;      // rows of a group
} depthwise;

static int chunks_of(const op_window_sizes *s) {
  return (s->F + FEATURES - 1) / FEATURES;
}

/* What a unit works on: n features from 'first' on. */
typedef struct span {
  int block;  // a row, or a group
  size_t first, n;
} span;

static span span_of(const op_window_sizes *s, int unit) {
  const int chunks = chunks_of(s);
  const size_t first = (size_t)(unit % chunks) * FEATURES,
               left = (size_t)s->F - first;
  return (span){unit / chunks, first, left < FEATURES ? left : FEATURES};
}

static int is_hidden(const depthwise *d, int t, int row) {
  return d->mask != NULL &&
         d->mask[(size_t)t * (size_t)d->sizes->B + (size_t)row] == 0;
}

static size_t step_at(const op_window_sizes *s, int t, int row) {
  return ((size_t)t * (size_t)s->B + (size_t)row) * (size_t)s->F;
}

static size_t state_at(const op_window_sizes *s, int place, int row) {
  return ((size_t)row * (size_t)s->R + (size_t)place) * (size_t)s->F;
}

/* The row of features that a source stands for; null for zeros. */
static const real *row_of(const op_window_sizes *s, const real *x,
                          const real *state, int32_t source, int row) {
  if (source >= 0)
    return x + step_at(s, source, row);
  return source == OP_NOTHING || state == NULL
             ? NULL
             : state + state_at(s, -2 - source, row);
}

/* Rows 'from' and on of a list of sources, PARTS at most; returns how many. */
static int list_parts(const real **parts, const op_window_sizes *s,
                      const real *x, const real *state, const int32_t *sources,
                      int row, int from, size_t first) {
  const int count = s->k - from < PARTS ? s->k - from : PARTS;
  for (int j = 0; j < count; j++) {
    const real *at = row_of(s, x, state, sources[from + j], row);
    parts[j] = at != NULL ? at + first : NULL;
  }
  return count;
}

/* --- Forward ------------------------------------------------------------------- */

static void convolve_step(const depthwise *d, const span *u, int t) {
  const op_window_sizes *s = d->sizes;
  const int32_t *sources =
      d->windows + ((size_t)t * (size_t)s->B + (size_t)u->block) * (size_t)s->k;
  real *y = d->y + step_at(s, t, u->block) + u->first;
  const real *start = d->bias ? d->bias + u->first : NULL;
  for (int j = 0; j < s->k; j += PARTS) {
    const real *parts[PARTS];
    const int count =
        list_parts(parts, s, d->x, d->state, sources, u->block, j, u->first);
    d->context->kernels->depthwise->combine(
        y, start, parts, d->taps + (size_t)j * (size_t)s->F + u->first,
        (size_t)s->F, count, u->n);
    start = y;
  }
}

static void convolve_row(void *arguments, int unit) {
  const depthwise *d = arguments;
  const span u = span_of(d->sizes, unit);
  for (int t = 0; t < d->sizes->T; t++)
    if (is_hidden(d, t, u.block))
      memset(d->y + step_at(d->sizes, t, u.block) + u.first, 0,
             u.n * sizeof(real));
    else
      convolve_step(d, &u, t);
}

static double work_of(const op_window_sizes *s) {
  return 8.0 * s->T * s->B * s->F;
}

/* --- Backward ------------------------------------------------------------------ */

/* The readers of all sources, from the windows. */
static void find_readers(const op_window_sizes *s, const int32_t *windows,
                         int32_t *readers, int32_t *state_readers) {
  const size_t k = (size_t)s->k, B = (size_t)s->B;
  for (size_t i = 0; i < ((size_t)s->T + (size_t)s->R) * B * k; i++)
    readers[i] = OP_NOTHING;
  for (int t = 0; t < s->T; t++)
    for (size_t row = 0; row < B; row++)
      for (size_t j = 0; j < k; j++, windows++) {
        const int32_t source = *windows;
        if (source >= 0)
          readers[((size_t)source * B + row) * k + j] = t;
        else if (source != OP_NOTHING)
          state_readers[(row * (size_t)s->R + (size_t)(-2 - source)) * k + j] =
              t;
      }
}

/* The gradients that one source passes on: its own, and its share in those of
** the taps, 'sums' (k, F) or null. */
static void return_source(const depthwise *d, const span *u, int row,
                          const int32_t *readers, const real *x, real *dx,
                          real *sums) {
  const op_window_sizes *s = d->sizes;
  const depthwise_kernels *sums_of = d->context->kernels->depthwise;
  for (int j = 0; j < s->k; j += PARTS) {
    const real *parts[PARTS];
    const int count =
        list_parts(parts, s, d->dy, NULL, readers, row, j, u->first);
    const size_t at = (size_t)j * (size_t)s->F + u->first;
    if (dx != NULL)
      sums_of->combine(dx, dx, parts, d->taps + at, (size_t)s->F, count, u->n);
    if (sums != NULL)
      sums_of->products(sums + at, (size_t)s->F, x, parts, count, u->n);
  }
}

/* Moves the sums of a unit to its totals. */
static void gather_sums(const depthwise *d, const span *u, real *sums) {
  const op_window_sizes *s = d->sizes;
  double *totals = d->totals + (sums - d->sums);
  for (int j = 0; j <= s->k; j++)
    for (size_t i = 0; i < u->n; i++) {
      const size_t at = (size_t)j * (size_t)s->F + u->first + i;
      totals[at] += (double)sums[at];
      sums[at] = 0;
    }
}

static void return_steps(const depthwise *d, const span *u, int row,
                         real *sums) {
  const op_window_sizes *s = d->sizes;
  real *dbias = sums ? sums + (size_t)s->k * (size_t)s->F + u->first : NULL;
  for (int t = 0; t < s->T; t++) {
    const size_t at = step_at(s, t, row) + u->first;
    if (sums != NULL && t % STEPS == 0)
      gather_sums(d, u, sums);
    if (is_hidden(d, t, row))
      continue;
    if (sums != NULL)
      d->context->kernels->pointwise->add_scaled(dbias, 1, d->dy + at, u->n);
    return_source(d, u, row, d->readers + at / (size_t)s->F * (size_t)s->k,
                  d->x + at, d->dx ? d->dx + at : NULL, sums);
  }
}

static void return_state(const depthwise *d, const span *u, int row,
                         real *sums) {
  const op_window_sizes *s = d->sizes;
  for (int p = 0; p < (d->state != NULL ? s->R : 0); p++) {
    const size_t at = state_at(s, p, row) + u->first;
    if (sums != NULL && p % STEPS == 0)
      gather_sums(d, u, sums);
    return_source(d, u, row,
                  d->state_readers + at / (size_t)s->F * (size_t)s->k,
                  d->state + at, d->dstate ? d->dstate + at : NULL, sums);
  }
}

static void return_group(void *arguments, int unit) {
  const depthwise *d = arguments;
  const op_window_sizes *s = d->sizes;
  const span u = span_of(s, unit);
  const size_t group = ((size_t)s->k + 1) * (size_t)s->F;
  real *sums = d->sums ? d->sums + (size_t)u.block * group : NULL;
  const int first = u.block * d->height, end = first + d->height;
  for (int row = first; row < (end < s->B ? end : s->B); row++) {
    return_steps(d, &u, row, sums);
    return_state(d, &u, row, sums);
  }
  if (sums != NULL)
    gather_sums(d, &u, sums);
}

static int groups_of(const depthwise *d) {
  return (d->sizes->B + d->height - 1) / d->height;
}

/* Adds the totals of all groups to the gradients of weight (F, k) and bias (F),
** either of which may be null. */
static void add_totals(const depthwise *d, saros_tensor *dweight,
                       saros_tensor *dbias) {
  const op_window_sizes *s = d->sizes;
  const size_t F = (size_t)s->F, k = (size_t)s->k;
  const int groups = groups_of(d);
  for (size_t j = 0; j <= k; j++)
    for (size_t i = 0; i < F; i++) {
      double sum = 0;
      for (int group = 0; group < groups; group++)
        sum += d->totals[((size_t)group * (k + 1) + j) * F + i];
      if (j < k && dweight != NULL)
        tensor_reals(dweight)[i * k + j] += (real)sum;
      else if (j == k && dbias != NULL)
        tensor_reals(dbias)[i] += (real)sum;
    }
}

/* Sums and totals of zeros, if they are wanted, and the readers: in one piece of
** the pool, *scratch. */
static saros_status take_scratch(depthwise *d, int has_sums, void **scratch) {
  const op_window_sizes *s = d->sizes;
  const size_t rows = (size_t)s->B * (size_t)s->k,
               sums = has_sums ? (size_t)groups_of(d) * ((size_t)s->k + 1) *
                                     (size_t)s->F
                               : 0,
               ids = ((size_t)s->T + (size_t)s->R) * rows;
  const size_t bytes =
      sums * (sizeof(double) + sizeof(real)) + ids * sizeof(int32_t) + 1;
  double *totals = *scratch = pool_take(&d->context->pool, bytes);
  if (*scratch == NULL)
    return base_out_of_memory(d->context, bytes);
  memset(*scratch, 0, sums * (sizeof(double) + sizeof(real)));
  if (has_sums) {
    d->totals = totals;
    d->sums = (real *)(totals + sums);
  }
  int32_t *readers = (int32_t *)((real *)(totals + sums) + sums);
  d->readers = readers;
  d->state_readers = readers + (size_t)s->T * rows;
  find_readers(s, d->windows, readers, readers + (size_t)s->T * rows);
  return SAROS_OK;
}

enum { X, STATE, WEIGHT, BIAS, INPUTS };
enum { SAVED_X, SAVED_STATE, SAVED_TAPS, SAVED_MASK, WINDOWS, LAST, SAVED };

static saros_status return_output(depthwise *d, saros_tensor *const *grads) {
  void *scratch;
  TRY(take_scratch(d, grads[WEIGHT] != NULL || grads[BIAS] != NULL, &scratch));
  saros_status status =
      team_share(d->context, 3 * work_of(d->sizes),
                 groups_of(d) * chunks_of(d->sizes), return_group, d);
  if (status == SAROS_OK && d->sums != NULL)
    add_totals(d, grads[WEIGHT], grads[BIAS]);
  pool_give(&d->context->pool, scratch);
  return status;
}

static const real *reals_or_null(const saros_tensor *t) {
  return t != NULL ? tensor_reals(t) : NULL;
}

static saros_status return_last(const tape_entry *e, saros_tensor *dlast,
                                real *dx, real *dstate) {
  const op_window_plan plan = {e->saved[WINDOWS], e->saved[LAST]};
  op_window_move m = op_window_move_of(e->context, e->arguments, &plan, 1);
  m.windows = tensor_reals(dlast);
  m.x = dx, m.state = dstate;
  return op_window_add(&m);
}

static saros_status depthwise_backward(const tape_entry *e) {
  const op_window_sizes *s = e->arguments;
  saros_tensor *grads[INPUTS] = {NULL}, *dy, *dlast;
  for (int i = 0; i < INPUTS; i++)
    if (e->input[i] != NULL)
      TRY(tensor_node_gradient(e->input[i], &grads[i]));
  depthwise d = {
      .context = e->context,
      .sizes = s,
      .windows = tensor_ids(e->saved[WINDOWS]),
      .mask = reals_or_null(e->saved[SAVED_MASK]),
      .taps = tensor_reals(e->saved[SAVED_TAPS]),
      .x = tensor_reals(e->saved[SAVED_X]),
      .state = reals_or_null(e->saved[SAVED_STATE]),
      .dx = grads[X] ? tensor_reals(grads[X]) : NULL,
      .dstate = grads[STATE] ? tensor_reals(grads[STATE]) : NULL,
      .height = s->B > GROUPS ? (s->B + GROUPS - 1) / GROUPS : 1,
  };
  TRY(tape_entry_gradient(e, 0, &dy));
  saros_status status = SAROS_OK;
  if (dy != NULL) {
    d.dy = tensor_reals(dy);
    status = return_output(&d, grads);
    saros_tensor_release(dy);
  }
  TRY(status);
  TRY(tape_entry_gradient(e, 1, &dlast));
  if (dlast != NULL) {
    status = return_last(e, dlast, d.dx, d.dstate);
    saros_tensor_release(dlast);
  }
  return status;
}

static const tape_operation depthwise_operation = {"depthwise",
                                                   depthwise_backward};

/* --- The operation --------------------------------------------------------------- */

/* Weight (F, k) and bias (F) fit x; *k is read from the weight. */
static saros_status expect_weights(saros_tensor *x, saros_tensor *weight,
                                   saros_tensor *bias, int *k) {
  TRY(tensor_expect_real("depthwise", "x", x));
  TRY(tensor_expect_context("depthwise", x->context, weight));
  TRY(tensor_expect_real("depthwise", "the weight", weight));
  const int F = x->rank == 3 ? x->shape[2] : 0;
  if (x->rank == 3 &&
      (weight->rank != 2 || weight->shape[0] != F || weight->shape[1] < 1))
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "depthwise: expected a weight of shape (%d, k), got %s",
                      F, TENSOR_SHAPE(weight));
  *k = weight->rank == 2 ? weight->shape[1] : 1;
  if (bias == NULL)
    return SAROS_OK;
  TRY(tensor_expect_context("depthwise", x->context, bias));
  TRY(tensor_expect_real("depthwise", "the bias", bias));
  if (x->rank != 3 || (bias->rank == 1 && bias->shape[0] == F))
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "depthwise: expected a bias of shape (%d), got %s", F,
                    TENSOR_SHAPE(bias));
}

/* The weight (F, k) as taps (k, F), without history. */
static saros_status turn(saros_tensor *weight, saros_tensor **taps) {
  saros_tensor *plain, *turned = NULL;
  TRY(saros_detach(weight, &plain));
  saros_status status = saros_transpose(plain, 0, 1, &turned);
  if (status == SAROS_OK)
    status = saros_contiguous(turned, taps);
  saros_tensor_release(plain);
  saros_tensor_release(turned);
  return status;
}

static saros_status convolve(const op_window_parts *p, const op_window_sizes *s,
                             const saros_tensor *taps, const saros_tensor *bias,
                             saros_tensor **out) {
  saros_context *context = p->x->context;
  TRY(tensor_new(context, SAROS_REAL, 3, (const int[]){s->T, s->B, s->F},
                 &out[0]));
  depthwise d = {
      .context = context,
      .sizes = s,
      .windows = tensor_ids(p->plan.windows),
      .mask = reals_or_null(p->mask),
      .taps = tensor_reals(taps),
      .x = tensor_reals(p->x),
      .state = reals_or_null(p->state),
      .bias = reals_or_null(bias),
      .y = tensor_reals(out[0]),
  };
  TRY(team_share(context, work_of(s), s->B * chunks_of(s), convolve_row, &d));
  TRY(tensor_new(context, SAROS_REAL, 2, (const int[]){s->B, s->R * s->F},
                 &out[1]));
  op_window_move m = op_window_move_of(context, s, &p->plan, 1);
  m.windows = tensor_reals(out[1]);
  m.x = tensor_reals(p->x);
  m.state = p->state ? tensor_reals(p->state) : NULL;
  return op_window_copy(&m);
}

saros_status saros_depthwise_convolution(saros_tensor *x, saros_tensor *weight,
                                         saros_tensor *bias,
                                         saros_tensor *state,
                                         const saros_window_options *options,
                                         saros_tensor **out,
                                         saros_tensor **last) {
  *out = *last = NULL;
  saros_window_options o = *options;
  op_window_sizes s;
  TRY(expect_weights(x, weight, bias, &o.kernel));
  TRY(op_expect_window("depthwise", x, state, &o, &s));
  saros_tensor *result[2] = {NULL, NULL}, *taps = NULL, *shift = NULL;
  op_window_parts p = {0};
  saros_status status;
  TRY_OR_DONE(op_window_prepare(&s, x, state, &o, &p));
  TRY_OR_DONE(turn(weight, &taps));
  if (bias != NULL)
    TRY_OR_DONE(saros_contiguous(bias, &shift));
  TRY_OR_DONE(convolve(&p, &s, taps, shift, result));
  status = tape_record(
      x->context, &(tape_call){&depthwise_operation, INPUTS,
                               (saros_tensor *[]){p.x, p.state, weight, bias},
                               2, result, SAVED,
                               (saros_tensor *[]){p.x, p.state, taps, p.mask,
                                                  p.plan.windows, p.plan.state},
                               &s, sizeof s});
done:
  op_window_release(&p);
  saros_tensor_release(taps);
  saros_tensor_release(shift);
  *out = result[0], *last = result[1];
  return status == SAROS_OK ? status
                            : (tensor_or_nothing(status, last),
                               tensor_or_nothing(status, out));
}
