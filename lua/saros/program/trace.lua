--- Tracing: the program that a module computes in one step, found by running it once
--- while a recorder listens; see saros.program.recorder.
---
--- A stateful module runs three times: without a recorder, to find the form of its state;
--- from a state, which gives the program; and from nil, which gives the first values of
--- the state. Then one run of three steps is compared with three runs of one step.

local core = require "saros.core"
local options = require "saros.options"
local captured = require "saros.program.captured"
local expand = require "saros.program.expand"
local layout = require "saros.program.layout"
local match = require "saros.program.match"
local program = require "saros.program.program"
local recorder = require "saros.program.recorder"
local unread = require "saros.program.unread"
local varying = require "saros.program.varying"
local precision = require "saros.nn.precision"
local scope = require "saros.nn.scope"
local sorted = require "saros.sorted"

local trace = {}

-- Rows of the batch that is traced; another number shows which axis of a state they are.
local B, OTHER_B = 3, 2

-- --- Inputs ----------------------------------------------------------------------------------

local check_inputs = options.declare("program", {
  { "inputs", options.optional(options.table) },
  { "step", options.boolean, false },
})

--- What the first member that says so reads.
local function input_of_members(module)
  for _, member in ipairs(module.members) do
    local found = trace.input_of(member.module)
    if found then
      return found
    end
  end
end

-- Layers whose weight has the size of their input as its last axis.
local SIZED = { linear = true, layer_norm = true, rms_norm = true, batch_norm = true }

--- A field of a module, or of its class.
local function said(module, name)
  local own = rawget(module, name)
  return own == nil and rawget(getmetatable(module), name) or own
end

--- The input of a module as far as it says so: { width } or { count }; nil if it does not.
---@param module saros.nn.Module
---@return table?
function trace.input_of(module)
  local o = rawget(module, "o")
  local given = said(module, "input") or type(o) == "table" and (o.input or o.size)
  if module.looks_up and module.weight then
    return { name = "x", count = module.weight:size(1) }
  elseif math.type(given) == "integer" then
    return { name = "x", width = given }
  elseif SIZED[module.kind] then
    return { name = "x", width = module.weight:size(-1) }
  end
  return input_of_members(module)
end

local function check_input(position, input)
  local given = type(input) == "table" and input or {}
  local is_fit = type(given.name) == "string" and (math.type(given.width) == "integer" and given.width > 0)
    ~= (math.type(given.count) == "integer" and given.count > 0)
  if not is_fit then
    options.fail(('program: expected input %d to be { name = "x", width = 8 }, or with a count for ids, got %s')
      :format(position, options.describe(input)))
  end
  return { name = given.name, width = given.width, count = given.count }
end

local function inputs_of(module, given)
  local list = given.inputs or said(module, "inputs")
  if not list then
    local one = trace.input_of(module)
    if not one then
      options.fail(("program: expected a module that says what it reads, by self.input = 8 or "
        .. 'program { inputs = { { name = "x", width = 8 } } }, got %s'):format(module.kind))
    end
    list = { one }
  end
  local inputs = {}
  for position, input in options.each(list) do
    inputs[position] = check_input(position, input)
  end
  return inputs
end

--- Random values for an input, (T, B, width) or ids (T, B); without T in a step.
local function sample(input, T, rows, generator)
  local count = (T or 1) * rows
  if input.width then
    return generator:normal(T and { T, rows, input.width } or { rows, input.width })
  end
  local ids = {}
  for n = 1, count do
    ids[n] = generator:integer(input.count)
  end
  local flat = core.ids(ids)
  return T and flat:reshape(T, rows) or flat
end

local function samples(inputs, T, rows, generator)
  local list = {}
  for n, input in ipairs(inputs) do
    list[n] = sample(input, T, rows, generator)
  end
  return list
end

