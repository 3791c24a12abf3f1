--- Sessions: a model run one step at a time, for an event or a symbol, without
--- making an object. A model says itself of which stages it consists; see
--- `stages` of the modules.

local core = require "saros.core"
local options = require "saros.options"

local check = options.declare("session", {
  { "streams", options.size, 1 },
  { "weights", options.one_of { "real", "bf16", "int8" }, "real" },
})

---@param model saros.nn.Module
---@param given? { streams?: integer, weights?: "real"|"bf16"|"int8" }
---@return saros.Session
local function session(model, given)
  local _ <close> = core.no_gradient()
  local o = check(given)
  if not model.initialized then
    options.fail("session: expected a model with initialized parameters; "
      .. "call init { seed = ... } or load(tensors) first")
  end
  return core.session(model:stages(), o.streams, o.weights)
end

return session
