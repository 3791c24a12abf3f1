/*
** Tapes: what is recorded while one is open can be run backwards. And pauses,
** in which nothing is.
*/
#include "binding.h"

/* The tape of argument 1, which must be open. */
static saros_tape *check_open(lua_State *L) {
  saros_tape *tape = *(saros_tape **)bind_check_box(L, 1, BIND_TAPE);
  if (!saros_tape_is_open(tape))
    bind_failure(L, "%s: expected an open tape: this tape is closed",
                 bind_function_name(L));
  return tape;
}

/* tape { training = true, parameters = true } */
static int tape_open(lua_State *L) {
  static const char *const names[] = {"training", "parameters", NULL};
  int training = 1, parameters = 1;
  lua_settop(L, 1);
  if (!lua_isnil(L, 1)) {
    bind_check_fields(L, 1, names);
    training = bind_field_flag(L, 1, "training", 1);
    parameters = bind_field_flag(L, 1, "parameters", 1);
  }
  saros_tape **box = bind_push_box(L, BIND_TAPE);
  BIND_ATTEMPT(L, saros_tape_open(bind_context_of(L), training, box));
  if (!parameters)
    saros_tape_skip_trainable(*box);
  bind_own_know_tape(L, lua_gettop(L));
  return 1;
}

static int tape_watch(lua_State *L) {
  lua_settop(L, 2);
  BIND_ATTEMPT(L, saros_tape_watch(check_open(L), bind_check_tensor(L, 2)));
  return 1;
}

/* After an error the gradients hold part of the sum, so it is tried once. */
static int tape_backward(lua_State *L) {
  lua_settop(L, 3);
  check_open(L);
  size_t taped = saros_memory_of(bind_context_of(L)).taped;
  saros_own_stop stop;
  saros_status status;
  BIND_MEASURE(L, "backward", status,
               saros_tape_backward_start(check_open(L), bind_check_tensor(L, 2),
                                         bind_opt_tensor(L, 3)));
  while (status == SAROS_OK && saros_tape_stop(check_open(L), &stop))
    status = bind_own_backward(L, &stop);
  bind_own_forget(L, 1);
  bind_tell_collector_of_tape(L, taped);
  if (status != SAROS_OK)
    bind_raise(L);
  return 0;
}

static int tape_close(lua_State *L) {
  size_t taped = saros_memory_of(bind_context_of(L)).taped;
  saros_tape_close(*(saros_tape **)bind_check_box(L, 1, BIND_TAPE));
  bind_own_forget(L, 1);
  bind_tell_collector_of_tape(L, taped);
  return 0;
}

static int tape_gc(lua_State *L) {
  saros_tape **box = bind_to_box(L, 1, BIND_TAPE);
  if (box != NULL) {
    saros_tape *tape = *box;
    *box = NULL;
    saros_tape_release(tape);
    bind_own_forget(L, 1);
  }
  return 0;
}

static int tape_tostring(lua_State *L) {
  saros_tape **box = bind_to_box(L, 1, BIND_TAPE);
  if (box == NULL)
    bind_argument_error(L, 1, "a tape");
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
  saros_pause **box = bind_push_box(L, BIND_PAUSE);
  BIND_ATTEMPT(L, saros_pause_begin(bind_context_of(L), box));
  return 1;
}

/* Also __gc and __close; a tape opened inside may be closed by it. */
static int pause_end(lua_State *L) {
  saros_pause **box = bind_to_box(L, 1, BIND_PAUSE);
  if (box != NULL) {
    saros_pause *pause = *box;
    *box = NULL;
    saros_pause_end(pause);
  }
  return 0;
}

static int pause_close(lua_State *L) {
  if (bind_to_box(L, 1, BIND_PAUSE) == NULL)
    bind_argument_error(L, 1, "a pause");
  return pause_end(L);
}

static int pause_tostring(lua_State *L) {
  saros_pause **box = bind_to_box(L, 1, BIND_PAUSE);
  if (box == NULL)
    bind_argument_error(L, 1, "a pause");
  lua_pushstring(L, *box == NULL ? "pause (closed)" : "pause (open)");
  return 1;
}

/* --- Registration ---------------------------------------------------------------------- */

static int is_recording(lua_State *L) {
  lua_pushboolean(L, saros_is_recording(bind_context_of(L)));
  return 1;
}

static int is_training(lua_State *L) {
  lua_pushboolean(L, saros_is_training(bind_context_of(L)));
  return 1;
}

static const luaL_Reg functions[] = {
    {"tape", tape_open},
    {"is_recording", is_recording},
    {"is_training", is_training},
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

void bind_open_tape(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
  bind_register_type(L, BIND_TAPE, metamethods, methods);
  bind_register_type(L, BIND_PAUSE, pause_metamethods, pause_methods);
  lua_pop(L, 2);
}
