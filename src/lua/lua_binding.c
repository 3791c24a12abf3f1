/*
** The ground of the binding: where it is kept in a Lua state, boxes, and the
** functions and types that are registered. It calls nothing of the other files.
*/
#include <string.h>

#include "binding.h"

/* Its address is the key of the binding in the registry. */
static const char binding_key = 0;

/* --- The binding ----------------------------------------------------------- */

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
** Makes the binding, kept in the registry. It is marked for finalization
** before any object, so it is finalized after them.
*/
binding *bind_make_binding(lua_State *L) {
  void *user;
  saros_check_host(L, SAROS_VERSION_NUMBER, sizeof(saros_real));
  lua_Alloc allocator = lua_getallocf(L, &user);
  binding *state = lua_newuserdatauv(L, sizeof *state, BIND_VALUES);
  memset(state, 0, sizeof *state);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, binding_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &binding_key);
  state->context = saros_context_new(allocator, user);
  if (state->context == NULL)
    luaL_error(L, "saros: not enough memory");
  saros_set_index_base(state->context, 1);
  return state;
}

binding *bind_push_binding(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &binding_key);
  return lua_touserdata(L, -1);
}

binding *bind_find_binding(lua_State *L) {
  binding *state = bind_push_binding(L);
  lua_pop(L, 1);
  return state;
}

int bind_is_profiled(lua_State *L) {
  const saros_context *context = bind_binding_of(L)->context;
  return context != NULL && saros_is_profiling(context);
}

/* --- Boxes ----------------------------------------------------------------- */

void *bind_push_box(lua_State *L, bind_box_type type) {
  size_t size = type == BIND_OWNER ? sizeof(bind_owner) : sizeof(void *);
  int values =
      type == BIND_SESSION
          ? BIND_SESSION_FORM
          : type == BIND_RECORDING || type == BIND_TAPE || type == BIND_OWNER;
  void *box = memset(lua_newuserdatauv(L, size, values), 0, size);
  lua_rawgetp(L, LUA_REGISTRYINDEX, bind_binding_of(L)->metatables[type]);
  lua_setmetatable(L, -2);
  return box;
}

void *bind_box_at(lua_State *L, int index, const binding *state,
                  bind_box_type type) {
  void *box = lua_touserdata(L, index);
  if (box == NULL || state->context == NULL || !lua_getmetatable(L, index))
    return NULL;
  int same = lua_topointer(L, -1) == state->metatables[type];
  lua_pop(L, 1);
  return same ? box : NULL;
}

void *bind_to_box(lua_State *L, int index, bind_box_type type) {
  return bind_box_at(L, index, bind_binding_of(L), type);
}

saros_tensor *bind_to_tensor(lua_State *L, int index) {
  saros_tensor **box = bind_to_box(L, index, BIND_TENSOR);
  return box != NULL ? *box : NULL;
}

const char *bind_box_name(bind_box_type type) {
  static const char *const names[BIND_BOX_TYPES] = {
      "tensor", "tape", "pause",     "generator", "session",   "codec",
      "tokens", "wire", "recording", "program",   "container", "owner"};
  return names[type];
}

/* --- Owners ---------------------------------------------------------------- */

bind_owner *bind_push_owner(lua_State *L, void (*release)(void *object)) {
  bind_owner *box = bind_push_box(L, BIND_OWNER);
  box->release = release;
  return box;
}

void bind_owner_release(bind_owner *box) {
  void *object = box->object;
  box->object = NULL;
  if (object != NULL)
    box->release(object);
}

static int owner_gc(lua_State *L) {
  bind_owner *box = bind_to_box(L, 1, BIND_OWNER);
  if (box != NULL)
    bind_owner_release(box);
  return 0;
}

/* --- Registration ---------------------------------------------------------- */

/* A place in the binding, not a value of Lua: it takes one call of Lua's API to
** get at the function and at whether it is recorded. */
static void push_place(lua_State *L, binding *state, lua_CFunction function) {
  if (state->function_count == BIND_FUNCTIONS)
    luaL_error(L, "saros: more than %d functions", BIND_FUNCTIONS);
  bind_function *place = &state->functions[state->function_count++];
  *place = (bind_function){.state = state, .call = function};
  lua_pushlightuserdata(L, place);
}

/* Finalizers run in the middle of other calls, so they are not recorded. */
void bind_push_function(lua_State *L, const char *name,
                        lua_CFunction function) {
  binding *state = bind_push_binding(L);
  lua_pushstring(L, strncmp(name, "__", 2) == 0 ? name + 2 : name);
  lua_rotate(L, -3, 2);
  if (strcmp(name, "__gc") == 0) {
    lua_pushcclosure(L, function, BIND_EXTRA_UPVALUE);
  } else {
    push_place(L, state, function);
    lua_pushcclosure(L, bind_call_or_record, BIND_FUNCTION_UPVALUE);
  }
}

void bind_register_functions(lua_State *L, int table, const luaL_Reg *list) {
  for (; list->name != NULL; list++) {
    lua_pushnil(L);
    bind_push_function(L, list->name, list->func);
    lua_setfield(L, table, list->name);
  }
}

/* The function on top, popped, in the module and among the methods. */
static void share(lua_State *L, const char *name) {
  lua_pushvalue(L, -1);
  lua_setfield(L, BIND_MODULE, name);
  lua_setfield(L, BIND_METHODS, name);
}

void bind_register_shared(lua_State *L, const luaL_Reg *list) {
  for (; list->name != NULL; list++) {
    lua_pushnil(L);
    bind_push_function(L, list->name, list->func);
    share(L, list->name);
  }
}

void bind_register_coded(lua_State *L, const char *name, lua_CFunction function,
                         int code) {
  lua_pushinteger(L, code);
  bind_push_function(L, name, function);
  share(L, name);
}

void bind_push_metatable(lua_State *L, bind_box_type type,
                         const luaL_Reg *metamethods) {
  binding *state = bind_find_binding(L);
  lua_newtable(L);
  const void *address = lua_topointer(L, -1);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, address);
  state->metatables[type] = address;
  lua_pushfstring(L, "saros.%s", bind_box_name(type));
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__name");
  lua_setfield(L, -2, "__metatable");
  bind_register_functions(L, lua_gettop(L), metamethods);
  lua_getfield(L, -1, "__gc");
  lua_setfield(L, -2, "__close");
}

static const luaL_Reg owner_metamethods[] = {{"__gc", owner_gc}, {NULL, NULL}};

void bind_register_owner(lua_State *L) {
  bind_push_metatable(L, BIND_OWNER, owner_metamethods);
  lua_pop(L, 1);
}
