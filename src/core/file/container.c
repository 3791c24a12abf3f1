/*
** Containers: bytes and elements of the members of a zip file, or of a plain file,
** which is its own only member.
**
** Sizes in a zip are its own word: nothing is taken for a member before its size
** was compared with what the file may take in all, and reading stops there.
*/
#include <string.h>
#include <unistd.h>

#include "container.h"

#define BLOCK_BYTES ((size_t)1 << 16)
#define LEAST_ROOM ((uint64_t)1 << 20)
#define MOST_COUNT (((uint64_t)1 << 40) - 1)

saros_status file_container_refuse(const saros_container *c, const char *words,
                                   const char *name) {
  return saros_fail(c->context, SAROS_EFILE, "%s: %s%s%s in %s",
                    c->zip ? "zip" : "file", words, name ? " for " : "",
                    name ? BASE_QUOTE(name) : "", BASE_QUOTE(c->path));
}

/* --- Life ------------------------------------------------------------------- */

saros_status file_container_add(saros_container *c, const char *name,
                                file_member member) {
  size_t bytes = strlen(name) + 1;
  TRY(array_reserve(c->context, &c->members, c->count, &c->members_room,
                    sizeof member));
  TRY(array_grow(c->context, &c->names, c->names_used, &c->names_room, bytes,
                 1));
  memcpy(c->names + c->names_used, name, bytes);
  member.name = c->names_used;
  c->names_used += bytes;
  c->members[c->count++] = member;
  return SAROS_OK;
}

static int is_zip(const saros_container *c) {
  char sign[4];
  return c->size >= sizeof sign &&
         !file_read_at(c->context, "file", c->path, c->file, sign, 0,
                       sizeof sign) &&
         (!memcmp(sign, "PK\3\4", 4) || !memcmp(sign, "PK\5\6", 4));
}

static saros_status open_container(saros_container *c, uint64_t limit) {
  TRY(file_open(c->context, "file", c->path, &c->file, &c->size));
  c->room = limit > 0 ? limit : 4 * c->size + LEAST_ROOM;
  if (is_zip(c))
    return file_zip_open(c);
  return file_container_add(c, "", (file_member){.bytes = c->size});
}

saros_status saros_container_open(saros_context *context, const char *path,
                                  uint64_t limit, saros_container **out) {
  size_t bytes = strlen(path) + 1;
  *out = NULL;
  saros_container *c;
  TRY(base_object_new(context, sizeof *c, (void **)&c));
  c->context = context;
  c->file = c->open = -1;
  saros_status status;
  char *copy = pool_take(&context->pool, bytes);
  c->path = copy;
  if (copy == NULL) {
    status = base_out_of_memory(context, bytes);
  } else {
    memcpy(copy, path, bytes);
    status = open_container(c, limit);
  }
  if (status == SAROS_OK)
    *out = c;
  else
    saros_container_release(c);
  return status;
}

void saros_container_release(saros_container *c) {
  if (c == NULL)
    return;
  base_pool *pool = &c->context->pool;
  file_zip_close(c);
  if (c->file >= 0)
    close(c->file);
  pool_give(pool, c->members);
  pool_give(pool, c->names);
  pool_give(pool, (char *)c->path);
  base_object_free(c->context, c);
}

int saros_container_count(const saros_container *c) {
  return c->count;
}

const char *saros_container_name(const saros_container *c, int at) {
  return c->names + c->members[at].name;
}

uint64_t saros_container_bytes(const saros_container *c, int at) {
  return c->members[at].bytes;
}

uint64_t saros_container_size(const saros_container *c) {
  return c->size;
}

uint64_t saros_container_room(const saros_container *c) {
  return c->room;
}

/* --- Bytes -------------------------------------------------------------------- */

/* The next bytes of the open member. */
static saros_status next_bytes(saros_container *c, void *to, size_t size) {
  if (c->zip != NULL)
    TRY(file_zip_next(c, to, size));
  else
    TRY(file_read_at(c->context, "file", c->path, c->file, to, c->at, size));
  c->at += size;
  return SAROS_OK;
}

static saros_status skip_bytes(saros_container *c, char *block, uint64_t size) {
  if (c->zip == NULL) {
    c->at += size;
    return SAROS_OK;
  }
  while (size > 0) {
    size_t part = size < BLOCK_BYTES ? (size_t)size : BLOCK_BYTES;
    TRY(base_check_interrupt(c->context));
    TRY(next_bytes(c, block, part));
    size -= part;
  }
  return SAROS_OK;
}

/* Opens a member at a byte from which on it has 'size' more. */
static saros_status begin(saros_container *c, int at, uint64_t from,
                          uint64_t size, char *block) {
  uint64_t bytes = c->members[at].bytes;
  if (from > bytes || size > bytes - from)
    return file_container_refuse(c, "expected more bytes, got too few",
                                 saros_container_name(c, at));
  c->at = 0;
  c->open = at;
  if (c->zip != NULL)
    TRY(file_zip_begin(c, at));
  return skip_bytes(c, block, from);
}

