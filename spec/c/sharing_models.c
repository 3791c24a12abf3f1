/*
** Whatever model a script makes a session of, states that have its weights in
** common have them packed once.
*/
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "check.h"
#include "saros.h"

/* models[n](): a model and what it is stepped with. */
static const char models[] =
    "local nn, data, models = saros.nn, saros.data, {}\n"
    "local H, I, V = 40, 3, 9\n"
    "local vocabulary = data.text({ string = 'abcdefghi' }).vocabulary\n"
    "local function add(model, input)\n"
    "  models[#models + 1] = function() return model(), input end\n"
    "end\n"
    "local function add_language_model(o)\n"
    "  o.vocabulary, o.hidden = vocabulary, H\n"
    "  add(function() return nn.language_model(o) end, 2)\n"
    "end\n"
    "local function add_layer(kind, o)\n"
    "  o.input, o.hidden = I, H\n"
    "  add(function() return nn[kind](o) end, { 0.1, 0.2, 0.3 })\n"
    "end\n"
    "for _, cell in ipairs(require 'saros.nn.cells.list') do\n"
    "  add_language_model { cell = cell }\n"
    "  add_language_model { cell = cell, tie = true, residual = true,\n"
    "    learn_state = true, dropout = 0.1,\n"
    "    zoneout = cell ~= 'delta' and cell ~= 'mlstm' and 0.1 or 0 }\n"
    "  if cell ~= 'lru' and cell ~= 'slstm' and cell ~= 'delta' and\n"
    "     cell ~= 'mlstm' then\n"
    "    add_language_model { cell = cell, layer_norm = true, head = { 20 } }\n"
    "  end\n"
    "  add(function()\n"
    "    return nn.classifier { vocabulary = vocabulary, cell = cell,\n"
    "      labels = { 'x', 'y' }, hidden = H, bidirectional = false }\n"
    "  end, 2)\n"
    "end\n"
    "add_layer('rnn', { activation = 'relu', bias = false })\n"
    "add_layer('lstm', { peepholes = true, projection = 9 })\n"
    "add_layer('lstm', { layer_norm = true, zoneout_cell = 0.2 })\n"
    "add_layer('gru', { reset = 'before' })\n"
    "add(function()\n"
    "  return nn.forecaster { hidden = H, series =\n"
    "    data.series({ string = '1\\n3\\n2\\n5\\n4\\n' }, { valid = 0 }) }\n"
    "end, 3)\n"
    "add(function()\n"
    "  return nn.chain {\n"
    "    nn.embedding { V, H },\n"
    "    nn.residual { nn.layer_norm { H }, nn.mingru { H, H } },\n"
    "    nn.residual { nn.layer_norm { H }, nn.linear { H, 9 }, saros.relu,\n"
    "                  nn.dropout { 0.1 }, nn.linear { 9, H, bias = false } "
    "},\n"
    "  }\n"
    "end, 2)\n"
    "add(function()\n"
    "  return nn.chain { nn.embedding { V, H },\n"
    "    nn.windowed_attention { H, 7, heads = 2, residual = true } }\n"
    "end, 2)\n"
    "return models\n";

/* Steps a session of a model on given tensors, or its own; gives what it says,
** the tensors, the bytes that the session took of the state, and the model. */
static const char steps[] =
    "local build, tensors = ...\n"
    "session = nil\n"
    "local model, input = build()\n"
    "model = tensors and model:adopt(tensors) or model:init { seed = 1 }\n"
    "collectgarbage() collectgarbage()\n"
    "local before = saros.memory().in_use\n"
    "session = model:session()\n"
    "collectgarbage() collectgarbage()\n"
    "local bytes = saros.memory().in_use - before\n"
    "local sum = 0\n"
    "for _ = 1, 5 do sum = sum + session:step(input):sum():item() end\n"
    "return sum, model:tensors(), bytes, model:describe()\n";

enum { MODELS = 1, SUM, TENSORS, BYTES, NAME };

/* A state with the models at MODELS. */
static lua_State *open_state(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  luaL_requiref(L, "saros", luaopen_saros, 1);
  lua_settop(L, 0);
  CHECK(luaL_dostring(L, models) == LUA_OK, "%s", lua_tostring(L, -1));
  return L;
}

/* Leaves what the steps of a model give behind the models. */
static void run_model(lua_State *L, int number, saros_shared *shared) {
  lua_settop(L, MODELS);
  CHECK(luaL_loadstring(L, steps) == LUA_OK, "%s", lua_tostring(L, -1));
  lua_rawgeti(L, MODELS, number);
  if (shared != NULL) {
    saros_push_shared(L, shared);
    lua_pop(L, 1);  // the metadata
  }
  CHECK(lua_pcall(L, 1 + (shared != NULL), 4, 0) == LUA_OK, "%s",
        lua_tostring(L, -1));
  lua_settop(L, NAME);
}

/* The tensors at TENSORS. */
static saros_shared *share_tensors(lua_State *L) {
  saros_archive *archive = NULL;
  saros_shared *shared = NULL;
  saros_archive_new(saros_context_in(L), &archive);
  for (lua_pushnil(L); lua_next(L, TENSORS); lua_pop(L, 1))
    saros_archive_add(archive, lua_tostring(L, -2), saros_to_tensor(L, -1));
  CHECK(saros_shared_new(archive, NULL, NULL, &shared) == SAROS_OK, "%s",
        saros_error(saros_context_in(L)));
  saros_archive_release(archive);
  return shared;
}

static void share_model(lua_State *alone, lua_State *const *L, int number) {
  run_model(alone, number, NULL);
  saros_shared *shared = share_tensors(alone);
  const char *name = lua_tostring(alone, NAME);
  const size_t weights = saros_shared_bytes(shared);
  size_t bytes = 0;
  for (int i = 0; i < 2; i++) {
    run_model(L[i], number, shared);
    const size_t packed = saros_shared_bytes(shared) - weights;
    CHECK(lua_tonumber(L[i], SUM) == lua_tonumber(alone, SUM), "%s: %g, not %g",
          name, lua_tonumber(L[i], SUM), lua_tonumber(alone, SUM));
    CHECK(packed > 0 && (i == 0 || packed == bytes),
          "%s: packed once, %zu bytes and then %zu", name, bytes, packed);
    CHECK((size_t)lua_tointeger(L[i], BYTES) < packed,
          "%s: a session holds no weights in its %d bytes", name,
          (int)lua_tointeger(L[i], BYTES));
    bytes = packed;
  }
  saros_shared_release(shared);
}

int main(void) {
  lua_State *alone = open_state(), *const L[] = {open_state(), open_state()};
  const int count = (int)lua_rawlen(alone, MODELS);
  CHECK(count == 43, "all models, got %d", count);
  for (int number = 1; number <= count; number++)
    share_model(alone, L, number);
  lua_close(alone);
  lua_close(L[0]);
  lua_close(L[1]);
  return report();
}
