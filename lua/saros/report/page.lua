--- The page of a report, as HTML that needs nothing else.

local core = require "saros.core"
local svg = require "saros.look.svg"
local script = require "saros.report.script"

local page = {}

local LAYOUT = [[
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>{{title}}</title>
<style>{{library_style}}</style>
<style>
:root { color-scheme: light dark; --page: #fcfcfb; --ink: #0b0b0b; --soft: #52514e; --grid: #e1e0d9;
  {{light}} }
@media (prefers-color-scheme: dark) { :root { --page: #1a1a19; --ink: #fff; --soft: #c3c2b7; --grid: #3a3a37;
  {{dark}} } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 82rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
figure { margin: 0; min-width: 0 }
figcaption { font-weight: 600 }
.controls { display: flex; flex-wrap: wrap; gap: 1.5rem; color: var(--soft) }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem;
  margin-top: 1rem }
.wide { grid-column: 1 / -1 }
.chart { width: 100%; height: 15rem } .wide .chart { height: 22rem }
.legend { min-height: 1.5em; color: var(--soft); font-size: 13px; display: flex; flex-wrap: wrap; gap: 0 1rem }
.legend b { color: var(--ink); font-variant-numeric: tabular-nums }
.dygraph-axis-label, .dygraph-xlabel { color: var(--soft) }
.dygraph-xlabel { font-size: 12px; text-align: center }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: 14px }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--grid); vertical-align: top }
tr.number { font-variant-numeric: tabular-nums }
tr.differs td { font-weight: 600 }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, monospace; margin: .3rem 0 1rem }
summary { cursor: pointer; color: var(--soft) }
.scroll .saros-plot { max-width: none }
</style></head><body>
<h1>{{title}}</h1>
<div class="scroll">{{summary}}</div>
<h2>Curves</h2>
<div class="controls">
<label>Smoothing <input id="smoothing" type="range" min="0" max="0.99" step="0.01" value="{{smoothing}}"></label>
<label><input id="log" type="checkbox"> Logarithmic</label>
<span>{{averaged}}Drag over a chart to zoom, double-click to go back.</span>
</div>
<div class="grid">
{{figures}}</div>
{{sections}}<h2>Configuration</h2>
{{configuration}}
<script type="application/json" id="data">{{data}}</script>
<script>{{library}}</script>
<script>{{script}}</script>
<script type="text/plain" id="licence">{{licence}}</script>
</body></html>
]]

local FIGURES = {
  { "loss", "Loss", "wide" },
  { "accuracy", "Accuracy", "wide" },
  { "lr", "Learning rate" },
  { "norm", "Norm of the gradients, before clipping" },
  { "speed", "%s a second" },
  { "memory", "Memory at its peak, in bytes" },
}

--- What the runs read step by step.
local function noun_of(runs)
  for _, run in ipairs(runs) do
    if not run.has_symbols then
      return "steps"
    end
  end
  return "symbols"
end

local function figures(runs)
  local parts = {}
  for n, figure in ipairs(FIGURES) do
    parts[n] = ('<figure data-curves="%s" class="%s"><figcaption>%s</figcaption><div class="legend"></div>'
      .. '<div class="chart"></div></figure>\n'):format(figure[1], figure[3] or "",
      figure[2]:format((noun_of(runs):gsub("^%l", string.upper))))
  end
  return table.concat(parts)
end

local function row_of(cells, tag, class)
  local parts = {}
  for n, cell in ipairs(cells) do
    parts[n] = ("<%s>%s</%s>"):format(tag, svg.escape(cell), tag)
  end
  return ('<tr class="%s">%s</tr>\n'):format(class or "", table.concat(parts))
end

--- The last value that there is; nil without one.
local function last_number(values)
  for n = #values, 1, -1 do
    if values[n] ~= core.null then
      return values[n]
    end
  end
end

--- What a field of the epochs was at the lowest held-out loss; nil without one.
local function at_best(epochs, field)
  local best
  for n, value in ipairs(epochs.valid) do
    if value ~= core.null and (not best or value < epochs.valid[best]) then
      best = n
    end
  end
  local value = best and epochs[field][best]
  return value ~= core.null and value or nil
end

