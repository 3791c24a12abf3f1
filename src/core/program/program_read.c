/*
** Reading programs from JSON, strictly: whatever the text says is checked here,
** so that nothing that reads the node table has to check it again.
**
** The text is hostile until proven otherwise. Its sections may come in any order
** and are found first; jansson then sees one item (a node, a state, ...) at a
** time, so that a text costs little more memory than its own bytes.
*/
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"
#include "program_json.h"

#define MAX_TEXT ((size_t)1 << 26)

/* --- Memory of a program ----------------------------------------------------------- */

/* Memory is taken in blocks, as most pieces are a few bytes. */
typedef struct program_block {
  struct program_block *next;
  size_t used, size;
  _Alignas(16) char bytes[];
} program_block;

#define BLOCK_BYTES 4000

saros_status program_take(program_reader *r, size_t bytes, void *out) {
  saros_program *p = r->program;
  program_block *block = p->blocks;
  bytes = (bytes + 15) & ~(size_t)15;
  if (block == NULL || block->size - block->used < bytes) {
    size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    block = pool_take(&r->context->pool, sizeof *block + size);
    if (block == NULL)
      return base_out_of_memory(r->context, sizeof *block + size);
    *block = (program_block){p->blocks, 0, size};
    p->blocks = block;
  }
  *(void **)out = memset(block->bytes + block->used, 0, bytes);
  block->used += bytes;
  return SAROS_OK;
}

saros_program *saros_program_retain(saros_program *p) {
  p->references++;
  return p;
}

void saros_program_release(saros_program *p) {
  if (p == NULL || --p->references > 0)
    return;
  base_pool *pool = &p->context->pool;
  loop_forget(p->loops);
  if (p->sequence != p)
    saros_program_release(p->sequence);
  while (p->blocks != NULL) {
    program_block *block = p->blocks;
    p->blocks = block->next;
    pool_give(pool, block);
  }
  pool_give(pool, p->text);
  pool_give(pool, p->nodes);
  pool_give(pool, p->states);
  pool_give(pool, p->parameters);
  pool_give(pool, p->inputs);
  pool_give(pool, p->outputs);
  base_object_free(p->context, p);
}

/* --- Messages -------------------------------------------------------------------------- */

const char *program_format(program_words *buffer, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(buffer->text, sizeof buffer->text, format, arguments);
  va_end(arguments);
  return buffer->text;
}

saros_status program_refuse(const program_reader *r, const char *expected,
                            const char *got) {
  return saros_fail(r->context, SAROS_EARGUMENT,
                    "program: expected %s%s, got %s", expected, r->place, got);
}

/* --- Attributes of nodes ---------------------------------------------------------------- */

static saros_status read_state_number(const program_reader *r,
                                      const json_t *json, const char *name,
                                      int *out) {
  return program_integer(r, json, name, 0, r->program->state_count - 1, out);
}

/* The length of a field that is a list of 1 to 'most' numbers. */
static saros_status read_length(const program_reader *r, const json_t *json,
                                const char *name, int most, int *out) {
  size_t count = json_array_size(json);
  if (count < 1 || count > (size_t)most)
    return program_refuse(r, PROGRAM_WORDS("%s of 1 to %d numbers", name, most),
                          json_is_array(json) ? PROGRAM_WORDS("%zu", count)
                                              : "no list");
  *out = (int)count;
  return SAROS_OK;
}

static saros_status read_states(const program_reader *r, const json_t *json,
                                program_node *n) {
  TRY(read_length(r, json, "states", PROGRAM_STATES, &n->states));
  for (int i = 0; i < n->states; i++)
    TRY(read_state_number(r, json_array_get(json, (size_t)i), "states",
                          &n->state[i]));
  return SAROS_OK;
}

static saros_status read_values(program_reader *r, const json_t *json,
                                program_node *n) {
  size_t count = json_array_size(json);
  double *values;
  if (count < 1)
    return program_refuse(r, "values of at least one number", "none");
  TRY(program_take(r, count * sizeof *values, &values));
  for (size_t i = 0; i < count; i++)
    TRY(program_real(r, json_array_get(json, i), "values", &values[i]));
  n->values = values;
  n->at[AT_COUNT] = (int)count;
  return SAROS_OK;
}

