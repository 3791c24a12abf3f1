/*
** Sessions from C: no call of the allocator while they step, states as bytes,
** bytes that are no states, and what does not fit.
**
**   SAROS_STEPS=10000000 build/spec/session    steps longer without allocating
*/
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "saros.h"
#include "stages.h"

#define STEPS 100000  // unless the environment says more

enum { V = 11, E = 6, H = 24, O = 5, HEADS = 3, WINDOW = 7 };

typedef struct meter {
  long calls;
  long refuse_at;  // the call to refuse, and all after it; 0: none
} meter;

static void *metered(void *user, void *block, size_t old_size,
                     size_t new_size) {
  meter *m = user;
  (void)old_size;
  m->calls++;
  if (new_size == 0) {
    free(block);
    return NULL;
  }
  if (m->refuse_at > 0 && m->calls >= m->refuse_at)
    return NULL;
  return realloc(block, new_size);
}

/* --- Models ---------------------------------------------------------------------- */

/* The tensors of a model; those of a stage follow each other. */
typedef struct model {
  saros_context *context;
  saros_generator *generator;
  saros_tensor *tensors[64];
  int count;
} model;

static saros_tensor *tensor(model *m, int rank, int rows, int columns) {
  const int shape[2] = {rows, columns};
  saros_tensor **x = &m->tensors[m->count++];
  CHECK(saros_tensor_new(m->context, SAROS_REAL, rank, shape, x) == SAROS_OK,
        "a tensor is made");
  saros_fill_uniform(m->generator, -0.5, 0.5, *x);
  return *x;
}

static stage recurrent(model *m, saros_cell cell, int inputs) {
  int GH = saros_cell_of(cell).gates * H;
  return (stage){.kind = STAGE_RECURRENT,
                 .cell = cell,
                 .layer = {.weight_ih = tensor(m, 2, GH, inputs),
                           .weight_hh = tensor(m, 2, GH, H),
                           .bias_ih = tensor(m, 1, GH, 0),
                           .bias_hh = tensor(m, 1, GH, 0)}};
}

static stage linear(model *m, int inputs, int outputs) {
  return (stage){.kind = STAGE_LINEAR,
                 .weight = tensor(m, 2, outputs, inputs),
                 .bias = tensor(m, 1, outputs, 0)};
}

static model open_model(meter *count) {
  model m = {.context = saros_context_new(metered, count)};
  saros_generator_new(m.context, 7, &m.generator);
  return m;
}

static void close_model(model *m) {
  for (int i = 0; i < m->count; i++)
    saros_tensor_release(m->tensors[i]);
  saros_generator_release(m->generator);
  saros_context_release(m->context);
}

/* Symbols to logits, with every kind of stage and of cell. */
static int describe(model *m, stage *stages) {
  int n = 0;
  stages[n++] = (stage){.kind = STAGE_EMBEDDING, .weight = tensor(m, 2, V, E)};
  stages[n++] = recurrent(m, SAROS_LSTM, E);
  stages[n++] = recurrent(m, SAROS_GRU, H);
  stages[n] = recurrent(m, SAROS_GRU_BEFORE, H);
  stages[n++].zoneout[0] = 0.1;
  stages[n] = recurrent(m, SAROS_ELMAN_TANH, H);
  stages[n++].residual = 1;
  stages[n++] = (stage){.kind = STAGE_LAYER_NORM,
                        .weight = tensor(m, 1, H, 0),
                        .bias = tensor(m, 1, H, 0),
                        .epsilon = 1e-5};
  stages[n++] = linear(m, H, 3 * H);
  stages[n++] =
      (stage){.kind = STAGE_ATTENTION, .distance = tensor(m, 2, HEADS, WINDOW)};
  stages[n++] = linear(m, H, O);
  stages[n++] = (stage){.kind = STAGE_FUNCTION, .function = SAROS_TANH};
  return n;
}

static saros_session *open_weights(model *m, int streams,
                                   saros_weights weights) {
  stage stages[16];
  const int count = describe(m, stages);
  saros_session *s =
      stages_session(m->context, count, stages, streams, weights);
  CHECK(s != NULL, "a session is made: %s", saros_error(m->context));
  return s;
}

static saros_session *open_session(model *m, int streams) {
  return open_weights(m, streams, SAROS_WEIGHTS_REAL);
}

