/*
** The tape: what was computed, in order, so that it can be run backwards.
**
** A tensor that takes part in differentiation has a node, in which its
** gradient gathers. The node of a result carries the serial number of its
** tape; when that tape is closed, no open tape has the number any more and the
** tensor is a plain value again: nothing has to be found and cut. The node of
** a trainable tensor has serial 0 and counts on every tape.
**
** An entry refers to nodes, not to tensors; it keeps alive (and pins against
** writing) only the tensors that its backward function reads. Backward frees
** every entry as soon as it has run.
*/
#include <assert.h>
#include <string.h>

#include "tape.h"

/* True if a tape records x, or will again once it is no longer set aside. */
static int tape_has(const saros_tape *tape, const saros_tensor *x) {
  if (tape == NULL || tape->state != TAPE_RECORDING || x == NULL ||
      x->node == NULL)
    return 0;
  unsigned long serial = x->node->serial;
  return serial == tape->serial || (serial == 0 && !tape->skips_trainable);
}

/* The open tapes, one after the other: null is followed by the one that records,
** or the first that is set aside, and the outermost by null. */
static saros_tape *next_tape(const saros_context *context,
                             const saros_tape *tape) {
  saros_tape *at = context->tape;
  const saros_pause *pause = context->pause;
  int passed = tape == NULL;
  while ((at == NULL || !passed) && pause != NULL) {
    passed |= at == tape;
    at = pause->tape;
    pause = pause->outer;
  }
  return passed && at != tape ? at : NULL;
}

static int on_any_tape(const saros_tensor *x) {
  for (saros_tape *t = NULL; (t = next_tape(x->context, t)) != NULL;)
    if (tape_has(t, x))
      return 1;
  return 0;
}

saros_status saros_set_trainable(saros_tensor *x, int trainable) {
  TRY(tensor_expect_real("trainable", "the tensor", x));
  if (saros_is_trainable(x) == (trainable != 0))
    return SAROS_OK;
  if (on_any_tape(x))
    return saros_fail(x->context, SAROS_ESTATE,
                      "trainable: expected a tensor that is not part of the "
                      "open tape; close it first");
  tensor_node *n = NULL;
  if (trainable) {
    TRY(tensor_node_new(x, 0, &n));
    n->keep = 1;
  }
  tensor_node_release(x->node);
  x->node = n;
  return SAROS_OK;
}

int saros_is_trainable(const saros_tensor *x) {
  return x->node != NULL && x->node->serial == 0;
}

saros_tensor *saros_gradient(const saros_tensor *x) {
  return x->node != NULL ? x->node->gradient : NULL;
}

void saros_clear_gradient(saros_tensor *x) {
  if (x->node != NULL)
    tensor_node_clear(x->node);
}

/* --- Recording --------------------------------------------------------------- */

int tape_wants(const saros_context *context, const saros_tensor *x) {
  return tape_has(context->tape, x);
}

int saros_is_recording(const saros_context *context) {
  const saros_tape *tape = context->tape;
  return tape != NULL && tape->state == TAPE_RECORDING;
}

int saros_is_training(const saros_context *context) {
  return tape_is_training(context);
}

int tape_is_training(const saros_context *context) {
  const saros_tape *tape = context->tape;
  return tape != NULL && tape->state == TAPE_RECORDING && tape->training;
}

/* An entry with room for all that a record names, in one block. */
static tape_entry *entry_new(saros_context *context, const tape_call *r) {
  size_t inputs = (size_t)r->inputs, outputs = (size_t)r->outputs;
  size_t saved = (size_t)r->saved_count;
  size_t pointers = (inputs + outputs + saved) * sizeof(void *);
  size_t bytes = sizeof(tape_entry) + pointers + r->arguments_size;
  tape_entry *e = pool_take(&context->pool, bytes);
  if (e == NULL) {
    base_out_of_memory(context, bytes);
    return NULL;
  }
  memset(e, 0, bytes);
  e->operation = r->operation;
  e->row = profile_row_recorded(context, r->operation->name);
  e->precision = context->precision;
  e->context = context;
  e->inputs = r->inputs;
  e->outputs = r->outputs;
  e->saved_count = r->saved_count;
  e->input = (tensor_node **)(void *)(e + 1);
  e->output = e->input + inputs;
  e->saved = (saros_tensor **)(void *)(e->output + outputs);
  e->arguments = e->saved + saved;
  if (r->arguments_size > 0)
    memcpy(e->arguments, r->arguments, r->arguments_size);
  return e;
}

/* Keeps x from being written in place until the entry is freed. */
static void pin(saros_tensor *x) {
  if (x->storage->pins++ == 0)
    x->context->pool.memory.taped += x->storage->bytes;
}

static void unpin(saros_tensor *x) {
  if (--x->storage->pins == 0)
    x->context->pool.memory.taped -= x->storage->bytes;
}

