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

static void check_packed(const kernels *k, const shape *s, int b_transposed,
                         real beta) {
  static real packed[128 * 128] __attribute__((aligned(64)));
  operand a, b;
  real c[ROOM], before[ROOM];
  const int ldc = s->n + 2;
  make_operand(&a, s->m, s->k, 0);
  make_operand(&b, s->k, s->n, b_transposed);
  make_result(c, before, ldc, s, beta);
  CHECK(k->packed->size(s->n, s->k) <= sizeof packed / sizeof *packed,
        "%s: a packed (%d, %d) is padded within reason", k->isa, s->k, s->n);
  k->packed->pack(packed, b.x, b.ld, b_transposed, s->n, s->k);
  k->packed->multiply(c, ldc, a.x, a.ld, packed, s->m, s->n, s->k, beta);
  int wrong = count_wrong(c, before, ldc, &a, &b, s, beta);
  CHECK(!wrong, "%s: packed (%d, %d, %d), transposed %d, beta %g: %d wrong",
        k->isa, s->m, s->n, s->k, b_transposed, (double)beta, wrong);
}

/* More terms than are added up at once. */
static void check_deep(const kernels *k) {
  enum { M = 7, N = 5, K = 1300 };
  static real a[M * K], b[K * N], c[M * N];
  static real packed[K * 64] __attribute__((aligned(64)));
  fill_random(a, M * K, -1, 1);
  fill_random(b, K * N, -1, 1);
  k->packed->pack(packed, b, N, 0, N, K);
  k->packed->multiply(c, N, a, K, packed, M, N, K, 0);
  int wrong = 0;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      double sum = 0;
      for (int l = 0; l < K; l++)
        sum += (double)a[i * K + l] * (double)b[l * N + j];
      wrong += !near(c[i * N + j], sum, 1, K);
    }
  CHECK(!wrong, "%s: packed (%d, %d, %d): %d wrong", k->isa, M, N, K, wrong);
}

static void check_set(const kernels *k) {
  static const real betas[] = {0, 1, (real)-0.5};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (int transposed = 0; transposed < 4; transposed++)
      for (size_t b = 0; b < 3; b++) {
        check_product(k, &shapes[s], transposed & 1, transposed >> 1, betas[b]);
        if (transposed < 2 && b < 2)
          check_packed(k, &shapes[s], transposed, betas[b]);
      }
  check_deep(k);
}

int main(void) {
  return report_every_isa(check_set);
}
