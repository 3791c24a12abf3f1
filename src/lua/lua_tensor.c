/*
** The type of tensors: indexing, questions about a tensor, and what
** changes it in place. An element that is an id counts from 1 here.
*/
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "binding.h"

static int tensor_gc(lua_State *L) {
  saros_tensor **box = bind_to_box(L, 1, BIND_TENSOR);
  if (box != NULL) {
    saros_tensor *x = *box;
    *box = NULL;
    saros_tensor_release(x);
  }
  return 0;
}

/* --- Elements and rows ------------------------------------------------------------- */

/* The position, from 0, along the first axis that argument 2 names. */
static int check_position(lua_State *L, const saros_tensor *x) {
  lua_Integer at;
  char expected[64];
  if (saros_tensor_rank(x) == 0)
    bind_failure(L, "%s: expected a tensor with an axis, got one of rank 0",
                 bind_function_name(L));
  int size = saros_tensor_shape(x)[0];
  if (!bind_to_integer(L, 2, -size, size, &at) || at == 0) {
    snprintf(expected, sizeof expected, "a position in 1..%d or -%d..-1", size,
             size);
    bind_value_error(L, 2, expected, "");
  }
  return (int)(at > 0 ? at - 1 : at + size);
}

/* The tensor x[i], of rank - 1, into a box. */
static saros_status select_position(lua_State *L, saros_tensor **out) {
  saros_tensor *x = bind_check_tensor(L, 1);
  return saros_select(x, 0, check_position(L, x), out);
}

/* The extra upvalue is the table of the methods. */
static int tensor_index(lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(BIND_EXTRA_UPVALUE)) == LUA_TNIL)
      bind_missing_method(L, "tensor", 2, lua_upvalueindex(BIND_EXTRA_UPVALUE));
    return 1;
  }
  saros_tensor *x = bind_check_tensor(L, 1);
  if (saros_tensor_rank(x) == 1) {
    bind_push_element(L, x, (size_t)check_position(L, x));
    return 1;
  }
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, select_position(L, out));
  return 1;
}

/* Where the tensor at 'target' holds ids, replaces a number, which counts from
** 1, by an id of rank 0. */
static void number_to_id(lua_State *L, int target, int arg) {
  lua_Integer id;
  int is_ids = saros_tensor_dtype(bind_check_tensor(L, target)) == SAROS_IDS;
  if (lua_type(L, arg) != LUA_TNUMBER || !is_ids)
    return;
  if (!bind_to_integer(L, arg, 1, (lua_Integer)INT32_MAX + 1, &id))
    bind_argument_error(L, arg, "an id (an integer >= 1)");
  saros_tensor **box = bind_push_zeros(L, SAROS_IDS, &(bind_shape){0});
  saros_tensor_ids(*box)[0] = (int32_t)(id - 1);
  lua_replace(L, arg);
}

/* Writes the number or the tensor of an argument into a tensor. */
static saros_status assign(lua_State *L, saros_tensor *x, int arg) {
  if (lua_type(L, arg) == LUA_TNUMBER)
    return saros_fill(x, lua_tonumber(L, arg));
  if (bind_to_box(L, arg, BIND_TENSOR) == NULL)
    bind_argument_error(L, arg, "a tensor or a number");
  return saros_assign(x, bind_check_tensor(L, arg));
}

static int tensor_newindex(lua_State *L) {
  lua_settop(L, 3);
  saros_tensor **part = bind_push_tensor(L);
  BIND_ATTEMPT(L, select_position(L, part));
  number_to_id(L, 4, 3);
  BIND_ATTEMPT(L, assign(L, *part, 3));
  lua_pushvalue(L, 4);
  lua_replace(L, 1);
  return tensor_gc(L);  // the view, at once
}

/* --- Questions ------------------------------------------------------------------------ */

static int tensor_length(lua_State *L) {
  saros_tensor *x = bind_check_tensor(L, 1);
  if (saros_tensor_rank(x) == 0)
    return bind_failure(L,
                        "%s: expected a tensor with an axis, got one of "
                        "rank 0",
                        bind_function_name(L));
  lua_pushinteger(L, saros_tensor_shape(x)[0]);
  return 1;
}

