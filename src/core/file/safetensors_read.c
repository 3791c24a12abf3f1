/*
** Reading archives in safetensors format, strictly. A file is the length of the
** header (8 bytes, little-endian), the header (a JSON object, perhaps padded
** with spaces) and the elements of the tensors, without a gap.
**
** Nothing in the file is believed before it was compared with what is known:
** the header's length with the size of the file; every entry with the format;
** all entries together with the number of bytes that follow. Only then are
** tensors made and filled, so a refusal is cheap. For the same reason jansson
** sees one member of the header at a time and an entry of a few lines at most:
** a hostile header costs little more memory than its own bytes. Decoded names
** replace their text in the header, than which they are never longer.
*/
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "little_endian.h"

#define MAX_HEADER 100000000u
#define MAX_ENTRY 4096  // bytes of JSON that describe one tensor
#define MAX_COUNT (((uint64_t)1 << 40) - 1)
#define BLOCK_BYTES ((size_t)1 << 16)

/* A tensor of the file. */
typedef struct entry {
  const char *name;  // in the reader's header
  const file_element_type *type;
  int rank;
  int shape[SAROS_MAX_RANK];
  uint64_t begin, end;  // bytes from the end of the header
  int place;            // in the header: the first is 0
} entry;

typedef struct reader {
  saros_context *context;
  const char *path;
  int file;
  uint64_t data_begin, data_bytes;
  char *header;
  size_t at, length;  // where we are in the header
  int metadata_seen;
  entry *entries;
  int entry_count, entry_room;
  saros_archive *archive;
} reader;

/* "safetensors: <words> for <name> in <path>"; name may be null. */
__attribute__((format(printf, 3, 4))) static saros_status
refuse(const reader *r, const char *name, const char *format, ...) {
  char words[300];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(words, sizeof words, format, arguments);
  va_end(arguments);
  return saros_fail(r->context, SAROS_EFILE, "safetensors: %s%s%s in %s", words,
                    name ? " for " : "", name ? BASE_QUOTE(name) : "",
                    BASE_QUOTE(r->path));
}

/* --- Bytes ---------------------------------------------------------------- */

static saros_status read_at(const reader *r, void *to, uint64_t at,
                            size_t size) {
  return file_read_at(r->context, "safetensors", r->path, r->file, to, at,
                      size);
}

static saros_status read_header(reader *r) {
  unsigned char prefix[8];
  uint64_t size = 0, length;
  TRY(file_open(r->context, "safetensors", r->path, &r->file, &size));
  if (size < sizeof prefix)
    return refuse(r, NULL, "expected a header's length in 8 bytes, got %d",
                  (int)size);
  TRY(read_at(r, prefix, 0, sizeof prefix));
  length = base_load_64(prefix);
  if (length > MAX_HEADER)
    return refuse(r, NULL, "expected a header of at most %u bytes, got %llu",
                  MAX_HEADER, (unsigned long long)length);
  if (length > size - sizeof prefix)
    return refuse(r, NULL, "expected a header of %llu bytes, got only %llu",
                  (unsigned long long)length,
                  (unsigned long long)size - sizeof prefix);
  r->length = (size_t)length;
  r->data_begin = sizeof prefix + length;
  r->data_bytes = size - r->data_begin;
  r->header = pool_take(&r->context->pool, r->length);
  if (r->header == NULL)
    return base_out_of_memory(r->context, r->length);
  return read_at(r, r->header, sizeof prefix, r->length);
}

/* --- JSON, member by member ----------------------------------------------- */

static void skip_blanks(reader *r) {
  while (r->at < r->length && strchr(" \t\r\n", r->header[r->at]) != NULL &&
         r->header[r->at] != 0)
    r->at++;
}

static int accept(reader *r, char sign) {
  skip_blanks(r);
  int there = r->at < r->length && r->header[r->at] == sign;
  r->at += (size_t)there;
  return there;
}

static saros_status expect(reader *r, char sign) {
  if (accept(r, sign))
    return SAROS_OK;
  if (r->at == r->length)
    return refuse(r, NULL, "expected '%c', got the end of the header", sign);
  char got[2] = {r->header[r->at], 0};
  return refuse(r, NULL, "expected '%c' at byte %zu of the header, got %s",
                sign, r->at, BASE_QUOTE(got));
}

