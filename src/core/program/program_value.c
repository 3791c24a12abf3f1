/*
** The values of nodes as ordinary operations of the core, over whatever rows
** there are: all steps of a sequence, or the rows of one step.
*/
#include <string.h>

#include "program_run.h"

/* --- Shapes ---------------------------------------------------------------------- */

saros_status program_reshape(saros_tensor *x, int lead, int rank,
                             const int *tail, saros_tensor **out) {
  int shape[SAROS_MAX_RANK];
  memcpy(shape, x->shape, (size_t)lead * sizeof *shape);
  memcpy(shape + lead, tail, (size_t)rank * sizeof *shape);
  if (x->rank == lead + rank &&
      memcmp(shape, x->shape, (size_t)x->rank * sizeof *shape) == 0) {
    *out = saros_tensor_retain(x);
    return SAROS_OK;
  }
  return saros_reshape(x, lead + rank, shape, out);
}

saros_status program_flat(const program_node *n, saros_tensor *x,
                          saros_tensor **out) {
  if (n->invariant)
    return program_reshape(x, 0, 1, &n->width, out);
  *out = saros_tensor_retain(x);
  return SAROS_OK;
}

saros_status program_filled(saros_context *context, double value, int rank,
                            const int *shape, saros_tensor **out) {
  TRY(saros_tensor_new(context, SAROS_REAL, rank, shape, out));
  return value == 0 ? SAROS_OK
                    : tensor_or_nothing(saros_fill(*out, value), out);
}

saros_status program_spread(const program_node *n, const program_lead *lead,
                            saros_tensor *x, saros_tensor **out) {
  int shape[3] = {lead->shape[0], lead->rank > 1 ? lead->shape[1] : 1, 1};
  saros_tensor *zeros;
  TRY(program_flat(n, x, out));
  if (!n->invariant)
    return SAROS_OK;
  shape[lead->rank] = 1;
  saros_status status =
      program_filled(x->context, 0, lead->rank + 1, shape, &zeros);
  if (status != SAROS_OK)
    return tensor_or_nothing(status, out);
  saros_tensor *row = *out;
  status = saros_combine(SAROS_ADD, zeros, row, out);
  saros_tensor_release(row);
  saros_tensor_release(zeros);
  return status;
}

saros_status program_blend(saros_tensor *z, saros_tensor *a, saros_tensor *b,
                           saros_tensor **out) {
  saros_tensor *change = NULL, *part = NULL;
  saros_status status;
  *out = NULL;
  TRY_OR_DONE(saros_combine(SAROS_SUBTRACT, a, b, &change));
  TRY_OR_DONE(saros_combine(SAROS_MULTIPLY, z, change, &part));
  status = saros_combine(SAROS_ADD, b, part, out);
done:
  saros_tensor_release(change);
  saros_tensor_release(part);
  return status;
}

/* The operand as (lead, tail...). */
static saros_status shaped(const saros_program *p, const program_node *n, int i,
                           saros_tensor *x, int rank, const int *tail,
                           saros_tensor **out) {
  int is_invariant = p->nodes[n->input[i]].invariant;
  return program_reshape(x, is_invariant ? 0 : x->rank - 1, rank, tail, out);
}

/* The result, whose last 'rank' axes are its features, as a row. */
static saros_status as_row(const program_node *n, int rank,
                           saros_tensor **out) {
  TRY(PROGRAM_MAKE(
      *out, program_reshape(*out, (*out)->rank - rank, 1, &n->width, &made)));
  return SAROS_OK;
}

/* --- Products ----------------------------------------------------------------------- */

static saros_status linear(const saros_program *p, const program_node *n,
                           saros_tensor *const *x, saros_tensor **out) {
  saros_tensor *weight = NULL, *bias = NULL, *rows = NULL;
  const program_node *in = &p->nodes[n->input[0]];
  saros_status status;
  TRY_OR_DONE(program_flat(in, x[0], &rows));
  TRY_OR_DONE(
      program_reshape(x[1], 0, 2, (int[]){n->width, in->width}, &weight));
  if (n->inputs > 2)
    TRY_OR_DONE(program_reshape(x[2], 0, 1, &n->width, &bias));
  status = saros_linear(rows, weight, bias, out);
done:
  saros_tensor_release(rows);
  saros_tensor_release(weight);
  saros_tensor_release(bias);
  return status;
}

static saros_status lookup(const saros_program *p, const program_node *n,
                           saros_tensor *const *x, saros_tensor **out) {
  const int shape[2] = {p->nodes[n->input[0]].at[AT_IDS], n->width};
  saros_tensor *table;
  TRY(program_reshape(x[1], 0, 2, shape, &table));
  saros_status status = saros_embedding(table, x[0], out);
  saros_tensor_release(table);
  return status;
}

