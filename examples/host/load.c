/*
** A model that a script saved, without Lua: net:save "net.safetensors" there, then
** here
**
**   cc load.c $(pkg-config --cflags --libs saros) && ./a.out net.safetensors < numbers
**
** reads as many numbers a step as the model has features, and prints what it says of
** each step; of a forecaster and a classifier in the units that a script has. A model
** of ids reads one id a step, from 0. An encoder-decoder, and a module whose file has
** its parameters only, cannot be stepped so: saros.export_c writes the former as C.
*/
#include <saros.h>
#include <stdio.h>
#include <stdlib.h>

static saros_session *open_session(saros_context *context, const char *path) {
  saros_model *model = NULL;
  saros_session *session = NULL;
  if (saros_model_load(context, path, &model) == SAROS_OK)
    saros_model_session(model, 1, SAROS_WEIGHTS_REAL, &session);
  saros_model_release(model);  // the session has what it needs
  return session;
}

/* The numbers of one step: how many there are before the input ends. */
static int read_numbers(saros_real *numbers, int count) {
  double number;
  int n = 0;
  while (n < count && scanf("%lf", &number) == 1)
    numbers[n++] = (saros_real)number;
  return n;
}

/* An id of a model of ids is the number, if it is a whole one; else one that the
** session refuses. */
static int32_t id_of(saros_real number) {
  return number >= 0 && number < 1e9 && number == (int32_t)number
             ? (int32_t)number
             : -1;
}

static saros_status step(saros_session *session, const saros_real *numbers) {
  const int32_t id = id_of(numbers[0]);
  return saros_session_of(session).inputs == 0
             ? saros_session_step_ids(session, &id)
             : saros_session_step(session, numbers);
}

static void print_row(const saros_tensor *row) {
  for (size_t i = 0; i < saros_tensor_count(row); i++)
    printf("%s%.5g", i > 0 ? " " : "", saros_tensor_get(row, i));
  printf("\n");
}

/* Steps until the input ends, behind a whole step: null, or what is wrong. */
static const char *run(saros_context *context, saros_session *session,
                       saros_real *numbers, int count) {
  int got;
  while ((got = read_numbers(numbers, count)) == count) {
    if (step(session, numbers) != SAROS_OK)
      return saros_error(context);
    print_row(saros_session_output(session));
  }
  return got == 0 && feof(stdin) ? NULL
                                 : "expected numbers, as many as the model has "
                                   "features in each step";
}

static const char *use(saros_context *context, const char *path) {
  saros_session *session = open_session(context, path);
  if (session == NULL)
    return saros_error(context);
  int inputs = saros_session_of(session).inputs;
  int count = inputs > 0 ? inputs : 1;
  saros_real *numbers = malloc((size_t)count * sizeof *numbers);
  const char *problem = numbers != NULL
                            ? run(context, session, numbers, count)
                            : "expected memory for a step, got none";
  free(numbers);
  saros_session_release(session);
  return problem;
}

int main(int count, char **words) {
  saros_context *context = saros_context_new(NULL, NULL);
  const char *problem = context == NULL ? "expected memory, got none"
                        : count != 2    ? "expected the path of a model"
                                        : use(context, words[1]);
  fflush(stdout);  // what was said comes before why there is no more
  if (problem != NULL)
    fprintf(stderr, "load: %s\n", problem);
  saros_context_release(context);
  return problem == NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}
