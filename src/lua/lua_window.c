/*
** Windows over time.
*/
#include <limits.h>

#include "binding.h"

/* Arguments, and behind them the tensors of the options. */
enum { INPUT = 1, STATE, OPTIONS, MASK, RESET };

static const char *const fields[] = {"kernel", "dilation", "ahead",
                                     "mask",   "reset",    NULL};

static int field_integer(lua_State *L, const char *name, int lowest,
                         int otherwise) {
  lua_Integer value = otherwise;
  if (bind_push_field(L, OPTIONS, name) != LUA_TNIL &&
      !bind_to_integer(L, -1, lowest, INT_MAX, &value))
    bind_field_error(L, lowest == 0 ? "an integer >= 0" : "an integer >= 1",
                     name);
  lua_pop(L, 1);
  return (int)value;
}

static int window(lua_State *L) {
  lua_settop(L, OPTIONS);
  bind_check_tensor(L, INPUT);
  bind_check_table(L, OPTIONS);
  bind_check_fields(L, OPTIONS, fields);
  int kernel = field_integer(L, "kernel", 1, 1);
  int dilation = field_integer(L, "dilation", 1, 1);
  int ahead = field_integer(L, "ahead", 0, 0);
  bind_push_field_tensor(L, OPTIONS, "mask");
  bind_push_field_tensor(L, OPTIONS, "reset");
  saros_tensor **out = bind_push_tensor(L);
  saros_tensor **last = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_window(bind_check_tensor(L, INPUT),
                               bind_opt_tensor(L, STATE),
                               &(saros_window_options){
                                   .kernel = kernel,
                                   .dilation = dilation,
                                   .ahead = ahead,
                                   .mask = bind_opt_tensor(L, MASK),
                                   .reset = bind_opt_tensor(L, RESET),
                               },
                               out, last));
  bind_new_tensor(L, out);
  return bind_new_tensor(L, last) + 1;
}

static const luaL_Reg functions[] = {{"window", window}, {NULL, NULL}};

void bind_open_window(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
}
