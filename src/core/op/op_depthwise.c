/*
** Depthwise convolution over time: y(t) = f(b + the sum over j of w_j x(t - (k - 1
** - j) d)), feature by feature, where f is nothing or silu. It sums the parts of a
** window where they stand, so that the windows are never written out. Places and
** plans: see op_places.c.
**
** The sums z that f reads are not kept: the way back makes those of a step again
** from x. It takes each step once, and adds the gradient of z to those of all
** parts of the window, which a walk in the order of time finds in the cache.
**
** Work is cut into units of some features of a group of rows, whose part of a step
** is one range of memory or a few. The sums of each group are added in order, and
** the groups depend on B alone.
*/
#include <string.h>

#include "op.h"

#define FEATURES 256  // of a unit at most, so that its rows stay in L1
#define GROUPS 16     // of rows, at most
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
  int has_silu;
  int height;  // rows of a group
  real *y;     // (T, B, F)

  // the way back; what is not wanted is null
  const real *dy;
  real *dx, *dstate;
  int is_fresh;    // dx is to be written, not added to
  int has_dbias;   // the last row of sums is wanted
  real *sums;      // (groups, k + 1, F): of taps, then of the bias
  double *totals;  // the same
} depthwise;

static int height_of(const op_window_sizes *s) {
  return s->B > GROUPS ? (s->B + GROUPS - 1) / GROUPS : 1;
}

static int groups_of(const depthwise *d) {
  return (d->sizes->B + d->height - 1) / d->height;
}

static int chunks_of(const op_window_sizes *s) {
  return (s->F + FEATURES - 1) / FEATURES;
}

/* What a unit works on: rows of a group, and n features from 'first' on. */
typedef struct span {
  int group, row, end;
  size_t first, n;
} span;

