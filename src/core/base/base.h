/*
** What everything in the core stands on: the context with its message, its pool
** of memory, its threads and its profile, and arrays that grow.
**
** All memory comes from the context's pool. Nothing here raises or prints: a
** function that fails returns a status and leaves its message in the context.
*/
#ifndef BASE_H
#define BASE_H

#include <pthread.h>
#include <stdatomic.h>

#include "kernel.h"
#include "saros.h"

_Static_assert((int)SAROS_FUNCTIONS == (int)UNARY_COUNT, "unary functions");
_Static_assert((int)SAROS_OPERATORS == (int)BINARY_COUNT, "binary operators");
_Static_assert((int)SAROS_WEIGHTS_KINDS == (int)STEP_KINDS, "packings");
_Static_assert((int)SAROS_PRECISIONS == (int)PACKED_KINDS, "precisions");
_Static_assert(sizeof(real) == sizeof(saros_real), "element type");

/* Returns from the caller with the status of an expression that failed. */
#define TRY(expression)                                                        \
  do {                                                                         \
    saros_status status_ = (expression);                                       \
    if (status_ != SAROS_OK)                                                   \
      return status_;                                                          \
  } while (0)

/* Leaves the caller by its label 'done', with 'status' set, on failure. */
#define TRY_OR_DONE(expression)                                                \
  do {                                                                         \
    if ((status = (expression)) != SAROS_OK)                                   \
      goto done;                                                               \
  } while (0)

/* --- Pool (pool.c) ----------------------------------------------- */

/* Free blocks by size class: eight classes for each doubling. */
#define POOL_CLASSES 512

/* What was taken and given back, for saros_trace_start. */
typedef struct base_trace {
  int on, failed;   // failed: an event found no memory
  double times;     // what one row stands for, in rows
  unsigned serial;  // of the traces so far
  int64_t *events;  // from the allocator itself
  size_t count, room;
  int64_t taken;  // blocks, in this trace
} base_trace;

typedef struct base_pool {
  saros_allocator allocator;
  void *user;
  struct pool_block *free[POOL_CLASSES];
  struct pool_block *all;  // every block, in use or not
  saros_memory memory;
  uint64_t taken;     // bytes, since the beginning
  uint64_t sweep_at;  // when taken reaches this, sweep stale blocks
  base_trace trace;
} base_pool;

/* A block of at least 'bytes' (uninitialised, aligned to 64), or null. */
void *pool_take(base_pool *pool, size_t bytes);
void pool_give(base_pool *pool, void *block);  // null is allowed
void pool_trim(base_pool *pool);
void pool_free_all(base_pool *pool);  // blocks in use, too
/* Adds an event to the trace. */
void pool_trace(base_pool *pool, int64_t event);

/* --- Context (context.c) ------------------------------------------------------ */

/* Memory that the host lends, until it is returned. */
typedef struct base_loan {
  void (*release)(void *user);  // gives it back; null: nothing to do
  void *user;
  struct base_loan *newer, *older;  // in the list of the context
} base_loan;

void base_borrow(saros_context *context, base_loan *loan);
void base_return(saros_context *context, base_loan *loan);

/* --- Frozen memory (frozen.c) -------------------------------------------------- */

/* What was computed from frozen memory: the beginning of a block of the pool. */
typedef struct base_kept {
  struct base_kept *next;
  const void *owner;  // whose it is: an address that nobody else has
  struct base_frozen
      *frozen;  // memory in the block that is frozen, too, or null
} base_kept;

/* Memory whose contents never change. */
typedef struct base_frozen {
  const char *data;
  size_t bytes;
  unsigned long serial;  // that no other has; another may come to lie there
  base_kept *kept;
} base_frozen;

/* Says that memory, which is not empty, stays as it is until base_thaw, which frees
** what was kept with it; null is allowed there. */
saros_status base_freeze(saros_context *context, const void *data, size_t bytes,
                         base_frozen **out);
void base_thaw(saros_context *context, base_frozen *frozen);

/* The frozen memory that an address is in; null: none. */
base_frozen *base_frozen_at(const saros_context *context, const void *at);

struct saros_context {
  int references;  // the opener's and one for each living object
  base_pool pool;
  base_loan *loans;      // memory of the host that is still in use
  base_frozen **frozen;  // in the order of addresses
  int frozen_count, frozen_room;
  unsigned long frozen_serial;  // of the last one
  const kernels *kernels;
  struct team *team;  // worker threads, null until first needed
  int threads;
  int precision;                 // of large products: PACKED_REAL, ...
  size_t cache[3];               // bytes of L1, L2 and L3; 0: not known
  int (*interrupt)(void *user);  // true if the host wants an end; or null
  void *interrupt_user;
  pthread_t caller;    // the thread that the jobs below are for
  int jobs;            // running, each inside the one before it
  atomic_int stopped;  // the host wants them to end
  int restricted;      // capabilities that the host keeps: SAROS_NO_FILES, ...
  saros_tape *tape;    // the open one, or null
  saros_pause *pause;  // the innermost one, or null
  // the tape's, null until one was opened: refuses to write what it still reads
  saros_status (*lets_write)(const saros_tensor *x, const char *function);
  unsigned long tapes;      // opened so far: the serial number of the last
  struct profile *profile;  // null until one is first asked for
  int index_base;           // of axes, positions and ids in messages
  char message[1024];
};

