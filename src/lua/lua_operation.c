/*
** Operations: functions of the module that are methods of tensors as well.
** Element-wise ones are one C function for each kind of arguments; which one
** of its kind is the extra upvalue.
*/
#include <limits.h>

#include <string.h>

#include "binding.h"

static int code_of_function(lua_State *L) {
  return (int)lua_tointeger(L, lua_upvalueindex(BIND_EXTRA_UPVALUE));
}

/* --- Element by element -------------------------------------------------------------- */

static int operation_unary(lua_State *L) {
  lua_settop(L, 1);
  bind_check_operand(L, 1);
  saros_function f = (saros_function)code_of_function(L);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_apply(f, bind_check_tensor(L, 1), out));
  return bind_new_tensor(L, out);
}

/* elu and leaky_relu: of x alone, or with a slope below 0. */
static int operation_sloped(lua_State *L) {
  lua_settop(L, 2);
  if (lua_isnil(L, 2))
    return operation_unary(L);
  bind_check_operand(L, 1);
  saros_function f = (saros_function)code_of_function(L);
  double slope = bind_check_number(L, 2);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_apply_slope(f, bind_check_tensor(L, 1), slope, out));
  return bind_new_tensor(L, out);
}

/* Combines the operands at the places a and b of the stack. */
static saros_tensor **combine(lua_State *L, int a, int b) {
  saros_operator f = (saros_operator)code_of_function(L);
  lua_settop(L, 2);
  bind_check_operand(L, 1);
  bind_check_operand(L, 2);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_combine(f, bind_check_tensor(L, a),
                                bind_check_tensor(L, b), out));
  return out;
}

static int operation_binary(lua_State *L) {
  return bind_new_tensor(L, combine(L, 1, 2));
}

/* a > b is b < a. */
static int operation_swapped(lua_State *L) {
  return bind_new_tensor(L, combine(L, 2, 1));
}

/* a ~= b is 1 - (a == b). */
static int operation_negated(lua_State *L) {
  combine(L, 1, 2);
  lua_pushinteger(L, 1);
  bind_check_operand(L, 4);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_combine(SAROS_SUBTRACT, bind_check_tensor(L, 4),
                                bind_check_tensor(L, 3), out));
  return bind_new_tensor(L, out);
}

static int operation_where(lua_State *L) {
  lua_settop(L, 3);
  for (int operand = 1; operand <= 3; operand++)
    bind_check_operand(L, operand);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_where(bind_check_tensor(L, 1), bind_check_tensor(L, 2),
                              bind_check_tensor(L, 3), out));
  return bind_new_tensor(L, out);
}

/* --- Products and reductions ------------------------------------------------------- */

static int operation_matmul(lua_State *L) {
  lua_settop(L, 2);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(
      L, saros_matmul(bind_check_tensor(L, 1), bind_check_tensor(L, 2), out));
  return bind_new_tensor(L, out);
}

typedef saros_status (*reduction)(saros_tensor *x, int axis, int keep,
                                  saros_tensor **out);

static int reduce(lua_State *L, reduction f) {
  lua_settop(L, 3);
  bind_check_tensor(L, 1);
  int axis = bind_opt_axis(L, 2, SAROS_ALL_AXES);
  int keep = bind_opt_flag(L, 3, 0);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, f(bind_check_tensor(L, 1), axis, keep, out));
  return bind_new_tensor(L, out);
}

static int operation_sum(lua_State *L) {
  return reduce(L, saros_sum);
}

static int operation_mean(lua_State *L) {
  return reduce(L, saros_mean);
}

static int operation_max(lua_State *L) {
  return reduce(L, saros_max);
}

static int operation_min(lua_State *L) {
  return reduce(L, saros_min);
}

static int operation_logsumexp(lua_State *L) {
  return reduce(L, saros_logsumexp);
}

/* A function of a tensor and an axis, the last one by default. */
static int along_axis(lua_State *L, saros_status (*f)(saros_tensor *x, int axis,
                                                      saros_tensor **out)) {
  lua_settop(L, 2);
  bind_check_tensor(L, 1);
  int axis = bind_opt_axis(L, 2, -1);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, f(bind_check_tensor(L, 1), axis, out));
  return bind_new_tensor(L, out);
}

