/*
** Calls of the core and the errors of functions: who is to blame, what was
** expected and what came instead.
*/
#include <stdio.h>
#include <string.h>

#include "binding.h"

saros_context *bind_context_of(lua_State *L) {
  saros_context *context = bind_binding_of(L)->context;
  if (context == NULL)
    bind_failure(L, "%s: expected an open Lua state, got one that is closing",
                 bind_function_name(L));
  return context;
}

int bind_enter_core(lua_State *L) {
  binding *state = bind_binding_of(L);
  state->caller = L;
  state->waiting_since = 0;
  return state->context != NULL && saros_is_profiling(state->context);
}

void bind_leave_core(lua_State *L, int profiled) {
  bind_binding_of(L)->caller = NULL;
  if (profiled)
    saros_profile_leave(bind_context_of(L), 0);
}

/* --- Messages -------------------------------------------------------------- */

const char *bind_function_name(lua_State *L) {
  return lua_tostring(L, lua_upvalueindex(BIND_NAME_UPVALUE));
}

void bind_push_culprit(lua_State *L) {
  lua_Debug call;
  for (int level = 1; lua_getstack(L, level, &call); level++) {
    lua_getinfo(L, "Sl", &call);
    if (call.currentline > 0 && !bind_is_library_chunk(call.source)) {
      lua_pushfstring(L, "%s:%d: ", call.short_src, call.currentline);
      return;
    }
  }
  lua_pushliteral(L, "");
}

int bind_failure(lua_State *L, const char *format, ...) {
  if (bind_is_profiled(L))  // an argument may be wrong inside an operation
    saros_profile_leave(bind_context_of(L), 0);
  bind_binding_of(L)->caller = NULL;
  va_list values;
  va_start(values, format);
  lua_pushvfstring(L, format, values);
  va_end(values);
  bind_push_culprit(L);
  lua_insert(L, -2);
  lua_concat(L, 2);
  return lua_error(L);
}

int bind_raise(lua_State *L) {
  if (bind_binding_of(L)->interrupted)
    return bind_raise_interrupt(L);
  return bind_failure(L, "%s", saros_error(bind_context_of(L)));
}

int bind_return_file_error(lua_State *L, saros_status status) {
  if (status != SAROS_EFILE)
    return bind_raise(L);
  lua_pushnil(L);
  lua_pushstring(L, saros_error(bind_context_of(L)));
  return 2;
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

const char *bind_push_shape(lua_State *L, const saros_tensor *x) {
  char text[4 + 12 * SAROS_MAX_RANK];
  int at = snprintf(text, sizeof text, "(");
  for (int i = 0; i < saros_tensor_rank(x); i++)
    at += snprintf(text + at, sizeof text - (size_t)at, i > 0 ? ", %d" : "%d",
                   saros_tensor_shape(x)[i]);
  return lua_pushfstring(L, "%s)", text);
}

static const char *push_tensor_description(lua_State *L,
                                           const saros_tensor *x) {
  const char *kind = saros_tensor_dtype(x) == SAROS_IDS ? "ids" : "a tensor";
  return lua_pushfstring(L, "%s %s", kind, bind_push_shape(L, x));
}

/* By the name of its metatable, or else of its type. */
static const char *push_named(lua_State *L, int index) {
  if (luaL_getmetafield(L, index, "__name") == LUA_TSTRING)
    return lua_pushfstring(L, "a %s", lua_tostring(L, -1));
  return lua_pushfstring(L, "a %s", luaL_typename(L, index));
}

static const char *push_userdata_description(lua_State *L, int index) {
  saros_tensor *x = bind_to_tensor(L, index);
  if (x != NULL)
    return push_tensor_description(L, x);
  for (int type = BIND_TENSOR; type < BIND_OWNER; type++)
    if (bind_to_box(L, index, (bind_box_type)type) != NULL)
      return lua_pushfstring(L, "a %s", bind_box_name((bind_box_type)type));
  return push_named(L, index);
}

const char *bind_push_description(lua_State *L, int index) {
  switch (lua_type(L, index)) {
    case LUA_TNONE:
      return lua_pushliteral(L, "nothing");
    case LUA_TNIL:
      return lua_pushliteral(L, "nil");
    case LUA_TBOOLEAN:
      return lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
    case LUA_TNUMBER:
      return bind_push_number_text(L, index);
    case LUA_TSTRING:
      return push_quoted(L, index);
    case LUA_TUSERDATA:
      return push_userdata_description(L, index);
    case LUA_TTABLE:
      return push_named(L, index);
    case LUA_TTHREAD:
      return lua_pushliteral(L, "a coroutine");
    default:
      return lua_pushfstring(L, "a %s", luaL_typename(L, index));
  }
}

int bind_is_state(lua_State *L, int index) {
  int top = lua_gettop(L);
  int is_state = luaL_getmetafield(L, index, "__name") == LUA_TSTRING &&
                 strcmp(lua_tostring(L, -1), "saros.nn.State") == 0;
  lua_settop(L, top);
  return is_state;
}

int bind_value_error(lua_State *L, int index, const char *expected,
                     const char *place, ...) {
  const char *got = bind_push_description(L, index);
  va_list values;
  va_start(values, place);
  place = lua_pushvfstring(L, place, values);
  va_end(values);
  const char *cure =
      bind_is_state(L, index)
          ? "; a net returns y and its state, (net(x)) is y alone"
          : "";
  return bind_failure(L, "%s: expected %s%s, got %s%s", bind_function_name(L),
                      expected, place, got, cure);
}

/* In x:f(y) scripts count y as the first argument. */
static int is_method_call(lua_State *L) {
  lua_Debug call;
  return lua_getstack(L, 0, &call) && lua_getinfo(L, "n", &call) &&
         strcmp(call.namewhat, "method") == 0;
}

int bind_argument_error(lua_State *L, int arg, const char *expected) {
  int number = arg - is_method_call(L);
  if (number > 0)
    return bind_value_error(L, arg, expected, " as argument %d", number);
  return bind_value_error(L, arg, expected, " before the colon");
}
