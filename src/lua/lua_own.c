/*
** Operations of the script's own. What the tape has of one is an entry with a
** token. What Lua has of it, the function back and the values that this reads, is a
** table in the user value of the tape's box, under that token, so it goes with the
** tape:
**
**   box of the tape -> { [token] = { [0] = count, backward,
**                                    argument 1, ..., result 1, ... } }
**
** The box of the open tape is found through a weak table of the binding. The
** script's functions run in a pause, which ends however they end.
*/
#include <string.h>

#include "binding.h"

/* The upvalues of an operation, behind those of every function. */
enum { FORWARD = BIND_EXTRA_UPVALUE, BACKWARD, OUTPUTS };

#define MOST 255

/* What has to be undone when a function of the script ends. */
typedef struct visit {
  saros_context *context;
  saros_pause *pause;
  saros_tape **tape;          // in its box, if this is a way back; null: none
  const char *layer;          // before, in profiles
  saros_precision precision;  // before
} visit;

static void leave(void *object) {
  visit *v = object;
  saros_pause_end(v->pause);
  saros_profile_layer(v->context, v->layer);
  saros_set_precision(v->context, v->precision);
  if (v->tape != NULL && *v->tape != NULL)
    saros_tape_give_up(*v->tape);
}

/* Pushes two values; closing the second ends the visit. The owner keeps the visit and
** the visit the box of the tape: a coroutine that died in between ends all three in
** one cycle of the collector. */
static bind_owner *push_visit(lua_State *L, const char *name, int tape) {
  visit *v = lua_newuserdatauv(L, sizeof *v, 1);
  saros_context *context = bind_context_of(L);
  *v = (visit){.context = context, .precision = saros_precision_of(context)};
  if (tape != 0) {
    v->tape = lua_touserdata(L, tape);
    lua_pushvalue(L, tape);
    lua_setiuservalue(L, -2, 1);
  }
  bind_owner *box = bind_push_owner(L, leave);
  lua_pushvalue(L, -2);
  lua_setiuservalue(L, -2, 1);
  BIND_RUN(L, saros_pause_begin(v->context, &v->pause));
  v->layer = saros_profile_layer(v->context, name);
  box->object = v;
  lua_toclose(L, -1);
  return box;
}

/* Raises the message on top, blaming the line at which a function begins. */
static int blame(lua_State *L, int function) {
  lua_Debug about;
  lua_pushvalue(L, function);
  lua_getinfo(L, ">S", &about);
  lua_pushfstring(L, "%s:%d: %s", about.short_src, about.linedefined,
                  lua_tostring(L, -1));
  return lua_error(L);
}

static void check_room(lua_State *L, int values) {
  luaL_checkstack(L, values + LUA_MINSTACK, "too many values");
}

/* --- Tapes ---------------------------------------------------------------------------- */

/* Pushes the weak table of the boxes of tapes by tape. */
static void push_tapes(lua_State *L) {
  int state = lua_upvalueindex(BIND_BINDING_UPVALUE);
  if (lua_getiuservalue(L, state, BIND_TAPES_VALUE) == LUA_TTABLE)
    return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, state, BIND_TAPES_VALUE);
}

void bind_own_know_tape(lua_State *L, int box) {
  push_tapes(L);
  lua_pushvalue(L, box);
  lua_rawsetp(L, -2, *(saros_tape **)lua_touserdata(L, box));
  lua_pop(L, 1);
}

void bind_own_forget(lua_State *L, int box) {
  lua_pushnil(L);
  lua_setiuservalue(L, box, 1);
}

/* Keeps what an operation is, the value on top, under a token of the open tape.
** Returns 0 if no script has that tape any more. */
static int keep_entry(lua_State *L, lua_Integer token) {
  int entry = lua_gettop(L);
  push_tapes(L);
  if (lua_rawgetp(L, -1, saros_open_tape(bind_context_of(L))) != LUA_TUSERDATA)
    return 0;
  if (lua_getiuservalue(L, -1, 1) != LUA_TTABLE) {
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, -4, 1);
    lua_remove(L, -2);
  }
  lua_pushvalue(L, entry);
  lua_rawseti(L, -2, token);
  lua_settop(L, entry);
  return 1;
}

