/*
** Programs under an allocator that refuses: reading one, running it with a mask
** and resets, and the way back, either succeed or leave nothing behind; and so does
** a session of one.
*/
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "saros.h"

/* A loop over [x, h] with a first value, a delayed input, a cell, a window,
** attention and a delta node, whose results are outputs side by side. */
static const char text[] =
    "{\"format\": 1,"
    "\"parameters\": [{\"name\": \"W\", \"shape\": [2, 4]},"
    " {\"name\": \"U\", \"shape\": [2, 2]}, {\"name\": \"b\", \"shape\": [2]}],"
    "\"states\": [{\"name\": \"h\", \"width\": 2, \"next\": 7, \"first\": 18},"
    " {\"name\": \"before\", \"width\": 2, \"next\": 0, \"first\": 3},"
    " {\"name\": \"cell\", \"width\": 2, \"next\": 9, \"first\": 3},"
    " {\"name\": \"ring\", \"width\": 2, \"next\": 10},"
    " {\"name\": \"memory\", \"width\": 4, \"next\": 12},"
    " {\"name\": \"exists\", \"width\": 1, \"next\": 12},"
    " {\"name\": \"m\", \"width\": 4, \"next\": 16, \"first\": 2}],"
    "\"nodes\": [{\"op\": \"input\", \"name\": \"x\", \"width\": 2},"
    " {\"op\": \"parameter\", \"parameter\": 0},"
    " {\"op\": \"parameter\", \"parameter\": 1},"
    " {\"op\": \"parameter\", \"parameter\": 2},"
    " {\"op\": \"state\", \"state\": 0},"
    " {\"op\": \"concatenate\", \"in\": [0, 4]},"
    " {\"op\": \"linear\", \"in\": [5, 1, 3]},"
    " {\"op\": \"tanh\", \"in\": [6]},"
    " {\"op\": \"state\", \"state\": 1},"
    " {\"op\": \"cell\", \"in\": [8, 2, 2], \"cell\": \"elman_tanh\","
    "  \"with\": [\"weight_ih\", \"weight_hh\"], \"states\": [2],"
    "  \"zoneout\": [0.5]},"
    " {\"op\": \"window\", \"in\": [9], \"state\": 3, \"dilation\": 1},"
    " {\"op\": \"softmax\", \"in\": [10], \"outer\": 1, \"n\": 4, \"inner\": "
    "1},"
    " {\"op\": \"attention\", \"in\": [7, 8, 9, 3], \"heads\": 1,"
    "  \"window\": 2, \"states\": [4, 5]},"
    " {\"op\": \"dropout\", \"in\": [12], \"p\": 0.5},"
    " {\"op\": \"constant\", \"value\": 0.5},"
    " {\"op\": \"negate\", \"in\": [3]},"
    " {\"op\": \"delta\", \"in\": [7, 8, 9, 14, 14, 15], \"heads\": 1,"
    "  \"states\": [6]},"
    " {\"op\": \"concatenate\", \"in\": [7, 3, 11, 13, 16]},"
    " {\"op\": \"exp\", \"in\": [3]}],"
    "\"outputs\": [{\"name\": \"y\", \"node\": 17},"
    " {\"name\": \"h\", \"node\": 7}]}";

enum { T = 3, B = 2, PARAMETERS = 3, OUTPUTS = 2, STATES = 7 };

typedef struct meter {
  long requests, refuse_at;
} meter;

static void *refusing(void *user, void *block, size_t old, size_t new) {
  meter *m = user;
  (void)old;
  if (new == 0) {
    free(block);
    return NULL;
  }
  if (++m->requests >= m->refuse_at && m->refuse_at > 0)
    return NULL;
  return realloc(block, new);
}

typedef struct given {
  saros_context *context;
  saros_generator *generator;
  saros_tensor *parameters[PARAMETERS], *x, *mask, *reset;
} given;

static saros_tensor *tensor_of(saros_context *context, int rank,
                               const int *shape, double value) {
  saros_tensor *x = NULL;
  CHECK(saros_tensor_new(context, SAROS_REAL, rank, shape, &x) == SAROS_OK &&
            saros_fill(x, value) == SAROS_OK,
        "a tensor");
  return x;
}

