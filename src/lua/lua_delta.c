/*
** The delta rule.
*/
#include "binding.h"

/* Arguments, and behind them the tensors of the options. */
enum { QUERY = 1, KEY, VALUE, OPTIONS, STATE, FIELDS };

/* Tensors first. */
static const char *const fields[] = {
    "write",        "erase",      "decay",   "mask",    "reset",
    "first",        "heads",      "chunk",   "reverse", "reflections",
    "query_length", "key_length", "epsilon", NULL};

enum { TENSORS = 6 };

/* The call on what lies on the stack, whose tensors are fetched each time. */
static saros_status run(lua_State *L, saros_delta_options o, saros_tensor **y,
                        saros_tensor **last) {
  saros_tensor *t[TENSORS];
  for (int i = 0; i < TENSORS; i++)
    t[i] = bind_opt_tensor(L, FIELDS + i);
  o.write = t[0], o.erase = t[1], o.decay = t[2];
  o.mask = t[3], o.reset = t[4], o.first = t[5];
  return saros_delta(bind_check_tensor(L, QUERY), bind_check_tensor(L, KEY),
                     bind_check_tensor(L, VALUE), &o, bind_opt_tensor(L, STATE),
                     y, last);
}

static int delta(lua_State *L) {
  lua_settop(L, STATE);
  for (int i = QUERY; i <= VALUE; i++)
    bind_check_tensor(L, i);
  bind_check_table(L, OPTIONS);
  bind_check_fields(L, OPTIONS, fields);
  const saros_delta_options options = {
      .heads = bind_field_integer(L, OPTIONS, "heads", 1, 1),
      .reflections = bind_field_integer(L, OPTIONS, "reflections", 1, 1),
      .chunk = bind_field_integer(L, OPTIONS, "chunk", 1, 0),
      .reverse = bind_field_flag(L, OPTIONS, "reverse", 0),
      .query_length = bind_field_number(L, OPTIONS, "query_length", 0),
      .key_length = bind_field_number(L, OPTIONS, "key_length", 0),
      .epsilon = bind_field_number(L, OPTIONS, "epsilon", 0),
  };
  for (int i = 0; i < TENSORS; i++)
    bind_push_field_tensor(L, OPTIONS, fields[i]);
  saros_tensor **y = bind_push_tensor(L);
  saros_tensor **last = bind_push_tensor(L);
  BIND_ATTEMPT(L, run(L, options, y, last));
  bind_new_tensor(L, y);
  return bind_new_tensor(L, last) + 1;
}

static const luaL_Reg functions[] = {{"delta", delta}, {NULL, NULL}};

void bind_open_delta(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
}
