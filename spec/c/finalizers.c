/*
** Finalizers that run in the middle of a call, because Lua collects garbage at
** any allocation, and that close what the call is about. The heap is small and
** the collector eager, so that this happens everywhere; and memory runs out once
** in a call, which is then tried again after a collection.
*/
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

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
    "local program = core.program [[{\"format\": 1, \"states\": [],\n"
    "  \"parameters\": [{\"name\": \"w\", \"shape\": [2, 3]}], \"nodes\": [\n"
    "  {\"op\": \"input\", \"name\": \"x\", \"width\": 3},\n"
    "  {\"op\": \"parameter\", \"parameter\": 0},\n"
    "  {\"op\": \"linear\", \"in\": [0, 1]}],\n"
    "  \"outputs\": [{\"name\": \"y\", \"node\": 2}]}]]\n"
    "local twice = core.operation('twice', function(x)\n"
    "  local y = x * 2\n"
    "  victims[#victims + 1] = y\n"
    "  return y\n"
    "end, function(dy) return dy * 2 end, 1)\n"
    "for round = 1, 200 do\n"
    "  local a, list, weight, session, mask, pair, steps, layer\n"
    "  local generator = saros.generator(1)\n"
    "  local function renew()\n"
    "    a, list, weight = grid(), { grid(), grid() }, saros.ones(2, 3)\n"
    "    session = core.session(program, { weight }, 2, 'real')\n"
    "    mask, pair, steps = saros.ones(2), saros.ones(2, 2), saros.ones(1, "
    "2)\n"
    "    layer = { weight_ih = saros.ones(4, 3), weight_hh = saros.ones(4, 4) "
    "}\n"
    "  end\n"
    "  local made = {\n"
    "    function() return a + 1 end,\n"
    "    function() return saros.concatenate(list, 1) end,\n"
    "    function() return a:totable() end,\n"
    "    function() return tostring(a) end,\n"
    "    function()\n"
    "      return a:cross_entropy(saros.ids { 1, 2 }, { mask = mask })\n"
    "    end,\n"
    "    function() return a:huber(list[1], { mask = list[2], delta = 1 }) "
    "end,\n"
    "    function()\n"
    "      return core.window(a:reshape(1, 2, 3), nil,\n"
    "        { kernel = 2, mask = steps, reset = steps })\n"
    "    end,\n"
    "    function()\n"
    "      return core.depthwise(a:reshape(1, 2, 3), saros.ones(3, 2), nil,\n"
    "        nil, { mask = steps, reset = steps, activation = 'silu' })\n"
    "    end,\n"
    "    function()\n"
    "      return core.finite(saros.ones(2, 4), saros.ids { { 1, 2 } }, nil,\n"
    "        { states = 2, mask = steps, reset = steps })\n"
    "    end,\n"
    "    function()\n"
    "      return core.crf_best(saros.ones(1, 2, 2),\n"
    "        { transitions = pair, start = mask, stop = mask })\n"
    "    end,\n"
    "    function()\n"
    "      local x = saros.ones(1, 2, 2)\n"
    "      return core.delta(x, x, x, { heads = 1, mask = steps,\n"
    "        reset = steps }, saros.ones(2, 4))\n"
    "    end,\n"
    "    function() return session:repack { weight } end,\n"
    "    function()\n"
    "      session:step(a)\n"
    "      return session:sample(generator, { bias = mask })\n"
    "    end,\n"
    "    function() return twice(a) end,\n"
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
    "    renew()\n"
    "    if round == 1 then\n"
    "      f()  -- which is right where nothing is closed\n"
    "    end\n"
    "    local all = { a, list[1], list[2], weight, session, mask, pair, "
    "steps,\n"
    "      layer.weight_ih, layer.weight_hh }\n"
    "    victims = round % 2 == 0 and all or { all[round // 2 % #all + 1] }\n"
    "    trap()\n"
    "    core.trim()\n"
    "    if round % 2 == 1 then\n"
    "      collectgarbage 'stop'\n"
    "    end\n"
    "    refuse(round % 2 * (round % 23))\n"
    "    local ok, message = pcall(f)\n"
    "    refuse(0)\n"
    "    collectgarbage 'restart'\n"
    "    assert(ok or type(message) == 'string')\n"
    "    victims = {}\n"
    "  end\n"
    "end\n"
    "return collected\n";

static lua_Integer refuse_in;  // requests for memory; 0: none is refused

static void *allocate(void *user, void *p, size_t old, size_t size) {
  (void)user;
  if (size == 0) {
    free(p);
    return NULL;
  }
  if ((p == NULL || size > old) && refuse_in > 0 && --refuse_in < 2)
    return NULL;
  return realloc(p, size);
}

/* refuse(n): the n-th request from now on fails. */
static int refuse(lua_State *L) {
  refuse_in = luaL_checkinteger(L, 1);
  return 0;
}

int main(void) {
  lua_State *L = lua_newstate(allocate, NULL);
  luaL_openlibs(L);
  lua_register(L, "refuse", refuse);
  luaL_requiref(L, "saros", luaopen_saros, 1);
  int status = luaL_dostring(L, script);
  CHECK(status == LUA_OK, "%s", lua_tostring(L, -1));
  CHECK(lua_tointeger(L, -1) > 1000, "only %d were finalized",
        (int)lua_tointeger(L, -1));
  lua_close(L);
  return report();
}