/* Ends what 'begin' began; 'status' is how it went until then. */
static saros_status end(saros_container *c, saros_status status) {
  if (c->zip == NULL)
    return status;
  saros_status last = file_zip_end(c);
  return status != SAROS_OK ? status : last;
}

/* SAROS_EFILE if so many bytes are past the limit. */
static saros_status expect_room(const saros_container *c, int at,
                                uint64_t bytes) {
  if (bytes > c->room)
    return saros_fail(
        c->context, SAROS_EFILE,
        "file: expected at most %llu bytes more, the limit, got %llu for "
        "%s in %s",
        (unsigned long long)c->room, (unsigned long long)bytes,
        BASE_QUOTE(saros_container_name(c, at)), BASE_QUOTE(c->path));
  return SAROS_OK;
}

/* Runs read(c, what, block) on an open member. */
static saros_status
with_member(saros_container *c, int at, uint64_t from, uint64_t size,
            saros_status (*read)(saros_container *c, void *what, char *block),
            void *what) {
  char *block = pool_take(&c->context->pool, BLOCK_BYTES);
  if (block == NULL)
    return base_out_of_memory(c->context, BLOCK_BYTES);
  saros_status status = begin(c, at, from, size, block);
  if (status == SAROS_OK)
    status = read(c, what, block);
  status = end(c, status);
  pool_give(&c->context->pool, block);
  return status;
}

typedef struct plain_bytes {
  void *to;
  size_t size;
} plain_bytes;

static saros_status read_bytes(saros_container *c, void *what, char *block) {
  plain_bytes *bytes = what;
  (void)block;
  return next_bytes(c, bytes->to, bytes->size);
}

saros_status saros_container_read(saros_container *c, int at, uint64_t from,
                                  size_t size, void *to) {
  plain_bytes bytes = {to, size};
  TRY(expect_room(c, at, size));
  return with_member(c, at, from, size, read_bytes, &bytes);
}

/* --- Elements ------------------------------------------------------------------- */

typedef struct elements {
  const file_element_type *type;
  int swapped;
  saros_tensor *x;
} elements;

static void swap_bytes(char *bytes, size_t count, size_t size) {
  for (; count > 0; count--, bytes += size)
    for (size_t i = 0; i < size / 2; i++) {
      char other = bytes[i];
      bytes[i] = bytes[size - 1 - i];
      bytes[size - 1 - i] = other;
    }
}

static saros_status read_elements(saros_container *c, void *what, char *block) {
  const elements *e = what;
  char *to = e->x->storage->data;
  size_t step = e->type->dtype == SAROS_REAL ? sizeof(real) : sizeof(int32_t);
  size_t most = BLOCK_BYTES / e->type->size, part;
  for (size_t i = 0; i < e->x->count; i += part) {
    part = e->x->count - i < most ? e->x->count - i : most;
    TRY(base_check_interrupt(c->context));
    TRY(next_bytes(c, block, part * e->type->size));
    if (e->swapped)
      swap_bytes(block, part, e->type->size);
    size_t done = e->type->decode(to + i * step, block, part);
    if (done < part)
      return saros_fail(c->context, SAROS_EFILE,
                        "file: expected %s, got another at position %zu "
                        "of %s in %s",
                        e->type->size == 8 ? "ids of 32 bits" : "0 or 1",
                        i + done + (size_t)c->context->index_base,
                        BASE_QUOTE(saros_container_name(c, c->open)),
                        BASE_QUOTE(c->path));
  }
  return SAROS_OK;
}

saros_status saros_container_elements(saros_container *c, int at, uint64_t from,
                                      const char *type, uint64_t count,
                                      int swapped, saros_tensor **out) {
  elements e = {.type = file_element_type_named(type), .swapped = swapped};
  *out = NULL;
  if (e.type == NULL)
    return file_container_refuse(
        c, "expected type " FILE_ELEMENT_TYPES ", got another", type);
  if (count > MOST_COUNT || count > INT32_MAX)
    return file_container_refuse(c,
                                 "expected at most 2^31 - 1 elements, got more",
                                 saros_container_name(c, at));
  size_t step = e.type->dtype == SAROS_REAL ? sizeof(real) : sizeof(int32_t);
  if (count * e.type->size > c->members[at].bytes)
    return file_container_refuse(c, "expected more bytes, got too few",
                                 saros_container_name(c, at));
  TRY(expect_room(c, at, count * step));
  int size = (int)count;
  TRY(tensor_new(c->context, e.type->dtype, 1, &size, &e.x));
  saros_status status =
      with_member(c, at, from, count * e.type->size, read_elements, &e);
  if (status == SAROS_OK) {
    c->room -= count * step;
    *out = e.x;
  } else {
    saros_tensor_release(e.x);
  }
  return status;
}
