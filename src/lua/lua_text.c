/*
** Codecs, which turn text into ids, and token files. lua/saros/data makes
** vocabularies and texts of them.
*/
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "binding.h"

/* --- Arguments --------------------------------------------------------------------------- */

static saros_unit check_unit(lua_State *L, int arg) {
  static const char *const names[] = {"byte", "char", "word", "bpe"};
  const char *name = bind_check_text(L, arg);
  for (int i = 0; i < 4; i++)
    if (strcmp(name, names[i]) == 0)
      return (saros_unit)i;
  bind_argument_error(L, arg, "\"byte\", \"char\", \"word\" or \"bpe\"");
  return SAROS_BYTES;
}

static saros_codec *check_codec(lua_State *L, int arg) {
  return *(saros_codec **)bind_check_box(L, arg, BIND_CODEC);
}

static saros_tokens *check_tokens(lua_State *L, int arg) {
  return *(saros_tokens **)bind_check_box(L, arg, BIND_TOKENS);
}

/* Any string, as a text in memory that lives as long as the argument. */
static saros_text check_bytes(lua_State *L, int arg) {
  saros_text text = {0};
  if (lua_type(L, arg) != LUA_TSTRING)
    bind_argument_error(L, arg, "a string");
  text.bytes = lua_tolstring(L, arg, &text.size);
  return text;
}

/* --- Making codecs ------------------------------------------------------------------------- */

/* codec(unit, symbols, unknown): the arguments. */
enum { UNIT = 1, SYMBOLS, HAS_UNKNOWN };

/* Merges are pairs of ids in one list. */
static void add_merges(lua_State *L) {
  saros_codec *codec = check_codec(L, -1);
  lua_Integer count = bind_list_length(L, SYMBOLS), pair[2];
  if (count % 2 != 0)
    bind_argument_error(L, SYMBOLS, "pairs of ids");
  for (lua_Integer i = 0; i < count; i++) {
    lua_rawgeti(L, SYMBOLS, i + 1);
    if (!bind_to_integer(L, -1, 1, saros_codec_count(codec), &pair[i % 2]))
      bind_value_error(L, lua_gettop(L), "ids of symbols so far",
                       " in a merge");
    lua_pop(L, 1);
    if (i % 2 == 1)
      BIND_RUN(L, saros_codec_merge(codec, (int)pair[0] - 1, (int)pair[1] - 1));
  }
}

static void add_symbols(lua_State *L) {
  saros_codec *codec = check_codec(L, -1);
  lua_Integer count = bind_list_length(L, SYMBOLS);
  for (lua_Integer i = 1; i <= count; i++) {
    size_t size;
    lua_rawgeti(L, SYMBOLS, i);
    if (lua_type(L, -1) != LUA_TSTRING)
      bind_value_error(L, lua_gettop(L), "strings", " as symbols");
    const char *text = lua_tolstring(L, -1, &size);
    BIND_RUN(L, saros_codec_add(codec, text, size));
    lua_pop(L, 1);
  }
  if (lua_toboolean(L, HAS_UNKNOWN))
    BIND_RUN(L, saros_codec_add_unknown(codec));
}

static int codec_new(lua_State *L) {
  lua_settop(L, HAS_UNKNOWN);
  saros_unit unit = check_unit(L, UNIT);
  bind_opt_flag(L, HAS_UNKNOWN, 0);
  if (unit != SAROS_BYTES)
    bind_check_table(L, SYMBOLS);
  saros_codec **box = bind_push_box(L, BIND_CODEC);
  BIND_ATTEMPT(L, saros_codec_new(bind_context_of(L), unit, box));
  if (unit == SAROS_BPE)
    add_merges(L);
  else if (unit != SAROS_BYTES)
    add_symbols(L);
  return 1;
}

/* learn_codec(unit, text, is_path, size, min_count, unknown) */
static int codec_learn(lua_State *L) {
  lua_settop(L, 6);
  saros_unit unit = check_unit(L, 1);
  int is_path = bind_opt_flag(L, 3, 0);
  saros_text text = {0};
  if (is_path)
    text.path = bind_check_text(L, 2);
  else
    text = check_bytes(L, 2);
  saros_learning wanted = {
      .size = (int)bind_check_integer(L, 4, 0, INT32_MAX, "a size, or 0"),
      .min_count = bind_check_integer(L, 5, 1, LUA_MAXINTEGER, "a count"),
      .unknown = bind_opt_flag(L, 6, 0),
  };
  saros_codec **box = bind_push_box(L, BIND_CODEC);
  saros_status status;
  BIND_MEASURE(
      L, bind_function_name(L), status,
      saros_codec_learn(bind_context_of(L), unit, &text, &wanted, box));
  return status == SAROS_OK ? 1 : bind_return_file_error(L, status);
}

static int codec_gc(lua_State *L) {
  saros_codec **box = bind_to_box(L, 1, BIND_CODEC);
  if (box != NULL) {
    saros_codec *codec = *box;
    *box = NULL;
    saros_codec_release(codec);
  }
  return 0;
}

/* --- Methods of codecs ----------------------------------------------------------------------- */

static int codec_len(lua_State *L) {
  lua_pushinteger(L, saros_codec_count(check_codec(L, 1)));
  return 1;
}

static int codec_symbols(lua_State *L) {
  int count = saros_codec_count(check_codec(L, 1));
  lua_createtable(L, count, 0);
  for (int id = 0; id < count; id++) {
    size_t size;
    const char *text = saros_codec_symbol(check_codec(L, 1), id, &size);
    lua_pushlstring(L, text, size);
    lua_rawseti(L, -2, id + 1);
  }
  return 1;
}

