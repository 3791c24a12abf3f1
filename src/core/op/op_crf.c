/*
** Linear-chain conditional random fields as an operation.
**
** Where a tape listens, each row's gradients are computed with its loss and kept:
** backward scales them. Letters: T steps, B rows, L tags.
*/
#include <string.h>

#include "op.h"

/* What the rows share. */
typedef struct crf_field {
  saros_context *context;
  const crf_kernels *kernels;
  size_t T, B, L;
  const int *lengths;  // or null
  const real *emissions;
  kernel_crf_scores scores;
  const int32_t *tags;  // (T, B)
  real *loss;           // (B)
  real *gradient;       // (T, B, L), or null if no tape listens
  real *dscores;        // (B, L L + 2 L)
  int32_t *best;        // (T, B)
  double *shared;       // followed by the scratch of each slot
  size_t slots, scratch_of_slot;
} crf_field;

static size_t steps_of(const crf_field *f, size_t row) {
  return f->lengths ? (size_t)f->lengths[row] : f->T;
}

/* --- Rows ------------------------------------------------------------------------- */

static void clear_steps(const crf_field *f, size_t row, size_t from) {
  for (size_t t = from; t < f->T; t++)
    memset(f->gradient + (t * f->B + row) * f->L, 0, f->L * sizeof(real));
}

static void lose_row(const crf_field *f, size_t row, double *scratch) {
  const size_t L = f->L, T = steps_of(f, row), size = L * L + 2 * L;
  const ptrdiff_t step = (ptrdiff_t)(f->B * L), tag_step = (ptrdiff_t)f->B;
  const real *emissions = f->emissions + row * L;
  const int32_t *tags = f->tags + row;
  const double loss = f->kernels->forward(
      scratch, f->shared, &f->scores, emissions, step, tags, tag_step, T, L);
  f->loss[row] = (real)loss;
  if (f->gradient == NULL)
    return;
  if (loss - loss != 0) {  // infinite, or NaN: there is no way down
    clear_steps(f, row, 0);
    memset(f->dscores + row * size, 0, size * sizeof(real));
    return;
  }
  f->kernels->backward(f->gradient + row * L, step, f->dscores + row * size,
                       scratch, f->shared, emissions, tags, tag_step, T, L);
  clear_steps(f, row, T);
}

static void find_row(const crf_field *f, size_t row, double *scratch) {
  const size_t T = steps_of(f, row);
  f->loss[row] = (real)f->kernels->best(f->best + row, (ptrdiff_t)f->B, scratch,
                                        (int32_t *)(void *)(scratch + 2 * f->L),
                                        &f->scores, f->emissions + row * f->L,
                                        (ptrdiff_t)(f->B * f->L), T, f->L);
  for (size_t t = T; t < f->T; t++)
    f->best[t * f->B + row] = 0;
}

/* Every slots-th row; see op_ctc.c. */
static void walk_slot(void *arguments, int slot) {
  const crf_field *f = arguments;
  double *scratch =
      f->shared + CRF_SHARED(f->L) + (size_t)slot * f->scratch_of_slot;
  for (size_t row = (size_t)slot;
       row < f->B && !base_is_interrupted(f->context); row += f->slots) {
    if (f->best != NULL)
      find_row(f, row, scratch);
    else
      lose_row(f, row, scratch);
  }
}

static saros_status walk_rows(crf_field *f) {
  const size_t threads = (size_t)f->context->threads;
  f->slots = f->B < threads ? f->B : threads;
  const double needed = (double)f->T * (double)f->L + (double)f->T +
                        (double)f->L * (double)f->L + 3 * (double)f->L;
  f->scratch_of_slot = needed < 1e15 ? CRF_SCRATCH(f->T, f->L) : 0;
  const double about = (double)(f->slots + 1) * needed;
  const size_t bytes =
      about > 1e15
          ? SIZE_MAX
          : (CRF_SHARED(f->L) + f->slots * f->scratch_of_slot) * sizeof(double);
  f->shared = pool_take(&f->context->pool, bytes);
  if (f->shared == NULL)
    return base_out_of_memory(f->context, bytes);
  f->kernels->prepare(f->shared, &f->scores, f->L);
  const double work =
      8 * (double)f->T * (double)f->B * (double)f->L * (double)f->L;
  saros_status status =
      team_share(f->context, work, (int)f->slots, walk_slot, f);
  pool_give(&f->context->pool, f->shared);
  return status;
}

