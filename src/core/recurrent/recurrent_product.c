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

/* A step alone is not worth packing, nor can a packed U be used in parts. */
saros_status recurrent_pack(recurrence *r, int backward) {
  int GH = r->G * r->H;
  if (r->T < 3 || r->cell->in_parts || r->cell->facts.linear)
    return SAROS_OK;
  const real *start =
      backward || !r->t[R_U] ? NULL : recurrent_reals(r, R_BIAS_HH);
  const product_view U = {recurrent_reals(r, R_WEIGHT_HH), r->P, !backward};
  return product_packed_new(r->context, &r->packed, U, start,
                            backward ? r->P : GH, backward ? GH : r->P);
}

/* C = A U or A U^T, or += with 'add', by the packed U. */
static void multiply_packed(const recurrence *r, const recurrent_step *s,
                            real *c, int ldc, const real *a, int lda, int add) {
  size_t ahead = (size_t)s->rows * (size_t)r->G * (size_t)r->H;
  const product_rows rows = {c,       ldc, a,        lda,
                             s->rows, add, s->ahead, s->ahead ? ahead : 0};
  if (r->alone)  // an interrupt is the walk's business
    product_packed_multiply_shared(r->context, &r->packed, &rows);
  else
    product_packed_multiply(r->kernels, &r->packed, &rows);
}

/* Gates first..first + count - 1 of U read, into out (rows, G H). */
void recurrent_multiply_gates(const recurrence *r, const recurrent_step *s,
                              real *out, const real *read, int first, int count,
                              real beta) {
  int width = r->G * r->H, from = first * r->H;
  r->kernels->product->multiply(out + from, width, read, r->P, 0,
                                recurrent_reals(r, R_WEIGHT_HH) +
                                    (ptrdiff_t)from * r->P,
                                r->P, 1, s->rows, count * r->H, r->P, beta);
}

/* gates += U read, or u = U read + b' */
static void multiply_state(const recurrence *r, const recurrent_step *s) {
  int width = r->G * r->H;
  if (r->packed.data != NULL) {
    multiply_packed(r, s, s->u ? s->u : s->gates, width, s->read, r->P,
                    s->u == NULL);
  } else if (s->u == NULL) {
    recurrent_multiply_gates(r, s, s->gates, s->read, 0, r->G, 1);
  } else {
    int biased = fill_rows(s->u, recurrent_reals(r, R_BIAS_HH), s->rows, width);
    recurrent_multiply_gates(r, s, s->u, s->read, 0, r->G, biased ? 1 : 0);
  }
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
  int width = r->G * r->H, from = first * r->H;
  if (r->packed.data != NULL) {
    multiply_packed(r, s, dread, r->P, s->du, width, beta != 0);
    return;
  }
  r->kernels->product->multiply(dread, r->P, s->du + from, width, 0,
                                recurrent_reals(r, R_WEIGHT_HH) +
                                    (ptrdiff_t)from * r->P,
                                r->P, 0, s->rows, r->P, count * r->H, beta);
}

/* From dv, the gradient of v, to du and dread. Without layer norm du is dv. */
void recurrent_unproject(const recurrence *r, const recurrent_step *s,
                         const real *dv) {
  size_t width = (size_t)r->G * (size_t)r->H, rows = (size_t)s->rows;
  if (r->t[R_NORM_GAIN] != NULL) {
    memset(s->du, 0, rows * width * sizeof(real));
    r->kernels->layer_norm->backward(s->du, NULL, NULL, dv, s->u,
                                     recurrent_reals(r, R_NORM_GAIN), s->v_mean,
                                     s->v_rstd, rows, width);
  }
  recurrent_unmultiply_gates(r, s, s->dread, 0, r->G, 1);
}
