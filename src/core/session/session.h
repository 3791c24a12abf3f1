/*
** What the files of sessions share. A plan is a program with packed weights. It
** never changes; forks share it, and so do sessions of several contexts on shared
** weights. A session is a plan and one block of memory with everything that
** changes: the states and the values of a step. So a copy of that block is a fork,
** and no step allocates anything.
**
** A plan is a list of stages in order of evaluation. Each reads values and computes
** values; several nodes of a program may become one stage:
**
**     x, h ----> concatenate -> [r | z] -> chain -> ...       nodes
**                 stage 0       stage 1    stage 2            stages
**
** Products that read the same value are one product, element-wise nodes in
** sequence are one chain, and a cell with its products is one fused stage. Slices
** of contiguous elements and dropout are views, without a stage.
**
** Rows of arrays are STEP_WIDTH(n) elements apart, as the kernels of a step expect.
*/
#ifndef SESSION_H
#define SESSION_H

#include "program.h"
#include "recurrent.h"

/* Blocks that a stage owns; null if it has none. W, U and R are packed. */
enum {
  SESSION_W,    // of a product or of a cell's input; a fused cell's has U in it
  SESSION_U,    // of h; for the reset before the product, only r's and z's part
  SESSION_U_N,  // n's part then
  SESSION_R,    // of the projection
  SESSION_BIAS,  // (n) where the sums of W x begin; of a fused cell, arranged
  SESSION_BIAS_U,  // (G H) where the sums of U h begin, if the cell needs them apart
  SESSION_BIAS_R,    // (P) zeros
  SESSION_TABLE,     // (V, table_width) where the sums begin for each symbol
  SESSION_PEEPHOLE,  // (3, H), the rows STEP_WIDTH(H) apart if the cell is fused
  SESSION_NORM_GAIN,
  SESSION_NORM_BIAS,
  SESSION_NORM_C_GAIN,
  SESSION_NORM_C_BIAS,
  SESSION_DECAY,     // (H) pairs: the factor of h, where it is always the same
  SESSION_SHARE_H,   // (P) zoneout: the share of the new state, the rest is old
  SESSION_SHARE_C,   // (H)
  SESSION_DISTANCE,  // (heads, 2 W) added to attention's scores; twice a row
  SESSION_OPERANDS,  // numbers of the values that the stage reads
  SESSION_WRITE,     // (n H) of a delta stage whose gate is a constant other
  SESSION_ERASE,     // than 1, or 0
  SESSION_SIZES,     // kernel_delta_sizes
  SESSION_ELEMENTS,  // of a chain
  SESSION_OWNED
};

/* The arrays of a stage in the memory of a session, (streams, n) each. */
enum {
  SESSION_H_EVEN,  // (P) h after an even number of steps
  SESSION_H_ODD,   // (P) h after an odd number
  SESSION_C,       // (H) the state c
  SESSION_GATES,   // (G H)
  SESSION_U_H,     // (G H) U h + b', where the cell needs that by itself
  SESSION_PART,    // (2 H) scratch of the GRU
  SESSION_C_NEW,   // (H) the new c before zoneout
  SESSION_C_SEEN,  // (H) after layer norm
  SESSION_INNER,   // (H) the input of the projection, or of the product for n
  SESSION_KEYS,    // (W, F) keys of attention in blocks of slots; then values
  SESSION_RING,    // (steps, F) of a window
  SESSION_PLACE,   // (1) of the next step in a ring
  SESSION_SCORES,  // (heads, W)
  SESSION_MATRIX,  // (heads, K, V) of a delta stage
  SESSION_ARRAYS
};

typedef struct session_stage session_stage;

struct session_stage {
  /* Computes the values of the stage, then runs the next stage. */
  void (*run)(saros_session *s, const session_stage *g);
  /* Of a recurrent stage: computes h from x and the states. */
  void (*step)(saros_session *s, const session_stage *g, const real *x, real *h,
               const real *h_before);
  int x, y;             // numbers of its first operand and of its result
  int inputs, outputs;  // their features
  int ids;              // number of the ids that select rows of a table
  int G, H, P;          // of a recurrent stage; 0 otherwise
  int heads, window;    // of attention; 0 otherwise
  int steps;            // of a window's ring
  int separate;         // true if U h is needed by itself
  int positive;         // true if the candidate is made positive; see kernel.h
  int flat;             // true if a chain treats all rows as one
  int table_width;      // from symbol to symbol, in elements
  int count;            // of operands or elements
  const program_node *node;    // what a stage of rows computes
  void *owned[SESSION_OWNED];  // blocks of the pool
  size_t
      at[SESSION_ARRAYS];  // places in the memory, in elements for each stream
};

