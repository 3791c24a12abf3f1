--- How far back a model can learn: the norm of the gradient of one prediction
--- with respect to what was read 0, 1, 2, ... steps before. Where it vanishes,
--- nothing is learned (Bengio et al. 1994; Pascanu et al. 2013).

local core = require "saros.core"
local options = require "saros.options"
local frame = require "saros.look.frame"
local lines = require "saros.look.lines"
local reading = require "saros.inspect.reading"

---@class saros.inspect.Reach
---@field norms number[]  norms[d + 1]: d steps before the prediction, mean over the rows
---@field rows integer  places in the text that were looked at
local Reach = {}
Reach.__index = Reach
Reach.__name = "saros.inspect.Reach"

local check = options.declare("inspect.reach", {
  { "length", options.size, 100 },
  { "rows", options.size, 32 },
})

--- Makes parameters trainable again, whatever happens.
local function freeze(parameters)
  local frozen = {}
  for _, tensor in ipairs(parameters) do
    if tensor:trainable() then
      tensor:trainable(false)
      frozen[#frozen + 1] = tensor
    end
  end
  return setmetatable({}, { __close = function()
    for _, tensor in ipairs(frozen) do
      tensor:trainable(true)
    end
  end })
end

--- Rows of `length` symbols from places evenly over the text, as columns (T, B),
--- and the symbol (B) after each.
local function rows_of(ids, length, count)
  local places = #ids - length
  count = math.min(count, places)
  local rows, targets = {}, {}
  for row = 1, count do
    local first = (row - 1) * places // count
    rows[row] = core.ids(table.move(ids, first + 1, first + length, 1, {}))
    targets[row] = ids[first + length + 1]
  end
  return core.stack(rows, 2), core.ids(targets)
end

--- The gradient of the last step's loss by every step's input, (T, B, E).
local function gradient_of(model, inputs, targets)
  local _ <close> = freeze(model:parameters())
  local x = model.embedding(inputs)
  local tape <close> = core.tape { training = false }
  tape:watch(x)
  local y = model.recurrent(x)
  local loss = core.cross_entropy(model.head(y:select(1, -1)), targets)
  tape:backward(loss * targets:count()) -- the sum: each row's own gradient
  return x:gradient()
end

--- Look at how far back the gradients of a model reach.
---@param model saros.nn.LanguageModel
---@param text string  of more than `length` symbols
---@param given? { length?: integer, rows?: integer }  symbols before a prediction (100), predictions (32)
---@return saros.inspect.Reach
local function reach(model, text, given)
  local o = check(given)
  reading.check_model("inspect.reach", model)
  local ids = reading.encode("inspect.reach", model, text, o.length + 1)
  local inputs, targets = rows_of(ids, o.length, o.rows)
  local gradient = gradient_of(model, inputs, targets)
  local by_step = (gradient * gradient):sum(-1):sqrt():mean(2):totable()
  local norms = {}
  for t = #by_step, 1, -1 do
    norms[#norms + 1] = by_step[t]
  end
  return setmetatable({ norms = norms, rows = targets:count() }, Reach)
end

--- After how many steps the norm is a fraction of what it is at the prediction
--- for good; nil if it does not get so low.
---@param fraction number
---@return integer?
function Reach:distance(fraction)
  for n = #self.norms, 1, -1 do
    if self.norms[n] >= fraction * self.norms[1] then
      return n < #self.norms and n or nil
    end
  end
end

--- The norms over the distance.
---@return string
function Reach:svg()
  local x = {}
  for n = 1, #self.norms do
    x[n] = n - 1
  end
  return lines({
    series = { { x = x, y = self.norms } }, log = true, title = "How far back the gradient reaches",
    x = "steps before the prediction", y = "norm of the gradient",
  }):svg()
end

--- Write the picture to a file.
---@param path string
---@return true? ok, string? message
function Reach:save(path)
  return frame.write(path, self:svg())
end

function Reach:__tostring()
  local text = { "steps back  gradient" }
  for _, distance in ipairs { 0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000 } do
    if self.norms[distance + 1] then
      text[#text + 1] = ("%-11d %.2e"):format(distance, self.norms[distance + 1])
    end
  end
  return table.concat(text, "\n")
end

return reach
