/*
** The caches of the processor, as the system tells them. What follows from their
** sizes may be how soon something is read, but nothing that changes bits.
*/
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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

/* What Linux tells about a cache of the first processor, a word. */
static int read_word(int cache, const char *name, char word[32]) {
  char path[96];
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s",
           cache, name);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t count = file >= 0 ? read(file, word, 31) : -1;
  if (file >= 0)
    close(file);
  word[count > 0 ? count : 0] = '\0';
  return count > 0;
}

/* sysconf counts the L3 of some processors once for each of their threads, so it
** is only asked where there is no such file. */
static size_t bytes_of(int level) {
  static const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE,
                              _SC_LEVEL3_CACHE_SIZE};
  char word[32];
  for (int cache = 0; read_word(cache, "level", word); cache++) {
    if (atoi(word) != level + 1 || !read_word(cache, "type", word) ||
        word[0] == 'I' || !read_word(cache, "size", word))
      continue;
    char *unit;
    size_t size = (size_t)strtoul(word, &unit, 10);
    return size << (*unit == 'K' ? 10 : *unit == 'M' ? 20 : 0);
  }
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
