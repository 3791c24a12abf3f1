/*
** Sessions. A step from Lua makes no object: its results lie in tensors that
** are made with the session and kept as its user values.
*/
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "binding.h"

saros_session *bind_check_session(lua_State *L) {
  return *(saros_session **)bind_check_box(L, 1, BIND_SESSION);
}

/* --- Life ---------------------------------------------------------------------------- */

/* For a single stream the result of a step is a vector. */
static saros_status share_result(saros_session *s, saros_tensor *rows,
                                 saros_tensor **out) {
  const int *sizes = saros_tensor_shape(rows);
  if (saros_session_of(s).streams > 1)
    return saros_reshape(rows, 2, sizes, out);
  return saros_reshape(rows, 1, &sizes[1], out);
}

static saros_status share_probabilities(saros_session *s, saros_tensor **out) {
  saros_tensor *rows;
  saros_status status = saros_session_probabilities(s, &rows);
  return status == SAROS_OK ? share_result(s, rows, out) : status;
}

/* The outputs by number and by name, as user values of the box at 'box'. */
static void keep_outputs(lua_State *L, int box) {
  saros_session **s = lua_touserdata(L, box);
  const int count = saros_session_of(*s).output_count;
  lua_createtable(L, count, count);
  for (int i = 0; i < count; i++) {
    saros_tensor **out = bind_push_tensor(L);
    BIND_ATTEMPT(L, share_result(*s, saros_session_output_at(*s, i), out));
    if (i == 0) {
      lua_pushvalue(L, -1);
      lua_setiuservalue(L, box, BIND_SESSION_OUTPUT);
    }
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, i + 1);
    lua_setfield(L, -2,
                 saros_program_output(saros_session_program(*s), i).name);
  }
  lua_setiuservalue(L, box, BIND_SESSION_OUTPUTS);
}

/* What steps are copied into: a tensor for each input, and at -1, -2, ... their
** names. */
static void keep_inputs(lua_State *L, int box) {
  saros_session **s = lua_touserdata(L, box);
  const saros_session_facts facts = saros_session_of(*s);
  lua_createtable(L, facts.input_count, facts.input_count);
  for (int i = 0; i < facts.input_count; i++) {
    const saros_program_value x =
        saros_program_input(saros_session_program(*s), i);
    bind_shape ids = {1, {facts.streams}},
               features = {2, {facts.streams, x.width}};
    lua_pushstring(L, x.name);
    lua_rawseti(L, -2, -i - 1);
    bind_push_zeros(L, x.symbols ? SAROS_IDS : SAROS_REAL,
                    x.symbols ? &ids : &features);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setiuservalue(L, box, BIND_SESSION_INPUT);
}

/* Puts what a session needs beside itself into its user values; it is the value
** on top, and 'before' bytes were in use when its making began. */
static int finish_session(lua_State *L, size_t before) {
  int box = lua_gettop(L);
  saros_session **s = lua_touserdata(L, box);
  bind_shape ids = {1, {saros_session_of(*s).streams}};
  if (saros_session_of(*s).input_count > BIND_SESSION_MOST_INPUTS)
    bind_failure(L, "%s: expected at most %d inputs, got %d",
                 bind_function_name(L), BIND_SESSION_MOST_INPUTS,
                 saros_session_of(*s).input_count);
  keep_outputs(L, box);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, share_probabilities(*s, out));
  lua_setiuservalue(L, box, BIND_SESSION_PROBABILITIES);
  keep_inputs(L, box);
  bind_push_zeros(L, SAROS_IDS, &ids);
  lua_setiuservalue(L, box, BIND_SESSION_IDS);
  return bind_tell_collector(L, saros_memory_of(bind_context_of(L)).in_use -
                                    before);
}

static int check_weights(lua_State *L, int arg) {
  static const char *const names[SAROS_WEIGHTS_KINDS] = {"real", "bf16",
                                                         "int8"};
  if (lua_type(L, arg) == LUA_TSTRING)
    for (int i = 0; i < SAROS_WEIGHTS_KINDS; i++)
      if (strcmp(lua_tostring(L, arg), names[i]) == 0)
        return i;
  return bind_argument_error(
      L, arg, "a kind of weights: \"real\", \"bf16\" or \"int8\"");
}

