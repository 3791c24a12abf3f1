--- What a session with weights in fewer bits means: each product takes its weights, and
--- each lookup its rows, as 16 or 8 bits keep them, and all else stays as it is. The
--- rule is that of saros_weights in src/saros/sessions.h, written once more for the twin
--- of programs.

local saros = require "saros"
local twin = require "spec.support.program_twin"

local narrow = {}

local FEW = 4 -- products of so few rows stay as they are
local LARGEST = { bf16 = 0, int8 = 1 / 65532 } -- error of an operand known to 16 bits, relative to its row's largest

-- --- Numbers ----------------------------------------------------------------------------------------

local function float_of(x)
  return (string.unpack("f", string.pack("f", x)))
end

--- To the nearest whole number, to the even one of two.
local function nearest(x)
  return x + 0x1.8p52 - 0x1.8p52
end

local rows = {}

--- The upper half of a float, rounded to the nearest, to the even one of two.
function rows.bf16(row)
  for k, x in ipairs(row) do
    local bits = string.unpack("I4", string.pack("f", x))
    bits = (bits + 0x7fff + (bits >> 16 & 1)) >> 16 << 16
    row[k] = string.unpack("f", string.pack("I4", bits))
  end
  return row
end

--- Whole numbers of a scale, of which the largest weight of the row has 127.
function rows.int8(row)
  local largest = 0
  for _, x in ipairs(row) do
    largest = math.max(largest, math.abs(float_of(x)))
  end
  local scale = largest < 1e-30 and 0 or float_of(largest / 127)
  for k, x in ipairs(row) do
    row[k] = scale == 0 and 0 or scale * nearest(float_of(float_of(x) / scale))
  end
  return row
end

local function rounded_rows(w, weights)
  local list = w:contiguous():totable()
  for n, row in ipairs(list) do
    list[n] = rows[weights](row)
  end
  return saros.tensor(list)
end

--- The rows from `first` on, if they are not too few.
local function rounded(w, weights, first)
  local list = w:contiguous():totable()
  for n = #list - first + 1 > FEW and first or #list + 1, #list do
    list[n] = rows[weights](list[n])
  end
  return saros.tensor(list)
end

-- --- Which products -----------------------------------------------------------------------------------

--- For each node, from 0, whether it follows from parameters alone.
local function invariants(program)
  local fixed = {}
  for n, node in ipairs(program.nodes) do
    local is_fixed = node.op ~= "input" and node.op ~= "ids" and node.op ~= "state" and not node.states
      and not node.state
    for _, operand in ipairs(node["in"] or {}) do
      is_fixed = is_fixed and fixed[operand]
    end
    fixed[n - 1] = is_fixed
  end
  return fixed
end

--- For each node, from 0, the node that has its value where dropout is none.
local function sources(program)
  local source = {}
  for n, node in ipairs(program.nodes) do
    source[n - 1] = node.op == "dropout" and source[node["in"][1]] or n - 1
  end
  return source
end

-- --- Runs ----------------------------------------------------------------------------------------------

--- By how much a sum may be off if x is known to 16 bits.
local function error_of(w, x)
  return w:abs():sum(2):max():item() * x:abs():max():item()
end

--- The weights of one parameter. A GRU that resets before the product computes n by a
--- separate product.
local function rounded_weight(node, name, w, weights)
  if node.cell ~= "gru_before" or name ~= "weight_hh" then
    return rounded(w, weights, 1)
  end
  local split = w:size(1) // 3 * 2
  local r_and_z = rounded(w:slice(1, 1, split), weights, 1)
  return saros.concatenate({ r_and_z, rounded(w, weights, split + 1):slice(1, split + 1) }, 1)
end

--- What twin.run takes in place of weights, and what adds up how far off it may be. The
--- row of an id is as few bits as weights have, which are known exactly.
local function rounding(program, weights)
  local fixed, source, known, errors = invariants(program), sources(program), {}, {}
  local function round(n, name, w, x)
    local is_row = name == "rows" or name == "table"
    if fixed[n] or not is_row and w:size(1) <= FEW then
      return w
    end
    local from = program.nodes[source[program.nodes[n + 1]["in"][1]] + 1]
    local is_exact = is_row or from.op == "lookup" and (name == "weight" or name == "weight_ih")
    local key = n .. name
    known[key] = known[key] or is_row and rounded_rows(w, weights)
      or rounded_weight(program.nodes[n + 1], name, w, weights)
    errors[key] = is_exact and 0 or math.max(errors[key] or 0, error_of(w, x or saros.ones(1)))
    return known[key]
  end
  return round, function()
    local sum = 0
    for _, e in pairs(errors) do
      sum = sum + e
    end
    return sum
  end
end

--- The outputs and last states with bf16 or int8 weights, and the error that a session
--- may have beyond that of float sums: where the processor multiplies bytes, a float build
--- rounds x of a product to 16 bits, by at most 0.5 / 32766 of its largest element. The
--- errors of all products and steps add up.
---@param program saros.Program
---@param tensors table<string, saros.Tensor>
---@param inputs table<string, saros.Tensor>
---@param weights "bf16"|"int8"
---@return table<string, saros.Tensor> outputs, saros.Tensor[] last, number off
function narrow.run(program, tensors, inputs, weights)
  local round, sum = rounding(program, weights)
  local outputs, last = twin.run(program, tensors, inputs, { rounded = round })
  local _, x = next(inputs)
  local is_float = saros.info().real == "float"
  return outputs, last, is_float and LARGEST[weights] * sum() * x:size(1) or 0
end

return narrow
