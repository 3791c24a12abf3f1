/*
** A host without Lua trains: an LSTM and a head learn to say what they read two
** steps before, with saros.h alone; then the weights go through a file into a
** session that does the same.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "saros.h"
#include "stages.h"

enum { V = 4, E = 6, H = 16, T = 12, B = 8, LAG = 2, PARAMETERS = 6 };

enum { TABLE, WEIGHT_IH, WEIGHT_HH, BIAS, HEAD, HEAD_BIAS };

static const char *const names[PARAMETERS] = {
    "table", "weight_ih", "weight_hh", "bias", "head", "head_bias"};
static const int shapes[PARAMETERS][2] = {{V, E},  {4 * H, E}, {4 * H, H},
                                          {4 * H}, {V, H},     {V}};

typedef struct model {
  saros_context *context;
  saros_generator *generator;
  saros_tensor *parameter[PARAMETERS];
  saros_tensor *first[PARAMETERS], *second[PARAMETERS];  // Adam's moments
} model;

/* Ends the program: what follows would make no sense. */
static void must(const model *m, saros_status status) {
  CHECK(status == SAROS_OK, "%s", saros_error(m->context));
  if (status != SAROS_OK)
    exit(report());
}

static void open_model(model *m) {
  *m = (model){.context = saros_context_new(NULL, NULL)};
  must(m, saros_generator_new(m->context, 1, &m->generator));
  for (int i = 0; i < PARAMETERS; i++) {
    saros_tensor **all[] = {&m->parameter[i], &m->first[i], &m->second[i]};
    for (int k = 0; k < 3; k++)
      must(m, saros_tensor_new(m->context, SAROS_REAL, shapes[i][1] ? 2 : 1,
                               shapes[i], all[k]));
    must(m, saros_fill_uniform(m->generator, -0.3, 0.3, m->parameter[i]));
    must(m, saros_set_trainable(m->parameter[i], 1));
  }
}

static void close_model(model *m) {
  for (int i = 0; i < PARAMETERS; i++) {
    saros_tensor_release(m->parameter[i]);
    saros_tensor_release(m->first[i]);
    saros_tensor_release(m->second[i]);
  }
  saros_generator_release(m->generator);
  saros_set_threads(m->context, 1);  // the others go home
  CHECK(saros_memory_of(m->context).in_use == 0, "%zu bytes are left",
        saros_memory_of(m->context).in_use);
  saros_context_release(m->context);
}

static void forward(model *m, saros_tensor *ids, saros_tensor **logits) {
  saros_tensor *const *p = m->parameter;
  const saros_named_tensor layer[] = {{"weight_ih", p[WEIGHT_IH]},
                                      {"weight_hh", p[WEIGHT_HH]},
                                      {"bias_ih", p[BIAS]}};
  saros_tensor *x, *y, *last[SAROS_MAX_STATES];
  must(m, saros_embedding(p[TABLE], ids, &x));
  must(m, saros_recurrent(SAROS_LSTM, x, NULL, layer, 3, NULL, &y, last));
  must(m, saros_linear(y, p[HEAD], p[HEAD_BIAS], logits));
  saros_tensor *const used[] = {x, y, last[0], last[1]};
  for (int i = 0; i < 4; i++)
    saros_tensor_release(used[i]);
}

/* One window: a forward pass, BPTT, clipping, a step of Adam. */
static double train(model *m, int step, saros_tensor *ids,
                    saros_tensor *targets) {
  const saros_update adam = {.rule = SAROS_ADAM,
                             .rate = 0.02,
                             .beta1 = 0.9,
                             .beta2 = 0.999,
                             .epsilon = 1e-8,
                             .step = step};
  saros_tape *tape;
  saros_tensor *logits, *loss;
  double norm;
  must(m, saros_tape_open(m->context, 1, &tape));
  forward(m, ids, &logits);
  must(m, saros_cross_entropy(logits, targets, NULL, &loss));
  must(m, saros_tape_backward(tape, loss, NULL));
  saros_tape_release(tape);
  must(m, saros_clip_norm(m->context, PARAMETERS, m->parameter, 1, &norm));
  for (int i = 0; i < PARAMETERS; i++) {
    must(m, saros_update_parameter(&adam, m->parameter[i], m->first[i],
                                   m->second[i]));
    saros_clear_gradient(m->parameter[i]);
  }
  double result = saros_tensor_get(loss, 0);
  saros_tensor_release(logits);
  saros_tensor_release(loss);
  return result;
}

