/*
** Views, copies and joins of tensors. Positions and axes count from 1, and
** from the end if negative.
*/
#include <limits.h>

#include "binding.h"

/* A result may be the argument itself: then so is its box. Else the bytes of
** a copy are told; views of the argument's storage are not. */
static int same_or_new(lua_State *L, saros_tensor **out, int is_copy) {
  if (*out == bind_check_tensor(L, 1)) {
    lua_settop(L, 1);
    return 1;
  }
  return is_copy ? bind_new_tensor(L, out) : 1;
}

/* --- Views -------------------------------------------------------------------------- */

/* The size of an axis of argument 1, for positions from the end; 0 if there
** is no such axis, about which the core will complain. */
static int size_of_axis(lua_State *L, int axis) {
  saros_tensor *x = bind_check_tensor(L, 1);
  int rank = saros_tensor_rank(x);
  if (axis < 0)
    axis += rank;
  return axis >= 0 && axis < rank ? saros_tensor_shape(x)[axis] : 0;
}

/* A position as the core counts it, on an axis of that size. One that is below
** 'lowest' stays as it was given, for the core to refuse it by that number. */
static int check_place(lua_State *L, int arg, int size, int lowest) {
  int at = (int)bind_check_integer(L, arg, -INT_MAX, INT_MAX,
                                   "a position (1 is the first, -1 the last)");
  return at < 0 && at + size >= lowest ? at + size : at - 1;
}

/* The step of a slice, argument 5. */
static int opt_step(lua_State *L) {
  static const char wanted[] = "a step other than 0";
  if (lua_isnil(L, 5))
    return 1;
  int step = (int)bind_check_integer(L, 5, -INT_MAX, INT_MAX, wanted);
  if (step == 0)
    bind_argument_error(L, 5, wanted);
  return step;
}

/* The positions first, first + step, ... up to 'last', inclusive. */
static int slice_by_step(lua_State *L, int axis, int first, int last,
                         int step) {
  const long long way = (long long)last - first;
  if (step > 0 ? way < -1 : way > 1)
    bind_failure(L, "slice: expected last not before first, got %d to %d by %d",
                 first + 1, last + 1, step);
  const int count = (step > 0 ? way < 0 : way > 0) ? 0 : (int)(way / step) + 1;
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_slice_step(bind_check_tensor(L, 1), axis, first, count,
                                   step, out));
  return step > 0 ? 1 : bind_new_tensor(L, out);
}

static int shape_slice(lua_State *L) {
  lua_settop(L, 5);
  bind_check_tensor(L, 1);
  int axis = bind_check_axis(L, 2);
  int size = size_of_axis(L, axis), step = opt_step(L);
  int first = check_place(L, 3, size, 0);
  int last = !lua_isnil(L, 4) ? check_place(L, 4, size, -1)
             : step > 0       ? size - 1
                              : 0;
  if (step != 1)
    return slice_by_step(L, axis, first, last, step);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(
      L, saros_slice(bind_check_tensor(L, 1), axis, first, last + 1, out));
  return 1;
}

static int shape_flip(lua_State *L) {
  lua_settop(L, 2);
  bind_check_tensor(L, 1);
  int axis = bind_check_axis(L, 2);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_flip(bind_check_tensor(L, 1), axis, out));
  return bind_new_tensor(L, out);
}

static int shape_select(lua_State *L) {
  lua_settop(L, 3);
  bind_check_tensor(L, 1);
  int axis = bind_check_axis(L, 2);
  int at = check_place(L, 3, size_of_axis(L, axis), 0);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_select(bind_check_tensor(L, 1), axis, at, out));
  return 1;
}

static int shape_transpose(lua_State *L) {
  lua_settop(L, 3);
  bind_check_tensor(L, 1);
  int axis1 = bind_opt_axis(L, 2, -2), axis2 = bind_opt_axis(L, 3, -1);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_transpose(bind_check_tensor(L, 1), axis1, axis2, out));
  return 1;
}

