--- The benchmark of many ranks: how much faster several of them make an update, as
--- lines of JSON; in turns with one rank, each rank with one thread.
---
---   make bench-ranks BENCH="--ranks 2 --hidden 512 --batch 64 --length 128"
---
--- efficiency: the time of one rank without shards, over that of the ranks times their
--- number. sent: bytes that a rank sends in an update, without MPI's own.

local argparse = require "argparse"
local saros = require "saros"
local host = require "bench.host"

local parser = argparse("ranks", "Measure how updates grow faster with ranks.")
parser:option("--ranks", "Number of ranks."):convert(math.tointeger):default "2"
parser:option("--shards", "Row shards, beside as many as ranks."):convert(math.tointeger):default "8"
parser:option("--hidden", "Units of each of two LSTM layers."):convert(math.tointeger):default "512"
parser:option("--batch", "Rows, of all ranks together."):convert(math.tointeger):default "64"
parser:option("--length", "Steps of a window."):convert(math.tointeger):default "128"
parser:option("--updates", "Updates of each measurement."):convert(math.tointeger):default "6"
parser:option("--turns", "Turns, of which the least counts."):convert(math.tointeger):default "3"
parser:flag("--worker", "Train, as one of the ranks that the benchmark starts.")
local o = parser:parse()

--- Train, and print the median seconds of an update, and where they went.
local function work()
  saros.threads(1)
  local text = saros.data.text({
    string = ("the quick brown fox jumps over the lazy dog. "):rep(o.batch * o.length * (o.updates + 1) // 45 + 1),
  }, { valid = 0 })
  local lm = saros.nn.language_model { vocabulary = text.vocabulary, cell = "lstm", hidden = o.hidden, layers = 2,
    seed = 1 }
  local times, last = {}, nil
  local history = saros.fit(lm, text, { batch = o.batch, length = o.length, shards = o.shards > 0 and o.shards or nil,
    on_window = function()
      local now = saros.clock()
      times[#times + 1] = last and now - last
      last = now
    end })
  table.sort(times)
  if saros.ranks.rank() == 0 then
    print(saros.json_encode { seconds = times[(#times + 1) // 2], ranks = history[1].ranks, updates = #times + 1,
      numbers = lm:count() })
  end
end

--- One measurement.
local function measure(ranks, shards)
  local words = { "OPENBLAS_NUM_THREADS=1", ranks > 0 and "spec/mpirun.sh " .. ranks or "", host.program,
    "bench/ranks.lua", "--worker" }
  for _, name in ipairs { "hidden", "batch", "length", "updates" } do
    words[#words + 1] = ("--%s %d"):format(name, o[name])
  end
  words[#words + 1] = "--shards " .. shards
  local pipe <close> = assert(io.popen(table.concat(words, " ")))
  local line = pipe:read "a"
  return saros.json_decode(line:match "{.*}" or "") or error("no measurement in:\n" .. line, 0)
end

--- The share of the seconds of all ranks that went to something.
local function share_of(result, name)
  local part, all = 0, 0
  for _, seconds in ipairs(result.ranks) do
    part = part + seconds[name]
    all = all + seconds.computing + seconds.waiting + seconds.communicating
  end
  return part / all
end

local function main()
  local least = {}
  local kinds = { { 0, 0 }, { o.ranks, o.ranks }, { o.ranks, o.shards } }
  for _ = 1, o.turns do
    for number, kind in ipairs(kinds) do
      local result = measure(kind[1], kind[2])
      if not least[number] or result.seconds < least[number].seconds then
        least[number] = result
      end
    end
  end
  for number, result in ipairs(least) do
    local ranks, shards = math.max(kinds[number][1], 1), kinds[number][2]
    local row = { case = "ranks", ranks = ranks, shards = shards, hidden = o.hidden, batch = o.batch,
      length = o.length, seconds = result.seconds, efficiency = least[1].seconds / result.seconds / ranks,
      sent = 2 * (ranks - 1) * result.numbers * (saros.info().real == "float" and 4 or 8) // ranks }
    for _, name in ipairs(result.ranks and { "waiting", "communicating" } or {}) do
      row[name] = share_of(result, name)
    end
    print(saros.json_encode(row))
  end
end

if o.worker then
  work()
else
  main()
end