/* (heads, rows, columns) times (heads, columns). */
static saros_status matvec(const saros_program *p, const program_node *n,
                           saros_tensor *const *x, saros_tensor **out) {
  const int *at = n->at;
  int columns = at[AT_TRANSPOSED] ? at[AT_ROWS] : at[AT_COLUMNS];
  const int matrix[3] = {at[AT_HEADS], at[AT_ROWS], at[AT_COLUMNS]};
  const int vector[3] = {at[AT_HEADS], columns, 1};
  saros_tensor *m = NULL, *v = NULL, *turned = NULL;
  saros_status status;
  TRY_OR_DONE(shaped(p, n, 0, x[0], 3, matrix, &m));
  TRY_OR_DONE(shaped(p, n, 1, x[1], 3, vector, &v));
  if (at[AT_TRANSPOSED])
    TRY_OR_DONE(saros_transpose(m, -2, -1, &turned));
  TRY_OR_DONE(saros_matmul(turned ? turned : m, v, out));
  status = as_row(n, 3, out);
done:
  saros_tensor_release(m);
  saros_tensor_release(v);
  saros_tensor_release(turned);
  return status;
}

static saros_status outer(const saros_program *p, const program_node *n,
                          saros_tensor *const *x, saros_tensor **out) {
  int heads = n->at[AT_HEADS];
  int a = p->nodes[n->input[0]].width / heads;
  int b = p->nodes[n->input[1]].width / heads;
  saros_tensor *u = NULL, *v = NULL;
  saros_status status;
  TRY_OR_DONE(shaped(p, n, 0, x[0], 3, (int[]){heads, a, 1}, &u));
  TRY_OR_DONE(shaped(p, n, 1, x[1], 3, (int[]){heads, 1, b}, &v));
  TRY_OR_DONE(saros_combine(SAROS_MULTIPLY, u, v, out));
  status = as_row(n, 3, out);
done:
  saros_tensor_release(u);
  saros_tensor_release(v);
  return status;
}

/* --- Element by element -------------------------------------------------------------- */

static saros_status pointwise(const saros_program *p, const program_node *n,
                              saros_tensor *const *x, saros_tensor **out) {
  saros_tensor *row[3] = {NULL, NULL, NULL};
  saros_status status;
  for (int i = 0; i < n->inputs; i++)
    TRY_OR_DONE(program_flat(&p->nodes[n->input[i]], x[i], &row[i]));
  if (n->op == NODE_UNARY)
    status = saros_apply((saros_function)n->function, row[0], out);
  else if (n->op == NODE_BINARY)
    status = saros_combine((saros_operator)n->function, row[0], row[1], out);
  else
    status = saros_where(row[0], row[1], row[2], out);
done:
  for (int i = 0; i < 3; i++)
    saros_tensor_release(row[i]);
  return status;
}

/* --- Moves ------------------------------------------------------------------------------ */

static saros_status expand(const saros_program *p, const program_node *n,
                           saros_tensor *const *x, saros_tensor **out) {
  const int *at = n->at;
  const int shape[3] = {at[AT_OUTER], 1, at[AT_INNER]};
  const int times[2] = {at[AT_TIMES], 1};
  saros_tensor *zeros;
  TRY(shaped(p, n, 0, x[0], 3, shape, out));
  saros_status status = program_filled(x[0]->context, 0, 2, times, &zeros);
  if (status != SAROS_OK)
    return tensor_or_nothing(status, out);
  saros_tensor *row = *out;
  status = saros_combine(SAROS_ADD, row, zeros, out);
  saros_tensor_release(row);
  saros_tensor_release(zeros);
  return status == SAROS_OK ? as_row(n, 3, out) : status;
}

static saros_status slice(const saros_program *p, const program_node *n,
                          saros_tensor *const *x, saros_tensor **out) {
  const int *at = n->at;
  const int shape[3] = {at[AT_OUTER], at[AT_N], at[AT_INNER]};
  TRY(shaped(p, n, 0, x[0], 3, shape, out));
  TRY(PROGRAM_MAKE(*out, saros_slice_step(*out, -2, at[AT_FROM], at[AT_COUNT],
                                          at[AT_STEP], &made)));
  return as_row(n, 3, out);
}

static saros_status transpose(const saros_program *p, const program_node *n,
                              saros_tensor *const *x, saros_tensor **out) {
  const int *at = n->at;
  const int shape[4] = {at[AT_OUTER], at[AT_A], at[AT_B], at[AT_INNER]};
  TRY(shaped(p, n, 0, x[0], 4, shape, out));
  TRY(PROGRAM_MAKE(*out, saros_transpose(*out, -3, -2, &made)));
  return as_row(n, 4, out);
}

