/*
** The walk over time, and all that can happen around a step of a cell: rows
** that start again, dropout of what the product reads, zoneout, masked steps.
** Rows of a batch never meet on the walk, so blocks of rows take it
** independently, each through the whole window; nor do the units of a cell that
** is linear, so with few rows blocks of units do.
*/
#include <string.h>

#include "recurrent.h"

int recurrent_is_blended(const recurrence *r) {
  return r->t[R_MASK] || r->t[R_ZONEOUT_H] || r->t[R_ZONEOUT_C];
}

int recurrent_step_before(const recurrence *r, int t) {
  if (r->reverse)
    return t == r->T - 1 ? -1 : t + 1;
  return t - 1;
}

static int first_step(const recurrence *r) {
  return r->reverse ? r->T - 1 : 0;
}

/* The step after t on the walk; out of 0..T-1 at the end. */
static int step_after(const recurrence *r, int t) {
  return r->reverse ? t - 1 : t + 1;
}

/* A row of an array whose rows are so wide; null without an array. */
static real *row_of(const saros_tensor *x, size_t row, int width) {
  return x ? tensor_reals(x) + row * (size_t)width : NULL;
}

/* The same of an array of all steps, (T, B, width), or of the present one. */
static real *row_of_step(const saros_tensor *x, size_t at, size_t row,
                         int width) {
  return row_of(x, x && x->rank == 2 ? row : at, width);
}

/* What a block takes with it on its walk. */
typedef struct block {
  int row, rows, unit, units;  // the first, and how many
} block;

static int blocks_in_row(const recurrence *r) {
  return base_divide_up(r->P, r->units);
}

static int block_count(const recurrence *r) {
  return base_divide_up(r->B, r->rows) * blocks_in_row(r);
}

static int at_most(int most, int n) {
  return n < most ? n : most;
}

static block block_at(const recurrence *r, int number) {
  int row = number / blocks_in_row(r) * r->rows;
  int unit = number % blocks_in_row(r) * r->units;
  return (block){row, at_most(r->rows, r->B - row), unit,
                 at_most(r->units, r->P - unit)};
}

/* The units of a block in an array of h; null without an array. */
static real *units_of(const recurrence *r, const saros_tensor *x, size_t row,
                      const block *b) {
  return x ? row_of(x, row, r->P) + b->unit : NULL;
}

const real *recurrent_state_before(const recurrence *r, int state, int first,
                                   int t, int row, int width) {
  int before = recurrent_step_before(r, t);
  if (before < 0)
    return row_of(r->t[first], (size_t)row, width);
  return row_of(r->t[state], (size_t)before * (size_t)r->B + (size_t)row,
                width);
}

/* h before step t, of a block. */
static const real *h_before(const recurrence *r, int t, const block *b) {
  return recurrent_state_before(r, R_H_AFTER, R_H_FIRST, t, b->row, r->P) +
         b->unit;
}

/* Where a block begins in the arrays of all steps. */
static size_t place_of(const recurrence *r, int t, const block *b) {
  return (size_t)t * (size_t)r->B + (size_t)b->row;
}

/* The arrays at step t for a block. */
static recurrent_step step_at(const recurrence *r, int t, const block *b) {
  size_t at = place_of(r, t, b);
  int GH = r->G * r->H, row = b->row;
  recurrent_step s = {
      .rows = b->rows,
      .unit = b->unit,
      .units = b->units,
      .backwards = t % 2,
      .h_before = r->t[R_H_BEFORE] ? units_of(r, r->t[R_H_BEFORE], at, b)
                                   : h_before(r, t, b),
      .c_before = r->t[R_C_BEFORE] ? row_of(r->t[R_C_BEFORE], at, r->H)
                                   : recurrent_state_before(
                                         r, R_C_AFTER, R_C_FIRST, t, row, r->H),
      .mask = row_of(r->t[R_MASK], at, 1),
      .zoneout_h = units_of(r, r->t[R_ZONEOUT_H], at, b),
      .zoneout_c = row_of(r->t[R_ZONEOUT_C], at, r->H),
      .h = units_of(r, r->t[R_H_AFTER], at, b),
      .c = row_of(r->t[R_C_AFTER], at, r->H),
      .gates = row_of(r->t[R_GATES], at, GH) + b->unit,
      .u = row_of_step(r->t[R_U], at, (size_t)row, GH),
      .u_n = row_of(r->t[R_U_N], at, r->H),
      .v = row_of_step(r->t[R_V], at, (size_t)row, GH),
      .v_mean = row_of(r->t[R_V_MEAN], at, 1),
      .v_rstd = row_of(r->t[R_V_RSTD], at, 1),
      .c_new = row_of(r->t[R_C_NEW], at, r->H),
      .c_seen = row_of(r->t[R_C_SEEN], at, r->H),
      .c_mean = row_of(r->t[R_C_MEAN], at, 1),
      .c_rstd = row_of(r->t[R_C_RSTD], at, 1),
      .inner = row_of(r->t[R_INNER], at, r->H),
      .da = r->da ? row_of(r->da, at, GH) + b->unit : NULL,
      .du = row_of_step(r->du, at, (size_t)row, GH),
      .dread = row_of(r->dread, (size_t)row, r->P),
      .dinner = row_of(r->dinner, (size_t)row, r->H),
      .dc_seen = row_of(r->dc_seen, at, r->H),
      .dh_new = row_of(r->dh_new, at, r->P),
  };
  s.read = r->t[R_READ] ? row_of(r->t[R_READ], at, r->P) : s.h_before;
  return s;
}

