/*
** Operations that read by id: rows of a table, one element of each row.
*/
#include <string.h>

#include "op.h"

/* --- Rows ------------------------------------------------------------------------ */

typedef struct row_copies {
  const lookup_kernels *kernels;
  real *y;
  const real *table;
  const int32_t *ids;
  size_t n;
} row_copies;

static void copy_rows(void *arguments, size_t from, size_t rows) {
  const row_copies *c = arguments;
  c->kernels->gather(c->y + from * c->n, c->table, c->ids + from, rows, c->n);
}

saros_status op_gather_rows(saros_context *context, real *y, const real *table,
                            const int32_t *ids, size_t count, size_t n) {
  return team_rows(context, count, n, copy_rows,
                   &(row_copies){context->kernels->lookup, y, table, ids, n});
}

typedef struct row_sums {
  const lookup_kernels *kernels;
  real *dtable;
  const real *dy;
  const int32_t *ids;
  size_t count, n, parts;  // of the table
} row_sums;

/* Adds to the rows of a part of the table, each in the order of the ids. */
static void add_to_part(void *arguments, int part) {
  const row_sums *s = arguments;
  if (s->parts == 1) {
    s->kernels->scatter_add(s->dtable, s->dy, s->ids, s->count, s->n);
    return;
  }
  for (size_t i = 0; i < s->count; i++)
    if ((size_t)s->ids[i] % s->parts == (size_t)part)
      s->kernels->scatter_add(s->dtable, s->dy + i * s->n, s->ids + i, 1, s->n);
}

/* Every part looks at all ids, so there are no more parts than the threads need;
** what a row of the table becomes does not depend on its part. */
saros_status op_scatter_rows(saros_context *context, real *dtable,
                             const real *dy, const int32_t *ids, size_t count,
                             size_t n) {
  const double work = 8 * (double)count * (double)n;
  const int alone = context->threads == 1 || work < TEAM_LEAST;
  const size_t parts = alone ? 1 : 4 * (size_t)context->threads;
  return team_share(
      context, work, (int)parts, add_to_part,
      &(row_sums){context->kernels->lookup, dtable, dy, ids, count, n, parts});
}

/* --- Embedding ----------------------------------------------------------------- */

static saros_status embedding_backward(const tape_entry *e) {
  const saros_tensor *ids = e->saved[0];
  saros_tensor *dtable, *dy;
  TRY(tensor_node_gradient(e->input[0], &dtable));
  TRY(tape_entry_gradient(e, 0, &dy));
  saros_status status =
      op_scatter_rows(e->context, tensor_reals(dtable), tensor_reals(dy),
                      tensor_ids(ids), ids->count, (size_t)dtable->shape[1]);
  saros_tensor_release(dy);
  return status;
}

static const tape_operation embedding_operation = {"embedding",
                                                   embedding_backward};

/* ids in contiguous form, checked. The caller releases *out. */
static saros_status checked_ids(const char *function, saros_tensor *ids,
                                int limit, saros_tensor **out) {
  TRY(tensor_expect_ids(function, "ids", ids));
  TRY(saros_contiguous(ids, out));
  return tensor_or_nothing(tensor_expect_ids_below(function, *out, limit), out);
}

/* The shape of ids with one more axis. */
static saros_status extended_shape(const char *function,
                                   const saros_tensor *ids, int size,
                                   int *shape) {
  if (ids->rank == SAROS_MAX_RANK)
    return saros_fail(ids->context, SAROS_EARGUMENT,
                      "%s: expected ids of rank below %d, got %s", function,
                      SAROS_MAX_RANK, TENSOR_SHAPE(ids));
  memcpy(shape, ids->shape, sizeof ids->shape);
  shape[ids->rank] = size;
  return SAROS_OK;
}

saros_status saros_embedding(saros_tensor *table, saros_tensor *ids,
                             saros_tensor **out) {
  *out = NULL;
  saros_context *context = table->context;
  TRY(tensor_expect_context("embedding", context, ids));
  TRY(tensor_expect_real("embedding", "table", table));
  if (table->rank != 2)
    return saros_fail(context, SAROS_EARGUMENT,
                      "embedding: expected table of shape (V, n), got %s",
                      TENSOR_SHAPE(table));
  int shape[SAROS_MAX_RANK], n = table->shape[1];
  TRY(extended_shape("embedding", ids, n, shape));
  saros_tensor *rows = NULL, *index = NULL;
  saros_status status;
  TRY_OR_DONE(checked_ids("embedding", ids, table->shape[0], &index));
  TRY_OR_DONE(saros_contiguous(table, &rows));
  TRY_OR_DONE(tensor_new(context, SAROS_REAL, ids->rank + 1, shape, out));
  TRY_OR_DONE(op_gather_rows(context, tensor_reals(*out), tensor_reals(rows),
                             tensor_ids(index), index->count, (size_t)n));
  status = tape_record_unary(&embedding_operation, rows, index, NULL, 0, out);
done:
  saros_tensor_release(rows);
  saros_tensor_release(index);
  return tensor_or_nothing(status, out);
}

/* --- Pick ------------------------------------------------------------------------ */

static saros_status pick_backward(const tape_entry *e) {
  const saros_tensor *ids = e->saved[0];
  saros_tensor *dx, *dy;
  TRY(tensor_node_gradient(e->input[0], &dx));
  TRY(tape_entry_gradient(e, 0, &dy));
  real *row = tensor_reals(dx);
  for (size_t i = 0; i < ids->count; i++, row += dx->shape[dx->rank - 1])
    row[tensor_ids(ids)[i]] += tensor_reals(dy)[i];
  saros_tensor_release(dy);
  return SAROS_OK;
}

