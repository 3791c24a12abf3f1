/*
** The GRU (Cho et al. 2014): gates r z n. The reset gate acts after the product
** U_n h, as PyTorch has it, or on h before it, as the paper does (gru_before).
*/
#include "cells.h"

static const char *const parameters[] = {"weight_ih", "weight_hh", "bias_ih",
                                         "bias_hh",   "norm_gain", "norm_bias",
                                         "table",     "first_h",   NULL};

static const char *const parameters_before[] = {
    "weight_ih", "weight_hh", "bias_ih", "bias_hh", "table", "first_h", NULL};

static const char *const needed[] = {"weight_hh", NULL};

static void gru_forward(const recurrence *r, const recurrent_step *s) {
  recurrent_project(r, s);
  r->kernels->gru->step(s->h, s->gates, s->u_n, s->v, s->h_before,
                        (size_t)s->rows, (size_t)r->H);
}

static void gru_backward(const recurrence *r, const recurrent_step *s) {
  r->kernels->gru->step_backward(s->dh_before, s->gates, s->u_n, s->v, s->dh,
                                 s->h_before, (size_t)s->rows, (size_t)r->H);
  recurrent_unproject(r, s, s->v);
}

/* The reset gate acts on what the product for n reads. */
static void gru_before_forward(const recurrence *r, const recurrent_step *s) {
  const gru_kernels *k = r->kernels->gru;
  size_t rows = (size_t)s->rows, H = (size_t)r->H;
  recurrent_multiply_gates(r, s, s->gates, s->read, 0, 2, 1);
  k->reset(s->inner, s->gates, s->read, rows, H);
  recurrent_multiply_gates(r, s, s->gates, s->inner, 2, 1, 1);
  k->finish(s->h, s->gates, s->h_before, rows, H);
}

static void gru_before_backward(const recurrence *r, const recurrent_step *s) {
  const gru_kernels *k = r->kernels->gru;
  size_t rows = (size_t)s->rows, H = (size_t)r->H;
  k->finish_backward(s->dh_before, s->gates, s->dh, s->h_before, rows, H);
  recurrent_unmultiply_gates(r, s, s->dinner, 2, 1, 0);
  k->reset_backward(s->dread, s->gates, s->dinner, s->read, rows, H);
  recurrent_unmultiply_gates(r, s, s->dread, 0, 2, 1);
}

static saros_status gru_before_make(recurrence *r) {
  return recurrent_make(r, R_INNER, 3, r->H);
}

static const char *gru_before_reason(int which) {
  return which == R_NORM_GAIN || which == R_NORM_BIAS
             ? "its projection is made in two parts; use gru"
             : NULL;
}

const recurrent_cell cell_gru = {
    .facts = {"gru", 3, 1, 0, parameters},
    .needed = needed,
    .separate = 1,
    .forward = gru_forward,
    .backward = gru_backward,
};

const recurrent_cell cell_gru_before = {
    .facts = {"gru_before", 3, 1, 0, parameters_before},
    .needed = needed,
    .in_parts = 1,
    .reason = gru_before_reason,
    .make = gru_before_make,
    .forward = gru_before_forward,
    .backward = gru_before_backward,
};
