/*
** From text to ids, stretch by stretch. Every id stands for one byte or more.
*/
#include <stdio.h>
#include <string.h>

#include "archive.h"
#include "text.h"

/* --- Refusals ------------------------------------------------------------- */

/* As much of a symbol as a message shows, without being cut inside. */
static const char *symbol_text(char *buffer, const char *at, int size) {
  memcpy(buffer, at, (size_t)size);
  buffer[size] = 0;
  return buffer;
}

static saros_status refuse_character(const saros_codec *codec,
                                     const text_reader *r, const char *at,
                                     int size, uint32_t code) {
  char words[320], text[MAX_PIECE + 1];
  if (size == 0) {
    snprintf(words, sizeof words,
             "expected UTF-8 text, got an invalid byte 0x%02X",
             (unsigned char)*at);
    return reader_refuse(r, at, words,
                         "unit = \"byte\" or \"bpe\" accepts any text");
  }
  snprintf(words, sizeof words,
           "expected one of the %d characters of the vocabulary, got %s "
           "(U+%04X)",
           codec->count, QUOTE(symbol_text(text, at, size)), code);
  return reader_refuse(r, at, words,
                       "a vocabulary made from this text, or unit = \"byte\" "
                       "or \"bpe\", accepts it");
}

static saros_status refuse_word(const saros_codec *codec, const text_reader *r,
                                const char *at, int size) {
  char words[320], text[MAX_PIECE + 1];
  snprintf(words, sizeof words,
           "expected one of the %d words of the vocabulary, got %s",
           codec->count, QUOTE(symbol_text(text, at, size)));
  return reader_refuse(r, at, words,
                       "a vocabulary with unknown = \"symbol\", or unit = "
                       "\"bpe\", accepts it");
}

/* --- Stretches, by unit --------------------------------------------------- */

static size_t encode_bytes(text_reader *r, int32_t *ids) {
  for (size_t i = 0; i < r->stop; i++)
    ids[i] = (unsigned char)r->at[i];
  return r->used = r->stop;
}

static saros_status encode_characters(const saros_codec *codec, text_reader *r,
                                      int32_t *ids, size_t *count) {
  const int32_t *ascii = codec->codes + 256 * codec->pages[0];
  uint32_t code;
  size_t used = 0, made = 0;
  saros_status status = SAROS_OK;
  while (used < r->stop && status == SAROS_OK) {
    unsigned char first = (unsigned char)r->at[used];
    if (first < 0x80 && ascii[first] >= 0) {
      ids[made++] = ascii[first];
      used++;
      continue;
    }
    int size = utf8_length(r->at + used, r->size - used, &code);
    int id = size > 0 ? codec_character(codec, code) : -1;
    if (id < 0)
      status = refuse_character(codec, r, r->at + used, size, code);
    ids[made++] = id;
    used += (size_t)size;
  }
  r->used = used;
  *count = made;
  return status;
}

/* The ids of a word: one, or for an unknown one that of its space as well. */
static size_t encode_word(const saros_codec *codec, const char *at, int size,
                          int32_t *ids) {
  const piece *word = piece_find(&codec->words, at, size);
  size_t made = 0;
  if (word == NULL && *at == ' ' && size > 1) {
    const piece *space = piece_find(&codec->words, " ", 1);
    if (space != NULL)
      ids[made++] = (int32_t)space->value;
  }
  ids[made++] = word != NULL ? (int32_t)word->value : codec->unknown;
  return made;
}

static saros_status encode_words(const saros_codec *codec, text_reader *r,
                                 int32_t *ids, size_t *count) {
  size_t made = 0;
  while (r->used < r->stop) {
    const char *at = r->at + r->used;
    int size = word_length(at, r->size - r->used);
    made += encode_word(codec, at, size, ids + made);
    if (ids[made - 1] < 0)
      return refuse_word(codec, r, at, size);
    r->used += (size_t)size;
  }
  *count = made;
  return SAROS_OK;
}

static saros_status encode_chunks(saros_codec *codec, text_reader *r,
                                  int32_t *ids, size_t *count) {
  size_t made = 0;
  while (r->used < r->stop) {
    const char *at = r->at + r->used;
    int size = chunk_length(at, r->size - r->used), more = 0;
    const int32_t *chunk = NULL;
    TRY(bpe_encode(codec, at, size, &chunk, &more));
    memcpy(ids + made, chunk, (size_t)more * sizeof *ids);
    made += (size_t)more;
    r->used += (size_t)size;
  }
  *count = made;
  return SAROS_OK;
}

saros_status codec_encode_stretch(saros_codec *codec, text_reader *r,
                                  int32_t *ids, size_t *count) {
  *count = 0;
  switch (codec->unit) {
    case SAROS_CHARACTERS:
      return encode_characters(codec, r, ids, count);
    case SAROS_WORDS:
      return encode_words(codec, r, ids, count);
    case SAROS_BPE:
      return encode_chunks(codec, r, ids, count);
    default:
      *count = encode_bytes(r, ids);
      return SAROS_OK;
  }
}

/* --- Whole texts ---------------------------------------------------------- */

/* The ids of a stretch, until all of them are known to be so many. */
typedef struct block {
  struct block *next;
  size_t count;
  int32_t ids[];
} block;

static saros_status encode_block(saros_codec *codec, text_reader *r,
                                 block **out) {
  size_t bytes = sizeof(block) + r->size * sizeof(int32_t);
  block *b = pool_take(&codec->context->pool, bytes);
  if (b == NULL)
    return out_of_memory(codec->context, bytes);
  b->next = NULL;
  *out = b;
  return codec_encode_stretch(codec, r, b->ids, &b->count);
}

static saros_status encode_all(saros_codec *codec, text_reader *r,
                               block **blocks, size_t *count) {
  for (;;) {
    TRY(reader_next(r));
    if (r->size == 0)
      return SAROS_OK;
    TRY(encode_block(codec, r, blocks));
    *count += (*blocks)->count;
    blocks = &(*blocks)->next;
  }
}

/* Makes one tensor of the blocks, if there is room to write to, and frees
** them. */
static void join_blocks(saros_context *context, block *b, int32_t *to) {
  while (b != NULL) {
    block *next = b->next;
    if (to != NULL) {
      memcpy(to, b->ids, b->count * sizeof *to);
      to += b->count;
    }
    pool_give(&context->pool, b);
    b = next;
  }
}

saros_status saros_codec_encode(saros_codec *codec, const saros_text *text,
                                saros_tensor **out) {
  *out = NULL;
  saros_context *context = codec->context;
  text_reader reader;
  block *blocks = NULL;
  size_t count = 0;
  TRY(reader_open(&reader, context, "encode", codec->unit, text));
  saros_status status = encode_all(codec, &reader, &blocks, &count);
  reader_close(&reader);
  if (status == SAROS_OK && count > INT32_MAX)
    status = saros_fail(context, SAROS_EARGUMENT,
                        "encode: expected at most %d symbols, got %zu; "
                        "data.prepare takes more",
                        INT32_MAX, count);
  int shape[1] = {(int)count};
  if (status == SAROS_OK)
    status = tensor_new(context, SAROS_IDS, 1, shape, out);
  join_blocks(context, blocks, status == SAROS_OK ? ids_of(*out) : NULL);
  return status;
}
