/*
** Chains: a block's rows of one width, strip by strip. A strip is a few whole
** rows, or a part of a long one; every instruction runs over all of it before the
** next one does, so what registers hold stays in L1.
**
** An instruction whose operands are neighbours, row behind row, is one call of a
** kernel. Others are one call a row; if rows are short, operands are first copied
** to where they are neighbours.
*/
#include "loop_window.h"

/* A strip of a chain: which rows and columns of the block. */
typedef struct strip {
  const loop_block *block;
  int row, rows, column, columns;
} strip;

/* Where an operand begins; step 0: one number a row. */
typedef struct view {
  real *at;
  ptrdiff_t ld;
  ptrdiff_t step;
} view;

static view view_of(const strip *s, loop_operand o) {
  const loop_block *b = s->block;
  if (o.at.array < 0)
    return (view){b->registers + (size_t)o.at.column * LOOP_STRIP, s->columns,
                  1};
  ptrdiff_t ld = b->walk->ld[o.at.array];
  return (view){b->base[o.at.array] + s->row * ld + o.at.column +
                    (o.wide ? s->column : 0),
                ld, o.wide};
}

static void run_unary_back(const kernels *k, int f, real *y, const real *dy,
                           const real *x, size_t n) {
  k->pointwise->fill(y, 0, n);
  k->pointwise->unary_backward[f](y, dy, x, x, n);
}

/* n neighbours; x are the operands, from the same element on. */
static void run_kernel(const kernels *k, const loop_instruction *i, real *y,
                       const view *x, size_t n) {
  const real *a = x[0].at, *b = x[1].at, *c = x[2].at;
  ptrdiff_t as = x[0].step, bs = x[1].step, cs = x[2].step;
  switch (i->kind) {
    case LOOP_DO_UNARY:
      k->pointwise->unary[i->function](y, a, n);
      break;
    case LOOP_DO_BINARY:
      k->pointwise->binary[i->function](y, a, as, b, bs, n);
      break;
    case LOOP_DO_WHERE:
      k->pointwise->choose(y, a, as, b, bs, c, cs, n);
      break;
    case LOOP_DO_UNARY_BACK:
      run_unary_back(k, i->function, y, a, b, n);
      break;
    case LOOP_DO_BLEND:
      k->strip->blend(y, a, as, b, bs, c, cs, n);
      break;
    case LOOP_DO_MASKED:
      k->strip->masked(y, a, b, bs, n);
      break;
    case LOOP_DO_COPY:
      k->pointwise->copy(y, 1, a, as, n);
      break;
    case LOOP_DO_MULTIPLY_ADD:
      k->strip->multiply_add(y, a, as, b, bs, c, cs, n);
      break;
    case LOOP_DO_SUBTRACT_PRODUCT:
      k->strip->subtract_product(y, a, as, b, bs, c, cs, n);
      break;
    case LOOP_DO_SIGMOID_BACK:
      k->strip->sigmoid_back(y, a, b, n);
      break;
    case LOOP_DO_TANH_BACK:
      k->strip->tanh_back(y, a, b, n);
      break;
    case LOOP_DO_MULTIPLY_SIGMOID_BACK:
      k->strip->multiply_sigmoid_back(y, a, as, b, bs, c, cs, n);
      break;
    default:
      k->strip->multiply_tanh_back(y, a, as, b, bs, c, cs, n);
      break;
  }
}

/* True if the rows of a strip are one run of neighbours. */
static int is_flat(const strip *s, const view *v) {
  return s->rows == 1 || (v->step == 1 ? v->ld == s->columns : v->ld == 0);
}

/* Copies an operand to a spare strip, so that it is flat. */
static void flatten(const strip *s, const strip_kernels *k, view *v,
                    int spare) {
  const loop_block *b = s->block;
  real *to =
      b->registers + (size_t)(b->walk->code->registers + spare) * LOOP_STRIP;
  size_t rows = (size_t)s->rows, columns = (size_t)s->columns;
  if (v->step == 1)
    k->copy_rows(to, s->columns, v->at, v->ld, rows, columns);
  else
    k->spread_rows(to, s->columns, v->at, v->ld, rows, columns);
  *v = (view){to, s->columns, 1};
}

static void run_short_rows(const strip *s, const loop_instruction *i, view y,
                           view *x) {
  const kernels *k = s->block->walk->kernels;
  for (int o = 0; o < i->operands; o++)
    if (!is_flat(s, &x[o]))
      flatten(s, k->strip, &x[o], o);
  size_t rows = (size_t)s->rows, columns = (size_t)s->columns;
  real *to = s->block->registers +
             (size_t)(s->block->walk->code->registers + 3) * LOOP_STRIP;
  if (is_flat(s, &y)) {
    run_kernel(k, i, y.at, x, rows * columns);
    return;
  }
  run_kernel(k, i, to, x, rows * columns);
  k->strip->copy_rows(y.at, y.ld, to, s->columns, rows, columns);
}

static void run_rows(const strip *s, const loop_instruction *i, view y,
                     view *x) {
  const kernels *k = s->block->walk->kernels;
  for (int row = 0; row < s->rows; row++) {
    run_kernel(k, i, y.at, x, (size_t)s->columns);
    y.at += y.ld;
    for (int o = 0; o < i->operands; o++)
      x[o].at += x[o].ld;
  }
}

static void run_instruction(const strip *s, const loop_instruction *i) {
  view x[3] = {{0}}, y = view_of(s, i->y);
  int flat = is_flat(s, &y);
  for (int o = 0; o < i->operands; o++) {
    x[o] = view_of(s, i->x[o]);
    flat &= is_flat(s, &x[o]);
  }
  if (flat)
    run_kernel(s->block->walk->kernels, i, y.at, x,
               (size_t)s->rows * (size_t)s->columns);
  else if (s->columns < LOOP_SHORT)
    run_short_rows(s, i, y, x);
  else
    run_rows(s, i, y, x);
}

static void run_strip(const strip *s, const loop_step *step) {
  const loop_instruction *i = s->block->walk->code->instruction + step->first;
  for (int n = 0; n < step->count; n++)
    run_instruction(s, &i[n]);
}

void loop_chain_run(const loop_block *b, const loop_step *step) {
  int rows = step->width < LOOP_STRIP ? LOOP_STRIP / step->width : 1;
  for (int row = 0; row < b->rows; row += rows)
    for (int column = 0; column < step->width; column += LOOP_STRIP) {
      int left = b->rows - row, right = step->width - column;
      run_strip(&(strip){b, row, left < rows ? left : rows, column,
                         right < LOOP_STRIP ? right : LOOP_STRIP},
                step);
    }
}
