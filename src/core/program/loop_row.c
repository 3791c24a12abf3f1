/*
** Rows: operations that mix the elements of a row, one row at a time. They read
** and write arrays whose rows lie some distance apart.
*/
#include <math.h>
#include <string.h>

#include "loop_window.h"

/* One row of an operation: its result and its operands. */
typedef struct row {
  const loop_walk *walk;
  const loop_value *value;
  const kernels *kernels;
  real *y;
  const real *a, *b, *c;
  size_t width, outer, n, inner;  // of a: as the attributes say
} row;

/* --- Over an axis ------------------------------------------------------------------- */

/* The place of the largest (or smallest) of n elements 'inner' apart, NaN first. */
static size_t place_of_extreme(const real *x, size_t n, size_t inner,
                               int smallest) {
  size_t best = 0;
  for (size_t k = 1; k < n; k++) {
    real a = x[k * inner], b = x[best * inner];
    if (b == b && ((smallest ? a < b : a > b) || a != a))
      best = k;
  }
  return best;
}

static void run_extreme(const row *r, int smallest) {
  for (size_t o = 0; o < r->outer; o++)
    for (size_t i = 0; i < r->inner; i++) {
      const real *x = r->a + o * r->n * r->inner + i;
      size_t best = place_of_extreme(x, r->n, r->inner, smallest);
      r->y[o * r->inner + i] = x[best * r->inner];
    }
}

static void run_extreme_back(const row *r) {
  memset(r->y, 0, r->width * sizeof(real));
  for (size_t o = 0; o < r->outer; o++)
    for (size_t i = 0; i < r->inner; i++) {
      size_t at = o * r->n * r->inner + i;
      size_t best =
          place_of_extreme(r->b + at, r->n, r->inner, r->value->at[3]);
      r->y[at + best * r->inner] = r->a[o * r->inner + i];
    }
}

static void run_logsumexp(const row *r) {
  for (size_t o = 0; o < r->outer; o++)
    for (size_t i = 0; i < r->inner; i++) {
      const real *x = r->a + o * r->n * r->inner + i;
      size_t best = place_of_extreme(x, r->n, r->inner, 0);
      real top = x[best * r->inner];
      double sum = 0;
      for (size_t k = 0; k < r->n; k++)
        sum += exp((double)(x[k * r->inner] - top));
      r->y[o * r->inner + i] =
          isinf(top) ? top : (real)((double)top + log(sum));
    }
}

/* Along an axis whose elements are neighbours. */
static void run_softmax(const row *r) {
  const softmax_kernels *k = r->kernels->softmax;
  switch (r->value->op) {
    case LOOP_SOFTMAX:
      k->softmax(r->y, r->a, r->outer, r->n);
      break;
    case LOOP_LOG_SOFTMAX:
      k->log_softmax(r->y, r->a, r->outer, r->n);
      break;
    case LOOP_SOFTMAX_BACK:
      memset(r->y, 0, r->width * sizeof(real));
      k->softmax_backward(r->y, r->a, r->b, r->outer, r->n);
      break;
    default:
      memset(r->y, 0, r->width * sizeof(real));
      k->log_softmax_backward(r->y, r->a, r->b, r->outer, r->n);
      break;
  }
}

/* The same where the axis has others inside: element by element. */
static void run_strided_softmax(const row *r) {
  size_t n = r->n, inner = r->inner;
  int op = r->value->op;
  for (size_t o = 0; o < r->outer; o++)
    for (size_t i = 0; i < inner; i++) {
      size_t at = o * n * inner + i;
      const real *x = r->a + at, *y = r->b ? r->b + at : NULL;
      real *to = r->y + at;
      double sum = 0;
      real top = x[place_of_extreme(x, n, inner, 0) * inner];
      for (size_t k = 0; k < n; k++)
        sum += op == LOOP_SOFTMAX_BACK ? (double)(x[k * inner] * y[k * inner])
               : op == LOOP_LOG_SOFTMAX_BACK
                   ? (double)x[k * inner]
                   : exp((double)(x[k * inner] - top));
      for (size_t k = 0; k < n; k++) {
        double a = (double)x[k * inner], b = y ? (double)y[k * inner] : 0;
        double value = op == LOOP_SOFTMAX        ? exp(a - (double)top) / sum
                       : op == LOOP_LOG_SOFTMAX  ? a - (double)top - log(sum)
                       : op == LOOP_SOFTMAX_BACK ? b * (a - sum)
                                                 : a - exp(b) * sum;
        to[k * inner] = (real)value;
      }
    }
}

