/*
** What is done for all steps at once: the weights of merged products as one
** matrix, and after the walk back the gradients of all that the window read.
*/
#include <string.h>

#include "loop_window.h"

/* --- Weights ----------------------------------------------------------------------- */

static int has_bias(const loop_graph *g, int linear) {
  for (int i = 1; i < g->value[linear].extras; i += 2)
    if (loop_extra(g, linear, i) >= 0)
      return 1;
  return 0;
}

/* Copies the weights and biases of all products behind each other. */
static void merge(const loop_window *w, int linear, real *weights, real *bias,
                  int k) {
  const loop_graph *g = &w->plan->graph;
  for (int i = 0; i < g->value[linear].extras; i += 2) {
    const saros_tensor *from = w->outside[loop_extra(g, linear, i)];
    int b = loop_extra(g, linear, i + 1);
    size_t n = from->count / (size_t)k;
    memcpy(weights, tensor_reals(from), from->count * sizeof(real));
    if (b >= 0)
      memcpy(bias, tensor_reals(w->outside[b]), n * sizeof(real));
    else
      memset(bias, 0, n * sizeof(real));
    weights += from->count, bias += n;
  }
}

saros_status loop_weights(const loop_window *w, int linear,
                          const real **weights, const real **bias, real **own) {
  const loop_graph *g = &w->plan->graph;
  size_t n = (size_t)g->value[linear].width;
  int k = g->value[loop_input(g, linear, 0)].width;
  *own = NULL;
  *bias = NULL;
  if (g->value[linear].extras == 2) {
    int b = loop_extra(g, linear, 1);
    *weights = tensor_reals(w->outside[loop_extra(g, linear, 0)]);
    *bias = b < 0 ? NULL : tensor_reals(w->outside[b]);
    return SAROS_OK;
  }
  size_t bytes = n * ((size_t)k + 1) * sizeof(real);
  *own = pool_take(&w->context->pool, bytes);
  if (*own == NULL)
    return base_out_of_memory(w->context, bytes);
  merge(w, linear, *own, *own + n * (size_t)k, k);
  *weights = *own;
  *bias = has_bias(g, linear) ? *own + n * (size_t)k : NULL;
  return SAROS_OK;
}

/* --- Gradients of weights -------------------------------------------------------------- */

/* What the product of all steps read, in rows before the split and behind it. */
static saros_status read_of_product(const loop_window *w, int linear,
                                    product_outer_sum *sum,
                                    saros_tensor **own) {
  const loop_graph *g = &w->plan->graph;
  int x = loop_input(g, linear, 0), which = g->value[x].which;
  int rows = w->T * w->B, width = g->value[x].width, at_end = w->plan->reverse;
  product_outer_factor *f = &sum->factor[0];
  f->n = width;
  if (g->value[x].op == LOOP_OUTSIDE) {
    TRY(tensor_contiguous(w->outside[which], own));
    f->x[0] = f->x[1] = tensor_reals(*own);
    sum->split = rows;
  } else if (g->value[x].op == LOOP_BEFORE) {
    const real *first = tensor_reals(w->first[which]);
    int t = at_end ? 0 : 1;  // reads the state that another step left
    const real *left = w->T > 1 ? loop_state_before(w, which, t) : first;
    sum->split = at_end ? rows - w->B : w->B;
    f->x[0] = at_end ? left : first;
    f->x[1] = at_end ? first : left;
  } else {
    int array = w->plan->code.place[x].array;
    f->x[0] = f->x[1] = tensor_reals(w->kept[w->plan->array[array].which]);
    sum->split = rows;
  }
  return SAROS_OK;
}

/* The gradients of one weight and its bias, from columns of dy. */
static saros_status add_weight(const tape_entry *e, const loop_window *w,
                               product_outer_sum *sum, int weight, int bias) {
  tensor_node *of_weight = e->input[weight];
  tensor_node *of_bias = bias < 0 ? NULL : e->input[bias];
  saros_tensor *dweight, *dbias = NULL, *total;
  real beta;
  sum->factors = 0, sum->dbias = NULL;
  if (of_weight != NULL) {
    TRY(tensor_node_target(of_weight, &dweight, &beta));
    sum->factors = 1;
    sum->factor[0].target = tensor_reals(dweight);
    sum->factor[0].add = beta != 0;
  }
  if (of_bias != NULL) {
    TRY(saros_tensor_new(w->context, SAROS_REAL, 1, &sum->m, &dbias));
    sum->dbias = tensor_reals(dbias);
  }
  saros_status status = product_add_outer(w->context, sum);
  if (status == SAROS_OK && of_bias != NULL)
    status = tensor_node_gradient(of_bias, &total);
  if (status == SAROS_OK && of_bias != NULL)
    w->kernels->pointwise->add_scaled(tensor_reals(total), 1,
                                      tensor_reals(dbias), total->count);
  saros_tensor_release(dbias);
  return status;
}