/* Pushes the entry under a token of the tape at 1, which forgets it. */
static void take_entry(lua_State *L, lua_Integer token) {
  if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE)
    bind_failure(L, "backward: expected an open tape");
  lua_rawgeti(L, -1, token);
  lua_pushnil(L);
  lua_rawseti(L, -3, token);
  lua_remove(L, -2);
}

/* --- Forward --------------------------------------------------------------------------- */

/* Appends values of the stack to an entry: tensors in boxes that no script has. */
static void append(lua_State *L, int entry, int first, int count) {
  lua_rawgeti(L, entry, 0);
  lua_Integer at = lua_tointeger(L, -1);
  lua_pop(L, 1);
  for (int i = 0; i < count; i++) {
    if (bind_to_tensor(L, first + i) != NULL)
      bind_hold_tensor(L, first + i);
    else
      lua_pushvalue(L, first + i);
    lua_rawseti(L, entry, at + i + 2);
  }
  lua_pushinteger(L, at + count);
  lua_rawseti(L, entry, 0);
}

static int is_recorded(lua_State *L, int arguments) {
  for (int i = 1; i <= arguments; i++) {
    const saros_tensor *x = bind_to_tensor(L, i);
    if (x != NULL && saros_is_recorded(x))
      return 1;
  }
  return 0;
}

/* Pushes an entry with the arguments, or nil if no tape wants it. */
static void push_entry(lua_State *L, int arguments) {
  if (!is_recorded(L, arguments)) {
    lua_pushnil(L);
    return;
  }
  lua_createtable(L, arguments + 2, 1);
  int entry = lua_gettop(L);
  lua_pushinteger(L, 0);
  lua_rawseti(L, entry, 0);
  lua_pushvalue(L, lua_upvalueindex(BACKWARD));
  lua_rawseti(L, entry, 1);
  append(L, entry, 1, arguments);
}

/* How many of the results from 'first' on are outputs; they must be tensors. */
static int check_outputs(lua_State *L, int first) {
  int results = lua_gettop(L) - first + 1;
  int wanted = (int)lua_tointeger(L, lua_upvalueindex(OUTPUTS));
  int outputs = wanted > 0 ? wanted : results;
  const char *name = bind_function_name(L);
  if (results < outputs || outputs == 0 || outputs > MOST) {
    lua_pushfstring(L,
                    "%s: expected forward to return %d tensors, got %d values",
                    name, wanted > 0 ? wanted : 1, results);
    blame(L, lua_upvalueindex(FORWARD));
  }
  for (int i = 0; i < outputs; i++) {
    const saros_tensor *y = bind_to_tensor(L, first + i);
    if (y != NULL && saros_tensor_dtype(y) == SAROS_REAL)
      continue;
    const char *got = bind_push_description(L, first + i);
    lua_pushfstring(L,
                    "%s: expected forward to return a tensor as output %d, "
                    "got %s",
                    name, i + 1, got);
    blame(L, lua_upvalueindex(FORWARD));
  }
  return outputs;
}

/* The tensors of an entry, or nulls: 'count' values from number 'first' on. */
static saros_tensor **entry_tensors(lua_State *L, int entry, int first,
                                    int count) {
  saros_tensor **array = bind_push_array(L, count);
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, entry, first + i + 2);
    array[i] = bind_to_tensor(L, -1);
    lua_pop(L, 1);
  }
  return array;
}

/* own->output is the array 'plain', of the values from 'first' on. */
static saros_status record_outputs(lua_State *L, const saros_own *own,
                                   int first, saros_tensor **plain,
                                   saros_tensor **out) {
  for (int i = 0; i < own->outputs; i++)
    plain[i] = bind_check_tensor(L, first + i);
  return saros_own_record(bind_context_of(L), own, out);
}

