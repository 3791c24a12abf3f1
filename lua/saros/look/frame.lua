--- What charts have in common: title, legend, axes, and a file to go to.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local scale = require "saros.look.scale"
local svg = require "saros.look.svg"

local frame = {}

-- --- Files --------------------------------------------------------------------------

--- How names of the files end.
local ENDINGS = { svg = { svg = true }, html = { html = true, htm = true } }
local EXPECTED = { svg = ".svg, as pictures are SVG", html = ".html or .htm, as it is a page" }

--- What other programs take for something else by its name.
local OTHERS = {}
for ending in ("svg html htm png jpg jpeg gif webp bmp tif tiff pdf ps eps txt csv json"):gmatch "%a+" do
  OTHERS[ending] = true
end

--- Refuse a path that promises another format. Names without an ending, or with
--- one that says nothing, are left to the caller.
---@param owner string  for the message
---@param format "svg"|"html"
---@param path any
function frame.check_path(owner, format, path)
  if type(path) ~= "string" then
    options.fail(("%s: expected a path, got %s"):format(owner, options.describe(path)))
  end
  local ending = (path:match "%.(%a+)$" or ""):lower()
  if OTHERS[ending] and not ENDINGS[format][ending] then
    options.fail(("%s: expected a name that ends in %s, got %q"):format(owner, EXPECTED[format], path))
  end
end

--- Write what `save` is to write.
---@param path string
---@param format "svg"|"html"
---@param text string
---@return true? ok, string? message
function frame.write(path, format, text)
  frame.check_path("save", format, path)
  return core.write_file(path, text)
end

-- --- The picture --------------------------------------------------------------------

---@class saros.Plot
---@field kind string  "lines", "bars", "heat"
---@field title string?
---@field width number  in pixels
---@field height number
---@field body string
local Plot = {}
spelling.methods(Plot, "saros.Plot")

--- The picture as the text of a file, or of a part of an HTML page.
---@return string
function Plot:svg()
  return svg.document(self.width, self.height, self.title, self.body)
end

function Plot:__tostring()
  return ("plot (%s, %d x %d)"):format(self.kind, self.width, self.height)
end

--- Write the picture to a file.
---@param path string  that ends in .svg, or in nothing that is a format
---@return true? ok, string? message
function Plot:save(path)
  return frame.write(path, "svg", self:svg())
end

---@param kind string
---@param o table  its title, width and height
---@param parts string[]
---@return saros.Plot
function frame.plot(kind, o, parts)
  return setmetatable({
    kind = kind, title = o.title, width = o.width, height = o.height, body = table.concat(parts),
  }, Plot)
end

-- --- Its surroundings ------------------------------------------------------------------

local CHARACTER, CAPITAL = 7, 2 -- about as wide as this, and capitals wider by this

--- How wide a text will be, about.
---@param text string
---@return number
function frame.width_of(text)
  text = svg.utf8(text)
  return CHARACTER * utf8.len(text) + CAPITAL * select(2, text:gsub("%u", ""))
end

--- What every chart can be told.
---@param more table[]
---@return table[] fields  for options.declare
function frame.options(more)
  local fields = {
    { "title", options.optional(options.string) },
    { "x", options.optional(options.string) },
    { "y", options.optional(options.string) },
    { "width", options.size, 720 },
    { "height", options.size, 360 },
  }
  return table.move(more, 1, #more, #fields + 1, fields)
end

--- The names of the series with their colours, in rows. Returns their end.
local function add_legend(parts, o, names, top)
  local x, y = 16, top + 12
  for n, name in ipairs(names) do
    local width = 30 + frame.width_of(name)
    if x + width > o.width and x > 16 then
      x, y = 16, y + 18
    end
    local colour = (n - 1) % svg.colours + 1
    parts[#parts + 1] = svg.element("rect", { class = "f" .. colour, x = x, y = y - 8, width = 14, height = 4 })
    parts[#parts + 1] = svg.text(name, { class = "ink", x = x + 20, y = y })
    x = x + width
  end
  return y + 8
end

--- Title and legend. Returns the parts, and where the room below them begins.
---@param o table
---@param names? string[]  of series
---@return string[] parts, number top
function frame.head(o, names)
  local parts, top = {}, 10
  if o.title then
    parts[1] = svg.text(o.title, { class = "ink title", x = 16, y = 24 })
    top = 36
  end
  if names and #names > 0 then
    top = add_legend(parts, o, names, top)
  end
  return parts, top + 6
end

--- The name of an axis on the left.
---@param parts string[]
---@param box { left: number, right: number, top: number, bottom: number }
---@param name? string
function frame.left_name(parts, box, name)
  if name then
    local middle = (box.top + box.bottom) / 2
    parts[#parts + 1] = svg.text(name, {
      class = "soft", ["text-anchor"] = "middle",
      transform = ("translate(16 %s) rotate(-90)"):format(svg.number(middle)),
    })
  end
end

--- The horizontal lines and numbers of an axis on the left, with its name.
---@param parts string[]
---@param box { left: number, right: number, top: number, bottom: number }
---@param axis saros.look.Scale
---@param name? string
function frame.left_axis(parts, box, axis, name)
  for _, value in ipairs(axis.ticks) do
    local y = axis.at(value)
    parts[#parts + 1] = svg.element("line", { class = "grid", x1 = box.left, x2 = box.right, y1 = y, y2 = y })
    parts[#parts + 1] = svg.text(scale.label(value), {
      class = "soft", x = box.left - 8, y = y + 4, ["text-anchor"] = "end",
    })
  end
  frame.left_name(parts, box, name)
end

--- The line and numbers of an axis below, with its name.
---@param parts string[]
---@param box { left: number, right: number, top: number, bottom: number }
---@param axis saros.look.Scale
---@param name? string
function frame.bottom_axis(parts, box, axis, name)
  for _, value in ipairs(axis.ticks) do
    parts[#parts + 1] = svg.text(scale.label(value), {
      class = "soft", x = axis.at(value), y = box.bottom + 18, ["text-anchor"] = "middle",
    })
  end
  frame.bottom_line(parts, box, name)
end

--- The line below and the name of its axis.
---@param parts string[]
---@param box { left: number, right: number, top: number, bottom: number, below?: number }  below: more
---  room between the line and the name (0)
---@param name? string
function frame.bottom_line(parts, box, name)
  parts[#parts + 1] = svg.element("line", {
    class = "axis", x1 = box.left, x2 = box.right, y1 = box.bottom, y2 = box.bottom,
  })
  if name then
    parts[#parts + 1] = svg.text(name, {
      class = "soft", ["text-anchor"] = "middle",
      x = (box.left + box.right) / 2, y = box.bottom + 36 + (box.below or 0),
    })
  end
end

--- The room of the chart itself, below `top`.
---@param o table
---@param top number
---@return { left: number, right: number, top: number, bottom: number }
function frame.box(o, top)
  local bottom = o.height - (o.x and 48 or 30)
  local left = o.y and 72 or 56
  return {
    left = left, right = math.max(o.width - 20, left + 10), top = top, bottom = math.max(bottom, top + 10),
  }
end

--- A list of numbers, or a tensor of rank 1, as a list.
---@param value any
---@return number[]?
function frame.numbers(value)
  if options.tensor.accept(value) then
    return value:rank() == 1 and value:totable() or nil
  elseif type(value) ~= "table" then
    return nil
  end
  for _, number in options.each(value) do
    if type(number) ~= "number" then
      return nil
    end
  end
  return value
end

frame.numbers_kind = options.kind("a list of numbers or a tensor of rank 1", frame.numbers)

return frame
