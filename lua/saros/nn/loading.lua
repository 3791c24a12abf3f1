--- net:load with options: names of other libraries, tensors that may be missing.

local options = require "saros.options"
local fitting = require "saros.nn.fitting"
local formats = require "saros.formats"
local naming = require "saros.formats.naming"
local refusal = require "saros.formats.refusal"

---@class saros.nn.LoadOptions
---@field prefix? string  of the names in the file that belong to this module
---@field names? "pytorch"|"keras"|"onnx"|table  whose names they are; with names of layers or parameters: ours = theirs
---@field strict? boolean  every parameter has a tensor, every tensor a parameter (true)
---@field limit? integer  as of saros.read_tensors

local check_options = options.declare("load", {
  { "prefix", options.string, "" },
  { "names", options.optional(options.kind("\"pytorch\", \"keras\", \"onnx\" or a table of names", function(value)
    return (type(value) == "string" or type(value) == "table") and value or nil
  end)) },
  { "strict", options.boolean, true },
  { "limit", options.optional(options.size) },
})

-- The tensors below a prefix, without it.
local function below(tensors, prefix)
  if prefix == "" then
    return tensors
  end
  local found = {}
  for name, tensor in pairs(tensors) do
    if type(name) == "string" and name:sub(1, #prefix) == prefix then
      found[name:sub(#prefix + 1)] = tensor
    end
  end
  return found
end

local function plain(tensors)
  local mapped = naming.new()
  return tensors, mapped
end

-- Which parameters have no values yet and get none.
local function check_filled(net, mapped)
  if #mapped.missing > 0 and not net.initialized then
    options.fail(("load: expected a net with initialized parameters, as %s %s missing in the file; call init first")
      :format(table.concat(mapped.missing, ", "), #mapped.missing == 1 and "is" or "are"))
  end
end

--- A function of the module: see Module:load.
---@param net saros.nn.Module
---@param source table<string, saros.Tensor>|string
---@param given saros.nn.LoadOptions
---@return saros.nn.Module?
---@return saros.Mapped|string mapped  or the message
return function(net, source, given)
  local o = check_options(given)
  local tensors = source
  if type(source) == "string" then
    local message
    tensors, message = formats.read(source, { limit = o.limit }, "load")
    if not tensors then
      return nil, message
    end
  elseif type(source) ~= "table" then
    options.fail("load: expected a path or a table of tensors by name, got " .. options.describe(source))
  end
  tensors = below(tensors, o.prefix)
  local found, mapped = refusal.guard(o.names and naming.map or plain, o.names and net or tensors, tensors, o.names)
  if not found then
    options.fail("load: " .. mapped)
  end
  local wanted = net:tensors()
  for _, name in ipairs(o.strict and mapped.unused or {}) do
    found[name] = not wanted[name] and tensors[name] or found[name] -- fitting refuses it by name
  end
  local values = {}
  for tensor, value in fitting.each(net, found, "", not o.strict and mapped or nil) do
    values[#values + 1] = { tensor, value }
  end
  check_filled(net, mapped)
  for _, pair in ipairs(values) do
    pair[1]:assign(pair[2])
  end
  net:visit(function(module) module.initialized = true end)
  return net, mapped
end
