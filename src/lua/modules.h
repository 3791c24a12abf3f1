/*
** The Lua modules that are compiled into the library, so that one file is the
** whole toolkit. The table is generated from lua/saros by embed.lua.
*/
#ifndef MODULES_H
#define MODULES_H

#include <stddef.h>

typedef struct saros_lua_module {
  const char *name;    // as in require: "saros.nn.linear"; NULL ends the table
  const char *chunk;   // for messages: "@saros/nn/linear.lua"
  const char *source;  // the text of the file
  size_t size;         // of the source, in bytes
} saros_lua_module;

extern const saros_lua_module saros_lua_modules[];

/* The module of that name; null if there is none. (lua_library.c) */
const saros_lua_module *bind_find_library_module(const char *name);

#endif
