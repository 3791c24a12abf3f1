/*
** One time step of the LSTM (Hochreiter and Schmidhuber 1997; forget gate of
** Gers, Schmidhuber and Cummins 2000; peepholes of Gers, Schraudolph and
** Schmidhuber 2002), from the pre-activations on:
**
**   i, f, o = sigmoid(a_i + p_i c_prev), ..., sigmoid(a_o + p_o c)
**   g = tanh(a_g),  c = f c_prev + i g,  h = o tanh(c)
**
** Cell and output are two kernels, since a layer may put something between
** them. Going back, the gradients of the pre-activations take the place of the
** activations, which nobody needs any more.
*/
#include "elementary.h"

/* The four gates of a row of (rows, 4H). */
#define GATES(row) *i = (row), *f = i + H, *g = f + H, *o = g + H

static void cell_row(real *c, real *gates, const real *c_prev, size_t H) {
  real GATES(gates);
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < H; k++) {
    i[k] = sigmoid_of(i[k]);
    f[k] = sigmoid_of(f[k]);
    g[k] = tanh_of(g[k]);
    o[k] = sigmoid_of(o[k]);
    c[k] = f[k] * c_prev[k] + i[k] * g[k];
  }
}

static void peephole_row(real *c, real *gates, const real *c_prev,
                         const real *p, size_t H) {
  real GATES(gates);
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < H; k++) {
    i[k] = sigmoid_of(i[k] + p[k] * c_prev[k]);
    f[k] = sigmoid_of(f[k] + p[H + k] * c_prev[k]);
    g[k] = tanh_of(g[k]);
    c[k] = f[k] * c_prev[k] + i[k] * g[k];
    o[k] = sigmoid_of(o[k] + p[2 * H + k] * c[k]);
  }
}

static void cell(real *c, real *gates, const real *c_prev, const real *peephole,
                 size_t rows, size_t H) {
  for (size_t row = 0; row < rows; row++) {
    if (peephole == NULL)
      cell_row(c, gates, c_prev, H);
    else
      peephole_row(c, gates, c_prev, peephole, H);
    c += H, c_prev += H, gates += 4 * H;
  }
}

static void output(real *h, const real *gates, const real *c, size_t rows,
                   size_t H) {
  for (size_t row = 0; row < rows; row++) {
    const real *o = gates + 3 * H;
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < H; k++)
      h[k] = o[k] * tanh_of(c[k]);
    h += H, c += H, gates += 4 * H;
  }
}

static void output_backward(real *dc, real *gates, const real *dh,
                            const real *c, size_t rows, size_t H) {
  for (size_t row = 0; row < rows; row++) {
    real *o = gates + 3 * H;
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < H; k++) {
      const real squashed = tanh_of(c[k]);
      dc[k] += dh[k] * o[k] * (1 - squashed * squashed);
      o[k] = dh[k] * squashed * o[k] * (1 - o[k]);
    }
    dc += H, dh += H, c += H, gates += 4 * H;
  }
}

/* Adds what came through the peephole into o, before the other gates. */
static void add_output_peephole(real *dc, const real *gates,
                                const real *peephole, size_t H) {
  const real *da_o = gates + 3 * H, *p_o = peephole + 2 * H;
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < H; k++)
    dc[k] += da_o[k] * p_o[k];
}

static void add_input_peepholes(real *dc_prev, const real *gates,
                                const real *peephole, size_t H) {
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < H; k++)
    dc_prev[k] += gates[k] * peephole[k] + gates[H + k] * peephole[H + k];
}

static void cell_row_backward(real *dc_prev, const real *dc, real *gates,
                              const real *c_prev, size_t H) {
  real *i = gates, *f = i + H, *g = f + H;
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < H; k++) {
    const real before = i[k];
    dc_prev[k] += dc[k] * f[k];
    i[k] = dc[k] * g[k] * before * (1 - before);
    f[k] = dc[k] * c_prev[k] * f[k] * (1 - f[k]);
    g[k] = dc[k] * before * (1 - g[k] * g[k]);
  }
}

static void cell_backward(real *dc_prev, real *dc, real *gates,
                          const real *c_prev, const real *peephole, size_t rows,
                          size_t H) {
  for (size_t row = 0; row < rows; row++) {
    if (peephole != NULL)
      add_output_peephole(dc, gates, peephole, H);
    cell_row_backward(dc_prev, dc, gates, c_prev, H);
    if (peephole != NULL)
      add_input_peepholes(dc_prev, gates, peephole, H);
    dc_prev += H, dc += H, c_prev += H, gates += 4 * H;
  }
}

/* Both ways, row by row, so that a row's gates are near when they are met again. */

static void step(real *h, real *c, real *gates, const real *c_prev,
                 const real *peephole, size_t rows, size_t H) {
  for (size_t row = 0; row < rows; row++) {
    cell(c, gates, c_prev, peephole, 1, H);
    output(h, gates, c, 1, H);
    h += H, c += H, c_prev += H, gates += 4 * H;
  }
}

static void step_backward(real *dc_prev, real *dc, real *gates, const real *dh,
                          const real *c, const real *c_prev,
                          const real *peephole, size_t rows, size_t H) {
  for (size_t row = 0; row < rows; row++) {
    fetch_behind(c_prev, H);
    output_backward(dc, gates, dh, c, 1, H);
    cell_backward(dc_prev, dc, gates, c_prev, peephole, 1, H);
    dc_prev += H, dc += H, dh += H, c += H, c_prev += H, gates += 4 * H;
  }
}

static void peephole_backward(real *dpeephole, const real *da,
                              const real *c_prev, const real *c, size_t rows,
                              size_t H) {
  for (size_t row = 0; row < rows; row++) {
    KERNEL_INDEPENDENT
    for (size_t k = 0; k < H; k++) {
      dpeephole[k] += da[k] * c_prev[k];
      dpeephole[H + k] += da[H + k] * c_prev[k];
      dpeephole[2 * H + k] += da[3 * H + k] * c[k];
    }
    da += 4 * H, c_prev += H, c += H;
  }
}

const lstm_kernels KERNEL_TABLE(lstm) = {
    .step = step,
    .step_backward = step_backward,
    .cell = cell,
    .output = output,
    .output_backward = output_backward,
    .cell_backward = cell_backward,
    .peephole_backward = peephole_backward,
};
