/*
** Tensors as text. All elements share one format, chosen from those that are
** shown, so that columns align. Rows that are too wide, and long axes of large
** tensors, show their first and last three positions.
**
**   tensor (2, 3)
**    1.0000  2.0000 -0.5000
**    0.2500  0.0000  4.0000
*/
#include <math.h>
#include <stdio.h>

#include "binding.h"

/* What is left out: columns of rows wider than WIDEST; of tensors with more
** than MOST elements all but EDGE positions at each end of axes longer than
** LONGEST. */
#define WIDEST 100
#define MOST 1000
#define LONGEST 8
#define EDGE 3

/* How the numbers of one tensor are written. */
typedef struct style {
  int width;
  int decimals;    // behind the point
  int scientific;  // 1.0000e+08
} style;

/* A tensor as blocks of rows: missing axes have size 1. */
typedef struct layout {
  const saros_tensor *x;
  size_t blocks, rows, columns;
  size_t longest, longest_row;  // axes, and rows, that are shown whole
} layout;

typedef struct number {
  char text[64];
} number;

/* The next position to show after 'at' on an axis of that size: the middle of
** an axis longer than the longest is left out. */
static size_t next_shown(size_t at, size_t size, size_t longest) {
  return size > longest && at + 1 == EDGE ? size - EDGE : at + 1;
}

/* 1 if the middle was left out before position 'at'. */
static int is_after_gap(size_t at, size_t size, size_t longest) {
  return size > longest && at == size - EDGE;
}

static double element(const layout *shown, size_t block, size_t row,
                      size_t column) {
  size_t at = (block * shown->rows + row) * shown->columns + column;
  double value = saros_tensor_get(shown->x, at);
  return saros_tensor_dtype(shown->x) == SAROS_IDS ? value + 1 : value;
}

static layout layout_of(const saros_tensor *x) {
  const int *sizes = saros_tensor_shape(x);
  int rank = saros_tensor_rank(x);
  size_t longest = saros_tensor_count(x) > MOST ? LONGEST : MOST;
  layout shown = {x, 1, 1, 1, longest, longest};
  for (int i = 0; i < rank - 2; i++)
    shown.blocks *= (size_t)sizes[i];
  if (rank >= 2)
    shown.rows = (size_t)sizes[rank - 2];
  if (rank >= 1)
    shown.columns = (size_t)sizes[rank - 1];
  return shown;
}

/* --- Choosing a format --------------------------------------------------------------- */

/* What the shown elements are like. */
typedef struct survey {
  double largest;  // magnitude of a finite one
  int fractions;   // some are not whole
} survey;

static void look_at(survey *seen, double value) {
  double size = fabs(value);
  if (!isfinite(value))
    return;
  if (size > seen->largest)
    seen->largest = size;
  if (size != floor(size))
    seen->fractions = 1;
}

/* "nan" has no sign: the bit for it says nothing about a tensor. */
static int write_number(number *out, double value, const style *look) {
  const char *format = look->scientific ? "%*.*e" : "%*.*f";
  if (isnan(value))
    value = NAN;
  return bind_print_plain(out->text, sizeof out->text, format, look->width,
                          look->decimals, value);
}

/* Calls f for each element that is shown. */
static void for_shown(const layout *shown, void (*f)(void *, double),
                      void *state) {
  for (size_t b = 0; b < shown->blocks;
       b = next_shown(b, shown->blocks, shown->longest))
    for (size_t r = 0; r < shown->rows;
         r = next_shown(r, shown->rows, shown->longest))
      for (size_t c = 0; c < shown->columns;
           c = next_shown(c, shown->columns, shown->longest_row))
        f(state, element(shown, b, r, c));
}

static void survey_element(void *state, double value) {
  look_at(state, value);
}

static void widen(void *state, double value) {
  style *look = state;
  number text;
  int width = write_number(&text, value, look);
  if (width > look->width)
    look->width = width;
}

static style choose_style(const layout *shown) {
  survey seen = {0};
  style look = {.decimals = 4};
  for_shown(shown, survey_element, &seen);
  if (!seen.fractions && seen.largest < 1e9)
    look.decimals = 0;
  else
    look.scientific = seen.largest >= 1e5 || seen.largest < 1e-2;
  for_shown(shown, widen, &look);
  return look;
}

