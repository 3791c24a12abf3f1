/*
** A host without Lua and a model file: it loads the program and its tensors, runs a
** sequence, trains on it, saves, and steps a session that says the same.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "saros.h"

enum { T = 6, B = 3, I = 2, H = 4, O = 1, PARAMETERS = 5 };

/* h(t) = tanh(W x(t) + b + U h(t-1)), y = V h + c. */
static const char program[] =
    "{\"format\": 1, \"parameters\": ["
    "{\"name\": \"W\", \"shape\": [4, 2]}, {\"name\": \"b\", \"shape\": [4]},"
    "{\"name\": \"U\", \"shape\": [4, 4]}, {\"name\": \"V\", \"shape\": [1, "
    "4]},"
    "{\"name\": \"c\", \"shape\": [1]}],"
    "\"states\": [{\"name\": \"h\", \"width\": 4, \"next\": 10}],"
    "\"nodes\": [{\"op\": \"input\", \"name\": \"x\", \"width\": 2},"
    "{\"op\": \"state\", \"state\": 0},"
    "{\"op\": \"parameter\", \"parameter\": 0},"
    "{\"op\": \"parameter\", \"parameter\": 1},"
    "{\"op\": \"parameter\", \"parameter\": 2},"
    "{\"op\": \"parameter\", \"parameter\": 3},"
    "{\"op\": \"parameter\", \"parameter\": 4},"
    "{\"op\": \"linear\", \"in\": [0, 2, 3]}, {\"op\": \"linear\", \"in\": [1, "
    "4]},"
    "{\"op\": \"add\", \"in\": [7, 8]}, {\"op\": \"tanh\", \"in\": [9]},"
    "{\"op\": \"linear\", \"in\": [10, 5, 6]}],"
    "\"outputs\": [{\"name\": \"y\", \"node\": 11}]}";

static const char *const names[PARAMETERS] = {"W", "b", "U", "V", "c"};
static const int shapes[PARAMETERS][2] = {{H, I}, {H}, {H, H}, {O, H}, {O}};

static saros_context *context;
static char path[] = "/tmp/saros-model-XXXXXX";

static void must(saros_status status) {
  CHECK(status == SAROS_OK, "%s", saros_error(context));
  if (status != SAROS_OK)
    exit(report());
}

static saros_tensor *filled(saros_generator *generator, int rank,
                            const int *shape) {
  saros_tensor *x = NULL;
  must(saros_tensor_new(context, SAROS_REAL, rank, shape, &x));
  must(saros_fill_uniform(generator, -0.7, 0.7, x));
  return x;
}

/* Writes a file: all tensors but number 'without', W of (H, columns). */
static void write_file(const char *text, int without, int columns) {
  saros_archive *archive = NULL;
  saros_generator *generator = NULL;
  must(saros_archive_new(context, &archive));
  must(saros_generator_new(context, 1, &generator));
  for (int i = 0; i < PARAMETERS; i++) {
    int shape[2] = {shapes[i][0], i == 0 ? columns : shapes[i][1]};
    saros_tensor *x = filled(generator, shapes[i][1] ? 2 : 1, shape);
    if (i != without)
      must(saros_archive_add(archive, names[i], x));
    saros_tensor_release(x);
  }
  if (text != NULL)
    must(saros_archive_add_metadata(archive, "program", text));
  must(saros_archive_add_metadata(archive, "note", "hello"));
  must(saros_safetensors_write(archive, path));
  saros_archive_release(archive);
  saros_generator_release(generator);
}

static saros_tensor *forward(const saros_model *m, saros_tensor *x) {
  saros_tensor *y = NULL, *last = NULL;
  must(saros_program_run(saros_model_program(m), saros_model_parameters(m), &x,
                         NULL, NULL, &y, &last));
  saros_tensor_release(last);
  return y;
}

/* One update by plain gradient descent; returns the loss before it. */
static double learn(const saros_model *m, saros_tensor *x,
                    saros_tensor *target) {
  saros_tape *tape = NULL;
  saros_tensor *loss = NULL;
  saros_update rule = {.rule = SAROS_SGD, .rate = 0.2};
  must(saros_tape_open(context, 1, &tape));
  saros_tensor *y = forward(m, x);
  must(saros_loss(SAROS_MSE, y, target, NULL, 1, &loss));
  double value = saros_tensor_get(loss, 0);
  must(saros_tape_backward(tape, loss, NULL));
  saros_tape_release(tape);
  saros_tensor_release(y);
  saros_tensor_release(loss);
  for (int i = 0; i < PARAMETERS; i++) {
    saros_tensor *parameter = saros_model_parameters(m)[i];
    must(saros_update_parameter(&rule, parameter, NULL, NULL));
    saros_clear_gradient(parameter);
  }
  return value;
}

