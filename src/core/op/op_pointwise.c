/*
** Element-wise operations: functions of one tensor, operators on two that
** broadcast. The gradient of an operator is written with operators; where an
** operand was repeated, its gradient is summed back to its own shape.
*/
#include <float.h>
#include <string.h>

#include "op.h"

/* --- Functions ------------------------------------------------------------------ */

static saros_status apply_backward(const tape_entry *e);

#define FUNCTION(f, name) [f] = {name, apply_backward}
static const tape_operation functions[SAROS_FUNCTIONS] = {
    FUNCTION(SAROS_NEGATE, "negate"),
    FUNCTION(SAROS_ABS, "abs"),
    FUNCTION(SAROS_EXP, "exp"),
    FUNCTION(SAROS_LOG, "log"),
    FUNCTION(SAROS_SQRT, "sqrt"),
    FUNCTION(SAROS_TANH, "tanh"),
    FUNCTION(SAROS_SIGMOID, "sigmoid"),
    FUNCTION(SAROS_RELU, "relu"),
    [SAROS_ISFINITE] = {"isfinite", NULL},
    [SAROS_ISNAN] = {"isnan", NULL},
    FUNCTION(SAROS_SIN, "sin"),
    FUNCTION(SAROS_COS, "cos"),
    FUNCTION(SAROS_SOFTPLUS, "softplus"),
    FUNCTION(SAROS_SILU, "silu"),
    FUNCTION(SAROS_GELU, "gelu"),
    FUNCTION(SAROS_GELU_TANH, "gelu_tanh"),
    FUNCTION(SAROS_ELU, "elu"),
    FUNCTION(SAROS_LEAKY_RELU, "leaky_relu"),
    FUNCTION(SAROS_HARD_SIGMOID, "hard_sigmoid"),
    FUNCTION(SAROS_HARD_TANH, "hard_tanh"),
};

const char *saros_function_name(saros_function f) {
  return (int)f >= 0 && f < SAROS_FUNCTIONS ? functions[f].name : NULL;
}

/* A function of elements, or dx += its slope times dy. */
typedef struct application {
  const pointwise_kernels *kernels;
  long function;
  real *y;
  const real *x, *dy;  // of x or y, whichever the slope is known by; or null
} application;

static void apply_rows(void *arguments, size_t from, size_t rows) {
  const application *a = arguments;
  a->kernels->unary[a->function](a->y + from, a->x + from, rows);
}

static void apply_rows_backward(void *arguments, size_t from, size_t rows) {
  const application *a = arguments;
  const real *x = a->x != NULL ? a->x + from : NULL;
  a->kernels->unary_backward[a->function](a->y + from, a->dy + from, x, x,
                                          rows);
}

static saros_status apply_backward(const tape_entry *e) {
  saros_tensor *dy, *dx;
  TRY(tape_entry_gradient(e, 0, &dy));
  saros_status status = tensor_node_gradient(e->input[0], &dx);
  if (status == SAROS_OK)
    status = team_rows(
        e->context, dx->count, 1, apply_rows_backward,
        &(application){e->context->kernels->pointwise, e->operation - functions,
                       tensor_reals(dx),
                       e->saved_count ? tensor_reals(e->saved[0]) : NULL,
                       tensor_reals(dy)});
  saros_tensor_release(dy);
  return status;
}

saros_status saros_apply(saros_function f, saros_tensor *x,
                         saros_tensor **out) {
  *out = NULL;
  TRY(base_expect_known(x->context, "apply", "a function", (int)f,
                        SAROS_FUNCTIONS));
  TRY(tensor_expect_real(functions[f].name, "the tensor", x));
  saros_tensor *from;
  TRY(saros_contiguous(x, &from));
  saros_status status;
  TRY_OR_DONE(tensor_like(from, out));
  TRY_OR_DONE(
      team_rows(x->context, from->count, 1, apply_rows,
                &(application){x->context->kernels->pointwise, f,
                               tensor_reals(*out), tensor_reals(from), NULL}));
  if (functions[f].backward == NULL)
    goto done;
  saros_tensor *saved = UNARY_BACKWARD_READS_X((kernel_unary)f) ? from : *out;
  if (f == SAROS_NEGATE)
    saved = NULL;
  status = tape_record_unary(&functions[f], from, saved, NULL, 0, out);
done:
  saros_tensor_release(from);
  return tensor_or_nothing(status, out);
}

/* --- Broadcasting ------------------------------------------------------------------ */

