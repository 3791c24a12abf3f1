/*
** Models given as a list of stages, as they were before programs: each list is
** written as a program.
*/
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "session.h"

typedef struct writer {
  saros_context *context;
  char *nodes, *states, *text;
  size_t node_used, node_room, state_used, state_room, used, room;
  int count, state_count;
  int by_input[65536];  // the node that each stage read
  saros_tensor *parameters[4096];
  int parameter_count;
  int failed;
} writer;

__attribute__((format(printf, 5, 6))) static void put(writer *w, char **text,
                                                      size_t *used,
                                                      size_t *room,
                                                      const char *format, ...) {
  char part[512];
  va_list arguments;
  va_start(arguments, format);
  const int n = vsnprintf(part, sizeof part, format, arguments);
  va_end(arguments);
  if (w->failed ||
      array_grow(w->context, text, *used, room, (size_t)n + 1, 1)) {
    w->failed = 1;
    return;
  }
  memcpy(*text + *used, part, (size_t)n + 1);
  *used += (size_t)n;
}

#define NODE(...)                                                              \
  (put(w, &w->nodes, &w->node_used, &w->node_room, "%s", w->count ? "," : ""), \
   put(w, &w->nodes, &w->node_used, &w->node_room, __VA_ARGS__), w->count++)

static int parameter(writer *w, saros_tensor *x) {
  int at = 0;
  while (at < w->parameter_count && w->parameters[at] != x)
    at++;
  if (at == 4096)
    w->failed = 1;
  else if (at == w->parameter_count)
    w->parameters[w->parameter_count++] = x;
  return NODE("{\"op\":\"parameter\",\"parameter\":%d}", at);
}

static int state(writer *w, int width, int next, int first) {
  put(w, &w->states, &w->state_used, &w->state_room,
      "%s{\"name\":\"s%d\",\"width\":%d,\"next\":%d", w->state_count ? "," : "",
      w->state_count, width, next);
  if (first >= 0)
    put(w, &w->states, &w->state_used, &w->state_room, ",\"first\":%d", first);
  put(w, &w->states, &w->state_used, &w->state_room, "}");
  return w->state_count++;
}

static int linear(writer *w, int x, saros_tensor *weight, saros_tensor *bias) {
  const int m = parameter(w, weight);
  if (bias == NULL)
    return NODE("{\"op\":\"linear\",\"in\":[%d,%d]}", x, m);
  const int b = parameter(w, bias);
  return NODE("{\"op\":\"linear\",\"in\":[%d,%d,%d]}", x, m, b);
}

static int norm(writer *w, int x, saros_tensor *gain, saros_tensor *bias,
                double epsilon) {
  const int g = parameter(w, gain), b = parameter(w, bias);
  return NODE(
      "{\"op\":\"layer_norm\",\"in\":[%d,%d,%d],\"n\":%zu,"
      "\"epsilon\":%.17g}",
      x, g, b, saros_tensor_count(gain), epsilon);
}

static int scaled(writer *w, const saros_stage *s) {
  const int m = parameter(w, s->layer.weight_ih);
  if (s->gamma == NULL)
    return m;
  const int H = s->layer.weight_ih->shape[0], I = s->layer.weight_ih->shape[1];
  int g = parameter(w, s->gamma);
  g = NODE("{\"op\":\"exp\",\"in\":[%d]}", g);
  g = NODE(
      "{\"op\":\"expand\",\"in\":[%d],\"outer\":%d,\"times\":%d,"
      "\"inner\":1}",
      g, H / 2, 2 * I);
  return NODE("{\"op\":\"multiply\",\"in\":[%d,%d]}", m, g);
}