/* Records what has been computed, and pushes the outputs. */
static void record(lua_State *L, int entry, int arguments, int first,
                   int outputs, int results) {
  saros_own own = {.name = bind_function_name(L), .outputs = outputs};
  saros_tensor **out = bind_push_array(L, outputs);
  saros_tensor **plain = bind_push_array(L, outputs);
  own.output = plain;
  if (lua_istable(L, entry)) {
    append(L, entry, first, results);
    own.token = ++bind_binding_of(L)->tokens;
    lua_pushvalue(L, entry);
    own.inputs = keep_entry(L, own.token) ? arguments : 0;
    own.saved_count = own.inputs > 0 ? arguments + results : 0;
    own.saved = entry_tensors(L, entry, 0, own.saved_count);
    own.input = own.saved;
  }
  check_room(L, outputs);
  int boxes = lua_gettop(L) + 1;
  for (int i = 0; i < outputs; i++)
    bind_push_tensor(L);
  BIND_ATTEMPT(L, record_outputs(L, &own, first, plain, out));
  for (int i = 0; i < outputs; i++)
    *(saros_tensor **)lua_touserdata(L, boxes + i) = out[i];
  for (int i = 0; i < outputs; i++)
    bind_new_tensor(L, lua_touserdata(L, boxes + i));
}

/* Stack: the arguments, the entry, two values of the visit, the results. */
static int own_call(lua_State *L) {
  int arguments = lua_gettop(L);
  if (bind_binding_of(L)->recording)
    bind_failure(L,
                 "%s: an operation of a script's own has no part in a program",
                 bind_function_name(L));
  if (arguments > MOST)
    bind_failure(L, "%s: expected at most %d arguments, got %d",
                 bind_function_name(L), MOST, arguments);
  check_room(L, 2 * arguments);
  push_entry(L, arguments);
  bind_owner *box = push_visit(L, bind_function_name(L), 0);
  int first = lua_gettop(L) + 1;
  lua_pushvalue(L, lua_upvalueindex(FORWARD));
  for (int i = 1; i <= arguments; i++)
    lua_pushvalue(L, i);
  lua_call(L, arguments, LUA_MULTRET);
  bind_owner_release(box);
  int results = lua_gettop(L) - first + 1;
  check_room(L, 0);
  int outputs = check_outputs(L, first);
  record(L, arguments + 1, arguments, first, outputs, results);
  return outputs;
}

/* --- Backward -------------------------------------------------------------------------- */

/* Pushes the gradients of the outputs and what forward had and gave; returns how
** many values. */
static int push_values(lua_State *L, int entry, const saros_own_stop *stop) {
  lua_rawgeti(L, entry, 0);
  int values = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  check_room(L, stop->outputs + values);
  for (int i = 0; i < stop->outputs; i++) {
    saros_tensor **dy = bind_push_tensor(L);
    BIND_ATTEMPT(L,
                 saros_tape_stop_gradient(
                     *(saros_tape **)bind_check_box(L, 1, BIND_TAPE), i, dy));
  }
  for (int i = 0; i < values; i++)
    lua_rawgeti(L, entry, i + 2);
  return stop->outputs + values;
}

/* True if argument i, from 0, of an entry is a tensor of numbers. */
static int is_differentiable(lua_State *L, int entry, int i) {
  lua_rawgeti(L, entry, i + 2);
  const saros_tensor *x = bind_to_tensor(L, -1);
  lua_pop(L, 1);
  return x != NULL && saros_tensor_dtype(x) == SAROS_REAL;
}

/* Raises an error at the function that is the first value of an entry. */
static int blame_backward(lua_State *L, int entry) {
  lua_rawgeti(L, entry, 1);
  lua_insert(L, -2);
  return blame(L, lua_gettop(L) - 1);
}