static int operation_argmax(lua_State *L) {
  return along_axis(L, saros_argmax);
}

static int operation_softmax(lua_State *L) {
  return along_axis(L, saros_softmax);
}

static int operation_log_softmax(lua_State *L) {
  return along_axis(L, saros_log_softmax);
}

static int operation_cumsum(lua_State *L) {
  return along_axis(L, saros_cumsum);
}

static int operation_topk(lua_State *L) {
  lua_settop(L, 3);
  bind_check_tensor(L, 1);
  int k = bind_check_size(L, 2);
  int axis = bind_opt_axis(L, 3, -1);
  saros_tensor **values = bind_push_tensor(L);
  saros_tensor **ids = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_topk(bind_check_tensor(L, 1), k, axis, values, ids));
  bind_new_tensor(L, values);
  return bind_new_tensor(L, ids) + 1;
}

/* --- Tables -------------------------------------------------------------------------- */

static int operation_pick(lua_State *L) {
  lua_settop(L, 2);
  bind_check_tensor(L, 1);
  bind_check_ids(L, 2, "ids");
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(
      L, saros_pick(bind_check_tensor(L, 1), bind_check_tensor(L, 2), out));
  return bind_new_tensor(L, out);
}

static int operation_embedding(lua_State *L) {
  lua_settop(L, 2);
  bind_check_tensor(L, 1);
  bind_check_ids(L, 2, "ids");
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_embedding(bind_check_tensor(L, 1),
                                  bind_check_tensor(L, 2), out));
  return bind_new_tensor(L, out);
}

static int operation_gather(lua_State *L) {
  lua_settop(L, 3);
  bind_check_tensor(L, 1);
  int axis = bind_check_axis(L, 2);
  bind_check_ids(L, 3, "ids");
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_gather(bind_check_tensor(L, 1), axis,
                               bind_check_tensor(L, 3), out));
  return bind_new_tensor(L, out);
}

static int operation_one_hot(lua_State *L) {
  lua_settop(L, 2);
  bind_check_ids(L, 1, "ids");
  int V = bind_check_size(L, 2);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_one_hot(bind_check_tensor(L, 1), V, out));
  return bind_new_tensor(L, out);
}

/* --- Layers and losses --------------------------------------------------------------- */

/* Checks the two tensors of a loss and the fields of its options, argument 3. */
static void check_loss(lua_State *L, const char *const *fields) {
  lua_settop(L, 3);
  bind_check_tensor(L, 1);
  bind_check_tensor(L, 2);
  if (!lua_isnil(L, 3))
    bind_check_fields(L, 3, fields);
}

static int operation_cross_entropy(lua_State *L) {
  static const char *const fields[] = {"mask", "weights", "label_smoothing",
                                       NULL};
  check_loss(L, fields);
  bind_check_ids(L, 2, "targets");
  bind_push_field_tensor(L, 3, "mask");     // 4
  bind_push_field_tensor(L, 3, "weights");  // 5
  double smoothing =
      lua_isnil(L, 3) ? 0 : bind_field_number(L, 3, "label_smoothing", 0);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_cross_entropy(bind_check_tensor(L, 1),
                                      bind_check_tensor(L, 2),
                                      &(saros_cross_entropy_options){
                                          .mask = bind_opt_tensor(L, 4),
                                          .weights = bind_opt_tensor(L, 5),
                                          .smoothing = smoothing,
                                      },
                                      out));
  return bind_new_tensor(L, out);
}

static int operation_loss(lua_State *L) {
  static const char *const of_huber[] = {"mask", "delta", NULL};
  static const char *const of_others[] = {"mask", NULL};
  saros_loss_kind kind = (saros_loss_kind)code_of_function(L);
  check_loss(L, kind == SAROS_HUBER ? of_huber : of_others);
  double delta = 1;
  if (kind == SAROS_HUBER && !lua_isnil(L, 3))
    delta = bind_field_number(L, 3, "delta", 1);
  bind_push_field_tensor(L, 3, "mask");  // 4
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_loss(kind, bind_check_tensor(L, 1),
                             bind_check_tensor(L, 2), bind_opt_tensor(L, 4),
                             delta, out));
  return bind_new_tensor(L, out);
}