static void steps_as_it_runs(const saros_model *m, saros_tensor *x) {
  saros_session *session = NULL;
  saros_tensor *y = forward(m, x);
  double worst = 0;
  must(saros_model_session(m, B, SAROS_WEIGHTS_REAL, &session));
  for (int t = 0; t < T; t++) {
    must(saros_session_step(session, saros_tensor_reals(x) + t * B * I));
    for (int i = 0; i < B * O; i++)
      worst = fmax(worst, fabs(saros_tensor_get(y, (size_t)(t * B * O + i)) -
                               saros_tensor_get(saros_session_output(session),
                                                (size_t)i)));
  }
  CHECK(worst < 1e-5, "a session says what the sequence says, to %g", worst);
  saros_session_release(session);
  saros_tensor_release(y);
}

static void trains_and_saves(void) {
  saros_model *m = NULL, *again = NULL;
  saros_generator *generator = NULL;
  write_file(program, -1, I);
  must(saros_model_load(context, path, &m));
  must(saros_generator_new(context, 2, &generator));
  CHECK(strcmp(saros_model_metadata(m, "note"), "hello") == 0, "metadata");
  CHECK(saros_model_metadata(m, "none") == NULL, "no such key");
  saros_tensor *x = filled(generator, 3, (int[]){T, B, I});
  saros_tensor *target = filled(generator, 3, (int[]){T, B, O});
  for (int i = 0; i < PARAMETERS; i++)
    must(saros_set_trainable(saros_model_parameters(m)[i], 1));
  double first = learn(m, x, target), last = first;
  for (int n = 0; n < 200; n++)
    last = learn(m, x, target);
  CHECK(last < 0.7 * first, "it learns: %g, then %g", first, last);
  steps_as_it_runs(m, x);
  must(saros_model_save(m, path));
  must(saros_model_load(context, path, &again));
  saros_tensor *a = forward(m, x), *b = forward(again, x);
  CHECK(saros_digest(a) == saros_digest(b), "it comes back as it was saved");
  saros_tensor_release(a);
  saros_tensor_release(b);
  saros_tensor_release(x);
  saros_tensor_release(target);
  saros_generator_release(generator);
  saros_model_release(m);
  saros_model_release(again);
}

static void refuses(const char *what) {
  saros_model *m = NULL;
  CHECK(saros_model_load(context, path, &m) == SAROS_EFILE && m == NULL &&
            strstr(saros_error(context), what) != NULL,
        "\"%s\", expected \"%s\"", saros_error(context), what);
}

static void refuses_what_does_not_fit(void) {
  write_file(NULL, -1, I);
  refuses("model: expected a program in the metadata");
  write_file(program, 2, I);
  refuses("model: expected the tensor \"U\" of the program");
  write_file(program, -1, I + 1);
  refuses("model: expected \"W\"");
  write_file("{\"format\": 1}", -1, I);
  refuses("program");
  write_file("]", -1, I);
  refuses("program");
  unlink(path);
  refuses(path);
}

/* Every byte of the program changed once: an error or another program, no more. */
static void survives_mutations(void) {
  char text[sizeof program];
  int loaded = 0;
  for (size_t i = 0; i + 1 < sizeof program; i += 3) {
    saros_model *m = NULL;
    memcpy(text, program, sizeof program);
    text[i] = "9}x,\" "[i % 6];
    write_file(text, -1, I);
    if (saros_model_load(context, path, &m) == SAROS_OK)
      loaded++;
    saros_model_release(m);
  }
  CHECK(loaded < (int)(sizeof program / 3), "%d loaded", loaded);
}

int main(void) {
  int file = mkstemp(path);
  close(file);
  context = saros_context_new(NULL, NULL);
  saros_set_threads(context, 1);
  trains_and_saves();
  refuses_what_does_not_fit();
  survives_mutations();
  unlink(path);
  CHECK(saros_memory_of(context).in_use == 0, "%zu bytes are left",
        saros_memory_of(context).in_use);
  saros_context_release(context);
  return report();
}
