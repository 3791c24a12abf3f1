/*
** Products with a packed matrix in bf16, against loops in double on operands that
** are rounded before. What is written for the tiles of AMX runs on emulated ones,
** where the processor can do the rest.
*/
#if defined(__x86_64__) && !defined(__clang__) && !defined(SAROS_DOUBLE)
#define HAVE_EMULATED_TILES
#define KERNEL_TILES_EMULATED
#define ISA emulated
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,fma")
#include "packed_amx.c"
#pragma GCC pop_options
#endif

#include "kernel_spec.h"

enum { WIDEST = 131, LONGEST_SUM = PACKED_DEPTH, MOST_ROWS = 100 };

typedef struct shape {
  int m, n, k;
} shape;

static const shape shapes[] = {
    {1, 1, 1},    {1, 17, 9},    {17, 1, 9},    {5, 7, 3},      {16, 32, 32},
    {33, 65, 31}, {15, 64, 33},  {16, 63, 64},  {17, 15, 65},   {65, 16, 63},
    {40, 0, 7},   {0, 40, 7},    {4, 20, 0},    {100, 130, 40}, {2, 131, 17},
    {7, 48, 511}, {70, 81, 512}, {96, 128, 512}};

/* Half of an operand's 8 bits of precision, exactly: to nearest, ties to even. */
static double rounded(double x) {
  int exponent;
  if (x == 0 || !isfinite(x))
    return x;
  frexp((double)(float)x, &exponent);
  const double unit = ldexp(1, exponent - 8);
  const double y = rint((double)(float)x / unit) * unit;
  return fabs(y) > 3.4e38 ? copysign(INFINITY, x) : y;
}

/* The product of two rounded numbers, by way of a sum of one term. */
static double product_of(const packed_kernels *k, real a, real b) {
  static char packed[1 << 16] __attribute__((aligned(64)));
  real c;
  k->pack(packed, &b, 1, 0, NULL, 1, 1);
  k->multiply(&c, 1, &a, 1, 0, packed, 1, 1, 1, 0, NULL, 0);
  return (double)c;
}

/* --- Rounding ------------------------------------------------------------------ */

static int same(double a, double b) {
  return isnan(a) ? isnan(b) : a == b;
}

static void check_rounding(const char *isa, const packed_kernels *k) {
  static const double ulp = 0x1p-7;  // of numbers from 1 to 2
  const double values[] = {0,
                           1,
                           1 + ulp / 2,
                           1 + ulp / 2 + 0x1p-23,
                           1 + 3 * ulp / 2,
                           1 + 3 * ulp / 2 - 0x1p-23,
                           2 - ulp / 4,
                           1.0 / 3,
                           1e30,
                           1e-30,
                           0x1p-126,
                           0x1.fep127,
                           (double)FLT_MAX,
                           INFINITY,
                           NAN};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++)
    for (int sign = -1; sign <= 1; sign += 2) {
      const double x = sign * values[i];
      const double as_a = product_of(k, (real)x, 1),
                   as_b = product_of(k, 1, (real)x);
      CHECK(same(as_a, rounded(x)) && same(as_b, rounded(x)),
            "%s: bf16 of %a is %a and %a, not %a", isa, x, as_a, as_b,
            rounded(x));
    }
  int wrong = 0;
  for (int i = 0; i < 10000; i++) {
    const real x = (real)ldexp(random_between(-2, 2), i % 200 - 100);
    wrong += product_of(k, x, 1) != rounded((double)x);
    wrong += product_of(k, 1, x) != rounded((double)x);
  }
  CHECK(!wrong, "%s: bf16 of random numbers: %d wrong", isa, wrong);
}

/* --- Products -------------------------------------------------------------------- */

enum {
  ROOM = (WIDEST + 3) * (LONGEST_SUM + 3),
  ROOM_C = MOST_ROWS * (WIDEST + 2)
};

typedef struct operand {
  real x[ROOM];
  double rounded[ROOM];
  int ld, transposed;
} operand;

static operand a, b;
static real c[ROOM_C], before[ROOM_C];
static char packed[2 * ROOM * sizeof(real)] __attribute__((aligned(64)));

static double element(const operand *o, int row, int column) {
  return o
      ->rounded[o->transposed ? column * o->ld + row : row * o->ld + column];
}

/* Numbers all of whose digits matter, each stored row 3 wider. */
static void make_operand(operand *o, int rows, int columns, int transposed) {
  o->ld = (transposed ? rows : columns) + 3, o->transposed = transposed;
  const int count = (transposed ? columns : rows) * o->ld;
  fill_random(o->x, (size_t)count, -1, 1);
  for (int i = 0; i < count; i++)
    o->rounded[i] = rounded((double)o->x[i]);
}

/* True if 'got' is a sum of terms whose sizes add up to 'sizes'. */
static int is_sum(real got, double sum, double sizes) {
  const double tolerance = sizeof(real) == 4 ? 2e-7 : 1e-15;
  return fabs((double)got - sum) <= tolerance * sizes + 1e-37;
}

