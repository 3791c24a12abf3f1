/*
** Requests: gathering texts, sending a tensor to all ranks, reducing one. MPI
** reads and writes buffers of the request, never tensors, so a script that gives
** up and closes its tensors leaves nothing behind that MPI could write to.
*/
#include <sched.h>
#include <string.h>
#include <time.h>

#include "mpi_module.h"

#define REQUEST "saros.mpi.request"

static const char ACTIVE;  // key of the registry: requests that are under way
static const char KEPT;    // another one: buffers of earlier requests

void mpi_check(lua_State *L, int code, const char *call) {
  char text[MPI_MAX_ERROR_STRING + 1] = "";
  int length = 0;
  if (code == MPI_SUCCESS)
    return;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS)
    length = 0;
  text[length] = '\0';
  luaL_error(L, "ranks: expected %s to succeed, got \"%s\"", call, text);
}

int mpi_count(lua_State *L, size_t count) {
  if (count > 0x7fffffff)
    luaL_error(L, "ranks: expected at most 2^31 - 1 elements at once, got %f",
               (double)count);
  return (int)count;
}

/* --- Making requests --------------------------------------------------------- */

void *mpi_new_buffer(lua_State *L, int request, int value, size_t bytes) {
  request = lua_absindex(L, request);
  void *buffer = lua_newuserdatauv(L, bytes > 0 ? bytes : 1, 0);
  lua_setiuservalue(L, request, value);
  return buffer;
}

void *mpi_kept_buffer(lua_State *L, int request, int value, size_t bytes) {
  request = lua_absindex(L, request);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &KEPT);
  lua_rawgeti(L, -1, value);
  lua_pushnil(L);
  lua_rawseti(L, -3, value);
  lua_remove(L, -2);
  void *buffer = lua_touserdata(L, -1);
  if (buffer != NULL && lua_rawlen(L, -1) >= bytes &&
      lua_rawlen(L, -1) / 2 <= bytes) {
    lua_setiuservalue(L, request, value);
    return buffer;
  }
  lua_pop(L, 1);
  return mpi_new_buffer(L, request, value, bytes);
}

void mpi_keep_buffer(lua_State *L, int request, int value) {
  request = lua_absindex(L, request);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &KEPT);
  lua_getiuservalue(L, request, value);
  lua_rawseti(L, -2, value);
  lua_pop(L, 1);
}

mpi_request *mpi_push_request(lua_State *L,
                              int (*advance)(lua_State *, mpi_request *)) {
  mpi_world *world = mpi_world_of(L);
  if (!world->is_open)
    luaL_error(L, "ranks: expected ranks that have begun");
  mpi_request *request = lua_newuserdatauv(L, sizeof(mpi_request), MPI_VALUES);
  *request = (mpi_request){.world = world, .pending = MPI_REQUEST_NULL};
  request->advance = advance;
  luaL_setmetatable(L, REQUEST);
  size_t ints = 2 * (size_t)world->size * sizeof(int);
  request->counts = mpi_new_buffer(L, -1, MPI_INTS_VALUE, ints);
  request->places = request->counts + world->size;
  return request;
}

/* Takes the request at an index into the table of those under way, or out. */
static void set_active(lua_State *L, int index, int is_active) {
  index = lua_absindex(L, index);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &ACTIVE);
  lua_pushvalue(L, index);
  if (is_active)
    lua_pushboolean(L, 1);
  else
    lua_pushnil(L);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

void mpi_begin(lua_State *L, mpi_request *request) {
  set_active(L, -1, 1);
  request->world->active++;
}

saros_tensor *mpi_check_tensor(lua_State *L, int index, void **elements,
                               MPI_Datatype *type) {
  saros_tensor *tensor = saros_to_tensor(L, index);
  if (tensor == NULL || !saros_tensor_is_contiguous(tensor))
    luaL_error(L, "ranks: expected a contiguous tensor");
  int is_real = saros_tensor_dtype(tensor) == SAROS_REAL;
  *elements = is_real ? (void *)saros_tensor_reals(tensor)
                      : (void *)saros_tensor_ids(tensor);
  *type = is_real ? MPI_MODULE_REAL : MPI_INT32_T;
  if (*elements == NULL && saros_tensor_count(tensor) > 0)
    luaL_error(L, "ranks: expected a tensor that can be written to");
  return tensor;
}

