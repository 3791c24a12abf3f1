--- Charts as SVG, in one file without anything else: lines, bars, histograms,
--- heat maps and confusion matrices, on light and on dark pages.
---
---     local chart = saros.plot.lines { y = "loss", log = true, series = { { name = "LSTM", y = losses } } }
---     assert(chart:save "loss.svg")

local bars = require "saros.look.bars"
local heat = require "saros.look.heat"
local spelling = require "saros.spelling"

return spelling.space("saros.plot", {
  lines = require "saros.look.lines",
  bars = bars.bars,
  histogram = bars.histogram,
  heat = heat.heat,
  confusion = heat.confusion,
})
