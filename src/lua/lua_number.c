/*
** Text as numbers and back, with a decimal point in every locale, for the
** modules of the library: what string.format, tostring and tonumber do depends
** on the locale of the host.
*/
#include <math.h>
#include <string.h>

#include "binding.h"
#include "plain_numbers.h"

/* format(text, ...): string.format. */
static int format(lua_State *L) {
  if (lua_type(L, 1) != LUA_TSTRING)
    bind_argument_error(L, 1, "a string");
  int count = lua_gettop(L);
  if (luaL_getmetafield(L, 1, "__index") != LUA_TTABLE)
    return bind_failure(L, "%s: expected the string library, got none",
                        bind_function_name(L));
  lua_getfield(L, -1, "format");
  lua_replace(L, -2);
  lua_insert(L, 1);
  plain_numbers numbers = plain_numbers_enter();
  int status = lua_pcall(L, count, 1, 0);
  plain_numbers_leave(numbers);
  return status == LUA_OK ? 1 : lua_error(L);
}

/* to_number(text): the number that it says; nil if none. */
static int to_number(lua_State *L) {
  size_t length;
  if (lua_type(L, 1) != LUA_TSTRING)
    bind_argument_error(L, 1, "a string");
  const char *text = lua_tolstring(L, 1, &length);
  plain_numbers numbers = plain_numbers_enter();
  size_t used = lua_stringtonumber(L, text);
  plain_numbers_leave(numbers);
  if (used != length + 1)
    lua_pushnil(L);
  return 1;
}

/* Pushes a field: as a number, if it is one that is finite as an element of a
** tensor and has none of the marks, else as text. */
static void push_cell(lua_State *L, const char *field, size_t length,
                      const char *marks) {
  char text[200];  // as Lua's own longest number
  size_t used = 0;
  if (length < sizeof text) {
    memcpy(text, field, length);
    text[length] = '\0';
    if (strpbrk(text, marks) == NULL) {
      plain_numbers numbers = plain_numbers_enter();
      used = lua_stringtonumber(L, text);
      plain_numbers_leave(numbers);
    }
  }
  if (used == length + 1 && isfinite((saros_real)lua_tonumber(L, -1)))
    return;
  if (used > 0)
    lua_pop(L, 1);
  lua_pushlstring(L, field, length);
}

/* fields(line, separator, list, marks): puts the fields of a line into a list;
** returns their number. */
static int fields(lua_State *L) {
  const char *at = bind_check_text(L, 1), *separator = bind_check_text(L, 2);
  const char *marks = bind_check_text(L, 4), *end = at + lua_rawlen(L, 1),
             *stop;
  if (lua_rawlen(L, 2) != 1)
    bind_argument_error(L, 2, "one character");
  bind_check_table(L, 3);
  for (int count = 1;; count++, at = stop + 1) {
    stop = memchr(at, separator[0], (size_t)(end - at));
    stop = stop != NULL ? stop : end;
    push_cell(L, at, (size_t)(stop - at), marks);
    lua_rawseti(L, 3, count);
    if (stop == end) {
      lua_pushinteger(L, count);
      return 1;
    }
  }
}

static const luaL_Reg functions[] = {
    {"fields", fields},
    {"format", format},
    {"to_number", to_number},
    {NULL, NULL},
};

void bind_open_number(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
}