static int operation_dropout(lua_State *L) {
  lua_settop(L, 3);
  bind_check_tensor(L, 1);
  double p = bind_check_number(L, 2);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_dropout(bind_check_tensor(L, 1), p,
                                bind_check_generator(L, 3), out));
  return bind_new_tensor(L, out);
}

static int operation_layer_norm(lua_State *L) {
  lua_settop(L, 4);
  bind_check_tensor(L, 1);
  double epsilon = bind_opt_number(L, 4, 1e-5);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_layer_norm(bind_check_tensor(L, 1),
                                   bind_check_tensor(L, 2),
                                   bind_check_tensor(L, 3), epsilon, out));
  return bind_new_tensor(L, out);
}

static int operation_rms_norm(lua_State *L) {
  lua_settop(L, 3);
  bind_check_tensor(L, 1);
  double epsilon = bind_opt_number(L, 3, 1e-5);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_rms_norm(bind_check_tensor(L, 1), bind_opt_tensor(L, 2),
                                 epsilon, out));
  return bind_new_tensor(L, out);
}

static saros_function check_gate(lua_State *L, int arg) {
  const char *name = lua_isnil(L, arg) ? "silu" : bind_check_text(L, arg);
  if (strcmp(name, "silu") != 0 && strcmp(name, "sigmoid") != 0)
    bind_argument_error(L, arg, "\"silu\" or \"sigmoid\"");
  return strcmp(name, "silu") == 0 ? SAROS_SILU : SAROS_SIGMOID;
}

static int operation_gated_rms_norm(lua_State *L) {
  lua_settop(L, 5);
  for (int i = 1; i <= 3; i++)
    bind_check_tensor(L, i);
  const double epsilon = bind_opt_number(L, 4, 1e-5);
  const saros_function function = check_gate(L, 5);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(
      L, saros_gated_rms_norm(bind_check_tensor(L, 1), bind_check_tensor(L, 2),
                              bind_check_tensor(L, 3), epsilon, function, out));
  return bind_new_tensor(L, out);
}

static int operation_linear(lua_State *L) {
  lua_settop(L, 3);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_linear(bind_check_tensor(L, 1), bind_check_tensor(L, 2),
                               bind_opt_tensor(L, 3), out));
  return bind_new_tensor(L, out);
}

/* --- Registration -------------------------------------------------------------------- */

static const luaL_Reg functions[] = {
    {"where", operation_where},
    {"matmul", operation_matmul},
    {"sum", operation_sum},
    {"mean", operation_mean},
    {"max", operation_max},
    {"min", operation_min},
    {"argmax", operation_argmax},
    {"logsumexp", operation_logsumexp},
    {"cumsum", operation_cumsum},
    {"topk", operation_topk},
    {"softmax", operation_softmax},
    {"log_softmax", operation_log_softmax},
    {"pick", operation_pick},
    {"embedding", operation_embedding},
    {"gather", operation_gather},
    {"one_hot", operation_one_hot},
    {"cross_entropy", operation_cross_entropy},
    {"dropout", operation_dropout},
    {"layer_norm", operation_layer_norm},
    {"rms_norm", operation_rms_norm},
    {"gated_rms_norm", operation_gated_rms_norm},
    {"linear", operation_linear},
    {NULL, NULL},
};

void bind_open_operation(lua_State *L) {
  for (int f = 0; f < SAROS_FUNCTIONS; f++)
    bind_register_coded(L, saros_function_name((saros_function)f),
                        f == SAROS_ELU || f == SAROS_LEAKY_RELU
                            ? operation_sloped
                            : operation_unary,
                        f);
  for (int f = 0; f < SAROS_OPERATORS; f++)
    bind_register_coded(L, saros_operator_name((saros_operator)f),
                        operation_binary, f);
  for (int kind = 0; kind < SAROS_LOSSES; kind++)
    bind_register_coded(L, saros_loss_name((saros_loss_kind)kind),
                        operation_loss, kind);
  bind_register_coded(L, "gt", operation_swapped, SAROS_LESS);
  bind_register_coded(L, "ge", operation_swapped, SAROS_LESS_EQUAL);
  bind_register_coded(L, "ne", operation_negated, SAROS_EQUAL);
  bind_register_shared(L, functions);
}
