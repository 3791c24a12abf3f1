/*
** What is done for all steps at once: the weights of merged products as one
** matrix, and after the walk back the gradients of all that the window read.
*/
#include <string.h>

#include "loop_window.h"

/* --- Weights ----------------------------------------------------------------------- */

/* A product with one weight, among those that are made at once. */
typedef struct part {
  int weight, bias;  // outside values; bias may be -1
  int column;        // of the weight, the first that is read
  int n, k, ld;      // (n, k) of it; columns in all
} part;

static int part_count(const loop_window *w, int linear) {
  return w->plan->graph.value[linear].extras / 4;
}

static part part_at(const loop_window *w, int linear, int i) {
  const loop_graph *g = &w->plan->graph;
  part p = {loop_extra(g, linear, 4 * i),
            loop_extra(g, linear, 4 * i + 1),
            loop_extra(g, linear, 4 * i + 2),
            loop_extra(g, linear, 4 * i + 3),
            g->value[loop_input(g, linear, 0)].width,
            0};
  p.ld = (int)(w->outside[p.weight]->count / (size_t)p.n);
  return p;
}

/* Copies the weights and biases of all products behind each other. */
static void merge(const loop_window *w, int linear, real *weights, real *bias) {
  for (int i = 0; i < part_count(w, linear); i++) {
    part p = part_at(w, linear, i);
    size_t n = (size_t)p.n, k = (size_t)p.k;
    w->kernels->strip->copy_rows(weights, p.k,
                                 tensor_reals(w->outside[p.weight]) + p.column,
                                 p.ld, n, k);
    if (p.bias >= 0)
      memcpy(bias, tensor_reals(w->outside[p.bias]), n * sizeof(real));
    else
      memset(bias, 0, n * sizeof(real));
    weights += n * k, bias += n;
  }
}

/* What identifies a part of weights that are kept joined. */
typedef struct joined_key {
  unsigned long weight, bias;  // serials of frozen memory; 0: no bias
  const real *data, *bias_data;
  int n, ld;
} joined_key;

enum { MOST_JOINED = 16 };

/* Weights that are joined, in one block: this, the matrix (n, k), the bias (n). */
typedef struct joined {
  base_kept link;
  int parts, k;
  joined_key key[MOST_JOINED];
  real *bias;  // null: none
  real matrix[] __attribute__((aligned(64)));
} joined;

/* The owner of joined weights. */
static const char joins;

/* Fills the keys (MOST_JOINED); 0 if the parts cannot be kept joined. */
static int find_keys(const loop_window *w, int linear, joined_key *key) {
  const saros_context *context = w->context;
  int parts = part_count(w, linear);
  memset(key, 0, MOST_JOINED * sizeof *key);
  for (int i = 0; i < parts && parts <= MOST_JOINED; i++) {
    part p = part_at(w, linear, i);
    key[i].data = tensor_reals(w->outside[p.weight]) + p.column;
    key[i].bias_data = p.bias < 0 ? NULL : tensor_reals(w->outside[p.bias]);
    key[i].n = p.n, key[i].ld = p.ld;
    const base_frozen *bias =
        p.bias < 0 ? NULL : base_frozen_at(context, key[i].bias_data);
    if (!product_is_kept(context, key[i].data) || (p.bias >= 0 && !bias))
      return 0;
    key[i].weight = base_frozen_at(context, key[i].data)->serial;
    key[i].bias = bias ? bias->serial : 0;
  }
  return parts <= MOST_JOINED;
}

static joined *find_joined(const base_frozen *frozen, const joined_key *key,
                           int parts, int k) {
  for (base_kept *kept = frozen->kept; kept != NULL; kept = kept->next) {
    joined *j = (joined *)kept;
    if (kept->owner == &joins && j->parts == parts && j->k == k &&
        memcmp(j->key, key, sizeof j->key) == 0)
      return j;
  }
  return NULL;
}

