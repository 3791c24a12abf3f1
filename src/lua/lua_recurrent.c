/*
** Recurrent layers: one call runs a layer over a whole sequence.
*/
#include <string.h>

#include "binding.h"

/* The fields of the steps that are tensors; "reverse" is the other one. */
static const char *const step_fields[] = {
    "mask", "reset", "dropout", "zoneout_h", "zoneout_c", "reverse", NULL};

enum { STEP_COUNT = 5 };

/* Arguments, then where the values that they hold are brought. */
enum {
  CELL = 1,
  INPUT,
  STATES,
  PARAMETERS,
  STEPS,
  RESULT,  // the list of last states
  NAMED,   // room for the array of parameters
  WALK,
  FIRST_STATE = WALK + STEP_COUNT,
  LAYER = FIRST_STATE + SAROS_MAX_STATES  // names and tensors of the parameters
};

static int check_cell(lua_State *L) {
  if (lua_type(L, CELL) == LUA_TSTRING)
    for (int i = 0; i < SAROS_CELLS; i++)
      if (strcmp(lua_tostring(L, CELL), saros_cell_of((saros_cell)i).name) == 0)
        return i;
  bind_argument_error(L, CELL, "the name of a cell, such as \"elman_tanh\",");
  return 0;
}

/* Pushes the tensors among the steps, nil where there is none. */
static void push_steps(lua_State *L) {
  if (!lua_isnil(L, STEPS))
    bind_check_fields(L, STEPS, step_fields);
  for (int i = 0; i < STEP_COUNT; i++)
    bind_push_field_tensor(L, STEPS, step_fields[i]);
}

/* Counts the fields of the table of parameters, whose names must be text. */
static int count_parameters(lua_State *L) {
  int count = 0;
  if (!lua_istable(L, PARAMETERS))
    bind_argument_error(L, PARAMETERS, "a table of parameters");
  for (lua_pushnil(L); lua_next(L, PARAMETERS) != 0; lua_pop(L, 1), count++)
    if (lua_type(L, -2) != LUA_TSTRING)
      bind_argument_error(L, PARAMETERS, "a table of parameters by name");
  return count;
}

/* Pushes the name and the tensor of each parameter, at most 'count'; returns how
** many. The cell knows which names there are. */
static int push_parameters(lua_State *L, int count) {
  int found = 0;
  lua_pushnil(L);
  for (; found < count && lua_next(L, PARAMETERS) != 0; found++) {
    if (bind_to_tensor(L, -1) == NULL)
      bind_field_error(L, "a live tensor", lua_tostring(L, -2));
    lua_pushvalue(L, -2);  // the key, for the next one
  }
  return found;
}

static saros_named_tensor *parameters_on_stack(lua_State *L, int count) {
  saros_named_tensor *named = lua_touserdata(L, NAMED);
  for (int i = 0; i < count; i++) {
    named[i].name = lua_tostring(L, LAYER + 2 * i);
    named[i].tensor = bind_check_tensor(L, LAYER + 2 * i + 1);
  }
  return named;
}

/* Pushes the states of argument STATES; nil stands for zeros. */
static void push_states(lua_State *L, int count) {
  if (!lua_isnil(L, STATES)) {
    if (!lua_istable(L, STATES))
      bind_argument_error(L, STATES, "a table of states, or nil");
    if (lua_rawlen(L, STATES) > (lua_Unsigned)count)
      bind_failure(L, "%s: expected at most %d states, got %d",
                   bind_function_name(L), count, (int)lua_rawlen(L, STATES));
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
    if (!lua_isnil(L, -1) && bind_to_tensor(L, -1) == NULL)
      bind_value_error(L, FIRST_STATE + i, "a live tensor, nil or false",
                       " as state %d", i + 1);
  }
}

static saros_steps steps_on_stack(lua_State *L, int reverse) {
  saros_tensor *t[STEP_COUNT];
  for (int i = 0; i < STEP_COUNT; i++)
    t[i] = bind_opt_tensor(L, WALK + i);
  return (saros_steps){reverse, t[0], t[1], t[2], t[3], t[4]};
}

/* Runs the layer on what lies on the stack. */
static saros_status run(lua_State *L, saros_cell cell, int count, int reverse,
                        saros_tensor **y, saros_tensor ***last_boxes) {
  saros_tensor *last[SAROS_MAX_STATES] = {NULL};
  saros_tensor *state[SAROS_MAX_STATES] = {NULL};
  saros_steps steps = steps_on_stack(L, reverse);
  int states = saros_cell_of(cell).states;
  for (int i = 0; i < states; i++)
    state[i] = bind_opt_tensor(L, FIRST_STATE + i);
  saros_status status =
      saros_recurrent(cell, bind_check_tensor(L, INPUT), state,
                      parameters_on_stack(L, count), count, &steps, y, last);
  for (int i = 0; i < states; i++)
    *last_boxes[i] = last[i];
  return status;
}

static int get_reverse(lua_State *L) {
  if (lua_isnil(L, STEPS))
    return 0;
  bind_push_field(L, STEPS, "reverse");
  int reverse = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return reverse;
}

static int recurrent(lua_State *L) {
  saros_tensor **last[SAROS_MAX_STATES];
  lua_settop(L, STEPS);
  saros_cell cell = (saros_cell)check_cell(L);
  const saros_cell_facts facts = saros_cell_of(cell);
  bind_check_tensor(L, INPUT);
  int count = count_parameters(L);
  luaL_checkstack(L, LAYER + 2 * count + SAROS_MAX_STATES + 8,
                  bind_function_name(L));
  lua_createtable(L, facts.states, 0);  // RESULT
  lua_newuserdatauv(L, (size_t)count * sizeof(saros_named_tensor), 0);
  push_steps(L);
  push_states(L, facts.states);
  lua_settop(L, LAYER - 1);
  count = push_parameters(L, count);
  int reverse = get_reverse(L);
  for (int i = 0; i < facts.states; i++) {
    last[i] = bind_push_tensor(L);
    lua_rawseti(L, RESULT, i + 1);
  }
  saros_tensor **y = bind_push_tensor(L);
  BIND_ATTEMPT_AS(L, facts.name, run(L, cell, count, reverse, y, last));
  bind_new_tensor_as(L, facts.name, y);
  lua_pushvalue(L, RESULT);
  return 2;
}

static int keep(lua_State *L) {
  lua_settop(L, 3);
  int reverse = bind_opt_flag(L, 3, 0);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_keep(bind_check_tensor(L, 1), bind_opt_tensor(L, 2),
                             reverse, out));
  return bind_new_tensor(L, out);
}

static int mask_rows(lua_State *L) {
  lua_settop(L, 2);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_mask_rows(bind_check_tensor(L, 1),
                                  bind_check_tensor(L, 2), out));
  return bind_new_tensor(L, out);
}

static const luaL_Reg functions[] = {{"recurrent", recurrent},
                                     {"keep", keep},
                                     {"mask_rows", mask_rows},
                                     {NULL, NULL}};

void bind_open_recurrent(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
}
