/*
** Saros: recurrent networks in C, scripted in Lua.
**
** This is the whole public interface: whatever a script can do, a C program
** can do through this header. Three ideas carry it:
**
**   context   owns memory, the last error and the open tape. Everything else
**             belongs to one context; two contexts never meet, so each thread
**             may have its own. A context is used by one thread at a time.
**   tensor    a reference-counted array of real numbers or of ids, or a view
**             that shares the storage of another tensor.
**   tape      while one is open, operations on trainable or watched tensors
**             are recorded; saros_tape_backward runs them in reverse
**             (back-propagation, through time where there is time).
**
** Conventions. Functions return a status; anything but SAROS_OK leaves a
** message in saros_error(context), sets the outputs to null and changes
** nothing else unless stated. An output tensor belongs to the caller, who
** releases it. Inputs are borrowed for the call. Axes, steps, rows and ids
** count from 0. Axes may be negative: -1 is the last one. Sequences are
** time-major: (T, B, F) is T steps of B rows of F features. A number that is no
** enumerator of an argument's type is SAROS_EARGUMENT.
**
**   saros/context.h     contexts, memory, threads, messages, profiles
**   saros/tensors.h     tensors, views, random numbers
**   saros/operations.h  operations, layers, losses
**   saros/recurrence.h  recurrent layers over sequences
**   saros/gradients.h   the tape, clipping, updates
**   saros/files.h       safetensors and other files
**   saros/texts.h       texts, vocabularies, files of ids
**   saros/scripts.h     Lua
*/
#ifndef SAROS_H
#define SAROS_H

#include "saros/context.h"
#include "saros/tensors.h"
#include "saros/operations.h"
#include "saros/recurrence.h"
#include "saros/gradients.h"
#include "saros/files.h"
#include "saros/texts.h"
#include "saros/scripts.h"

SAROS_BEGIN

/* --- Programs -------------------------------------------------------------------- */

/*
** A program is what a model computes in one time step, for one row: nodes in
** order of evaluation, as JSON text.
**
**   {"format": 1,
**    "parameters": [{"name": "cell.weight", "shape": [8, 12]}, ...],
**    "states": [{"name": "h", "width": 8, "next": 5, "first": 2,
**                "reverse": true}, ...],
**    "nodes": [{"op": "input", "name": "x", "width": 4},
**              {"op": "linear", "in": [0, 1]}, ...],
**    "outputs": [{"name": "y", "node": 5}, ...]}
**
** Numbers count from 0. 'in' names earlier nodes; 'next' is the node whose value
** the state becomes; 'first', which may be absent (zeros), the one that it begins
** with, computed from parameters and constants alone. A state with 'reverse' walks
** from the last step to the first.
**
** Reading believes nothing: unknown operations and fields, numbers, counts and
** widths that do not fit are SAROS_EARGUMENT, and the message names the node. It
** costs time and memory in proportion to the text, which has at most 2^26 bytes
** and 65,536 items in each list. A program never changes; it may be used by any
** number of sessions.
*/
SAROS_API saros_status saros_program_read(saros_context *context,
                                          const char *json, size_t size,
                                          saros_program **out);
SAROS_API saros_program *saros_program_retain(saros_program *program);
SAROS_API void saros_program_release(saros_program *program);  // or null

/* The text that it was read from, borrowed; its bytes, if size is not null. */
SAROS_API const char *saros_program_text(const saros_program *program,
                                         size_t *size);

typedef struct saros_program_facts {
  int nodes, parameters, states, inputs, outputs;  // how many
} saros_program_facts;
SAROS_API saros_program_facts saros_program_of(const saros_program *program);

/* An input, an output or a state. */
typedef struct saros_program_value {
  const char *name;
  int width;    // features; 1 for ids
  int symbols;  // of an input of ids: they are 0..symbols-1; else 0
  int reverse;  // of a state
} saros_program_value;