/* --- Norms ---------------------------------------------------------------------------- */

/* Mean (0 if not centred) and 1 / deviation of n elements. */
static void moments(const row *r, const real *x, double *mean, double *rstd) {
  double sum = 0, squares = 0, n = (double)r->n;
  for (size_t k = 0; k < r->n; k++)
    sum += (double)x[k];
  *mean = r->value->at[2] ? sum / n : 0;
  for (size_t k = 0; k < r->n; k++)
    squares += ((double)x[k] - *mean) * ((double)x[k] - *mean);
  *rstd = 1 / sqrt(squares / n + r->value->number);
}

static void run_norm(const row *r) {
  for (size_t from = 0; from < r->width; from += r->n) {
    double mean, rstd;
    moments(r, r->a + from, &mean, &rstd);
    real shift = (real)mean, factor = (real)rstd;
    for (size_t k = from; k < from + r->n; k++)
      r->y[k] = (r->a[k] - shift) * factor;
  }
}

static void run_rstd(const row *r) {
  for (size_t k = 0; k < r->width; k++) {
    double mean, rstd;
    moments(r, r->a + k * r->n, &mean, &rstd);
    r->y[k] = (real)rstd;
  }
}

/* dx = rstd (dy - mean(dy) - y mean(dy y)) */
static void run_norm_back(const row *r) {
  for (size_t from = 0, run = 0; from < r->width; from += r->n, run++) {
    double sum = 0, product = 0, n = (double)r->n;
    for (size_t k = from; k < from + r->n; k++) {
      sum += (double)r->a[k];
      product += (double)(r->a[k] * r->b[k]);
    }
    real shift = r->value->at[2] ? (real)(sum / n) : 0;
    real slope = (real)(product / n);
    for (size_t k = from; k < from + r->n; k++)
      r->y[k] = r->c[run] * (r->a[k] - shift - r->b[k] * slope);
  }
}

/* --- Matrices in a row ---------------------------------------------------------------- */

static void run_matvec(const row *r) {
  const int *at = r->value->at;
  size_t rows = (size_t)at[AT_ROWS], columns = (size_t)at[AT_COLUMNS];
  const real *m = r->a, *v = r->b;
  real *y = r->y;
  memset(y, 0, r->width * sizeof(real));
  for (int head = 0; head < at[AT_HEADS]; head++) {
    for (size_t i = 0; i < rows; i++, m += columns) {
      if (at[AT_TRANSPOSED]) {
        r->kernels->pointwise->add_scaled(y, v[i], m, columns);
        continue;
      }
      double sum = 0;
      for (size_t k = 0; k < columns; k++)
        sum += (double)(m[k] * v[k]);
      y[i] = (real)sum;
    }
    y += at[AT_TRANSPOSED] ? columns : rows;
    v += at[AT_TRANSPOSED] ? rows : columns;
  }
}

static void run_outer(const row *r, size_t of_a, size_t of_b) {
  size_t heads = (size_t)r->value->at[AT_HEADS];
  size_t rows = of_a / heads, columns = of_b / heads;
  real *y = r->y;
  for (size_t i = 0; i < heads * rows; i++, y += columns) {
    const real *b = r->b + i / rows * columns;
    for (size_t k = 0; k < columns; k++)
      y[k] = r->a[i] * b[k];
  }
}

/* --- One after the other --------------------------------------------------------------- */

/* Norms, softmaxes and their gradients. */
static void run_scaled(const row *r) {
  switch (r->value->op) {
    case LOOP_NORM:
      run_norm(r);
      break;
    case LOOP_RSTD:
      run_rstd(r);
      break;
    case LOOP_NORM_BACK:
      run_norm_back(r);
      break;
    default:
      if (r->inner == 1)
        run_softmax(r);
      else
        run_strided_softmax(r);
      break;
  }
}

