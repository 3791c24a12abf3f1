/*
** Tensors: a shape and strides over shared storage.
**
** Invariants: count is the product of shape; a contiguous tensor has row-major
** strides; storage outlives every tensor and tape entry that refers to it.
*/
#include <stdio.h>
#include <string.h>

#include "tensor.h"

#define MAX_COUNT (((size_t)1 << 40) - 1)

static size_t element_size(saros_dtype dtype) {
  return dtype == SAROS_REAL ? sizeof(real) : sizeof(int32_t);
}

/* --- Storage -------------------------------------------------------------- */

static saros_status storage_new(saros_context *context, size_t bytes,
                                tensor_storage **out) {
  TRY(base_object_new(context, sizeof(tensor_storage), (void **)out));
  tensor_storage *s = *out;
  s->data = pool_take(&context->pool, bytes);
  if (s->data == NULL) {
    base_object_free(context, s);
    *out = NULL;
    return base_out_of_memory(context, bytes);
  }
  s->references = 1;
  s->bytes = bytes;
  return SAROS_OK;
}

/* A storage of memory that the host lends. */
static saros_status storage_borrow(saros_context *context, void *data,
                                   size_t bytes, tensor_storage **out) {
  TRY(base_object_new(context, sizeof(tensor_storage), (void **)out));
  tensor_storage *s = *out;
  s->references = 1;
  s->bytes = bytes;
  s->data = data;
  s->borrowed = 1;
  base_borrow(context, &s->loan);
  return SAROS_OK;
}

static void storage_release(saros_context *context, tensor_storage *s) {
  if (s == NULL || --s->references > 0)
    return;
  base_thaw(context, s->frozen);
  if (s->borrowed)
    base_return(context, &s->loan);
  else
    pool_give(&context->pool, s->data);
  base_object_free(context, s);
}

/* --- Shapes --------------------------------------------------------------- */

const char *tensor_shape_format(tensor_shape_text *buffer, int rank,
                                const int *shape) {
  char *at = buffer->text;
  size_t room = sizeof buffer->text;
  int used = snprintf(at, room, "(");
  for (int axis = 0; axis < rank; axis++)
    used += snprintf(at + used, room - (size_t)used, axis ? ", %d" : "%d",
                     shape[axis]);
  snprintf(at + used, room - (size_t)used, ")");
  return buffer->text;
}

static saros_status check_shape(saros_context *context, int rank,
                                const int *shape) {
  if (rank < 0 || rank > SAROS_MAX_RANK)
    return saros_fail(context, SAROS_EARGUMENT,
                      "tensor: expected a rank in 0..%d, got %d",
                      SAROS_MAX_RANK, rank);
  size_t count = 1;
  for (int axis = 0; axis < rank; axis++) {
    if (shape[axis] < 0)
      return saros_fail(context, SAROS_EARGUMENT,
                        "tensor: expected sizes >= 0, got %d", shape[axis]);
    if (__builtin_mul_overflow(count, (size_t)shape[axis], &count) ||
        count > MAX_COUNT)
      return saros_fail(
          context, SAROS_EARGUMENT,
          "tensor: expected at most 2^40 - 1 elements, got shape %s",
          tensor_shape_format(&(tensor_shape_text){{0}}, rank, shape));
  }
  return SAROS_OK;
}

void tensor_set_shape(saros_tensor *x, int rank, const int *shape) {
  size_t count = 1;
  for (int axis = rank - 1; axis >= 0; axis--) {
    x->shape[axis] = shape[axis];
    x->stride[axis] = (ptrdiff_t)count;
    count *= (size_t)shape[axis];
  }
  x->rank = rank;
  x->count = count;
}

int tensor_same_shape(const saros_tensor *a, const saros_tensor *b) {
  return a->rank == b->rank &&
         memcmp(a->shape, b->shape, (size_t)a->rank * sizeof(int)) == 0;
}

/* --- Life ------------------------------------------------------------------ */

