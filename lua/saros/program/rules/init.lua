--- The rules of a trace, one for each operation of the core: rule(t, arguments, results)
--- makes the values of the results, t being the recorder. `false` is an operation that a
--- program need not know of. Operations without a rule have no part in a program.

local rules = {}

-- Told of whatever their arguments are; the others where a tensor is traced.
rules.always = {}

for _, name in ipairs { "elementwise", "shape", "reduce", "product", "layers", "programs", "refused" } do
  require("saros.program.rules." .. name)(rules)
end

return rules
