/*
** A part of kernel.h: finite-state cells.
*/
#ifndef KERNEL_FINITE_H
#define KERNEL_FINITE_H

/* --- Finite-state cells (finite.c) -------------------------------------------- */

/* States of a head, at most. */
#define FINITE_MOST_STATES 1024

/* Heads have n states each and P pointers, whose states are walked side by side. A
** row of a table (n, n) belongs to the state before the step. */
typedef struct finite_kernels {
  /* at (rows): the first largest of each row of x (rows, n); NaN counts as the
  ** largest */
  void (*choose)(int32_t *at, const real *x, size_t rows, int n);

  /* after (heads, P) = next[before], next being (heads, n); after may be before */
  void (*step)(int32_t *after, const int32_t *before, const int32_t *next,
               int heads, int P, int n);
  /* Of one head: ds (P, n) = dy[next], which is only written, and row before[p]
  ** of dm (n, n) += row p of dy (P, n); ds is not dy. */
  void (*step_backward)(real *ds, real *dm, const real *dy,
                        const int32_t *before, const int32_t *next, int P,
                        int n);

  /* y (heads, P, n) = s m for m (heads, n, n); y is not s */
  void (*soft_step)(real *y, const real *s, const real *m, int heads, int P,
                    int n);
  /* Of one head: ds (P, n) = dy m^T, which is only written; dm += s^T dy */
  void (*soft_step_backward)(real *ds, real *dm, const real *dy, const real *s,
                             const real *m, int P, int n);

  /* dx (rows, n) += the gradient of logits x from that of their softmax; rows
  ** of dy that are zeros are passed over */
  void (*logits_backward)(real *dx, const real *dy, const real *x, size_t rows,
                          int n);
} finite_kernels;

#endif
