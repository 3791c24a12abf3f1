/*
** saros_mpi: the ranks that mpirun or another launcher has started. A thin layer
** over MPI for saros.ranks, which is its only user.
**
** A rank that ends, for whatever reason, tells the others with a notice, so that
** nobody waits for it. As its Lua state closes it waits for theirs. If all have
** ended well, MPI is finalized; if one has failed, MPI_Abort has the launcher
** remove what may be left, five seconds later at most.
*/
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mpi_module.h"

#define WORLD "saros.mpi.world"
#define FAILURE "saros.failure"  // in the registry: why a script has ended

/* A notice: 1 if the rank has failed, then why. */
enum { NOTICE = 512, NOTICE_TAG = 1 };

static const double GRACE =
    5;  // seconds for others to end, once one has failed

/* --- Notices -------------------------------------------------------------------- */

/* Tells all other ranks, once, that this one has left. */
static int send_notices(mpi_world *world, int has_failed, const char *text) {
  if (world->has_left)
    return MPI_SUCCESS;
  world->has_left = 1;
  world->is_broken |= has_failed;
  world->notice[0] = (char)has_failed;
  snprintf(world->notice + 1, NOTICE - 1, "%s", text);
  int result = MPI_SUCCESS;
  for (int rank = 0; rank < world->size; rank++) {
    if (rank == world->rank)
      continue;
    int code = MPI_Isend(world->notice, NOTICE, MPI_BYTE, rank, NOTICE_TAG,
                         world->notices, &world->sent[rank]);
    result = code != MPI_SUCCESS ? code : result;
  }
  return result;
}

/* Takes a notice in if one has come: its rank, else -1. */
static int take_notice(mpi_world *world, char notice[NOTICE]) {
  int has_come = 0;
  MPI_Status status;
  if (MPI_Iprobe(MPI_ANY_SOURCE, NOTICE_TAG, world->notices, &has_come,
                 &status) != MPI_SUCCESS ||
      !has_come)
    return -1;
  int rank = status.MPI_SOURCE;
  if (MPI_Recv(notice, NOTICE, MPI_BYTE, rank, NOTICE_TAG, world->notices,
               MPI_STATUS_IGNORE) != MPI_SUCCESS)
    return -1;
  notice[NOTICE - 1] = '\0';
  world->left++;
  world->is_broken |= notice[0];
  return rank;
}

/* leave(has_failed, text): tells the others that this rank has left. */
static int world_leave(lua_State *L) {
  int has_failed = lua_toboolean(L, 1);
  const char *text = luaL_checkstring(L, 2);
  mpi_check(L, send_notices(mpi_world_of(L), has_failed, text), "MPI_Isend");
  return 0;
}

/* notice(): a rank, from 0, that has left, whether it failed, and why; nothing if
** there is no news. */
static int world_notice(lua_State *L) {
  char notice[NOTICE];
  int rank = take_notice(mpi_world_of(L), notice);
  if (rank < 0)
    return 0;
  lua_pushinteger(L, rank);
  lua_pushboolean(L, notice[0]);
  lua_pushstring(L, notice + 1);
  return 3;
}

/* --- The end --------------------------------------------------------------------- */

/* Waits until all other ranks have left, or one has failed and the time is over. */
static void wait_for_others(mpi_world *world) {
  static const struct timespec nap = {0, 1000000};
  double waited = 0;
  char notice[NOTICE];
  while (world->left < world->size - 1 && waited < GRACE) {
    if (take_notice(world, notice) >= 0)
      continue;
    nanosleep(&nap, NULL);
    waited += world->is_broken ? 1e-3 : 0;
  }
  for (int rank = 0; rank < world->size; rank++) {
    int is_sent = 0;
    while (!is_sent && waited < GRACE &&
           MPI_Test(&world->sent[rank], &is_sent, MPI_STATUS_IGNORE) ==
               MPI_SUCCESS) {
      nanosleep(&nap, NULL);
      waited += 1e-3;
    }
  }
}

