--- Nets of audio plug-ins in JSON, RTNeural's and Neural Amp Modeler's: read as chains,
--- written from them, and a format among others (see saros.formats).

local core = require "saros.core"
local options = require "saros.options"
local Description = require "saros.formats.description"
local json_file = require "saros.formats.json_file"
local nam = require "saros.formats.nam"
local refusal = require "saros.formats.refusal"
local rtneural = require "saros.formats.rtneural"
local sorted = require "saros.sorted"
local spelling = require "saros.spelling"

local audio = { name = "json" }

local check_nam = options.declare("nam.write", {
  { "sample_rate", options.optional(options.positive) },
  { "metadata", options.optional(options.table) },
})

---@param beginning string
function audio.fits(beginning)
  return beginning:find "^%s*{" ~= nil
end

-- A net, the name of its format, and what else the object has, as texts.
local function build(path, wanted)
  local object = json_file.read(path)
  local format = object.layers ~= nil and "rtneural" or "nam"
  if wanted and wanted ~= format or object.layers == nil and object.architecture == nil then
    refusal.raise("expected a net in JSON with %s, got none", wanted == "rtneural" and "layers"
      or wanted == "nam" and "an architecture" or "layers or an architecture")
  end
  local net, metadata = (format == "rtneural" and rtneural or nam).build(object), {}
  for _, name in ipairs { "version", "architecture", "sample_rate" } do
    metadata[name] = object[name] ~= nil and type(object[name]) ~= "table" and tostring(object[name]) or nil
  end
  metadata.metadata = type(object.metadata) == "table" and core.json_encode(object.metadata) or nil
  return net, format, metadata
end

local function read_tensors(path)
  local net, _, metadata = build(path)
  return net:tensors(), metadata
end

local function describe(path)
  local net, format, metadata = build(path)
  local tensors, list = net:tensors(), {}
  for _, name in ipairs(sorted.keys(tensors)) do
    local shape = tensors[name]:shape()
    list[#list + 1] = { name = name, type = "F32", shape = shape, bytes = Description.bytes_of("F32", shape) }
  end
  return { format = format, tensors = list, metadata = metadata, note = ("read by saros.%s.read"):format(format) }
end

--- The tensors of the net, by its names.
function audio.read(path)
  return refusal.guard(read_tensors, path)
end

function audio.describe(path)
  return refusal.guard(describe, path)
end

local function read(owner, format, path)
  options.argument(owner, 1, options.string, path)
  local net, message, metadata = refusal.guard(build, path, format)
  if not net then
    return nil, ("%s: %s%s"):format(owner, message:find(path, 1, true) and "" or path .. ": ", message)
  end
  return net, metadata
end

-- What cannot be said in the format is misuse; a file that cannot be written is not.
local function write(owner, describe_net, net, path, given)
  options.argument(owner, 1, options.having("a module", { "visit", "members" }), net)
  options.argument(owner, 2, options.string, path)
  local object, message = refusal.guard(describe_net, net, given)
  if not object then
    options.fail(owner .. ": " .. message)
  end
  return core.write_file(path, core.json_encode(object))
end

audio.rtneural = spelling.space("saros.rtneural", {
  --- A net from RTNeural's JSON.
  ---@param path string
  ---@return saros.nn.Chain? net
  ---@return table<string, string>|string metadata  or the message
  read = function(path) return read("rtneural.read", "rtneural", path) end,
  --- A chain of linear, conv1d, lstm, gru, prelu, batch_norm and activations as RTNeural's JSON.
  ---@param net saros.nn.Chain
  ---@param path string
  ---@return true? ok, string? message
  write = function(net, path) return write("rtneural.write", rtneural.describe, net, path) end,
})

audio.nam = spelling.space("saros.nam", {
  --- A net from the JSON of Neural Amp Modeler, of the architecture LSTM.
  ---@param path string
  ---@return saros.nn.Chain? net  an lstm with a learned first state, and a linear layer
  ---@return table<string, string>|string metadata  version, sample_rate, metadata (JSON); or the message
  read = function(path) return read("nam.read", "nam", path) end,
  --- A chain of an lstm and a linear layer with one output.
  ---@param net saros.nn.Chain
  ---@param path string
  ---@param given? { sample_rate?: number, metadata?: table }  (48000; none)
  ---@return true? ok, string? message
  write = function(net, path, given) return write("nam.write", nam.describe, net, path, check_nam(given)) end,
})

return audio
