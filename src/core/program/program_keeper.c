/*
** Nodes that keep states by themselves, over whole sequences: fused cells and
** windows of past values; attention and delta nodes have their own files.
*/
#include <string.h>

#include "program_run.h"
#include "recurrent.h"

/* --- Randomness ------------------------------------------------------------------- */

saros_status program_dropout(saros_context *context, double p,
                             saros_generator *generator, int rank,
                             const int *shape, saros_tensor **out) {
  TRY(program_filled(context, 1, rank, shape, out));
  if (p > 0 && tape_is_training(context) && generator == NULL) {
    saros_tensor_release(*out);
    *out = NULL;
    return saros_fail(context, SAROS_EARGUMENT,
                      "program: expected a generator for dropout and zoneout "
                      "in training, got none");
  }
  TRY(PROGRAM_MAKE(*out, saros_dropout(*out, p, generator, &made)));
  return SAROS_OK;
}

/* The dropout mask of the h that a cell's product reads: (B, P), or null. */
static saros_status cell_dropout(const program_walk *walk,
                                 const program_node *n, saros_tensor **out) {
  double p = n->number[NUMBER_DROPOUT];
  *out = NULL;
  if (p == 0 || !tape_is_training(walk->p->context))
    return SAROS_OK;
  return program_dropout(walk->p->context, p, walk->generator, 2,
                         (const int[]){walk->B, n->width}, out);
}

/* Factors (T, B, width), drawn as by steps that are run one after the other. */
static saros_status draw_steps(const program_walk *walk, double p, int width,
                               saros_tensor **out) {
  const int shape[3] = {walk->T, walk->B, width};
  saros_context *context = walk->p->context;
  TRY(program_filled(context, 1, 3, shape, out));
  for (int t = 0; t < walk->T; t++) {
    saros_tensor *step;
    TRY(tensor_or_nothing(
        program_dropout(context, p, walk->generator, 2, shape + 1, &step),
        out));
    memcpy(tensor_reals(*out) + (size_t)t * step->count, tensor_reals(step),
           step->count * sizeof(real));
    saros_tensor_release(step);
  }
  return SAROS_OK;
}

saros_status program_node_dropout(const program_walk *walk,
                                  const program_node *n, int by_step,
                                  saros_tensor **out) {
  const double p = n->number[NUMBER_P];
  const int shape[3] = {walk->T, walk->B, n->width};
  const int shared = n->at[AT_SHARED] != 0;
  *out = NULL;
  if (p == 0 || !tape_is_training(walk->p->context))
    return SAROS_OK;
  if (by_step && !shared)
    return draw_steps(walk, p, n->width, out);
  return program_dropout(walk->p->context, p, walk->generator, 3 - shared,
                         shape + shared, out);
}

/* Factors that are 1 or 0 in training and their mean otherwise. */
static saros_status zone(const program_walk *walk, const program_node *n, int i,
                         saros_tensor **out) {
  double p = n->number[NUMBER_ZONEOUT + i];
  saros_context *context = walk->p->context;
  const int shape[3] = {walk->T, walk->B, walk->p->states[n->state[i]].width};
  saros_tensor *kept;
  *out = NULL;
  if (p == 0)
    return SAROS_OK;
  TRY(program_dropout(context, p, walk->generator, 3, shape, out));
  TRY(tensor_or_nothing(tensor_scalar(context, 1 - p, &kept), out));
  saros_tensor *scaled = *out;
  saros_status status = saros_combine(SAROS_MULTIPLY, scaled, kept, out);
  saros_tensor_release(scaled);
  saros_tensor_release(kept);
  return status;
}

/* --- Cells ------------------------------------------------------------------------- */

/* The shape of a cell's parameter, which has 'width' elements; its rank. */
static int parameter_shape(const program_walk *walk, const program_node *n,
                           int which, int width, int *shape) {
  const program_state *states = walk->p->states;
  int P = states[n->state[0]].width;
  int H = n->states > 1 ? states[n->state[1]].width : P;
  int G = saros_cell_of(n->cell).gates;
  if (which == R_TABLE) {
    shape[0] = width / (G * H), shape[1] = G * H;
    return 2;
  }
  const char *letters = recurrent_givens[which].shape;
  const recurrent_sizes sizes = {G, H, P, 0};
  shape[0] = (int)recurrent_size(letters[0], &sizes);
  shape[1] = width / shape[0];
  return (int)strlen(letters);
}