static span span_of(const depthwise *d, int unit) {
  const op_window_sizes *s = d->sizes;
  const int chunks = chunks_of(s), group = unit / chunks;
  const int row = group * d->height, end = row + d->height;
  const size_t first = (size_t)(unit % chunks) * FEATURES,
               left = (size_t)s->F - first;
  return (span){group, row, end < s->B ? end : s->B, first,
                left < FEATURES ? left : FEATURES};
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

/* The row of features that a source stands for; null for zeros, and in an array
** that is null. */
static const real *row_of(const op_window_sizes *s, const real *x,
                          const real *state, int32_t source, int row) {
  if (source >= 0)
    return x != NULL ? x + step_at(s, source, row) : NULL;
  return source == OP_NOTHING || state == NULL
             ? NULL
             : state + state_at(s, -2 - source, row);
}

static const int32_t *window_of(const depthwise *d, int t, int row) {
  const op_window_sizes *s = d->sizes;
  return d->windows + ((size_t)t * (size_t)s->B + (size_t)row) * (size_t)s->k;
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

/* Has the features of a unit read ahead of their use: the steps of a group lie too
** far apart for the processor to expect the next one. */
static void prefetch(const span *u, const real *rows, size_t at) {
  if (rows == NULL)
    return;
  const size_t line = 64 / sizeof(real);
  for (size_t i = 0; i < u->n; i += line)
    __builtin_prefetch(rows + at + u->first + i);
}

/* --- Forward ------------------------------------------------------------------- */

/* z (n), the sums of a step of a row. */
static void sum_window(const depthwise *d, const span *u, int t, int row,
                       real *z) {
  const op_window_sizes *s = d->sizes;
  const real *start = d->bias ? d->bias + u->first : NULL;
  for (int j = 0; j < s->k; j += PARTS) {
    const real *parts[PARTS];
    const int count = list_parts(parts, s, d->x, d->state, window_of(d, t, row),
                                 row, j, u->first);
    d->context->kernels->depthwise->combine(
        z, start, parts, d->taps + (size_t)j * (size_t)s->F + u->first,
        (size_t)s->F, count, u->n);
    start = z;
  }
}

static void convolve_step(const depthwise *d, const span *u, int t, int row) {
  real *y = d->y + step_at(d->sizes, t, row) + u->first;
  if (is_hidden(d, t, row)) {
    memset(y, 0, u->n * sizeof *y);
    return;
  }
  sum_window(d, u, t, row, y);
  if (d->has_silu)
    d->context->kernels->pointwise->unary[UNARY_SILU](y, y, u->n);
}

static void convolve_group(void *arguments, int unit) {
  const depthwise *d = arguments;
  const span u = span_of(d, unit);
  for (int t = 0; t < d->sizes->T; t++)
    for (int row = u.row; row < u.end; row++) {
      if (t + 1 < d->sizes->T) {
        const size_t next = step_at(d->sizes, t + 1, row);
        prefetch(&u, d->x, next);
        prefetch(&u, d->y, next);
      }
      convolve_step(d, &u, t, row);
    }
}

static double work_of(const op_window_sizes *s) {
  return 8.0 * s->T * s->B * s->F;
}

/* --- Backward ------------------------------------------------------------------ */

/* The gradient of z at a step: that of y, or dz (n), which is filled in. */
static const real *sums_gradient(const depthwise *d, const span *u, int t,
                                 int row, real *dz) {
  const real *dy = d->dy + step_at(d->sizes, t, row) + u->first;
  if (!d->has_silu)
    return dy;
  real z[FEATURES];
  sum_window(d, u, t, row, z);
  d->context->kernels->depthwise->silu_backward(dz, dy, z, u->n);
  return dz;
}

/* Adds what a step passes on to the gradients of its parts, and of taps and bias,
** 'sums' (k + 1, F) or null. */
static void return_step(const depthwise *d, const span *u, int t, int row,
                        real *sums) {
  const op_window_sizes *s = d->sizes;
  const int32_t *sources = window_of(d, t, row);
  real buffer[FEATURES];
  const real *dz = sums_gradient(d, u, t, row, buffer);
  for (int j = 0; j < s->k; j += PARTS) {
    const real *x[PARTS], *dx[PARTS];
    const size_t at = (size_t)j * (size_t)s->F + u->first;
    list_parts(dx, s, d->dx, d->dstate, sources, row, j, u->first);
    const int count =
        list_parts(x, s, d->x, d->state, sources, row, j, u->first);
    d->context->kernels->depthwise->spread(
        (real *const *)dx, sums ? sums + at : NULL, dz, x, d->taps + at,
        (size_t)s->F, count, u->n);
  }
  if (sums != NULL && d->has_dbias)
    d->context->kernels->pointwise->add_scaled(
        sums + (size_t)s->k * (size_t)s->F + u->first, 1, dz, u->n);
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

static void clear_step(const depthwise *d, const span *u, int t) {
  for (int row = u->row; row < u->end; row++)
    memset(d->dx + step_at(d->sizes, t, row) + u->first, 0,
           u->n * sizeof(real));
}

/* In the order of the walk, in which no step but one that looks ahead adds to
** later ones: fresh gradients are cleared when the walk comes to them. */
static void return_group(void *arguments, int unit) {
  const depthwise *d = arguments;
  const op_window_sizes *s = d->sizes;
  const span u = span_of(d, unit);
  const size_t group = ((size_t)s->k + 1) * (size_t)s->F;
  real *sums = d->sums ? d->sums + (size_t)u.group * group : NULL;
  for (int t = 0; t < (d->is_fresh && s->ahead > 0 ? s->T : 0); t++)
    clear_step(d, &u, t);
  for (int n = 0, added = 0; n < s->T; n++) {
    const int t = s->reverse ? s->T - 1 - n : n;
    if (d->is_fresh && s->ahead == 0)
      clear_step(d, &u, t);
    for (int row = u.row; row < u.end; row++) {
      if (n + 1 < s->T) {
        const size_t next = step_at(s, s->reverse ? t - 1 : t + 1, row);
        prefetch(&u, d->x, next);
        prefetch(&u, d->dy, next);
        prefetch(&u, d->dx, next);
      }
      if (is_hidden(d, t, row))
        continue;
      return_step(d, &u, t, row, sums);
      if (sums != NULL && ++added % STEPS == 0)
        gather_sums(d, &u, sums);
    }
  }
  if (sums != NULL)
    gather_sums(d, &u, sums);
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

/* Sums and totals of zeros, in one piece of the pool: the totals. */
static saros_status take_sums(depthwise *d) {
  const op_window_sizes *s = d->sizes;
  const size_t count = (size_t)groups_of(d) * ((size_t)s->k + 1) * (size_t)s->F;
  const size_t bytes = count * (sizeof(double) + sizeof(real)) + 1;
  d->totals = pool_take(&d->context->pool, bytes);
  if (d->totals == NULL)
    return base_out_of_memory(d->context, bytes);
  memset(d->totals, 0, bytes);
  d->sums = (real *)(d->totals + count);
  return SAROS_OK;
}

enum { X, STATE, WEIGHT, BIAS, INPUTS };
enum {
  SAVED_X,
  SAVED_STATE,
  SAVED_TAPS,
  SAVED_BIAS,  // where there is an activation
  SAVED_MASK,
  WINDOWS,
  LAST,
  SAVED
};

/* What the tape keeps behind the sizes. */
typedef struct depthwise_call {
  op_window_sizes sizes;
  int has_silu;
} depthwise_call;

static saros_status return_output(depthwise *d, saros_tensor *const *grads) {
  if (grads[WEIGHT] != NULL || grads[BIAS] != NULL)
    TRY(take_sums(d));
  saros_status status =
      team_share(d->context, 3 * work_of(d->sizes),
                 groups_of(d) * chunks_of(d->sizes), return_group, d);
  if (status == SAROS_OK && d->sums != NULL)
    add_totals(d, grads[WEIGHT], grads[BIAS]);
  pool_give(&d->context->pool, d->totals);
  return status;
}

static const real *reals_or_null(const saros_tensor *t) {
  return t != NULL ? tensor_reals(t) : NULL;
}

static saros_status return_last(const tape_entry *e, saros_tensor *dlast,
                                real *dx, real *dstate) {
  const depthwise_call *call = e->arguments;
  const op_window_plan plan = {e->saved[WINDOWS], e->saved[LAST]};
  op_window_move m = op_window_move_of(e->context, &call->sizes, &plan, 1);
  m.windows = tensor_reals(dlast);
  m.x = dx, m.state = dstate;
  return op_window_add(&m);
}

/* The gradients to add to, null where none is wanted; that of x may be one to
** write, if y has one. */
static saros_status find_gradients(const tape_entry *e, int has_dy,
                                   saros_tensor **grads, int *is_fresh) {
  real beta = 1;
  for (int i = 0; i < INPUTS; i++)
    if (e->input[i] != NULL)
      TRY(i == X && has_dy ? tensor_node_target(e->input[i], &grads[i], &beta)
                           : tensor_node_gradient(e->input[i], &grads[i]));
  *is_fresh = beta == 0;
  return SAROS_OK;
}

static real *reals_to_add(saros_tensor *gradient) {
  return gradient != NULL ? tensor_reals(gradient) : NULL;
}

static saros_status depthwise_backward(const tape_entry *e) {
  const depthwise_call *call = e->arguments;
  saros_tensor *grads[INPUTS] = {NULL}, *dy, *dlast;
  TRY(tape_entry_gradient(e, 0, &dy));
  int is_fresh = 0;
  saros_status status = find_gradients(e, dy != NULL, grads, &is_fresh);
  depthwise d = {
      .context = e->context,
      .sizes = &call->sizes,
      .windows = tensor_ids(e->saved[WINDOWS]),
      .mask = reals_or_null(e->saved[SAVED_MASK]),
      .taps = tensor_reals(e->saved[SAVED_TAPS]),
      .x = tensor_reals(e->saved[SAVED_X]),
      .state = reals_or_null(e->saved[SAVED_STATE]),
      .bias = reals_or_null(e->saved[SAVED_BIAS]),
      .has_silu = call->has_silu,
      .height = height_of(&call->sizes),
      .dy = reals_or_null(dy),
      .dx = reals_to_add(grads[X]),
      .is_fresh = is_fresh,
      .has_dbias = grads[BIAS] != NULL,
      .dstate = reals_to_add(grads[STATE]),
  };
  if (status == SAROS_OK && dy != NULL)
    status = return_output(&d, grads);
  saros_tensor_release(dy);
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

static saros_status expect_activation(saros_context *context, int activation) {
  if (activation == SAROS_WINDOW_PLAIN || activation == SAROS_WINDOW_SILU)
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "depthwise: expected an activation in 0..%d, got %d",
                    SAROS_WINDOW_SILU, activation);
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

static saros_status convolve(const op_window_parts *p,
                             const depthwise_call *call,
                             const saros_tensor *taps, const saros_tensor *bias,
                             saros_tensor **out) {
  saros_context *context = p->x->context;
  const op_window_sizes *s = &call->sizes;
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
      .has_silu = call->has_silu,
      .height = height_of(s),
      .y = tensor_reals(out[0]),
  };
  TRY(team_share(context, work_of(s), groups_of(&d) * chunks_of(s),
                 convolve_group, &d));
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
  depthwise_call call = {.has_silu = o.activation == SAROS_WINDOW_SILU};
  TRY(expect_activation(x->context, o.activation));
  TRY(expect_weights(x, weight, bias, &o.kernel));
  TRY(op_expect_window("depthwise", x, state, &o, &call.sizes));
  saros_tensor *result[2] = {NULL, NULL}, *taps = NULL, *shift = NULL;
  op_window_parts p = {0};
  saros_status status;
  TRY_OR_DONE(op_window_prepare(&call.sizes, x, state, &o, &p));
  TRY_OR_DONE(turn(weight, &taps));
  if (bias != NULL)
    TRY_OR_DONE(saros_contiguous(bias, &shift));
  TRY_OR_DONE(convolve(&p, &call, taps, shift, result));
  status = tape_record(
      x->context,
      &(tape_call){
          &depthwise_operation, INPUTS,
          (saros_tensor *[]){p.x, p.state, weight, bias}, 2, result, SAVED,
          (saros_tensor *[]){p.x, p.state, taps, call.has_silu ? shift : NULL,
                             p.mask, p.plan.windows, p.plan.state},
          &call, sizeof call});
done:
  op_window_release(&p);
  saros_tensor_release(taps);
  saros_tensor_release(shift);
  *out = result[0], *last = result[1];
  return status == SAROS_OK ? status
                            : (tensor_or_nothing(status, last),
                               tensor_or_nothing(status, out));
}