/* The next value, which has at most 'most' bytes and belongs to 'name' (null:
** to nothing yet). The caller releases it. */
static saros_status load_value(reader *r, const char *name, size_t most,
                               json_t **out) {
  const size_t flags =
      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK;
  json_error_t error;
  skip_blanks(r);
  size_t rest = r->length - r->at;
  *out =
      json_loadb(r->header + r->at, rest < most ? rest : most, flags, &error);
  size_t at = r->at + (size_t)error.position;
  if (*out != NULL) {
    r->at = at;
    return SAROS_OK;
  }
  switch (json_error_code(&error)) {
    case json_error_out_of_memory:
      return base_out_of_memory(r->context, rest);
    case json_error_premature_end_of_input:
      if (rest > most)
        return refuse(r, name,
                      "expected an entry of at most %zu bytes, got more", most);
      // fall through
    default:
      return refuse(r, name,
                    "expected JSON up to byte %zu of the header, got %s", at,
                    BASE_QUOTE(error.text));
  }
}

/* The next value, a string, which stays in the header. */
static saros_status load_string(reader *r, const char **out) {
  json_t *value;
  skip_blanks(r);
  char *place = r->header + r->at;
  if (r->at == r->length || *place != '"')
    return expect(r, '"');
  TRY(load_value(r, NULL, r->length, &value));
  memcpy(place, json_string_value(value), json_string_length(value) + 1);
  json_decref(value);
  *out = place;
  return SAROS_OK;
}

/* Walks over an object: member(r, name) has to load each value. */
static saros_status
load_members(reader *r, saros_status (*member)(reader *r, const char *name)) {
  TRY(expect(r, '{'));
  if (accept(r, '}'))
    return SAROS_OK;
  do {
    const char *name;
    TRY(load_string(r, &name));
    TRY(expect(r, ':'));
    TRY(member(r, name));
  } while (accept(r, ','));
  return expect(r, '}');
}

/* --- One entry ------------------------------------------------------------ */

static saros_status parse_type(const reader *r, const json_t *json, entry *e) {
  const char *name = json_string_value(json);
  e->type = name ? file_element_type_named(name) : NULL;
  if (e->type != NULL)
    return SAROS_OK;
  return refuse(r, e->name, "expected dtype " FILE_ELEMENT_TYPES ", got %s",
                name ? BASE_QUOTE(name) : "no string");
}

static saros_status parse_shape(const reader *r, const json_t *json, entry *e) {
  size_t rank = json_array_size(json);
  if (!json_is_array(json) || rank > SAROS_MAX_RANK)
    return refuse(r, e->name, "expected shape of at most %d sizes, got %s",
                  SAROS_MAX_RANK, json_is_array(json) ? "more" : "no array");
  e->rank = (int)rank;
  for (size_t axis = 0; axis < rank; axis++) {
    const json_t *size = json_array_get(json, axis);
    json_int_t value = json_integer_value(size);
    if (!json_is_integer(size))
      return refuse(r, e->name, "expected shape of integers, got others");
    if (value < 0 || value > INT32_MAX)
      return refuse(r, e->name, "expected shape of sizes in 0..%d, got %lld",
                    INT32_MAX, (long long)value);
    e->shape[axis] = (int)value;
  }
  return SAROS_OK;
}

static saros_status parse_offsets(const reader *r, const json_t *json,
                                  entry *e) {
  const json_t *begin = json_array_get(json, 0), *end = json_array_get(json, 1);
  if (json_array_size(json) != 2 || !json_is_integer(begin) ||
      !json_is_integer(end))
    return refuse(r, e->name,
                  "expected data_offsets of two integers, "
                  "got others");
  json_int_t first = json_integer_value(begin), last = json_integer_value(end);
  if (first < 0 || first > last)
    return refuse(r, e->name,
                  "expected data_offsets with 0 <= begin <= end, got %lld and "
                  "%lld",
                  (long long)first, (long long)last);
  e->begin = (uint64_t)first;
  e->end = (uint64_t)last;
  return SAROS_OK;
}

