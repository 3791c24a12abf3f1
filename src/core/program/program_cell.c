/*
** Cell nodes: a fused layer inside a program. Its parameters are checked here as
** saros_recurrent checks those of a layer, so that whatever reads the node table
** can rely on their sizes.
*/
#include <string.h>

#include "program_read.h"

/* The sizes of a layer. */
typedef struct cell_sizes {
  int64_t x, G, H, P;
} cell_sizes;

/* A parameter: its name, its size as factors of G, H, P and x's width, and what
** has it. */
typedef struct layer_rule {
  const char *name;
  char size[4];  // "GHP": the product; 't': any number of rows of G H
  char only;     // 0: every cell; 'l': the lstm; 'r': cells that are not
                 // linear in h; 'u': the lru
} layer_rule;

static const layer_rule rules[LAYER_PARAMETERS] = {
    [LAYER_WEIGHT_IH] = {"weight_ih", "GHx", 0},
    [LAYER_WEIGHT_HH] = {"weight_hh", "GHP", 'r'},
    [LAYER_BIAS_IH] = {"bias_ih", "GH", 0},
    [LAYER_BIAS_HH] = {"bias_hh", "GH", 'r'},
    [LAYER_WEIGHT_HR] = {"weight_hr", "PH", 'l'},
    [LAYER_PEEPHOLE] = {"peephole", "3H", 'l'},
    [LAYER_NORM_GAIN] = {"norm_gain", "GH", 'r'},
    [LAYER_NORM_BIAS] = {"norm_bias", "GH", 'r'},
    [LAYER_NORM_C_GAIN] = {"norm_c_gain", "H", 'l'},
    [LAYER_NORM_C_BIAS] = {"norm_c_bias", "H", 'l'},
    [LAYER_TABLE] = {"table", "t", 0},
    [LAYER_NU] = {"nu", "h", 'u'},
    [LAYER_THETA] = {"theta", "h", 'u'},
};

const char *program_layer_name(int which) {
  return rules[which].name;
}

int program_find_layer(const char *name) {
  for (int i = 0; i < LAYER_PARAMETERS; i++)
    if (strcmp(rules[i].name, name) == 0)
      return i;
  return -1;
}

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

static int belongs(const program_node *n, char only) {
  saros_cell_facts facts = saros_cell_of(n->cell);
  return only == 0 || (only == 'l' && n->cell == SAROS_LSTM) ||
         (only == 'r' && !facts.linear) ||
         (only == 'u' && n->cell == SAROS_LRU);
}

static int64_t size_of(const layer_rule *rule, const cell_sizes *s) {
  int64_t size = 1;
  for (const char *factor = rule->size; *factor; factor++) {
    int64_t f = *factor == 'G'   ? s->G
                : *factor == 'H' ? s->H
                : *factor == 'P' ? s->P
                : *factor == 'x' ? s->x
                : *factor == 'h' ? s->H / 2
                                 : 3;
    size = size * f > INT32_MAX ? INT64_C(1) << 31 : size * f;
  }
  return size;
}

static saros_status check_size(const program_reader *r, const program_node *n,
                               int which, int64_t got, const cell_sizes *s) {
  const layer_rule *rule = &rules[which];
  int64_t size = size_of(rule, s);
  const program_node *x = operand(r, n, 0);
  if (which == LAYER_TABLE)
    size = x->op == NODE_IDS ? x->at[AT_IDS] * s->G * s->H : -1;
  if (size == got)
    return SAROS_OK;
  if (size < 0)
    return program_refuse(r, "ids as the first operand beside a table",
                          WORDS("a %s node", program_op_name(x)));
  return program_refuse(
      r, WORDS("%s of %lld elements", rule->name, (long long)size),
      WORDS("%lld", (long long)got));
}

