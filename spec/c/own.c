/*
** Operations of a host's own, without Lua: y = x^3, whose way back the host
** computes at the stops of a tape; what is refused; and that nothing is left.
*/
#include <math.h>
#include <string.h>

#include "check.h"
#include "saros.h"

enum { N = 3, CHAIN = 4 };

static saros_context *context;

static saros_tensor *vector(const double *values) {
  saros_tensor *x = NULL;
  if (saros_tensor_new(context, SAROS_REAL, 1, (int[]){N}, &x) != SAROS_OK)
    return NULL;
  for (int i = 0; i < N; i++)
    saros_tensor_reals(x)[i] = (saros_real)values[i];
  return x;
}

static saros_tensor *multiply(saros_tensor *a, saros_tensor *b) {
  saros_tensor *y = NULL;
  CHECK(saros_combine(SAROS_MULTIPLY, a, b, &y) == SAROS_OK, "%s",
        saros_error(context));
  return y;
}

/* x^3 as an operation of the host's; its token says where x is kept. */
static saros_tensor *cube(saros_tensor *x, int64_t token) {
  saros_pause *pause = NULL;
  CHECK(saros_pause_begin(context, &pause) == SAROS_OK, "a pause begins");
  saros_tensor *square = multiply(x, x), *result = multiply(square, x);
  saros_pause_end(pause);
  saros_tensor *y = NULL;
  saros_own own = {.name = "cube",
                   .token = token,
                   .inputs = 1,
                   .input = &x,
                   .outputs = 1,
                   .output = &result,
                   .saved_count = 1,
                   .saved = &x};
  CHECK(saros_own_record(context, &own, &y) == SAROS_OK, "%s",
        saros_error(context));
  saros_tensor_release(square);
  saros_tensor_release(result);
  return y;
}

/* dx = 3 x^2 dy */
static saros_status answer(saros_tape *tape, saros_tensor *x) {
  saros_tensor *dy = NULL, *dx = NULL;
  CHECK(saros_tape_stop_gradient(tape, 0, &dy) == SAROS_OK, "%s",
        saros_error(context));
  CHECK(saros_tensor_new(context, SAROS_REAL, 1, (int[]){N}, &dx) == SAROS_OK,
        "memory");
  for (int i = 0; i < N; i++) {
    double value = saros_tensor_get(x, (size_t)i);
    saros_tensor_reals(dx)[i] =
        (saros_real)(3 * value * value * saros_tensor_get(dy, (size_t)i));
  }
  saros_status status = saros_tape_backward_resume(tape, &dx);
  saros_tensor_release(dx);
  saros_tensor_release(dy);
  return status;
}

/* x^(3^CHAIN), whose gradient is 3^CHAIN x^(3^CHAIN - 1). */
static void check_chain(void) {
  saros_tensor *x[CHAIN + 1], *loss = NULL;
  saros_tape *tape = NULL;
  saros_own_stop stop;
  int stops = 0;
  x[0] = vector((double[]){1, -1, 0.9});
  CHECK(saros_tape_open(context, 1, &tape) == SAROS_OK, "a tape opens");
  CHECK(saros_tape_watch(tape, x[0]) == SAROS_OK, "it watches");
  for (int n = 0; n < CHAIN; n++)
    x[n + 1] = cube(x[n], n);
  CHECK(saros_tape_length(tape) == CHAIN, "each is one entry");
  CHECK(saros_sum(x[CHAIN], SAROS_ALL_AXES, 0, &loss) == SAROS_OK, "a sum");
  CHECK(saros_tape_backward_start(tape, loss, NULL) == SAROS_OK, "%s",
        saros_error(context));
  for (; saros_tape_stop(tape, &stop); stops++) {
    CHECK(stop.token == CHAIN - 1 - stops && strcmp(stop.name, "cube") == 0 &&
              stop.inputs == 1 && stop.outputs == 1,
          "stop %d is told", stops);
    CHECK(answer(tape, x[stop.token]) == SAROS_OK, "%s", saros_error(context));
  }
  CHECK(stops == CHAIN, "%d stops", stops);
  for (int i = 0; i < N; i++) {
    double value = saros_tensor_get(x[0], (size_t)i);
    double expected = 81 * pow(value, 80);
    double got = saros_tensor_get(saros_gradient(x[0]), (size_t)i);
    CHECK(fabs(got - expected) < 1e-3, "gradient %d: %g, not %g", i, got,
          expected);
  }
  for (int n = 0; n <= CHAIN; n++)
    saros_tensor_release(x[n]);
  saros_tensor_release(loss);
  saros_tape_release(tape);
}

static void check_refusals(void) {
  saros_tensor *x = vector((double[]){1, 2, 3}), *y, *loss = NULL;
  saros_tensor *nothing[1] = {NULL};
  saros_tape *tape = NULL;
  saros_own_stop stop;
  saros_own own = {.name = "", .outputs = 1, .output = &x};
  CHECK(saros_own_record(context, &own, nothing) == SAROS_EARGUMENT,
        "a name is needed");
  own = (saros_own){.name = "none", .outputs = 0, .output = &x};
  CHECK(saros_own_record(context, &own, nothing) == SAROS_EARGUMENT,
        "an output is needed");
  CHECK(saros_tape_open(context, 1, &tape) == SAROS_OK, "a tape opens");
  CHECK(saros_tape_watch(tape, x) == SAROS_OK, "it watches");
  CHECK(saros_tape_backward_resume(tape, nothing) == SAROS_ESTATE,
        "there is no stop before backward");
  y = cube(x, 7);
  CHECK(saros_sum(y, SAROS_ALL_AXES, 0, &loss) == SAROS_OK, "a sum");
  CHECK(saros_tape_backward_start(tape, loss, NULL) == SAROS_OK, "it starts");
  CHECK(saros_tape_backward_resume(tape, &loss) == SAROS_EARGUMENT &&
            strstr(saros_error(context),
                   "cube: expected backward to return a gradient of shape (3) "
                   "for input 0, got ()") != NULL,
        "%s", saros_error(context));
  CHECK(saros_tape_stop(tape, &stop) && stop.token == 7, "it still waits");
  saros_tape_give_up(tape);
  CHECK(!saros_tape_stop(tape, &stop), "given up");
  saros_tape_release(tape);
  saros_tensor_release(y);
  saros_tensor_release(loss);
  saros_tensor_release(x);
}

/* saros_tape_backward cannot do it. */
static void check_plain_backward(void) {
  saros_tensor *x = vector((double[]){1, 2, 3}), *y, *loss = NULL;
  saros_tape *tape = NULL;
  CHECK(saros_tape_open(context, 1, &tape) == SAROS_OK, "a tape opens");
  CHECK(saros_tape_watch(tape, x) == SAROS_OK, "it watches");
  y = cube(x, 1);
  CHECK(saros_sum(y, SAROS_ALL_AXES, 0, &loss) == SAROS_OK, "a sum");
  CHECK(saros_tape_backward(tape, loss, NULL) == SAROS_ESTATE &&
            strstr(saros_error(context), "cube") != NULL,
        "%s", saros_error(context));
  saros_tensor_release(y);
  saros_tensor_release(loss);
  saros_tape_release(tape);
  saros_tensor_release(x);
}

int main(void) {
  context = saros_context_new(NULL, NULL);
  check_chain();
  check_refusals();
  check_plain_backward();
  CHECK(saros_memory_of(context).in_use == 0, "%zu bytes are left",
        saros_memory_of(context).in_use);
  saros_context_release(context);
  return report();
}
