/*
** A part of kernel.h: matrix states with the delta rule.
*/
#ifndef KERNEL_DELTA_H
#define KERNEL_DELTA_H

/* --- The delta rule (delta.c) -------------------------------------------- */

/* Micro-steps of a chunk, at most; reflections of a step, at most. */
#define KERNEL_DELTA_MOST 64

/* In chunks, rows of M and of scratch are padded to a multiple of this. */
#define KERNEL_DELTA_BLOCK 16
#define KERNEL_DELTA_PADDED(n)                                                 \
  (((n) + KERNEL_DELTA_BLOCK - 1) & -KERNEL_DELTA_BLOCK)

/* Taps of a convolution, at most. */
#define KERNEL_DELTA_TAPS 16

enum { KERNEL_DELTA_Q, KERNEL_DELTA_K, KERNEL_DELTA_V, KERNEL_DELTA_STREAMS };

typedef struct kernel_delta_sizes {
  int heads, K, V;
  int reflections;  // n: micro-steps of a step
  int channels;     // decay has K numbers a head; 0: one
  int taps;         // of the convolutions of q, k and v; 0: there are none
  int is_convolved[KERNEL_DELTA_STREAMS];  // which of them have one
} kernel_delta_sizes;

/*
** What is convolved of a head lies side by side, in a row of P columns:
**
**   block     0   1 .. n                 n + 1 .. 2 n
**   holds     q   k of each reflection   v of each reflection
**
** padded each, and of width 0 where nothing is convolved.
*/
typedef struct kernel_delta_block {
  int stream, n;     // of q, k or v; features, without padding
  ptrdiff_t at;      // its first column
  size_t from, row;  // its first feature, and all features, of its stream
} kernel_delta_block;

static inline kernel_delta_block
kernel_delta_block_of(const kernel_delta_sizes *s, int head, int block) {
  const size_t n = (size_t)s->reflections, H = (size_t)s->heads;
  const size_t K = (size_t)s->K, V = (size_t)s->V;
  const ptrdiff_t q = s->is_convolved[0] ? KERNEL_DELTA_PADDED(s->K) : 0;
  const ptrdiff_t k = s->is_convolved[1] ? KERNEL_DELTA_PADDED(s->K) : 0;
  const ptrdiff_t v = s->is_convolved[2] ? KERNEL_DELTA_PADDED(s->V) : 0;
  const int j = block <= s->reflections ? block - 1 : block - 1 - (int)n;
  const size_t at = (size_t)(block > 0 ? j : 0) * H + (size_t)head;
  if (block == 0)
    return (kernel_delta_block){KERNEL_DELTA_Q, q ? s->K : 0, 0, at * K, H * K};
  if (block <= s->reflections)
    return (kernel_delta_block){KERNEL_DELTA_K, k ? s->K : 0, q + j * k, at * K,
                                n * H * K};
  return (kernel_delta_block){KERNEL_DELTA_V, v ? s->V : 0,
                              q + s->reflections * k + j * v, at * V,
                              n * H * V};
}

/* How many blocks, and columns P. */
static inline int kernel_delta_blocks(const kernel_delta_sizes *s) {
  return s->taps > 0 ? 1 + 2 * s->reflections : 0;
}

static inline ptrdiff_t kernel_delta_columns(const kernel_delta_sizes *s) {
  const kernel_delta_block end =
      kernel_delta_block_of(s, 0, 1 + 2 * s->reflections);
  return s->taps > 0 ? end.at : 0;
}

/* Short causal convolutions of q, k and v: what the delta rule reads of them is
** f(the sum over j of tap j times the row k - 1 - j steps before). */
typedef struct kernel_delta_convolution {
  int has_silu;         // f is silu, or nothing
  const real *weights;  // (heads, taps, P), with zeros between the blocks
  const real *memory[KERNEL_DELTA_STREAMS];  // of the row: (taps - 1, features)
                                             // before the walk, or null: zeros
  const ptrdiff_t
      *past;  // (taps - 1): of the steps before the chunk the source, or
              // -1 for zeros, or -2 - place of the memory
} kernel_delta_convolution;

/* A vector x of q or k of a head is taken as length x / sqrt(x . x + epsilon); as it
** is where its length is 0. */
typedef struct kernel_delta_lengths {
  real q, k, epsilon;
} kernel_delta_lengths;

/* Of all heads of one row, or of many rows. Reflections lie side by side, the
** first one first: k (n, heads, K), v (n, heads, V), write and erase (n, heads). */
typedef struct kernel_delta_inputs {
  const real *q;  // (heads, K)
  const real *k, *v;
  const real *write;  // null: ones
  const real *erase;  // null: nothing is erased
  const real *decay;  // logarithms, (heads) or (heads, K); null: nothing decays
} kernel_delta_inputs;

/* Gradients of the same shapes; null where they are not wanted. */
typedef struct kernel_delta_gradients {
  real *q, *k, *v, *write, *erase, *decay;
  int is_fresh;  // q, k and v are to be written, not added to

  // with convolutions, of one row and head:
  real *
      carry;  // (taps - 1, P): of the sums of the first steps after the chunk, in
              // place: then of the chunk's own
  double *taps;  // (taps, P), to add to; may be null
} kernel_delta_gradients;

/* Steps of one head, together at most KERNEL_DELTA_MOST micro-steps, or one step. */
typedef struct kernel_delta_chunk {
  const kernel_delta_sizes *sizes;
  kernel_delta_lengths length;
  kernel_delta_inputs x;                 // of all rows
  kernel_delta_convolution convolution;  // if there are taps
  int head, steps;
  const size_t *row;  // (steps): the row of each step, in order
  const size_t
      *source;  // the same of q, k and v, whose rows are of tables or 'row'
  const size_t *ahead;  // rows to fetch meanwhile: of the chunk that comes next
  int fetches_sources;  // those of q, k and v are the same
  int ahead_head, ahead_steps;
} kernel_delta_chunk;

/*
** M (K, V) is the state of a head. A step is n micro-steps, j = 1..n:
**
**   M = diag(exp(decay)) M                        for j = 1
**   u = write_j v_j - erase_j (k_j^T M),   M = M + k_j u^T
**   y = q^T M                                     after the last
*/
typedef struct delta_kernels {
  /* One step of all heads of one row: y (heads, V), and m (heads, K, V) in place,
  ** neither of them padded. Vectors are taken as they are. */
  void (*step)(real *y, real *m, const kernel_delta_inputs *x,
               const kernel_delta_sizes *s);

  /* Elements that 'kept' and 'scratch' below take for chunks of so many steps, at
  ** most. Memory is aligned to 64 bytes. */
  size_t (*room)(const kernel_delta_sizes *s, int steps);
  size_t (*backward_room)(const kernel_delta_sizes *s, int steps);

  /* The steps of a chunk: y (rows, heads, V), and the state from m to 'next', both
  ** (K, KERNEL_DELTA_PADDED(V)) with zeros at the end of rows. next may be m; null:
  ** it is not wanted, and so is y. 'kept' is for the way back. */
  void (*forward)(real *y, real *next, const real *m, real *kept,
                  const kernel_delta_chunk *x);

  /* Adds the gradients of a chunk's inputs to d; dm, that of the state after it,
  ** becomes that of the state before. dy (rows, heads, V) may be null. m is the
  ** state before the chunk. */
  void (*backward)(const kernel_delta_gradients *d, const real *dy, real *dm,
                   const real *m, real *kept, real *scratch,
                   const kernel_delta_chunk *x);
} delta_kernels;

#endif
