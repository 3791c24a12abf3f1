/*
** An LSTM 1 -> 32 -> 1 in an audio callback, sample by sample, 48,000 a second,
** without Lua. Nothing is allocated after the session is made. Prints how long
** blocks of 64 samples took: at the median, what one of 100 and one of 1000 took
** longer than, and the worst, beside the time there is for one. What is far above
** the median is the system's doing: an audio thread has its priority raised.
**
**   cc realtime.c $(pkg-config --cflags --libs saros) && ./a.out [SECONDS]
*/
#include <saros.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { HIDDEN = 32, BLOCK = 64, RATE = 48000 };

static saros_tensor *random_tensor(saros_generator *g, saros_context *context,
                                   int rank, int rows, int columns) {
  saros_tensor *x = NULL;
  const int shape[2] = {rows, columns};
  if (saros_tensor_new(context, SAROS_REAL, rank, shape, &x) == SAROS_OK)
    saros_fill_uniform(g, -0.2, 0.2, x);
  return x;
}

/* A step of the model, as the files of models have it: numbers count from 0, and
** "in" names nodes. */
static const char model[] =
    "{\"format\": 1,"
    " \"parameters\": [{\"name\": \"weight_ih\", \"shape\": [128, 1]},"
    "                  {\"name\": \"weight_hh\", \"shape\": [128, 32]},"
    "                  {\"name\": \"bias_ih\", \"shape\": [128]},"
    "                  {\"name\": \"head\", \"shape\": [1, 32]}],"
    " \"states\": [{\"name\": \"h\", \"width\": 32, \"next\": 5},"
    "              {\"name\": \"c\", \"width\": 32, \"next\": 5}],"
    " \"nodes\": [{\"op\": \"input\", \"name\": \"x\", \"width\": 1},"
    "             {\"op\": \"parameter\", \"parameter\": 0},"
    "             {\"op\": \"parameter\", \"parameter\": 1},"
    "             {\"op\": \"parameter\", \"parameter\": 2},"
    "             {\"op\": \"parameter\", \"parameter\": 3},"
    "             {\"op\": \"cell\", \"cell\": \"lstm\", \"in\": [0, 1, 2, 3],"
    "              \"with\": [\"weight_ih\", \"weight_hh\", \"bias_ih\"],"
    "              \"states\": [0, 1]},"
    "             {\"op\": \"linear\", \"in\": [5, 4]}],"
    " \"outputs\": [{\"name\": \"y\", \"node\": 6}]}";

/* A real application would read its weights: saros_safetensors_read. */
static saros_session *open_session(saros_context *context) {
  saros_generator *g = NULL;
  saros_program *program = NULL;
  saros_session *session = NULL;
  if (saros_generator_new(context, 1, &g) != SAROS_OK)
    return NULL;
  saros_tensor *t[] = {random_tensor(g, context, 2, 4 * HIDDEN, 1),
                       random_tensor(g, context, 2, 4 * HIDDEN, HIDDEN),
                       random_tensor(g, context, 1, 4 * HIDDEN, 0),
                       random_tensor(g, context, 2, 1, HIDDEN)};
  if (saros_program_read(context, model, sizeof model - 1, &program) ==
      SAROS_OK)
    saros_session_new(context, program, t, 1, SAROS_WEIGHTS_REAL, &session);
  for (int i = 0; i < 4; i++)
    saros_tensor_release(t[i]);
  saros_program_release(program);
  saros_generator_release(g);
  return session;
}

/* What the audio system calls. */
static void callback(saros_session *session, const float *in, float *out) {
  const saros_real *y = saros_tensor_reals(saros_session_output(session));
  for (int i = 0; i < BLOCK; i++) {
    const saros_real x = in[i];
    saros_session_step(session, &x);
    out[i] = (float)y[0];
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int count, char **words) {
  const double seconds = count > 1 ? atof(words[1]) : 1;
  const int blocks = 1 + (int)(seconds * RATE / BLOCK);
  double *took = malloc((size_t)blocks * sizeof *took);
  saros_context *context = saros_context_new(NULL, NULL);
  saros_session *session = open_session(context);
  float in[BLOCK] = {0.5f}, out[BLOCK];
  if (session == NULL || took == NULL) {
    fprintf(stderr, "%s\n", saros_error(context));
    return 1;
  }
  const size_t before = saros_memory_of(context).in_use;
  for (int i = 0; i < blocks; i++) {
    const double begin = now();
    callback(session, in, out);
    took[i] = now() - begin;
  }
  qsort(took, (size_t)blocks, sizeof *took, ascending);
  printf(
      "%d blocks: median %.1f us, 99 %% %.1f us, 99.9 %% %.1f us, worst %.1f "
      "us of %.0f us; %zu bytes more\n",
      blocks, took[blocks / 2], took[blocks - 1 - blocks / 100],
      took[blocks - 1 - blocks / 1000], took[blocks - 1], 1e6 * BLOCK / RATE,
      saros_memory_of(context).in_use - before);
  saros_session_release(session);
  saros_context_release(context);
  free(took);
  return 0;
}
