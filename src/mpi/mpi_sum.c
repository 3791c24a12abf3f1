/*
** Sums of gradients in a fixed binary tree, whatever the number of ranks.
**
** The leaves of the tree are row blocks of a batch. A rank has added up whole
** subtrees of it, its nodes; here the nodes of all ranks become the root. The
** elements are dealt to the ranks in chunks: each rank gets its chunk of all
** nodes, adds them in the order of the tree, and gives the sums to all:
**
**     rank 0  nodes a, b    \           rank 0: chunk 0 of (a + b) + c       \
**     rank 1  node  c       /  -> all   rank 1: chunk 1 of (a + b) + c       /  -> all
**
** So a rank sends about twice the bytes of a gradient, and no addition depends on
** the ranks: it is of the same two numbers in the same order.
*/
#include <string.h>

#include "mpi_module.h"

/* The first element of a rank's chunk. */
static size_t chunk_start(const mpi_request *r, int rank) {
  size_t size = (size_t)r->world->size;
  return r->count / size * (size_t)rank + r->count % size * (size_t)rank / size;
}

static size_t chunk_size(const mpi_request *r, int rank) {
  return chunk_start(r, rank + 1) - chunk_start(r, rank);
}

/* --- Nodes and tensors -------------------------------------------------------- */

/* Copies elements of a node from 'start' on to the chunks that are sent, or from the
** sums, which lie one behind the other. */
static void copy_elements(mpi_request *r, int node, size_t start,
                          saros_real *elements, size_t count) {
  saros_real *send = (saros_real *)r->send;
  if (node < 0) {
    memcpy(elements, send + start, count * sizeof(saros_real));
    return;
  }
  for (int rank = 0; rank < r->world->size; rank++) {
    size_t first = chunk_start(r, rank), n = chunk_size(r, rank);
    size_t from = start > first ? start : first;
    size_t to = start + count < first + n ? start + count : first + n;
    if (from < to)
      memcpy(send + first * (size_t)r->nodes + n * (size_t)node + from - first,
             elements + (from - start), (to - from) * sizeof(saros_real));
  }
}

