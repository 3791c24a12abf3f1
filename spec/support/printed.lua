--- Prints figures of all kinds: printed.lua LOCALE FOLDER. The same text is
--- right in every locale; spec/locale_spec.lua compares.

local saros = require "saros"
local nn, data, optim, plot = saros.nn, saros.data, saros.optim, saros.plot
local locale, folder = arg[1], arg[2]
assert(os.setlocale(locale, "numeric"), "no locale " .. locale)
io.stderr:write(("%.1f"):format(0.5), "\n") -- what Lua itself makes of it

local function show(name, ...)
  local parts = {}
  for position = 1, select("#", ...) do
    local value = select(position, ...)
    parts[position] = math.type(value) == "float" and ("%a"):format(value):gsub(",", ".") or tostring(value)
  end
  print(name, table.concat(parts, " "))
end

local function show_error(name, fn, ...)
  local ok, message = pcall(fn, ...)
  assert(not ok, name)
  show(name, message)
end

local function show_file(name, path)
  local file <close> = assert(io.open(path))
  show(name, (file:read "a"))
end

-- --- The core: tensors, JSON, messages ----------------------------------------------------

show("tensor", saros.tensor { { 1.5, -2.25 }, { 1e-9, 3 } }, saros.tensor(0.1), saros.full({ 2 }, 1e20))
show("encode", saros.json_encode { a = 0.1, b = { 1e-300, 2.5 }, c = 1 / 3 })
show("decode", saros.json_decode "0.25", saros.json_decode "[1.5e3]"[1])
show("refused", saros.json_decode "0,5", saros.json_decode "[1,5")
show_error("core", saros.tensor { 1 }.clamp, saros.tensor { 1 }, 0.5, 0.25)
show_error("binding", saros.zeros, 1.5)
show_error("options", nn.gru, { 4, 4, dropout = 1.5 })
show_error("cell", nn.lru, { 4, 4, r_min = 0.9, r_max = 0.5 })

-- --- Tables, in which a comma separates ------------------------------------------------------

local lines = { "t,v" }
for row = 1, 60 do
  lines[row + 1] = ("%d,%d.%d"):format(row, row % 7, row % 10)
end
local series = data.series({ string = table.concat(lines, "\n") }, { horizon = 2 })
show("series", series, series.inputs:sum():item(), series.scale.inputs.shift[1], series.scale.inputs.factor[1])
show("dataless", data.series { string = 'v\n"1,5"\n"2,5"\n' })
local function table_of(name, text, given)
  local read, message = data.series({ string = text }, given)
  show(name, read, message, read and read.inputs:sum():item(), read and read.time and read.time.seconds[1])
end
table_of("decimal comma", "a;b\n1;2,5\n2;1.250,25\n3;0x1\n", { na = "0x1", missing = "previous" })
table_of("decimal point", 'a,b\n1,"1,250.5"\n2,2.5e1\n3,-9999.0\n', { na = { -9999 }, missing = "previous" })
table_of("either", 'a,b\n1,"1,250"\n2,25\n3,3\n')
table_of("time", "t,b\n2020-01-01 00:00:00.25,1.5\n2020-01-01 00:00:00.75,2.5\n2020-01-01 00:00:01.25,3.5\n")
table_of("plain time", "t,b\n0.5,1.5\n0.75,2.5\n1,3.5\n", { time = "t" })

local commas = { "Datum;Wert;Menge" }
for row = 1, 40 do
  commas[row + 1] = ("%02d.03.2024;%d,%d;1.%03d"):format((row - 1) % 31 + 1, row % 7, row % 10, row)
end
local european = assert(data.series({ string = table.concat(commas, "\n", 1, 31) },
  { time = "Datum", format = "%d.%m.%Y" }))
show("commas", european, european.inputs:sum():item())
local stamps = { "at,v" }
for row = 1, 30 do
  stamps[row + 1] = ("2024-01-01 00:00:%02d.5,%d.25"):format(row, row)
end
show("stamps", data.series { string = table.concat(stamps, "\n") })

-- --- Models, their files and their C -----------------------------------------------------------

