/*
** Token files: written front to back with the header last, read by windows.
** The format is in saros.h. Windows are read with pread, whose pages the system
** shares and caches just as those of a map; but it needs no room in the address
** space, and where a file has lost its end it says so.
*/
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "little_endian.h"
#include "text.h"

#define MAGIC "\x89saros\r\n"
#define FORMAT 1u
#define CHECKED_BYTES 56  // of the header, before the checksum
#define HEADER_BYTES 64
#define FNV_BASIS 0xCBF29CE484222325u
#define FNV_PRIME 0x100000001B3u
#define MAX_DESCRIPTION ((uint64_t)1 << 30)

struct saros_tokens {
  saros_context *context;
  char *path;
  int descriptor;
  int width;  // bytes of an id
  int symbols;
  uint64_t count, held_out, digest;
  char *description;
  size_t description_size;
};

static uint64_t fnv(uint64_t hash, const void *bytes, size_t size) {
  const unsigned char *at = bytes;
  for (size_t i = 0; i < size; i++)
    hash = (hash ^ at[i]) * FNV_PRIME;
  return hash;
}

static uint64_t checksum(const char *header, const char *description,
                         size_t size) {
  uint64_t hash = fnv(FNV_BASIS, header, CHECKED_BYTES);
  return fnv(hash, description, size);
}

/* --- Writing -------------------------------------------------------------- */

typedef struct token_writer {
  saros_codec *codec;
  text_reader reader;
  file_writer file;
  int32_t *ids;  // of a stretch
  size_t room;
  int width;
  uint64_t count, digest;
} token_writer;

/* In place: an id of the file never lies behind the one it is made of. */
static void pack_ids(int32_t *ids, size_t count, int width) {
  char *to = (char *)ids;
  for (size_t i = 0; i < count; i++, to += width) {
    uint32_t id = (uint32_t)ids[i];
    if (width == 2) {
      uint16_t narrow = BASE_SWAP(16, (uint16_t)id);
      memcpy(to, &narrow, sizeof narrow);
    } else {
      base_store_32(to, id);
    }
  }
}

static uint64_t digest_of(uint64_t digest, const int32_t *ids, size_t count) {
  for (size_t i = 0; i < count; i++)
    digest = (digest ^ (uint32_t)ids[i]) * FNV_PRIME;
  return digest;
}

static saros_status write_ids(token_writer *w) {
  for (;;) {
    size_t count;
    TRY(text_reader_next(&w->reader));
    if (w->reader.size == 0)
      return SAROS_OK;
    TRY(array_grow(w->codec->context, &w->ids, 0, &w->room,
                   text_codec_most_ids(w->codec, w->reader.size),
                   sizeof *w->ids));
    TRY(text_codec_encode_stretch(w->codec, &w->reader, w->ids, &count));
    w->digest = digest_of(w->digest, w->ids, count);
    pack_ids(w->ids, count, w->width);
    TRY(file_write(&w->file, w->ids, count * (size_t)w->width));
    w->count += count;
  }
}

/* As saros.data.share has it: the nearest whole number. Either part of a text
** needs two symbols: one to read and one to tell. */
static uint64_t held_out_of(uint64_t count, double fraction) {
  uint64_t share = (uint64_t)((double)count * fraction + 0.5);
  if (fraction == 0 || count < 4)
    return 0;
  return share < 2 ? 2 : share > count - 2 ? count - 2 : share;
}

static void fill_header(const token_writer *w, double held_out,
                        const char *description, char *header) {
  size_t size = strlen(description);
  memcpy(header, MAGIC, 8);
  base_store_32(header + 8, FORMAT);
  base_store_32(header + 12, (uint32_t)w->width);
  base_store_64(header + 16, w->count);
  base_store_64(header + 24, held_out_of(w->count, held_out));
  base_store_64(header + 32, (uint64_t)w->codec->count);
  base_store_64(header + 40, size);
  base_store_64(header + 48, w->digest);
  base_store_64(header + CHECKED_BYTES, checksum(header, description, size));
}

static saros_status write_file(token_writer *w, double held_out,
                               const char *description) {
  char header[HEADER_BYTES] = {0};
  TRY(file_create(&w->file));
  TRY(file_write(&w->file, header, sizeof header));
  TRY(file_write(&w->file, description, strlen(description)));
  TRY(write_ids(w));
  if (w->count == 0)
    return saros_fail(w->codec->context, SAROS_EARGUMENT,
                      "prepare: expected some text, got none");
  fill_header(w, held_out, description, header);
  if (pwrite(w->file.descriptor, header, sizeof header, 0) != sizeof header)
    return file_failure(w->codec->context, "prepare", "write", w->file.path);
  return file_commit(&w->file);
}

