/*
** The convolutions of q, k and v before the delta rule: what a call keeps of them from
** chunk to chunk, and around the walk. As those of op_depthwise.c, they see the steps
** of a row that count, back to where the state starts again, or into the memory.
*/
#include <string.h>

#include "op_delta.h"

/* --- The arguments --------------------------------------------------------------- */

static const char *const stream_names[] = {"q", "k", "v"};

/* Taps (F, k) and a memory (B, (k - 1) F) of a stream fit. */
static saros_status expect_stream(op_delta_run *r, saros_tensor *const *given,
                                  int i) {
  saros_tensor *taps = given[OP_DELTA_TAPS + i],
               *memory = given[OP_DELTA_MEMORY + i];
  const int F = op_delta_features(r, i);
  TRY(tensor_expect_context("delta", r->context, taps));
  TRY(tensor_expect_real("delta", "taps", taps));
  const int k = taps->rank == 2 ? taps->shape[1] : 0;
  if (taps->rank != 2 || taps->shape[0] != F || k < 2 ||
      k > KERNEL_DELTA_TAPS || (r->sizes.taps > 0 && r->sizes.taps != k))
    return saros_fail(
        r->context, SAROS_EARGUMENT,
        "delta: expected taps of %s of shape (%d, k), with k of 2 to %d, the "
        "same for all, got %s",
        stream_names[i], F, KERNEL_DELTA_TAPS, TENSOR_SHAPE(taps));
  r->sizes.taps = k;
  r->sizes.is_convolved[i] = 1;
  if ((double)F * (k - 1) > INT32_MAX)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "delta: expected a memory whose width is a size, got "
                      "taps of shape %s",
                      TENSOR_SHAPE(taps));
  return op_expect_matrix("delta", given[0], "a memory", memory, r->B,
                          (k - 1) * F);
}

saros_status op_delta_expect_taps(op_delta_run *r, saros_tensor **given,
                                  const saros_delta_convolutions *c) {
  saros_status status = SAROS_OK;
  for (int i = 0; c != NULL && i < KERNEL_DELTA_STREAMS; i++) {
    given[OP_DELTA_TAPS + i] = c->taps[i];
    given[OP_DELTA_MEMORY + i] = c->taps[i] ? c->memory[i] : NULL;
    if (c->taps[i] != NULL && status == SAROS_OK)
      status = expect_stream(r, given, i);
  }
  if (status != SAROS_OK || c == NULL)
    return status;
  r->has_silu = c->activation == SAROS_WINDOW_SILU;
  if (r->has_silu || c->activation == SAROS_WINDOW_PLAIN)
    return status;
  return saros_fail(r->context, SAROS_EARGUMENT,
                    "delta: expected an activation in 0..%d, got %d",
                    SAROS_WINDOW_SILU, c->activation);
}

/* --- Before the walk --------------------------------------------------------------- */

size_t op_delta_carry_size(const op_delta_run *r) {
  const int before = r->sizes.taps > 0 ? r->sizes.taps - 1 : 0;
  return (size_t)before * (size_t)kernel_delta_columns(&r->sizes);
}

size_t op_delta_taps_size(const op_delta_run *r) {
  return (size_t)r->sizes.taps * (size_t)kernel_delta_columns(&r->sizes);
}

/* Puts the taps of a block where the kernel reads them. */
static void spread_taps(const op_delta_run *r, int head, kernel_delta_block b) {
  const size_t k = (size_t)r->sizes.taps;
  const size_t P = (size_t)kernel_delta_columns(&r->sizes);
  if (b.n == 0)
    return;
  const real *from = tensor_reals(r->t[OP_DELTA_TAPS + b.stream]) + b.from * k;
  real *to = tensor_reals(r->t[OP_DELTA_WEIGHTS]) + (size_t)head * k * P + b.at;
  for (size_t j = 0; j < k; j++)
    for (size_t i = 0; i < (size_t)b.n; i++)
      to[j * P + i] = from[i * k + j];
}

/* The place of a row's list that its memory begins to count from: where the last piece
** begins, or before all. */
static int last_piece(const op_delta_run *r, const int32_t *plan) {
  int at = plan[0] - 1;
  while (at >= 0 && plan[1 + at] >= 0)
    at--;
  return at >= 0 ? at : 1 - r->sizes.taps;
}

