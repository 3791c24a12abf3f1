--- assert.same_values(expected, actual, tolerance): tensors of the same shape
--- whose elements differ by at most the tolerance; 0 asks for the same bits.
--- The message names the element that differs most.

local assert = require "luassert"
local say = require "say"

local values = {}

local function shape_text(tensor)
  return "(" .. table.concat(tensor:shape(), ", ") .. ")"
end

-- The largest difference and its row-major place, counted from 1.
local function worst_of(expected, actual)
  local a, b = expected:reshape(-1):totable(), actual:reshape(-1):totable()
  local worst, place = 0, 0
  for n = 1, #a do
    local difference = math.abs(a[n] - b[n])
    if difference > worst or difference ~= difference then
      worst, place = difference == difference and difference or math.huge, n
    end
  end
  return worst, place, a[place], b[place]
end

local function same_values(state, arguments)
  local expected, actual, tolerance = arguments[1], arguments[2], arguments[3]
  if shape_text(expected) ~= shape_text(actual) then
    state.failure_message = ("expected shape %s, got %s"):format(
      shape_text(expected), shape_text(actual))
    return false
  end
  local worst, place, a, b = worst_of(expected, actual)
  state.failure_message = ("expected values within %g, got %g: element %d of %s is %s, not %s"):format(
    tolerance, worst, place, shape_text(expected), b, a)
  return worst <= tolerance
end

say:set("assertion.same_values.negative", "expected values that differ")
assert:register("assertion", "same_values", same_values,
  "assertion.same_values.positive", "assertion.same_values.negative")

--- Everything in a table of tensors, tables and plain values, as one string:
--- equal strings mean equal bits.
function values.fingerprint(tree)
  if type(tree) == "userdata" then
    return table.concat(tree:reshape(-1):totable(), " ")
  elseif type(tree) ~= "table" then
    return tostring(tree)
  end
  local parts = {}
  for key, branch in pairs(tree) do
    parts[#parts + 1] = tostring(key) .. "=" .. values.fingerprint(branch)
  end
  table.sort(parts)
  return table.concat(parts, "\n")
end

return values
