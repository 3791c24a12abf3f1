/*
** Finalizers that run in the middle of a call, because Lua collects garbage at
** any allocation, and that close what the call is about. The heap is small and
** the collector eager, so that this happens everywhere.
*/
#include <lauxlib.h>
#include <lualib.h>

#include "check.h"
#include "saros.h"

static const char script[] =
    "collectgarbage('incremental', 1, 400, 14) -- a cycle in few allocations\n"
    "local victims, collected = {}, 0\n"
    "local core = require 'saros.core'\n"
    "local function trap()\n"
    "  setmetatable({}, { __gc = function()\n"
    "    collected = collected + 1\n"
    "    for _, victim in ipairs(victims) do\n"
    "      local _ <close> = victim\n"
    "    end\n"
    "  end })\n"
    "end\n"
    "local function grid()\n"
    "  return saros.tensor { { 1, 2, 3 }, { 4, 5, 6 } }\n"
    "end\n"
    "local layer = { weight_ih = saros.ones(4, 3), weight_hh = saros.ones(4, "
    "4) }\n"
    "local program = core.program [[{\"format\": 1, \"states\": [],\n"
    "  \"parameters\": [{\"name\": \"w\", \"shape\": [2, 3]}], \"nodes\": [\n"
    "  {\"op\": \"input\", \"name\": \"x\", \"width\": 3},\n"
    "  {\"op\": \"parameter\", \"parameter\": 0},\n"
    "  {\"op\": \"linear\", \"in\": [0, 1]}],\n"
    "  \"outputs\": [{\"name\": \"y\", \"node\": 2}]}]]\n"
    "for _ = 1, 100 do\n"
    "  local a, list = grid(), { grid(), grid() }\n"
    "  local weight = saros.ones(2, 3)\n"
    "  local session = core.session(program, { weight }, 2, 'real')\n"
    "  local made = {\n"
    "    function() return a + 1 end,\n"
    "    function() return saros.concatenate(list, 1) end,\n"
    "    function() return a:totable() end,\n"
    "    function() return tostring(a) end,\n"
    "    function()\n"
    "      return a:cross_entropy(saros.ids { 1, 2 }, { mask = saros.ones(2) "
    "})\n"
    "    end,\n"
    "    function() return a[1][2] end,\n"
    "    function() a[1] = list[1][2] end,\n"
    "    function() return a:shape() end,\n"
    "    function() return a .. list[1] end,\n"
    "    function() return core.session(program, { weight }, 2, 'real') end,\n"
    "    function() return session:step(a) end,\n"
    "    function() return session:fork():dump() end,\n"
    "    function()\n"
    "      return core.recurrent('elman_tanh', a:reshape(1, 2, 3), {}, "
    "layer)\n"
    "    end,\n"
    "    function() return saros.tensor(list[1]:totable()) end,\n"
    "  }\n"
    "  for _, f in ipairs(made) do\n"
    "    trap()\n"
    "    victims = { a, list[1], list[2], weight, session }\n"
    "    local ok, message = pcall(f)\n"
    "    assert(ok or type(message) == 'string')\n"
    "    victims = {}\n"
    "    a, list[1], list[2] = grid(), grid(), grid()\n"
    "  end\n"
    "end\n"
    "return collected\n";

int main(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  luaL_requiref(L, "saros", luaopen_saros, 1);
  CHECK(luaL_dostring(L, script) == LUA_OK, "%s", lua_tostring(L, -1));
  CHECK(lua_tointeger(L, -1) > 1000, "only %d were finalized",
        (int)lua_tointeger(L, -1));
  lua_close(L);
  return report();
}
