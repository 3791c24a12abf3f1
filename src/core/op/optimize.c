/*
** Gradient clipping and parameter updates.
*/
#include <math.h>

#include "op.h"

/* --- Elements of a gradient ---------------------------------------------------------- */

typedef struct limits {
  const pointwise_kernels *kernels;
  real *gradient, factor, low, high;
} limits;

static void scale_elements(void *arguments, size_t from, size_t n) {
  const limits *l = arguments;
  l->kernels->scale(l->gradient + from, l->factor, n);
}

static void clamp_elements(void *arguments, size_t from, size_t n) {
  const limits *l = arguments;
  l->kernels->clamp(l->gradient + from, l->low, l->high, n);
}

/* --- Clipping ---------------------------------------------------------------------- */

static saros_status joint_norm(saros_context *context, int count,
                               saros_tensor *const *tensors, double *norm) {
  double sum = 0;
  for (int i = 0; i < count; i++) {
    TRY(tensor_expect_context("clip_norm", context, tensors[i]));
    const saros_tensor *g = saros_gradient(tensors[i]);
    double squares = 0;
    if (g != NULL)
      TRY(op_sum_of_squares(context, tensor_reals(g), g->count, &squares));
    sum += squares;
  }
  *norm = sqrt(sum);
  return SAROS_OK;
}

saros_status saros_clip_norm(saros_context *context, int count,
                             saros_tensor *const *tensors, double limit,
                             double *norm) {
  *norm = 0;
  if (!(limit > 0))
    return saros_fail(context, SAROS_EARGUMENT,
                      "clip_norm: expected a limit > 0, got %g", limit);
  TRY(joint_norm(context, count, tensors, norm));
  if (!isfinite(*norm))
    return saros_fail(context, SAROS_ENAN,
                      "clip_norm: expected finite gradients, got a norm of %s",
                      isnan(*norm) ? "nan" : "inf");
  if (*norm <= limit)
    return SAROS_OK;
  real factor = (real)(limit / *norm);
  for (int i = 0; i < count; i++) {
    const saros_tensor *g = saros_gradient(tensors[i]);
    if (g != NULL)
      TRY(team_rows(context, g->count, 1, scale_elements,
                    &(limits){context->kernels->pointwise, tensor_reals(g),
                              factor, 0, 0}));
  }
  return SAROS_OK;
}

saros_status saros_clip_value(saros_context *context, int count,
                              saros_tensor *const *tensors, double limit) {
  if (!(limit > 0))
    return saros_fail(context, SAROS_EARGUMENT,
                      "clip_value: expected a limit > 0, got %g", limit);
  for (int i = 0; i < count; i++) {
    TRY(tensor_expect_context("clip_value", context, tensors[i]));
    const saros_tensor *g = saros_gradient(tensors[i]);
    if (g != NULL)
      TRY(team_rows(context, g->count, 1, clamp_elements,
                    &(limits){context->kernels->pointwise, tensor_reals(g), 0,
                              (real)-limit, (real)limit}));
  }
  return SAROS_OK;
}

/* --- Updates ------------------------------------------------------------------------ */

static const char *const rule_names[SAROS_RULES] = {
    [SAROS_SGD] = "sgd",
    [SAROS_RMSPROP] = "rmsprop",
    [SAROS_ADAM] = "adam",
    [SAROS_ADAMW] = "adamw",
};

/* A number that a rule reads, its name and its range. */
static saros_status expect_number(saros_context *context, const char *rule,
                                  const char *name, double value, double low,
                                  double high) {
  if (value >= low && value <= high)
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "%s: expected %s in [%g, %g], got %g", rule, name, low,
                    high, value);
}