typedef struct saros_program_tensor {
  const char *name;  // of the tensor in a model file
  int rank;
  const int *shape;
} saros_program_tensor;

/* By number; all null and 0 if there is no such thing. */
SAROS_API saros_program_value saros_program_input(const saros_program *program,
                                                  int input);
SAROS_API saros_program_value saros_program_output(const saros_program *program,
                                                   int output);
SAROS_API saros_program_value saros_program_state(const saros_program *program,
                                                  int state);
SAROS_API saros_program_tensor
saros_program_parameter(const saros_program *program, int parameter);

/* All null: every row takes every step, and nothing is random. None of it has a
** gradient. */
typedef struct saros_program_options {
  size_t size;          // sizeof(saros_program_options)
  saros_tensor *mask;   // (T, B) of 1 and 0, or null: where it is 0 inputs are
                        // not read, states stay as they are, outputs are 0
  saros_tensor *reset;  // (T, B) of 1 and 0, or null: at 1 a new piece of the
                        // row begins, whichever way a state walks: see
                        // saros_keep
  saros_generator *generator;  // of dropout and zoneout nodes, in training
  // by state of the program; the arrays, or their entries, may be null
  saros_tensor *const *dropout;  // (B, width): factor of the state where a linear
                                 // node reads it, alone or in a concatenation
  saros_tensor *const *zoneout;  // (T, B, width): s = z s(t) + (1 - z) s(t-1)
  int plain;  // loops by ordinary operations step by step: slow, to compare with
} saros_program_options;

/*
** A program over T steps of B rows, differentiable in parameters, inputs and
** states (full BPTT); what its nodes compute is recorded on the tape.
**
**   parameters  one for each of the program's, of its shape
**   inputs      (T, B, width), ids (T, B); one for each, at least one; T >= 1
**   state       (B, width) before the first step; a null entry, or null for all,
**               means 'first' of the state
**   how         or null
**   outputs     (T, B, width)   out: one for each of the program's
**   last        (B, width)      out: the states after the last step
**
** SAROS_EARGUMENT if a shape or an id does not fit, or a generator is missing
** where something is drawn.
*/
SAROS_API saros_status saros_program_run(saros_program *program,
                                         saros_tensor *const *parameters,
                                         saros_tensor *const *inputs,
                                         saros_tensor *const *state,
                                         const saros_program_options *how,
                                         saros_tensor **outputs,
                                         saros_tensor **last);

/* --- Sessions ----------------------------------------------------------------------- */

/*
** A session runs a model one step at a time: for an event, a sample, a symbol.
** Its weights are packed when it is made, so what happens to the parameters
** afterwards does not reach it; all memory is taken then, too, and a step takes
** none. Forks read one packing, and so do sessions on shared weights, whatever
** their contexts: see saros_shared_new. A session may step several independent
** streams together; they are rows, and row 0 is the only one where there is one
** stream.
**
** A step computes what the operations compute without a tape, up to rounding:
** sums are taken in another order.
*/
typedef struct saros_session saros_session;

/*
** How a session keeps the weights of its products, which is most of what it
** keeps and what a step of a large layer waits for. Biases, embeddings, norms,
** peepholes, first states and layers of at most four outputs stay as they are.
*/
typedef enum saros_weights {
  SAROS_WEIGHTS_REAL,  // as they are
  SAROS_WEIGHTS_BF16,  // 16 bits each, rounded to nearest even; sums in float
  SAROS_WEIGHTS_INT8,  // 8 bits each, and a scale for each row of a weight
  SAROS_WEIGHTS_KINDS
} saros_weights;

