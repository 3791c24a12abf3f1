--- Saros: recurrent networks in C, scripted in Lua.
---
--- This table has the functions of the core that are for scripts (tensors, the
--- tape, generators; see meta/core.lua) and what is composed from them:
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
---     read_tensors  the same of files of PyTorch and NumPy
---     rtneural, nam  nets of audio plug-ins, read and written
---     keras      nets of .keras files
---     inspect_file  what is in a file of tensors
---     ctc        what a model trained with ctc_loss says, as ids
---     metrics    precision, recall, F1 of labels; MAE and RMSE of numbers
---     automata   nets of finite states, proved right at every length
---     onnx       models in the format of ONNX
---     ranks      many processes that run one script: mpirun
---     profile    where the time goes, by operation and layer
---     plot       charts as SVG: lines, bars, histograms, heat maps
---     report     a page about trainings, from their run folders
---     inspect    inside a model that reads: neurons, gates, gradients, guesses
---     operation  an operation of one's own, with its way back
---     gradient_check   finite differences for any function

local core = require "saros.core"
local spelling = require "saros.spelling"

-- Functions of the core that have another home, or serve the library alone.
local INTERNAL = {
  -- operators
  "add", "subtract", "multiply", "divide", "power",
  -- nn
  "linear", "embedding", "recurrent", "layer_norm", "rms_norm", "gated_rms_norm", "is_training", "dropout", "pick",
  "keep", "mask_rows", "window", "depthwise", "finite", "delta", "is_recording", "frozen",
  "operation", "program", "l1", "huber", "bce", "kl", "ctc_loss", "crf_loss", "crf_best",
  -- optim
  "update", "clip_norm", "clip_value",
  -- model:session, model:memory, saros.profile, saros.fit, saros.export_c
  "session", "trace", "trace_rows", "block_bytes", "mark_memory", "collect_soon", "is_method", "profiling", "layer",
  "watch_finite", "write_source", "write_pieces", "open_wire", "record", "with_room", "program",
  "round_weights", "precision",
  -- data, saros.safetensors
  "codec", "learn_codec", "open_tokens", "read_tensors", "write_tensors",
  "describe_tensors", "open_container", "strided",
  -- files and terminals, memory, messages
  "write_file", "terminal_width", "trim", "blank", "fields", "format", "to_number", "caller", "nearest", "hint",
  -- functions of scripts
  "defined_at", "upvalue",
}

---@class saros: saros.core
local saros = {}
for name, value in pairs(core) do
  saros[name] = value
end
for _, name in ipairs(INTERNAL) do
  saros[name] = nil
end

--- Tensors by name, and strings about them, in files that PyTorch reads, too:
--- `read(path)` gives both tables, or nil and a message; `write(path, tensors,
--- metadata)`.
saros.safetensors = spelling.space("saros.safetensors", { read = core.read_tensors, write = core.write_tensors })

local Info = {}
function Info:__tostring()
  return ("Saros %s: %s, %s, %d thread%s, %s"):format(
    self.version, self.real, self.isa, self.threads, self.threads == 1 and "" or "s",
    self.blas:match "^%S+ [%d.]+" or self.blas)
end

--- What this build is and what it chose for this machine; tostring reads well.
---@return { version: string, real: "float"|"double", isa: string, isas: string[], blas: string, threads: integer }
function saros.info()
  return setmetatable(core.info(), Info)
end

return spelling.space("saros", saros, {
  data = { "saros.data" },
  nn = { "saros.nn" },
  optim = { "saros.optim" },
  fit = { "saros.train.fit" },
  find_rate = { "saros.train.find_rate" },
  backward_in_segments = { "saros.train.segments", "backward" },
  evaluate = { "saros.train.evaluate" },
  progress = { "saros.train.progress" },
  load = { "saros.model_file", "load" },
  read_tensors = { "saros.formats", "read" },
  rtneural = { "saros.formats.audio", "rtneural" },
  nam = { "saros.formats.audio", "nam" },
  keras = { "saros.formats.keras" },
  inspect_file = { "saros.formats", "inspect_file" },
  export_c = { "saros.export" },
  sampler = { "saros.generate.sampler" },
  operation = { "saros.operation" },
  beam_search = { "saros.generate.beam", "search" },
  ctc = { "saros.generate.ctc" },
  metrics = { "saros.metrics" },
  profile = { "saros.profile", "of" },
  automata = { "saros.automata" },
  onnx = { "saros.onnx" },
  ranks = { "saros.ranks" },
  plot = { "saros.look.plot" },
  inspect = { "saros.inspect" },
  report = { "saros.report" },
  gradient_check = { "saros.gradient_check" },
})
