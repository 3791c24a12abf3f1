/*
** Finite-state cells over time: heads of n states, each step a function of these
** onto themselves, chosen from n rows of n logits.
**
**   logits   (V, heads n n), the row of a token, or (T, B, heads n n); 'tables'
**            of heads (n, n), source state by target state
**   state    (B, heads P n): for each of P pointers of a head a row of n, in the
**            hard form one-hot
**
** Tables that a call uses are prepared once, before the walk: in the hard form
** the largest of each row, in the soft form its softmax. A walk keeps what stood
** before each step, as that is all that the way back needs of it: in the hard form
** places (T, B, heads, P), in the soft form states (T, B, heads P n).
**
** Rows of the batch walk alone. On the way back heads do, and each goes through
** steps from the last to the first and rows in order, so that gradients of a
** token are added in an order that the data fixes.
*/
#include <string.h>

#include "op.h"

typedef struct finite_sizes {
  int T, B;
  int heads, n, P;
  int tables;  // of logits: V, or T B
  int soft;
} finite_sizes;

static size_t state_width(const finite_sizes *s) {
  return (size_t)s->heads * (size_t)s->P * (size_t)s->n;
}

/* Rows of logits in a table. */
static size_t table_rows(const finite_sizes *s) {
  return (size_t)s->heads * (size_t)s->n;
}

/* --- Preparing tables ------------------------------------------------------------ */

/* next or chance, of the tables that are used; ids is null where all are. */
typedef struct finite_tables {
  const finite_sizes *sizes;
  const kernels *kernels;
  const real *logits;
  const char *used;  // by table; null: all
  int32_t *next;     // (tables, heads, n): the hard form
  real *chance;      // (tables, heads, n, n): the soft form
} finite_tables;

static void prepare_tables(void *arguments, size_t from, size_t count) {
  const finite_tables *t = arguments;
  const size_t rows = table_rows(t->sizes), n = (size_t)t->sizes->n;
  for (size_t at = from; at < from + count; at++) {
    if (t->used != NULL && !t->used[at])
      continue;
    const real *logits = t->logits + at * rows * n;
    if (t->next != NULL)
      t->kernels->finite->choose(t->next + at * rows, logits, rows,
                                 t->sizes->n);
    else
      t->kernels->softmax->softmax(t->chance + at * rows * n, logits, rows, n);
  }
}

/* What 'prepare_tables' makes, in *out: ids of the hard form, reals of the soft. */
static saros_status make_tables(const finite_sizes *s, saros_tensor *logits,
                                const saros_tensor *ids, saros_tensor **out) {
  saros_context *context = logits->context;
  const int hard[] = {s->tables, s->heads * s->n};
  const int soft[] = {s->tables, s->heads * s->n, s->n};
  TRY(tensor_new(context, s->soft ? SAROS_REAL : SAROS_IDS, s->soft ? 3 : 2,
                 s->soft ? soft : hard, out));
  char *used = NULL;
  if (ids != NULL) {
    const size_t bytes = (size_t)s->tables + 1;
    used = pool_take(&context->pool, bytes);
    if (used == NULL)
      return base_out_of_memory(context, bytes);
    memset(used, 0, bytes);
    for (size_t i = 0; i < ids->count; i++)
      used[tensor_ids(ids)[i]] = 1;
  }
  finite_tables tables = {s,
                          context->kernels,
                          tensor_reals(logits),
                          used,
                          s->soft ? NULL : tensor_ids(*out),
                          s->soft ? tensor_reals(*out) : NULL};
  saros_status status =
      team_rows(context, (size_t)s->tables, table_rows(s) * (size_t)s->n,
                prepare_tables, &tables);
  pool_give(&context->pool, used);
  return status;
}

/* --- Forward --------------------------------------------------------------------- */

/* ids, mask, keep and state may be null. */
typedef struct finite_walk {
  const finite_sizes *sizes;
  const finite_kernels *kernels;
  const int32_t *ids;
  const int32_t *next;
  const real *chance;
  const real *mask, *keep, *state;
  int32_t *places, *now;    // hard: before each step, of a row
  real *before, *soft_now;  // soft
  real *y, *last;
} finite_walk;

static size_t table_of(const finite_walk *w, size_t at) {
  return w->ids != NULL ? (size_t)w->ids[at] : at;
}

/* Where pointer p of a head begins: p itself if there is one for each state. */
static int first_place(const finite_sizes *s, int p) {
  return s->P == s->n ? p : 0;
}

