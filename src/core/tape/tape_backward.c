/*
** The way back along a tape: from the newest entry to the oldest, each freed as
** soon as it has run.
*/
#include "tape.h"

static saros_status expect_loss(saros_tape *tape, saros_tensor *loss,
                                saros_tensor *gradient) {
  TRY(tape_expect_recording(tape, "backward"));
  TRY(tensor_expect_context("backward", tape->context, loss));
  if (!tape_wants(tape->context, loss))
    return saros_fail(tape->context, SAROS_ESTATE,
                      "backward: expected a loss computed on this tape from "
                      "trainable or watched tensors");
  if (gradient == NULL && loss->count != 1)
    return saros_fail(tape->context, SAROS_EARGUMENT,
                      "backward: expected a loss of one element (or the "
                      "gradient of its elements), got shape %s",
                      TENSOR_SHAPE(loss));
  if (gradient == NULL)
    return SAROS_OK;
  TRY(tensor_expect_real("backward", "the gradient", gradient));
  return tensor_expect_same_shape("backward", "the gradient", gradient, loss);
}

static saros_status seed(saros_tensor *loss, saros_tensor *gradient) {
  saros_tensor *one = gradient;
  if (gradient != NULL) {
    saros_tensor_retain(one);
  } else {
    TRY(tensor_like(loss, &one));
    tensor_reals(one)[0] = 1;
  }
  return tensor_node_add(loss->node, one);
}

static int is_reached(const tape_entry *e) {
  for (int i = 0; i < e->outputs; i++)
    if (e->output[i]->gradient != NULL)
      return 1;
  return 0;
}

static void drop_output_gradients(const tape_entry *e) {
  for (int i = 0; i < e->outputs; i++)
    if (!e->output[i]->keep)
      tensor_node_clear(e->output[i]);
}

int tape_precision(const tape_entry *e) {
  return e->precision == PACKED_INT8 ? PACKED_REAL : e->precision;
}

static saros_status run_entry(const tape_entry *e) {
  saros_context *context = e->context;
  int before = profile_enter_backward(context, e->row, e->operation->name);
  int precision = context->precision;
  context->precision = tape_precision(e);
  saros_status status = e->operation->backward(e);
  context->precision = precision;
  saros_profile_leave(context, before);
  TRY(status);
  drop_output_gradients(e);
  return SAROS_OK;
}

/* Runs entries until none is left, one fails, or one is the caller's. */
static saros_status run_entries(saros_tape *tape) {
  saros_status status = SAROS_OK;
  while (tape->last != NULL && status == SAROS_OK) {
    tape_entry *e = tape->last;
    status = base_check_interrupt(tape->context);
    if (status == SAROS_OK && is_reached(e)) {
      if (e->operation->backward == NULL) {
        tape->stopped = e;
        return SAROS_OK;
      }
      status = run_entry(e);
    }
    tape_free_last(tape);
  }
  tape_free_entries(tape);  // what an error left
  tape->state = TAPE_SPENT;
  return status;
}

saros_status saros_tape_backward_start(saros_tape *tape, saros_tensor *loss,
                                       saros_tensor *gradient) {
  TRY(expect_loss(tape, loss, gradient));
  tape->state = TAPE_RUNNING;
  saros_status status = seed(loss, gradient);
  if (status == SAROS_OK)
    return run_entries(tape);
  saros_tape_give_up(tape);
  return status;
}

saros_status tape_go_on(saros_tape *tape) {
  drop_output_gradients(tape->stopped);
  tape->stopped = NULL;
  tape_free_last(tape);
  return run_entries(tape);
}

void saros_tape_give_up(saros_tape *tape) {
  if (tape->state != TAPE_RUNNING)
    return;
  tape_free_entries(tape);
  tape->state = TAPE_SPENT;
}

saros_status saros_tape_backward(saros_tape *tape, saros_tensor *loss,
                                 saros_tensor *gradient) {
  TRY(saros_tape_backward_start(tape, loss, gradient));
  if (tape->stopped == NULL)
    return SAROS_OK;
  const char *name = tape->stopped->operation->name;
  saros_status status =
      saros_fail(tape->context, SAROS_ESTATE,
                 "backward: expected operations of the library alone, got %s, "
                 "whose way back is the caller's",
                 name);
  saros_tape_give_up(tape);
  return status;
}
