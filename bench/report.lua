--- Makes a page from what the benchmarks printed on each processor: the text
--- between these marks is replaced, the rest stays as it is.
---
---   <!-- table summary -->       one line for each processor
---   <!-- table processors -->    a section for each, the newest first
---   <!-- end -->
---
--- Rows of "growth" are drawn, into a picture beside the file that has them.
---
---   build/saros bench/report.lua docs/performance.md docs/performance/*.jsonl

local saros = require "saros"
local cases = require "bench.cases"
local rows = require "bench.rows"
local tables = require "bench.tables"

local page = arg[1]

-- --- The picture -------------------------------------------------------------

local WIDTH, HEIGHT = 450, 300 -- of a panel
local TITLES = { length = "steps T", batch = "batch B", hidden = "hidden units H", layers = "layers" }

--- Time and memory over one size: a panel.
local function panel(growth, found, peak)
  local x, ms, mb = {}, {}, {}
  for _, row in ipairs(found) do
    if row.varies == growth.size then
      x[#x + 1], ms[#ms + 1], mb[#mb + 1] = row[growth.size], tables.undisturbed(row, peak), row.peak_mb
    end
  end
  return saros.plot.lines {
    title = "Update by " .. TITLES[growth.size], x = TITLES[growth.size], log = true, log_x = true, width = WIDTH,
    height = HEIGHT, series = { { x = x, y = ms, name = "time, ms" }, { x = x, y = mb, name = "memory, MB" } },
  }:svg()
end

local function draw(path, found)
  local peak, parts = tables.highest_peak(found), {}
  for position, growth in ipairs(cases.growth) do
    local place = ('<svg x="%d" y="%d" '):format((position - 1) % 2 * WIDTH, (position - 1) // 2 * HEIGHT)
    parts[position] = panel(growth, found, peak):gsub("<svg ", place, 1)
  end
  local file <close> = assert(io.open(path, "w"))
  file:write(('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">\n%s</svg>\n'):format(
    2 * WIDTH, 2 * HEIGHT, 2 * WIDTH, 2 * HEIGHT, table.concat(parts)))
end

--- The picture of a processor, drawn if there are rows of it; nil if there is none.
local function picture(found)
  local path = found.path:gsub("jsonl$", "svg")
  if found.growth then
    draw(path, found.growth)
  end
  local file = io.open(path)
  if file then
    file:close()
    return ("![Time and memory of an update by steps, batch, hidden units and layers](%s)"):format(
      path:gsub("^" .. page:match("^(.*/)"):gsub("%p", "%%%0"), ""))
  end
end

-- --- A processor -------------------------------------------------------------

--- Parts of a section: a heading, and what makes the text under it.
local PARTS = {
  { "Training, beside PyTorch", tables.peer },
  { "Training, beside the peak", tables.training },
  { "Whole sequences", tables.sequence },
  { "Steps, beside others", tables.peer_step },
  { "Steps of a session, microseconds", tables.step, tables.step_words },
  { "Cells of one's own, as multiples of the fused layer's time", tables.own },
  { "How cost grows", picture, tables.long },
  { "The recurrent product", tables.product },
  { "Functions of the gates", tables.activation },
  { "Calls from Lua", tables.call },
}

--- The first and the last day of the rows.
local function days(list)
  local first, last
  for _, row in ipairs(list) do
    if row.date then
      first = (not first or row.date < first) and row.date or first
      last = (not last or row.date > last) and row.date or last
    end
  end
  return first, last
end

--- What the figures are of, in a line.
local function origin(found)
  local machine, peers = found.machine[1], found.peers and found.peers[1] or {}
  local words = {
    machine.processors and machine.processors .. " processors", machine.isa and machine.isa .. " kernels",
    machine.real, machine.blas, "Saros " .. machine.version, peers.pytorch and "PyTorch " .. peers.pytorch,
    peers.onednn_instructions and "its oneDNN with " .. peers.onednn_instructions,
    peers.onnxruntime and "ONNX Runtime " .. peers.onnxruntime,
  }
  local shown = {}
  for position = 1, 8 do
    shown[#shown + 1] = words[position] or nil
  end
  local first, last = days(found.list)
  shown[#shown + 1] = first and (first == last and first or first .. " to " .. last)
  return table.concat(shown, "; ") .. ". Rows: `" .. found.path .. "`."
end

local function section(found)
  local machine = found.machine[1]
  local parts = { "## " .. machine.processor, origin(found), machine.note }
  for _, part in ipairs(PARTS) do
    local texts = {}
    for position = 2, #part do
      texts[#texts + 1] = part[position](found)
    end
    if #texts > 0 then
      parts[#parts + 1] = ("### %s\n\n%s"):format(part[1], table.concat(texts, "\n\n"))
    end
  end
  return table.concat(parts, "\n\n")
end

-- --- The page ----------------------------------------------------------------

local function read_all(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local function write_all(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

--- The rows of each file, the newest first. A file says of which machine it is.
local function read_processors(paths)
  local processors = {}
  for position, path in ipairs(paths) do
    local list = rows.read(path)
    local found = rows.by_case(list)
    assert(found.machine, "report: expected a row of the case machine in " .. path .. ", got none")
    found.path, found.list = path, list
    processors[position] = found
  end
  table.sort(processors, function(a, b)
    local _, last = days(a.list)
    local _, other = days(b.list)
    last, other = last or "", other or ""
    return last > other or last == other and a.path < b.path
  end)
  return processors
end

local makers = { summary = tables.summary }

function makers.processors(processors)
  local sections = {}
  for position, found in ipairs(processors) do
    sections[position] = section(found)
  end
  return table.concat(sections, "\n\n")
end

local processors = read_processors { table.unpack(arg, 2) }
write_all(page, (read_all(page):gsub("(<!%-%- table (%l+) %-%->\n)(.-)(<!%-%- end %-%->)",
  function(mark, name, _, finish)
    local made = assert(makers[name], "report: no table is called " .. name)(processors)
    return mark .. "\n" .. (made and made .. "\n\n" or "") .. finish
  end)))
