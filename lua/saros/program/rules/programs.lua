--- The rule for programs that a module runs: their nodes become nodes of the trace.

local inline = require "saros.program.inline"
local program = require "saros.program.program"

local rules = { always = {} }

rules.inputs, rules.outputs, rules.states, rules.parameters, rules.text = false, false, false, false, false

--- p:run { parameters, inputs, state }
function rules.run(t, arguments, results)
  local made, given, outputs, last = arguments[1], arguments[2], results[1], results[2]
  if given.mask or given.reset then
    t:refuse "a program that is run with a mask or resets of the module's own"
  end
  local data, states = program.decode(made:text()), {}
  for n, state in ipairs(data.states) do
    states[n] = { given.state and given.state[state.name] or nil, last[state.name] }
  end
  inline(t, data, { parameters = given.parameters, inputs = given.inputs, states = states, outputs = outputs })
end

return rules
