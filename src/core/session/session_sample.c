/*
** Sampling of ids from the output of a session, in scratch memory of the session.
*/
#include <float.h>
#include <math.h>
#include <string.h>

#include "session.h"

/* Temperatures below the first one count as 0, those above the second one as the
** second one. Between them, a difference of logits divided by the temperature is
** never NaN. */
#define LEAST_TEMPERATURE FLT_MIN
#define MOST_TEMPERATURE FLT_MAX

static saros_status expect_history(const saros_session *s,
                                   const saros_sampling *how) {
  size_t count = how->history_length * (size_t)s->streams;
  int base = s->context->index_base;
  for (size_t i = 0; how->history != NULL && i < count; i++)
    if (how->history[i] >= s->plan->outputs->width)
      return saros_fail(s->context, SAROS_EARGUMENT,
                        "sample: expected a history of ids in %d..%d, got %d",
                        base, s->plan->outputs->width - 1 + base,
                        how->history[i] + base);
  return SAROS_OK;
}

static saros_status expect_sampling(const saros_session *s,
                                    const saros_sampling *how) {
  if (!(how->temperature >= 0) || !isfinite(how->temperature))
    return saros_fail(s->context, SAROS_EARGUMENT,
                      "sample: expected a temperature >= 0, got %g",
                      how->temperature);
  if (how->top_k < 0)
    return saros_fail(s->context, SAROS_EARGUMENT,
                      "sample: expected top_k >= 1, or 0 for all, got %d",
                      how->top_k);
  if (!(how->top_p >= 0 && how->top_p <= 1))
    return saros_fail(s->context, SAROS_EARGUMENT,
                      "sample: expected top_p in 0..1, 0 for all, got %g",
                      how->top_p);
  if (!(how->repetition_penalty >= 0) || !isfinite(how->repetition_penalty))
    return saros_fail(s->context, SAROS_EARGUMENT,
                      "sample: expected a repetition_penalty > 0, got %g",
                      how->repetition_penalty);
  return expect_history(s, how);
}

static saros_status bad_logits(const saros_session *s, int row) {
  return saros_fail(s->context, SAROS_EARGUMENT,
                    "sample: expected finite logits, got others in row %d",
                    row + s->context->index_base);
}

/* --- The likeliest first ------------------------------------------------------------ */

/* True if id a is more likely than id b, or as likely and smaller. */
static int comes_before(const real *p, int32_t a, int32_t b) {
  return p[a] > p[b] || (p[a] == p[b] && a < b);
}

/* Moves the element at index 'at' of a heap down, until none below it comes
** before it. */
static void sink(int32_t *heap, int count, int at, const real *p) {
  for (;;) {
    int child = 2 * at + 1;
    if (child >= count)
      return;
    if (child + 1 < count && comes_before(p, heap[child + 1], heap[child]))
      child++;
    if (!comes_before(p, heap[child], heap[at]))
      return;
    int32_t id = heap[at];
    heap[at] = heap[child], heap[child] = id;
    at = child;
  }
}

/* Moves the most likely ids to the end of 'order', the most likely last, until
** there are 'most' of them or the sum of their probabilities is at least 'enough'.
** Returns their count, and that sum in *total. Ids of probability 0 stay. */
static int select_likeliest(int32_t *order, const real *p, int V, int most,
                            double enough, double *total) {
  int left = V;
  for (int id = 0; id < V; id++)
    order[id] = id;
  for (int at = V / 2 - 1; at >= 0; at--)
    sink(order, V, at, p);
  *total = 0;
  while (left > 0 && V - left < most && *total < enough && p[order[0]] > 0) {
    int32_t best = order[0];
    order[0] = order[--left];
    order[left] = best;
    sink(order, left, 0, p);
    *total += p[best];
  }
  return V - left;
}

/* --- One row -------------------------------------------------------------------------- */

/* Draws one of the most likely ids with the probabilities p. */
static int32_t draw_likeliest(int32_t *order, const real *p, int V,
                              saros_generator *generator,
                              const saros_sampling *how) {
  double total;
  int most = how->top_k > 0 ? how->top_k : V;
  double enough = how->top_p > 0 ? how->top_p : 2;
  int count = select_likeliest(order, p, V, most, enough, &total);
  double target = saros_uniform(generator) * total;
  for (int rank = 1; rank < count; rank++) {
    target -= p[order[V - rank]];
    if (target < 0)
      return order[V - rank];
  }
  return order[V - count];
}

