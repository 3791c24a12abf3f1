/*
** Training, saving, loading and stepping in a Lua state whose allocator refuses:
** once at the n-th request, for many n, or from the n-th on. Whatever is refused,
** the script gets an error, the state stays usable, and closing it gives every
** byte back.
**
** SAROS_REFUSALS=0 build/spec/allocator   refuses every request there is
*/
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "saros.h"

typedef struct meter {
  size_t live;       // bytes that the state holds
  size_t limit;      // of live; 0: none
  long requests;     // for new memory, so far
  long refuse_at;    // the request to refuse; 0: none
  int from_then_on;  // and all after it
} meter;

static int refuses(meter *m, size_t grows) {
  m->requests++;
  if (m->limit > 0 && m->live + grows > m->limit)
    return 1;
  if (m->refuse_at == 0)
    return 0;
  return m->from_then_on ? m->requests >= m->refuse_at
                         : m->requests == m->refuse_at;
}

static void *metered(void *user, void *block, size_t old_size,
                     size_t new_size) {
  meter *m = user;
  if (block == NULL)
    old_size = 0;  // Lua passes the type of the object here
  if (new_size > old_size && refuses(m, new_size - old_size))
    return NULL;
  void *result = NULL;
  if (new_size == 0)
    free(block);
  else if ((result = realloc(block, new_size)) == NULL)
    return NULL;
  m->live += new_size - old_size;
  return result;
}

static char path[] = "/tmp/saros-XXXXXX";

/* Two windows of training, a sample, a model file, a session. */
static const char script[] =
    "local saros = require 'saros'\n"
    "local text = saros.data.text { string = ('hello world '):rep(20) }\n"
    "local lm = saros.nn.language_model {\n"
    "  vocabulary = text.vocabulary, hidden = 8, layers = 2, dropout = 0.1,\n"
    "  seed = 1 }\n"
    "local adam = saros.optim.adam(lm:parameters(), { lr = 0.01 })\n"
    "local state\n"
    "for window in text:windows { batch = 4, length = 10 } do\n"
    "  local tape <close> = saros.tape()\n"
    "  local logits\n"
    "  logits, state = lm(window.inputs, state)\n"
    "  local loss = saros.cross_entropy(logits, window.targets)\n"
    "  tape:backward(loss)\n"
    "  saros.optim.clip_norm(lm:parameters(), 5)\n"
    "  adam:step()\n"
    "  if window.index == 2 then break end\n"
    "end\n"
    "do\n"
    "  local tape <close> = saros.tape()\n"
    "  local x = saros.ones(3, 4)\n"
    "  tape:watch(x)\n"
    "  local y = saros.where(x:isfinite(), x:transpose():transpose(), 0)\n"
    "  local loss = saros.nn.kl(y, x, { mask = saros.ones(3) })\n"
    "  loss = loss + saros.nn.bce(y, x, { mask = x }) + y:cross_entropy(\n"
    "    saros.ids { 1, 2, 3 }, { weights = saros.ones(4), mask = "
    "saros.ones(3),\n"
    "    label_smoothing = 0.1 })\n"
    "  tape:backward(loss + saros.operation {\n"
    "    name = 'own', forward = function(a, b) return a * b end,\n"
    "    backward = function(dy, a, b) return dy * b, dy * a end }(y, "
    "x):sum())\n"
    "end\n"
    "for piece in lm:generate { length = 5, seed = 1 } do assert(piece) end\n"
    "assert(lm:memory { length = 5, batch = 2 }.total > 0)\n"
    "assert(saros.profile(saros.tanh, saros.ones(2)).rows[1])\n"
    "saros.json_decode(saros.json_encode { a = { 1, 2, 'x' } })\n"
    "assert(lm:save(path))\n"
    "local session = assert(saros.load(path)):session { streams = 2 }\n"
    "for id = 1, 3 do session:step { id, id } end\n"
    "assert(session:fork():restore(session:dump()):probabilities())\n";

static int open_all(lua_State *L) {
  luaL_openlibs(L);
  luaL_requiref(L, "saros", luaopen_saros, 0);
  lua_pushstring(L, path);
  lua_setglobal(L, "path");
  return 0;
}

