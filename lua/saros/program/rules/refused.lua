--- Operations that a program cannot contain, such as reading a value, drawing random
--- numbers and writing in place; and operations that it can ignore.

local rules = { always = {} }

local FREE = {
  -- questions about shapes
  "shape", "size", "rank", "count", "dtype", "is_contiguous", "len", "trainable",
  -- what is made of numbers, and what is no tensor's
  "zeros", "ones", "full", "arange", "caller", "layer", "format",
}

local READ = { "item", "totable", "tostring", "digest", "all_finite", "to_number", "tensor", "ids" }

local WRITTEN = {
  "fill", "assign", "adopt", "clamp", "add_scaled", "newindex", "fill_uniform", "fill_normal", "fill_orthogonal",
}

local RANDOM = { "number", "integer", "uniform", "normal", "categorical", "permutation" }

for _, name in ipairs(FREE) do
  rules[name] = false
end
function rules.always.is_training(t)
  t.asks_training = true
end

for _, name in ipairs(READ) do
  rules[name] = function(t)
    t:refuse(("%s, which reads values"):format(name))
  end
end
for _, name in ipairs(WRITTEN) do
  rules[name] = function(t)
    t:refuse(("%s, which writes in place"):format(name == "newindex" and "x[i] = y" or name))
  end
end
for _, name in ipairs(RANDOM) do
  rules.always[name] = function(t)
    t:refuse_chance(name .. " of a generator")
  end
end

function rules.crf_best(t)
  t:refuse "nn.crf, which chooses the tags of a whole sequence at once"
end

return rules