static void start_places(const finite_sizes *s, int32_t *now) {
  for (int h = 0; h < s->heads; h++)
    for (int p = 0; p < s->P; p++)
      *now++ = first_place(s, p);
}

static void write_one_hots(const finite_sizes *s, real *y, const int32_t *now) {
  const size_t n = (size_t)s->n, count = (size_t)s->heads * (size_t)s->P;
  memset(y, 0, count * n * sizeof *y);
  for (size_t i = 0; i < count; i++)
    y[i * n + (size_t)now[i]] = 1;
}

static void walk_hard_row(void *arguments, int row) {
  const finite_walk *w = arguments;
  const finite_sizes *s = w->sizes;
  const size_t width = state_width(s), count = width / (size_t)s->n;
  int32_t *now = w->now + (size_t)row * count;
  if (w->state != NULL)
    w->kernels->choose(now, w->state + (size_t)row * width, count, s->n);
  else
    start_places(s, now);
  for (int t = 0; t < s->T; t++) {
    const size_t at = (size_t)t * (size_t)s->B + (size_t)row;
    if (w->keep != NULL && w->keep[at] == 0)
      start_places(s, now);
    memcpy(w->places + at * count, now, count * sizeof *now);
    if (w->mask != NULL && w->mask[at] == 0) {
      memset(w->y + at * width, 0, width * sizeof *w->y);
      continue;
    }
    w->kernels->step(now, now, w->next + table_of(w, at) * table_rows(s),
                     s->heads, s->P, s->n);
    write_one_hots(s, w->y + at * width, now);
  }
  write_one_hots(s, w->last + (size_t)row * width, now);
}

static void start_soft(const finite_sizes *s, real *now) {
  memset(now, 0, state_width(s) * sizeof *now);
  for (int h = 0; h < s->heads; h++)
    for (int p = 0; p < s->P; p++, now += s->n)
      now[first_place(s, p)] = 1;
}

static void walk_soft_row(void *arguments, int row) {
  const finite_walk *w = arguments;
  const finite_sizes *s = w->sizes;
  const size_t width = state_width(s), bytes = width * sizeof(real);
  real *now = w->soft_now + (size_t)row * width;
  if (w->state != NULL)
    memcpy(now, w->state + (size_t)row * width, bytes);
  else
    start_soft(s, now);
  for (int t = 0; t < s->T; t++) {
    const size_t at = (size_t)t * (size_t)s->B + (size_t)row;
    real *before = w->before + at * width, *y = w->y + at * width;
    if (w->keep != NULL && w->keep[at] == 0)
      start_soft(s, now);
    memcpy(before, now, bytes);
    if (w->mask != NULL && w->mask[at] == 0) {
      memset(y, 0, bytes);
      continue;
    }
    w->kernels->soft_step(
        y, before, w->chance + table_of(w, at) * table_rows(s) * (size_t)s->n,
        s->heads, s->P, s->n);
    memcpy(now, y, bytes);
  }
  memcpy(w->last + (size_t)row * width, now, bytes);
}

/* Multiply-adds of a walk, or of its way back. */
static double work_of(const finite_sizes *s) {
  return (double)s->T * s->B * (double)state_width(s) *
         (s->soft ? 2. * s->n : 8.);
}

/* --- Backward -------------------------------------------------------------------- */

/* d (heads, B, P n): the gradient of the state; room (heads, P n). Gradients of
** results may be null. */
typedef struct finite_way_back {
  finite_walk walk;
  const real *dy;
  real *dm;  // (tables, heads, n, n): of the functions
  real *d, *room;
} finite_way_back;

/* d becomes the gradient of the state before a step of a row and head. */
static void step_back(const finite_way_back *w, int h, size_t at, real *d) {
  const finite_walk *walk = &w->walk;
  const finite_sizes *s = walk->sizes;
  const size_t n = (size_t)s->n, P = (size_t)s->P;
  const size_t part = (size_t)h * P, table = table_of(walk, at);
  const size_t head = table * (size_t)s->heads + (size_t)h;
  real *room = w->room + part * n;
  for (size_t i = 0; w->dy != NULL && i < P * n; i++)
    d[i] += w->dy[at * state_width(s) + part * n + i];
  if (s->soft)
    walk->kernels->soft_step_backward(room, w->dm + head * n * n, d,
                                      walk->before + at * state_width(s) +
                                          part * n,
                                      walk->chance + head * n * n, s->P, s->n);
  else
    walk->kernels->step_backward(room, w->dm + head * n * n, d,
                                 walk->places + at * (size_t)s->heads * P +
                                     part,
                                 walk->next + head * n, s->P, s->n);
  memcpy(d, room, P * n * sizeof *d);
}

