/*
** What the files that run a program over whole sequences share.
**
** The value of a node is (T, B, width), ids are (T, B), and an invariant has any
** shape with 'width' elements, usually that of its parameter. In the loop over
** steps of program_unroll.c there is no axis T. 'lead' is the list of these first
** axes.
*/
#ifndef PROGRAM_RUN_H
#define PROGRAM_RUN_H

#include "loop.h"

/* Replaces the tensor that x owns by the result of an operation on it, which the
** call stores in &made. Gives the status of the call; on failure x is null. */
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

/* The program in which a product of a concatenation is a sum of products, so that
** only those that depend on a state stay in a loop. It is made once; the reference
** is borrowed. (program_split.c) */
saros_status program_sequence(saros_program *p, saros_program **out);

/* --- Values of nodes (program_value.c) ------------------------------------------ */

/* x with the shape (its first 'lead' axes, tail...); lead is 0 for invariants. */
saros_status program_reshape(saros_tensor *x, int lead, int rank,
                             const int *tail, saros_tensor **out);

/* An invariant as a row of its elements; any other value as it is. */
saros_status program_flat(const program_node *n, saros_tensor *x,
                          saros_tensor **out);

/* The value of a node for every row: invariants are repeated. */
saros_status program_spread(const program_node *n, const program_lead *lead,
                            saros_tensor *x, saros_tensor **out);

/* z a + (1 - z) b */
saros_status program_blend(saros_tensor *z, saros_tensor *a, saros_tensor *b,
                           saros_tensor **out);

/* The value of a node that has no state; x: the values of its operands. */
saros_status program_evaluate(const saros_program *p, const program_node *n,
                              const program_lead *lead, saros_tensor *const *x,
                              saros_tensor **out);

/* --- Nodes with states of their own (program_keeper.c) ---------------------------- */

typedef struct program_walk {
  const saros_program *p;
  int T, B;
  saros_tensor *mask, *reset;  // (T, B), or null
  int reverse;
  saros_generator *generator;  // may be null if nothing is drawn
} program_walk;

/*
** A window, cell, attention or delta node over T steps. x: the values of its operands,
** (T, B, w) and invariants; state (B, w) or nulls: 'first' of each of its states,
** which are invariants or null (zeros). A cell's dropout has one mask for the walk.
** Out: y (T, B, width) and the last states.
*/
saros_status program_keep(const program_walk *walk, const program_node *n,
                          saros_tensor *const *x, saros_tensor *const *state,
                          saros_tensor *const *first, saros_tensor **y,
                          saros_tensor **last);

/* What a dropout node multiplies by in this window: (T, B, w), or (B, w) for all
** steps; null where it lets all through. With 'by_step' as steps that are run one
** after the other draw it, else as one operation on the window does. */
saros_status program_node_dropout(const program_walk *walk,
                                  const program_node *n, int by_step,
                                  saros_tensor **out);

/* For each step, the values of x (T, B, F) from (taps - 1) dilation, ..., dilation
** and 0 steps before, concatenated. */
saros_status program_window(const program_walk *walk, int taps, int dilation,
                            saros_tensor *x, saros_tensor *state,
                            saros_tensor **y, saros_tensor **last);

/* Attention over the last steps. (program_attention.c) */
saros_status program_attend(const program_walk *walk, const program_node *n,
                            saros_tensor *const *x, saros_tensor *const *state,
                            saros_tensor **y, saros_tensor **last);

/* A delta node: a matrix of each head as the state. (program_delta.c) */
saros_status program_delta(const program_walk *walk, const program_node *n,
                           saros_tensor *const *x, saros_tensor *state,
                           saros_tensor *first, saros_tensor **y,
                           saros_tensor **last);

/* A tensor that is filled with a value. */
saros_status program_filled(saros_context *context, double value, int rank,
                            const int *shape, saros_tensor **out);

/* The factors of dropout, of the given shape; ones if dropout does not act. */
saros_status program_dropout(saros_context *context, double p,
                             saros_generator *generator, int rank,
                             const int *shape, saros_tensor **out);

/* --- The reference loop (program_unroll.c) ----------------------------------------- */

/* The same as loop_run by ordinary operations, step by step, for every kind of
** component. A state may also be read or written only outside the component. */
saros_status program_unroll(saros_context *context, const loop_spec *spec,
                            int T, int B, saros_tensor *const *outside,
                            saros_tensor *const *first, const loop_options *how,
                            saros_generator *generator, saros_tensor **values,
                            saros_tensor **last);

#endif
