--- The text of an exported file, around the weights and the statements of the
--- model. `$word` stands for what lua/saros/export/init.lua puts there.

local templates = {}

templates.declarations = [[
/*
** $title.
** Written by Saros $version from a trained model.
**
**   $name_state state;
**   $name_reset(&state);                   before the first step
**   $name_step(&state, input, output);     once for each step, as often as you like
**
** $about
**
** Declarations alone:  #define $NAME_DECLARE, then #include this file.
** Does it work here?   cc -std=c99 -O2 -D$NAME_TEST THIS_FILE -lm && ./a.out
*/
#ifndef $NAME_INCLUDED
#define $NAME_INCLUDED

#include <stdint.h>

$sizes
typedef struct $name_state {
$state} $name_state;

void $name_reset($name_state *state);
$declaration;
$vocabulary
#endif

#ifndef $NAME_DECLARE

#include <math.h>
#include <stddef.h>
#include <string.h>

]]

templates.steps = [[
/* --- The model ------------------------------------------------------------ */

/* Back to the beginning of a sequence. */
void $name_reset($name_state *state) {
  memset(state, 0, sizeof *state);
$first}

$declaration {
$begin$steps
$finish}
]]

templates.test_input = [[

/* --- Does it work? --------------------------------------------------------- */

#ifdef $NAME_TEST
#include <stdio.h>

#define $NAME_TEST_STEPS $T

static const $type $name_test_input[$drawn] = {]]

templates.test_output = [[
};

static const $real $name_test_output[$expected] = {]]

templates.test_main = [[
};

/* How far an output is off, relative to values above its unit. */
static double $name_test_off(double got, double expected, double unit) {
  if (got == expected || (got != got && expected != expected))
    return 0;
  const double off = fabs(got - expected) / (unit + fabs(expected));
  return off <= 1 ? off : 1; /* and where one is not a number */
}

/* Twice, since a reset has to lead back. */
int main(void) {
  static $name_state state;
  static $real output[$NAME_OUTPUTS];
  double worst = 0;
  for (int t = 0; t < 2 * $NAME_TEST_STEPS; t++) {
    const int at = t % $NAME_TEST_STEPS;
    if (at == 0)
      $name_reset(&state);
    $name_step(&state, $argument, output);
    for (int i = 0; i < $NAME_OUTPUTS; i++) {
      const $real expected = $name_test_output[at * $NAME_OUTPUTS + i];
      const double off = $name_test_off(output[i], expected, $unit);
      worst = off > worst ? off : worst;
    }
  }
  printf("$name: %d steps, off by at most %.2g: %s\n", $NAME_TEST_STEPS, worst,
         worst <= $tolerance ? "well" : "WRONG");
  return worst <= $tolerance ? 0 : 1;
}
#endif
]]

return templates