static int recurrent(writer *w, int x, const saros_stage *s) {
  static const char *const names[] = {
      "weight_ih", "weight_hh", "bias_ih",   "bias_hh",     "weight_hr",
      "peephole",  "norm_gain", "norm_bias", "norm_c_gain", "norm_c_bias",
      "table",     "nu",        "theta"};
  saros_tensor *const *tensors = (saros_tensor *const *)&s->layer;
  const saros_layer *l = &s->layer;
  const saros_cell_facts facts = saros_cell_of(s->cell);
  const int GH = l->weight_ih->shape[0], H = GH / facts.gates;
  const int P = l->weight_hr ? l->weight_hr->shape[0] : H;
  const int read = x;
  int operands[16], which[16], count = 0, first[2] = {-1, -1};
  if (s->norm_ih_gain != NULL)
    x = norm(w, linear(w, x, l->weight_ih, NULL), s->norm_ih_gain,
             s->norm_ih_bias, CELL_NORM_EPSILON);
  for (int i = 0; i < 13; i++) {
    if (tensors[i] == NULL || (i == 0 && s->norm_ih_gain != NULL))
      continue;
    operands[count] = i == 0 ? scaled(w, s) : parameter(w, tensors[i]);
    which[count++] = i;
  }
  for (int i = 0; i < facts.states; i++)
    if (s->first[i] != NULL)
      first[i] = parameter(w, s->first[i]);
  char in[512], with[512];
  int a = snprintf(in, sizeof in, "%d", x), b = 0;
  with[0] = 0;
  for (int i = 0; i < count; i++) {
    a += snprintf(in + a, sizeof in - (size_t)a, ",%d", operands[i]);
    b += snprintf(with + b, sizeof with - (size_t)b, "%s\"%s\"", i ? "," : "",
                  names[which[i]]);
  }
  const int h = state(w, P, w->count, first[0]);
  if (facts.states > 1)
    state(w, H, w->count, first[1]);
  put(w, &w->nodes, &w->node_used, &w->node_room,
      "%s{\"op\":\"cell\",\"in\":[%s],\"with\":[%s],", w->count ? "," : "", in,
      with);
  put(w, &w->nodes, &w->node_used, &w->node_room,
      "\"cell\":\"%s\",\"states\":[%d", facts.name, h);
  if (facts.states > 1)
    put(w, &w->nodes, &w->node_used, &w->node_room, ",%d", h + 1);
  put(w, &w->nodes, &w->node_used, &w->node_room, "],\"zoneout\":[%.17g",
      s->zoneout[0]);
  if (facts.states > 1)
    put(w, &w->nodes, &w->node_used, &w->node_room, ",%.17g", s->zoneout[1]);
  put(w, &w->nodes, &w->node_used, &w->node_room, "]}");
  int y = w->count++;
  if (s->residual && P == w->by_input[65535])
    y = NODE("{\"op\":\"add\",\"in\":[%d,%d]}", y, read);
  return y;
}

static int attention(writer *w, int x, const saros_stage *s, int width) {
  const int F = width / 3, heads = s->distance->shape[0];
  const int window = s->distance->shape[1];
  int q[3];
  for (int i = 0; i < 3; i++)
    q[i] = NODE(
        "{\"op\":\"slice\",\"in\":[%d],\"outer\":1,\"n\":%d,"
        "\"inner\":1,\"from\":%d,\"count\":%d}",
        x, width, i * F, F);
  const int d = parameter(w, s->distance);
  const int k = state(w, (window - 1) * 2 * F, w->count, -1);
  state(w, window - 1, w->count, -1);
  return NODE(
      "{\"op\":\"attention\",\"in\":[%d,%d,%d,%d],\"heads\":%d,"
      "\"window\":%d,\"states\":[%d,%d]}",
      q[0], q[1], q[2], d, heads, window, k, k + 1);
}

static int has_rank(const writer *w, const saros_tensor *x, int rank) {
  return x != NULL && x->context == w->context && x->dtype == SAROS_REAL &&
         x->rank == rank && x->count > 0;
}

static int may_have(const writer *w, const saros_tensor *x) {
  return x == NULL || (x->context == w->context && x->dtype == SAROS_REAL &&
                       x->rank > 0 && x->count > 0);
}

