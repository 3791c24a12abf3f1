/*
** What a recurrent layer is given: parameters by name, and whether everything
** fits together.
*/
#include <stdio.h>
#include <string.h>

#include "recurrent.h"

/* x and the table are checked by themselves. */
const recurrent_given recurrent_givens[R_GIVEN] = {
    [R_X] = {"x", NULL},
    [R_H_FIRST] = {"the state h", "BP"},
    [R_C_FIRST] = {"the state c", "BH"},
    [R_WEIGHT_IH] = {"weight_ih", "AI"},
    [R_WEIGHT_HH] = {"weight_hh", "AP"},
    [R_BIAS_IH] = {"bias_ih", "A"},
    [R_BIAS_HH] = {"bias_hh", "A"},
    [R_WEIGHT_HR] = {"weight_hr", "PH"},
    [R_PEEPHOLE] = {"peephole", "3H"},
    [R_NORM_GAIN] = {"norm_gain", "A"},
    [R_NORM_BIAS] = {"norm_bias", "A"},
    [R_NORM_C_GAIN] = {"norm_c_gain", "H"},
    [R_NORM_C_BIAS] = {"norm_c_bias", "H"},
    [R_TABLE] = {"table", NULL},
    [R_NU] = {"nu", "h"},
    [R_THETA] = {"theta", "h"},
    [R_H_RESTART] = {"first_h", "P"},
    [R_C_RESTART] = {"first_c", "H"},
    [R_MASK] = {"mask", "TB"},
    [R_RESET] = {"reset", "TB"},
    [R_DROPOUT] = {"dropout", "BP"},
    [R_ZONEOUT_H] = {"zoneout_h", "TBP"},
    [R_ZONEOUT_C] = {"zoneout_c", "TBH"},
};

int recurrent_parameter(const char *name) {
  for (int i = R_WEIGHT_IH; i <= R_C_RESTART; i++)
    if (strcmp(recurrent_givens[i].name, name) == 0)
      return i;
  return -1;
}

/* --- Names ------------------------------------------------------------------------- */

int recurrent_has_parameter(const recurrent_cell *cell, const char *name) {
  for (const char *const *at = cell->facts.parameters; *at != NULL; at++)
    if (strcmp(*at, name) == 0)
      return 1;
  return 0;
}

const char *recurrent_linear_reason(int which) {
  return which == R_WEIGHT_HH || which == R_BIAS_HH || which == R_NORM_GAIN ||
                 which == R_NORM_BIAS || which == R_DROPOUT
             ? "h is not multiplied by weights"
             : NULL;
}

/* SAROS_EARGUMENT that says why the cell has no such tensor. */
static saros_status refuse(const recurrence *r, const char *name, int which) {
  const recurrent_cell *cell = r->cell;
  const char *why =
      which >= 0 && cell->reason != NULL ? cell->reason(which) : NULL;
  if (why != NULL)
    return saros_fail(r->context, SAROS_EARGUMENT, "%s: expected no %s: %s",
                      cell->facts.name, name, why);
  char known[400] = "";
  size_t used = 0;
  for (const char *const *at = cell->facts.parameters; *at != NULL; at++)
    used += (size_t)snprintf(known + used, sizeof known - used, "%s%s",
                             used ? ", " : "", *at);
  return saros_fail(r->context, SAROS_EARGUMENT,
                    "%s: expected parameters named %s, got %s",
                    cell->facts.name, known, BASE_QUOTE(name));
}

saros_status recurrent_take(recurrence *r, const saros_named_tensor *parameters,
                            int count) {
  for (int i = 0; i < count; i++) {
    const char *name = parameters[i].name;
    if (parameters[i].tensor == NULL)
      continue;
    int which = recurrent_parameter(name);
    if (which < 0 || !recurrent_has_parameter(r->cell, name))
      return refuse(r, name, which);
    if (r->t[which] != NULL)
      return saros_fail(r->context, SAROS_EARGUMENT,
                        "%s: expected %s once, got it twice",
                        r->cell->facts.name, name);
    r->t[which] = parameters[i].tensor;
  }
  return SAROS_OK;
}