/*
** A session of 1..65536 streams that steps a program, in the first states. The
** parameters are those of the program, in its order, and borrowed for the call.
** Products of the same value become one, element-wise operations that follow each
** other run as one, fused cells are one stage, and what depends on parameters
** alone is computed here. Dropout does nothing, zoneout mixes by its probability.
** SAROS_EARGUMENT names a parameter that does not fit, or a state that walks from
** the end of a sequence, which no step can.
*/
SAROS_API saros_status saros_session_new(saros_context *context,
                                         saros_program *program,
                                         saros_tensor *const *parameters,
                                         int streams, saros_weights weights,
                                         saros_session **out);
SAROS_API void saros_session_release(saros_session *session);  // or null

/* Another session in the same state, which goes its own way; the weights are
** shared. */
SAROS_API saros_status saros_session_fork(const saros_session *session,
                                          saros_session **out);

/*
** Packs the weights of a session's model again, after its parameters changed;
** the state stays, and forks keep what they have. The old weights go back
** to the pool when the new ones are there, so that from the second time on
** nothing is asked of the allocator. SAROS_EARGUMENT names a parameter that does
** not fit; after an error the session is as it was. This is how a host learns while it steps: saros_tape
** and saros_update on a window of its own, then this.
*/
SAROS_API saros_status saros_session_repack(saros_session *session,
                                            saros_tensor *const *parameters);

typedef struct saros_session_facts {
  int streams;
  int symbols;  // V: input ids are in 0..V-1; 0: the input is features
  int inputs;   // features of a row of the input; 0: the input is ids
  int outputs;  // features of a row of the output; of the first, as above
  int input_count, output_count, state_count;
} saros_session_facts;

SAROS_API saros_session_facts saros_session_of(const saros_session *session);
/* What it steps, borrowed: saros_program_input and the like name its inputs,
** outputs and states. */
SAROS_API const saros_program *
saros_session_program(const saros_session *session);

/*
** One step of all streams, from features x (streams, inputs) or from ids
** (streams). The result is in saros_session_output. SAROS_EARGUMENT if the
** session takes the other kind of input or an id is out of range; SAROS_ESTATE
** if the open tape still needs the output of an earlier step. After an error
** the session is as it was.
*/
SAROS_API saros_status saros_session_step(saros_session *session,
                                          const saros_real *x);
SAROS_API saros_status saros_session_step_ids(saros_session *session,
                                              const int32_t *ids);

/*
** The same for any number of inputs, in the order of the program: 'inputs' has a
** pointer for each, to saros_real (streams, width) or to int32_t (streams) ids.
*/
SAROS_API saros_status saros_session_step_inputs(saros_session *session,
                                                 const void *const *inputs);

/* (streams, outputs), borrowed and always the same tensor: each step writes to
** it. Zeros before the first step and in rows that were reset. */
SAROS_API saros_tensor *saros_session_output(const saros_session *session);
/* The same of output 0..output_count-1, which is not checked. */
SAROS_API saros_tensor *saros_session_output_at(const saros_session *session,
                                                int output);

/* The softmax of each row of the output, in a tensor of the session's own that
** is borrowed likewise. SAROS_ESTATE if the open tape still needs it. */
SAROS_API saros_status saros_session_probabilities(saros_session *session,
                                                   saros_tensor **out);

/*
** How to choose an id from a row of logits; all 0 but 'size': the likeliest. The
** logits are changed in this order: repetition_penalty, bias, temperature; then
** top_k and top_p choose among what is likeliest.
*/
typedef struct saros_sampling {
  size_t size;         // sizeof(saros_sampling): fields that come later are 0
  double temperature;  // divides the logits; below FLT_MIN: the likeliest id
  int top_k;           // choose among the k likeliest; 0: all
  double top_p;        // among the likeliest that together reach p; 0: all
  // Added to the logits: outputs numbers for each row, 'bias_step' numbers after
  // those of the row before (0: the same for all). -INFINITY forbids an id. Null:
  // none.
  const saros_real *bias;
  size_t bias_step;
  // Logits of the ids of a row's history are divided by the penalty if they are
  // positive, else multiplied with it, each id once (Keskar et al. 2019). 0 or 1:
  // no penalty.
  double repetition_penalty;
  const int32_t
      *history;  // (streams, history_length); negative ones do not count
  size_t history_length;
} saros_sampling;

