/*
** Nodes: where the gradients of tensors gather, added up as they come.
*/
#include <string.h>

#include "tensor.h"

saros_status tensor_node_new(const saros_tensor *x, unsigned long serial,
                             tensor_node **out) {
  TRY(base_object_new(x->context, sizeof(tensor_node), (void **)out));
  tensor_node *n = *out;
  n->context = x->context;
  n->references = 1;
  n->serial = serial;
  n->rank = x->rank;
  memcpy(n->shape, x->shape, sizeof n->shape);
  return SAROS_OK;
}

void tensor_node_release(tensor_node *n) {
  if (n == NULL || --n->references > 0)
    return;
  saros_tensor_release(n->gradient);
  base_object_free(n->context, n);
}

void tensor_node_clear(tensor_node *n) {
  saros_tensor_release(n->gradient);
  n->gradient = NULL;
}

/* True if g may be added to in place. */
static int is_private(const saros_tensor *g) {
  return g->references == 1 && g->storage->references == 1 &&
         saros_tensor_is_contiguous(g);
}

static saros_status make_private(saros_tensor **g) {
  if (is_private(*g))
    return SAROS_OK;
  saros_tensor *copy;
  TRY(tensor_like(*g, &copy));
  tensor_copy(copy, *g);
  saros_tensor_release(*g);
  *g = copy;
  return SAROS_OK;
}

saros_status tensor_node_gradient(tensor_node *n, saros_tensor **dx) {
  if (n->gradient == NULL)
    TRY(saros_tensor_new(n->context, SAROS_REAL, n->rank, n->shape,
                         &n->gradient));
  else
    TRY(make_private(&n->gradient));
  *dx = n->gradient;
  return SAROS_OK;
}

saros_status tensor_node_target(tensor_node *n, saros_tensor **dx, real *beta) {
  *beta = n->gradient == NULL ? 0 : 1;
  if (n->gradient != NULL)
    return tensor_node_gradient(n, dx);
  TRY(tensor_new(n->context, SAROS_REAL, n->rank, n->shape, &n->gradient));
  *dx = n->gradient;
  return SAROS_OK;
}

saros_status tensor_node_add(tensor_node *n, saros_tensor *g) {
  if (n == NULL) {
    saros_tensor_release(g);
    return SAROS_OK;
  }
  saros_status status = SAROS_OK;
  if (n->gradient == NULL) {
    // what stays is scaled and clamped in place: it may not be shared
    if (n->keep)
      status = make_private(&g);
    n->gradient = g;
    return status;
  }
  saros_tensor *sum;
  status = tensor_node_gradient(n, &sum);
  if (status == SAROS_OK)
    tensor_add_scaled(sum, 1, g);
  saros_tensor_release(g);
  return status;
}