/* Pushes room for the tensors of the list at an index, one for each parameter of a
** program. They are read where the core is called: finalizers may close them. */
static saros_tensor **push_parameters(lua_State *L, int arg,
                                      const saros_program *program,
                                      int *count) {
  const int wanted = *count = saros_program_of(program).parameters;
  if (bind_check_list(L, arg) != wanted)
    bind_failure(L, "%s: expected the %d parameters of the program, got %d",
                 bind_function_name(L), wanted, (int)lua_rawlen(L, arg));
  return bind_push_array(L, wanted);
}

/* core.session(program, parameters, streams, weights, form). If there is a form,
** form.state(list) makes of the states what s:state() returns, form.set_state
** makes the list again, and form.parameters(model) the list for s:repack. */
static int session_new(lua_State *L) {
  lua_settop(L, 5);
  saros_program *program =
      *(saros_program **)bind_check_box(L, 1, BIND_PROGRAM);
  bind_check_table(L, 2);
  int streams = (int)bind_check_integer(L, 3, 1, INT_MAX, "a size >= 1");
  int packing = check_weights(L, 4), count;
  if (!lua_isnil(L, 5))
    bind_check_table(L, 5);
  saros_tensor **array = push_parameters(L, 2, program, &count);
  size_t before = saros_memory_of(bind_context_of(L)).in_use;
  saros_session **box = bind_push_box(L, BIND_SESSION);
  BIND_ATTEMPT(L, saros_session_new(bind_context_of(L), program,
                                    bind_list_tensors(L, 2, count, array),
                                    streams, (saros_weights)packing, box));
  lua_pushvalue(L, 5);
  lua_setiuservalue(L, -2, BIND_SESSION_FORM);
  return finish_session(L, before);
}

/* Pushes what the maker of the session gave by this name, or nil. */
static int push_form(lua_State *L, const char *name) {
  lua_getiuservalue(L, 1, BIND_SESSION_FORM);
  if (!lua_isnil(L, -1)) {
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
  }
  return lua_type(L, -1);
}

/* Leaves on top the list that the form makes of argument 2, the last one; without
** a form that is argument 2 itself. */
static void form_list(lua_State *L, const char *name) {
  if (push_form(L, name) == LUA_TNIL) {
    lua_settop(L, 2);
    return;
  }
  lua_pushvalue(L, 2);
  lua_call(L, 1, 1);
}

/* s:repack(model), or a list of parameters without a form. */
static int session_repack(lua_State *L) {
  bind_check_session(L);
  lua_settop(L, 2);
  form_list(L, "parameters");
  int list = lua_gettop(L), count;
  bind_check_table(L, list);
  saros_tensor **array = push_parameters(
      L, list, saros_session_program(bind_check_session(L)), &count);
  BIND_ATTEMPT(L,
               saros_session_repack(bind_check_session(L),
                                    bind_list_tensors(L, list, count, array)));
  lua_settop(L, 1);
  return 1;
}

static int session_gc(lua_State *L) {
  saros_session **box = bind_to_box(L, 1, BIND_SESSION);
  if (box != NULL) {
    saros_session *s = *box;
    *box = NULL;
    saros_session_release(s);
  }
  return 0;
}

static int session_fork(lua_State *L) {
  bind_check_session(L);
  size_t before = saros_memory_of(bind_context_of(L)).in_use;
  saros_session **box = bind_push_box(L, BIND_SESSION);
  BIND_ATTEMPT(L, saros_session_fork(bind_check_session(L), box));
  lua_getiuservalue(L, 1, BIND_SESSION_FORM);
  lua_setiuservalue(L, -2, BIND_SESSION_FORM);
  return finish_session(L, before);
}

/* --- Steps ---------------------------------------------------------------------------- */

saros_tensor *bind_check_live(lua_State *L) {
  saros_tensor **box = lua_touserdata(L, -1);
  if (box == NULL || *box == NULL)
    bind_failure(L,
                 "%s: expected the session's tensors to be live, got a closed "
                 "one",
                 bind_function_name(L));
  return *box;
}

static saros_tensor *push_own(lua_State *L, int which) {
  lua_getiuservalue(L, 1, which);
  return bind_check_live(L);
}

static int push_output(lua_State *L) {
  push_own(L, BIND_SESSION_OUTPUT);
  return 1;
}