/* The gates at step t for a block, if there is such a step. */
static const real *gates_at(const recurrence *r, int t, const block *b) {
  if (t < 0 || t >= r->T)
    return NULL;
  return row_of(r->t[R_GATES], place_of(r, t, b), r->G * r->H);
}

/* --- Forward ---------------------------------------------------------------------- */

/* Rows of n units of a state before a step: 'old', or where a row starts again
** those of 'restart', which if null are zeros. */
static void begin_rows(real *before, const real *old, const real *keep,
                       const real *restart, int rows, size_t n) {
  for (int row = 0; row < rows; row++, before += n, old += n) {
    const real *from = keep[row] != 0 ? old : restart;
    if (from != NULL)
      memcpy(before, from, n * sizeof(real));
    else
      memset(before, 0, n * sizeof(real));
  }
}

/* Starts rows again where the walk is cut, and drops what the product reads. */
static void enter_step(const recurrence *r, int t, const block *b) {
  size_t at = place_of(r, t, b);
  if (r->t[R_KEEP]) {
    const real *keep = row_of(r->t[R_KEEP], at, 1);
    begin_rows(units_of(r, r->t[R_H_BEFORE], at, b), h_before(r, t, b), keep,
               units_of(r, r->t[R_H_RESTART], 0, b), b->rows, (size_t)b->units);
    if (r->t[R_C_AFTER])
      begin_rows(
          row_of(r->t[R_C_BEFORE], at, r->H),
          recurrent_state_before(r, R_C_AFTER, R_C_FIRST, t, b->row, r->H),
          keep, row_of(r->t[R_C_RESTART], 0, r->H), b->rows, (size_t)r->H);
  }
  if (r->t[R_READ])
    r->kernels->pointwise->binary[BINARY_MULTIPLY](
        row_of(r->t[R_READ], at, r->P), step_at(r, t, b).h_before, 1,
        row_of(r->t[R_DROPOUT], (size_t)b->row, r->P), 1,
        (size_t)b->rows * (size_t)r->P);
}

/* Mixes the new states with the old ones, and writes y where it is not h. */
static void leave_step(const recurrence *r, const recurrent_step *s, real *y) {
  const blend_kernels *k = r->kernels->blend;
  size_t rows = (size_t)s->rows, units = (size_t)s->units;
  if (!recurrent_is_blended(r))
    return;
  k->blend(s->h, s->h_before, s->mask, s->zoneout_h, rows, units);
  if (s->c != NULL) {
    memcpy(s->c, s->c_new, rows * (size_t)r->H * sizeof(real));
    k->blend(s->c, s->c_before, s->mask, s->zoneout_c, rows, (size_t)r->H);
  }
  if (s->mask != NULL)
    k->scale_rows(y, s->h, s->mask, rows, units);
}

static void forward_block(void *arguments, int number) {
  const recurrence *r = arguments;
  const block b = block_at(r, number);
  for (int t = first_step(r); t >= 0 && t < r->T; t = step_after(r, t)) {
    if (base_is_interrupted(r->context))
      return;
    enter_step(r, t, &b);
    recurrent_step s = step_at(r, t, &b);
    s.ahead = gates_at(r, step_after(r, t), &b);
    r->cell->forward(r, &s);
    leave_step(r, &s, units_of(r, r->t[R_Y], place_of(r, t, &b), &b));
  }
}

saros_status recurrent_walk_forward(const recurrence *r) {
  return team_for(r->context, block_count(r), forward_block, (void *)r);
}

