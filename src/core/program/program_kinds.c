/*
** The kinds of nodes: one row for each, with its name, how many operands it
** has, its attributes and the rule that gives its width.
*/
#include <string.h>

#include "program_read.h"

#define OPTIONAL 1

/* --- Operands ------------------------------------------------------------------ */

static const program_node *operand(const program_reader *r,
                                   const program_node *n, int i) {
  return &r->program->nodes[n->input[i]];
}

static int64_t width_of(const program_reader *r, const program_node *n, int i) {
  return operand(r, n, i)->width;
}

static saros_status expect_invariant(const program_reader *r,
                                     const program_node *n, int i,
                                     const char *name) {
  if (operand(r, n, i)->invariant)
    return SAROS_OK;
  return program_refuse(
      r, PROGRAM_WORDS("%s to depend on parameters and constants alone", name),
      PROGRAM_WORDS("node %d, which changes from step to step", n->input[i]));
}

static saros_status expect_width(const program_reader *r, const program_node *n,
                                 int i, int64_t width, const char *name) {
  if (width_of(r, n, i) == width)
    return SAROS_OK;
  return program_refuse(
      r, PROGRAM_WORDS("%s of width %lld", name, (long long)width),
      PROGRAM_WORDS("%d", operand(r, n, i)->width));
}

/* a b c of attributes, at most about 2^62: each is below 2^31. */
static int64_t product(int64_t a, int64_t b, int64_t c) {
  int64_t ab = a * b;
  return ab > INT32_MAX ? INT64_C(1) << 40 : ab * c;
}

/* --- Width rules ----------------------------------------------------------------- */

static saros_status measure_input(const program_reader *r, program_node *n,
                                  int64_t *width) {
  (void)r;
  *width = n->at[AT_COUNT];
  return SAROS_OK;
}

static saros_status measure_one(const program_reader *r, program_node *n,
                                int64_t *width) {
  (void)r, (void)n;
  *width = 1;
  return SAROS_OK;
}

static saros_status measure_parameter(const program_reader *r, program_node *n,
                                      int64_t *width) {
  const saros_program *p = r->program;
  if (n->at[AT_NUMBER] >= p->parameter_count)
    return program_refuse(
        r, PROGRAM_WORDS("a parameter in 0..%d", p->parameter_count - 1),
        PROGRAM_WORDS("%d", n->at[AT_NUMBER]));
  *width = p->parameters[n->at[AT_NUMBER]].count;
  return SAROS_OK;
}

/* The reader has left the length of the list in at[AT_COUNT]; 0: a value. */
static saros_status measure_constant(const program_reader *r, program_node *n,
                                     int64_t *width) {
  (void)r;
  *width = n->values ? n->at[AT_COUNT] : 1;
  return SAROS_OK;
}

static saros_status measure_state(const program_reader *r, program_node *n,
                                  int64_t *width) {
  *width = r->program->states[n->state[0]].width;
  return SAROS_OK;
}

static saros_status measure_linear(const program_reader *r, program_node *n,
                                   int64_t *width) {
  int64_t x = width_of(r, n, 0), weight = width_of(r, n, 1);
  TRY(expect_invariant(r, n, 1, "the weight"));
  if (weight % x != 0)
    return program_refuse(
        r, PROGRAM_WORDS("a weight of a multiple of %d elements", (int)x),
        PROGRAM_WORDS("%d", (int)weight));
  *width = weight / x;
  if (n->inputs < 3)
    return SAROS_OK;
  TRY(expect_invariant(r, n, 2, "the bias"));
  return expect_width(r, n, 2, *width, "a bias");
}

static saros_status measure_lookup(const program_reader *r, program_node *n,
                                   int64_t *width) {
  const program_node *ids = operand(r, n, 0);
  if (ids->op != NODE_IDS)
    return program_refuse(r, "ids as its first operand",
                          PROGRAM_WORDS("a %s node", program_op_name(ids)));
  TRY(expect_invariant(r, n, 1, "the table"));
  int64_t table = width_of(r, n, 1);
  if (table % ids->at[AT_IDS] != 0)
    return program_refuse(r,
                          PROGRAM_WORDS("a table of %d rows", ids->at[AT_IDS]),
                          PROGRAM_WORDS("%d elements", (int)table));
  *width = table / ids->at[AT_IDS];
  return SAROS_OK;
}

