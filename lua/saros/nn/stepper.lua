--- Modules that nn.unroll runs over time, compiled: see saros.nn.compiled. What a
--- module was compiled to is kept beside it, for each form of its state.

local core = require "saros.core"
local options = require "saros.options"
local compiled = require "saros.nn.compiled"
local module = require "saros.nn.module"
local states = require "saros.nn.state"

---@class saros.nn.Stepper: saros.nn.Module
---@field input integer
---@field like saros.nn.State  whose shapes say how a state begins
---@field handle saros.nn.Compiled|false
local Stepper = module.class "stepper"
Stepper.stateful = true

--- One step; y alone is the state, too.
function Stepper:forward(x, state)
  if state == nil then
    local B = x:size(1)
    state = states.map(self.like, function(h)
      local shape = h:shape()
      shape[1] = B
      return core.zeros(shape)
    end)
  end
  local y, new = self.members[1].module(x, state)
  if options.tensor.accept(y) and new == nil then
    new = type(state) == "table" and { y } or y
  end
  return y, new
end

--- "[1](4 8)[c](4)": the form of a state, rows aside; nil if it has none.
local function form_of(state)
  if type(state) == "table" then
    local parts = {}
    for key, branch in pairs(state) do
      local form = form_of(branch)
      if not form then
        return nil
      end
      parts[#parts + 1] = ("[%s]%s"):format(tostring(key), form)
    end
    table.sort(parts)
    return table.concat(parts)
  elseif options.tensor.accept(state) and state:rank() > 1 and state:dtype() == "real" then
    return "(" .. table.concat(state:shape(), " ", 2) .. ")"
  end
end

local cache = setmetatable({}, { __mode = "k" })

local function stepper_of(cell, input, state)
  local form = form_of(state)
  if not form or form == "" then
    return nil
  end
  local key = input .. form
  cache[cell] = cache[cell] or {}
  local self = cache[cell][key]
  if not self or self.handle and not self.handle:fits(self) then
    self = Stepper.new()
    self.input, self.like = input, states.map(state, function(h) return h:detach():slice(1, 1, 1):clone() end)
    self.members[1] = { name = "cell", module = cell }
    self.handle = compiled.of(self, { { name = "x", width = input } }, false) or false
    cache[cell][key] = self
  end
  return self.handle
end

local stepper = {}

--- Run a module over time in the core; nil if that cannot be done.
---@param cell saros.nn.Module
---@param x saros.Tensor  (T, B, I)
---@param state saros.nn.State
---@param steps saros.nn.Steps
---@return saros.Tensor? y
---@return saros.nn.State? state
function stepper.run(cell, x, state, steps)
  if not cell.initialized or steps.reverse or x:rank() ~= 3 or x:dtype() ~= "real" then
    return nil
  end
  local handle = stepper_of(cell, x:size(3), state)
  if handle then
    return handle:run({ x = x }, state, false, steps)
  end
end

return stepper
