--- SVG as text: elements, escaping, and the colours that charts share. They are
--- classes, not attributes, so that a picture follows the reader's choice of a
--- light or a dark page, and needs no variables, which not every viewer knows.

local format = require("saros.core").format
local characters = require "saros.generate.characters"

local svg = {}

-- Told apart also by those who do not tell red from green.
local LIGHT = { "#2a78d6", "#e34948", "#1baf7a", "#eda100", "#4a3aa7", "#e87ba4", "#008300", "#eb6834" }
local DARK = { "#3987e5", "#e66767", "#199e70", "#c98500", "#9085e9", "#d55181", "#008300", "#d95926" }

--- How many series have a colour of their own.
svg.colours = #LIGHT

--- The same colours for a page, as values of --s1, --s2, ...
---@param dark boolean
---@return string
function svg.variables(dark)
  local list = {}
  for n, colour in ipairs(dark and DARK or LIGHT) do
    list[n] = ("--s%d: %s"):format(n, colour)
  end
  return table.concat(list, "; ")
end

local function rules_of(page, ink, soft, grid, series)
  local rules = {
    (".page{fill:%s}.ink{fill:%s}.soft{fill:%s}.grid{stroke:%s}.axis{stroke:%s}"):format(page, ink, soft, grid, soft),
  }
  for n, colour in ipairs(series) do
    rules[n + 1] = (".l%d{stroke:%s}.f%d{fill:%s}"):format(n, colour, n, colour)
  end
  return (table.concat(rules):gsub("%.%l", ".saros-plot %0"))
end

local STYLE = "<style>.saros-plot{max-width:100%;height:auto;background:none}"
  .. ".saros-plot text{font:12px system-ui,sans-serif}.saros-plot .title{font-size:14px;font-weight:600}"
  .. ".saros-plot polyline{fill:none;stroke-width:2;stroke-linejoin:round}.saros-plot line{stroke-width:1}"
  .. rules_of("#fcfcfb", "#0b0b0b", "#52514e", "#e1e0d9", LIGHT)
  .. "@media (prefers-color-scheme:dark){"
  .. rules_of("#1a1a19", "#ffffff", "#c3c2b7", "#2c2c2a", DARK) .. "}</style>"

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }
local REPLACEMENT = utf8.char(0xFFFD)

--- Any bytes as UTF-8: what is none becomes U+FFFD.
---@param text string
---@return string
function svg.utf8(text)
  if utf8.len(text) then
    return text
  end
  local complete, feed = {}, characters()
  for byte in text:gmatch "." do
    complete[#complete + 1] = feed(byte)
  end
  return table.concat(complete) .. feed " ":sub(1, -2)
end

--- Text for the content or an attribute of XML and HTML. What XML has no
--- character for becomes U+FFFD.
---@param text any
---@return string
function svg.escape(text)
  text = svg.utf8(format("%s", text)):gsub("[%z\1-\8\11\12\14-\31\127]", REPLACEMENT)
  return (text:gsub("\xEF\xBF[\xBE\xBF]", REPLACEMENT):gsub("[&<>\"']", ESCAPES))
end

--- A number as attributes have it: two decimals at most.
---@param number number
---@return string
function svg.number(number)
  return (format("%.2f", number):gsub("%.?0+$", ""))
end

--- <name key="value" ...>content</name>. Values are escaped, content is not.
---@param name string
---@param attributes table<string, string|number>
---@param content? string
---@return string
function svg.element(name, attributes, content)
  local words = {}
  for key, value in pairs(attributes) do
    local text = type(value) == "number" and svg.number(value) or svg.escape(value)
    words[#words + 1] = (' %s="%s"'):format(key, text)
  end
  table.sort(words) -- the same picture, the same bytes
  return ("<%s%s%s"):format(name, table.concat(words), content and (">%s</%s>"):format(content, name) or "/>")
end

--- A line of text at a place.
---@param text any
---@param attributes table<string, string|number>
---@return string
function svg.text(text, attributes)
  return svg.element("text", attributes, svg.escape(text))
end

--- The whole picture.
---@param width number
---@param height number
---@param title? string  for those who cannot see it
---@param body string
---@return string
function svg.document(width, height, title, body)
  local label = title and svg.element("title", {}, svg.escape(title)) or ""
  return svg.element("svg", {
    xmlns = "http://www.w3.org/2000/svg",
    class = "saros-plot",
    role = "img",
    width = width,
    height = height,
    viewBox = ("0 0 %s %s"):format(svg.number(width), svg.number(height)),
  }, label .. STYLE .. svg.element("rect", { class = "page", width = width, height = height }) .. body) .. "\n"
end

return svg
