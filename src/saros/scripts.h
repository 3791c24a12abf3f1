/*
** What a host has to do with Lua.
*/
#ifndef SAROS_SCRIPTS_H
#define SAROS_SCRIPTS_H

#include "context.h"

SAROS_BEGIN

/* --- Lua ---------------------------------------------------------------------------- */

/* Opens the toolkit in a Lua 5.4 state: leaves the table that require "saros"
** returns. Its context takes its memory from the state's allocator and keeps what
** tensors gave back for others: under a limit, saros_trim(saros_context_in(L))
** after a collection leaves that to Lua, too. */
struct lua_State;
SAROS_API int luaopen_saros(struct lua_State *L);

/* In a host luaopen_saros is this function, which raises an error first if the
** host was compiled for another library (see saros_check_build). */
SAROS_API void saros_check_host(struct lua_State *L, int version,
                                size_t real_size);
static inline int saros_luaopen(struct lua_State *L) {
  saros_check_host(L, SAROS_VERSION_NUMBER, sizeof(saros_real));
  return luaopen_saros(L);
}
#define luaopen_saros saros_luaopen

/*
** The same without some capabilities (SAROS_NO_FILES, ...). Scripts cannot get
** them back, whatever they require. Pushes the table; raises what opening
** raises. For a script without any way to files the host must not open Lua's
** own 'io', 'os' and 'package' either: base, string, table, math and coroutine
** are enough for the toolkit.
*/
SAROS_API void saros_open_without(struct lua_State *L, int without, int version,
                                  size_t real_size);
static inline void saros_open(struct lua_State *L, int without) {
  saros_open_without(L, without, SAROS_VERSION_NUMBER, sizeof(saros_real));
}

/* The context of a state in which the toolkit was opened, else null. */
SAROS_API saros_context *saros_context_in(struct lua_State *L);

/* Pushes a tensor of that context; the script has a reference of its own.
** Raises an error if Lua has no memory for that. */
SAROS_API void saros_push_tensor(struct lua_State *L, saros_tensor *tensor);

/* The tensor at an index of the stack, borrowed for as long as it is there and
** no script runs that could close it; null if it is anything else. */
SAROS_API saros_tensor *saros_to_tensor(struct lua_State *L, int index);

/* Pushes two tables, as saros.safetensors.read returns them: tensors by name,
** read-only, and metadata. saros.load(tensors, metadata) is then the model that
** was saved, without a copy of its weights; net:adopt(tensors) does the same for
** a chain that a script puts together, where net:load(tensors) copies. Raises an
** error without memory. */
SAROS_API void saros_push_shared(struct lua_State *L, saros_shared *shared);

SAROS_END

#endif
