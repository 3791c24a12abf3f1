/*
** Numbers as text with a decimal point in every locale.
*/
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "binding.h"
#include "plain_numbers.h"

int bind_print_plain(char *text, size_t room, const char *format, ...) {
  va_list values;
  va_start(values, format);
  plain_numbers numbers = plain_numbers_enter();
  int length = vsnprintf(text, room, format, values);
  plain_numbers_leave(numbers);
  va_end(values);
  return length;
}

const char *bind_push_number_text(lua_State *L, int index) {
  char text[40];
  if (lua_isinteger(L, index))
    return lua_pushfstring(L, "%I", (LUAI_UACINT)lua_tointeger(L, index));
  double value = lua_tonumber(L, index);
  if (isnan(value))  // whose sign says nothing
    return lua_pushliteral(L, "nan");
  bind_print_plain(text, sizeof text, "%.14g", value);
  const char *rest = text[strspn(text, "-0123456789")] == '\0' ? ".0" : "";
  return lua_pushfstring(L, "%s%s", text, rest);
}
