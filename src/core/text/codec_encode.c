/*
** From text to ids, stretch by stretch. Unknown symbols are noted, and refused
** all together at the end of the text, or when there are many.
*/
#include <stdio.h>
#include <string.h>

#include "text.h"

/* --- Refusals ------------------------------------------------------------- */

/* As much of a symbol as a message shows, without being cut inside. */
static const char *symbol_text(char *buffer, const char *at, int size) {
  memcpy(buffer, at, (size_t)size);
  buffer[size] = 0;
  return buffer;
}

static saros_status refuse_byte(const text_reader *r, const char *at) {
  char words[80];
  snprintf(words, sizeof words,
           "expected UTF-8 text, got an invalid byte 0x%02X",
           (unsigned char)*at);
  return text_reader_refuse(r, at, words,
                            "unit = \"byte\" or \"bpe\" accepts any text");
}

static saros_status refuse_unknown(const saros_codec *codec,
                                   const text_reader *r) {
  char expected[80];
  int is_words = codec->unit == SAROS_WORDS;
  snprintf(expected, sizeof expected, "one of the %d %s of the vocabulary",
           codec->count, is_words ? "words" : "characters");
  return text_reader_refuse_noted(
      r, expected,
      is_words ? "a vocabulary with unknown = \"symbol\", or unit = \"bpe\", "
                 "accepts it"
               : "a vocabulary made from this text, or unit = \"byte\" or "
                 "\"bpe\", accepts it");
}

static int note_character(text_reader *r, const char *at, int size,
                          uint32_t code) {
  char what[80], text[TEXT_MAX_PIECE + 1];
  snprintf(what, sizeof what, "%s (U+%04X)",
           BASE_QUOTE(symbol_text(text, at, size)), code);
  return text_reader_note(r, at, what);
}

static int note_word(text_reader *r, const char *at, int size) {
  char text[TEXT_MAX_PIECE + 1];
  return text_reader_note(r, at, BASE_QUOTE(symbol_text(text, at, size)));
}

/* --- Stretches, by unit --------------------------------------------------- */

static saros_status encode_bytes(text_reader *r, int32_t *ids, size_t *count) {
  for (size_t i = 0; i < r->stop; i++)
    ids[i] = (unsigned char)r->at[i];
  *count = r->used = r->stop;
  return SAROS_OK;
}

static saros_status encode_characters(const saros_codec *codec, text_reader *r,
                                      int32_t *ids, size_t *count) {
  const int32_t *ascii = codec->codes + 256 * codec->pages[0];
  uint32_t code;
  size_t made = 0;
  while (r->used < r->stop) {
    const char *at = r->at + r->used;
    unsigned char first = (unsigned char)*at;
    if (first < 0x80 && ascii[first] >= 0) {
      ids[made++] = ascii[first];
      r->used++;
      continue;
    }
    int size = text_utf8_length(at, r->size - r->used, &code);
    if (size == 0)
      return refuse_byte(r, at);
    ids[made] = text_codec_character(codec, code);
    if (ids[made++] < 0 && !note_character(r, at, size, code))
      return refuse_unknown(codec, r);
    r->used += (size_t)size;
  }
  *count = made;
  return SAROS_OK;
}

static int32_t word_id(const saros_codec *codec, const char *at, int size) {
  const text_piece *word = text_piece_find(&codec->words, at, size);
  return word != NULL ? (int32_t)word->value : codec->unknown;
}

static saros_status encode_words(const saros_codec *codec, text_reader *r,
                                 int32_t *ids, size_t *count) {
  size_t made = 0;
  while (r->used < r->stop) {
    const char *at = r->at + r->used;
    text_word_step step =
        text_word_next(at, r->size - r->used, r->leaves_space);
    at += step.space;
    if (step.joined)
      ids[made++] = word_id(codec, TEXT_JOINED, 0);
    int32_t id = word_id(codec, at, step.size);
    ids[made++] = id;
    if (id < 0 && !note_word(r, at, step.size))
      return refuse_unknown(codec, r);
    r->used += (size_t)(step.space + step.size);
    r->leaves_space = step.leaves_space;
  }
  *count = made;
  return SAROS_OK;
}

static saros_status encode_chunks(saros_codec *codec, text_reader *r,
                                  int32_t *ids, size_t *count) {
  size_t made = 0;
  while (r->used < r->stop) {
    const char *at = r->at + r->used;
    int size = text_chunk_length(at, r->size - r->used), more = 0;
    const int32_t *chunk = NULL;
    TRY(text_bpe_encode(codec, at, size, &chunk, &more));
    memcpy(ids + made, chunk, (size_t)more * sizeof *ids);
    made += (size_t)more;
    r->used += (size_t)size;
  }
  *count = made;
  return SAROS_OK;
}

static saros_status encode_stretch(saros_codec *codec, text_reader *r,
                                   int32_t *ids, size_t *count) {
  switch (codec->unit) {
    case SAROS_CHARACTERS:
      return encode_characters(codec, r, ids, count);
    case SAROS_WORDS:
      return encode_words(codec, r, ids, count);
    case SAROS_BPE:
      return encode_chunks(codec, r, ids, count);
    default:
      return encode_bytes(r, ids, count);
  }
}

saros_status text_codec_encode_stretch(saros_codec *codec, text_reader *r,
                                       int32_t *ids, size_t *count) {
  *count = 0;
  TRY(encode_stretch(codec, r, ids, count));
  if (r->noted_size > 0 && r->stop == r->size)
    return refuse_unknown(codec, r);
  return SAROS_OK;
}

/* --- Whole texts ---------------------------------------------------------- */

/* The ids of a stretch, until the ids of all are counted. */
typedef struct block {
  struct block *next;
  size_t count;
  int32_t ids[];
} block;

static saros_status new_block(saros_context *context, const int32_t *ids,
                              size_t count, block **out) {
  size_t bytes = sizeof(block) + count * sizeof *ids;
  block *b = pool_take(&context->pool, bytes);
  if (b == NULL)
    return base_out_of_memory(context, bytes);
  b->next = NULL;
  b->count = count;
  memcpy(b->ids, ids, count * sizeof *ids);
  *out = b;
  return SAROS_OK;
}

/* 'ids' is scratch that the caller frees. */
static saros_status encode_all(saros_codec *codec, text_reader *r,
                               int32_t **ids, block **blocks, size_t *count) {
  saros_context *context = codec->context;
  size_t room = 0, made;
  for (;;) {
    TRY(text_reader_next(r));
    if (r->size == 0)
      return SAROS_OK;
    TRY(array_grow(context, ids, 0, &room, text_codec_most_ids(codec, r->size),
                   sizeof **ids));
    TRY(text_codec_encode_stretch(codec, r, *ids, &made));
    TRY(new_block(context, *ids, made, blocks));
    *count += made;
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
  int32_t *ids = NULL;
  size_t count = 0;
  TRY(text_reader_open(&reader, context, "encode", codec->unit, text));
  saros_status status = encode_all(codec, &reader, &ids, &blocks, &count);
  text_reader_close(&reader);
  pool_give(&context->pool, ids);
  if (status == SAROS_OK && count > INT32_MAX)
    status = saros_fail(context, SAROS_EARGUMENT,
                        "encode: expected at most %d symbols, got %zu; "
                        "data.prepare takes more",
                        INT32_MAX, count);
  int shape[1] = {(int)count};
  if (status == SAROS_OK)
    status = tensor_new(context, SAROS_IDS, 1, shape, out);
  join_blocks(context, blocks, status == SAROS_OK ? tensor_ids(*out) : NULL);
  return status;
}
