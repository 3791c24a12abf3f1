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

/* Columns whose gradients are summed together, in double, on the stack. */
#define BLOCK 64

/* dgain (width) and dbias (width), either of them perhaps null, from a block
** of columns of dy and x, whose rows lie n apart. */
static void backward_columns(real *dgain, real *dbias, const real *dy,
                             const real *x, const real *mean, const real *rstd,
                             size_t rows, size_t n, size_t width) {
  double gain_total[BLOCK] = {0}, bias_total[BLOCK] = {0};
  for (size_t row = 0; row < rows; row++, dy += n, x += n)
    for (size_t i = 0; i < width; i++) {
      gain_total[i] += (double)(dy[i] * ((x[i] - mean[row]) * rstd[row]));
      bias_total[i] += (double)dy[i];
    }
  if (dgain != NULL)
    for (size_t i = 0; i < width; i++)
      dgain[i] += (real)gain_total[i];
  if (dbias != NULL)
    for (size_t i = 0; i < width; i++)
      dbias[i] += (real)bias_total[i];
}

static void backward(real *dx, real *dgain, real *dbias, const real *dy,
                     const real *x, const real *gain, const real *mean,
                     const real *rstd, size_t rows, size_t n) {
  if (dgain != NULL || dbias != NULL)
    for (size_t left = 0; left < n; left += BLOCK)
      backward_columns(dgain == NULL ? NULL : dgain + left,
                       dbias == NULL ? NULL : dbias + left, dy + left, x + left,
                       mean, rstd, rows, n,
                       n - left < BLOCK ? n - left : BLOCK);
  if (dx == NULL)
    return;
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

/* dgain (width) from a block of columns of dy and x, whose rows lie n apart. */
static void rms_backward_columns(real *dgain, const real *dy, const real *x,
                                 const real *factor, size_t rows, size_t n,
                                 size_t width) {
  double total[BLOCK] = {0};
  for (size_t row = 0; row < rows; row++, dy += n, x += n)
    for (size_t i = 0; i < width; i++)
      total[i] += (double)(dy[i] * (x[i] * factor[row]));
  for (size_t i = 0; i < width; i++)
    dgain[i] += (real)total[i];
}

static void rms_backward(real *dx, real *dgain, const real *dy, const real *x,
                         const real *gain, const real *factor, size_t rows,
                         size_t n) {
  for (size_t left = 0; dgain != NULL && left < n; left += BLOCK)
    rms_backward_columns(dgain + left, dy + left, x + left, factor, rows, n,
                         n - left < BLOCK ? n - left : BLOCK);
  for (size_t row = 0; dx != NULL && row < rows; row++)
    rms_backward_row(dx + row * n, dy + row * n, x + row * n, gain, factor[row],
                     n);
}

const layer_norm_kernels KERNEL_TABLE(layer_norm) = {
    .forward = forward,
    .backward = backward,
    .rms_forward = rms_forward,
    .rms_backward = rms_backward,
};
