--- A graph of ONNX as a module of Saros: its forward walks the nodes.
---
---     y, state = model(x, state)
---
--- x and y are (T, B, F) whatever the axes of the file are; a graph of a single step is called
--- once for each step. Several inputs, or outputs, are tables by name. The state has what the
--- graph takes and gives as states, by the input's name, and for layers that begin at zeros, or at
--- what the graph computes, their own state, by the node's name.

local core = require "saros.core"
local options = require "saros.options"
local feeds = require "saros.onnx.feeds"
local graphs = require "saros.onnx.graph"
local initialize = require "saros.nn.initialize"
local module = require "saros.nn.module"
local nn_states = require "saros.nn.state"
local states = require "saros.onnx.states"
local tensors = require "saros.onnx.tensors"
local work = require "saros.onnx.work"

---@class saros.onnx.Model: saros.nn.Module
---@field graph saros.onnx.Graph
---@field feeds saros.onnx.Feed[]
---@field states_of_graph saros.onnx.State[]
---@field outs { name: string, places: table }[]
---@field is_step boolean  the graph is one step
---@field is_alone boolean  it has steps, and no axis of rows: of one row
---@field given table<string, saros.Tensor>  values of parameters by name
local Model = module.class "onnx"

-- --- Parameters and layers -----------------------------------------------------------------------------

--- A name that parameters can have, of a node.
local function plain_name(self, name)
  local base = name:gsub("^/", ""):gsub("[^%w_]+", "_")
  local free, n = base, 1
  while self.taken[free] do
    n = n + 1
    free = base .. "_" .. n
  end
  self.taken[free] = true
  return free
end

--- Adds the layer of a node.
---@return saros.nn.Module layer
function Model:add_layer(node, layer)
  node.key = plain_name(self, node.name)
  return self:add_member(node.key, layer)
end

--- Says what a parameter of a node's layer is.
function Model:give(layer, name, value)
  self.given[layer.place.name .. "." .. name] = value
end

function Model:constant(name)
  return self.graph:constant(name)
end

--- Makes an initializer a parameter, and what was computed from some a buffer.
local function add_value(self, name)
  local value = self:constant(name)
  if not tensors.is_tensor(value) or value:dtype() ~= "real" or value:count() < 2 or self.given[name] then
    return
  end
  local is_given, fill = self.graph.is_initializer[name], initialize.constant(0)
  self.given[name] = value
  self.graph.values[name] = is_given and self:add_parameter(name, value:shape(), fill)
    or self:add_buffer(name, value:shape(), fill)
end

