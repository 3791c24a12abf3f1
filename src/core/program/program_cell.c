/*
** Cell nodes: a fused layer inside a program. Its parameters are checked here as
** saros_recurrent checks those of a layer, so that whatever reads the node table
** can rely on their sizes.
*/
#include <string.h>

#include "program_read.h"

static const program_node *operand(const program_reader *r,
                                   const program_node *n, int i) {
  return &r->program->nodes[n->input[i]];
}

/* The number of the operand that is a parameter; 0 if the node has none. */
static int place_of(const program_node *n, int which) {
  for (int i = 1; i < n->inputs; i++)
    if (n->with[i - 1] == which)
      return i;
  return 0;
}

static int has(const program_node *n, int which) {
  return place_of(n, which) > 0;
}

/* The elements of a parameter whose shape is in the letters of recurrent.h. */
static int64_t size_of(const char *shape, const recurrent_sizes *s) {
  int64_t size = 1;
  for (; *shape != '\0'; shape++) {
    int64_t factor = recurrent_size(*shape, s);
    size = size * factor > INT32_MAX ? INT64_C(1) << 31 : size * factor;
  }
  return size;
}

static saros_status check_size(const program_reader *r, const program_node *n,
                               int which, int64_t got,
                               const recurrent_sizes *s) {
  const recurrent_given *rule = &recurrent_givens[which];
  const program_node *x = operand(r, n, 0);
  int64_t size = x->op == NODE_IDS ? x->at[AT_IDS] * s->G * s->H : -1;
  if (which != R_TABLE)
    size = size_of(rule->shape, s);
  if (size == got)
    return SAROS_OK;
  if (size < 0)
    return program_refuse(r, "ids as the first operand beside a table",
                          PROGRAM_WORDS("a %s node", program_op_name(x)));
  return program_refuse(
      r, PROGRAM_WORDS("%s of %lld elements", rule->name, (long long)size),
      PROGRAM_WORDS("%lld", (long long)got));
}

static saros_status check_parameter(const program_reader *r,
                                    const program_node *n, int i,
                                    const recurrent_sizes *s) {
  int which = n->with[i - 1];
  const char *name = recurrent_givens[which].name;
  const char *cell = saros_cell_of(n->cell).name;
  if (place_of(n, which) != i)
    return program_refuse(r, PROGRAM_WORDS("%s once", name), "it twice");
  if (!recurrent_has_parameter(recurrent_cells[n->cell], name))
    return program_refuse(
        r, PROGRAM_WORDS("a parameter that the cell %s has", cell), name);
  if (!operand(r, n, i)->invariant)
    return program_refuse(
        r,
        PROGRAM_WORDS("%s to depend on parameters and constants alone", name),
        PROGRAM_WORDS("node %d, which changes from step to step", n->input[i]));
  return check_size(r, n, which, operand(r, n, i)->width, s);
}

/* Parameters that are there together or not at all. */
static saros_status check_pairs(const program_reader *r,
                                const program_node *n) {
  const char *const *needed = recurrent_cells[n->cell]->needed;
  for (; needed != NULL && *needed != NULL; needed++)
    if (!has(n, recurrent_parameter(*needed)))
      return program_refuse(r, *needed, "none");
  if (has(n, R_NORM_GAIN) != has(n, R_NORM_BIAS) ||
      has(n, R_NORM_C_GAIN) != has(n, R_NORM_C_BIAS))
    return program_refuse(r, "the gain and the bias of a norm", "one of them");
  if (has(n, R_TABLE) && has(n, R_WEIGHT_IH))
    return program_refuse(r, "a table or weight_ih", "both");
  return SAROS_OK;
}

/* H and P from the states, I from the first operand. */
static saros_status find_sizes(const program_reader *r, const program_node *n,
                               recurrent_sizes *s) {
  const program_state *states = r->program->states;
  const program_node *x = operand(r, n, 0);
  saros_cell_facts facts = saros_cell_of(n->cell);
  if (n->states != facts.states)
    return program_refuse(r, PROGRAM_WORDS("%d states", facts.states),
                          PROGRAM_WORDS("%d", n->states));
  s->G = facts.gates;
  s->P = states[n->state[0]].width;
  s->H = facts.states == 2 ? states[n->state[1]].width : s->P;
  s->I = x->op == NODE_IDS ? 0 : x->width;
  if (s->P != s->H && !has(n, R_WEIGHT_HR))
    return program_refuse(
        r, PROGRAM_WORDS("a state h of width %lld", (long long)s->H),
        PROGRAM_WORDS("%lld without weight_hr", (long long)s->P));
  const int multiple = recurrent_cells[n->cell]->multiple;
  if (multiple > 0 && s->H % multiple != 0)
    return program_refuse(
        r, PROGRAM_WORDS("a state of a multiple of %d", multiple),
        PROGRAM_WORDS("%lld", (long long)s->H));
  return SAROS_OK;
}

static saros_status check_x(const program_reader *r, const program_node *n,
                            const recurrent_sizes *s) {
  int is_ids = operand(r, n, 0)->op == NODE_IDS;
  if (is_ids != has(n, R_TABLE))
    return program_refuse(r, "ids with a table, or features without",
                          is_ids ? "ids alone" : "a table alone");
  if (is_ids || has(n, R_WEIGHT_IH) || s->I == s->G * s->H)
    return SAROS_OK;
  return program_refuse(r,
                        PROGRAM_WORDS("x of width %lld, without weight_ih",
                                      (long long)(s->G * s->H)),
                        PROGRAM_WORDS("%lld", (long long)s->I));
}

static saros_status check_randomness(const program_reader *r,
                                     const program_node *n) {
  saros_cell_facts facts = saros_cell_of(n->cell);
  if (n->number[NUMBER_DROPOUT] > 0 && facts.linear)
    return program_refuse(r, "no dropout: h is not multiplied by weights",
                          "some");
  if (n->number[NUMBER_ZONEOUT + 1] > 0 && facts.states < 2)
    return program_refuse(r, "zoneout of h alone", "of c, too");
  return SAROS_OK;
}

saros_status program_measure_cell(const program_reader *r, program_node *n,
                                  int64_t *width) {
  recurrent_sizes s;
  TRY(find_sizes(r, n, &s));
  for (int i = 1; i < n->inputs; i++)
    TRY(check_parameter(r, n, i, &s));
  TRY(check_pairs(r, n));
  TRY(check_x(r, n, &s));
  TRY(check_randomness(r, n));
  *width = s.P;
  return SAROS_OK;
}
