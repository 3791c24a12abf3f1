/*
** Containers: zip files, and plain ones, for the formats of lua/saros/formats. What
** is wrong with a file is returned, as nil and a message.
*/
#include "binding.h"

static saros_container *check_container(lua_State *L) {
  return *(saros_container **)bind_check_box(L, 1, BIND_CONTAINER);
}

/* The place of a member, from 0. */
static int check_member(lua_State *L) {
  int count = saros_container_count(check_container(L));
  return (int)bind_check_integer(L, 2, 1, count, "the number of a member") - 1;
}

static lua_Integer check_count(lua_State *L, int arg) {
  return bind_check_integer(L, arg, 0, (lua_Integer)1 << 52, "a count");
}

/* open_container(path, limit) */
static int container_open(lua_State *L) {
  lua_settop(L, 2);
  const char *path = bind_check_text(L, 1);
  uint64_t limit = lua_isnil(L, 2) ? 0 : (uint64_t)check_count(L, 2);
  saros_container **box = bind_push_box(L, BIND_CONTAINER);
  saros_status status =
      saros_container_open(bind_context_of(L), path, limit, box);
  return status == SAROS_OK ? 1 : bind_return_file_error(L, status);
}

static int container_close(lua_State *L) {
  saros_container **box = bind_to_box(L, 1, BIND_CONTAINER);
  if (box != NULL) {
    saros_container *container = *box;
    *box = NULL;
    saros_container_release(container);
  }
  return 0;
}

static int container_len(lua_State *L) {
  lua_pushinteger(L, saros_container_count(check_container(L)));
  return 1;
}

static int container_size(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)saros_container_size(check_container(L)));
  return 1;
}

/* container:member(n): its name and bytes. */
static int container_member(lua_State *L) {
  int at = check_member(L);
  lua_pushstring(L, saros_container_name(check_container(L), at));
  lua_pushinteger(L,
                  (lua_Integer)saros_container_bytes(check_container(L), at));
  return 2;
}

/* container:read(n, from, size) */
static int container_read(lua_State *L) {
  lua_settop(L, 4);
  int at = check_member(L);
  lua_Integer from = check_count(L, 3), size = check_count(L, 4);
  luaL_Buffer buffer;
  if ((uint64_t)size > saros_container_bytes(check_container(L), at) ||
      (uint64_t)size > saros_container_room(check_container(L))) {
    lua_pushnil(L);
    lua_pushfstring(L, "file: expected at most %I bytes in %s, got %I",
                    (LUAI_UACINT)saros_container_room(check_container(L)),
                    saros_container_name(check_container(L), at),
                    (LUAI_UACINT)size);
    return 2;
  }
  char *to = luaL_buffinitsize(L, &buffer, (size_t)size);
  saros_status status = saros_container_read(check_container(L), at,
                                             (uint64_t)from, (size_t)size, to);
  if (status != SAROS_OK)
    return bind_return_file_error(L, status);
  luaL_pushresultsize(&buffer, (size_t)size);
  return 1;
}

/* container:elements(n, type, from, count, swapped) */
static int container_elements(lua_State *L) {
  lua_settop(L, 6);
  int at = check_member(L);
  const char *type = bind_check_text(L, 3);
  lua_Integer from = check_count(L, 4), count = check_count(L, 5);
  int swapped = bind_opt_flag(L, 6, 0);
  saros_tensor **out = bind_push_tensor(L);
  saros_status status;
  BIND_MEASURE(L, bind_function_name(L), status,
               saros_container_elements(check_container(L), at, (uint64_t)from,
                                        type, (uint64_t)count, swapped, out));
  if (status != SAROS_OK)
    return bind_return_file_error(L, status);
  return bind_new_tensor(L, out);
}

/* The integers of a list; returns how many. */
static int check_integers(lua_State *L, int arg, int64_t *out) {
  int count = bind_list_length(L, arg);
  if (count > SAROS_MAX_RANK)
    bind_argument_error(L, arg, "a list of a few integers");
  for (int i = 0; i < count; i++) {
    lua_Integer value = 0;
    lua_rawgeti(L, arg, i + 1);
    if (!bind_to_integer(L, -1, 0, (lua_Integer)1 << 52, &value))
      bind_value_error(L, lua_gettop(L), "integers, 0 or more", " in a list");
    out[i] = value;
    lua_pop(L, 1);
  }
  return count;
}

/* strided(x, offset, shape, strides) */
static int container_strided(lua_State *L) {
  int64_t stride[SAROS_MAX_RANK];
  bind_shape shape;
  lua_settop(L, 4);
  bind_check_tensor(L, 1);
  lua_Integer offset = check_count(L, 2);
  bind_check_shape(L, 3, &shape);
  bind_check_table(L, 4);
  if (check_integers(L, 4, stride) != shape.rank)
    bind_argument_error(L, 4, "a stride for each size");
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_strided(bind_check_tensor(L, 1), offset, shape.rank,
                                shape.sizes, stride, out));
  return bind_new_tensor(L, out);
}

static const luaL_Reg functions[] = {
    {"open_container", container_open},
    {"strided", container_strided},
    {NULL, NULL},
};

static const luaL_Reg methods[] = {
    {"size", container_size},
    {"member", container_member},
    {"read", container_read},
    {"elements", container_elements},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", container_close},
    {"__close", container_close},
    {"__len", container_len},
    {NULL, NULL},
};

void bind_open_container(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
  bind_register_type(L, BIND_CONTAINER, metamethods, methods);
  lua_pop(L, 1);
}
