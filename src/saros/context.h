/*
** What a host has to do with first: its version, contexts, memory, threads,
** files, and where time goes.
*/
#ifndef SAROS_CONTEXT_H
#define SAROS_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define SAROS_BEGIN extern "C" {
#define SAROS_END }
#else
#define SAROS_BEGIN
#define SAROS_END
#endif

#if defined(__GNUC__)
#define SAROS_API __attribute__((visibility("default")))
#else
#define SAROS_API
#endif

/* The version of this header, as text and as 10000 major + 100 minor + patch. */
#define SAROS_VERSION "0.1.0"
#define SAROS_VERSION_NUMBER 100

SAROS_BEGIN

/* The element type: float, or double in the checking build. */
#ifdef SAROS_DOUBLE
typedef double saros_real;
#else
typedef float saros_real;
#endif

/* The largest number of axes of a tensor. */
#define SAROS_MAX_RANK 8

/* Stands for "all axes" in reductions. */
#define SAROS_ALL_AXES INT32_MIN

typedef struct saros_context saros_context;
typedef struct saros_tensor saros_tensor;
typedef struct saros_shared saros_shared;
typedef struct saros_tape saros_tape;
typedef struct saros_pause saros_pause;
typedef struct saros_generator saros_generator;
typedef struct saros_codec saros_codec;
typedef struct saros_program saros_program;

typedef enum saros_status {
  SAROS_OK,
  SAROS_EARGUMENT,  // a value that the function does not accept
  SAROS_EMEMORY,    // the allocator refused
  SAROS_EFILE,      // a file could not be read or written, or is malformed
  SAROS_ENAN,       // a result that had to be finite is not
  SAROS_ESTATE,     // right call, wrong moment (a closed tape, a needed tensor)
  SAROS_EINTERRUPT  // the host wanted an end; see saros_set_interrupt
} saros_status;

typedef enum saros_dtype {
  SAROS_REAL,  // saros_real
  SAROS_IDS,   // int32_t, positions in a table or class numbers, from 0
  SAROS_DTYPES
} saros_dtype;

/* --- Version -------------------------------------------------------------- */

/* The version of the library, which may not be that of the header. */
SAROS_API const char *saros_version(void);
SAROS_API int saros_version_number(void);

/*
** Compares a host with the library: the version that the host was compiled for,
** which may differ in the patch, and the size of its saros_real. SAROS_EARGUMENT
** if they do not fit, or if the environment variable SAROS_ISA is none of the
** names that saros_isa tells; then 'message', of 'size' bytes, says what was
** expected (200 bytes are enough). saros_context_new, saros_open and luaopen_saros,
** as this header has them, check the same.
*/
SAROS_API saros_status saros_check_build(int version, size_t real_size,
                                         char *message, size_t size);

/* --- Context -------------------------------------------------------------- */

/*
** Every byte that a context and its objects hold comes from one function with
** the contract of lua_Alloc: allocate when block is null, free when new_size
** is 0, else resize; null when it cannot.
*/
typedef void *(*saros_allocator)(void *user, void *block, size_t old_size,
                                 size_t new_size);

/*
** Opens a context; null if the allocator refuses, or where saros_check_build
** finds fault. A null allocator means realloc and free. The kernels are those of
** the best instruction set of the processor, or the one named in the environment
** variable SAROS_ISA.
*/
SAROS_API saros_context *saros_context_open(saros_allocator allocator,
                                            void *user, int version,
                                            size_t real_size);
static inline saros_context *saros_context_new(saros_allocator allocator,
                                               void *user) {
  return saros_context_open(allocator, user, SAROS_VERSION_NUMBER,
                            sizeof(saros_real));
}

/* Closes the context. Tensors that outlive it stay valid; the last of them
** frees what remains. Null is allowed. */
SAROS_API void saros_context_release(saros_context *context);

/* Frees the context and all that belongs to it, whoever still holds it: for a
** host that is about to give up its memory. Null is allowed. */
SAROS_API void saros_context_destroy(saros_context *context);

/* What went wrong last: "function: expected this, got that". */
SAROS_API const char *saros_error(const saros_context *context);

/* Leaves a message of the caller's and returns status. */
SAROS_API saros_status saros_fail(saros_context *context, saros_status status,
                                  const char *format, ...)
    __attribute__((format(printf, 3, 4)));

typedef struct saros_memory {
  size_t in_use;  // bytes of live tensors, tapes and the like
  size_t taped;   // those of them that the open tape is going to read
  size_t peak;    // the largest in_use so far
  size_t recent;  // the largest since saros_mark_memory
  size_t pooled;  // bytes kept for reuse, as long as some is made of them
} saros_memory;

SAROS_API saros_memory saros_memory_of(const saros_context *context);
SAROS_API void saros_mark_memory(saros_context *context);

/* Gives the pooled bytes back to the allocator. */
SAROS_API void saros_trim(saros_context *context);

/* The bytes of the block that so many bytes are kept in. */
SAROS_API size_t saros_block_bytes(size_t bytes);

/*
** A trace of memory: every block taken, as its bytes (> 0), every block of the
** trace given back, as minus its number in the order of taking, from 1, and
** every mark, as 0. The events are borrowed until the next start, and none
** where no trace was running; SAROS_EMEMORY if some found no memory.
**
** Large products take scratch that depends on the weights and not on the rows.
** A trace of a few rows, 1 / 'times' of those that are meant, takes it as for
** all of them. SAROS_ESTATE if a trace is running, SAROS_EARGUMENT unless
** times >= 1.
*/
SAROS_API saros_status saros_trace_start(saros_context *context, double times);
/* How many rows that many rows stand for: themselves where no trace runs. */
SAROS_API double saros_trace_rows(const saros_context *context, double rows);
SAROS_API void saros_trace_mark(saros_context *context);
SAROS_API saros_status saros_trace_stop(saros_context *context,
                                        const int64_t **events, size_t *count);

