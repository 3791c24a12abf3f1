/*
** The context of a Lua state, boxes that hold objects of the core, and what
** the collector must know about them.
*/
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "binding.h"

binding *binding_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(BINDING_UPVALUE));
}

saros_context *context_of(lua_State *L) {
  saros_context *context = binding_of(L)->context;
  if (context == NULL)
    failure(L, "%s: expected an open Lua state, got one that is closing",
            function_name(L));
  return context;
}

int is_profiled(lua_State *L) {
  const saros_context *context = binding_of(L)->context;
  return context != NULL && saros_is_profiling(context);
}

int enter_core(lua_State *L) {
  binding *state = binding_of(L);
  state->caller = L;
  state->waiting_since = 0;
  return is_profiled(L);
}

void leave_core(lua_State *L, int profiled) {
  binding_of(L)->caller = NULL;
  if (profiled)
    saros_profile_leave(context_of(L), 0);
}

int raise(lua_State *L) {
  if (binding_of(L)->interrupted)
    return raise_interrupt(L);
  return failure(L, "%s", saros_error(context_of(L)));
}

int return_file_error(lua_State *L, saros_status status) {
  if (status != SAROS_EFILE)
    return raise(L);
  lua_pushnil(L);
  lua_pushstring(L, saros_error(context_of(L)));
  return 2;
}

int collect(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
  saros_trim(context_of(L));
  return 1;
}

