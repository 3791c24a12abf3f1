/*
** Sessions. A step from Lua makes no object: its results lie in tensors that
** are made with the session and kept as its user values.
*/
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "binding.h"

static saros_session *check_session(lua_State *L) {
  return *(saros_session **)bind_check_box(L, 1, SESSION);
}

/* --- What a session is made of ---------------------------------------------------- */

static const char *const stage_kinds[] = {
    [SAROS_STAGE_EMBEDDING] = "embedding",
    [SAROS_STAGE_LINEAR] = "linear",
    [SAROS_STAGE_LAYER_NORM] = "layer_norm",
    [SAROS_STAGE_FUNCTION] = "function",
    [SAROS_STAGE_RECURRENT] = "recurrent",
    [SAROS_STAGE_ADD] = "add",
    [SAROS_STAGE_ATTENTION] = "attention",
};

static const char *kind_name(int kind) {
  return stage_kinds[kind];
}

static const char *function_of(int function) {
  return saros_function_name((saros_function)function);
}

static const char *cell_name(int cell) {
  return saros_cell_of((saros_cell)cell).name;
}

/* The number of the name in a field of the value on top; 'otherwise' if the
** field is nil. */
static int field_name(lua_State *L, const char *field, int count,
                      const char *(*name)(int), int otherwise) {
  int table = lua_gettop(L), found = otherwise;
  if (bind_push_field(L, table, field) != LUA_TNIL) {
    const char *text =
        lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    for (found = 0; found < count && strcmp(text, name(found)) != 0; found++)
      ;
  }
  if (found < 0 || found >= count)
    bind_field_error(L, "a known name", field);
  lua_pop(L, 1);
  return found;
}

enum { STAGES = 1, STREAMS, WEIGHTS, HOLDS, LIST };

/* The tensor in a field of the stage on top, null if there is none. A box in
** HOLDS keeps it alive, whatever finalizers do meanwhile. */
static saros_tensor *stage_tensor(lua_State *L, const char *field) {
  int stage = lua_gettop(L);
  saros_tensor *x = NULL;
  if (bind_push_field(L, stage, field) != LUA_TNIL) {
    if (bind_to_tensor(L, -1) == NULL)
      bind_field_error(L, "a live tensor", field);
    x = bind_hold_tensor(L, lua_gettop(L));
    lua_rawseti(L, HOLDS, (lua_Integer)lua_rawlen(L, HOLDS) + 1);
  }
  lua_settop(L, stage);
  return x;
}

static saros_layer stage_layer(lua_State *L) {
  return (saros_layer){
      .weight_ih = stage_tensor(L, "weight_ih"),
      .weight_hh = stage_tensor(L, "weight_hh"),
      .bias_ih = stage_tensor(L, "bias_ih"),
      .bias_hh = stage_tensor(L, "bias_hh"),
      .weight_hr = stage_tensor(L, "weight_hr"),
      .peephole = stage_tensor(L, "peephole"),
      .norm_gain = stage_tensor(L, "norm_gain"),
      .norm_bias = stage_tensor(L, "norm_bias"),
      .norm_c_gain = stage_tensor(L, "norm_c_gain"),
      .norm_c_bias = stage_tensor(L, "norm_c_bias"),
      .nu = stage_tensor(L, "nu"),
      .theta = stage_tensor(L, "theta"),
  };
}

/* The number of stages in a field of the stage on top; 0 if it is none. */
static int field_count(lua_State *L, const char *field) {
  double count = bind_field_number(L, lua_gettop(L), field, 0);
  return count >= 1 && count <= INT_MAX ? (int)count : 0;
}

