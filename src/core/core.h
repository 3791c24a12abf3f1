/*
** Structures that the files of the core share, and what they offer each other.
**
** Ownership: a tensor holds one reference to its storage, one to its node and
** one to its context; the tape holds one to each node and each saved tensor.
** All memory comes from the context's pool. Nothing here raises or prints: a
** function that fails returns a status and leaves its message in the context.
*/
#ifndef CORE_H
#define CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "kernel.h"
#include "saros.h"

_Static_assert((int)SAROS_FUNCTIONS == (int)UNARY_COUNT, "unary functions");
_Static_assert((int)SAROS_OPERATORS == (int)BINARY_COUNT, "binary operators");
_Static_assert((int)SAROS_WEIGHTS_KINDS == (int)STEP_KINDS, "packings");
_Static_assert(sizeof(real) == sizeof(saros_real), "element type");

#define MAX_RANK SAROS_MAX_RANK

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

/* --- Context and pool (context.c, pool.c) ----------------------------------- */

/* Free blocks by size class: eight classes for each doubling. */
#define POOL_CLASSES 512

/* What was taken and given back, for saros_trace_start. */
typedef struct memory_trace {
  int on, failed;   // failed: an event found no memory
  double times;     // the rows that are meant, for each row that is there
  unsigned serial;  // of the traces so far
  int64_t *events;  // from the allocator itself
  size_t count, room;
  int64_t taken;  // blocks, in this trace
} memory_trace;

typedef struct memory_pool {
  saros_allocator allocator;
  void *user;
  struct pool_block *free[POOL_CLASSES];
  struct pool_block *all;  // every block, in use or not
  saros_memory memory;
  uint64_t taken;     // bytes, since the beginning
  uint64_t sweep_at;  // so many, stale blocks are looked for
  memory_trace trace;
} memory_pool;

struct saros_context {
  int references;  // the opener's and one for each living object
  memory_pool pool;
  struct storage *borrowed;  // those of memory that is not the pool's
  const kernels *kernels;
  struct team *team;  // worker threads, null until first needed
  int threads;
  int (*interrupt)(void *user);  // asks the host whether to stop, or null
  void *interrupt_user;
  pthread_t caller;     // the thread that the jobs below are for
  int jobs;             // under way, each inside the one before it
  atomic_int stopped;   // the host wants them to end
  int restricted;       // capabilities that the host keeps: SAROS_NO_FILES, ...
  saros_tape *tape;     // the open one, or null
  saros_pause *pause;   // the innermost one, or null
  unsigned long tapes;  // opened so far: the serial number of the last
  struct profile *profile;  // null until one is first asked for
  int index_base;           // of axes, positions and ids in messages
  char message[1024];
};

/* A block of at least 'bytes' (uninitialised, aligned to 64), or null. */
void *pool_take(memory_pool *pool, size_t bytes);
void pool_give(memory_pool *pool, void *block);  // null is allowed
void pool_trim(memory_pool *pool);
void pool_free_all(memory_pool *pool);  // blocks in use, too
/* Adds an event to the trace. */
void pool_trace(memory_pool *pool, int64_t event);

/* pool_take that leaves a message; counts as a living object of the context
** until object_free. The memory is zeroed. */
saros_status object_new(saros_context *context, size_t bytes, void **out);
void object_free(saros_context *context, void *object);

saros_status out_of_memory(saros_context *context, size_t bytes);

/* Makes room for 'more' items behind the 'used' ones of an array of the pool;
** on failure the array is as it was. items is the address of the array. */
saros_status array_grow(saros_context *context, void *items, size_t used,
                        size_t *room, size_t more, size_t item_size);

/* Calls part(arguments, block) for every block in 0..blocks-1, on the threads
** of the context. Blocks must write to disjoint places; so that results do not
** depend on the number of threads, neither may their bounds. SAROS_EINTERRUPT
** if the host wanted an end before all were done. */
__attribute__((warn_unused_result)) saros_status
parallel_for(saros_context *context, int blocks,
             void (*part)(void *arguments, int block), void *arguments);

/* The same for n rows of so many elements each, a range of rows at a time: as
** many as make a block worth sharing out. */
__attribute__((warn_unused_result)) saros_status
parallel_rows(saros_context *context, size_t n, size_t width,
              void (*part)(void *arguments, size_t from, size_t rows),
              void *arguments);

/* For a block of long work, on whatever thread, between its steps: is it to
** leave the rest undone? */
int is_interrupted(saros_context *context);

/* SAROS_EINTERRUPT if the host wants an end: for long work without blocks. */
__attribute__((warn_unused_result)) saros_status
check_interrupt(saros_context *context);
void team_release(saros_context *context);

/* --- Tensors (tensor.c) ------------------------------------------------------ */

typedef struct storage {
  int references;
  int pins;  // entries of the tape that will read it; see tape_record
  int read_only;
  int borrowed;
  size_t bytes;
  char *data;  // of the storage's own block, unless it is borrowed
  // of borrowed memory:
  void (*release)(void *user);  // gives it back; null: nothing to do
  void *user;
  struct storage *newer, *older;  // in the list of the context
} storage;

