--- One row of the benchmark: training of one case, in a process of its own, so
--- that the peak of its memory is that of this case.
---
---   build/saros bench/train.lua CASE CELL THREADS SECONDS

local saros = require "saros"
local cases = require "bench.cases"
local host = require "bench.host"
local measure = require "bench.measure"

local nn, optim, clock = saros.nn, saros.optim, saros.clock

local WINDOWS = 8 -- of different ids, in turn
local SHORTEST = 0.04 -- seconds of a sample; small windows share one
local WARM_UP = 0.2 -- seconds, and at least one window, that are not counted

--- A text of random characters out of all that there are.
local function random_text(length)
  local characters = {}
  for position = 1, length do
    local id = position <= cases.VOCABULARY and position or math.random(cases.VOCABULARY)
    characters[position] = string.char(31 + id)
  end
  return saros.data.text { string = table.concat(characters) }
end

--- A model of the case, and what training it takes.
local function prepare(case)
  math.randomseed(1)
  local length = math.max(case.batch * (case.length * WINDOWS + 1), cases.VOCABULARY)
  local text = random_text(length)
  local model = nn.language_model {
    vocabulary = text.vocabulary, cell = case.cell, hidden = case.hidden, layers = case.layers, seed = 1,
  }
  local windows = {}
  for window in text:windows { batch = case.batch, length = case.length } do
    windows[#windows + 1] = { inputs = window.inputs, targets = window.targets }
  end
  local parameters = model:parameters()
  return {
    model = model, windows = windows, count = 0, parameters = parameters,
    optimizer = optim.adam(parameters, { lr = 1e-3 }),
  }
end

--- One update. Returns when its three parts ended.
local function learn(run)
  local window = run.windows[run.count % #run.windows + 1]
  run.count = run.count + 1
  local forward, backward
  do
    local tape <close> = saros.tape()
    local logits
    logits, run.state = run.model(window.inputs, run.state)
    local loss = nn.cross_entropy(logits, window.targets)
    forward = clock()
    tape:backward(loss)
    backward = clock()
  end
  optim.clip_norm(run.parameters, 5)
  run.optimizer:step()
  return forward, backward, clock()
end

--- So many updates as one sample.
local function learn_some(run, updates)
  local sample = { seconds = 0, forward = 0, backward = 0, optimizer = 0 }
  for _ = 1, updates do
    local begin = clock()
    local forward, backward, finish = learn(run)
    sample.forward = sample.forward + (forward - begin) / updates
    sample.backward = sample.backward + (backward - forward) / updates
    sample.optimizer = sample.optimizer + (finish - backward) / updates
    sample.seconds = sample.seconds + (finish - begin)
  end
  return sample
end

--- Train until everything is where it stays. Returns the updates of a sample.
local function warm_up(run)
  local begin = clock()
  local seconds
  repeat
    seconds = learn_some(run, 1).seconds
  until clock() - begin > WARM_UP
  return math.ceil(SHORTEST / seconds)
end

---@param case bench.Case
---@param limits { seconds: number, threads: integer }
local function measure_training(case, limits)
  saros.threads(limits.threads)
  local run = prepare(case)
  local updates = warm_up(run)
  local symbols = updates * case.batch * case.length
  local samples = measure.beside_peak(function()
    local sample = learn_some(run, updates)
    sample.flops = symbols * cases.flops_per_symbol(case)
    sample.symbols_per_s = symbols / sample.seconds
    sample.rate = sample.flops / sample.seconds
    return sample
  end, limits)
  local row = { threads = limits.threads, isa = saros.info().isa }
  for field, value in pairs(case) do
    row[field] = value
  end
  local function median(field)
    return measure.median_of(samples, field)
  end
  row.symbols_per_s = median "symbols_per_s"
  row.gflops, row.peak_gflops, row.fraction = median "rate" / 1e9, median "peak" / 1e9, median "fraction"
  row.ms_forward, row.ms_backward = 1e3 * median "forward", 1e3 * median "backward"
  row.ms_optimizer = 1e3 * median "optimizer"
  row.peak_mb = saros.memory().peak / 1e6
  return row
end

local case = cases.case(arg[1], arg[2])
host.emit(measure_training(case, { threads = tonumber(arg[3]), seconds = tonumber(arg[4]) }))
