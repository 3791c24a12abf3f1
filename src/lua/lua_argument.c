/*
** Arguments of functions: numbers, sizes, shapes and tables of options, and
** the messages about wrong ones. Strings are never taken for numbers, and
** tables are read without their metamethods, so nothing runs in between.
*/
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "binding.h"

/* --- Messages ------------------------------------------------------------------ */

void push_culprit(lua_State *L) {
  lua_Debug call;
  for (int level = 1; lua_getstack(L, level, &call); level++) {
    lua_getinfo(L, "Sl", &call);
    if (call.currentline > 0 && !is_library_chunk(call.source)) {
      lua_pushfstring(L, "%s:%d: ", call.short_src, call.currentline);
      return;
    }
  }
  lua_pushliteral(L, "");
}

int failure(lua_State *L, const char *format, ...) {
  if (is_profiled(L))  // an argument may be wrong inside an operation
    saros_profile_leave(context_of(L), 0);
  binding_of(L)->caller = NULL;
  va_list values;
  va_start(values, format);
  lua_pushvfstring(L, format, values);
  va_end(values);
  push_culprit(L);
  lua_insert(L, -2);
  lua_concat(L, 2);
  return lua_error(L);
}

const char *function_name(lua_State *L) {
  return lua_tostring(L, lua_upvalueindex(NAME_UPVALUE));
}

/* Text in quotes, its end cut off where it is long. */
static const char *push_quoted(lua_State *L, int index) {
  size_t length;
  const char *text = lua_tolstring(L, index, &length);
  char start[33];
  snprintf(start, sizeof start, "%s", text);
  return lua_pushfstring(L, "\"%s\"%s", start,
                         length >= sizeof start ? "..." : "");
}

static const char *push_tensor_description(lua_State *L,
                                           const saros_tensor *x) {
  char text[24 + 12 * SAROS_MAX_RANK];
  int at = snprintf(text, sizeof text, "%s (",
                    saros_tensor_dtype(x) == SAROS_IDS ? "ids" : "a tensor");
  for (int i = 0; i < saros_tensor_rank(x); i++)
    at += snprintf(text + at, sizeof text - (size_t)at, i > 0 ? ", %d" : "%d",
                   saros_tensor_shape(x)[i]);
  return lua_pushfstring(L, "%s)", text);
}

static const char *push_userdata_description(lua_State *L, int index) {
  saros_tensor *x = to_tensor(L, index);
  if (x != NULL)
    return push_tensor_description(L, x);
  for (int type = TENSOR; type < OWNER; type++)
    if (to_box(L, index, (box_type)type) != NULL)
      return lua_pushfstring(L, "a %s", box_name((box_type)type));
  if (luaL_getmetafield(L, index, "__name") == LUA_TSTRING)
    return lua_pushfstring(L, "a %s", lua_tostring(L, -1));
  return lua_pushliteral(L, "a userdata");
}

const char *push_description(lua_State *L, int index) {
  switch (lua_type(L, index)) {
    case LUA_TNONE:
      return lua_pushliteral(L, "nothing");
    case LUA_TNIL:
      return lua_pushliteral(L, "nil");
    case LUA_TBOOLEAN:
      return lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
    case LUA_TNUMBER:
      return push_number_text(L, index);
    case LUA_TSTRING:
      return push_quoted(L, index);
    case LUA_TUSERDATA:
      return push_userdata_description(L, index);
    case LUA_TTHREAD:
      return lua_pushliteral(L, "a coroutine");
    default:
      return lua_pushfstring(L, "a %s", luaL_typename(L, index));
  }
}

int value_error(lua_State *L, int index, const char *expected,
                const char *place, ...) {
  const char *got = push_description(L, index);
  va_list values;
  va_start(values, place);
  place = lua_pushvfstring(L, place, values);
  va_end(values);
  return failure(L, "%s: expected %s%s, got %s", function_name(L), expected,
                 place, got);
}

