/*
** What the files of sessions share. A plan is what a model became when its
** weights were packed: it never changes, and forks share it, and so do sessions
** of several contexts on shared weights. A session is a plan and one block of
** memory with everything that changes: the states of all layers and what lies
** between them. So a copy of that block is a fork, and no step allocates anything.
**
** Rows of arrays lie STEP_WIDTH(n) apart, as the kernels of a step want them.
*/
#ifndef SESSION_H
#define SESSION_H

#include "recurrent.h"

/* What a stage owns; null where it has none. W, U and R are packed. */
enum {
  W,         // of a dense layer or of the input; a fused cell's has U in it
  U,         // of h; for the reset before the product, only r's and z's part
  U_N,       // n's part then
  R,         // of the projection
  BIAS,      // (n) where the sums of W x begin; of a fused cell, arranged
  BIAS_U,    // (G H) likewise of U h, where the cell needs that by itself
  BIAS_R,    // (P) zeros
  SCALE,     // (n) of what is added
  TABLE,     // (V, table_width) where the sums begin for each symbol
  PEEPHOLE,  // (3, H), the rows STEP_WIDTH(H) apart if the cell is fused
  NORM_X_GAIN,
  NORM_X_BIAS,
  NORM_GAIN,
  NORM_BIAS,
  NORM_C_GAIN,
  NORM_C_BIAS,
  DECAY,     // (H) pairs: the factor of h, where it is always the same
  SHARE_H,   // (P) what of the new state goes into the state; else the old one
  SHARE_C,   // (H)
  FIRST_H,   // (P) where the state begins; null: zeros
  FIRST_C,   // (H)
  DISTANCE,  // (heads, 2 W) of attention: twice what is added to the scores
  OWNED
};

/* The arrays of a stage in the memory of a session, (streams, n) each. */
enum {
  H_EVEN,  // (P) the state h: one array is read while the other is written
  H_ODD,   // (P)
  C,       // (H) the state c
  GATES,   // (G H)
  U_H,     // (G H) U h + b', where the cell needs that by itself
  PART,    // (2 H) part of it
  C_NEW,   // (H) before it is mixed with the old c
  C_SEEN,  // (H) after layer norm
  INNER,   // (H) what a projection or the product for n reads
  KEYS,    // (W, F) of attention, in blocks of slots; see kernel.h
  VALUES,  // (W, F)
  PLACE,   // (1) of the next step in their ring
  SCORES,  // (heads, W)
  Y,       // (outputs), unless that is h
  ARRAYS
};

typedef struct session_stage session_stage;

struct session_stage {
  /* Makes the output of the stage from its input x, and runs the next stage. */
  void (*run)(saros_session *s, const session_stage *g, const real *x);
  /* A recurrent stage's: h from x and the states. */
  void (*step)(saros_session *s, const session_stage *g, const real *x, real *h,
               const real *h_before);
  int inputs, outputs;
  int G, H, P;         // of a recurrent stage; 0 otherwise
  int heads, window;   // of attention; 0 otherwise
  int states;          // how many
  int separate;        // is U h needed by itself?
  int positive;        // is the candidate made positive? See kernel.h.
  int residual;        // is the input added to the output?
  int table_width;     // from symbol to symbol, in elements
  double epsilon;      // layer norm
  unary function;      // a function of each element
  int number;          // of the stage, from 0
  int back;            // how many stages before it what is added was read
  void *owned[OWNED];  // blocks of the pool
  size_t at[ARRAYS];   // places in the memory, in elements for each stream
};

typedef struct session_plan {
  saros_context *context;
  atomic_int references;
  const step_kernels *kernels;  // those of the packing of the weights
  int inputs, outputs;
  int symbols;    // V; 0: the input is features
  size_t input;   // place of (streams, inputs) in the memory; as those below
  size_t memory;  // of a session, in elements for each stream
  int count;
  session_stage *stages;  // these, and one that brings the result to the output
} session_plan;

struct saros_session {
  saros_context *context;
  session_plan *plan;
  saros_tensor *lender;  // keeps the saros_shared that has the plan; or null
  int streams;
  real *memory;
  int odd;              // is the current h in the odd arrays?
  const int32_t *ids;   // of the step under way
  const real **starts;  // (streams) scratch: where sums begin
  const real **read;    // (stages + 1) what each reads in this step
  saros_tensor *output, *probabilities;  // (streams, outputs)
  real *weights;                         // (outputs) scratch of sampling
  int32_t *order;                        // (outputs) likewise
};

/* The most features of anything, so that widths are ints without thinking. */
#define WIDEST (1 << 26)

/* Layer norm inside a cell uses PyTorch's epsilon, as the layers do. */
#define CELL_NORM_EPSILON 1e-5

/* Packs a model. (session_plan.c, session_cell.c) */
saros_status session_plan_new(saros_context *context, int count,
                              const saros_stage *given, saros_weights weights,
                              session_plan **out);
