/*
** Opens the toolkit in a Lua state: the C module "saros.core", whose table is
** left in package.loaded, the Lua modules that are compiled into the library,
** which go to package.preload, and the public table, which init.lua makes.
*/
#include <lualib.h>
#include <string.h>

#include "binding.h"
#include "modules.h"

#undef luaopen_saros  // the function itself, not the check that hosts call

#define CORE "saros.core"

/* Its address is the key of the binding in the registry. */
static const char binding_key = 0;

/* --- The binding ---------------------------------------------------------------- */

/* The last finalizer of the state. Objects whose own finalizer Lua had to skip,
** for want of memory to call it, go with the context. */
static int binding_gc(lua_State *L) {
  binding *state = lua_touserdata(L, 1);
  saros_context *context = state->context;
  state->context = NULL;
  saros_context_destroy(context);
  return 0;
}

/*
** Pushes a new binding, kept in the registry. It is marked for finalization
** before any object, so it is finalized after them.
*/
static void push_binding(lua_State *L) {
  void *user;
  lua_Alloc allocator = lua_getallocf(L, &user);
  binding *state = lua_newuserdatauv(L, sizeof *state, INTERRUPT_VALUE);
  memset(state, 0, sizeof *state);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, binding_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &binding_key);
  state->context = saros_context_new(allocator, user);
  if (state->context == NULL)
    luaL_error(L, "saros: not enough memory");
  saros_set_index_base(state->context, 1);
  saros_set_interrupt(state->context, ask_hook, state);
}

binding *find_binding(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &binding_key);
  binding *state = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return state;
}

/* --- Registration ----------------------------------------------------------------- */

void push_function(lua_State *L, const char *name, lua_CFunction function) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &binding_key);
  lua_pushstring(L, strncmp(name, "__", 2) == 0 ? name + 2 : name);
  lua_rotate(L, -3, 2);
  lua_pushcclosure(L, function, EXTRA_UPVALUE);
}

void register_functions(lua_State *L, int table, const luaL_Reg *list) {
  for (; list->name != NULL; list++) {
    lua_pushnil(L);
    push_function(L, list->name, list->func);
    lua_setfield(L, table, list->name);
  }
}

/* The function on top, popped, in the module and among the methods. */
static void share(lua_State *L, const char *name) {
  lua_pushvalue(L, -1);
  lua_setfield(L, MODULE, name);
  lua_setfield(L, METHODS, name);
}

void register_shared(lua_State *L, const luaL_Reg *list) {
  for (; list->name != NULL; list++) {
    lua_pushnil(L);
    push_function(L, list->name, list->func);
    share(L, list->name);
  }
}

void register_coded(lua_State *L, const char *name, lua_CFunction function,
                    int code) {
  lua_pushinteger(L, code);
  push_function(L, name, function);
  share(L, name);
}

void push_metatable(lua_State *L, box_type type, const luaL_Reg *metamethods) {
  binding *state = find_binding(L);
  lua_newtable(L);
  const void *address = lua_topointer(L, -1);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, address);
  state->metatables[type] = address;
  lua_pushfstring(L, "saros.%s", box_name(type));
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__name");
  lua_setfield(L, -2, "__metatable");
  register_functions(L, lua_gettop(L), metamethods);
  lua_getfield(L, -1, "__gc");
  lua_setfield(L, -2, "__close");
}

void register_type(lua_State *L, box_type type, const luaL_Reg *metamethods,
                   const luaL_Reg *methods) {
  push_metatable(L, type, metamethods);
  lua_newtable(L);
  register_functions(L, lua_gettop(L), methods);
  check_methods(L, box_name(type));
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  lua_remove(L, -2);
}

/* --- The C module ------------------------------------------------------------------ */

static void make_core(lua_State *L) {
  lua_settop(L, 0);
  lua_newtable(L);  // MODULE
  lua_newtable(L);  // METHODS
  open_context(L);
  open_names(L);
  open_nested(L);
  open_shape(L);
  open_operation(L);
  open_ctc(L);
  open_recurrent(L);
  open_tensor(L);  // after the functions that its operators are
  open_tape(L);
  open_generator(L);
  open_session(L);
  open_update(L);
  open_file(L);
  open_number(L);
  open_json(L);
  open_text(L);
  open_profile(L);
  lua_settop(L, MODULE);
}

/* The module is made once for each state, however often it is opened. */
static int open_core(lua_State *L) {
  luaL_checkversion(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &binding_key) == LUA_TUSERDATA &&
      lua_getiuservalue(L, -1, MODULE_VALUE) == LUA_TTABLE)
    return 1;
  push_binding(L);
  make_core(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &binding_key);
  lua_pushvalue(L, MODULE);
  lua_setiuservalue(L, -2, MODULE_VALUE);
  lua_settop(L, MODULE);
  return 1;
}