/* Random ids, and the same LAG steps later. */
static void make_window(model *m, int32_t *ids, int32_t *targets) {
  for (int i = 0; i < T * B; i++) {
    ids[i] = (int32_t)saros_below(m->generator, V);
    targets[i] = i < LAG * B ? 0 : ids[i - LAG * B];
  }
}

static void learn(model *m) {
  saros_tensor *ids, *targets;
  const int shape[2] = {T, B};
  double first = 0, last = 0;
  must(m, saros_tensor_new(m->context, SAROS_IDS, 2, shape, &ids));
  must(m, saros_tensor_new(m->context, SAROS_IDS, 2, shape, &targets));
  for (int step = 1; step <= 200; step++) {
    make_window(m, saros_tensor_ids(ids), saros_tensor_ids(targets));
    last = train(m, step, ids, targets);
    first = step == 1 ? last : first;
  }
  CHECK(first > 1.2 && last < 0.1, "the loss falls from %g to %g", first, last);
  saros_tensor_release(ids);
  saros_tensor_release(targets);
}

static void save(model *m, const char *path) {
  saros_archive *archive;
  must(m, saros_archive_new(m->context, &archive));
  for (int i = 0; i < PARAMETERS; i++)
    must(m, saros_archive_add(archive, names[i], m->parameter[i]));
  must(m, saros_safetensors_write(archive, path));
  saros_archive_release(archive);
}

static saros_tensor *named(const saros_archive *archive, int which) {
  for (int i = 0; i < saros_archive_count(archive); i++)
    if (strcmp(saros_archive_name(archive, i), names[which]) == 0)
      return saros_archive_tensor(archive, i);
  return NULL;
}

/* In a context of its own, as another program would. */
static void use(const char *path) {
  model other = {.context = saros_context_new(NULL, NULL)};
  saros_archive *archive;
  saros_session *session;
  must(&other, saros_safetensors_read(other.context, path, &archive));
  const stage stages[] = {
      {.kind = STAGE_EMBEDDING, .weight = named(archive, TABLE)},
      {.kind = STAGE_RECURRENT,
       .cell = SAROS_LSTM,
       .layer = {.weight_ih = named(archive, WEIGHT_IH),
                 .weight_hh = named(archive, WEIGHT_HH),
                 .bias_ih = named(archive, BIAS)}},
      {.kind = STAGE_LINEAR,
       .weight = named(archive, HEAD),
       .bias = named(archive, HEAD_BIAS)}};
  session = stages_session(other.context, 3, stages, 1, SAROS_WEIGHTS_REAL);
  CHECK(session != NULL, "%s", saros_error(other.context));
  saros_archive_release(archive);
  const int32_t spoken[] = {3, 1, 0, 2, 2, 1, 3, 0};
  const saros_sampling greedy = {.size = sizeof greedy};
  int right = 0;
  for (int t = 0; t < 8; t++) {
    int32_t said = -1;
    must(&other, saros_session_step_ids(session, &spoken[t]));
    must(&other, saros_session_sample(session, NULL, &greedy, &said));
    right += t >= LAG && said == spoken[t - LAG];
  }
  CHECK(right == 8 - LAG, "%d of %d were right", right, 8 - LAG);
  saros_session_release(session);
  saros_context_release(other.context);
}

int main(void) {
  char path[] = "/tmp/saros-XXXXXX";
  model m;
  int file = mkstemp(path);
  CHECK(file >= 0 && close(file) == 0, "a place for a file");
  open_model(&m);
  learn(&m);
  save(&m, path);
  close_model(&m);
  use(path);
  remove(path);
  return report();
}
