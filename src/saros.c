/*
** The interpreter: Lua with the toolkit loaded, as the global
** 'saros' and through require. It takes what the plain interpreter takes, and
** is at the same time the smallest host: open_toolkit and interpreter_call are all
** that it takes to put Saros into another program.
*/
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "saros.h"
#include "interpreter.h"

static const char usage[] =
    "usage: saros [options] [script [arguments]]\n"
    "\n"
    "  -e code   run this code\n"
    "  -l name   require a library into a global of that name\n"
    "  -i        go on with a prompt after the script\n"
    "  -v        show what this build is; also --version\n"
    "  -h        show this text; also --help\n"
    "  --        end of the options\n"
    "  -         read the script from the standard input\n"
    "\n"
    "Without a script there is a prompt, if the input is a terminal.\n"
    "With SAROS_PROFILE=1 in the environment, a table of where the time went\n"
    "is printed at the end.\n";

#define TRACEBACK 20  // calls that are shown at most

/* --- Calls, errors, Ctrl-C ---------------------------------------------- */

/* A signal handler can find these in no other way. */
static lua_State *running;
static pthread_t main_thread;

bool interpreter_forward_signal(int number) {
  bool elsewhere = !pthread_equal(pthread_self(), main_thread);
  if (elsewhere)
    pthread_kill(main_thread, number);
  return elsewhere;
}

/* Did Ctrl-C end the last call? */
static bool interrupted;

static void raise_interrupt(lua_State *L, lua_Debug *call) {
  (void)call;
  lua_sethook(L, NULL, 0, 0);
  interrupted = true;
  lua_pushliteral(L, "interrupted!");
  lua_error(L);
}

/* Setting a hook is all that Lua allows a signal handler to do. A second
** Ctrl-C, before any Lua code could run, ends the program. */
static void on_interrupt(int number) {
  if (interpreter_forward_signal(number))
    return;
  signal(number, SIG_DFL);
  int events = LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT;
  lua_sethook(running, raise_interrupt, events, 1);
}

/* "script.lua:12: " somewhere: the message of a mistake in a script. One without
** it, as of error(message, 0), is for who runs the script. */
static bool has_place(const char *message) {
  for (; (message = strchr(message, ':')) != NULL; message++) {
    size_t digits = strspn(message + 1, "0123456789");
    if (digits > 0 && strncmp(message + 1 + digits, ": ", 2) == 0)
      return true;
  }
  return false;
}

/* Whether a function is the library's or Lua's own: its calls say nothing to the
** author of a script. */
static bool is_foreign(const lua_Debug *frame) {
  return *frame->what == 'C' || strncmp(frame->source, "@saros/", 7) == 0;
}

/* "\n\tscript.lua:12: in function 'name'" */
static void add_frame(luaL_Buffer *text, const lua_Debug *frame) {
  lua_State *L = text->L;
  lua_pushfstring(L, "\n\t%s:%d: in ", frame->short_src, frame->currentline);
  luaL_addvalue(text);
  if (*frame->what == 'm')
    lua_pushliteral(L, "main chunk");
  else if (*frame->namewhat != '\0')
    lua_pushfstring(L, "%s '%s'", frame->namewhat, frame->name);
  else
    lua_pushfstring(L, "function <%s:%d>", frame->short_src,
                    frame->linedefined);
  luaL_addvalue(text);
}

/* Pushes the message and the calls of the script that led to it. */
static void push_traceback(lua_State *L, const char *message) {
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  luaL_addstring(&text, message);
  luaL_addstring(&text, "\nstack traceback:");
  lua_Debug frame;
  int left = TRACEBACK;
  for (int level = 1; lua_getstack(L, level, &frame); level++) {
    lua_getinfo(L, "nSl", &frame);
    if (is_foreign(&frame))
      continue;
    if (left-- == 0) {
      luaL_addstring(&text, "\n\t...");
      break;
    }
    add_frame(&text, &frame);
  }
  luaL_pushresult(&text);
}

/* The message of any error object, with a traceback if it is of use. */
static int add_traceback(lua_State *L) {
  const char *message = lua_tostring(L, 1);
  if (message == NULL) {
    if (luaL_callmeta(L, 1, "__tostring") && lua_isstring(L, -1))
      return 1;
    message =
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  }
  if (lua_type(L, 1) == LUA_TSTRING && !has_place(message))
    return 1;
  if (strncmp(message, "saros/", 6) == 0)  // a fault of the library
    luaL_traceback(L, L, message, 1);
  else
    push_traceback(L, message);
  return 1;
}

