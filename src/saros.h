/*
** Saros: recurrent networks in C, scripted in Lua.
**
** This is the whole public interface: whatever a script can do, a C program
** can do through this header. Three ideas carry it:
**
**   context   owns memory, the last error and the open tape. Everything else
**             belongs to one context; two contexts never meet, so each thread
**             may have its own. A context is used by one thread at a time.
**   tensor    a reference-counted array of real numbers or of ids, or a view
**             that shares the storage of another tensor.
**   tape      while one is open, operations on trainable or watched tensors
**             are recorded; saros_tape_backward runs them in reverse
**             (back-propagation, through time where there is time).
**
** Conventions. Functions return a status; anything but SAROS_OK leaves a
** message in saros_error(context), sets the outputs to null and changes
** nothing else unless stated. An output tensor belongs to the caller, who
** releases it. Inputs are borrowed for the call. Axes, steps, rows and ids
** count from 0. Axes may be negative: -1 is the last one. Sequences are
** time-major: (T, B, F) is T steps of B rows of F features. A number that is no
** enumerator of an argument's type is SAROS_EARGUMENT.
*/
#ifndef SAROS_H
#define SAROS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SAROS_API __attribute__((visibility("default")))
#else
#define SAROS_API
#endif

/* The version of this header, as text and as 10000 major + 100 minor + patch. */
#define SAROS_VERSION "0.1.0"
#define SAROS_VERSION_NUMBER 100

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
** if they do not fit; then 'message', of 'size' bytes, says what was expected
** (160 bytes are enough). saros_context_new, saros_open and luaopen_saros, as
** this header has them, check the same.
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
** Opens a context; null if the allocator refuses, or if the host was compiled
** for another library (see saros_check_build). A null allocator means realloc
** and free. The kernels are those of the best instruction set of the processor,
** or the one named in the environment variable SAROS_ISA if the processor runs
** it.
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
  const char *isa;      // instruction set of the kernels: "avx512", ...
  const char *blas;     // what OpenBLAS says of itself
  int threads;          // that the context uses
} saros_build;

SAROS_API saros_build saros_info(const saros_context *context);

/* Messages count axes, positions and ids from base, 0 or 1 (the default is 0;
** the Lua binding says 1). Arguments and contents always count from 0. */
SAROS_API void saros_set_index_base(saros_context *context, int base);

/* The number of threads for later calls, 1..256. Results do not depend on it.
** The default is the number of processors that the process may use. */
SAROS_API saros_status saros_set_threads(saros_context *context, int threads);

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

/* --- Tensors -------------------------------------------------------------- */

/* A new tensor of zeros. rank 0..SAROS_MAX_RANK; sizes >= 0; their product
** must be at most 2^40 - 1 elements. */
SAROS_API saros_status saros_tensor_new(saros_context *context,
                                        saros_dtype dtype, int rank,
                                        const int *shape, saros_tensor **out);

SAROS_API saros_tensor *saros_tensor_retain(saros_tensor *tensor);
SAROS_API void saros_tensor_release(saros_tensor *tensor);  // null is allowed

SAROS_API saros_context *saros_tensor_context(const saros_tensor *tensor);
SAROS_API saros_dtype saros_tensor_dtype(const saros_tensor *tensor);
SAROS_API int saros_tensor_rank(const saros_tensor *tensor);
SAROS_API const int *saros_tensor_shape(const saros_tensor *tensor);
SAROS_API size_t saros_tensor_count(const saros_tensor *tensor);
SAROS_API size_t saros_tensor_bytes(const saros_tensor *tensor);
SAROS_API int saros_tensor_is_contiguous(const saros_tensor *tensor);

/* The elements in row-major order, for as long as the tensor lives; null
** unless the tensor is contiguous and of that type. Writing through them goes
** past the check of saros_tensor_writable. */
SAROS_API saros_real *saros_tensor_reals(saros_tensor *tensor);
SAROS_API int32_t *saros_tensor_ids(saros_tensor *tensor);

/* One element by its row-major position 0..count-1, whatever the strides.
** The position is not checked. */
SAROS_API double saros_tensor_get(const saros_tensor *tensor, size_t position);

/* 1 unless an element is an infinity or no number at all. */
SAROS_API int saros_all_finite(const saros_tensor *tensor);

/* A number that tells shape and bits of a tensor from those of others: against
** accidents, not against forgers. The same on every machine for the same type
** of elements. */
SAROS_API uint64_t saros_digest(const saros_tensor *tensor);

/* Memory of the host's. */
typedef struct saros_buffer {
  void *data;                   // aligned as its elements are
  int read_only;                // may nothing write to it?
  void (*release)(void *user);  // or null
  void *user;
} saros_buffer;

/*
** A tensor on memory of the host's, row-major, which is neither copied nor
** freed; views of it and what a tape saves use it, too. When nothing does any
** more, at the latest when the context is destroyed, release(user) is called,
** once, in the thread that lets go. On error it is not called.
*/
SAROS_API saros_status saros_tensor_wrap(saros_context *context,
                                         saros_dtype dtype, int rank,
                                         const int *shape,
                                         const saros_buffer *buffer,
                                         saros_tensor **out);

/* A read-only tensor of zeros that takes the memory of one element, whatever its
** shape: to be given others' elements by saros_tensor_adopt. */
SAROS_API saros_status saros_tensor_blank(saros_context *context, int rank,
                                          const int *shape, saros_tensor **out);

/* Makes the tensor a second one on the elements of source, which has its shape
** and type, and gives up its own; views of those keep them. SAROS_ESTATE as
** below, except that a read-only tensor may do so. */
SAROS_API saros_status saros_tensor_adopt(saros_tensor *tensor,
                                          saros_tensor *source);

/* SAROS_ESTATE, naming the operation, if the open tape still needs the
** contents of the tensor, or if it is read-only. 'function' begins the
** message. */
SAROS_API saros_status saros_tensor_writable(const saros_tensor *tensor,
                                             const char *function);

/* In place; fill, clamp and add_scaled are for real tensors. SAROS_ESTATE as
** above, and when the source is on the open tape:
** an assignment is not recorded, so its gradient would be lost. */
SAROS_API saros_status saros_fill(saros_tensor *tensor, double value);
SAROS_API saros_status saros_assign(saros_tensor *tensor, saros_tensor *source);
SAROS_API saros_status saros_clamp(saros_tensor *tensor, double low,
                                   double high);
SAROS_API saros_status saros_add_scaled(saros_tensor *tensor, double alpha,
                                        saros_tensor *source);

/* --- Views: share storage with x, differentiable --------------------------- */

/* Positions first..last-1 of an axis. */
SAROS_API saros_status saros_slice(saros_tensor *x, int axis, int first,
                                   int last, saros_tensor **out);
/* Positions first, first + step, ... of an axis, 'count' of them, all within the
** axis. A negative step, which reads backwards, makes a copy. */
SAROS_API saros_status saros_slice_step(saros_tensor *x, int axis, int first,
                                        int count, int step,
                                        saros_tensor **out);
/* One position of an axis, which disappears. */
SAROS_API saros_status saros_select(saros_tensor *x, int axis, int position,
                                    saros_tensor **out);
SAROS_API saros_status saros_transpose(saros_tensor *x, int axis1, int axis2,
                                       saros_tensor **out);
/* The same elements in row-major order under another shape; one size may be
** -1: the rest. Copies where the strides of x allow no view. */
SAROS_API saros_status saros_reshape(saros_tensor *x, int rank,
                                     const int *shape, saros_tensor **out);

/* --- Copies ----------------------------------------------------------------- */

/* Contiguous and on its own storage; differentiable. */
SAROS_API saros_status saros_clone(saros_tensor *x, saros_tensor **out);
/* A copy with the positions of an axis in reverse; differentiable. */
SAROS_API saros_status saros_flip(saros_tensor *x, int axis,
                                  saros_tensor **out);
