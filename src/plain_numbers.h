/*
** Numbers are written and read with a decimal point, whatever locale the host
** has set: between enter and leave, the calling thread has the locale "C". The
** locale of the process, which other threads use, stays as it is. Nothing in
** between may raise an error of Lua.
*/
#ifndef PLAIN_NUMBERS_H
#define PLAIN_NUMBERS_H

#include <locale.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

typedef struct plain_numbers {
  locale_t plain;   // null: out of memory, and the locale stays
  locale_t before;  // of the thread
} plain_numbers;

static inline plain_numbers plain_numbers_enter(void) {
  plain_numbers numbers = {newlocale(LC_ALL_MASK, "C", (locale_t)0), 0};
  if (numbers.plain != (locale_t)0)
    numbers.before = uselocale(numbers.plain);
  return numbers;
}

static inline void plain_numbers_leave(plain_numbers numbers) {
  if (numbers.plain == (locale_t)0)
    return;
  uselocale(numbers.before);
  freelocale(numbers.plain);
}

#endif
