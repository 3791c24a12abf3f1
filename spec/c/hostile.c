/*
** Hostile scripts: calls of everything with anything, in states with a limit of
** memory, an end to every call and a folder of their own. Nothing may crash or
** hang, whatever is called, errors are strings, and every byte comes back.
**
** SAROS_HOSTILE=1000000 build/spec/hostile   makes so many calls, from the seed
** SAROS_HOSTILE_SEED, and tells which errors name a line of the library instead
** of what was wrong; SAROS_HOSTILE_TRACE=1 tells each call beforehand.
*/
#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "saros.h"

/* Calls in one state. */
#define ROUND 2000

#define SCRIPT "spec/support/hostile.lua"

/* --- Limits ----------------------------------------------------------------------- */

typedef struct budget {
  size_t used, limit;
} budget;

static void *within_budget(void *user, void *block, size_t old, size_t new) {
  budget *b = user;
  old = block == NULL ? 0 : old;
  if (new > old && b->used + (new - old) > b->limit)
    return NULL;
  b->used += new - old;
  if (new == 0) {
    free(block);
    return NULL;
  }
  return realloc(block, new);
}

static double end_of_call = HUGE_VAL;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void watch(lua_State *L, lua_Debug *call) {
  (void)call;
  if (now() > end_of_call)
    luaL_error(L, "out of time");
}

/* timed(seconds, f, ...): pcall, which ends in time. */
static int call_timed(lua_State *L) {
  end_of_call = now() + luaL_checknumber(L, 1);
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
  end_of_call = HUGE_VAL;
  lua_pushboolean(L, status == LUA_OK);
  lua_replace(L, 1);
  return lua_gettop(L);
}

static int trace(lua_State *L) {
  int count = lua_gettop(L);
  for (int i = 1; i <= count; i++)
    if (lua_type(L, i) == LUA_TSTRING || lua_type(L, i) == LUA_TNUMBER) {
      lua_pushvalue(L, i);
      fprintf(stderr, "%.40s ", lua_tostring(L, -1));
    } else {
      fprintf(stderr, "%s ", luaL_typename(L, i));
    }
  fprintf(stderr, "\n");
  return 0;
}

/* --- Rounds ----------------------------------------------------------------------- */

/* The strings of the list at an index: complaints, or only remarks. */
static void tell(lua_State *L, int list, int complain) {
  lua_Integer count = luaL_len(L, list);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_geti(L, list, i);
    if (complain)
      CHECK(0, "%s", lua_tostring(L, -1));
    else
      printf("%s\n", lua_tostring(L, -1));
    lua_pop(L, 1);
  }
}

static void play_round(const char *script, size_t size, long seed, long calls) {
  budget memory = {0, (size_t)64 << 20};
  lua_State *L = lua_newstate(within_budget, &memory);
  luaL_openlibs(L);
  saros_open(L, 0);
  lua_settop(L, 0);
  lua_sethook(L, watch, LUA_MASKCOUNT, 1000);
  int status = luaL_loadbuffer(L, script, size, "@" SCRIPT);
  lua_pushinteger(L, seed);
  lua_pushinteger(L, calls);
  lua_pushcfunction(L, call_timed);
  if (getenv("SAROS_HOSTILE_TRACE") != NULL)
    lua_pushcfunction(L, trace);
  else
    lua_pushnil(L);
  if (status == LUA_OK)
    status = lua_pcall(L, 4, 4, 0);
  CHECK(status == LUA_OK, "seed %ld: %s", seed, lua_tostring(L, -1));
  if (status == LUA_OK && getenv("SAROS_HOSTILE") != NULL) {
    printf("seed %ld: %d of %d functions succeeded\n", seed,
           (int)lua_tointeger(L, 1), (int)lua_tointeger(L, 2));
    tell(L, 4, 0);
  }
  if (status == LUA_OK)
    tell(L, 3, 1);
  lua_close(L);
  CHECK(memory.used == 0, "seed %ld: %zu bytes are left", seed, memory.used);
}

static long setting(const char *name, long otherwise) {
  const char *text = getenv(name);
  return text != NULL ? atol(text) : otherwise;
}

static char *read_script(size_t *size) {
  FILE *file = fopen(SCRIPT, "rb");
  char *text = malloc(1 << 16);
  CHECK(file != NULL && text != NULL, "expected to run where " SCRIPT " is");
  if (file == NULL || text == NULL)
    exit(report());
  *size = fread(text, 1, 1 << 16, file);
  fclose(file);
  return text;
}

int main(void) {
  size_t size;
  char *script = read_script(&size);
  char folder[] = "/tmp/saros-XXXXXX", remove[64];
  long calls = setting("SAROS_HOSTILE", 2 * ROUND);
  long seed = setting("SAROS_HOSTILE_SEED", 1);
  CHECK(mkdtemp(folder) != NULL && chdir(folder) == 0, "a folder of its own");
  for (; calls > 0; calls -= ROUND, seed++)
    play_round(script, size, seed, calls < ROUND ? calls : ROUND);
  snprintf(remove, sizeof remove, "rm -rf %s", folder);
  CHECK(chdir("/") == 0 && system(remove) == 0, "the folder is gone");
  free(script);
  return report();
}