/* --- Asking ------------------------------------------------------------------- */

static double clock_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Spins at first, since an answer is often near, then leaves the processor to
** others: ranks may be more than cores. */
static void pause_before(int turn) {
  static const struct timespec nap = {0, 50000};
  if (turn > 2000)
    nanosleep(&nap, NULL);
  else if (turn > 100)
    sched_yield();
}

/* request:test(seconds): true and the result once it is done; false after so
** many seconds. */
static int request_test(lua_State *L) {
  mpi_request *request = luaL_checkudata(L, 1, REQUEST);
  double until = clock_seconds() + luaL_checknumber(L, 2);
  lua_settop(L, 1);
  luaL_argcheck(L, !request->is_done, 1, "expected a request under way");
  for (int turn = 0;; turn++) {
    int is_done = 0;
    mpi_check(L, MPI_Test(&request->pending, &is_done, MPI_STATUS_IGNORE),
              "MPI_Test");
    if (is_done && request->advance(L, request)) {
      request->is_done = 1;
      request->world->active--;
      set_active(L, 1, 0);
      lua_pushboolean(L, 1);
      lua_insert(L, -2);
      return 2;
    }
    if (!is_done && clock_seconds() >= until)
      break;
    pause_before(is_done ? 0 : turn);
  }
  lua_pushboolean(L, 0);
  return 1;
}

/* --- Texts --------------------------------------------------------------------- */

/* A text travels in a block, with its length before it. If one is longer than its
** block, all texts travel once more, whole. */
enum { BLOCK = 256, IN_BLOCK = BLOCK - (int)sizeof(size_t) };

static size_t length_in(const char *block) {
  size_t length;
  memcpy(&length, block, sizeof length);
  return length;
}

static int push_texts(lua_State *L, const mpi_request *r) {
  int size = r->world->size;
  lua_createtable(L, size, 0);
  for (int rank = 0; rank < size; rank++) {
    if (r->stage == 0) {
      const char *block = r->receive + (size_t)rank * BLOCK;
      lua_pushlstring(L, block + sizeof(size_t), length_in(block));
    } else {
      lua_pushlstring(L, r->receive + r->places[rank], (size_t)r->counts[rank]);
    }
    lua_rawseti(L, -2, rank + 1);
  }
  return 1;
}

/* Begins to send the texts whole. The text is the value of the tensors. */
static int send_whole(lua_State *L, mpi_request *r) {
  size_t all = 0, own;
  for (int rank = 0; rank < r->world->size; rank++) {
    size_t length = length_in(r->receive + (size_t)rank * BLOCK);
    r->counts[rank] = mpi_count(L, length);
    r->places[rank] = mpi_count(L, all);
    all += length;
  }
  mpi_count(L, all);
  lua_getiuservalue(L, 1, MPI_TENSORS_VALUE);
  const char *text = lua_tolstring(L, -1, &own);
  r->receive = mpi_new_buffer(L, 1, MPI_RECEIVE_VALUE, all);
  lua_pop(L, 1);
  r->stage = 1;
  mpi_check(L,
            MPI_Iallgatherv(text, (int)own, MPI_BYTE, r->receive, r->counts,
                            r->places, MPI_BYTE, r->world->data, &r->pending),
            "MPI_Iallgatherv");
  return 0;
}

static int advance_gather(lua_State *L, mpi_request *r) {
  if (r->stage == 0)
    for (int rank = 0; rank < r->world->size; rank++)
      if (length_in(r->receive + (size_t)rank * BLOCK) > IN_BLOCK)
        return send_whole(L, r);
  return push_texts(L, r);
}

