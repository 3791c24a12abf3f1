/* The matrix products against three loops in double. */
#include "kernel_spec.h"

#define LARGEST 40
#define ROOM ((LARGEST + 3) * (LARGEST + 3))

typedef struct shape {
  int m, n, k;
} shape;

static const shape shapes[] = {
    {1, 1, 1},    {1, 17, 9}, {17, 1, 9}, {5, 7, 3},  {16, 32, 8}, {33, 40, 29},
    {40, 40, 40}, {3, 4, 0},  {0, 4, 3},  {4, 0, 3},  {1, 1, 40},  {0, 0, 0},
    {7, 33, 5},   {6, 17, 8}, {2, 40, 3}, {13, 39, 7}};

/* The element of op(x) at (row, column). */
static double element(const real *x, int ld, int transposed, int row,
                      int column) {
  return (double)(transposed ? x[column * ld + row] : x[row * ld + column]);
}

typedef struct operand {
  real x[ROOM];
  int ld;
  int transposed;
} operand;

/* A random operand whose op is (rows, columns), each stored row 3 wider. */
static void make_operand(operand *o, int rows, int columns, int transposed) {
  fill_random(o->x, ROOM, -1, 1);
  o->ld = (transposed ? rows : columns) + 3;
  o->transposed = transposed;
}

/* Elements of C that are not what three loops make of what was there before,
** and padding of C that was written to. */
static int count_wrong(const real *c, const real *before, int ldc,
                       const operand *a, const operand *b, const shape *s,
                       real beta) {
  int wrong = 0;
  for (int i = 0; i < s->m; i++) {
    for (int j = 0; j < s->n; j++) {
      double sum = beta == 0 ? 0 : (double)beta * (double)before[i * ldc + j];
      for (int l = 0; l < s->k; l++)
        sum += element(a->x, a->ld, a->transposed, i, l) *
               element(b->x, b->ld, b->transposed, l, j);
      wrong += !near(c[i * ldc + j], sum, 1, s->k + 4);
    }
    wrong += c[i * ldc + s->n] != before[i * ldc + s->n];
  }
  return wrong;
}

/* A random C with room beside it; beta 0 must not let a NaN through. */
static void make_result(real *c, real *before, int ldc, const shape *s,
                        real beta) {
  fill_random(c, ROOM, -1, 1);
  for (int i = 0; i < s->m && beta == 0; i++)
    for (int j = 0; j < s->n; j++)
      c[i * ldc + j] = (real)NAN;
  memcpy(before, c, ROOM * sizeof *c);
}

static void check_product(const kernels *k, const shape *s, int a_transposed,
                          int b_transposed, real beta) {
  operand a, b;
  real c[ROOM], before[ROOM];
  const int ldc = s->n + 2;
  make_operand(&a, s->m, s->k, a_transposed);
  make_operand(&b, s->k, s->n, b_transposed);
  make_result(c, before, ldc, s, beta);
  k->product->multiply(c, ldc, a.x, a.ld, a_transposed, b.x, b.ld, b_transposed,
                       s->m, s->n, s->k, beta);
  int wrong = count_wrong(c, before, ldc, &a, &b, s, beta);
  CHECK(!wrong, "%s: product (%d, %d, %d), transposed %d %d, beta %g: %d wrong",
        k->isa, s->m, s->n, s->k, a_transposed, b_transposed, (double)beta,
        wrong);
}

static real packed[128 * 128] __attribute__((aligned(64)));

static void check_packed(const kernels *k, const shape *s, int a_transposed,
                         int b_transposed, real beta) {
  operand a, b;
  real c[ROOM], before[ROOM];
  const int ldc = s->n + 2;
  make_operand(&a, s->m, s->k, a_transposed);
  make_operand(&b, s->k, s->n, b_transposed);
  make_result(c, before, ldc, s, beta);
  const real *ahead = b_transposed ? before : NULL;  // makes no difference
  CHECK(k->packed[PACKED_REAL]->bytes(s->n, s->k) <= sizeof packed,
        "%s: a packed (%d, %d) is padded within reason", k->isa, s->k, s->n);
  k->packed[PACKED_REAL]->pack(packed, b.x, b.ld, b_transposed, NULL, s->n,
                               s->k);
  k->packed[PACKED_REAL]->multiply(c, ldc, a.x, a.ld, a_transposed, packed,
                                   s->m, s->n, s->k, beta != 0, ahead,
                                   ahead ? ROOM : 0);
  int wrong = count_wrong(c, before, ldc, &a, &b, s, beta);
  CHECK(!wrong, "%s: packed (%d, %d, %d), transposed %d %d, beta %g: %d wrong",
        k->isa, s->m, s->n, s->k, a_transposed, b_transposed, (double)beta,
        wrong);
}

