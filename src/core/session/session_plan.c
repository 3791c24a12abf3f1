/*
** From the description of a model to the plan of its sessions: checks, copies
** and packing of what each stage owns, and a place in the memory of a session
** for each of its arrays.
*/
#include <string.h>

#include "session.h"

/* --- Helpers of those who make stages ---------------------------------------------- */

saros_status session_plan_expect(session_planner *p, const char *name,
                                 const saros_tensor *x, int rank, int rows,
                                 int columns) {
  saros_context *context = p->plan->context;
  const int shape[2] = {rows, columns};
  tensor_shape_text wanted = {{0}};
  if (x == NULL)
    return saros_fail(context, SAROS_EARGUMENT,
                      "session: expected %s of shape %s in stage %d, got none",
                      name, tensor_shape_format(&wanted, rank, shape),
                      p->number + context->index_base);
  TRY(tensor_expect_context("session", context, x));
  TRY(tensor_expect_real("session", name, x));
  if (x->rank == rank && x->shape[0] == rows &&
      (rank == 1 || x->shape[1] == columns))
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "session: expected %s of shape %s in stage %d, got %s",
                    name, tensor_shape_format(&wanted, rank, shape),
                    p->number + context->index_base, SHAPE(x));
}

saros_status session_plan_block(session_planner *p, int which, size_t bytes) {
  saros_context *context = p->plan->context;
  void *block = pool_take(&context->pool, bytes);
  if (block == NULL)
    return base_out_of_memory(context, bytes);
  memset(block, 0, bytes);
  p->stage->owned[which] = block;
  return SAROS_OK;
}

saros_status session_plan_own(session_planner *p, int which, size_t elements) {
  return session_plan_block(p, which, elements * sizeof(real));
}

saros_status session_plan_copy(session_planner *p, int which,
                               const saros_tensor *x) {
  if (x == NULL)
    return SAROS_OK;
  TRY(session_plan_own(p, which, (x->count + 15) / 16 * 16));
  tensor_storage copy = {.data = p->stage->owned[which]};
  saros_tensor view = *x;
  view.storage = &copy, view.offset = 0;
  tensor_set_shape(&view, x->rank, x->shape);
  tensor_copy(&view, x);
  return SAROS_OK;
}

void session_plan_array(session_planner *p, int which, int n) {
  p->stage->at[which] = p->at;
  p->at += (size_t)STEP_WIDTH(n);
}

saros_status session_plan_dense(session_planner *p, int which, const real *w,
                                int n, int k) {
  const step_kernels *step = p->plan->kernels;
  TRY(session_plan_block(p, which, step->dense_bytes(n, k)));
  step->pack_dense(p->stage->owned[which], w, n, k);
  return SAROS_OK;
}

/* --- Stages without a state ----------------------------------------------------------- */

static saros_status plan_output(session_planner *p, int n) {
  p->stage->outputs = n;
  session_plan_array(p, Y, n);
  return SAROS_OK;
}

/* A table whose rows are so many elements apart. */
static saros_status plan_embedding(session_planner *p) {
  const saros_tensor *table = p->given->weight;
  int V = table->shape[0], E = table->shape[1];
  saros_tensor *from;
  p->stage->run = session_run_embedding;
  p->stage->table_width = STEP_WIDTH(E);
  TRY(session_plan_own(p, TABLE, (size_t)V * (size_t)STEP_WIDTH(E)));
  TRY(saros_contiguous(p->given->weight, &from));
  for (int id = 0; id < V; id++)
    memcpy((real *)p->stage->owned[TABLE] + (ptrdiff_t)id * STEP_WIDTH(E),
           tensor_reals(from) + (ptrdiff_t)id * E, (size_t)E * sizeof(real));
  saros_tensor_release(from);
  return plan_output(p, E);
}

static saros_status plan_linear(session_planner *p) {
  saros_tensor *w = p->given->weight, *from;
  int is_fit =
      w != NULL && w->rank == 2 && w->shape[0] > 0 && w->shape[0] <= WIDEST;
  int n = is_fit ? w->shape[0] : 1;
  TRY(session_plan_expect(p, "weight", w, 2, n, p->width));
  p->stage->run = session_run_linear;
  if (p->given->bias != NULL) {
    TRY(session_plan_expect(p, "bias", p->given->bias, 1, n, 0));
    TRY(session_plan_copy(p, BIAS, p->given->bias));
  } else {
    TRY(session_plan_own(p, BIAS, (size_t)STEP_WIDTH(n)));
  }
  TRY(saros_contiguous(w, &from));
  saros_status status =
      session_plan_dense(p, W, tensor_reals(from), n, p->width);
  saros_tensor_release(from);
  return status == SAROS_OK ? plan_output(p, n) : status;
}

