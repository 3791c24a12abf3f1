/*
** The Lua modules that are compiled into the library, looked up by name or by
** chunk.
*/
#include <string.h>

#include "binding.h"
#include "modules.h"

int bind_is_library_chunk(const char *source) {
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
