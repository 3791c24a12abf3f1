/*
** Archives: named tensors and metadata, in the order in which they were added.
** What they look like in a file is left to safetensors_read.c and _write.c.
*/
#include <stdio.h>
#include <string.h>

#include "file.h"

/* --- Names --------------------------------------------------------------- */

static int is_utf8(const char *text) {
  const unsigned char *at = (const unsigned char *)text;
  while (*at != 0) {
    size_t length = base_utf8_sequence(at);
    if (length == 0)
      return 0;
    at += length;
  }
  return 1;
}

/* --- Life ----------------------------------------------------------------- */

saros_status saros_archive_new(saros_context *context, saros_archive **out) {
  TRY(base_object_new(context, sizeof(saros_archive), (void **)out));
  (*out)->context = context;
  return SAROS_OK;
}

void saros_archive_release(saros_archive *archive) {
  if (archive == NULL)
    return;
  base_pool *pool = &archive->context->pool;
  for (int i = 0; i < archive->tensor_count; i++) {
    pool_give(pool, archive->tensors[i].name);
    saros_tensor_release(archive->tensors[i].tensor);
  }
  for (int i = 0; i < archive->text_count; i++) {
    pool_give(pool, archive->texts[i].key);
    pool_give(pool, archive->texts[i].value);
  }
  pool_give(pool, archive->tensors);
  pool_give(pool, archive->texts);
  base_object_free(archive->context, archive);
}

/* --- Adding --------------------------------------------------------------- */

static saros_status copy_text(saros_context *context, const char *text,
                              char **out) {
  size_t bytes = strlen(text) + 1;
  *out = pool_take(&context->pool, bytes);
  if (*out == NULL)
    return base_out_of_memory(context, bytes);
  memcpy(*out, text, bytes);
  return SAROS_OK;
}

saros_status file_archive_describe(saros_archive *archive, const char *name,
                                   const char *type, int rank,
                                   const int *shape) {
  file_archive_tensor new = {.type = type, .rank = rank};
  TRY(array_reserve(archive->context, &archive->tensors, archive->tensor_count,
                    &archive->tensor_room, sizeof new));
  TRY(copy_text(archive->context, name, &new.name));
  memcpy(new.shape, shape, (size_t)rank * sizeof *shape);
  archive->tensors[archive->tensor_count++] = new;
  return SAROS_OK;
}

saros_status file_archive_append(saros_archive *archive, const char *name,
                                 saros_tensor *tensor) {
  TRY(file_archive_describe(archive, name, NULL, tensor->rank, tensor->shape));
  archive->tensors[archive->tensor_count - 1].tensor =
      saros_tensor_retain(tensor);
  return SAROS_OK;
}

saros_status file_archive_append_metadata(saros_archive *archive,
                                          const char *key, const char *value) {
  file_archive_text new;
  TRY(array_reserve(archive->context, &archive->texts, archive->text_count,
                    &archive->text_room, sizeof new));
  TRY(copy_text(archive->context, key, &new.key));
  saros_status status = copy_text(archive->context, value, &new.value);
  if (status == SAROS_OK)
    archive->texts[archive->text_count++] = new;
  else
    pool_give(&archive->context->pool, new.key);
  return status;
}

static saros_status expect_utf8(saros_context *context, const char *what,
                                const char *text) {
  if (is_utf8(text))
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "archive: expected %s in UTF-8, got %s", what,
                    BASE_QUOTE(text));
}

saros_status saros_archive_add(saros_archive *archive, const char *name,
                               saros_tensor *tensor) {
  saros_context *context = archive->context;
  TRY(tensor_expect_context("archive", context, tensor));
  TRY(expect_utf8(context, "a name", name));
  if (strcmp(name, "__metadata__") == 0)
    return saros_fail(context, SAROS_EARGUMENT,
                      "archive: expected the name of a tensor, got "
                      "\"__metadata__\", which the file format reserves");
  for (int i = 0; i < archive->tensor_count; i++)
    if (strcmp(name, archive->tensors[i].name) == 0)
      return saros_fail(context, SAROS_EARGUMENT,
                        "archive: expected each name once, got %s twice",
                        BASE_QUOTE(name));
  return file_archive_append(archive, name, tensor);
}

saros_status saros_archive_add_metadata(saros_archive *archive, const char *key,
                                        const char *value) {
  saros_context *context = archive->context;
  TRY(expect_utf8(context, "a metadata key", key));
  TRY(expect_utf8(context, "a metadata value", value));
  for (int i = 0; i < archive->text_count; i++)
    if (strcmp(key, archive->texts[i].key) == 0)
      return saros_fail(context, SAROS_EARGUMENT,
                        "archive: expected each metadata key once, got %s "
                        "twice",
                        BASE_QUOTE(key));
  return file_archive_append_metadata(archive, key, value);
}

/* --- Looking -------------------------------------------------------------- */

int saros_archive_count(const saros_archive *archive) {
  return archive->tensor_count;
}

const char *saros_archive_name(const saros_archive *archive, int at) {
  return archive->tensors[at].name;
}

saros_tensor *saros_archive_tensor(const saros_archive *archive, int at) {
  return archive->tensors[at].tensor;
}

const char *saros_archive_type(const saros_archive *archive, int at) {
  return archive->tensors[at].type;
}

int saros_archive_shape(const saros_archive *archive, int at,
                        const int **shape) {
  *shape = archive->tensors[at].shape;
  return archive->tensors[at].rank;
}

int saros_archive_metadata_count(const saros_archive *archive) {
  return archive->text_count;
}

const char *saros_archive_metadata_key(const saros_archive *archive, int at) {
  return archive->texts[at].key;
}

const char *saros_archive_metadata_value(const saros_archive *archive, int at) {
  return archive->texts[at].value;
}
