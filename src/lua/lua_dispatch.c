/*
** Every function of the module is called from here. While a script records, a
** Lua function is told of each call: its name, its arguments, its results.
**
** The function runs in the same frame of the stack, so its messages name the
** same arguments whether it is recorded or not. It may change its arguments,
** so they are kept aside in a table of the binding: one list for each call that
** is under way, as a finalizer may call functions in the middle of another.
*/
#include "binding.h"

/* Keeps the arguments as list number 'depth'. */
static void keep_arguments(lua_State *L, int depth) {
  int count = lua_gettop(L);
  luaL_checkstack(L, LUA_MINSTACK, "arguments to record");
  lua_getiuservalue(L, lua_upvalueindex(BIND_BINDING_UPVALUE),
                    BIND_CALLS_VALUE);
  lua_createtable(L, count, 1);
  for (int at = 1; at <= count; at++) {
    lua_pushvalue(L, at);
    lua_rawseti(L, -2, at);
  }
  lua_pushinteger(L, count);
  lua_setfield(L, -2, "n");
  lua_rawseti(L, -2, depth);
  lua_settop(L, count);
}

/* Pushes that list, which is then forgotten. */
static void push_arguments(lua_State *L, int depth) {
  lua_getiuservalue(L, lua_upvalueindex(BIND_BINDING_UPVALUE),
                    BIND_CALLS_VALUE);
  lua_rawgeti(L, -1, depth);
  lua_pushnil(L);
  lua_rawseti(L, -3, depth);
  lua_replace(L, -2);
}

static void push_results(lua_State *L, int first, int count) {
  lua_createtable(L, count, 1);
  for (int at = 0; at < count; at++) {
    lua_pushvalue(L, first + at);
    lua_rawseti(L, -2, at + 1);
  }
  lua_pushinteger(L, count);
  lua_setfield(L, -2, "n");
}

/* Tells the recorder, which is not recorded itself. If it raises an error,
** recording stays off. */
static void tell_recorder(lua_State *L, int depth, int results) {
  binding *state = bind_binding_of(L);
  int first = lua_gettop(L) - results + 1;
  luaL_checkstack(L, LUA_MINSTACK, "results to record");
  lua_getiuservalue(L, lua_upvalueindex(BIND_BINDING_UPVALUE),
                    BIND_RECORDER_VALUE);
  lua_pushvalue(L, lua_upvalueindex(BIND_NAME_UPVALUE));
  push_arguments(L, depth);
  push_results(L, first, results);
  state->recording = 0;
  lua_call(L, 3, 0);
  state->recording = 1;
}

static int record(lua_State *L, lua_CFunction function) {
  binding *state = bind_binding_of(L);
  int depth = ++state->calls;
  keep_arguments(L, depth);
  int results = function(L);
  state->calls = depth - 1;
  if (state->recording)  // unless that call has ended it
    tell_recorder(L, depth, results);
  return results;
}

int bind_call_or_record(lua_State *L) {
  const bind_function *function =
      lua_touserdata(L, lua_upvalueindex(BIND_FUNCTION_UPVALUE));
  return function->state->recording ? record(L, function->call)
                                    : function->call(L);
}
