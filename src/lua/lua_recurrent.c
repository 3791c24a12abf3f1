/*
** Recurrent layers: one call runs a layer over a whole sequence.
*/
#include <string.h>

#include "binding.h"

/* The fields of the parameters, in the order of their places on the stack. */
static const char *const parameter_fields[] = {
    "weight_ih",   "weight_hh",   "bias_ih",   "bias_hh",
    "weight_hr",   "peephole",    "norm_gain", "norm_bias",
    "norm_c_gain", "norm_c_bias", "table",     "nu",
    "theta",       "first_h",     "first_c",   NULL};

/* Likewise those of the steps that are tensors; "reverse" is the other one. */
static const char *const step_fields[] = {
    "mask", "reset", "dropout", "zoneout_h", "zoneout_c", "reverse", NULL};

enum { PARAMETER_COUNT = 15, WEIGHT_HH = 1, STEP_COUNT = 5 };

/* Arguments, then where the values that they hold are brought. */
enum {
  CELL = 1,
  INPUT,
  STATES,
  PARAMETERS,
  STEPS,
  RESULT,  // the list of last states
  LAYER,
  WALK = LAYER + PARAMETER_COUNT,
  FIRST_STATE = WALK + STEP_COUNT
};

static int check_cell(lua_State *L) {
  if (lua_type(L, CELL) == LUA_TSTRING)
    for (int i = 0; i < SAROS_CELLS; i++)
      if (strcmp(lua_tostring(L, CELL), saros_cell_of((saros_cell)i).name) == 0)
        return i;
  bind_argument_error(L, CELL, "the name of a cell, such as \"elman_tanh\",");
  return 0;
}

/* Pushes the tensors in the first 'count' fields of a table, nil where there is
** none; 'needed' is the index of a field that must be there, or -1. */
static void push_tensors(lua_State *L, int table, const char *const *fields,
                         int count, int needed) {
  bind_check_fields(L, table, fields);
  for (int i = 0; i < count; i++) {
    bind_push_field(L, table, fields[i]);
    if (bind_to_tensor(L, -1) == NULL && (i == needed || !lua_isnil(L, -1)))
      bind_field_error(L, "a live tensor", fields[i]);
  }
}

static void push_steps(lua_State *L) {
  if (!lua_isnil(L, STEPS)) {
    push_tensors(L, STEPS, step_fields, STEP_COUNT, -1);
    return;
  }
  for (int i = 0; i < STEP_COUNT; i++)
    lua_pushnil(L);
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

static saros_layer layer_on_stack(lua_State *L) {
  saros_tensor *t[PARAMETER_COUNT];
  for (int i = 0; i < PARAMETER_COUNT; i++)
    t[i] = bind_opt_tensor(L, LAYER + i);
  return (saros_layer){t[0], t[1], t[2],  t[3],  t[4],  t[5],  t[6], t[7],
                       t[8], t[9], t[10], t[11], t[12], t[13], t[14]};
}

static saros_steps steps_on_stack(lua_State *L, int reverse) {
  saros_tensor *t[STEP_COUNT];
  for (int i = 0; i < STEP_COUNT; i++)
    t[i] = bind_opt_tensor(L, WALK + i);
  return (saros_steps){reverse, t[0], t[1], t[2], t[3], t[4]};
}

/* Runs the layer on what lies on the stack. */
static saros_status run(lua_State *L, saros_cell cell, int reverse,
                        saros_tensor **y, saros_tensor ***last_boxes) {
  saros_tensor *last[SAROS_MAX_STATES] = {NULL};
  saros_tensor *state[SAROS_MAX_STATES] = {NULL};
  saros_layer layer = layer_on_stack(L);
  saros_steps steps = steps_on_stack(L, reverse);
  int states = saros_cell_of(cell).states;
  for (int i = 0; i < states; i++)
    state[i] = bind_opt_tensor(L, FIRST_STATE + i);
  saros_status status = saros_recurrent(cell, bind_check_tensor(L, INPUT),
                                        state, &layer, &steps, y, last);
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
  luaL_checkstack(L, FIRST_STATE + 2 * SAROS_MAX_STATES, bind_function_name(L));
  saros_cell cell = (saros_cell)check_cell(L);
  int states = saros_cell_of(cell).states;
  bind_check_tensor(L, INPUT);
  lua_createtable(L, states, 0);  // RESULT
  push_tensors(L, PARAMETERS, parameter_fields, PARAMETER_COUNT,
               saros_cell_of(cell).linear ? -1 : WEIGHT_HH);
  push_steps(L);
  push_states(L, states);
  int reverse = get_reverse(L);
  for (int i = 0; i < states; i++) {
    last[i] = bind_push_tensor(L);
    lua_rawseti(L, RESULT, i + 1);
  }
  saros_tensor **y = bind_push_tensor(L);
  ATTEMPT_AS(L, saros_cell_of(cell).name, run(L, cell, reverse, y, last));
  bind_new_tensor_as(L, saros_cell_of(cell).name, y);
  lua_pushvalue(L, RESULT);
  return 2;
}

static int keep(lua_State *L) {
  lua_settop(L, 3);
  int reverse = bind_opt_flag(L, 3, 0);
  saros_tensor **out = bind_push_tensor(L);
  ATTEMPT(L, saros_keep(bind_check_tensor(L, 1), bind_opt_tensor(L, 2), reverse,
                        out));
  return bind_new_tensor(L, out);
}

static int mask_rows(lua_State *L) {
  lua_settop(L, 2);
  saros_tensor **out = bind_push_tensor(L);
  ATTEMPT(L, saros_mask_rows(bind_check_tensor(L, 1), bind_check_tensor(L, 2),
                             out));
  return bind_new_tensor(L, out);
}

static const luaL_Reg functions[] = {{"recurrent", recurrent},
                                     {"keep", keep},
                                     {"mask_rows", mask_rows},
                                     {NULL, NULL}};

void bind_open_recurrent(lua_State *L) {
  bind_register_functions(L, MODULE, functions);
}