static int world_gc(lua_State *L) {
  mpi_world *world = lua_touserdata(L, 1);
  if (!world->is_open)
    return 0;
  world->is_open = 0;
  const char *why = NULL;
  if (lua_getfield(L, LUA_REGISTRYINDEX, FAILURE) == LUA_TSTRING)
    why = lua_tostring(L, -1);
  world->is_broken |= world->active > 0 || why != NULL;
  send_notices(world, world->is_broken, why != NULL ? why : "");
  wait_for_others(world);
  if (world->is_broken) {
    fflush(NULL);
    MPI_Abort(MPI_COMM_WORLD, 1);
  } else if (world->owns_mpi) {
    MPI_Comm_free(&world->notices);
    MPI_Comm_free(&world->data);
    MPI_Finalize();
  }
  return 0;
}

/* --- The beginning ------------------------------------------------------------------ */

static int begin_mpi(lua_State *L) {
  int is_begun = 0, is_over = 0, level = 0;
  mpi_check(L, MPI_Initialized(&is_begun), "MPI_Initialized");
  mpi_check(L, MPI_Finalized(&is_over), "MPI_Finalized");
  if (is_over)
    luaL_error(L, "ranks: expected MPI not to have ended in this process");
  if (!is_begun)
    mpi_check(L, MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level),
              "MPI_Init_thread");
  return !is_begun;
}

static void copy_world(lua_State *L, mpi_world *world) {
  mpi_check(L, MPI_Comm_dup(MPI_COMM_WORLD, &world->data), "MPI_Comm_dup");
  mpi_check(L, MPI_Comm_dup(MPI_COMM_WORLD, &world->notices), "MPI_Comm_dup");
  MPI_Comm_set_errhandler(world->data, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(world->notices, MPI_ERRORS_RETURN);
  mpi_check(L, MPI_Comm_rank(world->data, &world->rank), "MPI_Comm_rank");
  mpi_check(L, MPI_Comm_size(world->data, &world->size), "MPI_Comm_size");
}

/* Pushes rank (from 0), size, host and the first line of what MPI calls itself. */
static int push_facts(lua_State *L, const mpi_world *world) {
  char host[256] = "", library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  gethostname(host, sizeof host - 1);
  MPI_Get_library_version(library, &length);
  lua_pushinteger(L, world->rank);
  lua_pushinteger(L, world->size);
  lua_pushstring(L, host);
  lua_pushlstring(L, library, strcspn(library, "\n\r"));
  return 4;
}

/* open(): begins, once in a process. */
static int world_open(lua_State *L) {
  mpi_world *world = mpi_world_of(L);
  if (world->is_open)
    return push_facts(L, world);
  world->owns_mpi = begin_mpi(L);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  copy_world(L, world);
  size_t size = (size_t)world->size;
  world->sent = lua_newuserdatauv(L, size * sizeof(MPI_Request) + NOTICE, 0);
  for (int rank = 0; rank < world->size; rank++)
    world->sent[rank] = MPI_REQUEST_NULL;
  world->notice = (char *)(world->sent + world->size);
  lua_setiuservalue(L, lua_upvalueindex(1), 1);
  world->is_open = 1;
  return push_facts(L, world);
}

static const luaL_Reg functions[] = {
    {"watch_signals", mpi_watch_signals},
    {"signal", mpi_signal},
    {"open", world_open},
    {"gather", mpi_gather},
    {"broadcast", mpi_broadcast},
    {"reduce", mpi_reduce},
    {"sum", mpi_sum},
    {"leave", world_leave},
    {"notice", world_notice},
    {NULL, NULL},
};

__attribute__((visibility("default"))) int luaopen_saros_mpi(lua_State *L);

int luaopen_saros_mpi(lua_State *L) {
  luaL_checkversion(L);
  luaL_newlibtable(L, functions);
  mpi_world *world = lua_newuserdatauv(L, sizeof *world, 1);
  *world = (mpi_world){.size = 1};
  if (luaL_newmetatable(L, WORLD)) {
    lua_pushcfunction(L, world_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  luaL_setfuncs(L, functions, 1);
  mpi_open_requests(L);
  return 1;
}