static void entry_free(tape_entry *e) {
  for (int i = 0; i < e->saved_count; i++) {
    if (e->saved[i] == NULL)
      continue;
    unpin(e->saved[i]);
    saros_tensor_release(e->saved[i]);
  }
  for (int i = 0; i < e->inputs; i++)
    tensor_node_release(e->input[i]);
  for (int i = 0; i < e->outputs; i++)
    tensor_node_release(e->output[i]);
  pool_give(&e->context->pool, e);
}

static void entry_save(tape_entry *e, const tape_call *r) {
  for (int i = 0; i < r->saved_count; i++) {
    if (r->saved[i] == NULL)
      continue;
    e->saved[i] = saros_tensor_retain(r->saved[i]);
    pin(e->saved[i]);
  }
}

static void entry_connect_inputs(tape_entry *e, const tape_call *r) {
  for (int i = 0; i < r->inputs; i++) {
    if (!tape_wants(e->context, r->input[i]))
      continue;
    e->input[i] = r->input[i]->node;
    e->input[i]->references++;
  }
}

static saros_status entry_connect_outputs(tape_entry *e, const tape_call *r) {
  for (int i = 0; i < r->outputs; i++) {
    saros_tensor *y = r->output[i];
    assert(y->node == NULL);
    TRY(tensor_node_new(y, e->context->tape->serial, &y->node));
    e->output[i] = y->node;
    y->node->references++;
  }
  return SAROS_OK;
}

static int wants_any(const saros_context *context, const tape_call *r) {
  for (int i = 0; i < r->inputs; i++)
    if (tape_wants(context, r->input[i]))
      return 1;
  return 0;
}

static saros_status append(saros_context *context, const tape_call *r) {
  tape_entry *e = entry_new(context, r);
  if (e == NULL)
    return SAROS_EMEMORY;
  entry_connect_inputs(e, r);
  entry_save(e, r);
  saros_status status = entry_connect_outputs(e, r);
  if (status != SAROS_OK) {
    entry_free(e);
    return status;
  }
  e->previous = context->tape->last;
  context->tape->last = e;
  context->tape->length++;
  return SAROS_OK;
}

saros_status tape_record(saros_context *context, const tape_call *r) {
  if (!wants_any(context, r))
    return SAROS_OK;
  saros_status status = append(context, r);
  if (status == SAROS_OK)
    return SAROS_OK;
  for (int i = 0; i < r->outputs; i++) {
    saros_tensor_release(r->output[i]);
    r->output[i] = NULL;
  }
  return status;
}

saros_status tape_record_unary(const tape_operation *op, saros_tensor *x,
                               saros_tensor *saved, const void *arguments,
                               size_t arguments_size, saros_tensor **y) {
  return tape_record(x->context,
                     &(tape_call){.operation = op,
                                  .inputs = 1,
                                  .input = &x,
                                  .outputs = 1,
                                  .output = y,
                                  .saved_count = saved != NULL,
                                  .saved = &saved,
                                  .arguments = arguments,
                                  .arguments_size = arguments_size});
}

saros_status tape_entry_gradient(const tape_entry *e, int output,
                                 saros_tensor **dy) {
  *dy = e->output[output]->gradient;
  return *dy == NULL ? SAROS_OK : tensor_contiguous(*dy, dy);
}

/* --- Writing in place ---------------------------------------------------------- */

/* The name of the operation that saved this storage; null: not on this tape. */
static const char *reader_on(const saros_tape *tape, const tensor_storage *s) {
  for (const tape_entry *e = tape->last; e != NULL; e = e->previous)
    for (int i = 0; i < e->saved_count; i++)
      if (e->saved[i] != NULL && e->saved[i]->storage == s)
        return e->operation->name;
  return NULL;
}

static const char *reader_of(const saros_context *context,
                             const tensor_storage *s) {
  const char *name = NULL;
  saros_tape *t = NULL;
  while (name == NULL && (t = next_tape(context, t)) != NULL)
    name = reader_on(t, s);
  return name != NULL ? name : "an operation";
}

/* SAROS_ESTATE if an open tape still needs the contents of x. */
static saros_status lets_write(const saros_tensor *x, const char *function) {
  saros_context *context = x->context;
  if (x->storage->pins > 0)
    return saros_fail(context, SAROS_ESTATE,
                      "%s: tensor %s is still needed by %s on the open tape; "
                      "write to a clone, or after backward or close",
                      function, TENSOR_SHAPE(x),
                      reader_of(context, x->storage));
  if (on_any_tape(x) && !saros_is_trainable(x) && !x->node->keep)
    return saros_fail(context, SAROS_ESTATE,
                      "%s: tensor %s was computed on the open tape, and a "
                      "write is not recorded; write to a clone",
                      function, TENSOR_SHAPE(x));
  return SAROS_OK;
}

