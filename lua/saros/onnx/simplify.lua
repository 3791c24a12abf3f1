--- Nodes that a graph does not need: sums with a known 0, products with a known 1, and what exporters put around
--- the places of a table for the case that they are negative, which ids never are.

local file = require "saros.onnx.file"
local operators = require "saros.onnx.operators"
local tensors = require "saros.onnx.tensors"

local NEUTRAL = { Add = 0, Mul = 1 }

local INTEGERS = { [5] = true, [6] = true, [7] = true }

-- Nodes that make integers of integers, but for Cast, of which it does not matter here.
local KEEPING = { Add = true, Mul = true, Cast = true, Identity = true }

--- True if a value is computed from ids alone.
local function is_of_ids(graph, name)
  if graph.of_ids[name] == nil then
    for _, info in ipairs(graph.inputs) do
      graph.of_ids[info.name] = INTEGERS[select(2, file.dims(info))] or false
    end
  end
  return graph.of_ids[name] or false
end

--- The number that a name is known to be, and whether it has no axes and so changes no shape; nil if it is none.
---@return number?
---@return boolean?
local function number_of(graph, name)
  local value = name and graph:constant(name)
  if tensors.is_integers(value) and #value == 1 then
    return value[1], #value.shape == 0
  elseif tensors.is_tensor(value) and value:dtype() == "real" and value:rank() == 0 then
    return value:item(), true
  end
end

--- What a node of ids is, if that is known.
local function known_of_ids(graph, node, number)
  if node.op == "Less" and is_of_ids(graph, node.inputs[1]) then
    local least = number_of(graph, node.inputs[2])
    return least and least <= 0 and 0 or nil
  elseif node.op == "Mul" and number == 0 then
    return 0
  end
end

--- Makes a node another one where that says the same.
---@param graph saros.onnx.Graph
---@param node saros.onnx.Node  its op, entry and inputs are changed
---@return saros.onnx.Integers? value  of the node, if it is known
return function(graph, node)
  local first, second = node.inputs[1], node.inputs[2]
  if not first or not (KEEPING[node.op] or node.op == "Less") then
    return nil
  end
  local other, number, is_plain = first, number_of(graph, second)
  if not number and NEUTRAL[node.op] then
    other, number, is_plain = second, number_of(graph, first)
  end
  local of_ids = is_of_ids(graph, other)
  local known = known_of_ids(graph, node, of_ids and number)
  if known then
    return tensors.integers({ known }, {})
  elseif number and number == NEUTRAL[node.op] and graph.depends[other] and (of_ids or is_plain) then
    node.op, node.entry, node.inputs = "Identity", operators.of { op_type = "Identity" }, { other }
  end
  if KEEPING[node.op] and of_ids and (number or not second or is_of_ids(graph, second)) then
    graph.of_ids[node.outputs[1] or ""] = true
  end
end