static saros_status plan_layer_norm(session_planner *p) {
  TRY(session_plan_expect(p, "gain", p->given->weight, 1, p->width, 0));
  TRY(session_plan_expect(p, "bias", p->given->bias, 1, p->width, 0));
  if (!(p->given->epsilon >= 0))
    return saros_fail(p->plan->context, SAROS_EARGUMENT,
                      "session: expected epsilon >= 0, got %g",
                      p->given->epsilon);
  p->stage->run = session_run_layer_norm;
  p->stage->epsilon = p->given->epsilon;
  TRY(session_plan_copy(p, NORM_GAIN, p->given->weight));
  TRY(session_plan_copy(p, NORM_BIAS, p->given->bias));
  return plan_output(p, p->width);
}

static saros_status plan_function(session_planner *p) {
  int function = (int)p->given->function;
  TRY(base_expect_known(p->plan->context, "session", "a function", function,
                        SAROS_FUNCTIONS));
  p->stage->run = session_run_function;
  p->stage->function = (unary)function;
  return plan_output(p, p->width);
}

/* The stage that read what is added is one of the plan, whose input is features:
** not the embedding, nor the stage that an embedding became part of. */
static saros_status plan_add(session_planner *p) {
  int back = p->given->back, first = p->plan->symbols > 0;
  if (back < 1 || back > p->number - first ||
      p->stage[-back].inputs != p->width)
    return saros_fail(p->plan->context, SAROS_EARGUMENT,
                      "session: expected in stage %d to add what an earlier "
                      "stage read, of %d features, got one %d stages back",
                      p->number + p->plan->context->index_base, p->width, back);
  p->stage->run = session_run_add;
  p->stage->back = back;
  if (p->given->weight != NULL)
    TRY(session_plan_expect(p, "weight", p->given->weight, 1, p->width, 0));
  TRY(session_plan_copy(p, SCALE, p->given->weight));
  return plan_output(p, p->width);
}

/* --- The whole model -------------------------------------------------------------------- */

static saros_status (*const makers[])(session_planner *p) = {
    [SAROS_STAGE_EMBEDDING] = plan_embedding,
    [SAROS_STAGE_LINEAR] = plan_linear,
    [SAROS_STAGE_LAYER_NORM] = plan_layer_norm,
    [SAROS_STAGE_FUNCTION] = plan_function,
    [SAROS_STAGE_RECURRENT] = session_plan_recurrent,
    [SAROS_STAGE_ADD] = plan_add,
    [SAROS_STAGE_ATTENTION] = session_plan_attention,
};

/* The tables of a folded embedding have at most so many elements. */
#define LARGEST_TABLE ((size_t)1 << 22)

/* Does a later stage add what the second stage read? */
static int is_added(const saros_stage *given, int count) {
  for (int i = 2; i < count; i++)
    if (given[i].kind == SAROS_STAGE_ADD && given[i].back == i - 1)
      return 1;
  return 0;
}

/* Whether the embedding and the recurrent stage after it become one: then the
** part of the gates that comes from a symbol is read off a table. */
static int folds(const saros_stage *given, int count) {
  const saros_stage *next = given + 1;
  const saros_tensor *w = next->layer.weight_ih;
  return count > 1 && next->kind == SAROS_STAGE_RECURRENT && !next->residual &&
         !is_added(given, count) && w != NULL && w->rank == 2 &&
         (size_t)given->weight->shape[0] * (size_t)w->shape[0] * 4 / 3 <=
             LARGEST_TABLE;
}

