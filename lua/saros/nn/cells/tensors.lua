--- A builder of definitions whose nodes are tensors of one step: see
--- saros.nn.cells.definition.

local core = require "saros.core"

---@class saros.nn.TensorBuilder
---@field functions table<string, function>  in place of the core's, by name
local Builder = {}
Builder.__index = Builder

local tensors = {}

---@param tensor saros.Tensor
---@return { tensor: saros.Tensor, width: integer }
function tensors.node(tensor)
  return { tensor = tensor, width = tensor:size(-1) }
end

function Builder:add(op, inputs, attributes)
  local operands, count = {}, #inputs
  for n, input in ipairs(inputs) do
    operands[n] = input.tensor
  end
  if op == "linear" then
    operands[2] = operands[2]:reshape(-1, inputs[1].width)
  elseif op == "layer_norm" then
    operands[4], count = attributes.epsilon, 4
  end
  return tensors.node((self.functions[op] or core[op])(table.unpack(operands, 1, count)))
end

--- The constants of definitions are single numbers.
function Builder.constant(_, tensor)
  return { tensor = tensor:item(), width = 1 }
end

function Builder.part(_, x, from, count)
  return count == x.width and x or tensors.node(x.tensor:slice(-1, from + 1, from + count))
end

---@param functions? table<string, function>  in place of the core's, by name
---@return saros.nn.TensorBuilder
function tensors.builder(functions)
  return setmetatable({ functions = functions or {} }, Builder)
end

return tensors