/* Joins the parts, and keeps the result with the first of them. */
static saros_status join(const loop_window *w, int linear,
                         const joined_key *key, joined **out) {
  int k = part_at(w, linear, 0).k, is_biased = 0;
  size_t n = (size_t)w->plan->graph.value[linear].width, count = n * (size_t)k;
  size_t bytes = sizeof(joined) + (count + n) * sizeof(real);
  joined *j = *out = pool_take(&w->context->pool, bytes);
  if (j == NULL)
    return base_out_of_memory(w->context, bytes);
  memset(j, 0, sizeof *j);
  j->parts = part_count(w, linear), j->k = k;
  memcpy(j->key, key, sizeof j->key);
  merge(w, linear, j->matrix, j->matrix + count);
  for (int i = 0; i < j->parts; i++)
    is_biased |= key[i].bias_data != NULL;
  j->bias = is_biased ? j->matrix + count : NULL;
  saros_status status =
      base_freeze(w->context, j->matrix, count * sizeof(real), &j->link.frozen);
  if (status != SAROS_OK) {
    pool_give(&w->context->pool, j);
    return status;
  }
  base_frozen *first = base_frozen_at(w->context, key[0].data);
  j->link.owner = &joins;
  j->link.next = first->kept;
  first->kept = &j->link;
  return SAROS_OK;
}

static saros_status kept_weights(const loop_window *w, int linear,
                                 const joined_key *key, loop_matrix *out) {
  int k = part_at(w, linear, 0).k;
  joined *j = find_joined(base_frozen_at(w->context, key[0].data), key,
                          part_count(w, linear), k);
  if (j == NULL)
    TRY(join(w, linear, key, &j));
  *out = (loop_matrix){.data = j->matrix, .bias = j->bias, .ld = k};
  return SAROS_OK;
}

saros_status loop_weights(const loop_window *w, int linear, loop_matrix *out) {
  part p = part_at(w, linear, 0);
  size_t n = (size_t)w->plan->graph.value[linear].width;
  *out = (loop_matrix){.ld = p.k};
  if (part_count(w, linear) == 1) {
    out->data = tensor_reals(w->outside[p.weight]) + p.column;
    out->bias = p.bias < 0 ? NULL : tensor_reals(w->outside[p.bias]);
    out->ld = p.ld;
    return SAROS_OK;
  }
  joined_key key[MOST_JOINED];
  if (find_keys(w, linear, key))
    return kept_weights(w, linear, key, out);
  size_t bytes = n * ((size_t)p.k + 1) * sizeof(real);
  out->own = pool_take(&w->context->pool, bytes);
  if (out->own == NULL)
    return base_out_of_memory(w->context, bytes);
  real *bias = out->own + n * (size_t)p.k;
  merge(w, linear, out->own, bias);
  out->data = out->own;
  for (int i = 0; i < part_count(w, linear); i++)
    if (part_at(w, linear, i).bias >= 0)
      out->bias = bias;
  return SAROS_OK;
}

static saros_tensor *kept_of(const loop_window *w, int value) {
  int array = w->plan->code.place[value].array;
  return w->kept[w->plan->array[array].which];
}

saros_status loop_lift(const loop_window *w, int lifted) {
  const loop_graph *g = &w->plan->graph;
  int x = loop_input(g, lifted, 0), rows = w->T * w->B;
  int n = g->value[lifted].width, k = g->value[x].width;
  int adds = g->value[lifted].inputs > 1;
  real *y = tensor_reals(kept_of(w, lifted));
  saros_tensor *from;
  loop_matrix m;
  TRY(tensor_contiguous(w->outside[g->value[x].which], &from));
  saros_status status = loop_weights(w, lifted, &m);
  for (int row = 0; row < rows && status == SAROS_OK && m.bias; row++)
    memcpy(y + (ptrdiff_t)row * n, m.bias, (size_t)n * sizeof(real));
  if (status == SAROS_OK)
    status = product_multiply(
        w->context, y, n, (product_view){tensor_reals(from), k, 0},
        (product_view){m.data, m.ld, 1}, (product_sizes){rows, n, k},
        adds || m.bias ? 1 : 0);
  pool_give(&w->context->pool, m.own);
  saros_tensor_release(from);
  return status;
}

/* --- Gradients of weights -------------------------------------------------------------- */

/* The products of one gradient: two at most, with the same weights. */
typedef struct products {
  const real *dy;  // (T, B, n)
  int count;
  int linear[2];
  product_outer_factor read[2];
  saros_tensor *own[2];
} products;

