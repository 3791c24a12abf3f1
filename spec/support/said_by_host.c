/*
** What models from files say in a host without Lua:
**
**   said_by_host FOLDER COUNT
**
** reads N.safetensors and N.units for each N up to COUNT, and writes N.host:
** "run.NAME" of a sequence, "step.NAME" of a session of all rows, "last.STATE";
** of sessions that take over states "again.NAME" behind all steps, and behind the
** first ones "WEIGHTS.NAME" and, of one stream, "WEIGHTS alone.NAME".
** The metadata "load" or "session" have what was refused.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "saros.h"

enum { MOST = 64, CUT = 3 };  // steps before states go to another session

static saros_context *context;

static void must(saros_status status) {
  if (status == SAROS_OK)
    return;
  fprintf(stderr, "%s\n", saros_error(context));
  exit(1);
}

static void add(saros_archive *out, const char *prefix, const char *name,
                saros_tensor *x) {
  char text[512];
  saros_tensor *whole = NULL;
  snprintf(text, sizeof text, "%s.%s", prefix, name);
  must(saros_contiguous(x, &whole));
  must(saros_archive_add(out, text, whole));
  saros_tensor_release(whole);
}

static saros_tensor *find(const saros_archive *archive, const char *name) {
  for (int i = 0; i < saros_archive_count(archive); i++)
    if (strcmp(saros_archive_name(archive, i), name) == 0)
      return saros_archive_tensor(archive, i);
  fprintf(stderr, "no input %s\n", name);
  exit(1);
}

/* The whole sequence; what came out and the states behind it, which are the
** caller's, go to 'out'. */
static void run(const saros_model *model, saros_tensor *const *inputs,
                saros_tensor **last, saros_archive *out) {
  saros_program *p = saros_model_program(model);
  const saros_program_facts facts = saros_program_of(p);
  saros_tensor *y[MOST];
  must(saros_program_run(p, saros_model_parameters(model), inputs, NULL, NULL,
                         y, last));
  for (int i = 0; i < facts.outputs; i++) {
    add(out, "run", saros_program_output(p, i).name, y[i]);
    saros_tensor_release(y[i]);
  }
  for (int i = 0; i < facts.states; i++)
    add(out, "last", saros_program_state(p, i).name, last[i]);
}

/* One step of all rows, or, in a session of one stream, of the first ones alone. */
static void step(saros_session *session, saros_tensor *const *inputs, int t) {
  const int count = saros_session_of(session).input_count;
  const int rows = saros_tensor_shape(inputs[0])[1];
  const void *given[MOST];
  for (int i = 0; i < count; i++) {
    const int width =
        saros_program_input(saros_session_program(session), i).width;
    if (saros_tensor_dtype(inputs[i]) == SAROS_REAL)
      given[i] = saros_tensor_reals(inputs[i]) + (size_t)t * rows * width;
    else
      given[i] = saros_tensor_ids(inputs[i]) + (size_t)t * rows;
  }
  must(saros_session_step_inputs(session, given));
}

/* Steps first..last-1; what came out goes to 'out', under "prefix.NAME". */
static void step_all(saros_session *session, saros_tensor *const *inputs,
                     int first, int last, saros_archive *out,
                     const char *prefix) {
  const saros_program *p = saros_session_program(session);
  const int T = last - first;
  const int outputs = saros_session_of(session).output_count;
  saros_tensor **said = calloc((size_t)T * outputs, sizeof *said);
  if (said == NULL)
    exit(1);
  for (int t = 0; t < T; t++) {
    step(session, inputs, first + t);
    for (int i = 0; i < outputs; i++)
      must(saros_clone(saros_session_output_at(session, i), &said[i * T + t]));
  }
  for (int i = 0; i < outputs; i++) {
    saros_tensor *all = NULL;
    must(saros_stack(context, T, said + i * T, 0, &all));
    add(out, prefix, saros_program_output(p, i).name, all);
    saros_tensor_release(all);
  }
  for (int i = 0; i < T * outputs; i++)
    saros_tensor_release(said[i]);
  free(said);
}

/* --- States that go from one to another -------------------------------------------- */

static saros_session *session_of(const saros_model *model, int streams,
                                 saros_weights weights) {
  saros_session *session = NULL;
  must(saros_model_session(model, streams, weights, &session));
  return session;
}

static void states_of(const saros_session *session, saros_tensor **states) {
  const saros_program *p = saros_session_program(session);
  for (int i = 0; i < saros_session_of(session).state_count; i++) {
    const int shape[] = {saros_session_of(session).streams,
                         saros_program_state(p, i).width};
    must(saros_tensor_new(context, SAROS_REAL, 2, shape, &states[i]));
    must(saros_session_state(session, i, states[i]));
  }
}

