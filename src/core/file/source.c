/*
** Files of C source: text as it is, and tensors as the literals of their
** elements. A literal is exactly the element, whatever the locale: an integer
** where it is one, else a hexadecimal float with a whole mantissa, or a macro
** of math.h.
*/
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "file.h"

#define BLOCK_BYTES ((size_t)1 << 16)
#define LITERAL_BYTES 48
#define LINE_WIDTH 78
#define MANTISSA_BITS 53  // of a double, which holds any element
#define LARGEST_INTEGER 99999

typedef struct source_writer {
  file_writer file;
  char *block;  // BLOCK_BYTES, of the pool
  size_t used;  // of them
  int column;   // in a line of literals
} source_writer;

static saros_status flush(source_writer *w) {
  size_t size = w->used;
  w->used = 0;
  return file_write(&w->file, w->block, size);
}

static saros_status put(source_writer *w, const char *text, size_t size) {
  while (size > 0) {
    size_t room = BLOCK_BYTES - w->used;
    size_t part = size < room ? size : room;
    memcpy(w->block + w->used, text, part);
    w->used += part, text += part, size -= part;
    if (w->used == BLOCK_BYTES)
      TRY(flush(w));
  }
  return SAROS_OK;
}

/* --- Literals --------------------------------------------------------------- */

/* m 2^e, where m is odd; the float build says that it is one. */
static int format_real(char *to, double x) {
  const char *suffix = sizeof(real) == sizeof(float) ? "f" : "";
  int exponent;
  if (!isfinite(x))
    return snprintf(to, LITERAL_BYTES, "%s",
                    isnan(x) ? "NAN"
                    : x < 0  ? "-INFINITY"
                             : "INFINITY");
  if (fabs(x) <= LARGEST_INTEGER && x == (double)(int)x &&
      (x != 0 || !signbit(x)))
    return snprintf(to, LITERAL_BYTES, "%d", (int)x);
  double fraction = frexp(fabs(x), &exponent);
  uint64_t mantissa = (uint64_t)ldexp(fraction, MANTISSA_BITS);
  exponent -= MANTISSA_BITS;
  for (; mantissa != 0 && mantissa % 2 == 0; mantissa /= 2)
    exponent++;
  return snprintf(to, LITERAL_BYTES, "%s0x%" PRIx64 "p%d%s",
                  signbit(x) ? "-" : "", mantissa, mantissa ? exponent : 0,
                  suffix);
}

static saros_status put_literal(source_writer *w, const char *literal,
                                int length) {
  const char *before = w->column == 0 ? "\n    " : " ";
  if (w->column + length + 2 > LINE_WIDTH)
    before = "\n    ", w->column = 0;
  w->column += (w->column == 0 ? 4 : 1) + length + 1;
  TRY(put(w, before, strlen(before)));
  TRY(put(w, literal, (size_t)length));
  return put(w, ",", 1);
}

static saros_status put_tensor(source_writer *w, const saros_tensor *x) {
  char literal[LITERAL_BYTES];
  w->column = 0;
  for (size_t i = 0; i < x->count; i++) {
    TRY(put_literal(w, literal, format_real(literal, saros_tensor_get(x, i))));
  }
  return put(w, "\n", 1);
}

/* --- The file --------------------------------------------------------------- */

static saros_status put_pieces(source_writer *w, int count,
                               const saros_piece *pieces) {
  for (const saros_piece *piece = pieces; piece < pieces + count; piece++)
    if (piece->text != NULL)
      TRY(put(w, piece->text, piece->size));
    else
      TRY(put_tensor(w, piece->tensor));
  return flush(w);
}

saros_status saros_write_source(saros_context *context, const char *path,
                                int count, const saros_piece *pieces) {
  source_writer w = {
      .file = {.context = context, .function = "export_c", .path = path}};
  saros_status status = base_out_of_memory(context, BLOCK_BYTES);
  w.block = pool_take(&context->pool, BLOCK_BYTES);
  if (w.block == NULL)
    return status;
  TRY_OR_DONE(file_create(&w.file));
  TRY_OR_DONE(put_pieces(&w, count, pieces));
  status = file_commit(&w.file);
done:
  file_discard(&w.file);
  pool_give(&context->pool, w.block);
  return status;
}