static saros_status read_zoneout(const program_reader *r, const json_t *json,
                                 program_node *n) {
  int count;
  TRY(read_length(r, json, "zoneout", SAROS_MAX_STATES, &count));
  for (int i = 0; i < count; i++)
    TRY(program_probability(r, json_array_get(json, (size_t)i), "zoneout",
                            &n->number[NUMBER_ZONEOUT + i]));
  return SAROS_OK;
}

static saros_status read_cell(const program_reader *r, const json_t *json,
                              program_node *n) {
  const char *name = json_string_value(json);
  for (int i = 0; name != NULL && i < SAROS_CELLS; i++)
    if (strcmp(saros_cell_of((saros_cell)i).name, name) == 0) {
      n->cell = (saros_cell)i;
      return SAROS_OK;
    }
  return program_refuse(r, "the name of a cell",
                        name ? BASE_QUOTE(name) : "none");
}

static saros_status read_with(program_reader *r, const json_t *json,
                              program_node *n) {
  size_t count = json_array_size(json);
  int *with;
  if (!json_is_array(json) || count > R_PARAMETERS - R_WEIGHT_IH)
    return program_refuse(r, "a list of names as with", "others");
  TRY(program_take(r, (count + 1) * sizeof *with, &with));
  for (size_t i = 0; i < count; i++) {
    const char *name = json_string_value(json_array_get(json, i));
    with[i] = name ? recurrent_parameter(name) : -1;
    if (with[i] < 0 || with[i] >= R_PARAMETERS)
      return program_refuse(r, "names of a layer's parameters as with",
                            name ? BASE_QUOTE(name) : "no string");
  }
  n->with = with;
  if ((int)count == n->inputs - 1)
    return SAROS_OK;
  return program_refuse(r, PROGRAM_WORDS("%zu operands behind x", count),
                        PROGRAM_WORDS("%d", n->inputs - 1));
}

static saros_status add_port(program_reader *r, program_port **ports,
                             int *count, size_t *room, program_port port) {
  TRY(array_grow(r->context, ports, (size_t)*count, room, 1, sizeof port));
  (*ports)[(*count)++] = port;
  return SAROS_OK;
}

static saros_status read_name(program_reader *r, const json_t *json,
                              program_node *n) {
  saros_program *p = r->program;
  program_port port = {NULL, p->node_count};
  TRY(program_name(r, json, &port.name));
  n->at[AT_NUMBER] = p->input_count;
  return add_port(r, &p->inputs, &p->input_count, &r->input_room, port);
}

static saros_status read_attribute(program_reader *r, const json_t *json,
                                   const program_attribute *a,
                                   program_node *n) {
  switch (a->form) {
    case ATTRIBUTE_INTEGER:
      return program_integer(r, json, a->name, a->least, INT32_MAX,
                             &n->at[a->place]);
    case ATTRIBUTE_FLAG:
      return program_flag(r, json, a->name, &n->at[a->place]);
    case ATTRIBUTE_REAL:
      return program_real(r, json, a->name, &n->number[a->place]);
    case ATTRIBUTE_PROBABILITY:
      return program_probability(r, json, a->name, &n->number[a->place]);
    case ATTRIBUTE_NAME:
      return read_name(r, json, n);
    case ATTRIBUTE_STATE:
      n->states = 1;
      return read_state_number(r, json, a->name, &n->state[0]);
    case ATTRIBUTE_STATES:
      return read_states(r, json, n);
    case ATTRIBUTE_VALUES:
      return read_values(r, json, n);
    case ATTRIBUTE_ZONEOUT:
      return read_zoneout(r, json, n);
    case ATTRIBUTE_CELL:
      return read_cell(r, json, n);
    default:
      return read_with(r, json, n);
  }
}

/* --- Nodes ---------------------------------------------------------------------------------- */

static saros_status expect_operand(const program_reader *r,
                                   const program_kind *kind, int at,
                                   int number) {
  const program_node *nodes = r->program->nodes;
  int may = kind->reads_ids && at == 0;
  if (nodes[number].op == NODE_IDS && !may)
    return program_refuse(r, "features as operands",
                          PROGRAM_WORDS("the ids of node %d", number));
  return SAROS_OK;
}