saros_status op_broadcast_shape(const char *function, const saros_tensor *a,
                                const saros_tensor *b, int *rank, int *shape) {
  *rank = a->rank > b->rank ? a->rank : b->rank;
  for (int i = 1; i <= *rank; i++) {
    int of_a = i <= a->rank ? a->shape[a->rank - i] : 1;
    int of_b = i <= b->rank ? b->shape[b->rank - i] : 1;
    if (of_a != of_b && of_a != 1 && of_b != 1)
      return saros_fail(a->context, SAROS_EARGUMENT,
                        "%s: expected shapes that broadcast, got %s and %s",
                        function, TENSOR_SHAPE(a), TENSOR_SHAPE(b));
    shape[*rank - i] = of_a == 1 ? of_b : of_a;
  }
  return SAROS_OK;
}

saros_status op_expand(saros_tensor *x, int rank, const int *shape,
                       saros_tensor **out) {
  TRY(tensor_alias(x, out));
  saros_tensor *y = *out;
  int missing = rank - x->rank;
  y->rank = rank;
  y->count = 1;
  for (int axis = 0; axis < rank; axis++) {
    int own = axis - missing;
    int repeated = own < 0 || (x->shape[own] == 1 && shape[axis] != 1);
    y->stride[axis] = repeated ? 0 : x->stride[own];
    y->shape[axis] = shape[axis];
    y->count *= (size_t)shape[axis];
  }
  return SAROS_OK;
}

/* Sums *g over its first axes until 'rank' of them remain. */
static saros_status sum_leading(saros_tensor **g, int rank) {
  int extra = (*g)->rank - rank, shape[SAROS_MAX_RANK + 1];
  saros_tensor *folded = NULL, *sum = NULL;
  shape[0] = 1;
  for (int axis = 0; axis < extra; axis++)
    shape[0] *= (*g)->shape[axis];
  memcpy(shape + 1, (*g)->shape + extra, (size_t)rank * sizeof(int));
  saros_status status = saros_reshape(*g, rank + 1, shape, &folded);
  if (status == SAROS_OK)
    status = saros_sum(folded, 0, 0, &sum);
  saros_tensor_release(folded);
  saros_tensor_release(*g);
  *g = sum;
  return status;
}

saros_status op_reduce_to(saros_tensor *g, int rank, const int *shape,
                          saros_tensor **out) {
  saros_status status = SAROS_OK;
  if (g->rank > rank)
    status = sum_leading(&g, rank);
  for (int axis = 0; axis < rank && status == SAROS_OK; axis++) {
    if (shape[axis] != 1 || g->shape[axis] == 1)
      continue;
    saros_tensor *sum;
    status = saros_sum(g, axis, 1, &sum);
    saros_tensor_release(g);
    g = sum;
  }
  *out = g;
  return status;
}

/* --- Operators ----------------------------------------------------------------------- */

/* Replaces *x by f(*x, y). */
static saros_status then(saros_tensor **x, saros_operator f, saros_tensor *y) {
  saros_tensor *result;
  saros_status status = saros_combine(f, *x, y, &result);
  saros_tensor_release(*x);
  *x = result;
  return status;
}

static saros_status then_number(saros_tensor **x, saros_operator f, double y) {
  saros_tensor *number;
  saros_status status = tensor_scalar((*x)->context, y, &number);
  if (status != SAROS_OK) {
    saros_tensor_release(*x);
    *x = NULL;
    return status;
  }
  status = then(x, f, number);
  saros_tensor_release(number);
  return status;
}

static saros_status then_apply(saros_tensor **x, saros_function f) {
  saros_tensor *result;
  saros_status status = saros_apply(f, *x, &result);
  saros_tensor_release(*x);
  *x = result;
  return status;
}

/* The gradients of the operators. Each turns *g, a reference of its own to the
** gradient of y = f(a, b), into that of a or of b, before reduction. */

static saros_status pass(saros_tensor **g, saros_tensor *const *saved) {
  (void)g, (void)saved;
  return SAROS_OK;
}

static saros_status pass_negated(saros_tensor **g, saros_tensor *const *saved) {
  (void)saved;
  return then_apply(g, SAROS_NEGATE);
}

static saros_status times_b(saros_tensor **g, saros_tensor *const *saved) {
  return then(g, SAROS_MULTIPLY, saved[1]);
}

static saros_status times_a(saros_tensor **g, saros_tensor *const *saved) {
  return then(g, SAROS_MULTIPLY, saved[0]);
}

static saros_status over_b(saros_tensor **g, saros_tensor *const *saved) {
  return then(g, SAROS_DIVIDE, saved[1]);
}

/* d(a / b) / db = -a / b^2 */
static saros_status divide_by_b(saros_tensor **g, saros_tensor *const *saved) {
  TRY(then(g, SAROS_DIVIDE, saved[1]));
  TRY(then(g, SAROS_MULTIPLY, saved[0]));
  TRY(then(g, SAROS_DIVIDE, saved[1]));
  return then_apply(g, SAROS_NEGATE);
}