struct saros_tensor {
  saros_context *context;
  storage *storage;
  struct tape_node *node;  // its place on a tape; null: none
  int references;
  saros_dtype dtype;
  int rank;
  size_t offset;  // of the first element, in elements
  size_t count;
  int shape[MAX_RANK];
  ptrdiff_t stride[MAX_RANK];  // in elements
};

/* Uninitialised elements; otherwise as saros_tensor_new. */
saros_status tensor_new(saros_context *context, saros_dtype dtype, int rank,
                        const int *shape, saros_tensor **out);
saros_status tensor_like(const saros_tensor *x, saros_tensor **out);
saros_status tensor_scalar(saros_context *context, double value,
                           saros_tensor **out);
/* Gives back all memory that is borrowed, whoever still holds it. */
void storage_return_all(saros_context *context);
/* A second tensor on x's storage, without history, for the caller to reshape. */
saros_status tensor_alias(saros_tensor *x, saros_tensor **out);

real *reals(const saros_tensor *x);      // first element; x is real
int32_t *ids_of(const saros_tensor *x);  // likewise; x holds ids

/* Copies x, of any strides, into y, of any strides and the same shape. */
void tensor_copy(saros_tensor *y, const saros_tensor *x);
void tensor_zero(saros_tensor *y);
/* Sets rank, shape, count and row-major strides. */
void tensor_set_shape(saros_tensor *x, int rank, const int *shape);

int same_shape(const saros_tensor *a, const saros_tensor *b);

/* A shape for a message: "(2, 3)". The buffer is the caller's. */
typedef struct shape_text {
  char text[MAX_RANK * 13 + 3];
} shape_text;
const char *shape_format(shape_text *buffer, int rank, const int *shape);
/* The shape of a tensor in a message, valid until the end of the statement. */
#define SHAPE(x) shape_format(&(shape_text){{0}}, (x)->rank, (x)->shape)

/* Checks that leave "function: expected name ..., got ...". */
/* An enumerator in 0..count-1; 'what' it stands for: "a cell". */
saros_status expect_known(saros_context *context, const char *function,
                          const char *what, int value, int count);
saros_status expect_real(const char *function, const char *name,
                         const saros_tensor *x);
saros_status expect_ids(const char *function, const char *name,
                        const saros_tensor *x);
/* Replaces a negative axis; SAROS_EARGUMENT unless it is in -rank..rank-1. */
saros_status expect_axis(const char *function, const saros_tensor *x,
                         int *axis);
saros_status expect_same_shape(const char *function, const char *name,
                               const saros_tensor *x, const saros_tensor *like);
/* Every id of ids, which must be contiguous, in 0..limit-1; names the first
** that is not. */
saros_status expect_ids_below(const char *function, const saros_tensor *ids,
                              int limit);
/* All tensors belong to the context. */
saros_status expect_context(const char *function, saros_context *context,
                            const saros_tensor *x);

saros_status expect_generator(const char *function, saros_context *context,
                              const saros_generator *generator);

/* The place where the running sum of the weights passes u of their total; -1
** if they are no weights. (random.c) */
int draw(saros_generator *generator, const real *weight, int n);

/* An output is the caller's, or null if there is an error: releases it then, and
** returns the status. */
saros_status or_nothing(saros_status status, saros_tensor **out);

/* A walk over the rows (last axes) of up to four tensors that broadcast to
** one shape; axes that can be merged are. Used by what goes element by element.
*/
#define MAX_WALK 4
typedef struct walk {
  int tensors;
  int rank;      // of the outer axes
  size_t inner;  // elements of a row
  int shape[MAX_RANK];
  int index[MAX_RANK];
  ptrdiff_t stride[MAX_WALK][MAX_RANK];
  ptrdiff_t step[MAX_WALK];  // inside a row
  size_t at[MAX_WALK];       // where the row begins, in elements
} walk;
/* Shapes must broadcast to (rank, shape). */
void walk_start(walk *w, int rank, const int *shape, int tensors,
                const saros_tensor *const *x);
void walk_skip(walk *w, size_t rows);  // from the first row
int walk_next(walk *w);                // 0 after the last row

/* Walks over x[0], to which the other tensors broadcast, on the threads of the
** context. Calls visit(arguments, w, from, n) for n elements of the row where
** 'w' is, from one of them on; calls must write to disjoint places. */
typedef void walk_visit(const void *arguments, const walk *w, size_t from,
                        size_t n);
__attribute__((warn_unused_result)) saros_status
parallel_walk(walk_visit *visit, const void *arguments, int tensors,
              const saros_tensor *const *x);

/* --- Tape (tape.c) ------------------------------------------------------------ */

/* A value's place on a tape: what its gradient gathers in. */
typedef struct tape_node {
  saros_context *context;
  int references;
  int keep;                // trainable or watched: the gradient stays
  unsigned long serial;    // of its tape; 0: trainable, so on every tape
  saros_tensor *gradient;  // null until something was added
  saros_dtype dtype;
  int rank;
  int shape[MAX_RANK];
} tape_node;