/* In x:f(y) scripts count y as the first argument. */
static int is_method_call(lua_State *L) {
  lua_Debug call;
  return lua_getstack(L, 0, &call) && lua_getinfo(L, "n", &call) &&
         strcmp(call.namewhat, "method") == 0;
}

int argument_error(lua_State *L, int arg, const char *expected) {
  int number = arg - is_method_call(L);
  if (number > 0)
    return value_error(L, arg, expected, " as argument %d", number);
  return value_error(L, arg, expected, " before the colon");
}

/* --- Plain values ---------------------------------------------------------------- */

double check_number(lua_State *L, int arg) {
  if (lua_type(L, arg) != LUA_TNUMBER)
    argument_error(L, arg, "a number");
  return lua_tonumber(L, arg);
}

double opt_number(lua_State *L, int arg, double otherwise) {
  return lua_isnoneornil(L, arg) ? otherwise : check_number(L, arg);
}

int to_integer(lua_State *L, int index, lua_Integer low, lua_Integer high,
               lua_Integer *out) {
  int is_integer;
  *out = 0;
  if (lua_type(L, index) != LUA_TNUMBER)
    return 0;
  *out = lua_tointegerx(L, index, &is_integer);
  return is_integer && *out >= low && *out <= high;
}

lua_Integer check_integer(lua_State *L, int arg, lua_Integer low,
                          lua_Integer high, const char *expected) {
  lua_Integer value;
  if (!to_integer(L, arg, low, high, &value))
    argument_error(L, arg, expected);
  return value;
}

int check_size(lua_State *L, int arg) {
  return (int)check_integer(L, arg, 0, INT_MAX, "a size >= 0");
}

int opt_flag(lua_State *L, int arg, int otherwise) {
  if (lua_isnoneornil(L, arg))
    return otherwise;
  if (!lua_isboolean(L, arg))
    argument_error(L, arg, "true or false");
  return lua_toboolean(L, arg);
}

const char *check_text(lua_State *L, int arg) {
  size_t length;
  if (lua_type(L, arg) != LUA_TSTRING)
    argument_error(L, arg, "a string");
  const char *text = lua_tolstring(L, arg, &length);
  if (strlen(text) != length)
    argument_error(L, arg, "a string without zero bytes");
  return text;
}

void check_table(lua_State *L, int arg) {
  if (!lua_istable(L, arg))
    argument_error(L, arg, "a table");
}

int list_length(lua_State *L, int list) {
  lua_Unsigned length = lua_rawlen(L, list);
  lua_Integer key;
  for (lua_pushnil(L); lua_next(L, list); lua_pop(L, 1))
    if (to_integer(L, -2, 1, LUA_MAXINTEGER, &key) &&
        (lua_Unsigned)key > length) {
      int hole = 1;
      while (lua_rawgeti(L, list, hole) != LUA_TNIL)
        hole++;
      failure(L, "%s: expected a list without holes, got nil at position %d",
              function_name(L), hole);
    }
  if (length > INT_MAX / sizeof(void *))
    failure(L, "%s: expected a list of reasonable length, got one of %I",
            function_name(L), (LUAI_UACINT)length);
  return (int)length;
}

/* --- Axes and shapes -------------------------------------------------------------- */

int check_axis(lua_State *L, int arg) {
  lua_Integer axis;
  if (!to_integer(L, arg, -INT_MAX, INT_MAX, &axis) || axis == 0)
    argument_error(L, arg, "an axis (1 is the first, -1 the last)");
  return (int)(axis > 0 ? axis - 1 : axis);
}

int opt_axis(lua_State *L, int arg, int otherwise) {
  return lua_isnoneornil(L, arg) ? otherwise : check_axis(L, arg);
}

static const char *size_wanted(int lowest) {
  return lowest < 0 ? "a size >= 0, or -1 for the rest" : "a size >= 0";
}

