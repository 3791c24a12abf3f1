--- Which gates of an LSTM, a GRU, a minimal cell or one of one's own are shut or wide open while
--- it reads: a gate that is always below 0.1 or above 0.9 no longer decides anything.

local core = require "saros.core"
local frame = require "saros.look.frame"
local spelling = require "saros.spelling"
local lines = require "saros.look.lines"
local reading = require "saros.inspect.reading"

local format = core.format

---@class saros.inspect.Gate
---@field layer integer
---@field name string  see saros.nn.LayerValues; candidates are no gates
---@field values saros.Tensor  (T, H) in (0, 1)
---@field shut number  fraction below 0.1
---@field open number  fraction above 0.9
---@field mean number
---@field units_shut saros.Tensor  (H): the fraction of the steps that each unit's gate is shut
---@field units_open saros.Tensor  (H)

---@class saros.inspect.Gates
---@field rows saros.inspect.Gate[]
local Gates = {}
spelling.methods(Gates, "saros.inspect.Gates")

local SHUT, OPEN, BINS = 0.1, 0.9, 20

--- Let a model read a text and look at its gates.
---@param model saros.nn.LanguageModel  of layers with gates
---@param text string  two symbols or more
---@return saros.inspect.Gates
local function gates(model, text)
  local _ <close> = core.no_gradient()
  local self = setmetatable({ rows = {} }, Gates)
  reading.check_stack("inspect.gates", model)
  local read = reading.of("inspect.gates", model, text)
  for layer, list in ipairs(reading.gates("inspect.gates", read)) do
    for _, gate in ipairs(list) do
      local shut, open = gate.values:lt(SHUT), gate.values:gt(OPEN)
      table.insert(self.rows, {
        layer = layer, name = gate.name, values = gate.values:contiguous(), mean = gate.values:mean():item(),
        shut = shut:mean():item(), open = open:mean():item(), units_shut = shut:mean(1), units_open = open:mean(1),
      })
    end
  end
  return self
end

--- The fractions of the values in equal parts of 0..1.
local function distribution(values)
  local x, y = {}, {}
  for bin = 1, BINS do
    local low, high = (bin - 1) / BINS, bin / BINS
    local inside = values:ge(low) * (bin < BINS and values:lt(high) or values:le(high))
    x[bin], y[bin] = (low + high) / 2, inside:mean():item()
  end
  return x, y
end

--- How often the gates have which value, a line for each.
---@return string
function Gates:svg()
  local series = {}
  for n, row in ipairs(self.rows) do
    local x, y = distribution(row.values)
    series[n] = { name = ("%s %d"):format(row.name, row.layer), x = x, y = y }
  end
  return lines({ series = series, title = "Gates by layer", x = "activation (0 shut, 1 open)", y = "fraction" }):svg()
end

--- Write the picture to a file.
---@param path string
---@return true? ok, string? message
function Gates:save(path)
  return frame.write(path, "svg", self:svg())
end

function Gates:__tostring()
  local text = { "layer  gate     < 0.1    > 0.9    mean" }
  for n, row in ipairs(self.rows) do
    text[n + 1] = format("%-6d %-7s %5.1f %%  %5.1f %%   %.2f",
      row.layer, row.name, 100 * row.shut, 100 * row.open, row.mean)
  end
  return table.concat(text, "\n")
end

return gates
