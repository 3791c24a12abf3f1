--- The training that is measured: a model of a case, random ids, and updates
--- that say how long their parts took.

local saros = require "saros"
local cases = require "bench.cases"

local nn, optim, clock = saros.nn, saros.optim, saros.clock

local training = {}

local WINDOWS = 8 -- of different ids, in turn

--- A text of random characters out of all that there are.
local function random_text(length)
  local characters = {}
  for position = 1, length do
    local id = position <= cases.VOCABULARY and position or math.random(cases.VOCABULARY)
    characters[position] = string.char(31 + id)
  end
  return saros.data.text { string = table.concat(characters) }
end

--- What stands between an embedding and a stack, so that the stack sees vectors, not ids.
local function as_vectors(x)
  return x
end

--- A language model, or its layers one after the other, in which every position
--- is multiplied by W as the equations are written: the work that is counted.
local function build(case, text, written_out)
  if not written_out then
    return nn.language_model {
      vocabulary = text.vocabulary, cell = case.cell, hidden = case.hidden, layers = case.layers, seed = 1,
    }
  end
  local V, H = #text.vocabulary, case.hidden
  local stack = nn[case.cell] { H, H, layers = case.layers }
  return nn.chain { nn.embedding { V, H }, as_vectors, stack, nn.linear { H, V } }:init { seed = 1 }
end

--- A model of the case, and what training it takes.
---@param case bench.Case
---@param options? { written_out?: boolean, precision?: string }  written_out: all products that are counted,
---  no shortcuts (false); precision: of the products ("real")
function training.prepare(case, options)
  options = options or {}
  math.randomseed(1)
  local length = math.max(case.batch * (case.length * WINDOWS + 1), cases.VOCABULARY)
  local text = random_text(length)
  local model = build(case, text, options.written_out)
  model:precision(options.precision or "real")
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
local function update(run)
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
---@return { seconds: number, forward: number, backward: number, optimizer: number }  the parts: of one update
function training.learn(run, updates)
  local sample = { seconds = 0, forward = 0, backward = 0, optimizer = 0 }
  for _ = 1, updates do
    local begin = clock()
    local forward, backward, finish = update(run)
    sample.forward = sample.forward + (forward - begin) / updates
    sample.backward = sample.backward + (backward - forward) / updates
    sample.optimizer = sample.optimizer + (finish - backward) / updates
    sample.seconds = sample.seconds + (finish - begin)
  end
  return sample
end

return training