/* x itself, retained, if it is contiguous; otherwise a clone. */
SAROS_API saros_status saros_contiguous(saros_tensor *x, saros_tensor **out);
/* x without history: a view that no gradient flows through. */
SAROS_API saros_status saros_detach(saros_tensor *x, saros_tensor **out);
/* Several tensors along an existing axis, or along a new one. */
SAROS_API saros_status saros_concatenate(saros_context *context, int count,
                                         saros_tensor *const *x, int axis,
                                         saros_tensor **out);
SAROS_API saros_status saros_stack(saros_context *context, int count,
                                   saros_tensor *const *x, int axis,
                                   saros_tensor **out);

/* --- Element by element, differentiable ------------------------------------- */

typedef enum saros_function {
  SAROS_NEGATE,
  SAROS_ABS,
  SAROS_EXP,
  SAROS_LOG,
  SAROS_SQRT,
  SAROS_TANH,
  SAROS_SIGMOID,
  SAROS_RELU,
  SAROS_ISFINITE,  // of these two: 1 or 0, without gradient
  SAROS_ISNAN,
  SAROS_SIN,
  SAROS_COS,
  SAROS_SOFTPLUS,      // log(1 + e^x)
  SAROS_SILU,          // x sigmoid(x)
  SAROS_GELU,          // x Phi(x), Phi being the normal distribution's
  SAROS_GELU_TANH,     // its approximation by tanh (Hendrycks and Gimpel 2016)
  SAROS_ELU,           // x, or e^x - 1 below 0 (Clevert et al. 2015)
  SAROS_LEAKY_RELU,    // x, or x / 100 below 0
  SAROS_HARD_SIGMOID,  // x / 6 + 1/2 within 0..1
  SAROS_HARD_TANH,     // x within -1..1
  SAROS_FUNCTIONS
} saros_function;

SAROS_API saros_status saros_apply(saros_function f, saros_tensor *x,
                                   saros_tensor **out);

/* SAROS_ELU or SAROS_LEAKY_RELU with another slope: x where it is above 0, else
** slope (e^x - 1) or slope x. SAROS_EARGUMENT for any other function. */
SAROS_API saros_status saros_apply_slope(saros_function f, saros_tensor *x,
                                         double slope, saros_tensor **out);

/* Comparisons give 1 or 0 and have no gradient; SAROS_EQUAL compares ids, too,
** and ids with numbers as messages count them. */
typedef enum saros_operator {
  SAROS_ADD,
  SAROS_SUBTRACT,
  SAROS_MULTIPLY,
  SAROS_DIVIDE,
  SAROS_POWER,
  SAROS_MAXIMUM,
  SAROS_MINIMUM,
  SAROS_LESS,
  SAROS_LESS_EQUAL,
  SAROS_EQUAL,
  SAROS_OPERATORS
} saros_operator;

/* a and b broadcast as usual: shapes are aligned at their last axes, and an
** axis of size 1, or a missing one, is repeated. */
SAROS_API saros_status saros_combine(saros_operator f, saros_tensor *a,
                                     saros_tensor *b, saros_tensor **out);

/* Elements of a where the condition is not 0, else of b; all three broadcast.
** Differentiable in a and b. What is not chosen does not matter: NaN there
** reaches neither the result nor a gradient. */
SAROS_API saros_status saros_where(saros_tensor *condition, saros_tensor *a,
                                   saros_tensor *b, saros_tensor **out);

/* The name of f in messages and in Lua: "tanh", "add"; null if there is no f. */
SAROS_API const char *saros_function_name(saros_function f);
SAROS_API const char *saros_operator_name(saros_operator f);

/* --- Products and reductions, differentiable --------------------------------- */

/* a (..., M, K) times b (..., K, N) is (..., M, N). The leading axes broadcast;
** an operand of rank 1 is a row on the left, a column on the right. */
SAROS_API saros_status saros_matmul(saros_tensor *a, saros_tensor *b,
                                    saros_tensor **out);

/* Over one axis, which disappears unless keep is set, or SAROS_ALL_AXES. */
SAROS_API saros_status saros_sum(saros_tensor *x, int axis, int keep,
                                 saros_tensor **out);
SAROS_API saros_status saros_mean(saros_tensor *x, int axis, int keep,
                                  saros_tensor **out);
/* The gradient goes to the first of equal largest (smallest) elements. */
SAROS_API saros_status saros_max(saros_tensor *x, int axis, int keep,
                                 saros_tensor **out);
SAROS_API saros_status saros_min(saros_tensor *x, int axis, int keep,
                                 saros_tensor **out);
/* The logarithm of the sum of exp, without overflow; -inf of no elements. */
SAROS_API saros_status saros_logsumexp(saros_tensor *x, int axis, int keep,
                                       saros_tensor **out);
/* At each position of an axis the sum of what is there and before. */
SAROS_API saros_status saros_cumsum(saros_tensor *x, int axis,
                                    saros_tensor **out);
/* The k largest along an axis, largest first, and their positions (ids); the
** first of equal ones first, NaN counting as the largest. Differentiable in the
** values. SAROS_EARGUMENT unless k is 1 to the size of the axis. */
SAROS_API saros_status saros_topk(saros_tensor *x, int k, int axis,
                                  saros_tensor **values, saros_tensor **ids);
/* Ids; no gradient. */
SAROS_API saros_status saros_argmax(saros_tensor *x, int axis,
                                    saros_tensor **out);

/* --- Tables ------------------------------------------------------------------ */

/* Rows of table (V, n) by ids of any shape S: (S..., n). Differentiable in the
** table. SAROS_EARGUMENT names an id outside 0..V-1 and its place. */
SAROS_API saros_status saros_embedding(saros_tensor *table, saros_tensor *ids,
                                       saros_tensor **out);
/* Element ids[i] of row i of x (S..., V), ids being of shape S: shape S.
** Differentiable in x. */
SAROS_API saros_status saros_pick(saros_tensor *x, saros_tensor *ids,
                                  saros_tensor **out);
/* Elements of x along an axis by ids, whose shape is that of x but for this
** axis: y[.., i, ..] = x[.., ids[.., i, ..], ..]. Differentiable in x. */
SAROS_API saros_status saros_gather(saros_tensor *x, int axis,
                                    saros_tensor *ids, saros_tensor **out);
/* Ids of shape S as rows of zeros with a single 1: (S..., V). */
SAROS_API saros_status saros_one_hot(saros_tensor *ids, int V,
                                     saros_tensor **out);

/* --- Layers and losses, differentiable ---------------------------------------- */

SAROS_API saros_status saros_softmax(saros_tensor *x, int axis,
                                     saros_tensor **out);
SAROS_API saros_status saros_log_softmax(saros_tensor *x, int axis,
                                         saros_tensor **out);

/* All zero: every position and every class counts 1. */
typedef struct saros_cross_entropy_options {
  saros_tensor *mask;     // of shape S or null: what each position counts
  saros_tensor *weights;  // (V) or null: what each class counts, 0 or more
  double smoothing;       // e in [0, 1): label smoothing
} saros_cross_entropy_options;

/*
** The mean over all positions of -log softmax(logits)[target], in nats.
** logits (S..., V); targets ids of shape S; options may be null. With m for the
** mask, w for the weights and ce(v) for -log softmax(logits)[v], it is
**
**   sum of m ((1 - e) w[target] ce(target) + e / V * sum over v of w[v] ce(v))
**   ---------------------------------------------------------------------------
**                            sum of m w[target]
**
** as PyTorch has it; with e = 0 the weighted mean, otherwise label smoothing
** (Szegedy et al. 2016). What a mask of 0 hides is not looked at, neither
** logits nor target. SAROS_EARGUMENT if a target that counts is outside
** 0..V-1, if a weight is negative or not finite, or the last sum is 0 or not
** finite.
*/
SAROS_API saros_status saros_cross_entropy(
    saros_tensor *logits, saros_tensor *targets,
    const saros_cross_entropy_options *options, saros_tensor **out);

