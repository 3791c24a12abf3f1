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

/* The width of a tensor (T, B, parts n) is a multiple of its parts. */
static saros_status expect_width(const saros_tensor *x, const char *name,
                                 const char *shape, long long parts) {
  TRY(tensor_expect_real("delta", name, x));
  if (x->rank == 3 && x->shape[2] > 0 && x->shape[2] % parts == 0)
    return SAROS_OK;
  return saros_fail(
      x->context, SAROS_EARGUMENT,
      "delta: expected %s of shape (T, B, %s), whose last size is "
      "a multiple of %lld, got %s",
      name, shape, parts, TENSOR_SHAPE(x));
}

static saros_status expect_sizes(kernel_delta_sizes *s, saros_tensor *q,
                                 saros_tensor *v,
                                 const saros_delta_options *o) {
  TRY(expect_counts(q->context, o));
  TRY(expect_lengths(q->context, o));
  TRY(tensor_expect_context("delta", q->context, v));
  const long long parts = (long long)o->heads * o->reflections;
  TRY(expect_width(q, "q", "heads K", o->heads));
  TRY(expect_width(
      v, "v", o->reflections > 1 ? "reflections heads V" : "heads V", parts));
  *s = (kernel_delta_sizes){.heads = o->heads,
                            .K = q->shape[2] / o->heads,
                            .V = (int)(v->shape[2] / parts),
                            .reflections = o->reflections};
  s->channels = o->decay != NULL && o->decay->rank == 3 &&
                o->decay->shape[2] == q->shape[2] && s->K > 1;
  const double width = (double)s->heads * s->K * s->V;
  if (width <= INT32_MAX && (double)q->shape[1] * s->heads <= INT32_MAX &&
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
  const int T = q->shape[0], B = q->shape[1], n = s->reflections,
            width = s->heads * s->K * s->V;
  const int gates[] = {T, B, n * s->heads},
            values[] = {T, B, n * s->heads * s->V};
  const int keys[] = {T, B, n * s->heads * s->K};
  const int decay[] = {T, B, s->heads * (s->channels ? s->K : 1)};
  const int states[] = {B, width}, steps[] = {T, B};
  TRY(expect_shape(q, "k", k, 3, keys));
  TRY(expect_shape(q, "v", v, 3, values));
  TRY(expect_shape(q, "write", o->write, 3, gates));
  TRY(expect_shape(q, "erase", o->erase, 3, gates));
  TRY(expect_shape(q, "decay", o->decay, 3, decay));
  TRY(expect_shape(q, "a state", state, 2, states));
  TRY(expect_shape(q, "first", o->first, 1, &width));
  TRY(expect_shape(q, "a mask", o->mask, 2, steps));
  return expect_shape(q, "reset", o->reset, 2, steps);
}
