/*
** Products over the threads against loops in double, on shapes on both sides of
** what decides how they are made, and the same bits for any number of threads.
*/
#include "product.h"

#include "kernel_spec.h"

enum { MOST_THREADS = 5 };

typedef struct shape {
  int m, n, k;
} shape;

static const shape shapes[] = {{5, 3, 4},      {40, 20, 17},    {33, 65, 90},
                               {97, 130, 64},  {200, 16, 40},   {64, 64, 600},
                               {300, 70, 513}, {250, 260, 33},  {1, 500, 300},
                               {700, 40, 300}, {1100, 20, 150}, {700, 8, 250},
                               {500, 5, 300},  {600, 260, 6}};
enum { LARGEST = 260 * 700 };

/* An array of its own, with room for the largest. */
static real *array(int which) {
  static real room[8][LARGEST];
  return room[which];
}

/* The precision that products are checked in. */
static int precision_checked;

/* Random numbers that the precision does not round: in bf16 of 7 binary digits. */
static void fill_exact(real *x, size_t n) {
  fill_random(x, n, -1, 1);
  for (size_t i = 0; precision_checked != PACKED_REAL && i < n; i++)
    x[i] = (real)(round(64 * (double)x[i]) / 64);
}

/* Sums of so many random terms in -1..1 that begin with something like 1. */
static int is_sum(real got, double expected, int terms) {
  return near(got, expected, 1, terms + 8);
}

static double dot(const real *a, int a_step, const real *b, int b_step, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++)
    sum += (double)a[(ptrdiff_t)i * a_step] * (double)b[(ptrdiff_t)i * b_step];
  return sum;
}

static void check_multiply(saros_context *context, const shape *s, int at,
                           int bt, real beta) {
  real *a = array(0), *b = array(1), *c = array(2), *before = array(3);
  int lda = at ? s->m : s->k, ldb = bt ? s->k : s->n, wrong = 0;
  fill_exact(a, LARGEST);
  fill_exact(b, LARGEST);
  fill_exact(c, LARGEST);
  memcpy(before, c, LARGEST * sizeof *c);
  int status = product_multiply(context, c, s->n, (product_view){a, lda, at},
                                (product_view){b, ldb, bt},
                                (product_sizes){s->m, s->n, s->k}, beta);
  for (int i = 0; i < s->m; i++)
    for (int j = 0; j < s->n; j++) {
      double sum = dot(a + (at ? i : i * lda), at ? lda : 1,
                       b + (bt ? j * ldb : j), bt ? 1 : ldb, s->k);
      int place = i * s->n + j;
      wrong += !is_sum(c[place], sum + (double)(beta * before[place]), s->k);
    }
  CHECK(status == SAROS_OK && !wrong,
        "multiply (%d, %d, %d), transposed %d %d, beta %g: %d wrong", s->m,
        s->n, s->k, at, bt, (double)beta, wrong);
}

static void check_affine(saros_context *context, const shape *s, int biased) {
  real *x = array(0), *w = array(1), *y = array(2), *b = array(3);
  int wrong = 0;
  fill_exact(x, LARGEST);
  fill_exact(w, LARGEST);
  fill_exact(b, LARGEST);
  int status = product_affine(context, y, x, w, biased ? b : NULL,
                              (product_sizes){s->m, s->n, s->k});
  for (int i = 0; i < s->m; i++)
    for (int j = 0; j < s->n; j++)
      wrong += !is_sum(y[i * s->n + j],
                       dot(x + i * s->k, 1, w + j * s->k, 1, s->k) +
                           (biased ? (double)b[j] : 0),
                       s->k);
  CHECK(status == SAROS_OK && !wrong, "affine (%d, %d, %d), bias %d: %d wrong",
        s->m, s->n, s->k, biased, wrong);
}

/* dy^T x for x (rows, n) whose rows before the split lie elsewhere. */
static int wrong_in_factor(const product_outer_sum *s,
                           const product_outer_factor *f, const real *before) {
  int wrong = 0;
  for (int i = 0; i < s->m; i++)
    for (int j = 0; j < f->n; j++) {
      double sum = f->add ? (double)before[i * f->n + j] : 0;
      sum += dot(s->dy + i, s->ldy, f->x[0] + j, f->n, s->split);
      sum += dot(s->dy + (ptrdiff_t)s->split * s->ldy + i, s->ldy, f->x[1] + j,
                 f->n, s->rows - s->split);
      wrong += !is_sum(f->target[i * f->n + j], sum, s->rows);
    }
  return wrong;
}

