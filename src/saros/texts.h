/*
** Texts, vocabularies, and files of ids.
*/
#ifndef SAROS_TEXTS_H
#define SAROS_TEXTS_H

#include "context.h"

SAROS_BEGIN

/* --- Text ----------------------------------------------------------------------------- */

typedef enum saros_unit {
  SAROS_BYTES,       // all 256, nothing else
  SAROS_CHARACTERS,  // of UTF-8
  SAROS_WORDS,       // of UTF-8: words, signs, blanks; see saros_codec_space
  SAROS_BPE,         // byte-pair encoding: the bytes, and frequent pairs
  SAROS_UNITS
} saros_unit;

/* A text: a file, or bytes in memory if path is null. Of a file, which may be
** larger than memory, a part at a time is held; a UTF-8 byte order mark at its
** beginning is no text, unless it is read as bytes. */
typedef struct saros_text {
  const char *path;
  const char *bytes;
  size_t size;
} saros_text;

/*
** A codec knows the symbols of a vocabulary and turns text into their ids,
** 0..count-1. The concatenation of the symbols, with a space where
** saros_codec_space says so, is the text. New codecs of bytes and of BPE have the
** 256 bytes, others nothing.
*/
SAROS_API saros_status saros_codec_new(saros_context *context, saros_unit unit,
                                       saros_codec **out);
SAROS_API void saros_codec_release(saros_codec *codec);  // null is allowed

/* Adds a character, or a word of up to 128 bytes. SAROS_EARGUMENT if it is there
** already, or the unit has no such symbols. */
SAROS_API saros_status saros_codec_add(saros_codec *codec, const char *text,
                                       size_t size);
/* Words: adds "<unk>", which stands for all words that are not there. */
SAROS_API saros_status saros_codec_add_unknown(saros_codec *codec);
/* BPE: adds the symbol that a and then b make, of at most 128 bytes. */
SAROS_API saros_status saros_codec_merge(saros_codec *codec, int a, int b);

typedef struct saros_learning {
  int size;           // words: at most so many symbols, 0: all; BPE: so many
  int64_t min_count;  // words: those that occur so often
  int unknown;        // words: the last symbol is "<unk>"
} saros_learning;

/* The vocabulary of a text, which depends on nothing else. Words begin with the
** symbols " " and "", whether they occur or not. BPE ends before it has 'size'
** symbols if no pair occurs twice. SAROS_EARGUMENT for an empty text and, with
** line and column, for what is no UTF-8 where it has to be; SAROS_EFILE for what
** cannot be read. */
SAROS_API saros_status saros_codec_learn(saros_context *context,
                                         saros_unit unit,
                                         const saros_text *text,
                                         const saros_learning *wanted,
                                         saros_codec **out);

SAROS_API int saros_codec_count(const saros_codec *codec);
/* Borrowed until the next symbol is added; the id is not checked. */
SAROS_API const char *saros_codec_symbol(const saros_codec *codec, int id,
                                         size_t *size);
/* Whether a symbol is a merge of BPE, and of what. */
SAROS_API int saros_codec_parts(const saros_codec *codec, int id, int *a,
                                int *b);

/* Whether a space stands between two symbols; their ids are not checked. Only
** words have that: letters and digits, or "<unk>", behind letters and digits or
** one of , . ; : ! ? ). Where the text has no space there, the symbol "" is
** between them, so a word is one symbol wherever it stands. With after = -1:
** whether a space stands before letters and digits, if they are next. */
SAROS_API int saros_codec_space(const saros_codec *codec, int before,
                                int after);

/* The ids of a text: (N). SAROS_EARGUMENT names the symbols that are unknown,
** each with line and column, or the first of many. */
SAROS_API saros_status saros_codec_encode(saros_codec *codec,
                                          const saros_text *text,
                                          saros_tensor **out);

/* --- Token files ----------------------------------------------------------------------- */

/*
** A token file is a text as ids, of 16 bits where that is enough, else of 32:
**
**   8 bytes    "\x89saros\r\n"
**   4, 4       format, which is 1; bytes of an id, 2 or 4
**   8, 8       number of ids; how many of them, at the end, are held out
**   8, 8       number of symbols; bytes of the description
**   8          FNV-1a of the ids, each as one number
**   8          FNV-1a of the 56 bytes above and the description
**   ...        the description of the vocabulary
**   ...        the ids, from 0, to the end of the file; all is little-endian
*/
typedef struct saros_tokens saros_tokens;

/* Encodes a text, part by part, into a token file that appears under its name
** when it is complete. 'held_out' in [0, 1) is the fraction that is held out,
** to the nearest id; of 4 ids or more at least 2 are, and 2 are left, unless it
** is 0. Errors as above; then there is no new file. */
SAROS_API saros_status saros_tokens_write(saros_codec *codec,
                                          const saros_text *text,
                                          const char *path, double held_out,
                                          const char *description,
                                          uint64_t *count);

/* Opens a token file. SAROS_EFILE with the reason if it is none, or its header
** was changed, or its size is not what the header says. */
SAROS_API saros_status saros_tokens_open(saros_context *context,
                                         const char *path, saros_tokens **out);
SAROS_API void saros_tokens_release(saros_tokens *tokens);  // null is allowed

SAROS_API uint64_t saros_tokens_count(const saros_tokens *tokens);
SAROS_API uint64_t saros_tokens_held_out(const saros_tokens *tokens);
/* Tells apart token files of different ids. */
SAROS_API uint64_t saros_tokens_digest(const saros_tokens *tokens);
SAROS_API int saros_tokens_symbols(const saros_tokens *tokens);
SAROS_API const char *saros_tokens_description(const saros_tokens *tokens,
                                               size_t *size);

/*
** Ids as inputs (T, B) and the ids behind them as targets: inputs[t][b] is
** number first + b * stride + t. They are read from the file now: nothing is
** mapped, so a file that shrinks is an error (SAROS_EFILE) and no signal, and
** so is an id that is no symbol. SAROS_EARGUMENT beyond the last id.
*/
SAROS_API saros_status saros_tokens_window(saros_tokens *tokens, uint64_t first,
                                           uint64_t stride, int T, int B,
                                           saros_tensor **inputs,
                                           saros_tensor **targets);

SAROS_END

#endif
