--- The text of the file of an encoder-decoder around its programs. `$word` stands for
--- what lua/saros/export/pairs.lua puts there.

local core = require "saros.core"
local shared = require "saros.export.frame"

local frame = {}

frame.declarations = [[
/*
** $title.
** Written by Saros $version from a trained model.
**
**   $name_state state;
**   $name_translate(&state, source, length, target, limit, memory);
**
** source:  length ids in 0..$NAME_SOURCES - 1, one at least
** target:  what is written, at most limit ids in 0..$NAME_TARGETS - 1: at each step
**          the likeliest. How many there are is returned, or -1 for another id.
** memory:  yours, $NAME_MEMORY(length) numbers, whatever is in them
** weights: $parameters, constant
**
** Declarations alone:  #define $NAME_DECLARE, then #include this file.
** Without code that asks an x86 for AVX2 or AVX-512:  #define $NAME_PLAIN
** Does it work here?   cc -std=c99 -O2 -D$NAME_TEST THIS_FILE -lm && ./a.out
*/
#ifndef $NAME_INCLUDED
#define $NAME_INCLUDED

#include <stddef.h>
#include <stdint.h>

#define $NAME_SOURCES $sources /* ids that are read: 0..$NAME_SOURCES - 1 */
#define $NAME_TARGETS $targets /* ids that are written */
#define $NAME_OUTPUTS ($NAME_TARGETS + 1) /* logits: the last one is the end */
/* Numbers that a source needs room for. */
#define $NAME_MEMORY(length) ((size_t)(length) * $room)

#ifdef __cplusplus
extern "C" {
#endif

$types/* Members of the encoder and of the decoder keep their names as long as the model does. */
typedef struct $name_state {
  $name_encoder_state encoder;
  $name_decoder_state decoder;
  $name_writer_state writer;
  /* of the step under way; without a meaning between steps */
  $real y[$H], query[$Q], context[$H], logits[$NAME_OUTPUTS];
} $name_state;

/* Reads a source: 0, or -1 if it is empty or has another id. */
int $name_encode($name_state *state, const int32_t *source, int length,
    $real *memory);
/* The logits of what is next: before is what was written last, $NAME_TARGETS at the
** beginning; memory is as $name_encode left it. 0, or -1 for another id. */
int $name_next($name_state *state, int32_t before, int length, $real *output,
    $real *memory);
int $name_translate($name_state *state, const int32_t *source, int length,
    int32_t *target, int limit, $real *memory);
$declared
#ifdef __cplusplus
}
#endif
#endif

#ifndef $NAME_DECLARE

#include <math.h>
#include <string.h>

#define $NAME_ENCODER_SYMBOLS $NAME_SOURCES
#define $NAME_DECODER_SYMBOLS $NAME_OUTPUTS

]] .. shared.begin

local SCORES = [[
/* The mean of n keys, weighted by the softmax of how well the query fits them. */
static void $name_look($real *context, const $real *query, const $real *memory,
    $real *weights, int n) {
  const $real *keys = memory;
%s
  $real top = weights[0], sum = 0;
  for (int s = 1; s < n; s++)
    top = weights[s] > top ? weights[s] : top;
  for (int s = 0; s < n; s++)
    sum += weights[s] = $name_exp(weights[s] - top);
  memset(context, 0, $H * sizeof($real));
  for (int s = 0; s < n; s++, keys += $H)
    for (int i = 0; i < $H; i++)
      context[i] += weights[s] / sum * keys[i];
}
]]

frame.product = SCORES:format [[
  $name_affine(weights, keys, NULL, query, n, $H);]]

frame.additive = SCORES:format [[
  const $real *sums = memory + (size_t)n * $H;
  for (int s = 0; s < n; s++, sums += $A) {
    $real fit = 0;
    for (int i = 0; i < $A; i++)
      fit += $name_score[i] * $name_tanh(sums[i] + query[i]);
    weights[s] = fit;
  }]]

frame.look = [[
  $name_look(state->context, state->query, memory,
      memory + (size_t)length * $weights, length);
]]

frame.functions = [[

/* --- The model ------------------------------------------------------------ */

int $name_encode($name_state *state, const int32_t *source, int length,
    $real *memory) {
  $real *const keys = memory;
  memset(state, 0, sizeof *state);
$first  if (length < 1 || $name_encoder_run(&state->encoder, source, length,
      keys$sums$extra) != 0)
    return -1;
$bridges
  return 0;
}

int $name_next($name_state *state, int32_t before, int length, $real *output,
    $real *memory) {
$unused  if ($name_decoder_step(&state->decoder, before, $query) != 0)
    return -1;
$look  $name_writer_step(&state->writer, $context, output);
  return 0;
}

int $name_translate($name_state *state, const int32_t *source, int length,
    int32_t *target, int limit, $real *memory) {
  int32_t before = $NAME_TARGETS;
  int count = 0;
  if ($name_encode(state, source, length, memory) != 0)
    return -1;
  while (count < limit) {
    $name_next(state, before, length, state->logits, memory);
    before = 0;
    for (int32_t i = 1; i < $NAME_OUTPUTS; i++)
      before = state->logits[i] > state->logits[before] ? i : before;
    if (before == $NAME_TARGETS)
      break;
    target[count++] = before;
  }
  return count;
}
]] .. shared.finish

local TEST = [[

/* --- Does it work? --------------------------------------------------------- */

#ifdef $NAME_TEST
#include <stdio.h>

]]

local MAIN = shared.test_off .. [[
/* Step by step, as far as the test goes; then the translation as a whole. */
int main(void) {
  static $name_state state;
  static $real output[$NAME_OUTPUTS], memory[$NAME_MEMORY($T)];
  int32_t target[$C + 1] = {0};
  double worst = $name_encode(&state, $name_test_source, $T, memory) == 0 ? 0 : 1;
  for (int t = 0; t < $N; t++) {
    $name_next(&state, t == 0 ? $NAME_TARGETS : $name_test_target[t - 1], $T, output,
        memory);
    for (int i = 0; i < $NAME_OUTPUTS; i++) {
      const double off = $name_test_off(output[i],
          $name_test_output[t * $NAME_OUTPUTS + i], 1);
      worst = off > worst ? off : worst;
    }
  }
  const int limit = $N > $C ? $C + 1 : $C;
  if ($name_translate(&state, $name_test_source, $T, target, limit, memory) != $C)
    worst = 1;
  for (int t = 0; t < $C; t++)
    worst = target[t] == $name_test_target[t] ? worst : 1;
  printf("$name: %d steps, off by at most %.2g: %s\n", $N, worst,
         worst <= $tolerance ? "well" : "WRONG");
  return worst <= $tolerance ? 0 : 1;
}
#endif
]]

--- The arrays and the program of the test.
---@param add fun(piece: string|saros.Tensor)
---@param test { source: saros.Tensor, logits: saros.Tensor, ids: integer[] }
function frame.add_test(add, test)
  add(TEST)
  shared.add_array(add, "int32_t", "source", test.source)
  shared.add_array(add, "int32_t", "target", core.ids(#test.ids > 0 and test.ids or { 1 }))
  shared.add_array(add, "$real", "output", test.logits)
  add(MAIN)
end

return frame
