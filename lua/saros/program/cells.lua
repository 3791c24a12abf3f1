--- The fused cells of a program as the operations that they are made of, by what
--- `definitions` in nn/cells/ say: exported files have these in their place, and so do
--- the loops of programs for training.

local core = require "saros.core"
local define = require "saros.nn.cells.definition"

local function number(build, value)
  return build:constant(core.tensor { value })
end

--- Features from..from + count - 1 of x; x itself if that is all of them.
local function part(build, x, from, count)
  if from == 0 and count == x.width then
    return x
  end
  return build:add("slice", { x }, { outer = 1, n = x.width, inner = 1, from = from, count = count, step = 1 })
end

--- Zoneout: in training a unit is new or old by chance, else a share of each.
local function mix(build, now, before, zoneout)
  if not zoneout or zoneout == 0 then
    return now
  end
  local function share(state, value)
    return build:add("multiply", { number(build, value), state })
  end
  if build.trains then
    local change = share(build:add("subtract", { now, before }), 1 - zoneout)
    return build:add("add", { before, build:add("dropout", { change }, { p = zoneout }) })
  end
  return build:add("add", { share(now, 1 - zoneout), share(before, zoneout) })
end

--- What the product with h reads in training is dropped at each step: a cell is
--- taken apart for training where it is called once a step.
local function mask_of(build, h, p)
  if p and p > 0 and build.trains then
    local ones = build:add("expand", { number(build, 1) }, { outer = 1, times = h.width, inner = 1 })
    return build:add("dropout", { ones }, { p = p })
  end
end

--- Add the nodes of a cell, and say what its states become.
---@param build table  see saros.nn.cells.definition; `trains` if its nodes are for training
---@param given table  the node of the program
---@param x saros.export.Node
---@param parameters table<string, saros.export.Node>
---@param states saros.export.State[]
---@return saros.export.Node h
local function take_apart(build, given, x, parameters, states)
  local before = {}
  for n, state in ipairs(states) do
    before[n] = build:add("state", {}, { state = state, title = state.name })
  end
  local h, c = define(build, given.cell, { x = x, p = parameters, h = before[1], c = before[2],
    H = states[#states].width, dropout = mask_of(build, before[1], given.dropout) })
  local zoneout = given.zoneout or {}
  h = mix(build, h, before[1], zoneout[1])
  h.title, states[1].next = "h", h
  if c then
    states[2].next = mix(build, c, before[2], zoneout[2])
  end
  return h
end

--- True if the nodes of a cell have the gradients of its parameters: those of the LRU
--- begin with numbers computed from them.
local function is_differentiable(name)
  return name ~= "lru"
end

return { cell = take_apart, part = part, is_differentiable = is_differentiable }
