/*
** Windows over time, and the depthwise convolution that is made of them.
*/
#include <string.h>

#include "binding.h"

/* Arguments of window, and of depthwise. */
enum { INPUT = 1, STATE, OPTIONS };
enum {
  DEPTHWISE_WEIGHT = 2,
  DEPTHWISE_BIAS,
  DEPTHWISE_STATE,
  DEPTHWISE_OPTIONS
};

/* Reads the numbers of the options, and pushes the mask and reset behind them, or
** nil. */
static saros_window_options push_options(lua_State *L, int table,
                                         const char *const *fields) {
  saros_window_options o = {.kernel = 1, .dilation = 1};
  if (!lua_isnil(L, table)) {
    bind_check_table(L, table);
    bind_check_fields(L, table, fields);
    o.kernel = bind_field_integer(L, table, "kernel", 1, 1);
    o.dilation = bind_field_integer(L, table, "dilation", 1, 1);
    o.ahead = bind_field_integer(L, table, "ahead", 0, 0);
    o.reverse = bind_field_flag(L, table, "reverse", 0);
  }
  bind_push_field_tensor(L, table, "mask");
  bind_push_field_tensor(L, table, "reset");
  return o;
}

/* Mask and reset, as they lie behind the options now. */
static void fetch_steps(lua_State *L, int table, saros_window_options *o) {
  o->mask = bind_opt_tensor(L, table + 1);
  o->reset = bind_opt_tensor(L, table + 2);
}

static saros_status run_window(lua_State *L, saros_window_options o,
                               saros_tensor **y, saros_tensor **last) {
  fetch_steps(L, OPTIONS, &o);
  return saros_window(bind_check_tensor(L, INPUT), bind_opt_tensor(L, STATE),
                      &o, y, last);
}

static int window(lua_State *L) {
  static const char *const fields[] = {"kernel", "dilation", "ahead", "reverse",
                                       "mask",   "reset",    NULL};
  lua_settop(L, OPTIONS);
  bind_check_tensor(L, INPUT);
  bind_check_table(L, OPTIONS);
  saros_window_options o = push_options(L, OPTIONS, fields);
  saros_tensor **out = bind_push_tensor(L);
  saros_tensor **last = bind_push_tensor(L);
  BIND_ATTEMPT(L, run_window(L, o, out, last));
  bind_new_tensor(L, out);
  return bind_new_tensor(L, last) + 1;
}

int bind_window_activation(lua_State *L, int table) {
  if (lua_isnil(L, table))
    return SAROS_WINDOW_PLAIN;
  const int type = bind_push_field(L, table, "activation");
  if (type != LUA_TNIL &&
      (type != LUA_TSTRING || strcmp(lua_tostring(L, -1), "silu") != 0))
    bind_field_error(L, "\"silu\" or nil", "activation");
  lua_pop(L, 1);
  return type == LUA_TNIL ? SAROS_WINDOW_PLAIN : SAROS_WINDOW_SILU;
}

static saros_status run_depthwise(lua_State *L, saros_window_options o,
                                  saros_tensor **y, saros_tensor **last) {
  fetch_steps(L, DEPTHWISE_OPTIONS, &o);
  return saros_depthwise_convolution(
      bind_check_tensor(L, INPUT), bind_check_tensor(L, DEPTHWISE_WEIGHT),
      bind_opt_tensor(L, DEPTHWISE_BIAS), bind_opt_tensor(L, DEPTHWISE_STATE),
      &o, y, last);
}

static int depthwise(lua_State *L) {
  static const char *const fields[] = {
      "dilation", "ahead", "reverse", "mask", "reset", "activation", NULL};
  lua_settop(L, DEPTHWISE_OPTIONS);
  bind_check_tensor(L, INPUT);
  bind_check_tensor(L, DEPTHWISE_WEIGHT);
  saros_window_options o = push_options(L, DEPTHWISE_OPTIONS, fields);
  o.activation = bind_window_activation(L, DEPTHWISE_OPTIONS);
  saros_tensor **out = bind_push_tensor(L);
  saros_tensor **last = bind_push_tensor(L);
  BIND_ATTEMPT(L, run_depthwise(L, o, out, last));
  bind_new_tensor(L, out);
  return bind_new_tensor(L, last) + 1;
}

static const luaL_Reg functions[] = {
    {"window", window}, {"depthwise", depthwise}, {NULL, NULL}};

void bind_open_window(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
}
