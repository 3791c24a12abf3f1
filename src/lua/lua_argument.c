/*
** Arguments of functions: numbers, sizes, shapes and tables of options. Strings are never taken for numbers, and
** tables are read without their metamethods, so nothing runs in between.
*/
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "binding.h"

void *bind_check_box(lua_State *L, int arg, bind_box_type type) {
  void **box = bind_to_box(L, arg, type);
  if (box == NULL) {
    char expected[32];
    snprintf(expected, sizeof expected, "a %s", bind_box_name(type));
    bind_argument_error(L, arg, expected);
  } else if (*box == NULL)
    bind_failure(L, "%s: expected a live %s, got a closed one",
                 bind_function_name(L), bind_box_name(type));
  return box;
}

double bind_check_number(lua_State *L, int arg) {
  if (lua_type(L, arg) != LUA_TNUMBER)
    bind_argument_error(L, arg, "a number");
  return lua_tonumber(L, arg);
}

double bind_opt_number(lua_State *L, int arg, double otherwise) {
  return lua_isnoneornil(L, arg) ? otherwise : bind_check_number(L, arg);
}

int bind_to_integer(lua_State *L, int index, lua_Integer low, lua_Integer high,
                    lua_Integer *out) {
  int is_integer;
  *out = 0;
  if (lua_type(L, index) != LUA_TNUMBER)
    return 0;
  *out = lua_tointegerx(L, index, &is_integer);
  return is_integer && *out >= low && *out <= high;
}

lua_Integer bind_check_integer(lua_State *L, int arg, lua_Integer low,
                               lua_Integer high, const char *expected) {
  lua_Integer value;
  if (!bind_to_integer(L, arg, low, high, &value))
    bind_argument_error(L, arg, expected);
  return value;
}

int bind_check_size(lua_State *L, int arg) {
  return (int)bind_check_integer(L, arg, 0, INT_MAX, "a size >= 0");
}

int bind_opt_flag(lua_State *L, int arg, int otherwise) {
  if (lua_isnoneornil(L, arg))
    return otherwise;
  if (!lua_isboolean(L, arg))
    bind_argument_error(L, arg, "true or false");
  return lua_toboolean(L, arg);
}

const char *bind_check_text(lua_State *L, int arg) {
  size_t length;
  if (lua_type(L, arg) != LUA_TSTRING)
    bind_argument_error(L, arg, "a string");
  const char *text = lua_tolstring(L, arg, &length);
  if (strlen(text) != length)
    bind_argument_error(L, arg, "a string without zero bytes");
  return text;
}

void bind_check_table(lua_State *L, int arg) {
  if (!lua_istable(L, arg))
    bind_argument_error(L, arg, "a table");
}

int bind_list_length(lua_State *L, int list) {
  lua_Unsigned length = lua_rawlen(L, list);
  lua_Integer key;
  for (lua_pushnil(L); lua_next(L, list); lua_pop(L, 1))
    if (bind_to_integer(L, -2, 1, LUA_MAXINTEGER, &key) &&
        (lua_Unsigned)key > length) {
      int hole = 1;
      while (lua_rawgeti(L, list, hole) != LUA_TNIL)
        hole++;
      bind_failure(L,
                   "%s: expected a list without holes, got nil at position %d",
                   bind_function_name(L), hole);
    }
  if (length > INT_MAX / sizeof(void *))
    bind_failure(L, "%s: expected a list of reasonable length, got one of %I",
                 bind_function_name(L), (LUAI_UACINT)length);
  return (int)length;
}

/* --- Axes and shapes -------------------------------------------------------------- */

int bind_check_axis(lua_State *L, int arg) {
  lua_Integer axis;
  if (!bind_to_integer(L, arg, -INT_MAX, INT_MAX, &axis) || axis == 0)
    bind_argument_error(L, arg, "an axis (1 is the first, -1 the last)");
  return (int)(axis > 0 ? axis - 1 : axis);
}

int bind_opt_axis(lua_State *L, int arg, int otherwise) {
  return lua_isnoneornil(L, arg) ? otherwise : bind_check_axis(L, arg);
}

