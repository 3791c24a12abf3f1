--- Operations of one's own, with a way back of one's own.
---
---     local clip = saros.operation {
---       name = "clip",
---       forward = function(x, limit) return saros.minimum(x, limit) end,
---       backward = function(dy, x, limit, y) return dy end, -- straight through
---     }
---
--- On the tape one is a single entry, whatever its functions compute; so it takes the
--- memory of what it saves, and has the gradient that it says it has.

local core = require "saros.core"
local options = require "saros.options"

local check = options.declare("operation", {
  { "name", options.kind("a name of 1 to 63 bytes", function(value)
    return type(value) == "string" and #value > 0 and #value < 64 and not value:find "\0" and value or nil
  end) },
  { "forward", options.callback },
  { "backward", options.callback },
  { "outputs", options.optional(options.size) },
})

---@class saros.OperationOptions
---@field name string  for messages and profiles
---@field forward fun(...): ...  the arguments of a call -> tensors. It runs as without a tape: nothing of it is
---  recorded, and dropout does not act
---@field backward fun(...): ...  the gradients of the outputs, then the arguments of forward, then all that it returned
---  -> one gradient for each argument, of its shape; nil where there is none. Outputs that the loss does not read have
---  gradients of zeros
---@field outputs? integer  how many results of forward the caller gets (all); those behind are for backward alone

--- Make an operation: a function of tensors and anything else. Gradients go to the
--- tensors among its arguments; tensors in tables are constants. Until the way back is
--- over, tensors that it got or gave cannot be written in place.
---@param given saros.OperationOptions
---@return fun(...): ...
local function operation(given)
  local o = check(given)
  return core.operation(o.name, o.forward, o.backward, o.outputs or 0)
end

return operation
