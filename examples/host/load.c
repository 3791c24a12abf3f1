/*
** Any model that a script saved, without Lua: net:save "net.safetensors" there, then
** here
**
**   cc load.c $(pkg-config --cflags --libs saros) && ./a.out net.safetensors < numbers
**
** reads as many numbers a step as the model has features, and prints what it says of
** each step. A model of ids reads one id a step, from 0.
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

/* One step from the input; 0 at its end. */
static int step(saros_session *session, saros_real *features, int count) {
  double number;
  for (int i = 0; i < count; i++) {
    if (scanf("%lf", &number) != 1)
      return 0;
    features[i] = (saros_real)number;
  }
  const int32_t id = (int32_t)features[0];
  int is_ids = saros_session_of(session).inputs == 0;
  return SAROS_OK == (is_ids ? saros_session_step_ids(session, &id)
                             : saros_session_step(session, features));
}

static void print_row(const saros_tensor *row) {
  for (size_t i = 0; i < saros_tensor_count(row); i++)
    printf("%s%.5g", i > 0 ? " " : "", saros_tensor_get(row, i));
  printf("\n");
}

int main(int count, char **words) {
  saros_context *context = saros_context_new(NULL, NULL);
  saros_session *session =
      count == 2 && context != NULL ? open_session(context, words[1]) : NULL;
  if (session == NULL) {
    fprintf(stderr, "load: %s\n",
            count == 2 && context != NULL ? saros_error(context)
                                          : "expected the path of a model");
    return EXIT_FAILURE;
  }
  int inputs = saros_session_of(session).inputs;
  saros_real *features =
      malloc((size_t)(inputs > 0 ? inputs : 1) * sizeof *features);
  while (features != NULL && step(session, features, inputs > 0 ? inputs : 1))
    print_row(saros_session_output(session));
  free(features);
  saros_session_release(session);
  saros_context_release(context);
  return EXIT_SUCCESS;
}
