/*
** For C programs that check sessions: a model that is a list of stages, each of
** which reads what the one before it makes, written as a program.
*/
#ifndef STAGES_H
#define STAGES_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "saros.h"

typedef enum stage_kind {
  STAGE_EMBEDDING,  // ids to rows of a table; only as the first stage
  STAGE_LINEAR,     // x W^T + b
  STAGE_LAYER_NORM,
  STAGE_FUNCTION,
  STAGE_RECURRENT,  // one layer
  STAGE_ADD,        // x + weight * (what an earlier stage read)
  STAGE_ATTENTION   // of queries, keys and values, over the last steps
} stage_kind;

/* The parameters of a recurrent stage, in the order of the names below. */
typedef struct stage_layer {
  saros_tensor *weight_ih, *weight_hh, *bias_ih, *bias_hh, *weight_hr,
      *peephole;
  saros_tensor *norm_gain, *norm_bias, *norm_c_gain, *norm_c_bias;
  saros_tensor *table, *nu, *theta;
} stage_layer;

typedef struct stage {
  stage_kind kind;
  saros_tensor *weight;  // embedding (V, E); linear (O, I); layer norm (n);
                         // add (n), or null: ones
  saros_tensor *bias;    // linear (O), or null; layer norm (n)
  double epsilon;        // layer norm
  saros_function function;
  int back;                // add: how far back in the list that stage is
  saros_tensor *distance;  // attention (heads, W)
  saros_cell cell;
  stage_layer layer;
  saros_tensor *norm_ih_gain, *norm_ih_bias;  // (G H), or null
  saros_tensor *gamma;                        // (H / 2), or null
  saros_tensor *first[SAROS_MAX_STATES];      // (P) and (H), or null: zeros
  double zoneout[SAROS_MAX_STATES];
  int residual;
} stage;

typedef struct stages_buffer {
  char *at;
  size_t used;
} stages_buffer;

typedef struct stages_writer {
  stages_buffer nodes, states, text;
  int count, state_count, width;  // nodes, states; of what a stage reads
  int read[256];                  // the node that each stage reads
  saros_tensor *parameters[256];
  int parameter_count;
} stages_writer;

__attribute__((format(printf, 2, 3))) static void
stages_put(stages_buffer *to, const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  const size_t n = (size_t)vsnprintf(NULL, 0, format, arguments);
  to->at = realloc(to->at, to->used + n + 1);
  vsnprintf(to->at + to->used, n + 1, format, again);
  to->used += n;
  va_end(arguments);
  va_end(again);
}

#define NODE(...)                                                              \
  (stages_put(&w->nodes, "%s", w->count ? "," : ""),                           \
   stages_put(&w->nodes, __VA_ARGS__), w->count++)

static int stages_parameter(stages_writer *w, saros_tensor *x) {
  int at = 0;
  while (at < w->parameter_count && w->parameters[at] != x)
    at++;
  if (at == w->parameter_count)
    w->parameters[w->parameter_count++] = x;
  return NODE("{\"op\":\"parameter\",\"parameter\":%d}", at);
}

static int stages_state(stages_writer *w, int width, int next, int first) {
  stages_put(&w->states, "%s{\"name\":\"s%d\",\"width\":%d,\"next\":%d",
             w->state_count ? "," : "", w->state_count, width, next);
  if (first >= 0)
    stages_put(&w->states, ",\"first\":%d", first);
  stages_put(&w->states, "}");
  return w->state_count++;
}

static int stages_linear(stages_writer *w, int x, saros_tensor *weight,
                         saros_tensor *bias) {
  const int m = stages_parameter(w, weight);
  if (bias == NULL)
    return NODE("{\"op\":\"linear\",\"in\":[%d,%d]}", x, m);
  const int b = stages_parameter(w, bias);
  return NODE("{\"op\":\"linear\",\"in\":[%d,%d,%d]}", x, m, b);
}

static int stages_norm(stages_writer *w, int x, saros_tensor *gain,
                       saros_tensor *bias, double epsilon) {
  const int g = stages_parameter(w, gain), b = stages_parameter(w, bias);
  return NODE(
      "{\"op\":\"layer_norm\",\"in\":[%d,%d,%d],\"n\":%zu,"
      "\"epsilon\":%.17g}",
      x, g, b, saros_tensor_count(gain), epsilon);
}

