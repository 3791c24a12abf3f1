/*
** Finite-state cells over time.
*/
#include "binding.h"

/* Arguments, and behind them the tensors of the options. */
enum { LOGITS = 1, IDS, STATE, OPTIONS, MASK, RESET };

static const char *const fields[] = {"heads", "states", "pointers", "soft",
                                     "mask",  "reset",  NULL};

static int operation_finite(lua_State *L) {
  lua_settop(L, OPTIONS);
  bind_check_tensor(L, LOGITS);
  if (!lua_isnil(L, IDS))
    bind_check_ids(L, IDS, "ids");
  bind_check_table(L, OPTIONS);
  bind_check_fields(L, OPTIONS, fields);
  int heads = bind_field_integer(L, OPTIONS, "heads", 1, 1),
      states = bind_field_integer(L, OPTIONS, "states", 1, 1);
  int pointers = bind_field_integer(L, OPTIONS, "pointers", 1, 1);
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
