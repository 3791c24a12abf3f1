/*
** Files in the wire format of protocol buffers, for lua/saros/onnx: positions in them are
** bytes from 0. What is wrong with a file is no misuse: then the functions return nil and
** the message.
*/
#include <string.h>

#include "binding.h"

static saros_wire *check_wire(lua_State *L) {
  return *(saros_wire **)bind_check_box(L, 1, BIND_WIRE);
}

/* A position: 0 to the size of the file. */
static uint64_t check_position(lua_State *L, int arg) {
  uint64_t size = saros_wire_size(check_wire(L));
  return (uint64_t)bind_check_integer(L, arg, 0, (lua_Integer)size,
                                      "a position in the file");
}

static int wire_open(lua_State *L) {
  lua_settop(L, 1);
  const char *path = bind_check_text(L, 1);
  saros_wire **box = bind_push_box(L, BIND_WIRE);
  saros_status status;
  BIND_MEASURE(L, bind_function_name(L), status,
               saros_wire_open(bind_context_of(L), path, box));
  return status == SAROS_OK ? 1 : bind_return_file_error(L, status);
}

static int wire_gc(lua_State *L) {
  saros_wire **box = bind_to_box(L, 1, BIND_WIRE);
  if (box != NULL) {
    saros_wire *wire = *box;
    *box = NULL;
    saros_wire_release(wire);
  }
  return 0;
}

static int wire_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)saros_wire_size(check_wire(L)));
  return 1;
}

/* wire:next(at, stop): number, kind, value, after. */
static int wire_next(lua_State *L) {
  uint64_t at = check_position(L, 2), stop = check_position(L, 3);
  saros_wire_field field;
  saros_status status = saros_wire_next(check_wire(L), at, stop, &field);
  if (status != SAROS_OK)
    return bind_return_file_error(L, status);
  lua_pushinteger(L, (lua_Integer)field.number);
  lua_pushinteger(L, (lua_Integer)field.kind);
  lua_pushinteger(L, (lua_Integer)field.value);
  lua_pushinteger(L, (lua_Integer)field.after);
  return 4;
}

/* wire:text(from, stop) */
static int wire_text(lua_State *L) {
  uint64_t from = check_position(L, 2), stop = check_position(L, 3);
  if (from > stop)
    bind_argument_error(L, 3, "a position behind the first");
  lua_pushlstring(L, saros_wire_bytes(check_wire(L)) + from,
                  (size_t)(stop - from));
  return 1;
}

/* The arguments (type, number, from, stop) of elements. */
static saros_wire_elements check_elements(lua_State *L) {
  saros_wire_elements from = {.type = bind_check_text(L, 2)};
  from.number = (uint32_t)bind_check_integer(L, 3, 0, INT32_MAX,
                                             "the number of a field, or 0");
  from.begin = check_position(L, 4);
  from.end = check_position(L, 5);
  return from;
}

/* wire:reals(type, number, from, stop, shape) */
static int wire_reals(lua_State *L) {
  lua_settop(L, 6);
  saros_wire_elements from = check_elements(L);
  bind_shape shape;
  bind_check_shape(L, 6, &shape);
  saros_tensor **out = bind_push_tensor(L);
  saros_status status;
  BIND_MEASURE(
      L, bind_function_name(L), status,
      saros_wire_reals(check_wire(L), &from, shape.rank, shape.sizes, out));
  if (status != SAROS_OK)
    return bind_return_file_error(L, status);
  return bind_new_tensor(L, out);
}

/* wire:integers(type, number, from, stop, count): a list. */
static int wire_integers(lua_State *L) {
  lua_settop(L, 6);
  saros_wire_elements from = check_elements(L);
  lua_Integer size = (lua_Integer)saros_wire_size(check_wire(L));
  size_t count = (size_t)bind_check_integer(
      L, 6, 0, size, "a count of at most the file's bytes");
  int64_t *list = lua_newuserdatauv(L, (count + 1) * sizeof *list, 0);
  saros_status status = saros_wire_integers(check_wire(L), &from, count, list);
  if (status != SAROS_OK)
    return bind_return_file_error(L, status);
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    lua_pushinteger(L, list[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static const luaL_Reg functions[] = {{"open_wire", wire_open}, {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"next", wire_next},         {"text", wire_text}, {"reals", wire_reals},
    {"integers", wire_integers}, {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", wire_gc}, {"__len", wire_len}, {NULL, NULL}};

void bind_open_wire(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
  bind_register_type(L, BIND_WIRE, metamethods, methods);
  lua_pop(L, 1);
}