/* --- Sizes ------------------------------------------------------------------------- */

/* x (T, B, I) as the parameters want it. */
static saros_status expect_x(const recurrence *r, int width) {
  const saros_tensor *x = r->t[R_X];
  const char *function = r->cell->facts.name;
  TRY(tensor_expect_real(function, "x", x));
  if (x->rank != 3 || x->shape[0] < 1 || x->shape[2] != width)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected x of shape (T, B, %d) with T >= 1, got %s",
                      function, width, TENSOR_SHAPE(x));
  if ((double)x->shape[0] * x->shape[1] <= INT32_MAX)
    return SAROS_OK;
  return saros_fail(r->context, SAROS_EARGUMENT,
                    "%s: expected fewer than 2^31 rows over all steps, got "
                    "shape %s",
                    function, TENSOR_SHAPE(x));
}

/* x is ids (T, B) of rows of the table (V, G H). */
static saros_status expect_ids_of_table(const recurrence *r, int width) {
  const saros_tensor *x = r->t[R_X], *table = r->t[R_TABLE];
  const char *function = r->cell->facts.name;
  TRY(tensor_expect_context(function, r->context, table));
  TRY(tensor_expect_real(function, recurrent_givens[R_TABLE].name, table));
  TRY(tensor_expect_ids(function, "x", x));
  if (r->t[R_WEIGHT_IH] != NULL)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected a table or weight_ih, got both", function);
  if (table->rank != 2 || table->shape[1] != width)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected a table of shape (V, %d), got %s", function,
                      width, TENSOR_SHAPE(table));
  if (x->rank == 2 && x->shape[0] >= 1 && x->count <= INT32_MAX)
    return SAROS_OK;
  return saros_fail(r->context, SAROS_EARGUMENT,
                    "%s: expected ids of shape (T, B) with T >= 1, got %s",
                    function, TENSOR_SHAPE(x));
}

/* H and P from weight_hh. */
static saros_status expect_weight_hh(recurrence *r) {
  const saros_tensor *ih = r->t[R_WEIGHT_IH], *hh = r->t[R_WEIGHT_HH];
  const char *function = r->cell->facts.name;
  if (hh == NULL || hh->rank != 2 || hh->shape[0] % r->G != 0)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected weight_hh of shape (%d H, H), got %s",
                      function, r->G, hh ? TENSOR_SHAPE(hh) : "none");
  if (ih != NULL && ih->rank != 2)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected weight_ih of shape (%d, I), got %s",
                      function, hh->shape[0], TENSOR_SHAPE(ih));
  r->H = hh->shape[0] / r->G, r->P = hh->shape[1];
  if (r->P != r->H && r->t[R_WEIGHT_HR] == NULL)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected weight_hh of shape (%d, %d), got %s",
                      function, hh->shape[0], r->H, TENSOR_SHAPE(hh));
  return SAROS_OK;
}

/* H of a linear cell from what makes its gates: weight_ih, the table, or x. */
static saros_status expect_gates(recurrence *r) {
  const saros_tensor *ih = r->t[R_WEIGHT_IH], *table = r->t[R_TABLE];
  const saros_tensor *from = ih ? ih : table ? table : r->t[R_X];
  int units = r->cell->multiple > 0 ? r->cell->multiple : 1;
  int GH = from->rank == 0 ? 0 : from->shape[ih ? 0 : from->rank - 1];
  if (from->rank != (ih || table ? 2 : 3) || GH % (r->G * units) != 0)
    return saros_fail(r->context, SAROS_EARGUMENT,
                      "%s: expected %s with a multiple of %d as its %s size, "
                      "got shape %s",
                      r->cell->facts.name,
                      ih ? recurrent_givens[R_WEIGHT_IH].name
                         : recurrent_givens[table ? R_TABLE : R_X].name,
                      r->G * units, ih ? "first" : "last", TENSOR_SHAPE(from));
  r->P = r->H = GH / r->G;
  return SAROS_OK;
}

