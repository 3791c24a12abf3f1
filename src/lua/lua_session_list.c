/*
** Sessions of models that are lists of stages.
*/
#include <limits.h>
#include <string.h>

#include "binding.h"

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
int bind_list_session(lua_State *L) {
  bind_check_table(L, STAGES);
  int streams = (int)bind_check_integer(L, STREAMS, 1, INT_MAX, "a size >= 1");
  int packing = bind_check_weights(L, WEIGHTS), count;
  saros_stage *list = push_stages(L, &count);
  size_t before = saros_memory_of(bind_context_of(L)).in_use;
  saros_session **box = bind_push_box(L, SESSION);
  ATTEMPT(L, saros_session_new_list(bind_context_of(L), count, list, streams,
                                    (saros_weights)packing, box));
  return bind_finish_session(L, before);
}

/* s:repack(stages) */
int bind_repack_list(lua_State *L) {
  bind_check_session(L);
  bind_check_table(L, 2);
  lua_settop(L, 2);
  lua_insert(L, STAGES);  // before the session
  int count;
  saros_stage *list = push_stages(L, &count);
  ATTEMPT(L, saros_session_repack_list(
                 *(saros_session **)bind_check_box(L, STAGES + 1, SESSION),
                 count, list));
  lua_settop(L, STAGES + 1);
  return 1;
}

/* True unless it is a list of tensors. */
int bind_is_stages(lua_State *L, int arg) {
  lua_rawgeti(L, arg, 1);
  int is = bind_to_tensor(L, -1) == NULL;
  lua_pop(L, 1);
  return is;
}
