/*
** Questions about all elements of a tensor at once.
*/
#include <string.h>

#include "tensor.h"

#define DIGEST_FACTOR UINT64_C(0x9E3779B97F4A7C15)

/* The rows of a tensor, one call of 'look' for each, until it returns 0. */
typedef int (*row_look)(void *state, const char *first, ptrdiff_t step,
                        size_t count);

static void each_row(const saros_tensor *x, row_look look, void *state) {
  if (x->count == 0)
    return;
  size_t size = saros_tensor_bytes(x) / x->count;
  const char *first = x->storage->data + x->offset * size;
  tensor_walk w;
  tensor_walk_start(&w, x->rank, x->shape, 1, &x);
  do
    if (!look(state, first + w.at[0] * size, w.step[0] * (ptrdiff_t)size,
              w.inner))
      return;
  while (tensor_walk_next(&w));
}

/* --- Finite numbers -------------------------------------------------------- */

typedef struct finite_search {
  const reduce_kernels *reduce;
  int finite;
} finite_search;

static int look_for_finite(void *state, const char *first, ptrdiff_t step,
                           size_t count) {
  finite_search *search = state;
  if (step == (ptrdiff_t)sizeof(real))
    return search->finite =
               search->reduce->all_finite((const real *)first, count);
  search->finite = 1;
  for (; count-- > 0 && search->finite; first += step)
    search->finite = search->reduce->all_finite((const real *)first, 1);
  return search->finite;
}

int saros_all_finite(const saros_tensor *x) {
  finite_search search = {x->context->kernels->reduce, 1};
  if (x->dtype == SAROS_REAL)
    each_row(x, look_for_finite, &search);
  return search.finite;
}

/* --- Digests ---------------------------------------------------------------- */

static uint64_t stir(uint64_t sum, uint64_t word) {
  sum = (sum ^ word) * DIGEST_FACTOR;
  return sum ^ (sum >> 29);
}

static int digest_words(void *state, const char *first, ptrdiff_t step,
                        size_t count) {
  uint64_t sum = *(uint64_t *)state;
  for (; count-- > 0; first += step) {
    uint32_t word;
    memcpy(&word, first, sizeof word);
    sum = stir(sum, word);
  }
  *(uint64_t *)state = sum;
  return 1;
}

static int digest_long_words(void *state, const char *first, ptrdiff_t step,
                             size_t count) {
  uint64_t sum = *(uint64_t *)state;
  for (; count-- > 0; first += step) {
    uint64_t word;
    memcpy(&word, first, sizeof word);
    sum = stir(sum, word);
  }
  *(uint64_t *)state = sum;
  return 1;
}

uint64_t saros_digest(const saros_tensor *x) {
  uint64_t sum = stir(0, (uint64_t)x->rank);
  for (int axis = 0; axis < x->rank; axis++)
    sum = stir(sum, (uint64_t)x->shape[axis]);
  int is_long = x->dtype == SAROS_REAL && sizeof(real) == sizeof(uint64_t);
  each_row(x, is_long ? digest_long_words : digest_words, &sum);
  return sum;
}
