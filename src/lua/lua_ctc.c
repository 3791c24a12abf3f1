/*
** Connectionist temporal classification and conditional random fields: losses
** with lengths for their rows.
*/
#include <limits.h>
#include <string.h>

#include "binding.h"

/* Arguments. */
enum { LOGITS = 1, TARGETS, OPTIONS };

static const char *const fields[] = {"input_lengths", "target_lengths", "blank",
                                     "reduction", NULL};

/* Pushes a copy of the lengths in a field, one for each row, or nil where the
** field is; returns the copy or null. The core judges their size. */
static const int *push_lengths(lua_State *L, const char *name, int rows) {
  if (bind_push_field(L, OPTIONS, name) == LUA_TNIL)
    return NULL;
  int table = lua_gettop(L);
  if (!lua_istable(L, table))
    bind_field_error(L, "a table of lengths", name);
  if (lua_rawlen(L, table) != (lua_Unsigned)rows)
    bind_failure(L, "%s: expected %d %s, one for each row, got %I",
                 bind_function_name(L), rows, name,
                 (LUAI_UACINT)lua_rawlen(L, table));
  int *lengths = lua_newuserdatauv(L, (size_t)rows * sizeof *lengths, 0);
  for (int row = 0; row < rows; row++) {
    lua_Integer length;
    lua_rawgeti(L, table, row + 1);
    if (!bind_to_integer(L, -1, 0, INT_MAX, &length))
      bind_field_error(L, "a length", name);
    lengths[row] = (int)length;
    lua_pop(L, 1);
  }
  lua_replace(L, table);
  lua_settop(L, table);
  return lengths;
}

static int field_blank(lua_State *L) {
  lua_Integer blank = 1;
  if (bind_push_field(L, OPTIONS, "blank") != LUA_TNIL &&
      !bind_to_integer(L, -1, 1, INT_MAX, &blank))
    bind_field_error(L, "an id (1 is the first)", "blank");
  lua_pop(L, 1);
  return (int)(blank - 1);
}

static saros_ctc_reduction field_reduction(lua_State *L) {
  saros_ctc_reduction reduction = SAROS_CTC_MEAN;
  int type = bind_push_field(L, OPTIONS, "reduction");
  const char *name = type == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (strcmp(name, "none") == 0)
    reduction = SAROS_CTC_ROWS;
  else if (type != LUA_TNIL && strcmp(name, "mean") != 0)
    bind_field_error(L, "\"mean\" or \"none\"", "reduction");
  lua_pop(L, 1);
  return reduction;
}

/* How many lengths there must be; other shapes are left for the core to
** refuse, which it does before it looks at lengths. */
static int row_count(lua_State *L) {
  saros_tensor *logits = bind_check_tensor(L, LOGITS);
  return saros_tensor_rank(logits) == 3 ? saros_tensor_shape(logits)[1] : -1;
}

static int ctc_loss(lua_State *L) {
  lua_settop(L, OPTIONS);
  int rows = row_count(L), blank = 0;
  const int *input_lengths = NULL, *target_lengths = NULL;
  saros_ctc_reduction reduction = SAROS_CTC_MEAN;
  bind_check_ids(L, TARGETS, "targets");
  if (!lua_isnil(L, OPTIONS)) {
    bind_check_fields(L, OPTIONS, fields);
    blank = field_blank(L);
    reduction = field_reduction(L);
    if (rows >= 0) {
      input_lengths = push_lengths(L, "input_lengths", rows);
      target_lengths = push_lengths(L, "target_lengths", rows);
    }
  }
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_ctc_loss(bind_check_tensor(L, LOGITS),
                                 bind_check_tensor(L, TARGETS), input_lengths,
                                 target_lengths, blank, reduction, out));
  return bind_new_tensor(L, out);
}

/* --- Conditional random fields ----------------------------------------------------- */

static const char *const crf_fields[] = {"transitions", "start", "stop",
                                         "lengths", NULL};

/* Where the options, argument OPTIONS, leave what they hold. */
enum { TRANSITIONS = OPTIONS + 1, START, STOP };

static void push_scores(lua_State *L, const char *name) {
  bind_push_field_tensor(L, OPTIONS, name);
  if (lua_isnil(L, -1))
    bind_field_error(L, "a live tensor", name);
}

/* Returns the lengths, or null. */
static const int *push_crf(lua_State *L) {
  bind_check_table(L, OPTIONS);
  bind_check_fields(L, OPTIONS, crf_fields);
  int rows = row_count(L);
  push_scores(L, "transitions");
  push_scores(L, "start");
  push_scores(L, "stop");
  return rows >= 0 ? push_lengths(L, "lengths", rows) : NULL;
}

static saros_crf crf_on_stack(lua_State *L, const int *lengths) {
  return (saros_crf){.transitions = bind_check_tensor(L, TRANSITIONS),
                     .start = bind_check_tensor(L, START),
                     .stop = bind_check_tensor(L, STOP),
                     .lengths = lengths};
}

static saros_status run_crf_loss(lua_State *L, const int *lengths,
                                 saros_tensor **out) {
  saros_crf crf = crf_on_stack(L, lengths);
  return saros_crf_loss(bind_check_tensor(L, LOGITS),
                        bind_check_tensor(L, TARGETS), &crf, out);
}

static int crf_loss(lua_State *L) {
  lua_settop(L, OPTIONS);
  bind_check_tensor(L, LOGITS);
  bind_check_ids(L, TARGETS, "tags");
  const int *lengths = push_crf(L);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, run_crf_loss(L, lengths, out));
  return bind_new_tensor(L, out);
}

static saros_status run_crf_best(lua_State *L, const int *lengths,
                                 saros_tensor **tags, saros_tensor **score) {
  saros_crf crf = crf_on_stack(L, lengths);
  return saros_crf_best(bind_check_tensor(L, LOGITS), &crf, tags, score);
}

/* The options are the second argument here. */
static int crf_best(lua_State *L) {
  lua_settop(L, TARGETS);
  lua_pushvalue(L, TARGETS);
  bind_check_tensor(L, LOGITS);
  const int *lengths = push_crf(L);
  saros_tensor **tags = bind_push_tensor(L);
  saros_tensor **score = bind_push_tensor(L);
  BIND_ATTEMPT(L, run_crf_best(L, lengths, tags, score));
  bind_new_tensor(L, tags);
  return bind_new_tensor(L, score) + 1;
}

static const luaL_Reg functions[] = {{"ctc_loss", ctc_loss}, {NULL, NULL}};

static const luaL_Reg of_module[] = {
    {"crf_loss", crf_loss}, {"crf_best", crf_best}, {NULL, NULL}};

void bind_open_ctc(lua_State *L) {
  bind_register_shared(L, functions);
  bind_register_functions(L, BIND_MODULE, of_module);
}
