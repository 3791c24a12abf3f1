/*
** The recurrent layer. A recurrence is one pass of a layer over one sequence,
** forward (recurrent.c, recurrent_walk.c) or backward (recurrent_backward.c). The
** cell defines the step; each family of cells has a file in cells/. The code here
** distinguishes cells only by the fields of their recurrent_cell.
**
** Letters: T steps, B rows, I input features, H hidden units, P the size of h
** (H, or what the LSTM projects to), G gates.
*/
#ifndef RECURRENT_H
#define RECURRENT_H

#include "op.h"

/* Tensors that a recurrence holds. Those that may be absent are null. */
enum {
  // given, with a gradient
  R_X,            // (T, B, I), or ids (T, B) with a table
  R_H_FIRST,      // (B, P)
  R_C_FIRST,      // (B, H)
  R_WEIGHT_IH,    // (G H, I)
  R_WEIGHT_HH,    // (G H, P)
  R_BIAS_IH,      // (G H)
  R_BIAS_HH,      // (G H)
  R_WEIGHT_HR,    // (P, H)
  R_PEEPHOLE,     // (3, H)
  R_NORM_GAIN,    // (G H)
  R_NORM_BIAS,    // (G H)
  R_NORM_C_GAIN,  // (H)
  R_NORM_C_BIAS,  // (H)
  R_TABLE,        // (V, G H)
  R_NU,           // (H / 2)
  R_THETA,        // (H / 2)
  R_PARAMETERS,   // R_WEIGHT_IH up to here: what a cell node of a program has
  R_H_RESTART = R_PARAMETERS,  // (P) h with which a row starts again
  R_C_RESTART,                 // (H) c of the same
  R_INPUTS,

  // given, without a gradient
  R_MASK = R_INPUTS,  // (T, B)
  R_RESET,            // (T, B)
  R_DROPOUT,          // (B, P)
  R_ZONEOUT_H,        // (T, B, P)
  R_ZONEOUT_C,        // (T, B, H)
  R_GIVEN,

  // computed, one row for each step and row of the batch
  R_Y = R_GIVEN,  // (T, B, P)
  R_H_AFTER,  // (T, B, P) state after the step; y itself if nothing is masked
  R_C_AFTER,  // (T, B, H) the same of c
  R_GATES,    // (T, B, G H) activations; Elman's are h itself where they can be
  R_U,        // (T, B, G H) U h + b', where the cell needs it by itself; of the
              // present step alone, (B, G H), if u_n is all that it needs later
  R_U_N,      // (T, B, H) n's part of it
  R_V,        // the same as u after layer norm; u itself without
  R_V_MEAN,   // (T, B)
  R_V_RSTD,   // (T, B)
  R_C_NEW,    // (T, B, H) c before zoneout and mask; c itself without
  R_C_SEEN,   // (T, B, H) what the tanh sees: c_new after layer norm, if any
  R_C_MEAN,   // (T, B)
  R_C_RSTD,   // (T, B)
  R_KEEP,     // (T, B) 0 before steps at which the walk starts again, if any
  R_H_BEFORE,  // (T, B, P) h before the step, where rows start again
  R_C_BEFORE,  // (T, B, H) the same of c
  R_READ,      // (T, B, P) what the product reads, where there is dropout
  R_INNER,     // (T, B, H) o tanh(c) before projection; r h before the product
  R_DECAY,     // (H) pairs: the factor of h(t-1), where it is always the same
  R_TENSORS
};

typedef struct recurrence recurrence;
typedef struct recurrent_step recurrent_step;

/*
** A cell. Hooks that are null do nothing.
**
** 'reason' tells in messages why the cell does not have a tensor that others have;
** without it the message lists the names that the cell has.
*/
typedef struct recurrent_cell {
  saros_cell_facts facts;
  const char *const *needed;  // parameters that must be there; null: none
  int multiple;  // H is one of this: 2 where units are complex numbers; 0: any
  int separate;  // U h is needed by itself, in u; backward needs its last gate
  int in_parts;  // the product for the last gate reads 'inner', which must be
                 // computed first; so U is packed in two parts
  int positive;  // the candidate is made positive; see kernel.h
  const struct session_cell *session;  // what it does in sessions; session.h
  const char *(*reason)(int which);
  /* Makes the arrays that only this cell has, before the forward walk and before
  ** the backward one. */
  saros_status (*make)(recurrence *r);
  saros_status (*make_gradients)(recurrence *r);
  /* Computes h and c_new from gates (W x + b) and the states before. */
  void (*forward)(const recurrence *r, const recurrent_step *s);
  /* Computes da and du from dh and dc; adds to dread, dh_before and dc_before. */
  void (*backward)(const recurrence *r, const recurrent_step *s);
  /* After the backward walk: gradients of parameters that only this cell has. */
  saros_status (*add_gradients)(const tape_entry *e, const recurrence *r);
} recurrent_cell;