/* The stage that is the table on top. */
static saros_stage check_stage(lua_State *L) {
  int table = lua_gettop(L);
  if (!lua_istable(L, table))
    bind_value_error(L, table, "a table as each stage", "");
  saros_stage stage = {
      .kind = (saros_stage_kind)field_name(L, "kind", SAROS_STAGE_KINDS,
                                           kind_name, -1),
      .weight = stage_tensor(L, "weight"),
      .bias = stage_tensor(L, "bias"),
      .epsilon = bind_field_number(L, table, "epsilon", 0),
      .back = field_count(L, "back"),
      .distance = stage_tensor(L, "distance"),
      .function = (saros_function)field_name(L, "function", SAROS_FUNCTIONS,
                                             function_of, 0),
      .cell = (saros_cell)field_name(L, "cell", SAROS_CELLS, cell_name, 0),
      .layer = stage_layer(L),
      .norm_ih_gain = stage_tensor(L, "norm_ih_gain"),
      .norm_ih_bias = stage_tensor(L, "norm_ih_bias"),
      .gamma = stage_tensor(L, "gamma"),
      .first = {stage_tensor(L, "first_h"), stage_tensor(L, "first_c")},
      .zoneout = {bind_field_number(L, table, "zoneout_h", 0),
                  bind_field_number(L, table, "zoneout_c", 0)},
      .residual = bind_field_flag(L, table, "residual", 0),
  };
  return stage;
}

/* --- Life ---------------------------------------------------------------------------- */

/* For a single stream the result of a step is a vector. */
static saros_status share_result(saros_session *s, saros_tensor *rows,
                                 saros_tensor **out) {
  saros_session_facts facts = saros_session_of(s);
  if (facts.streams > 1)
    return saros_reshape(rows, 2, saros_tensor_shape(rows), out);
  return saros_reshape(rows, 1, &facts.outputs, out);
}

static saros_status share_output(saros_session *s, saros_tensor **out) {
  return share_result(s, saros_session_output(s), out);
}

static saros_status share_probabilities(saros_session *s, saros_tensor **out) {
  saros_tensor *rows;
  saros_status status = saros_session_probabilities(s, &rows);
  return status == SAROS_OK ? share_result(s, rows, out) : status;
}

