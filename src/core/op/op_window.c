/*
** Windows over time: for each step what stood k - 1, ..., 1, 0 places before it,
** one after the other, places being 'dilation' steps apart. A convolution is a
** product with these.
**
** A row is a list of places: those of its state, then its steps that count:
**
**   place     0 .. R-1    R  R+1  ...        R = (k - 1) dilation
**   holds     the state   x at steps that the mask does not hide
**
** A plan, made once for a call, says for each part of a window where it comes
** from: NOTHING (zeros), a step t >= 0, or place -2 - p of the state. The way
** back adds along the same plan.
*/
#include <string.h>

#include "op.h"

#define NOTHING (-1)

typedef struct window_sizes {
  int T, B, F;
  int k, dilation, ahead;
  int R;  // places of the state
} window_sizes;

/* --- The plan ------------------------------------------------------------------- */

/* Of one row: its places from the state on. */
typedef struct window_row {
  int32_t *source;  // of each place
  int *first;       // the first place of the piece that a place belongs to
  int *last;        // its last place
  int count;
} window_row;

/* Lists the places of a row; keep (T, B) is 0 where a piece begins, or null. */
static void list_places(window_row *row, const window_sizes *s,
                        const real *mask, const real *keep) {
  int first = 0;
  row->count = 0;
  for (int p = 0; p < s->R; p++) {
    row->source[row->count] = -2 - p;
    row->first[row->count++] = 0;
  }
  for (int t = 0; t < s->T; t++) {
    const size_t at = (size_t)t * (size_t)s->B;
    if (mask != NULL && mask[at] == 0)
      continue;
    if (keep != NULL && keep[at] == 0)
      first = row->count;
    row->source[row->count] = t;
    row->first[row->count++] = first;
  }
  for (int p = row->count - 1; p >= 0; p--) {
    const int ends = p == row->count - 1 || row->first[p + 1] > p;
    row->last[p] = ends ? p : row->last[p + 1];
  }
}

/* The source of what stands at a place, seen from another one. */
static int32_t seen_from(const window_row *row, int from, int place) {
  const int seen = place >= row->first[from] && place <= row->last[from];
  return seen ? row->source[place] : NOTHING;
}

/* The plan of a row's windows, (T, B, k), and of its last state, (B, R). */
static void plan_row(const window_row *row, const window_sizes *s,
                     int32_t *windows, int32_t *state) {
  const size_t step = (size_t)s->B * (size_t)s->k;
  for (int t = 0; t < s->T; t++)
    for (int j = 0; j < s->k; j++)
      windows[(size_t)t * step + (size_t)j] = NOTHING;
  for (int p = s->R; p < row->count; p++) {
    int32_t *window = windows + (size_t)row->source[p] * step;
    for (int j = 0; j < s->k; j++)
      window[j] =
          seen_from(row, p, p + s->ahead - (s->k - 1 - j) * s->dilation);
  }
  for (int i = 0; i < s->R; i++)
    state[i] = seen_from(row, row->count - 1, row->count - s->R + i);
}

typedef struct window_plan {
  saros_tensor *windows;  // (T, B, k)
  saros_tensor *state;    // (B, R)
} window_plan;

static void plan_rows(const window_sizes *s, const real *mask, const real *keep,
                      int32_t *scratch, window_plan *plan) {
  const size_t places = (size_t)s->R + (size_t)s->T;
  for (int b = 0; b < s->B; b++) {
    window_row row = {scratch, scratch + places, scratch + 2 * places, 0};
    list_places(&row, s, mask ? mask + b : NULL, keep ? keep + b : NULL);
    if (row.count > 0)
      plan_row(&row, s, tensor_ids(plan->windows) + (size_t)b * (size_t)s->k,
               tensor_ids(plan->state) + (size_t)b * (size_t)s->R);
  }
}

/* Makes the plan; mask and keep are contiguous or null. */
static saros_status make_plan(saros_context *context, const window_sizes *s,
                              const saros_tensor *mask,
                              const saros_tensor *keep, window_plan *plan) {
  const size_t bytes = 3 * sizeof(int32_t) * ((size_t)s->R + (size_t)s->T);
  int32_t *scratch = pool_take(&context->pool, bytes);
  if (scratch == NULL)
    return base_out_of_memory(context, bytes);
  saros_status status = tensor_new(
      context, SAROS_IDS, 3, (const int[]){s->T, s->B, s->k}, &plan->windows);
  if (status == SAROS_OK)
    status = tensor_new(context, SAROS_IDS, 2, (const int[]){s->B, s->R},
                        &plan->state);
  if (status == SAROS_OK)
    plan_rows(s, mask ? tensor_reals(mask) : NULL,
              keep ? tensor_reals(keep) : NULL, scratch, plan);
  pool_give(&context->pool, scratch);
  return status;
}