extern const recurrent_cell *const recurrent_cells[SAROS_CELLS];

/* decay (H): e^(i e^theta - e^nu) as pairs of real and imaginary part.
** (cells/cell_lru.c) */
void recurrent_decay(real *decay, const real *nu, const real *theta, int H);

/* A tensor that is given to a layer: its name, for messages and, if it is a
** parameter, for callers; and its shape in the letters above, where A is G H and h
** is H / 2. */
typedef struct recurrent_given {
  const char *name, *shape;
} recurrent_given;

extern const recurrent_given recurrent_givens[R_GIVEN];

/* The sizes that the letters of a parameter's shape stand for. */
typedef struct recurrent_sizes {
  int64_t G, H, P, I;
} recurrent_sizes;

/* The size that a letter or a digit of a parameter's shape stands for. */
int64_t recurrent_size(char letter, const recurrent_sizes *s);

/* The index of the parameter of that name, R_WEIGHT_IH..R_C_RESTART; -1: none. */
int recurrent_parameter(const char *name);
int recurrent_has_parameter(const recurrent_cell *cell, const char *name);

/* The matrices that a walk multiplies by, packed. */
enum {
  RECURRENT_U,       // of all gates, or but for the last one if made in parts
  RECURRENT_U_LAST,  // of the last one in the latter case
  RECURRENT_R,       // weight_hr
  RECURRENT_PRODUCTS
};

struct recurrence {
  const recurrent_cell *cell;
  saros_context *context;
  const kernels *kernels;
  int T, B, I, H, P, G;
  int rows;   // of the batch in a block
  int units;  // of h in a block: P, unless a block has one row of a linear cell
  int alone;  // there is only one block, so threads may share its products
  int reverse;
  int begins[SAROS_MAX_STATES];  // true if no first state was given
  saros_tensor *t[R_TENSORS];
  product_packed packed[RECURRENT_PRODUCTS];  // for the current walk

  // of the backward pass
  saros_tensor *dy;     // (T, B, P)
  saros_tensor *da;     // (T, B, G H) gradient of W x + b
  saros_tensor *du;     // of U h + b', shaped as u; da itself if not separate
  saros_tensor *dh[2];  // (B, P) after and before the step, in turn
  saros_tensor *dc[2];  // (B, H)
  saros_tensor *dh_restart;  // (B, P) sum over the starts in a row
  saros_tensor *dc_restart;  // (B, H) the same of c
  saros_tensor *dread;       // (B, P) if there is dropout
  saros_tensor *dinner;      // (B, H) if there is 'inner'
  saros_tensor *dh_new;      // (T, B, P) of the projection's result
  saros_tensor *dc_seen;     // (T, B, H) if c is normalised
};

/* The arrays of a recurrence at one step, for one block of rows, or of units of
** a row: arrays of units begin at the first. */
struct recurrent_step {
  int rows, unit, units;
  int backwards;  // of every other step: how large matrices are read
  const real *h_before, *c_before, *read, *mask, *zoneout_h, *zoneout_c;
  real *h, *c, *gates, *u, *u_n, *v, *v_mean, *v_rstd;
  real *c_new, *c_seen, *c_mean, *c_rstd, *inner;
  real *da, *du, *dh, *dc, *dh_before, *dc_before, *dread, *dinner;
  real *dc_seen, *dh_new;
  const real *ahead;  // gates of the next step, to prefetch; may be null
};

/* Layer norm inside a step uses PyTorch's epsilon. */
#define RECURRENT_NORM_EPSILON 1e-5

/* --- Checks (recurrent_check.c) ------------------------------------------------- */

/* Takes the parameters by name into r->t. */
saros_status recurrent_take(recurrence *r, const saros_named_tensor *parameters,
                            int count);
