/*
** The prompt of the interpreter: read a statement, run it, print its values.
** libedit edits the lines, keeps a history that outlives the program, and
** completes names of globals, fields and methods.
**
** libedit calls back without an argument of ours, and so does a signal; the
** static variables are what those functions have to know.
*/
#include <locale.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <editline/readline.h>
#include <lauxlib.h>
#include <lua.h>

#include "interpreter.h"

#define HISTORY_LINES 2000

/* --- Completion: what may follow "saros.nn.li" or "t:sha" ---------------- */

/* How many metatables deep a field is looked for. */
#define MAX_DEPTH 16

static lua_State *completing;
static const char candidates;  // its address is the key in the registry

/*
** Replaces the value on the top by the table where its missing fields are
** looked up. No metamethod is called; if __index is a function, a table among
** its upvalues is most likely that of the methods. False, without the value, if
** there is no table.
*/
static bool follow_index(lua_State *L) {
  int value = lua_gettop(L);
  if (luaL_getmetafield(L, value, "__index") == LUA_TFUNCTION) {
    int at = 1;
    while (lua_getupvalue(L, value + 1, at++) != NULL && !lua_istable(L, -1))
      lua_pop(L, 1);
  }
  bool found = lua_istable(L, -1);
  if (found)
    lua_replace(L, value);
  lua_settop(L, found ? value : value - 1);
  return found;
}

/* Replaces the value on the top by its field; false, without it, if none. */
static bool follow_field(lua_State *L, const char *name, size_t length) {
  for (int depth = 0; depth < MAX_DEPTH; depth++) {
    if (lua_istable(L, -1)) {
      lua_pushlstring(L, name, length);
      if (lua_rawget(L, -2) != LUA_TNIL) {
        lua_remove(L, -2);
        return true;
      }
      lua_pop(L, 1);
    }
    if (!follow_index(L))
      return false;
  }
  lua_pop(L, 1);
  return false;
}

/* Does the key begin as typed? Names that begin with an underscore are only
** for those who type it. */
static bool is_match(lua_State *L, int key, const char *typed) {
  if (lua_type(L, key) != LUA_TSTRING)
    return false;
  const char *name = lua_tostring(L, key);
  return strncmp(name, typed, strlen(typed)) == 0 &&
         (name[0] != '_' || typed[0] == '_');
}

/* Adds the string on the top to a list, unless it is there, and pops it. */
static void add_once(lua_State *L, int list) {
  lua_pushvalue(L, -1);
  if (lua_rawget(L, list) == LUA_TNIL) {
    lua_pushvalue(L, -2);
    lua_pushboolean(L, 1);
    lua_rawset(L, list);
    lua_pushvalue(L, -2);
    lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
  }
  lua_pop(L, 2);
}

/* Adds the matching fields of the table on the top to a list, each behind the
** text that stands before it. */
static void add_matches(lua_State *L, int list, int before, const char *typed,
                        bool only_methods) {
  int top = lua_gettop(L);
  luaL_callmeta(L, -1, "__pairs");  // may bring fields that were not there yet
  lua_settop(L, top);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (!is_match(L, -2, typed) || (only_methods && !lua_isfunction(L, -1)))
      continue;
    lua_pushvalue(L, before);
    lua_pushvalue(L, -3);
    lua_concat(L, 2);
    add_once(L, list);
  }
}

/* Lua function: lists in the registry what completes a text like "a.b:c". */
static int find_candidates(lua_State *L) {
  const char *text = lua_touserdata(L, 1), *typed = text, *end;
  bool only_methods = false;
  lua_newtable(L);
  lua_pushvalue(L, 2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &candidates);
  lua_pushglobaltable(L);
  while ((end = strpbrk(typed, ".:")) != NULL) {
    if (!follow_field(L, typed, (size_t)(end - typed)))
      return 0;
    only_methods = *end == ':';
    typed = end + 1;
  }
  lua_pushlstring(L, text, (size_t)(typed - text));
  lua_insert(L, 3);
  for (int depth = 0; depth < MAX_DEPTH; depth++) {
    if (lua_istable(L, -1))
      add_matches(L, 2, 3, typed, only_methods);
    if (!follow_index(L))
      break;
  }
  return 0;
}

/* Gives libedit one candidate per call, NULL after the last. */
static char *next_candidate(const char *text, int at) {
  lua_State *L = completing;
  if (at == 0) {
    lua_pushcfunction(L, find_candidates);
    lua_pushlightuserdata(L, (void *)text);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
      lua_pop(L, 1);  // out of memory: offer what was found so far
  }
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &candidates) != LUA_TTABLE) {
    lua_pop(L, 1);
    return NULL;
  }
  lua_rawgeti(L, -1, at + 1);
  const char *candidate = lua_tostring(L, -1);
  char *copy = candidate ? strdup(candidate) : NULL;
  lua_pop(L, 2);
  return copy;
}

/* Inside a string, libedit completes the names of files. */
static char **complete(const char *text, int start, int end) {
  (void)end;
  bool in_string = start > 0 && strchr("\"'", rl_line_buffer[start - 1]);
  rl_attempted_completion_over = !in_string;
  return in_string ? NULL : rl_completion_matches(text, next_candidate);
}

