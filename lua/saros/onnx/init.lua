--- saros.onnx: models in the format of ONNX.
---
---     local model = assert(saros.onnx.read "model.onnx")
---     local y, state = model(x, state)
---     local session = model:session()
---     assert(saros.onnx.write(net, "net.onnx"))

local options = require "saros.options"
local spelling = require "saros.spelling"
local file = require "saros.onnx.file"
local lazy = require "saros.lazy"

local late = lazy({}, {
  graph = { "saros.onnx.graph", "read" },
  inspect = { "saros.onnx.inspect" },
  model = { "saros.onnx.model" },
  write = { "saros.onnx.write" },
})

local onnx = {}

local check = options.declare("onnx.read", {
  { "axes", options.table, {} },
  { "constants", options.table, {} },
  { "external", options.boolean, false },
  { "sizes", options.table, {} },
  { "states", options.optional(options.table) },
})

--- f(...), or nil and what is wrong with the file.
local function guarded(owner, path, f, ...)
  local ok, result = pcall(f, ...)
  if ok then
    return result
  elseif type(result) ~= "string" then
    error(result, 0)
  end
  return nil, ("%s: %s: %s"):format(owner, path, options.without_place(result))
end

--- A model from an ONNX file: a module whose forward walks the graph, so that it trains, has sessions,
--- C files and model files as other modules. Sequences are (T, B, F) whatever the file's axes are, and
--- integers are ids from 1: a symbol that the file calls 0 is 1. Its parameters are the initializers under
--- their names, and those of its layers, in Saros' order of gates, behind the name of the layer's node.
--- States that the graph takes and gives are states of the module, by the input's name; so are those of
--- layers that begin at zeros.
---
--- axes       letters of an input's axes where they are not found, such as { x = "BTF" }: T, B, F, 1
--- constants  values of inputs that do not change, such as { rate = 16000 }
--- external   may tensors be in other files of the model's folder? (false)
--- sizes      sizes that the file leaves open, by their names there, or by the name of an input, of which
---            it is the last open one: { samples = 576 }. Branches (If) on such sizes become known.
--- states     which output becomes which input, where names and layers do not tell: { h0 = "hn" }
---@param path string
---@param given? { axes?: table<string, string>, constants?: table<string, number>, external?: boolean,
---  sizes?: table<string, integer>, states?: table<string, string> }
---@return saros.onnx.Model? model
---@return string? message  what is wrong with the file, or all that is not supported
function onnx.read(path, given)
  options.argument("onnx.read", 1, options.string, path)
  local o = check(given)
  for name, size in pairs(o.sizes) do
    if type(name) ~= "string" or options.size.accept(size) == nil then
      options.fail(("onnx.read: expected sizes as { name = a positive integer }, got %s = %s"):format(tostring(name),
        options.describe(size)))
    end
  end
  return guarded("onnx.read", path, function()
    local model, source = file.open(path, o.external)
    file.fix_sizes(model, o.sizes)
    return late.model(late.graph(model, source, o.constants), o, model.first_states)
  end)
end

--- What is in an ONNX file: inputs, outputs, operators, and which of these saros.onnx.read does not
--- know; tostring lays it out. Weights are not read.
---@param path string
---@return saros.onnx.Summary? summary
---@return string? message
function onnx.inspect(path)
  options.argument("onnx.inspect", 1, options.string, path)
  return guarded("onnx.inspect", path, late.inspect, path)
end

--- Write a model as an ONNX file for other programs: `x` is (T, B, F) with any T and B, or ids (T, B), from 0;
--- several inputs and outputs have their names. States are inputs `state.NAME` and outputs `next_state.NAME`,
--- (B, width), so that a sequence can be read in pieces. LSTM, GRU and RNN are operators of ONNX, with both
--- directions; any other cell is a Scan whose body is its step. Forecasters and classifiers of tables take and tell
--- numbers in their own units. Weights are floats of 32 bits. Dropout is left out. The file's texts (metadata_props)
--- have the vocabulary, labels, columns and version, and what states begin with if that is not zeros.
---
--- opset        of the operators, 13 to 23 (17)
--- states       are states inputs and outputs? (true; false if the model reads backwards, as it has no pieces)
--- lengths      an input `lengths` (B) of int32: behind a row's end states stay and outputs are 0 (false)
--- batch_first  are inputs and outputs (B, T, ...)? (as the model is called)
--- metadata     more texts by name
---@param model saros.nn.Module
---@param path string
---@param given? { opset?: integer, states?: boolean, lengths?: boolean, batch_first?: boolean,
---  metadata?: table<string, string> }
---@return true? ok  nil if the file could not be written
---@return string? message
function onnx.write(model, path, given)
  return late.write(model, path, given)
end

return spelling.space("saros.onnx", onnx)