/* What the i-th of the rows of a memory after the last step is: a row (T, B), -1 for
** zeros, or -2 - place of the memory before. */
static ptrdiff_t kept_of(const op_delta_run *r, int row, int i) {
  const int32_t *plan = op_delta_plan(r, row);
  const int before = r->sizes.taps - 1, place = plan[0] - before + i;
  if (place < last_piece(r, plan))
    return -1;
  if (place < 0)
    return -2 - (before + place);
  const int32_t step = plan[1 + place];
  return (ptrdiff_t)(step < 0 ? ~step : step) * r->B + row;
}

/* Row i of the memory of a row, in (B, (taps - 1) F). */
static real *memory_at(const op_delta_run *r, const saros_tensor *memory,
                       int row, int i, size_t F) {
  const size_t before = (size_t)r->sizes.taps - 1;
  return memory ? tensor_reals(memory) + ((size_t)row * before + (size_t)i) * F
                : NULL;
}

/* The memory of a stream after the last step. */
static void find_memory(const op_delta_run *r, int stream) {
  const size_t F = (size_t)op_delta_features(r, stream);
  for (int row = 0; row < r->B; row++)
    for (int i = 0; i < r->sizes.taps - 1; i++) {
      const ptrdiff_t kept = kept_of(r, row, i);
      const real *from = kept >= 0 ? tensor_reals(r->t[stream]) +
                                         op_delta_source(r, (size_t)kept) * F
                         : kept < -1
                             ? memory_at(r, r->t[OP_DELTA_MEMORY + stream], row,
                                         (int)(-2 - kept), F)
                             : NULL;
      real *to = memory_at(r, r->after[stream], row, i, F);
      if (from != NULL)
        memcpy(to, from, F * sizeof *to);
      else
        memset(to, 0, F * sizeof *to);
    }
}

saros_status op_delta_prepare_taps(op_delta_run *r) {
  const kernel_delta_sizes *s = &r->sizes;
  const int before = s->taps - 1;
  if (s->taps == 0)
    return SAROS_OK;
  TRY(saros_tensor_new(
      r->context, SAROS_REAL, 3,
      (const int[]){s->heads, s->taps, (int)kernel_delta_columns(s)},
      &r->t[OP_DELTA_WEIGHTS]));
  for (int head = 0; head < s->heads; head++)
    for (int i = 0; i < kernel_delta_blocks(s); i++)
      spread_taps(r, head, kernel_delta_block_of(s, head, i));
  for (int i = 0; i < KERNEL_DELTA_STREAMS; i++) {
    if (!s->is_convolved[i])
      continue;
    TRY(tensor_new(r->context, SAROS_REAL, 2,
                   (const int[]){r->B, before * op_delta_features(r, i)},
                   &r->after[i]));
    find_memory(r, i);
  }
  return SAROS_OK;
}

/* --- In the walk ------------------------------------------------------------------- */

kernel_delta_convolution op_delta_convolution_of(const op_delta_run *r,
                                                 int row) {
  kernel_delta_convolution c = {.has_silu = r->has_silu};
  if (r->sizes.taps == 0)
    return c;
  c.weights = tensor_reals(r->t[OP_DELTA_WEIGHTS]);
  for (int i = 0; i < KERNEL_DELTA_STREAMS; i++)
    if (r->t[OP_DELTA_MEMORY + i] != NULL)
      c.memory[i] = memory_at(r, r->t[OP_DELTA_MEMORY + i], row, 0,
                              (size_t)op_delta_features(r, i));
  return c;
}

void op_delta_list_past(const op_delta_run *r, const int32_t *plan, int row,
                        int from, ptrdiff_t *past) {
  const int before = r->sizes.taps - 1;
  int is_seen = before > 0 && plan[1 + from] >= 0;
  for (int back = 1; back <= before; back++) {
    const int place = from - back;
    ptrdiff_t *to = &past[before - back];
    *to = -1;
    if (is_seen && place < 0)
      *to = -2 - (before + place);
    if (!is_seen || place < 0)
      continue;
    const int32_t step = plan[1 + place];
    *to = (ptrdiff_t)op_delta_source(
        r, (size_t)(step < 0 ? ~step : step) * (size_t)r->B + (size_t)row);
    is_seen = step >= 0;
  }
}

/* --- The way back -------------------------------------------------------------------- */

