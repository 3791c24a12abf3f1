--- The graph of a model: its nodes in order, and the values that do not depend on the input, which
--- are computed when it is read. A node of If whose condition is known is its branch: the nodes of the
--- branch stand in its place, under names of their own where theirs are taken.

local core = require "saros.core"
local options = require "saros.options"
local operators = require "saros.onnx.operators"
local simplify = require "saros.onnx.simplify"
local tensors = require "saros.onnx.tensors"
local trial = require "saros.onnx.trial"
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
---@field budget saros.onnx.Budget
---@field taken table<string, boolean>  names that something has
---@field trial saros.onnx.Trial?
---@field of_ids table<string, boolean>  what is computed from ids alone
---@field inside integer  how many bodies stand around the node that is read
local Graph = {}
Graph.__index = Graph

--- The names of a branch: what each stands for where it is another one.
---@class saros.onnx.Scope
---@field names table<string, string>
---@field outer saros.onnx.Scope?

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

-- --- Names --------------------------------------------------------------------------------------------

--- What a name stands for.
---@param scope saros.onnx.Scope?
local function resolved(scope, name)
  while scope do
    if scope.names[name] then
      return scope.names[name]
    end
    scope = scope.outer
  end
  return name
end

--- A name for what a branch calls so: two branches may have the same names.
local function defined(self, scope, name)
  if name == "" or not scope then
    return name
  end
  local free, n = name, 1
  while self.taken[free] do
    n = n + 1
    free = ("%s_%d"):format(name, n)
  end
  self.taken[free], scope.names[name] = true, free
  return free
end

