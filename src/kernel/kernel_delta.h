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

typedef struct kernel_delta_sizes {
  int heads, K, V;
  int reflections;  // n: micro-steps of a step
  int channels;     // decay has K numbers a head; 0: one
} kernel_delta_sizes;

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
} kernel_delta_gradients;

/* Steps of one head, together at most KERNEL_DELTA_MOST micro-steps, or one step. */
typedef struct kernel_delta_chunk {
  const kernel_delta_sizes *sizes;
  kernel_delta_lengths length;
  kernel_delta_inputs x;  // of all rows
  int head, steps;
  const size_t *row;    // (steps): the row of each step, in order
  const size_t *ahead;  // rows to fetch meanwhile: of the chunk that comes next
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
