/*
** A host that gives scripts neither files nor threads, and only the libraries
** that compute: everything else must work, and there must be no way round.
*/
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "check.h"
#include "saros.h"

static lua_State *open_state(int without) {
  static const luaL_Reg libraries[] = {
      {LUA_GNAME, luaopen_base},          {LUA_STRLIBNAME, luaopen_string},
      {LUA_TABLIBNAME, luaopen_table},    {LUA_MATHLIBNAME, luaopen_math},
      {LUA_COLIBNAME, luaopen_coroutine}, {NULL, NULL}};
  lua_State *L = luaL_newstate();
  for (const luaL_Reg *l = libraries; l->name != NULL; l++) {
    luaL_requiref(L, l->name, l->func, 1);
    lua_pop(L, 1);
  }
  saros_open(L, without);
  lua_setglobal(L, "saros");
  return L;
}

/* Runs a script; its error, or what it returned, as a string on the stack. */
static const char *run(lua_State *L, const char *script) {
  if (luaL_loadstring(L, script) != LUA_OK || lua_pcall(L, 0, 1, 0) != LUA_OK)
    return lua_tostring(L, -1);
  return luaL_tolstring(L, -1, NULL);
}

static void expect(lua_State *L, const char *script, const char *part) {
  const char *said = run(L, script);
  CHECK(said != NULL && strstr(said, part) != NULL,
        "%s\n  expected \"%s\", got \"%s\"", script, part, said);
  lua_settop(L, 0);
}

static void check_without(void) {
  static const char *const files[] = {
      "return select(2, saros.nn.linear { 1, 1 }:init { seed = 1 }:save 'x')",
      "return select(2, saros.safetensors.write('x', {}))",
      "return select(2, saros.safetensors.read 'x')",
      "return select(2, saros.load 'x')",
      "return select(2, saros.data.prepare('x', 'y'))",
      "return select(2, pcall(saros.fit, saros.nn.language_model {\n"
      "  vocabulary = saros.data.vocabulary.characters 'a' },\n"
      "  saros.data.text { string = ('a'):rep(3000) }, { run = 'x' }))",
  };
  static const char *const library[] = {
      "return select(2, saros.data.text 'x')",
      "return select(2, saros.data.pieces 'x')",
      "return select(2, saros.data.labelled 'x')",
      "return select(2, saros.data.series 'x')",
      "return select(2, saros.report 'x')",
      "return select(2, pcall(saros.progress))",
  };
  lua_State *L = open_state(SAROS_NO_FILES | SAROS_NO_THREADS);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    expect(L, files[i], "no way to files from the host");
  for (size_t i = 0; i < sizeof library / sizeof *library; i++)
    expect(L, library[i], "expected a way to files from the host, got none");
  expect(L, "return saros.threads(2)", "expected 1");
  expect(L, "return saros.threads()", "1");
  expect(L, "return saros.threads(1)", "1");
  lua_close(L);
}

/* Training, generation and sessions with five libraries. */
static void check_work(int without) {
  lua_State *L = open_state(without);
  expect(
      L,
      "local text = saros.data.text { string = ('a stitch '):rep(60) }\n"
      "local lm = saros.nn.language_model { vocabulary = text.vocabulary,\n"
      "  cell = 'lstm', hidden = 16, seed = 1 }\n"
      "saros.fit(lm, text, { epochs = 20, batch = 4, length = 9, lr = 0.02 })\n"
      "local made = ''\n"
      "for piece in lm:generate { prime = 'a st', length = 4, seed = 1,\n"
      "    temperature = 0.1 } do made = made .. piece end\n"
      "return made",
      "itch");
  expect(L, "return io or os or package or require or 'nothing'", "nothing");
  lua_close(L);
}

int main(void) {
  check_without();
  check_work(0);
  check_work(SAROS_NO_FILES | SAROS_NO_THREADS);
  lua_State *L = open_state(0);
  expect(L, "return saros.threads(2)", "2");
  expect(L, "return select(2, saros.load '/nowhere')", "No such file");
  lua_close(L);
  return report();
}
