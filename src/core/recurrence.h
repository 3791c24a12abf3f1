/*
** What the files of the recurrent layer share: a recurrence is one layer on its
** way over one sequence, forward (recurrent.c, recurrent_walk.c) or back
** (recurrent_backward.c); cells.c knows what a step of each cell does.
**
** Letters: T steps, B rows, I input features, H hidden units, P the size of h
** (H, or what the LSTM projects to), G gates.
*/
#ifndef RECURRENCE_H
#define RECURRENCE_H

#include "product.h"

/* Tensors that a recurrence holds. Those that may be absent are null. */
enum {
  // given, with a gradient
  X,            // (T, B, I), or ids (T, B) with a table
  H_FIRST,      // (B, P)
  C_FIRST,      // (B, H)
  WEIGHT_IH,    // (G H, I)
  WEIGHT_HH,    // (G H, P)
  BIAS_IH,      // (G H)
  BIAS_HH,      // (G H)
  WEIGHT_HR,    // (P, H)
  PEEPHOLE,     // (3, H)
  NORM_GAIN,    // (G H)
  NORM_BIAS,    // (G H)
  NORM_C_GAIN,  // (H)
  NORM_C_BIAS,  // (H)
  TABLE,        // (V, G H)
  NU,           // (H / 2)
  THETA,        // (H / 2)
  H_RESTART,    // (P) h with which a row starts again
  C_RESTART,    // (H) c of the same
  INPUTS,

  // given, without
  MASK = INPUTS,  // (T, B)
  RESET,          // (T, B)
  DROPOUT,        // (B, P)
  ZONEOUT_H,      // (T, B, P)
  ZONEOUT_C,      // (T, B, H)
  GIVEN,

  // computed, one row for each step and row of the batch
  Y = GIVEN,  // (T, B, P)
  H_AFTER,    // (T, B, P) state after the step; y itself if nothing is masked
  C_AFTER,    // (T, B, H) likewise
  GATES,      // (T, B, G H) activations; Elman's are h itself where they can be
  U,          // (T, B, G H) U h + b', where the cell needs it by itself; of the
              // present step alone, (B, G H), if u_n is all that it needs later
  U_N,        // (T, B, H) n's part of it
  V,          // the same as u after layer norm; u itself without
  V_MEAN,     // (T, B)
  V_RSTD,     // (T, B)
  C_NEW,      // (T, B, H) c before zoneout and mask; c itself without
  C_SEEN,     // (T, B, H) what the tanh sees: c_new after layer norm, if any
  C_MEAN,     // (T, B)
  C_RSTD,     // (T, B)
  KEEP,       // (T, B) 0 before steps at which the walk starts again, if any
  H_BEFORE,   // (T, B, P) h before the step, where rows start again
  C_BEFORE,   // (T, B, H) likewise
  READ,       // (T, B, P) what the product reads, where there is dropout
  INNER,      // (T, B, H) o tanh(c) before projection; r h before the product
  DECAY,      // (H) pairs: the factor of h(t-1), where it is always the same
  TENSORS
};

typedef struct recurrence recurrence;
typedef struct step step;

/* A cell: its facts, and one step of a block of rows either way. */
typedef struct cell {
  saros_cell_facts facts;
  int separate;  // does it need U h by itself, in u, and n's part to go back?
  int inner;     // does it need the array 'inner' in any case?
  int positive;  // is the candidate made positive? See kernel.h.
  /* From gates (W x + b) and the states before to h and c_new. */
  void (*forward)(const recurrence *r, const step *s);
  /* From dh and dc to da and du; adds to dread, dh_before and dc_before. */
  void (*backward)(const recurrence *r, const step *s);
} cell;

extern const cell cells[SAROS_CELLS];

struct recurrence {
  const cell *cell;
  saros_context *context;
  const kernels *kernels;
  int T, B, I, H, P, G;
  int rows;   // of the batch in a block
  int units;  // of h in a block: P, unless a block has one row of a linear cell
  int alone;  // is there one block only, so that its products may be shared?
  int reverse;
  int begins[SAROS_MAX_STATES];  // no state was given before the first step
  saros_tensor *t[TENSORS];
  packed_matrix packed;  // U for the products of the walk, either way

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
struct step {
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

int is_blended(const recurrence *r);  // is a new state mixed with the old one?
/* The step before t on the walk; -1 at the beginning. */
int step_before(const recurrence *r, int t);
/* The state before step t from a row on, as it was left in the array 'state', or
** given in 'first'; its rows are of that width. */
const real *state_before(const recurrence *r, int state, int first, int t,
                         int row, int width);

/* Packs U for the walk forward, or back ('backward'), if the steps are so many
** that it pays, and with it b' where the product is to start from it. The caller
** releases r->packed. */
saros_status pack_state_weights(recurrence *r, int backward);

saros_status walk_forward(const recurrence *r);
/* Leaves the gradients of the first states in *dh and *dc, borrowed from r. */
saros_status walk_backward(const recurrence *r, saros_tensor **dh,
                           saros_tensor **dc);

saros_status recurrent_backward(const tape_entry *e);

#endif