typedef enum saros_ctc_reduction {
  SAROS_CTC_MEAN,  // over rows of loss / max(target length, 1): rank 0
  SAROS_CTC_ROWS,  // the loss of each row: (B)
  SAROS_CTC_REDUCTIONS
} saros_ctc_reduction;

/*
** Connectionist temporal classification (Graves et al. 2006): the loss of rows
** whose targets are shorter than their inputs, with nothing said of which step
** belongs to which id. For each row it is, in nats,
**
**   -log of the sum of the probabilities of all paths (a class for each step)
**   that give the target when repeats are merged and then blanks removed,
**
** the probability of a path being the product of its softmax(logits).
**
**   logits          (T, B, V)  V classes, one of which is the blank
**   targets         ids (S, B) in 0..V-1, without the blank
**   input_lengths   (B)        in 1..T; null: all are T
**   target_lengths  (B)        in 0..S; null: all are S
**
** What lies beyond the lengths of a row is not looked at and has gradient 0.
** Where a row has too few steps for its target (each id needs one, and two
** equal neighbours a blank between them), its loss is infinity, and so is the
** mean, and its gradient is 0: it does not disturb the other rows. Lengths are
** read during the call only. SAROS_EARGUMENT if a shape, a length, an id or
** the blank does not fit.
*/
SAROS_API saros_status saros_ctc_loss(saros_tensor *logits,
                                      saros_tensor *targets,
                                      const int *input_lengths,
                                      const int *target_lengths, int blank,
                                      saros_ctc_reduction reduction,
                                      saros_tensor **out);

typedef enum saros_loss_kind {
  SAROS_MSE,    // (x - target)^2
  SAROS_L1,     // |x - target|
  SAROS_HUBER,  // (x - target)^2 / 2 where |x - target| <= delta, else
                // delta (|x - target| - delta / 2) (Huber 1964)
  SAROS_BCE,    // -target log p - (1 - target) log(1 - p), p = sigmoid(x)
  SAROS_KL,     // sum over the last axis of target (log target - x)
  SAROS_LOSSES
} saros_loss_kind;

/*
** The mean of a loss over all elements, x and target having one shape; of
** SAROS_KL, the divergence of x = log q from target = p (KL(p || q), in nats),
** over all positions but those of the last axis. mask, or null: what each
** element or position counts, sum(mask * loss) / sum(mask); what a mask of 0
** hides is not looked at. delta > 0: of SAROS_HUBER. Differentiable in x and
** target. SAROS_EARGUMENT if shapes do not fit, a target of SAROS_BCE or
** SAROS_KL that counts is outside 0..1, or the mask sums to 0 or is not finite.
*/
SAROS_API saros_status saros_loss(saros_loss_kind kind, saros_tensor *x,
                                  saros_tensor *target, saros_tensor *mask,
                                  double delta, saros_tensor **out);
/* Its name in messages and in Lua: "mse"; null if there is no such loss. */
SAROS_API const char *saros_loss_name(saros_loss_kind kind);

/*
** Sets each element to 0 with probability p in [0, 1) and divides the others
** by 1 - p (Srivastava et al. 2014). Acts only while a training tape is open;
** otherwise the result is x.
*/
SAROS_API saros_status saros_dropout(saros_tensor *x, double p,
                                     saros_generator *generator,
                                     saros_tensor **out);

/* (x - mean) / sqrt(variance + epsilon) * gain + bias over the last axis, with
** the biased variance (Ba, Kiros and Hinton 2016). gain, bias: (n). */
SAROS_API saros_status saros_layer_norm(saros_tensor *x, saros_tensor *gain,
                                        saros_tensor *bias, double epsilon,
                                        saros_tensor **out);

/* x / sqrt(mean square + epsilon) * gain over the last axis (Zhang and Sennrich
** 2019); gain (n), or null for ones. */
SAROS_API saros_status saros_rms_norm(saros_tensor *x, saros_tensor *gain,
                                      double epsilon, saros_tensor **out);

/*
** x with zeros in the rows where the mask is 0, whatever stands there, NaN
** included; nor is the gradient of the result read there. The mask (S...) has
** the first sizes of x (S..., n...); where it is not 0 a row is multiplied by
** it. Ids become 0, which a script calls 1.
*/
SAROS_API saros_status saros_mask_rows(saros_tensor *x, saros_tensor *mask,
                                       saros_tensor **out);

/*
** Where a walk over rows in pieces keeps its state: (T, B), 1 except at the
** steps before which it starts again. reset (T, B) is 1 where a new piece of the
** row begins; from the last step to the first ('reverse'), the walk starts again
** when it leaves that step, so that each piece is read as if it stood alone.
** With a mask (T, B), steps where it is 0 belong to no piece, and a reset there
** counts at the next step that does; behind a row's end none counts. Without a
** gradient.
*/
SAROS_API saros_status saros_keep(saros_tensor *reset, saros_tensor *mask,
                                  int reverse, saros_tensor **out);

/* All zero but the kernel and the dilation, which are 1 or more. */
typedef struct saros_window_options {
  int kernel, dilation;
  int ahead;            // steps that the last part of a window looks ahead, up
                        // to (kernel - 1) dilation; then there is no state
  saros_tensor *mask;   // (T, B) of 1 and 0, or null: windows of steps where it
                        // is 0 are zeros, and others do not see these steps
  saros_tensor *reset;  // (T, B) of 1 and 0, or null: at 1 a new piece begins,
                        // whose windows see zeros in place of other pieces
} saros_window_options;

/*
** For each step of x (T, B, F) what stands (k - 1) d, ..., d and 0 steps before
** it, for a kernel k and a dilation d, one after the other: (T, B, k F), of which
** a product makes a dilated causal convolution. The steps before the first are
** those of the state (B, (k - 1) d F), oldest first, or zeros if it is null; last
** is the state after the last step. With 'ahead', all of it is seen that many
** steps later. Differentiable in x and the state.
*/
SAROS_API saros_status saros_window(saros_tensor *x, saros_tensor *state,
                                    const saros_window_options *options,
                                    saros_tensor **out, saros_tensor **last);

/* x (..., I) W^T + b with W (O, I) and b (O) or null: (..., O). */
SAROS_API saros_status saros_linear(saros_tensor *x, saros_tensor *weight,
                                    saros_tensor *bias, saros_tensor **out);

/* --- Recurrence ---------------------------------------------------------------- */

typedef enum saros_cell {
  SAROS_ELMAN_TANH,  // h = tanh(W x + b + U h + b')
  SAROS_ELMAN_RELU,  // h = max(W x + b + U h + b', 0)
  SAROS_LSTM,        // gates i f g o, states h and c
  SAROS_GRU,         // gates r z n; r acts after the product U_n h (PyTorch)
  SAROS_GRU_BEFORE,  // the same, r acts on h before it (Cho et al. 2014)
  // linear in their state, which they do not multiply by weights: the work of
  // all steps but a multiplication and an addition for each unit is one product
  SAROS_MINGRU,            // gates z n: h = (1 - s(z)) h(t-1) + s(z) n, where
                           // s is the sigmoid (Feng et al. 2024)
  SAROS_MINGRU_POSITIVE,   // the same with n + 1/2 for n from 0 on, else s(n)
  SAROS_MINLSTM,           // gates i f n, state h: h = f' h(t-1) + i' n with
                           // f' = s(f) / (s(f) + s(i)), i' = 1 - f'
  SAROS_MINLSTM_POSITIVE,  // likewise
  SAROS_LRU,  // H / 2 complex units, as pairs of real and imaginary part:
              // h = e^(i e^theta - e^nu) h(t-1) + W x (Orvieto et al. 2023)
  SAROS_CELLS
} saros_cell;

#define SAROS_MAX_STATES 2

typedef struct saros_cell_facts {
  const char *name;  // in messages and in Lua: "elman_tanh"
  int gates;         // G
  int states;        // 1: h, 2: h and c
  int linear;        // in h(t-1): without weight_hh, bias_hh, dropout of h
  const char *const *parameters;  // names, and a null behind them: see below
} saros_cell_facts;

