/*
** Cross-entropy of logits against ids, with a weight for each position, a
** weight for each class, and label smoothing (Szegedy et al. 2016):
**
**   loss = sum over positions i of  hit[i] ce(i, target[i])
**                                 + spread[i] sum over v of share[v] ce(i, v)
**
** where ce(i, v) = -log softmax(logits[i])[v]. With the mask m, the class
** weights w, the smoothing e and S = sum of m[i] w[target[i]],
**
**   hit[i] = (1 - e) m[i] w[target[i]] / S     spread[i] = m[i] / S
**   share[v] = e w[v] / V
**
** Without smoothing there is neither spread nor share. A position whose weights
** are 0 is not looked at: neither its logits nor its target.
*/
#include <math.h>
#include <string.h>

#include "op.h"

/* The tensors of a loss, in the order that the tape saves them. */
enum { LOGITS, TARGETS, LOG_NORM, HIT, SPREAD, SHARE, SAVED };

/* --- Row by row ------------------------------------------------------------------------- */

typedef struct cross_entropy {
  saros_tensor *part[SAVED];  // SPREAD and SHARE are null without smoothing
  saros_tensor *y;            // the losses or, going back, dlogits
  real dy, beta;
} cross_entropy;

static size_t symbols_of(const cross_entropy *c) {
  const saros_tensor *logits = c->part[LOGITS];
  return (size_t)logits->shape[logits->rank - 1];
}

/* The weights of positions from one of them on. */
static kernel_target_weights weights_from(const cross_entropy *c, size_t from) {
  const saros_tensor *spread = c->part[SPREAD];
  return (kernel_target_weights){
      .hit = tensor_reals(c->part[HIT]) + from,
      .spread = spread != NULL ? tensor_reals(spread) + from : NULL,
      .share = spread != NULL ? tensor_reals(c->part[SHARE]) : NULL,
  };
}

static void losses_of_rows(void *arguments, size_t from, size_t rows) {
  const cross_entropy *c = arguments;
  const kernel_target_weights weights = weights_from(c, from);
  size_t V = symbols_of(c);
  c->y->context->kernels->softmax->cross_entropy(
      tensor_reals(c->y) + from, tensor_reals(c->part[LOG_NORM]) + from,
      tensor_reals(c->part[LOGITS]) + from * V,
      tensor_ids(c->part[TARGETS]) + from, &weights, rows, V);
}

static void losses_of_rows_backward(void *arguments, size_t from, size_t rows) {
  const cross_entropy *c = arguments;
  const kernel_target_weights weights = weights_from(c, from);
  size_t V = symbols_of(c);
  c->y->context->kernels->softmax->cross_entropy_backward(
      tensor_reals(c->y) + from * V, c->dy,
      tensor_reals(c->part[LOGITS]) + from * V,
      tensor_reals(c->part[LOG_NORM]) + from,
      tensor_ids(c->part[TARGETS]) + from, &weights, c->beta, rows, V);
}

/* An exponential counts as four elements. */
static saros_status each_position(cross_entropy *c,
                                  void (*part)(void *arguments, size_t from,
                                               size_t rows)) {
  return team_rows(c->y->context, c->part[TARGETS]->count, 4 * symbols_of(c),
                   part, c);
}

/* Where the gradient of the logits goes: in the place of the logits themselves
** if this entry is the last to hold them, as they are the largest array of a
** model with many symbols. */
static saros_status logits_target(tensor_node *n, saros_tensor *logits,
                                  saros_tensor **dlogits, real *beta) {
  int ours = logits->references == 1 && logits->storage->references == 1;
  if (n->gradient != NULL || !ours)
    return tensor_node_target(n, dlogits, beta);
  TRY(tensor_alias(logits, &n->gradient));
  *dlogits = n->gradient;
  *beta = 0;
  return SAROS_OK;
}

