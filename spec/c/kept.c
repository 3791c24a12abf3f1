/*
** Packed forms that are kept with frozen matrices: made once for each kind and each
** part of a matrix, for products of few rows, too, and freed with the matrix.
*/
#include "product.h"

#include "kernel_spec.h"
#include "tensor.h"

enum { N = 70, K = 530, ROWS = 40 };

static real x[ROWS * K], y[ROWS * N], other[ROWS * N], bias[N];

static saros_tensor *frozen_matrix(saros_context *context) {
  saros_tensor *w, *frozen;
  saros_tensor_new(context, SAROS_REAL, 2, (const int[]){N, K}, &w);
  fill_random(tensor_reals(w), N * K, -1, 1);
  CHECK(
      saros_tensor_frozen(w, &frozen) == SAROS_OK &&
          !memcmp(tensor_reals(w), tensor_reals(frozen), N * K * sizeof(real)),
      "a frozen tensor is a copy");
  saros_tensor_release(w);
  return frozen;
}

static void affine(saros_context *context, real *to, const saros_tensor *w,
                   const real *b, int rows) {
  CHECK(product_affine(context, to, x, tensor_reals(w), b,
                       (product_sizes){rows, N, K}) == SAROS_OK,
        "a product of %d rows", rows);
}

static size_t bytes_in_use(const saros_context *context) {
  return saros_memory_of(context).in_use;
}

static int same(int rows) {
  return !memcmp(y, other, (size_t)rows * N * sizeof *y);
}

/* One row at a time gives the bits of all rows, and nothing is packed for it. */
static void check_rows(saros_context *context, const saros_tensor *w) {
  const size_t before = bytes_in_use(context);
  affine(context, y, w, bias, ROWS);
  const size_t after = bytes_in_use(context);
  CHECK(after > before + N * K / 2 && after < before + 5 * N * K * sizeof(real),
        "kind %d: the packed form is counted", context->precision);
  for (int row = 0; row < ROWS; row++)
    CHECK(product_affine(context, other + row * N, x + row * K, tensor_reals(w),
                         bias, (product_sizes){1, N, K}) == SAROS_OK,
          "a product of a row");
  CHECK(same(ROWS), "kind %d: a row has the bits of many", context->precision);
  CHECK(bytes_in_use(context) == after, "kind %d: nothing is packed again",
        context->precision);
}

/* What the products start from is not frozen. */
static void check_start(saros_context *context, const saros_tensor *w) {
  const size_t before = bytes_in_use(context);
  affine(context, y, w, bias, ROWS);
  for (int i = 0; i < N; i++)
    bias[i] += 1;
  affine(context, other, w, bias, ROWS);
  int wrong = 0;
  for (int i = 0; i < ROWS * N; i++)
    wrong += !near(other[i], (double)y[i] + 1, 30, 8);
  CHECK(!wrong, "kind %d: with another start: %d wrong", context->precision,
        wrong);
  affine(context, y, w, NULL, ROWS);
  for (int i = 0; i < ROWS * N; i++)
    wrong += !near(other[i], (double)y[i] + (double)bias[i % N], 30, 8);
  CHECK(!wrong, "kind %d: without a start: %d wrong", context->precision,
        wrong);
  CHECK(bytes_in_use(context) == before,
        "kind %d: the form with another start takes the place of the last one",
        context->precision);
}

/* A walk may start the same matrix from several biases, all of them in use at once. */
static void check_users(saros_context *context, const saros_tensor *w) {
  enum { USERS = 3 };
  const product_view view = {tensor_reals(w), K, 1};
  static real start[USERS][N];
  product_packed packed[USERS];
  for (int i = 0; i < USERS; i++) {
    fill_random(start[i], N, -1, 1);
    CHECK(product_packed_new(context, &packed[i], view, start[i], N, K) ==
              SAROS_OK,
          "a form with its own start");
  }
  for (int i = 0; i < USERS; i++) {
    product_packed_multiply(
        context->kernels, &packed[i],
        &(product_rows){.c = y, .ldc = N, .a = x, .lda = K, .m = ROWS});
    affine(context, other, w, start[i], ROWS);
    CHECK(same(ROWS), "kind %d: a form that is used stays", context->precision);
  }
  const size_t before = bytes_in_use(context);
  for (int i = 0; i < USERS; i++)
    product_packed_release(context, &packed[i]);
  for (int i = 0; i < USERS; i++) {
    start[i][0] += 1;
    affine(context, y, w, start[i], ROWS);
  }
  CHECK(bytes_in_use(context) == before,
        "kind %d: forms that nobody uses are replaced", context->precision);
}