/* All null and 0 if there is no such cell. */
SAROS_API saros_cell_facts saros_cell_of(saros_cell cell);

/* A tensor by its name: "weight_ih". */
typedef struct saros_named_tensor {
  const char *name;
  saros_tensor *tensor;
} saros_named_tensor;

/*
** The parameters that a layer may have, in PyTorch's layout. Which of them a cell
** has is in its facts; what is not given is left out of the equations. H is the
** number of hidden units, P the size of h: H, unless the layer has a projection.
**
**   weight_ih    (G H, I)   without it x is W x already, (T, B, G H)
**   weight_hh    (G H, P)   must be there, unless the cell is linear
**   bias_ih      (G H)
**   bias_hh      (G H)
**   weight_hr    (P, H)     h = W_hr (o tanh(c))
**   peephole     (3, H)     c into i, f and o
**   norm_gain, norm_bias      (G H)  layer norm of U h; both or none
**   norm_c_gain, norm_c_bias  (H)    of c in tanh(c); both or none
**   table        (V, G H)   x is ids (T, B), and W x the row of the table that an
**                           id names; without weight_ih
**   nu, theta    (H / 2)    what the units decay and turn by, as logarithms; must
**                           be there in an LRU
**   first_h      (P)        h where a row begins; zeros
**   first_c      (H)        c where a row begins; zeros
*/

/*
** How the walk over the steps goes. All null and 0: every row takes every step
** from the first to the last. None of it has a gradient.
*/
typedef struct saros_steps {
  int reverse;            // from the last step to the first
  saros_tensor *mask;     // (T, B) of 1 and 0, or null: where it is 0 x and the
                          // gradient of y are not read, the row's state stays
                          // as it is, and y is 0
  saros_tensor *reset;    // (T, B) of 1 and 0, or null: at 1 a new piece of the
                          // row begins, whichever way the walk goes: see
                          // saros_keep
  saros_tensor *dropout;  // (B, P), or null: factor of h in the product U h
  saros_tensor *zoneout_h;  // (T, B, P), or null: h = z h(t) + (1 - z) h(t-1)
  saros_tensor *zoneout_c;  // (T, B, H), or null: likewise for c
} saros_steps;

/*
** One layer over a whole sequence, differentiable in x, the states and all
** parameters (full BPTT over its T steps), one entry on the tape.
**
**   x      (T, B, I)   T >= 1; or ids (T, B), with a table
**   state  (B, P), and (B, H) for c: before the first step; a null entry, or
**          null for all, means first_h and first_c
**   steps  how to walk, or null
**   y      (T, B, P)   out: h(t) of every step
**   last   (B, P), and (B, H) for c; out: the state after the last step
**
** state and last have one entry for each state of the cell. SAROS_EARGUMENT for
** a parameter that the cell does not have, or one given twice; a null tensor is
** as if it were not named.
*/
SAROS_API saros_status saros_recurrent(saros_cell cell, saros_tensor *x,
                                       saros_tensor *const *state,
                                       const saros_named_tensor *parameters,
                                       int count, const saros_steps *steps,
                                       saros_tensor **y, saros_tensor **last);

/* --- Programs -------------------------------------------------------------------- */

/*
** A program is what a model computes in one time step, for one row: nodes in
** order of evaluation, as JSON text.
**
**   {"format": 1,
**    "parameters": [{"name": "cell.weight", "shape": [8, 12]}, ...],
**    "states": [{"name": "h", "width": 8, "next": 5, "first": 2,
**                "reverse": true}, ...],
**    "nodes": [{"op": "input", "name": "x", "width": 4},
**              {"op": "linear", "in": [0, 1]}, ...],
**    "outputs": [{"name": "y", "node": 5}, ...]}
**
** Numbers count from 0. 'in' names earlier nodes; 'next' is the node whose value
** the state becomes; 'first', which may be absent (zeros), the one that it begins
** with, computed from parameters and constants alone. A state with 'reverse' walks
** from the last step to the first.
**
** Reading believes nothing: unknown operations and fields, numbers, counts and
** widths that do not fit are SAROS_EARGUMENT, and the message names the node. It
** costs time and memory in proportion to the text, which has at most 2^26 bytes
** and 65,536 items in each list. A program never changes; it may be used by any
** number of sessions.
*/
SAROS_API saros_status saros_program_read(saros_context *context,
                                          const char *json, size_t size,
                                          saros_program **out);
SAROS_API saros_program *saros_program_retain(saros_program *program);
SAROS_API void saros_program_release(saros_program *program);  // or null

/* The text that it was read from, borrowed; its bytes, if size is not null. */
SAROS_API const char *saros_program_text(const saros_program *program,
                                         size_t *size);

typedef struct saros_program_facts {
  int nodes, parameters, states, inputs, outputs;  // how many
} saros_program_facts;
SAROS_API saros_program_facts saros_program_of(const saros_program *program);

/* An input, an output or a state. */
typedef struct saros_program_value {
  const char *name;
  int width;    // features; 1 for ids
  int symbols;  // of an input of ids: they are 0..symbols-1; else 0
  int reverse;  // of a state
} saros_program_value;

typedef struct saros_program_tensor {
  const char *name;  // of the tensor in a model file
  int rank;
  const int *shape;
} saros_program_tensor;

/* By number; all null and 0 if there is no such thing. */
SAROS_API saros_program_value saros_program_input(const saros_program *program,
                                                  int input);
SAROS_API saros_program_value saros_program_output(const saros_program *program,
                                                   int output);
SAROS_API saros_program_value saros_program_state(const saros_program *program,
                                                  int state);
SAROS_API saros_program_tensor
saros_program_parameter(const saros_program *program, int parameter);

/* --- Tape ------------------------------------------------------------------------ */

/* Opens the tape of a context. SAROS_ESTATE if one is open already, unless a
** pause has set that aside. Dropout acts while a tape with training != 0 is
** open. */
SAROS_API saros_status saros_tape_open(saros_context *context, int training,
                                       saros_tape **out);

/* True if a tape with training != 0 records: dropout acts. */
SAROS_API int saros_is_training(const saros_context *context);

/* From now on trainable tensors are constants to this tape: it records what is
** computed from watched tensors, and their gradients alone are added to. */
SAROS_API void saros_tape_skip_trainable(saros_tape *tape);

/* Asks for the gradient of x, whatever it is: a result's after it was computed,
** an input's before it is used. If x is part of a tape that is set aside, closing
** this one gives x back to that tape, with the gradient that it has there. */
SAROS_API saros_status saros_tape_watch(saros_tape *tape, saros_tensor *x);

/*
** Adds the gradient of loss to the gradient of every trainable and watched
** tensor that it was computed from. loss has one element, or gradient holds
** the gradient of its elements. Each saved activation is freed as soon as it
** has been used; afterwards the tape is spent: it records nothing more. After
** an error the gradients may hold part of the sum. SAROS_ESTATE if an operation of
** the host's own takes part: see saros_tape_backward_start.
*/
SAROS_API saros_status saros_tape_backward(saros_tape *tape, saros_tensor *loss,
                                           saros_tensor *gradient);

/*
** Operations of the host's own, one entry on the tape each. The core never calls
** the host, so a tape's way back stops where such an entry's turn comes:
**
**   saros_pause *pause;                              // forward
**   saros_pause_begin(context, &pause);              // nothing of it is recorded
**   ... compute y from x ...
**   saros_pause_end(pause);
**   saros_own_record(context, &own, &out);           // out: y, on the tape
**
**   saros_tape_backward_start(tape, loss, NULL);     // instead of _backward
**   while (saros_tape_stop(tape, &stop)) {           // 0: it is over
**     saros_tape_stop_gradient(tape, 0, &dy);
**     ... compute dx, in a pause, from dy and what the host kept for stop.token ...
**     saros_tape_backward_resume(tape, &dx);
**   }
*/
typedef struct saros_own {
  const char *name;             // for messages and profiles; at most 63 bytes
  int64_t token;                // the host's, handed back when its turn comes
  int inputs;                   // at most 255
  saros_tensor *const *input;   // may hold nulls
  int outputs;                  // 1..255
  saros_tensor *const *output;  // real
  int saved_count;
  saros_tensor *const
      *saved;  // protected from writes until the way back is over
} saros_own;

