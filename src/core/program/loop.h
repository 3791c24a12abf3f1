/*
** The loop over time of one strongly connected component of a program: the nodes
** on a path from a state to a state, compiled. A run is one entry of the tape.
**
** The component becomes a graph of values (loop_graph.c, loop_lower.c); the values
** of the backward pass are appended to the same graph (loop_adjoint.c). The values
** that some sinks need are compiled into code (loop_code.c): a list of steps for
** one time step and a block of rows. There are three kinds of steps:
**
**   CHAIN    element-wise instructions of one width, strip by strip; values that
**            no other step reads stay in registers, which are strips in L1
**   PRODUCT  a product with packed weights; products that read the same value
**            are merged
**   ROW      operations across a row: sums, norms, softmax, moves
**
** There are two codes, forward and backward. Forward values that the backward
** pass needs are saved for all steps, unless they are cheap to compute again from
** saved ones (loop_save.c). Blocks of rows run through all time steps independently
** (loop_walk.c). Gradients of the results of products are kept for all steps, so
** that the gradient of a weight is one product at the end (loop_gradient.c).
*/
#ifndef LOOP_H
#define LOOP_H

#include "product.h"
#include "program.h"
#include "tape.h"

/* --- What the rest of the core calls ------------------------------------------ */

typedef struct loop_spec {
  const struct saros_program *p;
  const int *nodes;  // of the component, in order
  int count;
  const int *states;  // of the program, by number
  int state_count;
  const int *outside;  // nodes whose values are read from outside, and the
  int outside_count;   // 'first' nodes of the states
  const int *wanted;   // nodes whose values are needed outside
  int wanted_count;
} loop_spec;

/* Masks and factors that act on states around a step; they get no gradient. The
** arrays have one entry for each state of the component; an array or an entry may
** be null. */
typedef struct loop_options {
  saros_tensor *mask;            // (T, B): where 0 states stay, values are 0
  saros_tensor *reset;           // (T, B): see saros_keep
  saros_tensor *const *dropout;  // (B, w): factor of a state in products
  saros_tensor *const *zoneout;  // (T, B, w): z new + (1 - z) old
  /* One entry for each dropout node of the component, in their order: its factors,
  ** (T, B, w), or (B, w) for all steps; null where it lets all through. */
  saros_tensor *const *dropped;
} loop_options;

/* How many dropout nodes the component has. */
int loop_dropouts(const loop_spec *spec);

/* True if loop_run knows all that the component computes. */
int loop_supports(const loop_spec *spec);
/* The same of all loops of a program. Their products need not be split then: a loop
** splits those of concatenations by itself, and merges what it lifts out. */
int loop_supports_all(const struct saros_program *p);

/*
** T steps of B rows. outside: (T, B, w) each, or of w elements if invariant;
** first: (B, w) for each state, nulls for what the program begins with. Out:
** values (T, B, w) of the wanted nodes and last (B, w) of the states, recorded
** on the tape.
*/
saros_status loop_run(saros_context *context, const loop_spec *spec, int T,
                      int B, saros_tensor *const *outside,
                      saros_tensor *const *first, const loop_options *how,
                      saros_tensor **values, saros_tensor **last);

struct loop_plan;
/* Releases the compiled loops of a program. */
void loop_forget(struct loop_plan *plans);

/* --- The graph ------------------------------------------------------------------ */

