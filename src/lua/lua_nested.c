/*
** Tensors from Lua values and back: nested tables of numbers, constants,
** ranges; ids from real numbers and back. A table's first elements tell its
** shape; every other one must agree.
*/
#include <limits.h>
#include <stdio.h>

#include "binding.h"

/* Where a walk over nested tables is: the positions, from 0, on each level. */
typedef struct place {
  int depth;
  int at[SAROS_MAX_RANK];
} place;

/* Pushes " at [2][1]", or nothing at the top. */
static const char *push_place(lua_State *L, const place *where) {
  luaL_Buffer text;
  char part[16];
  luaL_buffinit(L, &text);
  if (where->depth > 0)
    luaL_addstring(&text, " at ");
  for (int i = 0; i < where->depth; i++) {
    snprintf(part, sizeof part, "[%d]", where->at[i] + 1);
    luaL_addstring(&text, part);
  }
  luaL_pushresult(&text);
  return lua_tostring(L, -1);
}

static int bad_element(lua_State *L, const char *expected, const place *where) {
  int index = lua_gettop(L);
  return bind_value_error(L, index, expected, "%s", push_place(L, where));
}

/* The shape that the value on top has if its first elements are typical. */
static void measure(lua_State *L, bind_shape *out) {
  int top = lua_gettop(L);
  out->rank = 0;
  while (lua_istable(L, -1)) {
    lua_Unsigned size = lua_rawlen(L, -1);
    if (out->rank == SAROS_MAX_RANK)
      bind_failure(L, "%s: expected at most %d levels of tables, got more",
                   bind_function_name(L), SAROS_MAX_RANK);
    if (size > INT_MAX)
      bind_failure(L, "%s: expected at most %d elements in a table, got %I",
                   bind_function_name(L), INT_MAX, (LUAI_UACINT)size);
    out->sizes[out->rank++] = (int)size;
    if (size == 0)
      break;
    lua_rawgeti(L, -1, 1);
  }
  lua_settop(L, top);
}

/* Reads the element on top into a tensor at a position. */
static void read_element(lua_State *L, saros_tensor *x, size_t position,
                         const place *where) {
  lua_Integer id;
  if (saros_tensor_dtype(x) == SAROS_REAL) {
    if (lua_type(L, -1) != LUA_TNUMBER)
      bad_element(L, "a number", where);
    saros_tensor_reals(x)[position] = (saros_real)lua_tonumber(L, -1);
  } else {
    if (!bind_to_integer(L, -1, 1, (lua_Integer)INT32_MAX + 1, &id))
      bad_element(L, "an id (an integer >= 1)", where);
    saros_tensor_ids(x)[position] = (int32_t)(id - 1);
  }
}

/* Refuses keys of the table on top that are no positions, and elements that are
** nil while later ones are not. */
static void check_keys(lua_State *L, const place *where) {
  lua_Integer at;
  int table = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
    if (!bind_to_integer(L, table + 1, 1, LUA_MAXINTEGER, &at))
      bind_value_error(L, table + 1, "only positions as keys", "%s",
                       push_place(L, where));
  bind_list_length(L, table);
}

/* The value on top must be a table of that many elements. */
static void check_table_of(lua_State *L, int size, const place *where) {
  char expected[64];
  snprintf(expected, sizeof expected, "a table of %d elements", size);
  if (!lua_istable(L, -1))
    bad_element(L, expected, where);
  lua_Unsigned got = lua_rawlen(L, -1);
  if (got != (lua_Unsigned)size)
    bind_failure(L, "%s: expected %s%s, got one of %I", bind_function_name(L),
                 expected, push_place(L, where), (LUAI_UACINT)got);
  check_keys(L, where);
}

/* Reads the value on top, and all below it in depth, from *position on. */
static void read_nested(lua_State *L, saros_tensor *x, size_t *position,
                        place *where) {
  if (where->depth == saros_tensor_rank(x)) {
    read_element(L, x, (*position)++, where);
    return;
  }
  int size = saros_tensor_shape(x)[where->depth];
  check_table_of(L, size, where);
  int level = where->depth++;
  for (where->at[level] = 0; where->at[level] < size; where->at[level]++) {
    lua_rawgeti(L, -1, where->at[level] + 1);
    read_nested(L, x, position, where);
    lua_pop(L, 1);
  }
  where->depth--;
}

static int from_nested(lua_State *L, saros_dtype dtype) {
  bind_shape sizes;
  place where = {0};
  size_t position = 0;
  luaL_checkstack(L, SAROS_MAX_RANK + LUA_MINSTACK, "nested tables");
  lua_settop(L, 1);
  measure(L, &sizes);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_tensor_new(bind_context_of(L), dtype, sizes.rank,
                                   sizes.sizes, out));
  lua_pushvalue(L, 1);
  read_nested(L, *out, &position, &where);
  lua_settop(L, 2);
  return bind_new_tensor(L, out);
}

