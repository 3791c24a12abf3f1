/*
** How a session is to choose an id: the table of options, to C.
*/
#include <limits.h>
#include <stdio.h>

#include "binding.h"

static const char *const sampling_fields[] = {
    "temperature",        "top_k",   "top_p", "bias",
    "repetition_penalty", "history", NULL};

/* The integer in the field top_k. */
static int check_top_k(lua_State *L, int arg) {
  double k = bind_field_number(L, arg, "top_k", 0);
  if (!(k >= 0 && k <= INT_MAX) || k != (double)(int)k) {
    bind_push_field(L, arg, "top_k");
    bind_field_error(L, "a size >= 1", "top_k");
  }
  return (int)k;
}

/* The tensor in a field, held on the stack; null if there is none. It is contiguous
** and of shape (last) or (streams, last), last < 0: any. */
static saros_tensor *check_row_field(lua_State *L, int arg, const char *name,
                                     saros_dtype dtype, int streams, int last) {
  if (bind_push_field(L, arg, name) == LUA_TNIL)
    return NULL;
  saros_tensor *x = bind_to_tensor(L, -1);
  int rank = x != NULL ? saros_tensor_rank(x) : 0;
  const int *sizes = x != NULL ? saros_tensor_shape(x) : NULL;
  if (x != NULL && saros_tensor_dtype(x) == dtype && rank >= 1 && rank <= 2 &&
      (last < 0 || sizes[rank - 1] == last) &&
      (rank == 1 || sizes[0] == streams) && saros_tensor_is_contiguous(x))
    return bind_hold_tensor(L, lua_gettop(L));
  char expected[96];
  if (last < 0)
    snprintf(expected, sizeof expected, "contiguous ids (N) or (%d, N)",
             streams);
  else
    snprintf(expected, sizeof expected, "a contiguous tensor (%d) or (%d, %d)",
             last, streams, last);
  bind_field_error(L, expected, name);
  return NULL;
}

/* What changes logits: the tensors stay on the stack. */
static void check_changes(lua_State *L, int arg, const saros_session *s,
                          saros_sampling *how) {
  saros_session_facts facts = saros_session_of(s);
  saros_tensor *bias =
      check_row_field(L, arg, "bias", SAROS_REAL, facts.streams, facts.outputs);
  if (bias != NULL) {
    how->bias = saros_tensor_reals(bias);
    how->bias_step = saros_tensor_rank(bias) == 2 ? (size_t)facts.outputs : 0;
  }
  how->repetition_penalty = bind_field_number(L, arg, "repetition_penalty", 0);
  saros_tensor *history =
      check_row_field(L, arg, "history", SAROS_IDS, facts.streams, -1);
  if (history == NULL)
    return;
  int rank = saros_tensor_rank(history);
  if (rank == 1 && facts.streams > 1)
    bind_field_error(L, "ids (streams, N)", "history");
  how->history = saros_tensor_ids(history);
  how->history_length = (size_t)saros_tensor_shape(history)[rank - 1];
}

saros_sampling bind_check_sampling(lua_State *L, int arg,
                                   const saros_session *s) {
  saros_sampling how = {.size = sizeof how, .temperature = 1};
  if (lua_isnoneornil(L, arg))
    return how;
  bind_check_fields(L, arg, sampling_fields);
  how.temperature = bind_field_number(L, arg, "temperature", 1);
  how.top_k = check_top_k(L, arg);
  how.top_p = bind_field_number(L, arg, "top_p", 0);
  check_changes(L, arg, s, &how);
  return how;
}

void bind_push_sampling_fields(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; sampling_fields[i] != NULL; i++) {
    lua_pushstring(L, sampling_fields[i]);
    lua_rawseti(L, -2, i + 1);
  }
}
