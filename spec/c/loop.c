/*
** The loop over time against its naive twin: cells that are well known, and
** random ones of every kind of node, with all options; gradients of everything;
** any number of threads.
*/
#include <math.h>
#include <stdio.h>

#include "check.h"
#include "loop_random.h"

#ifdef SAROS_DOUBLE
static const double tolerance = 1e-9;
#else
static const double tolerance = 2e-3;
#endif

/* --- One window both ways ---------------------------------------------------------- */

static double uniform(void) {
  return (choose(20001) - 10000) / 10000.0;
}

static saros_tensor *random_tensor(saros_context *context, int rank,
                                   const int *shape, double scale) {
  saros_tensor *x = NULL;
  must(context, saros_tensor_new(context, SAROS_REAL, rank, shape, &x));
  for (size_t i = 0; i < x->count; i++)
    tensor_reals(x)[i] = (real)(scale * uniform());
  return x;
}

/* What a window is given, and what came out: results, then gradients. */
typedef struct window {
  made *m;
  int T, B;
  saros_tensor *outside[MOST_NODES], *first[MOST_STATES];
  saros_tensor *dropout[MOST_STATES], *zoneout[MOST_STATES];
  saros_tensor *dropped[MOST_NODES];
  loop_options how;
  int given;  // first states were
} window;

static saros_tensor *outside_tensor(window *w, int node) {
  made *m = w->m;
  const program_node *n = &m->node[node];
  saros_tensor *x;
  if (n->op == NODE_CONSTANT) {
    must(m->context,
         saros_tensor_new(m->context, SAROS_REAL, 1, (int[]){1}, &x));
    saros_fill(x, n->number[NUMBER_VALUE]);
    return x;
  }
  if (n->op == NODE_INPUT) {
    x = random_tensor(m->context, 3, (int[]){w->T, w->B, n->width}, 1);
  } else {
    const int *shape = m->shape[node];
    x = m->rank[node] == 2 ? random_tensor(m->context, 2, shape, 0.4)
                           : random_tensor(m->context, 1, shape + 1, 0.7);
  }
  saros_set_trainable(x, 1);
  return x;
}

static saros_tensor *of_ones(saros_context *context, int rank, const int *shape,
                             int zeros) {
  saros_tensor *x = random_tensor(context, rank, shape, 1);
  for (size_t i = 0; i < x->count; i++)
    tensor_reals(x)[i] = choose(100) >= zeros;
  return x;
}

/* Factors of dropout nodes: none, of all steps, or the same at each. */
static void make_dropped(window *w) {
  int count = 0;
  for (int i = 0; i < w->m->spec.count; i++) {
    const program_node *n = &w->m->node[w->m->nodes[i]];
    const int steps[] = {w->T, w->B, n->width};
    if (n->op != NODE_DROPOUT)
      continue;
    int kind = choose(3);
    if (kind > 0)
      w->dropped[count] =
          of_ones(w->m->context, 4 - kind, steps + (kind - 1), 40);
    count++;
  }
  w->how.dropped = w->dropped;
}

/* options: 1 first states, 2 mask, 4 reset, 8 dropout, 16 zoneout */
static void window_make(window *w, made *m, int T, int B, int options) {
  memset(w, 0, sizeof *w);
  w->m = m, w->T = T, w->B = B, w->given = options & 1;
  for (int i = 0; i < m->spec.outside_count; i++)
    w->outside[i] = outside_tensor(w, m->outside[i]);
  for (int s = 0; s < m->spec.state_count; s++) {
    const int rows[] = {B, m->state[s].width};
    const int steps[] = {T, B, m->state[s].width};
    if (options & 1)
      w->first[s] = random_tensor(m->context, 2, rows, 1);
    if (options & 1)
      saros_set_trainable(w->first[s], 1);
    if (options & 8)
      w->dropout[s] = of_ones(m->context, 2, rows, 30);
    if (options & 16 && s == 0)
      w->zoneout[s] = of_ones(m->context, 3, steps, 20);
  }
  w->how.dropout = w->dropout, w->how.zoneout = w->zoneout;
  make_dropped(w);
  if (options & 2)
    w->how.mask = of_ones(m->context, 2, (int[]){T, B}, 30);
  if (options & 4)
    w->how.reset = of_ones(m->context, 2, (int[]){T, B}, 70);
}