--- The columns of the summary: name, format, and the value; without one in any run
--- a column is left out.
local SUMMARY = {
  { "run", "%s", function(run)
    return run.name
  end },
  { "updates", "%.0f", function(run)
    return last_number(run.windows.step) or last_number(run.epochs.step)
  end },
  { "epochs", "%.0f", function(run)
    return last_number(run.epochs.epoch)
  end },
  { "training loss", "%.4f", function(run)
    return last_number(run.epochs.train) or last_number(run.windows.loss)
  end },
  { "lowest validation loss", "%.4f", function(run)
    return at_best(run.epochs, "valid")
  end },
  { "in epoch", "%.0f", function(run)
    return at_best(run.epochs, "epoch")
  end },
  { "accuracy then", "%.4f", function(run)
    return at_best(run.epochs, "accuracy")
  end },
  { "%s a second", "%.0f", function(run)
    return last_number(run.epochs.symbols_per_second) or last_number(run.windows.symbols_per_second)
  end },
}

local function summary(runs)
  local rows = { {} }
  for n = 1, #runs do
    rows[n + 1] = {}
  end
  for _, column in ipairs(SUMMARY) do
    local name, form, value_of = table.unpack(column)
    local cells, known = {}, false
    for n, run in ipairs(runs) do
      local value = value_of(run)
      cells[n], known = value and core.format(form, value) or "-", known or value ~= nil
    end
    if known then
      table.insert(rows[1], name:format(noun_of(runs)))
      for n, cell in ipairs(cells) do
        table.insert(rows[n + 1], cell)
      end
    end
  end
  for n, row in ipairs(rows) do
    rows[n] = row_of(row, n == 1 and "th" or "td", n > 1 and "number" or nil)
  end
  return "<table>" .. table.concat(rows) .. "</table>"
end

--- One row for each name that any run has; those that differ stand out.
local function configuration(runs)
  local names, known = {}, {}
  for _, run in ipairs(runs) do
    for name in pairs(run.config) do
      if not known[name] then
        known[name], names[#names + 1] = true, name
      end
    end
  end
  table.sort(names)
  local head = { "" }
  for n, run in ipairs(runs) do
    head[n + 1] = run.name
  end
  local rows = { row_of(head, "th") }
  for _, name in ipairs(names) do
    local cells, differs = { name }, false
    for n, run in ipairs(runs) do
      cells[n + 1] = run.config[name] or "-"
      differs = differs or cells[n + 1] ~= cells[2]
    end
    rows[#rows + 1] = row_of(cells, "td", differs and "differs" or nil)
  end
  return #names > 0 and '<div class="scroll"><table>' .. table.concat(rows) .. "</table></div>"
    or "<p>There is no config.json.</p>"
end

local function samples(runs)
  local parts = {}
  for _, run in ipairs(runs) do
    if #run.samples > 0 then
      local last = #run.samples - 1
      parts[#parts + 1] = ('<h2>Samples of %s</h2>\n<div class="samples">'
        .. '<input type="range" min="0" max="%d" value="%d" aria-label="which sample">\n'):format(
        svg.escape(run.name), last, last)
      for n, sample in ipairs(run.samples) do
        parts[#parts + 1] = ("<details%s><summary>%s</summary><pre>%s</pre></details>\n"):format(
          n == #run.samples and " open" or "", svg.escape(sample.name), svg.escape(sample.text))
      end
      parts[#parts + 1] = "</div>\n"
    end
  end
  return table.concat(parts)
end

--- The numbers that the curves are drawn from. No "<" may end their element.
local function data_of(runs)
  local list = {}
  for n, run in ipairs(runs) do
    list[n] = { name = run.shown, windows = run.windows, epochs = run.epochs }
  end
  return (core.json_encode(list):gsub("<", "\\u003c"))
end

local function averaged(runs)
  local most = 1
  for _, run in ipairs(runs) do
    most = math.max(most, run.averaged)
  end
  return most > 1 and ("Each point is the mean of up to %d updates. "):format(most) or ""
end

--- Every curve needs a name of its own.
local function name_apart(runs)
  local seen = {}
  for _, run in ipairs(runs) do
    local count = (seen[run.name] or 0) + 1
    seen[run.name] = count
    run.shown = count > 1 and ("%s (%d)"):format(run.name, count) or run.name
  end
end

--- The page.
---@param runs saros.report.Run[]
---@param library { script: string, style: string, licence: string }
---@param given { title: string, smoothing: number, pictures: string[] }  pictures: more sections, as HTML
---@return string
function page.of(runs, library, given)
  name_apart(runs)
  local fields = {
    light = svg.variables(false), dark = svg.variables(true),
    title = svg.escape(given.title), smoothing = svg.number(given.smoothing), summary = summary(runs),
    averaged = averaged(runs), figures = figures(runs), sections = table.concat(given.pictures) .. samples(runs),
    configuration = configuration(runs), data = data_of(runs), script = script,
    library = library.script, library_style = library.style, licence = library.licence,
  }
  return (LAYOUT:gsub("{{(.-)}}", fields))
end

return page
