/*
** Tensors in boxes, as arguments and as results.
*/
#include <stdio.h>
#include <string.h>

#include "binding.h"

saros_tensor **push_tensor(lua_State *L) {
  return push_box(L, TENSOR);
}

saros_tensor **push_zeros(lua_State *L, saros_dtype dtype, const shape *sizes) {
  saros_tensor **box = push_tensor(L);
  saros_status status;
  int attempts = 0;
  do
    status =
        saros_tensor_new(context_of(L), dtype, sizes->rank, sizes->sizes, box);
  while (status == SAROS_EMEMORY && attempts++ == 0 && collect(L));
  if (status != SAROS_OK) {  // its message, under the name that scripts know
    const char *reason = strchr(saros_error(context_of(L)), ':');
    failure(L, "%s%s", function_name(L), reason != NULL ? reason : "");
  }
  return box;
}

saros_tensor *check_tensor(lua_State *L, int arg) {
  saros_tensor *x = to_tensor(L, arg);
  if (x == NULL)
    check_box(L, arg, TENSOR);  // raises
  return x;
}

saros_tensor *opt_tensor(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? NULL : check_tensor(L, arg);
}

saros_tensor *hold_tensor(lua_State *L, int arg) {
  saros_tensor **box = push_tensor(L);
  *box = saros_tensor_retain(check_tensor(L, arg));
  return *box;
}

static void require_finite(lua_State *L, const char *name,
                           const saros_tensor *x) {
  if (saros_all_finite(x))
    return;
  saros_context *context = context_of(L);
  const char *layer = saros_profile_layer(context, "");
  saros_profile_layer(context, layer);
  lua_pushfstring(L, "%s%s%s", name, *layer ? " in " : "", layer);
  lua_error(L);
}

int new_tensor_as(lua_State *L, const char *name, saros_tensor *const *box) {
  if (binding_of(L)->watches_finite)
    require_finite(L, name, *box);
  return tell_collector(L, saros_tensor_bytes(*box));
}

int new_tensor(lua_State *L, saros_tensor *const *box) {
  if (binding_of(L)->watches_finite)
    require_finite(L, function_name(L), *box);
  return tell_collector(L, saros_tensor_bytes(*box));
}

void check_operand(lua_State *L, int arg) {
  if (lua_type(L, arg) != LUA_TNUMBER) {
    if (to_box(L, arg, TENSOR) == NULL)
      argument_error(L, arg, "a tensor or a number");
    return;
  }
  double value = lua_tonumber(L, arg);
  saros_tensor **box = push_zeros(L, SAROS_REAL, &(shape){0});
  RUN(L, saros_fill(*box, value));
  lua_replace(L, arg);
}

/* --- Lists of tensors ------------------------------------------------------ */

static saros_tensor *list_tensor(lua_State *L, int arg, int at) {
  lua_rawgeti(L, arg, at);
  saros_tensor *x = to_tensor(L, -1);
  if (x == NULL)
    value_error(L, lua_gettop(L), "a live tensor",
                " at position %d of the list", at);
  lua_pop(L, 1);
  return x;
}

int check_list(lua_State *L, int arg) {
  if (!lua_istable(L, arg))
    argument_error(L, arg, "a list of tensors");
  int count = list_length(L, arg);
  for (int at = 1; at <= count; at++)
    list_tensor(L, arg, at);
  return count;
}

saros_tensor **list_tensors(lua_State *L, int arg, int count,
                            saros_tensor **array) {
  for (int i = 0; i < count; i++)
    array[i] = list_tensor(L, arg, i + 1);
  return array;
}

saros_tensor **push_array(lua_State *L, int count) {
  return lua_newuserdatauv(L, (size_t)(count + 1) * sizeof(saros_tensor *), 0);
}

void push_element(lua_State *L, const saros_tensor *x, size_t position) {
  double value = saros_tensor_get(x, position);
  if (saros_tensor_dtype(x) == SAROS_IDS)
    lua_pushinteger(L, (lua_Integer)value + 1);
  else
    lua_pushnumber(L, value);
}