static void window_free(window *w) {
  for (int i = 0; i < MOST_NODES; i++) {
    saros_tensor_release(w->outside[i]);
    saros_tensor_release(w->dropped[i]);
  }
  for (int s = 0; s < MOST_STATES; s++) {
    saros_tensor_release(w->first[s]);
    saros_tensor_release(w->dropout[s]);
    saros_tensor_release(w->zoneout[s]);
  }
  saros_tensor_release(w->how.mask);
  saros_tensor_release(w->how.reset);
}

/* The sum of x times fixed numbers, each its own. */
static saros_tensor *weighed(heap *h, saros_tensor *x, unsigned seed) {
  unsigned long long before = seed_of_choices;
  seed_of_choices = seed;
  saros_tensor *by = keep(h, random_tensor(h->context, x->rank, x->shape, 1));
  seed_of_choices = before;
  saros_tensor *y = MAKE(h, saros_combine(SAROS_MULTIPLY, x, by, out));
  return MAKE(h, saros_sum(y, SAROS_ALL_AXES, 0, out));
}

#define MOST_RESULTS 400

/* Copies of results and gradients, in order. */
typedef struct results {
  int count;
  char name[MOST_RESULTS][24];
  double *value[MOST_RESULTS];
  size_t size[MOST_RESULTS];
} results;

static void add_result(results *r, const char *name, int number,
                       const saros_tensor *x) {
  int i = r->count++;
  snprintf(r->name[i], sizeof r->name[i], "%s %d", name, number);
  r->size[i] = x ? x->count : 0;
  r->value[i] = malloc((r->size[i] + 1) * sizeof(double));
  saros_tensor *flat_x = NULL;
  if (x != NULL)
    saros_contiguous((saros_tensor *)x, &flat_x);
  for (size_t k = 0; k < r->size[i]; k++)
    r->value[i][k] = (double)tensor_reals(flat_x)[k];
  saros_tensor_release(flat_x);
}

static void results_free(results *r) {
  for (int i = 0; i < r->count; i++)
    free(r->value[i]);
  r->count = 0;
}

static void add_gradients(results *r, const window *w) {
  for (int i = 0; i < w->m->spec.outside_count; i++)
    if (w->m->node[w->m->outside[i]].op != NODE_CONSTANT) {
      add_result(r, "d outside", i, saros_gradient(w->outside[i]));
      saros_clear_gradient(w->outside[i]);
    }
  for (int s = 0; s < w->m->spec.state_count && w->given; s++) {
    add_result(r, "d first", s, saros_gradient(w->first[s]));
    saros_clear_gradient(w->first[s]);
  }
}

static void run(window *w, int is_twin, results *r) {
  made *m = w->m;
  saros_tape *tape;
  heap h = {m->context, NULL, 0};
  saros_tensor *values[MOST_NODES], *last[MOST_STATES];
  r->count = 0;
  must(m->context, saros_tape_open(m->context, 1, &tape));
  if (is_twin) {
    twin_run(&h, &(twin_window){m, w->T, w->B, w->outside, w->first, &w->how},
             values, last);
  } else {
    must(m->context, loop_run(m->context, &m->spec, w->T, w->B, w->outside,
                              w->first, &w->how, values, last));
    for (int i = 0; i < m->spec.wanted_count; i++)
      keep(&h, values[i]);
    for (int s = 0; s < m->spec.state_count; s++)
      keep(&h, last[s]);
  }
  saros_tensor *loss = NULL;
  for (int i = 0; i < m->spec.wanted_count + m->spec.state_count; i++) {
    int s = i - m->spec.wanted_count;
    saros_tensor *x = s < 0 ? values[i] : last[s];
    add_result(r, s < 0 ? "value" : "last", s < 0 ? i : s, x);
    saros_tensor *y = weighed(&h, x, (unsigned)i + 7);
    loss = loss ? MAKE(&h, saros_combine(SAROS_ADD, loss, y, out)) : y;
  }
  if (tape_wants(m->context, loss))
    must(m->context, saros_tape_backward(tape, loss, NULL));
  add_gradients(r, w);
  saros_tape_release(tape);
  heap_free(&h);
}