/* Checks that all given tensors fit together; sets T, B, I, H and P. */
saros_status recurrent_check(recurrence *r);

/* Why a cell that is linear in its state has no such tensor; null: no reason. */
const char *recurrent_linear_reason(int which);

/* --- Arrays (recurrent.c) --------------------------------------------------------- */

/* Makes array 'which': (T, B) if rank is 2, else (T, B, width). */
saros_status recurrent_make(recurrence *r, int which, int rank, int width);
/* Makes array 'which' if needed, else lets it share the array 'other'. */
saros_status recurrent_make_or_share(recurrence *r, int which, int needed,
                                     int width, int other);
/* Mean and reciprocal deviation of a layer norm. */
saros_status recurrent_make_norm(recurrence *r, int mean, int rstd);

/* --- The product of the state (recurrent_product.c) ------------------------------- */

/* The elements of a tensor; null if it is not there. */
static inline const real *recurrent_reals(const recurrence *r, int which) {
  return r->t[which] ? tensor_reals(r->t[which]) : NULL;
}

/* True if all products of a walk are packed: three steps repay packing in any case.
*/
int recurrent_is_packed(const recurrence *r);

/* Packs the matrices for the forward walk, or for the backward walk, if there are
** enough steps to repay the packing; with U b', if the product starts from b'. */
saros_status recurrent_pack(recurrence *r, int backward);
void recurrent_unpack(recurrence *r);

/* Adds U read to the gates, or stores it in u, and in v after layer norm. */
void recurrent_project(const recurrence *r, const recurrent_step *s);
/* Computes du and dread from dv, the gradient of v. Without layer norm du is dv. */
void recurrent_unproject(const recurrence *r, const recurrent_step *s,
                         const real *dv);
/* out (rows, G H) = U read + beta out for gates first..first + count - 1. */
void recurrent_multiply_gates(const recurrence *r, const recurrent_step *s,
                              real *out, const real *read, int first, int count,
                              real beta);
/* dread = du U + beta dread for these gates of du. */
void recurrent_unmultiply_gates(const recurrence *r, const recurrent_step *s,
                                real *dread, int first, int count, real beta);
/* h = inner R^T for R, weight_hr; and dinner = dh R. */
void recurrent_project_output(const recurrence *r, const recurrent_step *s);
void recurrent_unproject_output(const recurrence *r, const recurrent_step *s);

/* --- The walk (recurrent_walk.c) ---------------------------------------------------- */

/* True if new states are mixed with old ones. */
int recurrent_is_blended(const recurrence *r);
/* The step before t in the direction of the walk; -1 if t is the first. */
int recurrent_step_before(const recurrence *r, int t);
/* The rows of a state before step t, from 'row' on, each of 'width' elements: from
** the array 'state' of the step before, or from 'first'. */
const real *recurrent_state_before(const recurrence *r, int state, int first,
                                   int t, int row, int width);

saros_status recurrent_walk_forward(const recurrence *r);
/* Sets *dh and *dc to the gradients of the first states, borrowed from r. */
saros_status recurrent_walk_backward(const recurrence *r, saros_tensor **dh,
                                     saros_tensor **dc);

/* --- The backward pass (recurrent_backward.c) -------------------------------------- */

saros_status recurrent_backward(const tape_entry *e);

/* An uninitialised array, (T, B, width) if rank is 3, or (B, width): the walk must
** write to it before it reads it. */
saros_status recurrent_scratch(const recurrence *r, int rank, int width,
                               saros_tensor **out);
/* The state of H units that step t read: in the array 'restart' if there is one,
** else in 'left', the states after each step, or in 'first'. */
const real *recurrent_state_seen(const recurrence *r, int t, int restart,
                                 int left, int first);
/* Adds x to the factors of a sum; its rows from sum->split on are the second part. */
void recurrent_add_factor(product_outer_sum *sum, const real *x, int n,
                          real *target, real beta);
/* Adds the gradients of gain and bias of a norm; dy is the gradient of its result.
** array: R_... of its gain, its input, the mean and the reciprocal deviation. */
saros_status recurrent_add_norm(const recurrence *r, tensor_node *gain,
                                tensor_node *bias, const saros_tensor *dy,
                                const int array[4]);

#endif
