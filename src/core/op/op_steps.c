/*
** Which steps of a padded batch count, and where the rows of a packed one are
** cut: (T, B) of 1 and 0 each.
*/
#include <string.h>

#include "op.h"

/* --- Hiding ------------------------------------------------------------------------ */

/* Rows of n elements on their way from x to y, each with its own mask. */
typedef struct hiding {
  const blend_kernels *kernels;
  real *y;
  const real *x, *mask;
  size_t n;
} hiding;

static void hide_rows(void *arguments, size_t from, size_t rows) {
  const hiding *h = arguments;
  h->kernels->scale_rows(h->y + from * h->n, h->x + from * h->n, h->mask + from,
                         rows, h->n);
}

static void add_hidden_rows(void *arguments, size_t from, size_t rows) {
  const hiding *h = arguments;
  h->kernels->add_scaled_rows(h->y + from * h->n, h->x + from * h->n,
                              h->mask + from, rows, h->n);
}

static saros_status mask_rows_backward(const tape_entry *e) {
  const saros_tensor *mask = e->saved[0];
  saros_tensor *dx, *dy;
  TRY(tensor_node_gradient(e->input[0], &dx));
  TRY(tape_entry_gradient(e, 0, &dy));
  size_t n = mask->count ? dx->count / mask->count : 0;
  saros_status status =
      team_rows(e->context, mask->count, n, add_hidden_rows,
                &(hiding){e->context->kernels->blend, tensor_reals(dx),
                          tensor_reals(dy), tensor_reals(mask), n});
  saros_tensor_release(dy);
  return status;
}

static const tape_operation mask_rows_operation = {"mask_rows",
                                                   mask_rows_backward};

static saros_status expect_mask(const char *function, saros_tensor *x,
                                saros_tensor *mask) {
  TRY(tensor_expect_context(function, x->context, mask));
  TRY(tensor_expect_real(function, "the mask", mask));
  if (mask->rank <= x->rank &&
      memcmp(mask->shape, x->shape, (size_t)mask->rank * sizeof(int)) == 0)
    return SAROS_OK;
  return saros_fail(x->context, SAROS_EARGUMENT,
                    "%s: expected a mask with the first sizes of %s, got %s",
                    function, TENSOR_SHAPE(x), TENSOR_SHAPE(mask));
}

/* Ids have no gradient, and 0 is one that every table has. */
static void hide_ids(saros_tensor *y, const saros_tensor *x,
                     const saros_tensor *mask, size_t n) {
  for (size_t i = 0; i < y->count; i++)
    tensor_ids(y)[i] = tensor_reals(mask)[i / n] != 0 ? tensor_ids(x)[i] : 0;
}

saros_status saros_mask_rows(saros_tensor *x, saros_tensor *mask,
                             saros_tensor **out) {
  *out = NULL;
  TRY(expect_mask("mask_rows", x, mask));
  saros_tensor *from = NULL, *rows = NULL;
  saros_status status;
  TRY_OR_DONE(saros_contiguous(x, &from));
  TRY_OR_DONE(saros_contiguous(mask, &rows));
  TRY_OR_DONE(tensor_like(from, out));
  size_t n = rows->count ? from->count / rows->count : 0;
  if (x->dtype == SAROS_IDS) {
    hide_ids(*out, from, rows, n);
    goto done;
  }
  TRY_OR_DONE(
      team_rows(x->context, rows->count, n, hide_rows,
                &(hiding){x->context->kernels->blend, tensor_reals(*out),
                          tensor_reals(from), tensor_reals(rows), n}));
  status = tape_record_unary(&mask_rows_operation, from, rows, NULL, 0, out);
done:
  saros_tensor_release(from);
  saros_tensor_release(rows);
  return tensor_or_nothing(status, out);
}

/* --- Cuts -------------------------------------------------------------------------- */

/*
** Two steps of a row that count, with none between them that does, belong to
** different pieces if a piece begins behind the first, up to the second:
**
**   mask    1  1  1  0  0  1  1  0
**   reset   0  1  0  0  1  0  0  1      the last one is behind the row's end
**   keep    1  0  1  .  .  0  1  .      forward
**           0  1  0  .  .  1  1  .      reverse
*/
static void cut_row(real *keep, const real *reset, const real *mask, int T,
                    int B, int reverse) {
  int cut = 0, entered = !reverse;
  for (int left = T; left > 0; left--) {
    ptrdiff_t at = (ptrdiff_t)(reverse ? left - 1 : T - left) * B;
    int begins = reset[at] != 0, counts = mask == NULL || mask[at] != 0;
    if (!reverse)
      cut |= begins;
    keep[at] = !(counts && cut);
    if (counts)
      cut = 0, entered = 1;
    if (reverse)
      cut |= entered && begins;
  }
}

saros_status saros_keep(saros_tensor *reset, saros_tensor *mask, int reverse,
                        saros_tensor **out) {
  *out = NULL;
  TRY(tensor_expect_real("keep", "reset", reset));
  if (reset->rank != 2)
    return saros_fail(reset->context, SAROS_EARGUMENT,
                      "keep: expected reset of shape (T, B), got %s",
                      TENSOR_SHAPE(reset));
  if (mask != NULL)
    TRY(expect_mask("keep", reset, mask));
  if (mask != NULL && mask->rank != 2)
    return saros_fail(reset->context, SAROS_EARGUMENT,
                      "keep: expected a mask of shape (T, B), got %s",
                      TENSOR_SHAPE(mask));
  saros_tensor *from = NULL, *rows = NULL;
  saros_status status;
  TRY_OR_DONE(saros_contiguous(reset, &from));
  if (mask != NULL)
    TRY_OR_DONE(saros_contiguous(mask, &rows));
  TRY_OR_DONE(tensor_like(from, out));
  int T = reset->shape[0], B = reset->shape[1];
  for (int row = 0; row < B; row++)
    cut_row(tensor_reals(*out) + row, tensor_reals(from) + row,
            rows ? tensor_reals(rows) + row : NULL, T, B, reverse);
done:
  saros_tensor_release(from);
  saros_tensor_release(rows);
  return status;
}
