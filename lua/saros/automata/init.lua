--- saros.automata: nets of finite states, learned from a reference and proved equal to it.
---
---     local task = data.tasks.group_words { group = "A5" }
---     local model, proof = automata.learn(task, { heads = 8, states = 6, pointers = "all" })
---     print(proof)                     -- proved: 60 states, depth 2, smallest margin 12.4
---     print(model:automaton())         -- states and transitions, minimised
---
--- A reference is an automaton that gives the right answers (saros.data.Automaton), or a
--- task that has one. `learn` does all of it; its parts are here as well: `model`,
--- `curriculum`, `polish`, `prune`, `prove` and `extract`.

local spelling = require "saros.spelling"

return spelling.space("saros.automata", {}, {
  model = { "saros.automata.model" },
  learn = { "saros.automata.learn" },
  curriculum = { "saros.automata.train", "curriculum" },
  polish = { "saros.automata.train", "polish" },
  prune = { "saros.automata.prune", "prune" },
  prove = { "saros.automata.prove" },
  extract = { "saros.automata.extract" },
})
