--- Nodes that walk from step to step, as a Scan whose body is the step: states (rows, F), and
--- values over all steps, (T, rows, F), of which the body sees one step each.

local Builder = require "saros.onnx.write.builder"
local options = require "saros.options"

--- What the body is to read of each step, in order; without anything, the first input, which says how many steps
--- there are.
local function reads_of(part, plan, first)
  local list = plan:reads_of(part)
  return #list > 0 and list or { first }
end

local function info_of(b, name, node)
  if node.op == "ids" then
    return b.info(name, b.INT64, { "batch" })
  end
  return b.info(name, b.FLOAT, { "batch", node.width })
end

--- The body's own inputs: states, then one step of what it reads and, where rows end early, of the mask.
local function add_inputs(body, part, reads, has_mask)
  local list = {}
  for n, state in ipairs(part.states) do
    local name = body:name(state.name)
    body.states[state], list[n] = name, body.info(name, body.FLOAT, { "batch", state.width })
  end
  for _, node in ipairs(reads) do
    local name = body:name((node.title or node.op) .. "_step")
    body.values[node], list[#list + 1] = name, info_of(body, name, node)
  end
  if has_mask then
    body.mask = body:name "counts_step"
    list[#list + 1] = body.info(body.mask, body.BOOL, { "batch", 1 })
  end
  return list
end

--- The new states; where a row has ended, they stay as they are.
local function finish_states(body, part, outputs)
  for _, state in ipairs(part.states) do
    local after, name = body.after[state] or body:spread(state.next), body:name("next_" .. state.name)
    if body.mask then
      body:op("Where", { body.mask, after, body.states[state] }, nil, { name })
    else
      body:op("Identity", { after }, nil, { name })
    end
    outputs[#outputs + 1] = body.info(name, body.FLOAT, { "batch", state.width })
  end
end

--- What the Scan is given: states, then values over all steps.
local function inputs_of(b, part, reads, mask)
  local list = {}
  for n, state in ipairs(part.states) do
    list[n] = b:before(state)
  end
  for _, node in ipairs(reads) do
    list[#list + 1] = node.op == "ids" and b:ids(node) or b:spread(node)
  end
  list[#list + 1] = mask
  return list
end

--- What the Scan gives: states at the end, then what other nodes read of each step.
local function outputs_of(b, body, part, plan, infos)
  local list = {}
  for n, state in ipairs(part.states) do
    list[n] = b:name(state.name .. "_last")
    b:keep(state, list[n])
  end
  for _, node in ipairs(part.nodes) do
    if plan.needed[node] then
      local name = body:op("Identity", { body:value(node) })
      infos[#infos + 1] = body.info(name, body.FLOAT, { "batch", node.width })
      b.values[node] = b:name(node.title or node.op)
      list[#list + 1] = b.values[node]
    end
  end
  return list
end

--- A direction for each of some values; nil if there are none.
local function directions(part, count)
  local list = {}
  for n = 1, count do
    list[n] = part.reverse and 1 or 0
  end
  return count > 0 and list or nil
end

local function check_direction(part)
  for _, state in ipairs(part.states) do
    if (state.reverse or false) ~= part.reverse then
      options.fail "onnx.write: expected states that go one way in each loop, got one with both directions in it"
    end
  end
end

--- Write a loop: its values over all steps, and what its states are at the end, are known then.
---@param b saros.onnx.Builder
---@param part saros.onnx.Part
---@param plan saros.onnx.Plan
---@param emit fun(b: saros.onnx.Builder, node: saros.export.Node)
---@param mask string?  (T, rows, 1), of booleans
return function(b, part, plan, emit, mask)
  check_direction(part)
  local body, reads = Builder.new(b.shared, 1), reads_of(part, plan, b.shared.first)
  body.lead_shape = b.shared.batch
  local graph = { name = b:name "step", node = body.nodes, input = add_inputs(body, part, reads, mask ~= nil),
    output = {} }
  for _, node in ipairs(part.nodes) do
    emit(body, node)
  end
  finish_states(body, part, graph.output)
  local inputs = inputs_of(b, part, reads, mask)
  local outputs = outputs_of(b, body, part, plan, graph.output)
  local read, told = #inputs - #part.states, #outputs - #part.states
  local name = b:name("loop." .. part.states[1].name:gsub("%.[^.]*$", ""))
  b:op("Scan", inputs, { body = graph, num_scan_inputs = read, scan_input_directions = directions(part, read),
    scan_output_directions = directions(part, told) }, outputs, name)
end
