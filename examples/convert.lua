-- A model from one format to another, and what is in a file.
--
--   build/saros examples/convert.lua amp.nam amp.c
--   build/saros examples/convert.lua net.keras net.safetensors
--   build/saros examples/convert.lua state.pt amp.json --net "nn.chain { nn.lstm { 1, 20 }, nn.linear { 20, 1 } }"
--   build/saros examples/convert.lua any.file
--
-- In: models and run folders of Saros, safetensors, ONNX, .keras and .h5 of Keras, PyTorch's .pt and .pth, NumPy's
-- .npz and .npy, JSON of RTNeural, .nam. Files that hold tensors alone, such as a state dict, become a model with
-- --net. Out, by the ending: .safetensors (which saros.load reads), .onnx, .json (RTNeural), .nam, .c.

local argparse = require "argparse"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

-- f(...), of which a misuse is the user's, too.
local function attempt(what, f, ...)
  local ok, value, message = pcall(f, ...)
  need(ok, not ok and ("%s: %s"):format(what, tostring(value):gsub("^[^\n]-:%d+: ", "")))
  return need(value, message), message
end

local ENDINGS = { safetensors = true, onnx = true, json = true, nam = true, c = true }

local parser = argparse("convert.lua", "Convert a model, or tell what is in a file.")
parser:argument("input", "File, or run folder of Saros.")
parser:argument("output", "File to write; without it the input is described."):args "?"
parser:option("--to", "Format of the output, if its ending does not say."):choices { "safetensors", "onnx", "json",
  "nam", "c" }
parser:option("--net", "The net that the tensors belong to, in Lua, such as \"nn.lstm { 1, 8 }\".")
parser:option("--names", "Whose names the tensors have."):choices { "pytorch", "keras", "onnx" }
parser:option("--prefix", "Beginning of the names of the tensors that belong to the net."):default ""
parser:option("--constant", "ONNX: NAME=NUMBER, an input that does not change."):count "*"
parser:option("--size", "ONNX: NAME=NUMBER, a size that the file leaves open."):count "*"
parser:option("--name", "C file: what its functions and types begin with."):default "model"
parser:option("--weights", "C file: as they are, or in 8 bits."):choices { "real", "int8" }:default "real"
parser:option("--rate", "NAM: samples in a second."):convert(tonumber)
local args = parser:parse()

-- --- In ---------------------------------------------------------------------------------------------

-- { "sr=16000" } -> { sr = 16000 }
local function numbers(option, list)
  local found = {}
  for _, word in ipairs(list) do
    local name, value = word:match "^(.-)=(.*)$"
    local number = need(tonumber(value), ("--%s: expected NAME=NUMBER, got '%s'"):format(option, word))
    found[name] = math.tointeger(number) or number
  end
  return found
end

-- By formats of whole nets, what makes one of a file.
local READERS = {
  onnx = function(path)
    return saros.onnx.read(path, { constants = numbers("constant", args.constant), sizes = numbers("size", args.size) })
  end,
  rtneural = function(path) return saros.rtneural.read(path) end,
  nam = function(path) return saros.nam.read(path) end,
  keras = function(path) return saros.keras.read(path) end,
}

-- The reader of a file, or nil if it has tensors alone, and a description to print.
local function kind_of(path)
  local found, message = saros.inspect_file(path)
  if not found then
    local model = saros.load(path) -- a run folder
    return need(model and "saros", message), model and path .. ": " .. model:describe()
  elseif found.model then
    return "saros", found
  elseif path:find "%.keras$" then
    return "keras", found
  end
  return READERS[found.format] and found.format, found
end

local function built(expression)
  local chunk, message = load("return " .. expression, "=--net", "t", { nn = saros.nn, saros = saros })
  local net = attempt("--net", need(chunk, message))
  return need(type(net) == "table" and net.visit and net, "--net: expected a module, got something else")
end

-- The model of the input, or nil and its tensors.
local function read(path)
  local kind = kind_of(path)
  if args.net then
    local names = args.names or (path:find "%.keras$" or path:find "%.h5$") and "keras" or nil
    local net = built(args.net)
    local _, mapped = attempt(path, function()
      return net:load(path, { names = names, prefix = args.prefix })
    end)
    if names then
      print(mapped)
    end
    return net
  elseif kind then
    return (attempt(path, READERS[kind] or saros.load, path))
  end
  return nil, { saros.read_tensors(path) }
end

-- --- Out ----------------------------------------------------------------------------------------------

local WRITERS = {
  safetensors = function(model, path)
    local ok, why = model:save(path)
    if ok and why then
      print(("%s: parameters alone, as %s"):format(path, why))
    end
    return ok, why
  end,
  onnx = function(model, path) return saros.onnx.write(model, path) end,
  json = function(model, path) return saros.rtneural.write(model, path) end,
  nam = function(model, path) return saros.nam.write(model, path, { sample_rate = args.rate }) end,
  c = function(model, path) return saros.export_c(model, path, { name = args.name, weights = args.weights }) end,
}

local function write(model, tensors, path)
  local ending = path:match "%.(%w+)$"
  local to = need(args.to or ENDINGS[ending] and ending, ("expected an output that ends in .safetensors, .onnx, .json, "
    .. ".nam or .c, or --to FORMAT, got %s"):format(path))
  if model then
    need((to ~= "json" and to ~= "nam") or model.kind ~= "program",
      ("%s has a program and no layers, which .%s needs; say them: --net \"nn.chain { nn.lstm { 1, 8 }, ... }\"")
        :format(args.input, to))
    attempt(("no %s of this model"):format(to), WRITERS[to], model, path)
    return print(("%s: %s, %d weights"):format(path, model:describe(), model:count()))
  end
  need(to == "safetensors", ("%s has tensors and no net, so only .safetensors can be made of it; say what net they "
    .. "belong to: --net \"nn.lstm { 1, 8 }\", with --names if they are Keras' or ONNX'"):format(args.input))
  need(table.unpack(tensors))
  attempt(path, saros.safetensors.write, path, tensors[1], tensors[2])
  print(saros.inspect_file(path))
end

if args.output then
  local model, tensors = read(args.input)
  write(model, tensors, args.output)
else
  print((select(2, kind_of(args.input))))
end