static void walk(saros_session *s, int steps) {
  int streams = saros_session_of(s).streams;
  int32_t ids[8];
  for (int t = 0; t < steps; t++) {
    for (int row = 0; row < streams; row++)
      ids[row] = (t * 7 + row * 3) % V;
    if (saros_session_step_ids(s, ids) != SAROS_OK)
      CHECK(0, "step %d", t);
  }
}

static int same_output(const saros_session *a, const saros_session *b) {
  saros_tensor *x = saros_session_output(a), *y = saros_session_output(b);
  return memcmp(saros_tensor_reals(x), saros_tensor_reals(y),
                saros_tensor_bytes(x)) == 0;
}

static int same_shape(const saros_tensor *a, const saros_tensor *b) {
  return saros_tensor_rank(a) == saros_tensor_rank(b) &&
         memcmp(saros_tensor_shape(a), saros_tensor_shape(b),
                (size_t)saros_tensor_rank(a) * sizeof(int)) == 0;
}

/* --- Checks --------------------------------------------------------------------------- */

static long wanted_steps(void) {
  const char *given = getenv("SAROS_STEPS");
  return given != NULL ? atol(given) : STEPS;
}

static void never_allocates(int streams, saros_weights weights) {
  const long steps = wanted_steps();
  meter count = {0};
  model m = open_model(&count);
  saros_session *s = open_weights(&m, streams, weights);
  saros_tensor *p;
  int32_t ids[8];
  const saros_sampling how = {
      .size = sizeof how, .temperature = 1, .top_k = 3, .top_p = 0.9};
  long before = count.calls;
  for (long t = 0; t < steps; t++) {
    walk(s, 1);
    saros_session_probabilities(s, &p);
    saros_session_sample(s, m.generator, &how, ids);
    if (t % 1000 == 0)
      saros_session_reset(s, (int)(t % streams));
  }
  CHECK(count.calls == before, "%ld steps of %d streams, weights %d: %ld calls",
        steps, streams, (int)weights, count.calls - before);
  saros_session_release(s);
  close_model(&m);
}

/* Hosts that were compiled with another version of the struct. */
static void reads_options_of_any_size(void) {
  meter count = {0};
  model m = open_model(&count);
  saros_session *s = open_session(&m, 1);
  struct {
    saros_sampling how;
    double later;
  } wide = {.how = {.size = sizeof wide}};
  int32_t id = -1, first = -1;
  walk(s, 1);
  saros_sampling how = {0};
  CHECK(saros_session_sample(s, NULL, &how, &id) == SAROS_EARGUMENT &&
            strstr(saros_error(m.context), "saros_sampling: expected size") !=
                NULL,
        "a size of 0 is told");
  how.size = offsetof(saros_sampling, bias);  // of an older host
  how.bias = (const saros_real *)&how;        // which it has not
  CHECK(saros_session_sample(s, NULL, &how, &first) == SAROS_OK, "%s",
        saros_error(m.context));
  CHECK(saros_session_sample(s, NULL, &wide.how, &id) == SAROS_OK &&
            id == first,
        "a newer host's struct is read, too");
  wide.later = 1;
  CHECK(saros_session_sample(s, NULL, &wide.how, &id) == SAROS_EARGUMENT,
        "unless it asks for what is not there");
  saros_session_release(s);
  close_model(&m);
}

static void goes_on_from_bytes(void) {
  meter count = {0};
  model m = open_model(&count);
  saros_session *a = open_session(&m, 3), *b, *other = open_session(&m, 3);
  walk(a, 10);
  CHECK(saros_session_fork(a, &b) == SAROS_OK, "a fork");
  CHECK(same_output(a, b), "a fork has the output");
  size_t size = saros_session_dump_size(a);
  char *bytes = malloc(size);
  saros_session_dump(a, bytes);
  walk(a, 5), walk(b, 5);
  CHECK(same_output(a, b), "a fork goes on alike");
  walk(b, 1);
  CHECK(!same_output(a, b), "and its own way");
  CHECK(saros_session_restore(b, bytes, size) == SAROS_OK, "restored");
  walk(b, 5);
  CHECK(same_output(a, b), "what was restored goes on alike");
  saros_session_release(a);
  walk(b, 5);
  free(bytes);
  saros_session_release(b);
  saros_session_release(other);
  close_model(&m);
}