/* d(a^b) / da = b a^(b - 1) */
static saros_status power_by_a(saros_tensor **g, saros_tensor *const *saved) {
  saros_tensor *slope = saros_tensor_retain(saved[1]);
  saros_status status = then_number(&slope, SAROS_SUBTRACT, 1);
  if (status != SAROS_OK)
    return status;
  saros_tensor *power;
  status = saros_combine(SAROS_POWER, saved[0], slope, &power);
  saros_tensor_release(slope);
  if (status != SAROS_OK)
    return status;
  status = then(g, SAROS_MULTIPLY, saved[1]);
  if (status == SAROS_OK)
    status = then(g, SAROS_MULTIPLY, power);
  saros_tensor_release(power);
  return status;
}

/* d(a^b) / db = a^b log a, which is 0 at a = 0 */
static saros_status power_by_b(saros_tensor **g, saros_tensor *const *saved) {
  saros_tensor *log = saros_tensor_retain(saved[0]);
  TRY(then_number(&log, SAROS_MAXIMUM, FLT_MIN));
  TRY(then_apply(&log, SAROS_LOG));
  saros_status status = then(g, SAROS_MULTIPLY, log);
  saros_tensor_release(log);
  saros_tensor *power;
  TRY(status);
  TRY(saros_combine(SAROS_POWER, saved[0], saved[1], &power));
  status = then(g, SAROS_MULTIPLY, power);
  saros_tensor_release(power);
  return status;
}

/* Lets the gradient through where f(x, y) holds. */
static saros_status through(saros_tensor **g, saros_operator f, saros_tensor *x,
                            saros_tensor *y) {
  saros_tensor *mask;
  TRY(saros_combine(f, x, y, &mask));
  saros_status status = then(g, SAROS_MULTIPLY, mask);
  saros_tensor_release(mask);
  return status;
}

static saros_status where_a_wins(saros_tensor **g, saros_tensor *const *saved) {
  return through(g, SAROS_LESS_EQUAL, saved[1], saved[0]);
}

static saros_status where_b_above(saros_tensor **g,
                                  saros_tensor *const *saved) {
  return through(g, SAROS_LESS, saved[0], saved[1]);
}

static saros_status where_a_below(saros_tensor **g,
                                  saros_tensor *const *saved) {
  return through(g, SAROS_LESS_EQUAL, saved[0], saved[1]);
}

static saros_status where_b_below(saros_tensor **g,
                                  saros_tensor *const *saved) {
  return through(g, SAROS_LESS, saved[1], saved[0]);
}

typedef saros_status (*slope)(saros_tensor **g, saros_tensor *const *saved);

/* reads[i] says which operands the slope for operand i needs: 1 a, 2 b. */
typedef struct operator_row {
  tape_operation operation;
  slope slope[2];
  int reads[2];
} operator_row;

static saros_status combine_backward(const tape_entry *e);

#define OPERATOR(f, name, ...) [f] = {{name, combine_backward}, __VA_ARGS__}
static const operator_row operators[SAROS_OPERATORS] = {
    OPERATOR(SAROS_ADD, "add", {pass, pass}, {0, 0}),
    OPERATOR(SAROS_SUBTRACT, "subtract", {pass, pass_negated}, {0, 0}),
    OPERATOR(SAROS_MULTIPLY, "multiply", {times_b, times_a}, {2, 1}),
    OPERATOR(SAROS_DIVIDE, "divide", {over_b, divide_by_b}, {2, 3}),
    OPERATOR(SAROS_POWER, "power", {power_by_a, power_by_b}, {3, 3}),
    OPERATOR(SAROS_MAXIMUM, "maximum", {where_a_wins, where_b_above}, {3, 3}),
    OPERATOR(SAROS_MINIMUM, "minimum", {where_a_below, where_b_below}, {3, 3}),
    OPERATOR(SAROS_LESS, "lt", {NULL, NULL}, {0, 0}),
    OPERATOR(SAROS_LESS_EQUAL, "le", {NULL, NULL}, {0, 0}),
    OPERATOR(SAROS_EQUAL, "eq", {NULL, NULL}, {0, 0}),
};

const char *saros_operator_name(saros_operator f) {
  return (int)f >= 0 && f < SAROS_OPERATORS ? operators[f].operation.name
                                            : NULL;
}

/* True if n is a row (..., 1, size) that multiplied every row of x. */
static int is_row_factor(const operator_row *row, const tensor_node *n,
                         const saros_tensor *dy, const saros_tensor *x) {
  size_t count = 1;
  if (row != &operators[SAROS_MULTIPLY] || n->rank < 1 || dy->count == 0)
    return 0;
  for (int axis = 0; axis < n->rank; axis++)
    count *= (size_t)n->shape[axis];
  return count == (size_t)n->shape[n->rank - 1] && count < dy->count &&
         dy->shape[dy->rank - 1] == n->shape[n->rank - 1] &&
         tensor_same_shape(x, dy) && saros_tensor_is_contiguous(x) &&
         saros_tensor_is_contiguous(dy);
}