static saros_status measure_same(const program_reader *r, program_node *n,
                                 int64_t *width) {
  *width = width_of(r, n, 0);
  return SAROS_OK;
}

/* Widths are equal, or 1. */
static saros_status measure_together(const program_reader *r, program_node *n,
                                     int64_t *width) {
  *width = 1;
  for (int i = 0; i < n->inputs; i++) {
    int64_t w = width_of(r, n, i);
    if (w != 1 && *width != 1 && w != *width)
      return program_refuse(r, "operands of equal width, or of width 1",
                            PROGRAM_WORDS("%d and %d", (int)*width, (int)w));
    *width = w == 1 ? *width : w;
  }
  return SAROS_OK;
}

static saros_status measure_expand(const program_reader *r, program_node *n,
                                   int64_t *width) {
  int64_t x = product(n->at[AT_OUTER], n->at[AT_INNER], 1);
  TRY(expect_width(r, n, 0, x, "an operand"));
  *width = product(n->at[AT_OUTER], n->at[AT_INNER], n->at[AT_TIMES]);
  return SAROS_OK;
}

static saros_status expect_split(const program_reader *r,
                                 const program_node *n) {
  int64_t x = product(n->at[AT_OUTER], n->at[AT_N], n->at[AT_INNER]);
  return expect_width(r, n, 0, x, "an operand");
}

static saros_status measure_slice(const program_reader *r, program_node *n,
                                  int64_t *width) {
  const int *at = n->at;
  TRY(expect_split(r, n));
  int64_t last = at[AT_FROM] + (int64_t)(at[AT_COUNT] - 1) * at[AT_STEP];
  if (at[AT_STEP] == 0)
    return program_refuse(r, "a step other than 0", "0");
  if (at[AT_FROM] >= at[AT_N] || last < 0 || last >= at[AT_N])
    return program_refuse(
        r, PROGRAM_WORDS("places in 0..%d", at[AT_N] - 1),
        PROGRAM_WORDS("%d to %lld", at[AT_FROM], (long long)last));
  *width = product(at[AT_OUTER], at[AT_COUNT], at[AT_INNER]);
  return SAROS_OK;
}

static saros_status measure_concatenate(const program_reader *r,
                                        program_node *n, int64_t *width) {
  *width = 0;
  for (int i = 0; i < n->inputs; i++) {
    if (width_of(r, n, i) % n->at[AT_OUTER] != 0)
      return program_refuse(
          r,
          PROGRAM_WORDS("operands of a multiple of %d features",
                        n->at[AT_OUTER]),
          PROGRAM_WORDS("%d", (int)width_of(r, n, i)));
    *width += width_of(r, n, i);
  }
  return SAROS_OK;
}

static saros_status measure_transpose(const program_reader *r, program_node *n,
                                      int64_t *width) {
  int64_t outer = product(n->at[AT_OUTER], n->at[AT_A], 1);
  TRY(expect_width(r, n, 0, product(outer, n->at[AT_B], n->at[AT_INNER]),
                   "an operand"));
  return measure_same(r, n, width);
}

static saros_status measure_reduced(const program_reader *r, program_node *n,
                                    int64_t *width) {
  TRY(expect_split(r, n));
  *width = product(n->at[AT_OUTER], n->at[AT_INNER], 1);
  return SAROS_OK;
}

static saros_status measure_along(const program_reader *r, program_node *n,
                                  int64_t *width) {
  TRY(expect_split(r, n));
  return measure_same(r, n, width);
}