/* Slots of the stack that scripts find in reserve: Lua 5.4.4 may write to a stack
** that has moved where it grows inside of `a .. b .. c`. */
enum { ROOM = 2000 };

int interpreter_call(lua_State *L, int arguments, int results) {
  int function = lua_gettop(L) - arguments;
  lua_checkstack(L, ROOM);
  lua_pushcfunction(L, add_traceback);
  lua_insert(L, function);
  running = L;
  interrupted = false;
  void (*before)(int) = signal(SIGINT, on_interrupt);
  int status = lua_pcall(L, arguments, results, function);
  signal(SIGINT, before);
  if (lua_gethook(L) == raise_interrupt)  // too late for this call
    lua_sethook(L, NULL, 0, 0);
  lua_remove(L, function);
  return status;
}

int interpreter_report(lua_State *L, int status) {
  if (status != LUA_OK) {
    const char *message = lua_tostring(L, -1);
    fflush(stdout);
    fprintf(stderr, "saros: %s\n", message ? message : "(no message)");
    // for saros.ranks: other ranks are told why this one ends
    lua_setfield(L, LUA_REGISTRYINDEX, "saros.failure");
  }
  return status;
}

/* --- The command line --------------------------------------------------- */

typedef struct command_line {
  int count;
  char **words;
  int script;  // its position in words, or count
  bool prompt, version, help, code;
  const char *bad;  // an option that is not known or has no argument
} command_line;

/* -e and -l take the rest of their word, or the next one. */
static bool takes_argument(const char *word) {
  return word[1] == 'e' || word[1] == 'l';
}

static const char *argument_of(char **words, int *at) {
  return words[*at][2] != '\0' ? words[*at] + 2 : words[++*at];
}

/* Takes one option in; returns how many words it has, 0 if it is bad. */
static int read_option(command_line *line, int at) {
  const char *word = line->words[at];
  if (takes_argument(word)) {
    line->code |= word[1] == 'e';
    int last = at;
    return argument_of(line->words, &last) != NULL ? last - at + 1 : 0;
  }
  line->prompt |= strcmp(word, "-i") == 0;
  bool version = strcmp(word, "-v") == 0 || strcmp(word, "--version") == 0;
  bool help = strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0;
  line->version |= version;
  line->help |= help;
  return version || help || strcmp(word, "-i") == 0;
}

static command_line read_command_line(int count, char **words) {
  command_line line = {.count = count, .words = words};
  int at = 1;
  while (at < count && words[at][0] == '-' && words[at][1] != '\0') {
    if (strcmp(words[at], "--") == 0) {
      at++;
      break;
    }
    int taken = read_option(&line, at);
    if (taken == 0) {
      line.bad = words[at];
      break;
    }
    at += taken;
  }
  line.script = at;
  return line;
}

/* The global 'arg': the script at 0, its arguments above, the rest below. */
static void set_arg(lua_State *L, const command_line *line) {
  int zero = line->script < line->count ? line->script : 0;
  lua_createtable(L, line->count - zero, zero + 1);
  for (int at = 0; at < line->count; at++) {
    lua_pushstring(L, line->words[at]);
    lua_rawseti(L, -2, at - zero);
  }
  lua_setglobal(L, "arg");
}

/* --- Running what it asks for -------------------------------------------- */

static int run_code(lua_State *L, const char *code) {
  int status = luaL_loadbuffer(L, code, strlen(code), "=(command line)");
  if (status == LUA_OK)
    status = interpreter_call(L, 0, 0);
  return interpreter_report(L, status);
}

static int require_library(lua_State *L, const char *name) {
  lua_getglobal(L, "require");
  lua_pushstring(L, name);
  int status = interpreter_call(L, 1, 1);
  if (status == LUA_OK)
    lua_setglobal(L, name);
  return interpreter_report(L, status);
}

/* Runs every -e and -l in their order, until one fails. */
static int run_options(lua_State *L, const command_line *line) {
  int status = LUA_OK;
  for (int at = 1; at < line->script && status == LUA_OK; at++) {
    if (!takes_argument(line->words[at]))
      continue;
    bool is_code = line->words[at][1] == 'e';
    const char *argument = argument_of(line->words, &at);
    status = is_code ? run_code(L, argument) : require_library(L, argument);
  }
  return status;
}

/* Runs a file, or the standard input if 'path' is NULL, with the words that
** follow as its arguments. */
static int run_script(lua_State *L, const char *path, char **words, int count) {
  int status = luaL_loadfile(L, path);
  if (status == LUA_OK) {
    luaL_checkstack(L, count, "too many arguments to script");
    for (int at = 0; at < count; at++)
      lua_pushstring(L, words[at]);
    status = interpreter_call(L, count, 0);
  }
  return interpreter_report(L, status);
}