static int count_wrong(const shape *s, int ldc, int add, const real *start) {
  int wrong = 0;
  for (int i = 0; i < s->m; i++) {
    for (int j = 0; j < s->n; j++) {
      const double old = add ? (double)before[i * ldc + j] : 0;
      double sum = (start ? (double)start[j] : 0) + old;
      double sizes = fabs(sum) + fabs(old);
      for (int l = 0; l < s->k; l++) {
        const double term = element(&a, i, l) * element(&b, l, j);
        sum += term, sizes += fabs(term);
      }
      wrong += !is_sum(c[i * ldc + j], sum, sizes);
    }
    wrong += c[i * ldc + s->n] != before[i * ldc + s->n];
  }
  return wrong;
}

static void check_product(const char *isa, const packed_kernels *k,
                          const shape *s, int a_transposed, int b_transposed,
                          int add, const real *start) {
  const int ldc = s->n + 2;
  make_operand(&a, s->m, s->k, a_transposed);
  make_operand(&b, s->k, s->n, b_transposed);
  fill_random(c, ROOM_C, -1, 1);
  for (int i = 0; i < s->m && !add; i++)
    for (int j = 0; j < s->n; j++)
      c[i * ldc + j] = (real)NAN;
  memcpy(before, c, sizeof c);
  CHECK(k->bytes(s->n, s->k) <= sizeof packed,
        "%s: a packed (%d, %d) is padded within reason", isa, s->k, s->n);
  k->pack(packed, b.x, b.ld, b_transposed, start, s->n, s->k);
  k->multiply(c, ldc, a.x, a.ld, a_transposed, packed, s->m, s->n, s->k, add,
              add ? before : NULL, add ? ROOM_C : 0);
  const int wrong = count_wrong(s, ldc, add, start);
  CHECK(!wrong,
        "%s: bf16 (%d, %d, %d), transposed %d %d, add %d, start %d: %d wrong",
        isa, s->m, s->n, s->k, a_transposed, b_transposed, add, start != NULL,
        wrong);
}

/* One element that is not finite makes its row and its column so, and no others. */
static void check_not_finite(const char *isa, const packed_kernels *k,
                             real value) {
  const shape s = {9, 20, 33};
  make_operand(&a, s.m, s.k, 0);
  make_operand(&b, s.k, s.n, 1);
  a.x[4 * a.ld + 32] = value;
  b.x[7 * b.ld + 32] = value;
  k->pack(packed, b.x, b.ld, 1, NULL, s.n, s.k);
  k->multiply(c, s.n, a.x, a.ld, 0, packed, s.m, s.n, s.k, 0, NULL, 0);
  int wrong = 0;
  for (int i = 0; i < s.m; i++)
    for (int j = 0; j < s.n; j++)
      wrong += !isfinite(c[i * s.n + j]) != (i == 4 || j == 7);
  CHECK(!wrong, "%s: one %g in each operand: %d elements wrong", isa,
        (double)value, wrong);
}

/* The bits of an element do not depend on which others are made with it. */
static void check_parts(const char *isa, const packed_kernels *k) {
  const shape s = {67, 131, 100};
  static real parts[ROOM_C];
  make_operand(&a, s.m, s.k, 0);
  make_operand(&b, s.k, s.n, 0);
  const int width = k->width;
  k->pack(packed, b.x, b.ld, 0, NULL, s.n, s.k);
  k->multiply(c, s.n, a.x, a.ld, 0, packed, s.m, s.n, s.k, 0, NULL, 0);
  for (int row = 0, rows = 1; row < s.m; row += rows, rows++) {
    rows = s.m - row < rows ? s.m - row : rows;
    for (int column = 0; column < s.n; column += width)
      k->multiply(parts + row * s.n + column, s.n, a.x + row * a.ld, a.ld, 0,
                  packed + k->bytes(column, s.k), rows,
                  s.n - column < width ? s.n - column : width, s.k, 0, NULL, 0);
  }
  CHECK(!memcmp(c, parts, (size_t)(s.m * s.n) * sizeof *c),
        "%s: a product in bf16 has the bits of its parts", isa);
  static char part[sizeof packed] __attribute__((aligned(64)));
  k->pack(part, b.x + width, b.ld, 0, NULL, s.n - width, s.k);
  k->multiply(parts, s.n, a.x, a.ld, 0, part, s.m, s.n - width, s.k, 0, NULL,
              0);
  int wrong = 0;
  for (int i = 0; i < s.m; i++)
    for (int j = width; j < s.n; j++)
      wrong += c[i * s.n + j] != parts[i * s.n + j - width];
  CHECK(!wrong, "%s: packed from column %d on: %d wrong", isa, width, wrong);
}

static void check_kernels(const char *isa, const packed_kernels *k) {
  static real start[WIDEST];
  fill_random(start, WIDEST, -1, 1);
  check_rounding(isa, k);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (int kind = 0; kind < 16; kind++)
      check_product(isa, k, &shapes[i], kind & 1, kind >> 1 & 1, kind >> 2 & 1,
                    kind >> 3 ? start : NULL);
  check_not_finite(isa, k, (real)NAN);
  check_not_finite(isa, k, (real)INFINITY);
  check_parts(isa, k);
}

static void check_set(const kernels *set) {
  check_kernels(set->isa, set->packed[PACKED_BF16]);
#ifdef HAVE_EMULATED_TILES
  if (!strcmp(set->isa, "avx512bf16"))
    check_kernels("emulated tiles", &KERNEL_TABLE(packed_amx));
#endif
}

int main(void) {
  return report_every_isa(check_set);
}
