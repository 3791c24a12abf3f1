/*
** Recurrent layers: one call runs a layer over a whole sequence.
*/
#include <string.h>

#include "binding.h"

/* How many states each cell has, in the order of saros_cell. */
static const int states_of[SAROS_CELLS] = {1, 1};

/* The fields of the parameters, in the order of their places on the stack. */
static const char *const fields[] = {"weight_ih", "weight_hh", "bias_ih",
                                     "bias_hh", NULL};

/* Arguments, then where the values that they hold are brought. */
enum {
  CELL = 1,
  INPUT,
  STATES,
  PARAMETERS,
  RESULT,  // the list of last states
  LAYER,   // four parameters
  FIRST_STATE = LAYER + 4
};

static int check_cell(lua_State *L) {
  if (lua_type(L, CELL) == LUA_TSTRING)
    for (int i = 0; i < SAROS_CELLS; i++)
      if (strcmp(lua_tostring(L, CELL), saros_cell_name((saros_cell)i)) == 0)
        return i;
  argument_error(L, CELL, "the name of a cell, such as \"elman_tanh\",");
  return 0;
}

/* Pushes the four parameters. */
static void push_parameters(lua_State *L) {
  check_fields(L, PARAMETERS, fields);
  for (int i = 0; fields[i] != NULL; i++) {
    int is_bias = i >= 2;
    push_field(L, PARAMETERS, fields[i]);
    if (to_tensor(L, -1) == NULL && !(is_bias && lua_isnil(L, -1)))
      value_error(L, LAYER + i, "a live tensor",
                  lua_pushfstring(L, " in the field '%s'", fields[i]));
  }
}

/* Pushes the states of argument STATES; nil stands for zeros. */
static void push_states(lua_State *L, int count) {
  if (!lua_isnil(L, STATES)) {
    if (!lua_istable(L, STATES))
      argument_error(L, STATES, "a table of states, or nil");
    if (lua_rawlen(L, STATES) > (lua_Unsigned)count)
      luaL_error(L, "%s: expected at most %d states, got %d", function_name(L),
                 count, (int)lua_rawlen(L, STATES));
  }
  for (int i = 0; i < count; i++) {
    if (lua_isnil(L, STATES))
      lua_pushnil(L);
    else
      lua_rawgeti(L, STATES, i + 1);
    if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) {
      lua_pop(L, 1);
      lua_pushnil(L);
    }
    if (!lua_isnil(L, -1) && to_tensor(L, -1) == NULL)
      value_error(L, FIRST_STATE + i, "a live tensor, nil or false",
                  lua_pushfstring(L, " as state %d", i + 1));
  }
}

/* Runs the layer on what lies on the stack. */
static saros_status run(lua_State *L, saros_cell cell, saros_tensor **y,
                        saros_tensor ***last_boxes) {
  saros_tensor *last[SAROS_MAX_STATES] = {NULL};
  saros_tensor *state[SAROS_MAX_STATES] = {NULL};
  saros_layer layer = {check_tensor(L, LAYER), check_tensor(L, LAYER + 1),
                       opt_tensor(L, LAYER + 2), opt_tensor(L, LAYER + 3)};
  for (int i = 0; i < states_of[cell]; i++)
    state[i] = opt_tensor(L, FIRST_STATE + i);
  saros_status status =
      saros_recurrent(cell, check_tensor(L, INPUT), state, &layer, y, last);
  for (int i = 0; i < states_of[cell]; i++)
    *last_boxes[i] = last[i];
  return status;
}

static int recurrent(lua_State *L) {
  saros_tensor **last[SAROS_MAX_STATES];
  lua_settop(L, PARAMETERS);
  saros_cell cell = (saros_cell)check_cell(L);
  int states = states_of[cell];
  check_tensor(L, INPUT);
  lua_createtable(L, states, 0);  // RESULT
  push_parameters(L);
  push_states(L, states);
  for (int i = 0; i < states; i++) {
    last[i] = push_tensor(L);
    lua_rawseti(L, RESULT, i + 1);
  }
  saros_tensor **y = push_tensor(L);
  ATTEMPT(L, run(L, cell, y, last));
  new_tensor(L, y);
  lua_pushvalue(L, RESULT);
  return 2;
}

static const luaL_Reg functions[] = {{"recurrent", recurrent}, {NULL, NULL}};

void open_recurrent(lua_State *L) {
  register_functions(L, MODULE, functions);
}
