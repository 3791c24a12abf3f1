--- saros.metrics: figures that say how good answers are, beside the loss.
---
---     print(saros.metrics.classification({ "a", "b", "b" }, { "a", "b", "a" }))
---     print(saros.metrics.regression(truth, predicted).rmse)

local spelling = require "saros.spelling"

return spelling.space("saros.metrics", {}, {
  classification = { "saros.metrics.classification", "of_lists" },
  regression = { "saros.metrics.regression", "of_numbers" },
})
