/*
** Where each part of a window over time comes from, and moves along that plan.
**
** A row is a list of places: those of its state, then its steps that count, in
** the order of the walk:
**
**   place     0 .. R-1    R  R+1  ...        R = (k - 1) dilation
**   holds     the state   x at steps that the mask does not hide
**
** A plan, made once for a call, says for each part of a window where it comes
** from: OP_NOTHING (zeros), a step t >= 0, or place -2 - p of the state. The way
** back adds along the same plan.
*/
#include <string.h>

#include "op.h"

/* --- The plan ------------------------------------------------------------------- */

/* Of one row: its places from the state on. */
typedef struct place_list {
  int32_t *source;  // of each place
  int *first;       // the first place of the piece that a place belongs to
  int *last;        // its last place
  int count;
} place_list;

/* Lists the places of a row; keep (T, B) is 0 where a piece begins, or null. */
static void list_places(place_list *row, const op_window_sizes *s,
                        const real *mask, const real *keep) {
  int first = 0;
  row->count = 0;
  for (int p = 0; p < s->R; p++) {
    row->source[row->count] = -2 - p;
    row->first[row->count++] = 0;
  }
  for (int n = 0; n < s->T; n++) {
    const int t = s->reverse ? s->T - 1 - n : n;
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
static int32_t seen_from(const place_list *row, int from, int place) {
  const int seen = place >= row->first[from] && place <= row->last[from];
  return seen ? row->source[place] : OP_NOTHING;
}

/* The plan of a row's windows, (T, B, k), and of its last state, (B, R). */
static void plan_row(const place_list *row, const op_window_sizes *s,
                     int32_t *windows, int32_t *state) {
  const size_t step = (size_t)s->B * (size_t)s->k;
  for (int t = 0; t < s->T; t++)
    for (int j = 0; j < s->k; j++)
      windows[(size_t)t * step + (size_t)j] = OP_NOTHING;
  for (int p = s->R; p < row->count; p++) {
    int32_t *window = windows + (size_t)row->source[p] * step;
    for (int j = 0; j < s->k; j++)
      window[j] =
          seen_from(row, p, p + s->ahead - (s->k - 1 - j) * s->dilation);
  }
  for (int i = 0; i < s->R; i++)
    state[i] = seen_from(row, row->count - 1, row->count - s->R + i);
}

static void plan_rows(const op_window_sizes *s, const real *mask,
                      const real *keep, int32_t *scratch,
                      op_window_plan *plan) {
  const size_t places = (size_t)s->R + (size_t)s->T;
  for (int b = 0; b < s->B; b++) {
    place_list row = {scratch, scratch + places, scratch + 2 * places, 0};
    list_places(&row, s, mask ? mask + b : NULL, keep ? keep + b : NULL);
    if (row.count > 0)
      plan_row(&row, s, tensor_ids(plan->windows) + (size_t)b * (size_t)s->k,
               tensor_ids(plan->state) + (size_t)b * (size_t)s->R);
  }
}

/* Makes the plan; mask and keep are contiguous or null. */
static saros_status make_plan(saros_context *context, const op_window_sizes *s,
                              const saros_tensor *mask,
                              const saros_tensor *keep, op_window_plan *plan) {
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

/* --- A call ----------------------------------------------------------------------- */

static saros_status expect_sizes(const char *function, saros_tensor *x,
                                 const saros_window_options *o) {
  TRY(tensor_expect_real(function, "x", x));
  if (x->rank != 3)
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "%s: expected x of shape (T, B, F), got %s", function,
                      TENSOR_SHAPE(x));
  long long width = (long long)o->kernel * x->shape[2];
  long long past = ((long long)o->kernel - 1) * o->dilation;
  if (o->kernel < 1 || o->dilation < 1 || width > INT32_MAX ||
      past * (x->shape[2] > 1 ? x->shape[2] : 1) > INT32_MAX)
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "%s: expected a kernel and a dilation of 1 or more, "
                      "whose products are sizes, got %d and %d",
                      function, o->kernel, o->dilation);
  if (o->ahead >= 0 && o->ahead <= past)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "%s: expected to look 0 to %lld steps ahead, got %d",
                    function, past, o->ahead);
}

