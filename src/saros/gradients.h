/*
** The tape, and what is done with gradients.
*/
#ifndef SAROS_GRADIENTS_H
#define SAROS_GRADIENTS_H

#include "context.h"

SAROS_BEGIN

/* --- Tape ------------------------------------------------------------------------ */

/* Opens the tape of a context. SAROS_ESTATE if one is open already, unless a
** pause has set that aside. Dropout acts while a tape with training != 0 is
** open. */
SAROS_API saros_status saros_tape_open(saros_context *context, int training,
                                       saros_tape **out);

/* True if a tape records: one is open, no pause has set it aside, and it has not been
** run backwards. */
SAROS_API int saros_is_recording(const saros_context *context);

/* True if a tape with training != 0 records: dropout acts. */
SAROS_API int saros_is_training(const saros_context *context);

/* From now on trainable tensors are constants to this tape: it records what is
** computed from watched tensors, and their gradients alone are added to. */
SAROS_API void saros_tape_skip_trainable(saros_tape *tape);

/* Asks for the gradient of x, whatever it is: a result's after it was computed,
** an input's before it is used. If x is part of a tape that is set aside, closing
** this one gives x back to that tape, with the gradient that it has there. */
SAROS_API saros_status saros_tape_watch(saros_tape *tape, saros_tensor *x);

/*
** Adds the gradient of loss to the gradient of every trainable and watched
** tensor that it was computed from. loss has one element, or gradient holds
** the gradient of its elements. Each saved activation is freed as soon as it
** has been used; afterwards the tape is spent: it records nothing more. After
** an error the gradients may hold part of the sum. SAROS_ESTATE if an operation of
** the host's own takes part: see saros_tape_backward_start.
*/
SAROS_API saros_status saros_tape_backward(saros_tape *tape, saros_tensor *loss,
                                           saros_tensor *gradient);

/*
** Operations of the host's own, one entry on the tape each. The core never calls
** the host, so a tape's way back stops where such an entry's turn comes:
**
**   saros_pause *pause;                              // forward
**   saros_pause_begin(context, &pause);              // nothing of it is recorded
**   ... compute y from x ...
**   saros_pause_end(pause);
**   saros_own_record(context, &own, &out);           // out: y, on the tape
**
**   saros_tape_backward_start(tape, loss, NULL);     // instead of _backward
**   while (saros_tape_stop(tape, &stop)) {           // 0: it is over
**     saros_tape_stop_gradient(tape, 0, &dy);
**     ... compute dx, in a pause, from dy and what the host kept for stop.token ...
**     saros_tape_backward_resume(tape, &dx);
**   }
*/
typedef struct saros_own {
  const char *name;             // for messages and profiles; at most 63 bytes
  int64_t token;                // the host's, handed back when its turn comes
  int inputs;                   // at most 255
  saros_tensor *const *input;   // may hold nulls
  int outputs;                  // 1..255
  saros_tensor *const *output;  // real
  int saved_count;
  saros_tensor *const
      *saved;  // protected from writes until the way back is over
} saros_own;

/* True if the open tape records what is computed from x. */
SAROS_API int saros_is_recorded(const saros_tensor *x);

/*
** Records an operation that has been computed if an input is on the open tape. out
** (outputs) are views of its outputs, on that tape. After an error all of out are
** null. SAROS_EARGUMENT if a count, the name or the type of an output is wrong.
*/
SAROS_API saros_status saros_own_record(saros_context *context,
                                        const saros_own *own,
                                        saros_tensor **out);

/* saros_tape_backward up to the first such entry, or to the end. After an error
** the tape is spent. */
SAROS_API saros_status saros_tape_backward_start(saros_tape *tape,
                                                 saros_tensor *loss,
                                                 saros_tensor *gradient);

typedef struct saros_own_stop {
  const char *name;  // borrowed until backward goes on
  int64_t token;
  int inputs, outputs;
  saros_precision precision;  // in which backward would run it, if it could
} saros_own_stop;

/* The entry at which backward stopped. Returns 0 if there is none. */
SAROS_API int saros_tape_stop(const saros_tape *tape, saros_own_stop *stop);

