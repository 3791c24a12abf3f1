/* The matrix product against three loops in double. */
#include "kernel_spec.h"

#define LARGEST 40
#define ROOM ((LARGEST + 3) * (LARGEST + 3))

typedef struct shape {
  int m, n, k;
} shape;

static const shape shapes[] = {
    {1, 1, 1},    {1, 17, 9}, {17, 1, 9}, {5, 7, 3}, {16, 32, 8}, {33, 40, 29},
    {40, 40, 40}, {3, 4, 0},  {0, 4, 3},  {4, 0, 3}, {1, 1, 40},  {0, 0, 0}};

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

static void check_product(const kernels *k, const shape *s, int a_transposed,
                          int b_transposed, real beta) {
  operand a, b;
  real c[ROOM], before[ROOM];
  const int ldc = s->n + 2;
  make_operand(&a, s->m, s->k, a_transposed);
  make_operand(&b, s->k, s->n, b_transposed);
  fill_random(c, ROOM, -1, 1);
  for (int i = 0; i < s->m && beta == 0; i++)
    for (int j = 0; j < s->n; j++)
      c[i * ldc + j] = (real)NAN;  // beta 0 must not let it through
  memcpy(before, c, sizeof c);
  k->product->multiply(c, ldc, a.x, a.ld, a_transposed, b.x, b.ld, b_transposed,
                       s->m, s->n, s->k, beta);
  int wrong = 0;
  for (int i = 0; i < s->m; i++) {
    for (int j = 0; j < s->n; j++) {
      double sum = beta == 0 ? 0 : (double)beta * (double)before[i * ldc + j];
      for (int l = 0; l < s->k; l++)
        sum += element(a.x, a.ld, a_transposed, i, l) *
               element(b.x, b.ld, b_transposed, l, j);
      wrong += !near(c[i * ldc + j], sum, 1, s->k + 4);
    }
    wrong += c[i * ldc + s->n] != before[i * ldc + s->n];  // the padding
  }
  CHECK(!wrong, "%s: product (%d, %d, %d), transposed %d %d, beta %g: %d wrong",
        k->isa, s->m, s->n, s->k, a_transposed, b_transposed, (double)beta,
        wrong);
}

static void check_set(const kernels *k) {
  static const real betas[] = {0, 1, (real)-0.5};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (int transposed = 0; transposed < 4; transposed++)
      for (size_t b = 0; b < 3; b++)
        check_product(k, &shapes[s], transposed & 1, transposed >> 1, betas[b]);
}

int main(void) {
  return report_every_isa(check_set);
}
