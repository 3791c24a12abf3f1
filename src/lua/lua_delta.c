/*
** The delta rule.
*/
#include "binding.h"

/* Arguments, and behind them the tensors of the options. */
enum { QUERY = 1, KEY, VALUE, OPTIONS, STATE, FIELDS };

/* Tensors first: the options' own, then those of convolutions. */
static const char *const fields[] = {
    "write",    "erase",       "decay",      "mask",         "reset",
    "first",    "ids",         "taps_q",     "taps_k",       "taps_v",
    "memory_q", "memory_k",    "memory_v",   "heads",        "chunk",
    "reverse",  "reflections", "activation", "query_length", "key_length",
    "epsilon",  NULL};

enum { TAPS = 7, STREAMS = 3, TENSORS = TAPS + 2 * STREAMS };

/* The call on what lies on the stack, whose tensors are fetched each time; out: y, the
** state and the memories. */
static saros_status run(lua_State *L, saros_delta_options o, int activation,
                        saros_tensor ***out) {
  saros_delta_convolutions c = {.activation = activation};
  saros_tensor *t[TENSORS], *memories[STREAMS];
  for (int i = 0; i < TENSORS; i++)
    t[i] = bind_opt_tensor(L, FIELDS + i);
  o.write = t[0], o.erase = t[1], o.decay = t[2];
  o.mask = t[3], o.reset = t[4], o.first = t[5], o.ids = t[6];
  for (int i = 0; i < STREAMS; i++)
    c.taps[i] = t[TAPS + i], c.memory[i] = t[TAPS + STREAMS + i];
  saros_status status = saros_delta_convolved(
      bind_check_tensor(L, QUERY), bind_check_tensor(L, KEY),
      bind_check_tensor(L, VALUE), &o, &c, bind_opt_tensor(L, STATE), out[0],
      out[1], memories);
  for (int i = 0; i < STREAMS; i++)
    *out[2 + i] = memories[i];
  return status;
}

static saros_delta_options options_of(lua_State *L) {
  return (saros_delta_options){
      .heads = bind_field_integer(L, OPTIONS, "heads", 1, 1),
      .reflections = bind_field_integer(L, OPTIONS, "reflections", 1, 1),
      .chunk = bind_field_integer(L, OPTIONS, "chunk", 1, 0),
      .reverse = bind_field_flag(L, OPTIONS, "reverse", 0),
      .query_length = bind_field_number(L, OPTIONS, "query_length", 0),
      .key_length = bind_field_number(L, OPTIONS, "key_length", 0),
      .epsilon = bind_field_number(L, OPTIONS, "epsilon", 0),
  };
}

static int delta(lua_State *L) {
  saros_tensor **out[2 + STREAMS];
  lua_settop(L, STATE);
  luaL_checkstack(L, LUA_MINSTACK + TENSORS, "the arguments of delta");
  for (int i = QUERY; i <= VALUE; i++)
    bind_check_tensor(L, i);
  bind_check_table(L, OPTIONS);
  bind_check_fields(L, OPTIONS, fields);
  const saros_delta_options options = options_of(L);
  const int activation = bind_window_activation(L, OPTIONS);
  for (int i = 0; i < TENSORS; i++)
    bind_push_field_tensor(L, OPTIONS, fields[i]);
  for (int i = 0; i < 2 + STREAMS; i++)
    out[i] = bind_push_tensor(L);
  BIND_ATTEMPT(L, run(L, options, activation, out));
  for (int i = 0; i < 2 + STREAMS; i++)
    if (*out[i] != NULL) {
      bind_new_tensor(L, out[i]);
    } else {
      lua_pushnil(L);
      lua_replace(L, FIELDS + TENSORS + i);
    }
  return 2 + STREAMS;
}

static const luaL_Reg functions[] = {{"delta", delta}, {NULL, NULL}};

void bind_open_delta(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
}