/* Copies the tensors of the list on top, one behind the other, to what is sent as
** a node, or, with node -1, from the sums. */
static void copy_list(lua_State *L, mpi_request *r, int node) {
  size_t at = 0;
  for (int i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
    void *elements;
    MPI_Datatype type;
    saros_tensor *tensor = mpi_check_tensor(L, -1, &elements, &type);
    size_t n = saros_tensor_count(tensor);
    if (type != MPI_MODULE_REAL || n > r->count - at)
      luaL_error(L, "ranks: expected real tensors of %f elements in all",
                 (double)r->count);
    copy_elements(r, node, at, elements, n);
    at += n;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  if (at != r->count)
    luaL_error(L, "ranks: expected tensors of %f elements in all, got %f",
               (double)r->count, (double)at);
}

/* --- On the wire ---------------------------------------------------------------- */

/* Numbers that travel in bf16 are narrowed where they are, from the first on, and
** widened from the last on, so none is overwritten before it is read. */

static uint16_t bf16_of(saros_real x) {
  float single = (float)x;
  uint32_t bits;
  memcpy(&bits, &single, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000)  // no number at all
    return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void narrow(const mpi_request *r, char *buffer, size_t count) {
  for (size_t k = 0; r->is_bf16 && k < count; k++) {
    saros_real x;
    memcpy(&x, buffer + k * sizeof x, sizeof x);
    uint16_t half = bf16_of(x);
    memcpy(buffer + k * sizeof half, &half, sizeof half);
  }
}

static void widen(const mpi_request *r, char *buffer, size_t count) {
  for (size_t k = r->is_bf16 ? count : 0; k-- > 0;) {
    uint16_t half;
    memcpy(&half, buffer + k * sizeof half, sizeof half);
    uint32_t bits = (uint32_t)half << 16;
    float single;
    memcpy(&single, &bits, sizeof single);
    saros_real x = single;
    memcpy(buffer + k * sizeof x, &x, sizeof x);
  }
}

/* --- Stages ------------------------------------------------------------------- */

/* counts of what goes to each rank, or comes from it, and where. */
static void set_counts(lua_State *L, const mpi_request *r, int *counts,
                       int *places, const int *nodes, int comes) {
  size_t at = 0;
  for (int rank = 0; rank < r->world->size; rank++) {
    size_t n = comes ? chunk_size(r, r->world->rank) * (size_t)nodes[rank]
                     : chunk_size(r, rank) * (size_t)r->nodes;
    counts[rank] = mpi_count(L, n);
    places[rank] = mpi_count(L, at);
    at += n;
  }
}

/* Adds the nodes that have come, in the order of the tree: a number > 0 puts that
** node on a stack, 0 adds the upper two. The sum is in the first node. */
static void add_nodes(const mpi_request *r, const int *order, int length,
                      saros_real **stack) {
  size_t n = chunk_size(r, r->world->rank);
  int top = 0;
  for (int i = 0; i < length; i++) {
    if (order[i] > 0) {
      stack[top++] = (saros_real *)r->receive + n * (size_t)(order[i] - 1);
      continue;
    }
    const saros_real *b = stack[--top];
    saros_real *a = stack[top - 1];
    for (size_t k = 0; k < n; k++)
      a[k] += b[k];
  }
}

/* Gives the sums of this rank's chunk to all. */
static int share_sums(lua_State *L, mpi_request *r) {
  int own = (int)chunk_size(r, r->world->rank);
  narrow(r, r->receive, (size_t)own);
  for (int rank = 0; rank < r->world->size; rank++) {
    r->counts[rank] = mpi_count(L, chunk_size(r, rank));
    r->places[rank] = mpi_count(L, chunk_start(r, rank));
  }
  r->stage = 1;
  mpi_check(L,
            MPI_Iallgatherv(r->receive, own, r->type, r->send, r->counts,
                            r->places, r->type, r->world->data, &r->pending),
            "MPI_Iallgatherv");
  return 0;
}

static int advance_sum(lua_State *L, mpi_request *r) {
  if (r->stage == 0) {
    lua_getiuservalue(L, 1, MPI_ORDER_VALUE);
    const int *order = lua_touserdata(L, -1);
    int length = 2 * r->all_nodes - 1;
    saros_real **stack =
        lua_newuserdatauv(L, (size_t)r->all_nodes * sizeof *stack, 0);
    widen(r, r->receive, chunk_size(r, r->world->rank) * (size_t)r->all_nodes);
    add_nodes(r, order, length, stack);
    lua_pop(L, 2);
    return share_sums(L, r);
  }
  widen(r, r->send, r->count);
  lua_getiuservalue(L, 1, MPI_TENSORS_VALUE);
  copy_list(L, r, -1);
  mpi_keep_buffer(L, 1, MPI_SEND_VALUE);
  mpi_keep_buffer(L, 1, MPI_RECEIVE_VALUE);
  return 1;
}

/* --- Beginning ------------------------------------------------------------------ */

/* Reads the nodes of each rank (argument 2) and the order (argument 3) into an
** array, order first; checks that they are a tree. */
static int *read_order(lua_State *L, mpi_request *r, int request) {
  int size = r->world->size;
  r->all_nodes = 0;
  for (int rank = 0; rank < size; rank++) {
    lua_rawgeti(L, 2, rank + 1);
    r->all_nodes += (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  int length = 2 * r->all_nodes - 1, top = 0;
  luaL_argcheck(L, r->all_nodes > 0 && (int)lua_rawlen(L, 3) == length, 3,
                "expected an order of the nodes");
  size_t ints = (size_t)(length + 3 * size);
  int *order = mpi_new_buffer(L, request, MPI_ORDER_VALUE, ints * sizeof(int));
  for (int i = 0; i < length; i++) {
    lua_rawgeti(L, 3, i + 1);
    order[i] = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    top += order[i] > 0 ? 1 : -1;
    luaL_argcheck(L, order[i] <= r->all_nodes && top >= 1, 3,
                  "expected an order of the nodes");
  }
  for (int rank = 0; rank < size; rank++) {
    lua_rawgeti(L, 2, rank + 1);
    order[length + rank] = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  return order;
}

/* Reads this rank's nodes (argument 1) into the buffer that is sent. */
static void read_nodes(lua_State *L, mpi_request *r, int request) {
  size_t nodes = (size_t)r->nodes, chunk = chunk_size(r, r->world->rank);
  size_t sent = r->count * (nodes > 1 ? nodes : 1) * sizeof(saros_real);
  r->send = mpi_kept_buffer(L, request, MPI_SEND_VALUE, sent);
  r->receive =
      mpi_new_buffer(L, request, MPI_RECEIVE_VALUE,
                     chunk * (size_t)r->all_nodes * sizeof(saros_real));
  for (int node = 0; node < r->nodes; node++) {
    lua_rawgeti(L, 1, node + 1);
    copy_list(L, r, node);
    lua_pop(L, 1);
  }
}

/* sum(nodes, counts, order, out, count, is_bf16): a request after which the tensors 'out',
** of 'count' elements in all, are the sum of all nodes. nodes: lists of tensors of
** this rank; counts: how many nodes each rank has; order: of all nodes, see
** add_nodes; is_bf16: whether numbers travel in 16 bits. */
int mpi_sum(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  luaL_checktype(L, 4, LUA_TTABLE);
  lua_Integer count = luaL_checkinteger(L, 5);
  int is_bf16 = lua_toboolean(L, 6);
  lua_settop(L, 4);
  mpi_request *r = mpi_push_request(L, advance_sum);
  r->count = (size_t)count;
  r->is_bf16 = is_bf16;
  r->type = is_bf16 ? MPI_UINT16_T : MPI_MODULE_REAL;
  r->nodes = (int)lua_rawlen(L, 1);
  int *order = read_order(L, r, 5), size = r->world->size;
  int *nodes = order + 2 * r->all_nodes - 1;
  int *counts = nodes + size, *places = counts + size;
  luaL_argcheck(L, nodes[r->world->rank] == r->nodes, 1,
                "expected as many nodes as this rank has");
  read_nodes(L, r, 5);
  narrow(r, r->send, r->count * (size_t)r->nodes);
  lua_pushvalue(L, 4);
  lua_setiuservalue(L, 5, MPI_TENSORS_VALUE);
  set_counts(L, r, r->counts, r->places, nodes, 0);
  set_counts(L, r, counts, places, nodes, 1);
  mpi_begin(L, r);
  mpi_check(L,
            MPI_Ialltoallv(r->send, r->counts, r->places, r->type, r->receive,
                           counts, places, r->type, r->world->data,
                           &r->pending),
            "MPI_Ialltoallv");
  return 1;
}
