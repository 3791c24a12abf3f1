--- The loss of a model on what it does not learn from.

local options = require "saros.options"
local loss = require "saros.nn.loss"

local check = options.declare("evaluate", {
  { "batch", options.size, 50 },
  { "length", options.size, 50 },
  { "part", options.one_of { "train", "valid", "test" }, "valid" },
})

--- The mean loss over a part of a text or series, with the state carried from
--- window to window. Nothing is recorded and dropout does not act. A part too short for
--- the batch is read in fewer rows.
---@param model saros.nn.Module  ids (T, B), state -> logits (T, B, V), state; or with a window_loss
---@param text saros.Text|saros.Series
---@param given? { batch?: integer, length?: integer, part?: "train"|"valid"|"test" }
---@return number  nats per symbol, or as the model's own loss has it
local function evaluate(model, text, given)
  local o = check(given)
  local part = text[o.part]
  if not part or #part < 2 then
    options.fail(("evaluate: expected a text with at least 2 symbols in part '%s'"):format(o.part))
  end
  local total, steps, state = 0, 0, nil
  for window in text:windows {
    batch = math.min(o.batch, #part - 1),
    length = o.length,
    part = o.part,
    partial = true,
  } do
    local cost
    cost, state = loss.of_window(model, window, state)
    local count = window.inputs:count()
    total = total + cost:item() * count
    steps = steps + count
  end
  return total / steps
end

return evaluate
