--- What follows from the sizes of inputs alone: the nodes of a graph are run on zeros, three times, with
--- other numbers in place of the sizes that a file leaves open. Integers that come out the same each
--- time, such as a rank or the size of a chunk, are known, and so is a condition made of them.

local core = require "saros.core"
local file = require "saros.onnx.file"
local tensors = require "saros.onnx.tensors"
local work = require "saros.onnx.work"

---@class saros.onnx.Trial
---@field graph saros.onnx.Graph
---@field runs table<string, any>[]  values by name, of each run
---@field at integer  nodes that were run
local Trial = {}
Trial.__index = Trial

-- Sizes that stand for one that is open. Neither is 1: rows and steps are any number.
local OPEN = { 5, 8, 23 }

local INTEGERS = { [5] = true, [6] = true, [7] = true }

--- Zeros for an input, or first ids; nil if the file says nothing of its shape.
local function sample(info, open, budget)
  local dims, kind = file.dims(info)
  local shape = {}
  for k, dim in ipairs(dims or {}) do
    shape[k] = math.type(dim) == "integer" and dim or open
  end
  if not dims then
    return nil
  end
  work.check_shape(shape, budget)
  return INTEGERS[kind] and core.ids(core.ones(shape)) or core.zeros(shape)
end

---@param graph saros.onnx.Graph
---@return saros.onnx.Trial
function Trial.new(graph)
  local self = setmetatable({ graph = graph, runs = {}, at = 0 }, Trial)
  for n, open in ipairs(OPEN) do
    self.runs[n] = {}
    for _, info in ipairs(graph.inputs) do
      local ok, value = pcall(sample, info, open, graph.budget)
      self.runs[n][info.name] = ok and value or nil
    end
  end
  return self
end

--- The inputs of a node in a run; nil if one of them is not known.
local function inputs_of(self, node, values)
  local inputs = {}
  for n, name in ipairs(node.inputs) do
    inputs[n] = name ~= "" and (values[name] or self.graph:constant(name)) or false
    if name ~= "" and not inputs[n] then
      return nil
    end
  end
  return inputs
end

local function run_node(self, node, values)
  local entry = node.entry
  local inputs = entry and (entry.sample or not entry.make) and inputs_of(self, node, values)
  if not inputs then
    return
  end
  local ok, outputs = pcall(self.graph.run, node, inputs, self.graph.budget, entry.sample)
  for n, name in ipairs(ok and node.outputs or {}) do
    values[name] = outputs[n]
  end
end

--- True if both are the same integers.
local function are_same(a, b)
  local same = tensors.is_integers(a) and tensors.is_integers(b) and #a == #b
  for n = 1, same and #a or 0 do
    same = same and a[n] == b[n]
  end
  return same
end

--- The integers of a name that all runs have; nil if there are none, or they differ.
---@param name string
---@return saros.onnx.Integers?
function Trial:integers(name)
  local _ <close> = core.no_gradient()
  for n = self.at + 1, #self.graph.nodes do
    for _, values in ipairs(self.runs) do
      run_node(self, self.graph.nodes[n], values)
    end
    self.at = n
  end
  local first = self.runs[1][name]
  for _, values in ipairs(self.runs) do
    if not are_same(first, values[name]) then
      return nil
    end
  end
  return first
end

return Trial