static int session_step(lua_State *L) {
  bind_step_session(L);
  return push_output(L);
}

static int session_logits(lua_State *L) {
  bind_check_session(L);
  return push_output(L);
}

/* Refuses argument 2, which is no key of the table of outputs at 3. */
static int unknown_output(lua_State *L) {
  const saros_session *s = bind_check_session(L);
  const int count = saros_session_of(s).output_count;
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  for (int i = 0; i < count; i++) {
    if (i > 0)
      luaL_addstring(&text, ", ");
    luaL_addstring(&text,
                   saros_program_output(saros_session_program(s), i).name);
  }
  luaL_pushresult(&text);
  const char *known = lua_tostring(L, -1);
  const char *got = bind_push_description(L, 2);
  const char *hint = bind_push_hint(L, 2, 3);
  return bind_failure(
      L, "%s: expected the name or number of an output (%s), got %s%s",
      bind_function_name(L), known, got, hint);
}

/* s:output(name or number) */
static int session_output(lua_State *L) {
  bind_check_session(L);
  lua_settop(L, 2);
  if (lua_isnil(L, 2))
    return push_output(L);
  lua_getiuservalue(L, 1, BIND_SESSION_OUTPUTS);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, 3) == LUA_TNIL)
    unknown_output(L);
  bind_check_live(L);
  return 1;
}

static int session_probabilities(lua_State *L) {
  saros_tensor *rows;
  BIND_RUN(L, saros_session_probabilities(bind_check_session(L), &rows));
  push_own(L, BIND_SESSION_PROBABILITIES);
  return 1;
}

/* --- Sampling ---------------------------------------------------------------------------- */

/* s:sample(generator, options): an id, or ids (streams). */
static int session_sample(lua_State *L) {
  lua_settop(L, 3);
  bind_check_session(L);
  push_own(L, BIND_SESSION_IDS);  // 4
  if (!lua_isnil(L, 2))
    bind_check_generator(L, 2);
  saros_sampling how = bind_check_sampling(L, 3, bind_check_session(L));
  if (lua_isnil(L, 2) && how.temperature != 0 && how.top_k != 1)
    bind_argument_error(L, 2, "a generator");
  saros_session *s = bind_check_session(L);
  saros_generator *generator =
      lua_isnil(L, 2) ? NULL : bind_check_generator(L, 2);
  saros_tensor *ids = bind_check_tensor(L, 4);
  BIND_RUN(L, saros_tensor_writable(ids, bind_function_name(L)));
  BIND_RUN(L, saros_session_sample(s, generator, &how, saros_tensor_ids(ids)));
  if (saros_session_of(s).streams == 1)
    lua_pushinteger(L, (lua_Integer)saros_tensor_ids(ids)[0] + 1);
  else
    lua_pushvalue(L, 4);
  return 1;
}

/* --- The state ------------------------------------------------------------------------------ */

static int itself(lua_State *L) {
  lua_settop(L, 1);
  return 1;
}

static int session_reset(lua_State *L) {
  int streams = saros_session_of(bind_check_session(L)).streams, row = -1;
  char expected[40];
  snprintf(expected, sizeof expected, "a row in 1..%d", streams);
  if (!lua_isnoneornil(L, 2))
    row = (int)bind_check_integer(L, 2, 1, streams, expected) - 1;
  BIND_RUN(L, saros_session_reset(bind_check_session(L), row));
  return itself(L);
}

static int session_dump(lua_State *L) {
  luaL_Buffer bytes;
  lua_settop(L, 1);
  size_t size = saros_session_dump_size(bind_check_session(L));
  char *to = luaL_buffinitsize(L, &bytes, size);
  saros_session_dump(bind_check_session(L), to);
  luaL_pushresultsize(&bytes, size);
  return 1;
}

static int session_restore(lua_State *L) {
  size_t size;
  bind_check_session(L);
  if (lua_type(L, 2) != LUA_TSTRING)
    bind_argument_error(L, 2, "the string that dump returned");
  const char *bytes = lua_tolstring(L, 2, &size);
  BIND_RUN(L, saros_session_restore(bind_check_session(L), bytes, size));
  return itself(L);
}

/* --- States of layers ----------------------------------------------------------------------- */