/* The first steps read row i of the memory by the taps before their own. */
static void add_to_memory(const op_delta_run *r, int row, kernel_delta_block b,
                          const real *weights, const real *carry) {
  const int k = r->sizes.taps;
  const ptrdiff_t P = kernel_delta_columns(&r->sizes);
  for (int i = 0; i < k - 1; i++) {
    real *to =
        memory_at(r, r->gradient[OP_DELTA_MEMORY + b.stream], row, i, b.row) +
        b.from;
    for (int s = 0; s <= i; s++)
      for (ptrdiff_t f = 0; f < b.n; f++)
        to[f] += weights[(i - s) * P + b.at + f] * carry[s * P + b.at + f];
  }
}

void op_delta_end_carry(const op_delta_run *r, int row, int head,
                        const real *carry) {
  for (int i = 0; i < kernel_delta_blocks(&r->sizes); i++) {
    const kernel_delta_block b = kernel_delta_block_of(&r->sizes, head, i);
    if (b.n > 0 && r->gradient[OP_DELTA_MEMORY + b.stream] != NULL)
      add_to_memory(r, row, b,
                    tensor_reals(r->t[OP_DELTA_WEIGHTS]) +
                        (size_t)head * op_delta_taps_size(r),
                    carry);
  }
}

saros_status op_delta_take_taps(op_delta_run *r) {
  int is_wanted = 0;
  for (int i = 0; i < KERNEL_DELTA_STREAMS; i++)
    is_wanted |= r->gradient[OP_DELTA_TAPS + i] != NULL;
  if (!is_wanted)
    return SAROS_OK;
  const size_t bytes = (size_t)r->B * (size_t)r->sizes.heads *
                           op_delta_taps_size(r) * sizeof *r->taps +
                       1;
  r->taps = pool_take(&r->context->pool, bytes);
  if (r->taps == NULL)
    return base_out_of_memory(r->context, bytes);
  memset(r->taps, 0, bytes);
  return SAROS_OK;
}

/* Adds the sums of all rows, which are in the first one, to the taps of a block. */
static void add_to_taps(const op_delta_run *r, kernel_delta_block b,
                        const double *sums) {
  const size_t k = (size_t)r->sizes.taps;
  const size_t P = (size_t)kernel_delta_columns(&r->sizes);
  if (b.n == 0 || r->gradient[OP_DELTA_TAPS + b.stream] == NULL)
    return;
  real *to = tensor_reals(r->gradient[OP_DELTA_TAPS + b.stream]) + b.from * k;
  for (size_t j = 0; j < k; j++)
    for (size_t i = 0; i < (size_t)b.n; i++)
      to[i * k + j] += (real)sums[j * P + (size_t)b.at + i];
}

static void add_taps(const op_delta_run *r) {
  const size_t size = op_delta_taps_size(r), H = (size_t)r->sizes.heads;
  for (size_t row = 1; row < (size_t)r->B; row++)
    for (size_t i = 0; i < H * size; i++)
      r->taps[i] += r->taps[row * H * size + i];
  for (int head = 0; head < r->sizes.heads && r->B > 0; head++)
    for (int i = 0; i < kernel_delta_blocks(&r->sizes); i++)
      add_to_taps(r, kernel_delta_block_of(&r->sizes, head, i),
                  r->taps + (size_t)head * size);
}

/* Adds the gradient of a memory after the last step to that of what it holds. */
static void return_memory(const op_delta_run *r, int stream) {
  const size_t F = (size_t)op_delta_features(r, stream);
  for (int row = 0; row < r->B; row++)
    for (int i = 0; i < r->sizes.taps - 1; i++) {
      const ptrdiff_t kept = kept_of(r, row, i);
      const saros_tensor *x = r->gradient[stream];
      real *to = kept >= 0 ? (x ? tensor_reals(x) + (size_t)kept * F : NULL)
                 : kept < -1
                     ? memory_at(r, r->gradient[OP_DELTA_MEMORY + stream], row,
                                 (int)(-2 - kept), F)
                     : NULL;
      if (to != NULL)
        r->context->kernels->pointwise->add_scaled(
            to, 1, memory_at(r, r->after[stream], row, i, F), F);
    }
}

void op_delta_end_taps(op_delta_run *r) {
  if (r->taps != NULL)
    add_taps(r);
  for (int i = 0; i < KERNEL_DELTA_STREAMS; i++)
    if (r->after[i] != NULL)
      return_memory(r, i);
}