/* The text must not be what it is to be replaced by. */
static saros_status expect_another(saros_context *context,
                                   const saros_text *text, const char *path) {
  struct stat from, to;
  if (text->path == NULL || stat(text->path, &from) != 0 ||
      stat(path, &to) != 0 || from.st_dev != to.st_dev ||
      from.st_ino != to.st_ino)
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "prepare: expected another file than the text to write, "
                    "got %s",
                    BASE_QUOTE(path));
}

saros_status saros_tokens_write(saros_codec *codec, const saros_text *text,
                                const char *path, double held_out,
                                const char *description, uint64_t *count) {
  saros_context *context = codec->context;
  token_writer w = {.codec = codec,
                    .width = codec->count > 65536 ? 4 : 2,
                    .digest = FNV_BASIS};
  w.file =
      (file_writer){.context = context, .function = "prepare", .path = path};
  *count = 0;
  TRY(expect_another(context, text, path));
  TRY(text_reader_open(&w.reader, context, "prepare", codec->unit, text));
  saros_status status = write_file(&w, held_out, description);
  text_reader_close(&w.reader);
  file_discard(&w.file);
  pool_give(&context->pool, w.ids);
  if (status == SAROS_OK)
    *count = w.count;
  return status;
}

/* --- Opening -------------------------------------------------------------- */

static saros_status refuse(const saros_tokens *t, const char *expected) {
  return saros_fail(t->context, SAROS_EFILE, "tokens: expected %s in %s",
                    expected, BASE_QUOTE(t->path));
}

static saros_status read_at(const saros_tokens *t, void *to, uint64_t at,
                            size_t size) {
  return file_read_at(t->context, "tokens", t->path, t->descriptor, to, at,
                      size);
}

static saros_status take_text(saros_context *context, size_t size, char **out) {
  *out = pool_take(&context->pool, size + 1);
  if (*out == NULL)
    return base_out_of_memory(context, size + 1);
  (*out)[size] = 0;
  return SAROS_OK;
}

/* What the header says, as far as it can be true of a file of that size. */
static saros_status read_header(saros_tokens *t, const char *header,
                                uint64_t size) {
  uint64_t width = base_load_32(header + 12), count = base_load_64(header + 16);
  uint64_t symbols = base_load_64(header + 32),
           words = base_load_64(header + 40);
  if (base_load_32(header + 8) != FORMAT)
    return refuse(t, "format 1, got another, perhaps of a newer version,");
  if (width != 2 && width != 4)
    return refuse(t, "ids of 2 or 4 bytes, got others");
  if (words > MAX_DESCRIPTION || words > size - HEADER_BYTES)
    return refuse(t, "the whole description of the vocabulary, got less");
  uint64_t left = size - HEADER_BYTES - words;
  if (left % width != 0 || left / width != count)
    return saros_fail(t->context, SAROS_EFILE,
                      "tokens: expected %llu ids of %d bytes, got %llu bytes "
                      "in %s; the file was cut or changed",
                      (unsigned long long)count, (int)width,
                      (unsigned long long)left, BASE_QUOTE(t->path));
  if (base_load_64(header + 24) > count || symbols < 1 || symbols > INT32_MAX)
    return refuse(t, "numbers that agree, got others");
  t->width = (int)width;
  t->symbols = (int)symbols;
  t->count = count;
  t->held_out = base_load_64(header + 24);
  t->digest = base_load_64(header + 48);
  t->description_size = (size_t)words;
  return SAROS_OK;
}

static saros_status open_tokens(saros_tokens *t, const char *path) {
  char header[HEADER_BYTES];
  uint64_t size;
  TRY(take_text(t->context, strlen(path), &t->path));
  memcpy(t->path, path, strlen(path));
  TRY(file_open(t->context, "tokens", path, &t->descriptor, &size));
  if (size >= sizeof header)
    TRY(read_at(t, header, 0, sizeof header));
  if (size < sizeof header || memcmp(header, MAGIC, 8) != 0)
    return refuse(t, "a token file as data.prepare writes it, got another");
  TRY(read_header(t, header, size));
  TRY(take_text(t->context, t->description_size, &t->description));
  TRY(read_at(t, t->description, HEADER_BYTES, t->description_size));
  if (checksum(header, t->description, t->description_size) !=
      base_load_64(header + CHECKED_BYTES))
    return refuse(t, "a header with its checksum, got a changed one");
  return SAROS_OK;
}

