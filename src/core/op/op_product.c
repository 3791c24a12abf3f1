/*
** Matrix products as operations: matmul for any ranks, and the linear map,
** which is a product with its bias in one entry.
*/
#include "op.h"

#include <string.h>

/* --- Matrices of a tensor ----------------------------------------------------------- */

/* The last two axes of a tensor as BLAS wants them. */
typedef struct matrix {
  int rows, columns, ld, transposed;
} matrix;

static product_view view_of(const real *data, const matrix *m) {
  return (product_view){data, m->ld, m->transposed};
}

/* True if the last two axes can be read in place, possibly transposed. */
static int as_matrix(const saros_tensor *x, matrix *m) {
  const int *shape = x->shape + x->rank - 2;
  const ptrdiff_t *stride = x->stride + x->rank - 2;
  m->rows = shape[0], m->columns = shape[1];
  int by_rows = shape[1] <= 1 || stride[1] == 1;
  int by_columns = shape[0] <= 1 || stride[0] == 1;
  ptrdiff_t ld0 = shape[0] <= 1 ? shape[1] : stride[0];
  ptrdiff_t ld1 = shape[1] <= 1 ? shape[0] : stride[1];
  m->transposed = !(by_rows && ld0 >= shape[1] && ld0 <= INT32_MAX);
  ptrdiff_t ld = m->transposed ? ld1 : ld0;
  m->ld = ld < 1 ? 1 : (int)ld;
  if (!m->transposed)
    return 1;
  return by_columns && ld1 >= shape[0] && ld1 <= INT32_MAX;
}

/* x itself, retained, or a copy whose matrices can be read in place. */
static saros_status readable(saros_tensor *x, matrix *m, saros_tensor **out) {
  if (as_matrix(x, m)) {
    *out = saros_tensor_retain(x);
    return SAROS_OK;
  }
  TRY(tensor_like(x, out));
  tensor_copy(*out, x);
  as_matrix(*out, m);
  return SAROS_OK;
}

/* --- matmul ---------------------------------------------------------------------------- */

/* A view of x without its last two axes, to walk over its matrices. */
static saros_tensor leading(const saros_tensor *x) {
  saros_tensor view = *x;
  view.rank -= 2;
  return view;
}

/* y = a b for every pair of matrices, all ranks being at least 2. */
static saros_status multiply_all(saros_tensor *y, const saros_tensor *a,
                                 const matrix *ma, const saros_tensor *b,
                                 const matrix *mb) {
  saros_tensor lead_y = leading(y), lead_a = leading(a), lead_b = leading(b);
  tensor_walk w;
  tensor_walk_start(&w, lead_y.rank, lead_y.shape, 3,
                    (const saros_tensor *const[]){&lead_y, &lead_a, &lead_b});
  do {
    real *c = tensor_reals(y) + w.at[0];
    const real *left = tensor_reals(a) + w.at[1],
               *right = tensor_reals(b) + w.at[2];
    for (size_t i = 0; i < w.inner; i++) {
      TRY(product_multiply(
          y->context, c, mb->columns, view_of(left, ma), view_of(right, mb),
          (product_sizes){ma->rows, mb->columns, ma->columns}, 0));
      c += w.step[0], left += w.step[1], right += w.step[2];
    }
  } while (tensor_walk_next(&w));
  return SAROS_OK;
}

static saros_status matmul_backward(const tape_entry *e);
static const tape_operation matmul_operation = {"matmul", matmul_backward};

/* a and b of rank 2 or more; not recorded. */
static saros_status product_of(saros_tensor *a, saros_tensor *b,
                               saros_tensor **out) {
  *out = NULL;
  int rank, shape[SAROS_MAX_RANK];
  saros_tensor lead_a = leading(a), lead_b = leading(b);
  TRY(op_broadcast_shape("matmul", &lead_a, &lead_b, &rank, shape));
  shape[rank] = a->shape[a->rank - 2];
  shape[rank + 1] = b->shape[b->rank - 1];
  matrix ma, mb;
  saros_tensor *left = NULL, *right = NULL;
  saros_status status;
  TRY_OR_DONE(readable(a, &ma, &left));
  TRY_OR_DONE(readable(b, &mb, &right));
  TRY_OR_DONE(tensor_new(a->context, SAROS_REAL, rank + 2, shape, out));
  if ((*out)->count > 0)
    status = multiply_all(*out, left, &ma, right, &mb);
done:
  saros_tensor_release(left);
  saros_tensor_release(right);
  return tensor_or_nothing(status, out);
}

