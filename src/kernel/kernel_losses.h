/*
** A part of kernel.h: softmax and losses.
*/
#ifndef KERNEL_LOSSES_H
#define KERNEL_LOSSES_H

/* --- Softmax and cross-entropy (softmax.c) ------------------------------- */

/* What counts in the cross-entropy of a row. */
typedef struct kernel_target_weights {
  const real *hit;     // (rows) of the target
  const real *spread;  // (rows) of what all classes share; null: nothing
  const real *share;   // (V)
} kernel_target_weights;

typedef struct softmax_kernels {
  /* y (rows, n): the softmax of each row of x, stable for any finite x */
  void (*softmax)(real *y, const real *x, size_t rows, size_t n);
  void (*softmax_backward)(real *dx, const real *dy, const real *y, size_t rows,
                           size_t n);

  /* y (rows, n): the logarithm of the softmax of each row of x */
  void (*log_softmax)(real *y, const real *x, size_t rows, size_t n);
  void (*log_softmax_backward)(real *dx, const real *dy, const real *y,
                               size_t rows, size_t n);

  /* y (rows): the logarithm of the sum of exp of each row of x (rows, n) */
  void (*log_sum_exp)(real *y, const real *x, size_t rows, size_t n);
  void (*log_sum_exp_backward)(real *dx, const real *dy, const real *x,
                               const real *y, size_t rows, size_t n);

  /* Cross-entropy of each row of logits (rows, V), with ce(v) for
  ** -log softmax(logits)[v]:
  **
  **   loss[row] = hit[row] ce(target[row])
  **             + spread[row] * sum over v of share[v] ce(v)
  **
  ** target (rows) is in 0..V-1; log_norm (rows) is the log of the sum of exp of
  ** the row, which the backward pass reads. A row whose weights are 0 has the
  ** loss 0, whatever its logits and target are. */
  void (*cross_entropy)(real *loss, real *log_norm, const real *logits,
                        const int32_t *target,
                        const kernel_target_weights *weights, size_t rows,
                        size_t V);

  /* dlogits (rows, V) = dy * gradient of loss[row] + beta dlogits, where beta is
  ** 0 or 1. With 0, dlogits may be logits. */
  void (*cross_entropy_backward)(real *dlogits, real dy, const real *logits,
                                 const real *log_norm, const int32_t *target,
                                 const kernel_target_weights *weights,
                                 real beta, size_t rows, size_t V);
} softmax_kernels;

/* --- Losses of two arrays (loss.c) ----------------------------------------- */

typedef enum kernel_loss_kind {
  LOSS_MSE,    // (x - t)^2
  LOSS_L1,     // |x - t|
  LOSS_HUBER,  // (x - t)^2 / 2 up to |x - t| = delta, from there on a line
  LOSS_BCE,    // -t log s(x) - (1 - t) log(1 - s(x)), s being the sigmoid
  LOSS_KL,     // t (log t - x), 0 where t is 0
  LOSS_COUNT
} kernel_loss_kind;

typedef struct loss_kernels {
  /* y[i] = w[i] f(x[i], t[i]); 0 where w[i] is 0, whatever x and t are */
  void (*value[LOSS_COUNT])(real *y, const real *x, const real *t,
                            const real *w, real delta, size_t n);
  /* [0]: d[i] += dy w[i] df / dx; [1]: df / dt; nothing where w[i] is 0 */
  void (*backward[2][LOSS_COUNT])(real *d, real dy, const real *x,
                                  const real *t, const real *w, real delta,
                                  size_t n);
} loss_kernels;

/* --- Connectionist temporal classification (ctc.c; Graves et al. 2006) ---- */

/* The doubles of scratch that a row needs, with 'kept' as below. */
#define CTC_SCRATCH(kept, L) (((kept) + 2) * (2 * (L) + 3) + (L) + 1)

typedef struct ctc_kernels {
  /* The loss of one row: -log of the probability, summed over all paths of T
  ** steps, that repeats merged and blanks removed a path is target (L >= 0 ids,
  ** none of them blank). log_probs[t * step + v] is the log-probability of
  ** class v at step t in 0..T-1. INFINITY if no path has T steps, or all have
  ** probability 0; NaN where log_probs has NaN. scratch: CTC_SCRATCH(kept, L);
  ** kept is 2, or T + 1 if backward is to follow. */
  double (*forward)(double *scratch, size_t kept, const real *log_probs,
                    ptrdiff_t step, const int32_t *target, size_t T, size_t L,
                    int32_t blank);

  /* In place: log_probs, of V classes, becomes the gradient of the loss with
  ** respect to the logits that it is the log-softmax of: exp(log_probs) less
  ** the posterior probability of each class; zeros if loss is infinite.
  ** scratch and loss are what forward left. */
  void (*backward)(real *log_probs, double *scratch, double loss,
                   ptrdiff_t step, const int32_t *target, size_t T, size_t V,
                   size_t L, int32_t blank);
} ctc_kernels;

/* --- Linear-chain conditional random fields (crf.c) ------------------------ */

typedef struct kernel_crf_scores {
  const real *transitions;   // (L, L): from a tag to the next
  const real *start, *stop;  // (L)
} kernel_crf_scores;

/* Doubles of what rows share, and of the scratch of a row. */
#define CRF_SHARED(L) ((L) * (L) + 2 * (L) + 3)
#define CRF_SCRATCH(T, L) ((T) * (L) + (T) + (L) * (L) + 3 * (L))

/* Of one row of T >= 1 steps: emissions[t * step + tag] and
** tags[t * tag_step], of L >= 1 tags. */
typedef struct crf_kernels {
  void (*prepare)(double *shared, const kernel_crf_scores *scores, size_t L);

  /* -log of the probability of the tags; INFINITY if their score is -inf; NaN
  ** where every sequence's is, or a score is NaN */
  double (*forward)(double *scratch, const double *shared,
                    const kernel_crf_scores *scores, const real *emissions,
                    ptrdiff_t step, const int32_t *tags, ptrdiff_t tag_step,
                    size_t T, size_t L);

  /* The gradients of it: gradient[t * step + tag], and dscores, which is only
  ** written: of the transitions (L, L), start (L) and stop (L). scratch is what
  ** forward left. */
  void (*backward)(real *gradient, ptrdiff_t step, real *dscores,
                   double *scratch, const double *shared, const real *emissions,
                   const int32_t *tags, ptrdiff_t tag_step, size_t T, size_t L);

  /* The best tags (Viterbi 1967); returns their score. scratch: 2 L; from:
  ** (T, L). */
  double (*best)(int32_t *tags, ptrdiff_t tag_step, double *scratch,
                 int32_t *from, const kernel_crf_scores *scores,
                 const real *emissions, ptrdiff_t step, size_t T, size_t L);
} crf_kernels;

#endif
