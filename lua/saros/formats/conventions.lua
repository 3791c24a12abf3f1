--- What others call the parameters of layers, and how their tensors become ours. Ours are
--- PyTorch's: weight_ih (gates H, I), gates i f g o of an LSTM, r z n of a GRU.
---
--- A convention splits a name into a group (a layer) and a role in it, and tells of a
--- unit (a layer of ours, of one direction) what it is made from:
---
---     split(name)           group, role; nil for what is no parameter
---     rules(unit, roles)    a list of rules, or nil where the group does not fit
---
--- A rule: to, ours; from, theirs (nil: zeros); and what is done, in this order: `part`,
--- of the first axis; `half`, 1 or 2, of a vector; `blocks`, how many there are beside each
--- other, of transposed elements; `swap`, two axes; `gates`, which of their blocks each of
--- ours is.

local conventions = {}

-- Blocks of theirs in the order of ours, and how both are called.
local GATES = {
  keras = { gru = { order = { 2, 1, 3 }, said = "gates z r h to r z n" } },
  onnx = {
    lstm = { order = { 1, 3, 4, 2 }, said = "gates i o f c to i f g o" },
    gru = { order = { 2, 1, 3 }, said = "gates z r h to r z n" },
  },
}
local RECURRENT = { lstm = true, gru = true, rnn = true }

local function is_recurrent(unit)
  return RECURRENT[unit.kind] and unit.layer
end

-- --- PyTorch ------------------------------------------------------------------------------------

conventions.pytorch = { name = "pytorch", whole = true }

function conventions.pytorch.split(name)
  local group, role = name:match "^(.*)%.([^.]+)$"
  if role == "num_batches_tracked" then
    return nil
  end
  return group or "", role or name
end

function conventions.pytorch.rules(unit, roles)
  local rules = {}
  for _, name in ipairs(unit.names) do
    if not roles[name] then
      return nil
    end
    rules[#rules + 1] = { to = name, from = roles[name] }
  end
  return rules
end

-- --- Keras ---------------------------------------------------------------------------------------

conventions.keras = { name = "keras" }

local KERAS_ROLES = {
  linear = { "kernel", "bias" }, conv1d = { "kernel", "bias" }, embedding = { "embeddings" },
  layer_norm = { "gamma", "beta" }, batch_norm = { "gamma", "beta", "moving_mean", "moving_variance" },
  recurrent = { "kernel", "recurrent_kernel", "bias" },
}
local KERAS_NAMES = {
  gamma = "weight", beta = "bias", moving_mean = "running_mean", moving_variance = "running_var",
  embeddings = "weight",
}
local IS_KERAS_ROLE = {}
for _, list in pairs(KERAS_ROLES) do
  for _, role in ipairs(list) do
    IS_KERAS_ROLE[role] = true
  end
end

function conventions.keras.split(name)
  if name:find "^optimizer" or name:find "seed_generator" then
    return nil
  end
  local group, role = name:match "^(.*)/vars/(%d+)$"
  if group then
    return group, math.tointeger(tonumber(role)) + 1
  end
  group, role = name:gsub(":0$", ""):match "^(.-)[/.]?([%w_]+)$"
  if IS_KERAS_ROLE[role] then
    return group, role
  end
  return name, "" -- a group that fits nothing
end

-- The tensors of a group by their roles, of which files of version 3 have the numbers alone.
local function by_role(roles, list)
  local found, count = {}, 0
  for n, role in ipairs(list) do
    found[role] = roles[role] or roles[n]
    count = count + (found[role] and 1 or 0)
  end
  for _ in pairs(roles) do
    count = count - 1
  end
  return count == 0 and found or nil -- a tensor without a role
end

-- Of Keras 2 on a GPU, with two biases behind each other.
local function cudnn_lstm(unit, found)
  local suffix = unit.suffix
  return {
    { to = "weight_ih" .. suffix, from = found.kernel, blocks = 4 },
    { to = "weight_hh" .. suffix, from = found.recurrent_kernel, blocks = 4 },
    { to = "bias_ih" .. suffix, from = found.bias, half = 1 },
    { to = "bias_hh" .. suffix, from = found.bias, half = 2 },
  }
end

local function keras_recurrent(unit, found, shape_of)
  local gates, suffix = GATES.keras[unit.kind], unit.suffix
  local rules = {
    { to = "weight_ih" .. suffix, from = found.kernel, swap = { 1, 2 }, gates = gates },
    { to = "weight_hh" .. suffix, from = found.recurrent_kernel, swap = { 1, 2 }, gates = gates },
  }
  if not unit.bias then
    return not found.bias and rules or nil
  elseif not found.bias then
    return nil
  end
  if unit.kind == "lstm" and shape_of(found.bias)[1] == 2 * shape_of(found.recurrent_kernel)[2] then
    return cudnn_lstm(unit, found)
  end
  local is_double = #shape_of(found.bias) == 2 -- of a GRU with reset_after: both biases
  if is_double ~= (unit.kind == "gru" and unit.reset == "after") then
    return nil
  end
  rules[3] = { to = "bias_ih" .. suffix, from = found.bias, part = is_double and 1 or nil, gates = gates }
  rules[4] = { to = "bias_hh" .. suffix, from = is_double and found.bias or nil, part = is_double and 2 or nil,
    gates = is_double and gates or nil }
  return rules
end

local SWAPS = { linear = { 1, 2 }, conv1d = { 1, 3 } } -- of the kernel

function conventions.keras.rules(unit, roles, shape_of, group)
  local list = KERAS_ROLES[is_recurrent(unit) and "recurrent" or unit.kind]
  local found = list and by_role(roles, list)
  if not found or not found[list[1]] then
    return nil
  elseif is_recurrent(unit) then
    local is_backward = group:find "backward" ~= nil
    return found.recurrent_kernel and is_backward == unit.reverse and keras_recurrent(unit, found, shape_of) or nil
  end
  local rules = {}
  for _, role in ipairs(list) do
    if found[role] then
      local name = KERAS_NAMES[role] or (role == "kernel" and "weight" or role)
      rules[#rules + 1] = { to = name, from = found[role], swap = role == "kernel" and SWAPS[unit.kind] or nil }
    end
  end
  return #rules == #unit.names and rules or nil
end

-- --- ONNX ------------------------------------------------------------------------------------------

conventions.onnx = { name = "onnx", directions = true }

function conventions.onnx.split(name)
  local group, role = name:match "^(.-)[/._]?([WRB])$"
  return group or name, role or ""
end

-- W (directions, gates H, I), R (directions, gates H, H), B (directions, 2 gates H).
function conventions.onnx.rules(unit, roles)
  if not is_recurrent(unit) or not roles.W or not roles.R or (roles.B == nil) == unit.bias then
    return nil
  end
  local gates, suffix, part = GATES.onnx[unit.kind], unit.suffix, unit.reverse and 2 or 1
  local rules = {
    { to = "weight_ih" .. suffix, from = roles.W, part = part, gates = gates },
    { to = "weight_hh" .. suffix, from = roles.R, part = part, gates = gates },
  }
  if roles.B then
    rules[3] = { to = "bias_ih" .. suffix, from = roles.B, part = part, half = 1, gates = gates }
    rules[4] = { to = "bias_hh" .. suffix, from = roles.B, part = part, half = 2, gates = gates }
  end
  return rules
end

return conventions