static saros_status record_product(saros_tensor *a, saros_tensor *b,
                                   saros_tensor **out) {
  TRY(product_of(a, b, out));
  saros_tensor *operands[2] = {a, b};
  saros_tensor *saved[2] = {tape_wants(a->context, b) ? a : NULL,
                            tape_wants(a->context, a) ? b : NULL};
  return tape_record(a->context, &(tape_call){&matmul_operation, 2, operands, 1,
                                              out, 2, saved, NULL, 0});
}

/* The product of x and y, one of them transposed, added to a node. A plain
** matrix is computed right into the gradient. */
static saros_status add_product(tensor_node *n, saros_tensor *x,
                                int x_transposed, saros_tensor *y,
                                int y_transposed) {
  saros_tensor *left = NULL, *right = NULL, *g = NULL;
  saros_status status;
  TRY_OR_DONE(x_transposed ? saros_transpose(x, -1, -2, &left)
                           : saros_detach(x, &left));
  TRY_OR_DONE(y_transposed ? saros_transpose(y, -1, -2, &right)
                           : saros_detach(y, &right));
  matrix ml, mr;
  if (n->rank == 2 && left->rank == 2 && right->rank == 2 &&
      as_matrix(left, &ml) && as_matrix(right, &mr)) {
    real beta;
    TRY_OR_DONE(tensor_node_target(n, &g, &beta));
    status = product_multiply(
        n->context, tensor_reals(g), mr.columns,
        view_of(tensor_reals(left), &ml), view_of(tensor_reals(right), &mr),
        (product_sizes){ml.rows, mr.columns, ml.columns}, beta);
  } else {
    TRY_OR_DONE(product_of(left, right, &g));
    TRY_OR_DONE(op_reduce_to(g, n->rank, n->shape, &g));
    status = tensor_node_add(n, g);
  }
done:
  saros_tensor_release(left);
  saros_tensor_release(right);
  return status;
}

static saros_status matmul_backward(const tape_entry *e) {
  saros_tensor *dy = e->output[0]->gradient;
  if (e->input[0] != NULL)
    TRY(add_product(e->input[0], dy, 0, e->saved[1], 1));
  if (e->input[1] != NULL)
    TRY(add_product(e->input[1], e->saved[0], 1, dy, 0));
  return SAROS_OK;
}

/* a (..., M, K) with b (K, N): one product of all rows. */
static saros_status fold_rows(saros_tensor *a, saros_tensor *b,
                              saros_tensor **out) {
  int flat[2] = {-1, a->shape[a->rank - 1]}, shape[SAROS_MAX_RANK];
  memcpy(shape, a->shape, sizeof shape);
  shape[a->rank - 1] = b->shape[1];
  saros_tensor *rows = NULL, *y = NULL;
  saros_status status;
  TRY_OR_DONE(saros_reshape(a, 2, flat, &rows));
  TRY_OR_DONE(record_product(rows, b, &y));
  status = saros_reshape(y, a->rank, shape, out);
done:
  saros_tensor_release(rows);
  saros_tensor_release(y);
  return status;
}

/* An operand of rank 1 as a matrix: a row on the left, a column on the right.
** Anything else is retained. */
static saros_status promote(saros_tensor *x, int column, saros_tensor **out) {
  if (x->rank != 1) {
    *out = saros_tensor_retain(x);
    return SAROS_OK;
  }
  int shape[2] = {column ? x->shape[0] : 1, column ? 1 : x->shape[0]};
  return saros_reshape(x, 2, shape, out);
}