static int stages_scaled(stages_writer *w, const stage *s) {
  const int m = stages_parameter(w, s->layer.weight_ih);
  if (s->gamma == NULL)
    return m;
  const int H = saros_tensor_shape(s->layer.weight_ih)[0],
            I = saros_tensor_shape(s->layer.weight_ih)[1];
  int g = stages_parameter(w, s->gamma);
  g = NODE("{\"op\":\"exp\",\"in\":[%d]}", g);
  g = NODE(
      "{\"op\":\"expand\",\"in\":[%d],\"outer\":%d,\"times\":%d,"
      "\"inner\":1}",
      g, H / 2, 2 * I);
  return NODE("{\"op\":\"multiply\",\"in\":[%d,%d]}", m, g);
}

static int stages_recurrent(stages_writer *w, int x, const stage *s) {
  static const char *const names[] = {
      "weight_ih", "weight_hh", "bias_ih",   "bias_hh",     "weight_hr",
      "peephole",  "norm_gain", "norm_bias", "norm_c_gain", "norm_c_bias",
      "table",     "nu",        "theta"};
  saros_tensor *const *tensors = (saros_tensor *const *)&s->layer;
  const stage_layer *l = &s->layer;
  const saros_cell_facts facts = saros_cell_of(s->cell);
  const int GH = saros_tensor_shape(l->weight_ih)[0], H = GH / facts.gates;
  const int P = l->weight_hr ? saros_tensor_shape(l->weight_hr)[0] : H;
  const int read = x;
  int operands[16], which[16], count = 0, first[2] = {-1, -1};
  if (s->norm_ih_gain != NULL)
    x = stages_norm(w, stages_linear(w, x, l->weight_ih, NULL), s->norm_ih_gain,
                    s->norm_ih_bias, 1e-5);
  for (int i = 0; i < 13; i++) {
    if (tensors[i] == NULL || (i == 0 && s->norm_ih_gain != NULL))
      continue;
    operands[count] =
        i == 0 ? stages_scaled(w, s) : stages_parameter(w, tensors[i]);
    which[count++] = i;
  }
  for (int i = 0; i < facts.states; i++)
    if (s->first[i] != NULL)
      first[i] = stages_parameter(w, s->first[i]);
  char in[512], with[512];
  int a = snprintf(in, sizeof in, "%d", x), b = 0;
  with[0] = 0;
  for (int i = 0; i < count; i++) {
    a += snprintf(in + a, sizeof in - (size_t)a, ",%d", operands[i]);
    b += snprintf(with + b, sizeof with - (size_t)b, "%s\"%s\"", i ? "," : "",
                  names[which[i]]);
  }
  const int h = stages_state(w, P, w->count, first[0]);
  if (facts.states > 1)
    stages_state(w, H, w->count, first[1]);
  stages_put(&w->nodes, "%s{\"op\":\"cell\",\"in\":[%s],\"with\":[%s],",
             w->count ? "," : "", in, with);
  stages_put(&w->nodes, "\"cell\":\"%s\",\"states\":[%d", facts.name, h);
  if (facts.states > 1)
    stages_put(&w->nodes, ",%d", h + 1);
  stages_put(&w->nodes, "],\"zoneout\":[%.17g", s->zoneout[0]);
  if (facts.states > 1)
    stages_put(&w->nodes, ",%.17g", s->zoneout[1]);
  stages_put(&w->nodes, "]}");
  int y = w->count++;
  if (s->residual && P == w->width)
    y = NODE("{\"op\":\"add\",\"in\":[%d,%d]}", y, read);
  return y;
}

static int stages_attention(stages_writer *w, int x, const stage *s,
                            int width) {
  const int F = width / 3, heads = saros_tensor_shape(s->distance)[0];
  const int window = saros_tensor_shape(s->distance)[1];
  int q[3];
  for (int i = 0; i < 3; i++)
    q[i] = NODE(
        "{\"op\":\"slice\",\"in\":[%d],\"outer\":1,\"n\":%d,"
        "\"inner\":1,\"from\":%d,\"count\":%d}",
        x, width, i * F, F);
  const int d = stages_parameter(w, s->distance);
  const int k = stages_state(w, (window - 1) * 2 * F, w->count, -1);
  stages_state(w, window - 1, w->count, -1);
  return NODE(
      "{\"op\":\"attention\",\"in\":[%d,%d,%d,%d],\"heads\":%d,"
      "\"window\":%d,\"states\":[%d,%d]}",
      q[0], q[1], q[2], d, heads, window, k, k + 1);
}