/* The largest difference, relative to the size of what is compared. */
static double difference(const results *a, const results *b, int i) {
  double worst = 0, size = 0;
  if (a->size[i] != b->size[i] && a->size[i] > 0 && b->size[i] > 0)
    return INFINITY;
  size_t n = a->size[i] > b->size[i] ? a->size[i] : b->size[i];
  for (size_t k = 0; k < n; k++) {
    double x = a->size[i] ? a->value[i][k] : 0;
    double y = b->size[i] ? b->value[i][k] : 0;
    double d = fabs(x - y);
    worst = d > worst || d != d ? d : worst;
    size = fabs(y) > size ? fabs(y) : size;
  }
  return worst / (1 + size);
}

static void expect_twin(window *w, const char *what, int number) {
  static results loop, twin, again;
  run(w, 1, &twin);
  run(w, 0, &loop);
  for (int i = 0; i < loop.count; i++) {
    double d = difference(&loop, &twin, i);
    CHECK(d <= tolerance, "%s %d: %s differs from the twin by %g", what, number,
          loop.name[i], d);
  }
  saros_set_threads(w->m->context, 3);
  run(w, 0, &again);
  saros_set_threads(w->m->context, 1);
  for (int i = 0; i < loop.count; i++)
    CHECK(memcmp(loop.value[i], again.value[i],
                 loop.size[i] * sizeof(double)) == 0,
          "%s %d: %s depends on the threads", what, number, loop.name[i]);
  results_free(&loop), results_free(&twin), results_free(&again);
}

/* --- Cells ------------------------------------------------------------------------------ */

/* A gate of the LSTM before its function. form 0: x + U h, a slice of it; 1: each
** gate by itself; 2: one map of x .. h; 3: a map of c .. x .. h .. y for each. */
static int lstm_gate(made *m, int form, int i, int *all, int h, int c, int H) {
  if (form == 1)
    return plus(m, made_input(m, H), made_linear(m, h, H, i == 2));
  if (form == 3) {
    if (i == 0)
      *all =
          concatenate(m, 4, (int[]){c, made_input(m, 3), h, made_input(m, 2)});
    return made_linear(m, *all, H, i != 1);
  }
  if (i == 0 && form == 0)
    *all = plus(m, made_input(m, 4 * H), made_linear(m, h, 4 * H, 0));
  if (i == 0 && form == 2)
    *all = made_linear(m, concatenate(m, 2, (int[]){made_input(m, 6), h}),
                       4 * H, 1);
  return made_slice(m, *all, i * H, H);
}

/* Perhaps with a peephole of c into the forget gate. */
static void make_lstm(made *m, int H, int form, int peephole) {
  int h = made_state(m, H, -1), c = made_state(m, H, -1), gate[4], all = -1;
  for (int i = 0; i < 4; i++)
    gate[i] = lstm_gate(m, form, i, &all, h, c, H);
  if (peephole)
    gate[1] = plus(m, gate[1], times(m, c, made_parameter(m, 1, 1, H)));
  int candidate = made_unary(m, SAROS_TANH, gate[2]);
  int next = plus(m, times(m, sigmoid_of(m, gate[1]), c),
                  times(m, sigmoid_of(m, gate[0]), candidate));
  int y = times(m, sigmoid_of(m, gate[3]), made_unary(m, SAROS_TANH, next));
  m->state[0].next = y, m->state[1].next = next;
  made_want(m, y);
}

