/*
** Learning a vocabulary from a text, which is read once. Characters: those that
** occur, by code point. Words: the space and TEXT_JOINED, then the most frequent,
** most frequent first, and equally frequent ones by their bytes. BPE: see bpe.c.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

typedef struct learner {
  saros_codec *codec;
  text_reader reader;
  unsigned char *seen;      // characters: a bit for each code point
  text_piece_table pieces;  // words, or chunks for BPE, and their counts
} learner;

#define SEEN_BYTES (0x110000 / 8)

/* --- Reading -------------------------------------------------------------- */

static saros_status refuse_byte(const text_reader *r, const char *at) {
  char words[80];
  snprintf(words, sizeof words,
           "expected UTF-8 text, got an invalid byte 0x%02X",
           (unsigned char)*at);
  return text_reader_refuse(r, at, words,
                            "unit = \"byte\" or \"bpe\" accepts any file");
}

static saros_status see_characters(learner *l) {
  text_reader *r = &l->reader;
  uint32_t code;
  while (r->used < r->stop) {
    int size = text_utf8_length(r->at + r->used, r->size - r->used, &code);
    if (size == 0)
      return refuse_byte(r, r->at + r->used);
    l->seen[code >> 3] |= (unsigned char)(1 << (code & 7));
    r->used += (size_t)size;
  }
  return SAROS_OK;
}

/* The first byte of a piece that is part of no UTF-8 character, or null. */
static const char *invalid_byte(const char *at, int size) {
  uint32_t code;
  for (int length; size > 0; at += length, size -= length)
    if ((length = text_utf8_length(at, (size_t)size, &code)) == 0)
      return at;
  return NULL;
}

static saros_status count_words(learner *l) {
  text_reader *r = &l->reader;
  while (r->used < r->stop) {
    const char *at = r->at + r->used;
    text_word_step step =
        text_word_next(at, r->size - r->used, r->leaves_space);
    text_piece *found;
    at += step.space;
    TRY(text_piece_add(l->codec->context, &l->pieces, at, step.size, &found));
    if (found->value++ == 0 && invalid_byte(at, step.size) != NULL)
      return refuse_byte(r, invalid_byte(at, step.size));
    r->used += (size_t)(step.space + step.size);
    r->leaves_space = step.leaves_space;
  }
  return SAROS_OK;
}

static saros_status count_chunks(learner *l) {
  text_reader *r = &l->reader;
  while (r->used < r->stop) {
    const char *at = r->at + r->used;
    int size = text_chunk_length(at, r->size - r->used);
    text_piece *found;
    TRY(text_piece_add(l->codec->context, &l->pieces, at, size, &found));
    found->value++;
    r->used += (size_t)size;
  }
  return SAROS_OK;
}

static saros_status take_stretch(learner *l) {
  switch (l->codec->unit) {
    case SAROS_CHARACTERS:
      return see_characters(l);
    case SAROS_WORDS:
      return count_words(l);
    default:
      return count_chunks(l);
  }
}

static saros_status read_all(learner *l) {
  size_t seen = 0;
  for (;;) {
    TRY(text_reader_next(&l->reader));
    if (l->reader.size == 0)
      break;
    seen += l->reader.size;
    TRY(take_stretch(l));
  }
  if (seen == 0)
    return saros_fail(l->codec->context, SAROS_EARGUMENT,
                      "%s: expected some text, got none", l->reader.function);
  return SAROS_OK;
}

/* --- Choosing ------------------------------------------------------------- */

static size_t utf8_encode(char *to, uint32_t code) {
  if (code < 0x80) {
    *to = (char)code;
    return 1;
  }
  size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = size - 1; i > 0; i--, code >>= 6)
    to[i] = (char)(0x80 | (code & 0x3F));
  *to = (char)((0xF00u >> size & 0xFF) | code);
  return size;
}

static saros_status choose_characters(learner *l) {
  for (uint32_t code = 0; code < 0x110000; code++) {
    char text[4];
    if (l->seen[code >> 3] >> (code & 7) & 1)
      TRY(saros_codec_add(l->codec, text, utf8_encode(text, code)));
  }
  return SAROS_OK;
}

typedef struct ranked {
  int64_t count;
  const char *text;
  int size;
} ranked;

static int compare_ranked(const void *x, const void *y) {
  const ranked *a = x, *b = y;
  if (a->count != b->count)
    return a->count > b->count ? -1 : 1;
  int order =
      memcmp(a->text, b->text, (size_t)(a->size < b->size ? a->size : b->size));
  return order != 0 ? order : a->size - b->size;
}

/* The space and TEXT_JOINED are in every vocabulary, so that known words are known
** wherever they stand. */
static saros_status add_words(learner *l, const ranked *words, size_t count,
                              const saros_learning *wanted) {
  saros_codec *codec = l->codec;
  int most = wanted->size > 0 ? wanted->size : INT32_MAX;
  most -= wanted->unknown != 0;
  TRY(saros_codec_add(codec, " ", 1));
  TRY(saros_codec_add(codec, TEXT_JOINED, strlen(TEXT_JOINED)));
  for (size_t i = 0; i < count && codec->count < most; i++) {
    if (words[i].count < wanted->min_count)
      break;
    if (words[i].size > 1 || *words[i].text != ' ')
      TRY(saros_codec_add(codec, words[i].text, (size_t)words[i].size));
  }
  return wanted->unknown ? saros_codec_add_unknown(codec) : SAROS_OK;
}

static saros_status choose_words(learner *l, const saros_learning *wanted) {
  saros_context *context = l->codec->context;
  const text_piece_table *t = &l->pieces;
  ranked *words = pool_take(&context->pool, t->count * sizeof *words);
  if (words == NULL)
    return base_out_of_memory(context, t->count * sizeof *words);
  for (size_t i = 0; i < t->count; i++)
    words[i] = (ranked){t->pieces[i].value, t->bytes + t->pieces[i].at,
                        t->pieces[i].size};
  qsort(words, t->count, sizeof *words, compare_ranked);
  saros_status status = add_words(l, words, t->count, wanted);
  pool_give(&context->pool, words);
  return status;
}

/* --- Learning ------------------------------------------------------------- */

static saros_status learn(learner *l, const saros_text *text,
                          const saros_learning *wanted) {
  saros_context *context = l->codec->context;
  TRY(text_reader_open(&l->reader, context, "learn", l->codec->unit, text));
  if (l->codec->unit == SAROS_CHARACTERS) {
    l->seen = pool_take(&context->pool, SEEN_BYTES);
    if (l->seen == NULL)
      return base_out_of_memory(context, SEEN_BYTES);
    memset(l->seen, 0, SEEN_BYTES);
  }
  TRY(read_all(l));
  if (l->codec->unit == SAROS_CHARACTERS)
    return choose_characters(l);
  if (l->codec->unit == SAROS_WORDS)
    return choose_words(l, wanted);
  return text_bpe_learn(l->codec, &l->pieces, wanted->size);
}

saros_status saros_codec_learn(saros_context *context, saros_unit unit,
                               const saros_text *text,
                               const saros_learning *wanted,
                               saros_codec **out) {
  *out = NULL;
  learner l = {0};
  TRY(saros_codec_new(context, unit, &l.codec));
  saros_status status = SAROS_OK;
  if (unit != SAROS_BYTES)
    status = learn(&l, text, wanted);
  text_reader_close(&l.reader);
  pool_give(&context->pool, l.seen);
  text_piece_free(context, &l.pieces);
  if (status == SAROS_OK)
    *out = l.codec;
  else
    saros_codec_release(l.codec);
  return status;
}