/* --- The Lua modules ---------------------------------------------------------------- */

int is_library_chunk(const char *source) {
  const saros_lua_module *module = saros_lua_modules;
  while (module->name != NULL && strcmp(module->chunk, source) != 0)
    module++;
  return module->name != NULL;
}

static int own_require(lua_State *L);

/* Pushes the environment that the modules are loaded in: the globals, a
** 'require' that scripts cannot take away, and utf8, which a host may not have
** opened. */
static void push_environment(lua_State *L) {
  lua_createtable(L, 0, 2);
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, own_require, 1);
  lua_setfield(L, -2, "require");
  luaL_requiref(L, LUA_UTF8LIBNAME, luaopen_utf8, 0);
  lua_setfield(L, -2, LUA_UTF8LIBNAME);
  lua_createtable(L, 0, 1);
  lua_pushglobaltable(L);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
}

/*
** Upvalues: the module, and the environment. A state has one of each module,
** whatever becomes of its package.loaded. Once it is loaded, its functions see
** the globals themselves, which is quicker, if they find all that they need.
*/
static int load_module(lua_State *L) {
  const saros_lua_module *module = lua_touserdata(L, lua_upvalueindex(1));
  lua_settop(L, 0);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, module) != LUA_TNIL)
    return 1;
  if (luaL_loadbufferx(L, module->source, module->size, module->chunk, "t") !=
      LUA_OK)
    return lua_error(L);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setupvalue(L, 2, 1);
  lua_pushvalue(L, 2);
  lua_pushstring(L, module->name);
  lua_call(L, 1, 1);
  lua_pushglobaltable(L);
  if (lua_getfield(L, -1, LUA_UTF8LIBNAME) == LUA_TTABLE) {
    lua_pushvalue(L, -2);
    lua_setupvalue(L, 2, 1);
  }
  lua_settop(L, 3);
  lua_pushvalue(L, 3);
  lua_rawsetp(L, LUA_REGISTRYINDEX, module);
  return 1;
}

/* Pushes the loader of a module; the environment is at that index. */
static void push_loader(lua_State *L, const saros_lua_module *module,
                        int environment) {
  lua_pushlightuserdata(L, (void *)module);
  lua_pushvalue(L, environment);
  lua_pushcclosure(L, load_module, 2);
}

static const saros_lua_module *find_module(const char *name) {
  const saros_lua_module *module = saros_lua_modules;
  while (module->name != NULL && strcmp(module->name, name) != 0)
    module++;
  return module->name != NULL ? module : NULL;
}

/* Our modules; any other by the 'require' of the state, if it has one. Upvalue:
** the environment. */
static int own_require(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const saros_lua_module *module = find_module(name);
  lua_settop(L, 1);
  if (module != NULL)
    push_loader(L, module, lua_upvalueindex(1));
  else if (strcmp(name, CORE) == 0)
    lua_pushcfunction(L, open_core);
  else if (lua_getglobal(L, "require") != LUA_TFUNCTION)
    return luaL_error(L, "module '%s' not found", name);
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* Every module into package.preload, if there is a package.preload. */
static void preload_modules(lua_State *L, int environment) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open_core);
  lua_setfield(L, -2, CORE);
  for (const saros_lua_module *m = saros_lua_modules; m->name != NULL; m++) {
    push_loader(L, m, environment);
    lua_setfield(L, -2, m->name);
  }
  lua_pop(L, 1);
}

void saros_check_host(lua_State *L, int version, size_t real_size) {
  char message[160];
  if (saros_check_build(version, real_size, message, sizeof message) !=
      SAROS_OK)
    luaL_error(L, "saros: %s", message);
}

void saros_open_without(lua_State *L, int without, int version,
                        size_t real_size) {
  saros_check_host(L, version, real_size);
  luaL_requiref(L, CORE, open_core, 0);
  saros_context *context = find_binding(L)->context;
  if (saros_restrict(context, without) != SAROS_OK)
    luaL_error(L, "saros: %s", saros_error(context));
  lua_pop(L, 1);
  luaL_requiref(L, "saros", luaopen_saros, 0);
}

int luaopen_saros(lua_State *L) {
  const saros_lua_module *module = find_module("saros");
  lua_settop(L, 0);
  luaL_requiref(L, CORE, open_core, 0);
  push_environment(L);
  int environment = lua_gettop(L);
  preload_modules(L, environment);
  if (module == NULL)
    return luaL_error(L, "saros: no Lua modules built in");
  push_loader(L, module, environment);
  lua_call(L, 0, 1);
  return 1;
}
