/*
** A step of a small cell as one writes it by hand for a size that is known: what
** a session, which is told its sizes when it is made, is compared with.
*/
#ifndef PLAIN_H
#define PLAIN_H

#include "kernel.h"

typedef struct plain plain;

/* The parameters of an LSTM (4 gates) or a GRU (3) of H units with one input,
** and of a head with one output. They are copied; null if there is no such size,
** or no memory. */
plain *plain_new(int gates, int H, const real *weight_ih, const real *weight_hh,
                 const real *bias_ih, const real *bias_hh, const real *head,
                 real head_bias);

/* One step of the state that it has, from zeros on. */
real plain_step(plain *p, real x);

#endif