static saros_status measure_norm(const program_reader *r, program_node *n,
                                 int64_t *width) {
  static const char *const names[] = {"x", "a gain", "a bias"};
  if (width_of(r, n, 0) % n->at[AT_N] != 0)
    return program_refuse(
        r, PROGRAM_WORDS("runs of %d features", n->at[AT_N]),
        PROGRAM_WORDS("a width of %d", (int)width_of(r, n, 0)));
  for (int i = 1; i < n->inputs; i++) {
    TRY(expect_invariant(r, n, i, names[i]));
    TRY(expect_width(r, n, i, n->at[AT_N], names[i]));
  }
  return measure_same(r, n, width);
}

/* The ring of state holds the k - 1 values, d steps apart, before this one. */
static saros_status measure_window(const program_reader *r, program_node *n,
                                   int64_t *width) {
  int64_t x = width_of(r, n, 0), d = n->at[AT_DILATION];
  int64_t ring = r->program->states[n->state[0]].width;
  if (r->program->states[n->state[0]].first >= 0)
    return program_refuse(r, "a state that begins with zeros", "another first");
  if (x * d > ring || ring % (x * d) != 0)
    return program_refuse(
        r,
        PROGRAM_WORDS("a state of a multiple of %lld features",
                      (long long)(x * d)),
        PROGRAM_WORDS("%lld", (long long)ring));
  n->at[AT_TAPS] = (int)(ring / (x * d)) + 1;
  *width = n->at[AT_TAPS] * x;
  return SAROS_OK;
}

static saros_status measure_matvec(const program_reader *r, program_node *n,
                                   int64_t *width) {
  const int *at = n->at;
  int64_t rows = at[AT_TRANSPOSED] ? at[AT_COLUMNS] : at[AT_ROWS];
  int64_t columns = at[AT_TRANSPOSED] ? at[AT_ROWS] : at[AT_COLUMNS];
  TRY(expect_width(r, n, 0, product(at[AT_HEADS], at[AT_ROWS], at[AT_COLUMNS]),
                   "a matrix"));
  TRY(expect_width(r, n, 1, product(at[AT_HEADS], columns, 1), "a vector"));
  *width = product(at[AT_HEADS], rows, 1);
  return SAROS_OK;
}

static saros_status measure_outer(const program_reader *r, program_node *n,
                                  int64_t *width) {
  int64_t u = width_of(r, n, 0), v = width_of(r, n, 1), heads = n->at[AT_HEADS];
  if (u % heads != 0 || v % heads != 0)
    return program_refuse(r, PROGRAM_WORDS("operands for %d heads", (int)heads),
                          PROGRAM_WORDS("widths %d and %d", (int)u, (int)v));
  *width = product(u, v / heads, 1);
  return SAROS_OK;
}

/* States: memory, the k and v of each of the last W - 1 steps, and exists, which
** of them there were. */
static saros_status measure_attention(const program_reader *r, program_node *n,
                                      int64_t *width) {
  const program_state *states = r->program->states;
  int64_t F = width_of(r, n, 0), past = n->at[AT_WINDOW] - 1;
  TRY(expect_width(r, n, 1, F, "k"));
  TRY(expect_width(r, n, 2, F, "v"));
  TRY(expect_invariant(r, n, 3, "the distances"));
  TRY(expect_width(r, n, 3, product(n->at[AT_HEADS], n->at[AT_WINDOW], 1),
                   "distances"));
  if (F % n->at[AT_HEADS] != 0)
    return program_refuse(
        r, PROGRAM_WORDS("a width for %d heads", n->at[AT_HEADS]),
        PROGRAM_WORDS("%lld", (long long)F));
  if (n->states != 2)
    return program_refuse(r, "2 states", PROGRAM_WORDS("%d", n->states));
  if (states[n->state[0]].width != product(past, 2 * F, 1) ||
      states[n->state[1]].width != past)
    return program_refuse(r,
                          PROGRAM_WORDS("states of width %lld and %lld",
                                        (long long)product(past, 2 * F, 1),
                                        (long long)past),
                          PROGRAM_WORDS("%d and %d", states[n->state[0]].width,
                                        states[n->state[1]].width));
  for (int i = 0; i < 2; i++)
    if (states[n->state[i]].first >= 0)
      return program_refuse(r, "states that begin with zeros", "another first");
  return measure_same(r, n, width);
}

