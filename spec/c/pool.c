/*
** What a context keeps of the memory that it gave back: all that the same work
** will ask for again, and nothing for long that it does not.
*/
#include <stdlib.h>

#include "check.h"
#include "saros.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define POOL_IS_WATCHED
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define POOL_IS_WATCHED
#endif
#ifdef POOL_IS_WATCHED
#include <sanitizer/asan_interface.h>
#endif

/* Blocks that the allocator was asked for, and those that it has back. */
typedef struct meter {
  long asked, returned;
} meter;

static void *metered(void *user, void *block, size_t old, size_t new) {
  meter *m = user;
  (void)old;
  if (new == 0) {
    m->returned += block != NULL;
    free(block);
    return NULL;
  }
  m->asked += block == NULL;
  return realloc(block, new);
}

/* So many tensors of a size, all at once, and then none of them. */
static void work(saros_context *context, int count, int size) {
  enum { MOST = 8 };
  saros_tensor *x[MOST] = {NULL};
  for (int i = 0; i < count; i++)
    if (saros_tensor_new(context, SAROS_REAL, 1, &size, &x[i]) != SAROS_OK)
      CHECK(0, "%s", saros_error(context));
  for (int i = 0; i < count; i++)
    saros_tensor_release(x[i]);
}

/* A window of a training: some sizes, one after the other. */
static void window(saros_context *context) {
  for (int size = 1000; size < 100000; size *= 2)
    work(context, 5, size);
}

static void keep_what_is_used(void) {
  meter m = {0, 0};
  saros_context *context = saros_context_new(metered, &m);
  window(context);
  const long asked = m.asked;
  for (int i = 0; i < 1000; i++)
    window(context);
  CHECK(m.asked == asked, "1000 windows asked for %ld blocks", m.asked - asked);
  CHECK(m.returned == 0, "and gave back %ld", m.returned);
  saros_context_release(context);
  CHECK(m.asked == m.returned, "nothing is left");
}

static void give_back_what_is_not(void) {
  meter m = {0, 0};
  saros_context *context = saros_context_new(metered, &m);
  for (int size = 10000; size <= 100000; size += 10000)
    work(context, 4, size);
  const size_t pooled = saros_memory_of(context).pooled;
  const size_t peak = saros_memory_of(context).peak;
  CHECK(pooled > 4 * peak, "a pool of %zu bytes", pooled);
  for (int i = 0; i < 100; i++)
    work(context, 4, 100000);
  CHECK(saros_memory_of(context).pooled <= peak, "%zu bytes of it, not %zu",
        saros_memory_of(context).pooled, peak);
  CHECK(m.returned >= 36, "only %ld blocks went back", m.returned);
  saros_context_release(context);
  CHECK(m.asked == m.returned, "nothing is left");
}

/* Under the address sanitizer, reading a block that was given back is an error, and so
** is writing past the end of one. */
static void guard_what_is_free(void) {
#ifdef POOL_IS_WATCHED
  saros_context *context = saros_context_new(NULL, NULL);
  for (int size = 1; size <= 10000; size = 3 * size + 1)
    for (int time = 0; time < 2; time++) {  // a new block, and the same again
      saros_tensor *x = NULL;
      CHECK(saros_tensor_new(context, SAROS_REAL, 1, &size, &x) == SAROS_OK,
            "%s", saros_error(context));
      saros_real *of_x = saros_tensor_reals(x);
      CHECK(!__asan_region_is_poisoned(of_x, (size_t)size * sizeof *of_x),
            "%d elements cannot be used", size);
      CHECK(__asan_address_is_poisoned(of_x + size), "behind %d elements",
            size);
      saros_tensor_release(x);
      CHECK(__asan_address_is_poisoned(of_x) &&
                __asan_address_is_poisoned(of_x + size - 1),
            "%d elements after their release", size);
    }
  saros_context_release(context);
#endif
}

int main(void) {
  keep_what_is_used();
  guard_what_is_free();
  give_back_what_is_not();
  return report();
}
