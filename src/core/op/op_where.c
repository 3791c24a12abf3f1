/*
** Choosing between two tensors, element by element. What is not chosen is not
** computed with: neither its value nor its gradient reaches the result, so a
** NaN there stays where it is.
*/
#include "op.h"

/* y = condition ? a : b along a walk. */
typedef struct choice {
  saros_tensor *y;
  const saros_tensor *condition, *a, *b;
} choice;

/* n elements of the row where the walk is, from one of them on. */
static void choose_row(const void *arguments, const tensor_walk *w, size_t from,
                       size_t n) {
  const choice *c = arguments;
  c->y->context->kernels->pointwise->choose(
      tensor_reals(c->y) + w->at[0] + from,
      tensor_reals(c->condition) + w->at[1] + from * (size_t)w->step[1],
      w->step[1], tensor_reals(c->a) + w->at[2] + from * (size_t)w->step[2],
      w->step[2], tensor_reals(c->b) + w->at[3] + from * (size_t)w->step[3],
      w->step[3], n);
}

static saros_status choose(const choice *c) {
  const saros_tensor *const tensors[] = {c->y, c->condition, c->a, c->b};
  return tensor_walk_parallel(choose_row, c, 4, tensors);
}

/* Adds to the gradient of operand 'n' the part of dy that it was chosen for. */
static saros_status add_chosen(tensor_node *n, saros_tensor *condition,
                               saros_tensor *dy, int is_a) {
  saros_tensor *zero, *g;
  TRY(tensor_scalar(dy->context, 0, &zero));
  saros_status status =
      saros_where(condition, is_a ? dy : zero, is_a ? zero : dy, &g);
  saros_tensor_release(zero);
  TRY(status);
  TRY(op_reduce_to(g, n->rank, n->shape, &g));
  return tensor_node_add(n, g);
}

static saros_status where_backward(const tape_entry *e) {
  saros_tensor *dy = e->output[0]->gradient;
  for (int i = 0; i < 2; i++)
    if (e->input[i] != NULL)
      TRY(add_chosen(e->input[i], e->saved[0], dy, i == 0));
  return SAROS_OK;
}

static const tape_operation where_operation = {"where", where_backward};

static saros_status expect_operands(saros_tensor *condition, saros_tensor *a,
                                    saros_tensor *b) {
  TRY(tensor_expect_context("where", condition->context, a));
  TRY(tensor_expect_context("where", condition->context, b));
  TRY(tensor_expect_real("where", "the condition", condition));
  TRY(tensor_expect_real("where", "operands", a));
  return tensor_expect_real("where", "operands", b);
}

/* The shape that all three broadcast to. */
static saros_status common_shape(saros_tensor *condition, saros_tensor *a,
                                 saros_tensor *b, int *rank, int *shape) {
  saros_tensor both = {.context = a->context};  // stands for a and b
  TRY(op_broadcast_shape("where", a, b, &both.rank, both.shape));
  return op_broadcast_shape("where", condition, &both, rank, shape);
}

saros_status saros_where(saros_tensor *condition, saros_tensor *a,
                         saros_tensor *b, saros_tensor **out) {
  int rank, shape[SAROS_MAX_RANK];
  *out = NULL;
  TRY(expect_operands(condition, a, b));
  TRY(common_shape(condition, a, b, &rank, shape));
  TRY(tensor_new(a->context, SAROS_REAL, rank, shape, out));
  saros_status status =
      choose(&(choice){.y = *out, .condition = condition, .a = a, .b = b});
  if (status == SAROS_OK)
    status = tape_record(
        a->context,
        &(tape_call){&where_operation, 2, (saros_tensor *const[]){a, b}, 1, out,
                     1, (saros_tensor *const[]){condition}, NULL, 0});
  return tensor_or_nothing(status, out);
}

/* --- Functions with a slope below 0 ----------------------------------------- */

/* slope f(x), f being identity for leaky_relu */
static saros_status scaled_below(saros_function f, saros_tensor *x,
                                 saros_tensor *slope, saros_tensor **out) {
  if (f == SAROS_LEAKY_RELU)
    return saros_combine(SAROS_MULTIPLY, x, slope, out);
  saros_tensor *below;
  TRY(saros_apply(f, x, &below));
  saros_status status = saros_combine(SAROS_MULTIPLY, below, slope, out);
  saros_tensor_release(below);
  return status;
}

saros_status saros_apply_slope(saros_function f, saros_tensor *x, double slope,
                               saros_tensor **out) {
  enum { ZERO, SLOPE, BELOW, ABOVE, ALL };
  saros_tensor *t[ALL] = {NULL};
  saros_status status;
  *out = NULL;
  if (f != SAROS_ELU && f != SAROS_LEAKY_RELU)
    return saros_fail(x->context, SAROS_EARGUMENT,
                      "apply_slope: expected elu or leaky_relu, got function "
                      "%d",
                      (int)f);
  TRY(tensor_expect_real(saros_function_name(f), "the tensor", x));
  TRY_OR_DONE(tensor_scalar(x->context, 0, &t[ZERO]));
  TRY_OR_DONE(tensor_scalar(x->context, slope, &t[SLOPE]));
  TRY_OR_DONE(scaled_below(f, x, t[SLOPE], &t[BELOW]));
  TRY_OR_DONE(saros_combine(SAROS_LESS, t[ZERO], x, &t[ABOVE]));
  status = saros_where(t[ABOVE], x, t[BELOW], out);
done:
  for (int i = 0; i < ALL; i++)
    saros_tensor_release(t[i]);
  return status;
}