/* The place of a value in the memory of a session. */
typedef struct session_value {
  int width;
  ptrdiff_t stride;   // from row to row, in elements; 0: one row for all
  size_t place;       // of its array in the memory
  int offset;         // elements of a row before the value's first
  const real *fixed;  // of an invariant: its elements, outside the memory
  int moves;          // true if its place changes from step to step
  int state;          // number of the state whose array has it; -1: none
  int direct;         // true if the first output has it; with one stream only
} session_value;

/* An input or an output of a step. */
typedef struct session_port {
  const char *name;
  int width;    // features; 0: ids
  int symbols;  // V; 0: features
  int value;    // number of the value, or of the ids
} session_port;

/* The layout of a state's rows. An h has two places; the second one is valid after
** an odd number of steps. */
typedef struct session_state {
  const char *name;
  int n;              // elements of a row
  size_t at, at_odd;  // in the memory
  const real *first;  // (n) the first value of a row; null: zeros
  int places;         // a row is one integer in 0..places - 1; 0: it is not
  int steps;          // of a ring whose place is at 'ring'; 0: it is no ring
  int attention;      // 1 + number of attention's other state; 0: no attention
  int features;       // of a key of attention
  size_t ring;
} session_state;

/* A value that becomes a state at the end of a step. */
typedef struct session_next {
  int value, state;
} session_next;

typedef struct session_plan {
  saros_context *context;
  atomic_int references;
  saros_program *program;
  const kernels *math;          // of its context
  const step_kernels *kernels;  // those of the packing of the weights
  size_t memory;                // of a session, in elements for each stream
  int input_count, output_count, ids_count, state_count, next_count;
  int value_count, fixed_count, count;
  int operands;  // the most that a stage of rows reads
  int direct;    // true if, with one stream, the first output needs no copy
  session_port *inputs, *outputs;
  session_state *states;
  session_next *next;
  session_value *values;
  void **fixed;           // blocks of invariants that steps read
  session_stage *stages;  // 'count', and a last one that finishes the step
} session_plan;

struct saros_session {
  saros_context *context;
  session_plan *plan;
  saros_tensor *lender;  // keeps the saros_shared that owns the plan; or null
  int streams;
  real *memory;
  int odd;                      // true if the odd arrays have the current h
  const int32_t **ids;          // (ids) of the current step
  real **values;                // (values) the first row of each
  const real **starts;          // (streams) scratch: where sums begin
  const real **operands;        // (most operands of a stage) scratch
  saros_tensor **outputs;       // (streams, width) each
  saros_tensor *probabilities;  // (streams, width of the first)
  real *weights;                // scratch of sampling, of one row
  int32_t *order;               // the same
};

/* The most features of any value, so that widths never overflow an int. */
#define SESSION_WIDEST (1 << 26)

/* The most elements of a table that is computed for all symbols. */
#define SESSION_LARGEST_TABLE ((size_t)1 << 22)

/* Makes a plan: packs the weights of a program. The parameters must have been
** checked. (session_plan.c) */
saros_status session_plan_new(saros_context *context, saros_program *program,
                              saros_tensor *const *parameters,
                              saros_weights weights, session_plan **out);
void session_plan_retain(session_plan *p);
void session_plan_release(session_plan *p);  // null is allowed
/* Checks that the parameters fit the program. */
saros_status session_expect_parameters(const char *function,
                                       const saros_program *program,
                                       saros_context *context,
                                       saros_tensor *const *parameters);

/* The plan that sessions of all contexts share, if all parameters belong to one
** saros_shared, which *lender keeps. The caller owns both references and releases
** the plan first. *out is null, without an error, for other tensors, which need a
** plan of their own. (shared.c) */
saros_status session_plan_shared(saros_context *context, saros_program *program,
                                 saros_tensor *const *parameters,
                                 saros_weights weights, session_plan **out,
                                 saros_tensor **lender);

/* --- While a plan is made --------------------------------------------------- */

/* A node while a plan is made. */
typedef struct session_node {
  int source;   // the node that has its value: dropout's operand, or itself
  int live;     // true if an output or a state depends on it
  int read;     // how many nodes, outputs and states read it
  int reader;   // the last node that reads it; -1: none
  int rank;     // stages are made rank by rank; see session_node.c
  int value;    // number of the value, or of the ids; -1: none yet
  int product;  // the next product that reads the same value; -1: none
  int joined;   // true if an earlier product reads the same value
  const real *data;      // elements of an invariant; of a lookup: its rows
  void *block;           // of the pool, if the planner owns the data
  real *kept;            // the plan's own copy
  saros_tensor *tensor;  // that has the data, or null
} session_node;