static void walk_head_back(void *arguments, int h) {
  const finite_way_back *w = arguments;
  const finite_walk *walk = &w->walk;
  const finite_sizes *s = walk->sizes;
  const size_t B = (size_t)s->B, part = (size_t)s->P * (size_t)s->n;
  real *d = w->d + (size_t)h * B * part;
  for (int t = s->T - 1; t >= 0; t--)
    for (size_t b = 0; b < B; b++) {
      const size_t at = (size_t)t * B + b;
      if (walk->mask == NULL || walk->mask[at] != 0)
        step_back(w, h, at, d + b * part);
      if (walk->keep != NULL && walk->keep[at] == 0)
        memset(d + b * part, 0, part * sizeof *d);
    }
}

/* Copies (B, heads, part) to (heads, B, part), or adds the other way. */
static void turn(real *to, const real *from, const finite_sizes *s, int back) {
  const size_t part = (size_t)s->P * (size_t)s->n, heads = (size_t)s->heads;
  for (size_t b = 0; b < (size_t)s->B; b++)
    for (size_t h = 0; h < heads; h++) {
      const size_t in_rows = (b * heads + h) * part,
                   in_heads = (h * (size_t)s->B + b) * part;
      if (back)
        for (size_t i = 0; i < part; i++)
          to[in_rows + i] += from[in_heads + i];
      else
        memcpy(to + in_heads, from + in_rows, part * sizeof *to);
    }
}

typedef struct logits_gradient {
  const finite_sizes *sizes;
  const kernels *kernels;
  real *dlogits;
  const real *dm, *logits;
} logits_gradient;

static void add_logits(void *arguments, size_t from, size_t count) {
  const logits_gradient *g = arguments;
  const size_t n = (size_t)g->sizes->n, rows = table_rows(g->sizes) * count;
  const size_t at = from * table_rows(g->sizes) * n;
  g->kernels->finite->logits_backward(g->dlogits + at, g->dm + at,
                                      g->logits + at, rows, g->sizes->n);
}

/* What a way back takes: gradients in and out. The caller releases all. */
typedef struct finite_gradients {
  saros_tensor *dy, *dlast, *dm, *d, *room;
} finite_gradients;

/* saved, in this order; some are null. */
enum {
  SAVED_LOGITS,
  SAVED_IDS,
  SAVED_TABLES,
  SAVED_BEFORE,
  SAVED_MASK,
  SAVED_KEEP,
  SAVED_COUNT
};

static saros_status make_room(const tape_entry *e, const finite_sizes *s,
                              finite_gradients *g) {
  const int part = s->P * s->n;
  TRY(tape_entry_gradient(e, 0, &g->dy));
  TRY(tape_entry_gradient(e, 1, &g->dlast));
  TRY(tensor_new(e->context, SAROS_REAL, 3, (const int[]){s->heads, s->B, part},
                 &g->d));
  TRY(tensor_new(e->context, SAROS_REAL, 2, (const int[]){s->heads, part},
                 &g->room));
  TRY(tensor_like(e->saved[SAVED_LOGITS], &g->dm));
  tensor_zero(g->dm);
  if (g->dlast != NULL)
    turn(tensor_reals(g->d), tensor_reals(g->dlast), s, 0);
  else
    tensor_zero(g->d);
  return SAROS_OK;
}

static const real *reals_or_null(const saros_tensor *x) {
  return x != NULL ? tensor_reals(x) : NULL;
}

static finite_walk walk_of(const finite_sizes *s, const finite_kernels *k,
                           saros_tensor *const *saved) {
  const int soft = s->soft;
  const saros_tensor *before = saved[SAVED_BEFORE];
  return (finite_walk){
      .sizes = s,
      .kernels = k,
      .ids = saved[SAVED_IDS] ? tensor_ids(saved[SAVED_IDS]) : NULL,
      .next = soft ? NULL : tensor_ids(saved[SAVED_TABLES]),
      .chance = soft ? tensor_reals(saved[SAVED_TABLES]) : NULL,
      .mask = reals_or_null(saved[SAVED_MASK]),
      .keep = reals_or_null(saved[SAVED_KEEP]),
      .places = soft ? NULL : tensor_ids(before),
      .before = soft ? tensor_reals(before) : NULL,
  };
}