static saros_session *with_state_of(model *m, int count, const stage *stages,
                                    saros_weights weights,
                                    const saros_session *from) {
  size_t size = saros_session_dump_size(from);
  char *bytes = malloc(size);
  saros_session_dump(from, bytes);
  saros_session *s = stages_session(m->context, count, stages,
                                    saros_session_of(from).streams, weights);
  saros_session_restore(s, bytes, size);
  free(bytes);
  return s;
}

static void packs_weights_again(saros_weights weights) {
  meter count = {0};
  model m = open_model(&count);
  stage stages[16];
  saros_session *s, *fork, *other;
  saros_tensor **parameters;
  int n = describe(&m, stages);
  saros_program_release(stages_program(m.context, n, stages, &parameters));
  s = stages_session(m.context, n, stages, 2, weights);
  walk(s, 5);
  saros_session_fork(s, &fork);
  for (int i = 0; i < m.count; i++)
    saros_fill_uniform(m.generator, -0.5, 0.5, m.tensors[i]);
  other = with_state_of(&m, n, stages, weights, s);
  CHECK(saros_session_repack(s, parameters) == SAROS_OK, "packed again");
  walk(s, 5), walk(fork, 5), walk(other, 5);
  CHECK(same_output(s, other), "the new weights and the old state");
  CHECK(!same_output(s, fork), "a fork keeps its weights");
  saros_session_release(fork);
  saros_session_release(other);
  saros_session_repack(s, parameters);
  long before = count.calls;
  for (int i = 0; i < 100; i++)
    saros_session_repack(s, parameters);
  CHECK(count.calls == before, "%ld calls", count.calls - before);
  saros_session_release(s);
  free(parameters);
  close_model(&m);
}

/* Other parameters, and too little memory: then the old weights stay. */
static void keeps_weights(void) {
  meter count = {0};
  model m = open_model(&count);
  stage stages[16];
  saros_session *s, *twin;
  saros_tensor **parameters, *none;
  int n = describe(&m, stages);
  saros_program_release(stages_program(m.context, n, stages, &parameters));
  s = stages_session(m.context, n, stages, 2, SAROS_WEIGHTS_REAL);
  saros_session_fork(s, &twin);
  for (int i = 0; i < m.count; i++) {
    none = parameters[i],
    parameters[i] = i % 2 == 0 ? NULL : tensor(&m, 1, 99, 0);
    CHECK(saros_session_repack(s, parameters) == SAROS_EARGUMENT,
          "parameter %d is another one", i);
    parameters[i] = none, m.count -= i % 2;
    if (i % 2 == 1)
      saros_tensor_release(m.tensors[m.count]);
  }
  for (int i = 0; i < m.count; i++)
    saros_fill_uniform(m.generator, -0.5, 0.5, m.tensors[i]);
  saros_trim(m.context);
  count.refuse_at = count.calls + 3;
  CHECK(saros_session_repack(s, parameters) == SAROS_EMEMORY, "out of memory");
  count.refuse_at = 0;
  walk(s, 5), walk(twin, 5);
  CHECK(same_output(s, twin), "the weights are the old ones");
  saros_session_release(s);
  saros_session_release(twin);
  free(parameters);
  close_model(&m);
}

/* Calls tamper(s, bytes, size) with what a session of two streams says of its
** state: all that comes of it is refused, and changes nothing. */
static void refuses(void (*tamper)(saros_session *s, char *bytes,
                                   size_t size)) {
  meter count = {0};
  model m = open_model(&count);
  saros_session *s = open_session(&m, 2), *twin;
  walk(s, 3);
  saros_session_fork(s, &twin);
  size_t size = saros_session_dump_size(s);
  char *bytes = malloc(size);
  saros_session_dump(s, bytes);
  tamper(s, bytes, size);
  walk(s, 3), walk(twin, 3);
  CHECK(same_output(s, twin), "what is refused changes nothing");
  saros_session_dump(twin, bytes);
  CHECK(saros_session_restore(s, bytes, size) == SAROS_OK, "%s",
        saros_error(m.context));
  free(bytes);
  saros_session_release(s);
  saros_session_release(twin);
  close_model(&m);
}