/* What a recurrent stage is made from; tensors that a cell lacks are null. */
typedef struct session_layer {
  saros_cell cell;
  const real *tensors[R_PARAMETERS];  // R_WEIGHT_IH and later; contiguous
  double zoneout[SAROS_MAX_STATES];
  int H, P, width;      // units; features of h and of x
  const real *symbols;  // rows (V, width) that x is looked up in, or null
  int V;
} session_layer;

typedef struct session_planner {
  session_plan *plan;
  const saros_program *program;
  session_node *nodes;
  int *order;            // nodes in the order of stages
  session_stage *stage;  // the one being made
  size_t at;             // elements of the memory used so far, for each stream
  int value_room;
} session_planner;

/* A zeroed block that the stage owns, of a size in bytes, or in elements. */
saros_status session_plan_block(session_planner *p, int which, size_t bytes);
saros_status session_plan_own(session_planner *p, int which, size_t elements);
/* A copy of n elements, padded with zeros to STEP_WIDTH(n); nothing if x is null. */
saros_status session_plan_copy(session_planner *p, int which, const real *x,
                               size_t n);
/* Room for (streams, n) in the memory. */
size_t session_plan_room(session_planner *p, int n);
void session_plan_array(session_planner *p, int which, int n);
saros_status session_plan_dense(session_planner *p, int which, const real *w,
                                int n, int k);
/* The next stage, which computes 'outputs' features from value x. */
session_stage *session_plan_stage(session_planner *p,
                                  void (*run)(saros_session *s,
                                              const session_stage *g),
                                  int x, int outputs);
/* Adds a copy of the value 'like'; returns its number. */
int session_plan_value(session_planner *p, session_value like);
/* Adds a value (streams, n) with an array of its own; returns its number. */
int session_plan_result(session_planner *p, int n);
/* The number of the value of an operand of a node. */
int session_operand(const session_planner *p, const program_node *n, int which);
/* A value whose rows are as products expect them: this one, or a copy of it. */
saros_status session_plan_whole(session_planner *p, int value, int *out);

/* Stages from nodes. (session_node.c, session_chain.c, session_product.c,
** session_cell.c, session_attention.c, session_delta.c, session_window.c) */
saros_status session_plan_nodes(session_planner *p,
                                saros_tensor *const *parameters);
saros_status session_plan_chain(session_planner *p, const int *nodes,
                                int count);
saros_status session_plan_products(session_planner *p, int node);
saros_status session_plan_cell(session_planner *p, int node);
/* True if a lookup becomes part of the cell that reads it. */
int session_folds(const session_planner *p, int lookup);
/* The same of the products that read it. */
int session_product_folds(const session_planner *p, int lookup);
saros_status session_plan_attention(session_planner *p, int node);
saros_status session_plan_delta(session_planner *p, int node);
saros_status session_plan_window(session_planner *p, int node);

/* Computes the elements of invariants. (session_invariant.c) */
saros_status session_plan_invariants(session_planner *p,
                                     saros_tensor *const *parameters);
/* The elements of an invariant; the plan owns them from then on. */
saros_status session_keep_invariant(session_planner *p, int node, real **out);

/* --- What one node computes (session_row.c) ----------------------------------- */

/* True if a node works element by element. */
int session_is_elementwise(const program_node *n);

/* One element-wise node, over n elements; steps are 0 for single numbers. */
typedef struct session_element {
  int operands, y, x[3];  // numbers of values
  ptrdiff_t step[3];
  void (*unary)(real *y, const real *x, size_t n);
  void (*binary)(real *y, const real *a, ptrdiff_t a_step, const real *b,
                 ptrdiff_t b_step, size_t n);
} session_element;
session_element session_element_of(const kernels *k, const program_node *n,
                                   const int *widths);
static inline void session_compute_element(const kernels *k,
                                           const session_element *e, real *y,
                                           const real *const *x, size_t n) {
  if (e->operands == 2)
    e->binary(y, x[0], e->step[0], x[1], e->step[1], n);
  else if (e->operands == 1)
    e->unary(y, x[0], n);
  else
    k->pointwise->choose(y, x[0], e->step[0], x[1], e->step[1], x[2],
                         e->step[2], n);
}

/* One row of any other node that has neither state nor packed weights: y (width)
** from its operands, of these widths. */
void session_compute_row(const kernels *k, const program_node *n, real *y,
                         const real *const *x, const int *widths);

/* --- Steps ---------------------------------------------------------------------- */