/* A state with the toolkit, or null where memory did not reach. */
static lua_State *open_state(meter *m) {
  lua_State *L = lua_newstate(metered, m);
  if (L == NULL)
    return NULL;
  lua_pushcfunction(L, open_all);
  if (lua_pcall(L, 0, 0, 0) == LUA_OK)
    return L;
  CHECK(lua_tostring(L, -1) != NULL, "opening fails with a message");
  lua_close(L);
  return NULL;
}

static int run_script(lua_State *L) {
  int status = luaL_loadbuffer(L, script, sizeof script - 1, "=script");
  if (status == LUA_OK)
    status = lua_pcall(L, 0, 0, 0);
  if (status != LUA_OK && lua_type(L, -1) != LUA_TSTRING)
    CHECK(0, "an error that is a string, got a %s", luaL_typename(L, -1));
  return status;
}

/* The requests that a call makes when nothing is refused. */
static long count_requests(int opening) {
  meter m = {0};
  lua_State *L = open_state(&m);
  long opened = m.requests;
  CHECK(run_script(L) == LUA_OK, "the script runs: %s", lua_tostring(L, -1));
  lua_close(L);
  CHECK(m.live == 0, "closing gives all back, got %zu bytes", m.live);
  return opening ? opened : m.requests - opened;
}

static void refuse_while_running(long at, int from_then_on) {
  meter m = {0};
  lua_State *L = open_state(&m);
  m.requests = 0;
  m.refuse_at = at;
  m.from_then_on = from_then_on;
  int status = run_script(L);
  // Lua may collect garbage and ask again, so one refusal need not show
  CHECK(status != LUA_OK || !from_then_on, "refusing from %ld on fails", at);
  m.refuse_at = 0;
  lua_settop(L, 0);
  lua_gc(L, LUA_GCCOLLECT);  // closes a tape that the error left open
  status = run_script(L);
  CHECK(status == LUA_OK, "usable after refusal %ld: %s", at,
        lua_tostring(L, -1));
  lua_close(L);
  CHECK(m.live == 0, "refusal %ld: %zu bytes were lost", at, m.live);
}

static void refuse_while_opening(long at) {
  meter m = {.refuse_at = at};
  lua_State *L = open_state(&m);
  if (L != NULL)
    lua_close(L);
  CHECK(m.live == 0, "refusal %ld while opening: %zu bytes lost", at, m.live);
}

static void limit_memory(void) {
  meter m = {0};
  lua_State *L = open_state(&m);
  m.limit = m.live + 1000000;
  int status = luaL_dostring(L, "return require('saros').zeros(1000, 1000)");
  CHECK(status != LUA_OK, "four megabytes do not fit into one");
  lua_settop(L, 0);
  status = luaL_dostring(L,
                         "local saros = require 'saros'\n"
                         "for _ = 1, 1000 do saros.zeros(100, 500) end");
  CHECK(status == LUA_OK, "garbage makes room for more: %s",
        lua_tostring(L, -1));
  CHECK(m.live <= m.limit, "the limit holds, %zu of %zu", m.live, m.limit);
  lua_close(L);
  CHECK(m.live == 0, "closing gives all back, got %zu bytes", m.live);
}

int main(void) {
  CHECK(close(mkstemp(path)) == 0, "a place for a file");
  const char *wanted = getenv("SAROS_REFUSALS");
  long opening = count_requests(1), running = count_requests(0);
  long runs = wanted != NULL ? atol(wanted) : 80;
  runs = runs > 0 ? runs : opening > running ? opening : running;
  for (long i = 0; i < runs; i++) {
    refuse_while_running(1 + i * running / runs, 0);
    refuse_while_running(1 + i * running / runs, 1);
    refuse_while_opening(1 + i * opening / runs);
  }
  // somewhere here Lua has no memory to call finalizers, and skips them
  for (long at = 150; at < 250; at++)
    refuse_while_running(at, 1);
  limit_memory();
  remove(path);
  return report();
}