/* pool_take that leaves a message; counts as a living object of the context
** until base_object_free. The memory is zeroed. */
saros_status base_object_new(saros_context *context, size_t bytes, void **out);
void base_object_free(saros_context *context, void *object);

/* Sets the sizes of the caches (cache.c). */
void base_read_caches(saros_context *context);
/* Elements that are fetched ahead, at most: a quarter of L2, as they must stay there
** beside what a product reads meanwhile. */
size_t base_most_ahead(const saros_context *context);

/* --- Messages (message.c) ----------------------------------------------------- */

/* What SAROS_ISA names; null if it names nothing. */
const char *base_wanted_isa(void);

saros_status base_out_of_memory(saros_context *context, size_t bytes);

/* An enumerator in 0..count-1; 'what' it stands for: "a cell". */
saros_status base_expect_known(saros_context *context, const char *function,
                               const char *what, int value, int count);

/* The length of the valid UTF-8 sequence that text begins with; 0 if there is
** none, as for surrogates, overlong forms and numbers past 10FFFF. */
size_t base_utf8_sequence(const unsigned char *text);

/* Text from outside for a message: in quotes, of bounded length, its control
** characters escaped. */
typedef struct base_quoted {
  char text[192];
} base_quoted;
const char *base_quote(base_quoted *buffer, const char *text);
/* The same, valid until the end of the statement. */
#define BASE_QUOTE(text) base_quote(&(base_quoted){{0}}, text)

/* --- Arrays (array.c) ----------------------------------------------------------- */

static inline int base_divide_up(int n, int by) {
  return (n + by - 1) / by;
}

/* Makes room for 'more' items behind the 'used' ones of an array of the pool;
** on failure the array is as it was. items is the address of the array. */
saros_status array_grow(saros_context *context, void *items, size_t used,
                        size_t *room, size_t more, size_t item_size);

/* Makes room for one more item in an array of the pool that holds 'count'; on
** failure the array is as it was. items is the address of the array. */
saros_status array_reserve(saros_context *context, void *items, int count,
                           int *room, size_t item_size);

/* --- Threads (team.c) ----------------------------------------------------------- */

/* Calls part(arguments, block) for every block in 0..blocks-1, on the threads
** of the context. Blocks must write to disjoint places; so that results do not
** depend on the number of threads, neither may their bounds. SAROS_EINTERRUPT
** if the host wanted an end before all were done. */
__attribute__((warn_unused_result)) saros_status
team_for(saros_context *context, int blocks,
         void (*part)(void *arguments, int block), void *arguments);

/* Less work than TEAM_LEAST, in multiply-adds, is not worth sharing out: some
** forty microseconds. Less than TEAM_WAKES is not worth waking anybody for, which
** costs as much where cores are far from each other. An element that is read and
** written counts as eight. */
#define TEAM_LEAST 2e6
#define TEAM_WAKES 1e7

/* The same for blocks that are so much work together: on the calling thread alone,
** or with those workers that happen to be awake, if that is little. */
__attribute__((warn_unused_result)) saros_status
team_share(saros_context *context, double work, int blocks,
           void (*part)(void *arguments, int block), void *arguments);

/* The same for n rows of 'width' elements each: part gets a range of rows that is
** large enough to be worth sharing out. */
__attribute__((warn_unused_result)) saros_status
team_rows(saros_context *context, size_t n, size_t width,
          void (*part)(void *arguments, size_t from, size_t rows),
          void *arguments);

/* True if the current job should stop early; any thread may call it. */
int base_is_interrupted(saros_context *context);

/* SAROS_EINTERRUPT if the host wants an end: for long work without blocks. */
__attribute__((warn_unused_result)) saros_status
base_check_interrupt(saros_context *context);
void team_release(saros_context *context);

/* --- Options (options.c) -------------------------------------------------------- */

/*
** Structs that callers fill begin with their size as the caller's compiler saw it.
** Copies such a struct into 'own', of 'size' bytes: fields that the caller's lacks
** are 0. SAROS_EARGUMENT if its size is 0, or fields that only a later version has
** are not 0; 'type' is its name.
*/
saros_status base_read_options(saros_context *context, const char *type,
                               const void *given, void *own, size_t size);

/* --- Profile (profile.c) -------------------------------------------------------- */

/* The row that an operation of this name is recorded under; 0 without a profile. */
int profile_row_recorded(saros_context *context, const char *operation);

/* Begins the way back of an operation that was recorded under a row (0: without a
** profile); returns what saros_profile_leave takes. */
int profile_enter_backward(saros_context *context, int row,
                           const char *operation);

#endif