static saros_status read_operands(program_reader *r, const json_t *list,
                                  const program_kind *kind, program_node *n) {
  size_t count = json_array_size(list);
  int *input, last = r->program->node_count - 1;
  if (list != NULL && !json_is_array(list))
    return program_refuse(r, "a list of nodes as in", "another value");
  if (count < (size_t)kind->least || count > (size_t)kind->most)
    return program_refuse(
        r, PROGRAM_WORDS("%d to %d operands", kind->least, kind->most),
        PROGRAM_WORDS("%zu", count));
  TRY(program_take(r, (count + 1) * sizeof *input, &input));
  for (size_t i = 0; i < count; i++) {
    const json_t *number = json_array_get(list, i);
    if (!json_is_integer(number) || json_integer_value(number) < 0 ||
        json_integer_value(number) > last)
      return program_refuse(
          r, "numbers of earlier nodes as operands",
          json_is_integer(number)
              ? PROGRAM_WORDS("%lld", (long long)json_integer_value(number))
              : "another value");
    input[i] = (int)json_integer_value(number);
    TRY(expect_operand(r, kind, (int)i, input[i]));
  }
  n->inputs = (int)count;
  n->input = input;
  return SAROS_OK;
}

static saros_status refuse_field(const program_reader *r, json_t *json,
                                 const program_attribute *attributes) {
  const char *name;
  json_t *value;
  json_object_foreach(json, name, value) {
    const program_attribute *a = attributes;
    while (a->form != 0 && strcmp(a->name, name) != 0)
      a++;
    if (a->form == 0 && strcmp(name, "op") != 0 && strcmp(name, "in") != 0)
      return program_refuse(r, "no other fields", BASE_QUOTE(name));
  }
  return program_refuse(r, "other fields", "these");
}

static saros_status read_attributes(program_reader *r, json_t *json,
                                    const program_kind *kind, program_node *n) {
  const program_attribute *a = kind->attributes;
  size_t known = 1 + (json_object_get(json, "in") != NULL);
  for (; a->form != 0; a++) {
    const json_t *value = json_object_get(json, a->name);
    if (value == NULL && !a->optional)
      return program_refuse(r, PROGRAM_WORDS("the field %s", a->name), "none");
    if (value == NULL && a->form == ATTRIBUTE_INTEGER)
      n->at[a->place] = a->otherwise;
    if (value == NULL)
      continue;
    known++;
    TRY(read_attribute(r, value, a, n));
  }
  if (known != json_object_size(json))
    return refuse_field(r, json, kind->attributes);
  if (n->op == NODE_CONSTANT && known != 2)
    return program_refuse(r, "a value or values",
                          known == 1 ? "neither" : "both");
  return SAROS_OK;
}

static saros_status measure_node(const program_reader *r,
                                 const program_kind *kind, program_node *n) {
  int64_t width = 0;
  n->invariant = !kind->varies;
  for (int i = 0; i < n->inputs; i++)
    n->invariant &= r->program->nodes[n->input[i]].invariant;
  TRY(kind->measure(r, n, &width));
  int64_t most = n->invariant ? INT32_MAX : PROGRAM_MAX_WIDTH - 1;
  if (width > most)
    return program_refuse(
        r, PROGRAM_WORDS("a width of at most %lld", (long long)most),
        PROGRAM_WORDS("%lld", (long long)width));
  n->width = (int)width;
  return SAROS_OK;
}

static saros_status read_node(program_reader *r, json_t *json) {
  saros_program *p = r->program;
  program_node n = {0};
  const char *op = json_string_value(json_object_get(json, "op"));
  snprintf(r->place, sizeof r->place, " in node %d", p->node_count);
  if (op == NULL)
    return program_refuse(r, "an object with op", "another value");
  if (!program_find_kind(op, &n))
    return program_refuse(r, "the name of an operation as op", BASE_QUOTE(op));
  snprintf(r->place, sizeof r->place, " in node %d (%s)", p->node_count, op);
  const program_kind *kind = &program_kinds[n.op];
  TRY(array_grow(r->context, &p->nodes, (size_t)p->node_count, &r->node_room, 1,
                 sizeof n));
  TRY(read_operands(r, json_object_get(json, "in"), kind, &n));
  TRY(read_attributes(r, json, kind, &n));
  TRY(measure_node(r, kind, &n));
  p->nodes[p->node_count++] = n;
  return SAROS_OK;
}

