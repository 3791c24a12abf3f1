/*
** Codecs: the symbols of a vocabulary, and the tables that find them. Symbols
** keep their ids once they have them. A codec of bytes or of BPE begins with
** the 256 bytes; a merge of BPE is a symbol that consists of two earlier ones.
*/
#include <string.h>

#include "text.h"

/* --- Making and releasing ------------------------------------------------- */

/* Page 0 of the codes is what all pages are at first. */
static saros_status add_page(saros_codec *codec) {
  TRY(array_grow(codec->context, &codec->codes, codec->codes_used,
                 &codec->codes_room, 256, sizeof *codec->codes));
  for (int i = 0; i < 256; i++)
    codec->codes[codec->codes_used++] = -1;
  return SAROS_OK;
}

static saros_status make_pages(saros_codec *codec) {
  size_t bytes = TEXT_CODE_PAGES * sizeof *codec->pages;
  codec->pages = pool_take(&codec->context->pool, bytes);
  if (codec->pages == NULL)
    return base_out_of_memory(codec->context, bytes);
  memset(codec->pages, 0, bytes);
  return add_page(codec);
}

static saros_status add_bytes(saros_codec *codec) {
  for (int byte = 0; byte < 256; byte++) {
    char text = (char)byte;
    TRY(text_codec_append(codec, &text, 1));
  }
  return SAROS_OK;
}

saros_status saros_codec_new(saros_context *context, saros_unit unit,
                             saros_codec **out) {
  void *memory;
  *out = NULL;
  TRY(base_expect_known(context, "codec", "a unit", (int)unit, SAROS_UNITS));
  TRY(base_object_new(context, sizeof(saros_codec), &memory));
  saros_codec *codec = memory;
  codec->context = context;
  codec->unit = unit;
  codec->unknown = -1;
  saros_status status = SAROS_OK;
  if (unit == SAROS_CHARACTERS)
    status = make_pages(codec);
  else if (unit != SAROS_WORDS)
    status = add_bytes(codec);
  if (status == SAROS_OK)
    *out = codec;
  else
    saros_codec_release(codec);
  return status;
}

void saros_codec_release(saros_codec *codec) {
  if (codec == NULL)
    return;
  base_pool *pool = &codec->context->pool;
  void *const blocks[] = {codec->text,  codec->starts, codec->pages,
                          codec->codes, codec->merges, codec->cached};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
    pool_give(pool, blocks[i]);
  text_piece_free(codec->context, &codec->words);
  text_piece_free(codec->context, &codec->cache);
  text_pair_free(codec->context, &codec->pairs);
  base_object_free(codec->context, codec);
}

/* --- Adding --------------------------------------------------------------- */

saros_status text_codec_append(saros_codec *codec, const char *text, int size) {
  saros_context *context = codec->context;
  size_t bytes = (size_t)size;
  TRY(array_grow(context, &codec->text, codec->text_used, &codec->text_room,
                 bytes + 1, 1));  // an array also for an empty word
  TRY(array_grow(context, &codec->starts, (size_t)codec->count,
                 &codec->starts_room, 2, sizeof *codec->starts));
  memcpy(codec->text + codec->text_used, text, bytes);
  codec->starts[codec->count++] = codec->text_used;
  codec->text_used += bytes;
  codec->starts[codec->count] = codec->text_used;
  return SAROS_OK;
}

int text_codec_character(const saros_codec *codec, uint32_t code) {
  return codec->codes[256 * codec->pages[code >> 8] + (code & 0xFF)];
}

static saros_status refuse_symbol(saros_codec *codec, const char *what) {
  return saros_fail(codec->context, SAROS_EARGUMENT, "codec: expected %s",
                    what);
}

static saros_status add_character(saros_codec *codec, const char *text,
                                  size_t size) {
  uint32_t code;
  if (size == 0 || text_utf8_length(text, size, &code) != (int)size)
    return refuse_symbol(codec, "symbols of one UTF-8 character each");
  if (text_codec_character(codec, code) >= 0)
    return refuse_symbol(codec, "each character once, got one twice");
  if (codec->pages[code >> 8] == 0) {
    TRY(add_page(codec));
    codec->pages[code >> 8] = (uint16_t)(codec->codes_used / 256 - 1);
  }
  TRY(text_codec_append(codec, text, (int)size));
  codec->codes[256 * codec->pages[code >> 8] + (code & 0xFF)] =
      codec->count - 1;
  return SAROS_OK;
}