static void make_gru(made *m, int H, int reset_before) {
  int first = made_parameter(m, 1, 1, H);
  int h = made_state(m, H, first), x = made_input(m, 3 * H), r, z, n;
  int one = made_constant(m, 1);
  if (reset_before) {
    int u = made_linear(m, h, 2 * H, 1);
    r = sigmoid_of(m, plus(m, made_slice(m, x, 0, H), made_slice(m, u, 0, H)));
    z = sigmoid_of(m, plus(m, made_slice(m, x, H, H), made_slice(m, u, H, H)));
    n = plus(m, made_slice(m, x, 2 * H, H),
             made_linear(m, times(m, r, h), H, 0));
  } else {
    int u = made_linear(m, h, 3 * H, 1);
    r = sigmoid_of(m, plus(m, made_slice(m, x, 0, H), made_slice(m, u, 0, H)));
    z = sigmoid_of(m, plus(m, made_slice(m, x, H, H), made_slice(m, u, H, H)));
    n = plus(m, made_slice(m, x, 2 * H, H),
             times(m, r, made_slice(m, u, 2 * H, H)));
  }
  n = made_unary(m, SAROS_TANH, n);
  int next = plus(m, times(m, made_binary(m, SAROS_SUBTRACT, one, z), n),
                  times(m, z, h));
  m->state[0].next = next;
  made_want(m, next);
  made_want(m, r);
}

static void check_cells(saros_context *context) {
  static made m;
  static window w;
  for (int kind = 0; kind < 10; kind++)
    for (int options = 0; options < 32; options++) {
      made_start(&m, context);
      seed_of_choices = (unsigned)(kind * 32 + options);
      if (kind < 8)
        make_lstm(&m, 5 + 11 * (kind & 1), kind & 3, kind & 4);
      else
        make_gru(&m, 7, kind & 1);
      m.state[0].reverse = m.state[1].reverse = options % 3 == 1;
      window_make(&w, &m, 1 + choose(7), 1 + choose(9), options);
      expect_twin(&w, "cell", kind * 32 + options);
      window_free(&w);
      loop_forget(m.p.loops);
    }
}

/* Sizes whose blocks, strips and products are cut. */
static void check_sizes(saros_context *context) {
  static const int sizes[][2] = {
      {16, 70}, {32, 33}, {128, 40}, {300, 9}, {1100, 2}};
  static made m;
  static window w;
  for (int i = 0; i < 5; i++) {
    made_start(&m, context);
    seed_of_choices = (unsigned)i;
    if (i % 2)
      make_gru(&m, sizes[i][0], 0);
    else
      make_lstm(&m, sizes[i][0], 0, 1);
    window_make(&w, &m, 4, sizes[i][1], i == 1 ? 31 : 1);
    expect_twin(&w, "size", sizes[i][0]);
    window_free(&w);
    loop_forget(m.p.loops);
  }
}

/* --- Random cells ---------------------------------------------------------------------- */

static void check_random(saros_context *context, int count) {
  static made m;
  static window w;
  for (int seed = 0, done = 0; done < count; seed++) {
    made_start(&m, context);
    seed_of_choices = (unsigned)seed * 77 + 1;
    choose(2);
    make_random(&m, 3 + choose(10));
    int options = choose(4) ? choose(32) : 0;
    for (int s = 0; s < MOST_STATES; s++)
      m.state[s].reverse = seed % 4 == 1;
    if (!is_component(&m))
      continue;
    window_make(&w, &m, 1 + choose(5), 1 + choose(6), options);
    expect_twin(&w, "random", seed);
    window_free(&w);
    loop_forget(m.p.loops);
    done++;
  }
}

/* Rows on both sides of LOOP_SHORT, with gates in the place of their sums. */
static void check_gates(saros_context *context, int count) {
  static const int widths[] = {1, 3, 63, 64, 65, 130, 257};
  static made m;
  static window w;
  for (int seed = 0; seed < count; seed++) {
    made_start(&m, context);
    seed_of_choices = (unsigned)seed * 7919 + 3;
    choose(2);
    make_gates(&m, widths[choose(7)]);
    for (int s = 0; s < MOST_STATES; s++)
      m.state[s].reverse = seed % 2;
    int B = choose(8) ? 1 + choose(9) : 33 + choose(40);
    window_make(&w, &m, 1 + choose(5), B, choose(4) ? choose(32) : 0);
    expect_twin(&w, "gates", seed);
    window_free(&w);
    loop_forget(m.p.loops);
  }
}

/* --- What is saved --------------------------------------------------------------------- */