/* Where the model begins: an embedding, or so many features. */
static saros_status plan_begin(session_planner *p, const saros_stage *given,
                               int count) {
  session_plan *made = p->plan;
  const saros_tensor *w = given->weight;
  if (given->kind == SAROS_STAGE_EMBEDDING) {
    int is_table = w != NULL && w->rank == 2 && w->shape[0] > 0 &&
                   w->shape[1] > 0 && w->shape[1] <= WIDEST;
    TRY(session_plan_expect(p, "weight", w, 2, is_table ? w->shape[0] : 1,
                            is_table ? w->shape[1] : 1));
    made->symbols = w->shape[0], p->width = w->shape[1];
    if (folds(given, count))
      p->symbols = w;
    return SAROS_OK;
  }
  if (given->kind == SAROS_STAGE_RECURRENT)
    w = given->layer.weight_ih;
  if (given->kind == SAROS_STAGE_FUNCTION || given->kind == SAROS_STAGE_ADD ||
      given->kind == SAROS_STAGE_ATTENTION || w == NULL || w->rank < 1 ||
      w->shape[w->rank - 1] < 1 || w->shape[w->rank - 1] > WIDEST)
    return saros_fail(made->context, SAROS_EARGUMENT,
                      "session: expected a first stage with a weight that "
                      "says how many features go in, got none");
  made->inputs = p->width = w->shape[w->rank - 1];
  made->input = p->at;
  p->at += (size_t)STEP_WIDTH(p->width);
  return SAROS_OK;
}

static saros_status plan_stage(session_planner *p, const saros_stage *given) {
  int kind = (int)given->kind;
  if (kind < 0 || kind >= (int)SAROS_STAGE_KINDS ||
      (kind == SAROS_STAGE_EMBEDDING && p->number > 0))
    return saros_fail(p->plan->context, SAROS_EARGUMENT,
                      "session: expected %s as stage %d, got %s",
                      kind == SAROS_STAGE_EMBEDDING ? "features" : "a stage",
                      p->number + p->plan->context->index_base,
                      kind == SAROS_STAGE_EMBEDDING ? "an embedding"
                                                    : "an unknown kind");
  p->stage = &p->plan->stages[p->plan->count];
  p->stage->number = p->plan->count++;
  p->given = given;
  p->stage->inputs = p->width;
  TRY(makers[kind](p));
  p->width = p->stage->outputs;
  return SAROS_OK;
}

static saros_status plan_stages(session_plan *made, int count,
                                const saros_stage *given) {
  session_planner p = {.plan = made};
  TRY(plan_begin(&p, given, count));
  for (p.number = p.symbols != NULL; p.number < count; p.number++) {
    TRY(plan_stage(&p, &given[p.number]));
    p.symbols = NULL;
  }
  made->outputs = p.width;
  made->memory = p.at;
  made->stages[made->count] = (session_stage){
      .run = session_run_output, .number = made->count, .outputs = p.width};
  return SAROS_OK;
}

saros_status session_plan_new(saros_context *context, int count,
                              const saros_stage *given, saros_weights weights,
                              session_plan **out) {
  *out = NULL;
  TRY(base_expect_known(context, "session", "a kind of weights", (int)weights,
                        SAROS_WEIGHTS_KINDS));
  if (count < 1)
    return saros_fail(context, SAROS_EARGUMENT,
                      "session: expected stages of a model, got none");
  session_plan *made;
  TRY(base_object_new(context, sizeof *made, (void **)&made));
  *made = (session_plan){.context = context,
                         .references = 1,
                         .kernels = context->kernels->step[weights]};
  size_t bytes = ((size_t)count + 1) * sizeof *made->stages;
  saros_status status = base_out_of_memory(context, bytes);
  made->stages = pool_take(&context->pool, bytes);
  if (made->stages != NULL) {
    memset(made->stages, 0, bytes);
    status = plan_stages(made, count, given);
  }
  if (status == SAROS_OK)
    *out = made;
  else
    session_plan_release(made);
  return status;
}

void session_plan_retain(session_plan *p) {
  atomic_fetch_add(&p->references, 1);
}

void session_plan_release(session_plan *p) {
  if (p == NULL || atomic_fetch_sub(&p->references, 1) > 1)
    return;
  memory_pool *pool = &p->context->pool;
  for (int i = 0; p->stages != NULL && i < p->count; i++)
    for (int which = 0; which < OWNED; which++)
      pool_give(pool, p->stages[i].owned[which]);
  pool_give(pool, p->stages);
  base_object_free(p->context, p);
}
