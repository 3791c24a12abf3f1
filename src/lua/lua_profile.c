/*
** Profiles: what saros/profile.lua is made from.
*/
#include "binding.h"

/* Pushes the rows so far, one table each; the first is outside operations. */
static void push_rows(lua_State *L) {
  const saros_context *context = bind_context_of(L);
  int count = saros_profile_count(context);
  lua_createtable(L, count, 0);
  for (int at = 0; at < count; at++) {
    saros_profile_row row = saros_profile_at(context, at);
    lua_createtable(L, 0, 5);
    lua_pushstring(L, row.operation);
    lua_setfield(L, -2, "operation");
    lua_pushstring(L, row.layer);
    lua_setfield(L, -2, "layer");
    lua_pushboolean(L, row.backward);
    lua_setfield(L, -2, "backward");
    lua_pushinteger(L, (lua_Integer)row.calls);
    lua_setfield(L, -2, "calls");
    lua_pushnumber(L, row.seconds);
    lua_setfield(L, -2, "seconds");
    lua_rawseti(L, -2, at + 1);
  }
}

static int profile_profiling(lua_State *L) {
  if (lua_type(L, 1) != LUA_TBOOLEAN)
    bind_argument_error(L, 1, "true or false");
  if (lua_toboolean(L, 1))
    BIND_RUN(L, saros_profile_start(bind_context_of(L)));
  else
    saros_profile_stop(bind_context_of(L));
  push_rows(L);
  return 1;
}

static int profile_layer(lua_State *L) {
  const char *layer = bind_check_text(L, 1);
  lua_pushstring(L, saros_profile_layer(bind_context_of(L), layer));
  return 1;
}

static const luaL_Reg functions[] = {
    {"profiling", profile_profiling},
    {"layer", profile_layer},
    {NULL, NULL},
};

void bind_open_profile(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
}
