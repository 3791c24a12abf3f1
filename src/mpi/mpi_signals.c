/*
** Signals that end a program, while a training is under way: launchers send them to
** all ranks, each of which is somewhere else. They only set a flag here; the ranks
** tell each other of it at the end of an update, and all end there. A second signal
** does what it would have done.
*/
#include <signal.h>

#include "mpi_module.h"

static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
enum { COUNT = sizeof numbers / sizeof *numbers };

/* A handler can find these in no other way. */
static volatile sig_atomic_t has_come;
static struct sigaction before[COUNT];
static int is_watching;

static void restore(void) {
  for (int i = 0; i < COUNT; i++)
    sigaction(numbers[i], &before[i], NULL);
}

static void on_signal(int number) {
  (void)number;
  has_come = 1;
  restore();
}

/* watch_signals(is_on): from now on signals set a flag, or no longer. */
int mpi_watch_signals(lua_State *L) {
  int is_on = lua_toboolean(L, 1);
  if (is_on == is_watching)
    return 0;
  is_watching = is_on;
  if (!is_on) {
    if (!has_come)
      restore();
    has_come = 0;
    return 0;
  }
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  has_come = 0;
  for (int i = 0; i < COUNT; i++)
    sigaction(numbers[i], &action, &before[i]);
  return 0;
}

/* signal(): true if one has come since. */
int mpi_signal(lua_State *L) {
  lua_pushboolean(L, has_come != 0);
  return 1;
}
