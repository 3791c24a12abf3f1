/*
** What a step of a session is given: numbers, ids, lists and tensors become rows
** in memory that the session has.
*/
#include <stdio.h>

#include "binding.h"

/* An input of a step, and the argument that it is read from. Reading one makes no
** object of Lua, so no finalizer closes the session, or a tensor, meanwhile. */
typedef struct step_input {
  int arg, number;  // of the argument, and of the input, from 1
  int streams, symbols, width;
  int32_t id;        // what a number is
  saros_real value;  // likewise
} step_input;

/* The session's own tensor for an input. */
static saros_tensor *push_input(lua_State *L, const step_input *in) {
  lua_getiuservalue(L, 1, BIND_SESSION_INPUT);
  lua_rawgeti(L, -1, in->number);
  lua_remove(L, -2);
  return bind_check_live(L);
}

/* --- Values ---------------------------------------------------------------------------- */

/* Reads the id at an index of the stack, from 1; 0, and *id is 0, if it is
** none. */
static int to_id(lua_State *L, int index, const step_input *in, int32_t *id) {
  lua_Integer value;
  int fits = bind_to_integer(L, index, 1, in->symbols, &value);
  *id = fits ? (int32_t)(value - 1) : 0;
  return fits;
}

/* Looks in the list on top, which may hold lists, for an element that no step
** takes. If there is one, leaves it on top, and its place, such as "[2][1]". */
static int find_odd_element(lua_State *L, const step_input *in, int depth,
                            char *place, size_t room) {
  int32_t id;
  int list = lua_gettop(L), count = (int)lua_rawlen(L, list);
  for (int i = 1; i <= count; i++) {
    int used = snprintf(place, room, "[%d]", i);
    int type = lua_rawgeti(L, list, i);
    int fits = in->symbols > 0 ? to_id(L, -1, in, &id)
                               : type == LUA_TNUMBER || type == LUA_TTABLE;
    if (!fits ||
        (type == LUA_TTABLE && depth == 0 &&
         find_odd_element(L, in, 1, place + used, room - (size_t)used)))
      return 1;
    lua_settop(L, list);
  }
  return 0;
}

/* Raises an error about an argument that is not what a step of so many streams
** of so many features or symbols takes. */
static int wrong_input(lua_State *L, const step_input *in) {
  char expected[120], place[32];
  if (in->symbols > 0 && in->streams == 1)
    snprintf(expected, sizeof expected, "an id in 1..%d", in->symbols);
  else if (in->symbols > 0)
    snprintf(expected, sizeof expected, "%d ids in 1..%d", in->streams,
             in->symbols);
  else if (in->streams == 1)
    snprintf(expected, sizeof expected, "%d number%s", in->width,
             in->width == 1 ? "" : "s");
  else
    snprintf(expected, sizeof expected, "numbers of shape (%d, %d)",
             in->streams, in->width);
  lua_pushvalue(L, in->arg);
  if (lua_istable(L, in->arg) &&
      find_odd_element(L, in, 0, place, sizeof place))
    return bind_failure(L, "%s: expected %s, got %s at %s",
                        bind_function_name(L), expected,
                        bind_push_description(L, -1), place);
  return bind_argument_error(L, in->arg, expected);
}

/* The tensor that an argument is. */
static saros_tensor *check_rows(lua_State *L, const step_input *in) {
  saros_tensor **box = bind_to_box(L, in->arg, BIND_TENSOR);
  if (box == NULL)
    wrong_input(L, in);
  return *box != NULL ? *box : bind_check_tensor(L, in->arg);  // raises
}

/* Ids from a list into the session's own. */
static const int32_t *ids_of_list(lua_State *L, const step_input *in) {
  int32_t *ids = saros_tensor_ids(push_input(L, in));
  if (lua_rawlen(L, in->arg) != (lua_Unsigned)in->streams)
    wrong_input(L, in);
  for (int row = 0; row < in->streams; row++) {
    lua_rawgeti(L, in->arg, row + 1);
    if (!to_id(L, -1, in, &ids[row]))
      wrong_input(L, in);
    lua_pop(L, 1);
  }
  return ids;
}

static const int32_t *ids_of_tensor(lua_State *L, const step_input *in) {
  saros_tensor *x = check_rows(L, in);
  if (saros_tensor_dtype(x) != SAROS_IDS || saros_tensor_rank(x) > 1 ||
      saros_tensor_count(x) != (size_t)in->streams)
    wrong_input(L, in);
  if (saros_tensor_is_contiguous(x))
    return saros_tensor_ids(x);
  int32_t *ids = saros_tensor_ids(push_input(L, in));
  for (int row = 0; row < in->streams; row++)
    ids[row] = (int32_t)saros_tensor_get(x, (size_t)row);
  return ids;
}

static const void *read_ids(lua_State *L, step_input *in) {
  switch (lua_type(L, in->arg)) {
    case LUA_TNUMBER:
      if (in->streams > 1 || !to_id(L, in->arg, in, &in->id))
        wrong_input(L, in);
      return &in->id;
    case LUA_TTABLE:
      return ids_of_list(L, in);
    default:
      return ids_of_tensor(L, in);
  }
}