/* --- Arguments ------------------------------------------------------------------------ */

static saros_status expect_scores(const char *function, saros_tensor *emissions,
                                  const saros_crf *crf) {
  const int L = emissions->shape[2];
  saros_tensor *const tensors[] = {crf->transitions, crf->start, crf->stop};
  static const char *const names[] = {"transitions", "start", "stop"};
  for (int i = 0; i < 3; i++) {
    const int rank = i == 0 ? 2 : 1;
    saros_tensor *t = tensors[i];
    TRY(tensor_expect_context(function, emissions->context, t));
    TRY(tensor_expect_real(function, names[i], t));
    if (t->rank != rank || t->shape[0] != L || t->shape[rank - 1] != L)
      return saros_fail(emissions->context, SAROS_EARGUMENT,
                        "%s: expected %s of shape (%d%s%.0d), got %s", function,
                        names[i], L, rank == 2 ? ", " : "", rank == 2 ? L : 0,
                        TENSOR_SHAPE(t));
  }
  return SAROS_OK;
}

static saros_status expect_field(const char *function, saros_tensor *emissions,
                                 const saros_crf *crf) {
  TRY(tensor_expect_real(function, "emissions", emissions));
  if (emissions->rank != 3 || emissions->count == 0)
    return saros_fail(emissions->context, SAROS_EARGUMENT,
                      "%s: expected emissions of shape (T, B, L), got %s",
                      function, TENSOR_SHAPE(emissions));
  TRY(expect_scores(function, emissions, crf));
  return op_expect_lengths(function, "lengths", emissions, crf->lengths, 1,
                           emissions->shape[0]);
}

static saros_status expect_tags(const crf_field *f, int base) {
  for (size_t row = 0; row < f->B; row++)
    for (size_t t = 0; t < steps_of(f, row); t++) {
      const int32_t tag = f->tags[t * f->B + row];
      if (tag < 0 || (size_t)tag >= f->L)
        return saros_fail(f->context, SAROS_EARGUMENT,
                          "crf_loss: expected tags in %d..%d, got %d at [%zu, "
                          "%zu]",
                          base, (int)f->L - 1 + base, (int)tag + base,
                          t + (size_t)base, row + (size_t)base);
    }
  return SAROS_OK;
}

/* The tensors of a call, contiguous: emissions, transitions, start, stop. */
enum { EMISSIONS, TRANSITIONS, START, STOP, INPUTS };

static saros_status prepare(crf_field *f, saros_tensor **input,
                            saros_tensor *emissions, const saros_crf *crf) {
  saros_tensor *given[INPUTS] = {emissions, crf->transitions, crf->start,
                                 crf->stop};
  for (int i = 0; i < INPUTS; i++)
    TRY(saros_contiguous(given[i], &input[i]));
  *f = (crf_field){
      .context = emissions->context,
      .kernels = emissions->context->kernels->crf,
      .T = (size_t)emissions->shape[0],
      .B = (size_t)emissions->shape[1],
      .L = (size_t)emissions->shape[2],
      .lengths = crf->lengths,
      .emissions = tensor_reals(input[EMISSIONS]),
      .scores = {tensor_reals(input[TRANSITIONS]), tensor_reals(input[START]),
                 tensor_reals(input[STOP])},
  };
  return SAROS_OK;
}

static void release_all(saros_tensor **t, int count) {
  for (int i = 0; i < count; i++)
    saros_tensor_release(t[i]);
}

/* --- The loss ------------------------------------------------------------------------- */

/* d += the sum over rows of dy times a part of dscores, which begins at 'from'. */
static saros_status add_scores(saros_tensor *d, const real *dscores,
                               const real *dy, size_t B, size_t size,
                               size_t from) {
  const pointwise_kernels *k = d->context->kernels->pointwise;
  for (size_t row = 0; row < B; row++)
    if (dy[row] != 0)
      k->add_scaled(tensor_reals(d), dy[row], dscores + row * size + from,
                    d->count);
  return SAROS_OK;
}

