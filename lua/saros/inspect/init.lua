--- Looking inside a language model while it reads a text. Every function gives
--- data, with methods that show it: on a terminal, as HTML or as SVG.
---
---     local seen = saros.inspect.neurons(lm, text)
---     print(seen)                 -- which neuron follows which property of the text
---     io.write(seen:ansi())       -- the text, coloured by the closest of them
---     seen:save "neurons.html"

local spelling = require "saros.spelling"

return spelling.space("saros.inspect", {}, {
  neurons = { "saros.inspect.neurons" },
  gates = { "saros.inspect.gates" },
  reach = { "saros.inspect.reach" },
  guesses = { "saros.inspect.guesses" },
})