/* Its gradient, the sum of dy x, without an array of all products. */
static saros_status add_row_gradient(tensor_node *n, const saros_tensor *dy,
                                     const saros_tensor *x) {
  saros_tensor *d;
  TRY(tensor_node_gradient(n, &d));
  return op_add_products(n->context, tensor_reals(d), tensor_reals(dy),
                         tensor_reals(x), dy->count / d->count, d->count);
}

static saros_status combine_backward(const tape_entry *e) {
  const operator_row *row = &operators[*(const saros_operator *)e->arguments];
  const saros_tensor *dy = e->output[0]->gradient;
  for (int i = 0; i < 2; i++) {
    tensor_node *n = e->input[i];
    if (n == NULL)
      continue;
    if (is_row_factor(row, n, dy, e->saved[1 - i])) {
      TRY(add_row_gradient(n, dy, e->saved[1 - i]));
      continue;
    }
    saros_tensor *g = saros_tensor_retain(e->output[0]->gradient);
    saros_status status = row->slope[i](&g, e->saved);
    if (status != SAROS_OK) {
      saros_tensor_release(g);
      return status;
    }
    TRY(op_reduce_to(g, n->rank, n->shape, &g));
    TRY(tensor_node_add(n, g));
  }
  return SAROS_OK;
}

static saros_status record_combine(saros_operator f, saros_tensor *a,
                                   saros_tensor *b, saros_tensor **out) {
  const operator_row *row = &operators[f];
  if (row->slope[0] == NULL)
    return SAROS_OK;
  int reads = 0;
  if (tape_wants(a->context, a))
    reads |= row->reads[0];
  if (tape_wants(a->context, b))
    reads |= row->reads[1];
  saros_tensor *operands[2] = {a, b};
  saros_tensor *saved[2] = {reads & 1 ? a : NULL, reads & 2 ? b : NULL};
  return tape_record(a->context, &(tape_call){&row->operation, 2, operands, 1,
                                              out, 2, saved, &f, sizeof f});
}

/* An element as a caller writes it: ids as he counts them. */
static double number_at(const saros_tensor *x, size_t at) {
  if (x->dtype == SAROS_REAL)
    return (double)tensor_reals(x)[at];
  return (double)tensor_ids(x)[at] + x->context->index_base;
}

/* y = f(a, b) along a walk; only equality is for ids, too. */
typedef struct combination {
  saros_operator f;
  saros_tensor *y;
  const saros_tensor *a, *b;
} combination;

/* n elements of the row where the walk is, from one of them on. */
static void combine_row(const void *arguments, const tensor_walk *w,
                        size_t from, size_t n) {
  const combination *c = arguments;
  const saros_tensor *a = c->a, *b = c->b;
  size_t at_a = w->at[1] + from * (size_t)w->step[1];
  size_t at_b = w->at[2] + from * (size_t)w->step[2];
  real *row = tensor_reals(c->y) + w->at[0] + from;
  if (a->dtype == SAROS_REAL && b->dtype == SAROS_REAL) {
    c->y->context->kernels->pointwise->binary[c->f](
        row, tensor_reals(a) + at_a, w->step[1], tensor_reals(b) + at_b,
        w->step[2], n);
    return;
  }
  for (size_t i = 0; i < n; i++)
    row[i] = number_at(a, at_a + i * (size_t)w->step[1]) ==
             number_at(b, at_b + i * (size_t)w->step[2]);
}

static saros_status combine(const combination *c) {
  const saros_tensor *const tensors[] = {c->y, c->a, c->b};
  return tensor_walk_parallel(combine_row, c, 3, tensors);
}

saros_status saros_combine(saros_operator f, saros_tensor *a, saros_tensor *b,
                           saros_tensor **out) {
  *out = NULL;
  TRY(base_expect_known(a->context, "combine", "an operator", (int)f,
                        SAROS_OPERATORS));
  const char *name = saros_operator_name(f);
  int rank, shape[SAROS_MAX_RANK];
  TRY(tensor_expect_context(name, a->context, b));
  if (f != SAROS_EQUAL) {
    TRY(tensor_expect_real(name, "operands", a));
    TRY(tensor_expect_real(name, "operands", b));
  }
  TRY(op_broadcast_shape(name, a, b, &rank, shape));
  TRY(tensor_new(a->context, SAROS_REAL, rank, shape, out));
  saros_status status =
      combine(&(combination){.f = f, .y = *out, .a = a, .b = b});
  if (status == SAROS_OK)
    status = record_combine(f, a, b, out);
  return tensor_or_nothing(status, out);
}
