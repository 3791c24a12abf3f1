/*
** Hooks of the host in the middle of long work. A hook that counts instructions
** (lua_sethook with LUA_MASKCOUNT) is how hosts stop scripts, but while the core
** computes there are no instructions. So the core asks here between its blocks,
** and time stands for instructions: when a call of the core has taken as long as
** the hook's count of them, the hook is called, in the function that computes.
** What it raises ends the work, and is raised there.
**
** The core is mid-way then and has borrowed its arguments: while the hook runs,
** no object of the toolkit can be used or closed, and nothing is collected.
*/
#include <limits.h>
#include <time.h>

#include "binding.h"

/* Seconds that count as an instruction: about what one of Lua's takes. */
#define INSTRUCTION 1e-8

typedef struct host_hook {
  lua_Hook function;
  int mask, count;
} host_hook;

/* Calls the hook of argument 1; the function that computes is one level up. */
static int call_hook(lua_State *L) {
  const host_hook *hook = lua_touserdata(L, 1);
  lua_Debug call;
  lua_settop(L, 0);
  if (!lua_getstack(L, 1, &call))
    return 0;
  call.event = LUA_HOOKCOUNT;
  call.currentline = -1;
  hook->function(L, &call);
  return 0;
}

/* Takes the place of a hook while it runs: hooks do not call themselves. */
static void no_hook(lua_State *L, lua_Debug *call) {
  (void)L, (void)call;
}

/* Leaves the error of the hook on top, if it raises one. */
static int run_hook(lua_State *L) {
  host_hook hook = {lua_gethook(L), lua_gethookmask(L), lua_gethookcount(L)};
  if (hook.function == NULL)
    return LUA_OK;
  lua_sethook(L, no_hook, LUA_MASKCOUNT, INT_MAX);
  lua_pushcfunction(L, call_hook);
  lua_pushlightuserdata(L, &hook);
  int status = lua_pcall(L, 1, 0, 0);
  if (lua_gethook(L) == no_hook)  // else it has set another one
    lua_sethook(L, hook.function, hook.mask, hook.count);
  return status;
}

/* The same, with the toolkit closed to scripts and the collector at rest. */
static int run_hook_alone(lua_State *L, binding *state) {
  saros_context *context = state->context;
  int collects = lua_gc(L, LUA_GCISRUNNING) > 0;
  lua_gc(L, LUA_GCSTOP);
  state->context = NULL;
  int status = run_hook(L);
  state->context = context;
  if (collects)
    lua_gc(L, LUA_GCRESTART);
  return status;
}

double bind_clock_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Has the hook of L been waiting for as long as its count? It waits from the
** first question in a call of the core on. */
static int is_due(lua_State *L, binding *state) {
  double time = bind_clock_seconds();
  if (state->waiting_since > 0 &&
      time - state->waiting_since < lua_gethookcount(L) * INSTRUCTION)
    return 0;
  int is_first = state->waiting_since == 0;
  state->waiting_since = time;
  return !is_first;
}

int bind_ask_hook(void *user) {
  binding *state = user;
  lua_State *L = state->caller;
  if (L == NULL || !(lua_gethookmask(L) & LUA_MASKCOUNT) || !is_due(L, state) ||
      !lua_checkstack(L, LUA_MINSTACK))
    return 0;
  if (run_hook_alone(L, state) == LUA_OK)
    return 0;
  state->interrupted = 1;
  lua_setiuservalue(L, lua_upvalueindex(BIND_BINDING_UPVALUE),
                    BIND_INTERRUPT_VALUE);
  return 1;
}

int bind_raise_interrupt(lua_State *L) {
  bind_binding_of(L)->interrupted = 0;
  lua_getiuservalue(L, lua_upvalueindex(BIND_BINDING_UPVALUE),
                    BIND_INTERRUPT_VALUE);
  lua_pushnil(L);
  lua_setiuservalue(L, lua_upvalueindex(BIND_BINDING_UPVALUE),
                    BIND_INTERRUPT_VALUE);
  return lua_error(L);
}