/* SAROS_EFILE unless the offsets leave the room that type and shape ask for. */
static saros_status check_extent(const reader *r, const entry *e) {
  uint64_t count = 1, bytes;
  for (int axis = 0; axis < e->rank; axis++)
    if (__builtin_mul_overflow(count, (uint64_t)e->shape[axis], &count) ||
        count > MAX_COUNT)
      return refuse(
          r, e->name, "expected at most 2^40 - 1 elements, got shape %s",
          tensor_shape_format(&(tensor_shape_text){{0}}, e->rank, e->shape));
  bytes = count * e->type->size;  // below 2^43
  if (bytes == e->end - e->begin)
    return SAROS_OK;
  return refuse(
      r, e->name, "expected data_offsets %llu apart for %s %s, got %llu",
      (unsigned long long)bytes, e->type->name,
      tensor_shape_format(&(tensor_shape_text){{0}}, e->rank, e->shape),
      (unsigned long long)(e->end - e->begin));
}

static saros_status parse_entry(const reader *r, const json_t *json, entry *e) {
  const json_t *type = json_object_get(json, "dtype");
  const json_t *shape = json_object_get(json, "shape");
  const json_t *offsets = json_object_get(json, "data_offsets");
  if (!type || !shape || !offsets || json_object_size(json) != 3)
    return refuse(r, e->name,
                  "expected exactly dtype, shape and data_offsets, got others");
  TRY(parse_type(r, type, e));
  TRY(parse_shape(r, shape, e));
  TRY(parse_offsets(r, offsets, e));
  return check_extent(r, e);
}

static saros_status load_entry(reader *r, const char *name) {
  json_t *json;
  entry e = {.name = name, .place = r->entry_count};
  TRY(array_reserve(r->context, &r->entries, r->entry_count, &r->entry_room,
                    sizeof e));
  TRY(load_value(r, name, MAX_ENTRY, &json));
  saros_status status = parse_entry(r, json, &e);
  json_decref(json);
  if (status == SAROS_OK)
    r->entries[r->entry_count++] = e;
  return status;
}

/* --- The whole header ----------------------------------------------------- */

static saros_status load_metadata(reader *r, const char *key) {
  const char *value;
  skip_blanks(r);
  if (r->at < r->length && r->header[r->at] != '"')
    return refuse(r, key,
                  "expected a string in __metadata__, got another "
                  "value");
  TRY(load_string(r, &value));
  return file_archive_append_metadata(r->archive, key, value);
}

static saros_status load_member(reader *r, const char *name) {
  if (strcmp(name, "__metadata__") != 0)
    return load_entry(r, name);
  if (r->metadata_seen)
    return refuse(r, name, "expected each name once, got a second");
  r->metadata_seen = 1;
  return load_members(r, load_metadata);
}

