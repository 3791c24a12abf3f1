--- Scan and Loop: a body that runs once for each step, on states that it carries and on what nodes outside of it
--- gave. Its nodes have names of their own in the graph; see saros.onnx.graph. A state that begins at zeros, or at
--- something else that is no state of the graph, is kept by the model from one call to the next, as that of a layer.

local core = require "saros.core"
local options = require "saros.options"
local tensors = require "saros.onnx.tensors"

local operators = {}

--- Places of states that the model keeps: initial values from it where it has some.
local function begin(node, given)
  local kept = node.model:state_of(node) or {}
  for place, value in pairs(kept) do
    given[place] = value
  end
  return given
end

--- Leaves the states to the model: tensors that are as large as before.
local function finish(node, first, last)
  local after = {}
  for place, value in ipairs(last) do
    local is_kept = node.kept and node.kept[place] and tensors.is_tensor(value) and value:dtype() == "real"
    local before = is_kept and first[place]
    if before and tensors.is_tensor(before) and (before:rank() == value:rank()) then
      after[place] = value
    end
  end
  node.model:keep_state(node, after)
end

--- One run of the body: states and what is stacked, in the order of its outputs.
local function run_body(node, values)
  node.model:run_nodes(node.body.nodes, values)
  local results = {}
  for n, name in ipairs(node.body.outputs) do
    results[n] = values[name]
    if results[n] == nil then
      error(("expected the body to give %q, got nothing"):format(name), 0)
    end
  end
  return results
end

--- Adds what a step gave to lists, one for each output.
local function gather(lists, results, from)
  for n = from, #results do
    lists[n] = lists[n] or {}
    table.insert(lists[n], results[n])
  end
end

--- Values of steps along a new axis.
local function stacked(list, axis)
  local all = {}
  for n, value in ipairs(list) do
    all[n] = tensors.real(value)
  end
  return core.stack(all, axis < 0 and axis or axis + 1)
end

