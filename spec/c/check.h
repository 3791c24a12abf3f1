/*
** Counting checks, for specs written in C. A spec program calls CHECK as often
** as it likes and ends with `return report();`.
*/
#ifndef CHECK_H
#define CHECK_H

#include <stdarg.h>
#include <stdio.h>

static int checks_passed, checks_failed;

/* CHECK(condition, format, ...) prints the formatted words if it fails. */
#define CHECK(condition, ...)                                                  \
  check_at(__FILE__, __LINE__, (condition) ? 1 : 0, __VA_ARGS__)

__attribute__((format(printf, 4, 5))) static inline void
check_at(const char *file, int line, int holds, const char *format, ...) {
  if (holds) {
    checks_passed++;
    return;
  }
  checks_failed++;
  va_list words;
  va_start(words, format);
  printf("%s:%d: ", file, line);
  vprintf(format, words);
  printf("\n");
  va_end(words);
}

/* Prints the counts; the exit status of the program. */
static inline int report(void) {
  printf("%d passed, %d failed\n", checks_passed, checks_failed);
  return checks_failed > 0;
}

#endif
