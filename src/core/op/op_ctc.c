/*
** Connectionist temporal classification as an operation.
**
** The gradient costs no more than the loss did and needs what the loss was
** made from, so where a tape listens it is computed at once, over the
** log-probabilities, and that is all that the tape keeps: backward scales it
** and hands it on.
**
** Letters: T steps, B rows, V classes, S ids of the longest target, L ids of
** one target.
*/
#include <string.h>

#include "op.h"

/* What the rows share. */
typedef struct alignment {
  saros_context *context;
  size_t T, B, V, S;
  const int *steps, *ids;  // the lengths, or null
  int32_t blank;
  const real *logits;      // (T, B, V)
  real *log_probs;         // (T, B, V), in the end the gradient if it is wanted
  const int32_t *targets;  // (B, S)
  int wants_gradient;
  size_t slots;            // rows that are worked on at a time
  size_t scratch_of_slot;  // in doubles
  double *loss;            // (B), followed by the scratch of the slots
} alignment;

static size_t steps_of(const alignment *a, size_t row) {
  return a->steps ? (size_t)a->steps[row] : a->T;
}

static size_t ids_of_row(const alignment *a, size_t row) {
  return a->ids ? (size_t)a->ids[row] : a->S;
}

/* --- One row after the other ------------------------------------------------------- */

static void align_row(const alignment *a, size_t row, double *scratch) {
  const kernels *k = a->context->kernels;
  const size_t T = steps_of(a, row), L = ids_of_row(a, row), V = a->V;
  const size_t kept = a->wants_gradient ? T + 1 : 2, step = a->B * V;
  const int32_t *target = a->targets + row * a->S;
  real *y = a->log_probs + row * V;
  for (size_t t = 0; t < T; t++)
    k->softmax->log_softmax(y + t * step, a->logits + row * V + t * step, 1, V);
  a->loss[row] = k->ctc->forward(scratch, kept, y, (ptrdiff_t)step, target, T,
                                 L, a->blank);
  if (!a->wants_gradient)
    return;
  k->ctc->backward(y, scratch, a->loss[row], (ptrdiff_t)step, target, T, V, L,
                   a->blank);
  for (size_t t = T; t < a->T; t++)
    memset(y + t * step, 0, V * sizeof *y);
}

/* Every slots-th row. Rows are computed alone and alike, so it does not matter
** for a result that there are as many slots as threads. */
static void align_rows(void *arguments, int slot) {
  const alignment *a = arguments;
  double *scratch = a->loss + a->B + (size_t)slot * a->scratch_of_slot;
  for (size_t row = (size_t)slot;
       row < a->B && !base_is_interrupted(a->context); row += a->slots)
    align_row(a, row, scratch);
}

/* Takes room for the losses and for what the largest row needs, in each slot. */
static saros_status take_scratch(alignment *a) {
  size_t T = 0, L = 0;
  for (size_t row = 0; row < a->B; row++) {
    T = steps_of(a, row) > T ? steps_of(a, row) : T;
    L = ids_of_row(a, row) > L ? ids_of_row(a, row) : L;
  }
  const size_t kept = a->wants_gradient ? T + 1 : 2;
  const size_t threads = (size_t)a->context->threads;
  a->slots = a->B < threads ? a->B : threads;
  a->scratch_of_slot = CTC_SCRATCH(kept, L);  // T and L are below 2^31: it fits
  const double about = (double)a->slots * (double)a->scratch_of_slot;
  const size_t bytes =
      about > 1e15 ? SIZE_MAX
                   : (a->B + a->slots * a->scratch_of_slot) * sizeof(double);
  a->loss = pool_take(&a->context->pool, bytes);
  return a->loss ? SAROS_OK : base_out_of_memory(a->context, bytes);
}

/* --- Arguments ------------------------------------------------------------------------- */