--- What forward takes: one tensor, or a table of several by name.
local function argument_of(inputs, list)
  if #inputs == 1 then
    return list[1]
  end
  local by_name = {}
  for n, input in ipairs(inputs) do
    by_name[input.name] = list[n]
  end
  return by_name
end

-- --- States and outputs -------------------------------------------------------------------------

--- The tensors of a tree with the keys that lead to them, in the order of these.
local function leaves_of(tree, path, list)
  path, list = path or {}, list or {}
  if type(tree) ~= "table" then
    list[#list + 1] = { path = path, tensor = tree }
    return list
  end
  for _, key in ipairs(sorted.keys(tree)) do
    local longer = table.move(path, 1, #path, 1, {})
    longer[#longer + 1] = key
    leaves_of(tree[key], longer, list)
  end
  return list
end

local function name_of(path)
  local parts = {}
  for n, key in ipairs(path) do
    parts[n] = tostring(key)
  end
  return #parts > 0 and table.concat(parts, ".") or "state"
end

--- The same tree with other leaves, in the order of leaves_of.
local function with_leaves(tree, tensors, at)
  at = at or { 0 }
  if type(tree) ~= "table" then
    at[1] = at[1] + 1
    return tensors[at[1]]
  end
  local result = setmetatable({}, getmetatable(tree))
  for _, key in ipairs(sorted.keys(tree)) do
    result[key] = with_leaves(tree[key], tensors, at)
  end
  return result
end

--- Refuses what a module returned, at its own line if a script has it.
local function fail_at_forward(module, message)
  error((core.defined_at(module.forward) or core.caller()) .. "program: expected " .. message, 0)
end

--- The outputs in the order of their names; one tensor is "y".
local function outputs_of(t, module, y)
  if y == nil or type(y) == "table" and next(y) == nil then
    fail_at_forward(module, ("%s to return a tensor, or a table of tensors by name, got %s"):format(module.kind,
      options.describe_list(y)))
  elseif type(y) ~= "table" then
    y = { y = y }
  end
  local list = {}
  for _, name in ipairs(sorted.keys(y)) do
    if type(name) ~= "string" or not options.tensor.accept(y[name]) then
      options.fail(("program: expected forward to return a tensor, or a table of tensors by name, got %s"):format(
        type(name) ~= "string" and "the key " .. options.describe(name) or options.describe(y[name])))
    end
    local value = t:value(y[name])
    list[#list + 1] = { name = name, node = t:spread("an output", value, value.axes) }
  end
  return list
end

--- The layout of a state: which of its axes is that of the rows.
local function state_axes(t, leaf, other)
  local name, axes, rows = name_of(leaf.path), {}, 0
  if not options.tensor.accept(leaf.tensor) or leaf.tensor:dtype() ~= "real" then
    t:refuse(("a state %q that is no tensor of numbers, but %s"):format(name, options.describe(leaf.tensor)))
  end
  local shape, second = leaf.tensor:shape(), other.tensor:shape()
  for k, size in ipairs(shape) do
    local is_row = size == B and second[k] == OTHER_B
    axes[k] = layout.axis(size, is_row and "batch" or "feature")
    rows = rows + (is_row and 1 or 0)
    if not is_row and size ~= second[k] then
      rows = 2
    end
  end
  if rows ~= 1 or #shape ~= #second then
    t:refuse(("a state %q of shape (%s) in which no single axis is that of the rows"):format(name,
      table.concat(shape, ", ")))
  end
  return axes
end

-- --- Running a module ------------------------------------------------------------------------------

local Tracing = {
  __close = function(self)
    scope.tracer = self.outer
  end,
}

--- Run a module while a recorder listens.
local function listen(t, module, x, state)
  local comparisons = unread.new()
  local _ <close> = core.record(function(...)
    comparisons:told(...)
    t:told(...)
  end)
  local _ <close> = varying.refuse(t)
  local _ <close> = setmetatable({ outer = scope.tracer }, Tracing)
  scope.tracer = t
  local y, after = module(x, state)
  local problem, place = comparisons:problem(y, after)
  if problem then
    t:refuse(problem, place)
  end
  return y, after
end

--- A run of one step, of which all inputs are known to the recorder.
local function traced_step(t, module, inputs, list, state, leaves, is_step)
  for n, input in ipairs(inputs) do
    local axes = { layout.axis(B, "batch"), input.width and layout.axis(input.width, "feature") or nil }
    if not is_step then
      table.insert(axes, 1, layout.axis(1, "time"))
    end
    t:add_input(list[n], input, axes)
  end
  for _, leaf in ipairs(leaves or {}) do
    t:add_state(leaf.tensor, name_of(leaf.path), leaf.path, leaf.axes)
  end
  local y, after = listen(t, module, argument_of(inputs, list), state)
  return outputs_of(t, module, y), module.stateful and leaves_of(after) or {}, y, after
end

--- The nodes that the states are after the step.
local function next_of(t, leaves, after)
  for n, leaf in ipairs(leaves) do
    local state, tensor = t.states[n], after[n] and after[n].tensor
    if tensor == nil or name_of(after[n].path) ~= name_of(leaf.path) then
      t:refuse(("a state whose form changes in a step: %q is not there any more"):format(name_of(leaf.path)))
    end
    local kept, value = t.kept_by[tensor], t.bound[tensor]
    if state.is_step and kept == nil and value and value.axes and t.nodes[state.owner + 1].op == "cell" then
      t.nodes[state.owner + 1].is_apart = true -- the state is something else than the cell left
      state.next = t:spread("a state", value, leaf.axes)
    elseif state.owner and kept ~= n - 1 then
      t:refuse(("a layer's state %q that is not what the layer left of it"):format(state.name))
    elseif not state.owner then
      state.next = t:spread("a state", t:value(tensor), leaf.axes)
    end
  end
  if #after ~= #leaves then
    t:refuse "a state whose form changes in a step"
  end
end

--- The form of the state, and a state to begin with.
local function state_form(module, inputs, generator, T)
  local function run(rows)
    local _, state = module(argument_of(inputs, samples(inputs, T, rows, generator)), nil)
    return state
  end
  local state, other = run(B), run(OTHER_B)
  if state == nil then
    fail_at_forward(module, ("a stateful %s to return its state after y, got nil"):format(module.kind))
  end
  return state, leaves_of(state), leaves_of(other)
end

local function trace_later(module, inputs, generator, is_step)
  local T = not is_step and 1 or nil
  local state, leaves, others
  if module.stateful then
    state, leaves, others = state_form(module, inputs, generator, T)
  end
  -- Behind the first runs, in which functions may fill what they keep for later.
  local t = recorder.new(module, true, captured.of(module), is_step)
  for n, leaf in ipairs(leaves or {}) do
    leaf.axes = state_axes(t, leaf, others[n])
  end
  local outputs, after = traced_step(t, module, inputs, samples(inputs, T, B, generator), state, leaves, is_step)
  next_of(t, leaves or {}, after)
  return t, outputs, state, leaves
end

-- --- The program -------------------------------------------------------------------------------------

--- Marks a node and all that it needs.
local function mark(t, n, needed)
  local pending = { n }
  while #pending > 0 do
    local at = table.remove(pending)
    if not needed[at] then
      needed[at] = true
      table.move(t.nodes[at + 1]["in"] or {}, 1, #(t.nodes[at + 1]["in"] or {}), #pending + 1, pending)
    end
  end
end

local function needed_nodes(t, outputs)
  local needed = {}
  for _, output in ipairs(outputs) do
    mark(t, output.node, needed)
  end
  for _, state in ipairs(t.states) do
    mark(t, state.next, needed)
    if state.first then
      mark(t, state.first, needed)
    end
  end
  for n, node in ipairs(t.nodes) do
    needed[n - 1] = needed[n - 1] or node.op == "input" or node.op == "ids" or nil
  end
  return needed
end

--- The needed nodes in order: inputs, what states begin with, the rest.
local function in_order(t, needed)
  local early, places = {}, { {}, {}, {} }
  for _, state in ipairs(t.states) do
    if state.first then
      mark(t, state.first, early)
    end
  end
  for n, node in ipairs(t.nodes) do
    if needed[n - 1] then
      local place = (node.op == "input" or node.op == "ids") and 1 or early[n - 1] and 2 or 3
      table.insert(places[place], n)
    end
  end
  local order = places[1]
  table.move(places[2], 1, #places[2], #order + 1, order)
  return table.move(places[3], 1, #places[3], #order + 1, order)
end

--- The needed nodes by their new numbers, and what the numbers became.
local function renumbered(t, needed)
  local nodes, number, parameters = {}, {}, {}
  for _, n in ipairs(in_order(t, needed)) do
    local node = t.nodes[n]
    do
      local copy = {}
      for name, given in pairs(node) do
        copy[name] = given
      end
      if node["in"] then
        copy["in"] = {}
        for k, operand in ipairs(node["in"]) do
          copy["in"][k] = number[operand]
        end
      end
      if node.op == "parameter" then
        local given = t.parameters[node.parameter + 1]
        parameters[#parameters + 1] = { name = given.name, shape = given.tensor:shape() }
        copy.parameter = #parameters - 1
      end
      number[n - 1] = #nodes
      nodes[#nodes + 1] = copy
    end
  end
  return nodes, number, parameters
end

local function assemble(t, outputs)
  local nodes, number, parameters = renumbered(t, needed_nodes(t, outputs))
  local states = {}
  for n, state in ipairs(t.states) do
    states[n] = {
      name = state.name, width = state.width, next = number[state.next], first = state.first and number[state.first],
      reverse = state.reverse, path = state.path, shape = state.shape, axis = state.axis,
      title = state.title,
    }
  end
  for n, output in ipairs(outputs) do
    outputs[n] = { name = output.name, node = number[output.node] }
  end
  local made = program.new { format = 1, parameters = parameters, states = states, nodes = nodes, outputs = outputs }
  captured.settle(t.captured)
  made.asks_training, made.captured = t.asks_training, t.captured
  local stuck
  made, stuck = expand.steps(made)
  if stuck then
    t:refuse(("a state of %s that something else reads, too"):format(stuck))
  end
  return made
end

-- --- The same module, run in another way ------------------------------------------------------------

--- True if two values are alike, tensors or trees of them.
local function are_close(a, b)
  local x, y = leaves_of(a), leaves_of(b)
  for n, leaf in ipairs(x) do
    local other = y[n] and y[n].tensor
    if not (options.tensor.accept(leaf.tensor) and options.tensor.accept(other)
      and match.is_close(leaf.tensor, other)) then
      return false
    end
  end
  return #x == #y
end

--- Refuses steps that differ from one call to the next, with the cause where it is seen.
local function refuse_first(t)
  local name, owner = captured.changed(t.captured)
  local cause = name and (", because the function%s changes '%s'; what changes from step to step is a state"):format(
    owner and " at " .. core.defined_at(owner):gsub(": $", "") or "", name)
  t:refuse("a first step that computes something else than later ones" .. (cause or ""))
end

--- What the states are at first, from a trace that begins with nil.
local function find_first(t, module, inputs, outputs, o, generator, state, leaves)
  local first = recorder.new(module, false, t.captured, o.step)
  local list = samples(inputs, not o.step and 1 or nil, B, generator)
  local first_outputs, after, y, last = traced_step(first, module, inputs, list, nil, nil, o.step)
  match.first(t, outputs, first, first_outputs, after)
  local tensors = match.first_states(t, leaves or {})
  if not (state and tensors) then
    return
  end
  local again, again_last = module(argument_of(inputs, list), with_leaves(state, tensors))
  if not (are_close(y, again) and are_close(last, again_last)) then
    refuse_first(t)
  end
end

-- Steps at once, which must be as many steps one after the other; not as many as rows.
local STEPS = B + 1

--- One step of what there is for all of them: the last one, where there is only that.
local function step_of(y, t, like)
  if type(y) ~= "table" then
    return y:rank() == like:rank() and y:size(1) == STEPS and y:slice(1, t, t) or t == STEPS and y or like
  end
  local result = {}
  for key, branch in pairs(y) do
    result[key] = step_of(branch, t, like[key])
  end
  return result
end

--- Refuses a module in which a step depends on others by more than its state.
local function check_steps(t, module, inputs, generator)
  local list, state = samples(inputs, STEPS, B, generator), nil
  local all, last = module(argument_of(inputs, list))
  for n = 1, STEPS do
    local step = {}
    for i, x in ipairs(list) do
      step[i] = x:slice(1, n, n)
    end
    local y
    if module.stateful then
      y, state = module(argument_of(inputs, step), state)
    else
      y = module(argument_of(inputs, step))
    end
    if not are_close(step_of(all, n, y), y) then
      t:refuse "outputs that depend on other steps, by no state: a mean over time, or steps side by side"
    end
  end
  if module.stateful and not are_close(last, state) then
    t:refuse "a state after several steps at once that is not the one after step upon step"
  end
end

local function walks_back(t)
  for _, state in ipairs(t.states) do
    if state.reverse then
      return true
    end
  end
  return false
end

-- --- Public -------------------------------------------------------------------------------------------

-- Kilobytes. A trace leaves some hundred small tensors, for which a heap of that size is
-- gone over at once, as in a host with many states; a larger one takes longer than they are worth.
local SMALL_HEAP = 4096

-- Programs of modules, with the parameters that they had then. Other functions of scripts may compute something else
-- tomorrow, so what runs any is not kept.
local cache = setmetatable({}, { __mode = "k" })

local function is_fresh(cached, parameters)
  if not cached or #cached.parameters ~= #parameters or captured.changed(cached.program.captured) then
    return false
  end
  for n, parameter in ipairs(parameters) do
    local old = cached.parameters[n]
    if old.tensor ~= parameter.tensor or old.name ~= parameter.name then
      return false
    end
  end
  return true
end

local function runs_script(module)
  local found = false
  module:visit(function(member)
    found = found or member.runs_script or false
  end)
  return found
end

local function trace_all(module, o)
  local _ <close> = setmetatable({ outer = scope.tracer }, Tracing)
  scope.tracer = nil
  local inputs, generator = inputs_of(module, o), core.generator(1)
  local t, outputs, state, leaves = trace_later(module, inputs, generator, o.step)
  if #t.states > 0 then
    find_first(t, module, inputs, outputs, o, generator, state, leaves)
  end
  if not o.step and not walks_back(t) then
    check_steps(t, module, inputs, generator)
  end
  return assemble(t, outputs)
end

local function trace_alone(module, o)
  local _ <close> = core.no_gradient()
  local _ <close> = precision.set_aside() -- products of a step and of several would not be alike
  local _ <close> = core.record(function() end) -- a recorder that listens already hears nothing of it
  return trace_all(module, o)
end

--- What a trace closes needs room, too, where memory has run out.
local function traced(module, o)
  return core.with_room(trace_alone, module, o)
end

--- The program of a module: see saros.nn.module.
---@param module saros.nn.Module
---@param given? { inputs?: table[], step?: boolean }
---@return saros.Program
function trace.program(module, given)
  local parameters = recorder.tensors_of(module)
  if given == nil and is_fresh(cache[module], parameters) then
    return cache[module].program
  end
  local made = traced(module, check_inputs(given or {}))
  if collectgarbage "count" < SMALL_HEAP then
    core.collect_soon()
  end
  if given == nil and not runs_script(module) then
    cache[module] = { parameters = parameters, program = made }
  end
  return made
end

return trace