saros_status op_expect_matrix(const char *function, const saros_tensor *x,
                              const char *name, saros_tensor *t, int rows,
                              int columns) {
  if (t == NULL)
    return SAROS_OK;
  TRY(tensor_expect_context(function, x->context, t));
  TRY(tensor_expect_real(function, name, t));
  if (t->rank == 2 && t->shape[0] == rows && t->shape[1] == columns)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "%s: expected %s of shape (%d, %d), got %s", function, name,
                    rows, columns, TENSOR_SHAPE(t));
}

saros_status op_expect_window(const char *function, saros_tensor *x,
                              saros_tensor *state,
                              const saros_window_options *o,
                              op_window_sizes *s) {
  TRY(expect_sizes(function, x, o));
  const int T = x->shape[0], B = x->shape[1];
  *s = (op_window_sizes){T,
                         B,
                         x->shape[2],
                         o->kernel,
                         o->dilation,
                         o->ahead,
                         (o->kernel - 1) * o->dilation,
                         o->reverse};
  TRY(op_expect_matrix(function, x, "a mask", o->mask, T, B));
  TRY(op_expect_matrix(function, x, "reset", o->reset, T, B));
  TRY(op_expect_matrix(function, x, "a state", state, B, s->R * s->F));
  if (o->ahead == 0 || state == NULL)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "%s: expected no state, as windows look %d steps "
                    "ahead, got one",
                    function, o->ahead);
}

saros_status op_window_prepare(const op_window_sizes *s, saros_tensor *x,
                               saros_tensor *state,
                               const saros_window_options *o,
                               op_window_parts *p) {
  TRY(saros_contiguous(x, &p->x));
  if (state != NULL)
    TRY(saros_contiguous(state, &p->state));
  if (o->mask != NULL)
    TRY(saros_contiguous(o->mask, &p->mask));
  if (o->reset != NULL)
    TRY(saros_keep(o->reset, o->mask, o->reverse, &p->keep));
  return make_plan(x->context, s, p->mask, p->keep, &p->plan);
}

void op_window_release(op_window_parts *p) {
  saros_tensor_release(p->x);
  saros_tensor_release(p->state);
  saros_tensor_release(p->mask);
  saros_tensor_release(p->keep);
  saros_tensor_release(p->plan.windows);
  saros_tensor_release(p->plan.state);
}

/* --- Along the plan ------------------------------------------------------------- */

/* Where a part comes from; null for nothing, and what is not wanted. */
static real *source_of(const op_window_move *m, int32_t source, int row) {
  const op_window_sizes *s = m->sizes;
  const size_t F = (size_t)s->F;
  if (source >= 0)
    return m->x ? m->x + ((size_t)source * (size_t)s->B + (size_t)row) * F
                : NULL;
  if (source == OP_NOTHING || m->state == NULL)
    return NULL;
  return m->state + ((size_t)row * (size_t)s->R + (size_t)(-2 - source)) * F;
}

static void copy_row(void *arguments, int row) {
  const op_window_move *m = arguments;
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
  const op_window_move *m = arguments;
  const size_t F = (size_t)m->sizes->F, parts = (size_t)m->parts;
  for (int t = 0; t < m->steps; t++) {
    const size_t at = ((size_t)t * (size_t)m->sizes->B + (size_t)row) * parts;
    for (size_t j = 0; j < parts; j++) {
      real *to = source_of(m, m->plan[at + j], row);
      if (to != NULL)
        m->context->kernels->pointwise->add_scaled(
            to, 1, m->windows + (at + j) * F, F);
    }
  }
}

op_window_move op_window_move_of(saros_context *context,
                                 const op_window_sizes *s,
                                 const op_window_plan *plan, int which) {
  return (op_window_move){.context = context,
                          .sizes = s,
                          .steps = which ? 1 : s->T,
                          .parts = which ? s->R : s->k,
                          .plan =
                              tensor_ids(which ? plan->state : plan->windows)};
}

static double work_of(const op_window_move *m) {
  const op_window_sizes *s = m->sizes;
  return 8.0 * m->steps * s->B * m->parts * s->F;
}

saros_status op_window_copy(op_window_move *m) {
  return team_share(m->context, work_of(m), m->sizes->B, copy_row, m);
}

saros_status op_window_add(op_window_move *m) {
  return team_share(m->context, work_of(m), m->sizes->B, add_row, m);
}
