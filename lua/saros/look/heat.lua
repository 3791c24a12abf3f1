--- Heat maps: a table of numbers as colours, and confusion matrices. Colour is
--- laid on thinner or thicker, so that 0 looks like the page, light or dark.

local format = require("saros.core").format
local options = require "saros.options"
local frame = require "saros.look.frame"
local scale = require "saros.look.scale"
local svg = require "saros.look.svg"

local heat = {}

local LABEL = 12 -- pixels that a row needs to have its name beside it

-- The bar that tells what the colours mean, at the right: its distance from the cells, its width, and
-- the steps of colour in it.
local GAP, BAR, STEPS = 16, 12, 32

-- The thickest colour still lets text be read on it.
local THICKEST = 0.85

--- Rows of numbers, all as long, or a tensor of rank 2.
local function matrix(value)
  if options.tensor.accept(value) then
    return value:rank() == 2 and value:totable() or nil
  elseif type(value) ~= "table" then
    return nil
  end
  for _, row in options.each(value) do
    if not frame.numbers(row) or #row ~= #value[1] then
      return nil
    end
  end
  return value
end

local matrix_kind = options.kind("rows of numbers, all of one length, or a tensor of rank 2", matrix)

local check_heat = options.declare("plot.heat", frame.options {
  { "values", matrix_kind },
  { "rows", options.list_of(options.string), {} },
  { "columns", options.list_of(options.string), {} },
})

local check_confusion = options.declare("plot.confusion", frame.options {
  { "counts", matrix_kind },
  { "labels", options.list_of(options.string), {} },
})

--- The least and the greatest number to show, and 0.
local function range_of(values)
  local low, high = 0, 0
  for _, row in ipairs(values) do
    for _, value in ipairs(row) do
      if scale.shows(value) then
        low, high = math.min(low, value), math.max(high, value)
      end
    end
  end
  return low, high
end

local function widest(labels)
  local width = 0
  for _, label in ipairs(labels) do
    width = math.max(width, frame.width_of(label))
  end
  return width
end

--- The room of the cells, and the size of one. Names of columns that do not fit
--- side by side stand upright.
local function grid_of(o, top, rows, columns, row_names, column_names, colours)
  local box, width = frame.box(o, top), widest(column_names)
  local bar = colours.high > colours.low and GAP + BAR + colours.width - 6 or 0
  box.right = math.max(box.left + 10, box.right - bar)
  box.left = math.min(math.max(box.left, (o.y and 32 or 16) + widest(row_names)), o.width / 2)
  box.across = (box.right - box.left) / math.max(1, columns)
  box.upright = width + 4 > box.across and box.across >= LABEL
  if box.upright then
    box.below = math.min(width, (box.bottom - top) / 2)
    box.bottom = box.bottom - box.below
  end
  box.down = (box.bottom - box.top) / math.max(1, rows)
  return box
end

local function add_names(parts, box, rows, columns)
  local every = math.max(1, math.ceil(LABEL / box.down))
  for n = 1, #rows, every do
    parts[#parts + 1] = svg.text(rows[n], {
      class = "soft", x = box.left - 8, y = box.top + (n - 0.5) * box.down + 4, ["text-anchor"] = "end",
    })
  end
  every = box.upright and 1 or math.max(1, math.ceil((widest(columns) + 4) / box.across))
  for n = 1, #columns, every do
    local x, y = box.left + (n - 0.5) * box.across, box.bottom + (box.upright and 10 or 18)
    parts[#parts + 1] = svg.text(columns[n], {
      class = "soft", ["text-anchor"] = box.upright and "end" or "middle",
      transform = ("translate(%s %s)%s"):format(svg.number(box.upright and x + 4 or x), svg.number(y),
        box.upright and " rotate(-90)" or ""),
    })
  end
end

--- A cell: blue above 0, red below.
local function add_cell(parts, box, row, column, value, share, hint)
  parts[#parts + 1] = svg.element("rect", {
    class = value < 0 and "f2" or "f1",
    ["fill-opacity"] = math.abs(share) * THICKEST,
    ["shape-rendering"] = "crispEdges",
    x = box.left + (column - 1) * box.across, y = box.top + (row - 1) * box.down,
    width = box.across, height = box.down,
  }, svg.element("title", {}, svg.escape(hint)))
end