static void start_completion(lua_State *L) {
  static char breaks[] = " \t\n\"\\'`@$><=;|&{}()[]+-*/%^#~,!?";
  completing = L;
  rl_completer_word_break_characters = breaks;
  rl_completion_append_character = '\0';
  rl_attempted_completion_function = complete;
}

/* --- History -------------------------------------------------------------- */

/* Pushes the path of the history, or nil: SAROS_HISTORY if it is set (nothing
** is kept if it is empty), or else a file in the home folder. */
static const char *push_history_path(lua_State *L) {
  const char *path = getenv("SAROS_HISTORY"), *home = getenv("HOME");
  if (path == NULL && home != NULL)
    return lua_pushfstring(L, "%s/.saros_history", home);
  return lua_pushstring(L, path && path[0] ? path : NULL);
}

/* Written after each line, so that no way of leaving loses it. */
static void remember(const char *line, const char *path) {
  if (line[0] == '\0')
    return;
  add_history(line);
  if (path != NULL)
    write_history(path);
}

/* --- Reading -------------------------------------------------------------- */

typedef enum input { INPUT_LINE, INPUT_CANCELLED, INPUT_END } input;

static sigjmp_buf prompt;

static void leave_prompt(int number) {
  if (!interpreter_forward_signal(number))
    siglongjmp(prompt, 1);
}

/* A line as it is typed in; NULL at the end of the input, or after Ctrl-C. The
** signal arrives while libedit waits for a key, so nothing is left half done. */
static char *edit_line(const char *text, bool *cancelled) {
  *cancelled = sigsetjmp(prompt, 1) != 0;
  if (*cancelled)
    return NULL;
  signal(SIGINT, leave_prompt);
  return readline(text);
}

/* Pushes a line, if there is one. */
static input read_line(lua_State *L, const char *text, const char *path) {
  void (*before)(int) = signal(SIGINT, SIG_IGN);
  bool cancelled;
  char *line = edit_line(text, &cancelled);
  signal(SIGINT, before);
  if (line == NULL) {
    putchar('\n');
    return cancelled ? INPUT_CANCELLED : INPUT_END;
  }
  remember(line, path);
  lua_pushstring(L, line);
  free(line);
  return INPUT_LINE;
}

/* Compiles the text at 'index' as an expression, or else as statements, and
** pushes the function or the message. */
static int compile(lua_State *L, int index) {
  const char *text = lua_tostring(L, index);
  const char *expression = lua_pushfstring(L, "return %s", text);
  int status = luaL_loadbuffer(L, expression, strlen(expression), "=stdin");
  if (status != LUA_OK) {
    lua_pop(L, 1);
    status = luaL_loadbuffer(L, text, strlen(text), "=stdin");
  }
  lua_remove(L, -2);  // the expression
  return status;
}

/* Does the message say that the text ended too early? */
static bool is_incomplete(lua_State *L, int status) {
  const char *message = lua_tostring(L, -1);
  const char *end = message ? strstr(message, "<eof>") : NULL;
  return status == LUA_ERRSYNTAX && end != NULL && end[5] == '\0';
}

/* Reads lines until they make a statement; pushes its function or a message,
** the status of which is stored. */
static input read_statement(lua_State *L, const char *path, int *status) {
  input result = read_line(L, "> ", path);
  if (result != INPUT_LINE)
    return result;
  int text = lua_gettop(L);
  while (*status = compile(L, text), is_incomplete(L, *status)) {
    lua_pop(L, 1);
    lua_pushliteral(L, "\n");
    result = read_line(L, ">> ", path);
    if (result != INPUT_LINE)
      return result;
    lua_concat(L, 3);
  }
  lua_remove(L, text);
  return INPUT_LINE;
}

/* --- Running -------------------------------------------------------------- */

/* Prints all values above 'base', as print does, and pops them. */
static void print_values(lua_State *L, int base) {
  int count = lua_gettop(L) - base;
  if (count == 0)
    return;
  luaL_checkstack(L, LUA_MINSTACK, "too many results to print");
  lua_getglobal(L, "print");
  lua_insert(L, base + 1);
  interpreter_report(L, interpreter_call(L, count, 0));
}

void interpreter_prompt(lua_State *L) {
  setlocale(LC_CTYPE, "");  // for libedit to take UTF-8
  rl_readline_name = "saros";
  start_completion(L);
  using_history();
  stifle_history(HISTORY_LINES);
  const char *path = push_history_path(L);
  if (path != NULL)
    read_history(path);
  int base = lua_gettop(L), status = LUA_OK;
  input result;
  while ((result = read_statement(L, path, &status)) != INPUT_END) {
    if (result == INPUT_LINE) {
      if (status == LUA_OK)
        status = interpreter_call(L, 0, LUA_MULTRET);
      if (interpreter_report(L, status) == LUA_OK)
        print_values(L, base);
    }
    lua_settop(L, base);
    fflush(stdout);
  }
}