/* gather(text): a request for the texts of all ranks, as a list. */
int mpi_gather(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  mpi_request *r = mpi_push_request(L, advance_gather);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, MPI_TENSORS_VALUE);
  r->send = mpi_new_buffer(L, -1, MPI_SEND_VALUE, BLOCK);
  r->receive =
      mpi_new_buffer(L, -1, MPI_RECEIVE_VALUE, BLOCK * (size_t)r->world->size);
  memset(r->send, 0, BLOCK);
  memcpy(r->send, &length, sizeof length);
  memcpy(r->send + sizeof length, text, length > IN_BLOCK ? IN_BLOCK : length);
  mpi_begin(L, r);
  mpi_check(L,
            MPI_Iallgather(r->send, BLOCK, MPI_BYTE, r->receive, BLOCK,
                           MPI_BYTE, r->world->data, &r->pending),
            "MPI_Iallgather");
  return 1;
}

/* --- Tensors ------------------------------------------------------------------- */

/* The tensor gets what has arrived, unless a script has closed it meanwhile. */
static int give_tensor(lua_State *L, mpi_request *r) {
  void *elements;
  MPI_Datatype type;
  lua_getiuservalue(L, 1, MPI_TENSORS_VALUE);
  saros_tensor *tensor = mpi_check_tensor(L, -1, &elements, &type);
  if (saros_tensor_writable(tensor, "ranks") != SAROS_OK)
    luaL_error(L, "%s", saros_error(saros_tensor_context(tensor)));
  if (r->count > 0)
    memcpy(elements, r->send, r->count);
  return 1;
}

/* A request with a copy of the tensor that is argument 1. */
static mpi_request *push_copy(lua_State *L) {
  void *elements;
  MPI_Datatype type;
  saros_tensor *tensor = mpi_check_tensor(L, 1, &elements, &type);
  mpi_count(L, saros_tensor_count(tensor));
  mpi_request *r = mpi_push_request(L, give_tensor);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, MPI_TENSORS_VALUE);
  r->count = saros_tensor_count(tensor) *
             (type == MPI_INT32_T ? sizeof(int32_t) : sizeof(saros_real));
  r->type = type;
  r->send = mpi_new_buffer(L, -1, MPI_SEND_VALUE, r->count);
  tensor = mpi_check_tensor(L, 1, &elements, &type);
  if (r->count > 0)
    memcpy(r->send, elements, r->count);
  mpi_begin(L, r);
  return r;
}

static int elements_of(const mpi_request *r) {
  return (int)(r->count /
               (r->type == MPI_INT32_T ? sizeof(int32_t) : sizeof(saros_real)));
}

/* broadcast(tensor, root): a request after which the tensor is that of the rank
** 'root', from 0. */
int mpi_broadcast(lua_State *L) {
  int root = (int)luaL_checkinteger(L, 2);
  lua_settop(L, 1);
  mpi_request *r = push_copy(L);
  mpi_check(L,
            MPI_Ibcast(r->send, elements_of(r), r->type, root, r->world->data,
                       &r->pending),
            "MPI_Ibcast");
  return 1;
}

/* reduce(tensor, "min" or "max"): a request after which each element is the least
** or greatest of all ranks. */
int mpi_reduce(lua_State *L) {
  static const char *const names[] = {"min", "max", NULL};
  int is_max = luaL_checkoption(L, 2, NULL, names);
  lua_settop(L, 1);
  mpi_request *r = push_copy(L);
  mpi_check(L,
            MPI_Iallreduce(MPI_IN_PLACE, r->send, elements_of(r), r->type,
                           is_max ? MPI_MAX : MPI_MIN, r->world->data,
                           &r->pending),
            "MPI_Iallreduce");
  return 1;
}

void mpi_open_requests(lua_State *L) {
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &ACTIVE);
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &KEPT);
  luaL_newmetatable(L, REQUEST);
  lua_newtable(L);
  lua_pushcfunction(L, request_test);
  lua_setfield(L, -2, "test");
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