static int wrong_in_bias(const product_outer_sum *s, const real *before) {
  int wrong = 0;
  for (int i = 0; i < s->m; i++) {
    double sum = (double)before[i];
    for (int row = 0; row < s->rows; row++)
      sum += (double)s->dy[(ptrdiff_t)row * s->ldy + i];
    wrong += !is_sum(s->dbias[i], sum, s->rows);
  }
  return wrong;
}

/* Here (m, n, k) are the columns of dy, those of x, and the rows of both. */
static void check_outer(saros_context *context, const shape *s, int split,
                        int add) {
  for (int i = 0; i < 8; i++)
    fill_exact(array(i), LARGEST);
  memcpy(array(4), array(3), LARGEST * sizeof(real));
  product_outer_sum sum = {
      .dy = array(0),
      .ldy = s->m + 3,
      .m = s->m,
      .rows = s->k,
      .split = split,
      .factors = 2,
      .factor = {{{array(1), array(2)}, s->n, array(3), add},
                 {{array(2), array(1)}, s->n / 2 + 1, array(5), 0}},
      .dbias = array(6)};
  memcpy(array(7), array(6), LARGEST * sizeof(real));
  int status = product_add_outer(context, &sum);
  int wrong = wrong_in_factor(&sum, &sum.factor[0], array(4)) +
              wrong_in_factor(&sum, &sum.factor[1], NULL) +
              wrong_in_bias(&sum, array(7));
  CHECK(status == SAROS_OK && !wrong,
        "outer (%d, %d, %d), split at %d, add %d: %d wrong", s->m, s->n, s->k,
        split, add, wrong);
}

static void check_shapes(saros_context *context) {
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    const shape *s = &shapes[i];
    for (int transposed = 0; transposed < 4; transposed++)
      for (int beta = 0; beta < 2; beta++)
        check_multiply(context, s, transposed & 1, transposed >> 1, (real)beta);
    for (int flag = 0; flag < 2; flag++) {
      check_affine(context, s, flag);
      check_outer(context, s, s->k, flag);
      check_outer(context, s, s->k / 3, flag);
    }
  }
}

/* The bits that 'threads' threads make of one and the same input. */
static void make_bits(int threads, int precision, const shape *s, real *c,
                      real *target, real *dbias) {
  saros_context *context = saros_context_new(NULL, NULL);
  saros_set_threads(context, threads);
  context->precision = precision;
  const real *a = array(0), *b = array(1);
  memset(dbias, 0, (size_t)s->m * sizeof *dbias);
  CHECK(product_multiply(context, c, s->n, (product_view){a, s->k, 0},
                         (product_view){b, s->n, 0},
                         (product_sizes){s->m, s->n, s->k}, 0) == SAROS_OK,
        "multiply on %d threads", threads);
  CHECK(product_add_outer(
            context, &(product_outer_sum){.dy = a,
                                          .ldy = s->m,
                                          .m = s->m,
                                          .rows = s->k,
                                          .split = s->k,
                                          .factors = 1,
                                          .factor = {{{b, b}, s->n, target, 0}},
                                          .dbias = dbias}) == SAROS_OK,
        "outer on %d threads", threads);
  saros_context_release(context);
}

static void check_threads(const shape *s, int precision) {
  fill_random(array(0), LARGEST, -1, 1);
  fill_random(array(1), LARGEST, -1, 1);
  make_bits(1, precision, s, array(2), array(3), array(4));
  for (int threads = 2; threads <= MOST_THREADS; threads++) {
    make_bits(threads, precision, s, array(5), array(6), array(7));
    size_t size = (size_t)s->m * (size_t)s->n * sizeof(real);
    CHECK(!memcmp(array(2), array(5), size) &&
              !memcmp(array(3), array(6), size) &&
              !memcmp(array(4), array(7), (size_t)s->m * sizeof(real)),
          "(%d, %d, %d), precision %d: %d threads make the bits of one", s->m,
          s->n, s->k, precision, threads);
  }
}

enum { N = 425, K = 701 };  // of a matrix that counts as large