/* --- Parameters, states, outputs ------------------------------------------------------------- */

static saros_status read_shape(const program_reader *r, const json_t *json,
                               program_parameter *parameter) {
  size_t rank = json_array_size(json);
  int64_t count = 1;
  if (!json_is_array(json) || rank > SAROS_MAX_RANK)
    return program_refuse(
        r, PROGRAM_WORDS("a shape of at most %d sizes", SAROS_MAX_RANK),
        "another value");
  parameter->rank = (int)rank;
  for (size_t axis = 0; axis < rank; axis++) {
    TRY(program_integer(r, json_array_get(json, axis), "shape", 1, INT32_MAX,
                        &parameter->shape[axis]));
    count *= parameter->shape[axis];
    if (count > INT32_MAX)
      return program_refuse(r, "at most 2^31 - 1 elements", "more");
  }
  parameter->count = (int)count;
  return SAROS_OK;
}

static saros_status read_parameter(program_reader *r, json_t *json) {
  saros_program *p = r->program;
  program_parameter parameter = {0};
  snprintf(r->place, sizeof r->place, " in parameter %d", p->parameter_count);
  TRY(array_grow(r->context, &p->parameters, (size_t)p->parameter_count,
                 &r->parameter_room, 1, sizeof parameter));
  TRY(program_name(r, json_object_get(json, "name"), &parameter.name));
  TRY(read_shape(r, json_object_get(json, "shape"), &parameter));
  p->parameters[p->parameter_count++] = parameter;
  return program_fields(r, json, 2);
}

/* The sizes of a row of a state for those that want it so, or null. */
static saros_status check_state_shape(const program_reader *r,
                                      const json_t *shape, int width) {
  program_parameter whole = {0};
  if (shape == NULL)
    return SAROS_OK;
  TRY(read_shape(r, shape, &whole));
  if (whole.count != width)
    return program_refuse(r, PROGRAM_WORDS("a shape of %d elements", width),
                          PROGRAM_WORDS("%d", whole.count));
  return SAROS_OK;
}

/* Nodes do not exist yet: see program_check_states. */
static saros_status read_state(program_reader *r, json_t *json) {
  saros_program *p = r->program;
  program_state state = {.first = -1};
  const json_t *first = json_object_get(json, "first");
  const json_t *reverse = json_object_get(json, "reverse");
  const json_t *shape = json_object_get(json, "shape");
  const json_t *title = json_object_get(json, "title");
  const char *text;  // for scripts
  snprintf(r->place, sizeof r->place, " in state %d", p->state_count);
  TRY(array_grow(r->context, &p->states, (size_t)p->state_count, &r->state_room,
                 1, sizeof state));
  TRY(program_name(r, json_object_get(json, "name"), &state.name));
  TRY(program_integer(r, json_object_get(json, "width"), "width", 1,
                      PROGRAM_MAX_WIDTH - 1, &state.width));
  TRY(program_integer(r, json_object_get(json, "next"), "next", 0,
                      PROGRAM_MAX_ITEMS - 1, &state.next));
  if (first != NULL)
    TRY(program_integer(r, first, "first", 0, PROGRAM_MAX_ITEMS - 1,
                        &state.first));
  if (reverse != NULL)
    TRY(program_flag(r, reverse, "reverse", &state.reverse));
  TRY(check_state_shape(r, shape, state.width));
  if (title != NULL)
    TRY(program_name(r, title, &text));
  p->states[p->state_count++] = state;
  return program_fields(r, json,
                        3 + (size_t)(first != NULL) + (reverse != NULL) +
                            (shape != NULL) + (title != NULL));
}