--- What the colours of low..high stand for: marks with labels.
local function colours_of(low, high, label)
  local colours = { low = low, high = high, most = math.max(-low, high), marks = {}, labels = {} }
  for n, value in ipairs(scale.new(low, high, 0, 1).ticks) do
    colours.marks[n], colours.labels[n] = value, label(value)
  end
  colours.width = widest(colours.labels)
  return colours
end

--- The bar beside the cells: the colours from high to low, and what they stand for.
local function add_bar(parts, box, colours)
  if colours.high <= colours.low then
    return
  end
  local x, size = box.right + GAP, (box.bottom - box.top) / STEPS
  local places = scale.new(colours.low, colours.high, box.bottom, box.top)
  for n = 1, STEPS do
    local value = colours.high - (n - 0.5) / STEPS * (colours.high - colours.low)
    parts[#parts + 1] = svg.element("rect", {
      class = value < 0 and "f2" or "f1", ["fill-opacity"] = math.abs(value) / colours.most * THICKEST,
      ["shape-rendering"] = "crispEdges", x = x, y = box.top + (n - 1) * size, width = BAR, height = size,
    })
  end
  local every = math.ceil(LABEL * #colours.marks / (box.bottom - box.top))
  for n = 1, #colours.marks, every do
    parts[#parts + 1] = svg.text(colours.labels[n], {
      class = "soft", x = x + BAR + 6, y = places.at(colours.marks[n]) + 4,
    })
  end
end

--- The colours' bar, names of rows, columns and axes around the cells, and the picture.
local function finish(kind, o, parts, box, rows, columns, colours)
  add_bar(parts, box, colours)
  add_names(parts, box, rows, columns)
  frame.left_name(parts, box, o.y)
  frame.bottom_line(parts, box, o.x)
  return frame.plot(kind, o, parts)
end

--- A table of numbers as colours: blue above 0, red below, the page at 0; a bar
--- tells which colour is which number. What is not finite has no colour.
---@param given { values: number[][]|saros.Tensor, rows?: string[], columns?: string[], title?: string, x?: string,
---  y?: string, width?: integer, height?: integer }
---@return saros.Plot
function heat.heat(given)
  local o = check_heat(given)
  local parts, top = frame.head(o)
  local low, high = range_of(o.values)
  local colours = colours_of(low, high, scale.label)
  local box, most = grid_of(o, top, #o.values, #(o.values[1] or {}), o.rows, o.columns, colours), colours.most
  for r, row in ipairs(o.values) do
    for c, value in ipairs(row) do
      if scale.shows(value) then
        add_cell(parts, box, r, c, value, most > 0 and value / most or 0,
          format("%s, %s: %.4g", o.rows[r] or r, o.columns[c] or c, value))
      end
    end
  end
  return finish("heat", o, parts, box, o.rows, o.columns, colours)
end

local function sum_of(row)
  local sum = 0
  for _, value in ipairs(row) do
    sum = sum + (scale.shows(value) and math.max(0, value) or 0)
  end
  return sum
end

local function percent(share)
  return format("%.0f %%", 100 * share)
end

--- Counts of what was taken for what: each row, a true class, is coloured by
--- its shares. A count of 0 is left empty.
---@param given { counts: number[][]|saros.Tensor, labels?: string[], title?: string, x?: string, y?: string,
---  width?: integer, height?: integer }  counts[true class][predicted class]
---@return saros.Plot
function heat.confusion(given)
  local o = check_confusion(given)
  o.x, o.y = o.x or "predicted", o.y or "true"
  local parts, top = frame.head(o)
  local colours = colours_of(0, 1, percent)
  local box = grid_of(o, top, #o.counts, #(o.counts[1] or {}), o.labels, o.labels, colours)
  for r, row in ipairs(o.counts) do
    local sum = sum_of(row)
    for c, value in ipairs(row) do
      local share = sum > 0 and scale.shows(value) and value / sum or 0
      add_cell(parts, box, r, c, value, share, format("%s as %s: %.4g (%.1f %%)",
        o.labels[r] or r, o.labels[c] or c, value, 100 * share))
      if value ~= 0 and box.down >= LABEL and box.across >= frame.width_of(scale.label(value)) then
        parts[#parts + 1] = svg.text(scale.label(value), {
          class = "ink", x = box.left + (c - 0.5) * box.across, y = box.top + (r - 0.5) * box.down + 4,
          ["text-anchor"] = "middle", ["pointer-events"] = "none",
        })
      end
    end
  end
  return finish("confusion", o, parts, box, o.labels, o.labels, colours)
end

return heat