static saros_status go_back(const tape_entry *e, const finite_sizes *s,
                            finite_gradients *g) {
  finite_way_back w = {walk_of(s, e->context->kernels->finite, e->saved),
                       reals_or_null(g->dy), tensor_reals(g->dm),
                       tensor_reals(g->d), tensor_reals(g->room)};
  TRY(team_share(e->context, work_of(s), s->heads, walk_head_back, &w));
  saros_tensor *dlogits, *dstate;
  if (e->input[0] != NULL) {
    TRY(tensor_node_gradient(e->input[0], &dlogits));
    logits_gradient to = {s, e->context->kernels, tensor_reals(dlogits),
                          tensor_reals(g->dm),
                          tensor_reals(e->saved[SAVED_LOGITS])};
    TRY(team_rows(e->context, (size_t)s->tables, table_rows(s) * (size_t)s->n,
                  add_logits, &to));
  }
  if (e->input[1] != NULL) {
    TRY(tensor_node_gradient(e->input[1], &dstate));
    turn(tensor_reals(dstate), tensor_reals(g->d), s, 1);
  }
  return SAROS_OK;
}

static saros_status finite_backward(const tape_entry *e) {
  const finite_sizes *s = e->arguments;
  finite_gradients g = {NULL, NULL, NULL, NULL, NULL};
  saros_status status = make_room(e, s, &g);
  if (status == SAROS_OK)
    status = go_back(e, s, &g);
  saros_tensor_release(g.dy);
  saros_tensor_release(g.dlast);
  saros_tensor_release(g.dm);
  saros_tensor_release(g.d);
  saros_tensor_release(g.room);
  return status;
}

static const tape_operation finite_operation = {"finite", finite_backward};

/* --- Checks ---------------------------------------------------------------------- */

static saros_status expect_options(saros_tensor *logits,
                                   const saros_finite_options *o) {
  if (o->heads >= 1 && o->states >= 1 && o->states <= FINITE_MOST_STATES &&
      (o->pointers == 1 || o->pointers == o->states))
    return SAROS_OK;
  return saros_fail(logits->context, SAROS_EARGUMENT,
                    "finite: expected heads of 1 to %d states with one pointer "
                    "or one for each state, got %d of %d states with %d",
                    FINITE_MOST_STATES, o->heads, o->states, o->pointers);
}

static saros_status expect_logits(saros_tensor *logits, const saros_tensor *ids,
                                  const saros_finite_options *o) {
  const long long width = (long long)o->heads * o->states * o->states;
  const int rank = ids != NULL ? 2 : 3;
  TRY(tensor_expect_real("finite", "logits", logits));
  if (logits->rank != rank || logits->shape[rank - 1] != width)
    return saros_fail(logits->context, SAROS_EARGUMENT,
                      "finite: expected logits of shape (%s, %lld), got %s",
                      ids != NULL ? "V" : "T, B", width, TENSOR_SHAPE(logits));
  if (ids == NULL)
    return SAROS_OK;
  TRY(tensor_expect_context("finite", logits->context, ids));
  TRY(tensor_expect_ids("finite", "ids", ids));
  if (ids->rank == 2)
    return SAROS_OK;
  return saros_fail(logits->context, SAROS_EARGUMENT,
                    "finite: expected ids of shape (T, B), got %s",
                    TENSOR_SHAPE(ids));
}

static saros_status expect_shape(const saros_tensor *like, const char *name,
                                 saros_tensor *x, int rows, size_t columns) {
  if (x == NULL)
    return SAROS_OK;
  TRY(tensor_expect_context("finite", like->context, x));
  TRY(tensor_expect_real("finite", name, x));
  if (x->rank == 2 && x->shape[0] == rows && (size_t)x->shape[1] == columns)
    return SAROS_OK;
  return saros_fail(like->context, SAROS_EARGUMENT,
                    "finite: expected %s of shape (%d, %zu), got %s", name,
                    rows, columns, TENSOR_SHAPE(x));
}

static saros_status expect_finite(saros_tensor *logits, saros_tensor *ids,
                                  saros_tensor *state,
                                  const saros_finite_options *o,
                                  finite_sizes *s) {
  TRY(expect_options(logits, o));
  TRY(expect_logits(logits, ids, o));
  const int *shape = ids != NULL ? ids->shape : logits->shape;
  if ((long long)shape[0] * shape[1] > INT32_MAX)
    return saros_fail(logits->context, SAROS_EARGUMENT,
                      "finite: expected at most %d steps of rows, got (%d, %d)",
                      INT32_MAX, shape[0], shape[1]);
  *s = (finite_sizes){
      .T = shape[0],
      .B = shape[1],
      .heads = o->heads,
      .n = o->states,
      .P = o->pointers,
      .tables = ids != NULL ? logits->shape[0] : shape[0] * shape[1],
      .soft = o->soft != 0,
  };
  TRY(expect_shape(logits, "a mask", o->mask, s->T, (size_t)s->B));
  TRY(expect_shape(logits, "reset", o->reset, s->T, (size_t)s->B));
  return expect_shape(logits, "a state", state, s->B, state_width(s));
}