/* A gate of each head and reflection, or one constant for all of them. */
static saros_status expect_gate(const program_reader *r, const program_node *n,
                                int i, int64_t gates, const char *name) {
  const program_node *x = operand(r, n, i);
  if (x->width == gates || (x->op == NODE_CONSTANT && x->width == 1))
    return SAROS_OK;
  return program_refuse(r,
                        PROGRAM_WORDS("%s of width %lld, or one constant", name,
                                      (long long)gates),
                        PROGRAM_WORDS("%d", x->width));
}

/* A decay of each head, or of each of its K channels. */
static saros_status expect_decay(const program_reader *r, const program_node *n,
                                 int64_t q) {
  const int heads = n->at[AT_HEADS];
  if (n->inputs < 6 || width_of(r, n, 5) == heads || width_of(r, n, 5) == q)
    return SAROS_OK;
  return program_refuse(
      r, PROGRAM_WORDS("a decay of width %d or %lld", heads, (long long)q),
      PROGRAM_WORDS("%lld", (long long)width_of(r, n, 5)));
}

/* q (H K), k (n H K), v (n H V), write and erase (n H), decay (H) or (H K); the
** state has a matrix (K, V) of each head. */
static saros_status measure_delta(const program_reader *r, program_node *n,
                                  int64_t *width) {
  const int64_t q = width_of(r, n, 0), v = width_of(r, n, 2);
  const int heads = n->at[AT_HEADS], reflections = n->at[AT_REFLECTIONS];
  const int64_t gates = product(reflections, heads, 1);
  if (reflections > KERNEL_DELTA_MOST)
    return program_refuse(
        r, PROGRAM_WORDS("1 to %d reflections", KERNEL_DELTA_MOST),
        PROGRAM_WORDS("%d", reflections));
  if (q % heads != 0)
    return program_refuse(r, PROGRAM_WORDS("a q for %d heads", heads),
                          PROGRAM_WORDS("a width of %lld", (long long)q));
  TRY(expect_width(r, n, 1, product(reflections, q, 1), "k"));
  if (v % gates != 0)
    return program_refuse(r,
                          PROGRAM_WORDS("a v for %d heads and %d reflections",
                                        heads, reflections),
                          PROGRAM_WORDS("a width of %lld", (long long)v));
  TRY(expect_gate(r, n, 3, gates, "write"));
  TRY(expect_gate(r, n, 4, gates, "erase"));
  TRY(expect_decay(r, n, q));
  if (n->states != 1)
    return program_refuse(r, "1 state", PROGRAM_WORDS("%d", n->states));
  const int64_t got = r->program->states[n->state[0]].width;
  const int64_t matrices = product(q, v / gates, 1);
  if (got != matrices)
    return program_refuse(
        r, PROGRAM_WORDS("a state of width %lld", (long long)matrices),
        PROGRAM_WORDS("%lld", (long long)got));
  *width = v / reflections;
  return SAROS_OK;
}

/* --- Attributes ------------------------------------------------------------------ */

#define SIZE(name, place)                                                      \
  { name, ATTRIBUTE_INTEGER, place, 0, 1, 0 }
#define END                                                                    \
  { NULL, 0, 0, 0, 0, 0 }

static const program_attribute input_attributes[] = {
    {"name", ATTRIBUTE_NAME, 0, 0, 0, 0}, SIZE("width", AT_COUNT), END};
static const program_attribute ids_attributes[] = {
    {"name", ATTRIBUTE_NAME, 0, 0, 0, 0}, SIZE("count", AT_IDS), END};
static const program_attribute parameter_attributes[] = {
    {"parameter", ATTRIBUTE_INTEGER, AT_NUMBER, 0, 0, 0}, END};
static const program_attribute constant_attributes[] = {
    {"value", ATTRIBUTE_REAL, NUMBER_VALUE, OPTIONAL, 0, 0},
    {"values", ATTRIBUTE_VALUES, 0, OPTIONAL, 0, 0},
    END};
static const program_attribute state_attributes[] = {
    {"state", ATTRIBUTE_STATE, 0, 0, 0, 0}, END};