/* True if the open tape records what is computed from x. */
SAROS_API int saros_is_recorded(const saros_tensor *x);

/*
** Records an operation that has been computed if an input is on the open tape. out
** (outputs) are views of its outputs, on that tape. After an error all of out are
** null. SAROS_EARGUMENT if a count, the name or the type of an output is wrong.
*/
SAROS_API saros_status saros_own_record(saros_context *context,
                                        const saros_own *own,
                                        saros_tensor **out);

/* saros_tape_backward up to the first such entry, or to the end. After an error
** the tape is spent. */
SAROS_API saros_status saros_tape_backward_start(saros_tape *tape,
                                                 saros_tensor *loss,
                                                 saros_tensor *gradient);

typedef struct saros_own_stop {
  const char *name;  // borrowed until backward goes on
  int64_t token;
  int inputs, outputs;
} saros_own_stop;

/* The entry at which backward stopped. Returns 0 if there is none. */
SAROS_API int saros_tape_stop(const saros_tape *tape, saros_own_stop *stop);

/* The gradient of one of its outputs, contiguous and of its shape; zeros where
** none has come. */
SAROS_API saros_status saros_tape_stop_gradient(saros_tape *tape, int output,
                                                saros_tensor **dy);

/*
** Goes on with the gradients (inputs) of its inputs; null: none. They are copied.
** SAROS_EARGUMENT if one does not have the shape of its input, or is not real: then
** the tape is still at the same stop. After any other error it is spent.
*/
SAROS_API saros_status
saros_tape_backward_resume(saros_tape *tape, saros_tensor *const *gradients);

/* Ends backward before it is over: frees all that it would still need. Does nothing
** unless backward is under way. */
SAROS_API void saros_tape_give_up(saros_tape *tape);

/* Frees all that the tape saved. A second call does nothing. */
SAROS_API void saros_tape_close(saros_tape *tape);
/* The tape that records now; null: none. */
SAROS_API saros_tape *saros_open_tape(const saros_context *context);
SAROS_API void saros_tape_release(saros_tape *tape);  // closes; null is allowed
SAROS_API int saros_tape_is_open(const saros_tape *tape);
/* The number of recorded operations and the bytes that they keep alive. */
SAROS_API size_t saros_tape_length(const saros_tape *tape);

/*
** Sets the open tape, if any, aside: until the pause ends, operations are as
** without a tape. Nothing is recorded, dropout does not act, and another tape
** may be opened; to that one, what the first recorded are plain values. What
** the first tape needs stays protected from writes. Pauses nest, and end in any
** order. Everything that only asks a model something does so inside a pause.
*/
SAROS_API saros_status saros_pause_begin(saros_context *context,
                                         saros_pause **out);
/* Ends the pause and frees it: the tape that it set aside records again, unless
** that was closed meanwhile. A tape that was opened inside and is still open is
** closed. Null is allowed. */
SAROS_API void saros_pause_end(saros_pause *pause);

/* A trainable tensor is recorded by every tape. */
SAROS_API saros_status saros_set_trainable(saros_tensor *tensor, int trainable);
SAROS_API int saros_is_trainable(const saros_tensor *tensor);

/* The gradient accumulated so far, borrowed; null if there is none. */
SAROS_API saros_tensor *saros_gradient(const saros_tensor *tensor);
SAROS_API void saros_clear_gradient(saros_tensor *tensor);

/* --- Parameter updates -------------------------------------------------------------- */

/*
** Scales the gradients of all tensors by one factor so that their joint L2
** norm is at most 'limit' (Pascanu, Mikolov and Bengio 2013); stores the norm
** before scaling in *norm. A tensor without gradient counts as 0.
** SAROS_EARGUMENT unless limit > 0, SAROS_ENAN if the norm is not finite; on
** error the gradients are unchanged.
*/
SAROS_API saros_status saros_clip_norm(saros_context *context, int count,
                                       saros_tensor *const *tensors,
                                       double limit, double *norm);
/* Clamps every element of the gradients into [-limit, limit], limit > 0. */
SAROS_API saros_status saros_clip_value(saros_context *context, int count,
                                        saros_tensor *const *tensors,
                                        double limit);

typedef enum saros_rule {
  SAROS_SGD,      // first: velocity (may be null where momentum is 0)
  SAROS_RMSPROP,  // first: mean square
  SAROS_ADAM,     // first: mean, second: mean square
  SAROS_ADAMW,    // likewise, with decoupled weight decay
  SAROS_RULES
} saros_rule;

typedef struct saros_update {
  saros_rule rule;
  double rate;
  double decay;         // weight decay, all rules
  double momentum;      // SGD
  int nesterov;         // SGD
  double alpha;         // RMSProp: decay of the mean square
  double beta1, beta2;  // Adam
  double epsilon;       // RMSProp, Adam
  double step;          // Adam: this is the parameter's update 1, 2, ...
} saros_update;

/*
** Updates a parameter from its gradient by the rule, with the moments 'first'
** and 'second' of the parameter's shape. A parameter without gradient is left
** alone. All tensors must be contiguous. SAROS_ESTATE if the open tape needs
** the parameter.
*/
SAROS_API saros_status saros_update_parameter(const saros_update *update,
                                              saros_tensor *parameter,
                                              saros_tensor *first,
                                              saros_tensor *second);

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

/* --- Random numbers ---------------------------------------------------------------- */

/*
** A generator: xoshiro256++ (Blackman and Vigna 2019), seeded through
** splitmix64. Same seed, same numbers, on every machine for uniform and ids.
*/
SAROS_API saros_status saros_generator_new(saros_context *context,
                                           uint64_t seed,
                                           saros_generator **out);
SAROS_API void saros_generator_release(saros_generator *generator);
SAROS_API void saros_generator_seed(saros_generator *generator, uint64_t seed);
#define SAROS_GENERATOR_WORDS 4
SAROS_API void saros_generator_save(const saros_generator *generator,
                                    uint64_t words[SAROS_GENERATOR_WORDS]);
/* SAROS_EARGUMENT if all words are 0: no generator has that state. */
SAROS_API saros_status saros_generator_restore(
    saros_generator *generator, const uint64_t words[SAROS_GENERATOR_WORDS]);

/* A number in [0, 1), with 53 random bits. */
SAROS_API double saros_uniform(saros_generator *generator);
/* A whole number in 0..limit-1, each as likely; limit >= 1. */
SAROS_API uint64_t saros_below(saros_generator *generator, uint64_t limit);

/* Fill a real tensor, in place. SAROS_ESTATE as saros_fill. */
SAROS_API saros_status saros_fill_uniform(saros_generator *generator,
                                          double low, double high,
                                          saros_tensor *tensor);
SAROS_API saros_status saros_fill_normal(saros_generator *generator,
                                         double mean, double deviation,
                                         saros_tensor *tensor);
/* Rows (or columns, if fewer) that are orthonormal, times gain (Saxe,
** McClelland and Ganguli 2014). Rank 2. */
SAROS_API saros_status saros_fill_orthogonal(saros_generator *generator,
                                             double gain, saros_tensor *tensor);

/* Draws from weights (S..., V), >= 0, finite, not all 0 in a row: ids of shape
** S, each with probability proportional to its weight. */
SAROS_API saros_status saros_categorical(saros_generator *generator,
                                         saros_tensor *weights,
                                         saros_tensor **out);
/* The ids 0..n-1 in random order. */
SAROS_API saros_status saros_permutation(saros_generator *generator, int n,
                                         saros_tensor **out);