saros_status saros_tokens_open(saros_context *context, const char *path,
                               saros_tokens **out) {
  void *memory;
  *out = NULL;
  TRY(base_object_new(context, sizeof(saros_tokens), &memory));
  saros_tokens *t = memory;
  t->context = context;
  t->descriptor = -1;
  saros_status status = open_tokens(t, path);
  if (status == SAROS_OK)
    *out = t;
  else
    saros_tokens_release(t);
  return status;
}

void saros_tokens_release(saros_tokens *tokens) {
  if (tokens == NULL)
    return;
  if (tokens->descriptor >= 0)
    close(tokens->descriptor);
  pool_give(&tokens->context->pool, tokens->path);
  pool_give(&tokens->context->pool, tokens->description);
  base_object_free(tokens->context, tokens);
}

uint64_t saros_tokens_count(const saros_tokens *tokens) {
  return tokens->count;
}

uint64_t saros_tokens_held_out(const saros_tokens *tokens) {
  return tokens->held_out;
}

uint64_t saros_tokens_digest(const saros_tokens *tokens) {
  return tokens->digest;
}

int saros_tokens_symbols(const saros_tokens *tokens) {
  return tokens->symbols;
}

const char *saros_tokens_description(const saros_tokens *tokens, size_t *size) {
  *size = tokens->description_size;
  return tokens->description;
}

/* --- Windows -------------------------------------------------------------- */

/* Puts T + 1 ids of the file into column b of the inputs and of the targets. */
static saros_status unpack_row(const saros_tokens *t, const char *from, int T,
                               int B, int32_t *inputs, int32_t *targets) {
  for (int at = 0; at <= T; at++, from += t->width) {
    uint32_t id = t->width == 2 ? base_load_16(from) : base_load_32(from);
    if (id >= (uint32_t)t->symbols)
      return saros_fail(t->context, SAROS_EFILE,
                        "tokens: expected ids below %d, got %u in %s; the file "
                        "was changed",
                        t->symbols, id, BASE_QUOTE(t->path));
    if (at < T)
      inputs[(size_t)at * (size_t)B] = (int32_t)id;
    if (at > 0)
      targets[(size_t)(at - 1) * (size_t)B] = (int32_t)id;
  }
  return SAROS_OK;
}

static saros_status read_rows(const saros_tokens *t, uint64_t first,
                              uint64_t stride, saros_tensor *inputs,
                              saros_tensor *targets) {
  int T = inputs->shape[0], B = inputs->shape[1];
  size_t bytes = ((size_t)T + 1) * (size_t)t->width;
  uint64_t begin = HEADER_BYTES + t->description_size;
  char *row = pool_take(&t->context->pool, bytes);
  if (row == NULL)
    return base_out_of_memory(t->context, bytes);
  saros_status status = SAROS_OK;
  for (int b = 0; b < B && status == SAROS_OK; b++, first += stride) {
    status = read_at(t, row, begin + first * (uint64_t)t->width, bytes);
    if (status == SAROS_OK)
      status = unpack_row(t, row, T, B, tensor_ids(inputs) + b,
                          tensor_ids(targets) + b);
  }
  pool_give(&t->context->pool, row);
  return status;
}

saros_status saros_tokens_window(saros_tokens *tokens, uint64_t first,
                                 uint64_t stride, int T, int B,
                                 saros_tensor **inputs,
                                 saros_tensor **targets) {
  saros_context *context = tokens->context;
  *inputs = *targets = NULL;
  uint64_t count = tokens->count, row = (uint64_t)T + 1;
  if (T < 1 || B < 1 || stride < 1 || count < row || first > count - row ||
      (uint64_t)(B - 1) > (count - row - first) / stride)
    return saros_fail(context, SAROS_EARGUMENT,
                      "window: expected a window inside the %llu ids",
                      (unsigned long long)count);
  int shape[2] = {T, B};
  saros_status status;
  TRY(tensor_new(context, SAROS_IDS, 2, shape, inputs));
  TRY_OR_DONE(tensor_new(context, SAROS_IDS, 2, shape, targets));
  TRY_OR_DONE(read_rows(tokens, first, stride, *inputs, *targets));
  return SAROS_OK;
done:
  saros_tensor_release(*inputs);
  saros_tensor_release(*targets);
  *inputs = *targets = NULL;
  return status;
}