static const program_attribute none[] = {END};
static const program_attribute expand_attributes[] = {
    SIZE("outer", AT_OUTER), SIZE("times", AT_TIMES), SIZE("inner", AT_INNER),
    END};
static const program_attribute slice_attributes[] = {
    SIZE("outer", AT_OUTER),
    SIZE("n", AT_N),
    SIZE("inner", AT_INNER),
    {"from", ATTRIBUTE_INTEGER, AT_FROM, 0, 0, 0},
    SIZE("count", AT_COUNT),
    {"step", ATTRIBUTE_INTEGER, AT_STEP, OPTIONAL, INT32_MIN, 1},
    END};
static const program_attribute concatenate_attributes[] = {
    {"outer", ATTRIBUTE_INTEGER, AT_OUTER, OPTIONAL, 1, 1}, END};
static const program_attribute transpose_attributes[] = {
    SIZE("outer", AT_OUTER), SIZE("a", AT_A), SIZE("b", AT_B),
    SIZE("inner", AT_INNER), END};
static const program_attribute split_attributes[] = {
    SIZE("outer", AT_OUTER), SIZE("n", AT_N), SIZE("inner", AT_INNER), END};
static const program_attribute norm_attributes[] = {
    SIZE("n", AT_N), {"epsilon", ATTRIBUTE_REAL, NUMBER_EPSILON, 0, 0, 0}, END};
static const program_attribute window_attributes[] = {
    {"state", ATTRIBUTE_STATE, 0, 0, 0, 0}, SIZE("dilation", AT_DILATION), END};
static const program_attribute matvec_attributes[] = {
    SIZE("heads", AT_HEADS),
    SIZE("rows", AT_ROWS),
    SIZE("columns", AT_COLUMNS),
    {"transposed", ATTRIBUTE_FLAG, AT_TRANSPOSED, OPTIONAL, 0, 0},
    END};
static const program_attribute outer_attributes[] = {SIZE("heads", AT_HEADS),
                                                     END};
static const program_attribute cell_attributes[] = {
    {"cell", ATTRIBUTE_CELL, 0, 0, 0, 0},
    {"with", ATTRIBUTE_WITH, 0, 0, 0, 0},
    {"states", ATTRIBUTE_STATES, 0, 0, 0, 0},
    {"zoneout", ATTRIBUTE_ZONEOUT, 0, OPTIONAL, 0, 0},
    {"dropout", ATTRIBUTE_PROBABILITY, NUMBER_DROPOUT, OPTIONAL, 0, 0},
    END};
static const program_attribute attention_attributes[] = {
    SIZE("heads", AT_HEADS),
    {"window", ATTRIBUTE_INTEGER, AT_WINDOW, 0, 2, 0},
    {"states", ATTRIBUTE_STATES, 0, 0, 0, 0},
    END};
static const program_attribute delta_attributes[] = {
    SIZE("heads", AT_HEADS),
    {"reflections", ATTRIBUTE_INTEGER, AT_REFLECTIONS, OPTIONAL, 1, 1},
    {"states", ATTRIBUTE_STATES, 0, 0, 0, 0},
    END};
static const program_attribute dropout_attributes[] = {
    {"p", ATTRIBUTE_PROBABILITY, NUMBER_P, 0, 0, 0},
    {"shared", ATTRIBUTE_FLAG, AT_SHARED, OPTIONAL, 0, 0},
    END};

/* --- The table --------------------------------------------------------------------- */

#define MANY PROGRAM_MAX_ITEMS

