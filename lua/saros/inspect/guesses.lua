--- What a model expects after each symbol of a text, beside what came.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local frame = require "saros.look.frame"
local look = require "saros.look.text"
local svg = require "saros.look.svg"
local reading = require "saros.inspect.reading"

local format = core.format

---@class saros.inspect.Guess
---@field symbol string  that was read
---@field probability number?  that the model gave it before; nil for the first
---@field next { symbol: string, probability: number }[]  the likeliest after it

---@class saros.inspect.Guesses
---@field list saros.inspect.Guess[]
---@field top integer
---@field bits number  per symbol: how much the text surprised the model
local Guesses = {}
spelling.methods(Guesses, "saros.inspect.Guesses")

local WIDTH = 76

local check = options.declare("inspect.guesses", {
  { "top", options.size, 5 },
})

--- The likeliest symbols of each step: (T) ids and probabilities, `top` times.
local function likeliest(probabilities, top)
  local V, found = probabilities:size(2), {}
  for n = 1, top do
    local ids = probabilities:argmax(-1)
    found[n] = { ids = ids:totable(), probabilities = probabilities:pick(ids):totable() }
    probabilities = probabilities - 2 * ids:one_hot(V) -- no longer the largest
  end
  return found
end

--- Let a model read a text and guess.
---@param model saros.nn.LanguageModel
---@param text string  two symbols or more
---@param given? { top?: integer }  guesses after each symbol (5)
---@return saros.inspect.Guesses
local function guesses(model, text, given)
  local _ <close> = core.no_gradient()
  local o = check(given)
  local read = reading.of("inspect.guesses", model, text)
  local symbols, T = model.vocabulary.symbols, #read.symbols
  local top = math.min(o.top, #symbols)
  local probabilities = read.logits:softmax()
  local found = likeliest(probabilities, top)
  local came = probabilities:slice(1, 1, T - 1):pick(read.ids:slice(1, 2))
  local given_before = came:totable()
  local self = setmetatable({ list = {}, top = top }, Guesses)
  for t, symbol in ipairs(read.symbols) do
    local after = {}
    for n, guess in ipairs(found) do
      after[n] = { symbol = symbols[guess.ids[t]], probability = guess.probabilities[t] }
    end
    self.list[t] = { symbol = symbol, probability = given_before[t - 1], next = after }
  end
  self.bits = core.cross_entropy(read.logits:slice(1, 1, T - 1), read.ids:slice(1, 2)):item() / math.log(2)
  return self
end

local function one_column(symbol)
  return symbol == "\n" and "\u{21B5}" or symbol:find "^%s*$" and " " or look.printable(symbol)
end

--- For a terminal: lines of text, under each symbol what was expected to follow,
--- the likelier the deeper the colour.
---@param width? integer  columns (76)
---@return string
function Guesses:ansi(width)
  width = math.max(1, width or WIDTH)
  local parts = {}
  for first = 1, #self.list, width do
    local last = math.min(first + width - 1, #self.list)
    for n = 0, self.top do
      for t = first, last do
        local entry = self.list[t]
        local guess = entry.next[n]
        parts[#parts + 1] = n == 0 and one_column(entry.symbol)
          or look.colour(guess.probability) .. one_column(guess.symbol) .. look.RESET
      end
      parts[#parts + 1] = "\n"
    end
    parts[#parts + 1] = "\n"
  end
  return table.concat(parts)
end

local STYLE = "<style>.saros-guess{display:inline-flex;flex-direction:column;"
  .. "font:14px/1.35 ui-monospace,monospace;"
  .. "text-align:center;min-width:1.1em;margin-bottom:.8em;white-space:pre}"
  .. ".saros-guess b{border-bottom:1px solid}</style>\n"

--- A page: under each symbol what was expected to follow; the symbols
--- themselves the bluer, the surer the model was of them.
---@return string
function Guesses:html()
  local parts = {}
  for t, entry in ipairs(self.list) do
    local column = { svg.element("b", {
      style = look.style(entry.probability or 0),
      title = entry.probability and format("%.1f %%", 100 * entry.probability) or "",
    }, svg.escape(one_column(entry.symbol))) }
    for n, guess in ipairs(entry.next) do
      column[n + 1] = svg.element("span", {
        style = look.style(-guess.probability), title = format("%.1f %%", 100 * guess.probability),
      }, svg.escape(one_column(guess.symbol)))
    end
    parts[t] = '<span class="saros-guess">' .. table.concat(column) .. "</span>"
  end
  local caption = format("<p>%.2f bits per symbol. Blue: how sure the model was of the symbol that came; "
    .. "red: of what it expected after it.</p>\n", self.bits)
  return look.page("What comes next?", STYLE .. caption .. "<div>" .. table.concat(parts) .. "</div>\n")
end

--- Write the page of `html` to a file.
---@param path string
---@return true? ok, string? message
function Guesses:save(path)
  return frame.write(path, "html", self:html())
end

function Guesses:__tostring()
  return format("guesses (%d symbols, %.3f bits per symbol)", #self.list, self.bits)
end

return guesses