/* --- The collector ----------------------------------------------------------------- */

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
int tell_collector(lua_State *L, size_t bytes) {
  binding *state = binding_of(L);
  saros_context *context = context_of(L);
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

void tell_collector_of_release(lua_State *L) {
  binding *state = binding_of(L);
  double due = collectable(state->context);
  if (!state->cycle_due)
    due += growth(due);
  if (due < state->collect_above)
    state->collect_above = due;
}

void tell_collector_of_tape(lua_State *L, size_t taped) {
  if ((double)taped >= CYCLE_BYTES)
    tell_collector_of_rest(L);
  else
    tell_collector_of_release(L);
}

void tell_collector_of_rest(lua_State *L) {
  binding_of(L)->cycle_due = 1;
  tell_collector_of_release(L);
}

/* --- Boxes -------------------------------------------------------------------------- */

void *push_box(lua_State *L, box_type type) {
  size_t size = type == OWNER ? sizeof(owner) : sizeof(void *);
  int values = type == SESSION ? SESSION_IDS : 0;
  void *box = memset(lua_newuserdatauv(L, size, values), 0, size);
  lua_rawgetp(L, LUA_REGISTRYINDEX, binding_of(L)->metatables[type]);
  lua_setmetatable(L, -2);
  return box;
}

void *box_at(lua_State *L, int index, const binding *state, box_type type) {
  void *box = lua_touserdata(L, index);
  if (box == NULL || state->context == NULL || !lua_getmetatable(L, index))
    return NULL;
  int same = lua_topointer(L, -1) == state->metatables[type];
  lua_pop(L, 1);
  return same ? box : NULL;
}

void *to_box(lua_State *L, int index, box_type type) {
  return box_at(L, index, binding_of(L), type);
}

const char *box_name(box_type type) {
  static const char *const names[BOX_TYPES] = {"tensor",    "tape",    "pause",
                                               "generator", "session", "codec",
                                               "tokens",    "owner"};
  return names[type];
}

void *check_box(lua_State *L, int arg, box_type type) {
  void **box = to_box(L, arg, type);
  if (box == NULL) {
    char expected[32];
    snprintf(expected, sizeof expected, "a %s", box_name(type));
    argument_error(L, arg, expected);
  } else if (*box == NULL)
    failure(L, "%s: expected a live %s, got a closed one", function_name(L),
            box_name(type));
  return box;
}

/* --- Owners ------------------------------------------------------------------------ */

owner *push_owner(lua_State *L, void (*release)(void *object)) {
  owner *box = push_box(L, OWNER);
  box->release = release;
  return box;
}

void owner_release(owner *box) {
  void *object = box->object;
  box->object = NULL;
  if (object != NULL)
    box->release(object);
}

static int owner_gc(lua_State *L) {
  owner *box = to_box(L, 1, OWNER);
  if (box != NULL)
    owner_release(box);
  return 0;
}

/* --- Functions about the context ------------------------------------------------ */

static void set_text(lua_State *L, const char *name, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

static void set_count(lua_State *L, const char *name, size_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static int context_info(lua_State *L) {
  saros_build build = saros_info(context_of(L));
  lua_newtable(L);
  set_text(L, "version", build.version);
  set_text(L, "real", build.real);
  set_text(L, "isa", build.isa);
  set_text(L, "blas", build.blas);
  set_count(L, "threads", (size_t)build.threads);
  return 1;
}

static int context_memory(lua_State *L) {
  saros_memory memory = saros_memory_of(context_of(L));
  lua_newtable(L);
  set_count(L, "in_use", memory.in_use);
  set_count(L, "taped", memory.taped);
  set_count(L, "peak", memory.peak);
  set_count(L, "recent", memory.recent);
  set_count(L, "pooled", memory.pooled);
  return 1;
}

static int context_block_bytes(lua_State *L) {
  lua_Integer bytes = check_integer(L, 1, 0, (lua_Integer)1 << 50,
                                    "a number of bytes, up to 2^50");
  lua_pushinteger(L, (lua_Integer)saros_block_bytes((size_t)bytes));
  return 1;
}

/* trace(true, times) begins, trace() marks, trace(false) ends: the events. */
static int context_trace(lua_State *L) {
  const int64_t *events = NULL;
  size_t count = 0;
  lua_settop(L, 2);
  double times = opt_number(L, 2, 1);
  if (lua_isnil(L, 1)) {
    saros_trace_mark(context_of(L));
    return 0;
  }
  if (opt_flag(L, 1, 0)) {
    RUN(L, saros_trace_start(context_of(L), times));
    return 0;
  }
  RUN(L, saros_trace_stop(context_of(L), &events, &count));
  lua_createtable(L, (int)(count < INT_MAX ? count : INT_MAX), 0);
  for (size_t i = 0; i < count; i++) {
    lua_pushinteger(L, events[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int context_trace_rows(lua_State *L) {
  lua_pushnumber(L, saros_trace_rows(context_of(L), check_number(L, 1)));
  return 1;
}

static int context_mark_memory(lua_State *L) {
  saros_mark_memory(context_of(L));
  return 0;
}

static int context_collect_soon(lua_State *L) {
  tell_collector_of_rest(L);
  return 0;
}

/* True if a function is written with a colon: its first parameter is self. */
static int context_is_method(lua_State *L) {
  lua_settop(L, 1);
  if (!lua_isfunction(L, 1))
    argument_error(L, 1, "a function");
  const char *first = lua_getlocal(L, NULL, 1);
  lua_pushboolean(L, first != NULL && strcmp(first, "self") == 0);
  return 1;
}

static int context_trim(lua_State *L) {
  saros_trim(context_of(L));
  return 0;
}

static int context_threads(lua_State *L) {
  saros_context *context = context_of(L);
  if (!lua_isnoneornil(L, 1)) {
    int threads = (int)check_integer(L, 1, 1, 256, "1..256 threads");
    RUN(L, saros_set_threads(context, threads));
  }
  lua_pushinteger(L, saros_info(context).threads);
  return 1;
}

/* From here on, do results of operations have to be finite? */
static int context_watch_finite(lua_State *L) {
  if (lua_type(L, 1) != LUA_TBOOLEAN)
    argument_error(L, 1, "true or false");
  binding_of(L)->watches_finite = lua_toboolean(L, 1);
  return 0;
}

double clock_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int context_clock(lua_State *L) {
  lua_pushnumber(L, clock_seconds());
  return 1;
}

/* The file of Lua's io that is argument 1; null if it is closed. */
static FILE *check_file(lua_State *L) {
  luaL_Stream *stream = luaL_testudata(L, 1, LUA_FILEHANDLE);
  if (stream == NULL)
    argument_error(L, 1, "a file");
  return stream->closef != NULL ? stream->f : NULL;
}

static int context_is_terminal(lua_State *L) {
  FILE *file = check_file(L);
  lua_pushboolean(L, file != NULL && isatty(fileno(file)));
  return 1;
}

/* The columns of the terminal that a file is; nil if it has none. */
static int context_terminal_width(lua_State *L) {
  struct winsize size;
  FILE *file = check_file(L);
  if (file != NULL && ioctl(fileno(file), TIOCGWINSZ, &size) == 0 &&
      size.ws_col > 0)
    lua_pushinteger(L, size.ws_col);
  else
    lua_pushnil(L);
  return 1;
}

static int context_caller(lua_State *L) {
  push_culprit(L);
  return 1;
}

static const luaL_Reg owner_metamethods[] = {{"__gc", owner_gc}, {NULL, NULL}};

static const luaL_Reg context_functions[] = {
    {"info", context_info},
    {"memory", context_memory},
    {"block_bytes", context_block_bytes},
    {"mark_memory", context_mark_memory},
    {"is_method", context_is_method},
    {"collect_soon", context_collect_soon},
    {"trace", context_trace},
    {"trace_rows", context_trace_rows},
    {"trim", context_trim},
    {"threads", context_threads},
    {"watch_finite", context_watch_finite},
    {"clock", context_clock},
    {"is_terminal", context_is_terminal},
    {"terminal_width", context_terminal_width},
    {"caller", context_caller},
    {NULL, NULL},
};

void open_context(lua_State *L) {
  push_metatable(L, OWNER, owner_metamethods);
  lua_pop(L, 1);
  register_functions(L, MODULE, context_functions);
}
