/*
** A number that is no enumerator is an error of whatever takes the enumeration,
** with the state of its outputs that errors leave.
*/
#include <limits.h>
#include <string.h>

#include "check.h"
#include "saros.h"

static saros_context *context;
static saros_tensor *x;    // (2, 2)
static saros_tensor *ids;  // (1, 1)

/* 'out' is the address of the output, if there is one. */
static void expect(saros_status status, void *out, int value,
                   const char *part) {
  const char *said = saros_error(context);
  CHECK(status == SAROS_EARGUMENT && (out == NULL || *(void **)out == NULL),
        "%s %d: expected an error and no output, got %d", part, value, status);
  CHECK(strstr(said, part) != NULL, "expected \"%s\", got \"%s\"", part, said);
}

static void check_tensors(int n) {
  saros_tensor *y = x;
  const int shape[] = {2};
  const saros_buffer buffer = {.data = saros_tensor_reals(x)};
  saros_status status = saros_tensor_new(context, (saros_dtype)n, 1, shape, &y);
  expect(status, &y, n, "expected a type of elements in 0..1, got");
  status = saros_tensor_wrap(context, (saros_dtype)n, 1, shape, &buffer, &y);
  expect(status, &y, n, "expected a type of elements in 0..1, got");
}

static void check_operations(int n) {
  saros_tensor *y = x, *last[SAROS_MAX_STATES] = {x, x};
  const saros_named_tensor layer[] = {{"weight_ih", x}, {"weight_hh", x}};
  expect(saros_apply((saros_function)n, x, &y), &y, n, "apply: expected a ");
  expect(saros_combine((saros_operator)n, x, x, &y), &y, n,
         "combine: expected an operator ");
  expect(saros_recurrent((saros_cell)n, x, NULL, layer, 2, NULL, &y, last), &y,
         n, "recurrent: expected a cell ");
  expect(saros_ctc_loss(x, ids, NULL, NULL, 0, (saros_ctc_reduction)n, &y), &y,
         n, "ctc_loss: expected a reduction in 0..1, got");
  expect(saros_loss((saros_loss_kind)n, x, x, NULL, 1, &y), &y, n,
         "loss: expected a kind ");
  CHECK(saros_loss_name((saros_loss_kind)n) == NULL, "loss %d", n);
  saros_update update = {.rule = (saros_rule)n};
  expect(saros_update_parameter(&update, x, NULL, NULL), NULL, n,
         "update: expected a rule ");
  const saros_window_options window = {
      .dilation = 1, .activation = (saros_window_activation)n};
  expect(saros_depthwise_convolution(x, x, NULL, NULL, &window, &y, last), &y,
         n, "depthwise: expected an activation in 0..1, got");
  CHECK(saros_function_name((saros_function)n) == NULL, "function %d", n);
  CHECK(saros_operator_name((saros_operator)n) == NULL, "operator %d", n);
  CHECK(saros_cell_of((saros_cell)n).name == NULL, "cell %d", n);
}

static void check_sessions(int n) {
  static const char text[] =
      "{\"format\": 1, \"parameters\": [], \"states\": [], \"nodes\": "
      "[{\"op\": \"input\", \"name\": \"x\", \"width\": 3}], "
      "\"outputs\": [{\"name\": \"y\", \"node\": 0}]}";
  saros_session *s = NULL;
  saros_program *program;
  saros_program_read(context, text, sizeof text - 1, &program);
  expect(saros_session_new(context, program, NULL, 1, (saros_weights)n, &s), &s,
         n, "session: expected a kind of weights ");
  saros_program_release(program);
}

static void check_precision(int n) {
  saros_set_precision(context, SAROS_PRECISION_BF16);
  expect(saros_set_precision(context, (saros_precision)n), NULL, n,
         "precision: expected a precision in 0..2, got");
  CHECK(saros_precision_of(context) == SAROS_PRECISION_BF16, "it stays");
  saros_set_precision(context, SAROS_PRECISION_REAL);
}

static void check_texts(int n) {
  saros_codec *codec = NULL;
  const saros_text text = {.bytes = "a b", .size = 3};
  const saros_learning wanted = {0};
  expect(saros_codec_new(context, (saros_unit)n, &codec), &codec, n,
         "codec: expected a unit in 0..3, got");
  expect(saros_codec_learn(context, (saros_unit)n, &text, &wanted, &codec),
         &codec, n, "codec: expected a unit in 0..3, got");
}

/* A name that the cell has not, or a second time; a null tensor is not there. */
static void check_names(void) {
  saros_tensor *y = x, *last[SAROS_MAX_STATES] = {x, x};
  const saros_named_tensor wrong[] = {{"weight_hh", x}, {"weight_oh", x}};
  const saros_named_tensor twice[] = {{"weight_hh", x}, {"weight_hh", x}};
  const saros_named_tensor none[] = {{"weight_hh", NULL}};
  expect(saros_recurrent(SAROS_GRU, x, NULL, wrong, 2, NULL, &y, last), &y, 1,
         "norm_bias, table, first_h, got \"weight_oh\"");
  expect(saros_recurrent(SAROS_GRU, x, NULL, twice, 2, NULL, &y, last), &y, 2,
         "gru: expected weight_hh once, got it twice");
  expect(saros_recurrent(SAROS_GRU, x, NULL, none, 1, NULL, &y, last), &y, 1,
         "gru: expected weight_hh of shape (3 H, H), got none");
}

int main(void) {
  static const int numbers[] = {-1, 100, 1000000, INT_MAX, INT_MIN};
  const int square[] = {2, 2}, one[] = {1, 1};
  context = saros_context_new(NULL, NULL);
  if (saros_tensor_new(context, SAROS_REAL, 2, square, &x) != SAROS_OK ||
      saros_tensor_new(context, SAROS_IDS, 2, one, &ids) != SAROS_OK)
    return 1;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    check_tensors(numbers[i]);
    check_operations(numbers[i]);
    check_sessions(numbers[i]);
    check_precision(numbers[i]);
    check_texts(numbers[i]);
  }
  check_names();
  CHECK(saros_restrict(context, 4) == SAROS_EARGUMENT &&
            saros_set_threads(context, 2) == SAROS_OK,
        "an unknown capability takes nothing away");
  saros_tensor_release(x);
  saros_tensor_release(ids);
  saros_context_release(context);
  return report();
}