static int stages_write_one(stages_writer *w, int x, int *width, const stage *s,
                            int number) {
  w->read[number] = x;
  w->width = *width;
  switch (s->kind) {
    case STAGE_EMBEDDING:
      *width = saros_tensor_shape(s->weight)[1];
      const int table = stages_parameter(w, s->weight);
      return NODE("{\"op\":\"lookup\",\"in\":[%d,%d]}", x, table);
    case STAGE_LINEAR:
      *width = saros_tensor_shape(s->weight)[0];
      return stages_linear(w, x, s->weight, s->bias);
    case STAGE_LAYER_NORM:
      return stages_norm(w, x, s->weight, s->bias, s->epsilon);
    case STAGE_FUNCTION:
      return NODE("{\"op\":\"%s\",\"in\":[%d]}",
                  saros_function_name(s->function), x);
    case STAGE_RECURRENT:
      *width = s->layer.weight_hr ? saros_tensor_shape(s->layer.weight_hr)[0]
                                  : saros_tensor_shape(s->layer.weight_ih)[0] /
                                        saros_cell_of(s->cell).gates;
      return stages_recurrent(w, x, s);
    case STAGE_ATTENTION:
      *width /= 3;
      return stages_attention(w, x, s, *width * 3);
    default: {
      int other = w->read[number - s->back];
      if (s->weight != NULL) {
        const int scale = stages_parameter(w, s->weight);
        other = NODE("{\"op\":\"multiply\",\"in\":[%d,%d]}", other, scale);
      }
      return NODE("{\"op\":\"add\",\"in\":[%d,%d]}", x, other);
    }
  }
}

static void stages_write_parameters(stages_writer *w) {
  for (int i = 0; i < w->parameter_count; i++) {
    const saros_tensor *x = w->parameters[i];
    stages_put(&w->text, "%s{\"name\":\"p%d\",\"shape\":[", i ? "," : "", i);
    for (int axis = 0; axis < saros_tensor_rank(x); axis++)
      stages_put(&w->text, "%s%d", axis ? "," : "",
                 saros_tensor_shape(x)[axis]);
    stages_put(&w->text, "]}");
  }
}

static void stages_write_list(stages_writer *w, int count, const stage *given) {
  const saros_tensor *m =
      given->kind == STAGE_RECURRENT ? given->layer.weight_ih : given->weight;
  int width = saros_tensor_shape(m)[saros_tensor_rank(m) - 1];
  int x = given->kind == STAGE_EMBEDDING
              ? NODE("{\"op\":\"ids\",\"name\":\"x\",\"count\":%d}",
                     saros_tensor_shape(m)[0])
              : NODE("{\"op\":\"input\",\"name\":\"x\",\"width\":%d}", width);
  for (int i = 0; i < count; i++)
    x = stages_write_one(w, x, &width, &given[i], i);
  stages_put(&w->text, "{\"format\":1,\"parameters\":[");
  stages_write_parameters(w);
  stages_put(&w->text,
             "],\"states\":[%s],\"nodes\":[%s],\"outputs\":[{\"name\":"
             "\"y\",\"node\":%d}]}",
             w->states.at ? w->states.at : "", w->nodes.at, x);
}

/* The program of a list of stages, and its parameters, as many as it has; to be
** freed. Null, and a message, if it does not fit together. */
static saros_program *stages_program(saros_context *context, int count,
                                     const stage *given,
                                     saros_tensor ***parameters) {
  stages_writer *w = calloc(1, sizeof *w);
  saros_program *program = NULL;
  stages_write_list(w, count, given);
  saros_program_read(context, w->text.at, w->text.used, &program);
  *parameters = calloc((size_t)w->parameter_count + 1, sizeof **parameters);
  memcpy(*parameters, w->parameters,
         (size_t)w->parameter_count * sizeof **parameters);
  free(w->nodes.at), free(w->states.at), free(w->text.at), free(w);
  return program;
}

/* A session of a list of stages; null, and a message, if there is none. */
static saros_session *stages_session(saros_context *context, int count,
                                     const stage *given, int streams,
                                     saros_weights weights) {
  saros_tensor **parameters;
  saros_session *s = NULL;
  saros_program *program = stages_program(context, count, given, &parameters);
  if (program != NULL)
    saros_session_new(context, program, parameters, streams, weights, &s);
  saros_program_release(program);
  free(parameters);
  return s;
}

#endif