static void check_no_rows(saros_context *context, const saros_tensor *w) {
  affine(context, y, w, bias, 0);
}

/* Columns of a matrix, and a matrix the other way round, have forms of their own. */
static void check_parts(saros_context *context, const saros_tensor *w) {
  const product_view part = {tensor_reals(w) + 30, K, 1},
                     back = {tensor_reals(w), K, 0};
  const product_sizes of_part = {3, N, 100}, of_back = {3, K, N};
  static real few[3 * K], again[3 * K];
  CHECK(product_multiply(context, few, N, (product_view){x, K, 0}, part,
                         of_part, 0) == SAROS_OK &&
            product_multiply(context, again, K, (product_view){x, K, 0}, back,
                             of_back, 0) == SAROS_OK,
        "products with parts");
  int wrong = 0;
  for (int row = 0; row < 3; row++) {
    for (int j = 0; j < N; j++) {
      double sum = 0;
      for (int l = 0; l < 100; l++)
        sum += (double)x[row * K + l] * (double)part.data[j * K + l];
      wrong += fabs((double)few[row * N + j] - sum) > 0.3;
    }
    for (int j = 0; j < K; j++) {
      double sum = 0;
      for (int l = 0; l < N; l++)
        sum += (double)x[row * K + l] * (double)back.data[l * K + j];
      wrong += fabs((double)again[row * K + j] - sum) > 0.3;
    }
  }
  CHECK(!wrong, "kind %d: parts of a matrix: %d wrong", context->precision,
        wrong);
}

/* A matrix that can change is packed for each product. */
static void check_writable(saros_context *context) {
  saros_tensor *w;
  saros_tensor_new(context, SAROS_REAL, 2, (const int[]){N, K}, &w);
  fill_random(tensor_reals(w), N * K, -1, 1);
  affine(context, y, w, NULL, ROWS);
  const size_t before = bytes_in_use(context);
  affine(context, other, w, NULL, ROWS);
  CHECK(same(ROWS) && bytes_in_use(context) == before,
        "kind %d: nothing is kept of a matrix that can change",
        context->precision);
  tensor_zero(w);
  affine(context, y, w, NULL, ROWS);
  int wrong = 0;
  for (int i = 0; i < ROWS * N; i++)
    wrong += y[i] != 0;
  CHECK(!wrong, "kind %d: a matrix that changed", context->precision);
  saros_tensor_release(w);
}

/* Many frozen tensors, freed in another order. */
static void check_many(saros_context *context) {
  enum { MANY = 50 };
  saros_tensor *w[MANY];
  const size_t before = bytes_in_use(context);
  for (int i = 0; i < MANY; i++)
    w[i] = frozen_matrix(context);
  for (int i = 0; i < MANY; i++) {
    saros_tensor *at = w[i * 17 % MANY];
    const real *data = tensor_reals(at);
    const base_frozen *f = base_frozen_at(context, data + N * K - 1);
    CHECK(f == at->storage->frozen && f == base_frozen_at(context, data) &&
              base_frozen_at(context, data + N * K) != f,
          "a frozen tensor is found by the addresses in it");
    affine(context, y, at, NULL, 2);
    saros_tensor_release(at);
    CHECK(base_frozen_at(context, data) == NULL, "and no more when it is gone");
  }
  CHECK(bytes_in_use(context) < before + 65536,
        "the forms are freed with their matrices");
}

static void check_empty(saros_context *context) {
  saros_tensor *x0, *frozen;
  saros_tensor_new(context, SAROS_REAL, 2, (const int[]){0, 3}, &x0);
  CHECK(saros_tensor_frozen(x0, &frozen) == SAROS_OK, "nothing can be frozen");
  saros_tensor_release(frozen);
  saros_tensor_release(x0);
}

int main(void) {
  saros_context *context = saros_context_new(NULL, NULL);
  saros_set_threads(context, 2);
  fill_random(x, ROWS * K, -1, 1);
  fill_random(bias, N, -1, 1);
  saros_tensor *w = frozen_matrix(context);
  CHECK(saros_fill(w, 0) == SAROS_ESTATE, "nothing writes to a frozen tensor");
  for (int kind = PACKED_BF16; kind < PACKED_KINDS; kind++) {
    context->precision = kind;
    check_rows(context, w);
    check_start(context, w);
    check_users(context, w);
    check_no_rows(context, w);
    check_parts(context, w);
    check_writable(context);
    check_many(context);
  }
  check_empty(context);
  saros_tensor_release(w);
  saros_context_release(context);
  return report();
}
