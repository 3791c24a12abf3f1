/*
** What the delta rule expects of its arguments.
*/
#include <string.h>

#include "op.h"

static saros_status expect_shape(const saros_tensor *q, const char *name,
                                 const saros_tensor *x, int rank,
                                 const int *shape) {
  if (x == NULL)
    return SAROS_OK;
  TRY(tensor_expect_context("delta", q->context, x));
  TRY(tensor_expect_real("delta", name, x));
  if (x->rank == rank &&
      memcmp(x->shape, shape, (size_t)rank * sizeof *shape) == 0)
    return SAROS_OK;
  return saros_fail(q->context, SAROS_EARGUMENT,
                    "delta: expected %s of shape %s, got %s", name,
                    tensor_shape_format(&(tensor_shape_text){{0}}, rank, shape),
                    TENSOR_SHAPE(x));
}

static saros_status expect_counts(saros_context *context,
                                  const saros_delta_options *o) {
  if (o->heads < 1)
    return saros_fail(context, SAROS_EARGUMENT,
                      "delta: expected 1 head or more, got %d", o->heads);
  if (o->reflections < 1 || o->reflections > KERNEL_DELTA_MOST)
    return saros_fail(context, SAROS_EARGUMENT,
                      "delta: expected 1 to %d reflections, got %d",
                      KERNEL_DELTA_MOST, o->reflections);
  if (o->chunk >= 0 && o->chunk <= KERNEL_DELTA_MOST)
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "delta: expected a chunk of 1 to %d micro-steps, got %d",
                    KERNEL_DELTA_MOST, o->chunk);
}

static saros_status expect_lengths(saros_context *context,
                                   const saros_delta_options *o) {
  if (o->query_length >= 0 && o->key_length >= 0 && o->epsilon >= 0)
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "delta: expected lengths and epsilon of 0 or more, got %g "
                    "of queries, %g of keys, and %g",
                    o->query_length, o->key_length, o->epsilon);
}

/* The width of a tensor (T, B, parts n), or (V, parts n), is a multiple of its parts. */
static saros_status expect_width(const saros_tensor *x, int rank,
                                 const char *name, const char *shape,
                                 long long parts) {
  TRY(tensor_expect_real("delta", name, x));
  if (x->rank == rank && x->shape[rank - 1] > 0 &&
      x->shape[rank - 1] % parts == 0)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "delta: expected %s of shape (%s, %s), whose last size is "
                    "a multiple of %lld, got %s",
                    name, rank == 3 ? "T, B" : "V", shape, parts,
                    TENSOR_SHAPE(x));
}

/* ids, if there are any, are (T, B). */
static saros_status expect_ids(saros_context *context, saros_tensor *ids) {
  if (ids == NULL)
    return SAROS_OK;
  TRY(tensor_expect_context("delta", context, ids));
  TRY(tensor_expect_ids("delta", "ids", ids));
  if (ids->rank == 2)
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "delta: expected ids of shape (T, B), got %s",
                    TENSOR_SHAPE(ids));
}

static saros_status expect_sizes(kernel_delta_sizes *s, saros_tensor *q,
                                 saros_tensor *v,
                                 const saros_delta_options *o) {
  TRY(expect_counts(q->context, o));
  TRY(expect_lengths(q->context, o));
  TRY(tensor_expect_context("delta", q->context, v));
  const long long parts = (long long)o->heads * o->reflections;
  TRY(expect_ids(q->context, o->ids));
  const int rank = o->ids ? 2 : 3;
  TRY(expect_width(q, rank, "q", "heads K", o->heads));
  TRY(expect_width(v, rank, "v",
                   o->reflections > 1 ? "reflections heads V" : "heads V",
                   parts));
  *s = (kernel_delta_sizes){.heads = o->heads,
                            .K = q->shape[rank - 1] / o->heads,
                            .V = (int)(v->shape[rank - 1] / parts),
                            .reflections = o->reflections};
  s->channels = o->decay != NULL && o->decay->rank == 3 &&
                o->decay->shape[2] == q->shape[rank - 1] && s->K > 1;
  const double width = (double)s->heads * s->K * s->V;
  if (width <= INT32_MAX &&
      (double)(o->ids ? o->ids : q)->shape[1] * s->heads <= INT32_MAX &&
      (double)s->K * s->heads * s->reflections <= INT32_MAX)
    return SAROS_OK;
  return saros_fail(
      q->context, SAROS_EARGUMENT,
      "delta: expected states whose width is a size, got %d heads "
      "of %d by %d",
      s->heads, s->K, s->V);
}

saros_status op_expect_delta(kernel_delta_sizes *s, saros_tensor *q,
                             saros_tensor *k, saros_tensor *v,
                             const saros_delta_options *o,
                             saros_tensor *state) {
  TRY(expect_sizes(s, q, v, o));
  const saros_tensor *like = o->ids ? o->ids : q;
  const int T = like->shape[0], B = like->shape[1], n = s->reflections,
            width = s->heads * s->K * s->V;
  const int gates[] = {T, B, n * s->heads};
  const int values = n * s->heads * s->V, keys = n * s->heads * s->K;
  const int rank = o->ids ? 2 : 3;
  const int decay[] = {T, B, s->heads * (s->channels ? s->K : 1)};
  const int states[] = {B, width}, steps[] = {T, B};
  const int second = o->ids ? keys : B, other = o->ids ? values : B;
  TRY(expect_shape(q, "k", k, rank, (const int[]){q->shape[0], second, keys}));
  TRY(expect_shape(q, "v", v, rank, (const int[]){q->shape[0], other, values}));
  TRY(expect_shape(q, "write", o->write, 3, gates));
  TRY(expect_shape(q, "erase", o->erase, 3, gates));
  TRY(expect_shape(q, "decay", o->decay, 3, decay));
  TRY(expect_shape(q, "a state", state, 2, states));
  TRY(expect_shape(q, "first", o->first, 1, &width));
  TRY(expect_shape(q, "a mask", o->mask, 2, steps));
  return expect_shape(q, "reset", o->reset, 2, steps);
}
