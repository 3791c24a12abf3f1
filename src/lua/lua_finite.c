/*
** Finite-state cells over time.
*/
#include <limits.h>

#include "binding.h"

/* Arguments, and behind them the tensors of the options. */
enum { LOGITS = 1, IDS, STATE, OPTIONS, MASK, RESET };

static const char *const fields[] = {"heads", "states", "pointers", "soft",
                                     "mask",  "reset",  NULL};

static int field_size(lua_State *L, const char *name) {
  lua_Integer value = 1;
  if (bind_push_field(L, OPTIONS, name) != LUA_TNIL &&
      !bind_to_integer(L, -1, 1, INT_MAX, &value))
    bind_field_error(L, "an integer >= 1", name);
  lua_pop(L, 1);
  return (int)value;
}

static int operation_finite(lua_State *L) {
  lua_settop(L, OPTIONS);
  bind_check_tensor(L, LOGITS);
  if (!lua_isnil(L, IDS))
    bind_check_ids(L, IDS, "ids");
  bind_check_table(L, OPTIONS);
  bind_check_fields(L, OPTIONS, fields);
  int heads = field_size(L, "heads"), states = field_size(L, "states");
  int pointers = field_size(L, "pointers");
  int soft = bind_field_flag(L, OPTIONS, "soft", 0);
  bind_push_field_tensor(L, OPTIONS, "mask");
  bind_push_field_tensor(L, OPTIONS, "reset");
  saros_tensor **out = bind_push_tensor(L);
  saros_tensor **last = bind_push_tensor(L);
  BIND_ATTEMPT(L,
               saros_finite(bind_check_tensor(L, LOGITS),
                            bind_opt_tensor(L, IDS), bind_opt_tensor(L, STATE),
                            &(saros_finite_options){
                                .heads = heads,
                                .states = states,
                                .pointers = pointers,
                                .soft = soft,
                                .mask = bind_opt_tensor(L, MASK),
                                .reset = bind_opt_tensor(L, RESET),
                            },
                            out, last));
  bind_new_tensor(L, out);
  return bind_new_tensor(L, last) + 1;
}

static const luaL_Reg functions[] = {{"finite", operation_finite},
                                     {NULL, NULL}};

void bind_open_finite(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
}
