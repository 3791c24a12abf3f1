--- A graph of ONNX in the making: nodes in order, under names that stand once in a file, and the
--- tensors that they share.
---
--- A value of a program's node has some axes before its features, its lead: (T, B) over all steps,
--- (B) in a step or at the end of a sequence. What depends on parameters alone has none, which
--- broadcasts. So one rule writes a node wherever it stands.

local core = require "saros.core"
local options = require "saros.options"
local sorted = require "saros.sorted"

-- As ONNX numbers types.
local FLOAT, INT32, INT64, BOOL, DOUBLE = 1, 6, 7, 9, 11

--- What the graphs of a file share.
---@class saros.onnx.Shared
---@field opset integer
---@field initializers table[]  TensorProtos
---@field known table<any, string>  name of the initializer of numbers, or of a node and form
---@field taken table<string, true>
---@field problems string[]  what cannot be written, and why
---@field batch string?  name of the number of rows, (1)
---@field readers table<saros.export.Node, integer>  how many nodes read one
---@field first saros.export.Node  the first input

---@class saros.onnx.Cut
---@field whole string
---@field width integer  of the whole
---@field from integer

---@class saros.onnx.Builder
---@field shared saros.onnx.Shared
---@field lead integer  axes before the features
---@field nodes table[]  NodeProtos
---@field values table<saros.export.Node, string>  names of what was written
---@field states table<saros.export.State, string>  names of what states are before
---@field after table<saros.export.State, string>  and behind
---@field cuts table<saros.export.Node, saros.onnx.Cut>  parts of a value, which are cut where they are read
---@field lead_shape string?  name of the sizes of the lead
---@field mask string?  in the body of a loop: true for the rows that have not ended, (rows, 1)
local Builder = { FLOAT = FLOAT, INT32 = INT32, INT64 = INT64, BOOL = BOOL, DOUBLE = DOUBLE }
Builder.__index = Builder

--- The largest integer: "up to the end" in a slice.
Builder.END = math.maxinteger

--- A graph whose values have a lead of that many axes.
---@param shared saros.onnx.Shared
---@param lead integer
---@param nodes? table[]  those of a graph that it continues
---@return saros.onnx.Builder
function Builder.new(shared, lead, nodes)
  return setmetatable({ shared = shared, lead = lead, nodes = nodes or {}, values = {}, states = {}, after = {},
    cuts = {} }, Builder)
end

-- --- Names ---------------------------------------------------------------------------------------

--- A name that nothing in the file has yet. Files have names in UTF-8; an empty one would mean that an input is
--- absent.
---@param base string
---@return string
function Builder:name(base)
  base = base == "" and "_" or utf8.len(base) and base or base:gsub("[\x80-\xFF]", "_")
  local taken, free, n = self.shared.taken, base, 1
  while taken[free] do
    n = n + 1
    free = ("%s_%d"):format(base, n)
  end
  taken[free] = true
  return free
end