--- A node from its message.
---@param scope saros.onnx.Scope?
local function read_node(self, proto, scope)
  local attributes, inputs, outputs = {}, {}, {}
  for _, given in ipairs(proto.attribute or {}) do
    attributes[given.name or ""] = read_attribute(self.source, given)
  end
  for n, name in ipairs(proto.input or {}) do
    inputs[n] = resolved(scope, name)
  end
  for n, name in ipairs(proto.output or {}) do
    outputs[n] = defined(self, scope, name)
  end
  return {
    name = (proto.name or "") ~= "" and proto.name or outputs[1] or "?", op = proto.op_type or "",
    title = operators.title(proto), inputs = inputs, outputs = outputs, attributes = attributes,
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
---@param budget? saros.onnx.Budget  of what may be made
---@param run_with? fun(node: saros.onnx.Node, ...: any): ...: any  in place of what the operator does
---@return any[]
function Graph.run(node, inputs, budget, run_with)
  node.budget = budget
  local function run()
    if budget then
      work.take(budget, node.op, inputs)
    end
    local list = {}
    for n = 1, #inputs do
      list[n] = inputs[n] or nil
    end
    return { (run_with or node.entry.run)(node, table.unpack(list, 1, #inputs)) }
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

--- Whether the condition of an If holds; nil if that depends on the input, by more than sizes that the
--- file fixes.
local function condition_of(self, node, depends)
  local name = node.inputs[1]
  if not depends then
    local value = self:constant(name)
    return (tensors.is_integers(value) and value[1] or tensors.real(value):flatten()[1]) ~= 0
  end
  if self.inside > 0 then
    return nil
  end
  self.trial = self.trial or trial.new(self)
  local known = self.trial:integers(name)
  if known and #known > 0 then
    return known[1] ~= 0
  end
end

--- Initializers of a branch or a body.
local function define_initializers(self, proto, scope)
  for _, given in ipairs(proto.initializer or {}) do
    local name = defined(self, scope, given.name or "")
    self.protos[name], self.is_initializer[name] = given, true
  end
end

--- The nodes of the branch in place of an If.
local function take_branch(self, node, is_true, scope)
  local branch = node.attributes[is_true and "then_branch" or "else_branch"]
  if type(branch) ~= "table" or #(branch.output or {}) < #node.outputs then
    fail_at(node, "expected both branches, with as many outputs as the node")
  end
  local inner = { names = {}, outer = scope }
  define_initializers(self, branch, inner)
  walk(self, branch.node or {}, inner)
  for n, name in ipairs(node.outputs) do
    local same = read_node(self, { op_type = "Identity", input = { resolved(inner, branch.output[n].name or "") } })
    same.outputs = { name }
    self:add(same)
  end
end

-- --- One node ----------------------------------------------------------------------------------------------

-- --- Bodies ----------------------------------------------------------------------------------------------

--- f(node) for all nodes of a list and of their bodies.
---@param nodes saros.onnx.Node[]
---@param f fun(node: saros.onnx.Node)
function Graph.each(nodes, f)
  for _, node in ipairs(nodes) do
    f(node)
    if node.body then
      Graph.each(node.body.nodes, f)
    end
  end
end

--- Reads the body of a node that runs one: its nodes become a list beside those of the graph. What they read
--- outside is added to what the node depends on.
local function read_body(self, node, depends, scope)
  local proto, inner, outer_nodes = node.attributes.body, { names = {}, outer = scope }, self.nodes
  local body = { nodes = {}, inputs = {}, outputs = {} }
  define_initializers(self, proto, inner)
  for n, info in ipairs(proto.input or {}) do
    body.inputs[n] = defined(self, inner, info.name or "")
    self.depends[body.inputs[n]] = depends
  end
  self.nodes, self.inside = body.nodes, self.inside + 1
  walk(self, proto.node or {}, inner)
  self.nodes, self.inside = outer_nodes, self.inside - 1
  for n, info in ipairs(proto.output or {}) do
    body.outputs[n] = resolved(inner, info.name or "")
  end
  Graph.each(body.nodes, function(each)
    for _, name in ipairs(each.inputs) do
      for input in pairs(self.depends[name] or {}) do
        depends[input] = true
      end
    end
  end)
  node.body = body
end

local SHAPES = { Shape = true, Size = true }

--- Takes a node into the graph: it is run now if its inputs are known.
---@param node saros.onnx.Node
---@param scope? saros.onnx.Scope
function Graph:add(node, scope)
  local depends = dependence(self, node)
  local known = depends and simplify(self, node)
  if known then
    self.values[node.outputs[1] or ""] = known
    return
  elseif node.op == "If" then
    local is_true = condition_of(self, node, depends)
    if is_true ~= nil then
      take_branch(self, node, is_true, scope)
      return
    end
    node.title = "If with a condition that depends on the input or on open sizes"
  elseif not depends and node.entry and not node.entry.make then
    fold(self, node)
    return
  elseif node.entry and node.entry.has_body and type(node.attributes.body) == "table" then
    depends = depends or {}
    read_body(self, node, depends, scope)
  end
  self.nodes[#self.nodes + 1] = node
  for _, name in ipairs(node.outputs) do
    self.depends[name] = SHAPES[node.op] and {} or depends or {}
  end
end

function walk(self, protos, scope)
  for _, proto in ipairs(protos) do
    self:add(read_node(self, proto, scope), scope)
  end
end

--- The nodes that the outputs need, and an error that lists all that are not known.
local function prune(self)
  local needed, kept, unknown = {}, {}, {}
  for _, info in ipairs(self.outputs) do
    needed[info.name or ""] = true
  end
  local function need(node)
    for _, name in ipairs(node.inputs) do
      needed[name] = true
    end
  end
  for n = #self.nodes, 1, -1 do
    local node, is_needed = self.nodes[n], false
    for _, name in ipairs(node.outputs) do
      is_needed = is_needed or name ~= "" and needed[name]
    end
    if is_needed then
      table.insert(kept, 1, node)
      for _, name in ipairs(node.body and node.body.outputs or {}) do
        needed[name] = true
      end
      Graph.each({ node }, need)
    end
  end
  Graph.each(kept, function(node)
    unknown[#unknown + 1] = not node.entry and ("%q (%s)"):format(node.name, node.title) or nil
  end)
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
    nodes = {}, values = {}, protos = {}, is_initializer = {}, depends = {}, inputs = {},
    budget = work.new(#source.wire),
    outputs = model.graph.output or {}, opset = model.opset, source = source,
    taken = {}, inside = 0, of_ids = {},
  }, Graph)
  for _, proto in ipairs(model.graph.node) do
    for _, name in ipairs(proto.output or {}) do
      self.taken[name] = true
    end
  end
  for _, proto in ipairs(model.graph.initializer or {}) do
    local name = proto.name or ""
    self.protos[name], self.is_initializer[name], self.taken[name] = proto, true, true
  end
  for _, info in ipairs(model.graph.input or {}) do
    local name, given = info.name or "", constants[info.name or ""]
    self.taken[name] = true
    if given then
      self.values[name] = math.type(given) == "integer" and tensors.integers({ given }, {}) or core.full({}, given)
    elseif not self.is_initializer[name] then
      self.inputs[#self.inputs + 1] = info
      self.depends[name] = { [name] = true }
    end
  end
  walk(self, model.graph.node)
  self.trial = nil
  prune(self)
  return self
end

return { read = read, run = Graph.run, each = Graph.each }