static int layer_fits(const writer *w, const saros_stage *s) {
  saros_tensor *const *tensors = (saros_tensor *const *)&s->layer;
  const saros_layer *l = &s->layer;
  int fits = (int)s->cell >= 0 && s->cell < SAROS_CELLS &&
             has_rank(w, l->weight_ih, 2) && may_have(w, s->norm_ih_gain) &&
             may_have(w, s->norm_ih_bias) && may_have(w, s->gamma) &&
             !s->norm_ih_gain == !s->norm_ih_bias && l->table == NULL &&
             may_have(w, s->first[0]) && may_have(w, s->first[1]) &&
             l->weight_ih->shape[0] >= saros_cell_of(s->cell).gates;
  for (size_t i = 0; i < sizeof *l / sizeof *tensors; i++)
    fits = fits && may_have(w, tensors[i]);
  return fits;
}

static int stage_fits(const writer *w, const saros_stage *s, int width,
                      int number) {
  switch (s->kind) {
    case SAROS_STAGE_EMBEDDING:
      return number == 0 && has_rank(w, s->weight, 2);
    case SAROS_STAGE_LINEAR:
      return has_rank(w, s->weight, 2) && may_have(w, s->bias);
    case SAROS_STAGE_LAYER_NORM:
      return has_rank(w, s->weight, 1) && has_rank(w, s->bias, 1);
    case SAROS_STAGE_FUNCTION:
      return (int)s->function >= 0 && s->function < SAROS_FUNCTIONS;
    case SAROS_STAGE_RECURRENT:
      return layer_fits(w, s);
    case SAROS_STAGE_ATTENTION:
      return has_rank(w, s->distance, 2) &&
             width % (3 * s->distance->shape[0]) == 0 &&
             s->distance->shape[1] > 1;
    case SAROS_STAGE_ADD:
      return s->back >= 1 && s->back <= number && may_have(w, s->weight);
    default:
      return 0;
  }
}

static int write_stage(writer *w, int x, int *width, const saros_stage *s,
                       int number) {
  w->by_input[number] = x;
  w->by_input[65535] = *width;
  switch (s->kind) {
    case SAROS_STAGE_EMBEDDING:
      *width = s->weight->shape[1];
      const int table = parameter(w, s->weight);
      return NODE("{\"op\":\"lookup\",\"in\":[%d,%d]}", x, table);
    case SAROS_STAGE_LINEAR:
      *width = s->weight->shape[0];
      return linear(w, x, s->weight, s->bias);
    case SAROS_STAGE_LAYER_NORM:
      return norm(w, x, s->weight, s->bias, s->epsilon);
    case SAROS_STAGE_FUNCTION:
      return NODE("{\"op\":\"%s\",\"in\":[%d]}",
                  saros_function_name(s->function), x);
    case SAROS_STAGE_RECURRENT:
      *width = s->layer.weight_hr ? s->layer.weight_hr->shape[0]
                                  : s->layer.weight_ih->shape[0] /
                                        saros_cell_of(s->cell).gates;
      return recurrent(w, x, s);
    case SAROS_STAGE_ATTENTION:
      *width /= 3;
      return attention(w, x, s, *width * 3);
    default: {
      int other = w->by_input[number - s->back];
      if (s->weight != NULL) {
        const int scale = parameter(w, s->weight);
        other = NODE("{\"op\":\"multiply\",\"in\":[%d,%d]}", other, scale);
      }
      return NODE("{\"op\":\"add\",\"in\":[%d,%d]}", x, other);
    }
  }
}

static void write_parameters(writer *w) {
  for (int i = 0; i < w->parameter_count; i++) {
    const saros_tensor *x = w->parameters[i];
    put(w, &w->text, &w->used, &w->room, "%s{\"name\":\"p%d\",\"shape\":[",
        i ? "," : "", i);
    for (int axis = 0; axis < x->rank; axis++)
      put(w, &w->text, &w->used, &w->room, "%s%d", axis ? "," : "",
          x->shape[axis]);
    put(w, &w->text, &w->used, &w->room, "]}");
  }
}