/* Without a storage yet. */
static saros_status tensor_bare(saros_context *context, saros_dtype dtype,
                                int rank, const int *shape,
                                saros_tensor **out) {
  *out = NULL;
  TRY(base_expect_known(context, "tensor", "a type of elements", (int)dtype,
                        SAROS_DTYPES));
  TRY(check_shape(context, rank, shape));
  TRY(base_object_new(context, sizeof **out, (void **)out));
  (*out)->context = context;
  (*out)->references = 1;
  (*out)->dtype = dtype;
  tensor_set_shape(*out, rank, shape);
  return SAROS_OK;
}

saros_status tensor_new(saros_context *context, saros_dtype dtype, int rank,
                        const int *shape, saros_tensor **out) {
  TRY(tensor_bare(context, dtype, rank, shape, out));
  saros_tensor *x = *out;
  saros_status status =
      storage_new(context, saros_tensor_bytes(x), &x->storage);
  if (status != SAROS_OK) {
    base_object_free(context, x);
    *out = NULL;
  }
  return status;
}

saros_status saros_tensor_wrap(saros_context *context, saros_dtype dtype,
                               int rank, const int *shape,
                               const saros_buffer *buffer, saros_tensor **out) {
  TRY(tensor_bare(context, dtype, rank, shape, out));
  saros_tensor *x = *out;
  saros_status status = SAROS_OK;
  if ((buffer->data == NULL && x->count > 0) ||
      (uintptr_t)buffer->data % element_size(dtype) != 0)
    status = saros_fail(context, SAROS_EARGUMENT,
                        "wrap: expected memory aligned to %zu bytes, got %p",
                        element_size(dtype), buffer->data);
  else
    status = storage_borrow(context, buffer->data, saros_tensor_bytes(x),
                            &x->storage);
  if (status != SAROS_OK) {
    base_object_free(context, x);
    *out = NULL;
    return status;
  }
  x->storage->read_only = buffer->read_only;
  x->storage->loan.release = buffer->release;
  x->storage->loan.user = buffer->user;
  return SAROS_OK;
}

saros_status saros_tensor_new(saros_context *context, saros_dtype dtype,
                              int rank, const int *shape, saros_tensor **out) {
  TRY(tensor_new(context, dtype, rank, shape, out));
  tensor_zero(*out);
  return SAROS_OK;
}

saros_status saros_tensor_blank(saros_context *context, int rank,
                                const int *shape, saros_tensor **out) {
  TRY(tensor_bare(context, SAROS_REAL, rank, shape, out));
  saros_tensor *x = *out;
  saros_status status = storage_new(context, sizeof(real), &x->storage);
  if (status != SAROS_OK) {
    base_object_free(context, x);
    *out = NULL;
    return status;
  }
  *(real *)(void *)x->storage->data = 0;
  x->storage->read_only = 1;
  memset(x->stride, 0, sizeof x->stride);
  return SAROS_OK;
}

saros_status saros_tensor_frozen(saros_tensor *x, saros_tensor **out) {
  TRY(tensor_new(x->context, x->dtype, x->rank, x->shape, out));
  tensor_storage *storage = (*out)->storage;
  tensor_copy(*out, x);
  storage->read_only = 1;
  if (storage->bytes == 0)
    return SAROS_OK;
  return tensor_or_nothing(
      base_freeze(x->context, storage->data, storage->bytes, &storage->frozen),
      out);
}

saros_status tensor_like(const saros_tensor *x, saros_tensor **out) {
  return tensor_new(x->context, x->dtype, x->rank, x->shape, out);
}

saros_status tensor_scalar(saros_context *context, double value,
                           saros_tensor **out) {
  TRY(tensor_new(context, SAROS_REAL, 0, NULL, out));
  tensor_reals(*out)[0] = (real)value;
  return SAROS_OK;
}

saros_status tensor_alias(saros_tensor *x, saros_tensor **out) {
  TRY(base_object_new(x->context, sizeof *x, (void **)out));
  saros_tensor *alias = *out;
  *alias = *x;
  alias->references = 1;
  alias->node = NULL;
  alias->storage->references++;
  return SAROS_OK;
}

