/*
** The smallest host: a Lua state with the toolkit, and a script that trains a
** model and lets it write.
**
**   cc minimal.c $(pkg-config --cflags --libs saros lua5.4) && ./a.out
*/
#include <lauxlib.h>
#include <lualib.h>
#include <saros.h>
#include <stdio.h>

static const char script[] =
    "local line = 'to be, or not to be, that is the question; '\n"
    "local text = saros.data.text { string = line:rep(40) }\n"
    "local lm = saros.nn.language_model {\n"
    "  vocabulary = text.vocabulary, cell = 'gru', hidden = 48, seed = 1 }\n"
    "saros.fit(lm, text, { epochs = 15, batch = 8, length = 25, lr = 0.01 })\n"
    "for piece in lm:generate {\n"
    "    prime = 'to be, or ', length = 33, temperature = 0.1, seed = 1 } do\n"
    "  io.write(piece)\n"
    "end\n"
    "print()\n";

int main(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  luaL_requiref(L, "saros", luaopen_saros, 1);
  int failed = luaL_dostring(L, script);
  if (failed)
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_close(L);
  return failed;
}
