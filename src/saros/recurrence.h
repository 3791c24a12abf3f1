/*
** Recurrent layers over whole sequences.
*/
#ifndef SAROS_RECURRENCE_H
#define SAROS_RECURRENCE_H

#include "context.h"

SAROS_BEGIN

/* --- Recurrence ---------------------------------------------------------------- */

typedef enum saros_cell {
  SAROS_ELMAN_TANH,  // h = tanh(W x + b + U h + b')
  SAROS_ELMAN_RELU,  // h = max(W x + b + U h + b', 0)
  SAROS_LSTM,        // gates i f g o, states h and c
  SAROS_GRU,         // gates r z n; r acts after the product U_n h (PyTorch)
  SAROS_GRU_BEFORE,  // the same, r acts on h before it (Cho et al. 2014)
  SAROS_UGRNN,  // gates z n: h = z h(t-1) + (1 - z) n (Collins et al. 2016)
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

SAROS_END

#endif