static saros_status expect_shapes(saros_tensor *logits, saros_tensor *targets,
                                  int blank) {
  saros_context *context = logits->context;
  int base = context->index_base;
  TRY(tensor_expect_context("ctc_loss", context, targets));
  TRY(tensor_expect_real("ctc_loss", "logits", logits));
  TRY(tensor_expect_ids("ctc_loss", "targets", targets));
  if (logits->rank != 3 || logits->count == 0)
    return saros_fail(context, SAROS_EARGUMENT,
                      "ctc_loss: expected logits of shape (T, B, V), got %s",
                      TENSOR_SHAPE(logits));
  if (targets->rank != 2 || targets->shape[1] != logits->shape[1])
    return saros_fail(context, SAROS_EARGUMENT,
                      "ctc_loss: expected targets of shape (S, %d), got %s",
                      logits->shape[1], TENSOR_SHAPE(targets));
  int V = logits->shape[2];
  if (blank >= 0 && blank < V)
    return SAROS_OK;
  return saros_fail(context, SAROS_EARGUMENT,
                    "ctc_loss: expected a blank in %d..%d, got %d", base,
                    V - 1 + base, blank + base);
}

saros_status op_expect_lengths(const char *function, const char *name,
                               const saros_tensor *like, const int *lengths,
                               int lowest, int highest) {
  int B = like->shape[1], base = like->context->index_base;
  for (int row = 0; lengths != NULL && row < B; row++)
    if (lengths[row] < lowest || lengths[row] > highest)
      return saros_fail(like->context, SAROS_EARGUMENT,
                        "%s: expected %s in %d..%d, got %d for row %d",
                        function, name, lowest, highest, lengths[row],
                        row + base);
  return SAROS_OK;
}

static saros_status expect_target_ids(const alignment *a) {
  int base = a->context->index_base, blank = (int)a->blank;
  for (size_t row = 0; row < a->B; row++)
    for (size_t i = 0; i < ids_of_row(a, row); i++) {
      int32_t id = a->targets[row * a->S + i];
      if (id >= 0 && (size_t)id < a->V && id != blank)
        continue;
      return saros_fail(a->context, SAROS_EARGUMENT,
                        "ctc_loss: expected target ids in %d..%d other than "
                        "the blank %d, got %lld at [%zu, %zu]",
                        base, (int)a->V - 1 + base, blank + base,
                        (long long)id + base, i + (size_t)base,
                        row + (size_t)base);
    }
  return SAROS_OK;
}

/* --- The loss -------------------------------------------------------------------------- */

/* What the gradient of each row is scaled by: the gradient of the row's loss,
** or of the mean, times what it counts for. */
typedef struct scaling {
  const pointwise_kernels *kernels;
  size_t B, V;
  real *gradient;  // (T, B, V)
  const real *weight;
  const real *dy;
  size_t dy_step;  // 1, or 0 for the mean
} scaling;

static void scale_step(void *arguments, int t) {
  const scaling *s = arguments;
  real *y = s->gradient + (size_t)t * s->B * s->V;
  for (size_t row = 0; row < s->B; row++, y += s->V) {
    const real factor = s->weight[row] * s->dy[row * s->dy_step];
    if (factor != 0)
      s->kernels->scale(y, factor, s->V);
    else
      memset(y, 0, s->V * sizeof *y);  // whatever the row's gradient is
  }
}

/* saved: gradient, weights. The gradient was made for this and is passed on. */
static saros_status ctc_backward(const tape_entry *e) {
  saros_tensor *gradient = e->saved[0], *dy;
  TRY(tape_entry_gradient(e, 0, &dy));
  scaling s = {
      .kernels = e->context->kernels->pointwise,
      .B = (size_t)gradient->shape[1],
      .V = (size_t)gradient->shape[2],
      .gradient = tensor_reals(gradient),
      .weight = tensor_reals(e->saved[1]),
      .dy = tensor_reals(dy),
      .dy_step = dy->rank > 0,
  };
  saros_status status = team_share(e->context, 8 * (double)gradient->count,
                                   gradient->shape[0], scale_step, &s);
  saros_tensor_release(dy);
  TRY(status);
  return tensor_node_add(e->input[0], saros_tensor_retain(gradient));
}

static const tape_operation ctc_operation = {"ctc_loss", ctc_backward};

/* The tensors that a loss is made of. */
typedef struct ctc_parts {
  saros_tensor *logits, *targets, *gradient, *weights;
} ctc_parts;

