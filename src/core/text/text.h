/*
** What the files about text share. A text is read in stretches; a stretch is
** cut into pieces (bytes, characters, words); pieces become symbols, which have
** ids. Texts may be larger than memory: of a file, one stretch is held.
*/
#ifndef TEXT_H
#define TEXT_H

#include "file.h"

/* The longest piece, in bytes, and so the longest symbol. */
#define TEXT_MAX_PIECE 128

/* --- Pieces and how often they occur (piece_table.c) ---------------------- */

typedef struct text_piece {
  size_t at;  // its bytes, in the table's
  int size;
  int64_t value;  // the owner's: a count, an id
} text_piece;

/* Pieces are numbered in the order of coming. A table of zeros is empty. */
typedef struct text_piece_table {
  char *bytes;
  size_t bytes_used, bytes_room;
  text_piece *pieces;
  size_t count, room;
  uint64_t *slots;  // number + 1 below, part of the hash above; 0: free
  size_t slot_count;
} text_piece_table;

text_piece *text_piece_find(const text_piece_table *t, const char *bytes,
                            int size);
/* Finds a piece, or adds it with value 0. */
saros_status text_piece_add(saros_context *context, text_piece_table *t,
                            const char *bytes, int size, text_piece **out);
/* Forgets the pieces; keeps the memory. */
void text_piece_clear(text_piece_table *t);
void text_piece_free(saros_context *context, text_piece_table *t);

/* --- Pairs of ids (pair_map.c) -------------------------------------------- */

typedef struct text_pair_slot {
  int32_t a, b;   // a < 0: free
  int32_t value;  // the owner's
} text_pair_slot;

/* A map of zeros is empty. */
typedef struct text_pair_map {
  text_pair_slot *slots;
  size_t count, slot_count;
} text_pair_map;

/* The value of a pair; -1 if it is not there. */
int32_t text_pair_find(const text_pair_map *m, int32_t a, int32_t b);
/* Adds a pair that is not there. */
saros_status text_pair_add(saros_context *context, text_pair_map *m, int32_t a,
                           int32_t b, int32_t value);
void text_pair_free(saros_context *context, text_pair_map *m);

/* --- Reading (text_reader.c) ---------------------------------------------- */

typedef struct text_reader {
  saros_context *context;
  const char *function;  // begins the messages
  const char *path;      // null: a text in memory
  int descriptor;
  char *buffer;
  size_t held;          // bytes in the buffer
  const char *at;       // the stretch
  size_t size;          // its bytes; 0: the text is over
  size_t stop;          // pieces begin before it, and end within the stretch
  size_t used;          // for the caller: how much of the stretch is done
  size_t left;          // of a text in memory, from 'at'
  int ended;            // the file is
  int may_have_mark;    // a byte order mark may be next, and is no text
  int leaves_space;     // the last word does
  size_t line, column;  // of 'at', from 1; columns are characters
  char noted[640];      // what is unknown: "x" at line 1, column 2, "y" at ...
  int noted_size;
} text_reader;

/* Of a file that is not read as bytes, a byte order mark at the beginning is
** left out. */
saros_status text_reader_open(text_reader *r, saros_context *context,
                              const char *function, saros_unit unit,
                              const saros_text *text);
/* The next stretch, which begins behind what was used of the last one. */
saros_status text_reader_next(text_reader *r);
/* Accepts a reader of zeros. */
void text_reader_close(text_reader *r);

/* Leaves "function: <words> at line L, column C[ of "path"]<advice>" for a byte
** of the stretch. */
saros_status text_reader_refuse(const text_reader *r, const char *where,
                                const char *words, const char *advice);
/* Adds something to what is unknown, with the place of its first occurrence. 0
** if there is no room. */
int text_reader_note(text_reader *r, const char *where, const char *what);
/* Leaves "function: expected <expected>, got <all that was noted>; <advice>". */
saros_status text_reader_refuse_noted(const text_reader *r,
                                      const char *expected, const char *advice);

