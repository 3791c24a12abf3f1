/*
** What the files of the recurrent layer share: a recurrence is one layer on its
** way over one sequence, forward (recurrent.c, recurrent_walk.c) or back
** (recurrent_backward.c); cells.c knows what a step of each cell does.
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
  R_H_RESTART,    // (P) h with which a row starts again
  R_C_RESTART,    // (H) c of the same
  R_INPUTS,

  // given, without
  R_MASK = R_INPUTS,  // (T, B)
  R_RESET,            // (T, B)
  R_DROPOUT,          // (B, P)
  R_ZONEOUT_H,        // (T, B, P)
  R_ZONEOUT_C,        // (T, B, H)
  R_GIVEN,

  // computed, one row for each step and row of the batch
  R_Y = R_GIVEN,  // (T, B, P)
  R_H_AFTER,  // (T, B, P) state after the step; y itself if nothing is masked
  R_C_AFTER,  // (T, B, H) likewise
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
  R_C_BEFORE,  // (T, B, H) likewise
  R_READ,      // (T, B, P) what the product reads, where there is dropout
  R_INNER,     // (T, B, H) o tanh(c) before projection; r h before the product
  R_DECAY,     // (H) pairs: the factor of h(t-1), where it is always the same
  R_TENSORS
};

typedef struct recurrence recurrence;
typedef struct recurrent_step recurrent_step;

/* A cell: its facts, and one step of a block of rows either way. */
typedef struct recurrent_cell {
  saros_cell_facts facts;
  int separate;  // does it need U h by itself, in u, and n's part to go back?
  int inner;     // does it need the array 'inner' in any case?
  int positive;  // is the candidate made positive? See kernel.h.
  /* From gates (W x + b) and the states before to h and c_new. */
  void (*forward)(const recurrence *r, const recurrent_step *s);
  /* From dh and dc to da and du; adds to dread, dh_before and dc_before. */
  void (*backward)(const recurrence *r, const recurrent_step *s);
} recurrent_cell;

extern const recurrent_cell recurrent_cells[SAROS_CELLS];

/* decay (H): e^(i e^theta - e^nu) as pairs of real and imaginary part. */
void recurrent_decay(real *decay, const real *nu, const real *theta, int H);

struct recurrence {
  const recurrent_cell *cell;
  saros_context *context;
  const kernels *kernels;
  int T, B, I, H, P, G;
  int rows;   // of the batch in a block
  int units;  // of h in a block: P, unless a block has one row of a linear cell
  int alone;  // is there one block only, so that its products may be shared?
  int reverse;
  int begins[SAROS_MAX_STATES];  // no state was given before the first step
  saros_tensor *t[R_TENSORS];
  product_packed packed;  // U for the products of the walk, either way

  // going back
  saros_tensor *dy;     // (T, B, P)
  saros_tensor *da;     // (T, B, G H) gradient of W x + b
  saros_tensor *du;     // of U h + b', shaped as u; da itself if not separate
  saros_tensor *dh[2];  // (B, P) after and before the step, in turn
  saros_tensor *dc[2];  // (B, H)
  saros_tensor *dh_restart;  // (B, P) sum over the starts in a row
  saros_tensor *dc_restart;  // (B, H) the same of c
  saros_tensor *dread;       // (B, P) where there is dropout
  saros_tensor *dinner;      // (B, H) where there is 'inner'
  saros_tensor *dh_new;      // (T, B, P) of the projection's result
  saros_tensor *dc_seen;     // (T, B, H) where c is normalised
};

/* The arrays of a recurrence at one step, for one block of rows, or of units of
** a row: arrays of units begin at the first. */
struct recurrent_step {
  int rows, unit, units;
  const real *h_before, *c_before, *read, *mask, *zoneout_h, *zoneout_c;
  real *h, *c, *gates, *u, *u_n, *v, *v_mean, *v_rstd;
  real *c_new, *c_seen, *c_mean, *c_rstd, *inner;
  real *da, *du, *dh, *dc, *dh_before, *dc_before, *dread, *dinner;
  real *dc_seen;
  const real *ahead;  // the gates of the step that comes next; may be null
};

/* Layer norm inside a step uses PyTorch's epsilon. */
#define NORM_EPSILON 1e-5

int recurrent_is_blended(
    const recurrence *r);  // is a new state mixed with the old one?
/* The step before t on the walk; -1 at the beginning. */
int recurrent_step_before(const recurrence *r, int t);
/* The state before step t from a row on, as it was left in the array 'state', or
** given in 'first'; its rows are of that width. */
const real *recurrent_state_before(const recurrence *r, int state, int first,
                                   int t, int row, int width);

/* Packs U for the walk forward, or back ('backward'), if the steps are so many
** that it pays, and with it b' where the product is to start from it. The caller
** releases r->packed. */
saros_status recurrent_pack(recurrence *r, int backward);

saros_status recurrent_walk_forward(const recurrence *r);
/* Leaves the gradients of the first states in *dh and *dc, borrowed from r. */
saros_status recurrent_walk_backward(const recurrence *r, saros_tensor **dh,
                                     saros_tensor **dc);

saros_status recurrent_backward(const tape_entry *e);

#endif
