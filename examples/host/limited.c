/*
** A host that does not trust its scripts: so much memory and no more, no files,
** no threads, and an end to scripts that go on for too long. Whatever a script
** tries, it gets an error and the host goes on.
**
**   cc limited.c $(pkg-config --cflags --libs saros lua5.4) && ./a.out
*/
#include <lauxlib.h>
#include <lualib.h>
#include <saros.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct budget {
  size_t used, limit;
} budget;

static void *within_budget(void *user, void *block, size_t old, size_t new) {
  budget *b = user;
  if (block == NULL)
    old = 0;  // Lua passes the type of the object here
  if (new > old && b->used + (new - old) > b->limit)
    return NULL;
  void *result = NULL;
  if (new == 0)
    free(block);
  else if ((result = realloc(block, new)) == NULL)
    return NULL;
  b->used += new - old;
  return result;
}

/* Called now and then, also while one operation of the toolkit goes on. */
static void watch(lua_State *L, lua_Debug *event) {
  (void)event;
  const clock_t *end = lua_getextraspace(L);
  if (clock() > *end)
    luaL_error(L, "out of time");
}

/* Every script gets a tenth of a second. */
static void run(lua_State *L, const char *script) {
  clock_t *end = lua_getextraspace(L);  // coroutines have a copy
  *end = clock() + CLOCKS_PER_SEC / 10;
  lua_sethook(L, watch, LUA_MASKCOUNT, 1000);
  if (luaL_dostring(L, script))
    printf("refused: %s\n", lua_tostring(L, -1));
  else
    printf("returned: %s\n", luaL_tolstring(L, -1, NULL));
  lua_sethook(L, NULL, 0, 0);
  lua_settop(L, 0);
  lua_gc(L, LUA_GCCOLLECT);  // what it leaves, so that the next one has room:
  saros_trim(saros_context_in(L));  // tensors, and the bytes kept for more
}

int main(void) {
  static const luaL_Reg libraries[] = {
      {LUA_GNAME, luaopen_base},          {LUA_STRLIBNAME, luaopen_string},
      {LUA_TABLIBNAME, luaopen_table},    {LUA_MATHLIBNAME, luaopen_math},
      {LUA_COLIBNAME, luaopen_coroutine}, {NULL, NULL}};
  budget memory = {0, 32 << 20};
  lua_State *L = lua_newstate(within_budget, &memory);
  for (const luaL_Reg *l = libraries; l->name != NULL; l++) {
    luaL_requiref(L, l->name, l->func, 1);
    lua_pop(L, 1);
  }
  lua_pushnil(L);  // base has two ways to files of its own
  lua_setglobal(L, "dofile");
  lua_pushnil(L);
  lua_setglobal(L, "loadfile");
  saros_open(L, SAROS_NO_FILES | SAROS_NO_THREADS);
  lua_setglobal(L, "saros");
  run(L, "return saros.zeros(100000, 100000)");
  run(L,
      "local kept = {} while true do kept[#kept + 1] = "
      "saros.zeros(1000, 100) end");
  run(L,
      "return select(2, saros.nn.linear { 2, 2 }:init { seed = 1 "
      "}:save 'stolen')");
  run(L, "saros.threads(64)");
  run(L, "while true do end");
  run(L,
      "local x = saros.ones(1000, 1000) for _ = 1, 100 do local y <close> = "
      "x:matmul(x) end");
  run(L,
      "return saros.nn.gru { 3, 8 }:init { seed = 1 }(saros.ones(5, 2, "
      "3)):shape()[3]");
  lua_close(L);
  printf("left: %zu bytes\n", memory.used);
  return memory.used != 0;
}
