--- A model as an ONNX file: the program of its net, what stands before and behind it, and what else
--- its file knows.

local core = require "saros.core"
local expand = require "saros.program.expand"
local graph_of = require "saros.onnx.write.graph"
local layer = require "saros.onnx.write.layer"
local metadata_of = require "saros.onnx.write.metadata"
local module = require "saros.nn.module"
local options = require "saros.options"
local parts_of = require "saros.export.parts"
local read = require "saros.export.graph"
local schema = require "saros.onnx.schema"
local wire = require "saros.onnx.wire"

-- The first opset in which the operators that are used have the form that is written, and the last one that is known.
local FIRST, LAST, USUAL = 13, 23, 17

-- Versions of the format by opset, as ONNX's table of versions has them.
local IR_VERSIONS = { { 23, 11 }, { 21, 10 }, { 19, 9 }, { 15, 8 }, { 13, 7 } }

-- A protobuf message has fewer bytes.
local MOST_BYTES = (1 << 31) - 1

local function is_text(value)
  return type(value) == "string" and utf8.len(value) ~= nil
end

local texts = options.kind("a table of texts in UTF-8 by name", function(value)
  for name, text in pairs(type(value) == "table" and value or { false }) do
    if not is_text(name) or not is_text(text) then
      return nil
    end
  end
  return value
end)

local check = options.declare("onnx.write", {
  { "opset", options.range(FIRST, LAST), USUAL },
  { "states", options.optional(options.boolean) },
  { "lengths", options.boolean, false },
  { "batch_first", options.optional(options.boolean) },
  { "metadata", texts, {} },
})

local function ir_version(opset)
  for _, row in ipairs(IR_VERSIONS) do
    if opset >= row[1] then
      return row[2]
    end
  end
end

local function check_arguments(model, path)
  if not module.is(model) then
    options.fail("onnx.write: expected a model, got " .. options.describe(model))
  elseif type(path) ~= "string" then
    options.fail("onnx.write: expected a path, got " .. options.describe(path))
  elseif model.kind == "encoder_decoder" then
    options.fail("onnx.write: expected a model that reads one sequence, got an encoder_decoder, whose decoder begins "
      .. "where its encoder ends; write models of its parts, or use saros.export_c")
  end
end

--- True if all states walk from the first step to the last.
local function walks_on(graph)
  for _, state in ipairs(graph.states) do
    if state.reverse then
      return false
    end
  end
  return true
end

--- How many bytes the tensors of a graph have.
local function bytes_of(graph)
  local sum = 0
  for _, tensor in ipairs(graph.initializer) do
    local data = tensor.raw_data
    sum = sum + (type(data) == "string" and #data or 4 * data:count())
  end
  return sum
end

--- The message of a model.
local function message_of(model, o)
  local parts = parts_of(model)
  local program = expand.cells(parts.net:program())
  local graph = read(program, parts.net:tensors(), { before = parts.before, behind = parts.behind,
    final = parts.final, keeps_whole = layer.is_operator })
  if o.states == nil then
    o.states = walks_on(graph)
  end
  if o.batch_first == nil then
    o.batch_first = parts.net.batch_first or false
  end
  local made, problems = graph_of(graph, o)
  if #problems > 0 then
    options.fail("onnx.write: expected nodes that ONNX has operators for, got " .. table.concat(problems, ", "))
  elseif bytes_of(made) >= MOST_BYTES then
    options.fail(("onnx.write: expected a model of fewer than 2^31 bytes, as a file in this format has, got %d bytes")
      :format(bytes_of(made)))
  end
  local title = model:describe()
  return {
    ir_version = ir_version(o.opset), producer_name = "saros", producer_version = core.info().version, graph = made,
    doc_string = is_text(title) and title or nil, opset_import = { { domain = "", version = o.opset } },
    metadata_props = metadata_of(model, parts, graph, o),
  }
end

--- See saros.onnx.write.
---@param model saros.nn.Module
---@param path string
---@param given? table
---@return true? ok
---@return string? message
return function(model, path, given)
  local _ <close> = core.no_gradient()
  local o = check(given)
  check_arguments(model, path)
  return wire.write(path, schema, "Model", message_of(model, o))
end
