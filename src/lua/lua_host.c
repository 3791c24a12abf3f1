/*
** What a host that has both Lua and C uses: tensors across the border. Its own
** functions have none of our upvalues, so ours are called from here.
*/
#include "binding.h"

/* The argument of each is the address of what the host gave. */

static int share_tensor(lua_State *L) {
  saros_tensor **box = bind_push_tensor(L);
  *box = saros_tensor_retain(lua_touserdata(L, 1));
  return bind_new_tensor(L, box);
}

static int share_archive(lua_State *L) {
  saros_archive *archive = NULL;
  bind_owner *box = bind_push_owner(L, bind_release_archive);
  BIND_RUN(L, saros_shared_archive(lua_touserdata(L, 1), bind_context_of(L),
                                   &archive));
  box->object = archive;
  bind_push_archive(L, archive);
  bind_owner_release(box);
  return 2;
}

static const luaL_Reg functions[] = {{"push_tensor", share_tensor},
                                     {"push_shared", share_archive},
                                     {NULL, NULL}};

enum { PUSH_TENSOR, PUSH_SHARED };

/* Into the registry: the key of each is the address of its entry above. */
void bind_open_host(lua_State *L) {
  for (const luaL_Reg *list = functions; list->name != NULL; list++) {
    lua_pushnil(L);
    bind_push_function(L, list->name, list->func);
    lua_rawsetp(L, LUA_REGISTRYINDEX, list);
  }
}

static void call(lua_State *L, int which, void *given, int results) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &functions[which]);
  lua_pushlightuserdata(L, given);
  lua_call(L, 1, results);
}

void saros_push_tensor(lua_State *L, saros_tensor *tensor) {
  call(L, PUSH_TENSOR, tensor, 1);
}

void saros_push_shared(lua_State *L, saros_shared *shared) {
  call(L, PUSH_SHARED, shared, 2);
}

saros_context *saros_context_in(lua_State *L) {
  const binding *state = bind_find_binding(L);
  return state != NULL ? state->context : NULL;
}

saros_tensor *saros_to_tensor(lua_State *L, int index) {
  const binding *state = bind_find_binding(L);
  saros_tensor *const *box =
      state != NULL ? bind_box_at(L, index, state, BIND_TENSOR) : NULL;
  return box != NULL ? *box : NULL;
}