/* The 'run' functions of stages. (session_run.c) */
void session_run_lookup(saros_session *s, const session_stage *g);
void session_run_product(saros_session *s, const session_stage *g);
void session_run_recurrent(saros_session *s, const session_stage *g);
void session_run_rows(saros_session *s, const session_stage *g);
void session_run_copy(saros_session *s, const session_stage *g);
void session_run_last(saros_session *s, const session_stage *g);
void session_run_chain(saros_session *s, const session_stage *g);
void session_run_attention(saros_session *s, const session_stage *g);
void session_run_delta(saros_session *s, const session_stage *g);
void session_run_window(saros_session *s, const session_stage *g);

/* Where the sums of each row start: at one row for all, or at the row of the
** stage's table for its symbol. */
const real *const *session_at_row(const saros_session *s, const real *row);
const real *const *session_at_symbols(const saros_session *s,
                                      const session_stage *g);

/* --- Cells ------------------------------------------------------------------------ */

/* A step of all streams: h from x, h_before and the arrays of the stage. */
typedef void session_step(saros_session *s, const session_stage *g,
                          const real *x, real *h, const real *h_before);

/* What a cell does in sessions; defined in its file in recurrent/cells/. */
typedef struct session_cell {
  session_step *step;   // made of several kernels
  session_step *fused;  // one kernel, without norms and zoneout; null: none
  /* Packs the parameters that only this cell has; null: it has none. */
  saros_status (*plan)(session_planner *p, const session_layer *l, int fused);
} session_cell;

/* The sums of each row start at the row of rows (streams, n). (session_step.c) */
const real *const *session_at_rows(const saros_session *s, const real *rows,
                                   int n);
/* y (streams, n) = x (streams, k) W^T + start */
void session_multiply_rows(const saros_session *s, real *y, const void *packed,
                           const real *const *start, const real *x, int n,
                           int k);
/* Copies n elements of each row; rows are y_width and x_width apart. */
void session_copy_rows(const saros_session *s, real *y, int y_width,
                       const real *x, int x_width, int n);
/* Where the sums of a fused cell start. */
const real *const *session_fused_start(const saros_session *s,
                                       const session_stage *g);
/* gates = W x + b; if there is no W, x is W x already. */
void session_project_input(const saros_session *s, const session_stage *g,
                           const real *x);
/* gates += U h, or u = U h + b'; with layer norm if the cell has it. */
void session_project_state(const saros_session *s, const session_stage *g,
                           const real *h_before);
/* The step of a cell that computes h from its gates and the h before only. */
typedef void session_scan(real *h, const real *gates, const real *h_before,
                          int positive, size_t rows, size_t n, size_t H);
void session_step_linear(saros_session *s, const session_stage *g,
                         const real *x, real *h, const real *h_before,
                         session_scan *step);
/* Zoneout: now = share now + (1 - share) before; does nothing if share is null. */
void session_mix_rows(const saros_session *s, real *now, const real *before,
                      const real *share, int n);

/* The array at a place of the plan. A place is an offset in the memory of one
** stream; each array holds all streams, so offsets are multiplied by their number. */
static inline real *session_array_at(const saros_session *s, size_t place) {
  return s->memory + place * (size_t)s->streams;
}

/* The array of a stage. */
static inline real *session_array_of(const saros_session *s,
                                     const session_stage *g, int which) {
  return session_array_at(s, g->at[which]);
}

/* A row of a value. */
static inline real *session_row(const saros_session *s, int value, int row) {
  return s->values[value] + row * s->plan->values[value].stride;
}

/* The rows of a state, STEP_WIDTH(n) apart. (session_state.c) */
static inline real *session_state_rows(const saros_session *s,
                                       const session_state *x) {
  return session_array_at(s, s->odd ? x->at_odd : x->at);
}

/* A row of a state of attention in the layout of the layer, and the flags of all
** rows that tell which steps exist. (session_attention.c) */
void session_read_attention(const saros_session *s, const session_state *x,
                            int row, real *to);
void session_write_attention(saros_session *s, const session_state *x, int row,
                             const real *from);
saros_status session_expect_exists(const saros_session *s,
                                   const session_state *x,
                                   const saros_tensor *from);
saros_status session_write_exists(saros_session *s, const session_state *x,
                                  const real *exists);
/* The offset of the oldest elements in the rows of a window's ring; 0 for other
** states. (session_state.c) */
size_t session_oldest(const saros_session *s, const session_state *x);

/* Sets the pointers to the values in the session's memory. (session.c) */
void session_place_values(saros_session *s);

/* A stage ends with a call of the next one. The processor predicts these calls
** better than the one call of a loop, whose target changes each time. */
static inline void session_run_next(saros_session *s, const session_stage *g) {
  g[1].run(s, g + 1);
}

#endif