static const char *size_wanted(int lowest) {
  return lowest < 0 ? "a size >= 0, or -1 for the rest" : "a size >= 0";
}

static void check_rank(lua_State *L, lua_Unsigned rank) {
  if (rank > SAROS_MAX_RANK)
    bind_failure(L, "%s: expected at most %d sizes, got %I",
                 bind_function_name(L), SAROS_MAX_RANK, (LUAI_UACINT)rank);
}

static void shape_of_table(lua_State *L, int arg, int lowest, bind_shape *out) {
  out->rank = bind_list_length(L, arg);
  check_rank(L, (lua_Unsigned)out->rank);
  for (int i = 0; i < out->rank; i++) {
    lua_Integer size;
    lua_rawgeti(L, arg, i + 1);
    if (!bind_to_integer(L, -1, lowest, INT_MAX, &size))
      bind_value_error(L, lua_gettop(L), size_wanted(lowest),
                       " as size %d of the shape", i + 1);
    out->sizes[i] = (int)size;
    lua_pop(L, 1);
  }
}

void bind_check_shape(lua_State *L, int arg, bind_shape *out) {
  if (!lua_istable(L, arg))
    bind_argument_error(L, arg, "a table of sizes");
  shape_of_table(L, arg, 0, out);
}

void bind_check_sizes(lua_State *L, int arg, int lowest, bind_shape *out) {
  int count = lua_gettop(L) - arg + 1;
  if (count == 1 && lua_istable(L, arg)) {
    shape_of_table(L, arg, lowest, out);
    return;
  }
  check_rank(L, (lua_Unsigned)(count > 0 ? count : 0));
  out->rank = count > 0 ? count : 0;
  for (int i = 0; i < out->rank; i++)
    out->sizes[i] = (int)bind_check_integer(L, arg + i, lowest, INT_MAX,
                                            size_wanted(lowest));
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
  const char *got = bind_push_description(L, key);
  const char *hint = bind_push_hint(L, key, list);
  bind_failure(L, "%s: expected only the fields %s, got the field %s%s",
               bind_function_name(L), known, got, hint);
}

static int is_known(lua_State *L, int index, const char *const *names) {
  if (lua_type(L, index) != LUA_TSTRING)
    return 0;
  for (; *names != NULL; names++)
    if (strcmp(lua_tostring(L, index), *names) == 0)
      return 1;
  return 0;
}

void bind_check_fields(lua_State *L, int arg, const char *const *names) {
  bind_check_table(L, arg);
  if (bind_is_state(L, arg))
    bind_argument_error(L, arg, "a table of options");
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
    if (is_known(L, -2, names))
      continue;
    unknown_field(L, lua_gettop(L) - 1, names);
  }
}

int bind_push_field(lua_State *L, int table, const char *name) {
  lua_pushstring(L, name);
  return lua_rawget(L, table);
}

int bind_field_error(lua_State *L, const char *expected, const char *name) {
  return bind_value_error(L, lua_gettop(L), expected, " in the field '%s'",
                          name);
}

double bind_field_number(lua_State *L, int table, const char *name,
                         double otherwise) {
  int type = bind_push_field(L, table, name);
  if (type != LUA_TNIL && type != LUA_TNUMBER)
    bind_field_error(L, "a number", name);
  double value = type == LUA_TNIL ? otherwise : lua_tonumber(L, -1);
  lua_pop(L, 1);
  return value;
}

int bind_field_integer(lua_State *L, int table, const char *name, int lowest,
                       int otherwise) {
  lua_Integer value = otherwise;
  if (bind_push_field(L, table, name) != LUA_TNIL &&
      !bind_to_integer(L, -1, lowest, INT_MAX, &value))
    bind_field_error(L, lowest == 0 ? "an integer >= 0" : "an integer >= 1",
                     name);
  lua_pop(L, 1);
  return (int)value;
}

int bind_field_flag(lua_State *L, int table, const char *name, int otherwise) {
  int type = bind_push_field(L, table, name);
  if (type != LUA_TNIL && type != LUA_TBOOLEAN)
    bind_field_error(L, "true or false", name);
  int value = type == LUA_TNIL ? otherwise : lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}
