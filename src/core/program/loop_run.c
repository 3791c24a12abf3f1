/*
** A loop as an operation: what it is given, a window of tensors, the walk, and
** one entry on the tape, which walks back.
*/
#include <string.h>

#include "loop_window.h"

/* What an entry on the tape needs beside its tensors. */
typedef struct loop_entry {
  loop_plan *plan;  // kept by the window's holder
  int T, B;
  char given[];  // by state
} loop_entry;

/* --- Facts for the plan ------------------------------------------------------------ */

static saros_tensor *tensor_at(saros_tensor *const *list, int i) {
  return list != NULL ? list[i] : NULL;
}

/* A factor by number, or null. */
static saros_tensor *factor_at(const loop_options *how, int states, int i) {
  if (i < states)
    return tensor_at(how->dropout, i);
  if (i < 2 * states)
    return tensor_at(how->zoneout, i - states);
  return tensor_at(how->dropped, i - 2 * states);
}

/* Flags of what there is, in one block of the pool at *flags: the first states
** given, factors, wanted gradients. */
static saros_status find_facts(saros_context *context, const loop_spec *spec,
                               saros_tensor *const *outside,
                               saros_tensor *const *first,
                               const loop_options *how, int keeps,
                               loop_has *has, char **flags) {
  int factors = 2 * spec->state_count + loop_dropouts(spec);
  size_t states = (size_t)spec->state_count, all = states + (size_t)factors;
  size_t bytes = all + (size_t)spec->outside_count + 1;
  *flags = pool_take(&context->pool, bytes);
  if (*flags == NULL)
    return base_out_of_memory(context, bytes);
  char *factor = *flags + states, *wants = *flags + all;
  *has = (loop_has){.mask = how->mask != NULL,
                    .keep = keeps,
                    .factors = factor,
                    .wants = wants};
  for (int s = 0; s < spec->state_count; s++) {
    (*flags)[s] = tensor_at(first, s) != NULL;
    has->gradients |= (*flags)[s] && tape_wants(context, first[s]);
  }
  for (int i = 0; i < factors; i++)
    factor[i] = factor_at(how, spec->state_count, i) != NULL;
  for (int i = 0; i < spec->outside_count; i++) {
    wants[i] = (char)tape_wants(context, outside[i]);
    has->gradients |= wants[i];
  }
  return SAROS_OK;
}

/* --- The window ---------------------------------------------------------------------- */

static saros_status new_rows(const loop_window *w, int width,
                             saros_tensor **out) {
  return tensor_new(w->context, SAROS_REAL, 2, (int[]){w->B, width}, out);
}

static saros_status new_steps(const loop_window *w, int width,
                              saros_tensor **out) {
  return tensor_new(w->context, SAROS_REAL, 3, (int[]){w->T, w->B, width}, out);
}

/* x itself if the elements of its rows are neighbours, else a copy. */
static saros_status take_rows(saros_tensor *x, saros_tensor **out) {
  if (x->rank == 3 && x->dtype == SAROS_REAL &&
      (x->stride[2] == 1 || x->shape[2] == 1)) {
    *out = saros_tensor_retain(x);
    return SAROS_OK;
  }
  return tensor_contiguous(x, out);
}

/* The state of every row before the first step. */
static saros_status make_first(const loop_window *w, int state,
                               saros_tensor *given, saros_tensor **out) {
  int restart = w->plan->restart[state];
  size_t width = (size_t)w->plan->width[state];
  if (given != NULL)
    return tensor_contiguous(given, out);
  TRY(new_rows(w, (int)width, out));
  tensor_zero(*out);
  for (size_t row = 0; restart >= 0 && row < (size_t)w->B; row++)
    memcpy(tensor_reals(*out) + row * width, tensor_reals(w->outside[restart]),
           width * sizeof(real));
  return SAROS_OK;
}

static int is_invariant(const loop_spec *spec, int outside) {
  return spec->p->nodes[spec->outside[outside]].invariant;
}

static saros_status take_given(loop_window *w, const loop_spec *spec,
                               saros_tensor *const *outside,
                               saros_tensor *const *first,
                               const loop_options *how) {
  for (int i = 0; i < spec->outside_count; i++)
    TRY(is_invariant(spec, i) ? tensor_contiguous(outside[i], &w->outside[i])
                              : take_rows(outside[i], &w->outside[i]));
  for (int s = 0; s < spec->state_count; s++)
    TRY(make_first(w, s, tensor_at(first, s), &w->first[s]));
  for (int i = 0; i < loop_factors(w->plan); i++) {
    saros_tensor *factor = factor_at(how, spec->state_count, i);
    if (factor != NULL)
      TRY(tensor_contiguous(factor, &w->factor[i]));
  }
  return how->mask ? tensor_contiguous(how->mask, w->mask) : SAROS_OK;
}

static saros_status make_kept(loop_window *w) {
  for (size_t i = 0; i < w->plan->arrays; i++) {
    const loop_array *a = &w->plan->array[i];
    if (a->kind == LOOP_ARRAY_KEPT)
      TRY(new_steps(w, a->width, &w->kept[a->which]));
  }
  return SAROS_OK;
}

