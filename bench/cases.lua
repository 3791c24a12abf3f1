--- The work that is measured: a character model with a vocabulary of 65, its
--- embedding as large as its hidden state, and a linear head.

local cells = require "saros.nn.cells"
local list = require "saros.nn.cells.list"

local cases = {}

--- In the order of the output.
cases.names = { "A", "B", "C", "S1", "S2", "S3" }
cases.cells = list
cases.step_cells = {} -- that are one stage of a session
for _, cell in ipairs(list) do
  if cell ~= "lru" and cell ~= "delta" and cell ~= "mlstm" and not cells[cell].maker then
    table.insert(cases.step_cells, cell)
  end
end
cases.peer_cells = { "rnn", "gru", "lstm" } -- that PyTorch has, too

--- Of products in training. Small products are never rounded, so small cases
--- have nothing to compare.
cases.precisions = { "real", "bf16" }
cases.precisions_of = {
  A = cases.precisions, B = cases.precisions, C = cases.precisions,
  S1 = { "real" }, S2 = { "real" }, S3 = { "real" },
}

--- Whole sequences, in inference, with as many inputs as hidden units; which
--- libraries read them in which precision. (Dynamic quantisation of ONNX Runtime
--- leaves a GRU and an RNN as they are.)
cases.sequences = {
  { name = "tagger", cells = { "lstm", "gru" }, layers = 3, hidden = 384, batch = 1, length = 64, directions = 2 },
  { name = "batch", cells = { "lstm" }, layers = 2, hidden = 512, batch = 32, length = 128, directions = 1 },
}

--- Sequences side by side, of the first of these alone.
cases.sequence_batches = { 1, 8 }

---@param cell string
---@param precision string
---@return string[]
function cases.sequence_peers(cell, precision)
  if precision == "bf16" then
    return { "torch" }
  end
  return precision == "real" and { "torch", "onnx" } or cell == "lstm" and { "onnx" } or {}
end

--- Steps of one layer of one input, in what people run them in elsewhere.
cases.peer_step_sizes = { 32, 128, 512 }
cases.step_peers = {
  { library = "torch", how = "eager" }, { library = "torch", how = "traced" }, { library = "onnx", how = "run" },
}

cases.VOCABULARY = 65

--- How the weights of layers that are stepped are kept, and their hidden units.
cases.step_weights = { "real", "bf16", "int8" }
cases.step_sizes = {
  real = { 16, 32, 64, 128, 512, 1024 },
  bf16 = { 128, 512, 1024 },
  int8 = { 128, 512, 1024 },
}

--- Small layers, with a dense head of one output: what controllers and audio run.
cases.headed_cells = { "gru", "lstm" }
cases.headed_sizes = { 8, 16, 24, 32, 64, 128 }

local SIZES = {
  A = { layers = 2, hidden = 128, batch = 50, length = 50 },
  B = { layers = 2, hidden = 512, batch = 64, length = 128 },
  C = { layers = 1, hidden = 1024, batch = 128, length = 64 },
  S1 = { layers = 1, hidden = 16, batch = 1, length = 50 },
  S2 = { layers = 1, hidden = 32, batch = 4, length = 50 },
  S3 = { layers = 1, hidden = 64, batch = 8, length = 50 },
  growth = { layers = 1, hidden = 128, batch = 32, length = 64 },
  long = { layers = 1, hidden = 128, batch = 1, length = 128 },
}

--- How cost grows: from the case "growth", one size at a time.
cases.growth = {
  { size = "length", values = { 8, 16, 32, 64, 128, 256, 512 } },
  { size = "batch", values = { 1, 2, 4, 8, 16, 32, 64, 128, 256 } },
  { size = "hidden", values = { 16, 32, 64, 128, 256, 512, 1024 } },
  { size = "layers", values = { 1, 2, 3, 4, 6, 8 } },
}

--- One sequence, longer and longer: from the case "long".
cases.long = {
  cells = { "lstm", "mingru", "lru" },
  lengths = { 128, 1024, 8192, 131072 },
}

--- Weights of a layer of I = H inputs that are in products, in H^2.
local function weights_of(name)
  local cell = cells[name]
  local output = (name == "lru" or name == "delta" or name == "mlstm") and 1 or 0 -- a product behind the walk
  local of_state = cell.linear and 0 or name == "slstm" and 1 / 4 or 1 -- in heads
  return (1 + of_state) * cell.gates + output
end

---@class bench.Case
---@field case string
---@field cell string
---@field layers integer
---@field hidden integer
---@field batch integer
---@field length integer

--- A case, perhaps with other sizes.
---@param name string
---@param cell string
---@param sizes? { layers?: integer, hidden?: integer, batch?: integer, length?: integer }
---@return bench.Case
function cases.case(name, cell, sizes)
  local case = { case = name, cell = cell }
  for field, size in pairs(SIZES[name]) do
    case[field] = sizes and sizes[field] or size
  end
  return case
end

--- Floating-point operations per symbol, in training. Only matrix products are
--- counted, a multiply-add as two: for each layer, of G gates and I = H inputs,
--- 2 G H (I + H), or 2 G H I where the state meets no weights, and for the head
--- 2 H V; all that times three, as the backward pass has a product for the weights
--- and one for what they read. (The first
--- layer's input has a gradient, too: the embedding needs it. The embedding
--- itself counts as nothing.)
---@param case bench.Case
---@return number
function cases.flops_per_symbol(case)
  local H = case.hidden
  local layer = 2 * weights_of(case.cell) * H * H
  return 3 * (case.layers * layer + 2 * H * cases.VOCABULARY)
end

return cases