/* Removes from *y the axes that promote added. */
static saros_status demote(saros_tensor **y, int row, int column) {
  if (!row && !column)
    return SAROS_OK;
  int shape[SAROS_MAX_RANK], rank = 0;
  saros_tensor *x = *y;
  for (int axis = 0; axis < x->rank; axis++) {
    if (row && axis == x->rank - 2)
      continue;
    if (column && axis == x->rank - 1)
      continue;
    shape[rank++] = x->shape[axis];
  }
  saros_status status = saros_reshape(x, rank, shape, y);
  saros_tensor_release(x);
  return status;
}

static saros_status expect_factors(saros_tensor *a, saros_tensor *b) {
  TRY(tensor_expect_context("matmul", a->context, b));
  TRY(tensor_expect_real("matmul", "a", a));
  TRY(tensor_expect_real("matmul", "b", b));
  if (a->rank < 1 || b->rank < 1)
    return saros_fail(a->context, SAROS_EARGUMENT,
                      "matmul: expected operands of rank 1 or more, got %s and "
                      "%s",
                      TENSOR_SHAPE(a), TENSOR_SHAPE(b));
  int K = a->shape[a->rank - 1];
  if (b->shape[b->rank == 1 ? 0 : b->rank - 2] == K)
    return SAROS_OK;
  return saros_fail(a->context, SAROS_EARGUMENT,
                    "matmul: expected b of shape (%s%d%s), got %s for a of "
                    "shape %s",
                    b->rank > 2 ? "..., " : "", K, b->rank > 1 ? ", N" : "",
                    TENSOR_SHAPE(b), TENSOR_SHAPE(a));
}

saros_status saros_matmul(saros_tensor *a, saros_tensor *b,
                          saros_tensor **out) {
  *out = NULL;
  TRY(expect_factors(a, b));
  saros_tensor *left = NULL, *right = NULL;
  saros_status status;
  TRY_OR_DONE(promote(a, 0, &left));
  TRY_OR_DONE(promote(b, 1, &right));
  int foldable = right->rank == 2 && left->rank > 2 && left->count > 0;
  TRY_OR_DONE(foldable ? fold_rows(left, right, out)
                       : record_product(left, right, out));
  status = demote(out, a->rank == 1, b->rank == 1);
done:
  saros_tensor_release(left);
  saros_tensor_release(right);
  return status;
}

/* --- linear ------------------------------------------------------------------------------ */

static saros_status linear_dx(const tape_entry *e, const saros_tensor *dy,
                              int rows) {
  const saros_tensor *weight = e->saved[1];
  int O = weight->shape[0], I = weight->shape[1];
  saros_tensor *dx;
  real beta;
  TRY(tensor_node_target(e->input[0], &dx, &beta));
  return product_multiply(e->context, tensor_reals(dx), I,
                          (product_view){tensor_reals(dy), O, 0},
                          (product_view){tensor_reals(weight), I, 0},
                          (product_sizes){rows, I, O}, beta);
}

static saros_status linear_dbias(const tape_entry *e, const saros_tensor *dy,
                                 int rows, real *dbias) {
  int O = e->output[0]->shape[e->output[0]->rank - 1];
  return product_add_outer(e->context,
                           &(product_outer_sum){.dy = tensor_reals(dy),
                                                .ldy = O,
                                                .m = O,
                                                .rows = rows,
                                                .split = rows,
                                                .dbias = dbias});
}

/* dweight and, in the same pass, dbias. */
static saros_status linear_dweight(const tape_entry *e, const saros_tensor *dy,
                                   int rows, real *dbias) {
  int O = e->input[1]->shape[0], I = e->input[1]->shape[1];
  saros_tensor *dweight;
  real beta;
  TRY(tensor_node_target(e->input[1], &dweight, &beta));
  const real *x = tensor_reals(e->saved[0]);
  return product_add_outer(
      e->context, &(product_outer_sum){
                      .dy = tensor_reals(dy),
                      .ldy = O,
                      .m = O,
                      .rows = rows,
                      .split = rows,
                      .factors = 1,
                      .factor = {{{x, x}, I, tensor_reals(dweight), beta != 0}},
                      .dbias = dbias});
}

