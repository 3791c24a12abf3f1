/*
** What the files that run a program over whole sequences share.
**
** The value of a node is (T, B, width), ids are (T, B), and an invariant has any
** shape of 'width' elements: mostly that of its parameter. Inside the loop over
** steps (program_unroll.c) T is missing. 'lead' stands for these first axes.
*/
#ifndef PROGRAM_RUN_H
#define PROGRAM_RUN_H

#include "loop.h"

/* Replaces the tensor that x owns by what an operation makes of it: the call
** leaves that in &made. Its status; on failure x is null. */
#define PROGRAM_MAKE(x, call)                                                  \
  ({                                                                           \
    saros_tensor *made = NULL;                                                 \
    saros_status made_status_ = (call);                                        \
    saros_tensor_release(x);                                                   \
    (x) = made;                                                                \
    made_status_;                                                              \
  })

typedef struct program_lead {
  int rank;
  int shape[2];  // (T, B), or (B)
} program_lead;

/* The program with products of concatenations split, so that loops are left with
** what a state reaches: made once, and borrowed. (program_split.c) */
saros_status program_sequence(saros_program *p, saros_program **out);

/* --- Values of nodes (program_value.c) ------------------------------------------ */

/* x with its last axis, or all of an invariant, as (lead, tail...). */
saros_status program_reshape(saros_tensor *x, int lead, int rank,
                             const int *tail, saros_tensor **out);

/* An invariant as a row of its elements; any other value as it is. */
saros_status program_flat(const program_node *n, saros_tensor *x,
                          saros_tensor **out);

/* The value of a node with all its rows. */
saros_status program_spread(const program_node *n, const program_lead *lead,
                            saros_tensor *x, saros_tensor **out);

/* z a + (1 - z) b */
saros_status program_blend(saros_tensor *z, saros_tensor *a, saros_tensor *b,
                           saros_tensor **out);

/* The value of a node whose operands are all that it depends on; x: theirs. */
saros_status program_evaluate(const saros_program *p, const program_node *n,
                              const program_lead *lead, saros_tensor *const *x,
                              saros_tensor **out);

/* --- Nodes that keep states by themselves (program_keeper.c) ----------------------- */

typedef struct program_walk {
  const saros_program *p;
  int T, B;
  saros_tensor *mask, *reset;  // (T, B), or null
  int reverse;
  saros_generator *generator;  // may be null where nothing is drawn
} program_walk;

/*
** A window, cell or attention node over T steps. x: the values of its operands,
** (T, B, w) and invariants; state (B, w) or nulls: 'first' of each of its states,
** which are invariants or null (zeros). dropout: of a cell, see
** program_cell_dropout. Out: y (T, B, width) and the last states.
*/
saros_status program_keep(const program_walk *walk, const program_node *n,
                          saros_tensor *const *x, saros_tensor *const *state,
                          saros_tensor *const *first, saros_tensor *dropout,
                          saros_tensor **y, saros_tensor **last);

/* What a cell's product reads of h in this window: (B, P), or null. */
saros_status program_cell_dropout(const program_walk *walk,
                                  const program_node *n, saros_tensor **out);

/* What a dropout node multiplies by in this window: (T, B, w), or (B, w) for all
** steps; null where it lets all through. */
saros_status program_node_dropout(const program_walk *walk,
                                  const program_node *n, saros_tensor **out);

/* Values of x (T, B, F) at (taps - 1) dilation, ..., 0 steps before, one after the
** other, along the walk. */
saros_status program_window(const program_walk *walk, int taps, int dilation,
                            saros_tensor *x, saros_tensor *state,
                            saros_tensor **y, saros_tensor **last);

/* Attention over the last steps. (program_attention.c) */
saros_status program_attend(const program_walk *walk, const program_node *n,
                            saros_tensor *const *x, saros_tensor *const *state,
                            saros_tensor **y, saros_tensor **last);

/* A tensor that is filled with a value. */
saros_status program_filled(saros_context *context, double value, int rank,
                            const int *shape, saros_tensor **out);

/* What dropout multiplies the values of a node by: of the shape, or ones. */
saros_status program_dropout(saros_context *context, double p,
                             saros_generator *generator, int rank,
                             const int *shape, saros_tensor **out);

/* --- The reference loop (program_unroll.c) ----------------------------------------- */

/* As loop_run, by ordinary operations step by step, for whatever a component
** may hold; the states may also be read or written outside alone. */
saros_status program_unroll(saros_context *context, const loop_spec *spec,
                            int T, int B, saros_tensor *const *outside,
                            saros_tensor *const *first, const loop_options *how,
                            saros_generator *generator, saros_tensor **values,
                            saros_tensor **last);

#endif