enum loop_op {
  // leaves: 'which' says of what
  LOOP_OUTSIDE,    // value of all steps, or of none where it is invariant
  LOOP_INVARIANT,  // the same in every row
  LOOP_CONSTANT,   // 'number'
  LOOP_BEFORE,     // a state before the step
  LOOP_MASK,       // of options: width 1
  LOOP_KEEP,       // 0 where rows start again: width 1
  LOOP_FACTOR,     // of the options: dropout or zoneout, see loop_factor
  LOOP_DVALUE,     // gradient of a wanted value
  LOOP_DAFTER,     // gradient of a state, from the step after
  LOOP_LIFTED,     // a product, computed for all steps before the loop
  LOOP_LEAVES,
  // element by element; an operand of width 1 is broadcast over the row
  LOOP_UNARY = LOOP_LEAVES,  // function
  LOOP_BINARY,
  LOOP_WHERE,
  LOOP_UNARY_BACK,  // dy f'(), from dy and x or y
  LOOP_BLEND,       // w new + (1 - w) old, from new, old, w
  LOOP_MASKED,      // x m, and 0 where m is 0
  LOOP_COPY,
  LOOP_ELEMENTWISE,
  // neighbours in a row; a view takes no time
  LOOP_VIEW = LOOP_ELEMENTWISE,  // at[0]: the first
  LOOP_LINEAR,  // x W^T; with a second operand, the sum, stored in its place
  LOOP_LINEAR_BACK,  // dx from dy and x's LOOP_LINEAR
  // rows
  LOOP_GATHER,   // operands at columns, zeros between
  LOOP_SLICE,    // at as a slice node
  LOOP_SCATTER,  // the gradient of a slice's operand
  LOOP_EXPAND,
  LOOP_TRANSPOSE,
  LOOP_SUM,
  LOOP_MAX,
  LOOP_MIN,
  LOOP_MAX_BACK,  // from dy and x, at[3] true for min
  LOOP_LOGSUMEXP,
  LOOP_SOFTMAX,
  LOOP_SOFTMAX_BACK,  // from dy and y
  LOOP_LOG_SOFTMAX,
  LOOP_LOG_SOFTMAX_BACK,
  LOOP_CUMSUM,     // at[3] true: from the end
  LOOP_NORM,       // (x - mean) / deviation; at[2] true: with mean
  LOOP_RSTD,       // 1 / deviation, as LOOP_NORM
  LOOP_NORM_BACK,  // from dy, y and rstd
  LOOP_MATVEC,
  LOOP_OUTER,
  LOOP_OPS
};

typedef struct loop_value {
  int op, function, width;
  int which;  // of a leaf: OUTSIDE, ...; of LINEAR_BACK: the LINEAR value; of
              // LINEAR, LIFTED: the node that is read
  int at[PROGRAM_ATTRIBUTES];
  double number;
  int in, inputs;  // operands, in the graph's 'ints'
  int more,
      extras;  // LINEAR, LIFTED: weight and bias (or -1), by number of the
               // outside value, first column of the weight, rows of it;
               // GATHER: columns
  int next;    // of the same hash
} loop_value;

#define LOOP_HEADS 1024

/* Each value is made once: the same operation on the same operands is the same
** value. After a failure 'status' keeps the error and every new value is 0. */
typedef struct loop_graph {
  saros_context *context;
  saros_status status;
  loop_value *value;
  size_t count, room;
  int *ints;
  size_t ints_used, ints_room;
  int head[LOOP_HEADS];
} loop_graph;

void loop_graph_start(loop_graph *g, saros_context *context);
void loop_graph_release(loop_graph *g);

static inline int loop_input(const loop_graph *g, int value, int i) {
  return g->ints[g->value[value].in + i];
}
static inline int loop_extra(const loop_graph *g, int value, int i) {
  return g->ints[g->value[value].more + i];
}
static inline int loop_is_elementwise(int op) {
  return op >= LOOP_UNARY && op < LOOP_ELEMENTWISE;
}

/* The value described by 'like', its operands and extras: the existing one, or a
** new one. A LOOP_COPY is always new. */
int loop_add(loop_graph *g, loop_value like, const int *in, int inputs,
             const int *more, int extras);