/* --- Writing ---------------------------------------------------------------------------- */

static void add_row(luaL_Buffer *text, const layout *shown, const style *look,
                    size_t block, size_t row) {
  number part;
  luaL_addstring(text, "\n");
  for (size_t c = 0; c < shown->columns;
       c = next_shown(c, shown->columns, shown->longest_row)) {
    if (is_after_gap(c, shown->columns, shown->longest_row))
      luaL_addstring(text, "  ...");
    write_number(&part, element(shown, block, row, c), look);
    luaL_addstring(text, " ");
    luaL_addstring(text, part.text);
  }
}

/* "[2, 1, ..]": the positions on the outer axes of a block. */
static void add_heading(luaL_Buffer *text, const saros_tensor *x,
                        size_t block) {
  int outer = saros_tensor_rank(x) - 2;
  size_t positions[SAROS_MAX_RANK];
  number part;
  for (int i = outer - 1; i >= 0; i--) {
    size_t size = (size_t)saros_tensor_shape(x)[i];
    positions[i] = block % size + 1;
    block /= size;
  }
  luaL_addstring(text, "\n[");
  for (int i = 0; i < outer; i++) {
    snprintf(part.text, sizeof part.text, "%zu, ", positions[i]);
    luaL_addstring(text, part.text);
  }
  luaL_addstring(text, "..]");
}

/* The style of what is shown, once rows that are too wide lost their middle. */
static style fit_style(layout *shown) {
  style look = choose_style(shown);
  size_t width = shown->columns * (size_t)(look.width + 1);
  if (width <= WIDEST || shown->columns <= LONGEST)
    return look;
  shown->longest_row = LONGEST;
  return choose_style(shown);
}

static void add_blocks(luaL_Buffer *text, layout *shown) {
  style look = fit_style(shown);
  for (size_t b = 0; b < shown->blocks;
       b = next_shown(b, shown->blocks, shown->longest)) {
    if (is_after_gap(b, shown->blocks, shown->longest))
      luaL_addstring(text, "\n...");
    if (saros_tensor_rank(shown->x) > 2)
      add_heading(text, shown->x, b);
    for (size_t r = 0; r < shown->rows;
         r = next_shown(r, shown->rows, shown->longest)) {
      if (is_after_gap(r, shown->rows, shown->longest))
        luaL_addstring(text, "\n  ...");
      add_row(text, shown, &look, b, r);
    }
  }
}

static void add_header(luaL_Buffer *text, const saros_tensor *x) {
  number part;
  int is_ids = saros_tensor_dtype(x) == SAROS_IDS;
  luaL_addstring(text, is_ids ? "ids (" : "tensor (");
  for (int i = 0; i < saros_tensor_rank(x); i++) {
    snprintf(part.text, sizeof part.text, i > 0 ? ", %d" : "%d",
             saros_tensor_shape(x)[i]);
    luaL_addstring(text, part.text);
  }
  luaL_addstring(text, ")");
}

/* A tensor of rank 0 prints as its number, with the digits of its type. */
static int push_scalar(lua_State *L, const saros_tensor *x) {
  number out;
  layout shown = layout_of(x);
  double value = element(&shown, 0, 0, 0);
  bind_print_plain(out.text, sizeof out.text, "%.*g",
                   sizeof(saros_real) == 4 ? 7 : 15,
                   isnan(value) ? NAN : value);
  lua_pushstring(L, out.text);
  return 1;
}

int bind_tensor_tostring(lua_State *L) {
  if (bind_to_box(L, 1, BIND_TENSOR) != NULL && bind_to_tensor(L, 1) == NULL) {
    lua_pushliteral(L, "tensor (closed)");
    return 1;
  }
  luaL_Buffer text;
  saros_tensor *x = bind_hold_tensor(L, 1);
  if (saros_tensor_rank(x) == 0)
    return push_scalar(L, x);
  layout shown = layout_of(x);
  luaL_buffinit(L, &text);
  add_header(&text, x);
  if (saros_tensor_count(x) > 0)
    add_blocks(&text, &shown);
  luaL_pushresult(&text);
  return 1;
}
