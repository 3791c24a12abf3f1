/*
** Misspelt names in messages: functions for the Lua modules, and the error for a
** method that a type does not have.
*/
#include "binding.h"

/* nearest(name, known): the name in a list, or among the keys of a table, that
** a typing error turns into this one; nil if there is none. */
static int names_nearest(lua_State *L) {
  bind_check_table(L, 2);
  const char *nearest = bind_nearest_name(L, bind_check_text(L, 1), 2, 0);
  lua_pushstring(L, nearest);  // or nil
  return 1;
}

/* hint(name, known): "; did you mean 'hidden'?", or "" without such a name. */
static int names_hint(lua_State *L) {
  bind_check_table(L, 2);
  bind_push_hint(L, 1, 2);
  return 1;
}

int bind_missing_method(lua_State *L, const char *type, int name, int methods) {
  const char *hint = bind_push_hint(L, name, methods);
  const char *got = bind_push_description(L, name);
  return bind_failure(L, "%s: expected the name of a method, got %s%s", type,
                      got, hint);
}

/* The __index of a table of methods; the extra upvalue is the type's name. */
static int methods_index(lua_State *L) {
  bind_check_table(L, 1);
  lua_settop(L, 2);
  return bind_missing_method(
      L, lua_tostring(L, lua_upvalueindex(BIND_EXTRA_UPVALUE)), 2, 1);
}

void bind_check_methods(lua_State *L, const char *type) {
  lua_createtable(L, 0, 1);
  lua_pushstring(L, type);
  bind_push_function(L, "index", methods_index);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
}

void bind_register_type(lua_State *L, bind_box_type type,
                        const luaL_Reg *metamethods, const luaL_Reg *methods) {
  bind_push_metatable(L, type, metamethods);
  lua_newtable(L);
  bind_register_functions(L, lua_gettop(L), methods);
  bind_check_methods(L, bind_box_name(type));
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  lua_remove(L, -2);
}

static const luaL_Reg functions[] = {
    {"nearest", names_nearest},
    {"hint", names_hint},
    {NULL, NULL},
};

void bind_open_names(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
}
