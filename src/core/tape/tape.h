/*
** The tape: the operations that were done, to be run backwards.
**
** Ownership: the tape holds one reference to each node and each saved tensor.
*/
#ifndef TAPE_H
#define TAPE_H

#include "tensor.h"

/* --- Tape (tape.c) ------------------------------------------------------------ */

typedef struct tape_entry tape_entry;

/* A differentiable operation: its name, and how it turns the gradients of its
** outputs into those of its inputs. A backward function finds an input's node
** null where no gradient is wanted. Without one, the caller of the tape does it:
** see tape_own.c. */
typedef struct tape_operation {
  const char *name;
  saros_status (*backward)(const tape_entry *e);
} tape_operation;

struct tape_entry {
  const tape_operation *operation;
  tape_entry *previous;
  saros_context *context;
  int inputs, outputs, saved_count;
  int row;              // of the call that recorded it, in the profile
  int precision;        // of products: as when it was recorded
  tensor_node **input;  // null where no gradient is wanted
  tensor_node **output;
  saros_tensor **saved;  // may hold nulls
  void *arguments;       // the operation's own, copied
};

/* What tape_record needs to know of an operation that has just been done. */
typedef struct tape_call {
  const tape_operation *operation;
  int inputs;
  saros_tensor *const *input;  // may hold nulls
  int outputs;
  saros_tensor **output;
  int saved_count;
  saros_tensor *const *saved;  // may hold nulls
  const void *arguments;
  size_t arguments_size;
} tape_call;

/*
** Records an operation if a tape is recording and one of its inputs is on it;
** otherwise does nothing. The saved tensors are pinned: writing to them in
** place is refused until backward has used them. On failure the outputs are
** released and set to null.
*/
saros_status tape_record(saros_context *context, const tape_call *r);

/* One input, one output, at most one saved tensor, no arguments or some. */
saros_status tape_record_unary(const tape_operation *operation, saros_tensor *x,
                               saros_tensor *saved, const void *arguments,
                               size_t arguments_size, saros_tensor **y);

/* True if the tape would record an operation on x, which may be null. */
int tape_wants(const saros_context *context, const saros_tensor *x);

/* True if dropout acts. */
int tape_is_training(const saros_context *context);

/* The gradient of an output in contiguous form, a new reference; null if
** nothing reached it. */
saros_status tape_entry_gradient(const tape_entry *e, int output,
                                 saros_tensor **dy);

/* --- Inside a tape ------------------------------------------------------------- */

typedef enum tape_state {
  TAPE_RECORDING,
  TAPE_RUNNING,
  TAPE_SPENT,
  TAPE_CLOSED
} tape_state;

/* A watched tensor, and the node that it had before; null: none. */
typedef struct tape_watched {
  struct tape_watched *next;
  saros_tensor *tensor;
  tensor_node *before;
} tape_watched;

struct saros_tape {
  saros_context *context;
  tape_entry *last;
  tape_entry *stopped;    // whose way back is the caller's; null: none
  tape_watched *watched;  // those whose node has to be put back
  size_t length;
  unsigned long serial;
  tape_state state;
  int training;
  int skips_trainable;
};

/* Frees the newest entry, or all. (tape.c) */
void tape_free_last(saros_tape *tape);
void tape_free_entries(saros_tape *tape);

/* SAROS_ESTATE unless this is the tape that records. (tape.c) */
saros_status tape_expect_recording(const saros_tape *tape,
                                   const char *function);

/* The precision of an entry's way back: gradients are never made in int8.
** (tape_backward.c) */
int tape_precision(const tape_entry *e);

/* Goes on behind the entry at which the way back stopped: its gradients have been
** added. (tape_backward.c) */
saros_status tape_go_on(saros_tape *tape);

/* --- Pauses (pause.c) --------------------------------------------------------- */

struct saros_pause {
  saros_context *context;
  saros_pause *outer;  // the one around it, or null
  saros_tape *tape;    // that it set aside, or null
};

/* The tape, open or set aside, is being closed. */
void tape_pause_forget(saros_context *context, const saros_tape *tape);

#endif