/* --- Sessions ----------------------------------------------------------------------- */

/*
** A session runs a model one step at a time: for an event, a sample, a symbol.
** Its weights are packed when it is made, so what happens to the parameters
** afterwards does not reach it; all memory is taken then, too, and a step takes
** none. Forks read one packing, and so do sessions on shared weights, whatever
** their contexts: see saros_shared_new. A session may step several independent
** streams together; they are rows, and row 0 is the only one where there is one
** stream.
**
** A step computes what the operations compute without a tape, up to rounding:
** sums are taken in another order.
*/
typedef struct saros_session saros_session;

typedef enum saros_stage_kind {
  SAROS_STAGE_EMBEDDING,   // ids to rows of a table; only as the first stage
  SAROS_STAGE_LINEAR,      // x W^T + b
  SAROS_STAGE_LAYER_NORM,  // as saros_layer_norm
  SAROS_STAGE_FUNCTION,    // of each element
  SAROS_STAGE_RECURRENT,   // one layer, as saros_recurrent
  SAROS_STAGE_ADD,         // x + weight * (what an earlier stage read)
  SAROS_STAGE_ATTENTION,   // over the last W steps, see below
  SAROS_STAGE_KINDS
} saros_stage_kind;

/* The parameters of a recurrent stage; see those of a layer. */
typedef struct saros_layer {
  saros_tensor *weight_ih, *weight_hh, *bias_ih, *bias_hh, *weight_hr,
      *peephole;
  saros_tensor *norm_gain, *norm_bias, *norm_c_gain, *norm_c_bias;
  saros_tensor *table, *nu, *theta, *first_h, *first_c;
} saros_layer;

/*
** One stage of a model; each reads what the one before it makes. Fields that
** its kind does not name are not read.
**
** Attention reads q, k and v, F features each, in equal parts for the heads, so
** that linear stages stand before and after it. Of each head, over the steps s
** since the row began with t - W < s <= t:
**
**   score(t, s) = q(t) . k(s) / sqrt(F / heads) + distance[W - 1 - (t - s)]
**   y(t) = sum over s of softmax(score(t, .))(s) v(s)
*/
typedef struct saros_stage {
  saros_stage_kind kind;
  saros_tensor *weight;     // embedding (V, E); linear (O, I); layer norm (n);
                            // add (n), or null: ones
  saros_tensor *bias;       // linear (O), or null; layer norm (n)
  double epsilon;           // layer norm
  saros_function function;  // function
  int back;  // add: how far back in the list the stage is that read features
             // of the same size, >= 1
  saros_tensor *distance;  // attention (heads, W)
  // recurrent:
  saros_cell cell;
  saros_layer layer;  // weight_ih must be there, and no table
  saros_tensor *norm_ih_gain, *norm_ih_bias;  // (G H), or null: layer norm of
                                              // W x, before the biases
  saros_tensor *gamma;  // (H / 2), or null: logarithms of what both rows of a
                        // complex unit in weight_ih are multiplied by; LRU
  saros_tensor *first[SAROS_MAX_STATES];  // (P) and (H), or null: zeros
  double zoneout[SAROS_MAX_STATES];  // share of the old state kept, in [0, 1)
  int residual;                      // y = h + x, if they are of one size
} saros_stage;

/*
** How a session keeps the weights of its products, which is most of what it
** keeps and what a step of a large layer waits for. Biases, embeddings, norms,
** peepholes, first states and layers of at most four outputs stay as they are.
*/
typedef enum saros_weights {
  SAROS_WEIGHTS_REAL,  // as they are
  SAROS_WEIGHTS_BF16,  // 16 bits each, rounded to nearest even; sums in float
  SAROS_WEIGHTS_INT8,  // 8 bits each, and a scale for each row of a weight
  SAROS_WEIGHTS_KINDS
} saros_weights;

/*
** A session of 1..65536 streams over 'count' stages, in the first states. The
** stages and their tensors are borrowed for the call. SAROS_EARGUMENT names the
** stage and the tensor that do not fit.
*/
SAROS_API saros_status saros_session_new_list(saros_context *context, int count,
                                              const saros_stage *stages,
                                              int streams,
                                              saros_weights weights,
                                              saros_session **out);

/*
** A session of 1..65536 streams that steps a program, in the first states. The
** parameters are those of the program, in its order, and borrowed for the call.
** Products of the same value become one, element-wise operations that follow each
** other run as one, fused cells are one stage, and what depends on parameters
** alone is computed here. Dropout does nothing, zoneout mixes by its probability.
** SAROS_EARGUMENT names a parameter that does not fit, or a state that walks from
** the end of a sequence, which no step can.
*/
SAROS_API saros_status saros_session_new(saros_context *context,
                                         saros_program *program,
                                         saros_tensor *const *parameters,
                                         int streams, saros_weights weights,
                                         saros_session **out);
SAROS_API void saros_session_release(saros_session *session);  // or null

/* Another session in the same state, which goes its own way; the weights are
** shared. */
SAROS_API saros_status saros_session_fork(const saros_session *session,
                                          saros_session **out);

/*
** Packs the weights of a session's model again, after its parameters changed;
** the state stays, and forks keep what they have. The stages are described as
** for saros_session_new. The old weights go back to the pool when the new ones
** are there, so that from the second time on nothing is asked of the allocator.
** SAROS_EARGUMENT if the stages are of other kinds or sizes; after an error the
** session is as it was. This is how a host learns while it steps: saros_tape
** and saros_update on a window of its own, then this.
*/
SAROS_API saros_status saros_session_repack_list(saros_session *session,
                                                 int count,
                                                 const saros_stage *stages);
SAROS_API saros_status saros_session_repack(saros_session *session,
                                            saros_tensor *const *parameters);

typedef struct saros_session_facts {
  int streams;
  int symbols;  // V: input ids are in 0..V-1; 0: the input is features
  int inputs;   // features of a row of the input; 0: the input is ids
  int outputs;  // features of a row of the output; of the first, as above
  int input_count, output_count, state_count;
} saros_session_facts;

SAROS_API saros_session_facts saros_session_of(const saros_session *session);
/* What it steps, borrowed: saros_program_input and the like name its inputs,
** outputs and states. */
SAROS_API const saros_program *
saros_session_program(const saros_session *session);

/*
** One step of all streams, from features x (streams, inputs) or from ids
** (streams). The result is in saros_session_output. SAROS_EARGUMENT if the
** session takes the other kind of input or an id is out of range; SAROS_ESTATE
** if the open tape still needs the output of an earlier step. After an error
** the session is as it was.
*/
SAROS_API saros_status saros_session_step(saros_session *session,
                                          const saros_real *x);
SAROS_API saros_status saros_session_step_ids(saros_session *session,
                                              const int32_t *ids);

/*
** The same for any number of inputs, in the order of the program: 'inputs' has a
** pointer for each, to saros_real (streams, width) or to int32_t (streams) ids.
*/
SAROS_API saros_status
saros_session_step_inputs(saros_session *session, const void *const *inputs);

/* (streams, outputs), borrowed and always the same tensor: each step writes to
** it. Zeros before the first step and in rows that were reset. */
SAROS_API saros_tensor *saros_session_output(const saros_session *session);
/* The same of output 0..output_count-1, which is not checked. */
SAROS_API saros_tensor *saros_session_output_at(const saros_session *session,
                                                int output);

/* The softmax of each row of the output, in a tensor of the session's own that
** is borrowed likewise. SAROS_ESTATE if the open tape still needs it. */
SAROS_API saros_status saros_session_probabilities(saros_session *session,
                                                   saros_tensor **out);