typedef struct saros_build {
  const char *version;  // of Saros
  const char *real;     // "float" or "double"
  const char *isa;      // instruction set of the kernels: "avx512", ..., or
                        // "baseline": SSE2 on x86-64, NEON on ARM64
  const char *blas;     // what OpenBLAS says of itself
  int threads;          // that the context uses
  int exact_outputs;    // see saros_weights: products of so many are exact

  // bytes of the processor's caches: L1 (of data), L2, L3; 0: the system does not
  // tell
  size_t cache[3];

  // how large products are cut: columns of a packed matrix that are multiplied
  // together, rows of it that make a layer at most, and bytes that are fetched into
  // L2 ahead of their use at most
  int packed_columns, packed_depth;
  size_t fetched_ahead;
} saros_build;

SAROS_API saros_build saros_info(const saros_context *context);

/* The name of the index-th of the instruction sets whose kernels this processor
** runs, best first; null behind the last. */
SAROS_API const char *saros_isa(int index);

/* Messages count axes, positions and ids from base, 0 or 1 (the default is 0;
** the Lua binding says 1). Arguments and contents always count from 0. */
SAROS_API void saros_set_index_base(saros_context *context, int base);

/* The number of threads for later calls, 1..256. Results do not depend on it.
** The default is the number of processors that the process may use. */
SAROS_API saros_status saros_set_threads(saros_context *context, int threads);

/* What the terms of a large product, of 32 rows or more with a matrix of 16 or more
** rows and columns, are rounded to; small ones are real. Sums are real in all. */
typedef enum saros_precision {
  SAROS_PRECISION_REAL,  // as they are
  SAROS_PRECISION_BF16,  // 16 bits each, rounded to nearest even
  SAROS_PRECISION_INT8,  // 8 bits and a scale for each row and column; their
                         // gradients are those of real products
  SAROS_PRECISIONS
} saros_precision;

/*
** The precision of the products of later calls; a new context is real. What a tape
** has recorded runs backwards in the precision in which it was recorded. Weights,
** gradients, states and updates are real in all of them, and so are sessions, which
** have their own: see saros_weights. SAROS_EARGUMENT, and the precision stays, if
** it is none of these.
*/
SAROS_API saros_status saros_set_precision(saros_context *context,
                                           saros_precision precision);
SAROS_API saros_precision saros_precision_of(const saros_context *context);

/* What a host may keep from a context, and from the scripts that use it. */
enum {
  SAROS_NO_FILES = 1,   // reading, writing and making folders: SAROS_EFILE
  SAROS_NO_THREADS = 2  // more than the calling one: SAROS_EARGUMENT
};

/* Takes capabilities away, for good. SAROS_EARGUMENT, and nothing is taken, if
** any other bit is set. */
SAROS_API saros_status saros_restrict(saros_context *context, int capabilities);

/*
** Long work (products, recurrences, a tape's way back, learning and encoding
** texts) asks wanted(user) between its blocks, in the thread that called, often
** many times a millisecond: whether to give up. Then the call ends with
** SAROS_EINTERRUPT, its outputs null, and all is as after any other error. The
** function must not use the context. Null: nobody is asked.
**
** In a Lua state there is such a function already: it calls the hook that the
** host has set with LUA_MASKCOUNT, when a single call has taken as long as that
** many instructions, 10 ns each. The hook may raise an error there, not yield,
** and finds all objects of the toolkit closed to it.
*/
typedef int (*saros_interrupt)(void *user);
SAROS_API void saros_set_interrupt(saros_context *context,
                                   saros_interrupt wanted, void *user);

/* --- Profile ------------------------------------------------------------------------ */

/*
** Where the time goes: a table of a context, with a row for every operation in
** every layer, and another one for its way back through the tape. While
** something is being profiled, each moment is counted in exactly one row, so
** that the rows add up to the time that went by. Row 0 has what is in no
** operation. The numbers only grow: a profile is the difference of two
** readings, and may contain others.
**
** Operations are what the caller names: it puts its calls between enter and
** leave. The tape's way back is measured in any case, under the name that was
** current when an operation was recorded, or else its own.
*/
typedef struct saros_profile_row {
  const char *operation;  // "" in row 0; valid as long as the context
  const char *layer;      // or ""
  int backward;
  uint64_t calls;
  double seconds;
} saros_profile_row;

/* As many stops as starts end the profiling. */
SAROS_API saros_status saros_profile_start(saros_context *context);
SAROS_API void saros_profile_stop(saros_context *context);
SAROS_API int saros_is_profiling(const saros_context *context);

/* The rows as the last start or stop left them; positions are not checked. */
SAROS_API int saros_profile_count(const saros_context *context);
SAROS_API saros_profile_row saros_profile_at(const saros_context *context,
                                             int at);

/* Begins an operation, in the current layer; the result is for leave, which
** goes back to what was before: 0 is no operation. Without a profile nothing
** happens. Names are copied; without memory the time goes to row 0. */
SAROS_API int saros_profile_enter(saros_context *context, const char *name);
SAROS_API void saros_profile_leave(saros_context *context, int before);

/* The layer that the next operations belong to ("": none); returns the one
** before it, valid as long as the context. */
SAROS_API const char *saros_profile_layer(saros_context *context,
                                          const char *layer);

SAROS_END

#endif
