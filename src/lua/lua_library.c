/*
** The Lua modules that are compiled into the library, looked up by name or by
** chunk.
*/
#include <string.h>

#include "binding.h"
#include "modules.h"

/* The beginning of all their chunks, by which most others are told at once. */
#define BIND_FOLDER "@saros/"

int bind_is_library_chunk(const char *source) {
  if (strncmp(source, BIND_FOLDER, sizeof BIND_FOLDER - 1) != 0)
    return 0;
  const saros_lua_module *module = saros_lua_modules;
  while (module->name != NULL && strcmp(module->chunk, source) != 0)
    module++;
  return module->name != NULL;
}

const saros_lua_module *bind_find_library_module(const char *name) {
  const saros_lua_module *module = saros_lua_modules;
  while (module->name != NULL && strcmp(module->name, name) != 0)
    module++;
  return module->name != NULL ? module : NULL;
}
