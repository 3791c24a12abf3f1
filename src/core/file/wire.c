/*
** Files in the wire format of protocol buffers: fields of messages, and elements that are
** fields or bytes. nanopb reads tags and numbers; what a field means is the caller's.
**
** A message is a range of bytes, and so is one inside it: whoever walks into it calls
** saros_wire_next with another range, so nothing here recurs.
*/
#include <pb_decode.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "little_endian.h"

struct saros_wire {
  saros_context *context;
  char *bytes;  // of the pool
  uint64_t size;
  char *path;
};

/* --- The file ----------------------------------------------------------------- */

static saros_status read_all(saros_wire *w, const char *path) {
  int file = -1;
  saros_status status;
  size_t name = strlen(path) + 1;
  TRY_OR_DONE(file_open(w->context, "wire", path, &file, &w->size));
  w->path = pool_take(&w->context->pool, name);
  w->bytes = pool_take(&w->context->pool, (size_t)w->size + 1);
  status = base_out_of_memory(w->context, (size_t)w->size);
  if (w->path == NULL || w->bytes == NULL)
    goto done;
  memcpy(w->path, path, name);
  status = file_read_at(w->context, "wire", path, file, w->bytes, 0,
                        (size_t)w->size);
done:
  if (file >= 0)
    close(file);
  return status;
}

saros_status saros_wire_open(saros_context *context, const char *path,
                             saros_wire **out) {
  saros_wire *wire;
  *out = NULL;
  TRY(base_object_new(context, sizeof *wire, (void **)&wire));
  wire->context = context;
  saros_status status = read_all(wire, path);
  if (status == SAROS_OK)
    *out = wire;
  else
    saros_wire_release(wire);
  return status;
}

void saros_wire_release(saros_wire *wire) {
  if (wire == NULL)
    return;
  pool_give(&wire->context->pool, wire->bytes);
  pool_give(&wire->context->pool, wire->path);
  base_object_free(wire->context, wire);
}

uint64_t saros_wire_size(const saros_wire *wire) {
  return wire->size;
}

const char *saros_wire_bytes(const saros_wire *wire) {
  return wire->bytes;
}

/* --- Fields ------------------------------------------------------------------- */

static saros_status refuse(const saros_wire *w, const char *expected,
                           uint64_t at) {
  return saros_fail(w->context, SAROS_EFILE,
                    "wire: expected %s at byte %llu in %s", expected,
                    (unsigned long long)at, BASE_QUOTE(w->path));
}

static saros_status check_range(const saros_wire *w, uint64_t begin,
                                uint64_t end) {
  if (begin <= end && end <= w->size)
    return SAROS_OK;
  return saros_fail(w->context, SAROS_EARGUMENT,
                    "wire: expected a range of the file's %llu bytes, got %llu "
                    "to %llu",
                    (unsigned long long)w->size, (unsigned long long)begin,
                    (unsigned long long)end);
}

static pb_istream_t stream_of(const saros_wire *w, uint64_t at, uint64_t end) {
  return pb_istream_from_buffer((const pb_byte_t *)w->bytes + at,
                                (size_t)(end - at));
}

/* The value of a field whose tag was read. */
static int read_value(const saros_wire *w, pb_istream_t *stream, uint64_t end,
                      saros_wire_field *field) {
  uint64_t length = 0;
  uint32_t bits;
  switch (field->kind) {
    case SAROS_WIRE_VARINT:
      return pb_decode_varint(stream, &field->value);
    case SAROS_WIRE_FIXED64:
      return pb_decode_fixed64(stream, &field->value);
    case SAROS_WIRE_FIXED32:
      if (!pb_decode_fixed32(stream, &bits))
        return 0;
      field->value = bits;
      return 1;
    case SAROS_WIRE_BYTES:
      if (!pb_decode_varint(stream, &length) || length > stream->bytes_left)
        return 0;
      field->value = end - stream->bytes_left;
      stream->bytes_left -= (size_t)length;  // what follows is not read here
      return 1;
  }
  (void)w;
  return 0;  // groups, which no message has any more
}