/* Bytes that are changed at one place, or too few. */
static void change_bytes(saros_session *s, char *bytes, size_t size) {
  size_t header = 8 + 5 * 4 + 4 * 7;  // seven states
  for (size_t at = 0; at < header; at++) {
    bytes[at] ^= 64;
    CHECK(saros_session_restore(s, bytes, size) == SAROS_EARGUMENT,
          "byte %zu of the header counts", at);
    bytes[at] ^= 64;
  }
  for (size_t cut = 0; cut < size; cut += 1 + cut / 8) {
    char *part = malloc(cut + 1);  // its end is watched
    part = realloc(part, cut > 0 ? cut : 1);
    memcpy(part, bytes, cut);
    CHECK(saros_session_restore(s, part, cut) == SAROS_EARGUMENT,
          "%zu bytes are too few", cut);
    free(part);
  }
}

/* A place in the ring of attention that would lead a step out of it. */
static void change_places(saros_session *s, char *bytes, size_t size) {
  static const double places[] = {-1,  0.5,      2 * WINDOW, 1e9,
                                  NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    saros_real place = (saros_real)places[i];
    memcpy(bytes + size - (1 + 2 * O) * sizeof place, &place, sizeof place);
    CHECK(saros_session_restore(s, bytes, size) == SAROS_EARGUMENT, "place %g",
          places[i]);
  }
}

static void refuses_models(void) {
  meter count = {0};
  model m = open_model(&count);
  stage stages[16];
  saros_session *s;
  saros_tensor **parameters;
  int n = describe(&m, stages);
  const int32_t ids[2] = {0, V};
  const saros_real x[2] = {0};
  saros_program *program = stages_program(m.context, n, stages, &parameters);
  CHECK(saros_session_new(m.context, program, parameters, 0, SAROS_WEIGHTS_REAL,
                          &s) == SAROS_EARGUMENT &&
            s == NULL,
        "no stream");
  CHECK(saros_session_new(m.context, program, parameters, 1,
                          SAROS_WEIGHTS_KINDS, &s) == SAROS_EARGUMENT,
        "no kind of weights");
  for (int i = 0; i < m.count; i++) {
    saros_tensor *given = parameters[i];
    parameters[i] = NULL;
    CHECK(saros_session_new(m.context, program, parameters, 1,
                            SAROS_WEIGHTS_REAL, &s) == SAROS_EARGUMENT,
          "parameter %d is not there", i);
    parameters[i] = m.tensors[(i + 1) % m.count];
    CHECK(same_shape(given, parameters[i]) ||
              saros_session_new(m.context, program, parameters, 1,
                                SAROS_WEIGHTS_REAL, &s) == SAROS_EARGUMENT,
          "parameter %d has another shape", i);
    parameters[i] = given;
  }
  saros_session_new(m.context, program, parameters, 2, SAROS_WEIGHTS_REAL, &s);
  CHECK(saros_session_step_ids(s, ids) == SAROS_EARGUMENT, "an id too large");
  CHECK(saros_session_step(s, x) == SAROS_EARGUMENT, "features");
  CHECK(saros_session_reset(s, 2) == SAROS_EARGUMENT, "row 2");
  saros_session_release(s);
  saros_program_release(program);
  free(parameters);
  close_model(&m);
}

/* Whenever memory ends while a session is made, what it had is given back. */
static void survives_refusals(void) {
  meter count = {0};
  model m = open_model(&count);
  stage stages[16];
  int n = describe(&m, stages);
  saros_tensor **parameters;
  saros_program *program = stages_program(m.context, n, stages, &parameters);
  saros_trim(m.context);
  size_t before = saros_memory_of(m.context).in_use;
  saros_status status = SAROS_EMEMORY;
  for (long after = 1; status == SAROS_EMEMORY && after < 1000; after++) {
    saros_session *s;
    count.refuse_at = count.calls + after;
    status = saros_session_new(m.context, program, parameters, 2,
                               SAROS_WEIGHTS_REAL, &s);
    saros_session_release(s);
    CHECK(saros_memory_of(m.context).in_use == before, "%ld: all given back",
          after);
    count.refuse_at = 0;
    saros_trim(m.context);
  }
  CHECK(status == SAROS_OK, "in the end it is made");
  saros_program_release(program);
  free(parameters);
  close_model(&m);
}

int main(void) {
  for (int weights = 0; weights < SAROS_WEIGHTS_KINDS; weights++) {
    never_allocates(1, (saros_weights)weights);
    never_allocates(3, (saros_weights)weights);
    packs_weights_again((saros_weights)weights);
  }
  keeps_weights();
  goes_on_from_bytes();
  reads_options_of_any_size();
  refuses(change_bytes);
  refuses(change_places);
  refuses_models();
  survives_refusals();
  return report();
}