/* What a product read in all steps, in rows before the split and behind it. */
static saros_status find_read(const loop_window *w, int linear, int split,
                              product_outer_factor *f, saros_tensor **own) {
  const loop_graph *g = &w->plan->graph;
  int x = loop_input(g, linear, 0), which = g->value[x].which;
  const real *all = NULL;
  f->n = g->value[x].width;
  if (g->value[x].op == LOOP_BEFORE) {
    const real *first = tensor_reals(w->first[which]);
    int t = w->plan->reverse ? 0 : 1;  // reads the state that another step left
    const real *left = w->T > 1 ? loop_state_before(w, which, t) : first;
    f->x[0] = w->plan->reverse ? left : first;
    f->x[1] = w->plan->reverse ? first : left;
    return SAROS_OK;
  }
  if (g->value[x].op == LOOP_OUTSIDE) {
    TRY(tensor_contiguous(w->outside[which], own));
    all = tensor_reals(*own);
  } else {
    all = tensor_reals(kept_of(w, x));
  }
  f->x[0] = all, f->x[1] = all + (ptrdiff_t)split * f->n;
  return SAROS_OK;
}

/* A gradient (n, k) of some columns of a weight, made at 'target' or apart. */
typedef struct weight_target {
  saros_tensor *gradient;  // of the node
  saros_tensor *apart;     // null: the weight is read as a whole
  part part;
} weight_target;

static saros_status make_target(const loop_window *w, tensor_node *node, part p,
                                product_outer_factor *f, weight_target *out) {
  real beta;
  *out = (weight_target){.part = p};
  if (p.k == p.ld) {
    TRY(tensor_node_target(node, &out->gradient, &beta));
    f->target = tensor_reals(out->gradient), f->add = beta != 0;
    return SAROS_OK;
  }
  TRY(tensor_node_gradient(node, &out->gradient));
  TRY(tensor_new(w->context, SAROS_REAL, 2, (int[]){p.n, p.k}, &out->apart));
  f->target = tensor_reals(out->apart), f->add = 0;
  return SAROS_OK;
}

/* Adds what was made apart to the columns where it belongs. */
static void finish_target(const loop_window *w, weight_target *t) {
  const part *p = &t->part;
  for (int row = 0; t->apart != NULL && row < p->n; row++)
    w->kernels->pointwise->add_scaled(
        tensor_reals(t->gradient) + (ptrdiff_t)row * p->ld + p->column, 1,
        tensor_reals(t->apart) + (ptrdiff_t)row * p->k, (size_t)p->k);
  saros_tensor_release(t->apart);
}

static saros_status add_bias(const loop_window *w, tensor_node *node,
                             const saros_tensor *dbias) {
  saros_tensor *total;
  TRY(tensor_node_gradient(node, &total));
  w->kernels->pointwise->add_scaled(tensor_reals(total), 1, tensor_reals(dbias),
                                    total->count);
  return SAROS_OK;
}

/* The gradients of one weight and its bias, from columns of dy. */
static saros_status add_weight(const tape_entry *e, const loop_window *w,
                               const products *all, int number,
                               product_outer_sum *sum) {
  part p = part_at(w, all->linear[0], number);
  int bias = p.bias;
  weight_target target[2] = {{0}};
  saros_tensor *dbias = NULL;
  saros_status status = SAROS_OK;
  sum->factors = 0, sum->dbias = NULL, sum->m = p.n;
  for (int i = 0; i < all->count; i++) {
    part q = part_at(w, all->linear[i], number);
    bias = q.bias >= 0 ? q.bias : bias;
    if (e->input[q.weight] == NULL)
      continue;
    product_outer_factor *f = &sum->factor[sum->factors++];
    *f = all->read[i];
    TRY_OR_DONE(make_target(w, e->input[q.weight], q, f, &target[i]));
  }
  if (bias >= 0 && e->input[bias] != NULL) {
    TRY_OR_DONE(saros_tensor_new(w->context, SAROS_REAL, 1, &p.n, &dbias));
    sum->dbias = tensor_reals(dbias);
  }
  TRY_OR_DONE(product_add_outer(w->context, sum));
  if (dbias != NULL)
    status = add_bias(w, e->input[bias], dbias);
done:
  for (int i = 0; i < all->count; i++)
    finish_target(w, &target[i]);
  saros_tensor_release(dbias);
  return status;
}

