--- Saros: recurrent networks in C, scripted in Lua.
---
--- This table has all functions of the core (tensors, the tape, generators,
--- files; see meta/core.lua) and what is composed from them:
---
---     data       files -> vocabulary and windows of ids
---     nn         layers, models and losses
---     optim      optimizers, schedules and clipping
---     fit        training a model on a text
---     find_rate  a learning rate to begin with
---     backward_in_segments   gradients through a window that is too long for one tape
---     evaluate   its loss on held-out text
---     progress   shows on a terminal what fit does
---     beam_search   the likeliest sequences of any step function
---     load       a model back from its file
---     export_c   a model as one C file that needs no library
---     safetensors   read and write named tensors
---     ctc        what a model trained with ctc_loss says, as ids
---     profile    where the time goes, by operation and layer
---     plot       charts as SVG: lines, bars, histograms, heat maps
---     report     a page about trainings, from their run folders
---     inspect    inside a model that reads: neurons, gates, gradients, guesses
---     gradient_check   finite differences for any function

local core = require "saros.core"
local lazy = require "saros.lazy"

---@class saros: saros.core
local saros = {}
for name, value in pairs(core) do
  saros[name] = value
end

--- Tensors by name, and strings about them, in files that PyTorch reads, too:
--- `read(path)` gives both tables, or nil and a message; `write(path, tensors,
--- metadata)`.
saros.safetensors = { read = core.read_tensors, write = core.write_tensors }
saros.read_tensors, saros.write_tensors = nil, nil
saros.write_source = nil -- for saros.export_c
saros.format, saros.to_number = nil, nil -- for text in any locale
saros.profiling, saros.layer = nil, nil -- for saros.profile
saros.watch_finite = nil -- for saros.fit
saros.blank = nil -- for saros.load
saros.trace, saros.block_bytes = nil, nil -- for model:memory
saros.caller = nil -- for messages

local Info = {}
function Info:__tostring()
  return ("Saros %s: %s, %s, %d thread%s, %s"):format(
    self.version, self.real, self.isa, self.threads, self.threads == 1 and "" or "s",
    self.blas:match "^%S+ [%d.]+" or self.blas)
end

--- What this build is and what it chose for this machine; tostring reads well.
---@return { version: string, real: "float"|"double", isa: string, blas: string, threads: integer }
function saros.info()
  return setmetatable(core.info(), Info)
end

return lazy(saros, {
  data = { "saros.data" },
  nn = { "saros.nn" },
  optim = { "saros.optim" },
  fit = { "saros.train.fit" },
  find_rate = { "saros.train.find_rate" },
  backward_in_segments = { "saros.train.segments", "backward" },
  evaluate = { "saros.train.evaluate" },
  progress = { "saros.train.progress" },
  load = { "saros.model_file", "load" },
  export_c = { "saros.export" },
  sampler = { "saros.generate.sampler" },
  beam_search = { "saros.generate.beam", "search" },
  ctc = { "saros.generate.ctc" },
  profile = { "saros.profile", "of" },
  plot = { "saros.look.plot" },
  inspect = { "saros.inspect" },
  report = { "saros.report" },
  gradient_check = { "saros.gradient_check" },
})
