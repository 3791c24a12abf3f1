--- saros.data: from files to windows of ids and numbers.

local spelling = require "saros.spelling"

return spelling.space("data", {}, {
  text = { "saros.data.text" },
  prepare = { "saros.data.prepare" },
  labelled = { "saros.data.labelled" },
  pairs = { "saros.data.pairs" },
  pieces = { "saros.data.pieces" },
  pipeline = { "saros.data.pipeline" },
  series = { "saros.data.series" },
  tasks = { "saros.data.tasks" },
  pad = { "saros.data.padding", "pad" },
  vocabulary = { "saros.data.vocabulary", "public" },
})