typedef struct tape_entry tape_entry;

/* A differentiable operation: its name, and how it turns the gradients of its
** outputs into those of its inputs. A backward function finds an input's node
** null where no gradient is wanted. */
typedef struct operation {
  const char *name;
  saros_status (*backward)(const tape_entry *e);
} operation;

struct tape_entry {
  const operation *operation;
  tape_entry *previous;
  saros_context *context;
  int inputs, outputs, saved_count;
  int row;            // of the call that recorded it, in the profile
  tape_node **input;  // null where no gradient is wanted
  tape_node **output;
  saros_tensor **saved;  // may hold nulls
  void *arguments;       // the operation's own, copied
};

/* What tape_record needs to know of an operation that has just been done. */
typedef struct record {
  const operation *operation;
  int inputs;
  saros_tensor *const *input;  // may hold nulls
  int outputs;
  saros_tensor **output;
  int saved_count;
  saros_tensor *const *saved;  // may hold nulls
  const void *arguments;
  size_t arguments_size;
} record;

/*
** Records an operation if a tape is recording and one of its inputs is on it;
** otherwise does nothing. The saved tensors are pinned: writing to them in
** place is refused until backward has used them. On failure the outputs are
** released and set to null.
*/
saros_status tape_record(saros_context *context, const record *r);

/* One input, one output, at most one saved tensor, no arguments or some. */
saros_status tape_record_unary(const operation *operation, saros_tensor *x,
                               saros_tensor *saved, const void *arguments,
                               size_t arguments_size, saros_tensor **y);

/* Whether the tape would record an operation on x (null: no). */
int tape_wants(const saros_context *context, const saros_tensor *x);

/* SAROS_ESTATE if the open tape still needs the contents of x. */
saros_status tape_lets_write(const saros_tensor *x, const char *function);

/* Whether dropout acts. */
int tape_is_training(const saros_context *context);

/* The gradient of an output in contiguous form, a new reference; null if
** nothing reached it. */
saros_status entry_gradient(const tape_entry *e, int output, saros_tensor **dy);

/* Adds g to a node's gradient. Takes over the caller's reference, also on
** failure. node may be null. */
saros_status node_add(tape_node *node, saros_tensor *g);

/* The node's gradient to add to in place: contiguous, zeros if it was empty,
** borrowed, and shared with nobody. */
saros_status node_gradient(tape_node *node, saros_tensor **dx);

/* The same, but a gradient that was empty is left uninitialised and *beta is 0;
** otherwise *beta is 1. For kernels that compute y = ... + beta y. */
saros_status node_target(tape_node *node, saros_tensor **dx, real *beta);

void node_release(tape_node *node);  // null is allowed

/* --- Pauses (pause.c) --------------------------------------------------------- */

struct saros_pause {
  saros_context *context;
  saros_pause *outer;  // the one around it, or null
  saros_tape *tape;    // that it set aside, or null
};

/* The tape, open or set aside, is being closed. */
void pause_forget(saros_context *context, const saros_tape *tape);

/* --- Profile (profile.c) --------------------------------------------------------- */

/* The row that an operation is being recorded under; 0 without a profile. */
int profile_row_recorded(saros_context *context, const operation *op);

/* Begins the row of an entry's way back; returns what saros_profile_leave
** takes. */
int profile_enter_backward(const tape_entry *e);

/* --- Cells (cells.c) --------------------------------------------------------------- */

/* decay (H): e^(i e^theta - e^nu) as pairs of real and imaginary part. */
void decay_of(real *decay, const real *nu, const real *theta, int H);

/* --- Operations that others build on (op_*.c) ---------------------------------- */

/* Sums g over the axes that broadcasting repeated, down to (rank, shape);
** takes over the reference, also on failure. */
saros_status reduce_to(saros_tensor *g, int rank, const int *shape,
                       saros_tensor **out);

/* A view of x, stretched along its axes of size 1 (or missing) to a shape. */
saros_status tensor_expand(saros_tensor *x, int rank, const int *shape,
                           saros_tensor **out);

/* The shape that a and b broadcast to. */
saros_status broadcast_shape(const char *function, const saros_tensor *a,
                             const saros_tensor *b, int *rank, int *shape);

/* A copy of a mask, whose shape must be the first 'rank' axes of like's, or ones
** where there is none. (op_loss.c) */
saros_status weights_from_mask(const char *function, saros_tensor *mask,
                               const saros_tensor *like, int rank,
                               saros_tensor **out);

/* Their sum; SAROS_EARGUMENT unless one can divide by it. */
saros_status weights_sum(const char *function, const saros_tensor *weights,
                         real *sum);

/* The sum of losses that are weighted already, as a tensor of rank 0. */
saros_status weighted_total(const saros_tensor *losses, saros_tensor **out);

/* x as (outer, n, inner) around one of its axes, or (1, count, 1). */
typedef struct axis_split {
  size_t outer, n, inner;
} axis_split;
axis_split split_at_axis(const saros_tensor *x, int axis);

#endif