static saros_status add_word(saros_codec *codec, const char *text,
                             size_t size) {
  text_piece *word;
  if (size > TEXT_MAX_PIECE)
    return refuse_symbol(codec, "words of up to 128 bytes");
  if (text_piece_find(&codec->words, text, (int)size) != NULL)
    return refuse_symbol(codec, "each word once, got one twice");
  TRY(text_codec_append(codec, text, (int)size));
  saros_status status =
      text_piece_add(codec->context, &codec->words, text, (int)size, &word);
  if (status == SAROS_OK)
    word->value = codec->count - 1;
  else
    codec->text_used = codec->starts[--codec->count];
  return status;
}

saros_status saros_codec_add(saros_codec *codec, const char *text,
                             size_t size) {
  if (codec->unit == SAROS_CHARACTERS)
    return add_character(codec, text, size);
  if (codec->unit == SAROS_WORDS)
    return add_word(codec, text, size);
  return refuse_symbol(codec, "a codec of characters or words to add to");
}

saros_status saros_codec_add_unknown(saros_codec *codec) {
  if (codec->unit != SAROS_WORDS || codec->unknown >= 0)
    return refuse_symbol(codec, "words without a symbol for unknown ones");
  TRY(text_codec_append(codec, TEXT_UNKNOWN, (int)strlen(TEXT_UNKNOWN)));
  codec->unknown = codec->count - 1;
  return SAROS_OK;
}

saros_status saros_codec_merge(saros_codec *codec, int a, int b) {
  char text[2 * TEXT_MAX_PIECE];
  if (codec->unit != SAROS_BPE || a < 0 || b < 0 || a >= codec->count ||
      b >= codec->count)
    return refuse_symbol(codec, "a merge of two symbols that are there");
  if (text_pair_find(&codec->pairs, a, b) >= 0)
    return refuse_symbol(codec, "each merge once, got one twice");
  size_t first, second;
  const char *left = saros_codec_symbol(codec, a, &first);
  const char *right = saros_codec_symbol(codec, b, &second);
  if (first + second > TEXT_MAX_PIECE)
    return refuse_symbol(codec, "merges of up to 128 bytes");
  memcpy(text, left, first);
  memcpy(text + first, right, second);
  size_t merges = (size_t)codec->count - 256;
  TRY(array_grow(codec->context, &codec->merges, merges, &codec->merges_room, 1,
                 sizeof *codec->merges));
  TRY(text_pair_add(codec->context, &codec->pairs, a, b, codec->count));
  codec->merges[merges] = (text_bpe_merge){a, b};
  return text_codec_append(codec, text, (int)(first + second));
}

/* --- Looking -------------------------------------------------------------- */

int saros_codec_count(const saros_codec *codec) {
  return codec->count;
}

const char *saros_codec_symbol(const saros_codec *codec, int id, size_t *size) {
  *size = codec->starts[id + 1] - codec->starts[id];
  return codec->text + codec->starts[id];
}

int saros_codec_space(const saros_codec *codec, int before, int after) {
  size_t size;
  if (codec->unit != SAROS_WORDS)
    return 0;
  const char *text = saros_codec_symbol(codec, before, &size);
  if (before != codec->unknown && !text_word_leaves_space(text, size))
    return 0;
  if (after < 0 || after == codec->unknown)
    return 1;
  text = saros_codec_symbol(codec, after, &size);
  return text_word_wants_space(text, size);
}

int saros_codec_parts(const saros_codec *codec, int id, int *a, int *b) {
  if (codec->unit != SAROS_BPE || id < 256 || id >= codec->count)
    return 0;
  *a = codec->merges[id - 256].a;
  *b = codec->merges[id - 256].b;
  return 1;
}
