/*
** JSON through jansson. Objects are tables with string keys, arrays are
** sequences, null is the module's 'null' (a light userdata), and integers stay
** integers. A json_t under construction hangs on its root, and the root
** belongs to an owner, so an error leaves nothing behind.
*/
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"
#include "plain_numbers.h"

/* Levels of nesting, as in the parser of jansson. */
#define MAX_DEPTH 2048

static void release_json(void *json) {
  json_decref(json);
}

static void release_text(void *text) {
  free(text);
}

/* --- From Lua ------------------------------------------------------------------------ */

/* Digits that each real number needs to be read back as it was. */
typedef struct encoder {
  int depth;
  int digits;
} encoder;

static int out_of_memory(lua_State *L) {
  return bind_failure(L, "%s: not enough memory", bind_function_name(L));
}

static int bad_value(lua_State *L, const char *expected) {
  return bind_value_error(L, lua_gettop(L), expected, "");
}

static int reads_back(double value, int digits) {
  char text[40];
  snprintf(text, sizeof text, "%.*g", digits, value);
  return strtod(text, NULL) == value;
}

static json_t *encode_number(lua_State *L, encoder *state) {
  if (lua_isinteger(L, -1))
    return json_integer(lua_tointeger(L, -1));
  double value = lua_tonumber(L, -1);
  if (!isfinite(value))
    bad_value(L, "a finite number");
  while (state->digits < 17 && !reads_back(value, state->digits))
    state->digits++;
  return json_real(value);
}

static json_t *encode_string(lua_State *L) {
  size_t length;
  const char *text = lua_tolstring(L, -1, &length);
  json_t *json = json_stringn(text, length);
  if (json == NULL)
    bad_value(L, "a string of UTF-8");
  return json;
}

/* 1 if the table on top has the keys 1..n and no others, n > 0. */
static int is_sequence(lua_State *L) {
  lua_Unsigned length = lua_rawlen(L, -1), count = 0;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (!lua_isinteger(L, -2)) {
      lua_pop(L, 2);
      return 0;
    }
    count++;
  }
  return length > 0 && count == length;
}

/* The value on top, without what it holds if it is a table. */
static json_t *encode_shallow(lua_State *L, encoder *state) {
  switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
      return json_boolean(lua_toboolean(L, -1));
    case LUA_TNUMBER:
      return encode_number(L, state);
    case LUA_TSTRING:
      return encode_string(L);
    case LUA_TTABLE:
      return is_sequence(L) ? json_array() : json_object();
    case LUA_TLIGHTUSERDATA:
      if (lua_touserdata(L, -1) == NULL)
        return json_null();
      // fall through
    default:
      bad_value(L, "a table, string, number, boolean or null");
      return NULL;
  }
}

static void encode_content(lua_State *L, json_t *json, encoder *state);

static void encode_array(lua_State *L, json_t *array, encoder *state) {
  lua_Integer length = (lua_Integer)lua_rawlen(L, -1);
  for (lua_Integer i = 1; i <= length; i++) {
    lua_rawgeti(L, -1, i);
    json_t *item = encode_shallow(L, state);
    if (json_array_append_new(array, item) != 0)
      out_of_memory(L);
    encode_content(L, item, state);
    lua_pop(L, 1);
  }
}

static const char *check_key(lua_State *L) {
  int key = lua_gettop(L) - 1;
  if (lua_type(L, key) != LUA_TSTRING)
    bind_value_error(L, key, "either the keys 1..n or strings",
                     " as keys of a table");
  const char *text = lua_tostring(L, key);
  if (strlen(text) != lua_rawlen(L, key))
    bind_value_error(L, key, "keys without zero bytes", "");
  return text;
}

static void encode_object(lua_State *L, json_t *object, encoder *state) {
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    const char *key = check_key(L);
    json_t *item = encode_shallow(L, state);
    if (item == NULL)
      out_of_memory(L);
    if (json_object_set_new(object, key, item) != 0)
      bind_value_error(L, lua_gettop(L) - 1, "keys of UTF-8", "");
    encode_content(L, item, state);
  }
}

