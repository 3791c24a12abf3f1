--- The readout of exact heads in a net of one's own, fitted to a list of all that can happen:
--- each state of the heads with each token that may come there, and the answer.

local batch_first = require "saros.nn.batch_first"
local core = require "saros.core"
local exact_heads = require "saros.automata.exact_heads"
local machine = require "saros.automata.machine"
local optim = require "saros.optim"
local options = require "saros.options"

local exact_readout = {}

-- Parameters of the layer that no matrix depends on.
local READING = { "weight_q", "weight_g", "norm_out", "weight_o" }

---@class saros.automata.Cases
---@field places integer[][]  the states of all heads before the token
---@field tokens integer[]
---@field answers integer[]

--- All cases in which an answer is asked, found beside the reference.
local function cases_of(reference, whole)
  local cases, r, c, seen, known, at = { places = {}, tokens = {}, answers = {} }, { 1 }, { 1 }, {}, {}, 1
  seen[1 << 32 | 1] = true
  local function note(state, token, answer)
    local key = state * (reference.tokens + 1) + token
    if answer and not known[key] then
      local places, n = {}, #cases.tokens + 1
      whole:places(state, places)
      known[key], cases.places[n], cases.tokens[n], cases.answers[n] = true, places, token, answer
    end
  end
  while r[at] do
    for _, token in ipairs(reference:choices(r[at])) do
      local after, answer = reference:step(r[at], token)
      local to = whole:step(c[at], token)
      note(c[at], token, answer)
      if not seen[after << 32 | to] then
        seen[after << 32 | to], r[#r + 1], c[#c + 1] = true, after, to
      end
    end
    at = at + 1
  end
  return cases
end

--- The matrices before the tokens, (N, H K V).
local function matrices_of(heads, cases)
  local columns = {}
  for h, head in ipairs(heads) do
    local states = {}
    for n, places in ipairs(cases.places) do
      states[n] = places[h]
    end
    columns[h] = core.embedding(core.concatenate(head.matrices, 1), core.ids(states))
  end
  return core.concatenate(columns, 2)
end

local function parameters_of(net, position)
  local list, own = {}, net.steps[position].directions[1].own.p
  for _, name in ipairs(READING) do
    list[#list + 1] = own[name]
  end
  for n = position + 1, #net.steps do
    local step = net.steps[n]
    for _, parameter in ipairs(type(step) == "table" and step:parameters() or {}) do
      list[#list + 1] = parameter
    end
  end
  return list
end

--- The smallest distance of the right output to the largest other one.
local function margin_of(logits, wanted)
  return ((logits * wanted):sum(-1) - (logits - wanted * 1e9):max(-1)):min():item()
end

--- Outputs (N, answers) in all cases, as a function; and the right answers, ids (N).
local function outputs_in_all(net, position, reference)
  local heads, all = exact_heads.machines(net, position, reference.tokens), {}
  for h in ipairs(heads) do
    all[h] = h
  end
  local cases = cases_of(reference, machine.of(heads, all))
  local N = #cases.tokens
  local ids, state = core.ids(cases.tokens):reshape(1, N), { [position] = { { matrices_of(heads, cases) } } }
  return function()
    local y = net(ids, state)
    if not options.has_shape(y, 1, N, reference.answers) then
      options.fail(("prune: expected a net with outputs of shape (1, %d, %d), as many classes as the reference has "
        .. "answers, got %s"):format(N, reference.answers, options.describe(y)))
    end
    return y:reshape(N, reference.answers)
  end, core.ids(cases.answers)
end

--- Fit what reads the matrices until each answer is right by a margin, or for a number of updates.
---@param net saros.nn.Chain
---@param position integer  of the layer with exact heads
---@param reference saros.automata.Reference
---@param o { updates: integer, margin: number, lr: number }
---@return boolean  is every answer right?
function exact_readout.fit(net, position, reference, o)
  local _ <close> = net.batch_first and batch_first.steps_first(net) or nil
  local logits, targets = outputs_in_all(net, position, reference)
  local wanted, least = core.one_hot(targets, reference.answers), -math.huge
  local adam = optim.adam(parameters_of(net, position), { lr = o.lr, beta2 = 0.98 })
  for update = 1, o.updates do
    do
      local tape <close> = core.tape()
      tape:backward(core.cross_entropy(logits(), targets))
    end
    adam:step()
    if update % 20 == 0 or update == o.updates then
      least = margin_of(logits():detach(), wanted)
      if least >= o.margin then
        break
      end
    end
  end
  net:clear_gradients()
  return least > 0
end

return exact_readout
