/*
** A delta node over whole sequences: saros_delta with the walk's mask, resets and
** direction. Of its gates a constant that does nothing (write 1, erase 0) is left
** out, which saves its products.
*/
#include "program_run.h"

enum { WRITE = 3, ERASE, DECAY, OPERANDS };

/* (T, B, gates) of a gate; null if it is the constant that does nothing. */
static saros_status gate(const program_walk *walk, const program_node *n, int i,
                         saros_tensor *x, double nothing, saros_tensor **out) {
  const program_node *in = &walk->p->nodes[n->input[i]];
  const program_lead lead = {2, {walk->T, walk->B}};
  const int gates = n->at[AT_HEADS] * n->at[AT_REFLECTIONS];
  const int shape[3] = {walk->T, walk->B, gates};
  *out = NULL;
  if (in->op != NODE_CONSTANT || in->values != NULL)
    return program_spread(in, &lead, x, out);
  if (in->number[NUMBER_VALUE] == nothing)
    return SAROS_OK;
  return program_filled(x->context, in->number[NUMBER_VALUE], 3, shape, out);
}

saros_status program_delta(const program_walk *walk, const program_node *n,
                           saros_tensor *const *x, saros_tensor *state,
                           saros_tensor *first, saros_tensor **y,
                           saros_tensor **last) {
  const program_lead lead = {2, {walk->T, walk->B}};
  saros_tensor *all[OPERANDS] = {NULL}, *begin = NULL;
  saros_status status;
  for (int i = 0; i < n->inputs; i++)
    if (i != WRITE && i != ERASE)
      TRY_OR_DONE(
          program_spread(&walk->p->nodes[n->input[i]], &lead, x[i], &all[i]));
  TRY_OR_DONE(gate(walk, n, WRITE, x[WRITE], 1, &all[WRITE]));
  TRY_OR_DONE(gate(walk, n, ERASE, x[ERASE], 0, &all[ERASE]));
  if (first != NULL)
    TRY_OR_DONE(program_flat(
        &walk->p->nodes[walk->p->states[n->state[0]].first], first, &begin));
  const saros_delta_options options = {.heads = n->at[AT_HEADS],
                                       .reflections = n->at[AT_REFLECTIONS],
                                       .reverse = walk->reverse,
                                       .write = all[WRITE],
                                       .erase = all[ERASE],
                                       .decay = all[DECAY],
                                       .mask = walk->mask,
                                       .reset = walk->reset,
                                       .first = begin};
  status = saros_delta(all[0], all[1], all[2], &options, state, y, last);
done:
  for (int i = 0; i < OPERANDS; i++)
    saros_tensor_release(all[i]);
  saros_tensor_release(begin);
  return status;
}