/* C (m, N) of a packed matrix that is read in parts, as the threads share it. */
static int make_shared(int threads, int precision, int m, int backwards,
                       const product_view *b, real *c) {
  saros_context *context = saros_context_new(NULL, NULL);
  saros_set_threads(context, threads);
  context->precision = precision;
  product_packed packed;
  int status = product_packed_new(context, &packed, *b, NULL, N, K);
  if (status == SAROS_OK)
    status =
        product_packed_multiply_shared(context, &packed,
                                       &(product_rows){.c = c,
                                                       .ldc = N,
                                                       .a = array(0),
                                                       .lda = K,
                                                       .m = m,
                                                       .backwards = backwards});
  product_packed_release(context, &packed);
  saros_context_release(context);
  return status == SAROS_OK;
}

/* A large matrix gives the same bits in whichever order its parts are read. */
static void check_parts(int precision, int m) {
  static real matrix[N * K];
  const product_view b = {matrix, N, 0};
  int wrong = 0;
  fill_exact(array(0), LARGEST);
  fill_exact(matrix, N * K);
  int made = make_shared(1, precision, m, 0, &b, array(1));
  for (int i = 0; i < m * N; i++)
    wrong += !is_sum(array(1)[i],
                     dot(array(0) + i / N * K, 1, matrix + i % N, N, K), K);
  CHECK(made && !wrong, "%d rows in parts, precision %d: %d wrong", m,
        precision, wrong);
  for (int threads = 1; threads <= 3; threads++)
    for (int backwards = 0; backwards < 2; backwards++) {
      memset(array(2), 0, (size_t)(m * N) * sizeof(real));
      CHECK(make_shared(threads, precision, m, backwards, &b, array(2)) &&
                !memcmp(array(1), array(2), (size_t)(m * N) * sizeof(real)),
            "%d rows in parts, precision %d, %d threads, backwards %d: bits", m,
            precision, threads, backwards);
    }
}

/* Rounds to bf16, by the digits of the number as a float. */
static real round_short(real wide) {
  const double x = (double)(float)wide;
  int exponent;
  frexp(x, &exponent);
  return (real)(rint(ldexp(x, 8 - exponent)) * ldexp(1, exponent - 8));
}

/* In bf16 a large product is that of rounded operands, a small one is real, and
** the sums of the rows of dy are never rounded. */
static void check_bf16(const shape *s, int large) {
  const size_t size = (size_t)s->m * (size_t)s->n * sizeof(real);
  fill_random(array(0), LARGEST, -1, 1);
  fill_random(array(1), LARGEST, -1, 1);
  make_bits(2, PACKED_BF16, s, array(2), array(3), array(4));
  make_bits(2, PACKED_REAL, s, array(5), array(6), array(7));
  int same = !memcmp(array(2), array(5), size);
  int same_outer = !memcmp(array(3), array(6), size);
  CHECK(same == !large && same_outer == !large &&
            !memcmp(array(4), array(7), (size_t)s->m * sizeof(real)),
        "(%d, %d, %d): bf16 makes other bits of what is large alone", s->m,
        s->n, s->k);
  for (int i = 0; i < LARGEST; i++)
    for (int which = 0; which < 2; which++)
      array(which)[i] = round_short(array(which)[i]);
  make_bits(2, large ? PACKED_BF16 : PACKED_REAL, s, array(5), array(6),
            array(7));
  same = !memcmp(array(2), array(5), size);
  same_outer = !memcmp(array(3), array(6), size);
  CHECK(same == large && same_outer == large,
        "(%d, %d, %d): bf16 rounds the operands of what is large alone", s->m,
        s->n, s->k);
  make_bits(2, PACKED_REAL, s, array(2), array(3), array(4));
  int wrong = 0;
  for (int i = 0; i < s->m * s->n; i++)
    wrong += !is_sum(array(2)[i], (double)array(5)[i], s->k) ||
             !is_sum(array(3)[i], (double)array(6)[i], s->k);
  CHECK(!wrong, "(%d, %d, %d): bf16 of rounded operands: %d wrong", s->m, s->n,
        s->k, wrong);
}

int main(void) {
  for (int precision = 0; precision <= PACKED_BF16; precision++) {
    precision_checked = precision;
    saros_context *context = saros_context_new(NULL, NULL);
    context->precision = precision;
    check_shapes(context);
    saros_context_release(context);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
      check_threads(&shapes[i], precision);
    check_parts(precision, 1);
    check_parts(precision, 7);
  }
  check_bf16(&(shape){97, 130, 64}, 1);
  check_bf16(&(shape){300, 70, 513}, 1);
  check_bf16(&(shape){40, 20, 40}, 0);
  return report();
}
