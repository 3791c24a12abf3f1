--- Readouts: what they say in states of a machine, and how they are fitted to a list of
--- states and answers that is complete.

local core = require "saros.core"
local optim = require "saros.optim"
local machine = require "saros.automata.machine"

local readout = {}

-- So many states are read at once.
local MOST = 4096

--- The answers in states of a machine, and the smallest distance from the largest to the
--- second largest output.
---@param model saros.automata.Model
---@param of saros.automata.Machine
---@param states integer[]
---@return integer[] answers
---@return number margin
function readout.answers(model, of, states)
  local answers, margin = {}, math.huge
  local _ <close> = core.no_gradient()
  for first = 1, #states, MOST do
    local some = table.move(states, first, math.min(first + MOST - 1, #states), 1, {})
    local logits = model:readout(machine.features(of, some))
    table.move(logits:argmax(-1):totable(), 1, #some, first, answers)
    if model.o.answers > 1 then
      local two = logits:topk(2, 2)
      margin = math.min(margin, (two:slice(2, 1, 1) - two:slice(2, 2, 2)):min():item())
    end
  end
  return answers, margin
end

--- Fit a readout until each answer is right by a margin, or for a number of updates.
---@param model saros.automata.Model
---@param x saros.Tensor  (N, F)
---@param targets saros.Tensor  ids (N)
---@param o { updates: integer, margin: number, lr: number }
---@return boolean  is every answer right?
function readout.fit(model, x, targets, o)
  local parameters = { model.hidden.weight, model.hidden.bias, model.head.weight, model.head.bias }
  local adam = optim.adam(parameters, { lr = o.lr, beta2 = 0.98 })
  local wanted = core.one_hot(targets, model.o.answers)
  local least = -math.huge
  for update = 1, o.updates do
    local tape <close> = core.tape()
    local logits = model:readout(x)
    tape:backward(core.cross_entropy(logits, targets))
    adam:step()
    if update % 20 == 0 or update == o.updates then
      local now = model:readout(x):detach()
      local others = (now - wanted * 1e9):max(-1)
      least = ((now * wanted):sum(-1) - others):min():item()
      if least >= o.margin then
        break
      end
    end
  end
  return least > 0
end

return readout
