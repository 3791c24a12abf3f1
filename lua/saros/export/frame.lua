--- The text of an exported file around its constants and its functions. `$word`
--- stands for what lua/saros/export/write.lua puts there.

local text = require "saros.export.text"

local frame = {}

--- Before the functions of a file; `frame.finish` ends it.
frame.begin = [[
#if defined(__GNUC__) && !defined(__clang__) /* lets it make vector code of loops */
#pragma GCC push_options
#pragma GCC optimize("no-trapping-math")
#endif

]]

frame.declarations = [[
/*
** $title.
** Written by Saros $version from a trained model.
**
$usage
**
** $about
**
** Declarations alone:  #define $NAME_DECLARE, then #include this file.
** Without code that asks an x86 for AVX2 or AVX-512:  #define $NAME_PLAIN
$check*/
#ifndef $NAME_INCLUDED
#define $NAME_INCLUDED

#include <stdint.h>

$sizes
#ifdef __cplusplus
extern "C" {
#endif

$types
$prototypes$vocabulary
#ifdef __cplusplus
}
#endif
#endif

#ifndef $NAME_DECLARE

#include <math.h>
#include <stddef.h>
#include <string.h>

]] .. frame.begin

frame.type = [[
/*
** What is carried from step to step: $members.
** Members keep their names and their meaning as long as the model does; copy them,
** or the whole struct, to go on from a step later.
*/
typedef struct $unit_state {
$state} $unit_state;
]]

frame.reset = [[
/* Back to the beginning of a sequence. */
void $unit_reset($unit_state *state) {
  memset(state, 0, sizeof *state);
$first}

]]

frame.choice = [[

/* The probabilities of what an output chooses among, and the id of the likeliest;
** they may take the place of the output. */
int32_t $name_probabilities($real *probabilities, const $real *output) {
  int32_t best = 0;
  for (int32_t i = 1; i < $NAME_OUTPUTS; i++)
    best = output[i] > output[best] ? i : best;
  $name_softmax(probabilities, output, 1, $NAME_OUTPUTS, 1);
  return best;
}
]]

frame.model = [[
/* --- The model ------------------------------------------------------------ */

]]

frame.finish = [[

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
]]

frame.test = [[

/* --- Does it work? --------------------------------------------------------- */

#ifdef $NAME_TEST
#include <stdio.h>
#include <stdlib.h>

#define $NAME_TEST_STEPS $T

]]

frame.test_off = [[
/* How far an output is off, relative to values above its unit. */
static double $name_test_off(double got, double expected, double unit) {
  if (got == expected || (got != got && expected != expected))
    return 0;
  const double off = fabs(got - expected) / (unit + fabs(expected));
  return off <= 1 ? off : 1; /* and where one is not a number */
}

]]

frame.test_main = frame.test_off .. [[
/* Twice, since a reset has to lead back: step by step, and all at once. */
int main(void) {
  static $unit_state state;
  double worst = 0;
  for (int round = 0; round < 2; round++) {
    $name_reset(&state);
$walk  }
  printf("$name: %d steps, off by at most %.2g: %s\n", $NAME_TEST_STEPS, worst,
         worst <= $tolerance ? "well" : "WRONG");
  return worst <= $tolerance ? 0 : 1;
}
#endif
]]

--- Add an array of a test to the pieces of a file.
---@param add fun(piece: string|saros.Tensor)
---@param kind string  type of the elements, in C
---@param name string
---@param tensor saros.Tensor
function frame.add_array(add, kind, name, tensor)
  add(("static const %s $name_test_%s[%d] = {"):format(kind, name, tensor:count()))
  add(tensor)
  add "};\n\n"
end

--- Begin the pieces of a file, up to the functions that its parts share.
---@param file saros.export.File
---@param values table<string, any>  that take the place of $words
---@param declarations string
---@param definitions string  of names
---@return (string|saros.Tensor)[] pieces
---@return fun(piece: string|saros.Tensor) add
function frame.open(file, values, declarations, definitions)
  local pieces = {}
  local function add(piece)
    pieces[#pieces + 1] = type(piece) == "string" and text.fill(piece, values) or piece
  end
  add(declarations)
  for _, piece in ipairs(file.constants) do
    add(piece)
  end
  add(definitions)
  add(file:functions())
  return pieces, add
end

return frame
