/*
** Tensors in boxes, as arguments and as results.
*/
#include <stdio.h>
#include <string.h>

#include "binding.h"

saros_tensor **bind_push_tensor(lua_State *L) {
  return bind_push_box(L, BIND_TENSOR);
}

saros_tensor **bind_push_zeros(lua_State *L, saros_dtype dtype,
                               const bind_shape *sizes) {
  saros_tensor **box = bind_push_tensor(L);
  saros_status status;
  int attempts = 0;
  do
    status = saros_tensor_new(bind_context_of(L), dtype, sizes->rank,
                              sizes->sizes, box);
  while (status == SAROS_EMEMORY && attempts++ == 0 && bind_collect(L));
  if (status != SAROS_OK) {  // its message, under the name that scripts know
    const char *reason = strchr(saros_error(bind_context_of(L)), ':');
    bind_failure(L, "%s%s", bind_function_name(L),
                 reason != NULL ? reason : "");
  }
  return box;
}

saros_tensor *bind_check_tensor(lua_State *L, int arg) {
  saros_tensor *x = bind_to_tensor(L, arg);
  if (x == NULL)
    bind_check_box(L, arg, BIND_TENSOR);  // raises
  return x;
}

saros_tensor *bind_check_ids(lua_State *L, int arg, const char *name) {
  saros_tensor *x = bind_check_tensor(L, arg);
  if (saros_tensor_dtype(x) != SAROS_IDS)
    bind_failure(L,
                 "%s: expected %s to be ids, got real numbers %s; saros.ids(x) "
                 "makes ids of whole numbers",
                 bind_function_name(L), name, bind_push_shape(L, x));
  return x;
}

saros_tensor *bind_opt_tensor(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? NULL : bind_check_tensor(L, arg);
}

void bind_push_field_tensor(lua_State *L, int table, const char *name) {
  if (lua_isnil(L, table))
    lua_pushnil(L);
  else if (bind_push_field(L, table, name) != LUA_TNIL &&
           bind_to_tensor(L, -1) == NULL)
    bind_field_error(L, "a live tensor", name);
}

saros_tensor *bind_hold_tensor(lua_State *L, int arg) {
  saros_tensor **box = bind_push_tensor(L);
  *box = saros_tensor_retain(bind_check_tensor(L, arg));
  return *box;
}

static void require_finite(lua_State *L, const char *name,
                           const saros_tensor *x) {
  if (saros_all_finite(x))
    return;
  saros_context *context = bind_context_of(L);
  const char *layer = saros_profile_layer(context, "");
  saros_profile_layer(context, layer);
  lua_pushfstring(L, "%s%s%s", name, *layer ? " in " : "", layer);
  lua_error(L);
}

int bind_new_tensor_as(lua_State *L, const char *name,
                       saros_tensor *const *box) {
  if (bind_binding_of(L)->watches_finite)
    require_finite(L, name, *box);
  return bind_tell_collector(L, saros_tensor_bytes(*box));
}

int bind_new_tensor(lua_State *L, saros_tensor *const *box) {
  if (bind_binding_of(L)->watches_finite)
    require_finite(L, bind_function_name(L), *box);
  return bind_tell_collector(L, saros_tensor_bytes(*box));
}

void bind_check_operand(lua_State *L, int arg) {
  if (lua_type(L, arg) != LUA_TNUMBER) {
    if (bind_to_box(L, arg, BIND_TENSOR) == NULL)
      bind_argument_error(L, arg, "a tensor or a number");
    return;
  }
  double value = lua_tonumber(L, arg);
  saros_tensor **box = bind_push_zeros(L, SAROS_REAL, &(bind_shape){0});
  BIND_RUN(L, saros_fill(*box, value));
  lua_replace(L, arg);
}

/* --- Lists of tensors ------------------------------------------------------ */

static saros_tensor *list_tensor(lua_State *L, int arg, int at) {
  lua_rawgeti(L, arg, at);
  saros_tensor *x = bind_to_tensor(L, -1);
  if (x == NULL)
    bind_value_error(L, lua_gettop(L), "a live tensor",
                     " at position %d of the list", at);
  lua_pop(L, 1);
  return x;
}

int bind_check_list(lua_State *L, int arg) {
  if (!lua_istable(L, arg))
    bind_argument_error(L, arg, "a list of tensors");
  int count = bind_list_length(L, arg);
  for (int at = 1; at <= count; at++)
    list_tensor(L, arg, at);
  return count;
}

saros_tensor **bind_list_tensors(lua_State *L, int arg, int count,
                                 saros_tensor **array) {
  for (int i = 0; i < count; i++)
    array[i] = list_tensor(L, arg, i + 1);
  return array;
}

saros_tensor **bind_push_array(lua_State *L, int count) {
  return lua_newuserdatauv(L, (size_t)(count + 1) * sizeof(saros_tensor *), 0);
}

void bind_push_element(lua_State *L, const saros_tensor *x, size_t position) {
  double value = saros_tensor_get(x, position);
  if (saros_tensor_dtype(x) == SAROS_IDS)
    lua_pushinteger(L, (lua_Integer)value + 1);
  else
    lua_pushnumber(L, value);
}
