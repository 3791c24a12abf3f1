--- The rules of a trace, one for each operation of the core. rule(t, arguments, results)
--- computes the values of the results; t is the recorder. `false` stands for an operation
--- that a program can ignore. An operation without a rule cannot be part of a program.
--- Rules in `always` are called for any arguments, the others if one of the arguments is
--- a traced tensor.

local rules = { always = {} }

for _, name in ipairs { "elementwise", "shape", "reduce", "product", "layers", "programs", "refused" } do
  local own = require("saros.program.rules." .. name)
  for operation, rule in pairs(own.always) do
    rules.always[operation] = rule
  end
  for operation, rule in pairs(own) do
    if operation ~= "always" then
      rules[operation] = rule
    end
  end
end

return rules
