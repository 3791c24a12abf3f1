/*
** Rows of a table by id, as an embedding takes them, and the addition of their
** gradients back into the table. An id may occur many times; its gradients are
** added one after the other, in the order of the ids.
*/
#include "elementary.h"

static void gather(real *y, const real *table, const int32_t *ids, size_t count,
                   size_t n) {
  for (size_t i = 0; i < count; i++, y += n)
    memcpy(y, table + (size_t)ids[i] * n, n * sizeof *y);
}

static void scatter_add(real *dtable, const real *dy, const int32_t *ids,
                        size_t count, size_t n) {
  for (size_t i = 0; i < count; i++, dy += n) {
    real *row = dtable + (size_t)ids[i] * n;
    KERNEL_INDEPENDENT
    for (size_t j = 0; j < n; j++)
      row[j] += dy[j];
  }
}

const lookup_kernels KERNEL_TABLE(lookup) = {
    .gather = gather,
    .scatter_add = scatter_add,
};