saros_status saros_wire_next(const saros_wire *wire, uint64_t at, uint64_t end,
                             saros_wire_field *out) {
  TRY(check_range(wire, at, end));
  pb_istream_t stream = stream_of(wire, at, end);
  pb_wire_type_t kind;
  bool is_end;
  uint32_t number;
  if (!pb_decode_tag(&stream, &kind, &number, &is_end) || number == 0)
    return refuse(wire, "the number and kind of a field", at);
  out->number = number;
  out->kind = (int)kind;
  if (!read_value(wire, &stream, end, out))
    return refuse(wire, "a field that ends inside its message", at);
  out->after = end - stream.bytes_left;
  return SAROS_OK;
}

/* --- Elements ----------------------------------------------------------------- */

/* Elements where they are put, as reals or as integers. */
typedef struct target {
  real *reals;
  int64_t *integers;  // one of them is null; both: elements are only counted
  size_t count, room;
} target;

/* The integer that an element of 'size' bytes is, or the bits of a real. */
static int64_t integer_of(const file_element_type *type, uint64_t bits) {
  if (strcmp(type->name, "U8") == 0)
    return (uint8_t)bits;
  switch (type->size) {
    case 1:
      return (int8_t)bits;
    case 2:
      return (int16_t)bits;
    case 4:
      return (int32_t)bits;
    default:
      return (int64_t)bits;
  }
}

static void put(target *to, const file_element_type *type, uint64_t bits) {
  size_t at = to->count++;
  if (at >= to->room)
    return;
  char bytes[8];
  base_store_64(bytes, bits);
  if (to->integers != NULL)
    to->integers[at] = integer_of(type, bits);
  else if (to->reals != NULL && type->dtype == SAROS_REAL)
    type->decode(to->reals + at, bytes, 1);
  else if (to->reals != NULL)
    to->reals[at] = (real)integer_of(type, bits);
}

/* Elements one after the other, without tags. */
static void put_bytes(const saros_wire *w, const file_element_type *type,
                      uint64_t begin, uint64_t end, target *to) {
  size_t count = (size_t)(end - begin) / type->size;
  if (to->reals == NULL && to->integers == NULL) {
    to->count += count;
  } else if (to->reals != NULL && type->dtype == SAROS_REAL) {
    size_t left = to->room - to->count;
    type->decode(to->reals + to->count, w->bytes + begin,
                 count < left ? count : left);
    to->count += count;
  } else {
    for (size_t i = 0; i < count; i++) {
      uint64_t bits = 0;
      for (size_t k = 0; k < type->size; k++)
        bits |= (uint64_t)(unsigned char)w->bytes[begin + i * type->size + k]
                << 8 * k;
      put(to, type, bits);
    }
  }
}

/* Elements of one field: a packed list of them, or one. Reals have their own size, and
** all others, also the bits of reals of 16 bits, are varints. */
static saros_status put_field(const saros_wire *w,
                              const file_element_type *type,
                              const saros_wire_field *field, target *to) {
  int is_fixed = type->dtype == SAROS_REAL && type->size >= 4;
  if (field->kind != SAROS_WIRE_BYTES) {
    put(to, type, field->value);
    return SAROS_OK;
  }
  if (is_fixed) {
    if ((field->after - field->value) % type->size != 0)
      return refuse(w, "whole elements", field->value);
    put_bytes(w, type, field->value, field->after, to);
    return SAROS_OK;
  }
  pb_istream_t stream = stream_of(w, field->value, field->after);
  while (stream.bytes_left > 0) {
    uint64_t bits;
    if (!pb_decode_varint(&stream, &bits))
      return refuse(w, "an integer", field->after - stream.bytes_left);
    put(to, type, bits);
  }
  return SAROS_OK;
}

static saros_status put_all(const saros_wire *w,
                            const saros_wire_elements *from,
                            const file_element_type *type, target *to) {
  if (from->number == 0) {
    if ((from->end - from->begin) % type->size != 0)
      return refuse(w, "whole elements", from->begin);
    put_bytes(w, type, from->begin, from->end, to);
    return SAROS_OK;
  }
  for (uint64_t at = from->begin; at < from->end;) {
    saros_wire_field field;
    TRY(saros_wire_next(w, at, from->end, &field));
    if (field.number == from->number)
      TRY(put_field(w, type, &field, to));
    at = field.after;
  }
  return SAROS_OK;
}