/* Brings the arguments into the form that rows are read in. */
static saros_status prepare(ctc_parts *parts, alignment *a,
                            saros_tensor *logits, saros_tensor *targets) {
  saros_tensor *turned;
  TRY(saros_contiguous(logits, &parts->logits));
  TRY(saros_transpose(targets, 0, 1, &turned));
  saros_status status = saros_contiguous(turned, &parts->targets);
  saros_tensor_release(turned);
  TRY(status);
  a->targets = tensor_ids(parts->targets);
  TRY(expect_target_ids(a));
  TRY(tensor_like(parts->logits, &parts->gradient));
  a->logits = tensor_reals(parts->logits);
  a->log_probs = tensor_reals(parts->gradient);
  return SAROS_OK;
}

/* The losses as the caller wants them, and what each row's counts for. */
static saros_status reduce_rows(ctc_parts *parts, const alignment *a,
                                saros_ctc_reduction reduction,
                                saros_tensor **out) {
  const int B = (int)a->B, is_mean = reduction == SAROS_CTC_MEAN;
  TRY(tensor_new(a->context, SAROS_REAL, 1, &B, &parts->weights));
  TRY(tensor_new(a->context, SAROS_REAL, is_mean ? 0 : 1, &B, out));
  double mean = 0;
  for (size_t row = 0; row < a->B; row++) {
    const size_t L = ids_of_row(a, row);
    const double weight = 1 / ((double)B * (double)(L > 0 ? L : 1));
    tensor_reals(parts->weights)[row] = is_mean ? (real)weight : 1;
    mean += weight * a->loss[row];
    if (!is_mean)
      tensor_reals(*out)[row] = (real)a->loss[row];
  }
  if (is_mean)
    tensor_reals(*out)[0] = (real)mean;
  return SAROS_OK;
}

static saros_status compute(ctc_parts *parts, alignment *a,
                            saros_ctc_reduction reduction, saros_tensor **out) {
  TRY(take_scratch(a));
  const double work = 32 * (double)a->T * (double)a->B * (double)(a->V + a->S);
  saros_status status =
      team_share(a->context, work, (int)a->slots, align_rows, a);
  if (status == SAROS_OK)
    status = reduce_rows(parts, a, reduction, out);
  pool_give(&a->context->pool, a->loss);
  return status;
}

saros_status saros_ctc_loss(saros_tensor *logits, saros_tensor *targets,
                            const int *input_lengths, const int *target_lengths,
                            int blank, saros_ctc_reduction reduction,
                            saros_tensor **out) {
  *out = NULL;
  TRY(base_expect_known(logits->context, "ctc_loss", "a reduction",
                        (int)reduction, SAROS_CTC_REDUCTIONS));
  TRY(expect_shapes(logits, targets, blank));
  TRY(op_expect_lengths("ctc_loss", "input_lengths", logits, input_lengths, 1,
                        logits->shape[0]));
  TRY(op_expect_lengths("ctc_loss", "target_lengths", logits, target_lengths, 0,
                        targets->shape[0]));
  alignment a = {
      .context = logits->context,
      .T = (size_t)logits->shape[0],
      .B = (size_t)logits->shape[1],
      .V = (size_t)logits->shape[2],
      .S = (size_t)targets->shape[0],
      .steps = input_lengths,
      .ids = target_lengths,
      .blank = blank,
      .wants_gradient = tape_wants(logits->context, logits),
  };
  ctc_parts parts = {0};
  saros_status status;
  TRY_OR_DONE(prepare(&parts, &a, logits, targets));
  TRY_OR_DONE(compute(&parts, &a, reduction, out));
  saros_tensor *saved[2] = {parts.gradient, parts.weights};
  status = tape_record(logits->context,
                       &(tape_call){&ctc_operation, 1, &parts.logits, 1, out, 2,
                                    saved, NULL, 0});
done:
  saros_tensor_release(parts.logits);
  saros_tensor_release(parts.targets);
  saros_tensor_release(parts.gradient);
  saros_tensor_release(parts.weights);
  return tensor_or_nothing(status, out);
}
