/*
** What a context keeps of the memory that it gave back: all that the same work
** will ask for again, and nothing for long that it does not.
*/
#include <stdlib.h>

#include "check.h"
#include "saros.h"

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

int main(void) {
  keep_what_is_used();
  give_back_what_is_not();
  return report();
}
