/*
** Programs: what a model computes in a step, read from JSON.
*/
#include "binding.h"

static saros_program *check_program(lua_State *L, int arg) {
  return *(saros_program **)bind_check_box(L, arg, PROGRAM);
}

static int program(lua_State *L) {
  size_t size;
  lua_settop(L, 1);
  if (lua_type(L, 1) != LUA_TSTRING)
    bind_argument_error(L, 1, "JSON text");
  const char *text = lua_tolstring(L, 1, &size);
  saros_program **box = bind_push_box(L, PROGRAM);
  ATTEMPT(L, saros_program_read(bind_context_of(L), text, size, box));
  return 1;
}

static int program_gc(lua_State *L) {
  saros_program **box = bind_to_box(L, 1, PROGRAM);
  if (box != NULL) {
    saros_program *object = *box;
    *box = NULL;
    saros_program_release(object);
  }
  return 0;
}

/* "saros.Program: x (64) -> y (128), 1 state" */
static int program_tostring(lua_State *L) {
  saros_program **box = bind_to_box(L, 1, PROGRAM);
  if (box == NULL || *box == NULL) {
    lua_pushliteral(L, "program (closed)");
    return 1;
  }
  saros_program_facts facts = saros_program_of(*box);
  lua_pushfstring(L, "program (%d nodes, %d inputs, %d outputs, %d states)",
                  facts.nodes, facts.inputs, facts.outputs, facts.states);
  return 1;
}

static int program_text(lua_State *L) {
  size_t size;
  lua_settop(L, 1);
  const char *text = saros_program_text(check_program(L, 1), &size);
  lua_pushlstring(L, text, size);
  return 1;
}

/* --- Facts ------------------------------------------------------------------------- */

static void set_integer(lua_State *L, const char *name, int value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, name);
}

/* The program is fetched again for each item, since its name needs memory. */
static int push_values(lua_State *L, int count,
                       saros_program_value (*value)(const saros_program *p,
                                                    int number)) {
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    lua_createtable(L, 0, 3);
    saros_program_value v = value(check_program(L, 1), i);
    set_integer(L, "width", v.width);
    if (v.symbols > 0)
      set_integer(L, "count", v.symbols);
    lua_pushboolean(L, v.reverse);
    if (v.reverse)
      lua_setfield(L, -2, "reverse");
    else
      lua_pop(L, 1);
    lua_pushstring(L, value(check_program(L, 1), i).name);
    lua_setfield(L, -2, "name");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int program_inputs(lua_State *L) {
  lua_settop(L, 1);
  return push_values(L, saros_program_of(check_program(L, 1)).inputs,
                     saros_program_input);
}

static int program_outputs(lua_State *L) {
  lua_settop(L, 1);
  return push_values(L, saros_program_of(check_program(L, 1)).outputs,
                     saros_program_output);
}

static int program_states(lua_State *L) {
  lua_settop(L, 1);
  return push_values(L, saros_program_of(check_program(L, 1)).states,
                     saros_program_state);
}

static void push_shape(lua_State *L, int number) {
  saros_program_tensor x = saros_program_parameter(check_program(L, 1), number);
  int rank = x.rank;
  lua_createtable(L, rank, 0);
  for (int axis = 0; axis < rank; axis++) {
    x = saros_program_parameter(check_program(L, 1), number);
    lua_pushinteger(L, x.shape[axis]);
    lua_rawseti(L, -2, axis + 1);
  }
}

static int program_parameters(lua_State *L) {
  lua_settop(L, 1);
  int count = saros_program_of(check_program(L, 1)).parameters;
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    lua_createtable(L, 0, 2);
    lua_pushstring(L, saros_program_parameter(check_program(L, 1), i).name);
    lua_setfield(L, -2, "name");
    push_shape(L, i);
    lua_setfield(L, -2, "shape");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static const luaL_Reg functions[] = {{"program", program}, {NULL, NULL}};

static const luaL_Reg metamethods[] = {
    {"__gc", program_gc}, {"__tostring", program_tostring}, {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"inputs", program_inputs}, {"outputs", program_outputs},
    {"states", program_states}, {"parameters", program_parameters},
    {"text", program_text},     {NULL, NULL}};

void bind_open_program(lua_State *L) {
  bind_register_type(L, PROGRAM, metamethods, methods);
  lua_pop(L, 1);
  bind_register_functions(L, MODULE, functions);
}
