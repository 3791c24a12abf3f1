/*
** Packed forms that are kept with frozen matrices from call to call.
**
** A form belongs to a matrix, which may be part of the frozen memory, to a kind, and to
** what its products start from. That may be memory of the caller's, so the form has a
** copy of it; one with another start takes the place of one that nobody uses, as it is
** there for good only if the weights that it comes from are. A walk whose products
** start the same matrix from several biases uses as many forms at once.
*/
#include <string.h>

#include "product.h"

#define ALIGNED(bytes) (((bytes) + 63) & ~(size_t)63)

/* One block of the pool: this, the start (n), the data. */
typedef struct kept_form {
  base_kept link;
  product_view matrix;
  product_packed packed;
  int is_started;
  int users;
} kept_form;

/* The owner of the forms. */
static const char forms;

int product_is_kept(const saros_context *context, const real *matrix) {
  return product_kind(context) != PACKED_REAL &&
         base_frozen_at(context, matrix) != NULL;
}

static real *start_of(kept_form *form) {
  return (real *)(void *)((char *)form + ALIGNED(sizeof *form));
}

static int has_start(kept_form *form, const real *start) {
  if (start == NULL || !form->is_started)
    return start == NULL && !form->is_started;
  return memcmp(start_of(form), start,
                (size_t)form->packed.n * sizeof *start) == 0;
}

static int is_of(const kept_form *form, const product_packed *p,
                 product_view b) {
  const product_packed *own = &form->packed;
  return form->link.owner == &forms && form->matrix.data == b.data &&
         form->matrix.ld == b.ld && form->matrix.transposed == b.transposed &&
         own->n == p->n && own->k == p->k && own->kind == p->kind;
}

/* The place in the list of the form of a matrix with a start; if there is none, of a
** form of the matrix that nobody uses, or the end. */
static base_kept **find(base_frozen *frozen, const product_packed *p,
                        product_view b, const real *start) {
  base_kept **at = &frozen->kept, **unused = NULL;
  for (; *at != NULL; at = &(*at)->next) {
    kept_form *form = (kept_form *)*at;
    if (!is_of(form, p, b))
      continue;
    if (has_start(form, start))
      return at;
    if (form->users == 0)
      unused = at;
  }
  return unused != NULL ? unused : at;
}

static saros_status form_new(saros_context *context, const product_packed *p,
                             product_view b, const real *start,
                             kept_form **out) {
  size_t start_bytes = (size_t)p->n * sizeof *start;
  size_t head = ALIGNED(sizeof **out) + ALIGNED(start_bytes);
  size_t bytes = head + product_packed_bytes(context->kernels, p);
  kept_form *form = *out = pool_take(&context->pool, bytes);
  if (form == NULL)
    return base_out_of_memory(context, bytes);
  *form = (kept_form){.link.owner = &forms,
                      .matrix = b,
                      .packed = *p,
                      .is_started = start != NULL};
  form->packed.data = (char *)form + head;
  form->packed.users = &form->users;
  if (start != NULL)
    memcpy(start_of(form), start, start_bytes);
  saros_status status = product_pack(context, &form->packed, b, start);
  if (status != SAROS_OK)
    pool_give(&context->pool, form);
  return status;
}

saros_status product_keep(saros_context *context, product_packed *p,
                          product_view b, const real *start) {
  base_kept **at = find(base_frozen_at(context, b.data), p, b, start);
  kept_form *form = (kept_form *)*at;
  if (form == NULL || !has_start(form, start)) {
    kept_form *made;
    TRY(form_new(context, p, b, start, &made));
    made->link.next = *at != NULL ? (*at)->next : NULL;
    *at = &made->link;
    pool_give(&context->pool, form);
    form = made;
  }
  form->users++;
  *p = form->packed;
  return SAROS_OK;
}