--- Parameters and layers of a node; what is not supported is added to problems.
local function add_node(self, node, problems)
  local fixed = {}
  for _, n in ipairs(node.entry.fixed or {}) do
    fixed[n] = true
    if (node.inputs[n] or "") ~= "" and self:constant(node.inputs[n]) == nil then
      problems[#problems + 1] = ("%q (%s with weights that depend on the input)"):format(node.name, node.title)
    end
  end
  for n, name in ipairs(node.inputs) do
    if not fixed[n] then
      add_value(self, name)
    end
  end
  node.model, node.key = self, node.body and plain_name(self, node.name)
  local problem = #problems == 0 and node.entry.make and node.entry.make(node, self)
  problems[#problems + 1] = problem and ("%q (%s with %s)"):format(node.name, node.title, problem) or nil
end

local function add_parameters(self)
  local problems = {}
  graphs.each(self.graph.nodes, function(node) add_node(self, node, problems) end)
  if #problems > 0 then
    error("expected nodes with operators that are supported, got " .. table.concat(problems, ", "), 0)
  end
end

-- --- A call --------------------------------------------------------------------------------------------

--- The state that a layer keeps by itself, before the step; nil at the beginning, and for a layer whose
--- state is one of the graph's.
function Model:state_of(node)
  return node.keeps and self.now.state[node.key] or nil
end

function Model:keep_state(node, after)
  if node.keeps and next(after) ~= nil then
    self.now.after[node.key] = after
  end
end

--- Runs nodes on values by name.
---@param nodes saros.onnx.Node[]
---@param values table<string, any>
function Model:run_nodes(nodes, values)
  for _, node in ipairs(nodes) do
    local inputs = {}
    for n, name in ipairs(node.inputs) do
      inputs[n] = name ~= "" and values[name] or false
    end
    for n, value in ipairs(graphs.run(node, inputs, self.now.budget)) do
      values[node.outputs[n] or ""] = value
    end
  end
end

--- Values for a run of a body, which has those around it, too.
---@return table<string, any>
function Model:inner_values()
  return setmetatable({}, { __index = self.now.values })
end

--- Takes a step of a loop from what a graph may do while it is read.
function Model:take_step()
  if self.now.budget then
    work.take(self.now.budget, "Loop", {})
  end
end

--- Runs the graph; values by name.
local function run_graph(self, given, state, budget)
  local values = setmetatable(given, { __index = self.graph.values })
  self.now = { state = state, after = nn_states.new {}, values = values, budget = budget }
  self:run_nodes(self.graph.nodes, values)
  local after = self.now.after
  self.now = false
  return values, after
end

local function rows_of(self, list, is_step)
  for _, feed in ipairs(self.feeds) do
    local x = not feed.is_once and list[feed.name]
    if x then
      return x:size(is_step and 1 or 2), x:size(1)
    end
  end
end

--- Lengths of rows; without them rows are whole, which layers take to be so.
local function lengths_of(feed, lengths, T, B)
  if not lengths and feed.is_optional then
    return nil
  end
  local whole = {}
  for b = 1, B do
    whole[b] = T
  end
  return tensors.integers(lengths or whole)
end

--- One run of the graph on tensors by name.
local function run(self, list, state, lengths, budget)
  local values = {}
  local B, T = rows_of(self, list, self.is_step)
  for _, feed in ipairs(self.feeds) do
    values[feed.name] = list[feed.name] and feeds.into(feed, list[feed.name], self.is_step)
      or feed.is_lengths and lengths_of(feed, lengths, T, B) or nil
  end
  for _, own in ipairs(self.states_of_graph) do
    values[own.input] = states.into(own, state[own.input], B, budget)
  end
  local given, after = run_graph(self, values, state, budget)
  for _, own in ipairs(self.states_of_graph) do
    after[own.input] = states.from(own, given[own.output])
  end
  return given, after
end

--- The outputs of a run by name, with Saros' axes.
local function outputs_of(self, values)
  local list = {}
  for _, out in ipairs(self.outs) do
    local y = feeds.from(values[out.name], out.places)
    list[out.name] = self.is_alone and y:reshape(y:size(1), 1, y:count() // y:size(1)) or y
  end
  return list
end

--- A graph of one step, for each step.
local function run_steps(self, list, state, T)
  local all = {}
  for t = 1, T do
    local step = {}
    for name, x in pairs(list) do
      step[name] = x:select(1, t)
    end
    local values
    values, state = run(self, step, state)
    for name, y in pairs(outputs_of(self, values)) do
      all[name] = all[name] or {}
      all[name][t] = y
    end
  end
  for name, steps in pairs(all) do
    all[name] = core.stack(steps)
  end
  return all, state
end

--- What an input is expected to be.
local function expected(feed)
  local axes = { feed.is_once and "B" or "T, B", not feed.is_ids and feed.width or nil }
  return ("a tensor (%s)%s"):format(table.concat(axes, ", "), feed.is_ids and " of ids" or "")
end

--- A value of a caller for an input: once for a sequence, the first step will do, which a session gives.
local function accepted(feed, own)
  if options.tensor.accept(own) == nil then
    return nil
  end
  local rank = feed.is_ids and 2 or 3
  if feed.is_once and own:rank() == rank then
    own = own:select(1, 1)
  end
  rank = feed.is_once and rank - 1 or rank
  local is_fit = own:rank() == rank and (feed.is_ids or own:size(rank) == feed.width)
  return is_fit and own or nil
end

--- Checks what a caller gives: tensors by name.
local function inputs_of(self, x)
  local list, wanted = {}, {}
  for _, feed in ipairs(self.feeds) do
    wanted[#wanted + 1] = not feed.is_lengths and feed or nil
  end
  for _, feed in ipairs(wanted) do
    local given = #wanted == 1 and options.tensor.accept(x) or type(x) == "table" and x[feed.name] or nil
    local own = accepted(feed, given)
    if not own then
      options.fail(("onnx: expected input %q as %s, got %s"):format(feed.name, expected(feed), options.describe(given)))
    elseif self.is_alone and not feed.is_once and own:size(2) ~= 1 then
      options.fail(("onnx: expected one row, as the file has no axis of rows, got %s"):format(options.describe(own)))
    end
    list[feed.name] = own
  end
  return list
end

--- The graph over a sequence.
---@param x saros.Tensor|table<string, saros.Tensor>  (T, B, F), or ids (T, B), by name if there are several inputs
---@param state? saros.nn.State
---@param given? { lengths?: integer[] }  of rows, for a graph that takes them
---@return saros.Tensor|table<string, saros.Tensor> y  (T, B, ...), or (B, ...) of what the graph gives once
---@return saros.nn.State state
function Model:forward(x, state, given)
  local list = inputs_of(self, x)
  local _, T = rows_of(self, list, false)
  local all, after
  if self.is_step then
    all, after = run_steps(self, list, state or {}, T)
  else
    local values
    values, after = run(self, list, state or {}, given and given.lengths)
    all = outputs_of(self, values)
  end
  if #self.outs == 1 then
    all = all[self.outs[1].name]
  end
  if not self.stateful then
    return all
  end
  return all, after
end

function Model:describe()
  return ("onnx, %d nodes"):format(#self.graph.nodes)
end

-- --- Making ----------------------------------------------------------------------------------------------

--- True if a value depends on a state of the graph.
local function begins_there(self, name, is_state)
  for input in pairs(self.graph.depends[name or ""] or {}) do
    if is_state[input] then
      return true
    end
  end
  return false
end

--- True if the body of a loop leaves a state as it is: then it is no state, but a value for each step.
local function is_left(node, place)
  local givers, body = {}, node.body
  for _, inner in ipairs(body.nodes) do
    givers[inner.outputs[1] or ""] = inner.op == "Identity" and inner.inputs[1] or nil
  end
  local name = body.outputs[place + node.body_from[2]]
  while givers[name] do
    name = givers[name]
  end
  return name == body.inputs[place + node.body_from[1]]
end

--- Layers and loops whose first state is none of the graph's keep theirs by themselves; a loop each of them.
local function find_keepers(self)
  local is_state = {}
  for _, own in ipairs(self.states_of_graph) do
    is_state[own.input] = true
  end
  local any = false
  for _, node in ipairs(self.graph.nodes) do
    local initial = node.initial or node.entry.initial
    node.keeps, node.kept = initial ~= nil and #initial > 0, node.initial and {}
    for place, n in ipairs(initial or {}) do
      local is_there = begins_there(self, node.inputs[n], is_state)
      if node.kept then
        node.kept[place] = not is_there and not is_left(node, place)
      else
        node.keeps = node.keeps and not is_there
      end
    end
    any = any or node.keeps
  end
  self.stateful = any or #self.states_of_graph > 0
end

local function find_feeds(self, given)
  local is_state = {}
  for _, own in ipairs(self.states_of_graph) do
    is_state[own.input] = true
  end
  self.feeds, self.inputs, self.is_step, self.is_alone = {}, {}, true, true
  for _, info in ipairs(self.graph.inputs) do
    if not is_state[info.name] then
      local feed = feeds.of(self.graph, info, given[info.name], #self.states_of_graph > 0)
      self.feeds[#self.feeds + 1] = feed
      self.is_step = self.is_step and not (feed.letters or ""):find "T"
      self.is_alone = self.is_alone and not (feed.letters or "B"):find "B"
      if not feed.is_lengths then
        self.inputs[#self.inputs + 1] = { name = feed.name, width = feed.width, count = feed.count }
      end
    end
  end
  self.is_alone = self.is_alone and not self.is_step
  for _, feed in ipairs(self.feeds) do
    feed.is_once = not self.is_step and not feed.is_lengths and not feed.letters:find "T"
  end
  if #self.inputs == 0 then
    error("expected a graph with an input that is no state, got none", 0)
  end
end

--- Fixed sizes of time in the file.
local function fixed_time(self)
  for _, feed in ipairs(self.feeds) do
    local k = (feed.letters or ""):find "T"
    if k and math.type(feed.dims[k]) == "integer" then
      return feed.dims[k]
    end
  end
end

--- Runs the graph on zeros of two sizes, to see where time and rows are in its outputs.
local function probe(self, sizes, budget)
  local shapes = {}
  for n, size in ipairs(sizes) do
    local list, lengths = {}, {}
    for b = 1, size[2] do
      lengths[b] = size[1]
    end
    for _, feed in ipairs(self.feeds) do
      list[feed.name] = not feed.is_lengths and feeds.sample(feed, size[1], size[2], self.is_step,
        budget) or nil
    end
    local values = run(self, list, {}, lengths, budget)
    for _, out in ipairs(self.outs) do
      shapes[out.name] = shapes[out.name] or {}
      shapes[out.name][n] = tensors.shape(values[out.name])
    end
  end
  for _, out in ipairs(self.outs) do
    out.places = feeds.places(shapes[out.name], sizes, self.is_step)
  end
end

local function find_outputs(self)
  local is_state = {}
  for _, own in ipairs(self.states_of_graph) do
    is_state[own.output] = true
  end
  self.outs = {}
  for _, info in ipairs(self.graph.outputs) do
    self.outs[#self.outs + 1] = not is_state[info.name] and { name = info.name, places = {} } or nil
  end
  if #self.outs == 0 then
    error("expected a graph with an output that is no state, got none", 0)
  end
  local _ <close> = core.no_gradient()
  local T, budget = fixed_time(self), work.new(#self.graph.source.wire)
  local ok, message = pcall(probe, self, { { T or 5, 3 }, { T or 7, 2 } }, budget)
  if not ok and not pcall(probe, self, { { T or 5, 1 }, { T or 7, 1 } }, budget) then
    error(message, 0)
  end
end

--- The module of a graph.
---@param graph saros.onnx.Graph
---@param given { axes?: table<string, string>, states?: table<string, string> }
---@param first table<string, number[]>  what states begin with that do not begin at zeros
---@return saros.onnx.Model
return function(graph, given, first)
  local self = Model.new()
  self.graph, self.given, self.taken, self.now = graph, {}, {}, false
  add_parameters(self)
  self.states_of_graph = states.of(graph, given.states, first)
  find_feeds(self, given.axes or {})
  find_keepers(self)
  self:adopt(self.given)
  self.given, self.taken = nil, nil
  find_outputs(self)
  graph.source, graph.protos = nil, {}
  return self
end