/* Fills an array or object, already owned, from the table on top. */
static void encode_content(lua_State *L, json_t *json, encoder *state) {
  if (!lua_istable(L, -1))
    return;
  luaL_checkstack(L, LUA_MINSTACK, bind_function_name(L));
  if (++state->depth > MAX_DEPTH)
    bind_failure(L, "%s: expected at most %d levels of tables, got more",
                 bind_function_name(L), MAX_DEPTH);
  if (json_is_array(json))
    encode_array(L, json, state);
  else
    encode_object(L, json, state);
  state->depth--;
}

/* Pushes the text of a value; pretty: on lines of their own, indented. */
static void push_text(lua_State *L, const json_t *json, int pretty,
                      int digits) {
  size_t flags = JSON_ENCODE_ANY | JSON_SORT_KEYS |
                 JSON_REAL_PRECISION((size_t)digits) |
                 (pretty ? JSON_INDENT(2) : 0);
  bind_owner *text = bind_push_owner(L, release_text);
  plain_numbers numbers = plain_numbers_enter();
  text->object = json_dumps(json, flags);
  plain_numbers_leave(numbers);
  if (text->object == NULL)
    out_of_memory(L);
  lua_pushstring(L, text->object);
  bind_owner_release(text);
}

/* json_encode(value [, pretty]) */
static int json_encode(lua_State *L) {
  encoder state = {.digits = 15};
  lua_settop(L, 2);
  int pretty = bind_opt_flag(L, 2, 0);
  bind_owner *root = bind_push_owner(L, release_json);
  lua_pushvalue(L, 1);
  json_t *json = encode_shallow(L, &state);
  if (json == NULL)
    out_of_memory(L);
  root->object = json;
  encode_content(L, json, &state);
  push_text(L, json, pretty, state.digits);
  bind_owner_release(root);
  return 1;
}

/* --- To Lua ---------------------------------------------------------------------------- */

static void push_json(lua_State *L, const json_t *json);

static void push_array_of(lua_State *L, const json_t *array) {
  size_t size = json_array_size(array);
  lua_createtable(L, 0, 0);
  for (size_t i = 0; i < size; i++) {
    push_json(L, json_array_get(array, i));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

static void push_object_of(lua_State *L, const json_t *object) {
  const char *key;
  json_t *value;
  lua_newtable(L);
  json_object_foreach((json_t *)object, key, value) {
    lua_pushstring(L, key);
    push_json(L, value);
    lua_rawset(L, -3);
  }
}

static void push_json(lua_State *L, const json_t *json) {
  luaL_checkstack(L, LUA_MINSTACK, bind_function_name(L));
  switch (json_typeof(json)) {
    case JSON_OBJECT:
      push_object_of(L, json);
      break;
    case JSON_ARRAY:
      push_array_of(L, json);
      break;
    case JSON_STRING:
      lua_pushlstring(L, json_string_value(json), json_string_length(json));
      break;
    case JSON_INTEGER:
      lua_pushinteger(L, json_integer_value(json));
      break;
    case JSON_REAL:
      lua_pushnumber(L, json_real_value(json));
      break;
    case JSON_NULL:
      lua_pushlightuserdata(L, NULL);
      break;
    default:
      lua_pushboolean(L, json_is_true(json));
  }
}

/* json_decode(text): the value, or nil and what is wrong where. */
static int json_decode(lua_State *L) {
  json_error_t error;
  size_t length;
  if (lua_type(L, 1) != LUA_TSTRING)
    bind_argument_error(L, 1, "a string");
  const char *text = lua_tolstring(L, 1, &length);
  bind_owner *root = bind_push_owner(L, release_json);
  plain_numbers numbers = plain_numbers_enter();
  root->object = json_loadb(
      text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL,
      &error);
  plain_numbers_leave(numbers);
  if (root->object == NULL) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: line %d, column %d: %s", bind_function_name(L),
                    error.line, error.column, error.text);
    return 2;
  }
  push_json(L, root->object);
  bind_owner_release(root);
  return 1;
}

static const luaL_Reg functions[] = {
    {"json_encode", json_encode},
    {"json_decode", json_decode},
    {NULL, NULL},
};

void bind_open_json(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, BIND_MODULE, "null");
}