/*
** How to choose an id from a row of logits; all 0 but 'size': the likeliest. The
** logits are changed in this order: repetition_penalty, bias, temperature; then
** top_k and top_p choose among what is likeliest.
*/
typedef struct saros_sampling {
  size_t size;         // sizeof(saros_sampling): fields that come later are 0
  double temperature;  // divides the logits; below FLT_MIN: the likeliest id
  int top_k;           // choose among the k likeliest; 0: all
  double top_p;        // among the likeliest that together reach p; 0: all
  // Added to the logits: outputs numbers for each row, 'bias_step' numbers after
  // those of the row before (0: the same for all). -INFINITY forbids an id. Null:
  // none.
  const saros_real *bias;
  size_t bias_step;
  // Logits of the ids of a row's history are divided by the penalty if they are
  // positive, else multiplied with it, each id once (Keskar et al. 2019). 0 or 1:
  // no penalty.
  double repetition_penalty;
  const int32_t
      *history;  // (streams, history_length); negative ones do not count
  size_t history_length;
} saros_sampling;

/* Chooses an id from each row of the output: ids (streams). The generator may
** be null where the likeliest is asked for. A logit of -inf is never chosen.
** SAROS_EARGUMENT if 'size' is 0 or a number of 'how' is negative or not finite,
** top_p is above 1, an id of the history is none of the outputs, or a row with its
** bias has NaN, inf, or nothing but -inf. */
SAROS_API saros_status saros_session_sample(saros_session *session,
                                            saros_generator *generator,
                                            const saros_sampling *how,
                                            int32_t *ids);

/* Back to the first states: one row in 0..streams-1, or all with -1. */
SAROS_API saros_status saros_session_reset(saros_session *session, int row);

/*
** State 0..state_count-1 of all streams, copied into a tensor (streams, width) or
** from one: so a layer that has read a long history at once hands over to a
** session, and back. The last steps of a window come in order, the oldest first,
** and attention's likewise, with how many of them there are. SAROS_EARGUMENT if
** there is no such state, or the tensor does not fit.
*/
SAROS_API saros_status saros_session_state(const saros_session *session,
                                           int state, saros_tensor *to);
SAROS_API saros_status saros_session_set_state(saros_session *session,
                                               int state, saros_tensor *from);
/* All of them; if one does not fit, nothing changes. */
SAROS_API saros_status saros_session_set_states(saros_session *session,
                                                saros_tensor *const *from);

/*
** The states and the outputs as bytes, for a file or for another session of the
** same model, in whatever way that keeps its weights, as they are not among the
** bytes. 'bytes' has room for saros_session_dump_size. Restoring goes on bit for
** bit if weights are kept in the same way; it trusts nothing:
** SAROS_EARGUMENT if the bytes are no dump, or that of another version, another
** element type or a model of other sizes, and then nothing changes.
*/
SAROS_API size_t saros_session_dump_size(const saros_session *session);
SAROS_API void saros_session_dump(const saros_session *session, void *bytes);
SAROS_API saros_status saros_session_restore(saros_session *session,
                                             const void *bytes, size_t size);

/* --- Files -------------------------------------------------------------------------- */

/*
** A file in safetensors format: named tensors and a metadata of strings.
** Reading never trusts the file: see saros_safetensors_read. Belongs to the
** caller once opened.
*/
typedef struct saros_archive saros_archive;

SAROS_API saros_status saros_archive_new(saros_context *context,
                                         saros_archive **out);
SAROS_API void saros_archive_release(saros_archive *archive);  // or null
/* Adds a tensor, which the archive retains, or a string. Names and keys are
** copied. SAROS_EARGUMENT unless each is UTF-8 and new, and a tensor is not
** called "__metadata__", which the format reserves. */
SAROS_API saros_status saros_archive_add(saros_archive *archive,
                                         const char *name,
                                         saros_tensor *tensor);
SAROS_API saros_status saros_archive_add_metadata(saros_archive *archive,
                                                  const char *key,
                                                  const char *value);
/* What was added or read, in that order; positions are not checked. */
SAROS_API int saros_archive_count(const saros_archive *archive);
SAROS_API const char *saros_archive_name(const saros_archive *archive, int at);
/* Borrowed. */
SAROS_API saros_tensor *saros_archive_tensor(const saros_archive *archive,
                                             int at);
SAROS_API int saros_archive_metadata_count(const saros_archive *archive);
SAROS_API const char *saros_archive_metadata_key(const saros_archive *archive,
                                                 int at);
SAROS_API const char *saros_archive_metadata_value(const saros_archive *archive,
                                                   int at);

/*
** The tensors and metadata of an archive, for contexts on any number of
** threads: one copy in memory, which nobody may write to. It has a context of
** its own, whose allocator must be one for all threads (null: realloc and
** free). The archive is borrowed for the call; errors are in its context.
**
** Operations read the elements where they are. Sessions whose stages have no
** tensors but these, each of them whole, read one packing, in whatever contexts
** and of however many streams they are. The first of them makes it, with the same
** allocator, and it stays as long as the elements do, so that nothing grows when
** sessions come and go. There is one for each list of stages and kind of weights,
** and 16 at most; beyond those, and for other stages, a session packs its own in
** its context.
*/
SAROS_API saros_status saros_shared_new(const saros_archive *archive,
                                        saros_allocator allocator, void *user,
                                        saros_shared **out);
/* From any thread. The last one to let go frees it: a caller, or a context in
** which a tensor of it or a session on it is left. */
SAROS_API saros_shared *saros_shared_retain(saros_shared *shared);
SAROS_API void saros_shared_release(saros_shared *shared);  // or null
/* Of tensors and packed weights; from any thread. */
SAROS_API size_t saros_shared_bytes(saros_shared *shared);

/* An archive, in the caller's context, of read-only tensors on the shared
** elements. May be called from any thread, each with its own context. */
SAROS_API saros_status saros_shared_archive(saros_shared *shared,
                                            saros_context *context,
                                            saros_archive **out);

/* Writes to a temporary file in the same folder, syncs it and renames it: a
** crash or an error at any instant leaves the old file or the new one.
** SAROS_EFILE names the path and the cause. */
SAROS_API saros_status saros_safetensors_write(const saros_archive *archive,
                                               const char *path);

/*
** Reads a file, strictly: header at most 100,000,000 bytes and a JSON object,
** names unique, metadata strings only, offsets from 0 without hole or overlap
** and ending exactly at the end of the file. F64, F32, F16 and BF16 are
** converted to saros_real; I64, I32, I16, I8, U8 and BOOL to ids where each
** value fits. Anything else is SAROS_EFILE with the reason. The tensors come in
** the order of their elements in the file.
*/
SAROS_API saros_status saros_safetensors_read(saros_context *context,
                                              const char *path,
                                              saros_archive **out);

/* A piece of a file of C source: text, or the elements of a tensor. */
typedef struct saros_piece {
  const char *text;            // null: the tensor's elements
  size_t size;                 // of the text, in bytes
  const saros_tensor *tensor;  // any shape; borrowed
} saros_piece;

/* Writes the pieces one after the other, elements as C99 literals that are
** exactly them (ids from 0; NAN and INFINITY are of math.h), with a comma after
** each. As with saros_safetensors_write, the file appears whole or not at all.
** SAROS_EFILE names the path and the cause. */
SAROS_API saros_status saros_write_source(saros_context *context,
                                          const char *path, int count,
                                          const saros_piece *pieces);

/* Makes a folder and those above it that are missing; one that is there is
** fine. SAROS_EFILE names the path and the cause; folders made so far stay. */
SAROS_API saros_status saros_make_folder(saros_context *context,
                                         const char *path);

/* Replaces a file in one instant, as saros_safetensors_write does, by 'size'
** bytes. SAROS_EFILE names the path and the cause; then the old file stays. */
SAROS_API saros_status saros_write_file(saros_context *context,
                                        const char *path, const void *bytes,
                                        size_t size);

/* --- Text ----------------------------------------------------------------------------- */

typedef enum saros_unit {
  SAROS_BYTES,       // all 256, nothing else
  SAROS_CHARACTERS,  // of UTF-8
  SAROS_WORDS,       // of UTF-8: words, signs, blanks; see saros_codec_space
  SAROS_BPE,         // byte-pair encoding: the bytes, and frequent pairs
  SAROS_UNITS
} saros_unit;