static const tape_operation pick_operation = {"pick", pick_backward};

static saros_status expect_pick(saros_tensor *x, saros_tensor *ids) {
  TRY(tensor_expect_context("pick", x->context, ids));
  TRY(tensor_expect_real("pick", "x", x));
  int fits = x->rank == ids->rank + 1 &&
             memcmp(x->shape, ids->shape, (size_t)ids->rank * sizeof(int)) == 0;
  if (fits)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "pick: expected x with the shape of ids and one more axis, "
                    "got x %s, ids %s",
                    TENSOR_SHAPE(x), TENSOR_SHAPE(ids));
}

saros_status saros_pick(saros_tensor *x, saros_tensor *ids,
                        saros_tensor **out) {
  *out = NULL;
  TRY(expect_pick(x, ids));
  saros_tensor *from = NULL, *index = NULL;
  saros_status status;
  int V = x->shape[x->rank - 1];
  TRY_OR_DONE(checked_ids("pick", ids, V, &index));
  TRY_OR_DONE(saros_contiguous(x, &from));
  TRY_OR_DONE(tensor_new(x->context, SAROS_REAL, ids->rank, ids->shape, out));
  const real *row = tensor_reals(from);
  for (size_t i = 0; i < index->count; i++, row += V)
    tensor_reals(*out)[i] = row[tensor_ids(index)[i]];
  status = tape_record_unary(&pick_operation, from, index, NULL, 0, out);
done:
  saros_tensor_release(from);
  saros_tensor_release(index);
  return status;
}

/* --- Gather ---------------------------------------------------------------------- */

/* Adds y to what is gathered from x, or gathers y from it: each element of y
** (outer, m, inner) belongs to one of x (outer, n, inner). */
static void each_gathered(const op_axis_split *s, size_t m, const int32_t *ids,
                          real *x, real *y, int back) {
  for (size_t row = 0; row < s->outer; row++, x += s->n * s->inner)
    for (size_t i = 0; i < m * s->inner; i++, y++, ids++) {
      real *element = x + (size_t)*ids * s->inner + i % s->inner;
      if (back)
        *element += *y;
      else
        *y = *element;
    }
}

static saros_status gather_backward(const tape_entry *e) {
  const int axis = *(const int *)e->arguments;
  saros_tensor *ids = e->saved[0], *dx, *dy;
  TRY(tensor_node_gradient(e->input[0], &dx));
  TRY(tape_entry_gradient(e, 0, &dy));
  op_axis_split s = op_split_at_axis(dx, axis);
  each_gathered(&s, (size_t)ids->shape[axis], tensor_ids(ids), tensor_reals(dx),
                tensor_reals(dy), 1);
  saros_tensor_release(dy);
  return SAROS_OK;
}

static const tape_operation gather_operation = {"gather", gather_backward};

static saros_status expect_gather(saros_tensor *x, int axis,
                                  saros_tensor *ids) {
  TRY(tensor_expect_context("gather", x->context, ids));
  TRY(tensor_expect_real("gather", "x", x));
  int fits = x->rank == ids->rank;
  for (int i = 0; fits && i < x->rank; i++)
    fits = i == axis || x->shape[i] == ids->shape[i];
  if (fits)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "gather: expected ids with the shape of x but for axis %d, "
                    "got x %s, ids %s",
                    axis + x->context->index_base, TENSOR_SHAPE(x),
                    TENSOR_SHAPE(ids));
}

saros_status saros_gather(saros_tensor *x, int axis, saros_tensor *ids,
                          saros_tensor **out) {
  *out = NULL;
  TRY(tensor_expect_axis("gather", x, &axis));
  TRY(expect_gather(x, axis, ids));
  saros_tensor *from = NULL, *index = NULL;
  saros_status status;
  TRY_OR_DONE(checked_ids("gather", ids, x->shape[axis], &index));
  TRY_OR_DONE(saros_contiguous(x, &from));
  TRY_OR_DONE(tensor_new(x->context, SAROS_REAL, ids->rank, ids->shape, out));
  op_axis_split s = op_split_at_axis(from, axis);
  each_gathered(&s, (size_t)ids->shape[axis], tensor_ids(index),
                tensor_reals(from), tensor_reals(*out), 0);
  status = tape_record_unary(&gather_operation, from, index, &axis, sizeof axis,
                             out);
done:
  saros_tensor_release(from);
  saros_tensor_release(index);
  return status;
}

/* --- One-hot ----------------------------------------------------------------------- */

saros_status saros_one_hot(saros_tensor *ids, int V, saros_tensor **out) {
  *out = NULL;
  int shape[SAROS_MAX_RANK];
  saros_tensor *index;
  TRY(tensor_expect_ids("one_hot", "ids", ids));
  TRY(extended_shape("one_hot", ids, V, shape));
  TRY(checked_ids("one_hot", ids, V, &index));
  saros_status status =
      saros_tensor_new(ids->context, SAROS_REAL, ids->rank + 1, shape, out);
  for (size_t i = 0; status == SAROS_OK && i < index->count; i++)
    tensor_reals(*out)[i * (size_t)V + (size_t)tensor_ids(index)[i]] = 1;
  saros_tensor_release(index);
  return status;
}
