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

/* --- The C module ------------------------------------------------------------------ */

static void make_core(lua_State *L) {
  lua_settop(L, 0);
  lua_newtable(L);  // MODULE
  lua_newtable(L);  // METHODS
  bind_open_context(L);
  bind_open_names(L);
  bind_open_nested(L);
  bind_open_shape(L);
  bind_open_operation(L);
  bind_open_ctc(L);
  bind_open_window(L);
  bind_open_finite(L);
  bind_open_delta(L);
  bind_open_recurrent(L);
  bind_open_tensor(L);  // after the functions that its operators are
  bind_open_tape(L);
  bind_open_own(L);
  bind_open_generator(L);
  bind_open_session(L);
  bind_open_update(L);
  bind_open_file(L);
  bind_open_container(L);
  bind_open_number(L);
  bind_open_json(L);
  bind_open_text(L);
  bind_open_wire(L);
  bind_open_profile(L);
  bind_open_record(L);
  bind_open_program(L);
  bind_open_host(L);
  lua_settop(L, BIND_MODULE);
}

/* The module is made once for each state, however often it is opened. */
static int open_core(lua_State *L) {
  luaL_checkversion(L);
  if (bind_push_binding(L) != NULL &&
      lua_getiuservalue(L, -1, BIND_MODULE_VALUE) == LUA_TTABLE)
    return 1;
  binding *state = bind_make_binding(L);
  saros_set_interrupt(state->context, bind_ask_hook, state);
  make_core(L);
  bind_push_binding(L);
  lua_pushvalue(L, BIND_MODULE);
  lua_setiuservalue(L, -2, BIND_MODULE_VALUE);
  lua_settop(L, BIND_MODULE);
  return 1;
}

/* --- The Lua modules ---------------------------------------------------------------- */

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

/* Our modules; any other by the 'require' of the state, if it has one. Upvalue:
** the environment. */
static int own_require(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const saros_lua_module *module = bind_find_library_module(name);
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
  char message[200];
  if (saros_check_build(version, real_size, message, sizeof message) !=
      SAROS_OK)
    luaL_error(L, "saros: %s", message);
}

void saros_open_without(lua_State *L, int without, int version,
                        size_t real_size) {
  saros_check_host(L, version, real_size);
  luaL_requiref(L, CORE, open_core, 0);
  saros_context *context = bind_find_binding(L)->context;
  if (saros_restrict(context, without) != SAROS_OK)
    luaL_error(L, "saros: %s", saros_error(context));
  lua_pop(L, 1);
  luaL_requiref(L, "saros", luaopen_saros, 0);
}

int luaopen_saros(lua_State *L) {
  const saros_lua_module *module = bind_find_library_module("saros");
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
