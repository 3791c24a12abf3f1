/*
** Tables of tensors to and from files, and C source into them. A file that
** cannot be read or written is no misuse: then the functions return nil and the
** message.
*/
#include <stdlib.h>
#include <string.h>

#include "binding.h"

void bind_release_archive(void *archive) {
  saros_archive_release(archive);
}

/* --- Writing ----------------------------------------------------------------------------- */

/* The key below the top of the stack, which must be a name. */
static const char *check_name(lua_State *L, const char *what) {
  int index = lua_gettop(L) - 1;
  if (lua_type(L, index) != LUA_TSTRING ||
      strlen(lua_tostring(L, index)) != lua_rawlen(L, index))
    bind_value_error(L, index, "names without zero bytes", " as keys of the %s",
                     what);
  return lua_tostring(L, index);
}

static void check_tensor_value(lua_State *L, const char *name) {
  if (bind_to_tensor(L, -1) == NULL)
    bind_value_error(L, lua_gettop(L), "a live tensor", " as '%s'", name);
}

static void check_string_value(lua_State *L, const char *name) {
  if (lua_type(L, -1) != LUA_TSTRING ||
      strlen(lua_tostring(L, -1)) != lua_rawlen(L, -1))
    bind_value_error(L, lua_gettop(L), "a string without zero bytes",
                     " as the metadata '%s'", name);
}

/* Checks names and values of a table; returns how many there are. */
static size_t check_entries(lua_State *L, int table, const char *what,
                            void (*check_value)(lua_State *, const char *)) {
  size_t count = 0;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1), count++)
    check_value(L, check_name(L, what));
  return count;
}

/* A name and what goes with it: a tensor or a text. */
typedef struct entry {
  const char *name;
  saros_tensor *tensor;
  const char *text;
} entry;

/* Pushes an array for that many entries. */
static entry *push_entries(lua_State *L, size_t count) {
  return lua_newuserdatauv(L, (count + 1) * sizeof(entry), 0);
}

static int compare_entries(const void *a, const void *b) {
  return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

/*
** The entries of a table, sorted by name, so that equal tables give equal
** files. Strings and tensors are the table's own: nothing may allocate in Lua
** before their last use. The table was checked, but a finalizer may have
** changed it since: what does not fit is left out.
*/
static size_t sort_entries(lua_State *L, int table, entry *entries,
                           size_t most) {
  size_t count = 0;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    if (count == most || lua_type(L, -2) != LUA_TSTRING)
      continue;
    int is_text = lua_type(L, -1) == LUA_TSTRING;
    entries[count++] = (entry){lua_tostring(L, -2), bind_to_tensor(L, -1),
                               is_text ? lua_tostring(L, -1) : NULL};
  }
  qsort(entries, count, sizeof *entries, compare_entries);
  return count;
}

static saros_status add_entries(saros_archive *archive, const entry *entries,
                                size_t count) {
  saros_status status = SAROS_OK;
  for (const entry *e = entries; e < entries + count && !status; e++) {
    if (e->tensor != NULL)
      status = saros_archive_add(archive, e->name, e->tensor);
    else if (e->text != NULL)
      status = saros_archive_add_metadata(archive, e->name, e->text);
  }
  return status;
}

/* The arguments; a path is always the first. */
enum { PATH = 1, TENSORS, METADATA };

/* Puts an archive of both tables into a box. */
static saros_status make_archive(lua_State *L, bind_owner *box, entry *entries,
                                 size_t tensors, size_t texts) {
  saros_archive *archive = NULL;
  bind_owner_release(box);
  tensors = sort_entries(L, TENSORS, entries, tensors);
  texts = sort_entries(L, METADATA, entries + tensors, texts);
  saros_status status = saros_archive_new(bind_context_of(L), &archive);
  if (status != SAROS_OK)
    return status;
  box->object = archive;
  return add_entries(archive, entries, tensors + texts);
}

static int file_write(lua_State *L) {
  lua_settop(L, METADATA);
  const char *path = bind_check_text(L, PATH);
  bind_check_table(L, TENSORS);
  if (lua_isnil(L, METADATA)) {
    lua_newtable(L);
    lua_replace(L, METADATA);
  }
  bind_check_table(L, METADATA);
  size_t tensors = check_entries(L, TENSORS, "tensors", check_tensor_value);
  size_t texts = check_entries(L, METADATA, "metadata", check_string_value);
  bind_owner *box = bind_push_owner(L, bind_release_archive);
  entry *entries = push_entries(L, tensors + texts);
  saros_status status = make_archive(L, box, entries, tensors, texts);
  if (status == SAROS_EMEMORY && bind_collect(L))
    status = make_archive(L, box, entries, tensors, texts);
  BIND_RUN(L, status);
  BIND_MEASURE(L, bind_function_name(L), status,
               saros_safetensors_write(box->object, path));
  if (status != SAROS_OK)
    return bind_return_file_error(L, status);
  bind_owner_release(box);
  lua_pushboolean(L, 1);
  return 1;
}

/* --- Source ------------------------------------------------------------------------------ */

enum { PIECES = 2, HOLDS, LIST };

/* The piece on top. A box in HOLDS keeps a tensor alive; the table has strings. */
static saros_piece check_piece(lua_State *L) {
  saros_piece piece = {NULL};
  if (lua_type(L, -1) == LUA_TSTRING) {
    piece.text = lua_tolstring(L, -1, &piece.size);
    lua_pushvalue(L, -1);
  } else if (bind_to_tensor(L, -1) != NULL) {
    piece.tensor = bind_hold_tensor(L, lua_gettop(L));
  } else {
    bind_value_error(L, lua_gettop(L),
                     "a string or a live tensor as each piece", "");
  }
  lua_rawseti(L, HOLDS, (lua_Integer)lua_rawlen(L, HOLDS) + 1);
  return piece;
}