/* The id of the largest logit; -1 if one of them is NaN or the largest is not
** finite. Others may be -inf: they are never chosen. */
static int32_t likeliest(const saros_session *s, const real *logits, int V) {
  real largest;
  int32_t id;
  s->context->kernels->reduce->max(&largest, &id, logits, 1, (size_t)V, 1);
  return isfinite(largest) ? id : -1;
}

static int is_greedy(const saros_sampling *how) {
  return how->temperature < LEAST_TEMPERATURE || how->top_k == 1;
}

/* p = softmax((logits - largest) / temperature). With the largest subtracted
** first, no quotient is +inf at any temperature. */
static void temper(const saros_session *s, real *p, const real *logits,
                   real largest, double temperature) {
  const pointwise_kernels *pointwise = s->context->kernels->pointwise;
  size_t V = (size_t)s->plan->outputs->width;
  real divisor = (real)fmin(temperature, MOST_TEMPERATURE);
  pointwise->binary[BINARY_SUBTRACT](p, logits, 1, &largest, 0, V);
  pointwise->binary[BINARY_DIVIDE](p, p, 1, &divisor, 0, V);
  s->context->kernels->softmax->softmax(p, p, 1, V);
}

/* --- Changes of logits ------------------------------------------------------- */

static int has_penalty(const saros_sampling *how) {
  return how->history != NULL && how->repetition_penalty > 0 &&
         how->repetition_penalty != 1;
}

/* Makes the ids of a history less likely. 'seen' (V) is scratch. */
static void penalize(real *logits, int32_t *seen, int V, const int32_t *history,
                     const saros_sampling *how) {
  real penalty = (real)how->repetition_penalty;
  memset(seen, 0, (size_t)V * sizeof *seen);
  for (size_t i = 0; i < how->history_length; i++) {
    int32_t id = history[i];
    if (id < 0 || seen[id]++)
      continue;
    logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
  }
}

/* The logits of a row after penalty and bias: a copy in scratch memory, or the
** logits themselves without either. */
static const real *adjust(saros_session *s, const real *logits, int row,
                          const saros_sampling *how) {
  int V = s->plan->outputs->width;
  if (how->bias == NULL && !has_penalty(how))
    return logits;
  memcpy(s->weights, logits, (size_t)V * sizeof *logits);
  if (has_penalty(how))
    penalize(s->weights, s->order, V,
             how->history + (size_t)row * how->history_length, how);
  if (how->bias != NULL)
    s->context->kernels->pointwise->binary[BINARY_ADD](
        s->weights, s->weights, 1, how->bias + (size_t)row * how->bias_step, 1,
        (size_t)V);
  return s->weights;
}

static int32_t sample_row(saros_session *s, const real *logits,
                          saros_generator *generator,
                          const saros_sampling *how) {
  int V = s->plan->outputs->width;
  int32_t best = likeliest(s, logits, V);
  if (best < 0 || is_greedy(how))
    return best;
  temper(s, s->weights, logits, logits[best], how->temperature);
  if (how->top_k > 0 || how->top_p > 0)
    return draw_likeliest(s->order, s->weights, V, generator, how);
  return tensor_draw(generator, s->weights, V);
}

saros_status saros_session_sample(saros_session *s, saros_generator *generator,
                                  const saros_sampling *given, int32_t *ids) {
  saros_sampling own, *how = &own;
  TRY(base_read_options(s->context, "saros_sampling", given, how, sizeof own));
  const real *logits = tensor_reals(s->outputs[0]);
  TRY(expect_sampling(s, how));
  if (!is_greedy(how))
    TRY(tensor_expect_generator("sample", s->context, generator));
  for (int row = 0; row < s->streams; row++) {
    ids[row] = sample_row(s, adjust(s, logits, row, how), generator, how);
    if (ids[row] < 0)
      return bad_logits(s, row);
    logits += s->plan->outputs->width;
  }
  return SAROS_OK;
}
