--- The loss of a model on text that it does not learn from.

local options = require "saros.options"
local loss = require "saros.nn.loss"

local check = options.declare("evaluate", {
  { "batch", options.size, 50 },
  { "length", options.size, 50 },
  { "part", options.one_of { "train", "valid" }, "valid" },
})

--- The mean loss over a part of a text, with the state carried from window to
--- window. Nothing is recorded and dropout does not act. A part too short for
--- the batch is read in fewer rows.
---@param model saros.nn.Module  ids (T, B), state -> logits (T, B, V), state
---@param text saros.Text
---@param given? { batch?: integer, length?: integer, part?: "train"|"valid" }
---@return number nats  per symbol
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
    local logits
    logits, state = model(window.inputs, state)
    local length = #window.inputs
    total = total + loss.cross_entropy(logits, window.targets):item() * length
    steps = steps + length
  end
  return total / steps
end

return evaluate