local f = nn.forecaster { series = series, hidden = 4, layers = 2, dropout = 0.25, seed = 1 }
show("model", f, nn.dropout { 0.25 }, f:summary())
show("memory", f:memory { batch = 2, length = 8 })
show("optimizer", optim.adam(f:parameters(), { lr = 0.00125 }))
local history = saros.fit(f, series, { epochs = 2, batch = 2, length = 8, lr = 0.0025, run = folder .. "/run" })
show("trained", history[2].train, history[2].valid)
assert(f:save(folder .. "/f.safetensors"))
show("loaded", assert(saros.load(folder .. "/f.safetensors")):forecast { { 1.5, 2.5 }, { 2, 3 } }:sum():item())
assert(saros.export_c(f, folder .. "/f.c"))
show_file("C", folder .. "/f.c")
show_file("config", folder .. "/run/config.json")
for line in io.lines(folder .. "/run/metrics.jsonl") do
  local record = assert(saros.json_decode(line), line)
  show("metrics", record.loss, record.train, record.valid)
end

local text = data.text({ string = ("abc abd "):rep(60) }, { valid = 0.2 })
local lm = nn.language_model { vocabulary = text.vocabulary, hidden = 4, cell = "gru", seed = 1 }
saros.fit(lm, text, { epochs = 1, batch = 2, length = 8, lr = 0.0025 })
show("rates", saros.find_rate(lm, text, { batch = 2, length = 8, steps = 5 }))
local guesses = saros.inspect.guesses(lm, "abc abd")
show("guesses", guesses, guesses:html())
show("gates", saros.inspect.gates(lm, "abc abd"))
show("neurons", saros.inspect.neurons(lm, ("abc abd "):rep(8)))
show("task", data.tasks.adding { length = 10 })

show("classes", saros.metrics.classification({ 1.5, 10, 1.5 }, { 1.5, 10, 10 }))
show("errors", f:examine(series))

-- --- Pictures ------------------------------------------------------------------------------------

local values = { { 0.5, -1.25 }, { 0.001, 2 } }
show("heat", plot.heat { values = values, rows = { "a", "b" }, columns = { "c", "d" } }:svg())
show("confusion", plot.confusion { counts = { { 5, 1 }, { 0, 4 } }, labels = { "a", "b" } }:svg())
show("lines", plot.lines { series = { { x = { 0.1, 0.7 }, y = { 0.0125, 0.5 }, name = "y" } } }:svg())
show("bars", plot.bars { values = { 0.5, 0.125 }, labels = { "a", "b" } }:svg())
show("histogram", plot.histogram { values = { 0.5, 0.125, 0.7 } }:svg())

-- --- A report, which needs dygraphs ----------------------------------------------------------------

assert(saros.make_folder(folder .. "/past"))
local metrics = assert(io.open(folder .. "/past/metrics.jsonl", "w"))
for step = 1, 4 do
  metrics:write(saros.json_encode { event = "window", epoch = 1, step = step, loss = 1.5 / step, norm = 0.5,
    lr = 0.0025, seconds = 0.5 * step, symbols_per_second = 1234.5, memory = 1.5e6 }, "\n")
end
metrics:write(saros.json_encode { event = "epoch", epoch = 1, step = 4, train = 0.5, valid = 0.25, accuracy = 0.75,
  seconds = 2.5 }, "\n")
metrics:close()
local config = assert(io.open(folder .. "/past/config.json", "w"))
config:write(saros.json_encode { training = { lr = 0.0025 } })
config:close()
local report, problem = saros.report(folder .. "/past")
if report then
  show_file("report", report)
else
  show("no report", problem)
end

-- --- On a terminal ----------------------------------------------------------------------------------

local seen = assert(io.open(folder .. "/progress", "w"))
local progress = saros.progress { file = seen, live = true, width = 200 }
progress:window { epoch = 1, epochs = 2, index = 1, count = 4, step = 1, loss = 0.5, smoothed = 0.625,
  symbols_per_second = 12345.5, seconds_left = 12.5, memory = 1.5e6, bits = 0.72 }
progress:epoch { epoch = 1, epochs = 2, step = 4, train = 0.5, valid = 0.25, bits = 0.36, perplexity = 1.28,
  symbols_per_second = 12345.5, memory = 1.5e6 }
seen:close()
show_file("progress", folder .. "/progress")
