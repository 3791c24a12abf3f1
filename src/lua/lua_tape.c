/*
** Tapes: what is recorded while one is open can be run backwards.
*/
#include "binding.h"

/* The tape of argument 1, which must be open. */
static saros_tape *check_open(lua_State *L) {
  saros_tape *tape = *(saros_tape **)check_box(L, 1, TAPE);
  if (!saros_tape_is_open(tape))
    failure(L, "%s: expected an open tape: this tape is closed",
            function_name(L));
  return tape;
}

/* tape { training = true } */
static int tape_open(lua_State *L) {
  static const char *const names[] = {"training", NULL};
  int training = 1;
  lua_settop(L, 1);
  if (!lua_isnil(L, 1)) {
    check_fields(L, 1, names);
    training = field_flag(L, 1, "training", 1);
  }
  saros_tape **box = push_box(L, TAPE);
  ATTEMPT(L, saros_tape_open(context_of(L), training, box));
  return 1;
}

static int tape_watch(lua_State *L) {
  lua_settop(L, 2);
  ATTEMPT(L, saros_tape_watch(check_open(L), check_tensor(L, 2)));
  return 1;
}

/* After an error the gradients hold part of the sum, so it is tried once. */
static int tape_backward(lua_State *L) {
  lua_settop(L, 3);
  check_open(L);
  size_t taped = saros_memory_of(context_of(L)).taped;
  saros_status status;
  MEASURE(
      L, "backward", status,
      saros_tape_backward(check_open(L), check_tensor(L, 2), opt_tensor(L, 3)));
  tell_collector_of_tape(L, taped);
  if (status != SAROS_OK)
    raise(L);
  return 0;
}

static int tape_close(lua_State *L) {
  size_t taped = saros_memory_of(context_of(L)).taped;
  saros_tape_close(*(saros_tape **)check_box(L, 1, TAPE));
  tell_collector_of_tape(L, taped);
  return 0;
}

static int tape_gc(lua_State *L) {
  saros_tape **box = to_box(L, 1, TAPE);
  if (box != NULL) {
    saros_tape *tape = *box;
    *box = NULL;
    saros_tape_release(tape);
  }
  return 0;
}

static int tape_tostring(lua_State *L) {
  saros_tape **box = to_box(L, 1, TAPE);
  if (box == NULL)
    argument_error(L, 1, "a tape");
  if (*box == NULL || !saros_tape_is_open(*box))
    lua_pushliteral(L, "tape (closed)");
  else
    lua_pushfstring(L, "tape (open, %I operations)",
                    (LUAI_UACINT)saros_tape_length(*box));
  return 1;
}

/* --- Registration ---------------------------------------------------------------------- */

static const luaL_Reg functions[] = {{"tape", tape_open}, {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"watch", tape_watch},
    {"backward", tape_backward},
    {"close", tape_close},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", tape_gc},
    {"__tostring", tape_tostring},
    {NULL, NULL},
};

void open_tape(lua_State *L) {
  register_functions(L, MODULE, functions);
  register_type(L, TAPE, metamethods, methods);
  lua_pop(L, 1);
}
