/*
** Products with a packed matrix in int8, against loops in double over whole numbers
** that are made of the operands before. What is written for the tiles of AMX runs on
** emulated ones, where the processor can do the rest.
*/
#if defined(__x86_64__) && !defined(__clang__) && !defined(SAROS_DOUBLE)
#define HAVE_EMULATED_TILES
#define KERNEL_TILES_EMULATED
#define ISA emulated
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,fma")
#include "packed_amx_int8.c"
#pragma GCC pop_options
#endif

#include "kernel_spec.h"

enum { WIDEST = 131, LONGEST_SUM = PACKED_DEPTH, MOST_ROWS = 200 };

typedef struct shape {
  int m, n, k;
} shape;

static const shape shapes[] = {
    {1, 1, 1},   {1, 17, 9},   {17, 1, 9},    {5, 7, 3},     {16, 32, 32},
    {33, 65, 4}, {15, 64, 33}, {16, 63, 64},  {17, 15, 65},  {65, 16, 63},
    {40, 0, 7},  {0, 40, 7},   {4, 20, 0},    {97, 131, 40}, {2, 131, 17},
    {1, 128, 6}, {7, 48, 511}, {70, 81, 512}, {1, 131, 100}, {193, 33, 15}};

enum {
  ROOM = (MOST_ROWS + 3) * (LONGEST_SUM + 3),
  ROOM_C = MOST_ROWS * (WIDEST + 2)
};

typedef struct operand {
  real x[ROOM];
  int ld, transposed;
} operand;

static operand a, b;
static real c[ROOM_C], before[ROOM_C];
static char packed[1 << 19] __attribute__((aligned(64)));

/* Numbers all of whose digits matter, each stored row 3 wider. */
static void make_operand(operand *o, int rows, int columns, int transposed) {
  o->ld = (transposed ? rows : columns) + 3, o->transposed = transposed;
  fill_random(o->x, (size_t)((transposed ? columns : rows) * o->ld), -1, 1);
}

static real *place(operand *o, int row, int column) {
  return o->x + (o->transposed ? column * o->ld + row : row * o->ld + column);
}

/* A vector of an operand as whole numbers, and the scale of these. */
typedef struct whole {
  double number[LONGEST_SUM], scale;
} whole;

/* Row 'at' of A, or column 'at' of B. */
static void make_whole(whole *w, operand *o, int at, int k) {
  real largest = 0;
  int is_finite = 1;
  for (int l = 0; l < k; l++) {
    const double x = (double)*(o == &a ? place(o, at, l) : place(o, l, at));
    is_finite = is_finite && isfinite(x);
    largest = fabs(x) > (double)largest ? (real)fabs(x) : largest;
  }
  const int is_zero = (double)largest < 1e-30;
  const real inverse = is_zero ? 0 : 127 / largest;
  w->scale = !is_finite ? NAN : is_zero ? 0 : (double)largest / 127;
  for (int l = 0; l < k; l++) {
    const real x = *(o == &a ? place(o, at, l) : place(o, l, at));
    const real product = x * inverse;
    w->number[l] = rint((double)product);
  }
}

static int count_wrong(const shape *s, int ldc, int add, const real *start) {
  static whole columns[WIDEST], row;
  int wrong = 0;
  for (int j = 0; j < s->n; j++)
    make_whole(&columns[j], &b, j, s->k);
  for (int i = 0; i < s->m; i++) {
    make_whole(&row, &a, i, s->k);
    for (int j = 0; j < s->n; j++) {
      double sum = 0, first = start ? (double)start[j] : 0;
      for (int l = 0; l < s->k; l++)
        sum += row.number[l] * columns[j].number[l];
      sum *= row.scale * columns[j].scale;
      first += add ? (double)before[i * ldc + j] : 0;
      wrong += !near(c[i * ldc + j], first + sum, 2 + fabs(sum), 4);
    }
    wrong += c[i * ldc + s->n] != before[i * ldc + s->n];
  }
  return wrong;
}

static void run(const packed_kernels *k, const shape *s, int ldc, int add,
                const real *start) {
  fill_random(c, ROOM_C, -1, 1);
  for (int i = 0; i < s->m && !add; i++)
    for (int j = 0; j < s->n; j++)
      c[i * ldc + j] = (real)NAN;
  memcpy(before, c, sizeof c);
  k->pack(packed, b.x, b.ld, b.transposed, start, s->n, s->k);
  k->multiply(c, ldc, a.x, a.ld, a.transposed, packed, s->m, s->n, s->k, add,
              add ? before : NULL, add ? ROOM_C : 0);
}

