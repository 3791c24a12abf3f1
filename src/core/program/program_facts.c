/*
** What a program says of itself.
*/
#include "program.h"

const char *saros_program_text(const saros_program *p, size_t *size) {
  if (size != NULL)
    *size = p->size;
  return p->text;
}

saros_program_facts saros_program_of(const saros_program *p) {
  return (saros_program_facts){p->node_count, p->parameter_count,
                               p->state_count, p->input_count, p->output_count};
}

static int is_within(int at, int count) {
  return at >= 0 && at < count;
}

saros_program_value saros_program_input(const saros_program *p, int input) {
  if (!is_within(input, p->input_count))
    return (saros_program_value){0};
  const program_node *n = &p->nodes[p->inputs[input].node];
  return (saros_program_value){.name = p->inputs[input].name,
                               .width = n->width,
                               .symbols =
                                   n->op == NODE_IDS ? n->at[AT_IDS] : 0};
}

saros_program_value saros_program_output(const saros_program *p, int output) {
  if (!is_within(output, p->output_count))
    return (saros_program_value){0};
  return (saros_program_value){.name = p->outputs[output].name,
                               .width =
                                   p->nodes[p->outputs[output].node].width};
}

saros_program_value saros_program_state(const saros_program *p, int state) {
  if (!is_within(state, p->state_count))
    return (saros_program_value){0};
  return (saros_program_value){.name = p->states[state].name,
                               .width = p->states[state].width,
                               .reverse = p->states[state].reverse};
}

saros_program_tensor saros_program_parameter(const saros_program *p,
                                             int parameter) {
  if (!is_within(parameter, p->parameter_count))
    return (saros_program_tensor){0};
  const program_parameter *x = &p->parameters[parameter];
  return (saros_program_tensor){x->name, x->rank, x->shape};
}