/* True if all places from an offset on are in 0..count-1, and no more than can be. */
static int lies_within(size_t count, int64_t offset, int rank, const int *shape,
                       const int64_t *stride) {
  int64_t last = offset;
  uint64_t elements = 1;
  for (int axis = 0; axis < rank; axis++) {
    int64_t reach;
    if (shape[axis] < 1 || stride[axis] < 0 ||
        __builtin_mul_overflow(shape[axis] - 1, stride[axis], &reach) ||
        __builtin_add_overflow(last, reach, &last) ||
        __builtin_mul_overflow(elements, (uint64_t)shape[axis], &elements) ||
        elements > MAX_COUNT)
      return 0;
  }
  return offset >= 0 && last < (int64_t)count;
}

saros_status saros_strided(saros_tensor *x, int64_t offset, int rank,
                           const int *shape, const int64_t *stride,
                           saros_tensor **out) {
  *out = NULL;
  if (rank < 0 || rank > SAROS_MAX_RANK || !saros_tensor_is_contiguous(x) ||
      x->node != NULL || !lies_within(x->count, offset, rank, shape, stride))
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "strided: expected places within %s, got others",
                      TENSOR_SHAPE(x));
  TRY(tensor_alias(x, out));
  tensor_set_shape(*out, rank, shape);
  for (int axis = 0; axis < rank; axis++)
    (*out)->stride[axis] = (ptrdiff_t)stride[axis];
  (*out)->offset = x->offset + (size_t)offset;
  return SAROS_OK;
}

saros_status tensor_contiguous(saros_tensor *x, saros_tensor **out) {
  if (saros_tensor_is_contiguous(x)) {
    *out = saros_tensor_retain(x);
    return SAROS_OK;
  }
  TRY(tensor_like(x, out));
  tensor_copy(*out, x);
  return SAROS_OK;
}

void tensor_take_storage(saros_tensor *x, saros_tensor *source) {
  tensor_storage *own = x->storage;
  x->storage = source->storage;
  x->storage->references++;
  x->offset = source->offset;
  memcpy(x->stride, source->stride, sizeof x->stride);
  storage_release(x->context, own);
}

saros_tensor *saros_tensor_retain(saros_tensor *x) {
  x->references++;
  return x;
}

void saros_tensor_release(saros_tensor *x) {
  if (x == NULL || --x->references > 0)
    return;
  saros_context *context = x->context;
  tensor_node_release(x->node);
  storage_release(context, x->storage);
  base_object_free(context, x);
}

saros_status tensor_or_nothing(saros_status status, saros_tensor **out) {
  if (status != SAROS_OK) {
    saros_tensor_release(*out);
    *out = NULL;
  }
  return status;
}

/* --- Looking ---------------------------------------------------------------- */

saros_context *saros_tensor_context(const saros_tensor *x) {
  return x->context;
}
saros_dtype saros_tensor_dtype(const saros_tensor *x) {
  return x->dtype;
}
int saros_tensor_rank(const saros_tensor *x) {
  return x->rank;
}
const int *saros_tensor_shape(const saros_tensor *x) {
  return x->shape;
}
size_t saros_tensor_count(const saros_tensor *x) {
  return x->count;
}

size_t saros_tensor_bytes(const saros_tensor *x) {
  return x->count * element_size(x->dtype);
}

int saros_tensor_is_contiguous(const saros_tensor *x) {
  ptrdiff_t expected = 1;
  for (int axis = x->rank - 1; axis >= 0; axis--) {
    if (x->shape[axis] != 1 && x->stride[axis] != expected)
      return 0;
    expected *= x->shape[axis];
  }
  return 1;
}

real *tensor_reals(const saros_tensor *x) {
  return (real *)(void *)x->storage->data + x->offset;
}

int32_t *tensor_ids(const saros_tensor *x) {
  return (int32_t *)(void *)x->storage->data + x->offset;
}

saros_real *saros_tensor_reals(saros_tensor *x) {
  int direct = x->dtype == SAROS_REAL && saros_tensor_is_contiguous(x);
  return direct ? tensor_reals(x) : NULL;
}

int32_t *saros_tensor_ids(saros_tensor *x) {
  int direct = x->dtype == SAROS_IDS && saros_tensor_is_contiguous(x);
  return direct ? tensor_ids(x) : NULL;
}