static void check_product(const char *isa, const packed_kernels *k,
                          const shape *s, int kind, const real *start) {
  const int ldc = s->n + 2, add = kind >> 2 & 1;
  make_operand(&a, s->m, s->k, kind & 1);
  make_operand(&b, s->k, s->n, kind >> 1 & 1);
  CHECK(k->bytes(s->n, s->k) <= sizeof packed,
        "%s: a packed (%d, %d) is padded within reason", isa, s->k, s->n);
  run(k, s, ldc, add, kind >> 3 ? start : NULL);
  const int wrong = count_wrong(s, ldc, add, kind >> 3 ? start : NULL);
  CHECK(!wrong, "%s: int8 (%d, %d, %d), kind %d: %d wrong", isa, s->m, s->n,
        s->k, kind, wrong);
}

/* Whole numbers whose scales are 1 are multiplied exactly. */
static void check_exact(const char *isa, const packed_kernels *k) {
  const shape s = {13, 70, 512};
  make_operand(&a, s.m, s.k, 0);
  make_operand(&b, s.k, s.n, 0);
  for (int l = 0; l < s.k; l++) {
    for (int i = 0; i < s.m; i++)
      *place(&a, i, l) =
          (real)rint(l == i ? 127 : 127 * (double)*place(&a, i, l));
    for (int j = 0; j < s.n; j++)
      *place(&b, l, j) =
          (real)(j == 0   ? -127
                 : l == j ? -127
                          : rint(127 * (double)*place(&b, l, j)));
  }
  for (int l = 0; l < s.k; l++)
    *place(&a, 0, l) = 127;  // the largest sum there is
  run(k, &s, s.n, 0, NULL);
  int wrong = 0;
  for (int i = 0; i < s.m; i++)
    for (int j = 0; j < s.n; j++) {
      double sum = 0;
      for (int l = 0; l < s.k; l++)
        sum += (double)*place(&a, i, l) * (double)*place(&b, l, j);
      wrong += (double)c[i * s.n + j] != sum;
    }
  CHECK(!wrong, "%s: whole numbers in int8: %d wrong", isa, wrong);
}

/* Halves become the even number, as in the twin. */
static void check_ties(const char *isa, const packed_kernels *k) {
  const shape s = {18, 20, 64};
  make_operand(&a, s.m, s.k, 0);
  make_operand(&b, s.k, s.n, 1);
  for (int l = 0; l < s.k; l++) {
    for (int i = 0; i < s.m; i++)
      *place(&a, i, l) = (real)(l == 0 ? 127 : (i - 9) * 7 + l + 0.5 - 32);
    for (int j = 0; j < s.n; j++)
      *place(&b, l, j) = (real)(l == 1 ? -127 : l - j * 3 - 0.5);
  }
  run(k, &s, s.n + 2, 0, NULL);
  const int wrong = count_wrong(&s, s.n + 2, 0, NULL);
  CHECK(!wrong, "%s: halves in int8: %d wrong", isa, wrong);
}

/* One element that is not finite makes NaN of its row and its column, and rows and
** columns of zeros, or of less than anything, make what the sums start from. */
static void check_not_finite(const char *isa, const packed_kernels *k,
                             real value) {
  const shape s = {9, 20, 33};
  real start[20];
  make_operand(&a, s.m, s.k, 0);
  make_operand(&b, s.k, s.n, 1);
  fill_random(start, 20, -1, 1);
  a.x[4 * a.ld + 32] = value;
  b.x[7 * b.ld + 32] = value;
  for (int l = 0; l < s.k; l++) {
    *place(&a, 2, l) = l % 2 ? 0 : -(real)1e-38;
    *place(&b, l, 19) = 0;
  }
  run(k, &s, s.n, 0, start);
  int wrong = 0;
  for (int i = 0; i < s.m; i++)
    for (int j = 0; j < s.n; j++) {
      const real got = c[i * s.n + j];
      wrong += i == 4 || j == 7 ? !isnan(got) : !isfinite(got);
      wrong += i != 4 && j != 7 && (i == 2 || j == 19) && got != start[j];
    }
  CHECK(!wrong, "%s: one %g in each operand: %d elements wrong", isa,
        (double)value, wrong);
}