/* s:state(): tensors (streams, width), as a list or in the form of the model. */
static int session_state(lua_State *L) {
  lua_settop(L, 1);
  int count = saros_session_of(bind_check_session(L)).state_count;
  int formed = push_form(L, "state") != LUA_TNIL;
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    saros_session *s = bind_check_session(L);
    bind_shape sizes = {
        2,
        {saros_session_of(s).streams,
         saros_program_state(saros_session_program(s), i).width}};
    saros_tensor **to = bind_push_zeros(L, SAROS_REAL, &sizes);
    BIND_ATTEMPT(L, saros_session_state(bind_check_session(L), i, *to));
    lua_rawseti(L, -2, i + 1);
  }
  if (formed)
    lua_call(L, 1, 1);
  return 1;
}

/* The tensors of the list on top, of which there must be one for each state. */
static saros_tensor **state_tensors(lua_State *L, int count) {
  int list = lua_gettop(L);
  if (bind_check_list(L, list) != count)
    bind_failure(L, "%s: expected %d tensors, got %d", bind_function_name(L),
                 count, (int)lua_rawlen(L, list));
  saros_tensor **array = bind_push_array(L, count);
  return bind_list_tensors(L, list, count, array);
}

/* s:set_state(state). If a tensor does not fit, nothing changes. */
static int session_set_state(lua_State *L) {
  bind_check_table(L, 2);
  lua_settop(L, 2);
  int count = saros_session_of(bind_check_session(L)).state_count;
  form_list(L, "set_state");
  saros_tensor **array = state_tensors(L, count);
  BIND_RUN(L, saros_session_set_states(bind_check_session(L), array));
  return itself(L);
}

static int session_streams(lua_State *L) {
  lua_pushinteger(L, saros_session_of(bind_check_session(L)).streams);
  return 1;
}

/* "session (3 features -> 5, 1 stream)"; of several inputs or outputs, how many. */
static void push_text(lua_State *L, const saros_session *s) {
  saros_session_facts facts = saros_session_of(s);
  char from[40], to[40];
  if (facts.input_count == 1)
    snprintf(from, sizeof from, "%d %s",
             facts.symbols ? facts.symbols : facts.inputs,
             facts.symbols ? "symbols" : "features");
  else
    snprintf(from, sizeof from, "%d inputs", facts.input_count);
  if (facts.output_count == 1)
    snprintf(to, sizeof to, "%d", facts.outputs);
  else
    snprintf(to, sizeof to, "%d outputs", facts.output_count);
  lua_pushfstring(L, "session (%s -> %s, %d stream%s)", from, to, facts.streams,
                  facts.streams == 1 ? "" : "s");
}

static int session_tostring(lua_State *L) {
  saros_session **box = bind_to_box(L, 1, BIND_SESSION);
  if (box == NULL)
    bind_argument_error(L, 1, "a session");
  else if (*box == NULL)
    lua_pushliteral(L, "session (closed)");
  else {
    push_text(L, *box);
  }
  return 1;
}

/* core.round_weights(w, weights): rows, scale */
static int round_weights(lua_State *L) {
  saros_tensor *w = bind_check_tensor(L, 1);
  const int weights = check_weights(L, 2);
  saros_tensor **rows = bind_push_tensor(L), **scale = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_round_weights(w, weights, rows, scale));
  bind_new_tensor(L, rows);
  return bind_new_tensor(L, scale) + 1;
}

/* --- Registration ---------------------------------------------------------------------------- */

static const luaL_Reg functions[] = {
    {"session", session_new}, {"round_weights", round_weights}, {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"step", session_step},
    {"logits", session_logits},
    {"probabilities", session_probabilities},
    {"reset", session_reset},
    {"dump", session_dump},
    {"restore", session_restore},
    {"output", session_output},
    {"state", session_state},
    {"set_state", session_set_state},
    {"fork", session_fork},
    {"repack", session_repack},
    {"streams", session_streams},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", session_gc},
    {"__tostring", session_tostring},
    {NULL, NULL},
};

void bind_open_session(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
  bind_register_type(L, BIND_SESSION, metamethods, methods);
  bind_push_sampling_fields(L);
  bind_push_function(L, "sample", session_sample);
  lua_setfield(L, -2, "sample");
  lua_pop(L, 1);
}
