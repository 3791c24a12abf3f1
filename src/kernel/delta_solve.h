/*
** Forward substitution with the scores of a chunk, in tiles as those of
** delta_product.h: columns are independent, and a few rows at a time stay in registers.
*/
#ifndef DELTA_SOLVE_H
#define DELTA_SOLVE_H

#include "delta_product.h"

/*
** One row r after the other:
**
**   read_r = read_r + the sum of scores[r, i] u_i over i < r
**   u_r    = write_r value_r - erase_r read_r
**
** Steps and ld are negative where the last row comes first. width is a multiple of
** DELTA_BLOCK.
*/
typedef struct delta_system {
  int rows, width;
  real *read, *u;     // (rows, width), rows ld apart
  const real *value;  // the same; null: zeros
  ptrdiff_t ld;
  const real *write, *erase;  // (rows), gate_step apart
  ptrdiff_t gate_step;
  const real *scores;  // of (r, i) at r * row_step + i * k_step
  ptrdiff_t row_step, k_step;
} delta_system;

/* Rows that are solved together. */
#define DELTA_SOLVED 4

static inline delta_vector *delta_vectors(const delta_system *s, real *x,
                                          ptrdiff_t row, int column) {
  return (delta_vector *)(void *)(x + row * s->ld + column);
}

/* Solves a few rows, of which sum is what they read; 'rows' and 'vectors' are
** constants where this is inlined. */
static inline __attribute__((always_inline)) void
delta_solve_rows(const int rows, const int vectors, const delta_system *s,
                 int from, int column, delta_vector *sum) {
  delta_vector u[DELTA_SUMS];
  const real *score = s->scores + from * (s->row_step + s->k_step);
  for (int r = 0; r < rows; r++, score += s->row_step) {
    const ptrdiff_t gate = (from + r) * s->gate_step;
    delta_vector *to = delta_vectors(s, s->u, from + r, column);
    delta_vector *read = delta_vectors(s, s->read, from + r, column);
    for (int v = 0; v < vectors; v++) {
      delta_vector x = sum[r * vectors + v];
      for (int i = 0; i < r; i++)
        x += score[i * s->k_step] * u[i * vectors + v];
      read[v] = x;
      u[r * vectors + v] = -s->erase[gate] * x;
      if (s->value != NULL)
        u[r * vectors + v] +=
            s->write[gate] *
            delta_vectors(s, (real *)s->value, from + r, column)[v];
      to[v] = u[r * vectors + v];
    }
  }
}

/* What some rows read of all before them, then those rows. */
static inline __attribute__((always_inline)) void
delta_solve_tile(const int rows, const int vectors, const delta_system *s,
                 int from, int column) {
  delta_vector sum[DELTA_SUMS];
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < vectors; v++)
      sum[r * vectors + v] = delta_vectors(s, s->read, from + r, column)[v];
  const real *score = s->scores + from * s->row_step;
  for (int i = 0; i < from; i++, score += s->k_step)
    delta_add_outer(rows, vectors, sum, &score, s->row_step,
                    s->u + i * s->ld + column);
  delta_solve_rows(rows, vectors, s, from, column, sum);
}

/* Takes a copy of the system, which no store to its arrays can change. */
static inline __attribute__((always_inline)) void
delta_solve_column(const int vectors, const delta_system s, int column) {
  int from = 0;
  for (; from + DELTA_SOLVED <= s.rows; from += DELTA_SOLVED)
    delta_solve_tile(DELTA_SOLVED, vectors, &s, from, column);
  for (; from < s.rows; from++)
    delta_solve_tile(1, vectors, &s, from, column);
}

static void delta_solve(const delta_system *s) {
  int column = 0;
#if DELTA_SUMS == 16
  for (; column + 4 * DELTA_LANES <= s->width; column += 4 * DELTA_LANES)
    delta_solve_column(4, *s, column);
#endif
  for (; column + 2 * DELTA_LANES <= s->width; column += 2 * DELTA_LANES)
    delta_solve_column(2, *s, column);
  for (; column < s->width; column += DELTA_LANES)
    delta_solve_column(1, *s, column);
}

#endif
