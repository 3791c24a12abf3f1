--- Text whose symbols are coloured by numbers in [-1, 1]: blue above 0, red
--- below, for terminals and as HTML.

local format = require("saros.core").format
local svg = require "saros.look.svg"

local text = {}

-- From 0 on, in the 256 colours of a terminal, light enough for black letters.
local BLUE = { 231, 195, 153, 111, 69 }
local RED = { 231, 224, 217, 210, 203 }

---@class saros.look.Symbol
---@field symbol string
---@field value number  in [-1, 1]
---@field hint? string  shown when the mouse is over it

--- A symbol as a terminal may show it: no control sequences.
---@param symbol string
---@return string
function text.printable(symbol)
  return (svg.utf8(symbol):gsub("\t", " "):gsub("[%c\127]", "\u{FFFD}"):gsub("\u{C2}[\x80-\x9F]", "\u{FFFD}"))
end

local function clamped(value)
  return value == value and math.max(-1, math.min(1, value)) or 0
end

--- "\27[48;5;111m": what begins the colour of a number.
---@param value number
---@return string
function text.colour(value)
  value = clamped(value)
  local ramp = value < 0 and RED or BLUE
  return ("\27[38;5;16;48;5;%dm"):format(ramp[math.floor(math.abs(value) * (#ramp - 1) + 0.5) + 1])
end

text.RESET = "\27[0m"

--- For a terminal, with its own line breaks.
---@param list saros.look.Symbol[]
---@return string
function text.ansi(list)
  local parts = {}
  for n, item in ipairs(list) do
    local shown = item.symbol == "\n" and " " or text.printable(item.symbol)
    parts[n] = text.colour(item.value) .. shown .. text.RESET .. (item.symbol == "\n" and "\n" or "")
  end
  return table.concat(parts)
end

--- "background:rgba(42,120,214,0.50)": the colour of a number in HTML, which
--- lets the page shine through.
---@param value number
---@return string
function text.style(value)
  value = clamped(value)
  return format("background:rgba(%s,%.2f)", value < 0 and "227,73,72" or "42,120,214", 0.8 * math.abs(value))
end

--- As a paragraph of HTML.
---@param list saros.look.Symbol[]
---@return string
function text.html(list)
  local parts = {}
  for n, item in ipairs(list) do
    parts[n] = svg.element("span", { style = text.style(item.value), title = item.hint or format("%.2f", item.value) },
      item.symbol == "\n" and " \n" or svg.escape(item.symbol))
  end
  return '<pre class="saros-text">' .. table.concat(parts) .. "</pre>\n"
end

local PAGE = [[
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>%s</title>
<style>
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
pre { font: 13px/1.6 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere }
h2 { font-size: 1.05em; margin: 1.6em 0 .3em }
svg { max-width: 100%%; height: auto }
</style></head><body>
<h1>%s</h1>
%s</body></html>
]]

--- A whole page that needs nothing else.
---@param title string
---@param body string  HTML
---@return string
function text.page(title, body)
  return PAGE:format(svg.escape(title), svg.escape(title), body)
end

return text
