/*
** What Lua's collector must know about tensors.
*/
#include "binding.h"

int bind_collect(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
  saros_trim(bind_context_of(L));
  return 1;
}

/* A whole cycle of the collector is due when the bytes that it may find to be
** garbage have grown by this much since the last one ended, or by a quarter,
** whichever is more. */
#define CYCLE_BYTES (4.0 * 1024 * 1024)

/* A step of the collector goes over this many kilobytes, or more. */
#define STEP_KILOBYTES 400.0

/* What the tape holds stays, whatever the collector does. */
static double collectable(const saros_context *context) {
  saros_memory memory = saros_memory_of(context);
  return (double)memory.in_use - (double)memory.taped;
}

/* How far the collectable bytes may rise between two cycles. */
static double growth(double bytes) {
  return bytes / 4 > CYCLE_BYTES ? bytes / 4 : CYCLE_BYTES;
}

/* A whole cycle, if the collector is in generational mode: leaving that mode
** and entering it again is one. Its own steps look at young objects only. */
static int collect_generational(lua_State *L) {
  if (lua_gc(L, LUA_GCINC, 0, 0, 0) != LUA_GCGEN)
    return 0;
  lua_gc(L, LUA_GCGEN, 0, 0);
  return 1;
}

/* So many steps in incremental mode; 1 if they end the cycle. */
static int collect_steps(lua_State *L, double steps) {
  while (steps-- > 0)
    if (lua_gc(L, LUA_GCSTEP, 0) == 1)
      return 1;
  return 0;
}

/*
** To the collector a tensor of ten megabytes looks like a pointer, so it would
** let gigabytes of them wait. What it may collect is counted here; when that has
** grown enough, each new tensor pays for so many steps of the collector that the
** cycle ends before as much has been made again. A small heap, as training
** scripts have, is done in a step or two. What a large window has left goes at
** once, in a cycle that begins now: it would be needed beside the next one. A
** heap larger than all tensors is not gone over for that.
*/
int bind_tell_collector(lua_State *L, size_t bytes) {
  binding *state = bind_binding_of(L);
  saros_context *context = state->context;
  double now = collectable(context);
  if (now <= state->collect_above || lua_gc(L, LUA_GCISRUNNING) <= 0)
    return 1;
  double cycle = 1 + lua_gc(L, LUA_GCCOUNT) / STEP_KILOBYTES;
  double steps = 1 + cycle * (double)bytes / growth(now);
  int at_once = state->cycle_due && lua_gc(L, LUA_GCCOUNT) * 1024.0 <= now;
  if (at_once)
    lua_gc(L, LUA_GCCOLLECT);
  if (at_once || collect_generational(L) || collect_steps(L, steps)) {
    now = collectable(context);
    state->collect_above = now + growth(now);
    state->cycle_due = 0;
  }
  return 1;
}

void bind_tell_collector_of_release(lua_State *L) {
  binding *state = bind_binding_of(L);
  double due = collectable(state->context);
  if (!state->cycle_due)
    due += growth(due);
  if (due < state->collect_above)
    state->collect_above = due;
}

void bind_tell_collector_of_tape(lua_State *L, size_t taped) {
  if ((double)taped >= CYCLE_BYTES)
    bind_tell_collector_of_rest(L);
  else
    bind_tell_collector_of_release(L);
}

void bind_tell_collector_of_rest(lua_State *L) {
  bind_binding_of(L)->cycle_due = 1;
  bind_tell_collector_of_release(L);
}