/* --- Backward ------------------------------------------------------------------------ */

/* The gradient of h from y, and through the mixing to the new states. */
static void leave_step_backward(const recurrence *r, recurrent_step *s,
                                const real *dy) {
  const blend_kernels *k = r->kernels->blend;
  size_t rows = (size_t)s->rows, units = (size_t)s->units;
  memset(s->dh_before, 0, rows * units * sizeof(real));
  if (s->dc != NULL)
    memset(s->dc_before, 0, rows * (size_t)r->H * sizeof(real));
  if (s->mask != NULL)
    k->add_scaled_rows(s->dh, dy, s->mask, rows, units);
  else
    r->kernels->pointwise->add_scaled(s->dh, 1, dy, rows * units);
  if (!recurrent_is_blended(r))
    return;
  k->blend_backward(s->dh, s->dh_before, s->mask, s->zoneout_h, rows, units);
  if (s->dc != NULL)
    k->blend_backward(s->dc, s->dc_before, s->mask, s->zoneout_c, rows,
                      (size_t)r->H);
}

/* The way back of begin_rows: drestart += dbefore where a row started again, and
** nothing goes back further from there; drestart may be null. */
static void begin_rows_backward(const recurrence *r, real *dbefore,
                                const real *keep, real *drestart, int rows,
                                size_t n) {
  for (int row = 0; row < rows; row++, dbefore += n) {
    if (keep[row] == 0 && drestart != NULL)
      r->kernels->pointwise->add_scaled(drestart + (size_t)row * n, 1, dbefore,
                                        n);
    if (keep[row] == 0)
      memset(dbefore, 0, n * sizeof(real));
  }
}

/* Through the dropout of what the product read, and to rows started again. */
static void enter_step_backward(const recurrence *r, recurrent_step *s, int t,
                                const block *b) {
  const kernels *k = r->kernels;
  size_t rows = (size_t)s->rows, n = rows * (size_t)r->P;
  if (r->t[R_READ]) {
    k->pointwise->binary[BINARY_MULTIPLY](
        s->dread, s->dread, 1, row_of(r->t[R_DROPOUT], (size_t)b->row, r->P), 1,
        n);
    k->pointwise->add_scaled(s->dh_before, 1, s->dread, n);
  }
  if (r->t[R_KEEP] == NULL)
    return;
  const real *keep = row_of(r->t[R_KEEP], place_of(r, t, b), 1);
  begin_rows_backward(r, s->dh_before, keep,
                      units_of(r, r->dh_restart, (size_t)b->row, b), s->rows,
                      (size_t)s->units);
  if (s->dc != NULL)
    begin_rows_backward(r, s->dc_before, keep,
                        row_of(r->dc_restart, (size_t)b->row, r->H), s->rows,
                        (size_t)r->H);
}

static void step_backward(const recurrence *r, recurrent_step *s, int t,
                          const block *b) {
  size_t at = place_of(r, t, b);
  size_t n = (size_t)s->rows * (size_t)r->P;
  leave_step_backward(r, s, units_of(r, r->dy, at, b));
  if (r->t[R_READ])
    memset(s->dread, 0, n * sizeof(real));
  else
    s->dread = s->dh_before;
  r->cell->backward(r, s);
  enter_step_backward(r, s, t, b);
}

/* The gradients after and before a step change places from step to step; an
** even number of changes leaves those of the first states in place 0 or 1. */
static void backward_block(void *arguments, int number) {
  const recurrence *r = arguments;
  const block b = block_at(r, number);
  size_t row = (size_t)b.row;
  int place = 0, t = r->reverse ? 0 : r->T - 1;
  for (int left = r->T; left > 0; left--, t = recurrent_step_before(r, t)) {
    if (base_is_interrupted(r->context))
      return;
    recurrent_step s = step_at(r, t, &b);
    s.ahead = gates_at(r, recurrent_step_before(r, t), &b);
    s.dh = units_of(r, r->dh[place], row, &b);
    s.dc = row_of(r->dc[place], row, r->H);
    place = 1 - place;
    s.dh_before = units_of(r, r->dh[place], row, &b);
    s.dc_before = row_of(r->dc[place], row, r->H);
    step_backward(r, &s, t, &b);
  }
}

saros_status recurrent_walk_backward(const recurrence *r, saros_tensor **dh,
                                     saros_tensor **dc) {
  *dh = r->dh[r->T % 2];
  *dc = r->dc[r->T % 2];
  return team_for(r->context, block_count(r), backward_block, (void *)r);
}
