--- Pictures of what models make of data that is held out: which labels they take
--- for which, and what they forecast beside what came.

local heat = require "saros.look.heat"
local lines = require "saros.look.lines"
local svg = require "saros.look.svg"
local classification = require "saros.metrics.classification"
local regression = require "saros.metrics.regression"

local pictures = {}

local WIDTH = 1000 -- of a page

local function section(title, plot)
  return ('<h2>%s</h2>\n<div class="scroll">%s</div>\n'):format(svg.escape(title), plot:svg())
end

--- Large enough for the numbers in its cells, where the page has the room.
local function size_of(labels)
  local count = type(labels) == "table" and #labels or 0
  return math.min(WIDTH, 240 + 44 * count), 200 + 24 * count
end

---@param title string
---@param given { labels: string[], counts: number[][] }  counts[true class][predicted class]
---@return string  HTML
function pictures.confusion(title, given)
  local width, height = size_of(given.labels)
  return section(title, heat.confusion { labels = given.labels, counts = given.counts, width = width, height = height })
end

---@param title string
---@param series saros.look.Series[]
---@return string  HTML
function pictures.forecast(title, series)
  return section(title, lines { x = "row", width = WIDTH, series = series })
end

--- What a model's `examine` prints.
local function figures(title, found)
  return ("<h2>%s</h2>\n<pre>%s</pre>\n"):format(svg.escape(title), svg.escape(tostring(found)))
end

local function of_labels(confusion, suffix)
  return figures("Labels" .. suffix, classification.of_counts(confusion.labels, confusion.counts))
end

local function of_errors(errors, suffix)
  return figures("Errors" .. suffix, regression.errors(errors))
end

local function of_target(entry, suffix)
  local series = { { name = "truth", x = entry.x, y = entry.truth } }
  for _, told in ipairs(entry.predictions) do
    series[#series + 1] = { x = entry.x, y = told.y,
      name = ("told %d step%s before"):format(told.ahead, told.ahead == 1 and "" or "s") }
  end
  return pictures.forecast(("Forecast and truth: %s%s"):format(entry.name, suffix), series)
end

local SECONDS = { "computing", "waiting", "communicating" }

--- Where the time of each rank went in a pass.
local function of_ranks(ranks, suffix)
  local values, names = {}, {}
  for number, seconds in ipairs(ranks) do
    values[number], names[number] = {}, "rank " .. number - 1
    for column, kind in ipairs(SECONDS) do
      values[number][column] = seconds[kind]
    end
  end
  return section("Seconds of the last pass by rank" .. suffix, heat.heat { values = values, rows = names,
    columns = SECONDS, width = WIDTH / 2, height = 120 + 20 * #ranks })
end

--- The pictures of what a run folder has; what makes no sense there is left out.
---@param run saros.report.Run
---@param suffix string  of the titles
---@return string  HTML
function pictures.of_run(run, suffix)
  local parts = {}
  local function try(make, ...)
    local ok, html = pcall(make, ...)
    parts[#parts + 1] = ok and html or nil
  end
  if run.held_out.confusion then
    try(pictures.confusion, "Confusion" .. suffix, run.held_out.confusion)
    try(of_labels, run.held_out.confusion, suffix)
  end
  if run.held_out.errors then
    try(of_errors, run.held_out.errors, suffix)
  end
  if type(run.held_out.forecasts) == "table" then
    for _, entry in ipairs(run.held_out.forecasts) do
      try(of_target, entry, suffix)
    end
  end
  if type(run.ranks) == "table" then
    try(of_ranks, run.ranks, suffix)
  end
  return table.concat(parts)
end

return pictures