static saros_status linear_backward(const tape_entry *e) {
  saros_tensor *dy;
  TRY(tape_entry_gradient(e, 0, &dy));
  int rows = *(const int *)e->arguments;
  saros_status status = SAROS_OK;
  if (e->input[0] != NULL)
    TRY_OR_DONE(linear_dx(e, dy, rows));
  saros_tensor *dbias = NULL;
  if (e->input[2] != NULL)
    TRY_OR_DONE(tensor_node_gradient(e->input[2], &dbias));
  if (e->input[1] != NULL)
    status = linear_dweight(e, dy, rows, dbias ? tensor_reals(dbias) : NULL);
  else if (dbias != NULL)
    status = linear_dbias(e, dy, rows, tensor_reals(dbias));
done:
  saros_tensor_release(dy);
  return status;
}

static const tape_operation linear_operation = {"linear", linear_backward};

static saros_status expect_linear(saros_tensor *x, saros_tensor *weight,
                                  saros_tensor *bias) {
  saros_context *context = x->context;
  TRY(tensor_expect_context("linear", context, weight));
  TRY(tensor_expect_real("linear", "x", x));
  TRY(tensor_expect_real("linear", "weight", weight));
  if (weight->rank != 2)
    return saros_fail(context, SAROS_EARGUMENT,
                      "linear: expected weight of shape (O, I), got %s",
                      TENSOR_SHAPE(weight));
  if (x->rank < 1 || x->shape[x->rank - 1] != weight->shape[1])
    return saros_fail(context, SAROS_EARGUMENT,
                      "linear: expected x of shape (..., %d), got %s",
                      weight->shape[1], TENSOR_SHAPE(x));
  if (bias == NULL)
    return SAROS_OK;
  TRY(tensor_expect_context("linear", context, bias));
  TRY(tensor_expect_real("linear", "bias", bias));
  if (bias->rank != 1 || bias->shape[0] != weight->shape[0])
    return saros_fail(context, SAROS_EARGUMENT,
                      "linear: expected bias of shape (%d), got %s",
                      weight->shape[0], TENSOR_SHAPE(bias));
  return SAROS_OK;
}

static saros_status linear_forward(saros_tensor *x, saros_tensor *weight,
                                   saros_tensor *bias, int rows,
                                   saros_tensor **out) {
  int shape[SAROS_MAX_RANK], O = weight->shape[0], I = weight->shape[1];
  memcpy(shape, x->shape, sizeof shape);
  shape[x->rank - 1] = O;
  TRY(tensor_new(x->context, SAROS_REAL, x->rank, shape, out));
  return tensor_or_nothing(
      product_affine(x->context, tensor_reals(*out), tensor_reals(x),
                     tensor_reals(weight),
                     bias != NULL ? tensor_reals(bias) : NULL,
                     (product_sizes){rows, O, I}),
      out);
}

/* The product of all sizes but the last. */
static saros_status row_count(const saros_tensor *x, int *rows) {
  size_t count = 1;
  for (int axis = 0; axis < x->rank - 1; axis++)
    count *= (size_t)x->shape[axis];
  *rows = (int)count;
  if (count <= INT32_MAX)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "linear: expected fewer than 2^31 rows, got shape %s",
                    TENSOR_SHAPE(x));
}

saros_status saros_linear(saros_tensor *x, saros_tensor *weight,
                          saros_tensor *bias, saros_tensor **out) {
  *out = NULL;
  TRY(expect_linear(x, weight, bias));
  saros_tensor *from = NULL, *w = NULL, *b = NULL;
  saros_status status;
  TRY_OR_DONE(saros_contiguous(x, &from));
  TRY_OR_DONE(saros_contiguous(weight, &w));
  if (bias != NULL)
    TRY_OR_DONE(saros_contiguous(bias, &b));
  int rows;
  TRY_OR_DONE(row_count(from, &rows));
  TRY_OR_DONE(linear_forward(from, w, b, rows, out));
  saros_tensor *inputs[3] = {from, w, b};
  saros_tensor *saved[2] = {tape_wants(x->context, w) ? from : NULL,
                            tape_wants(x->context, from) ? w : NULL};
  status =
      tape_record(x->context, &(tape_call){&linear_operation, 3, inputs, 1, out,
                                           2, saved, &rows, sizeof rows});
done:
  saros_tensor_release(from);
  saros_tensor_release(w);
  saros_tensor_release(b);
  return status;
}