/* saved: gradient (T, B, L), dscores */
static saros_status crf_backward(const tape_entry *e) {
  saros_tensor *gradient = e->saved[0], *dscores = e->saved[1], *dy, *d;
  const size_t B = (size_t)gradient->shape[1], L = (size_t)gradient->shape[2];
  const size_t from[INPUTS] = {0, 0, L * L, L * L + L};
  saros_status status = SAROS_OK;
  TRY(tape_entry_gradient(e, 0, &dy));
  for (int i = 0; i < INPUTS && status == SAROS_OK; i++) {
    if (e->input[i] == NULL)
      continue;
    status = tensor_node_gradient(e->input[i], &d);
    if (status != SAROS_OK)
      break;
    const real *g = tensor_reals(gradient);
    if (i != EMISSIONS)
      status = add_scores(d, tensor_reals(dscores), tensor_reals(dy), B,
                          L * L + 2 * L, from[i]);
    else
      for (size_t at = 0; at < d->count; at += L)
        e->context->kernels->pointwise->add_scaled(
            tensor_reals(d) + at, tensor_reals(dy)[at / L % B], g + at, L);
  }
  saros_tensor_release(dy);
  return status;
}

static const tape_operation crf_operation = {"crf_loss", crf_backward};

static int is_wanted(saros_context *context, saros_tensor **input) {
  int wanted = 0;
  for (int i = 0; i < INPUTS; i++)
    wanted |= tape_wants(context, input[i]);
  return wanted;
}

static saros_status new_gradients(crf_field *f, saros_tensor **saved) {
  const int T = (int)f->T, B = (int)f->B, L = (int)f->L;
  if ((long long)L * L + 2 * (long long)L > INT32_MAX)
    return base_out_of_memory(f->context, SIZE_MAX);
  TRY(tensor_new(f->context, SAROS_REAL, 3, (const int[]){T, B, L}, &saved[0]));
  TRY(tensor_new(f->context, SAROS_REAL, 2, (const int[]){B, L * L + 2 * L},
                 &saved[1]));
  f->gradient = tensor_reals(saved[0]);
  f->dscores = tensor_reals(saved[1]);
  return SAROS_OK;
}

saros_status saros_crf_loss(saros_tensor *emissions, saros_tensor *tags,
                            const saros_crf *crf, saros_tensor **out) {
  *out = NULL;
  TRY(expect_field("crf_loss", emissions, crf));
  saros_context *context = emissions->context;
  TRY(tensor_expect_context("crf_loss", context, tags));
  TRY(tensor_expect_ids("crf_loss", "tags", tags));
  if (tags->rank != 2 || tags->shape[0] != emissions->shape[0] ||
      tags->shape[1] != emissions->shape[1])
    return saros_fail(context, SAROS_EARGUMENT,
                      "crf_loss: expected tags of shape (%d, %d), got %s",
                      emissions->shape[0], emissions->shape[1],
                      TENSOR_SHAPE(tags));
  saros_tensor *input[INPUTS + 1] = {NULL}, *saved[2] = {NULL, NULL};
  crf_field f;
  saros_status status;
  TRY_OR_DONE(prepare(&f, input, emissions, crf));
  TRY_OR_DONE(saros_contiguous(tags, &input[INPUTS]));
  f.tags = tensor_ids(input[INPUTS]);
  TRY_OR_DONE(expect_tags(&f, context->index_base));
  if (is_wanted(context, input))
    TRY_OR_DONE(new_gradients(&f, saved));
  TRY_OR_DONE(tensor_new(context, SAROS_REAL, 1, &emissions->shape[1], out));
  f.loss = tensor_reals(*out);
  TRY_OR_DONE(walk_rows(&f));
  status = tape_record(context, &(tape_call){&crf_operation, INPUTS, input, 1,
                                             out, 2, saved, NULL, 0});
done:
  release_all(input, INPUTS + 1);
  release_all(saved, 2);
  return tensor_or_nothing(status, out);
}

saros_status saros_crf_best(saros_tensor *emissions, const saros_crf *crf,
                            saros_tensor **tags, saros_tensor **score) {
  *tags = *score = NULL;
  TRY(expect_field("crf_best", emissions, crf));
  saros_context *context = emissions->context;
  saros_tensor *input[INPUTS] = {NULL};
  crf_field f;
  saros_status status;
  TRY_OR_DONE(prepare(&f, input, emissions, crf));
  TRY_OR_DONE(tensor_new(context, SAROS_IDS, 2, emissions->shape, tags));
  TRY_OR_DONE(tensor_new(context, SAROS_REAL, 1, &emissions->shape[1], score));
  f.best = tensor_ids(*tags);
  f.loss = tensor_reals(*score);
  status = walk_rows(&f);
done:
  release_all(input, INPUTS);
  status = tensor_or_nothing(status, score);
  return tensor_or_nothing(status, tags);
}