/* All operands as (lead, outer, w / outer), side by side. */
static saros_status concatenate(const saros_program *p, const program_node *n,
                                const program_lead *lead,
                                saros_tensor *const *x, saros_tensor **out) {
  saros_context *context = p->context;
  size_t bytes = (size_t)n->inputs * sizeof(saros_tensor *);
  saros_tensor **part = pool_take(&context->pool, bytes);
  if (part == NULL)
    return base_out_of_memory(context, bytes);
  memset(part, 0, bytes);
  saros_status status = SAROS_OK;
  for (int i = 0; status == SAROS_OK && i < n->inputs; i++) {
    const program_node *in = &p->nodes[n->input[i]];
    const int shape[2] = {n->at[AT_OUTER], in->width / n->at[AT_OUTER]};
    saros_tensor *all;
    status = n->invariant ? program_flat(in, x[i], &all)
                          : program_spread(in, lead, x[i], &all);
    if (status != SAROS_OK)
      break;
    status = program_reshape(all, all->rank - 1, 2, shape, &part[i]);
    saros_tensor_release(all);
  }
  if (status == SAROS_OK)
    status = saros_concatenate(context, n->inputs, part, -1, out);
  for (int i = 0; i < n->inputs; i++)
    saros_tensor_release(part[i]);
  pool_give(&context->pool, part);
  return status == SAROS_OK ? as_row(n, 2, out) : status;
}

/* --- Along features ------------------------------------------------------------------------ */

static saros_status reduce(int op, saros_tensor *x, saros_tensor **out) {
  switch (op) {
    case NODE_SUM:
      return saros_sum(x, -2, 0, out);
    case NODE_MEAN:
      return saros_mean(x, -2, 0, out);
    case NODE_MAX:
      return saros_max(x, -2, 0, out);
    case NODE_MIN:
      return saros_min(x, -2, 0, out);
    case NODE_LOGSUMEXP:
      return saros_logsumexp(x, -2, 0, out);
    case NODE_SOFTMAX:
      return saros_softmax(x, -2, out);
    case NODE_LOG_SOFTMAX:
      return saros_log_softmax(x, -2, out);
    default:
      return saros_cumsum(x, -2, out);
  }
}

static saros_status along(const saros_program *p, const program_node *n,
                          saros_tensor *const *x, saros_tensor **out) {
  const int shape[3] = {n->at[AT_OUTER], n->at[AT_N], n->at[AT_INNER]};
  int lead = p->nodes[n->input[0]].invariant ? 0 : x[0]->rank - 1;
  TRY(shaped(p, n, 0, x[0], 3, shape, out));
  TRY(PROGRAM_MAKE(*out, reduce(n->op, *out, &made)));
  return as_row(n, (*out)->rank - lead, out);
}

/* A gain or bias, or what stands for none. */
static saros_status norm_operand(const program_node *n, int i, double otherwise,
                                 saros_tensor *const *x, saros_tensor **out) {
  if (i < n->inputs)
    return program_reshape(x[i], 0, 1, &n->at[AT_N], out);
  return program_filled(x[0]->context, otherwise, 1, &n->at[AT_N], out);
}

static saros_status norm(const saros_program *p, const program_node *n,
                         saros_tensor *const *x, saros_tensor **out) {
  const int shape[2] = {n->width / n->at[AT_N], n->at[AT_N]};
  const double epsilon = n->number[NUMBER_EPSILON];
  saros_tensor *rows = NULL, *gain = NULL, *bias = NULL;
  saros_status status;
  TRY_OR_DONE(shaped(p, n, 0, x[0], 2, shape, &rows));
  TRY_OR_DONE(norm_operand(n, 1, 1, x, &gain));
  if (n->op == NODE_LAYER_NORM) {
    TRY_OR_DONE(norm_operand(n, 2, 0, x, &bias));
    TRY_OR_DONE(saros_layer_norm(rows, gain, bias, epsilon, out));
  } else
    TRY_OR_DONE(saros_rms_norm(rows, gain, epsilon, out));
  status = as_row(n, 2, out);
done:
  saros_tensor_release(rows);
  saros_tensor_release(gain);
  saros_tensor_release(bias);
  return status;
}

saros_status program_evaluate(const saros_program *p, const program_node *n,
                              const program_lead *lead, saros_tensor *const *x,
                              saros_tensor **out) {
  *out = NULL;
  switch (n->op) {
    case NODE_LINEAR:
      return linear(p, n, x, out);
    case NODE_LOOKUP:
      return lookup(p, n, x, out);
    case NODE_UNARY:
    case NODE_BINARY:
    case NODE_WHERE:
      return pointwise(p, n, x, out);
    case NODE_EXPAND:
      return expand(p, n, x, out);
    case NODE_SLICE:
      return slice(p, n, x, out);
    case NODE_CONCATENATE:
      return concatenate(p, n, lead, x, out);
    case NODE_TRANSPOSE:
      return transpose(p, n, x, out);
    case NODE_LAYER_NORM:
    case NODE_RMS_NORM:
      return norm(p, n, x, out);
    case NODE_MATVEC:
      return matvec(p, n, x, out);
    case NODE_OUTER:
      return outer(p, n, x, out);
    default:
      return along(p, n, x, out);
  }
}