/* A tensor of the tape's that keeps the plan. */
static void release_plan(void *plan) {
  loop_plan_release(plan);
}

static saros_status make_holder(loop_window *w) {
  saros_buffer buffer = {.data = w->plan->graph.value,
                         .release = release_plan,
                         .user = w->plan,
                         .read_only = 1};
  TRY(saros_tensor_wrap(w->context, SAROS_REAL, 1, (int[]){1}, &buffer,
                        w->holder));
  w->plan->references++;
  return SAROS_OK;
}

/* --- Results ---------------------------------------------------------------------------- */

/* A copy of a state after the last step. */
static saros_status copy_last(const loop_window *w, int state,
                              saros_tensor **out) {
  size_t n = (size_t)w->B * (size_t)w->plan->width[state];
  int behind = w->plan->reverse ? -1 : w->T;
  TRY(new_rows(w, w->plan->width[state], out));
  memcpy(tensor_reals(*out), loop_state_before(w, state, behind),
         n * sizeof(real));
  return SAROS_OK;
}

/* An array of the way forward as a tensor of the caller's. */
static saros_status give_value(const loop_window *w, int wanted,
                               saros_tensor **values) {
  const loop_code *code = &w->plan->code;
  for (size_t i = 0; i < code->sinks; i++) {
    const loop_sink *sink = &code->sink[i];
    if (sink->kind != LOOP_SINK_VALUE || sink->which != wanted)
      continue;
    saros_tensor *x = w->kept[w->plan->array[sink->array].which];
    for (int other = 0; other < wanted; other++)
      if (values[other]->storage == x->storage)
        return tensor_alias(x, &values[wanted]);
    values[wanted] = saros_tensor_retain(x);
  }
  return SAROS_OK;
}

static saros_status give_results(const loop_window *w, saros_tensor **results) {
  for (int i = 0; i < w->plan->wanted; i++)
    TRY(give_value(w, i, results));
  for (int s = 0; s < w->plan->states; s++)
    TRY(copy_last(w, s, &results[w->plan->wanted + s]));
  return SAROS_OK;
}

/* --- Back ------------------------------------------------------------------------------- */

static saros_status gradient_or_zeros(const tape_entry *e, int output,
                                      const loop_window *w, int width, int rank,
                                      saros_tensor **out) {
  TRY(tape_entry_gradient(e, output, out));
  if (*out != NULL)
    return SAROS_OK;
  TRY(rank == 3 ? new_steps(w, width, out) : new_rows(w, width, out));
  tensor_zero(*out);
  return SAROS_OK;
}

/* The gradient of a state after the last step, to be written over. */
static saros_status gradient_of_last(const tape_entry *e, const loop_window *w,
                                     int state, saros_tensor **out) {
  saros_tensor *dlast;
  int width = w->plan->width[state];
  TRY(gradient_or_zeros(e, w->plan->wanted + state, w, width, 2, &dlast));
  saros_status status = new_rows(w, width, out);
  if (status == SAROS_OK)
    tensor_copy(*out, dlast);
  saros_tensor_release(dlast);
  return status;
}

static saros_status make_gradients(const tape_entry *e, const loop_window *w) {
  const loop_plan *plan = w->plan;
  for (int i = 0; i < plan->wanted; i++)
    TRY(gradient_or_zeros(e, i, w, e->output[i]->shape[2], 3, &w->dvalue[i]));
  for (int s = 0; s < plan->states; s++) {
    TRY(gradient_of_last(e, w, s, &w->dstate[2 * s]));
    TRY(new_rows(w, plan->width[s], &w->dstate[2 * s + 1]));
  }
  for (size_t i = 0; i < plan->arrays; i++)
    if (plan->array[i].kind == LOOP_ARRAY_DKEPT)
      TRY(new_steps(w, plan->array[i].width, &w->dkept[plan->array[i].which]));
  return SAROS_OK;
}

static void release_all(saros_tensor **t, int count) {
  for (int i = 0; i < count; i++)
    saros_tensor_release(t[i]);
}

static saros_status loop_backward(const tape_entry *e) {
  const loop_entry *entry = e->arguments;
  loop_plan *plan = entry->plan;
  saros_context *context = e->context;
  loop_window w = {.plan = plan,
                   .context = context,
                   .kernels = context->kernels,
                   .T = entry->T,
                   .B = entry->B,
                   .given = entry->given,
                   .t = e->saved};
  int count = plan->wanted + 2 * plan->states + plan->dkept;
  size_t bytes = (size_t)count * sizeof *w.dvalue + 1;
  loop_window_name(&w);
  w.dvalue = pool_take(&context->pool, bytes);
  if (w.dvalue == NULL)
    return base_out_of_memory(context, bytes);
  memset(w.dvalue, 0, bytes);
  w.dstate = w.dvalue + plan->wanted;
  w.dkept = w.dstate + 2 * plan->states;
  saros_status status = make_gradients(e, &w);
  if (status == SAROS_OK)
    status = loop_walk_run(&w, &plan->back, 1);
  if (status == SAROS_OK)
    status = loop_gradients(e, &w);
  release_all(w.dvalue, count);
  pool_give(&context->pool, w.dvalue);
  pool_give(&context->pool, w.sums);
  return status;
}

