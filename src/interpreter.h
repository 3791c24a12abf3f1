/*
** What the files of the saros program share: saros.c reads the command line
** and runs scripts, saros_repl.c talks to a person at a terminal. Neither is
** part of the library; both see the toolkit as any host does.
*/
#ifndef INTERPRETER_H
#define INTERPRETER_H

#include <stdbool.h>

#include <lua.h>

/*
** Calls the function below 'arguments' values on the stack, as lua_pcall does,
** with a traceback in the message if that names a line, and with Ctrl-C raising
** "interrupted!".
*/
int interpreter_call(lua_State *L, int arguments, int results);

/* If 'status' is an error, prints its message from the stack, and pops it. */
int interpreter_report(lua_State *L, int status);

/*
** For signal handlers: true if the handler runs on another thread than that of
** main, which then gets the signal in its place. The system may choose any
** thread, but the Lua state and the terminal are main's.
*/
bool interpreter_forward_signal(int number);

/* Reads, runs and prints until the end of the input. */
void interpreter_prompt(lua_State *L);

#endif