/* The gradient of one of its outputs, contiguous and of its shape; zeros where
** none has come. */
SAROS_API saros_status saros_tape_stop_gradient(saros_tape *tape, int output,
                                                saros_tensor **dy);

/*
** Goes on with the gradients (inputs) of its inputs; null: none. They are copied.
** SAROS_EARGUMENT if one does not have the shape of its input, or is not real: then
** the tape is still at the same stop. After any other error it is spent.
*/
SAROS_API saros_status
saros_tape_backward_resume(saros_tape *tape, saros_tensor *const *gradients);

/* Ends backward before it is over: frees all that it would still need. Does nothing
** unless backward is under way. */
SAROS_API void saros_tape_give_up(saros_tape *tape);

/* Frees all that the tape saved. A second call does nothing. */
SAROS_API void saros_tape_close(saros_tape *tape);
/* The tape that records now; null: none. */
SAROS_API saros_tape *saros_open_tape(const saros_context *context);
SAROS_API void saros_tape_release(saros_tape *tape);  // closes; null is allowed
SAROS_API int saros_tape_is_open(const saros_tape *tape);
/* The number of recorded operations and the bytes that they keep alive. */
SAROS_API size_t saros_tape_length(const saros_tape *tape);

/*
** Sets the open tape, if any, aside: until the pause ends, operations are as
** without a tape. Nothing is recorded, dropout does not act, and another tape
** may be opened; to that one, what the first recorded are plain values. What
** the first tape needs stays protected from writes. Pauses nest, and end in any
** order. Everything that only asks a model something does so inside a pause.
*/
SAROS_API saros_status saros_pause_begin(saros_context *context,
                                         saros_pause **out);
/* Ends the pause and frees it: the tape that it set aside records again, unless
** that was closed meanwhile. A tape that was opened inside and is still open is
** closed. Null is allowed. */
SAROS_API void saros_pause_end(saros_pause *pause);

/* A trainable tensor is recorded by every tape. */
SAROS_API saros_status saros_set_trainable(saros_tensor *tensor, int trainable);
SAROS_API int saros_is_trainable(const saros_tensor *tensor);

/* The gradient accumulated so far, borrowed; null if there is none. */
SAROS_API saros_tensor *saros_gradient(const saros_tensor *tensor);
SAROS_API void saros_clear_gradient(saros_tensor *tensor);

/* --- Parameter updates -------------------------------------------------------------- */

/*
** Scales the gradients of all tensors by one factor so that their joint L2
** norm is at most 'limit' (Pascanu, Mikolov and Bengio 2013); stores the norm
** before scaling in *norm. A tensor without gradient counts as 0.
** SAROS_EARGUMENT unless limit > 0, SAROS_ENAN if the norm is not finite; on
** error the gradients are unchanged.
*/
SAROS_API saros_status saros_clip_norm(saros_context *context, int count,
                                       saros_tensor *const *tensors,
                                       double limit, double *norm);
/* Clamps every element of the gradients into [-limit, limit], limit > 0. */
SAROS_API saros_status saros_clip_value(saros_context *context, int count,
                                        saros_tensor *const *tensors,
                                        double limit);

typedef enum saros_rule {
  SAROS_SGD,      // first: velocity (may be null where momentum is 0)
  SAROS_RMSPROP,  // first: mean square
  SAROS_ADAM,     // first: mean, second: mean square
  SAROS_ADAMW,    // likewise, with decoupled weight decay
  SAROS_RULES
} saros_rule;

typedef struct saros_update {
  saros_rule rule;
  double rate;
  double decay;         // weight decay, all rules
  double momentum;      // SGD
  int nesterov;         // SGD
  double alpha;         // RMSProp: decay of the mean square
  double beta1, beta2;  // Adam
  double epsilon;       // RMSProp, Adam
  double step;          // Adam: this is the parameter's update 1, 2, ...
} saros_update;

/*
** Updates a parameter from its gradient by the rule, with the moments 'first'
** and 'second' of the parameter's shape. A parameter without gradient is left
** alone. All tensors must be contiguous. SAROS_ESTATE if the open tape needs
** the parameter.
*/
SAROS_API saros_status saros_update_parameter(const saros_update *update,
                                              saros_tensor *parameter,
                                              saros_tensor *first,
                                              saros_tensor *second);

SAROS_END

#endif