void session_plan_retain(session_plan *p);
void session_plan_release(session_plan *p);  // null is allowed

/* The plan that sessions of all contexts have of stages whose tensors are those
** of one saros_shared, which *lender keeps; both are references of the caller's,
** who releases the plan first. Null, and no error, for other stages: what they
** need is a plan of their own. (shared.c) */
saros_status session_plan_shared(saros_context *context, int count,
                                 const saros_stage *given,
                                 saros_weights weights, session_plan **out,
                                 saros_tensor **lender);

/* --- While a plan is made --------------------------------------------------- */

typedef struct session_planner {
  session_plan *plan;
  session_stage *stage;         // being made
  const saros_stage *given;     // what it is made from
  int number;                   // of that, from 0
  int width;                    // of its input
  const saros_tensor *symbols;  // table (V, E) of an embedding right before it
  size_t at;                    // elements for each stream given away so far
} session_planner;

/* "session: expected ..., got ... in stage 2" */
saros_status session_plan_expect(session_planner *p, const char *name,
                                 const saros_tensor *x, int rank, int rows,
                                 int columns);
/* A zeroed block that the stage owns: so many bytes, or elements. */
saros_status session_plan_block(session_planner *p, int which, size_t bytes);
saros_status session_plan_own(session_planner *p, int which, size_t elements);
/* A copy of a tensor (null: nothing), padded with zeros to a whole width. */
saros_status session_plan_copy(session_planner *p, int which,
                               const saros_tensor *x);
/* Room for (streams, n) in the memory. */
void session_plan_array(session_planner *p, int which, int n);
saros_status session_plan_dense(session_planner *p, int which, const real *w,
                                int n, int k);
/* Makes a recurrent stage. */
saros_status session_plan_recurrent(session_planner *p);
/* Makes one of attention over the last steps. (session_attention.c) */
saros_status session_plan_attention(session_planner *p);
void session_run_attention(saros_session *s, const session_stage *g,
                           const real *x);

/* How the other stages run (session_run.c). */
void session_run_embedding(saros_session *s, const session_stage *g,
                           const real *x);
void session_run_linear(saros_session *s, const session_stage *g,
                        const real *x);
void session_run_layer_norm(saros_session *s, const session_stage *g,
                            const real *x);
void session_run_function(saros_session *s, const session_stage *g,
                          const real *x);
void session_run_recurrent(saros_session *s, const session_stage *g,
                           const real *x);
void session_run_add(saros_session *s, const session_stage *g, const real *x);
void session_run_output(saros_session *s, const session_stage *g,
                        const real *x);
void session_step_fused_lstm(saros_session *s, const session_stage *g,
                             const real *x, real *h, const real *h_before);
void session_step_fused_gru(saros_session *s, const session_stage *g,
                            const real *x, real *h, const real *h_before);
void session_step_elman_tanh(saros_session *s, const session_stage *g,
                             const real *x, real *h, const real *h_before);
void session_step_elman_relu(saros_session *s, const session_stage *g,
                             const real *x, real *h, const real *h_before);
void session_step_lstm(saros_session *s, const session_stage *g, const real *x,
                       real *h, const real *h_before);
void session_step_gru(saros_session *s, const session_stage *g, const real *x,
                      real *h, const real *h_before);
void session_step_gru_before(saros_session *s, const session_stage *g,
                             const real *x, real *h, const real *h_before);
void session_step_mingru(saros_session *s, const session_stage *g,
                         const real *x, real *h, const real *h_before);
void session_step_minlstm(saros_session *s, const session_stage *g,
                          const real *x, real *h, const real *h_before);
void session_step_lru(saros_session *s, const session_stage *g, const real *x,
                      real *h, const real *h_before);

/* A state of a stage: rows (streams, n), and how each begins; null: as zeros. */
typedef struct session_state {
  real *rows;
  const real *first;
  int n;
  int places;  // rows are one whole number in 0..places - 1; 0: they are not
} session_state;

/* The state of a stage that has more than 'which'. (session.c) */
session_state session_state_of(const saros_session *s, const session_stage *g,
                               int which);

/* What lies at a place of the plan. Arrays of all streams follow each other, so
** a place is where the array would begin for one stream, times the streams. */
static inline real *session_array_at(const saros_session *s, size_t place) {
  return s->memory + place * (size_t)s->streams;
}

/* The array of a stage. */
static inline real *session_array_of(const saros_session *s,
                                     const session_stage *g, int which) {
  return session_array_at(s, g->at[which]);
}

/* A stage ends with a jump to the next one: the processor foresees a jump better
** than a loop's calls, which lead elsewhere each time. */
static inline void session_run_next(saros_session *s, const session_stage *g,
                                    const real *x) {
  s->read[g[1].number] = x;
  g[1].run(s, g + 1, x);
}

#endif