/* The bits of an element do not depend on which others are made with it. */
static void check_parts(const char *isa, const packed_kernels *k) {
  const shape s = {107, 131, 100};
  static real parts[ROOM_C];
  make_operand(&a, s.m, s.k, 0);
  make_operand(&b, s.k, s.n, 0);
  run(k, &s, s.n, 0, NULL);
  for (int row = 0, rows = 1; row < s.m; row += rows, rows++) {
    rows = s.m - row < rows ? s.m - row : rows;
    for (int column = 0; column < s.n; column += k->width)
      k->multiply(parts + row * s.n + column, s.n, a.x + row * a.ld, a.ld, 0,
                  packed + k->bytes(column, s.k), rows,
                  s.n - column < k->width ? s.n - column : k->width, s.k, 0,
                  NULL, 0);
  }
  CHECK(!memcmp(c, parts, (size_t)(s.m * s.n) * sizeof *c),
        "%s: a product in int8 has the bits of its parts", isa);
}

#if defined(HAVE_X86_ISAS) && !defined(SAROS_DOUBLE)
/* Every table that multiplies bytes gives the same bits, and reads what the others
** packed; rows that are not finite and rows of zeros are among them. */
static void check_same(const char *isa, const packed_kernels *k,
                       const packed_kernels *other, const shape *s, int kind) {
  static real expected[ROOM_C], start[WIDEST];
  const int ldc = s->n + 2, add = kind >> 2 & 1;
  make_operand(&a, s->m, s->k, kind & 1);
  make_operand(&b, s->k, s->n, kind >> 1 & 1);
  fill_random(start, WIDEST, -1, 1);
  for (int l = 0; l < s->k; l++) {
    *place(&a, s->m / 2, l) = 0;
    *place(&a, s->m - 1, l) = l == s->k - 1 ? (real)NAN : 1;
    *place(&b, l, s->n - 1) = l == 0 ? -(real)INFINITY : 1;
  }
  fill_random(c, ROOM_C, -1, 1);
  memcpy(expected, c, sizeof c);
  k->pack(packed, b.x, b.ld, b.transposed, start, s->n, s->k);
  k->multiply(c, ldc, a.x, a.ld, a.transposed, packed, s->m, s->n, s->k, add,
              NULL, 0);
  other->multiply(expected, ldc, a.x, a.ld, a.transposed, packed, s->m, s->n,
                  s->k, add, NULL, 0);
  CHECK(!memcmp(c, expected, sizeof c),
        "%s: (%d, %d, %d), kind %d, has the bits of VNNI", isa, s->m, s->n,
        s->k, kind);
}

static void check_same_bits(const char *isa, const packed_kernels *k,
                            const packed_kernels *other) {
  static const int rows[] = {1, 15, 16, 17, 31, 33, 47, 65, 81, 96, 97, 200},
                   columns[] = {1, 15, 16, 17, 63, 64, 65, 80, 131},
                   terms[] = {1, 3, 63, 64, 65, 200, 512};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t j = 0; j < sizeof columns / sizeof *columns; j++)
      for (size_t l = 0; l < sizeof terms / sizeof *terms; l++) {
        const shape s = {rows[i], columns[j], terms[l]};
        check_same(isa, k, other, &s, (int)(i + j + l) % 8);
      }
}

#endif

static void check_kernels(const char *isa, const packed_kernels *k) {
  static real start[WIDEST];
  fill_random(start, WIDEST, -1, 1);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (int kind = 0; kind < 16; kind++)
      check_product(isa, k, &shapes[i], kind, start);
  check_exact(isa, k);
  check_ties(isa, k);
  check_not_finite(isa, k, (real)NAN);
  check_not_finite(isa, k, (real)INFINITY);
  check_parts(isa, k);
}

static void check_set(const kernels *set) {
  const packed_kernels *k = set->packed[PACKED_INT8];
  check_kernels(set->isa, k);
#if defined(HAVE_X86_ISAS) && !defined(SAROS_DOUBLE)
  if (!strcmp(set->isa, "avx512amx"))
    check_same_bits(set->isa, k, &KERNEL_NAME(packed_vnni, avx512));
#endif
#ifdef HAVE_EMULATED_TILES
  if (!strcmp(set->isa, "avx512vnni")) {
    check_kernels("emulated tiles", &KERNEL_TABLE(packed_amx_int8));
    check_same_bits("emulated tiles", &KERNEL_TABLE(packed_amx_int8), k);
  }
#endif
}

int main(void) {
  return report_every_isa(check_set);
}
