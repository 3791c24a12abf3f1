/*
** Layer normalisation (Ba, Kiros and Hinton 2016): every row is shifted and
** scaled to mean 0 and variance 1, then given a gain and a bias. The variance
** is taken from the centred row, in double, as the mean of the squares minus
** the square of the mean cancels.
*/
#include "elementary.h"
#include "lanes.h"

static void forward(real *y, real *mean, real *rstd, const real *x,
                    const real *gain, const real *bias, double epsilon,
                    size_t rows, size_t n) {
  const double count = (double)n;
  for (size_t row = 0; row < rows; row++, y += n, x += n) {
    const double centre = KERNEL_SUM_OVER(i, n, x[i]) / count;
    const double squares = KERNEL_SUM_OVER(
        i, n, ((double)x[i] - centre) * ((double)x[i] - centre));
    const real shift = (real)centre;
    const real factor = (real)(1 / sqrt(squares / count + epsilon));
    KERNEL_INDEPENDENT
    for (size_t i = 0; i < n; i++)
      y[i] = (x[i] - shift) * factor * gain[i] + bias[i];
    mean[row] = shift;
    rstd[row] = factor;
  }
}

/*
** With u = (x - mean) rstd and du = dy gain, one row's
** dx = rstd (du - mean(du) - u mean(du u)).
*/
static void backward_row(real *dx, const real *dy, const real *x,
                         const real *gain, real mean, real rstd, size_t n) {
  const double count = (double)n;
  const real mean_du = (real)(KERNEL_SUM_OVER(i, n, dy[i] * gain[i]) / count);
  const real mean_du_u =
      (real)(KERNEL_SUM_OVER(i, n, dy[i] * gain[i] * ((x[i] - mean) * rstd)) /
             count);
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++) {
    const real u = (x[i] - mean) * rstd;
    dx[i] += rstd * (dy[i] * gain[i] - mean_du - u * mean_du_u);
  }
}

static void backward(real *dx, const real *dy, const real *x, const real *gain,
                     const real *mean, const real *rstd, size_t rows,
                     size_t n) {
  for (size_t row = 0; row < rows; row++, dx += n, dy += n, x += n)
    backward_row(dx, dy, x, gain, mean[row], rstd[row], n);
}

/* --- Without the mean ------------------------------------------------------- */

static void rms_forward(real *y, real *factor, const real *x, const real *gain,
                        double epsilon, size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, y += n, x += n) {
    const double squares = KERNEL_SUM_OVER(i, n, (double)x[i] * (double)x[i]);
    const real f = (real)(1 / sqrt(squares / (double)n + epsilon));
    KERNEL_INDEPENDENT
    for (size_t i = 0; i < n; i++)
      y[i] = x[i] * f * gain[i];
    factor[row] = f;
  }
}

/* With u = x f and du = dy gain, one row's dx = f (du - u mean(du u)). */
static void rms_backward_row(real *dx, const real *dy, const real *x,
                             const real *gain, real f, size_t n) {
  const real mean_du_u =
      (real)(KERNEL_SUM_OVER(i, n, dy[i] * gain[i] * (x[i] * f)) / (double)n);
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++)
    dx[i] += f * (dy[i] * gain[i] - x[i] * f * mean_du_u);
}

static void rms_backward(real *dx, const real *dy, const real *x,
                         const real *gain, const real *factor, size_t rows,
                         size_t n) {
  for (size_t row = 0; row < rows; row++, dx += n, dy += n, x += n)
    rms_backward_row(dx, dy, x, gain, factor[row], n);
}

/* --- With a gate ------------------------------------------------------------ */

/* f(z), of which s is the sigmoid. */
static inline real gate_of(real z, real s, int is_silu) {
  return is_silu ? z * s : s;
}

static void gated_forward(real *y, real *factor, const real *x,
                          const real *gate, const real *gain, double epsilon,
                          int is_silu, size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, y += n, x += n, gate += n) {
    const double squares = KERNEL_SUM_OVER(i, n, (double)x[i] * (double)x[i]);
    const real f = (real)(1 / sqrt(squares / (double)n + epsilon));
    KERNEL_INDEPENDENT
    for (size_t i = 0; i < n; i++)
      y[i] =
          x[i] * f * gain[i] * gate_of(gate[i], sigmoid_of(gate[i]), is_silu);
    factor[row] = f;
  }
}

/* With u = x f and du = dy gain f(gate), dx = f (du - u mean(du u)). */
static void gated_backward_row(real *dx, real *dgate, double *dgain,
                               const real *dy, const real *x, const real *gate,
                               const real *gain, real f, int is_silu,
                               size_t n) {
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++) {
    const real z = gate[i], s = sigmoid_of(z), share = gate_of(z, s, is_silu);
    const real slope = is_silu ? s * (1 + z * (1 - s)) : s * (1 - s);
    const real along = dy[i] * (x[i] * f);
    dgate[i] = along * gain[i] * slope;
    dgain[i] += (double)(along * share);
    dx[i] = dy[i] * gain[i] * share;
  }
  const real mean_du_u =
      (real)(KERNEL_SUM_OVER(i, n, dx[i] * (x[i] * f)) / (double)n);
  KERNEL_INDEPENDENT
  for (size_t i = 0; i < n; i++)
    dx[i] = f * (dx[i] - x[i] * f * mean_du_u);
}

static void gated_backward(real *dx, real *dgate, double *dgain, const real *dy,
                           const real *x, const real *gate, const real *gain,
                           const real *factor, int is_silu, size_t rows,
                           size_t n) {
  for (size_t row = 0; row < rows;
       row++, dx += n, dgate += n, dy += n, x += n, gate += n)
    gated_backward_row(dx, dgate, dgain, dy, x, gate, gain, factor[row],
                       is_silu, n);
}

/* --- Gains ------------------------------------------------------------------ */

/* Columns that are summed together, in double, on the stack. */
#define BLOCK 64

/* The mean of a row is 'step' from that of the row before. */
static void sum_gains_of_columns(double *total, const real *dy, const real *x,
                                 const real *mean, size_t step,
                                 const real *factor, size_t rows, size_t stride,
                                 size_t width) {
  double part[BLOCK] = {0};
  for (size_t row = 0; row < rows; row++, dy += stride, x += stride) {
    const real shift = mean[row * step], scale = factor[row];
    for (size_t i = 0; i < width; i++)
      part[i] += (double)(dy[i] * ((x[i] - shift) * scale));
  }
  memcpy(total, part, width * sizeof *total);
}

static void sum_gains(double *total, const real *dy, const real *x,
                      const real *mean, const real *factor, size_t rows,
                      size_t stride, size_t n) {
  const real none = 0;
  for (size_t left = 0; left < n; left += BLOCK)
    sum_gains_of_columns(total + left, dy + left, x + left,
                         mean != NULL ? mean : &none, mean != NULL, factor,
                         rows, stride, n - left < BLOCK ? n - left : BLOCK);
}

const layer_norm_kernels KERNEL_TABLE(layer_norm) = {
    .forward = forward,
    .backward = backward,
    .rms_forward = rms_forward,
    .rms_backward = rms_backward,
    .gated_forward = gated_forward,
    .gated_backward = gated_backward,
    .sum_gains = sum_gains,
};
