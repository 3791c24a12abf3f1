/*
** Operations of the host's own: entries of a tape whose way back the host
** computes. Such an entry has no backward function; a tape that comes to it on
** the way back stops, tells the host what the entry was, and goes on with the
** gradients that the host brings.
*/
#include <string.h>

#include "tape.h"

#define MOST 255

/* The arguments of an entry. The operation lies in the entry, since its name is the
** host's. */
typedef struct own_arguments {
  tape_operation operation;
  int64_t token;
  char name[64];
} own_arguments;

static saros_status expect_own(saros_context *context, const saros_own *own) {
  if (own->name == NULL || own->name[0] == '\0' ||
      strlen(own->name) >= sizeof((own_arguments *)0)->name)
    return saros_fail(context, SAROS_EARGUMENT,
                      "operation: expected a name of 1 to 63 bytes");
  if (own->inputs < 0 || own->inputs > MOST || own->outputs < 1 ||
      own->outputs > MOST || own->saved_count < 0)
    return saros_fail(context, SAROS_EARGUMENT,
                      "%s: expected 0..%d inputs and 1..%d outputs, got %d and "
                      "%d",
                      own->name, MOST, MOST, own->inputs, own->outputs);
  for (int i = 0; i < own->inputs; i++)
    if (own->input[i] != NULL)
      TRY(tensor_expect_context(own->name, context, own->input[i]));
  for (int i = 0; i < own->outputs; i++) {
    TRY(tensor_expect_context(own->name, context, own->output[i]));
    TRY(tensor_expect_real(own->name, "an output", own->output[i]));
  }
  return SAROS_OK;
}

static void release_all(saros_tensor **tensors, int count) {
  for (int i = 0; i < count; i++) {
    saros_tensor_release(tensors[i]);
    tensors[i] = NULL;
  }
}

/* Views of the outputs without history, in a pause. */
static saros_status make_views(const saros_own *own, saros_tensor **out) {
  memset(out, 0, (size_t)own->outputs * sizeof *out);
  for (int i = 0; i < own->outputs; i++) {
    saros_status status = saros_detach(own->output[i], &out[i]);
    if (status != SAROS_OK) {
      release_all(out, own->outputs);
      return status;
    }
  }
  return SAROS_OK;
}

saros_status saros_own_record(saros_context *context, const saros_own *own,
                              saros_tensor **out) {
  TRY(expect_own(context, own));
  TRY(make_views(own, out));
  own_arguments arguments = {.token = own->token};
  strcpy(arguments.name, own->name);
  arguments.operation.name = arguments.name;
  saros_tape *tape = context->tape;
  size_t before = tape != NULL ? tape->length : 0;
  TRY(tape_record(context, &(tape_call){.operation = &arguments.operation,
                                        .inputs = own->inputs,
                                        .input = own->input,
                                        .outputs = own->outputs,
                                        .output = out,
                                        .saved_count = own->saved_count,
                                        .saved = own->saved,
                                        .arguments = &arguments,
                                        .arguments_size = sizeof arguments}));
  if (tape != NULL && tape->length > before) {
    tape_entry *e = tape->last;
    own_arguments *kept = e->arguments;
    kept->operation.name = kept->name;
    e->operation = &kept->operation;
  }
  return SAROS_OK;
}

int saros_is_recorded(const saros_tensor *x) {
  return tape_wants(x->context, x);
}

saros_tape *saros_open_tape(const saros_context *context) {
  return context->tape;
}

int saros_tape_stop(const saros_tape *tape, saros_own_stop *stop) {
  const tape_entry *e = tape->stopped;
  if (e == NULL)
    return 0;
  const own_arguments *own = e->arguments;
  *stop = (saros_own_stop){own->name, own->token, e->inputs, e->outputs,
                           (saros_precision)tape_precision(e)};
  return 1;
}

static saros_status copy_of(const saros_tensor *x, saros_tensor **out) {
  TRY(tensor_like(x, out));
  tensor_copy(*out, x);
  return SAROS_OK;
}

saros_status saros_tape_stop_gradient(saros_tape *tape, int output,
                                      saros_tensor **dy) {
  const tape_entry *e = tape->stopped;
  *dy = NULL;
  if (e == NULL || output < 0 || output >= e->outputs)
    return saros_fail(tape->context, SAROS_EARGUMENT,
                      "backward: expected a stop with an output %d", output);
  const tensor_node *n = e->output[output];
  if (n->gradient == NULL)
    return saros_tensor_new(n->context, SAROS_REAL, n->rank, n->shape, dy);
  return copy_of(n->gradient, dy);
}

/* The gradient of each input is real and of its shape. */
static saros_status expect_gradients(const tape_entry *e,
                                     saros_tensor *const *gradients) {
  const char *name = e->operation->name;
  int base = e->context->index_base;
  for (int i = 0; i < e->inputs; i++) {
    const saros_tensor *g = gradients[i];
    const tensor_node *n = e->input[i];
    if (g == NULL || n == NULL)
      continue;
    TRY(tensor_expect_context(name, e->context, g));
    if (g->dtype == SAROS_REAL && g->rank == n->rank &&
        memcmp(g->shape, n->shape, (size_t)n->rank * sizeof *n->shape) == 0)
      continue;
    return saros_fail(e->context, SAROS_EARGUMENT,
                      "%s: expected backward to return a gradient of shape %s "
                      "for input %d, got %s%s",
                      name, TENSOR_SHAPE(n), i + base,
                      g->dtype == SAROS_IDS ? "ids " : "", TENSOR_SHAPE(g));
  }
  return SAROS_OK;
}

saros_status saros_tape_backward_resume(saros_tape *tape,
                                        saros_tensor *const *gradients) {
  const tape_entry *e = tape->stopped;
  if (e == NULL)
    return saros_fail(tape->context, SAROS_ESTATE,
                      "backward: expected a tape that has stopped at an "
                      "operation of the caller's");
  TRY(expect_gradients(e, gradients));
  for (int i = 0; i < e->inputs; i++) {
    saros_tensor *copy;
    if (gradients[i] == NULL || e->input[i] == NULL)
      continue;
    saros_status status = copy_of(gradients[i], &copy);
    if (status == SAROS_OK)
      status = tensor_node_add(e->input[i], copy);
    if (status != SAROS_OK) {
      saros_tape_give_up(tape);
      return status;
    }
  }
  return tape_go_on(tape);
}
