/*
** record(f): from here on f is told of every call of a function or a method of
** the module, as f(name, arguments, results), until the recording is closed:
**
**     local _ <close> = core.record(f)
**
** Inside f nothing is recorded. An error of f ends the recording.
*/
#include "binding.h"

/* The recording that was going on before is the user value of a recording. */
enum { PREVIOUS = 1 };

/* Slots of the stack: more than a trace takes. */
enum { ROOM = 4000 };

/* Makes the value on top, popped, the recorder; nil if there is none. */
static void set_recorder(lua_State *L) {
  bind_binding_of(L)->recording = !lua_isnil(L, -1);
  lua_setiuservalue(L, lua_upvalueindex(BIND_BINDING_UPVALUE),
                    BIND_RECORDER_VALUE);
}

static int recording_gc(lua_State *L) {
  void **box = bind_to_box(L, 1, BIND_RECORDING);
  if (box == NULL || *box == NULL)
    return 0;
  *box = NULL;
  lua_getiuservalue(L, 1, PREVIOUS);
  set_recorder(L);
  return 0;
}

static int record_record(lua_State *L) {
  lua_settop(L, 1);
  if (!lua_isfunction(L, 1))
    bind_argument_error(L, 1, "a function");
  void **box = bind_push_box(L, BIND_RECORDING);
  lua_getiuservalue(L, lua_upvalueindex(BIND_BINDING_UPVALUE),
                    BIND_RECORDER_VALUE);
  lua_setiuservalue(L, -2, PREVIOUS);
  *box = box;  // open
  lua_pushvalue(L, 1);
  set_recorder(L);
  return 1;
}

/*
** with_room(f, ...): f(...), with so much of the stack in reserve that it stays
** where it is. Up to 5.4.4, Lua writes to a stack that has moved where the
** __concat of `a .. b .. c` makes it move (luaV_concat keeps a pointer to it), and
** a recorder, which is a function of Lua inside of every __concat, makes that
** likely. The collector shrinks no stack below the room that a running C function
** has asked for.
*/
static int record_with_room(lua_State *L) {
  if (!lua_isfunction(L, 1))
    bind_argument_error(L, 1, "a function");
  luaL_checkstack(L, ROOM, "a trace");
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

static const luaL_Reg metamethods[] = {{"__gc", recording_gc}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"record", record_record}, {"with_room", record_with_room}, {NULL, NULL}};

void bind_open_record(lua_State *L) {
  bind_push_binding(L);
  lua_newtable(L);
  lua_setiuservalue(L, -2, BIND_CALLS_VALUE);
  lua_pop(L, 1);
  bind_push_metatable(L, BIND_RECORDING, metamethods);
  lua_pop(L, 1);
  bind_register_functions(L, BIND_MODULE, functions);
}