static saros_status check_parameter(const program_reader *r,
                                    const program_node *n, int i,
                                    const cell_sizes *s) {
  int which = n->with[i - 1];
  const char *name = rules[which].name, *cell = saros_cell_of(n->cell).name;
  if (place_of(n, which) != i)
    return program_refuse(r, WORDS("%s once", name), "it twice");
  if (!belongs(n, rules[which].only))
    return program_refuse(r, WORDS("a parameter that the cell %s has", cell),
                          name);
  if (!operand(r, n, i)->invariant)
    return program_refuse(
        r, WORDS("%s to depend on parameters and constants alone", name),
        WORDS("node %d, which changes from step to step", n->input[i]));
  return check_size(r, n, which, operand(r, n, i)->width, s);
}

/* Parameters that are there together or not at all. */
static saros_status check_pairs(const program_reader *r,
                                const program_node *n) {
  int is_lru = n->cell == SAROS_LRU;
  if (!saros_cell_of(n->cell).linear && !has(n, LAYER_WEIGHT_HH))
    return program_refuse(r, "weight_hh", "none");
  if (has(n, LAYER_NU) != is_lru || has(n, LAYER_THETA) != is_lru)
    return program_refuse(r, "nu and theta of a lru", "none");
  if (has(n, LAYER_NORM_GAIN) != has(n, LAYER_NORM_BIAS) ||
      has(n, LAYER_NORM_C_GAIN) != has(n, LAYER_NORM_C_BIAS))
    return program_refuse(r, "the gain and the bias of a norm", "one of them");
  if (has(n, LAYER_NORM_GAIN) && n->cell == SAROS_GRU_BEFORE)
    return program_refuse(r, "no layer norm in a gru_before", "one");
  if (has(n, LAYER_TABLE) && has(n, LAYER_WEIGHT_IH))
    return program_refuse(r, "a table or weight_ih", "both");
  return SAROS_OK;
}

/* H and P from the states, x from the first operand. */
static saros_status find_sizes(const program_reader *r, const program_node *n,
                               cell_sizes *s) {
  const program_state *states = r->program->states;
  const program_node *x = operand(r, n, 0);
  saros_cell_facts facts = saros_cell_of(n->cell);
  if (n->states != facts.states)
    return program_refuse(r, WORDS("%d states", facts.states),
                          WORDS("%d", n->states));
  s->G = facts.gates;
  s->P = states[n->state[0]].width;
  s->H = facts.states == 2 ? states[n->state[1]].width : s->P;
  s->x = x->op == NODE_IDS ? 0 : x->width;
  if (s->P != s->H && !has(n, LAYER_WEIGHT_HR))
    return program_refuse(r, WORDS("a state h of width %lld", (long long)s->H),
                          WORDS("%lld without weight_hr", (long long)s->P));
  if (n->cell == SAROS_LRU && s->H % 2 != 0)
    return program_refuse(r, "a state of an even width",
                          WORDS("%lld", (long long)s->H));
  return SAROS_OK;
}

static saros_status check_x(const program_reader *r, const program_node *n,
                            const cell_sizes *s) {
  int is_ids = operand(r, n, 0)->op == NODE_IDS;
  if (is_ids != has(n, LAYER_TABLE))
    return program_refuse(r, "ids with a table, or features without",
                          is_ids ? "ids alone" : "a table alone");
  if (is_ids || has(n, LAYER_WEIGHT_IH) || s->x == s->G * s->H)
    return SAROS_OK;
  return program_refuse(
      r, WORDS("x of width %lld, without weight_ih", (long long)(s->G * s->H)),
      WORDS("%lld", (long long)s->x));
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
  cell_sizes s;
  TRY(find_sizes(r, n, &s));
  for (int i = 1; i < n->inputs; i++)
    TRY(check_parameter(r, n, i, &s));
  TRY(check_pairs(r, n));
  TRY(check_x(r, n, &s));
  TRY(check_randomness(r, n));
  *width = s.P;
  return SAROS_OK;
}
