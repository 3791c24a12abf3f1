/*
** Programs: what a model computes in a step, read from JSON, over sequences.
*/
#include <string.h>

#include "binding.h"

static saros_program *check_program(lua_State *L, int arg) {
  return *(saros_program **)bind_check_box(L, arg, BIND_PROGRAM);
}

static int program(lua_State *L) {
  size_t size;
  lua_settop(L, 1);
  if (lua_type(L, 1) != LUA_TSTRING)
    bind_argument_error(L, 1, "JSON text");
  const char *text = lua_tolstring(L, 1, &size);
  saros_program **box = bind_push_box(L, BIND_PROGRAM);
  BIND_ATTEMPT(L, saros_program_read(bind_context_of(L), text, size, box));
  return 1;
}

static int program_gc(lua_State *L) {
  saros_program **box = bind_to_box(L, 1, BIND_PROGRAM);
  if (box != NULL) {
    saros_program *object = *box;
    *box = NULL;
    saros_program_release(object);
  }
  return 0;
}

/* "saros.Program: x (64) -> y (128), 1 state" */
static int program_tostring(lua_State *L) {
  saros_program **box = bind_to_box(L, 1, BIND_PROGRAM);
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

/* --- Whole sequences ----------------------------------------------------------------- */

static const char *const run_fields[] = {
    "parameters", "inputs", "state",     "dropout", "zoneout",
    "mask",       "reset",  "generator", "plain",   NULL};

/* Places on the stack: the first five are lists of tensors by number, or false,
** of which the fields of the argument are tables by name. */
enum {
  RUN_SELF = 1,
  RUN_GIVEN,
  RUN_PARAMETERS,
  RUN_INPUTS,
  RUN_STATE,
  RUN_DROPOUT,
  RUN_ZONEOUT,
  RUN_MASK,
  RUN_RESET,
  RUN_GENERATOR,
  RUN_OUTPUTS,
  RUN_LAST,
  RUN_ARRAY,
  RUN_LISTS = RUN_ZONEOUT - RUN_PARAMETERS + 1
};

static const char *name_of(lua_State *L, int list, int number) {
  const saros_program *p = check_program(L, RUN_SELF);
  if (list == RUN_PARAMETERS)
    return saros_program_parameter(p, number).name;
  if (list == RUN_INPUTS)
    return saros_program_input(p, number).name;
  if (list == RUN_OUTPUTS)
    return saros_program_output(p, number).name;
  return saros_program_state(p, number).name;
}

static int count_of(lua_State *L, int list) {
  saros_program_facts facts = saros_program_of(check_program(L, RUN_SELF));
  return list == RUN_PARAMETERS ? facts.parameters
         : list == RUN_INPUTS   ? facts.inputs
         : list == RUN_OUTPUTS  ? facts.outputs
                                : facts.states;
}

/* Refuses names in the table on top that the list does not have, where it has
** more than were found. */
static void refuse_names(lua_State *L, int list, int found) {
  int table = lua_gettop(L), count = 0;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
    count++;
  if (count == found)
    return;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    const char *name =
        lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
    int number = count_of(L, list);
    while (name != NULL && --number >= 0)
      if (strcmp(name_of(L, list, number), name) == 0)
        break;
    if (name == NULL || number < 0)
      bind_value_error(L, table + 1, "the names of the program's alone",
                       " in %s", run_fields[list - RUN_PARAMETERS]);
  }
}

/* Pushes the list for a field, or nil where there is none. */
static void push_list(lua_State *L, int list) {
  const char *field = run_fields[list - RUN_PARAMETERS];
  int type = bind_push_field(L, RUN_GIVEN, field), found = 0;
  if (type == LUA_TNIL)
    return;
  if (type != LUA_TTABLE)
    bind_field_error(L, "a table of tensors by name", field);
  int table = lua_gettop(L), count = count_of(L, list);
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    bind_push_field(L, table, name_of(L, list, i));
    if (lua_isnil(L, -1))
      lua_pushboolean(L, 0);
    else if (bind_to_tensor(L, -1) == NULL)
      bind_field_error(L, "a live tensor", name_of(L, list, i));
    found += lua_type(L, -1) == LUA_TUSERDATA;
    lua_rawseti(L, table + 1, i + 1);
    lua_settop(L, table + 1);
  }
  lua_insert(L, table);
  refuse_names(L, list, found);
  lua_settop(L, table);
}

static void push_results(lua_State *L, int list) {
  int count = count_of(L, list);
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    bind_push_tensor(L);
    lua_rawseti(L, list, i + 1);
  }
}

