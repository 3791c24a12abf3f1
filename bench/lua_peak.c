/*
** require "peak": peak(threads, seconds) is peak_flops in Lua.
*/
#include <lauxlib.h>
#include <lua.h>

#include "peak.h"

static int measure(lua_State *L) {
  const lua_Integer threads = luaL_checkinteger(L, 1);
  const double seconds = luaL_checknumber(L, 2);
  luaL_argcheck(L, threads >= 1 && threads <= PEAK_MAX_THREADS, 1,
                "expected 1..256 threads");
  lua_pushnumber(L, peak_flops((int)threads, seconds));
  return 1;
}

__attribute__((visibility("default"))) int luaopen_peak(lua_State *L);

int luaopen_peak(lua_State *L) {
  lua_pushcfunction(L, measure);
  return 1;
}
