--- Tensors under others' names as the parameters of a net: which layer of a file is which
--- of the net, and what is done to its tensors, by a convention (saros.formats.conventions)
--- or by names that the caller gives.
---
--- A layer of the net takes the layer of the file that the caller says, or the one of its
--- own name, or the only one that fits; of several that fit those whose names differ by a
--- number (lstm, lstm_1) in the order of the numbers. Anything else is refused, as a guess
--- could be wrong without a word.

local core = require "saros.core"
local options = require "saros.options"
local refusal = require "saros.formats.refusal"
local sorted = require "saros.sorted"
local conventions = require "saros.formats.conventions"

local naming = {}

---@class saros.Mapped
---@field [integer] { to: string, from: string?, how: string }  each parameter that was given values
---@field unused string[]  names of the file that no parameter took
---@field missing string[]  parameters without a tensor, where `strict = false` allows it
local Mapped = {}
Mapped.__index = Mapped

function Mapped:__tostring()
  local lines = {}
  for n, entry in ipairs(self) do
    lines[n] = ("%s <- %s%s"):format(entry.to, entry.from or "zeros", entry.how ~= "" and ": " .. entry.how or "")
  end
  for _, name in ipairs(self.missing) do
    lines[#lines + 1] = name .. ": missing, as it was"
  end
  for _, name in ipairs(self.unused) do
    lines[#lines + 1] = "not used: " .. name
  end
  return table.concat(lines, "\n")
end

---@return saros.Mapped
function naming.new()
  return setmetatable({ unused = {}, missing = {} }, Mapped)
end

-- --- Units: what of the net is matched with a layer of a file --------------------------------------------

local function recurrent_units(module, unit, list)
  for layer = 0, module.o.layers - 1 do
    for _, reverse in ipairs(module.o.bidirectional and { false, true } or { false }) do
      list[#list + 1] = { module = module, path = unit.path, owner = unit.path, kind = unit.kind, names = unit.names,
        layer = layer + 1, bias = module.o.bias, reset = module.o.reset, reverse = reverse,
        suffix = ("_l%d%s"):format(layer, reverse and "_reverse" or "") }
    end
  end
end

-- A cell of a layer with other activations than the fused one, which has its parameters by itself; `o` are
-- the options of the layer.
local function cell_unit(unit, o)
  local owner, layer, direction = unit.path:match "^(.-)%.?cell_l(%d+)([_a-z]*)$"
  if not owner or not o then
    return nil
  end
  unit.owner, unit.layer, unit.reverse = owner, math.tointeger(tonumber(layer)) + 1, direction == "_reverse"
  unit.bias, unit.reset, unit.suffix = o.bias, o.reset, ""
  return unit
end

-- Layers of the net in order; recurrent ones by layer and direction, unless `whole`.
local function units_of(net, whole)
  local list, above = {}, nil
  net:visit(function(module, prefix)
    local unit = { module = module, path = prefix:sub(1, -2), kind = module.kind, names = {}, bias = false }
    for n, entry in ipairs(module.own) do
      unit.names[n] = entry.name
    end
    unit.owner = unit.path
    local is_layer = type(module.o) == "table" and module.o.layers
    above = is_layer and module.o or above
    if #unit.names == 0 then
      return
    elseif not whole and is_layer and unit.names[1]:find "^weight_ih_l0" then
      recurrent_units(module, unit, list)
    else
      list[#list + 1] = not whole and unit.names[1] == "weight_ih" and cell_unit(unit, above) or unit
    end
  end)
  return list
end

local function described(unit)
  return ("%s (%s%s)"):format(unit.owner == "" and "the net" or unit.owner, unit.kind,
    unit.layer and ("_l%d%s"):format(unit.layer - 1, unit.reverse and "_reverse" or "") or "")
end

-- --- Rules --------------------------------------------------------------------------------------------------

-- Blocks of the first axis in another order.
local function reordered(x, order)
  local size, blocks = x:size(1) // #order, {}
  for n, from in ipairs(order) do
    blocks[n] = x:slice(1, (from - 1) * size + 1, from * size)
  end
  return core.concatenate(blocks, 1)
end

-- Columns (I, n H) of n blocks, each of them (H, I) row by row, as (n H, I).
local function stacked(x, count)
  local width, blocks = x:size(2) // count, {}
  for n = 1, count do
    blocks[n] = x:slice(2, (n - 1) * width + 1, n * width):contiguous():reshape(width, x:size(1))
  end
  return core.concatenate(blocks, 1)
end

-- The tensor of a rule, and what was done; nil if its shape does not allow that.
local function apply(rule, tensors, like)
  if not rule.from then
    return core.zeros(like:shape()), "none in the file"
  end
  local x, said = tensors[rule.from], {}
  if x:dtype() ~= "real" then
    return nil
  end
  if rule.part then
    if x:rank() < 2 or rule.part > x:size(1) then
      return nil
    end
    said[#said + 1] = x:size(1) > 1 and ("part %d"):format(rule.part) or nil
    x = x:select(1, rule.part)
  end
  if rule.half then
    if x:rank() ~= 1 or x:size(1) % 2 ~= 0 then
      return nil
    end
    local half = x:size(1) // 2
    x = x:slice(1, (rule.half - 1) * half + 1, rule.half * half)
    said[#said + 1] = ("half %d"):format(rule.half)
  end
  if rule.blocks then
    if x:rank() ~= 2 or x:size(2) % rule.blocks ~= 0 then
      return nil
    end
    x = stacked(x, rule.blocks)
    said[#said + 1] = "gates by rows, as cuDNN has them"
  end
  if rule.swap then
    if x:rank() ~= rule.swap[2] then
      return nil
    end
    x = x:transpose(rule.swap[1], rule.swap[2])
    said[#said + 1] = "transposed"
  end
  if rule.gates then
    if x:rank() < 1 or x:size(1) % #rule.gates.order ~= 0 then
      return nil
    end
    x = reordered(x, rule.gates.order)
    said[#said + 1] = rule.gates.said
  end
  return x, table.concat(said, ", ")
end

local function same_shape(a, b)
  return table.concat(a:shape(), " ") == table.concat(b:shape(), " ")
end

-- A unit from a group: a list of { to, tensor, from, how }; nil if it does not fit.
local function made(unit, group, state)
  local function shape_of(name)
    return state.tensors[name]:shape()
  end
  local rules, list = state.convention.rules(unit, state.groups[group], shape_of, group), {}
  for n, rule in ipairs(rules or {}) do
    local to = unit.path == "" and rule.to or unit.path .. "." .. rule.to
    local like = state.wanted[to]
    local tensor, how = apply(rule, state.tensors, like)
    if not tensor or not same_shape(tensor, like) then
      return nil
    end
    list[n] = { to = to, tensor = tensor, from = rule.from, how = how }
  end
  return rules and list
end

-- --- Matching ---------------------------------------------------------------------------------------------------

-- "lstm_12/net/lstm_12/cell" -> "lstm/net/lstm/cell", 12
local function without_number(group)
  local number = group:match "_?(%d+)%f[%D][^%d]*$"
  return number and group:gsub("_?" .. number .. "%f[%D]", "") or group, tonumber(number) or 0
end

-- Of groups that fit, the first by number, if the names are alike otherwise.
local function first_of(candidates, unit, state)
  table.sort(candidates, function(a, b)
    local base_a, number_a = without_number(a)
    local base_b, number_b = without_number(b)
    if number_a ~= number_b then
      return number_a < number_b
    end
    return base_a < base_b
  end)
  for n = 2, #candidates do
    if without_number(candidates[n]) ~= without_number(candidates[1]) then
      refusal.raise("expected one layer for %s, got %s; say which: names = { %q, [%q] = %q }", described(unit),
        table.concat(candidates, ", "), state.convention.name, unit.owner, candidates[1])
    end
  end
  return candidates[1]
end

-- True if a group is called by that name, is part of one that is, or one of Keras' layers.
local function is_named(group, name)
  local folder = name .. "/"
  return group == name or group:sub(1, #folder) == folder or (group .. "/"):sub(1, 7 + #folder) == "layers/" .. folder
end

-- Groups that fit and are free; only those of a name, if one is given.
local function candidates_for(unit, state, name)
  local list = {}
  for _, group in ipairs(state.order) do
    if not state.used[group] and (not name or is_named(group, name)) and made(unit, group, state) then
      list[#list + 1] = group
    end
  end
  return list
end

local function group_for(unit, state)
  local given = state.given[unit.owner]
  local list = candidates_for(unit, state, given or unit.owner)
  if #list == 0 and not given then
    list = candidates_for(unit, state)
  end
  return #list > 0 and first_of(list, unit, state) or nil
end

-- Both directions of a layer are in one group of ONNX.
local function take(unit, state)
  local layer = unit.owner .. " " .. (unit.layer or "")
  local group = state.convention.directions and unit.reverse and state.of_layer[layer] or group_for(unit, state)
  if not group then
    return
  end
  state.of_layer[layer], state.used[group] = group, true
  for _, entry in ipairs(made(unit, group, state) or {}) do
    state.found[entry.to] = entry.tensor
    state.mapped[#state.mapped + 1] = { to = entry.to, from = entry.from, how = entry.how }
    state.taken[entry.from or ""] = true
  end
end

local function grouped(tensors, convention)
  local groups, ignored = {}, {}
  for name in pairs(tensors) do
    local group, role = convention.split(name)
    if group then
      groups[group] = groups[group] or {}
      groups[group][role] = name
    else
      ignored[name] = true
    end
  end
  return groups, ignored
end

-- Parameters that the caller names one by one.
local function take_given(state)
  for _, to in ipairs(sorted.keys(state.given)) do
    if state.wanted[to] then
      local from = state.given[to]
      if not state.tensors[from] then
        refusal.raise("expected the name of a tensor for %s, got %s%s", options.describe(to), options.describe(from),
          core.hint(from, state.tensors))
      end
      state.found[to], state.taken[from] = state.tensors[from], true
      state.mapped[#state.mapped + 1] = { to = to, from = from, how = "" }
    end
  end
end

local function check_given(state, units)
  local known = {}
  for _, unit in ipairs(units) do
    known[unit.owner] = true
  end
  for name, value in pairs(state.given) do
    if type(name) ~= "string" or type(value) ~= "string" or not (known[name] or state.wanted[name]) then
      refusal.raise("expected layers or parameters of the net and their names in the file, got %s%s",
        options.describe(name), core.hint(name, known))
    end
  end
end

local function split_names(names)
  if type(names) == "string" then
    return names, {}
  end
  local given = {}
  for key, value in pairs(names) do
    if key ~= 1 then
      given[key] = value
    end
  end
  return names[1] or "pytorch", given
end

--- The tensors of a file by the names of a net.
---@param net saros.nn.Module
---@param tensors table<string, saros.Tensor>
---@param names string|table  a convention, or a table with its name first and names: ours = theirs
---@return table<string, saros.Tensor> found
---@return saros.Mapped mapped
function naming.map(net, tensors, names)
  local convention, given = split_names(names)
  local state = { convention = conventions[convention], given = given, wanted = net:tensors(), tensors = tensors,
    found = {}, used = {}, of_layer = {}, taken = {}, mapped = naming.new() }
  if not state.convention then
    refusal.raise("expected names = %s, got %s", '"pytorch", "keras" or "onnx"', options.describe(convention))
  end
  local ignored
  state.groups, ignored = grouped(tensors, state.convention)
  state.order = sorted.keys(state.groups)
  local units = units_of(net, state.convention.whole)
  check_given(state, units)
  take_given(state)
  for _, unit in ipairs(units) do
    if not state.found[unit.path .. "." .. unit.names[1]] or unit.layer then
      take(unit, state)
    end
  end
  for _, name in ipairs(sorted.keys(tensors)) do
    if not state.taken[name] and not ignored[name] then
      state.mapped.unused[#state.mapped.unused + 1] = name
    end
  end
  return state.found, state.mapped
end

return naming