static saros_status write_list(writer *w, int count, const saros_stage *given) {
  const saros_tensor *m = given->weight;
  if (given->kind == SAROS_STAGE_RECURRENT)
    m = given->layer.weight_ih;
  if (!has_rank(w, m, m ? m->rank : 0) || m->rank < 1)
    return saros_fail(w->context, SAROS_EARGUMENT,
                      "session: expected a first stage with a weight");
  int width = m->shape[m->rank - 1];
  int x =
      given->kind == SAROS_STAGE_EMBEDDING
          ? NODE("{\"op\":\"ids\",\"name\":\"x\",\"count\":%d}", m->shape[0])
          : NODE("{\"op\":\"input\",\"name\":\"x\",\"width\":%d}", width);
  for (int i = 0; i < count; i++) {
    if (!stage_fits(w, &given[i], width, i))
      return saros_fail(w->context, SAROS_EARGUMENT,
                        "session: expected the tensors of its kind in stage %d",
                        i + w->context->index_base);
    x = write_stage(w, x, &width, &given[i], i);
  }
  put(w, &w->text, &w->used, &w->room, "{\"format\":1,\"parameters\":[");
  write_parameters(w);
  put(w, &w->text, &w->used, &w->room, "],\"states\":[");
  for (size_t i = 0; i < w->state_used; i += 400)
    put(w, &w->text, &w->used, &w->room, "%.400s", w->states + i);
  put(w, &w->text, &w->used, &w->room, "],\"nodes\":[");
  for (size_t i = 0; i < w->node_used; i += 400)
    put(w, &w->text, &w->used, &w->room, "%.400s", w->nodes + i);
  put(w, &w->text, &w->used, &w->room,
      "],\"outputs\":[{\"name\":\"y\",\"node\":%d}]}", x);
  return SAROS_OK;
}

static saros_status with_list(saros_context *context, int count,
                              const saros_stage *given, writer **out,
                              saros_program **program) {
  writer *w;
  *out = NULL;
  if (count < 1 || count > 65000)
    return saros_fail(context, SAROS_EARGUMENT,
                      "session: expected stages of a model, got none");
  w = pool_take(&context->pool, sizeof *w);
  if (w == NULL)
    return base_out_of_memory(context, sizeof *w);
  memset(w, 0, sizeof *w);
  w->context = context;
  saros_status status = write_list(w, count, given);
  if (status == SAROS_OK && w->failed)
    status = base_out_of_memory(context, 0);
  if (status == SAROS_OK)
    status = saros_program_read(context, w->text, w->used, program);
  pool_give(&context->pool, w->nodes);
  pool_give(&context->pool, w->states);
  pool_give(&context->pool, w->text);
  if (status != SAROS_OK)
    pool_give(&context->pool, w);
  else
    *out = w;
  return status;
}

saros_status saros_session_new_list(saros_context *context, int count,
                                    const saros_stage *stages, int streams,
                                    saros_weights weights,
                                    saros_session **out) {
  writer *w;
  saros_program *program;
  *out = NULL;
  TRY(with_list(context, count, stages, &w, &program));
  saros_status status =
      saros_session_new(context, program, w->parameters, streams, weights, out);
  saros_program_release(program);
  pool_give(&context->pool, w);
  return status;
}

saros_status saros_session_repack_list(saros_session *s, int count,
                                       const saros_stage *stages) {
  writer *w;
  saros_program *program;
  TRY(with_list(s->context, count, stages, &w, &program));
  saros_status status = SAROS_OK;
  if (program->size != s->plan->program->size ||
      memcmp(program->text, s->plan->program->text, program->size) != 0)
    status = saros_fail(s->context, SAROS_EARGUMENT,
                        "repack: expected the stages that the session was made "
                        "of, got stages of other kinds or sizes");
  else
    status = saros_session_repack(s, w->parameters);
  saros_program_release(program);
  pool_give(&s->context->pool, w);
  return status;
}
