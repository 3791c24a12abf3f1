/* Rows of a table by id, there and back. */
#include "kernel_spec.h"

#define V 5
#define COUNT 9

static const int32_t ids[COUNT] = {4, 0, 0, 2, 4, 0, 1, 4, 4};

static void check_lookup(const kernels *k, size_t n) {
  static real table[V * LONGEST], y[COUNT * LONGEST], dtable[V * LONGEST];
  fill_random(table, V * n, -1, 1);
  k->lookup->gather(y, table, ids, COUNT, n);
  int wrong = 0;
  for (size_t i = 0; i < COUNT * n; i++)
    wrong += y[i] != table[(size_t)ids[i / n] * n + i % n];
  CHECK(!wrong, "%s: gather rows of %zu: %d wrong", k->isa, n, wrong);

  k->pointwise->fill(dtable, 0.5, V * n);
  k->lookup->scatter_add(dtable, y, ids, COUNT, n);
  wrong = 0;
  for (size_t at = 0; at < V * n; at++) {
    real expected = 0.5;  // added in the same order, so equal to the last bit
    for (size_t i = 0; i < COUNT; i++)
      if ((size_t)ids[i] == at / n)
        expected += y[i * n + at % n];
    wrong += dtable[at] != expected;
  }
  CHECK(!wrong, "%s: scatter rows of %zu: %d wrong", k->isa, n, wrong);
}

static void check_set(const kernels *k) {
  for (size_t l = 0; l < LENGTH_COUNT; l++)
    check_lookup(k, lengths[l]);
}

int main(void) {
  return report_every_isa(check_set);
}
