--- The fused cells as the operations that they are made of, which each file that is
--- exported has in their place: what `definitions` in nn/cells/ say.

local core = require "saros.core"
local define = require "saros.nn.cells.definition"

--- Zoneout as its expectation: a share of the new state, the rest of the old one.
local function mix(build, now, before, zoneout)
  if not zoneout or zoneout == 0 then
    return now
  end
  local function share(state, value)
    return build:add("multiply", { build:constant(core.tensor { value }), state })
  end
  return build:add("add", { share(now, 1 - zoneout), share(before, zoneout) })
end

--- Add the nodes of a cell, and say what its states become.
---@param build table  see saros.export.graph
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
    H = states[#states].width })
  local zoneout = given.zoneout or {}
  h = mix(build, h, before[1], zoneout[1])
  h.title, states[1].next = "h", h
  if c then
    states[2].next = mix(build, c, before[2], zoneout[2])
  end
  return h
end

return take_apart