static saros_status load_header(reader *r) {
  if (r->length == 0 || r->header[0] != '{')
    return refuse(r, NULL, "expected a header that begins with '{', got none");
  TRY(load_members(r, load_member));
  while (r->at < r->length && r->header[r->at] == ' ')
    r->at++;
  if (r->at == r->length)
    return SAROS_OK;
  return refuse(r, NULL,
                "expected spaces from byte %zu of the header to its "
                "end, got others",
                r->at);
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts the names; refuses two that are equal. */
static saros_status expect_unique(const reader *r, const char **names,
                                  int count) {
  qsort(names, (size_t)count, sizeof *names, compare_names);
  for (int i = 1; i < count; i++)
    if (strcmp(names[i - 1], names[i]) == 0)
      return refuse(r, names[i], "expected each name once, got a second");
  return SAROS_OK;
}

static saros_status check_names(const reader *r) {
  const saros_archive *archive = r->archive;
  int texts = archive->text_count;
  size_t bytes =
      ((size_t)r->entry_count + (size_t)texts) * sizeof(const char *);
  const char **names = pool_take(&r->context->pool, bytes);
  if (names == NULL)
    return base_out_of_memory(r->context, bytes);
  for (int i = 0; i < texts; i++)
    names[i] = archive->texts[i].key;
  for (int i = 0; i < r->entry_count; i++)
    names[texts + i] = r->entries[i].name;
  saros_status status = expect_unique(r, names, texts);
  if (status == SAROS_OK)
    status = expect_unique(r, names + texts, r->entry_count);
  pool_give(&r->context->pool, names);
  return status;
}

/* In the order of their elements; empty tensors as the header has them. */
static int compare_offsets(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  if (x->end != y->end)
    return x->end < y->end ? -1 : 1;
  return x->place < y->place ? -1 : 1;
}

/* Sorts the entries; refuses holes, overlaps and bytes that belong to none. */
static saros_status check_cover(const reader *r) {
  uint64_t at = 0;
  if (r->entry_count > 1)
    qsort(r->entries, (size_t)r->entry_count, sizeof(entry), compare_offsets);
  for (int i = 0; i < r->entry_count; i++) {
    const entry *e = &r->entries[i];
    if (e->begin != at)
      return refuse(r, e->name,
                    "expected data_offsets that begin at %llu, got %llu",
                    (unsigned long long)at, (unsigned long long)e->begin);
    at = e->end;
  }
  if (at == r->data_bytes)
    return SAROS_OK;
  return refuse(r, NULL,
                "expected %llu bytes of elements up to the end of the file, "
                "got %llu",
                (unsigned long long)at, (unsigned long long)r->data_bytes);
}

/* --- The elements --------------------------------------------------------- */

static saros_status refuse_element(const reader *r, const entry *e,
                                   const char *from, size_t position) {
  int wide = e->type->size == 8;
  long long value = wide ? (long long)base_load_64(from) : *from;
  return refuse(r, e->name, "expected %s, got %lld at position %zu",
                wide ? "ids of 32 bits" : "0 or 1 as BOOL", value,
                position + (size_t)r->context->index_base);
}

static saros_status read_elements(const reader *r, const entry *e, char *block,
                                  saros_tensor *x) {
  const file_element_type *type = e->type;
  char *to = x->storage->data;
  size_t step = type->dtype == SAROS_REAL ? sizeof(real) : sizeof(int32_t);
  size_t most = BLOCK_BYTES / type->size;
  for (size_t i = 0; i < x->count; i += most) {
    size_t part = x->count - i < most ? x->count - i : most;
    TRY(read_at(r, block, r->data_begin + e->begin + i * type->size,
                part * type->size));
    size_t done = type->decode(to + i * step, block, part);
    if (done < part)
      return refuse_element(r, e, block + done * type->size, i + done);
  }
  return SAROS_OK;
}

static saros_status read_entry(const reader *r, const entry *e, char *block) {
  saros_tensor *x;
  TRY(tensor_new(r->context, e->type->dtype, e->rank, e->shape, &x));
  saros_status status = read_elements(r, e, block, x);
  if (status == SAROS_OK)
    status = file_archive_append(r->archive, e->name, x);
  saros_tensor_release(x);
  return status;
}

static saros_status read_entries(const reader *r) {
  char *block = pool_take(&r->context->pool, BLOCK_BYTES);
  if (block == NULL)
    return base_out_of_memory(r->context, BLOCK_BYTES);
  saros_status status = SAROS_OK;
  for (int i = 0; status == SAROS_OK && i < r->entry_count; i++)
    status = read_entry(r, &r->entries[i], block);
  pool_give(&r->context->pool, block);
  return status;
}

static saros_status describe_entries(const reader *r) {
  for (int i = 0; i < r->entry_count; i++) {
    const entry *e = &r->entries[i];
    TRY(file_archive_describe(r->archive, e->name, e->type->name, e->rank,
                              e->shape));
  }
  return SAROS_OK;
}

/* Fills the archive by 'fill', once the header is known to be sound. */
static saros_status read_file(saros_context *context, const char *path,
                              saros_status (*fill)(const reader *r),
                              saros_archive **out) {
  reader r = {.context = context, .path = path, .file = -1};
  saros_status status;
  *out = NULL;
  TRY_OR_DONE(saros_archive_new(context, &r.archive));
  TRY_OR_DONE(read_header(&r));
  TRY_OR_DONE(load_header(&r));
  TRY_OR_DONE(check_names(&r));
  TRY_OR_DONE(check_cover(&r));
  TRY_OR_DONE(fill(&r));
  *out = r.archive;
  r.archive = NULL;
done:
  if (r.file >= 0)
    close(r.file);
  pool_give(&context->pool, r.entries);
  pool_give(&context->pool, r.header);
  saros_archive_release(r.archive);
  return status;
}

saros_status saros_safetensors_read(saros_context *context, const char *path,
                                    saros_archive **out) {
  return read_file(context, path, read_entries, out);
}

saros_status saros_safetensors_describe(saros_context *context,
                                        const char *path, saros_archive **out) {
  return read_file(context, path, describe_entries, out);
}