static int run_named_script(lua_State *L, const command_line *line) {
  char **word = line->words + line->script;
  const char *path = strcmp(*word, "-") == 0 ? NULL : *word;
  return run_script(L, path, word + 1, line->count - line->script - 1);
}

static void print_version(void) {
  const char *real = sizeof(saros_real) == sizeof(float) ? "float" : "double";
  printf("Saros %s (%s), %s\n", SAROS_VERSION, real, LUA_RELEASE);
}

static const char show_build[] =
    "local info = saros.info()\n"
    "print(('Saros %s, %s'):format(info.version, _VERSION))\n"
    "for _, name in ipairs { 'real', 'isa', 'threads', 'blas' } do\n"
    "  print(('  %-8s %s'):format(name, info[name]))\n"
    "end";

/* Is this run to be measured? SAROS_PROFILE=1 says so. */
static bool is_profiled(void) {
  const char *value = getenv("SAROS_PROFILE");
  return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
}

/* Pushes the function that ends the measuring and prints its table, or nil. */
static void push_report(lua_State *L) {
  static const char start[] = "return require('saros.profile').for_program()";
  lua_pushnil(L);
  if (is_profiled() && luaL_loadstring(L, start) == LUA_OK) {
    lua_call(L, 0, 1);
    lua_replace(L, -2);
  }
}

static int run_words(lua_State *L, const command_line *line, bool idle) {
  push_report(L);
  int status = run_options(L, line);
  if (status == LUA_OK && line->script < line->count)
    status = run_named_script(L, line);
  else if (status == LUA_OK && idle)
    status = run_script(L, NULL, NULL, 0);
  if (lua_isnil(L, -1))
    lua_pop(L, 1);
  else
    lua_call(L, 0, 0);
  return status;
}

/* What the prompt begins with. */
static void greet(void) {
  print_version();
  puts(
      "Ctrl-D ends; scripts to begin with are in examples/ or "
      "share/saros/examples.");
}

static int run(lua_State *L, const command_line *line) {
  bool has_script = line->script < line->count;
  bool idle = !has_script && !line->code && !line->version;
  bool prompt = line->prompt || (idle && isatty(STDIN_FILENO));
  if (line->version)
    run_code(L, show_build);
  else if (prompt)
    greet();
  int status = run_words(L, line, idle && !prompt);
  if (!prompt)
    return status;
  interpreter_prompt(L);
  return LUA_OK;
}

/* This is what makes a Lua state one that knows Saros. */
static void open_toolkit(lua_State *L) {
  luaL_openlibs(L);
  luaL_requiref(L, "saros", luaopen_saros, 1);
  lua_pop(L, 1);
}

/* Runs in protected mode: even an error in here is reported. */
static int protected_main(lua_State *L) {
  const command_line *line = lua_touserdata(L, 1);
  open_toolkit(L);
  set_arg(L, line);
  lua_pushboolean(L, run(L, line) == LUA_OK);
  return 1;
}

/* OpenBLAS starts its threads when it is loaded, and they spin for a while before
** they sleep. Saros has its own, so the program ends those of OpenBLAS; in another
** program they belong to the host. */
__attribute__((weak)) void openblas_set_num_threads(int threads);
__attribute__((weak)) int blas_thread_shutdown_(void);

static void end_threads_of_blas(void) {
  if (openblas_set_num_threads == NULL || blas_thread_shutdown_ == NULL)
    return;
  openblas_set_num_threads(1);  // starts them again if they have ended
  blas_thread_shutdown_();
}

int main(int count, char **words) {
  main_thread = pthread_self();
  end_threads_of_blas();
  command_line line = read_command_line(count, words);
  if (line.bad != NULL)
    fprintf(stderr, "saros: unknown or incomplete option '%s'\n", line.bad);
  if (line.bad != NULL || line.help) {
    fputs(usage, line.bad != NULL ? stderr : stdout);
    return line.bad != NULL ? EXIT_FAILURE : EXIT_SUCCESS;
  }
  lua_State *L = luaL_newstate();
  if (L == NULL) {
    fputs("saros: not enough memory\n", stderr);
    return EXIT_FAILURE;
  }
  lua_pushcfunction(L, protected_main);
  lua_pushlightuserdata(L, &line);
  int status = interpreter_report(L, lua_pcall(L, 1, 1, 0));
  bool success = status == LUA_OK && lua_toboolean(L, -1);
  lua_close(L);
  if (!success && interrupted)
    return 128 + SIGINT;  // as shells have it
  return success ? EXIT_SUCCESS : EXIT_FAILURE;
}