/* h' = f(a) tanh(a) a, with a = U h + x: the way back reads a and f(a). */
static void make_saving(made *m, int f) {
  int h = made_state(m, W, -1);
  int a = plus(m, made_input(m, W), made_linear(m, h, W, 0));
  int y = made_unary(m, f, a);
  m->state[0].next = times(m, y, times(m, made_unary(m, SAROS_TANH, a), a));
  made_want(m, m->state[0].next);
}

/* Functions that are as fast to compute again as to read are not saved. */
static void check_saved(saros_context *context) {
  static const char is_cheap[SAROS_FUNCTIONS] = {
      [SAROS_NEGATE] = 1,       [SAROS_ABS] = 1,      [SAROS_RELU] = 1,
      [SAROS_ISFINITE] = 1,     [SAROS_ISNAN] = 1,    [SAROS_LEAKY_RELU] = 1,
      [SAROS_HARD_SIGMOID] = 1, [SAROS_HARD_TANH] = 1};
  static made m;
  static window w;
  for (int f = 0; f < SAROS_FUNCTIONS; f++) {
    results r;
    made_start(&m, context);
    make_saving(&m, f);
    window_make(&w, &m, 2, 3, 0);
    run(&w, 0, &r);
    int found = 0;
    for (int v = 0; v < m.p.loops->forward; v++) {
      const loop_value *value = &m.p.loops->graph.value[v];
      if (value->op != LOOP_UNARY || value->function != f)
        continue;
      found++;
      CHECK(m.p.loops->saved[v] != is_cheap[f], "%s: saved %d",
            saros_function_name((saros_function)f), m.p.loops->saved[v]);
    }
    CHECK(found == 1, "%s: %d values", saros_function_name((saros_function)f),
          found);
    results_free(&r);
    window_free(&w);
    loop_forget(m.p.loops);
  }
}

/* The width of all arrays that the way forward leaves, of all steps. */
static int kept_width(const made *m) {
  int width = 0;
  for (size_t i = 0; i < m->p.loops->arrays; i++)
    if (m->p.loops->array[i].kind == LOOP_ARRAY_KEPT)
      width += m->p.loops->array[i].width;
  return width;
}

/* What else reads the sums of the gates. */
enum { NOTHING, WANTED, TWICE, READERS };

static void make_read(made *m, int reader, int H, int form, int peephole) {
  make_lstm(m, H, form, peephole);
  for (int i = 0, node; reader != NOTHING && i < m->spec.count; i++) {
    node = m->nodes[i];
    if (m->node[node].op != NODE_SLICE && m->node[node].op != NODE_LINEAR)
      continue;
    int other = reader == TWICE ? made_unary(m, SAROS_SIN, node) : node;
    if (m->node[other].width == H)
      m->state[1].next = plus(m, m->state[1].next, other);
    if (reader == WANTED)
      made_want(m, node);
    return;
  }
}

/* Gates are saved in the place of their sums, unless something else reads these:
** in form 3 the first sum alone, which is saved beside its gate. */
static void check_in_place(saros_context *context) {
  static const int options[] = {0, 1, 6, 31};
  static made m;
  static window w;
  const int H = 70;
  for (int i = 0; i < 4 * READERS * 2 * 4; i++) {
    int form = i % 4, reader = i / 4 % READERS, peephole = i / 12 % 2;
    made_start(&m, context);
    seed_of_choices = (unsigned)i;
    make_read(&m, reader, H, form, peephole);
    window_make(&w, &m, 3, 5, options[i / 24]);
    expect_twin(&w, "in place", i);
    int width = kept_width(&m), apart = reader == TWICE && form == 3 ? 2 : 0;
    if (reader != WANTED && form > 1 && options[i / 24] < 2)
      CHECK(width == (7 + apart) * H, "form %d: %d kept, not %d", form, width,
            (7 + apart) * H);
    window_free(&w);
    loop_forget(m.p.loops);
  }
}

int main(void) {
  saros_context *context = saros_context_new(NULL, NULL);
  saros_set_threads(context, 1);
  check_cells(context);
  check_sizes(context);
  check_random(context, 150);
  check_gates(context, 200);
  check_saved(context);
  check_in_place(context);
  saros_context_release(context);
  return report();
}
