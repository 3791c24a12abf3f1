--- The rules of a trace, one for each operation of the core: rule(t, arguments, results)
--- makes the values of the results, t being the recorder. `false` is an operation that a
--- program need not know of. Operations without a rule have no part in a program. The
--- rules in `always` are called whatever the arguments are, the others where a tensor
--- among these is traced.

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
