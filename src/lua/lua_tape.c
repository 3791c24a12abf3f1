/*
** Tapes: what is recorded while one is open can be run backwards. And pauses,
** in which nothing is.
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

/* tape { training = true, parameters = true } */
static int tape_open(lua_State *L) {
  static const char *const names[] = {"training", "parameters", NULL};
  int training = 1, parameters = 1;
  lua_settop(L, 1);
  if (!lua_isnil(L, 1)) {
    check_fields(L, 1, names);
    training = field_flag(L, 1, "training", 1);
    parameters = field_flag(L, 1, "parameters", 1);
  }
  saros_tape **box = push_box(L, TAPE);
  ATTEMPT(L, saros_tape_open(context_of(L), training, box));
  if (!parameters)
    saros_tape_skip_trainable(*box);
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

/* --- Pauses ---------------------------------------------------------------------------- */

/* no_gradient() */
static int pause_begin(lua_State *L) {
  saros_pause **box = push_box(L, PAUSE);
  ATTEMPT(L, saros_pause_begin(context_of(L), box));
  return 1;
}

/* Also __gc and __close; a tape opened inside may be closed by it. */
static int pause_end(lua_State *L) {
  saros_pause **box = to_box(L, 1, PAUSE);
  if (box != NULL) {
    saros_pause *pause = *box;
    *box = NULL;
    saros_pause_end(pause);
  }
  return 0;
}

static int pause_close(lua_State *L) {
  if (to_box(L, 1, PAUSE) == NULL)
    argument_error(L, 1, "a pause");
  return pause_end(L);
}

static int pause_tostring(lua_State *L) {
  saros_pause **box = to_box(L, 1, PAUSE);
  if (box == NULL)
    argument_error(L, 1, "a pause");
  lua_pushstring(L, *box == NULL ? "pause (closed)" : "pause (open)");
  return 1;
}

/* --- Registration ---------------------------------------------------------------------- */

static const luaL_Reg functions[] = {
    {"tape", tape_open},
    {"no_gradient", pause_begin},
    {NULL, NULL},
};

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

static const luaL_Reg pause_methods[] = {{"close", pause_close}, {NULL, NULL}};

static const luaL_Reg pause_metamethods[] = {
    {"__gc", pause_end},
    {"__tostring", pause_tostring},
    {NULL, NULL},
};

void open_tape(lua_State *L) {
  register_functions(L, MODULE, functions);
  register_type(L, TAPE, metamethods, methods);
  register_type(L, PAUSE, pause_metamethods, pause_methods);
  lua_pop(L, 2);
}
