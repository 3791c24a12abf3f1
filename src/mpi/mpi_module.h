/*
** What the files of saros_mpi.so share: the ranks that one launcher started, and
** what is under way between them. Nothing here waits: scripts ask a request again
** and again whether it is done, and see meanwhile whether a rank has left.
*/
#ifndef MPI_MODULE_H
#define MPI_MODULE_H

#include <mpi.h>

#include <lauxlib.h>
#include <lua.h>

#include "saros.h"

#define MPI_MODULE_REAL (sizeof(saros_real) == 8 ? MPI_DOUBLE : MPI_FLOAT)

/* All ranks, as this one knows them. Every function of the module has it as its
** first upvalue. */
typedef struct mpi_world {
  MPI_Comm data;     // of requests
  MPI_Comm notices;  // of ranks that leave
  int rank, size;    // from 0
  int is_open, owns_mpi;
  int active;         // requests that are under way
  int has_left;       // true once this rank has told the others
  int left;           // other ranks that have told this one
  int is_broken;      // true once some rank has failed
  MPI_Request *sent;  // notices, one for each rank; owned by the registry
  char *notice;       // that was sent
} mpi_world;

static inline mpi_world *mpi_world_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

/* Something that all ranks do together, as a userdata. While it is under way the
** registry holds it, since MPI writes into its buffers. */
typedef struct mpi_request mpi_request;
struct mpi_request {
  mpi_world *world;
  MPI_Request pending;
  int is_done, stage;
  /* Called when 'pending' is done: begins what follows and returns 0, or leaves
  ** one result on the stack and returns 1. Index 1 is the request. */
  int (*advance)(lua_State *L, mpi_request *request);
  char *send, *receive;  // buffers, in the user values
  int *counts, *places;  // by rank
  size_t count;          // elements; meaning as the kind has it
  int nodes, all_nodes;  // of a sum
  int is_bf16;           // does a sum travel in 16 bits?
  MPI_Datatype type;
};

/* The user values of a request. */
enum {
  MPI_TENSORS_VALUE = 1,  // a list of tensors, or one tensor
  MPI_SEND_VALUE,
  MPI_RECEIVE_VALUE,
  MPI_INTS_VALUE,
  MPI_ORDER_VALUE,
  MPI_VALUES = MPI_ORDER_VALUE
};

/* Raises the text that MPI has for a code, unless that is success. */
void mpi_check(lua_State *L, int code, const char *call);

/* Pushes a request that has not begun, with room for two ints a rank. */
mpi_request *mpi_push_request(lua_State *L,
                              int (*advance)(lua_State *, mpi_request *));
/* A buffer that lives as long as the request at the top of the stack. */
void *mpi_new_buffer(lua_State *L, int request, int value, size_t bytes);
/* The same, which may be one that an earlier request has kept, as new memory costs
** more than what is done with it. */
void *mpi_kept_buffer(lua_State *L, int request, int value, size_t bytes);
/* A request that is done gives its buffer to a later one. */
void mpi_keep_buffer(lua_State *L, int request, int value);
/* The request at the top of the stack is under way from now on. */
void mpi_begin(lua_State *L, mpi_request *request);
/* A count as MPI takes it; raises an error if it is too large. */
int mpi_count(lua_State *L, size_t count);

/* A contiguous tensor at an index of the stack, its elements and their type. */
saros_tensor *mpi_check_tensor(lua_State *L, int index, void **elements,
                               MPI_Datatype *type);

/* Functions of scripts: see their files. */
int mpi_gather(lua_State *L);
int mpi_broadcast(lua_State *L);
int mpi_reduce(lua_State *L);
int mpi_sum(lua_State *L);
int mpi_watch_signals(lua_State *L);
int mpi_signal(lua_State *L);
void mpi_open_requests(lua_State *L);

#endif