/* --- The operation --------------------------------------------------------------- */

/* The tensors of a call, contiguous. */
typedef struct finite_parts {
  saros_tensor *input[2];  // logits, state
  saros_tensor *saved[SAVED_COUNT];
  saros_tensor *now;  // of each row, while it walks
} finite_parts;

static saros_status prepare(finite_parts *p, const finite_sizes *s,
                            saros_tensor *logits, saros_tensor *ids,
                            saros_tensor *state,
                            const saros_finite_options *o) {
  saros_tensor **saved = p->saved;
  TRY(saros_contiguous(logits, &p->input[0]));
  if (state != NULL)
    TRY(saros_contiguous(state, &p->input[1]));
  if (ids != NULL) {
    TRY(saros_contiguous(ids, &saved[SAVED_IDS]));
    TRY(tensor_expect_ids_below("finite", saved[SAVED_IDS], s->tables));
  }
  if (o->mask != NULL)
    TRY(saros_contiguous(o->mask, &saved[SAVED_MASK]));
  if (o->reset != NULL)
    TRY(saros_keep(o->reset, o->mask, 0, &saved[SAVED_KEEP]));
  saved[SAVED_LOGITS] = saros_tensor_retain(p->input[0]);
  TRY(make_tables(s, p->input[0], saved[SAVED_IDS], &saved[SAVED_TABLES]));
  const int width = (int)state_width(s) / (s->soft ? 1 : s->n);
  const saros_dtype dtype = s->soft ? SAROS_REAL : SAROS_IDS;
  TRY(tensor_new(logits->context, dtype, 3, (const int[]){s->T, s->B, width},
                 &saved[SAVED_BEFORE]));
  return tensor_new(logits->context, dtype, 2, (const int[]){s->B, width},
                    &p->now);
}

static saros_status walk_rows(const finite_parts *p, const finite_sizes *s,
                              saros_tensor **out) {
  saros_context *context = p->input[0]->context;
  const int width = (int)state_width(s);
  TRY(tensor_new(context, SAROS_REAL, 3, (const int[]){s->T, s->B, width},
                 &out[0]));
  TRY(tensor_new(context, SAROS_REAL, 2, (const int[]){s->B, width}, &out[1]));
  finite_walk w = walk_of(s, context->kernels->finite, p->saved);
  w.state = reals_or_null(p->input[1]);
  w.now = s->soft ? NULL : tensor_ids(p->now);
  w.soft_now = s->soft ? tensor_reals(p->now) : NULL;
  w.y = tensor_reals(out[0]);
  w.last = tensor_reals(out[1]);
  return team_share(context, work_of(s), s->B,
                    s->soft ? walk_soft_row : walk_hard_row, &w);
}

saros_status saros_finite(saros_tensor *logits, saros_tensor *ids,
                          saros_tensor *state, const saros_finite_options *o,
                          saros_tensor **out, saros_tensor **last) {
  *out = *last = NULL;
  finite_sizes s;
  TRY(expect_finite(logits, ids, state, o, &s));
  saros_tensor *result[2] = {NULL, NULL};
  finite_parts p = {{NULL, NULL}, {NULL}, NULL};
  saros_status status;
  TRY_OR_DONE(prepare(&p, &s, logits, ids, state, o));
  TRY_OR_DONE(walk_rows(&p, &s, result));
  status = tape_record(logits->context,
                       &(tape_call){&finite_operation, 2, p.input, 2, result,
                                    SAVED_COUNT, p.saved, &s, sizeof s});
done:
  saros_tensor_release(p.input[0]);
  saros_tensor_release(p.input[1]);
  for (int i = 0; i < SAVED_COUNT; i++)
    saros_tensor_release(p.saved[i]);
  saros_tensor_release(p.now);
  *out = result[0], *last = result[1];
  return status == SAROS_OK ? status
                            : (tensor_or_nothing(status, last),
                               tensor_or_nothing(status, out));
}
