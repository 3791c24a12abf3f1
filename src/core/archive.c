/*
** Archives: named tensors and metadata, in the order in which they were added.
** What they look like in a file is left to safetensors_read.c and _write.c.
*/
#include <stdio.h>
#include <string.h>

#include "archive.h"

/* --- Text from outside ---------------------------------------------------- */

/* The length of the valid UTF-8 sequence that text begins with; 0 if there is
** none, as for surrogates, overlong forms and numbers past 10FFFF. */
static size_t utf8_sequence(const unsigned char *text) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  unsigned char first = text[0];
  if (first < 0x80)
    return 1;
  size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC0 || first > 0xF4)
    return 0;
  uint32_t number = first & (0x7Fu >> length);
  for (size_t i = 1; i < length; i++) {
    if ((text[i] & 0xC0) != 0x80)  // also the zero byte at the end
      return 0;
    number = number << 6 | (text[i] & 0x3Fu);
  }
  int surrogate = number >= 0xD800 && number <= 0xDFFF;
  return number < least[length] || number > 0x10FFFF || surrogate ? 0 : length;
}

static int is_utf8(const char *text) {
  const unsigned char *at = (const unsigned char *)text;
  while (*at != 0) {
    size_t length = utf8_sequence(at);
    if (length == 0)
      return 0;
    at += length;
  }
  return 1;
}

/* Whether a sequence may be printed as it is: no C0 or C1 control. */
static int is_printable(const unsigned char *text, size_t length) {
  if (length == 1)
    return text[0] >= 0x20 && text[0] != 0x7F;
  return length > 2 || (length == 2 && (text[0] != 0xC2 || text[1] >= 0xA0));
}

const char *quote(quoted *buffer, const char *text) {
  const unsigned char *at = (const unsigned char *)text;
  char *out = buffer->text;
  const char *limit = buffer->text + sizeof buffer->text - 9;  // \x00..."
  *out++ = '"';
  while (*at != 0 && out < limit) {
    size_t length = utf8_sequence(at);
    if (*at == '"' || *at == '\\')
      *out++ = '\\';
    if (!is_printable(at, length)) {
      out += snprintf(out, 5, "\\x%02X", *at++);
      continue;
    }
    memcpy(out, at, length);
    out += length;
    at += length;
  }
  snprintf(out, 5, *at != 0 ? "...\"" : "\"");
  return buffer->text;
}

/* --- Life ----------------------------------------------------------------- */

saros_status saros_archive_new(saros_context *context, saros_archive **out) {
  TRY(object_new(context, sizeof(saros_archive), (void **)out));
  (*out)->context = context;
  return SAROS_OK;
}

void saros_archive_release(saros_archive *archive) {
  if (archive == NULL)
    return;
  memory_pool *pool = &archive->context->pool;
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
  object_free(archive->context, archive);
}

/* --- Adding --------------------------------------------------------------- */

saros_status array_reserve(saros_context *context, void *items, int count,
                           int *room, size_t item_size) {
  void **array = items;
  if (count < *room)
    return SAROS_OK;
  int more = count < 8 ? 8 : count > INT32_MAX / 2 ? INT32_MAX : 2 * count;
  size_t bytes = (size_t)more * item_size;
  void *larger = count == more ? NULL : pool_take(&context->pool, bytes);
  if (larger == NULL)
    return out_of_memory(context, bytes);
  if (count > 0)
    memcpy(larger, *array, (size_t)count * item_size);
  pool_give(&context->pool, *array);
  *array = larger;
  *room = more;
  return SAROS_OK;
}

static saros_status copy_text(saros_context *context, const char *text,
                              char **out) {
  size_t bytes = strlen(text) + 1;
  *out = pool_take(&context->pool, bytes);
  if (*out == NULL)
    return out_of_memory(context, bytes);
  memcpy(*out, text, bytes);
  return SAROS_OK;
}

saros_status archive_append(saros_archive *archive, const char *name,
                            saros_tensor *tensor) {
  archive_tensor new;
  TRY(array_reserve(archive->context, &archive->tensors, archive->tensor_count,
                    &archive->tensor_room, sizeof new));
  TRY(copy_text(archive->context, name, &new.name));
  new.tensor = saros_tensor_retain(tensor);
  archive->tensors[archive->tensor_count++] = new;
  return SAROS_OK;
}

saros_status archive_append_metadata(saros_archive *archive, const char *key,
                                     const char *value) {
  archive_text new;
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
                    "archive: expected %s in UTF-8, got %s", what, QUOTE(text));
}

saros_status saros_archive_add(saros_archive *archive, const char *name,
                               saros_tensor *tensor) {
  saros_context *context = archive->context;
  TRY(expect_context("archive", context, tensor));
  TRY(expect_utf8(context, "a name", name));
  if (strcmp(name, "__metadata__") == 0)
    return saros_fail(context, SAROS_EARGUMENT,
                      "archive: expected the name of a tensor, got "
                      "\"__metadata__\", which the file format reserves");
  for (int i = 0; i < archive->tensor_count; i++)
    if (strcmp(name, archive->tensors[i].name) == 0)
      return saros_fail(context, SAROS_EARGUMENT,
                        "archive: expected each name once, got %s twice",
                        QUOTE(name));
  return archive_append(archive, name, tensor);
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
                        QUOTE(key));
  return archive_append_metadata(archive, key, value);
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

int saros_archive_metadata_count(const saros_archive *archive) {
  return archive->text_count;
}

const char *saros_archive_metadata_key(const saros_archive *archive, int at) {
  return archive->texts[at].key;
}

const char *saros_archive_metadata_value(const saros_archive *archive, int at) {
  return archive->texts[at].value;
}
