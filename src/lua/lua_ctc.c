/*
** Connectionist temporal classification: a loss with lengths for its rows.
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
  bind_check_tensor(L, TARGETS);
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
  ATTEMPT(L, saros_ctc_loss(bind_check_tensor(L, LOGITS),
                            bind_check_tensor(L, TARGETS), input_lengths,
                            target_lengths, blank, reduction, out));
  return bind_new_tensor(L, out);
}

static const luaL_Reg functions[] = {{"ctc_loss", ctc_loss}, {NULL, NULL}};

void bind_open_ctc(lua_State *L) {
  bind_register_shared(L, functions);
}