/* Chooses an id from each row of the output: ids (streams). The generator may
** be null where the likeliest is asked for. A logit of -inf is never chosen.
** SAROS_EARGUMENT if 'size' is 0 or a number of 'how' is negative or not finite,
** top_p is above 1, an id of the history is none of the outputs, or a row with its
** bias has NaN, inf, or nothing but -inf. */
SAROS_API saros_status saros_session_sample(saros_session *session,
                                            saros_generator *generator,
                                            const saros_sampling *how,
                                            int32_t *ids);

/* Back to the first states: one row in 0..streams-1, or all with -1. */
SAROS_API saros_status saros_session_reset(saros_session *session, int row);

/*
** State 0..state_count-1 of all streams, copied into a tensor (streams, width) or
** from one: so a layer that has read a long history at once hands over to a
** session, and back. The last steps of a window come in order, the oldest first,
** and attention's likewise, with how many of them there are. SAROS_EARGUMENT if
** there is no such state, or the tensor does not fit.
*/
SAROS_API saros_status saros_session_state(const saros_session *session,
                                           int state, saros_tensor *to);
SAROS_API saros_status saros_session_set_state(saros_session *session,
                                               int state, saros_tensor *from);
/* All of them; if one does not fit, nothing changes. */
SAROS_API saros_status saros_session_set_states(saros_session *session,
                                                saros_tensor *const *from);

/*
** The states and the outputs as bytes, for a file or for another session of the
** same model, in whatever way that keeps its weights, as they are not among the
** bytes. 'bytes' has room for saros_session_dump_size. Restoring goes on bit for
** bit if weights are kept in the same way; it trusts nothing:
** SAROS_EARGUMENT if the bytes are no dump, or that of another version, another
** element type or a model of other sizes, and then nothing changes.
*/
SAROS_API size_t saros_session_dump_size(const saros_session *session);
SAROS_API void saros_session_dump(const saros_session *session, void *bytes);
SAROS_API saros_status saros_session_restore(saros_session *session,
                                             const void *bytes, size_t size);

/* --- Models in files ----------------------------------------------------------------- */

/*
** What module:save of a script wrote: a program, the tensors that it names, and
** metadata; so a host without Lua steps and trains any model that could be traced.
**
**   saros_model *model;
**   saros_session *session;
**   saros_model_load(context, "model.safetensors", &model);
**   saros_model_session(model, 1, SAROS_WEIGHTS_REAL, &session);
*/
typedef struct saros_model saros_model;

/*
** Reads a model. SAROS_EFILE if the file cannot be read, has no program, or one that
** does not fit its tensors; the message says what was expected. Time and memory are
** in proportion to the file.
*/
SAROS_API saros_status saros_model_load(saros_context *context,
                                        const char *path, saros_model **out);
SAROS_API void saros_model_release(saros_model *model);  // or null

/* Borrowed. */
SAROS_API saros_program *saros_model_program(const saros_model *model);
/* One for each parameter of the program, in its order; borrowed, to be made
** trainable and updated in place. */
SAROS_API saros_tensor *const *
saros_model_parameters(const saros_model *model);
/* The text under a key of the metadata, borrowed; null: none. "saros" has what a
** script knows of the model, such as its vocabulary, as JSON. */
SAROS_API const char *saros_model_metadata(const saros_model *model,
                                           const char *key);

/* A session of the model as it is now: see saros_session_new. */
SAROS_API saros_status saros_model_session(const saros_model *model,
                                           int streams, saros_weights weights,
                                           saros_session **out);

/* Writes the model, as it is now, as saros_safetensors_write does. */
SAROS_API saros_status saros_model_save(const saros_model *model,
                                        const char *path);

SAROS_END

#endif
