/*
** Characters, words and chunks: where one ends and the next begins. What is no
** UTF-8 counts as letters, byte by byte.
*/
#include <string.h>

#include "text.h"

/* --- Characters ----------------------------------------------------------- */

static int is_more(char byte) {
  return ((unsigned char)byte & 0xC0) == 0x80;
}

int text_utf8_length(const char *at, size_t left, uint32_t *code) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  unsigned char first = (unsigned char)*at;
  *code = first;
  if (first < 0x80)
    return 1;
  int size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || (size_t)size > left)
    return 0;
  uint32_t x = first & (0x7Fu >> size);
  for (int i = 1; i < size; i++) {
    if (!is_more(at[i]))
      return 0;
    x = x << 6 | ((unsigned char)at[i] & 0x3Fu);
  }
  *code = x;
  int valid = x >= least[size] && x <= 0x10FFFF && (x < 0xD800 || x > 0xDFFF);
  return valid ? size : 0;
}

/* --- Classes -------------------------------------------------------------- */

typedef enum kind { LETTER, SIGN, BLANK, IDEOGRAPH } kind;

/* Ranges of code points beyond ASCII that are no letters, in order. */
static const struct range {
  uint32_t first, last;
  kind is;
} ranges[] = {
    {0x80, 0xA9, SIGN},          {0xAB, 0xB4, SIGN},
    {0xB6, 0xB9, SIGN},          {0xBB, 0xBF, SIGN},
    {0xD7, 0xD7, SIGN},          {0xF7, 0xF7, SIGN},
    {0x2000, 0x2BFF, SIGN},      {0x2E00, 0x2E7F, SIGN},
    {0x2E80, 0x2FFF, IDEOGRAPH}, {0x3000, 0x303F, SIGN},
    {0x3040, 0x9FFF, IDEOGRAPH}, {0xF900, 0xFAFF, IDEOGRAPH},
    {0xFE30, 0xFE6F, SIGN},      {0xFF01, 0xFF0F, SIGN},
    {0xFF1A, 0xFF20, SIGN},      {0xFF66, 0xFF9F, IDEOGRAPH},
    {0x1F000, 0x1FAFF, SIGN},    {0x20000, 0x3FFFF, IDEOGRAPH},
};

static kind class_of_code(uint32_t code) {
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
    if (code <= ranges[i].last)
      return code >= ranges[i].first ? ranges[i].is : LETTER;
  return LETTER;
}

static kind class_of_ascii(unsigned char c) {
  if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
    return LETTER;
  if ((c >= '0' && c <= '9') || c == '_')
    return LETTER;
  return c == ' ' || (c >= '\t' && c <= '\r') ? BLANK : SIGN;
}

/* The class of what is at 'at', and its bytes, at least 1. */
static kind class_at(const char *at, size_t left, int *size) {
  unsigned char first = (unsigned char)*at;
  uint32_t code;
  *size = 1;
  if (first < 0x80)
    return class_of_ascii(first);
  int length = text_utf8_length(at, left, &code);
  if (length == 0)
    return LETTER;
  *size = length;
  return class_of_code(code);
}

/* --- Words and chunks ----------------------------------------------------- */

/* A space before something that is no blank belongs to it. */
static int leading_space(const char *at, size_t left) {
  int size;
  return left > 1 && *at == ' ' && class_at(at + 1, left - 1, &size) != BLANK;
}

/* The bytes from 'length' on that are a sign inside a word, such as the
** apostrophe (' or U+2019) of "don't"; 0 if there is none. */
static int joiner_length(const char *at, size_t left, int length) {
  int size, next;
  uint32_t code;
  if (left - (size_t)length < 2)
    return 0;
  size = text_utf8_length(at + length, left - (size_t)length, &code);
  if (size == 0 || (code != '\'' && code != '-' && code != 0x2019))
    return 0;
  size_t rest = left - (size_t)(length + size);
  if (rest == 0 || class_at(at + length + size, rest, &next) != LETTER)
    return 0;
  return size;
}

/* Extends a length over what is of one class. */
static int run_length(const char *at, size_t left, int length, kind wanted) {
  int size;
  while ((size_t)length < left &&
         class_at(at + length, left - (size_t)length, &size) == wanted &&
         length + size <= TEXT_MAX_PIECE)
    length += size;
  return length;
}

static int word_length(const char *at, size_t left) {
  int size;
  if (class_at(at, left, &size) != LETTER)
    return size;
  int length = size;
  for (;;) {
    length = run_length(at, left, length, LETTER);
    size = joiner_length(at, left, length);
    if (size == 0 || length + size + 4 > TEXT_MAX_PIECE)
      return length;
    length += size;
  }
}

int text_word_wants_space(const char *at, size_t left) {
  int size;
  return left > 0 && class_at(at, left, &size) == LETTER;
}

int text_word_leaves_space(const char *word, size_t size) {
  static const char closing[] = ",.;:!?)";
  return text_word_wants_space(word, size) ||
         (size == 1 && memchr(closing, *word, sizeof closing - 1) != NULL);
}

text_word_step text_word_next(const char *at, size_t left, int behind) {
  text_word_step step = {0};
  if (behind && *at == ' ' && text_word_wants_space(at + 1, left - 1))
    step.space = 1;
  else
    step.joined = behind && text_word_wants_space(at, left);
  step.size = word_length(at + step.space, left - (size_t)step.space);
  step.leaves_space =
      text_word_leaves_space(at + step.space, (size_t)step.size);
  return step;
}

int text_chunk_length(const char *at, size_t left) {
  int space = leading_space(at, left), size;
  kind found = class_at(at + space, left - (size_t)space, &size);
  int length = run_length(at, left, space + size, found);
  // the last space before a word belongs to the word
  int is_before = found == BLANK && length > 1 && at[length - 1] == ' ' &&
                  leading_space(at + length - 1, left - (size_t)length + 1);
  return length - is_before;
}