/* A text: a file, or bytes in memory if path is null. Of a file, which may be
** larger than memory, a part at a time is held; a UTF-8 byte order mark at its
** beginning is no text, unless it is read as bytes. */
typedef struct saros_text {
  const char *path;
  const char *bytes;
  size_t size;
} saros_text;

/*
** A codec knows the symbols of a vocabulary and turns text into their ids,
** 0..count-1. The concatenation of the symbols, with a space where
** saros_codec_space says so, is the text. New codecs of bytes and of BPE have the
** 256 bytes, others nothing.
*/
SAROS_API saros_status saros_codec_new(saros_context *context, saros_unit unit,
                                       saros_codec **out);
SAROS_API void saros_codec_release(saros_codec *codec);  // null is allowed

/* Adds a character, or a word of up to 128 bytes. SAROS_EARGUMENT if it is there
** already, or the unit has no such symbols. */
SAROS_API saros_status saros_codec_add(saros_codec *codec, const char *text,
                                       size_t size);
/* Words: adds "<unk>", which stands for all words that are not there. */
SAROS_API saros_status saros_codec_add_unknown(saros_codec *codec);
/* BPE: adds the symbol that a and then b make, of at most 128 bytes. */
SAROS_API saros_status saros_codec_merge(saros_codec *codec, int a, int b);

typedef struct saros_learning {
  int size;           // words: at most so many symbols, 0: all; BPE: so many
  int64_t min_count;  // words: those that occur so often
  int unknown;        // words: the last symbol is "<unk>"
} saros_learning;

/* The vocabulary of a text, which depends on nothing else. Words begin with the
** symbols " " and "", whether they occur or not. BPE ends before it has 'size'
** symbols if no pair occurs twice. SAROS_EARGUMENT for an empty text and, with
** line and column, for what is no UTF-8 where it has to be; SAROS_EFILE for what
** cannot be read. */
SAROS_API saros_status saros_codec_learn(saros_context *context,
                                         saros_unit unit,
                                         const saros_text *text,
                                         const saros_learning *wanted,
                                         saros_codec **out);

SAROS_API int saros_codec_count(const saros_codec *codec);
/* Borrowed until the next symbol is added; the id is not checked. */
SAROS_API const char *saros_codec_symbol(const saros_codec *codec, int id,
                                         size_t *size);
/* Whether a symbol is a merge of BPE, and of what. */
SAROS_API int saros_codec_parts(const saros_codec *codec, int id, int *a,
                                int *b);

/* Whether a space stands between two symbols; their ids are not checked. Only
** words have that: letters and digits, or "<unk>", behind letters and digits or
** one of , . ; : ! ? ). Where the text has no space there, the symbol "" is
** between them, so a word is one symbol wherever it stands. With after = -1:
** whether a space stands before letters and digits, if they are next. */
SAROS_API int saros_codec_space(const saros_codec *codec, int before,
                                int after);

/* The ids of a text: (N). SAROS_EARGUMENT names the symbols that are unknown,
** each with line and column, or the first of many. */
SAROS_API saros_status saros_codec_encode(saros_codec *codec,
                                          const saros_text *text,
                                          saros_tensor **out);

/* --- Token files ----------------------------------------------------------------------- */

/*
** A token file is a text as ids, of 16 bits where that is enough, else of 32:
**
**   8 bytes    "\x89saros\r\n"
**   4, 4       format, which is 1; bytes of an id, 2 or 4
**   8, 8       number of ids; how many of them, at the end, are held out
**   8, 8       number of symbols; bytes of the description
**   8          FNV-1a of the ids, each as one number
**   8          FNV-1a of the 56 bytes above and the description
**   ...        the description of the vocabulary
**   ...        the ids, from 0, to the end of the file; all is little-endian
*/
typedef struct saros_tokens saros_tokens;

/* Encodes a text, part by part, into a token file that appears under its name
** when it is complete. 'held_out' in [0, 1) is the fraction that is held out,
** to the nearest id; of 4 ids or more at least 2 are, and 2 are left, unless it
** is 0. Errors as above; then there is no new file. */
SAROS_API saros_status saros_tokens_write(saros_codec *codec,
                                          const saros_text *text,
                                          const char *path, double held_out,
                                          const char *description,
                                          uint64_t *count);

/* Opens a token file. SAROS_EFILE with the reason if it is none, or its header
** was changed, or its size is not what the header says. */
SAROS_API saros_status saros_tokens_open(saros_context *context,
                                         const char *path, saros_tokens **out);
SAROS_API void saros_tokens_release(saros_tokens *tokens);  // null is allowed

SAROS_API uint64_t saros_tokens_count(const saros_tokens *tokens);
SAROS_API uint64_t saros_tokens_held_out(const saros_tokens *tokens);
/* Tells apart token files of different ids. */
SAROS_API uint64_t saros_tokens_digest(const saros_tokens *tokens);
SAROS_API int saros_tokens_symbols(const saros_tokens *tokens);
SAROS_API const char *saros_tokens_description(const saros_tokens *tokens,
                                               size_t *size);

/*
** Ids as inputs (T, B) and the ids behind them as targets: inputs[t][b] is
** number first + b * stride + t. They are read from the file now: nothing is
** mapped, so a file that shrinks is an error (SAROS_EFILE) and no signal, and
** so is an id that is no symbol. SAROS_EARGUMENT beyond the last id.
*/
SAROS_API saros_status saros_tokens_window(saros_tokens *tokens, uint64_t first,
                                           uint64_t stride, int T, int B,
                                           saros_tensor **inputs,
                                           saros_tensor **targets);

/* --- Lua ---------------------------------------------------------------------------- */

/* Opens the toolkit in a Lua 5.4 state: leaves the table that require "saros"
** returns. Its context takes its memory from the state's allocator. */
struct lua_State;
SAROS_API int luaopen_saros(struct lua_State *L);

/* In a host luaopen_saros is this function, which raises an error first if the
** host was compiled for another library (see saros_check_build). */
SAROS_API void saros_check_host(struct lua_State *L, int version,
                                size_t real_size);
static inline int saros_luaopen(struct lua_State *L) {
  saros_check_host(L, SAROS_VERSION_NUMBER, sizeof(saros_real));
  return luaopen_saros(L);
}
#define luaopen_saros saros_luaopen

/*
** The same without some capabilities (SAROS_NO_FILES, ...). Scripts cannot get
** them back, whatever they require. Pushes the table; raises what opening
** raises. For a script without any way to files the host must not open Lua's
** own 'io', 'os' and 'package' either: base, string, table, math and coroutine
** are enough for the toolkit.
*/
SAROS_API void saros_open_without(struct lua_State *L, int without, int version,
                                  size_t real_size);
static inline void saros_open(struct lua_State *L, int without) {
  saros_open_without(L, without, SAROS_VERSION_NUMBER, sizeof(saros_real));
}

/* The context of a state in which the toolkit was opened, else null. */
SAROS_API saros_context *saros_context_in(struct lua_State *L);

/* Pushes a tensor of that context; the script has a reference of its own.
** Raises an error if Lua has no memory for that. */
SAROS_API void saros_push_tensor(struct lua_State *L, saros_tensor *tensor);

/* The tensor at an index of the stack, borrowed for as long as it is there and
** no script runs that could close it; null if it is anything else. */
SAROS_API saros_tensor *saros_to_tensor(struct lua_State *L, int index);

/* Pushes two tables, as saros.safetensors.read returns them: tensors by name,
** read-only, and metadata. saros.load(tensors, metadata) is then the model that
** was saved, without a copy of its weights; net:adopt(tensors) does the same for
** a chain that a script puts together, where net:load(tensors) copies. Raises an
** error without memory. */
SAROS_API void saros_push_shared(struct lua_State *L, saros_shared *shared);

#ifdef __cplusplus
}
#endif

#endif