/* --- Pieces of text (text_piece.c) ---------------------------------------- */

/* The bytes of the UTF-8 character at 'at' and its code point; 0 if there is
** no character. */
int text_utf8_length(const char *at, size_t left, uint32_t *code);

/*
** Words: letters and digits, with ' or - inside; a character of a script without
** spaces; a punctuation mark or other sign; a blank. A word is the same wherever
** it stands, so one space is implied behind letters, digits and , . ; : ! ? ) if
** letters or digits follow. Where such a place has no space, TEXT_JOINED says so; all
** other blanks are words:
**
**   text    a cat, yes;\n"no"  v1.2
**   words   a cat , yes ; \n " no " ␣ ␣ v1 . TEXT_JOINED 2
*/
typedef struct text_word_step {
  int space;         // 1: first comes a space, which is implied
  int joined;        // 1: first comes TEXT_JOINED
  int size;          // bytes of the word, behind that space
  int leaves_space;  // for the next step
} text_word_step;

#define TEXT_JOINED ""

/* The word at 'at', which is part of at most 'left' >= 1 bytes, behind a word
** that leaves a space or not. */
text_word_step text_word_next(const char *at, size_t left, int behind);
/* True if a space is implied behind a word, or before one. */
int text_word_leaves_space(const char *word, size_t size);
int text_word_wants_space(const char *word, size_t size);

/* The bytes of the chunk at 'at', of at most 'left' >= 1: letters and digits;
** signs; blanks. It begins with the space before it, if there is one and it is
** no blank. So the text is the concatenation of its chunks. */
int text_chunk_length(const char *at, size_t left);

/* --- Codecs (codec.c, codec_learn.c, codec_encode.c, bpe.c) --------------- */

typedef struct text_bpe_merge {
  int32_t a, b;
} text_bpe_merge;

#define TEXT_CODE_PAGES 0x1100  // of 256 code points each

struct saros_codec {
  saros_context *context;
  saros_unit unit;
  int count;   // of symbols
  char *text;  // of all symbols, one behind the other
  size_t text_used, text_room;
  size_t *starts;  // where each begins; one more: where the last ends
  size_t starts_room;
  uint16_t *pages;  // characters: of a code point's 256, the place in 'codes'
  int32_t *codes;   // the ids, -1: unknown; page 0 is empty
  size_t codes_used, codes_room;
  text_piece_table words;  // words: their ids
  int unknown;             // the id of <unk>, or -1
  text_bpe_merge *merges;  // BPE: what symbol 256 + i consists of
  size_t merges_room;
  text_pair_map pairs;  // the same, from parts to whole
  text_piece_table
      cache;  // chunks met so far: where their ids are, and how many
  int32_t *cached;
  size_t cached_used, cached_room;
};

#define TEXT_UNKNOWN "<unk>"

/* Adds a symbol that is not there, of any unit. */
saros_status text_codec_append(saros_codec *codec, const char *text, int size);
/* The id of a character; -1: unknown. */
int text_codec_character(const saros_codec *codec, uint32_t code);
/* BPE: the ids of a chunk, valid until the next call. */
saros_status text_bpe_encode(saros_codec *codec, const char *chunk, int size,
                             const int32_t **ids, int *count);
/* BPE: learns merges from chunks and their counts until there are 'size'
** symbols, or no pair occurs twice. */
saros_status text_bpe_learn(saros_codec *codec, const text_piece_table *chunks,
                            int size);

/* The most ids that a text of some bytes has: a word may be TEXT_JOINED before. */
static inline size_t text_codec_most_ids(const saros_codec *codec,
                                         size_t bytes) {
  return codec->unit == SAROS_WORDS ? 2 * bytes : bytes;
}
/* The ids of the reader's stretch; sets 'used'. */
saros_status text_codec_encode_stretch(saros_codec *codec, text_reader *r,
                                       int32_t *ids, size_t *count);

#endif
