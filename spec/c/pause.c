/*
** A host asks its model something while a tape is open: what is set aside records
** nothing, stays protected, and continues as if nothing had been asked. Pauses and
** tapes end in any order, and nothing is left.
*/
#include "check.h"
#include "saros.h"

static saros_context *context;

static saros_tensor *number(double value) {
  saros_tensor *x = NULL;
  CHECK(saros_tensor_new(context, SAROS_REAL, 0, NULL, &x) == SAROS_OK &&
            saros_fill(x, value) == SAROS_OK,
        "%s", saros_error(context));
  return x;
}

/* x * x, released by the caller. */
static saros_tensor *square(saros_tensor *x) {
  saros_tensor *y = NULL;
  CHECK(saros_combine(SAROS_MULTIPLY, x, x, &y) == SAROS_OK, "%s",
        saros_error(context));
  return y;
}

static double gradient_of(saros_tensor *x) {
  saros_tensor *g = saros_gradient(x);
  return g != NULL ? saros_tensor_get(g, 0) : 0;
}

/* The gradient of x * x, with a tape of its own. */
static void check_inside(saros_tensor *x) {
  saros_tape *tape;
  CHECK(saros_tape_open(context, 1, &tape) == SAROS_OK, "a tape inside");
  CHECK(saros_tape_watch(tape, x) == SAROS_OK, "is watched inside");
  saros_tensor *y = square(x);
  CHECK(saros_tape_backward(tape, y, NULL) == SAROS_OK, "goes back inside");
  CHECK(gradient_of(x) == 2 * saros_tensor_get(x, 0), "a gradient inside");
  saros_tensor_release(y);
  saros_tape_release(tape);
}

static void asks_inside(void) {
  saros_tensor *x = number(3);
  saros_tape *tape;
  saros_pause *pause;
  CHECK(saros_tape_open(context, 1, &tape) == SAROS_OK, "a tape");
  CHECK(saros_tape_watch(tape, x) == SAROS_OK, "is watched");
  saros_tensor *y = square(x);
  CHECK(saros_pause_begin(context, &pause) == SAROS_OK, "a pause");
  saros_tensor *z = square(y);
  CHECK(saros_tape_length(tape) == 1, "nothing is recorded");
  CHECK(saros_fill(x, 1) == SAROS_ESTATE, "what is needed stays");
  CHECK(saros_set_trainable(y, 1) == SAROS_ESTATE, "and is not changed");
  CHECK(saros_tape_backward(tape, y, NULL) == SAROS_ESTATE, "set aside");
  check_inside(x);
  saros_pause_end(pause);
  CHECK(saros_tape_backward(tape, y, NULL) == SAROS_OK, "goes back");
  CHECK(gradient_of(x) == 6, "%g", gradient_of(x));
  saros_tensor_release(z);
  saros_tensor_release(y);
  saros_tape_release(tape);
  saros_tensor_release(x);
}

/* Tapes and pauses of two tasks that end in the order in which they began. */
static void ends_out_of_order(void) {
  saros_tensor *x = number(3);
  saros_tape *tape[3];
  saros_pause *pause[2];
  for (int i = 0; i < 3; i++) {
    CHECK(saros_tape_open(context, 1, &tape[i]) == SAROS_OK, "tape %d", i);
    CHECK(saros_tape_watch(tape[i], x) == SAROS_OK, "watches %d", i);
    if (i < 2)
      CHECK(saros_pause_begin(context, &pause[i]) == SAROS_OK, "pause %d", i);
  }
  saros_tape_close(tape[1]);
  saros_pause_end(pause[0]);
  saros_tensor *y = square(x);
  CHECK(saros_tape_length(tape[2]) == 1, "the innermost records");
  CHECK(saros_tape_backward(tape[2], y, NULL) == SAROS_OK, "goes back");
  CHECK(gradient_of(x) == 6, "%g", gradient_of(x));
  saros_pause_end(pause[1]);
  CHECK(!saros_tape_is_open(tape[2]), "what was opened inside is closed");
  saros_tensor_release(y);
  y = square(x);
  CHECK(saros_tape_length(tape[0]) == 1, "the outermost has x back");
  CHECK(saros_tape_backward(tape[0], y, NULL) == SAROS_OK, "goes back");
  CHECK(gradient_of(x) == 6, "%g", gradient_of(x));
  saros_tensor_release(y);
  for (int i = 0; i < 3; i++)
    saros_tape_release(tape[i]);
  saros_tensor_release(x);
}

static void skips_trainable(void) {
  saros_tensor *w = number(5);
  saros_tape *tape;
  CHECK(saros_set_trainable(w, 1) == SAROS_OK, "trainable");
  CHECK(saros_tape_open(context, 0, &tape) == SAROS_OK, "a tape");
  saros_tape_skip_trainable(tape);
  saros_tensor_release(square(w));
  CHECK(saros_tape_length(tape) == 0, "parameters are constants");
  CHECK(saros_tape_watch(tape, w) == SAROS_OK, "unless they are watched");
  saros_tensor *y = square(w);
  CHECK(saros_tape_backward(tape, y, NULL) == SAROS_OK, "goes back");
  CHECK(gradient_of(w) == 10, "%g", gradient_of(w));
  saros_tape_release(tape);
  CHECK(saros_is_trainable(w) && saros_gradient(w) == NULL, "as before");
  saros_tensor_release(y);
  saros_tensor_release(w);
}

static void costs_one_element(void) {
  saros_tensor *blank, *own;
  size_t before = saros_memory_of(context).in_use;
  int shape[] = {60000, 60000}, small[] = {2, 2};
  CHECK(saros_tensor_blank(context, 2, shape, &blank) == SAROS_OK, "blank");
  CHECK(saros_memory_of(context).in_use - before < 4096, "and small");
  CHECK(saros_fill(blank, 1) == SAROS_ESTATE, "read-only");
  saros_tensor_release(blank);
  CHECK(saros_tensor_blank(context, 2, small, &blank) == SAROS_OK &&
            saros_tensor_new(context, SAROS_REAL, 2, small, &own) == SAROS_OK,
        "two");
  CHECK(saros_tensor_adopt(blank, own) == SAROS_OK, "adopts");
  CHECK(saros_fill(blank, 7) == SAROS_OK && saros_tensor_get(own, 3) == 7,
        "and is the other");
  saros_tensor_release(own);
  saros_tensor_release(blank);
}

int main(void) {
  context = saros_context_new(NULL, NULL);
  saros_pause_end(NULL);
  asks_inside();
  ends_out_of_order();
  skips_trainable();
  costs_one_element();
  CHECK(saros_memory_of(context).in_use == 0, "%zu bytes are left",
        saros_memory_of(context).in_use);
  saros_context_release(context);
  return report();
}
