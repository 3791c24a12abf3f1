--- Nets in ONNX files, there and back: random nets of Saros run in ONNX Runtime, and nets that PyTorch
--- exports run here. Prints counts, and says what it cannot do and why; fails if a net is off.
---
---   make interchange PYTHON=python3 COUNT=500

local argparse = require "argparse"
local saros = require "saros"
local files = require "saros.files"
local reading = require "spec.interchange.read"

local parser = argparse("interchange", "Nets in ONNX files, between Saros, ONNX Runtime and PyTorch.")
parser:option("--python", "A Python with onnx and onnxruntime, and one with torch."):default "python3"
parser:option("--count", "Nets each way."):convert(math.tointeger):default "500"
parser:option("--double", "The double build of Saros."):default "build/double/saros"
parser:option("--folder", "For the files."):default "build/interchange"
local options = parser:parse()

-- A net whose own result in single precision is further than this from that in double precision
-- magnifies roundings: no two libraries agree about it.
local LIMIT = 1e-6

local failed = false

local function say(format, ...)
  print(format:format(...))
end

-- --- Other programs --------------------------------------------------------------------------------

local function quoted(words)
  local list = {}
  for n, word in ipairs(words) do
    list[n] = "'" .. tostring(word):gsub("'", "'\\''") .. "'"
  end
  return table.concat(list, " ")
end

--- The lines that a program prints; nil if it fails.
local function lines_of(words)
  local pipe = assert(io.popen("PYTHONDONTWRITEBYTECODE=1 " .. quoted(words) .. " 2>&-"))
  local list = {}
  for line in pipe:lines() do
    list[#list + 1] = line
  end
  return pipe:close() and list or nil
end

--- The versions of Python's packages; nil if one of them cannot be imported.
local function versions(packages)
  local parts = {}
  for n, name in ipairs(packages) do
    parts[n] = ("print('%s', %s.__version__)"):format(name, name)
  end
  local list = lines_of { options.python, "-c",
    "import " .. table.concat(packages, ", ") .. "; " .. table.concat(parts, "; ") }
  return list and table.concat(list, ", ")
end

--- What lines "NAME<TAB>text" say, by name.
local function by_name(lines)
  local list = {}
  for _, line in ipairs(lines or {}) do
    local name, text = line:match "^(%d+)\t(.*)$"
    if name then
      list[name] = text
    end
  end
  return list
end

local function empty_folder(name)
  local path = options.folder .. "/" .. name
  assert(lines_of { "rm", "-rf", path } and lines_of { "mkdir", "-p", path }, "no folder " .. path)
  return path
end

-- --- Results ---------------------------------------------------------------------------------------------

--- Prints how many nets agree, and each one that does not.
---@param what string
---@param results table<string, string>  a number, or why there is none, by the names of nets
---@param titles table<string, string>
local function report(what, results, titles)
  local count, good, worst, bad = 0, 0, 0, {}
  for name, text in pairs(results) do
    local off = tonumber(text)
    count = count + 1
    if off and off <= LIMIT then
      good, worst = good + 1, math.max(worst, off)
    else
      bad[#bad + 1] = ("  %s (%s): %s"):format(name, titles[name] or "?", off and text .. " off" or text)
    end
  end
  table.sort(bad)
  say("%s: %d nets, %d within %g, of these the largest difference %.2g", what, count, good, LIMIT, worst)
  for _, line in ipairs(bad) do
    print(line)
  end
  failed = failed or good < count or count < options.count
end

-- --- From Saros to ONNX Runtime ------------------------------------------------------------------------------

--- How far single precision is from double precision.
local function roundings(path)
  local worst = 0
  local plain, double = saros.safetensors.read(path .. ".safetensors"), saros.safetensors.read(path
    .. ".double.safetensors")
  for name, x in pairs(double) do
    if name:find "^out%." then
      worst = math.max(worst, ((x - plain[name]):abs():max() / x:abs():max():maximum(1)):item())
    end
  end
  return worst
end

--- Writes nets until there are enough steady ones; the names of all, and how many others were drawn.
local function write_nets(folder)
  local titles, steady, others, seed = {}, 0, 0, 0
  while steady < options.count do
    local last = seed + options.count - steady
    for _, program in ipairs { arg[-1] or "build/saros", options.double } do
      local lines = assert(lines_of { program, "spec/interchange/write.lua", folder, seed + 1, last },
        program .. " could not write nets")
      for name, text in pairs(by_name(lines)) do
        titles[name] = text
      end
    end
    for n = seed + 1, last do
      local path = ("%s/%04d"):format(folder, n)
      if roundings(path) <= LIMIT then
        steady = steady + 1
      else
        others = others + 1
        os.remove(path .. ".onnx")
      end
    end
    seed = last
  end
  return titles, others
end

local function to_runtime()
  local known = versions { "numpy", "onnx", "onnxruntime" }
  if not known then
    say("no ONNX Runtime: %s cannot import numpy, onnx and onnxruntime, so no written net was run", options.python)
    return
  elseif not files.open(options.double) then
    say("no %s: the double build says which nets magnify roundings, so no written net was run", options.double)
    return
  end
  local folder = empty_folder "written"
  local titles, others = write_nets(folder)
  local results = by_name(lines_of { options.python, "spec/interchange/runtime.py", folder })
  report(("written by Saros, checked and run by %s"):format(known), results, titles)
  say("  %d more nets were drawn and left out: in single precision Saros itself is off by more than %g", others, LIMIT)
end

-- --- From PyTorch to Saros ---------------------------------------------------------------------------------

local function from_pytorch()
  local known = versions { "torch" }
  if not known then
    say("no PyTorch: %s cannot import torch, so none of its nets was read", options.python)
    return
  end
  local folder = empty_folder "exported"
  local titles = by_name(lines_of { options.python, "spec/interchange/pytorch.py", folder, 1, options.count })
  local results, counts = {}, { traced = 0, dynamo = 0 }
  for name, title in pairs(titles) do
    local exporter = title:match "^%l+"
    counts[exporter] = (counts[exporter] or 0) + 1
    if exporter == "failed" then
      results[name] = "PyTorch does not export it"
    else
      local ok, off = pcall(reading.difference, folder .. "/" .. name)
      results[name] = ok and ("%.3g"):format(off) or tostring(off)
    end
  end
  report(("exported by %s (%d traced, %d by dynamo), read by Saros"):format(known, counts.traced, counts.dynamo),
    results, titles)
  if counts.dynamo == 0 then
    say("  no net by PyTorch's newer exporter: %s cannot import onnxscript", options.python)
  end
end

to_runtime()
from_pytorch()
os.exit(not failed, true)
