/*
** Sessions: a model one step at a time.
*/
#ifndef SAROS_SESSIONS_H
#define SAROS_SESSIONS_H

#include "programs.h"

SAROS_BEGIN

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
** keeps and what a step of a large layer waits for. Embeddings are rounded in the
** same way, a row for each id. Biases, norms, peepholes, first states, products of
** at most saros_build.exact_outputs outputs and products that no step computes,
** because they follow from parameters alone, stay as they are. The gates of a cell
** are one product of x and one of h; a GRU that resets before the product has
** another one of h for n. The sums of W x for an id may be computed once, from the
** rounded numbers.
**
** A C file in int8 follows the same rule. In the float build it also knows the x of
** a product to 16 bits, as a session does where the processor multiplies bytes
** (AVX-512 VNNI) and the row has at most 8192 elements; then the two differ by the
** rounding of float sums.
*/
typedef enum saros_weights {
  SAROS_WEIGHTS_REAL,  // as they are
  SAROS_WEIGHTS_BF16,  // 16 bits each, rounded to nearest even; sums in float
  SAROS_WEIGHTS_INT8,  // 8 bits each, and a scale for each row of a weight
  SAROS_WEIGHTS_KINDS
} saros_weights;

/*
** A matrix w (n, k) as products keep it, as two tensors without history: rows (n, k)
** times scale (n). In int8 the rows are whole numbers in -127..127; a row with a
** weight that is not finite is zeros and its scale NaN. Otherwise scale is 1. The
** caller owns both. SAROS_EARGUMENT unless w is a matrix of real numbers.
*/
SAROS_API saros_status saros_round_weights(saros_tensor *w,
                                           saros_weights weights,
                                           saros_tensor **rows,
                                           saros_tensor **scale);

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

SAROS_END

#endif