static saros_tensor *gradient_of(const loop_window *w, const loop_sink *sink) {
  const loop_array *a = &w->plan->array[sink->array];
  return a->kind == ARRAY_DVALUE ? w->dvalue[a->which] : w->dkept[a->which];
}

static saros_status add_product(const tape_entry *e, const loop_window *w,
                                const loop_sink *sink) {
  const loop_graph *g = &w->plan->graph;
  int linear = sink->which, k = g->value[loop_input(g, linear, 0)].width;
  const saros_tensor *dy = gradient_of(w, sink);
  saros_tensor *own = NULL;
  product_outer_sum sum = {.ldy = g->value[linear].width, .rows = w->T * w->B};
  saros_status status = read_of_product(w, linear, &sum, &own);
  const product_outer_factor factor = sum.factor[0];
  const real *column = tensor_reals(dy);
  for (int i = 0; i < g->value[linear].extras && status == SAROS_OK; i += 2) {
    int weight = loop_extra(g, linear, i);
    sum.dy = column, sum.factor[0] = factor;
    sum.m = (int)(w->outside[weight]->count / (size_t)k);
    status = add_weight(e, w, &sum, weight, loop_extra(g, linear, i + 1));
    column += sum.m;
  }
  saros_tensor_release(own);
  return status;
}

/* --- The others ------------------------------------------------------------------------- */

/* Sums of blocks, in the order of the blocks. */
static saros_status add_invariant(const tape_entry *e, const loop_window *w,
                                  const loop_sink *sink) {
  saros_tensor *gradient;
  if (e->input[sink->which] == NULL)
    return SAROS_OK;
  TRY(tensor_node_gradient(e->input[sink->which], &gradient));
  size_t sums = (size_t)w->plan->back.sums;
  for (size_t k = 0; k < gradient->count; k++) {
    double total = 0;
    for (int block = 0; block < w->blocks; block++)
      total += w->sums[(size_t)block * sums + (size_t)sink->place + k];
    tensor_reals(gradient)[k] += (real)total;
  }
  return SAROS_OK;
}

/* A state that was not given is the same in every row: its gradient is the sum. */
static saros_status add_first(const tape_entry *e, const loop_window *w,
                              int state) {
  const loop_plan *plan = w->plan;
  saros_tensor *d = w->dstate[2 * state + w->T % 2], *gradient;
  int restart = plan->restart[state];
  tensor_node *given = e->input[plan->outside + state];
  TRY(tensor_node_add(given, saros_tensor_retain(d)));
  if (w->given[state] || restart < 0 || e->input[restart] == NULL)
    return SAROS_OK;
  TRY(tensor_node_gradient(e->input[restart], &gradient));
  size_t width = gradient->count;
  for (size_t k = 0; k < width; k++) {
    double total = 0;
    for (size_t row = 0; row < (size_t)w->B; row++)
      total += (double)tensor_reals(d)[row * width + k];
    tensor_reals(gradient)[k] += (real)total;
  }
  return SAROS_OK;
}

saros_status loop_gradients(const tape_entry *e, loop_window *w) {
  const loop_code *back = &w->plan->back;
  for (size_t i = 0; i < back->sinks; i++) {
    const loop_sink *sink = &back->sink[i];
    if (sink->kind == SINK_DPRODUCT)
      TRY(add_product(e, w, sink));
    else if (sink->kind == SINK_DINVARIANT)
      TRY(add_invariant(e, w, sink));
  }
  for (size_t i = 0; i < back->sinks; i++)
    if (back->sink[i].kind == SINK_DOUTSIDE)
      TRY(tensor_node_add(e->input[back->sink[i].which],
                          saros_tensor_retain(gradient_of(w, &back->sink[i]))));
  for (int s = 0; s < w->plan->states; s++)
    TRY(add_first(e, w, s));
  return SAROS_OK;
}