local function reversed(list)
  local turned = {}
  for n, value in ipairs(list) do
    turned[#list - n + 1] = value
  end
  return turned
end

--- What is wrong with a body; nil if nothing is.
local function body_problem(node, inputs, least)
  local body = node.body
  if not body then
    return "no body"
  elseif #body.inputs ~= inputs or #body.outputs < least then
    return ("a body of %d inputs and %d outputs"):format(#body.inputs, #body.outputs)
  end
end

--- Says which inputs are states, and which of the outputs they become; in the body they are `from` places later.
local function set_states(node, first_input, count, in_from, out_from)
  node.initial, node.first_final, node.body_from = {}, 1, { in_from, out_from }
  for n = 1, count do
    node.initial[n] = first_input + n - 1
  end
end

-- --- Scan ------------------------------------------------------------------------------------------------

local function make_scan(node)
  local count = node.attributes.num_scan_inputs or 0
  local states = #node.inputs - count
  if node.opset < 9 then
    return "the form before opset 9"
  elseif count < 1 or states < 0 then
    return ("%d scan inputs of %d"):format(count, #node.inputs)
  end
  set_states(node, 1, states, 0, 0)
  return body_problem(node, #node.inputs, states)
end

--- The axis of steps of scan input k, from 1, and whether it is walked from its end.
local function scan_input(node, k, x)
  local axis = (node.attributes.scan_input_axes or {})[k] or 0
  return (axis < 0 and axis + x:rank() or axis) + 1, (node.attributes.scan_input_directions or {})[k] == 1
end

--- Values of the scan inputs for each step: lists by input.
local function steps_of(node, inputs, states)
  local lists, T = {}, nil
  for k = 1, #inputs - states do
    local x, list = tensors.tensor(inputs[states + k]), {}
    local axis, is_back = scan_input(node, k, x)
    T = T or x:size(axis)
    if x:size(axis) ~= T then
      error(("expected scan inputs of %d steps, got %d"):format(T, x:size(axis)), 0)
    end
    for t = 1, T do
      list[t] = x:select(axis, is_back and T - t + 1 or t)
    end
    lists[k] = list
  end
  return lists, T
end

local function run_scan(node, ...)
  local inputs = { ... }
  local states = #node.inputs - node.attributes.num_scan_inputs
  local lists, T = steps_of(node, inputs, states)
  local now = begin(node, table.move(inputs, 1, states, 1, {}))
  local first, gathered = now, {}
  for t = 1, T do
    local values = node.model:inner_values()
    for n, name in ipairs(node.body.inputs) do
      values[name] = n <= states and now[n] or n > states and lists[n - states][t] or nil
    end
    local results = run_body(node, values)
    gather(gathered, results, states + 1)
    now = table.move(results, 1, states, 1, {})
  end
  finish(node, first, now)
  local outputs = table.move(now, 1, states, 1, {})
  for n = states + 1, #node.body.outputs do
    local k = n - states
    local is_back = (node.attributes.scan_output_directions or {})[k] == 1
    outputs[n] = stacked(is_back and reversed(gathered[n]) or gathered[n],
      (node.attributes.scan_output_axes or {})[k] or 0)
  end
  return table.unpack(outputs, 1, #node.body.outputs)
end

operators.Scan = { has_body = true, make = make_scan, run = run_scan }

-- --- Loop ------------------------------------------------------------------------------------------------

local function make_loop(node)
  local states = #node.inputs - 2
  if states < 0 then
    return ("%d inputs"):format(#node.inputs)
  end
  set_states(node, 3, states, 2, 1)
  return body_problem(node, states + 2, states + 1)
end

--- A condition, or a number of steps, that is known without the values of the input.
local function known(value, what)
  if tensors.is_integers(value) and #value == 1 then
    return value[1]
  end
  error(("expected %s that is known without the input, got %s"):format(what, options.describe(value)), 0)
end

local function run_loop(node, most, condition, ...)
  local T = most and known(most, "a number of steps") or math.huge
  local goes_on = not condition or known(condition, "a condition") ~= 0
  local now, states, gathered = begin(node, { ... }), #node.inputs - 2, {}
  local first, t, names = now, 0, node.body.inputs
  while goes_on and t < T do
    node.model:take_step()
    local values = node.model:inner_values()
    values[names[1]], values[names[2]] = tensors.integers({ t }, {}), tensors.integers({ 1 }, {})
    for n = 1, states do
      values[names[n + 2]] = now[n]
    end
    local results = run_body(node, values)
    gather(gathered, results, states + 2)
    goes_on = known(results[1], "a condition") ~= 0
    now, t = table.move(results, 2, states + 1, 1, {}), t + 1
  end
  if t == 0 and #node.body.outputs > states + 1 then
    error("expected a loop of at least one step, got none", 0)
  end
  finish(node, first, now)
  local outputs = table.move(now, 1, states, 1, {})
  for n = states + 2, #node.body.outputs do
    outputs[n - 1] = stacked(gathered[n], 0)
  end
  return table.unpack(outputs, 1, #node.body.outputs - 1)
end

operators.Loop = { has_body = true, make = make_loop, run = run_loop }

-- --- Sequences of tensors --------------------------------------------------------------------------------

local function items_of(sequence)
  if not tensors.is_sequence(sequence) then
    error("expected a sequence of tensors, got " .. options.describe(sequence), 0)
  end
  return sequence.items
end

--- A place in a list, from 1.
local function place_in(list, at, most)
  local k = tensors.list(at)[1] or 0
  k = k < 0 and k + #list or k
  if k < 0 or k >= most then
    error(("expected a place in a sequence of %d, got %d"):format(#list, k), 0)
  end
  return k + 1
end

function operators.SequenceEmpty()
  return tensors.sequence {}
end

--- An item: a tensor, and no sequence.
local function item(value)
  return tensors.is_sequence(value) and error("expected a tensor in a sequence, got another sequence", 0) or value
end

function operators.SequenceConstruct(_, ...)
  local items = { ... }
  for n, value in ipairs(items) do
    items[n] = item(value)
  end
  return tensors.sequence(items)
end

function operators.SequenceInsert(_, sequence, value, at)
  local items = items_of(sequence)
  local longer = table.move(items, 1, #items, 1, {})
  table.insert(longer, at and place_in(items, at, #items + 1) or #items + 1, item(value))
  return tensors.sequence(longer)
end

function operators.SequenceAt(_, sequence, at)
  local items = items_of(sequence)
  return items[place_in(items, at, #items)]
end

function operators.SequenceLength(_, sequence)
  return tensors.integers({ #items_of(sequence) }, {})
end

function operators.ConcatFromSequence(node, sequence)
  local items, axis = {}, node.attributes.axis or 0
  for n, value in ipairs(items_of(sequence)) do
    items[n] = tensors.real(value)
  end
  if #items == 0 then
    error("expected a sequence with tensors to join, got none", 0)
  elseif (node.attributes.new_axis or 0) ~= 0 then
    return stacked(items, axis)
  end
  return core.concatenate(items, (axis < 0 and axis + items[1]:rank() or axis) + 1)
end

return operators