/* The weights and x have the sizes that everything else must have. */
static saros_status expect_sizes(recurrence *r) {
  const saros_tensor *ih = r->t[R_WEIGHT_IH];
  TRY(r->cell->facts.linear ? expect_gates(r) : expect_weight_hh(r));
  int GH = r->G * r->H;
  if (r->t[R_TABLE] != NULL)
    TRY(expect_ids_of_table(r, GH));
  else
    TRY(expect_x(r, ih != NULL ? ih->shape[1] : GH));
  r->T = r->t[R_X]->shape[0], r->B = r->t[R_X]->shape[1];
  r->I = r->t[R_TABLE] != NULL ? GH : r->t[R_X]->shape[2];
  return SAROS_OK;
}

/* --- Shapes ------------------------------------------------------------------------ */

int64_t recurrent_size(char letter, const recurrent_sizes *s) {
  switch (letter) {
    case 'A':
      return s->G * s->H;
    case 'I':
      return s->I;
    case 'P':
      return s->P;
    case 'H':
      return s->H;
    case 'h':
      return s->H / 2;
    default:
      return letter - '0';
  }
}

static int size_of(const recurrence *r, char letter) {
  const recurrent_sizes sizes = {r->G, r->H, r->P, r->I};
  return letter == 'T'   ? r->T
         : letter == 'B' ? r->B
                         : (int)recurrent_size(letter, &sizes);
}

static saros_status expect_shape(const recurrence *r, int which) {
  const saros_tensor *x = r->t[which];
  const recurrent_given *given = &recurrent_givens[which];
  const char *function = r->cell->facts.name;
  if (x == NULL || given->shape == NULL)
    return SAROS_OK;
  TRY(tensor_expect_context(function, r->context, x));
  TRY(tensor_expect_real(function, given->name, x));
  int rank = 0, shape[SAROS_MAX_RANK];
  for (const char *letter = given->shape; *letter != '\0'; letter++)
    shape[rank++] = size_of(r, *letter);
  if (x->rank == rank &&
      memcmp(x->shape, shape, (size_t)rank * sizeof(int)) == 0)
    return SAROS_OK;
  return saros_fail(r->context, SAROS_EARGUMENT,
                    "%s: expected %s of shape %s, got %s", function,
                    given->name,
                    tensor_shape_format(&(tensor_shape_text){{0}}, rank, shape),
                    TENSOR_SHAPE(x));
}

/* --- What belongs together ---------------------------------------------------------- */

static saros_status expect_needed(const recurrence *r) {
  const char *const *name = r->cell->needed;
  for (; name != NULL && *name != NULL; name++)
    if (r->t[recurrent_parameter(*name)] == NULL)
      return saros_fail(r->context, SAROS_EARGUMENT,
                        "%s: expected a tensor %s, got none",
                        r->cell->facts.name, *name);
  return SAROS_OK;
}

/* What a step acts on must be there. */
static saros_status expect_steps(const recurrence *r) {
  const saros_cell_facts *facts = &r->cell->facts;
  if (r->t[R_DROPOUT] != NULL && facts->linear)
    return refuse(r, recurrent_givens[R_DROPOUT].name, R_DROPOUT);
  if (r->t[R_ZONEOUT_C] == NULL || facts->states == 2)
    return SAROS_OK;
  return saros_fail(r->context, SAROS_EARGUMENT,
                    "%s: expected no zoneout_c: its only state is h",
                    facts->name);
}

static saros_status expect_pairs(const recurrence *r) {
  if (!r->t[R_NORM_GAIN] == !r->t[R_NORM_BIAS] &&
      !r->t[R_NORM_C_GAIN] == !r->t[R_NORM_C_BIAS])
    return SAROS_OK;
  return saros_fail(r->context, SAROS_EARGUMENT,
                    "%s: expected the gain and the bias of a norm, got one of "
                    "them",
                    r->cell->facts.name);
}

saros_status recurrent_check(recurrence *r) {
  TRY(expect_sizes(r));
  TRY(expect_needed(r));
  TRY(expect_steps(r));
  TRY(expect_pairs(r));
  for (int i = 0; i < R_GIVEN; i++)
    TRY(expect_shape(r, i));
  return SAROS_OK;
}