/* Numbers from the list on top, which may hold lists of them. */
static saros_real *read_list(lua_State *L, const step_input *in, saros_real *to,
                             int count, int depth) {
  int list = lua_gettop(L), n = (int)lua_rawlen(L, list);
  for (int i = 0; i < n; i++) {
    int type = lua_rawgeti(L, list, i + 1);
    if (type == LUA_TTABLE && depth == 0 && n == in->streams) {
      to = read_list(L, in, to, in->width, 1);
    } else if (type == LUA_TNUMBER && n == count) {
      *to++ = (saros_real)lua_tonumber(L, -1);
    } else {
      wrong_input(L, in);
    }
    lua_pop(L, 1);
  }
  if (n == 0)
    wrong_input(L, in);
  return to;
}

/* A list of numbers is one row, or one column. */
static const saros_real *features_of_list(lua_State *L, const step_input *in) {
  saros_real *x = saros_tensor_reals(push_input(L, in));
  int one = in->streams == 1 || in->width == 1;
  lua_pushvalue(L, in->arg);
  read_list(L, in, x, one ? in->streams * in->width : -1, 0);
  return x;
}

static const saros_real *features_of_tensor(lua_State *L,
                                            const step_input *in) {
  saros_tensor *x = check_rows(L, in);
  const int *sizes = saros_tensor_shape(x);
  int rank = saros_tensor_rank(x);
  size_t count = (size_t)in->streams * (size_t)in->width;
  int fits = rank == 2 ? sizes[0] == in->streams && sizes[1] == in->width
                       : rank < 2 && saros_tensor_count(x) == count &&
                             (in->streams == 1 || in->width == 1);
  if (saros_tensor_dtype(x) != SAROS_REAL || !fits)
    wrong_input(L, in);
  if (saros_tensor_is_contiguous(x))
    return saros_tensor_reals(x);
  saros_real *own = saros_tensor_reals(push_input(L, in));
  for (size_t i = 0; i < count; i++)
    own[i] = (saros_real)saros_tensor_get(x, i);
  return own;
}

static const void *read_features(lua_State *L, step_input *in) {
  switch (lua_type(L, in->arg)) {
    case LUA_TNUMBER:
      if (in->width != 1 || in->streams != 1)
        wrong_input(L, in);
      in->value = (saros_real)lua_tonumber(L, in->arg);
      return &in->value;
    case LUA_TTABLE:
      return features_of_list(L, in);
    default:
      return features_of_tensor(L, in);
  }
}

/* --- Steps ---------------------------------------------------------------------------- */

static step_input input_of(const saros_session *s, int number) {
  const saros_program *program = saros_session_program(s);
  const saros_program_value x = saros_program_input(program, number - 1);
  return (step_input){.arg = number + 1,
                      .number = number,
                      .streams = saros_session_of(s).streams,
                      .symbols = x.symbols,
                      .width = x.symbols > 0 ? 0 : x.width};
}

static const void *read_input(lua_State *L, step_input *in) {
  return in->symbols > 0 ? read_ids(L, in) : read_features(L, in);
}

/* Raises an error at a field that is no input. */
static void check_names(lua_State *L, int count) {
  lua_getiuservalue(L, 1, BIND_SESSION_INPUT);
  const int names = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
    int known = 0;
    for (int i = 1; i <= count && !known; i++) {
      lua_rawgeti(L, names, -i);
      known = lua_rawequal(L, -1, -3);
      lua_pop(L, 1);
    }
    if (!known)
      bind_value_error(L, lua_gettop(L) - 1, "inputs by their names", "");
  }
  lua_pop(L, 1);
}

/* Replaces the table at 2 by the values of its fields, in the order of inputs. */
static void spread_names(lua_State *L, int count) {
  check_names(L, count);
  lua_getiuservalue(L, 1, BIND_SESSION_INPUT);
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, 3, -i);
    lua_rawget(L, 2);
    if (lua_isnil(L, -1)) {
      lua_rawgeti(L, 3, -i);
      bind_failure(L, "%s: expected the input '%s', got none",
                   bind_function_name(L), lua_tostring(L, -1));
    }
  }
  lua_remove(L, 3);
  lua_remove(L, 2);
}

/* A step of several inputs, or of none. */
static void step_inputs(lua_State *L, saros_session *s, int count) {
  step_input inputs[BIND_SESSION_MOST_INPUTS];
  const void *rows[BIND_SESSION_MOST_INPUTS + 1] = {NULL};
  luaL_checkstack(L, 4 * count + 8, "inputs");
  if (count > 1 && lua_gettop(L) == 2 && lua_istable(L, 2))
    spread_names(L, count);
  lua_settop(L, count + 1);
  for (int i = 0; i < count; i++) {
    inputs[i] = input_of(s, i + 1);
    rows[i] = read_input(L, &inputs[i]);
  }
  BIND_RUN(L, saros_session_step_inputs(s, rows));
}

void bind_step_session(lua_State *L) {
  saros_session *s = bind_check_session(L);
  saros_session_facts facts = saros_session_of(s);
  if (facts.input_count != 1) {
    step_inputs(L, s, facts.input_count);
    return;
  }
  step_input in = {.arg = 2,
                   .number = 1,
                   .streams = facts.streams,
                   .symbols = facts.symbols,
                   .width = facts.inputs};
  lua_settop(L, 2);
  if (facts.symbols > 0)
    BIND_RUN(L, saros_session_step_ids(s, read_ids(L, &in)));
  else
    BIND_RUN(L, saros_session_step(s, read_features(L, &in)));
}
