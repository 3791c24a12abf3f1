--- What is still in a state: how often a linear readout of it tells the symbol
--- that was read some steps ago.

local core = require "saros.core"
local linear = require "saros.nn.linear"
local optim = require "saros.optim"

local UPDATES, RATE = 100, 1e-2

--- The contexts that may be asked for: up to half of the steps, so that all are
--- asked of the same states.
local function askable(contexts, T)
  local list = {}
  for n, steps in ipairs(contexts) do
    list[n] = steps <= (T + 1) // 2 and steps or nil
  end
  return list
end

--- The states (N, H) of some rows, and the symbols (N, K) that lie as far back.
local function pairs_of(states, ids, contexts, first, last)
  local T, farthest, symbols = #states, contexts[#contexts], {}
  for n, steps in ipairs(contexts) do
    symbols[n] = ids:slice(1, farthest - steps + 1, T - steps + 1):slice(2, first, last):reshape(-1)
  end
  return states:slice(1, farthest):slice(2, first, last):reshape(-1, states:size(3)), core.stack(symbols, 2)
end

--- A readout for all contexts at once, trained on states and their symbols.
local function train(states, symbols, V)
  local K = symbols:size(2)
  local readout = linear({ states:size(2), K * V }):init { seed = 1 }
  local function logits_of(x)
    return readout(x):reshape(-1, K, V)
  end
  local adam = optim.adam(readout:parameters(), { lr = RATE })
  for _ = 1, UPDATES do
    local tape <close> = core.tape()
    tape:backward(core.cross_entropy(logits_of(states), symbols))
    adam:step()
  end
  return logits_of
end

--- Train a readout on the first half of the rows, and ask it about the others.
---@param states saros.Tensor  (T, B, H)
---@param ids saros.Tensor  ids (T, B): what was read
---@param contexts integer[]  steps ago, rising; 1 is the step of the state
---@param V integer  different symbols
---@return number[] shares  told, for those of the contexts that are at most half of T
---@return number guessed  the share of the symbol that was the commonest
local function recall(states, ids, contexts, V)
  local T, B = ids:size(1), ids:size(2)
  local asked = askable(contexts, T)
  local seen, answers = pairs_of(states, ids, asked, 1, math.max(1, B // 2))
  local unseen, symbols = pairs_of(states, ids, asked, math.min(B, B // 2 + 1), B)
  local told = train(seen, answers, V)(unseen):argmax(-1):eq(symbols):mean(1):totable()
  local commonest = answers:one_hot(V):sum(1):sum(1):argmax():item()
  return told, symbols:eq(commonest):mean():item()
end

return recall