static void run_row(const row *r, size_t of_a, size_t of_b) {
  switch (r->value->op) {
    case LOOP_SLICE:
      program_slice_row(r->value->at, r->y, r->a, 0);
      break;
    case LOOP_SCATTER:
      memset(r->y, 0, r->width * sizeof(real));
      program_slice_row(r->value->at, r->y, r->a, 1);
      break;
    case LOOP_EXPAND:
      program_expand_row(r->value->at, r->y, r->a);
      break;
    case LOOP_TRANSPOSE:
      program_transpose_row(r->value->at, r->y, r->a);
      break;
    case LOOP_SUM:
      r->kernels->reduce->sum(r->y, r->a, r->outer, r->n, r->inner);
      break;
    case LOOP_MAX:
    case LOOP_MIN:
      run_extreme(r, r->value->op == LOOP_MIN);
      break;
    case LOOP_MAX_BACK:
      run_extreme_back(r);
      break;
    case LOOP_LOGSUMEXP:
      run_logsumexp(r);
      break;
    case LOOP_CUMSUM:
      r->kernels->reduce->running_sum(r->y, r->a, r->outer, r->n, r->inner,
                                      r->value->at[3], 0);
      break;
    case LOOP_MATVEC:
      run_matvec(r);
      break;
    case LOOP_OUTER:
      run_outer(r, of_a, of_b);
      break;
    default:
      run_scaled(r);
      break;
  }
}

/* Parts that are not where they are gathered yet, and zeros between all. */
static void run_gather(const loop_block *b, const loop_step *step) {
  const loop_walk *w = b->walk;
  const loop_graph *g = &w->window->plan->graph;
  const loop_value *value = &g->value[step->value];
  ptrdiff_t ld = w->ld[step->y.array];
  real *y = loop_at(b, step->y);
  size_t rows = (size_t)b->rows;
  int end = 0;
  for (int i = 0; i <= value->inputs; i++) {
    int is_part = i < value->inputs;
    int column = is_part ? loop_extra(g, step->value, i) : value->width;
    for (int k = 0; k < b->rows && column > end; k++)
      memset(y + k * ld + end, 0, (size_t)(column - end) * sizeof(real));
    if (!is_part)
      break;
    int part = loop_input(g, step->value, i);
    int width = g->value[part].width;
    loop_place from = w->code->place[part];
    if (from.array != step->y.array || from.column != step->y.column + column)
      w->kernels->strip->copy_rows(y + column, ld, loop_at(b, from),
                                   w->ld[from.array], rows, (size_t)width);
    end = column + width;
  }
}

/* Runs of neighbours change places: each run of all rows at once. */
static void run_transpose(const loop_block *b, const loop_step *step) {
  const loop_walk *w = b->walk;
  const loop_graph *g = &w->window->plan->graph;
  const int *at = g->value[step->value].at;
  const loop_place from = w->code->place[loop_input(g, step->value, 0)];
  const ptrdiff_t n = at[AT_A], m = at[AT_B], inner = at[AT_INNER];
  real *y = loop_at(b, step->y);
  const real *x = loop_at(b, from);
  for (int outer = 0; outer < at[AT_OUTER]; outer++, x += n * m * inner)
    for (ptrdiff_t j = 0; j < m; j++)
      for (ptrdiff_t i = 0; i < n; i++, y += inner)
        w->kernels->strip->copy_rows(y, w->ld[step->y.array],
                                     x + (i * m + j) * inner, w->ld[from.array],
                                     (size_t)b->rows, (size_t)inner);
}

/* Fewer neighbours are copied faster row by row. */
#define TRANSPOSED_RUN 8

void loop_row_run(const loop_block *b, const loop_step *step) {
  const loop_walk *w = b->walk;
  const loop_graph *g = &w->window->plan->graph;
  const loop_value *value = &g->value[step->value];
  if (value->op == LOOP_GATHER) {
    run_gather(b, step);
    return;
  }
  if (value->op == LOOP_TRANSPOSE && value->at[AT_INNER] >= TRANSPOSED_RUN) {
    run_transpose(b, step);
    return;
  }
  const real *from[3] = {NULL};
  ptrdiff_t ld[3] = {0};
  size_t width[3] = {0};
  for (int i = 0; i < value->inputs; i++) {
    int x = loop_input(g, step->value, i);
    from[i] = loop_at(b, w->code->place[x]);
    ld[i] = w->ld[w->code->place[x].array];
    width[i] = (size_t)g->value[x].width;
  }
  row r = {w,
           value,
           w->kernels,
           loop_at(b, step->y),
           from[0],
           from[1],
           from[2],
           (size_t)value->width,
           (size_t)value->at[AT_OUTER],
           (size_t)value->at[AT_N],
           (size_t)value->at[AT_INNER]};
  for (int i = 0; i < b->rows; i++) {
    run_row(&r, width[0], width[1]);
    r.y += w->ld[step->y.array], r.a += ld[0];
    r.b = r.b ? r.b + ld[1] : NULL;
    r.c = r.c ? r.c + ld[2] : NULL;
  }
}