/* To the next element, in the order of rows. */
static void advance(place *where, const int *shape) {
  int axis = where->depth - 1;
  while (axis >= 0 && ++where->at[axis] == shape[axis])
    where->at[axis--] = 0;
}

/* The elements of the tensor of argument 1, which is of the other kind. */
static int from_tensor(lua_State *L, saros_dtype dtype) {
  saros_tensor *x = bind_hold_tensor(L, 1);
  place where = {.depth = saros_tensor_rank(x)};
  if (saros_tensor_dtype(x) == dtype)
    bind_failure(L, "%s: expected %s, got %s; x:clone() copies a tensor",
                 bind_function_name(L),
                 dtype == SAROS_IDS ? "real numbers or integers"
                                    : "ids or numbers",
                 bind_push_description(L, 1));
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_tensor_new(bind_context_of(L), dtype, where.depth,
                                   saros_tensor_shape(x), out));
  for (size_t i = 0; i < saros_tensor_count(x); i++) {
    bind_push_element(L, x, i);
    read_element(L, *out, i, &where);
    lua_pop(L, 1);
    advance(&where, saros_tensor_shape(x));
  }
  return bind_new_tensor(L, out);
}

static int from_value(lua_State *L, saros_dtype dtype) {
  return bind_to_box(L, 1, BIND_TENSOR) != NULL ? from_tensor(L, dtype)
                                                : from_nested(L, dtype);
}

static int nested_tensor(lua_State *L) {
  return from_value(L, SAROS_REAL);
}

static int nested_ids(lua_State *L) {
  return from_value(L, SAROS_IDS);
}

/* Pushes the elements from *position on as tables of that level and deeper. */
static void push_nested(lua_State *L, const saros_tensor *x, int level,
                        size_t *position) {
  if (level == saros_tensor_rank(x)) {
    bind_push_element(L, x, (*position)++);
    return;
  }
  int size = saros_tensor_shape(x)[level];
  lua_createtable(L, size, 0);
  for (int i = 0; i < size; i++) {
    push_nested(L, x, level + 1, position);
    lua_rawseti(L, -2, i + 1);
  }
}

static int tensor_totable(lua_State *L) {
  size_t position = 0;
  luaL_checkstack(L, SAROS_MAX_RANK + LUA_MINSTACK, "nested tables");
  push_nested(L, bind_hold_tensor(L, 1), 0, &position);
  return 1;
}

/* --- Constants and ranges ---------------------------------------------------------- */

/* A tensor filled with a value; leaves it on top. */
static int constant(lua_State *L, const bind_shape *sizes, double value) {
  saros_tensor **out = bind_push_zeros(L, SAROS_REAL, sizes);
  if (value != 0)
    BIND_RUN(L, saros_fill(*out, value));
  return bind_new_tensor(L, out);
}

static int nested_zeros(lua_State *L) {
  bind_shape sizes;
  bind_check_sizes(L, 1, 0, &sizes);
  return constant(L, &sizes, 0);
}

static int nested_ones(lua_State *L) {
  bind_shape sizes;
  bind_check_sizes(L, 1, 0, &sizes);
  return constant(L, &sizes, 1);
}

static int nested_full(lua_State *L) {
  bind_shape sizes;
  bind_check_shape(L, 1, &sizes);
  return constant(L, &sizes, bind_check_number(L, 2));
}

static int nested_arange(lua_State *L) {
  bind_shape sizes = {1, {bind_check_size(L, 1)}};
  saros_tensor **out = bind_push_zeros(L, SAROS_REAL, &sizes);
  saros_real *elements = saros_tensor_reals(*out);
  for (int i = 0; i < sizes.sizes[0]; i++)
    elements[i] = (saros_real)(i + 1.0);
  return bind_new_tensor(L, out);
}

/* blank(shape): for parameters that will adopt the tensors of a file. */
static int nested_blank(lua_State *L) {
  bind_shape sizes;
  bind_check_shape(L, 1, &sizes);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(
      L, saros_tensor_blank(bind_context_of(L), sizes.rank, sizes.sizes, out));
  return 1;
}

static const luaL_Reg functions[] = {
    {"tensor", nested_tensor}, {"ids", nested_ids},   {"zeros", nested_zeros},
    {"blank", nested_blank},   {"ones", nested_ones}, {"full", nested_full},
    {"arange", nested_arange}, {NULL, NULL},
};

static const luaL_Reg methods[] = {{"totable", tensor_totable}, {NULL, NULL}};

void bind_open_nested(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
  bind_register_functions(L, BIND_METHODS, methods);
}
