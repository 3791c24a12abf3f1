/*
** The states of a session: where they begin, and what layers and other sessions
** are given of them. Outside, the slots of a ring are in the order of time, the
** oldest first.
*/
#include <string.h>

#include "session.h"

static real *row_of(const saros_session *s, const session_state *x, int row) {
  return session_state_rows(s, x) + (ptrdiff_t)row * STEP_WIDTH(x->n);
}

/* --- How rows begin ---------------------------------------------------------------- */

/* One row of a state as it is at first. */
static void reset_row(const saros_session *s, const session_state *x, int row) {
  const size_t bytes = (size_t)x->n * sizeof(real);
  if (x->first != NULL)
    memcpy(row_of(s, x, row), x->first, bytes);
  else
    memset(row_of(s, x, row), 0, bytes);
}

saros_status saros_session_reset(saros_session *s, int row) {
  const session_plan *p = s->plan;
  int base = s->context->index_base;
  if (row < -1 || row >= s->streams)
    return saros_fail(s->context, SAROS_EARGUMENT,
                      "reset: expected a row in %d..%d, got %d", base,
                      s->streams - 1 + base, row + base);
  for (int i = 0; i < p->output_count; i++)
    TRY(saros_tensor_writable(s->outputs[i], "reset"));
  int first = row < 0 ? 0 : row, last = row < 0 ? s->streams - 1 : row;
  for (int at = first; at <= last; at++) {
    for (int i = 0; i < p->state_count; i++)
      reset_row(s, &p->states[i], at);
    for (int i = 0; i < p->output_count; i++) {
      const size_t n = (size_t)p->outputs[i].width;
      memset(tensor_reals(s->outputs[i]) + (size_t)at * n, 0, n * sizeof(real));
    }
  }
  return SAROS_OK;
}

/* --- States from outside ------------------------------------------------------------- */

size_t session_oldest(const saros_session *s, const session_state *x) {
  int place;
  if (x->steps == 0 || x->attention > 0)
    return 0;
  memcpy(&place, session_array_at(s, x->ring), sizeof place);
  return (size_t)place * (size_t)(x->n / x->steps);
}

static void read_row(const saros_session *s, const session_state *x, int row,
                     real *to) {
  const real *from = row_of(s, x, row);
  const size_t n = (size_t)x->n, first = session_oldest(s, x);
  if (x->attention > 0) {
    session_read_attention(s, x, row, to);
    return;
  }
  memcpy(to, from + first, (n - first) * sizeof(real));
  memcpy(to + (n - first), from, first * sizeof(real));
}

static void write_row(saros_session *s, const session_state *x, int row,
                      const real *from) {
  real *to = row_of(s, x, row);
  const size_t n = (size_t)x->n, first = session_oldest(s, x);
  if (x->attention > 0) {
    session_write_attention(s, x, row, from);
    return;
  }
  memcpy(to + first, from, (n - first) * sizeof(real));
  memcpy(to, from + (n - first), first * sizeof(real));
}

/* A state and a tensor (streams, width) for it. */
static saros_status expect_state(const saros_session *s, const char *function,
                                 int state, const saros_tensor *x) {
  const session_plan *p = s->plan;
  const int base = s->context->index_base;
  if (state < 0 || state >= p->state_count)
    return saros_fail(s->context, SAROS_EARGUMENT,
                      "%s: expected a state in %d..%d, got %d", function, base,
                      p->state_count - 1 + base, state + base);
  const int width = p->program->states[state].width;
  TRY(tensor_expect_context(function, s->context, x));
  TRY(tensor_expect_real(function, BASE_QUOTE(p->states[state].name), x));
  if (x->rank == 2 && x->shape[0] == s->streams && x->shape[1] == width)
    return SAROS_OK;
  return saros_fail(s->context, SAROS_EARGUMENT,
                    "%s: expected %s of shape (%d, %d), got %s", function,
                    BASE_QUOTE(p->states[state].name), s->streams, width,
                    TENSOR_SHAPE(x));
}

saros_status saros_session_state(const saros_session *s, int state,
                                 saros_tensor *to) {
  saros_tensor *rows;
  TRY(expect_state(s, "state", state, to));
  TRY(saros_tensor_writable(to, "state"));
  TRY(tensor_like(to, &rows));
  const session_state *x = &s->plan->states[state];
  for (int row = 0; row < s->streams; row++)
    read_row(s, x, row, tensor_reals(rows) + (ptrdiff_t)row * rows->shape[1]);
  tensor_copy(to, rows);
  saros_tensor_release(rows);
  return SAROS_OK;
}

static saros_status write_rows(saros_session *s, int state,
                               saros_tensor *from) {
  const session_state *x = &s->plan->states[state];
  saros_tensor *rows;
  saros_status status = SAROS_OK;
  TRY(saros_contiguous(from, &rows));
  const real *row_from = tensor_reals(rows);
  if (x->places > 0)
    status = session_write_exists(s, x, row_from);
  for (int row = 0; x->places == 0 && row < s->streams; row++)
    write_row(s, x, row, row_from + (ptrdiff_t)row * rows->shape[1]);
  saros_tensor_release(rows);
  return status;
}

/* All that can be wrong with a state. */
static saros_status check_state(const saros_session *s, int state,
                                const saros_tensor *from) {
  TRY(expect_state(s, "set_state", state, from));
  const session_state *x = &s->plan->states[state];
  return x->places > 0 ? session_expect_exists(s, x, from) : SAROS_OK;
}

saros_status saros_session_set_state(saros_session *s, int state,
                                     saros_tensor *from) {
  TRY(check_state(s, state, from));
  return write_rows(s, state, from);
}

saros_status saros_session_set_states(saros_session *s,
                                      saros_tensor *const *from) {
  for (int i = 0; i < s->plan->state_count; i++)
    TRY(check_state(s, i, from[i]));
  for (int i = 0; i < s->plan->state_count; i++)
    TRY(write_rows(s, i, from[i]));
  return SAROS_OK;
}
