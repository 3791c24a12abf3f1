/*
** Programs: what a model computes in one step, as data.
*/
#ifndef SAROS_PROGRAMS_H
#define SAROS_PROGRAMS_H

#include "gradients.h"

SAROS_BEGIN

/* --- Programs -------------------------------------------------------------------- */

/*
** A program is what a model computes in one time step, for one row: nodes in
** order of evaluation, as JSON text.
**
**   {"format": 1,
**    "parameters": [{"name": "cell.weight", "shape": [8, 12]}, ...],
**    "states": [{"name": "h", "width": 8, "next": 5, "first": 2,
**                "reverse": true, "shape": [2, 4], "title": "h"}, ...],
**    "nodes": [{"op": "input", "name": "x", "width": 4},
**              {"op": "linear", "in": [0, 1]}, ...],
**    "outputs": [{"name": "y", "node": 5}, ...]}
**
** Numbers count from 0. 'in' names earlier nodes; 'next' is the node whose value
** the state becomes; 'first', which may be absent (zeros), the one that it begins
** with, computed from parameters and constants alone. A state with 'reverse' walks
** from the last step to the first. 'shape', for scripts, has the sizes of a row, and
** 'title' is what the state's layer calls it.
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
  saros_tensor *const
      *dropout;  // (B, width): factor of the state where a linear
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
** A loop is compiled, unless a cell, window, attention or delta node is in it: one
** that reads something computed from a state that depends on it. Such a loop runs as
** with 'plain', up to several times slower. A script takes cells in loops apart
** before it trains; a file has them whole, since sessions step them faster. Cells
** outside of loops are one fast operation over all steps.
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

SAROS_END

#endif