static void check_gradient_count(lua_State *L, int entry, const char *name,
                                 int inputs, int results) {
  int last = inputs;
  while (last > 0 && !is_differentiable(L, entry, last - 1))
    last--;
  if (results >= last && results <= inputs)
    return;
  lua_pushfstring(L,
                  "%s: expected backward to return %d gradient%s, one for each "
                  "input, got %d",
                  name, last, last == 1 ? "" : "s", results);
  blame_backward(L, entry);
}

/* The gradients that a function has returned from 'first' on. */
static saros_tensor **check_gradients(lua_State *L, int entry, const char *name,
                                      int inputs, int first) {
  int results = lua_gettop(L) - first + 1;
  check_room(L, 0);
  check_gradient_count(L, entry, name, inputs, results);
  saros_tensor **gradients = bind_push_array(L, inputs);
  memset(gradients, 0, (size_t)inputs * sizeof *gradients);
  for (int i = 0; i < results; i++) {
    if (lua_isnil(L, first + i))
      continue;
    gradients[i] = bind_to_tensor(L, first + i);
    int wanted = is_differentiable(L, entry, i);
    if (wanted && gradients[i] != NULL)
      continue;
    const char *got = bind_push_description(L, first + i);
    lua_pushfstring(L,
                    "%s: expected backward to return %s for input %d, got %s",
                    name, wanted ? "a gradient or nil" : "nil", i + 1, got);
    blame_backward(L, entry);
  }
  return gradients;
}

/* Goes on with gradients; an error about them blames the function. */
static saros_status resume(lua_State *L, int entry, saros_tensor **gradients) {
  saros_tape *tape = *(saros_tape **)bind_check_box(L, 1, BIND_TAPE);
  saros_own_stop stop;
  saros_status status;
  BIND_MEASURE(L, "backward", status,
               saros_tape_backward_resume(tape, gradients));
  if (status == SAROS_EARGUMENT && saros_tape_stop(tape, &stop)) {
    saros_tape_give_up(tape);
    lua_pushstring(L, saros_error(bind_context_of(L)));
    blame_backward(L, entry);
  }
  return status;
}

saros_status bind_own_backward(lua_State *L, const saros_own_stop *stop) {
  int base = lua_gettop(L), inputs = stop->inputs;
  const char *name = lua_pushstring(L, stop->name);
  take_entry(L, stop->token);
  int entry = base + 2;
  bind_owner *box = push_visit(L, name, 1);
  BIND_RUN(L, saros_set_precision(bind_context_of(L), stop->precision));
  int first = lua_gettop(L) + 1;
  lua_rawgeti(L, entry, 1);
  lua_call(L, push_values(L, entry, stop), LUA_MULTRET);
  saros_tensor **gradients = check_gradients(L, entry, name, inputs, first);
  ((visit *)box->object)->tape = NULL;
  bind_owner_release(box);
  saros_status status = resume(L, entry, gradients);
  lua_settop(L, base);
  return status;
}

/* --- Registration ------------------------------------------------------------------------ */

/* operation(name, forward, backward, outputs): the function; outputs 0: all. */
static int own_new(lua_State *L) {
  lua_settop(L, 4);
  const char *name = bind_check_text(L, 1);
  for (int arg = 2; arg <= 3; arg++)
    if (!lua_isfunction(L, arg))
      bind_argument_error(L, arg, "a function");
  bind_check_integer(L, 4, 0, MOST, "a number of outputs, or 0 for all");
  lua_pushvalue(L, lua_upvalueindex(BIND_BINDING_UPVALUE));
  lua_pushstring(L, name);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 3);
  lua_pushvalue(L, 4);
  lua_pushcclosure(L, own_call, OUTPUTS);
  return 1;
}

static const luaL_Reg functions[] = {{"operation", own_new}, {NULL, NULL}};

void bind_open_own(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
}
