/*
** The product of the state with U, on the walk. U h + b' is added to the gates in
** one product where the cell allows; a cell that needs it by itself, and any cell
** with layer norm, gets it in u, and in v after the norm.
*/
#include <string.h>

#include "recurrent.h"

/* y (rows, n) = b in every row; 0 if there is no b. */
static int fill_rows(real *y, const real *b, int rows, int n) {
  if (b == NULL)
    return 0;
  for (int row = 0; row < rows; row++)
    memcpy(y + (ptrdiff_t)row * n, b, (size_t)n * sizeof(real));
  return 1;
}

int recurrent_is_packed(const recurrence *r) {
  return r->T >= 3 && !r->cell->facts.linear;
}

/* True if the steps of a walk repay packing a matrix (k, n): in a low precision a
** large product is never made without, nor one with a matrix whose packed form is
** kept. */
static int repays_packing(const recurrence *r, const real *matrix, int n,
                          int k) {
  return recurrent_is_packed(r) || product_is_kept(r->context, matrix) ||
         (product_kind(r->context) != PACKED_REAL &&
          product_suits_packing(r->context, r->B, n, k));
}

/* Packs rows first..first + rows - 1 of a matrix of 'columns' columns, transposed
** for the forward walk. */
static saros_status pack_rows(recurrence *r, int which, int matrix, int first,
                              int rows, int columns, const real *start,
                              int backward) {
  const int n = backward ? columns : rows, k = backward ? rows : columns;
  const product_view view = {recurrent_reals(r, matrix) +
                                 (ptrdiff_t)first * columns,
                             columns, !backward};
  if (!repays_packing(r, view.data, n, k))
    return SAROS_OK;
  return product_packed_new(r->context, &r->packed[which], view, start, n, k);
}

saros_status recurrent_pack(recurrence *r, int backward) {
  const int GH = r->G * r->H, H = r->H;
  const real *start =
      backward || !r->t[R_U] ? NULL : recurrent_reals(r, R_BIAS_HH);
  if (r->cell->facts.linear)
    return SAROS_OK;
  const int last = r->cell->in_parts ? H : 0;
  TRY(pack_rows(r, RECURRENT_U, R_WEIGHT_HH, 0, GH - last, r->P, start,
                backward));
  if (last > 0)
    TRY(pack_rows(r, RECURRENT_U_LAST, R_WEIGHT_HH, GH - last, last, r->P, NULL,
                  backward));
  if (r->t[R_WEIGHT_HR] == NULL)
    return SAROS_OK;
  return pack_rows(r, RECURRENT_R, R_WEIGHT_HR, 0, r->P, H, NULL, backward);
}

void recurrent_unpack(recurrence *r) {
  for (int i = 0; i < RECURRENT_PRODUCTS; i++)
    product_packed_release(r->context, &r->packed[i]);
}

/* C = A B, or += with 'add', for a packed B. */
static void multiply_packed(const recurrence *r, const product_packed *b,
                            const product_rows *rows) {
  if (r->alone)  // an interrupt is the walk's business
    product_packed_multiply_shared(r->context, b, rows);
  else
    product_packed_multiply(r->kernels, b, rows);
}

/* The packed U of some gates, the first of which is 'first'. */
static const product_packed *packed_gates(const recurrence *r, int first) {
  return &r->packed[first == 0 ? RECURRENT_U : RECURRENT_U_LAST];
}

/* The rows of a step of C = A B + beta C; what the next step reads is fetched
** meanwhile. */
static product_rows rows_of(const recurrence *r, const recurrent_step *s,
                            real *c, int ldc, const real *a, int lda,
                            real beta) {
  size_t ahead = (size_t)s->rows * (size_t)r->G * (size_t)r->H;
  return (product_rows){.c = c,
                        .ldc = ldc,
                        .a = a,
                        .lda = lda,
                        .m = s->rows,
                        .add = beta != 0,
                        .backwards = s->backwards,
                        .ahead = s->ahead,
                        .ahead_count = s->ahead ? ahead : 0};
}

