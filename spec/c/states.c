/*
** States come and go, and leave nothing behind: no byte, no thread, no page of
** memory more than the first of them took.
**
** SAROS_STATES=10000 build/spec/states   makes so many
*/
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

#include "check.h"
#include "saros.h"

#ifdef __SANITIZE_ADDRESS__
/* Pages that are freed come back soon, so that they can be counted. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
  return "quarantine_size_mb=8";
}
#endif

static size_t live;

static void *metered(void *user, void *block, size_t old, size_t new) {
  (void)user;
  live += new - (block == NULL ? 0 : old);
  if (new == 0) {
    free(block);
    return NULL;
  }
  return realloc(block, new);
}

/* Training on two threads, a session, a tape and a coroutine left as they are. */
static const char script[] =
    "saros.threads(2)\n"
    "local net = saros.nn.gru { 8, 32 }:init { seed = 1 }\n"
    "session = net:session()\n"
    "session:step(saros.ones(8))\n"
    "tape = saros.tape()\n"
    "y = net(saros.ones(20, 64, 8))\n"
    "thread = coroutine.wrap(function() coroutine.yield(saros.ones(3)) end)\n"
    "thread()\n";

static void live_and_die(void) {
  lua_State *L = lua_newstate(metered, NULL);
  luaL_openlibs(L);
  luaL_requiref(L, "saros", luaopen_saros, 1);
  int status = luaL_dostring(L, script);
  if (status != LUA_OK)
    CHECK(0, "%s", lua_tostring(L, -1));
  lua_close(L);
}

/* Field 'at' of a line of numbers; 0 where there is no such file. */
static long number_in(const char *path, int at) {
  long value = 0;
  FILE *file = fopen(path, "r");
  for (int i = 0; file != NULL && i <= at; i++)
    if (fscanf(file, "%ld", &value) != 1)
      value = 0;
  if (file != NULL)
    fclose(file);
  return value;
}

static long resident_pages(void) {
  return number_in("/proc/self/statm", 1);
}

int main(void) {
  const char *wanted = getenv("SAROS_STATES");
  const long states = wanted != NULL ? atol(wanted) : 150;
  long early = 0;
  for (long i = 0; i < states; i++) {
    live_and_die();
    if (i == states / 4)
      early = resident_pages();
  }
  const long late = resident_pages();
  CHECK(live == 0, "%zu bytes are left", live);
  CHECK(late <= early + early / 50 + 32, "%ld pages, then %ld", early, late);
  return report();
}
