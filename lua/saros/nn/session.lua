--- Sessions: a model run one step at a time, for an event or a symbol, without
--- making an object. What a step does is the model's program; see saros.program.

local core = require "saros.core"
local options = require "saros.options"
local states = require "saros.nn.state"
local state_form = require "saros.nn.state_form"

local check = options.declare("session", {
  { "streams", options.size, 1 },
  { "weights", options.optional(options.one_of { "real", "bf16", "int8" }) },
})

--- The parameters of a model, in the order of its program.
---@param program saros.Program
---@param model saros.nn.Module
---@return saros.Tensor[]
local function parameters_of(program, model)
  local tensors, list = model:tensors(), {}
  for n, parameter in ipairs(program.parameters) do
    list[n] = tensors[parameter.name]
  end
  return list
end

--- The same of a model that says that it is the one of a session.
local function parameters_again(program, model)
  options.argument("repack", 1, options.having("a model", { "tensors", "program" }), model)
  local own = model:program()
  if own ~= program and own:encode() ~= program:encode() then
    options.fail(("repack: expected the model that the session steps, got a %s that computes something else"):format(
      model.kind))
  end
  return parameters_of(own, model)
end

--- What turns a session's list of states into the state of a model, and back.
local function form_of(program)
  local form = {}

  function form.state(list)
    local tree = states.new {}
    for n, state in ipairs(program.states) do
      tree = state_form.put(tree, state.path or { state.name }, state_form.shaped(state, list[n]))
    end
    return tree
  end

  function form.set_state(tree)
    local list = {}
    for n, state in ipairs(program.states) do
      list[n] = state_form.find(tree, state.path or { state.name })
      if not options.tensor.accept(list[n]) then
        options.fail(("set_state: expected the state of the model, with a tensor at %s, got %s"):format(
          state.name, options.describe(list[n])))
      end
      list[n] = state_form.flat(state, list[n])
    end
    return list
  end

  function form.parameters(model)
    return parameters_again(program, model)
  end

  return form
end

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
  local program = model:program()
  return core.session(core.program(program:encode()), parameters_of(program, model), o.streams,
    o.weights or model.frozen_as or "real",
    form_of(program))
end

return session
