/*
** A program: what a model computes in one time step, for one row, as nodes in
** order of evaluation. It is plain data that never changes after it was read;
** whole sequences (program_run.c), the loop, sessions and exports read the table.
**
**     x(t) --> 0 input ----------+
**                                v
**     W ---> 1 parameter --> 3 linear --> 5 add --> 6 unary tanh --> output "y"
**     U ---> 2 parameter --> 4 linear ----^              |
**                                ^                       |
**                             7 state "h" (before) <-----+  next = 6
**
** Operands are always earlier nodes, so a state is the only way from one step to
** the next: in the table, the node that reads a state comes before the node that
** computes its next value. Numbers count from 0.
**
** Every value is a row of 'width' reals, or one id (ids nodes). A value is
** invariant if it depends on parameters and constants alone: it is the same in
** every row and step, and its width is its number of elements.
*/
#ifndef PROGRAM_H
#define PROGRAM_H

#include "tape.h"

/* What a node computes; see PROGRAM in docs and program_kinds.c, which has one
** row for each. */
enum {
  NODE_INPUT,      // features of this step
  NODE_IDS,        // one id of this step
  NODE_PARAMETER,  // all elements of a parameter
  NODE_CONSTANT,
  NODE_STATE,  // the value of a state before this step
  NODE_LINEAR,
  NODE_LOOKUP,
  NODE_UNARY,   // function: a saros_function
  NODE_BINARY,  // function: a saros_operator
  NODE_WHERE,
  NODE_EXPAND,
  NODE_SLICE,
  NODE_CONCATENATE,
  NODE_TRANSPOSE,
  NODE_SUM,
  NODE_MEAN,
  NODE_MAX,
  NODE_MIN,
  NODE_LOGSUMEXP,
  NODE_SOFTMAX,
  NODE_LOG_SOFTMAX,
  NODE_CUMSUM,
  NODE_LAYER_NORM,
  NODE_RMS_NORM,
  NODE_WINDOW,
  NODE_MATVEC,
  NODE_OUTER,
  NODE_CELL,
  NODE_ATTENTION,
  NODE_DELTA,
  NODE_DROPOUT,
  NODE_KINDS
};

/* Places of the attributes in 'at'. Those of one kind do not overlap. */
enum {
  AT_OUTER = 0,  // expand, slice, concatenate, transpose, sum .. cumsum
  AT_N,          // slice, sum .. cumsum, layer_norm, rms_norm
  AT_INNER,
  AT_FROM,  // slice
  AT_COUNT,
  AT_STEP,
  AT_TIMES = AT_N,  // expand
  AT_A = AT_N,      // transpose: (outer, a, b, inner)
  AT_B = AT_FROM,
  AT_HEADS = 0,  // matvec, outer, attention, delta
  AT_ROWS,       // matvec: m is (heads, rows, columns)
  AT_COLUMNS,
  AT_TRANSPOSED,
  AT_WINDOW = AT_ROWS,       // attention
  AT_REFLECTIONS = AT_ROWS,  // delta
  AT_NUMBER = 0,             // input, ids: number of the input; parameter
  AT_IDS = AT_COUNT,         // ids: how many there are
  AT_DILATION = 0,           // window
  AT_TAPS,                   // window: k, from the widths
  AT_SHARED = 0,             // dropout: one mask for all steps
  PROGRAM_ATTRIBUTES = 6
};

/* Places in 'number'. */
enum {
  NUMBER_VALUE = 0,    // constant
  NUMBER_EPSILON = 0,  // layer_norm, rms_norm
  NUMBER_P = 0,        // dropout
  NUMBER_ZONEOUT = 0,  // cell: of h, of c
  NUMBER_DROPOUT = 2,  // cell: of h in U h
  PROGRAM_NUMBERS = 3
};

#define PROGRAM_STATES 3  // of a node, at most

typedef struct program_node {
  int op;         // NODE_...
  int function;   // of NODE_UNARY a saros_function, of NODE_BINARY an operator
  int width;      // of the result; 1 for ids
  int invariant;  // true if it depends on parameters and constants alone
  int inputs;     // how many operands
  const int *input;  // numbers of earlier nodes
  int at[PROGRAM_ATTRIBUTES];
  double number[PROGRAM_NUMBERS];
  const double *values;  // constant: its elements, or null: NUMBER_VALUE
  saros_cell cell;
  const int *with;  // cell: the parameter (R_...) of operand 1, 2, ...
  int states;       // how many of:
  int state[PROGRAM_STATES];  // of state, window, cell, attention, delta
} program_node;

typedef struct program_state {
  const char *name;
  int width;
  int first;    // the invariant node that it begins with; -1: zeros
  int next;     // the node whose value it becomes
  int reverse;  // true if it runs from the last step to the first
} program_state;

typedef struct program_parameter {
  const char *name;
  int rank;
  int shape[SAROS_MAX_RANK];
  int count;  // elements
} program_parameter;

/*
** Nodes that depend on each other through states: node k of a component is
** order[first + k], in order of evaluation. Components, too, are in order of
** evaluation. A node that lies on no path from a state to itself is alone in its
** component.
*/
typedef struct program_component {
  int first, count;
  int loops;    // true if a state leads back into it
  int reverse;  // of the states of a loop
} program_component;

/* An input or an output. */
typedef struct program_port {
  const char *name;
  int node;
} program_port;

struct saros_program {
  saros_context *context;
  int references;
  char *text;  // as it was read, with a zero behind it
  size_t size;
  int node_count, state_count, parameter_count, input_count, output_count;
  program_node *nodes;
  program_state *states;
  program_parameter *parameters;
  program_port *inputs, *outputs;
  int component_count;
  program_component *components;
  int *order;                    // all nodes, component by component
  int *component;                // of each node
  struct program_block *blocks;  // memory of the names, operands and values
  /* What program_run computes: the program itself, one that it owns, or null
  ** until it is made; see program_split.c. */
  saros_program *sequence;
  struct loop_plan *loops;  // compiled so far: a cache; see loop.h
};

/* --- Elements of a row in another order (program_move.c) ------------------------ */

/* 'at' holds the attributes of a slice, expand or transpose node. With 'back', x is
** copied to its places in y, and the other elements of y stay as they are. */
void program_slice_row(const int *at, real *y, const real *x, int back);
void program_expand_row(const int *at, real *y, const real *x);
void program_transpose_row(const int *at, real *y, const real *x);

/* --- Names ---------------------------------------------------------------------- */

/* The name of what a node computes, as in the text: "linear", "tanh". */
const char *program_op_name(const program_node *node);

#endif
