--- What a model says, in one form for models of all kinds: outputs by name, each
--- (T, B, width), of inputs by name, (T, B, width) or ids (T, B). It needs nothing of the
--- script that made a model, so it also serves where a model came from a file.

local saros = require "saros"
local nn = saros.nn

local said = {}

--- The only value of a table, or the table.
function said.only(given)
  local _, value = next(given)
  return next(given, (next(given))) == nil and value or given
end

--- Steps first..last of the inputs, of all rows.
function said.part(inputs, first, last)
  local part = {}
  for name, x in pairs(inputs) do
    part[name] = x:slice(1, first, last)
  end
  return part
end

--- One row of the inputs.
function said.row(inputs, row)
  local part = {}
  for name, x in pairs(inputs) do
    part[name] = x:slice(2, row, row)
  end
  return part
end

local function size_of(inputs)
  local _, x = next(inputs)
  return x:size(1), x:size(2)
end

local function turned(values)
  local result = {}
  for name, value in pairs(values) do
    result[name] = value:rank() > 1 and value:transpose(1, 2) or value
  end
  return result
end

--- Outputs by name, (T, B, ...), and the state behind them, whichever axis the net has first.
local function called(net, inputs, state, given)
  if net.batch_first then
    inputs, given = turned(inputs), given and turned(given)
  end
  local y, after = net(said.only(inputs), state, given)
  y = type(y) == "table" and y or { y = y }
  return net.batch_first and turned(y) or y, after
end

--- A classifier says one thing of a whole sequence: here, of each that begins it.
local function classified(model, inputs)
  local T, list = size_of(inputs), {}
  for t = 1, T do
    list[t] = model(said.only(said.part(inputs, 1, t)))
  end
  return { y = saros.stack(list) }
end

--- Over a whole sequence: outputs by name, the state behind it.
function said.whole(model, inputs, state, given)
  if model.kind == "classifier" then
    return classified(model, inputs)
  end
  local T, B = size_of(inputs)
  local net = model.kind == "forecaster" and model.net or model -- without differences
  local y, after = called(net, inputs, state, given)
  local outputs = {}
  for name, value in pairs(y) do
    outputs[name] = value:contiguous():reshape(T, B, -1)
  end
  return outputs, after
end

--- Outputs of parts of a sequence, one behind the other.
function said.joined(parts)
  local outputs = {}
  for name in pairs(parts[1]) do
    local list = {}
    for n, part in ipairs(parts) do
      list[n] = part[name]
    end
    outputs[name] = saros.concatenate(list, 1)
  end
  return outputs
end

--- What a step of a session is given, in the units of the model.
local function step_of(model, inputs, t)
  local T, B = size_of(inputs)
  assert(t <= T)
  local given = {}
  for name, x in pairs(inputs) do
    local scale = model.kind == "forecaster" and model.scale.inputs or model.features
    given[name] = scale and scale:invert(x[t]) or x[t]
    if B == 1 then
      given[name] = given[name][1]
    end
  end
  return said.only(given)
end

--- The outputs of a session, or a learner, after a step, (B, width) each.
local function told(model, live, y, names, B)
  local outputs = {}
  for n, name in ipairs(names) do
    local value = n == 1 and y or live:output(name)
    if model.kind == "forecaster" then
      local K = #model.scale.targets
      value = model.scale.targets:apply(value:reshape(-1, K))
    end
    outputs[name] = value:reshape(1, B, -1):clone()
  end
  return outputs
end

--- What a session, or a learner, says over a sequence; `names` are those of the outputs.
function said.stepped(model, live, inputs, names)
  local T, B = size_of(inputs)
  local parts = {}
  for t = 1, T do
    parts[t] = told(model, live, live:step(step_of(model, inputs, t)), names, B)
  end
  return said.joined(parts)
end

--- Names of the outputs of a model's program, in its order.
function said.names(program)
  local names = {}
  for n, output in ipairs(program.outputs) do
    names[n] = output.name
  end
  return names
end

--- Does a program walk from the end of a sequence?
function said.is_both_ways(program)
  for _, state in ipairs(program.states) do
    if state.reverse then
      return true
    end
  end
  return false
end

--- The tensors of a state by name, as files have them: "1.h".
function said.leaves(state)
  local leaves = {}
  for name, tensor in pairs(state and nn.state.tensors(state) or {}) do
    leaves[name] = tensor:contiguous():reshape(tensor:size(1), -1)
  end
  return leaves
end

--- What an encoder-decoder writes of ids: how likely, and the ids.
function said.translated(model, inputs)
  local ids = inputs.source:reshape(-1):totable()
  local found = model:translate(ids, { beam = 1, length_penalty = 0, max_length = 5 })[1]
  return saros.tensor { found.log_probability, table.unpack(found.ids) }
end

return said