/* The type of elements, of which there are exactly 'count'. */
static saros_status check_elements(const saros_wire *w,
                                   const saros_wire_elements *from,
                                   size_t count,
                                   const file_element_type **out) {
  TRY(check_range(w, from->begin, from->end));
  *out = file_element_type_named(from->type);
  if (*out == NULL)
    return saros_fail(w->context, SAROS_EARGUMENT,
                      "wire: expected elements of " FILE_ELEMENT_TYPES
                      ", got %s",
                      BASE_QUOTE(from->type));
  target counted = {NULL};
  TRY(put_all(w, from, *out, &counted));
  if (counted.count == count)
    return SAROS_OK;
  return saros_fail(w->context, SAROS_EFILE,
                    "wire: expected %zu elements, got %zu at byte %llu in %s",
                    count, counted.count, (unsigned long long)from->begin,
                    BASE_QUOTE(w->path));
}

/* False if a shape has more elements than a file has bytes. */
static int count_of(const saros_wire *w, int rank, const int *shape,
                    size_t *count) {
  uint64_t product = 1;
  for (int axis = 0; axis < rank; axis++) {
    product *= (uint64_t)shape[axis];
    if (product > w->size)
      return 0;
  }
  *count = (size_t)product;
  return 1;
}

saros_status saros_wire_reals(const saros_wire *wire,
                              const saros_wire_elements *from, int rank,
                              const int *shape, saros_tensor **out) {
  const file_element_type *type;
  size_t count;
  *out = NULL;
  if (!count_of(wire, rank, shape, &count))
    return refuse(wire, "no more elements than the file has bytes",
                  from->begin);
  TRY(check_elements(wire, from, count, &type));
  saros_tensor *made;
  TRY(saros_tensor_new(wire->context, SAROS_REAL, rank, shape, &made));
  target to = {.reals = tensor_reals(made), .room = count};
  saros_status status = put_all(wire, from, type, &to);
  if (status == SAROS_OK)
    *out = made;
  else
    saros_tensor_release(made);
  return status;
}

saros_status saros_wire_integers(const saros_wire *wire,
                                 const saros_wire_elements *from, size_t count,
                                 int64_t *out) {
  const file_element_type *type;
  TRY(check_elements(wire, from, count, &type));
  target to = {.integers = out, .room = count};
  return put_all(wire, from, type, &to);
}

/* --- Writing ------------------------------------------------------------------ */

#define BLOCK_BYTES ((size_t)1 << 16)

static saros_status write_elements(file_writer *file, char *block,
                                   const saros_tensor *x) {
  size_t size = x->dtype == SAROS_IDS ? 8 : 4, used = 0;
  for (size_t i = 0; i < x->count; i++, used += size) {
    if (used + size > BLOCK_BYTES) {
      TRY(file_write(file, block, used));
      used = 0;
    }
    double element = saros_tensor_get(x, i);
    float rounded = (float)element;
    if (size == 8)
      base_store_64(block + used, (uint64_t)(int64_t)element);
    else
      base_store_32(block + used, base_native_32(&rounded));
  }
  return file_write(file, block, used);
}

static saros_status write_pieces(file_writer *file, char *block, int count,
                                 const saros_piece *pieces) {
  for (const saros_piece *piece = pieces; piece < pieces + count; piece++)
    if (piece->text != NULL)
      TRY(file_write(file, piece->text, piece->size));
    else
      TRY(write_elements(file, block, piece->tensor));
  return SAROS_OK;
}

saros_status saros_write_pieces(saros_context *context, const char *path,
                                int count, const saros_piece *pieces) {
  file_writer file = {
      .context = context, .function = "write_pieces", .path = path};
  char *block = pool_take(&context->pool, BLOCK_BYTES);
  if (block == NULL)
    return base_out_of_memory(context, BLOCK_BYTES);
  saros_status status;
  TRY_OR_DONE(file_create(&file));
  TRY_OR_DONE(write_pieces(&file, block, count, pieces));
  status = file_commit(&file);
done:
  file_discard(&file);
  pool_give(&context->pool, block);
  return status;
}