static int codec_merges(lua_State *L) {
  int a, b, count = saros_codec_count(check_codec(L, 1));
  lua_newtable(L);
  for (int id = 256, at = 1; id < count; id++, at += 2) {
    if (!saros_codec_parts(check_codec(L, 1), id, &a, &b))
      break;
    lua_pushinteger(L, a + 1);
    lua_rawseti(L, -2, at);
    lua_pushinteger(L, b + 1);
    lua_rawseti(L, -2, at + 1);
  }
  return 1;
}

/* codec:space(before, after) */
static int codec_space(lua_State *L) {
  const saros_codec *codec = check_codec(L, 1);
  int count = saros_codec_count(codec);
  int before = (int)bind_check_integer(L, 2, 1, count, "an id");
  int after = lua_isnoneornil(L, 3)
                  ? 0
                  : (int)bind_check_integer(L, 3, 1, count, "an id");
  lua_pushboolean(L, saros_codec_space(codec, before - 1, after - 1));
  return 1;
}

static int codec_encode(lua_State *L) {
  lua_settop(L, 2);
  check_codec(L, 1);
  saros_text text = check_bytes(L, 2);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_codec_encode(check_codec(L, 1), &text, out));
  return bind_new_tensor(L, out);
}

/* codec:prepare(text_path, path, held_out, description): the number of ids. */
static int codec_prepare(lua_State *L) {
  lua_settop(L, 5);
  check_codec(L, 1);
  saros_text text = {.path = bind_check_text(L, 2)};
  const char *path = bind_check_text(L, 3);
  double held_out = bind_check_number(L, 4);
  if (!(held_out >= 0 && held_out < 1))
    bind_argument_error(L, 4, "a number in [0, 1)");
  const char *description = bind_check_text(L, 5);
  uint64_t count;
  saros_status status;
  BIND_MEASURE(L, bind_function_name(L), status,
               saros_tokens_write(check_codec(L, 1), &text, path, held_out,
                                  description, &count));
  if (status == SAROS_OK)
    lua_pushinteger(L, (lua_Integer)count);
  return status == SAROS_OK ? 1 : bind_return_file_error(L, status);
}

/* --- Token files ------------------------------------------------------------------------------ */

static int tokens_open(lua_State *L) {
  lua_settop(L, 1);
  const char *path = bind_check_text(L, 1);
  saros_tokens **box = bind_push_box(L, BIND_TOKENS);
  saros_status status = saros_tokens_open(bind_context_of(L), path, box);
  return status == SAROS_OK ? 1 : bind_return_file_error(L, status);
}

static int tokens_gc(lua_State *L) {
  saros_tokens **box = bind_to_box(L, 1, BIND_TOKENS);
  if (box != NULL) {
    saros_tokens *tokens = *box;
    *box = NULL;
    saros_tokens_release(tokens);
  }
  return 0;
}

static int tokens_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)saros_tokens_count(check_tokens(L, 1)));
  return 1;
}

static int tokens_held_out(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)saros_tokens_held_out(check_tokens(L, 1)));
  return 1;
}

static int tokens_digest(lua_State *L) {
  char text[17];
  snprintf(text, sizeof text, "%016" PRIx64,
           saros_tokens_digest(check_tokens(L, 1)));
  lua_pushstring(L, text);
  return 1;
}

/* The number of symbols, and what is known of them. */
static int tokens_symbols(lua_State *L) {
  size_t size;
  lua_pushinteger(L, saros_tokens_symbols(check_tokens(L, 1)));
  const char *text = saros_tokens_description(check_tokens(L, 1), &size);
  lua_pushlstring(L, text, size);
  return 2;
}

/* tokens:window(first, stride, T, B): inputs and targets. */
static int tokens_window(lua_State *L) {
  lua_settop(L, 5);
  check_tokens(L, 1);
  lua_Integer first = bind_check_integer(L, 2, 1, LUA_MAXINTEGER, "a position");
  lua_Integer stride = bind_check_integer(L, 3, 1, LUA_MAXINTEGER, "a stride");
  int T = bind_check_size(L, 4), B = bind_check_size(L, 5);
  saros_tensor **inputs = bind_push_tensor(L);
  saros_tensor **targets = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_tokens_window(check_tokens(L, 1), (uint64_t)first - 1,
                                      (uint64_t)stride, T, B, inputs, targets));
  bind_new_tensor(L, targets);
  lua_pushvalue(L, 6);
  bind_new_tensor(L, inputs);
  lua_insert(L, -2);
  return 2;
}

/* --- Registration --------------------------------------------------------------------------- */

static const luaL_Reg functions[] = {
    {"codec", codec_new},
    {"learn_codec", codec_learn},
    {"open_tokens", tokens_open},
    {NULL, NULL},
};

static const luaL_Reg codec_methods[] = {
    {"symbols", codec_symbols}, {"merges", codec_merges},
    {"space", codec_space},     {"encode", codec_encode},
    {"prepare", codec_prepare}, {NULL, NULL},
};

static const luaL_Reg codec_metamethods[] = {
    {"__gc", codec_gc},
    {"__len", codec_len},
    {NULL, NULL},
};

static const luaL_Reg tokens_methods[] = {
    {"held_out", tokens_held_out},
    {"digest", tokens_digest},
    {"symbols", tokens_symbols},
    {"window", tokens_window},
    {NULL, NULL},
};

static const luaL_Reg tokens_metamethods[] = {
    {"__gc", tokens_gc},
    {"__len", tokens_len},
    {NULL, NULL},
};

void bind_open_text(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
  bind_register_type(L, BIND_CODEC, codec_metamethods, codec_methods);
  bind_register_type(L, BIND_TOKENS, tokens_metamethods, tokens_methods);
  lua_pop(L, 2);
}
