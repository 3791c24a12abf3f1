/*
** Messages: what went wrong, and text from outside in the words for it.
*/
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base.h"
#include "plain_numbers.h"

const char *saros_error(const saros_context *context) {
  return context->message;
}

saros_status saros_fail(saros_context *context, saros_status status,
                        const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  plain_numbers numbers = plain_numbers_enter();
  vsnprintf(context->message, sizeof context->message, format, arguments);
  plain_numbers_leave(numbers);
  va_end(arguments);
  return status;
}

saros_status base_out_of_memory(saros_context *context, size_t bytes) {
  return saros_fail(
      context, SAROS_EMEMORY,
      "allocate: expected %zu bytes of memory, got none (%zu in use)", bytes,
      context->pool.memory.in_use);
}

saros_status base_expect_known(saros_context *context, const char *function,
                               const char *what, int value, int count) {
  if (value >= 0 && value < count)
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "%s: expected %s in 0..%d, got %d", function, what,
                    count - 1, value);
}

/* --- Text from outside ---------------------------------------------------- */

size_t base_utf8_sequence(const unsigned char *text) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  unsigned char first = text[0];
  if (first < 0x80)
    return 1;
  size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC0 || first > 0xF4)
    return 0;
  uint32_t number = first & (0x7Fu >> length);
  for (size_t i = 1; i < length; i++) {
    if ((text[i] & 0xC0) != 0x80)  // also the zero byte at the end
      return 0;
    number = number << 6 | (text[i] & 0x3Fu);
  }
  int surrogate = number >= 0xD800 && number <= 0xDFFF;
  return number < least[length] || number > 0x10FFFF || surrogate ? 0 : length;
}

/* True if a sequence may be printed as it is: no C0 or C1 control. */
static int is_printable(const unsigned char *text, size_t length) {
  if (length == 1)
    return text[0] >= 0x20 && text[0] != 0x7F;
  return length > 2 || (length == 2 && (text[0] != 0xC2 || text[1] >= 0xA0));
}

const char *base_quote(base_quoted *buffer, const char *text) {
  const unsigned char *at = (const unsigned char *)text;
  char *out = buffer->text;
  const char *limit = buffer->text + sizeof buffer->text - 9;  // \x00..."
  *out++ = '"';
  while (*at != 0 && out < limit) {
    size_t length = base_utf8_sequence(at);
    if (*at == '"' || *at == '\\')
      *out++ = '\\';
    if (!is_printable(at, length)) {
      out += snprintf(out, 5, "\\x%02X", *at++);
      continue;
    }
    memcpy(out, at, length);
    out += length;
    at += length;
  }
  snprintf(out, 5, *at != 0 ? "...\"" : "\"");
  return buffer->text;
}