saros_status saros_tensor_adopt(saros_tensor *x, saros_tensor *source) {
  TRY(tensor_expect_context("adopt", x->context, source));
  TRY(lets_write(x, "adopt"));
  TRY(tensor_expect_same_shape("adopt", "a source", source, x));
  if (x->dtype != source->dtype)
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "adopt: expected elements of the same type");
  tensor_take_storage(x, source);
  return SAROS_OK;
}

/* --- The tape's life -------------------------------------------------------------- */

saros_status saros_tape_open(saros_context *context, int training,
                             saros_tape **out) {
  *out = NULL;
  if (context->tape != NULL)
    return saros_fail(context, SAROS_ESTATE,
                      "tape: expected no open tape, got one with %zu "
                      "operations; close it first (local tape <close> = ...)",
                      context->tape->length);
  TRY(base_object_new(context, sizeof(saros_tape), (void **)out));
  saros_tape *tape = *out;
  tape->context = context;
  tape->training = training;
  tape->serial = ++context->tapes;
  context->tape = tape;
  context->lets_write = lets_write;
  return SAROS_OK;
}

void tape_free_last(saros_tape *tape) {
  tape_entry *e = tape->last;
  tape->last = e->previous;
  tape->length--;
  entry_free(e);
}

void tape_free_entries(saros_tape *tape) {
  tape->stopped = NULL;
  while (tape->last != NULL)
    tape_free_last(tape);
}

/* Another tape that watches the same tensor, and has kept a node of this one
** to put back, keeps the older node instead. */
static void hand_over(const saros_tape *tape, tape_watched *w) {
  for (saros_tape *t = NULL; (t = next_tape(tape->context, t)) != NULL;)
    for (tape_watched *other = t->watched; other != NULL; other = other->next)
      if (other->tensor == w->tensor && other->before != NULL &&
          other->before->serial == tape->serial) {
        tensor_node *own = other->before;
        other->before = w->before;
        w->before = own;
      }
}

/* Each watched tensor gets back the node that it had. */
static void put_back(saros_tape *tape) {
  while (tape->watched != NULL) {
    tape_watched *w = tape->watched;
    saros_tensor *x = w->tensor;
    tape->watched = w->next;
    if (x->node->serial != tape->serial) {  // closed before a tape inside it
      hand_over(tape, w);
      tensor_node_release(w->before);
    } else {
      tensor_node_release(x->node);
      x->node = w->before;
    }
    saros_tensor_release(x);
    base_object_free(tape->context, w);
  }
}

void saros_tape_close(saros_tape *tape) {
  if (tape->state == TAPE_CLOSED)
    return;
  tape_free_entries(tape);
  put_back(tape);
  tape->state = TAPE_CLOSED;
  tape_pause_forget(tape->context, tape);
}

void saros_tape_release(saros_tape *tape) {
  if (tape == NULL)
    return;
  saros_tape_close(tape);
  base_object_free(tape->context, tape);
}

int saros_tape_is_open(const saros_tape *tape) {
  return tape->state != TAPE_CLOSED;
}

size_t saros_tape_length(const saros_tape *tape) {
  return tape->length;
}

saros_status tape_expect_recording(const saros_tape *tape,
                                   const char *function) {
  if (tape->state == TAPE_RECORDING && tape == tape->context->tape)
    return SAROS_OK;
  const char *state = tape->state == TAPE_CLOSED ? "is closed"
                      : tape->state == TAPE_RECORDING
                          ? "is set aside by a pause"
                          : "has been run";
  return saros_fail(tape->context, SAROS_ESTATE,
                    "%s: expected a recording tape, but this tape %s", function,
                    state);
}

void saros_tape_skip_trainable(saros_tape *tape) {
  tape->skips_trainable = 1;
}

/* Gives x a node of this tape. The one that it has is kept for later if it
** still counts: on a tape set aside, or because x is trainable. */
static saros_status enter(saros_tape *tape, saros_tensor *x) {
  tape_watched *w = NULL;
  if (x->node != NULL && (on_any_tape(x) || saros_is_trainable(x)))
    TRY(base_object_new(tape->context, sizeof *w, (void **)&w));
  tensor_node *n;
  saros_status status = tensor_node_new(x, tape->serial, &n);
  if (status != SAROS_OK) {
    base_object_free(tape->context, w);
    return status;
  }
  if (w != NULL) {
    *w = (tape_watched){tape->watched, saros_tensor_retain(x), x->node};
    tape->watched = w;
  } else {
    tensor_node_release(x->node);
  }
  x->node = n;
  return SAROS_OK;
}

saros_status saros_tape_watch(saros_tape *tape, saros_tensor *x) {
  TRY(tape_expect_recording(tape, "watch"));
  TRY(tensor_expect_context("watch", tape->context, x));
  TRY(tensor_expect_real("watch", "the tensor", x));
  if (!tape_wants(tape->context, x))
    TRY(enter(tape, x));
  x->node->keep = 1;
  return SAROS_OK;
}