--- Says that something cannot be written.
---@param node saros.export.Node
---@param reason string
function Builder:refuse(node, reason)
  local list = self.shared.problems
  list[#list + 1] = ("%q (%s): %s"):format(node.title or node.op, node.op, reason)
end

-- --- Nodes ---------------------------------------------------------------------------------------

local function attribute(name, value)
  local made = { name = name }
  local is_list = type(value) == "table" and not value.node
  local first = value
  if is_list then
    first = value[1]
  end
  if type(value) == "table" and value.node then
    made.g, made.type = value, 5
  elseif math.type(first) == "integer" then
    made[is_list and "ints" or "i"], made.type = value, is_list and 7 or 2
  elseif type(first) == "number" then
    made[is_list and "floats" or "f"], made.type = value, is_list and 6 or 1
  else
    made[is_list and "strings" or "s"], made.type = value, is_list and 8 or 3
  end
  return made
end

--- Add a node.
---@param op string
---@param inputs string[]  "" for one that is absent
---@param attributes? table<string, any>
---@param outputs? string[]  names, made by `name`; one after the operator if there are none
---@param name? string  of the node, if it is not that of its output
---@return string output  the first
function Builder:op(op, inputs, attributes, outputs, name)
  outputs = outputs or { self:name(op:lower()) }
  local list = {}
  for _, key in ipairs(sorted.keys(attributes or {})) do
    list[#list + 1] = attribute(key, attributes[key])
  end
  local node = { op_type = op, name = name or outputs[1], input = inputs, output = outputs, attribute = list }
  self.nodes[#self.nodes + 1] = node
  return outputs[1]
end

-- --- Tensors -------------------------------------------------------------------------------------

local function add_tensor(self, base, kind, dims, data)
  local name, list = self:name(base), self.shared.initializers
  list[#list + 1] = { name = name, dims = dims, data_type = kind, raw_data = data }
  return name
end

--- What was made once under a key.
local function once(self, key, make)
  local known = self.shared.known
  known[key] = known[key] or make()
  return known[key]
end

local function packed(format, list)
  local bytes = {}
  for n, value in ipairs(list) do
    bytes[n] = string.pack(format, value)
  end
  return table.concat(bytes)
end

--- Integers, (n).
---@param list integer[]
---@return string
function Builder:integers(list)
  return once(self, "integers " .. table.concat(list, " "), function()
    local base = "ints_" .. table.concat(list, "_"):gsub("-", "minus_"):sub(1, 40)
    return add_tensor(self, base, INT64, { #list }, packed("<i8", list))
  end)
end

--- An integer without axes.
function Builder:integer(value)
  return once(self, "integer " .. value, function()
    return add_tensor(self, ("int_%d"):format(value):gsub("-", "minus_"), INT64, {}, packed("<i8", { value }))
  end)
end

--- A number without axes.
---@param value number
---@return string
function Builder:number(value)
  return once(self, ("number %a"):format(value), function()
    return add_tensor(self, "number", FLOAT, {}, packed("<f", { value }))
  end)
end

--- Numbers in double precision, (n).
---@param base string
---@param list number[]
---@return string
function Builder:doubles(base, list)
  return add_tensor(self, base, DOUBLE, { #list }, packed("<d", list))
end

--- A tensor as an initializer.
---@param base string  its name, if that is free
---@param tensor saros.Tensor
---@return string
function Builder:tensor(base, tensor)
  return add_tensor(self, base, FLOAT, tensor:shape(), tensor:contiguous())
end

--- The initializer of a node that depends on parameters alone, in a shape; made once.
---@param node saros.export.Node
---@param shape integer[]
---@param turned? boolean  (b, a) in place of the shape (a, b)
---@return string
function Builder:constant(node, shape, turned)
  local of = self.shared.known[node] or {}
  self.shared.known[node] = of
  local key = table.concat(shape, " ") .. (turned and " turned" or "")
  if not of[key] then
    local tensor = node.tensor:reshape(shape)
    of[key] = self:tensor(node.parameter or node.title or node.op, turned and tensor:transpose() or tensor)
  end
  return of[key]
end

-- --- Values of nodes -----------------------------------------------------------------------------

--- The ids of a node as integers.
function Builder:ids(node)
  return self.values[node]
end

--- The value of a node: (lead, width), or (width) if it depends on parameters alone.
---@param node saros.export.Node
---@return string
function Builder:value(node)
  if node.tensor then
    return self:constant(node, { node.width })
  elseif node.op == "ids" then
    return self:op("Unsqueeze", { self:op("Cast", { self.values[node] }, { to = FLOAT }), self:integers { -1 } })
  end
  local cut = self.cuts[node]
  if cut and not self.values[node] then
    self.values[node] = self:slice(cut.whole, -1, cut.from, cut.from + node.width)
  end
  return self.values[node] or options.fail("onnx.write: no value of " .. node.op)
end

--- A value (lead, n) as (lead, dims).
---@param x string
---@param dims integer[]
---@return string
function Builder:shaped(x, dims)
  local shape = { 0, self.lead == 2 and 0 or nil }
  return self:op("Reshape", { x, self:integers(table.move(dims, 1, #dims, #shape + 1, shape)) })
end

--- A value (lead, ...) as (lead, width).
function Builder:flat(x, width)
  return self:shaped(x, { width })
end

--- The value of a node as (lead, dims), or (dims) if it depends on parameters alone.
---@param node saros.export.Node
---@param dims integer[]
---@return string
function Builder:blocks(node, dims)
  return node.tensor and self:constant(node, dims) or self:shaped(self:value(node), dims)
end

--- Part of axis `axis` of a value, from 0, up to `stop`, which is left out.
---@return string
function Builder:slice(x, axis, from, stop, step)
  local inputs = { x, self:integers { from }, self:integers { stop }, self:integers { axis } }
  inputs[5] = step and step ~= 1 and self:integers { step } or nil
  return self:op("Slice", inputs)
end

--- Axes of a value behind its lead in another order, from 0.
function Builder:transposed(x, order)
  local perm = self.lead == 2 and { 0, 1 } or { 0 }
  for _, axis in ipairs(order) do
    perm[#perm + 1] = axis + self.lead
  end
  return self:op("Transpose", { x }, { perm = perm })
end

--- The sizes of the lead and some more: (lead, more).
function Builder:sizes(...)
  return self:op("Concat", { self.lead_shape, self:integers { ... } }, { axis = 0 })
end

--- The value of a node with its lead, whatever it depends on: where nothing broadcasts.
---@param node saros.export.Node
---@return string
function Builder:spread(node)
  local x = self:value(node)
  return node.tensor and self:op("Expand", { x, self:sizes(node.width) }) or x
end

--- What a state is before the step, or the sequence: (rows, width).
---@param state saros.export.State
---@return string
function Builder:before(state)
  self.states[state] = self.states[state] or self:first(state)
  return self.states[state]
end

--- Says what a state is behind it.
function Builder:keep(state, x)
  self.after[state] = x
end

--- The description of an input or output.
---@param name string
---@param kind integer
---@param dims (integer|string)[]
---@return table
function Builder.info(name, kind, dims)
  local list = {}
  for n, dim in ipairs(dims) do
    list[n] = type(dim) == "string" and { dim_param = dim } or { dim_value = dim }
  end
  return { name = name, type = { tensor_type = { elem_type = kind, shape = { dim = list } } } }
end

--- What a state begins with, (rows, width), where a caller does not say it.
---@param state saros.export.State
---@return string
function Builder:first(state)
  local row = state.first and self:tensor("first." .. state.name, state.first:reshape(1, state.width))
    or once(self, "zeros " .. state.width, function()
      return self:tensor("zeros", core.zeros(1, state.width))
    end)
  local rows = self:op("Concat", { self.shared.batch, self:integers { state.width } }, { axis = 0 })
  return self:op("Expand", { row, rows })
end

return Builder
