--- Outlines of shapes, pixel by pixel.

local core = require "saros.core"
local options = require "saros.options"
local task = require "saros.data.tasks.task"

local tasks = { names = { "circle", "square", "diamond", "cross" } }

local check = options.declare("data.tasks.shapes", {
  { "size", options.at_least(8), 16 },
  { "noise", options.nonnegative, 0.1 },
})

local HALF_A_LINE = 0.6 -- pixels

--- Where it is dark, 1 or 0 by pixel, for each shape: from how far the pixels
--- are from its centre along both axes, and its radius.
local shapes = {
  circle = function(dx, dy, radius)
    return ((dx ^ 2 + dy ^ 2):sqrt() - radius):abs():lt(HALF_A_LINE)
  end,
  square = function(dx, dy, radius)
    return (dx:maximum(dy) - radius):abs():lt(HALF_A_LINE)
  end,
  diamond = function(dx, dy, radius)
    return (dx + dy - radius):abs():lt(HALF_A_LINE)
  end,
  cross = function(dx, dy, radius)
    return dx:minimum(dy):lt(HALF_A_LINE) * dx:maximum(dy):le(radius)
  end,
}

--- Images (S, S, B) of the shapes with these ids (B), of any size and place.
local function draw_shapes(generator, ids, S)
  local B = ids:size(1)
  local radius = generator:uniform({ B }, S / 5, S / 3)
  local function offsets() -- of the pixels of one axis from the centre, (S, B)
    local centre = radius + 1 + generator:uniform { B } * (S - 1 - 2 * radius)
    return (core.arange(S):reshape(S, 1) - centre):abs()
  end
  local dx, dy = offsets():reshape(1, S, B), offsets():reshape(S, 1, B)
  local chosen, image = ids:one_hot(#tasks.names), core.zeros(S, S, B)
  for id, name in ipairs(tasks.names) do
    image = image + chosen:select(2, id) * shapes[name](dx, dy, radius)
  end
  return image
end

--- The outline of a shape, pixel by pixel, with noise: which one is it? (As the
--- pixel-by-pixel digits of Le et al. 2015, but made here.) The classes are
--- those of `data.tasks.shape_names`.
---@param given? { size?: integer, noise?: number }  S: the sequence has S * S steps (16); the noise's
---  standard deviation (0.1)
---@return saros.data.Task
function tasks.shapes(given)
  local o = check(given)
  local S, classes = o.size, #tasks.names
  return task.new("shapes", {
    length = S * S,
    inputs = 1,
    outputs = classes,
    answers = 1,
    chance = 1 / classes,
    draw = function(generator, B)
      local ids = generator:categorical(core.ones(B, classes))
      local image = draw_shapes(generator, ids, S) + generator:normal({ S, S, B }, 0, o.noise)
      return image:reshape(S * S, B, 1), ids:reshape(1, B)
    end,
  })
end

return tasks