/* Gates first..first + count - 1 of U read, into out (rows, G H). */
void recurrent_multiply_gates(const recurrence *r, const recurrent_step *s,
                              real *out, const real *read, int first, int count,
                              real beta) {
  const int width = r->G * r->H, from = first * r->H;
  const product_packed *packed = packed_gates(r, first);
  const product_rows rows = rows_of(r, s, out + from, width, read, r->P, beta);
  if (packed->data != NULL)
    multiply_packed(r, packed, &rows);
  else
    r->kernels->product->multiply(out + from, width, read, r->P, 0,
                                  recurrent_reals(r, R_WEIGHT_HH) +
                                      (ptrdiff_t)from * r->P,
                                  r->P, 1, s->rows, count * r->H, r->P, beta);
}

/* gates += U read, or u = U read + b' */
static void multiply_state(const recurrence *r, const recurrent_step *s) {
  int width = r->G * r->H;
  if (s->u == NULL) {
    recurrent_multiply_gates(r, s, s->gates, s->read, 0, r->G, 1);
    return;
  }
  int biased = r->packed[RECURRENT_U].data == NULL &&
               fill_rows(s->u, recurrent_reals(r, R_BIAS_HH), s->rows, width);
  recurrent_multiply_gates(r, s, s->u, s->read, 0, r->G, biased ? 1 : 0);
}

/* Adds U read to the gates, or leaves it in u, and in v after layer norm. */
void recurrent_project(const recurrence *r, const recurrent_step *s) {
  int width = r->G * r->H;
  multiply_state(r, s);
  if (r->t[R_NORM_GAIN] == NULL)
    return;
  r->kernels->layer_norm->forward(
      s->v, s->v_mean, s->v_rstd, s->u, recurrent_reals(r, R_NORM_GAIN),
      recurrent_reals(r, R_NORM_BIAS), RECURRENT_NORM_EPSILON, (size_t)s->rows,
      (size_t)width);
  if (!r->cell->separate)
    r->kernels->pointwise->add_scaled(s->gates, 1, s->v,
                                      (size_t)s->rows * (size_t)width);
}

/* dread += gates first.. of du, times U. */
void recurrent_unmultiply_gates(const recurrence *r, const recurrent_step *s,
                                real *dread, int first, int count, real beta) {
  const int width = r->G * r->H, from = first * r->H;
  const product_packed *packed = packed_gates(r, first);
  const product_rows rows =
      rows_of(r, s, dread, r->P, s->du + from, width, beta);
  if (packed->data != NULL)
    multiply_packed(r, packed, &rows);
  else
    r->kernels->product->multiply(dread, r->P, s->du + from, width, 0,
                                  recurrent_reals(r, R_WEIGHT_HH) +
                                      (ptrdiff_t)from * r->P,
                                  r->P, 0, s->rows, r->P, count * r->H, beta);
}

/* y (rows, n) = x B for R as B, or R^T. */
static void multiply_output(const recurrence *r, const recurrent_step *s,
                            real *y, int n, const real *x, int k,
                            int transposed) {
  const product_packed *packed = &r->packed[RECURRENT_R];
  if (packed->data != NULL)
    multiply_packed(
        r, packed,
        &(product_rows){.c = y, .ldc = n, .a = x, .lda = k, .m = s->rows});
  else
    r->kernels->product->multiply(y, n, x, k, 0,
                                  recurrent_reals(r, R_WEIGHT_HR), r->H,
                                  transposed, s->rows, n, k, 0);
}

void recurrent_project_output(const recurrence *r, const recurrent_step *s) {
  multiply_output(r, s, s->h, r->P, s->inner, r->H, 1);
}

void recurrent_unproject_output(const recurrence *r, const recurrent_step *s) {
  multiply_output(r, s, s->dinner, r->H, s->dh, r->P, 0);
}

/* From dv, the gradient of v, to du and dread. Without layer norm du is dv. */
void recurrent_unproject(const recurrence *r, const recurrent_step *s,
                         const real *dv) {
  size_t width = (size_t)r->G * (size_t)r->H, rows = (size_t)s->rows;
  if (r->t[R_NORM_GAIN] != NULL) {
    memset(s->du, 0, rows * width * sizeof(real));
    r->kernels->layer_norm->backward(s->du, dv, s->u,
                                     recurrent_reals(r, R_NORM_GAIN), s->v_mean,
                                     s->v_rstd, rows, width);
  }
  recurrent_unmultiply_gates(r, s, s->dread, 0, r->G, 1);
}