enum { MOST_GIVEN = R_PARAMETERS - R_WEIGHT_IH + SAROS_MAX_STATES };

static saros_status cell_parameters(const program_walk *walk,
                                    const program_node *n,
                                    saros_tensor *const *x,
                                    saros_tensor *const *first,
                                    saros_named_tensor *given) {
  int shape[2], count = n->inputs - 1;
  for (int i = 0; i < count; i++) {
    const program_node *in = &walk->p->nodes[n->input[i + 1]];
    int rank = parameter_shape(walk, n, n->with[i], in->width, shape);
    given[i].name = recurrent_givens[n->with[i]].name;
    TRY(program_reshape(x[i + 1], 0, rank, shape, &given[i].tensor));
  }
  for (int i = 0; i < n->states; i++) {
    given[count + i].name = recurrent_givens[R_H_RESTART + i].name;
    if (first[i] != NULL)
      TRY(program_reshape(first[i], 0, 1, &walk->p->states[n->state[i]].width,
                          &given[count + i].tensor));
  }
  return SAROS_OK;
}

static saros_status keep_cell(const program_walk *walk, const program_node *n,
                              saros_tensor *const *x,
                              saros_tensor *const *state,
                              saros_tensor *const *first, saros_tensor **y,
                              saros_tensor **last) {
  saros_named_tensor given[MOST_GIVEN] = {{NULL, NULL}};
  saros_tensor *zones[SAROS_MAX_STATES] = {NULL}, *all = NULL, *dropout = NULL;
  const program_lead lead = {2, {walk->T, walk->B}};
  saros_status status;
  TRY_OR_DONE(program_spread(&walk->p->nodes[n->input[0]], &lead, x[0], &all));
  TRY_OR_DONE(cell_dropout(walk, n, &dropout));
  for (int i = 0; i < n->states; i++)
    TRY_OR_DONE(zone(walk, n, i, &zones[i]));
  TRY_OR_DONE(cell_parameters(walk, n, x, first, given));
  saros_steps steps = {walk->reverse, walk->mask, walk->reset,
                       dropout,       zones[0],   zones[1]};
  status = saros_recurrent(n->cell, all, state, given,
                           n->inputs - 1 + n->states, &steps, y, last);
done:
  saros_tensor_release(all);
  saros_tensor_release(dropout);
  for (int i = 0; i < MOST_GIVEN; i++)
    saros_tensor_release(given[i].tensor);
  for (int i = 0; i < SAROS_MAX_STATES; i++)
    saros_tensor_release(zones[i]);
  return status;
}

/* --- Windows ------------------------------------------------------------------------- */

saros_status program_window(const program_walk *walk, int taps, int dilation,
                            saros_tensor *x, saros_tensor *state,
                            saros_tensor **y, saros_tensor **last) {
  const saros_window_options options = {.kernel = taps,
                                        .dilation = dilation,
                                        .mask = walk->mask,
                                        .reset = walk->reset,
                                        .reverse = walk->reverse};
  return saros_window(x, state, &options, y, last);
}

static saros_status keep(const program_walk *walk, const program_node *n,
                         saros_tensor *const *x, saros_tensor *const *state,
                         saros_tensor *const *first, saros_tensor **y,
                         saros_tensor **last) {
  if (n->op == NODE_ATTENTION)
    return program_attend(walk, n, x, state, y, last);
  if (n->op == NODE_DELTA)
    return program_delta(walk, n, x, state[0], first[0], y, last);
  if (n->op == NODE_CELL)
    return keep_cell(walk, n, x, state, first, y, last);
  const program_lead lead = {2, {walk->T, walk->B}};
  saros_tensor *all;
  TRY(program_spread(&walk->p->nodes[n->input[0]], &lead, x[0], &all));
  saros_status status = program_window(walk, n->at[AT_TAPS], n->at[AT_DILATION],
                                       all, state[0], y, last);
  saros_tensor_release(all);
  return status;
}

saros_status program_keep(const program_walk *walk, const program_node *n,
                          saros_tensor *const *x, saros_tensor *const *state,
                          saros_tensor *const *first, saros_tensor **y,
                          saros_tensor **last) {
  saros_status status = keep(walk, n, x, state, first, y, last);
  if (status == SAROS_OK)
    return SAROS_OK;
  for (int i = 0; i < n->states; i++)
    tensor_or_nothing(status, &last[i]);
  return tensor_or_nothing(status, y);
}