/* --- One entry ---------------------------------------------------------------------------- */

static const tape_operation loop_operation = {"loop", loop_backward};

/* input: what was given outside, then the first states. */
static saros_status record(loop_window *w, saros_tensor *const *input,
                           saros_tensor **results) {
  const loop_plan *plan = w->plan;
  if (!plan->gradients)
    return SAROS_OK;
  size_t bytes = sizeof(loop_entry) + (size_t)plan->states;
  loop_entry *entry = pool_take(&w->context->pool, bytes);
  if (entry == NULL)
    return base_out_of_memory(w->context, bytes);
  *entry = (loop_entry){w->plan, w->T, w->B};
  memcpy(entry->given, w->given, (size_t)plan->states);
  saros_status status = make_holder(w);
  if (status == SAROS_OK)
    status = tape_record(
        w->context, &(tape_call){&loop_operation, plan->outside + plan->states,
                                 input, plan->wanted + plan->states, results,
                                 loop_window_size(plan), w->t, entry, bytes});
  pool_give(&w->context->pool, entry);
  return status;
}

/* Runs a window whose tensors, results and inputs the caller releases. */
static saros_status run(loop_window *w, const loop_spec *spec,
                        saros_tensor *const *outside,
                        saros_tensor *const *first, const loop_options *how,
                        saros_tensor **input, saros_tensor **results) {
  TRY(take_given(w, spec, outside, first, how));
  TRY(make_kept(w));
  TRY(loop_walk_run(w, &w->plan->code, 0));
  TRY(give_results(w, results));
  for (int i = 0; i < w->plan->outside; i++)
    input[i] = outside[i];
  for (int s = 0; s < w->plan->states; s++)
    input[w->plan->outside + s] = first ? first[s] : NULL;
  return record(w, input, results);
}

/* With a plan: makes the window, and gives its results to the caller. */
static saros_status run_plan(loop_window *w, const loop_spec *spec,
                             saros_tensor *keep, saros_tensor *const *outside,
                             saros_tensor *const *first,
                             const loop_options *how, saros_tensor **values,
                             saros_tensor **last) {
  const loop_plan *plan = w->plan;
  int tensors = loop_window_size(plan), results = plan->wanted + plan->states;
  int inputs = plan->outside + plan->states;
  size_t bytes = (size_t)(tensors + results + inputs) * sizeof *w->t;
  w->t = pool_take(&w->context->pool, bytes);
  if (w->t == NULL)
    return base_out_of_memory(w->context, bytes);
  memset(w->t, 0, bytes);
  loop_window_name(w);
  *w->keep = keep ? saros_tensor_retain(keep) : NULL;
  saros_tensor **result = w->t + tensors;
  saros_status status =
      run(w, spec, outside, first, how, result + results, result);
  for (int i = 0; i < results && status == SAROS_OK; i++) {
    if (i < plan->wanted)
      values[i] = result[i];
    else
      last[i - plan->wanted] = result[i];
  }
  if (status != SAROS_OK)
    release_all(result, results);
  release_all(w->t, tensors);
  pool_give(&w->context->pool, w->t);
  return status;
}

/* Where rows start again; null if none does. */
static saros_status make_keep(const loop_options *how, int reverse,
                              saros_tensor **keep) {
  *keep = NULL;
  if (how->reset == NULL)
    return SAROS_OK;
  TRY(saros_keep(how->reset, how->mask, reverse, keep));
  for (size_t i = 0; i < (*keep)->count; i++)
    if (tensor_reals(*keep)[i] == 0)
      return SAROS_OK;
  saros_tensor_release(*keep);
  *keep = NULL;
  return SAROS_OK;
}

saros_status loop_run(saros_context *context, const loop_spec *spec, int T,
                      int B, saros_tensor *const *outside,
                      saros_tensor *const *first, const loop_options *how,
                      saros_tensor **values, saros_tensor **last) {
  static const loop_options plain = {0};
  loop_window w = {
      .context = context, .kernels = context->kernels, .T = T, .B = B};
  loop_has has;
  saros_tensor *keep = NULL;
  char *flags = NULL;
  saros_status status;
  how = how ? how : &plain;
  memset(values, 0, (size_t)spec->wanted_count * sizeof *values);
  memset(last, 0, (size_t)spec->state_count * sizeof *last);
  TRY_OR_DONE(make_keep(how, spec->p->states[spec->states[0]].reverse, &keep));
  TRY_OR_DONE(find_facts(context, spec, outside, first, how, keep != NULL, &has,
                         &flags));
  TRY_OR_DONE(loop_plan_of(context, spec, &has, &w.plan));
  w.given = flags;
  status = run_plan(&w, spec, keep, outside, first, how, values, last);
done:
  saros_tensor_release(keep);
  pool_give(&context->pool, flags);
  return status;
}