static saros_status cross_entropy_backward(const tape_entry *e) {
  cross_entropy c = {.dy = tensor_reals(e->output[0]->gradient)[0]};
  memcpy(c.part, e->saved, sizeof c.part);
  TRY(logits_target(e->input[0], c.part[LOGITS], &c.y, &c.beta));
  return each_position(&c, losses_of_rows_backward);
}

static const tape_operation cross_entropy_operation = {"cross_entropy",
                                                       cross_entropy_backward};

/* --- Arguments --------------------------------------------------------------------------- */

static saros_status expect_targets(saros_tensor *logits,
                                   saros_tensor *targets) {
  TRY(tensor_expect_context("cross_entropy", logits->context, targets));
  TRY(tensor_expect_real("cross_entropy", "logits", logits));
  TRY(tensor_expect_ids("cross_entropy", "targets", targets));
  int fits = logits->rank == targets->rank + 1 &&
             memcmp(logits->shape, targets->shape,
                    (size_t)targets->rank * sizeof(int)) == 0;
  if (fits)
    return SAROS_OK;
  return saros_fail(logits->context, SAROS_EARGUMENT,
                    "cross_entropy: expected logits with the shape of targets "
                    "and one more axis, got logits %s, targets %s",
                    TENSOR_SHAPE(logits), TENSOR_SHAPE(targets));
}

/* Targets are ids of classes wherever the position counts. */
static saros_status expect_classes(const saros_tensor *targets,
                                   const saros_tensor *weights, int V) {
  const int32_t *id = tensor_ids(targets);
  int base = targets->context->index_base;
  for (size_t i = 0; i < targets->count; i++)
    if ((id[i] < 0 || id[i] >= V) && tensor_reals(weights)[i] != 0)
      return saros_fail(targets->context, SAROS_EARGUMENT,
                        "cross_entropy: expected ids in %d..%d, got %lld at "
                        "position %zu",
                        base, V - 1 + base, (long long)id[i] + base,
                        i + (size_t)base);
  return SAROS_OK;
}

static saros_status expect_options(const saros_tensor *logits,
                                   const saros_cross_entropy_options *options) {
  saros_tensor *weights = options->weights;
  saros_context *context = logits->context;
  int V = logits->shape[logits->rank - 1];
  if (!(options->smoothing >= 0 && options->smoothing < 1))
    return saros_fail(context, SAROS_EARGUMENT,
                      "cross_entropy: expected label smoothing in [0, 1), got "
                      "%g",
                      options->smoothing);
  if (weights == NULL)
    return SAROS_OK;
  TRY(tensor_expect_context("cross_entropy", context, weights));
  TRY(tensor_expect_real("cross_entropy", "class weights", weights));
  if (weights->rank == 1 && weights->shape[0] == V)
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "cross_entropy: expected %d class weights, got shape %s", V,
                    TENSOR_SHAPE(weights));
}

/* The class weights as an array; each must be finite and 0 or more. */
static saros_status take_class_weights(saros_tensor *weights,
                                       saros_tensor **out) {
  TRY(saros_contiguous(weights, out));
  int base = weights->context->index_base;
  for (size_t v = 0; v < weights->count; v++) {
    real w = tensor_reals(*out)[v];
    if (!(w >= 0) || !isfinite(w))
      return saros_fail(weights->context, SAROS_EARGUMENT,
                        "cross_entropy: expected class weights of 0 or more, "
                        "got %g for class %zu",
                        (double)w, v + (size_t)base);
  }
  return SAROS_OK;
}

/* --- Weights --------------------------------------------------------------------------------- */

/* spread, as long as it is the mask, and share, not yet times e / V. */
static saros_status prepare_smoothing(cross_entropy *c,
                                      const saros_tensor *class_weights) {
  const pointwise_kernels *k = c->part[HIT]->context->kernels->pointwise;
  int V = (int)symbols_of(c);
  TRY(tensor_like(c->part[HIT], &c->part[SPREAD]));
  tensor_copy(c->part[SPREAD], c->part[HIT]);
  TRY(tensor_new(c->part[HIT]->context, SAROS_REAL, 1, &V, &c->part[SHARE]));
  if (class_weights != NULL)
    tensor_copy(c->part[SHARE], class_weights);
  else
    k->fill(tensor_reals(c->part[SHARE]), 1, (size_t)V);
  return SAROS_OK;
}