static int tensor_shape(lua_State *L) {
  saros_tensor *x = bind_hold_tensor(L, 1);
  int rank = saros_tensor_rank(x);
  lua_createtable(L, rank, 0);
  for (int i = 0; i < rank; i++) {
    lua_pushinteger(L, saros_tensor_shape(x)[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int tensor_size(lua_State *L) {
  saros_tensor *x = bind_check_tensor(L, 1);
  int rank = saros_tensor_rank(x);
  int axis = bind_check_axis(L, 2);
  if (axis < -rank || axis >= rank)
    bind_failure(L, "%s: expected an axis in 1..%d or -%d..-1, got %d",
                 bind_function_name(L), rank, rank, axis < 0 ? axis : axis + 1);
  lua_pushinteger(L, saros_tensor_shape(x)[axis < 0 ? axis + rank : axis]);
  return 1;
}

static int tensor_rank(lua_State *L) {
  lua_pushinteger(L, saros_tensor_rank(bind_check_tensor(L, 1)));
  return 1;
}

static int tensor_count(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)saros_tensor_count(bind_check_tensor(L, 1)));
  return 1;
}

static int tensor_dtype(lua_State *L) {
  int is_ids = saros_tensor_dtype(bind_check_tensor(L, 1)) == SAROS_IDS;
  lua_pushstring(L, is_ids ? "ids" : "real");
  return 1;
}

static int tensor_is_contiguous(lua_State *L) {
  lua_pushboolean(L, saros_tensor_is_contiguous(bind_check_tensor(L, 1)));
  return 1;
}

static int tensor_item(lua_State *L) {
  saros_tensor *x = bind_check_tensor(L, 1);
  if (saros_tensor_count(x) != 1)
    bind_argument_error(L, 1, "a tensor of one element");
  bind_push_element(L, x, 0);
  return 1;
}

static int tensor_all_finite(lua_State *L) {
  lua_pushboolean(L, saros_all_finite(bind_check_tensor(L, 1)));
  return 1;
}

static int tensor_digest(lua_State *L) {
  char text[2 * sizeof(uint64_t) + 1];
  snprintf(text, sizeof text, "%016" PRIx64,
           saros_digest(bind_check_tensor(L, 1)));
  lua_pushstring(L, text);
  return 1;
}

/* --- In place: each returns the tensor itself ------------------------------------------ */

static int itself(lua_State *L) {
  lua_settop(L, 1);
  return 1;
}

static int tensor_assign(lua_State *L) {
  lua_settop(L, 2);
  number_to_id(L, 1, 2);
  BIND_ATTEMPT(L, assign(L, bind_check_tensor(L, 1), 2));
  return itself(L);
}

static int tensor_adopt(lua_State *L) {
  BIND_ATTEMPT(
      L, saros_tensor_adopt(bind_check_tensor(L, 1), bind_check_tensor(L, 2)));
  return itself(L);
}

static int tensor_fill(lua_State *L) {
  bind_check_tensor(L, 1);
  bind_check_number(L, 2);
  return tensor_assign(L);
}

static int tensor_clamp(lua_State *L) {
  double low = bind_check_number(L, 2), high = bind_check_number(L, 3);
  BIND_ATTEMPT(L, saros_clamp(bind_check_tensor(L, 1), low, high));
  return itself(L);
}

static int tensor_add_scaled(lua_State *L) {
  double alpha = bind_check_number(L, 2);
  BIND_ATTEMPT(L, saros_add_scaled(bind_check_tensor(L, 1), alpha,
                                   bind_check_tensor(L, 3)));
  return itself(L);
}

/* --- Gradients ------------------------------------------------------------------------ */

static int tensor_trainable(lua_State *L) {
  saros_tensor *x = bind_check_tensor(L, 1);
  if (lua_gettop(L) == 1) {
    lua_pushboolean(L, saros_is_trainable(x));
    return 1;
  }
  if (!lua_isboolean(L, 2))
    bind_argument_error(L, 2, "true or false");
  int trainable = lua_toboolean(L, 2);
  BIND_ATTEMPT(L, saros_set_trainable(bind_check_tensor(L, 1), trainable));
  return itself(L);
}

static int tensor_gradient(lua_State *L) {
  saros_tensor **box = bind_push_tensor(L);
  saros_tensor *gradient = saros_gradient(bind_check_tensor(L, 1));
  if (gradient == NULL) {
    lua_pushnil(L);
    return 1;
  }
  *box = saros_tensor_retain(gradient);
  return 1;
}

static int tensor_clear_gradient(lua_State *L) {
  saros_clear_gradient(bind_check_tensor(L, 1));
  bind_tell_collector_of_release(L);
  return itself(L);
}

/* Lua wants one truth of <, where a tensor has one for each element. */
static int tensor_order(lua_State *L) {
  return bind_failure(
      L,
      "tensor: expected numbers to compare by < and the like, got a tensor; "
      "x:lt(y), x:le(y), x:gt(y) and x:ge(y) compare elements, x:item() is a "
      "number");
}

/* --- Registration --------------------------------------------------------------------- */

static const luaL_Reg methods[] = {
    {"shape", tensor_shape},
    {"size", tensor_size},
    {"rank", tensor_rank},
    {"count", tensor_count},
    {"dtype", tensor_dtype},
    {"is_contiguous", tensor_is_contiguous},
    {"item", tensor_item},
    {"all_finite", tensor_all_finite},
    {"digest", tensor_digest},
    {"fill", tensor_fill},
    {"assign", tensor_assign},
    {"adopt", tensor_adopt},
    {"clamp", tensor_clamp},
    {"add_scaled", tensor_add_scaled},
    {"trainable", tensor_trainable},
    {"gradient", tensor_gradient},
    {"clear_gradient", tensor_clear_gradient},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", tensor_gc},
    {"__tostring", bind_tensor_tostring},
    {"__len", tensor_length},
    {"__newindex", tensor_newindex},
    {"__concat", bind_tensor_concat},
    {"__lt", tensor_order},
    {"__le", tensor_order},
    {NULL, NULL},
};

/* The metamethods that are functions of the module. */
static const char *const operators[][2] = {
    {"__add", "add"},    {"__sub", "subtract"}, {"__mul", "multiply"},
    {"__div", "divide"}, {"__pow", "power"},    {"__unm", "negate"},
    {NULL, NULL},
};

void bind_open_tensor(lua_State *L) {
  bind_register_functions(L, BIND_METHODS, methods);
  bind_push_metatable(L, BIND_TENSOR, metamethods);
  for (int i = 0; operators[i][0] != NULL; i++) {
    lua_getfield(L, BIND_METHODS, operators[i][1]);
    lua_setfield(L, -2, operators[i][0]);
  }
  lua_pushvalue(L, BIND_METHODS);
  bind_push_function(L, "index", tensor_index);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