int loop_leaf(loop_graph *g, int op, int which, int width);
int loop_constant(loop_graph *g, double number);
int loop_unary(loop_graph *g, int function, int x);
/* The same if the graph has it, else -1. */
int loop_find_unary(const loop_graph *g, int function, int x);
int loop_binary(loop_graph *g, int function, int a, int b);
/* Of three operands: WHERE, BLEND. */
int loop_ternary(loop_graph *g, int op, int a, int b, int c);
int loop_masked(loop_graph *g, int x, int mask);
int loop_copy(loop_graph *g, int x);
int loop_view(loop_graph *g, int x, int column, int width);
/* at as of a slice node; a view where its elements are neighbours. */
int loop_slice(loop_graph *g, int x, const int *at);
int loop_gather(loop_graph *g, const int *parts, const int *columns, int count,
                int width);
/* A ROW value of one operand or two (b -1: one). */
int loop_row(loop_graph *g, int op, int width, const int *at, double number,
             int a, int b);

/* --- What the code works on -------------------------------------------------------- */

enum loop_array_kind {
  LOOP_ARRAY_OUTSIDE,    // (T, B, w), row strides as they are
  LOOP_ARRAY_INVARIANT,  // (w)
  LOOP_ARRAY_CONSTANT,   // one number: which of the plan's
  LOOP_ARRAY_BEFORE,     // a state before the step
  LOOP_ARRAY_MASK,       // (T, B)
  LOOP_ARRAY_KEEP,       // (T, B)
  LOOP_ARRAY_FACTOR,     // (T, B, w), or (B, w) for all steps
  LOOP_ARRAY_KEPT,       // (T, B, w) of the way forward: which of the plan's
  LOOP_ARRAY_DVALUE,     // (T, B, w)
  LOOP_ARRAY_DAFTER,     // (B, w) and the next: in turn
  LOOP_ARRAY_DBEFORE,    // (B, w)
  LOOP_ARRAY_DKEPT,      // (T, B, w) of the way back: which of the plan's
  LOOP_ARRAY_SCRATCH     // (rows, w) of a block; which: its place
};

typedef struct loop_array {
  int kind, which, width;
} loop_array;

/* The place of a value: an array and its first column there, or a register. */
typedef struct loop_place {
  int array;   // -1: a register, or nowhere yet
  int column;  // or the register's number
} loop_place;

/* What a code has to compute. Gradients of invariants are summed in double. */
enum loop_sink_kind {
  LOOP_SINK_AFTER,       // state 'which' after the step
  LOOP_SINK_VALUE,       // wanted value 'which'
  LOOP_SINK_SAVED,       // for the way back
  LOOP_SINK_DBEFORE,     // gradient of a state before the step
  LOOP_SINK_DOUTSIDE,    // gradient of an outside value
  LOOP_SINK_DINVARIANT,  // gradient of an invariant, summed over rows and steps
  LOOP_SINK_DPRODUCT     // gradient of the LINEAR or LIFTED value 'which'
};

typedef struct loop_sink {
  int kind, which, value;
  int array;  // the array that gets it
  int place;  // of an invariant's gradient: its first sum
} loop_sink;

typedef struct loop_operand {
  loop_place at;
  int wide;  // 0: one number for all elements of a row
} loop_operand;

/* Instructions of a chain: an elementwise loop_op, or several in one. */
enum loop_instruction_kind {
  LOOP_DO_UNARY,
  LOOP_DO_BINARY,
  LOOP_DO_WHERE,
  LOOP_DO_UNARY_BACK,
  LOOP_DO_BLEND,
  LOOP_DO_MASKED,
  LOOP_DO_COPY,
  LOOP_DO_MULTIPLY_ADD,           // a b + c
  LOOP_DO_SUBTRACT_PRODUCT,       // c - a b
  LOOP_DO_SIGMOID_BACK,           // dy s (1 - s), from dy and s
  LOOP_DO_TANH_BACK,              // dy (1 - y y)
  LOOP_DO_MULTIPLY_SIGMOID_BACK,  // a b s (1 - s), from a, b and s
  LOOP_DO_MULTIPLY_TANH_BACK
};

typedef struct loop_instruction {
  int kind, function;
  int operands;
  loop_operand y, x[3];
} loop_instruction;

