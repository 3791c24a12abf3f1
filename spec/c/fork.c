/*
** A process that forks after it has worked with several threads: the child has no
** threads but its own, starts others when it needs them, and computes what its
** parent computes; both end. And a process that waits takes no processor.
*/
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "saros.h"

enum { DIGEST = 17, PATIENCE = 120 };

static const char begin[] =
    "saros.threads(3)\n"
    "net = saros.nn.lstm { 64, 96, layers = 2, dropout = 0.2 }:init { seed = 1 "
    "}\n"
    "adam = saros.optim.adam(net:parameters(), { lr = 1e-3 })\n"
    "x = saros.generator(1):normal { 12, 70, 64 }\n"
    "function train(updates)\n"
    "  for _ = 1, updates do\n"
    "    local tape <close> = saros.tape()\n"
    "    tape:backward((net(x)):sum())\n"
    "    adam:step()\n"
    "  end\n"
    "  return (net(x)):digest()\n"
    "end\n"
    "return train(2)\n";

static void run(lua_State *L, const char *script, char *digest) {
  int status = luaL_dostring(L, script);
  CHECK(status == LUA_OK, "%s", lua_tostring(L, -1));
  snprintf(digest, DIGEST, "%s", lua_tostring(L, -1));
  lua_settop(L, 0);
}

/* Trains on, with other numbers of threads too, and tells what came out. */
static int child(lua_State *L, int to) {
  char digest[DIGEST];
  alarm(PATIENCE);
  run(L,
      "local first = train(2)\n"
      "saros.threads(2)\n"
      "saros.sigmoid(saros.zeros(400, 400))\n"
      "return first",
      digest);
  lua_close(L);
  return write(to, digest, DIGEST) == DIGEST && checks_failed == 0 ? 0 : 1;
}

/* What a child made of this state says; and how it ended. */
static int fork_child(lua_State *L, char *digest) {
  int ends[2], status = -1;
  CHECK(pipe(ends) == 0, "a pipe");
  const pid_t process = fork();
  if (process == 0)
    _exit(child(L, ends[1]));
  close(ends[1]);
  CHECK(read(ends[0], digest, DIGEST) == DIGEST, "the child says a digest");
  close(ends[0]);
  waitpid(process, &status, 0);
  return status;
}

static double processor_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void check_idle(void) {
  nanosleep(&(struct timespec){0, 300000000}, NULL);  // what spins gives up
  const double before = processor_time();
  nanosleep(&(struct timespec){0, 300000000}, NULL);
  const double taken = processor_time() - before;
  CHECK(taken < 0.03, "0.3 s of waiting took %g s of processors", taken);
}

int main(void) {
  char first[DIGEST], of_child[DIGEST] = "", of_second[DIGEST] = "",
                      of_parent[DIGEST];
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  saros_open(L, SAROS_NO_FILES);
  lua_setglobal(L, "saros");
  run(L, begin, first);
  CHECK(fork_child(L, of_child) == 0, "the child ends");
  CHECK(fork_child(L, of_second) == 0, "a second child ends");
  run(L, "return train(2)", of_parent);
  CHECK(strcmp(first, of_parent) != 0, "training changes the net");
  CHECK(strcmp(of_child, of_parent) == 0, "the child has %s, the parent %s",
        of_child, of_parent);
  CHECK(strcmp(of_second, of_parent) == 0, "the second child has %s, not %s",
        of_second, of_parent);
  check_idle();
  lua_close(L);
  return report();
}
