--- assert.gradients_match(fn, inputs [, options]): the gradients of a function
--- are those that finite differences predict, to 1e-7 in double precision.
--- A float holds seven digits, of which the difference of two losses leaves
--- about three, so the float build can only catch gross mistakes.

local assert = require "luassert"
local say = require "say"
local core = require "saros.core"
local gradient_check = require "saros.gradient_check"

local gradients = {}

gradients.is_double = core.info().real == "double"
gradients.tolerance = gradients.is_double and 1e-7 or 1e-2

local function gradients_match(state, arguments)
  local worst, description = gradient_check(arguments[1], arguments[2], arguments[3])
  state.failure_message = ("expected gradients within %g of the finite differences, got %g: %s"):format(
    gradients.tolerance, worst, description)
  return worst <= gradients.tolerance
end

say:set("assertion.gradients_match.negative", "expected gradients that do not match")
assert:register("assertion", "gradients_match", gradients_match,
  "assertion.gradients_match.positive", "assertion.gradients_match.negative")

return gradients
