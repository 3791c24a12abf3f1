--- The loss of a model on what it does not learn from.

local core = require "saros.core"
local options = require "saros.options"
local loss = require "saros.nn.loss"
local pass = require "saros.train.pass"

local check = options.declare("evaluate", {
  { "batch", options.size, 50 },
  { "length", options.size, 50 },
  { "part", options.one_of { "train", "valid", "test" }, "valid" },
})

--- The mean loss over a part of some data. Every element of the part (symbol, step,
--- sequence, pair) counts once, with what precedes it in the part: a text or series
--- is read from its beginning with the state carried, a long one in rows with a
--- warm-up (saros.data.reading), pieces from their own beginnings. The loss depends
--- on the model and the part alone; `batch` and `length` say how much is read at once
--- and change it by no more than rounding. A model that carries no state sees no
--- further back than `length`. Nothing is recorded and dropout does not act.
---@param model saros.nn.Module  as `saros.fit` takes it
---@param data saros.train.Data
---@param given? { batch?: integer, length?: integer, part?: "train"|"valid"|"test" }  rows and steps that are
---  read at once, at most (50, 50); part ("valid")
---@return number loss  nats per symbol, or as the model's own loss has it
---@return number? accuracy  of models that choose a label: the share that is right
local function evaluate(model, data, given)
  local _ <close> = core.no_gradient()
  local o = check(given)
  if not pass.is_data(data) or not pass.holds_out(data, o.part) then
    options.fail(("evaluate: expected data with a part '%s', which in a text has at least 2 symbols%s"):format(o.part,
      o.part == "train" and "" or ("; option '%s' of the data holds one out"):format(o.part)))
  end
  pass.require_match("evaluate", model, data)
  local total, answers, right, state = 0, 0, nil, nil
  for window in pass.evaluation(data, o) do
    local cost, hits
    cost, state, hits = loss.of_window(model, window, state)
    if window.counts ~= false then
      local count = pass.answers(window)
      total, answers = total + cost:item() * count, answers + count
      right = hits and (right or 0) + hits
    end
  end
  core.collect_soon()
  if answers == 0 then
    options.fail(("evaluate: expected a target that counts in part '%s', got masks of zeros"):format(o.part))
  end
  return total / answers, right and right / answers
end

return evaluate