/* --- Along the plan ------------------------------------------------------------- */

/* Parts of F elements for steps t of rows, 'parts' of each: copied from x and
** the state, or added to them. */
typedef struct window_move {
  const pointwise_kernels *kernels;
  const window_sizes *sizes;
  int steps, parts;
  const int32_t *plan;  // (steps, B, parts)
  real *windows;        // (steps, B, parts F)
  real *x, *state;      // (T, B, F), (B, R F); null if not wanted
} window_move;

/* Where a part comes from; null for nothing, and what is not wanted. */
static real *source_of(const window_move *m, int32_t source, int row) {
  const window_sizes *s = m->sizes;
  const size_t F = (size_t)s->F;
  if (source >= 0)
    return m->x ? m->x + ((size_t)source * (size_t)s->B + (size_t)row) * F
                : NULL;
  if (source == NOTHING || m->state == NULL)
    return NULL;
  return m->state + ((size_t)row * (size_t)s->R + (size_t)(-2 - source)) * F;
}

static void copy_row(void *arguments, int row) {
  const window_move *m = arguments;
  const size_t F = (size_t)m->sizes->F, parts = (size_t)m->parts;
  for (int t = 0; t < m->steps; t++) {
    const size_t at = ((size_t)t * (size_t)m->sizes->B + (size_t)row) * parts;
    for (size_t j = 0; j < parts; j++) {
      real *to = m->windows + (at + j) * F;
      const real *from = source_of(m, m->plan[at + j], row);
      if (from != NULL)
        memcpy(to, from, F * sizeof *to);
      else
        memset(to, 0, F * sizeof *to);
    }
  }
}

static void add_row(void *arguments, int row) {
  const window_move *m = arguments;
  const size_t F = (size_t)m->sizes->F, parts = (size_t)m->parts;
  for (int t = 0; t < m->steps; t++) {
    const size_t at = ((size_t)t * (size_t)m->sizes->B + (size_t)row) * parts;
    for (size_t j = 0; j < parts; j++) {
      real *to = source_of(m, m->plan[at + j], row);
      if (to != NULL)
        m->kernels->add_scaled(to, 1, m->windows + (at + j) * F, F);
    }
  }
}

/* The moves of the windows (0) and of the last state (1). */
static window_move move_of(const window_sizes *s, const window_plan *plan,
                           int which) {
  return (window_move){.sizes = s,
                       .steps = which ? 1 : s->T,
                       .parts = which ? s->R : s->k,
                       .plan = tensor_ids(which ? plan->state : plan->windows)};
}

/* --- The operation --------------------------------------------------------------- */

/* saved: the plan. Inputs: x, state. */
static saros_status window_backward(const tape_entry *e) {
  const window_sizes *s = e->arguments;
  const window_plan plan = {e->saved[0], e->saved[1]};
  saros_tensor *d[2] = {NULL, NULL};
  for (int i = 0; i < 2; i++)
    if (e->input[i] != NULL)
      TRY(tensor_node_gradient(e->input[i], &d[i]));
  for (int which = 0; which < 2; which++) {
    saros_tensor *dy;
    TRY(tape_entry_gradient(e, which, &dy));
    if (dy == NULL)
      continue;
    window_move m = move_of(s, &plan, which);
    m.kernels = e->context->kernels->pointwise;
    m.windows = tensor_reals(dy);
    m.x = d[0] ? tensor_reals(d[0]) : NULL;
    m.state = d[1] ? tensor_reals(d[1]) : NULL;
    saros_status status =
        team_share(e->context, 8 * (double)dy->count, s->B, add_row, &m);
    saros_tensor_release(dy);
    TRY(status);
  }
  return SAROS_OK;
}

static const tape_operation window_operation = {"window", window_backward};

static saros_status expect_sizes(saros_tensor *x,
                                 const saros_window_options *o) {
  TRY(tensor_expect_real("window", "x", x));
  if (x->rank != 3)
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "window: expected x of shape (T, B, F), got %s",
                      TENSOR_SHAPE(x));
  long long width = (long long)o->kernel * x->shape[2];
  long long past = ((long long)o->kernel - 1) * o->dilation;
  if (o->kernel < 1 || o->dilation < 1 || width > INT32_MAX ||
      past * (x->shape[2] > 1 ? x->shape[2] : 1) > INT32_MAX)
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "window: expected a kernel and a dilation of 1 or more, "
                      "whose products are sizes, got %d and %d",
                      o->kernel, o->dilation);
  if (o->ahead >= 0 && o->ahead <= past)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "window: expected to look 0 to %lld steps ahead, got %d",
                    past, o->ahead);
}

