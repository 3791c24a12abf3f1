/*
** Reductions over one axis, or over a whole array. Sums are taken in double
** and in an order that only the shape decides (lanes.h), so that neither the
** machine nor the number of threads shows in a result.
*/
#include "elementary.h"
#include "lanes.h"

/* Columns that are summed together, in double, on the stack. */
#define BLOCK 64

/* total (width) = sum of the rows of x (n, width), which lie 'stride' apart */
static inline void sum_columns(double *total, const real *x, size_t n,
                               size_t stride, size_t width) {
  double part[BLOCK] = {0};
  for (size_t row = 0; row < n; row++, x += stride)
    for (size_t column = 0; column < width; column++)
      part[column] += (double)x[column];
  memcpy(total, part, width * sizeof *total);
}

static void sum_rows(double *total, const real *x, size_t rows, size_t stride,
                     size_t n) {
  size_t left = 0;
  if (n == 1 && stride == 1) {
    *total = KERNEL_SUM_OVER(i, rows, x[i]);
    return;
  }
  for (; left + BLOCK <= n; left += BLOCK)
    sum_columns(total + left, x + left, rows, stride, BLOCK);
  if (left < n)
    sum_columns(total + left, x + left, rows, stride, n - left);
}

static void sum(real *y, const real *x, size_t outer, size_t n, size_t inner) {
  double total[BLOCK];
  if (inner == 1) {
    for (size_t row = 0; row < outer; row++, x += n)
      y[row] = (real)KERNEL_SUM_OVER(i, n, x[i]);
    return;
  }
  for (size_t at = 0; at < outer; at++, x += n * inner, y += inner)
    for (size_t left = 0; left < inner; left += BLOCK) {
      const size_t width = inner - left < BLOCK ? inner - left : BLOCK;
      sum_columns(total, x + left, n, inner, width);
      for (size_t column = 0; column < width; column++)
        y[left + column] = (real)total[column];
    }
}

static inline void sum_products_of_columns(double *total, const real *a,
                                           const real *b, size_t rows,
                                           size_t stride, size_t width) {
  double part[BLOCK] = {0};
  for (size_t row = 0; row < rows; row++, a += stride, b += stride)
    for (size_t column = 0; column < width; column++)
      part[column] += (double)(a[column] * b[column]);
  memcpy(total, part, width * sizeof *total);
}

static void sum_products(double *total, const real *a, const real *b,
                         size_t rows, size_t stride, size_t n) {
  size_t left = 0;
  for (; left + BLOCK <= n; left += BLOCK)
    sum_products_of_columns(total + left, a + left, b + left, rows, stride,
                            BLOCK);
  if (left < n)
    sum_products_of_columns(total + left, a + left, b + left, rows, stride,
                            n - left);
}

/* The first place in x[0..n-1] of 'value', which occurs there; perhaps NaN. */
static int32_t position(const real *x, real value) {
  size_t i = 0;
  if (value != value)
    while (x[i] == x[i])
      i++;
  else
    while (x[i] != value)
      i++;
  return (int32_t)i;
}

/* best (inner) and the row it came from, improved by row x (inner) */
static void keep_larger(real *best, int32_t *at, const real *x, int32_t row,
                        size_t inner) {
  if (at == NULL) {
    for (size_t i = 0; i < inner; i++)
      best[i] = larger(best[i], x[i]);
    return;
  }
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < inner; i++) {
    const real joined = larger(best[i], x[i]);
    const int kept = best[i] == joined || best[i] != best[i];
    at[i] = kept ? at[i] : row;
    best[i] = joined;
  }
}

static void max(real *y, int32_t *at, const real *x, size_t outer, size_t n,
                size_t inner) {
  for (size_t block = 0; block < outer; block++, y += inner) {
    if (inner == 1) {
      *y = largest(x, n);
      if (at != NULL)
        *at = position(x, *y);
      x += n;
    } else {
      memmove(y, x, inner * sizeof *y);
      if (at != NULL)
        memset(at, 0, inner * sizeof *at);
      x += inner;
      for (size_t row = 1; row < n; row++, x += inner)
        keep_larger(y, at, x, (int32_t)row, inner);
    }
    if (at != NULL)
      at += inner;
  }
}

/* --- Running sums ----------------------------------------------------------- */

/* One block of columns; 'step' leads from a row to the next in their order. */
static void running_columns(real *y, const real *x, size_t n, ptrdiff_t step,
                            size_t width, int add) {
  double total[BLOCK] = {0};
  for (size_t row = 0; row < n; row++, y += step, x += step)
    for (size_t column = 0; column < width; column++) {
      total[column] += (double)x[column];
      y[column] = (real)total[column] + (add ? y[column] : 0);
    }
}

static void running_sum(real *y, const real *x, size_t outer, size_t n,
                        size_t inner, int from_end, int add) {
  if (n == 0)
    return;
  const size_t start = from_end ? (n - 1) * inner : 0;
  const ptrdiff_t step = from_end ? -(ptrdiff_t)inner : (ptrdiff_t)inner;
  for (size_t at = 0; at < outer; at++, y += n * inner, x += n * inner)
    for (size_t left = 0; left < inner; left += BLOCK)
      running_columns(y + start + left, x + start + left, n, step,
                      inner - left < BLOCK ? inner - left : BLOCK, add);
}

/* --- The largest ones --------------------------------------------------------- */

/* True if the element at a comes before the one at b. */
static int is_before(const real *x, int32_t a, int32_t b) {
  const real left = x[a], right = x[b];
  const int left_nan = left != left, right_nan = right != right;
  if (left_nan != right_nan)
    return left_nan;
  if (left != right && !left_nan)
    return left > right;
  return a < b;
}

/* Sinks heap[at] to its place in a heap (k) whose first comes last of all. */
static void sink(int32_t *heap, const real *x, size_t at, size_t k) {
  for (;;) {
    size_t last = at;
    for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < k; child++)
      if (is_before(x, heap[last], heap[child]))
        last = child;
    if (last == at)
      return;
    const int32_t moved = heap[at];
    heap[at] = heap[last], heap[last] = moved;
    at = last;
  }
}

static void top(int32_t *at, const real *x, size_t rows, size_t n, size_t k) {
  for (size_t row = 0; row < rows; row++, x += n, at += k) {
    for (size_t i = 0; i < k; i++)
      at[i] = (int32_t)i;
    for (size_t i = k / 2; i-- > 0;)
      sink(at, x, i, k);
    for (size_t i = k; i < n; i++)
      if (is_before(x, (int32_t)i, at[0])) {
        at[0] = (int32_t)i;
        sink(at, x, 0, k);
      }
    for (size_t left = k; left-- > 1;) {
      const int32_t last = at[0];
      at[0] = at[left], at[left] = last;
      sink(at, x, 0, left);
    }
  }
}

/* --- Whole arrays ------------------------------------------------------------- */

static double sum_of_squares(const real *x, size_t n) {
  return KERNEL_SUM_OVER(i, n, (double)x[i] * (double)x[i]);
}

/* x - x is 0 for a finite x and NaN for the others. */
static int all_finite(const real *x, size_t n) {
  int strange = 0;
  for (size_t i = 0; i < n; i++)
    strange |= x[i] - x[i] != 0;
  return !strange;
}

const reduce_kernels KERNEL_TABLE(reduce) = {
    .sum = sum,
    .sum_rows = sum_rows,
    .sum_products = sum_products,
    .max = max,
    .running_sum = running_sum,
    .top = top,
    .sum_of_squares = sum_of_squares,
    .all_finite = all_finite,
};
