/*
** Functions about the context of a Lua state: its memory, its threads, what is
** asked of its results.
*/
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "binding.h"

static void set_text(lua_State *L, const char *name, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

static void set_count(lua_State *L, const char *name, size_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

/* The names of the instruction sets that SAROS_ISA may be. */
static void set_isas(lua_State *L) {
  const char *name;
  lua_newtable(L);
  for (int i = 0; (name = saros_isa(i)) != NULL; i++) {
    lua_pushstring(L, name);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "isas");
}

/* Bytes of the caches that the system tells of. */
static void set_caches(lua_State *L, const saros_build *build) {
  static const char *const names[] = {"l1", "l2", "l3"};
  lua_newtable(L);
  for (int level = 0; level < 3; level++)
    if (build->cache[level] > 0)
      set_count(L, names[level], build->cache[level]);
  lua_setfield(L, -2, "caches");
}

/* How large products are cut. */
static void set_products(lua_State *L, const saros_build *build) {
  lua_newtable(L);
  set_count(L, "columns", (size_t)build->packed_columns);
  set_count(L, "depth", (size_t)build->packed_depth);
  set_count(L, "ahead", build->fetched_ahead);
  lua_setfield(L, -2, "products");
}

static int context_info(lua_State *L) {
  saros_build build = saros_info(bind_context_of(L));
  lua_newtable(L);
  set_text(L, "version", build.version);
  set_text(L, "real", build.real);
  set_text(L, "isa", build.isa);
  set_isas(L);
  set_text(L, "blas", build.blas);
  set_count(L, "threads", (size_t)build.threads);
  set_count(L, "exact_outputs", (size_t)build.exact_outputs);
  set_caches(L, &build);
  set_products(L, &build);
  return 1;
}

static int context_memory(lua_State *L) {
  saros_memory memory = saros_memory_of(bind_context_of(L));
  lua_newtable(L);
  set_count(L, "in_use", memory.in_use);
  set_count(L, "taped", memory.taped);
  set_count(L, "peak", memory.peak);
  set_count(L, "recent", memory.recent);
  set_count(L, "pooled", memory.pooled);
  return 1;
}

static int context_block_bytes(lua_State *L) {
  lua_Integer bytes = bind_check_integer(L, 1, 0, (lua_Integer)1 << 50,
                                         "a number of bytes, up to 2^50");
  lua_pushinteger(L, (lua_Integer)saros_block_bytes((size_t)bytes));
  return 1;
}

/* trace(true, times) begins, trace() marks, trace(false) ends: the events. */
static int context_trace(lua_State *L) {
  const int64_t *events = NULL;
  size_t count = 0;
  lua_settop(L, 2);
  double times = bind_opt_number(L, 2, 1);
  if (lua_isnil(L, 1)) {
    saros_trace_mark(bind_context_of(L));
    return 0;
  }
  if (bind_opt_flag(L, 1, 0)) {
    BIND_RUN(L, saros_trace_start(bind_context_of(L), times));
    return 0;
  }
  BIND_RUN(L, saros_trace_stop(bind_context_of(L), &events, &count));
  lua_createtable(L, (int)(count < INT_MAX ? count : INT_MAX), 0);
  for (size_t i = 0; i < count; i++) {
    lua_pushinteger(L, events[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int context_trace_rows(lua_State *L) {
  lua_pushnumber(L,
                 saros_trace_rows(bind_context_of(L), bind_check_number(L, 1)));
  return 1;
}

static int context_mark_memory(lua_State *L) {
  saros_mark_memory(bind_context_of(L));
  return 0;
}

static int context_collect_soon(lua_State *L) {
  bind_tell_collector_of_rest(L);
  return 0;
}

/* True if a function is written with a colon: its first parameter is self. */
static int context_is_method(lua_State *L) {
  lua_settop(L, 1);
  if (!lua_isfunction(L, 1))
    bind_argument_error(L, 1, "a function");
  const char *first = lua_getlocal(L, NULL, 1);
  lua_pushboolean(L, first != NULL && strcmp(first, "self") == 0);
  return 1;
}

static int context_trim(lua_State *L) {
  saros_trim(bind_context_of(L));
  return 0;
}

static int context_threads(lua_State *L) {
  saros_context *context = bind_context_of(L);
  if (!lua_isnoneornil(L, 1)) {
    int threads = (int)bind_check_integer(L, 1, 1, 256, "1..256 threads");
    BIND_RUN(L, saros_set_threads(context, threads));
  }
  lua_pushinteger(L, saros_info(context).threads);
  return 1;
}

/* precision(kind): from here on, that of large products. The one before. */
static int context_precision(lua_State *L) {
  static const char *const names[SAROS_PRECISIONS] = {"real", "bf16", "int8"};
  saros_context *context = bind_context_of(L);
  lua_settop(L, 1);
  lua_pushstring(L, names[saros_precision_of(context)]);
  if (lua_isnil(L, 1))
    return 1;
  int kind = 0;
  while (kind < SAROS_PRECISIONS &&
         (lua_type(L, 1) != LUA_TSTRING ||
          strcmp(lua_tostring(L, 1), names[kind]) != 0))
    kind++;
  if (kind == SAROS_PRECISIONS)
    bind_argument_error(L, 1, "\"real\", \"bf16\" or \"int8\"");
  BIND_RUN(L, saros_set_precision(context, (saros_precision)kind));
  return 1;
}

/* From here on, do results of operations have to be finite? */
static int context_watch_finite(lua_State *L) {
  if (lua_type(L, 1) != LUA_TBOOLEAN)
    bind_argument_error(L, 1, "true or false");
  bind_binding_of(L)->watches_finite = lua_toboolean(L, 1);
  return 0;
}

static int context_clock(lua_State *L) {
  lua_pushnumber(L, bind_clock_seconds());
  return 1;
}

/* The file of Lua's io that is argument 1; null if it is closed. */
static FILE *check_file(lua_State *L) {
  luaL_Stream *stream = luaL_testudata(L, 1, LUA_FILEHANDLE);
  if (stream == NULL)
    bind_argument_error(L, 1, "a file");
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
  bind_push_culprit(L);
  return 1;
}

/* True if argument 1 is a function of Lua that a script has written. */
static int is_of_script(lua_State *L, lua_Debug *function) {
  if (!lua_isfunction(L, 1))
    bind_argument_error(L, 1, "a function");
  lua_pushvalue(L, 1);
  lua_getinfo(L, ">S", function);
  return strcmp(function->what, "C") != 0 &&
         !bind_is_library_chunk(function->source);
}

static int context_defined_at(lua_State *L) {
  lua_Debug function;
  if (!is_of_script(L, &function))
    return 0;
  lua_pushfstring(L, "%s:%d: ", function.short_src, function.linedefined);
  return 1;
}

/* upvalue(f, n): its name and value; with a third argument, that is set. */
static int context_upvalue(lua_State *L) {
  lua_Debug function;
  int n = bind_check_size(L, 2);
  if (!is_of_script(L, &function))
    return 0;
  if (!lua_isnone(L, 3)) {
    lua_settop(L, 3);
    lua_setupvalue(L, 1, n);
    return 0;
  }
  const char *name = lua_getupvalue(L, 1, n);
  if (name == NULL)
    return 0;
  lua_pushstring(L, name);
  lua_insert(L, -2);
  return 2;
}

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
    {"precision", context_precision},
    {"watch_finite", context_watch_finite},
    {"clock", context_clock},
    {"is_terminal", context_is_terminal},
    {"terminal_width", context_terminal_width},
    {"caller", context_caller},
    {"defined_at", context_defined_at},
    {"upvalue", context_upvalue},
    {NULL, NULL},
};

void bind_open_context(lua_State *L) {
  bind_register_owner(L);
  bind_register_functions(L, BIND_MODULE, context_functions);
}