static saros_status read_output(program_reader *r, json_t *json) {
  saros_program *p = r->program;
  program_port port = {NULL, 0};
  snprintf(r->place, sizeof r->place, " in output %d", p->output_count);
  TRY(program_name(r, json_object_get(json, "name"), &port.name));
  TRY(program_integer(r, json_object_get(json, "node"), "node", 0,
                      p->node_count - 1, &port.node));
  TRY(program_fields(r, json, 2));
  if (p->nodes[port.node].op == NODE_IDS)
    return program_refuse(r, "a node of features", "ids");
  return add_port(r, &p->outputs, &p->output_count, &r->output_room, port);
}

/* --- Names that occur once ----------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names are the first fields of items of that size. */
static saros_status expect_unique(const program_reader *r, const char *what,
                                  const void *items, int count, size_t size) {
  saros_status status = SAROS_OK;
  if (count < 2)
    return SAROS_OK;
  const char **names =
      pool_take(&r->context->pool, (size_t)count * sizeof *names);
  if (names == NULL)
    return base_out_of_memory(r->context, (size_t)count * sizeof *names);
  for (int i = 0; i < count; i++)
    names[i] = *(const char *const *)((const char *)items + (size_t)i * size);
  qsort(names, (size_t)count, sizeof *names, compare_names);
  for (int i = 1; i < count && status == SAROS_OK; i++)
    if (strcmp(names[i - 1], names[i]) == 0)
      status =
          program_refuse(r, PROGRAM_WORDS("each name of %s once", what),
                         PROGRAM_WORDS("a second %s", BASE_QUOTE(names[i])));
  pool_give(&r->context->pool, names);
  return status;
}

static saros_status check_names(program_reader *r) {
  const saros_program *p = r->program;
  r->place[0] = 0;
  TRY(expect_unique(r, "parameters", p->parameters, p->parameter_count,
                    sizeof *p->parameters));
  TRY(expect_unique(r, "states", p->states, p->state_count, sizeof *p->states));
  TRY(expect_unique(r, "inputs", p->inputs, p->input_count, sizeof *p->inputs));
  return expect_unique(r, "outputs", p->outputs, p->output_count,
                       sizeof *p->outputs);
}

/* --- The whole text ------------------------------------------------------------------------------- */

static saros_status read_format(program_reader *r, json_t *json) {
  int format;
  r->place[0] = 0;
  TRY(program_integer(r, json, "format", 0, INT32_MAX, &format));
  if (format == 1)
    return SAROS_OK;
  return program_refuse(
      r, "format 1", PROGRAM_WORDS("%d; written by a newer version", format));
}

/* In the order in which they are read: each needs those before it. */
static const program_section sections[PROGRAM_SECTIONS] = {
    {"format", 0, read_format},  {"parameters", 1, read_parameter},
    {"states", 1, read_state},   {"nodes", 1, read_node},
    {"outputs", 1, read_output},
};

static saros_status keep_text(program_reader *r, const char *json,
                              size_t size) {
  saros_program *p = r->program;
  p->text = pool_take(&r->context->pool, size + 1);
  if (p->text == NULL)
    return base_out_of_memory(r->context, size + 1);
  memcpy(p->text, json, size);
  p->text[size] = 0;
  p->size = size;
  r->text = p->text;
  r->end = size;
  return SAROS_OK;
}

static saros_status read_program(program_reader *r, const char *json,
                                 size_t size) {
  if (size > MAX_TEXT)
    return program_refuse(
        r, PROGRAM_WORDS("a text of at most %zu bytes", MAX_TEXT),
        PROGRAM_WORDS("%zu", size));
  TRY(keep_text(r, json, size));
  TRY(program_sections(r, sections));
  TRY(check_names(r));
  TRY(program_check_states(r));
  return program_find_components(r);
}

saros_status saros_program_read(saros_context *context, const char *json,
                                size_t size, saros_program **out) {
  program_reader r = {.context = context};
  void *object;
  *out = NULL;
  TRY(base_object_new(context, sizeof(saros_program), &object));
  r.program = object;
  r.program->context = context;
  r.program->references = 1;
  saros_status status = read_program(&r, json, size);
  if (status == SAROS_OK)
    *out = r.program;
  else
    saros_program_release(r.program);
  return status;
}
