--- What single neurons stand for: their activations over a text, and those that
--- follow a simple property of it most closely.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local frame = require "saros.look.frame"
local heat = require "saros.look.heat"
local look = require "saros.look.text"
local svg = require "saros.look.svg"
local properties = require "saros.inspect.properties"
local reading = require "saros.inspect.reading"

local format = core.format

---@class saros.inspect.Neuron
---@field layer integer
---@field unit integer
---@field property string
---@field score number  correlation of activation and property over the text, in [-1, 1]

---@class saros.inspect.Neurons
---@field symbols string[]  T
---@field layers saros.Tensor[]  activations of each layer, (T, H) in [-1, 1]
---@field best saros.inspect.Neuron[]  for each property of the text the neuron that follows it most closely
---@field list saros.inspect.Neuron[]  every neuron with the property that it follows most closely
---both lists from the closest on
local Neurons = {}
spelling.methods(Neurons, "saros.inspect.Neurons")

local check = options.declare("inspect.neurons", {
  { "state", options.optional(options.one_of { "h", "c" }) },
})

--- Columns with mean 0 and norm 1; a constant column becomes zeros.
local function standardized(x)
  local centred = x - x:mean(1, true)
  local norm = (centred * centred):sum(1, true):sqrt()
  return centred / norm:maximum(1e-6)
end

--- The properties that the text has at some places and not at others, and their
--- values (T, K).
local function varied_properties(symbols)
  local names, columns = {}, {}
  for _, property in ipairs(properties.of(symbols)) do
    local first = property.values[1]
    for _, value in ipairs(property.values) do
      if value ~= first then
        names[#names + 1], columns[#columns + 1] = property.name, core.tensor(property.values)
        break
      end
    end
  end
  return names, columns[1] and core.stack(columns, 2)
end

local function closest_first(a, b)
  local x, y = math.abs(a.score), math.abs(b.score)
  if x ~= y then
    return x > y
  end
  return a.layer < b.layer or a.layer == b.layer and a.unit < b.unit
end

--- Fills `best` and `list` from the correlations (H, K) of every layer.
local function rank(self)
  local names, values = varied_properties(self.symbols)
  local best = {}
  local wanted = values and standardized(values)
  for layer, activations in ipairs(values and self.layers or {}) do
    for unit, scores in ipairs(standardized(activations):transpose():matmul(wanted):totable()) do
      local own
      for k, score in ipairs(scores) do
        local neuron = { layer = layer, unit = unit, property = names[k], score = score }
        own = own and not closest_first(neuron, own) and own or neuron
        best[k] = best[k] and not closest_first(neuron, best[k]) and best[k] or neuron
      end
      table.insert(self.list, own)
    end
  end
  self.best = best
  table.sort(self.best, closest_first)
  table.sort(self.list, closest_first)
end

--- Let a model read a text and look at its neurons.
---@param model saros.nn.LanguageModel
---@param text string  two symbols or more
---@param given? { state?: "h"|"c" }  which state (of an LSTM c, as tanh(c), else h)
---@return saros.inspect.Neurons
local function neurons(model, text, given)
  local _ <close> = core.no_gradient()
  local o = check(given)
  reading.check_stack("inspect.neurons", model)
  local read = reading.of("inspect.neurons", model, text)
  local self = setmetatable({ symbols = read.symbols, layers = {}, list = {} }, Neurons)
  for layer, states in ipairs(read.layers) do
    local c = o.state ~= "h" and states.c
    if o.state == "c" and not c then
      options.fail('inspect.neurons: expected state "h", as this model has no c, got "c"')
    end
    self.layers[layer] = c and c:tanh() or states.h or states["1"]
  end
  rank(self)
  return self
end

--- The neuron that the caller means; the closest one of all by default.
local function chosen(self, owner, given)
  local neuron = given or self.best[1] or { layer = 1, unit = 1 }
  if type(neuron) ~= "table" then
    options.fail(("%s: expected a neuron { layer = ..., unit = ... }, got %s"):format(owner, options.describe(given)))
  end
  local layer, unit = neuron.layer or #self.layers, neuron.unit
  local activations = self.layers[layer]
  if not activations then
    options.fail(("%s: expected a layer in 1..%d, got %s"):format(owner, #self.layers, options.describe(layer)))
  elseif math.type(unit) ~= "integer" or unit < 1 or unit > activations:size(2) then
    options.fail(("%s: expected a unit in 1..%d, got %s"):format(owner, activations:size(2), options.describe(unit)))
  end
  return layer, unit
end

--- The text with the activations of one neuron.
local function coloured(self, layer, unit)
  local list = {}
  for t, value in ipairs(self.layers[layer]:select(2, unit):totable()) do
    list[t] = { symbol = self.symbols[t], value = value }
  end
  return list
end

--- The text on a terminal, coloured by one neuron: blue where it is above 0, red
--- below.
---@param neuron? { layer?: integer, unit: integer }  (the one that follows a property most closely)
---@return string
function Neurons:ansi(neuron)
  return look.ansi(coloured(self, chosen(self, "ansi", neuron)))
end

local function heading(self, neuron)
  local layer, unit = chosen(self, "html", neuron)
  local why = neuron.property and format(": %s (correlation %.2f)", neuron.property, neuron.score) or ""
  return ("layer %d, neuron %d%s"):format(layer, unit, why)
end

--- A page with the text once for each neuron.
---@param list? { layer?: integer, unit: integer }[]  (`best`)
---@return string
function Neurons:html(list)
  local parts = {}
  for n, neuron in ipairs(list or self.best) do
    parts[n] = "<h2>" .. svg.escape(heading(self, neuron)) .. "</h2>\n"
      .. look.html(coloured(self, chosen(self, "html", neuron)))
  end
  return look.page("Neurons", "<p>Blue: above 0, red: below.</p>\n" .. table.concat(parts))
end

--- Neurons over the beginning of the text as a heat map: one row for each.
---@param list? { layer?: integer, unit: integer }[]  (`best`)
---@param steps? integer  symbols of the text to show (100)
---@return string
function Neurons:svg(list, steps)
  local rows, names, columns = {}, {}, {}
  local last = math.min(steps or 100, #self.symbols)
  for n, neuron in ipairs(list or self.best) do
    local layer, unit = chosen(self, "svg", neuron)
    rows[n] = self.layers[layer]:select(2, unit):slice(1, 1, last):totable()
    names[n] = ("%d.%d %s"):format(layer, unit, neuron.property or "")
  end
  for t = 1, last do
    columns[t] = self.symbols[t]:gsub("%s+", "")
  end
  return heat.heat({
    values = rows, rows = names, columns = columns, width = math.max(720, 240 + 12 * last),
    height = math.max(120, 60 + 22 * #rows), title = "Activations", x = "text",
  }):svg()
end

--- Write the page of `html` to a file.
---@param path string
---@param list? { layer?: integer, unit: integer }[]
---@return true? ok, string? message
function Neurons:save(path, list)
  return frame.write(path, "html", self:html(list))
end

function Neurons:__tostring()
  local lines = { ("%-28s %-6s %-7s %s"):format("follows", "layer", "neuron", "correlation") }
  for n, neuron in ipairs(self.best) do
    lines[n + 1] = format("%-28s %-6d %-7d %+.2f", neuron.property, neuron.layer, neuron.unit, neuron.score)
  end
  return table.concat(lines, "\n")
end

return neurons