/* Writes a list of pieces in one of two ways. */
static int write_list(lua_State *L,
                      saros_status (*write)(saros_context *, const char *, int,
                                            const saros_piece *)) {
  lua_settop(L, PIECES);
  const char *path = bind_check_text(L, PATH);
  bind_check_table(L, PIECES);
  int count = (int)lua_rawlen(L, PIECES);
  lua_newtable(L);  // HOLDS
  saros_piece *list =
      lua_newuserdatauv(L, ((size_t)count + 1) * sizeof *list, 0);  // LIST
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, PIECES, i + 1);
    list[i] = check_piece(L);
    lua_settop(L, LIST);
  }
  saros_status status;
  BIND_MEASURE(L, bind_function_name(L), status,
               write(bind_context_of(L), path, count, list));
  if (status != SAROS_OK)
    return bind_return_file_error(L, status);
  lua_pushboolean(L, 1);
  return 1;
}

/* write_source(path, pieces) */
static int file_write_source(lua_State *L) {
  return write_list(L, saros_write_source);
}

/* write_pieces(path, pieces) */
static int file_write_pieces(lua_State *L) {
  return write_list(L, saros_write_pieces);
}

/* --- Reading ----------------------------------------------------------------------------- */

/* Pushes a table of the tensors. */
static void push_tensors(lua_State *L, const saros_archive *archive) {
  int count = saros_archive_count(archive);
  lua_createtable(L, 0, count);
  for (int i = 0; i < count; i++) {
    lua_pushstring(L, saros_archive_name(archive, i));
    saros_tensor **box = bind_push_tensor(L);
    *box = saros_tensor_retain(saros_archive_tensor(archive, i));
    bind_new_tensor(L, box);
    lua_rawset(L, -3);
  }
}

static void push_metadata(lua_State *L, const saros_archive *archive) {
  int count = saros_archive_metadata_count(archive);
  lua_createtable(L, 0, count);
  for (int i = 0; i < count; i++) {
    lua_pushstring(L, saros_archive_metadata_key(archive, i));
    lua_pushstring(L, saros_archive_metadata_value(archive, i));
    lua_rawset(L, -3);
  }
}

void bind_push_archive(lua_State *L, const saros_archive *archive) {
  push_tensors(L, archive);
  push_metadata(L, archive);
}

/* Pushes a list of tables { name, type, shape }. */
static void push_descriptions(lua_State *L, const saros_archive *archive) {
  int count = saros_archive_count(archive);
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    const int *shape;
    int rank = saros_archive_shape(archive, i, &shape);
    lua_createtable(L, 0, 3);
    lua_pushstring(L, saros_archive_name(archive, i));
    lua_setfield(L, -2, "name");
    lua_pushstring(L, saros_archive_type(archive, i));
    lua_setfield(L, -2, "type");
    lua_createtable(L, rank, 0);
    for (int axis = 0; axis < rank; axis++) {
      lua_pushinteger(L, shape[axis]);
      lua_rawseti(L, -2, axis + 1);
    }
    lua_setfield(L, -2, "shape");
    lua_rawseti(L, -2, i + 1);
  }
}

static int file_describe(lua_State *L) {
  const char *path = bind_check_text(L, PATH);
  saros_archive *archive = NULL;
  bind_owner *box = bind_push_owner(L, bind_release_archive);
  saros_status status;
  BIND_MEASURE(L, bind_function_name(L), status,
               saros_safetensors_describe(bind_context_of(L), path, &archive));
  if (status != SAROS_OK)
    return bind_return_file_error(L, status);
  box->object = archive;
  push_descriptions(L, archive);
  push_metadata(L, archive);
  bind_owner_release(box);
  return 2;
}

static int file_read(lua_State *L) {
  const char *path = bind_check_text(L, PATH);
  saros_archive *archive = NULL;
  bind_owner *box = bind_push_owner(L, bind_release_archive);
  saros_status status;
  BIND_MEASURE(L, bind_function_name(L), status,
               saros_safetensors_read(bind_context_of(L), path, &archive));
  if (status != SAROS_OK)
    return bind_return_file_error(L, status);
  box->object = archive;
  bind_push_archive(L, archive);
  bind_owner_release(box);
  return 2;
}

/* --- Text and folders ----------------------------------------------------------------------------- */

static int file_write_text(lua_State *L) {
  const char *path = bind_check_text(L, 1);
  size_t size;
  if (lua_type(L, 2) != LUA_TSTRING)
    bind_argument_error(L, 2, "a string");
  const char *text = lua_tolstring(L, 2, &size);
  saros_status status = saros_write_file(bind_context_of(L), path, text, size);
  if (status != SAROS_OK)
    return bind_return_file_error(L, status);
  lua_pushboolean(L, 1);
  return 1;
}

static int file_make_folder(lua_State *L) {
  const char *path = bind_check_text(L, PATH);
  saros_status status = saros_make_folder(bind_context_of(L), path);
  if (status != SAROS_OK)
    return bind_return_file_error(L, status);
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg functions[] = {
    {"make_folder", file_make_folder},   {"write_file", file_write_text},
    {"write_tensors", file_write},       {"read_tensors", file_read},
    {"write_source", file_write_source}, {"describe_tensors", file_describe},
    {"write_pieces", file_write_pieces}, {NULL, NULL},
};

void bind_open_file(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
}
