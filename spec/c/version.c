/*
** A host that was compiled for another version or element type is told so by
** whatever it opens the library with, and so is a user who wants an instruction set
** that there is not.
*/
#define _GNU_SOURCE  // setenv
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "saros.h"

static const size_t other = sizeof(saros_real) == 4 ? 8 : 4;

static void check_numbers(void) {
  char text[16];
  int n = saros_version_number();
  snprintf(text, sizeof text, "%d.%d.%d", n / 10000, n / 100 % 100, n % 100);
  CHECK(strcmp(text, saros_version()) == 0, "%s is %s", text, saros_version());
  CHECK(strcmp(SAROS_VERSION, saros_version()) == 0 &&
            SAROS_VERSION_NUMBER == n,
        "the header's version is the library's");
}

static void check_messages(void) {
  char text[160] = "before";
  int n = saros_version_number();
  CHECK(saros_check_build(n, sizeof(saros_real), text, sizeof text) ==
                SAROS_OK &&
            text[0] == '\0',
        "the same: %s", text);
  CHECK(saros_check_build(n + 1, sizeof(saros_real), text, sizeof text) ==
            SAROS_OK,
        "another patch: %s", text);
  CHECK(saros_check_build(n, other, text, sizeof text) == SAROS_EARGUMENT &&
            strstr(text, "float") && strstr(text, "double"),
        "another type: %s", text);
  CHECK(saros_check_build(98765, sizeof(saros_real), text, sizeof text) ==
                SAROS_EARGUMENT &&
            strstr(text, SAROS_VERSION) && strstr(text, "9.87.65"),
        "another version: %s", text);
  CHECK(saros_check_build(n, 3, text, 5) == SAROS_EARGUMENT &&
            strcmp(text, "expe") == 0,
        "a short buffer: %s", text);
}

static void check_contexts(void) {
  saros_context *context =
      saros_context_open(NULL, NULL, saros_version_number(), other);
  CHECK(context == NULL, "a context for another type");
  context = saros_context_open(NULL, NULL, 98765, sizeof(saros_real));
  CHECK(context == NULL, "a context for another version");
  context = saros_context_new(NULL, NULL);
  CHECK(context != NULL, "a context");
  saros_context_release(context);
}

static int open_other(lua_State *L) {
  saros_open_without(L, 0, saros_version_number(), other);
  return 0;
}

static int check_other(lua_State *L) {
  saros_check_host(L, 98765, sizeof(saros_real));
  return 0;
}

static int open_wrongly(lua_State *L) {
  saros_open(L, 1 << 20);
  return 0;
}

static void expect_error(lua_CFunction f, const char *part) {
  lua_State *L = luaL_newstate();
  lua_pushcfunction(L, f);
  int status = lua_pcall(L, 0, 0, 0);
  const char *said = status == LUA_OK ? "nothing" : lua_tostring(L, -1);
  CHECK(status != LUA_OK && strstr(said, part) != NULL,
        "expected \"%s\", got \"%s\"", part, said);
  lua_close(L);
}

static void check_states(void) {
  expect_error(open_other, "saros: expected a host compiled for Saros ");
  expect_error(check_other, "got one for 9.87.65");
  expect_error(open_wrongly, "restrict: expected SAROS_NO_FILES, ");
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  luaL_requiref(L, "saros", luaopen_saros, 1);
  CHECK(lua_istable(L, -1), "a state with the toolkit");
  lua_close(L);
}

static int open_state(lua_State *L) {
  luaL_requiref(L, "saros", luaopen_saros, 0);
  return 0;
}

static void check_isa(void) {
  char text[200];
  const int n = saros_version_number();
  setenv("SAROS_ISA", "sse9", 1);
  CHECK(saros_check_build(n, sizeof(saros_real), text, sizeof text) ==
                SAROS_EARGUMENT &&
            strstr(text, "got \"sse9\""),
        "an unknown instruction set: %s", text);
  CHECK(saros_context_new(NULL, NULL) == NULL, "no context for sse9");
  expect_error(open_state, "saros: expected SAROS_ISA to be one of ");
  const char *name;
  for (int i = 0; (name = saros_isa(i)) != NULL; i++) {
    CHECK(strstr(text, name) != NULL, "%s is named: %s", name, text);
    setenv("SAROS_ISA", name, 1);
    saros_context *context = saros_context_new(NULL, NULL);
    CHECK(context != NULL && !strcmp(saros_info(context).isa, name),
          "a context for %s", name);
    saros_context_release(context);
  }
  setenv("SAROS_ISA", "", 1);
  saros_context *context = saros_context_new(NULL, NULL);
  CHECK(context != NULL && !strcmp(saros_info(context).isa, saros_isa(0)),
        "the best set where SAROS_ISA is empty");
  saros_context_release(context);
  unsetenv("SAROS_ISA");
}

int main(void) {
  check_isa();
  check_numbers();
  check_messages();
  check_contexts();
  check_states();
  return report();
}
