/*
** Misspelt names: the nearest one among those that are known.
**
** The distance between two names is the number of letters to insert, delete or
** replace, or of neighbours to swap (optimal string alignment). Upper and lower
** case count as equal, so "LSTM" is at distance 0 from "lstm".
*/
#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "binding.h"

/* Longer names have no neighbours. */
#define LONGEST 40

static int least(int a, int b) {
  return a < b ? a : b;
}

static int same_letter(char a, char b) {
  return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static int distance(const char *a, const char *b) {
  int rows[3][LONGEST + 1];  // those of a's last two letters, and the next
  int *two = rows[0], *one = rows[1], *now = rows[2];
  int width = (int)strlen(b);
  for (int j = 0; j <= width; j++)
    one[j] = j;
  for (int i = 1; a[i - 1] != '\0'; i++) {
    now[0] = i;
    for (int j = 1; j <= width; j++) {
      int same = same_letter(a[i - 1], b[j - 1]);
      now[j] = least(least(one[j], now[j - 1]) + 1, one[j - 1] + !same);
      if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
          same_letter(a[i - 2], b[j - 1]))
        now[j] = least(now[j], two[j - 2] + 1);
    }
    int *free = two;
    two = one, one = now, now = free;
  }
  return one[width];
}

/* Typing errors: none in a single letter, one in short names, then one for every
** three letters. */
static int is_typo(int errors, size_t a, size_t b) {
  size_t length = a < b ? a : b;
  return errors <= (length < 2 ? 0 : length < 6 ? 1 : (int)(length / 3));
}

/* "batch" for "batch_size", "layers" for "layer". */
static int is_beginning(const char *a, size_t a_length, const char *b,
                        size_t b_length) {
  size_t length = a_length < b_length ? a_length : b_length;
  return length >= 3 && strncmp(a, b, length) == 0;
}

/* How far a known name is from the one that was given, INT_MAX if it is not
** what was meant. Only if 'loosely' do beginnings count, and short names that
** differ in their first letter, such as "unit" and "init". */
static int error_count(const char *given, const char *known, int loosely) {
  size_t a = strlen(given), b = strlen(known);
  if (a > LONGEST || b > LONGEST || a == 0 || b == 0 || known[0] == '_')
    return INT_MAX;
  if (!loosely && (a < 5 || b < 5) && !same_letter(*given, *known))
    return INT_MAX;
  int errors = distance(given, known);
  if (is_typo(errors, a, b) || (loosely && is_beginning(given, a, known, b)))
    return errors;
  return INT_MAX;
}

/* The string on top if it is one, else the one below it: a name in a list or
** the key of a field. Converts nothing. */
static const char *name_of_entry(lua_State *L) {
  if (lua_type(L, -2) == LUA_TSTRING)
    return lua_tostring(L, -2);
  return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
}

const char *bind_nearest_name(lua_State *L, const char *given, int table,
                              int loosely) {
  const char *nearest = NULL;  // a string that the table holds
  int fewest = INT_MAX;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    const char *name = name_of_entry(L);
    int errors = name != NULL ? error_count(given, name, loosely) : INT_MAX;
    int is_first =
        nearest == NULL || (name != NULL && strcmp(name, nearest) < 0);
    if (errors < fewest || (errors < INT_MAX && errors == fewest && is_first))
      fewest = errors, nearest = name;
  }
  return nearest;
}

const char *bind_push_hint(lua_State *L, int given, int table) {
  const char *nearest = NULL;
  if (lua_type(L, given) == LUA_TSTRING)
    nearest = bind_nearest_name(L, lua_tostring(L, given), table, 1);
  return nearest == NULL ? lua_pushliteral(L, "")
                         : lua_pushfstring(L, "; did you mean '%s'?", nearest);
}