static int shape_reshape(lua_State *L) {
  bind_shape sizes;
  bind_check_tensor(L, 1);
  bind_check_sizes(L, 2, -1, &sizes);
  int is_copy = !saros_tensor_is_contiguous(bind_check_tensor(L, 1));
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(
      L, saros_reshape(bind_check_tensor(L, 1), sizes.rank, sizes.sizes, out));
  return same_or_new(L, out, is_copy);
}

static int shape_flatten(lua_State *L) {
  lua_settop(L, 1);
  saros_tensor *x = bind_check_tensor(L, 1);
  int size = saros_tensor_count(x) > 0 ? -1 : 0;
  int is_copy = !saros_tensor_is_contiguous(x);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_reshape(bind_check_tensor(L, 1), 1, &size, out));
  return same_or_new(L, out, is_copy);
}

static int shape_detach(lua_State *L) {
  lua_settop(L, 1);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_detach(bind_check_tensor(L, 1), out));
  return 1;
}

/* --- Copies -------------------------------------------------------------------------- */

static int shape_clone(lua_State *L) {
  lua_settop(L, 1);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_clone(bind_check_tensor(L, 1), out));
  return bind_new_tensor(L, out);
}

static int shape_frozen(lua_State *L) {
  lua_settop(L, 1);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_tensor_frozen(bind_check_tensor(L, 1), out));
  return bind_new_tensor(L, out);
}

static int shape_contiguous(lua_State *L) {
  lua_settop(L, 1);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_contiguous(bind_check_tensor(L, 1), out));
  return same_or_new(L, out, 1);
}

/* --- Joins ---------------------------------------------------------------------------- */

typedef saros_status (*joiner)(saros_context *context, int count,
                               saros_tensor *const *x, int axis,
                               saros_tensor **out);

/* Joins the tensors of the list that is argument 1 by their axis. */
static int join_list(lua_State *L, joiner f, int axis) {
  int count = bind_check_list(L, 1);
  saros_tensor **array = bind_push_array(L, count);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, f(bind_context_of(L), count,
                    bind_list_tensors(L, 1, count, array), axis, out));
  return bind_new_tensor(L, out);
}

static int shape_concatenate(lua_State *L) {
  lua_settop(L, 2);
  bind_check_table(L, 1);
  return join_list(L, saros_concatenate, bind_check_axis(L, 2));
}

static int shape_stack(lua_State *L) {
  lua_settop(L, 2);
  bind_check_table(L, 1);
  return join_list(L, saros_stack, bind_opt_axis(L, 2, 0));
}

/* The operator '..' joins two tensors along their last axis. */
static saros_tensor **operands(lua_State *L, saros_tensor **pair) {
  pair[0] = bind_check_tensor(L, 1);
  pair[1] = bind_check_tensor(L, 2);
  return pair;
}

/* Text and a tensor do not join; who tries wants to print a number. */
static void check_joinable(lua_State *L) {
  int text = lua_type(L, 1) == LUA_TSTRING ? 1 : 2;
  if (lua_type(L, text) == LUA_TSTRING)
    bind_failure(L,
                 "concat: expected two tensors, got %s; "
                 "x:item() is the number in a tensor of one element",
                 bind_push_description(L, text));
}

int bind_tensor_concat(lua_State *L) {
  saros_tensor *pair[2];
  lua_settop(L, 2);
  check_joinable(L);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(
      L, saros_concatenate(bind_context_of(L), 2, operands(L, pair), -1, out));
  return bind_new_tensor(L, out);
}

/* --- Registration ---------------------------------------------------------------------- */

static const luaL_Reg shared[] = {
    {"slice", shape_slice},
    {"flip", shape_flip},
    {"select", shape_select},
    {"transpose", shape_transpose},
    {"reshape", shape_reshape},
    {"flatten", shape_flatten},
    {"detach", shape_detach},
    {"clone", shape_clone},
    {"contiguous", shape_contiguous},
    {"frozen", shape_frozen},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"concatenate", shape_concatenate},
    {"stack", shape_stack},
    {NULL, NULL},
};

void bind_open_shape(lua_State *L) {
  bind_register_shared(L, shared);
  bind_register_functions(L, BIND_MODULE, functions);
}