static void prepare(given *g) {
  static const int shapes[PARAMETERS][2] = {{2, 4}, {2, 2}, {2, 0}};
  const int steps[2] = {T, B}, x[3] = {T, B, 2};
  for (int i = 0; i < PARAMETERS; i++) {
    g->parameters[i] = tensor_of(g->context, i < 2 ? 2 : 1, shapes[i], 0.3);
    CHECK(saros_set_trainable(g->parameters[i], 1) == SAROS_OK, "trainable");
  }
  g->x = tensor_of(g->context, 3, x, 0.7);
  g->mask = tensor_of(g->context, 2, steps, 1);
  g->reset = tensor_of(g->context, 2, steps, 0);
  saros_tensor_reals(g->mask)[T * B - 1] = 0;
  saros_tensor_reals(g->reset)[B] = 1;
  CHECK(saros_generator_new(g->context, 1, &g->generator) == SAROS_OK,
        "a generator");
}

static void release(saros_tensor **x, int count) {
  for (int i = 0; i < count; i++)
    saros_tensor_release(x[i]);
}

/* The gradient of the sum of the first output. */
static saros_status go_back(saros_tape *tape, saros_tensor *y) {
  saros_tensor *sum;
  saros_status status = saros_sum(y, SAROS_ALL_AXES, 0, &sum);
  if (status == SAROS_OK)
    status = saros_tape_backward(tape, sum, NULL);
  saros_tensor_release(sum);
  return status;
}

static saros_status run(const given *g, saros_program *p, int plain) {
  saros_program_options how = {.size = sizeof how,
                               .mask = g->mask,
                               .reset = g->reset,
                               .generator = g->generator,
                               .plain = plain};
  saros_tensor *outputs[OUTPUTS] = {NULL}, *last[STATES] = {NULL};
  saros_tape *tape;
  saros_status status = saros_tape_open(g->context, 1, &tape);
  if (status == SAROS_OK)
    status =
        saros_program_run(p, g->parameters, &g->x, NULL, &how, outputs, last);
  if (status == SAROS_OK)
    status = go_back(tape, outputs[0]);
  else
    for (int i = 0; i < STATES; i++)
      CHECK(last[i] == NULL && outputs[i % OUTPUTS] == NULL,
            "no results of a run that failed");
  release(outputs, OUTPUTS);
  release(last, STATES);
  saros_tape_release(tape);
  for (int i = 0; i < PARAMETERS; i++)
    saros_clear_gradient(g->parameters[i]);
  return status;
}

/* A session of two streams and a step of it. */
static saros_status step(const given *g, saros_program *p) {
  saros_session *s;
  saros_status status = saros_session_new(g->context, p, g->parameters, B,
                                          SAROS_WEIGHTS_REAL, &s);
  if (status == SAROS_OK)
    status = saros_session_step(s, saros_tensor_reals(g->x));
  saros_session_release(s);
  return status;
}

/* What is done with the program. */
enum { COMPILED, PLAIN, SESSION };

static saros_status read_and_run(const given *g, int how) {
  saros_program *p;
  saros_status status =
      saros_program_read(g->context, text, sizeof text - 1, &p);
  if (status == SAROS_OK)
    status = how == SESSION ? step(g, p) : run(g, p, how == PLAIN);
  saros_program_release(p);
  return status;
}

/* Refuses all requests from one on, a later one each time, until none is left. */
static void refuse_each(int how) {
  meter m = {0};
  given g = {.context = saros_context_new(refusing, &m)};
  prepare(&g);
  CHECK(read_and_run(&g, how) == SAROS_OK, "runs: %s", saros_error(g.context));
  size_t before = saros_memory_of(g.context).in_use;
  long at = 0, refused = 0;
  for (saros_status status = SAROS_EMEMORY; status != SAROS_OK;) {
    saros_trim(g.context);
    m.requests = 0;
    m.refuse_at = ++at;
    status = read_and_run(&g, how);
    m.refuse_at = 0;
    refused += status != SAROS_OK;
    CHECK(status == SAROS_OK || status == SAROS_EMEMORY, "refusal %ld: %s", at,
          saros_error(g.context));
    size_t after = saros_memory_of(g.context).in_use;
    CHECK(after == before, "refusal %ld: %ld bytes left", at,
          (long)after - (long)before);
    if (at > 5000 || after != before)
      break;
  }
  CHECK(refused > 20, "refused %ld times", refused);
  saros_context_destroy(g.context);
}

int main(void) {
  refuse_each(COMPILED);
  refuse_each(PLAIN);
  refuse_each(SESSION);
  return report();
}