/* Puts what a session needs beside itself into its user values; it is the value
** on top, and 'before' bytes were in use when its making began. */
static int finish_session(lua_State *L, size_t before) {
  int box = lua_gettop(L);
  saros_session **s = lua_touserdata(L, box);
  saros_session_facts facts = saros_session_of(*s);
  shape ids = {1, {facts.streams}}, x = {2, {facts.streams, facts.inputs}};
  saros_tensor **out = bind_push_tensor(L);
  ATTEMPT(L, share_output(*s, out));
  lua_setiuservalue(L, box, SESSION_OUTPUT);
  out = bind_push_tensor(L);
  ATTEMPT(L, share_probabilities(*s, out));
  lua_setiuservalue(L, box, SESSION_PROBABILITIES);
  bind_push_zeros(L, facts.symbols ? SAROS_IDS : SAROS_REAL,
                  facts.symbols ? &ids : &x);
  lua_setiuservalue(L, box, SESSION_INPUT);
  bind_push_zeros(L, SAROS_IDS, &ids);
  lua_setiuservalue(L, box, SESSION_IDS);
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

/* Reads the list at STAGES; what it makes is at HOLDS and LIST. */
static saros_stage *push_stages(lua_State *L, int *count) {
  *count = (int)lua_rawlen(L, STAGES);
  lua_settop(L, WEIGHTS);
  lua_newtable(L);  // HOLDS
  saros_stage *list =
      lua_newuserdatauv(L, ((size_t)*count + 1) * sizeof *list, 0);  // LIST
  for (int i = 0; i < *count; i++) {
    lua_rawgeti(L, STAGES, i + 1);
    list[i] = check_stage(L);
    lua_pop(L, 1);
  }
  return list;
}

/* core.session(stages, streams, weights) */
static int session_new(lua_State *L) {
  bind_check_table(L, STAGES);
  int streams = (int)bind_check_integer(L, STREAMS, 1, INT_MAX, "a size >= 1");
  int packing = check_weights(L, WEIGHTS), count;
  saros_stage *list = push_stages(L, &count);
  size_t before = saros_memory_of(bind_context_of(L)).in_use;
  saros_session **box = bind_push_box(L, SESSION);
  ATTEMPT(L, saros_session_new(bind_context_of(L), count, list, streams,
                               (saros_weights)packing, box));
  return finish_session(L, before);
}

/* s:repack(stages) */
static int session_repack(lua_State *L) {
  check_session(L);
  bind_check_table(L, 2);
  lua_settop(L, 2);
  lua_insert(L, STAGES);  // before the session
  int count;
  saros_stage *list = push_stages(L, &count);
  ATTEMPT(L, saros_session_repack(
                 *(saros_session **)bind_check_box(L, STAGES + 1, SESSION),
                 count, list));
  lua_settop(L, STAGES + 1);
  return 1;
}

static int session_gc(lua_State *L) {
  saros_session **box = bind_to_box(L, 1, SESSION);
  if (box != NULL) {
    saros_session *s = *box;
    *box = NULL;
    saros_session_release(s);
  }
  return 0;
}

static int session_fork(lua_State *L) {
  check_session(L);
  size_t before = saros_memory_of(bind_context_of(L)).in_use;
  saros_session **box = bind_push_box(L, SESSION);
  ATTEMPT(L, saros_session_fork(check_session(L), box));
  return finish_session(L, before);
}

/* --- Steps ---------------------------------------------------------------------------- */

/* Pushes a tensor of the session. A script may have closed its box; then there
** is nothing to show. */
static saros_tensor *push_own(lua_State *L, int which) {
  lua_getiuservalue(L, 1, which);
  saros_tensor *x = bind_to_tensor(L, -1);
  if (x == NULL)
    bind_failure(L,
                 "%s: expected the session's tensors to be live, got a closed "
                 "one",
                 bind_function_name(L));
  return x;
}

static int push_output(lua_State *L) {
  push_own(L, SESSION_OUTPUT);
  return 1;
}

/* Reads the id at an index of the stack, from 1; 0, and *id is 0, if it is
** none. */
static int to_id(lua_State *L, int index, saros_session_facts facts,
                 int32_t *id) {
  lua_Integer value;
  int fits = bind_to_integer(L, index, 1, facts.symbols, &value);
  *id = fits ? (int32_t)(value - 1) : 0;
  return fits;
}

/* Looks in the list on top, which may hold lists, for an element that no step
** takes. If there is one, leaves it on top, and its place, such as "[2][1]". */
static int find_odd_element(lua_State *L, saros_session_facts facts, int depth,
                            char *place, size_t room) {
  int32_t id;
  int list = lua_gettop(L), count = (int)lua_rawlen(L, list);
  for (int i = 1; i <= count; i++) {
    int used = snprintf(place, room, "[%d]", i);
    int type = lua_rawgeti(L, list, i);
    int fits = facts.symbols > 0 ? to_id(L, -1, facts, &id)
                                 : type == LUA_TNUMBER || type == LUA_TTABLE;
    if (!fits ||
        (type == LUA_TTABLE && depth == 0 &&
         find_odd_element(L, facts, 1, place + used, room - (size_t)used)))
      return 1;
    lua_settop(L, list);
  }
  return 0;
}

/* Raises an error about argument 2, which is not what a step of so many streams
** of so many features or symbols takes. */
static int wrong_input(lua_State *L, saros_session_facts facts) {
  char expected[120], place[32];
  if (facts.symbols > 0 && facts.streams == 1)
    snprintf(expected, sizeof expected, "an id in 1..%d", facts.symbols);
  else if (facts.symbols > 0)
    snprintf(expected, sizeof expected, "%d ids in 1..%d", facts.streams,
             facts.symbols);
  else if (facts.streams == 1)
    snprintf(expected, sizeof expected, "%d number%s", facts.inputs,
             facts.inputs == 1 ? "" : "s");
  else
    snprintf(expected, sizeof expected, "numbers of shape (%d, %d)",
             facts.streams, facts.inputs);
  lua_pushvalue(L, 2);
  if (lua_istable(L, 2) && find_odd_element(L, facts, 0, place, sizeof place))
    return bind_failure(L, "%s: expected %s, got %s at %s",
                        bind_function_name(L), expected,
                        bind_push_description(L, -1), place);
  return bind_argument_error(L, 2, expected);
}

/* Ids from a list into the session's own. */
static const int32_t *ids_of_list(lua_State *L, saros_session_facts facts) {
  int32_t *ids = saros_tensor_ids(push_own(L, SESSION_INPUT));
  if (lua_rawlen(L, 2) != (lua_Unsigned)facts.streams)
    wrong_input(L, facts);
  for (int row = 0; row < facts.streams; row++) {
    lua_rawgeti(L, 2, row + 1);
    if (!to_id(L, -1, facts, &ids[row]))
      wrong_input(L, facts);
    lua_pop(L, 1);
  }
  return ids;
}

static const int32_t *ids_of_tensor(lua_State *L, saros_session_facts facts) {
  saros_tensor *x = bind_check_tensor(L, 2);
  if (saros_tensor_dtype(x) != SAROS_IDS || saros_tensor_rank(x) > 1 ||
      saros_tensor_count(x) != (size_t)facts.streams)
    wrong_input(L, facts);
  if (saros_tensor_is_contiguous(x))
    return saros_tensor_ids(x);
  int32_t *ids = saros_tensor_ids(push_own(L, SESSION_INPUT));
  for (int row = 0; row < facts.streams; row++)
    ids[row] = (int32_t)saros_tensor_get(x, (size_t)row);
  return ids;
}

static void step_ids(lua_State *L, saros_session_facts facts) {
  int32_t id;
  const int32_t *ids = &id;
  if (lua_istable(L, 2))
    ids = ids_of_list(L, facts);
  else if (bind_to_box(L, 2, TENSOR) != NULL)
    ids = ids_of_tensor(L, facts);
  else if (facts.streams > 1 || !to_id(L, 2, facts, &id))
    wrong_input(L, facts);
  RUN(L, saros_session_step_ids(check_session(L), ids));
}

/* Numbers from the list on top, which may hold lists of them. */
static saros_real *read_list(lua_State *L, saros_session_facts facts,
                             saros_real *to, int count, int depth) {
  int list = lua_gettop(L), n = (int)lua_rawlen(L, list);
  for (int i = 0; i < n; i++) {
    int type = lua_rawgeti(L, list, i + 1);
    if (type == LUA_TTABLE && depth == 0 && n == facts.streams) {
      to = read_list(L, facts, to, facts.inputs, 1);
    } else if (type == LUA_TNUMBER && n == count) {
      *to++ = (saros_real)lua_tonumber(L, -1);
    } else {
      wrong_input(L, facts);
    }
    lua_pop(L, 1);
  }
  if (n == 0)
    wrong_input(L, facts);
  return to;
}

/* A list of numbers is one row, or one column. */
static const saros_real *features_of_list(lua_State *L,
                                          saros_session_facts facts) {
  saros_real *x = saros_tensor_reals(push_own(L, SESSION_INPUT));
  int one = facts.streams == 1 || facts.inputs == 1;
  lua_pushvalue(L, 2);
  read_list(L, facts, x, one ? facts.streams * facts.inputs : -1, 0);
  return x;
}

static const saros_real *features_of_tensor(lua_State *L,
                                            saros_session_facts facts) {
  saros_tensor *x = bind_check_tensor(L, 2);
  const int *sizes = saros_tensor_shape(x);
  int rank = saros_tensor_rank(x);
  size_t count = (size_t)facts.streams * (size_t)facts.inputs;
  int fits = rank == 2 ? sizes[0] == facts.streams && sizes[1] == facts.inputs
                       : rank < 2 && saros_tensor_count(x) == count &&
                             (facts.streams == 1 || facts.inputs == 1);
  if (saros_tensor_dtype(x) != SAROS_REAL || !fits)
    wrong_input(L, facts);
  if (saros_tensor_is_contiguous(x))
    return saros_tensor_reals(x);
  saros_real *own = saros_tensor_reals(push_own(L, SESSION_INPUT));
  for (size_t i = 0; i < count; i++)
    own[i] = (saros_real)saros_tensor_get(x, i);
  return own;
}

static void step_features(lua_State *L, saros_session_facts facts) {
  saros_real number;
  const saros_real *x = &number;
  if (lua_istable(L, 2)) {
    x = features_of_list(L, facts);
  } else if (bind_to_box(L, 2, TENSOR) != NULL) {
    x = features_of_tensor(L, facts);
  } else if (lua_type(L, 2) == LUA_TNUMBER && facts.inputs == 1 &&
             facts.streams == 1) {
    number = (saros_real)lua_tonumber(L, 2);
  } else {
    wrong_input(L, facts);
  }
  RUN(L, saros_session_step(check_session(L), x));
}

static int session_step(lua_State *L) {
  lua_settop(L, 2);
  saros_session_facts facts = saros_session_of(check_session(L));
  if (facts.symbols > 0)
    step_ids(L, facts);
  else
    step_features(L, facts);
  return push_output(L);
}

static int session_logits(lua_State *L) {
  check_session(L);
  return push_output(L);
}

static int session_probabilities(lua_State *L) {
  saros_tensor *rows;
  RUN(L, saros_session_probabilities(check_session(L), &rows));
  push_own(L, SESSION_PROBABILITIES);
  return 1;
}

/* --- Sampling ---------------------------------------------------------------------------- */

/* s:sample(generator, options): an id, or ids (streams). */
static int session_sample(lua_State *L) {
  lua_settop(L, 3);
  saros_session *s = check_session(L);
  saros_tensor *ids = push_own(L, SESSION_IDS);
  saros_generator *generator =
      lua_isnil(L, 2) ? NULL : bind_check_generator(L, 2);
  saros_sampling how = bind_check_sampling(L, 3, s);
  if (generator == NULL && how.temperature != 0 && how.top_k != 1)
    bind_argument_error(L, 2, "a generator");
  RUN(L, saros_tensor_writable(ids, bind_function_name(L)));
  RUN(L, saros_session_sample(s, generator, &how, saros_tensor_ids(ids)));
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
  int streams = saros_session_of(check_session(L)).streams, row = -1;
  char expected[40];
  snprintf(expected, sizeof expected, "a row in 1..%d", streams);
  if (!lua_isnoneornil(L, 2))
    row = (int)bind_check_integer(L, 2, 1, streams, expected) - 1;
  RUN(L, saros_session_reset(check_session(L), row));
  return itself(L);
}

static int session_dump(lua_State *L) {
  luaL_Buffer bytes;
  lua_settop(L, 1);
  size_t size = saros_session_dump_size(check_session(L));
  char *to = luaL_buffinitsize(L, &bytes, size);
  saros_session_dump(check_session(L), to);
  luaL_pushresultsize(&bytes, size);
  return 1;
}

static int session_restore(lua_State *L) {
  size_t size;
  check_session(L);
  if (lua_type(L, 2) != LUA_TSTRING)
    bind_argument_error(L, 2, "the string that dump returned");
  const char *bytes = lua_tolstring(L, 2, &size);
  RUN(L, saros_session_restore(check_session(L), bytes, size));
  return itself(L);
}

static int session_streams(lua_State *L) {
  lua_pushinteger(L, saros_session_of(check_session(L)).streams);
  return 1;
}

static int session_tostring(lua_State *L) {
  saros_session **box = bind_to_box(L, 1, SESSION);
  if (box == NULL)
    bind_argument_error(L, 1, "a session");
  else if (*box == NULL)
    lua_pushliteral(L, "session (closed)");
  else {
    saros_session_facts facts = saros_session_of(*box);
    lua_pushfstring(L, "session (%d %s -> %d, %d stream%s)",
                    facts.symbols ? facts.symbols : facts.inputs,
                    facts.symbols ? "symbols" : "features", facts.outputs,
                    facts.streams, facts.streams == 1 ? "" : "s");
  }
  return 1;
}

/* --- Registration ---------------------------------------------------------------------------- */

static const luaL_Reg functions[] = {{"session", session_new}, {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"step", session_step},
    {"logits", session_logits},
    {"probabilities", session_probabilities},
    {"reset", session_reset},
    {"dump", session_dump},
    {"restore", session_restore},
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
  bind_register_functions(L, MODULE, functions);
  bind_register_type(L, SESSION, metamethods, methods);
  bind_push_sampling_fields(L);
  bind_push_function(L, "sample", session_sample);
  lua_setfield(L, -2, "sample");
  lua_pop(L, 1);
}
