/*
** Reading a text in stretches. A stretch of a file has LOOKAHEAD bytes behind
** the place where pieces may last begin, so no piece is ever cut; the bytes
** that were not used move to the front of the buffer. Line and column are
** brought up to date stretch by stretch.
*/
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

#define STRETCH ((size_t)1 << 18)
#define LOOKAHEAD ((size_t)2 * TEXT_MAX_PIECE)

/* --- Opening -------------------------------------------------------------- */

saros_status text_reader_open(text_reader *r, saros_context *context,
                              const char *function, saros_unit unit,
                              const saros_text *text) {
  *r = (text_reader){.context = context,
                     .function = function,
                     .path = text->path,
                     .descriptor = -1,
                     .may_have_mark = unit != SAROS_BYTES,
                     .line = 1,
                     .column = 1};
  if (r->path == NULL) {
    r->at = text->bytes;
    r->left = text->size;
    return SAROS_OK;
  }
  r->buffer = pool_take(&context->pool, STRETCH + LOOKAHEAD);
  if (r->buffer == NULL)
    return base_out_of_memory(context, STRETCH + LOOKAHEAD);
  r->at = r->buffer;
  uint64_t size;
  saros_status status =
      file_open(context, function, r->path, &r->descriptor, &size);
  if (status != SAROS_OK)
    text_reader_close(r);
  return status;
}

void text_reader_close(text_reader *r) {
  if (r->context == NULL)
    return;
  if (r->path != NULL && r->descriptor >= 0)
    close(r->descriptor);
  pool_give(&r->context->pool, r->buffer);
  *r = (text_reader){0};
}

/* --- Places --------------------------------------------------------------- */

/* Moves a place over some bytes. A column is a character, or a byte that is
** no part of one. */
static void advance(size_t *line, size_t *column, const char *at, size_t size) {
  size_t lines = 0, columns = 0;
  for (size_t i = 0; i < size; i++)
    lines += at[i] == '\n';
  if (lines > 0) {
    size_t begin = size;
    while (at[begin - 1] != '\n')
      begin--;
    at += begin, size -= begin;
    *line += lines;
    *column = 1;
  }
  for (size_t i = 0; i < size; i++)
    columns += ((unsigned char)at[i] & 0xC0) != 0x80;
  *column += columns;
}

saros_status text_reader_refuse(const text_reader *r, const char *where,
                                const char *words, const char *advice) {
  size_t line = r->line, column = r->column;
  advance(&line, &column, r->at, (size_t)(where - r->at));
  return saros_fail(r->context, SAROS_EARGUMENT,
                    "%s: %s at line %zu, column %zu%s%s; %s", r->function,
                    words, line, column, r->path ? " of " : "",
                    r->path ? BASE_QUOTE(r->path) : "", advice);
}

int text_reader_note(text_reader *r, const char *where, const char *what) {
  if (strstr(r->noted, what) != NULL)
    return 1;
  char *to = r->noted + r->noted_size;
  size_t room = sizeof r->noted - (size_t)r->noted_size;
  size_t line = r->line, column = r->column;
  advance(&line, &column, r->at, (size_t)(where - r->at));
  int size = snprintf(to, room, "%s%s at line %zu, column %zu",
                      r->noted_size > 0 ? ", " : "", what, line, column);
  if (size < 0 || (size_t)size >= room) {
    *to = 0;
    return 0;
  }
  r->noted_size += size;
  return 1;
}

saros_status text_reader_refuse_noted(const text_reader *r,
                                      const char *expected,
                                      const char *advice) {
  int is_whole = r->used >= r->stop && r->stop == r->size;
  return saros_fail(
      r->context, SAROS_EARGUMENT, "%s: expected %s, got %s%s%s%s; %s",
      r->function, expected, r->noted, is_whole ? "" : " and others",
      r->path ? " of " : "", r->path ? BASE_QUOTE(r->path) : "", advice);
}

/* --- Stretches ------------------------------------------------------------ */

static saros_status fill(text_reader *r) {
  size_t room = STRETCH + LOOKAHEAD;
  while (!r->ended && r->held < room) {
    ssize_t got = read(r->descriptor, r->buffer + r->held, room - r->held);
    if (got < 0 && errno != EINTR)
      return file_failure(r->context, r->function, "read", r->path);
    r->ended = got == 0;
    r->held += got > 0 ? (size_t)got : 0;
  }
  return SAROS_OK;
}

/* Leaves out the mark that some programs put before UTF-8. */
static void drop_mark(text_reader *r) {
  static const char mark[] = "\xEF\xBB\xBF";
  const size_t size = sizeof mark - 1;
  if (r->may_have_mark && r->held >= size &&
      memcmp(r->buffer, mark, size) == 0) {
    r->held -= size;
    memmove(r->buffer, r->buffer + size, r->held);
  }
  r->may_have_mark = 0;
}

saros_status text_reader_next(text_reader *r) {
  TRY(base_check_interrupt(r->context));
  advance(&r->line, &r->column, r->at, r->used);
  if (r->path != NULL) {
    r->held -= r->used;
    memmove(r->buffer, r->buffer + r->used, r->held);
    TRY(fill(r));
    drop_mark(r);
    r->size = r->held;
    r->stop = r->ended ? r->held : r->held - LOOKAHEAD;
  } else {
    r->at += r->used;
    r->left -= r->used;
    r->size = r->left < STRETCH + LOOKAHEAD ? r->left : STRETCH + LOOKAHEAD;
    r->stop = r->size == r->left ? r->size : STRETCH;
  }
  r->used = 0;
  return SAROS_OK;
}