double saros_tensor_get(const saros_tensor *x, size_t position) {
  ptrdiff_t at = 0;
  for (int axis = x->rank - 1; axis >= 0; axis--) {
    size_t size = (size_t)x->shape[axis];
    at += (ptrdiff_t)(position % size) * x->stride[axis];
    position /= size;
  }
  return x->dtype == SAROS_REAL ? (double)tensor_reals(x)[at]
                                : tensor_ids(x)[at];
}

/* --- Contents --------------------------------------------------------------- */

void tensor_zero(saros_tensor *y) {
  memset(y->storage->data + y->offset * element_size(y->dtype), 0,
         saros_tensor_bytes(y));
}

static void copy_ids(int32_t *y, ptrdiff_t y_step, const int32_t *x,
                     ptrdiff_t x_step, size_t n) {
  for (size_t i = 0; i < n; i++) {
    *y = *x;
    y += y_step, x += x_step;
  }
}

void tensor_copy(saros_tensor *y, const saros_tensor *x) {
  if (y->count == 0)
    return;
  tensor_walk w;
  tensor_walk_start(&w, y->rank, y->shape, 2,
                    (const saros_tensor *const[]){y, x});
  const pointwise_kernels *k = y->context->kernels->pointwise;
  do {
    if (y->dtype == SAROS_REAL)
      k->copy(tensor_reals(y) + w.at[0], w.step[0], tensor_reals(x) + w.at[1],
              w.step[1], w.inner);
    else
      copy_ids(tensor_ids(y) + w.at[0], w.step[0], tensor_ids(x) + w.at[1],
               w.step[1], w.inner);
  } while (tensor_walk_next(&w));
}

saros_status saros_tensor_writable(const saros_tensor *x,
                                   const char *function) {
  if (x->storage->read_only)
    return saros_fail(x->context, SAROS_ESTATE,
                      "%s: tensor %s is read-only: its elements are shared or "
                      "the host's own; write to a clone",
                      function, TENSOR_SHAPE(x));
  int taped = x->context->lets_write != NULL;
  return taped ? x->context->lets_write(x, function) : SAROS_OK;
}

/* --- Checks ------------------------------------------------------------------ */

saros_status tensor_expect_real(const char *function, const char *name,
                                const saros_tensor *x) {
  if (x->dtype == SAROS_REAL)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "%s: expected %s to be real numbers, got ids %s", function,
                    name, TENSOR_SHAPE(x));
}

saros_status tensor_expect_ids(const char *function, const char *name,
                               const saros_tensor *x) {
  if (x->dtype == SAROS_IDS)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "%s: expected %s to be ids, got real numbers %s", function,
                    name, TENSOR_SHAPE(x));
}

saros_status tensor_expect_axis(const char *function, const saros_tensor *x,
                                int *axis) {
  int given = *axis, base = x->context->index_base;
  if (given < 0)
    *axis = given + x->rank;
  if (*axis >= 0 && *axis < x->rank)
    return SAROS_OK;
  if (x->rank == 0)
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "%s: expected a tensor with axes, got a single number",
                      function);
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "%s: expected an axis in %d..%d or -%d..-1 of shape %s, "
                    "got %d",
                    function, base, x->rank - 1 + base, x->rank,
                    TENSOR_SHAPE(x), given < 0 ? given : given + base);
}

saros_status tensor_expect_same_shape(const char *function, const char *name,
                                      const saros_tensor *x,
                                      const saros_tensor *like) {
  if (tensor_same_shape(x, like))
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "%s: expected %s of shape %s, got %s", function, name,
                    TENSOR_SHAPE(like), TENSOR_SHAPE(x));
}

saros_status tensor_expect_ids_below(const char *function,
                                     const saros_tensor *ids, int limit) {
  const int32_t *id = tensor_ids(ids);
  int base = ids->context->index_base;
  for (size_t i = 0; i < ids->count; i++) {
    if (id[i] < 0 || id[i] >= limit)
      return saros_fail(ids->context, SAROS_EARGUMENT,
                        "%s: expected ids in %d..%d, got %lld at position %zu",
                        function, base, limit - 1 + base,
                        (long long)id[i] + base, i + (size_t)base);
  }
  return SAROS_OK;
}

saros_status tensor_expect_context(const char *function, saros_context *context,
                                   const saros_tensor *x) {
  if (x->context == context)
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "%s: expected tensors of one context", function);
}