enum loop_step_kind { LOOP_STEP_CHAIN, LOOP_STEP_PRODUCT, LOOP_STEP_ROW };

typedef struct loop_step {
  int kind;
  int width;         // of a chain
  int first, count;  // instructions of a chain
  int value;         // of a product or row
  loop_place y;      // of a product or row
  int add;           // of a product: true if it is added to y
} loop_step;

/* Compiled sinks: steps and their instructions, in memory of the pool. */
typedef struct loop_code {
  loop_sink *sink;
  size_t sinks, sink_room;
  loop_step *step;
  size_t steps, step_room;
  loop_instruction *instruction;
  size_t instructions, instruction_room;
  loop_place *place;  // of every value of the graph
  int registers;      // that a chain needs at once
  int scratch;        // elements of a row in LOOP_ARRAY_SCRATCH, all together
  int sums;           // doubles for the gradients of invariants
} loop_code;

/* --- The plan ------------------------------------------------------------------------ */

typedef struct loop_plan loop_plan;
struct loop_plan {
  saros_context *context;
  int references;
  loop_plan *next;  // of the same program
  int *key;         // what it was compiled for
  size_t key_size, key_room;
  loop_graph graph;
  int forward;  // how many values of the graph the forward pass has
  int states, outside, wanted, dropouts;
  int reverse;    // steps from the last to the first
  int gradients;  // true if there is a backward pass
  int *restart;   // by state: the outside value it starts again from, or -1
  int *width;     // by state
  int *before;    // by state: value of LOOP_BEFORE
  char *saved;    // by value: true if it is kept for the backward pass
  char *reread;   // by forward value: true if the backward pass reads it
  loop_array *array;
  size_t arrays, array_room;
  int kept, dkept;  // how many of LOOP_ARRAY_KEPT, LOOP_ARRAY_DKEPT
  loop_code code, back;
};

/* Which options are given, for a plan's key. */
typedef struct loop_has {
  int mask, keep, gradients;
  const char *factors;  // by number of the factor
  const char *wants;    // by outside value: its gradient
} loop_has;

/* Factors are numbered: dropout of each state, zoneout of each state, then those
** of the dropout nodes. */
enum { LOOP_FACTOR_DROPOUT, LOOP_FACTOR_ZONEOUT, LOOP_FACTOR_NODE };
static inline int loop_factor(const loop_spec *spec, int kind, int which) {
  return kind * spec->state_count + which;
}
static inline int loop_factors(const loop_plan *plan) {
  return 2 * plan->states + plan->dropouts;
}

/* Fills the graph and the sinks of both codes. */
saros_status loop_lower(loop_plan *plan, const loop_spec *spec,
                        const loop_has *has);
saros_status loop_adjoint(loop_plan *plan, const loop_has *has);
/* Chooses the values to save, and adds them to the sinks of the forward pass. */
saros_status loop_save(loop_plan *plan);
/* Compiles the sinks of one code. */
saros_status loop_compile(loop_plan *plan, loop_code *code);
void loop_code_release(saros_context *context, loop_code *code);

saros_status loop_add_sink(loop_plan *plan, loop_code *code, int kind,
                           int which, int value);
/* The distance between rows of scratch: no large power of two, since rows at such
** distances compete for the same sets of the cache. */
static inline int loop_padded(int width) {
  int whole = (width + 15) / 16 * 16;
  return whole >= 512 && whole % 256 == 0 ? whole + 16 : whole;
}
/* Rows shorter than this are not worth a call each. */
#define LOOP_SHORT 64
/* The number of an array, which is added if the plan does not have it. */
int loop_array_of(loop_plan *plan, int kind, int which, int width);

/* The program's plan for a spec and the given options; compiled if there is none. */
saros_status loop_plan_of(saros_context *context, const loop_spec *spec,
                          const loop_has *has, loop_plan **out);
void loop_plan_release(loop_plan *plan);

#endif