/* The product starts from 'start'; and the sums of the rows of B. */
static void check_start(const kernels *k, const shape *s) {
  operand a, b;
  real c[ROOM], start[LARGEST], sums[LARGEST], before[LARGEST];
  make_operand(&a, s->m, s->k, 0);
  make_operand(&b, s->k, s->n, 0);
  fill_random(start, LARGEST, -1, 1);
  fill_random(sums, LARGEST, -1, 1);
  memcpy(before, sums, sizeof sums);
  k->packed[PACKED_REAL]->pack(packed, b.x, b.ld, 0, start, s->n, s->k);
  k->packed[PACKED_REAL]->multiply(c, s->n, a.x, a.ld, 0, packed, s->m, s->n,
                                   s->k, 0, NULL, 0);
  k->outer_sum->add_rows(sums, b.x, b.ld, s->n, s->k);
  int wrong = 0;
  for (int j = 0; j < s->n; j++) {
    double total = (double)before[j];
    for (int l = 0; l < s->k; l++)
      total += (double)b.x[l * b.ld + j];
    wrong += !near(sums[j], total, 1, s->k + 4);
    for (int i = 0; i < s->m; i++) {
      double sum = (double)start[j];
      for (int l = 0; l < s->k; l++)
        sum += (double)a.x[i * a.ld + l] * (double)b.x[l * b.ld + j];
      wrong += !near(c[i * s->n + j], sum, 1, s->k + 4);
    }
  }
  CHECK(!wrong, "%s: packed with a start (%d, %d, %d): %d wrong", k->isa, s->m,
        s->n, s->k, wrong);
}

/* A packed matrix begins with that of its first columns. */
static void check_prefix(const kernels *k) {
  enum { K = 5, MOST = 80 };
  static real whole[MOST * (K + 1)] __attribute__((aligned(64)));
  static real part[MOST * (K + 1)] __attribute__((aligned(64)));
  real b[K * MOST];
  const int width = k->packed[PACKED_REAL]->width;
  fill_random(b, K * MOST, -1, 1);
  k->packed[PACKED_REAL]->pack(whole, b, MOST, 0, NULL, MOST, K);
  k->packed[PACKED_REAL]->pack(part, b, MOST, 0, NULL, width, K);
  CHECK(!memcmp(whole, part, k->packed[PACKED_REAL]->bytes(width, K)),
        "%s: a packed matrix begins with its first %d columns", k->isa, width);
  k->packed[PACKED_REAL]->pack(part, b + width, MOST, 0, NULL, MOST - width, K);
  CHECK(!memcmp((char *)whole + k->packed[PACKED_REAL]->bytes(width, K), part,
                k->packed[PACKED_REAL]->bytes(MOST - width, K)),
        "%s: and goes on with the others", k->isa);
}

static void check_add_transposed(const kernels *k, const shape *s, int add) {
  real x[ROOM], c[ROOM], before[ROOM];
  const int ldx = s->m + 1, ldc = s->n + 2;
  fill_random(x, ROOM, -1, 1);
  make_result(c, before, ldc, s, add ? 1 : 0);
  k->outer_sum->add_transposed(c, ldc, x, ldx, s->m, s->n, add);
  int wrong = 0;
  for (int i = 0; i < s->m; i++) {
    for (int j = 0; j < s->n; j++)
      wrong += !near(c[i * ldc + j],
                     (double)x[j * ldx + i] +
                         (add ? (double)before[i * ldc + j] : 0),
                     1, 2);
    wrong += c[i * ldc + s->n] != before[i * ldc + s->n];
  }
  CHECK(!wrong, "%s: transposed (%d, %d), add %d: %d wrong", k->isa, s->m, s->n,
        add, wrong);
}

static void check_set(const kernels *k) {
  static const real betas[] = {0, 1, (real)-0.5};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    for (int transposed = 0; transposed < 4; transposed++)
      for (size_t b = 0; b < 3; b++) {
        int of_a = transposed & 1, of_b = transposed >> 1;
        check_product(k, &shapes[s], of_a, of_b, betas[b]);
        if (b < 2)
          check_packed(k, &shapes[s], of_a, of_b, betas[b]);
      }
    check_start(k, &shapes[s]);
    check_add_transposed(k, &shapes[s], 0);
    check_add_transposed(k, &shapes[s], 1);
  }
  check_prefix(k);
}

int main(void) {
  return report_every_isa(check_set);
}
