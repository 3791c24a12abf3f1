/*
** The caches of the processor, as the system tells them. What follows from their
** sizes may be how soon something is read, but nothing that changes bits.
*/
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "base.h"

/* Bytes of L2 where the system does not tell. */
#define SMALL_L2 ((size_t)1 << 18)

#if defined(__APPLE__)

static size_t bytes_of(int level) {
  static const char *const names[] = {"hw.l1dcachesize", "hw.l2cachesize",
                                      "hw.l3cachesize"};
  int64_t bytes = 0;
  size_t size = sizeof bytes;
  return sysctlbyname(names[level], &bytes, &size, NULL, 0) == 0 && bytes > 0
             ? (size_t)bytes
             : 0;
}

#elif defined(_SC_LEVEL1_DCACHE_SIZE)

static size_t bytes_of(int level) {
  static const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE,
                              _SC_LEVEL3_CACHE_SIZE};
  long bytes = sysconf(names[level]);
  return bytes > 0 ? (size_t)bytes : 0;
}

#else

static size_t bytes_of(int level) {
  (void)level;
  return 0;
}

#endif

void base_read_caches(saros_context *context) {
  for (int level = 0; level < 3; level++)
    context->cache[level] = bytes_of(level);
}

size_t base_most_ahead(const saros_context *context) {
  const size_t bytes = context->cache[1] > 0 ? context->cache[1] : SMALL_L2;
  return bytes / 4 / sizeof(real);
}
