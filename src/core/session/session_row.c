/*
** What single nodes compute, for one row: the same functions serve steps and, when
** a plan is made, invariants.
**
** A row is seen as (outer, n, inner): 'outer' blocks of n slices of 'inner'
** elements.
*/
#include <math.h>
#include <string.h>

#include "session.h"

/* --- Element by element ----------------------------------------------------------- */

int session_is_elementwise(const program_node *n) {
  return n->op == NODE_UNARY || n->op == NODE_BINARY || n->op == NODE_WHERE;
}

session_element session_element_of(const kernels *k, const program_node *n,
                                   const int *widths) {
  session_element e = {.operands = n->inputs};
  if (n->op == NODE_UNARY)
    e.unary = k->pointwise->unary[n->function];
  if (n->op == NODE_BINARY)
    e.binary = k->pointwise->binary[n->function];
  for (int i = 0; i < n->inputs; i++)
    e.step[i] = widths[i] > 1 || n->width == 1;
  return e;
}

/* --- Elements in another order ------------------------------------------------------ */

static void copy(real *y, const real *x, size_t n) {
  memcpy(y, x, n * sizeof(real));
}

static void concatenate(const program_node *n, real *y, const real *const *x,
                        const int *widths) {
  for (int outer = 0; outer < n->at[AT_OUTER]; outer++)
    for (int i = 0; i < n->inputs; i++) {
      const size_t part = (size_t)(widths[i] / n->at[AT_OUTER]);
      copy(y, x[i] + (size_t)outer * part, part);
      y += part;
    }
}

/* --- Along an axis -------------------------------------------------------------------- */

/* Elements of x along the axis, 'step' apart. */
typedef void along_axis(real *y, const real *x, ptrdiff_t n, ptrdiff_t step);

static double largest(const real *x, ptrdiff_t n, ptrdiff_t step) {
  double max = (double)x[0];
  for (ptrdiff_t i = 1; i < n; i++)
    if (!((double)x[i * step] <= max))  // or NaN
      max = (double)x[i * step];
  return max;
}

static void min_of(real *y, const real *x, ptrdiff_t n, ptrdiff_t step) {
  real min = x[0];
  for (ptrdiff_t i = 1; i < n; i++)
    if (!(x[i * step] >= min))  // or NaN
      min = x[i * step];
  *y = min;
}

/* The sum of exp(x - max); at an infinite max the terms are those of max 0. */
static double sum_of_exp(const real *x, ptrdiff_t n, ptrdiff_t step,
                         double max) {
  double sum = 0;
  for (ptrdiff_t i = 0; i < n; i++)
    sum += exp((double)x[i * step] - max);
  return sum;
}

static void logsumexp_of(real *y, const real *x, ptrdiff_t n, ptrdiff_t step) {
  const double max = largest(x, n, step), from = isfinite(max) ? max : 0;
  *y = (real)(from + log(sum_of_exp(x, n, step, from)));
}

static void softmax_of(real *y, const real *x, ptrdiff_t n, ptrdiff_t step) {
  const double max = largest(x, n, step), sum = sum_of_exp(x, n, step, max);
  for (ptrdiff_t i = 0; i < n; i++)
    y[i * step] = (real)(exp((double)x[i * step] - max) / sum);
}

static void log_softmax_of(real *y, const real *x, ptrdiff_t n,
                           ptrdiff_t step) {
  const double max = largest(x, n, step);
  const double log_sum = max + log(sum_of_exp(x, n, step, max));
  for (ptrdiff_t i = 0; i < n; i++)
    y[i * step] = (real)((double)x[i * step] - log_sum);
}

/* Calls along for each pair of a block and a place in it; results lie 'kept'
** slices apart from block to block. */
static void along(along_axis *f, const program_node *n, real *y, const real *x,
                  ptrdiff_t kept) {
  const ptrdiff_t inner = n->at[AT_INNER], count = n->at[AT_N];
  for (int outer = 0; outer < n->at[AT_OUTER]; outer++)
    for (ptrdiff_t i = 0; i < inner; i++)
      f(y + outer * kept * inner + i, x + outer * count * inner + i, count,
        inner);
}

static void reduce(const kernels *k, const program_node *n, real *y,
                   const real *x) {
  const size_t outer = (size_t)n->at[AT_OUTER], count = (size_t)n->at[AT_N];
  const size_t inner = (size_t)n->at[AT_INNER];
  if (n->op == NODE_MAX)
    k->reduce->max(y, NULL, x, outer, count, inner);
  else
    k->reduce->sum(y, x, outer, count, inner);
  if (n->op == NODE_MEAN)
    k->pointwise->scale(y, (real)(1.0 / (double)count), outer * inner);
}

static void softmax(const kernels *k, const program_node *n, real *y,
                    const real *x) {
  const int is_log = n->op == NODE_LOG_SOFTMAX;
  if (n->at[AT_INNER] == 1)
    (is_log ? k->softmax->log_softmax : k->softmax->softmax)(
        y, x, (size_t)n->at[AT_OUTER], (size_t)n->at[AT_N]);
  else
    along(is_log ? log_softmax_of : softmax_of, n, y, x, n->at[AT_N]);
}

