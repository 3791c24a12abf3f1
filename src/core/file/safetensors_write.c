/*
** Writing archives in safetensors format: the length of the header (8 bytes),
** the header (JSON, padded with spaces to a multiple of 8), then the elements
** of every tensor in the order of the archive. Numbers are little-endian.
*/
#include <jansson.h>
#include <string.h>

#include "file.h"
#include "little_endian.h"

#define BLOCK_BYTES ((size_t)1 << 16)
#define MAX_HEADER 100000000

/* --- The header ----------------------------------------------------------- */

static const char *type_name(const saros_tensor *x) {
  if (x->dtype == SAROS_IDS)
    return "I32";
  return sizeof(real) == sizeof(float) ? "F32" : "F64";
}

/* {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}, or null. */
static json_t *describe(const saros_tensor *x, size_t begin) {
  json_t *shape = json_array();
  for (int axis = 0; axis < x->rank; axis++)
    json_array_append_new(shape, json_integer(x->shape[axis]));
  if (json_array_size(shape) != (size_t)x->rank) {
    json_decref(shape);
    return NULL;
  }
  return json_pack("{s:s, s:o, s:[I, I]}", "dtype", type_name(x), "shape",
                   shape, "data_offsets", (json_int_t)begin,
                   (json_int_t)(begin + saros_tensor_bytes(x)));
}

/* Adds a new value (null: it could not be made) to an object. */
static saros_status put(saros_context *context, json_t *object,
                        const char *name, json_t *value) {
  if (json_object_set_new(object, name, value) == 0)
    return SAROS_OK;
  return base_out_of_memory(context, strlen(name));
}

static saros_status put_metadata(const saros_archive *archive, json_t *header) {
  if (archive->text_count == 0)
    return SAROS_OK;
  json_t *metadata = json_object();
  TRY(put(archive->context, header, "__metadata__", metadata));
  for (int i = 0; i < archive->text_count; i++) {
    const file_archive_text *text = &archive->texts[i];
    TRY(put(archive->context, metadata, text->key, json_string(text->value)));
  }
  return SAROS_OK;
}

static saros_status put_tensors(const saros_archive *archive, json_t *header) {
  size_t begin = 0;
  for (int i = 0; i < archive->tensor_count; i++) {
    const file_archive_tensor *entry = &archive->tensors[i];
    TRY(put(archive->context, header, entry->name,
            describe(entry->tensor, begin)));
    begin += saros_tensor_bytes(entry->tensor);
  }
  return SAROS_OK;
}

/* The length and the padded text, in a block of the pool. */
static saros_status format_header(saros_context *context, const json_t *header,
                                  char **out, size_t *size) {
  const size_t flags = JSON_COMPACT;
  size_t length = json_dumpb(header, NULL, 0, flags);
  size_t padded = (length + 7) / 8 * 8;
  if (padded > MAX_HEADER)
    return saros_fail(context, SAROS_EARGUMENT,
                      "safetensors: expected names and metadata of at most %d "
                      "bytes, got %zu",
                      MAX_HEADER, padded);
  *size = 8 + padded;
  *out = length == 0 ? NULL : pool_take(&context->pool, *size);
  if (*out == NULL)
    return base_out_of_memory(context, *size);
  base_store_64(*out, padded);
  memset(*out + 8, ' ', padded);
  if (json_dumpb(header, *out + 8, length, flags) == length)
    return SAROS_OK;
  pool_give(&context->pool, *out);
  *out = NULL;
  return base_out_of_memory(context, length);
}

static saros_status write_header(const saros_archive *archive,
                                 file_writer *writer) {
  char *text = NULL;
  size_t size = 0;
  saros_status status;
  json_t *header = json_object();
  TRY_OR_DONE(put_metadata(archive, header));
  TRY_OR_DONE(put_tensors(archive, header));
  TRY_OR_DONE(format_header(archive->context, header, &text, &size));
  status = file_write(writer, text, size);
done:
  pool_give(&archive->context->pool, text);
  json_decref(header);
  return status;
}

/* --- The elements --------------------------------------------------------- */

/* Elements of 4 or 8 bytes, 'step' bytes apart, as they are in a file. */
static void pack(char *to, const char *from, ptrdiff_t step, size_t count,
                 size_t size) {
  for (size_t i = 0; i < count; i++) {
    if (size == 4)
      base_store_32(to, base_native_32(from));
    else
      base_store_64(to, base_native_64(from));
    to += size;
    from += step;
  }
}

/* A row of a tensor, by way of a block of BLOCK_BYTES. */
static saros_status write_row(file_writer *writer, char *block,
                              const char *from, ptrdiff_t step, size_t count,
                              size_t size) {
  while (count > 0) {
    size_t part = count < BLOCK_BYTES / size ? count : BLOCK_BYTES / size;
    pack(block, from, step, part, size);
    TRY(file_write(writer, block, part * size));
    from += (ptrdiff_t)part * step;
    count -= part;
  }
  return SAROS_OK;
}

static saros_status write_tensor(file_writer *writer, char *block,
                                 const saros_tensor *x) {
  if (x->count == 0)
    return SAROS_OK;
  size_t size = saros_tensor_bytes(x) / x->count;
  const char *first = x->storage->data + x->offset * size;
  tensor_walk w;
  tensor_walk_start(&w, x->rank, x->shape, 1, &x);
  do
    TRY(write_row(writer, block, first + w.at[0] * size,
                  w.step[0] * (ptrdiff_t)size, w.inner, size));
  while (tensor_walk_next(&w));
  return SAROS_OK;
}

static saros_status write_tensors(const saros_archive *archive,
                                  file_writer *writer) {
  base_pool *pool = &archive->context->pool;
  char *block = pool_take(pool, BLOCK_BYTES);
  if (block == NULL)
    return base_out_of_memory(archive->context, BLOCK_BYTES);
  saros_status status = SAROS_OK;
  for (int i = 0; status == SAROS_OK && i < archive->tensor_count; i++)
    status = write_tensor(writer, block, archive->tensors[i].tensor);
  pool_give(pool, block);
  return status;
}

saros_status saros_safetensors_write(const saros_archive *archive,
                                     const char *path) {
  file_writer writer = {
      .context = archive->context, .function = "safetensors", .path = path};
  saros_status status;
  TRY_OR_DONE(file_create(&writer));
  TRY_OR_DONE(write_header(archive, &writer));
  TRY_OR_DONE(write_tensors(archive, &writer));
  status = file_commit(&writer);
done:
  file_discard(&writer);
  return status;
}