/* The tensors of a list in an array, null where it has none; null for no list. */
static saros_tensor **fetch(lua_State *L, int list, saros_tensor **array) {
  int count = count_of(L, list);
  if (!lua_istable(L, list))
    return NULL;
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, list, i + 1);
    array[i] = bind_to_tensor(L, -1);
    lua_pop(L, 1);
  }
  return array;
}

static void store(lua_State *L, int list, saros_tensor **made) {
  int count = count_of(L, list);
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, list, i + 1);
    *(saros_tensor **)lua_touserdata(L, -1) = made[i];
    lua_pop(L, 1);
  }
}

static saros_status run(lua_State *L) {
  saros_tensor **at = lua_touserdata(L, RUN_ARRAY), **list[RUN_LISTS];
  for (int i = 0; i < RUN_LISTS; i++) {
    list[i] = fetch(L, RUN_PARAMETERS + i, at);
    at += count_of(L, RUN_PARAMETERS + i);
  }
  saros_tensor **outputs = at, **last = at + count_of(L, RUN_OUTPUTS);
  saros_program_options how = {
      .size = sizeof how,
      .mask = bind_opt_tensor(L, RUN_MASK),
      .reset = bind_opt_tensor(L, RUN_RESET),
      .generator = lua_isnil(L, RUN_GENERATOR)
                       ? NULL
                       : bind_check_generator(L, RUN_GENERATOR),
      .dropout = list[RUN_DROPOUT - RUN_PARAMETERS],
      .zoneout = list[RUN_ZONEOUT - RUN_PARAMETERS],
      .plain = bind_field_flag(L, RUN_GIVEN, "plain", 0)};
  saros_status status =
      saros_program_run(check_program(L, RUN_SELF), list[0], list[1], list[2],
                        &how, outputs, last);
  if (status == SAROS_OK) {
    store(L, RUN_OUTPUTS, outputs);
    store(L, RUN_LAST, last);
  }
  return status;
}

/* Pushes a table by name of the results in a list. */
static void push_by_name(lua_State *L, int list) {
  int count = count_of(L, list);
  lua_createtable(L, 0, count);
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, list, i + 1);
    bind_new_tensor(L, lua_touserdata(L, -1));
    lua_setfield(L, -2, name_of(L, list, i));
  }
}

static int program_run(lua_State *L) {
  lua_settop(L, 2);
  luaL_checkstack(L, RUN_ARRAY + LUA_MINSTACK, bind_function_name(L));
  check_program(L, RUN_SELF);
  bind_check_fields(L, RUN_GIVEN, run_fields);
  size_t room = 0;
  for (int list = RUN_PARAMETERS; list <= RUN_ZONEOUT; list++) {
    push_list(L, list);
    room += (size_t)count_of(L, list);
  }
  for (int list = RUN_PARAMETERS; list <= RUN_INPUTS; list++)
    if (lua_isnil(L, list) && count_of(L, list) > 0)
      bind_failure(L, "run: expected %s, a table by name, got nil",
                   run_fields[list - RUN_PARAMETERS]);
  bind_push_field_tensor(L, RUN_GIVEN, "mask");
  bind_push_field_tensor(L, RUN_GIVEN, "reset");
  if (bind_push_field(L, RUN_GIVEN, "generator") != LUA_TNIL &&
      bind_to_box(L, -1, BIND_GENERATOR) == NULL)
    bind_field_error(L, "a generator", "generator");
  push_results(L, RUN_OUTPUTS);
  push_results(L, RUN_LAST);
  room += (size_t)count_of(L, RUN_OUTPUTS) + (size_t)count_of(L, RUN_LAST);
  memset(lua_newuserdatauv(L, (room + 1) * sizeof(saros_tensor *), 0), 0,
         (room + 1) * sizeof(saros_tensor *));
  BIND_ATTEMPT_AS(L, "program", run(L));
  push_by_name(L, RUN_OUTPUTS);
  push_by_name(L, RUN_LAST);
  return 2;
}

static const luaL_Reg functions[] = {{"program", program}, {NULL, NULL}};

static const luaL_Reg metamethods[] = {
    {"__gc", program_gc}, {"__tostring", program_tostring}, {NULL, NULL}};

static const luaL_Reg methods[] = {{"inputs", program_inputs},
                                   {"outputs", program_outputs},
                                   {"states", program_states},
                                   {"parameters", program_parameters},
                                   {"text", program_text},
                                   {"run", program_run},
                                   {NULL, NULL}};

void bind_open_program(lua_State *L) {
  bind_register_type(L, BIND_PROGRAM, metamethods, methods);
  lua_pop(L, 1);
  bind_register_functions(L, BIND_MODULE, functions);
}