/* --- Norms ----------------------------------------------------------------------------- */

/* y = x rstd (gain) (+ bias) of each run, where a mean was taken from x or not. */
static void normalise(const program_node *n, real *y, const real *x,
                      const real *gain, const real *bias) {
  const int count = n->at[AT_N], centred = n->op == NODE_LAYER_NORM;
  for (int run = 0; run < n->width / count; run++, x += count, y += count) {
    double sum = 0, squares = 0;
    for (int i = 0; centred && i < count; i++)
      sum += (double)x[i];
    const double mean = sum / count;
    for (int i = 0; i < count; i++)
      squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double rstd = 1 / sqrt(squares / count + n->number[NUMBER_EPSILON]);
    for (int i = 0; i < count; i++)
      y[i] =
          (real)(((double)x[i] - mean) * rstd * (double)(gain ? gain[i] : 1) +
                 (double)(bias ? bias[i] : 0));
  }
}

static void norm(const kernels *k, const program_node *n, real *y,
                 const real *const *x) {
  const size_t count = (size_t)n->at[AT_N], width = (size_t)n->width;
  if (n->op == NODE_RMS_NORM || n->inputs < 3) {
    normalise(n, y, x[0], n->inputs > 1 ? x[1] : NULL, NULL);
    return;
  }
  for (size_t at = 0; at < width; at += count) {
    real mean, rstd;
    k->layer_norm->forward(y + at, &mean, &rstd, x[0] + at, x[1], x[2],
                           n->number[NUMBER_EPSILON], 1, count);
  }
}

/* --- Matrices that a row holds ------------------------------------------------------------ */

static void matvec(const kernels *k, const program_node *n, real *y,
                   const real *m, const real *v) {
  const int rows = n->at[AT_ROWS], columns = n->at[AT_COLUMNS];
  const int transposed = n->at[AT_TRANSPOSED];
  const int out = transposed ? columns : rows, in = transposed ? rows : columns;
  for (int head = 0; head < n->at[AT_HEADS]; head++) {
    k->product->multiply(y, out, v, in, 0, m, columns, !transposed, 1, out, in,
                         0);
    y += out, v += in, m += (ptrdiff_t)rows * columns;
  }
}

static void outer_product(const kernels *k, const program_node *n, real *y,
                          const real *const *x, const int *widths) {
  const int heads = n->at[AT_HEADS];
  const int rows = widths[0] / heads, columns = widths[1] / heads;
  for (int head = 0; head < heads; head++)
    for (int i = 0; i < rows; i++, y += columns)
      k->pointwise->binary[BINARY_MULTIPLY](y, x[1] + (ptrdiff_t)head * columns,
                                            1, x[0] + head * rows + i, 0,
                                            (size_t)columns);
}

/* Of invariants alone: others are packed. */
static void linear(const kernels *k, const program_node *n, real *y,
                   const real *const *x, const int *widths) {
  k->product->multiply(y, n->width, x[0], widths[0], 0, x[1], widths[0], 1, 1,
                       n->width, widths[0], 0);
  if (n->inputs > 2)
    k->pointwise->add_scaled(y, 1, x[2], (size_t)n->width);
}

/* --- Which of them ---------------------------------------------------------------------------- */

static void compute_along(const kernels *k, const program_node *n, real *y,
                          const real *x) {
  switch (n->op) {
    case NODE_SUM:
    case NODE_MEAN:
    case NODE_MAX:
      reduce(k, n, y, x);
      break;
    case NODE_MIN:
      along(min_of, n, y, x, 1);
      break;
    case NODE_LOGSUMEXP:
      along(logsumexp_of, n, y, x, 1);
      break;
    case NODE_CUMSUM:
      k->reduce->running_sum(y, x, (size_t)n->at[AT_OUTER], (size_t)n->at[AT_N],
                             (size_t)n->at[AT_INNER], 0, 0);
      break;
    case NODE_SOFTMAX:
    case NODE_LOG_SOFTMAX:
      softmax(k, n, y, x);
      break;
    default:
      copy(y, x, (size_t)n->width);
  }
}

void session_compute_row(const kernels *k, const program_node *n, real *y,
                         const real *const *x, const int *widths) {
  switch (n->op) {
    case NODE_LINEAR:
      linear(k, n, y, x, widths);
      break;
    case NODE_EXPAND:
      program_expand_row(n->at, y, x[0]);
      break;
    case NODE_SLICE:
      program_slice_row(n->at, y, x[0], 0);
      break;
    case NODE_CONCATENATE:
      concatenate(n, y, x, widths);
      break;
    case NODE_TRANSPOSE:
      program_transpose_row(n->at, y, x[0]);
      break;
    case NODE_LAYER_NORM:
    case NODE_RMS_NORM:
      norm(k, n, y, x);
      break;
    case NODE_MATVEC:
      matvec(k, n, y, x[0], x[1]);
      break;
    case NODE_OUTER:
      outer_product(k, n, y, x, widths);
      break;
    default:
      compute_along(k, n, y, x[0]);
  }
}
