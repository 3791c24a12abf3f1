--- The graph of a model: its nodes in order, and the values that do not depend on the input, which
--- are computed when it is read. A node of If whose condition is known is its branch.

local core = require "saros.core"
local options = require "saros.options"
local operators = require "saros.onnx.operators"
local tensors = require "saros.onnx.tensors"
local work = require "saros.onnx.work"

---@class saros.onnx.Graph
---@field nodes saros.onnx.Node[]  that depend on the input and that outputs need
---@field values table<string, any>  that do not, by name
---@field protos table<string, table>  initializers that were not asked for yet
---@field is_initializer table<string, boolean>
---@field depends table<string, table<string, boolean>>  which inputs a value depends on, by more than their shapes
---@field inputs table[]  ValueInfo, without initializers
---@field outputs table[]
---@field opset integer
---@field source saros.onnx.Source
---@field budget { left: integer }
local Graph = {}
Graph.__index = Graph

-- Types of attributes, as ONNX numbers them: the field, and what stands for one that is absent.
local ATTRIBUTES = {
  { "f", 0.0 }, { "i", 0 }, { "s", "" }, { "t" }, { "g" }, { "floats", {} }, { "ints", {} }, { "strings", {} },
}

local function read_attribute(source, given)
  local form = ATTRIBUTES[given.type or 0]
  if not form or given.ref_attr_name then
    error(("expected an attribute %q of a known type"):format(given.name or ""), 0)
  end
  local value = given[form[1]] == nil and form[2] or given[form[1]]
  if form[1] == "t" then
    value = value and tensors.read(source, value)
  end
  return value
end

--- A node from its message.
local function read_node(self, proto)
  local attributes = {}
  for _, given in ipairs(proto.attribute or {}) do
    attributes[given.name or ""] = read_attribute(self.source, given)
  end
  local outputs = proto.output or {}
  return {
    name = (proto.name or "") ~= "" and proto.name or outputs[1] or "?", op = proto.op_type or "",
    title = operators.title(proto), inputs = proto.input or {}, outputs = outputs, attributes = attributes,
    opset = self.opset, entry = operators.of(proto), is_constant = false,
  }
end

-- --- Values that are known -------------------------------------------------------------------------

--- The value of a name that does not depend on the input; nil if it does, or is absent.
---@param name string?
---@return any
function Graph:constant(name)
  local proto = name and self.protos[name]
  if proto then
    self.values[name], self.protos[name] = tensors.read(self.source, proto), nil
  end
  return self.values[name or ""]
end

--- An error in a node.
local function fail_at(node, message)
  error(("node %q (%s): %s"):format(node.name, node.title, options.without_place(message)), 0)
end

--- The outputs of a node, as a list.
---@param node saros.onnx.Node
---@param inputs any[]  false for one that is absent
---@param budget? { left: integer }  of what may be made
---@return any[]
function Graph.run(node, inputs, budget)
  local function run()
    if budget then
      work.take(budget, node.op, inputs)
    end
    local list = {}
    for n = 1, #inputs do
      list[n] = inputs[n] or nil
    end
    return { node.entry.run(node, table.unpack(list, 1, #inputs)) }
  end
  local ok, outputs = pcall(run)
  if ok then
    return outputs
  elseif type(outputs) ~= "string" then
    error(outputs, 0)
  end
  fail_at(node, outputs)
end

--- Runs a node whose inputs are known.
local function fold(self, node)
  local inputs = {}
  for n, name in ipairs(node.inputs) do
    inputs[n] = name ~= "" and self:constant(name) or false
  end
  node.is_constant = true
  local _ <close> = core.no_gradient()
  local outputs = Graph.run(node, inputs, self.budget)
  for n, name in ipairs(node.outputs) do
    if outputs[n] == nil and name ~= "" then
      fail_at(node, ("expected output %d, got none"):format(n))
    end
    self.values[name] = outputs[n]
  end
end

-- --- Nodes in order ------------------------------------------------------------------------------------

--- Which inputs a node depends on; nil if none. Error at a name that nothing has given yet.
local function dependence(self, node)
  local all
  for _, name in ipairs(node.inputs) do
    local of = self.depends[name]
    if of then
      all = all or {}
      for input in pairs(of) do
        all[input] = true
      end
    elseif name ~= "" and self.values[name] == nil and not self.protos[name] then
      error(("node %q (%s): expected inputs that earlier nodes give, got %q, of a later one or of none"):format(
        node.name, node.title, name), 0)
    end
  end
  return all
end

local walk

--- The nodes of the branch in place of an If.
local function take_branch(self, node)
  local condition = self:constant(node.inputs[1])
  local is_true = tensors.list(condition)[1] ~= 0
  local branch = node.attributes[is_true and "then_branch" or "else_branch"]
  if type(branch) ~= "table" then
    fail_at(node, "expected both branches")
  end
  for _, proto in ipairs(branch.initializer or {}) do
    self.protos[proto.name or ""] = proto
  end
  walk(self, branch.node or {})
  for n, info in ipairs(branch.output or {}) do
    walk(self, { { op_type = "Identity", input = { info.name }, output = { node.outputs[n] } } })
  end
end

local SHAPES = { Shape = true, Size = true }

function walk(self, protos)
  for _, proto in ipairs(protos) do
    local node = read_node(self, proto)
    local depends = dependence(self, node)
    if node.op == "If" and not depends then
      take_branch(self, node)
    elseif not depends and node.entry and not node.entry.make then
      fold(self, node)
    else
      self.nodes[#self.nodes + 1] = node
      for _, name in ipairs(node.outputs) do
        self.depends[name] = SHAPES[node.op] and {} or depends or {}
      end
    end
  end
end

--- The nodes that the outputs need, and an error that lists all that are not known.
local function prune(self)
  local needed, kept, unknown = {}, {}, {}
  for _, info in ipairs(self.outputs) do
    needed[info.name or ""] = true
  end
  for n = #self.nodes, 1, -1 do
    local node, is_needed = self.nodes[n], false
    for _, name in ipairs(node.outputs) do
      is_needed = is_needed or name ~= "" and needed[name]
    end
    if is_needed then
      table.insert(kept, 1, node)
      for _, name in ipairs(node.inputs) do
        needed[name] = true
      end
      if not node.entry then
        table.insert(unknown, 1, ("%q (%s)"):format(node.name, node.title))
      end
    end
  end
  if #unknown > 0 then
    error("expected nodes with operators that are supported, got " .. table.concat(unknown, ", "), 0)
  end
  self.nodes = kept
end

--- The graph of a model.
---@param model table  of saros.onnx.file
---@param source saros.onnx.Source
---@param constants table<string, number>  inputs with values that do not change
---@return saros.onnx.Graph
local function read(model, source, constants)
  local self = setmetatable({
    nodes = {}, values = {}, protos = {}, is_initializer = {}, depends = {}, inputs = {}, budget = work.new(),
    outputs = model.graph.output or {}, opset = model.opset, source = source,
  }, Graph)
  for _, proto in ipairs(model.graph.initializer or {}) do
    self.protos[proto.name or ""], self.is_initializer[proto.name or ""] = proto, true
  end
  for _, info in ipairs(model.graph.input or {}) do
    local name, given = info.name or "", constants[info.name or ""]
    if given then
      self.values[name] = math.type(given) == "integer" and tensors.integers({ given }, {}) or core.full({}, given)
    elseif not self.is_initializer[name] then
      self.inputs[#self.inputs + 1] = info
      self.depends[name] = { [name] = true }
    end
  end
  walk(self, model.graph.node)
  prune(self)
  return self
end

return { read = read, run = Graph.run }