/* hit, as long as it is the mask, times the weight of each target. */
static void weigh_targets(cross_entropy *c, const saros_tensor *class_weights) {
  real *hit = tensor_reals(c->part[HIT]);
  const int32_t *id = tensor_ids(c->part[TARGETS]);
  for (size_t i = 0; i < c->part[HIT]->count; i++)
    hit[i] = hit[i] != 0 ? hit[i] * tensor_reals(class_weights)[id[i]] : 0;
}

static saros_status make_weights(cross_entropy *c,
                                 const saros_tensor *class_weights,
                                 double smoothing) {
  const pointwise_kernels *k = c->part[HIT]->context->kernels->pointwise;
  const double V = (double)symbols_of(c);
  saros_tensor *const *part = c->part;
  real sum;
  if (smoothing > 0)
    TRY(prepare_smoothing(c, class_weights));
  if (class_weights != NULL)
    weigh_targets(c, class_weights);
  TRY(op_weights_sum("cross_entropy", part[HIT], &sum));
  k->scale(tensor_reals(part[HIT]), (real)((1 - smoothing) / (double)sum),
           part[HIT]->count);
  if (smoothing > 0) {
    k->scale(tensor_reals(part[SPREAD]), 1 / sum, part[SPREAD]->count);
    k->scale(tensor_reals(part[SHARE]), (real)(smoothing / V), (size_t)V);
  }
  return SAROS_OK;
}

/* --- The loss ------------------------------------------------------------------------------------ */

static saros_status weigh(cross_entropy *c,
                          const saros_cross_entropy_options *options) {
  saros_tensor *targets = c->part[TARGETS], *class_weights = NULL;
  int V = (int)symbols_of(c);
  TRY(op_weights_from_mask("cross_entropy", options->mask, targets,
                           targets->rank, &c->part[HIT]));
  TRY(expect_classes(targets, c->part[HIT], V));
  saros_status status = SAROS_OK;
  if (options->weights != NULL)
    status = take_class_weights(options->weights, &class_weights);
  if (status == SAROS_OK)
    status = make_weights(c, class_weights, options->smoothing);
  saros_tensor_release(class_weights);
  return status;
}

static saros_status compute(cross_entropy *c, saros_tensor *logits,
                            saros_tensor *targets,
                            const saros_cross_entropy_options *options) {
  TRY(saros_contiguous(logits, &c->part[LOGITS]));
  TRY(saros_contiguous(targets, &c->part[TARGETS]));
  TRY(weigh(c, options));
  TRY(tensor_like(c->part[HIT], &c->part[LOG_NORM]));
  TRY(tensor_like(c->part[HIT], &c->y));
  return each_position(c, losses_of_rows);
}

saros_status saros_cross_entropy(saros_tensor *logits, saros_tensor *targets,
                                 const saros_cross_entropy_options *options,
                                 saros_tensor **out) {
  static const saros_cross_entropy_options none = {NULL, NULL, 0};
  *out = NULL;
  options = options != NULL ? options : &none;
  TRY(expect_targets(logits, targets));
  TRY(expect_options(logits, options));
  cross_entropy c = {{NULL}, NULL, 0, 0};
  saros_status status;
  TRY_OR_DONE(compute(&c, logits, targets, options));
  TRY_OR_DONE(op_weighted_total(c.y, out));
  status = tape_record(logits->context, &(tape_call){&cross_entropy_operation,
                                                     1, &c.part[LOGITS], 1, out,
                                                     SAVED, c.part, NULL, 0});
done:
  for (int i = 0; i < SAVED; i++)
    saros_tensor_release(c.part[i]);
  saros_tensor_release(c.y);
  return tensor_or_nothing(status, out);
}
