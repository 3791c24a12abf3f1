--- Reports: one HTML file about one or several trainings, from their run folders.
--- It needs nothing else, no network and no other file, and may be sent by mail.

local core = require "saros.core"
local options = require "saros.options"
local files = require "saros.files"
local frame = require "saros.look.frame"
local page = require "saros.report.page"
local pictures = require "saros.report.pictures"
local run = require "saros.report.run"

-- Where Debian's libjs-dygraphs is, and its licence.
local LIBRARY = "/usr/share/javascript/dygraphs"
local LICENCE = "/usr/share/doc/libjs-dygraphs/copyright"

local check = options.declare("report", {
  { "path", options.optional(options.string) },
  { "title", options.optional(options.string) },
  { "smoothing", options.fraction, 0 },
  { "confusion", options.optional(options.table) },
  { "forecast", options.optional(options.table) },
  { "library", options.string, LIBRARY },
})

local folder_names = options.list_of(options.string)

--- No reader's browser shall look for the library's source.
local function without_map(text)
  return (text:gsub("//[#@] *sourceMappingURL=[^\n]*", ""):gsub("/%*[#@] *sourceMappingURL=.-%*/", ""))
end

--- Text inside a script element must not end it, nor begin another.
local function inside_script(text)
  return (text:gsub("</([sS][cC][rR][iI][pP][tT])", "<\\/%1"):gsub("<!%-%-", "<\\!--"))
end

--- The charting library as it is installed, or nil and a message.
local function read_library(folder)
  local script, message = files.read(folder .. "/dygraph.min.js")
  local style, other = files.read(folder .. "/dygraph.min.css")
  if not (script and style) then
    return nil, ("report: expected dygraph.min.js and dygraph.min.css, got %s; Debian has them in "
      .. "libjs-dygraphs: make setup"):format(message or other)
  end
  local licence = files.read(LICENCE) or files.read(folder .. "/LICENSE.txt") or "MIT licence, https://dygraphs.com"
  return {
    script = inside_script(without_map(script)),
    style = (without_map(style):gsub("</", "<\\/")),
    licence = inside_script("This page contains dygraphs.\n\n" .. licence),
  }
end

--- More sections: what the caller gives for them, then what the runs have.
local function pictures_of(o, runs)
  local parts = {}
  if o.confusion then
    parts[1] = options.about("report", pictures.confusion, "Confusion", o.confusion)
  end
  if o.forecast then
    local f = o.forecast
    parts[#parts + 1] = options.about("report", pictures.forecast, "Forecast and truth", {
      { name = "truth", x = f.x, y = f.truth }, { name = "forecast", x = f.x, y = f.prediction },
    })
  end
  for _, one in ipairs(runs) do
    parts[#parts + 1] = pictures.of_run(one, #runs > 1 and " of " .. one.name or "")
  end
  return parts
end

--- Write a report.
---@param folders string|string[]  run folders, which are compared
---@param given? { path?: string, title?: string, smoothing?: number,
---  confusion?: { labels: string[], counts: number[][] },
---  forecast?: { truth: number[], prediction: number[], x?: number[] }, library?: string }
---  path: of the file (report.html in the folder; of several, comparison.html in the first, whose own report
---  stays); smoothing in [0, 1), where the slider stands (0);
---  confusion: see saros.plot.confusion; library: where dygraphs is installed (where Debian has it)
---@return string? path  of the file; nil if a folder or the library cannot be read, or the file not be written
---@return string? message
local function report(folders, given)
  local o = check(given)
  local list = type(folders) == "string" and { folders } or folders
  if type(list) ~= "table" or #list == 0 or not folder_names.accept(list) then
    options.fail("report: expected a run folder or a list of them, got "
      .. options.describe_misfit(folder_names, folders))
  end
  if o.path then
    frame.check_path("report", "html", o.path)
  end
  local library, message = read_library(o.library)
  if not library then
    return nil, message
  end
  local runs = {}
  for n, folder in ipairs(list) do
    runs[n], message = run.read(folder)
    if not runs[n] then
      return nil, message
    end
  end
  local path = o.path or list[1]:gsub("/+$", "") .. (#list > 1 and "/comparison.html" or "/report.html")
  local ok, problem = core.write_file(path, page.of(runs, library, {
    title = o.title or #runs > 1 and ("%d runs"):format(#runs) or "Run " .. runs[1].name,
    smoothing = o.smoothing, pictures = pictures_of(o, runs),
  }))
  if not ok then
    return nil, "report: " .. problem
  end
  return path
end

return report
