/*
** One run of a compiled loop over a window of T steps and B rows.
*/
#ifndef LOOP_WINDOW_H
#define LOOP_WINDOW_H

#include "loop.h"

/* All tensors of a window are in one list, which the tape saves. */
typedef struct loop_window {
  loop_plan *plan;
  saros_context *context;
  const kernels *kernels;
  int T, B;
  const char *given;       // by state: its first rows were given
  saros_tensor **t;        // all of them: see loop_window_size
  saros_tensor **outside;  // by number; invariants are contiguous
  saros_tensor **first;    // by state: (B, w)
  saros_tensor **factor;   // by number: (T, B, w) or (B, w), or null
  saros_tensor **mask;     // one: (T, B), or null
  saros_tensor **keep;     // one: (T, B), or null
  saros_tensor **holder;   // one: keeps the plan for the tape
  saros_tensor **kept;     // (T, B, w) of the way forward

  // of the backward pass
  saros_tensor **dvalue;  // by wanted value: (T, B, w)
  saros_tensor **dkept;   // (T, B, w)
  saros_tensor **dstate;  // two (B, w) for each state, in turn
  double *sums;           // of invariants' gradients, one list for each block
  int blocks;             // of rows
} loop_window;

/* An array in memory: element (t, row, k) is data[t * time + row * ld + k]. */
typedef struct loop_bound {
  real *data;
  ptrdiff_t time, ld;
} loop_bound;

/* A block of rows at one time step, on which the steps of a code work. */
typedef struct loop_block {
  const struct loop_walk *walk;
  int row, rows;    // of the batch
  int backwards;    // at every other step: how large matrices are read
  real **base;      // by array: its first row of the block
  real *scratch;    // for LOOP_ARRAY_SCRATCH
  real *registers;  // of chains
} loop_block;

/* The walk of a code through a window. */
typedef struct loop_walk {
  const loop_window *window;
  const loop_code *code;
  const kernels *kernels;
  int back;  // from the last step of the walk to the first
  int rows;  // of the batch in a block
  int blocks, alone;
  double work;             // of all steps and rows, in multiply-adds
  loop_bound *bound;       // by array
  ptrdiff_t *ld;           // by array
  product_packed *packed;  // by step of the code: of products
  real *numbers;           // by value: constants
  char *memory;            // of all blocks
  size_t block_size;       // bytes
} loop_walk;

/* Elements of a strip, and so of a register. */
#define LOOP_STRIP 1024

/* More strips beside the registers: for contiguous copies of operands, and for a
** result. */
#define LOOP_SPARE 4

int loop_window_size(const loop_plan *plan);
/* Sets the named pointers to their places in w->t. */
void loop_window_name(loop_window *w);

/* Runs a code over the window. */
saros_status loop_walk_run(loop_window *w, const loop_code *code, int back);
/* A state of all rows before step t; its rows are contiguous. */
const real *loop_state_before(const loop_window *w, int state, int t);
/* The step before t in the direction of the loop; -1 if t is the first. */
int loop_step_before(const loop_window *w, int t);

void loop_chain_run(const loop_block *b, const loop_step *step);
void loop_row_run(const loop_block *b, const loop_step *step);

/* After the backward walk: the gradients of the tensors that the window read. */
saros_status loop_gradients(const tape_entry *e, loop_window *w);

/* The weights (n, k) of a LINEAR or LIFTED value as one matrix, and its bias (n) or
** null. They point into its tensors if it has only one of each, else into 'own',
** which the caller returns to the pool. */
typedef struct loop_matrix {
  const real *data, *bias;
  int ld;
  real *own;
} loop_matrix;
saros_status loop_weights(const loop_window *w, int linear, loop_matrix *out);

/* Computes a LIFTED product for all steps. */
saros_status loop_lift(const loop_window *w, int lifted);

static inline real *loop_at(const loop_block *b, loop_place place) {
  return b->base[place.array] + place.column;
}

#endif