/* dx += dy W of a lifted product, all steps at once. */
static saros_status add_lifted(const tape_entry *e, const loop_window *w,
                               const real *dy, int lifted) {
  const loop_graph *g = &w->plan->graph;
  int x = loop_input(g, lifted, 0);
  int n = g->value[lifted].width, k = g->value[x].width;
  tensor_node *node = e->input[g->value[x].which];
  saros_tensor *dx;
  real beta;
  loop_matrix m;
  if (node == NULL)
    return SAROS_OK;
  TRY(tensor_node_target(node, &dx, &beta));
  TRY(loop_weights(w, lifted, &m));
  saros_status status = product_multiply(
      w->context, tensor_reals(dx), k, (product_view){dy, n, 0},
      (product_view){m.data, m.ld, 0}, (product_sizes){w->T * w->B, k, n},
      beta);
  pool_give(&w->context->pool, m.own);
  return status;
}

static saros_tensor *gradient_of(const loop_window *w, const loop_sink *sink) {
  const loop_array *a = &w->plan->array[sink->array];
  return a->kind == LOOP_ARRAY_DVALUE ? w->dvalue[a->which]
                                      : w->dkept[a->which];
}

/* Products whose results have the same gradient, and the same weights. */
static saros_status add_products(const tape_entry *e, const loop_window *w,
                                 products *all) {
  const loop_graph *g = &w->plan->graph;
  int rows = w->T * w->B;
  product_outer_sum sum = {.dy = all->dy,
                           .ldy = g->value[all->linear[0]].width,
                           .rows = rows,
                           .split = w->plan->reverse ? rows - w->B : w->B};
  saros_status status = SAROS_OK;
  for (int i = 0; i < all->count && status == SAROS_OK; i++) {
    int linear = all->linear[i];
    status = find_read(w, linear, sum.split, &all->read[i], &all->own[i]);
    if (status == SAROS_OK && g->value[linear].op == LOOP_LIFTED)
      status = add_lifted(e, w, all->dy, linear);
  }
  for (int i = 0; i < part_count(w, all->linear[0]) && status == SAROS_OK;
       i++) {
    status = add_weight(e, w, all, i, &sum);
    sum.dy += sum.m;
  }
  for (int i = 0; i < all->count; i++)
    saros_tensor_release(all->own[i]);
  return status;
}

/* True if the gradients of both are one array, and their weights the same. */
static int go_together(const loop_window *w, const loop_sink *a,
                       const loop_sink *b) {
  const loop_graph *g = &w->plan->graph;
  return b->kind == LOOP_SINK_DPRODUCT && a->array == b->array &&
         g->value[a->which].which == g->value[b->which].which;
}

/* The gradients of all weights: products go in pairs, so that their common
** gradient is packed once. Those of a pair are neighbours in the list. */
static saros_status add_all_products(const tape_entry *e,
                                     const loop_window *w) {
  const loop_code *back = &w->plan->back;
  for (size_t i = 0; i < back->sinks; i++) {
    const loop_sink *sink = &back->sink[i];
    if (sink->kind != LOOP_SINK_DPRODUCT)
      continue;
    products all = {.dy = tensor_reals(gradient_of(w, sink)), .count = 1};
    all.linear[0] = sink->which;
    if (i + 1 < back->sinks && go_together(w, sink, &back->sink[i + 1]))
      all.linear[all.count++] = back->sink[++i].which;
    TRY(add_products(e, w, &all));
  }
  return SAROS_OK;
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
  TRY(add_all_products(e, w));
  for (size_t i = 0; i < back->sinks; i++) {
    const loop_sink *sink = &back->sink[i];
    if (sink->kind == LOOP_SINK_DINVARIANT)
      TRY(add_invariant(e, w, sink));
  }
  for (size_t i = 0; i < back->sinks; i++)
    if (back->sink[i].kind == LOOP_SINK_DOUTSIDE)
      TRY(tensor_node_add(e->input[back->sink[i].which],
                          saros_tensor_retain(gradient_of(w, &back->sink[i]))));
  for (int s = 0; s < w->plan->states; s++)
    TRY(add_first(e, w, s));
  return SAROS_OK;
}