const program_kind program_kinds[NODE_KINDS] = {
    [NODE_INPUT] = {"input", 0, 0, 0, 1, input_attributes, measure_input},
    [NODE_IDS] = {"ids", 0, 0, 0, 1, ids_attributes, measure_one},
    [NODE_PARAMETER] = {"parameter", 0, 0, 0, 0, parameter_attributes,
                        measure_parameter},
    [NODE_CONSTANT] = {"constant", 0, 0, 0, 0, constant_attributes,
                       measure_constant},
    [NODE_STATE] = {"state", 0, 0, 0, 1, state_attributes, measure_state},
    [NODE_LINEAR] = {"linear", 2, 3, 0, 0, none, measure_linear},
    [NODE_LOOKUP] = {"lookup", 2, 2, 1, 1, none, measure_lookup},
    [NODE_UNARY] = {NULL, 1, 1, 0, 0, none, measure_same},
    [NODE_BINARY] = {NULL, 2, 2, 0, 0, none, measure_together},
    [NODE_WHERE] = {"where", 3, 3, 0, 0, none, measure_together},
    [NODE_EXPAND] = {"expand", 1, 1, 0, 0, expand_attributes, measure_expand},
    [NODE_SLICE] = {"slice", 1, 1, 0, 0, slice_attributes, measure_slice},
    [NODE_CONCATENATE] = {"concatenate", 1, MANY, 0, 0, concatenate_attributes,
                          measure_concatenate},
    [NODE_TRANSPOSE] = {"transpose", 1, 1, 0, 0, transpose_attributes,
                        measure_transpose},
    [NODE_SUM] = {"sum", 1, 1, 0, 0, split_attributes, measure_reduced},
    [NODE_MEAN] = {"mean", 1, 1, 0, 0, split_attributes, measure_reduced},
    [NODE_MAX] = {"max", 1, 1, 0, 0, split_attributes, measure_reduced},
    [NODE_MIN] = {"min", 1, 1, 0, 0, split_attributes, measure_reduced},
    [NODE_LOGSUMEXP] = {"logsumexp", 1, 1, 0, 0, split_attributes,
                        measure_reduced},
    [NODE_CUMSUM] = {"cumsum", 1, 1, 0, 0, split_attributes, measure_along},
    [NODE_SOFTMAX] = {"softmax", 1, 1, 0, 0, split_attributes, measure_along},
    [NODE_LOG_SOFTMAX] = {"log_softmax", 1, 1, 0, 0, split_attributes,
                          measure_along},
    [NODE_LAYER_NORM] = {"layer_norm", 1, 3, 0, 0, norm_attributes,
                         measure_norm},
    [NODE_RMS_NORM] = {"rms_norm", 1, 2, 0, 0, norm_attributes, measure_norm},
    [NODE_WINDOW] = {"window", 1, 1, 0, 1, window_attributes, measure_window},
    [NODE_MATVEC] = {"matvec", 2, 2, 0, 0, matvec_attributes, measure_matvec},
    [NODE_OUTER] = {"outer", 2, 2, 0, 0, outer_attributes, measure_outer},
    [NODE_CELL] = {"cell", 1, 1 + R_PARAMETERS - R_WEIGHT_IH, 1, 1,
                   cell_attributes, program_measure_cell},
    [NODE_ATTENTION] = {"attention", 4, 4, 0, 1, attention_attributes,
                        measure_attention},
    [NODE_DELTA] = {"delta", 5, 6, 0, 1, delta_attributes, measure_delta},
    [NODE_DROPOUT] = {"dropout", 1, 1, 0, 1, dropout_attributes, measure_same},
};

int program_find_kind(const char *name, program_node *n) {
  for (int op = 0; op < NODE_KINDS; op++)
    if (program_kinds[op].name && strcmp(program_kinds[op].name, name) == 0) {
      n->op = op;
      return 1;
    }
  for (int f = 0; f < SAROS_FUNCTIONS; f++)
    if (strcmp(saros_function_name((saros_function)f), name) == 0) {
      n->op = NODE_UNARY, n->function = f;
      return 1;
    }
  for (int f = 0; f < SAROS_OPERATORS; f++)
    if (strcmp(saros_operator_name((saros_operator)f), name) == 0) {
      n->op = NODE_BINARY, n->function = f;
      return 1;
    }
  return 0;
}

const char *program_op_name(const program_node *n) {
  if (n->op == NODE_UNARY)
    return saros_function_name((saros_function)n->function);
  if (n->op == NODE_BINARY)
    return saros_operator_name((saros_operator)n->function);
  return program_kinds[n->op].name;
}