static void release_all(saros_tensor **tensors, int count) {
  for (int i = 0; i < count; i++)
    saros_tensor_release(tensors[i]);
}

/* The first row of the states goes to a session of one stream. */
static void set_first_row(saros_session *session, saros_tensor *const *states) {
  saros_tensor *row = NULL;
  for (int i = 0; i < saros_session_of(session).state_count; i++) {
    must(saros_slice(states[i], 0, 0, 1, &row));
    must(saros_session_set_state(session, i, row));
    saros_tensor_release(row);
  }
}

/* The steps from CUT on, in another session and in one of a single stream, whose
** states are those of a first session behind the steps before. */
static void hand_over(const saros_model *model, const char *weights,
                      saros_weights kind, saros_tensor *const *inputs,
                      saros_archive *out) {
  const int T = saros_tensor_shape(inputs[0])[0];
  saros_session *before =
      session_of(model, saros_tensor_shape(inputs[0])[1], kind);
  saros_session *behind =
      session_of(model, saros_tensor_shape(inputs[0])[1], kind);
  saros_session *alone = session_of(model, 1, kind);
  saros_tensor *states[MOST];
  char prefix[64];
  for (int t = 0; t < CUT; t++)
    step(before, inputs, t);
  states_of(before, states);
  must(saros_session_set_states(behind, states));
  set_first_row(alone, states);
  step_all(behind, inputs, CUT, T, out, weights);
  snprintf(prefix, sizeof prefix, "%s alone", weights);
  step_all(alone, inputs, CUT, T, out, prefix);
  release_all(states, saros_session_of(before).state_count);
  saros_session_release(before);
  saros_session_release(behind);
  saros_session_release(alone);
}

/* The first steps once more, in a session behind the whole sequence at once. */
static void go_on(const saros_model *model, saros_tensor *const *last,
                  saros_tensor *const *inputs, saros_archive *out) {
  saros_session *session =
      session_of(model, saros_tensor_shape(inputs[0])[1], SAROS_WEIGHTS_REAL);
  must(saros_session_set_states(session, last));
  step_all(session, inputs, 0, CUT, out, "again");
  saros_session_release(session);
}

/* What a session of the model says: step by step, and with states of others. */
static void use_sessions(const saros_model *model, saros_tensor *const *inputs,
                         saros_tensor *const *last, saros_archive *out) {
  static const char *const names[] = {"real", "bf16", "int8"};
  saros_session *session = NULL;
  if (saros_model_session(model, saros_tensor_shape(inputs[0])[1],
                          SAROS_WEIGHTS_REAL, &session) != SAROS_OK) {
    must(saros_archive_add_metadata(out, "session", saros_error(context)));
    return;
  }
  step_all(session, inputs, 0, saros_tensor_shape(inputs[0])[0], out, "step");
  saros_session_release(session);
  go_on(model, last, inputs, out);
  for (int i = 0; i < SAROS_WEIGHTS_KINDS; i++)
    hand_over(model, names[i], (saros_weights)i, inputs, out);
}

static void use(const saros_model *model, const saros_archive *given,
                saros_archive *out) {
  saros_program *p = saros_model_program(model);
  const int count = saros_program_of(p).inputs;
  saros_tensor *inputs[MOST], *last[MOST];
  for (int i = 0; i < count; i++)
    inputs[i] = find(given, saros_program_input(p, i).name);
  run(model, inputs, last, out);
  use_sessions(model, inputs, last, out);
  release_all(last, saros_program_of(p).states);
}

int main(int count, char **words) {
  char path[1024];
  if (count != 3)
    return 2;
  context = saros_context_new(NULL, NULL);
  for (int n = 1; n <= atoi(words[2]); n++) {
    saros_model *model = NULL;
    saros_archive *given = NULL, *out = NULL;
    must(saros_archive_new(context, &out));
    snprintf(path, sizeof path, "%s/%d.units", words[1], n);
    must(saros_safetensors_read(context, path, &given));
    snprintf(path, sizeof path, "%s/%d.safetensors", words[1], n);
    if (saros_model_load(context, path, &model) == SAROS_OK)
      use(model, given, out);
    else
      must(saros_archive_add_metadata(out, "load", saros_error(context)));
    snprintf(path, sizeof path, "%s/%d.host", words[1], n);
    must(saros_safetensors_write(out, path));
    saros_model_release(model);
    saros_archive_release(given);
    saros_archive_release(out);
  }
  saros_context_release(context);
  return 0;
}