static void check_rank(lua_State *L, lua_Unsigned rank) {
  if (rank > SAROS_MAX_RANK)
    failure(L, "%s: expected at most %d sizes, got %I", function_name(L),
            SAROS_MAX_RANK, (LUAI_UACINT)rank);
}

static void shape_of_table(lua_State *L, int arg, int lowest, shape *out) {
  out->rank = list_length(L, arg);
  check_rank(L, (lua_Unsigned)out->rank);
  for (int i = 0; i < out->rank; i++) {
    lua_Integer size;
    lua_rawgeti(L, arg, i + 1);
    if (!to_integer(L, -1, lowest, INT_MAX, &size))
      value_error(L, lua_gettop(L), size_wanted(lowest),
                  " as size %d of the shape", i + 1);
    out->sizes[i] = (int)size;
    lua_pop(L, 1);
  }
}

void check_shape(lua_State *L, int arg, shape *out) {
  if (!lua_istable(L, arg))
    argument_error(L, arg, "a table of sizes");
  shape_of_table(L, arg, 0, out);
}

void check_sizes(lua_State *L, int arg, int lowest, shape *out) {
  int count = lua_gettop(L) - arg + 1;
  if (count == 1 && lua_istable(L, arg)) {
    shape_of_table(L, arg, lowest, out);
    return;
  }
  check_rank(L, (lua_Unsigned)(count > 0 ? count : 0));
  out->rank = count > 0 ? count : 0;
  for (int i = 0; i < out->rank; i++)
    out->sizes[i] =
        (int)check_integer(L, arg + i, lowest, INT_MAX, size_wanted(lowest));
}

/* --- Tables of options ------------------------------------------------------------- */

static const char *push_names(lua_State *L, const char *const *names) {
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  for (int i = 0; names[i] != NULL; i++) {
    if (i > 0)
      luaL_addstring(&text, ", ");
    luaL_addstring(&text, names[i]);
  }
  luaL_pushresult(&text);
  return lua_tostring(L, -1);
}

static void unknown_field(lua_State *L, int key, const char *const *names) {
  lua_newtable(L);
  int list = lua_gettop(L);
  for (int i = 0; names[i] != NULL; i++) {
    lua_pushstring(L, names[i]);
    lua_rawseti(L, list, i + 1);
  }
  const char *known = push_names(L, names);
  const char *got = push_description(L, key);
  const char *hint = push_hint(L, key, list);
  failure(L, "%s: expected only the fields %s, got the field %s%s",
          function_name(L), known, got, hint);
}

static int is_known(lua_State *L, int index, const char *const *names) {
  if (lua_type(L, index) != LUA_TSTRING)
    return 0;
  for (; *names != NULL; names++)
    if (strcmp(lua_tostring(L, index), *names) == 0)
      return 1;
  return 0;
}

void check_fields(lua_State *L, int arg, const char *const *names) {
  check_table(L, arg);
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
    if (is_known(L, -2, names))
      continue;
    unknown_field(L, lua_gettop(L) - 1, names);
  }
}

int push_field(lua_State *L, int table, const char *name) {
  lua_pushstring(L, name);
  return lua_rawget(L, table);
}

int field_error(lua_State *L, const char *expected, const char *name) {
  return value_error(L, lua_gettop(L), expected, " in the field '%s'", name);
}

double field_number(lua_State *L, int table, const char *name,
                    double otherwise) {
  int type = push_field(L, table, name);
  if (type != LUA_TNIL && type != LUA_TNUMBER)
    field_error(L, "a number", name);
  double value = type == LUA_TNIL ? otherwise : lua_tonumber(L, -1);
  lua_pop(L, 1);
  return value;
}

int field_flag(lua_State *L, int table, const char *name, int otherwise) {
  int type = push_field(L, table, name);
  if (type != LUA_TNIL && type != LUA_TBOOLEAN)
    field_error(L, "true or false", name);
  int value = type == LUA_TNIL ? otherwise : lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}
