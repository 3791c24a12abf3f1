--- Made-up tasks that measure what a recurrent net can keep, and for how long.
--- Each has sequences without end, drawn from a generator:
---
---     local task = data.tasks.copy { lag = 100 }
---     for batch in task:batches { batch = 50, seed = 1 } do
---       local y = net(batch.inputs)                           -- (T, B, H)
---       local outputs = head(task:answered(y, batch))         -- of the steps that have an answer
---       local loss = task:loss(outputs, batch)
---       ...
---
--- A task has `inputs` features (T, B, I), or it has `tokens`, and its inputs are ids
--- (T, B). Answers belong to the last A steps; where a batch has a mask, they belong to the
--- steps where it is 1, and losses and scores are means over those.
---
--- The length is what a test varies: the same task with another `length` draws sequences
--- of the same meaning. A range, `length = { 3, 40 }`, draws the length of each row; such
--- a batch has `lengths`, for net(batch.inputs, nil, { lengths = batch.lengths }).
---
--- Where a finite automaton gives the answers, the task has it as its `reference`.

local spelling = require "saros.spelling"

return spelling.space("data.tasks", {}, {
  -- what is kept for long
  adding = { "saros.data.tasks.adding" },
  copy = { "saros.data.tasks.copy", "copy" },
  selective_copy = { "saros.data.tasks.copy", "selective" },
  -- what is found by its name
  recall = { "saros.data.tasks.recall" },
  multi_query_recall = { "saros.data.tasks.multi_query_recall" },
  -- what every step may change
  parity = { "saros.data.tasks.parity" },
  counter = { "saros.data.tasks.counter" },
  group_words = { "saros.data.tasks.group_words" },
  flip_flop = { "saros.data.tasks.flip_flop" },
  brackets = { "saros.data.tasks.brackets" },
  arithmetic = { "saros.data.tasks.arithmetic" },
  -- pictures
  shapes = { "saros.data.tasks.shapes", "shapes" },
  shape_names = { "saros.data.tasks.shapes", "names" },
})