static saros_status expect_shape(const saros_tensor *x, const char *name,
                                 saros_tensor *t, int rows, int columns) {
  if (t == NULL)
    return SAROS_OK;
  TRY(tensor_expect_context("window", x->context, t));
  TRY(tensor_expect_real("window", name, t));
  if (t->rank == 2 && t->shape[0] == rows && t->shape[1] == columns)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "window: expected %s of shape (%d, %d), got %s", name, rows,
                    columns, TENSOR_SHAPE(t));
}

static saros_status expect_window(saros_tensor *x, saros_tensor *state,
                                  const saros_window_options *o) {
  TRY(expect_sizes(x, o));
  const int T = x->shape[0], B = x->shape[1];
  TRY(expect_shape(x, "a mask", o->mask, T, B));
  TRY(expect_shape(x, "reset", o->reset, T, B));
  TRY(expect_shape(x, "a state", state, B,
                   (o->kernel - 1) * o->dilation * x->shape[2]));
  if (o->ahead == 0 || state == NULL)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "window: expected no state, as windows look %d steps "
                    "ahead, got one",
                    o->ahead);
}

/* The tensors of a call: x, state, mask and what is kept, contiguous. */
typedef struct window_parts {
  saros_tensor *input[2], *mask, *keep;
  window_plan plan;
} window_parts;

static saros_status prepare(window_parts *p, const window_sizes *s,
                            saros_tensor *x, saros_tensor *state,
                            const saros_window_options *o) {
  TRY(saros_contiguous(x, &p->input[0]));
  if (state != NULL)
    TRY(saros_contiguous(state, &p->input[1]));
  if (o->mask != NULL)
    TRY(saros_contiguous(o->mask, &p->mask));
  if (o->reset != NULL)
    TRY(saros_keep(o->reset, o->mask, 0, &p->keep));
  return make_plan(x->context, s, p->mask, p->keep, &p->plan);
}

static saros_status move_both(const window_parts *p, const window_sizes *s,
                              saros_tensor **out) {
  saros_context *context = p->input[0]->context;
  const int shape[] = {s->T, s->B, s->k * s->F}, rows[] = {s->B, s->R * s->F};
  for (int which = 0; which < 2; which++) {
    TRY(tensor_new(context, SAROS_REAL, which ? 2 : 3, which ? rows : shape,
                   &out[which]));
    window_move m = move_of(s, &p->plan, which);
    m.windows = tensor_reals(out[which]);
    m.x = tensor_reals(p->input[0]);
    m.state = p->input[1] ? tensor_reals(p->input[1]) : NULL;
    TRY(team_share(context, 8 * (double)out[which]->count, s->B, copy_row, &m));
  }
  return SAROS_OK;
}

saros_status saros_window(saros_tensor *x, saros_tensor *state,
                          const saros_window_options *o, saros_tensor **out,
                          saros_tensor **last) {
  *out = *last = NULL;
  TRY(expect_window(x, state, o));
  window_sizes s = {x->shape[0],
                    x->shape[1],
                    x->shape[2],
                    o->kernel,
                    o->dilation,
                    o->ahead,
                    (o->kernel - 1) * o->dilation};
  saros_tensor *result[2] = {NULL, NULL};
  window_parts p = {{NULL, NULL}, NULL, NULL, {NULL, NULL}};
  saros_status status;
  TRY_OR_DONE(prepare(&p, &s, x, state, o));
  TRY_OR_DONE(move_both(&p, &s, result));
  saros_tensor *saved[2] = {p.plan.windows, p.plan.state};
  status =
      tape_record(x->context, &(tape_call){&window_operation, 2, p.input, 2,
                                           result, 2, saved, &s, sizeof s});
done:
  saros_tensor_release(p.input[0]);
  saros_tensor_release(p.input[1]);
  saros_tensor_release(p.mask);
  saros_tensor_release(p.keep);
  saros_tensor_release(p.plan.windows);
  saros_tensor_release(p.plan.state);
  *out = result[0], *last = result[1];
  return status == SAROS_OK ? status
                            : (tensor_or_nothing(status, last),
                               tensor_or_nothing(status, out));
}
