/*
** What models from files say in a host without Lua:
**
**   said_by_host FOLDER COUNT
**
** reads N.safetensors and N.inputs for each N up to COUNT, and writes N.host:
** "run.NAME" of a sequence, "step.NAME" of a session of all rows, "last.STATE".
** The metadata "load" or "session" have what was refused.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "saros.h"

enum { MOST = 64 };

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

/* The whole sequence; what came out and the states behind it go to 'out'. */
static void run(const saros_model *model, saros_tensor *const *inputs,
                saros_archive *out) {
  saros_program *p = saros_model_program(model);
  const saros_program_facts facts = saros_program_of(p);
  saros_tensor *y[MOST], *last[MOST];
  must(saros_program_run(p, saros_model_parameters(model), inputs, NULL, NULL,
                         y, last));
  for (int i = 0; i < facts.outputs; i++) {
    add(out, "run", saros_program_output(p, i).name, y[i]);
    saros_tensor_release(y[i]);
  }
  for (int i = 0; i < facts.states; i++) {
    add(out, "last", saros_program_state(p, i).name, last[i]);
    saros_tensor_release(last[i]);
  }
}

/* One step of all rows. */
static void step(saros_session *session, saros_tensor *const *inputs, int t) {
  const int count = saros_session_of(session).input_count;
  const int B = saros_session_of(session).streams;
  const void *given[MOST];
  for (int i = 0; i < count; i++) {
    const int width =
        saros_program_input(saros_session_program(session), i).width;
    if (saros_tensor_dtype(inputs[i]) == SAROS_REAL)
      given[i] = saros_tensor_reals(inputs[i]) + (size_t)t * B * width;
    else
      given[i] = saros_tensor_ids(inputs[i]) + (size_t)t * B;
  }
  must(saros_session_step_inputs(session, given));
}

static void step_all(saros_session *session, saros_tensor *const *inputs,
                     saros_archive *out) {
  const saros_program *p = saros_session_program(session);
  const int T = saros_tensor_shape(inputs[0])[0];
  const int outputs = saros_session_of(session).output_count;
  saros_tensor **said = calloc((size_t)T * outputs, sizeof *said);
  if (said == NULL)
    exit(1);
  for (int t = 0; t < T; t++) {
    step(session, inputs, t);
    for (int i = 0; i < outputs; i++)
      must(saros_clone(saros_session_output_at(session, i), &said[i * T + t]));
  }
  for (int i = 0; i < outputs; i++) {
    saros_tensor *all = NULL;
    must(saros_stack(context, T, said + i * T, 0, &all));
    add(out, "step", saros_program_output(p, i).name, all);
    saros_tensor_release(all);
  }
  for (int i = 0; i < T * outputs; i++)
    saros_tensor_release(said[i]);
  free(said);
}

static void use(const saros_model *model, const saros_archive *given,
                saros_archive *out) {
  saros_program *p = saros_model_program(model);
  const int count = saros_program_of(p).inputs;
  saros_tensor *inputs[MOST];
  saros_session *session = NULL;
  for (int i = 0; i < count; i++)
    inputs[i] = find(given, saros_program_input(p, i).name);
  run(model, inputs, out);
  if (saros_model_session(model, saros_tensor_shape(inputs[0])[1],
                          SAROS_WEIGHTS_REAL, &session) == SAROS_OK)
    step_all(session, inputs, out);
  else
    must(saros_archive_add_metadata(out, "session", saros_error(context)));
  saros_session_release(session);
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
    snprintf(path, sizeof path, "%s/%d.inputs", words[1], n);
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