static saros_status expect_update(const saros_update *u,
                                  saros_context *context) {
  TRY(base_expect_known(context, "update", "a rule", (int)u->rule,
                        SAROS_RULES));
  const char *rule = rule_names[u->rule];
  const double most = 1e30, below_one = 1 - 1e-12;
  TRY(expect_number(context, rule, "rate", u->rate, 0, most));
  TRY(expect_number(context, rule, "decay", u->decay, 0, most));
  if (u->rule == SAROS_SGD)
    return expect_number(context, rule, "momentum", u->momentum, 0, most);
  TRY(expect_number(context, rule, "epsilon", u->epsilon, 0, most));
  if (u->rule == SAROS_RMSPROP)
    return expect_number(context, rule, "alpha", u->alpha, 0, below_one);
  TRY(expect_number(context, rule, "beta1", u->beta1, 0, below_one));
  TRY(expect_number(context, rule, "beta2", u->beta2, 0, below_one));
  return expect_number(context, rule, "step", u->step, 1, most);
}

static saros_status expect_moment(const char *rule, const char *name,
                                  const saros_tensor *moment,
                                  const saros_tensor *parameter, int needed) {
  if (moment == NULL && !needed)
    return SAROS_OK;
  if (moment == NULL)
    return saros_fail(parameter->context, SAROS_EARGUMENT,
                      "%s: expected the %s moment of the parameter, got none",
                      rule, name);
  TRY(tensor_expect_context(rule, parameter->context, moment));
  TRY(tensor_expect_real(rule, name, moment));
  TRY(tensor_expect_same_shape(rule, name, moment, parameter));
  TRY(saros_tensor_writable(moment, rule));
  if (saros_tensor_is_contiguous(moment))
    return SAROS_OK;
  return saros_fail(parameter->context, SAROS_EARGUMENT,
                    "%s: expected the %s moment to be contiguous", rule, name);
}

static saros_status expect_tensors(const saros_update *u, saros_tensor *p,
                                   saros_tensor *first, saros_tensor *second) {
  const char *rule = rule_names[u->rule];
  int adam = u->rule == SAROS_ADAM || u->rule == SAROS_ADAMW;
  TRY(tensor_expect_real(rule, "a parameter", p));
  TRY(saros_tensor_writable(p, rule));
  if (!saros_tensor_is_contiguous(p))
    return saros_fail(p->context, SAROS_EARGUMENT,
                      "%s: expected the parameter to be contiguous", rule);
  int needs_first = u->rule != SAROS_SGD || u->momentum != 0;
  TRY(expect_moment(rule, "first", first, p, needs_first));
  return expect_moment(rule, "second", second, p, adam);
}

typedef struct updating {
  const update_kernels *kernels;
  const saros_update *update;
  real *p, *first, *second;  // moments may be null
  const real *gradient;
} updating;

static void update_elements(void *arguments, size_t from, size_t n) {
  const updating *a = arguments;
  const saros_update *u = a->update;
  const update_kernels *k = a->kernels;
  real *p = a->p + from, *first = a->first ? a->first + from : NULL;
  const real *g = a->gradient + from;
  switch (u->rule) {
    case SAROS_SGD:
      k->sgd(p, u->momentum != 0 ? first : NULL, g, u->rate, u->momentum,
             u->nesterov, u->decay, n);
      break;
    case SAROS_RMSPROP:
      k->rmsprop(p, first, g, u->rate, u->alpha, u->epsilon, u->decay, n);
      break;
    default:
      k->adam(p, first, a->second + from, g, u->rate, u->beta1, u->beta2,
              u->epsilon, u->decay, u->rule == SAROS_ADAM, u->step, n);
  }
}

saros_status saros_update_parameter(const saros_update *u,
                                    saros_tensor *parameter,
                                    saros_tensor *first, saros_tensor *second) {
  TRY(expect_update(u, parameter->context));
  TRY(expect_tensors(u, parameter, first, second));
  const saros_tensor *gradient = saros_gradient(parameter);
  if (gradient == NULL)
    return SAROS_OK;
  return team_rows(parameter->context, parameter->count, 1, update_elements,
                   &(updating){parameter->context->kernels->update, u,
                               tensor_reals(parameter),
                               first ? tensor_reals(first) : NULL,
                               second ? tensor_reals(second) : NULL,
                               tensor_reals(gradient)});
}
