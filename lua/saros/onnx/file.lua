--- An ONNX file: its model as tables, checked as far as every use of it needs.

local core = require "saros.core"
local options = require "saros.options"
local schema = require "saros.onnx.schema"
local sorted = require "saros.sorted"
local tensors = require "saros.onnx.tensors"
local wire = require "saros.onnx.wire"

local file = {}

--- Where the values of tensors of a file are read.
---@class saros.onnx.Source
---@field wire saros.Wire
---@field path string
---@field external boolean
---@field inside fun(name: string): string?
---@field others table<string, saros.Wire>  files of external data that are open

--- The opset of the operators of ONNX itself.
local function opset_of(model)
  for _, set in ipairs(model.opset_import or {}) do
    if (set.domain or "") == "" or set.domain == "ai.onnx" then
      return set.version or 0
    end
  end
  return 0
end

local function check(model)
  if not model.graph or not model.ir_version then
    error("expected an ONNX model, got a file without a graph", 0)
  elseif #(model.graph.node or {}) == 0 then
    error("expected a graph with nodes, got none", 0)
  elseif model.graph.sparse_initializer then
    error("expected dense initializers, got sparse ones", 0)
  end
end

--- What states begin with that do not begin at zeros, by name: a text of files that Saros writes.
local function first_states(model)
  for _, entry in ipairs(model.metadata_props or {}) do
    if entry.key == "first_states" and model.producer_name == "saros" then
      local ok, value = pcall(core.json_decode, entry.value or "")
      if not ok or type(value) ~= "table" then
        error("expected first_states as lists of numbers by name", 0)
      end
      return value
    end
  end
  return {}
end

--- Open a model. Errors, without a line, say what is wrong with the file.
---@param path string
---@param external boolean  may tensors be in other files of its folder?
---@return table model  see saros.onnx.schema; with `opset` and `first_states`
---@return saros.onnx.Source source
function file.open(path, external)
  local opened, message = core.open_wire(path)
  if not opened then
    error(message:gsub("^wire: ", ""), 0)
  end
  local model = wire.read(opened, schema, "Model")
  check(model)
  model.opset, model.first_states = opset_of(model), first_states(model)
  return model, {
    wire = opened, path = path, external = external, others = {}, inside = tensors.folder_of(path),
  }
end

--- The sizes of an input or output: integers, names, or false where nothing is said; nil if
--- there is no shape at all.
---@param info table  ValueInfo
---@return (integer|string|false)[]? dims
---@return integer type  as ONNX numbers it
function file.dims(info)
  local of = info.type and info.type.tensor_type
  if not of then
    error(("expected %s to be a tensor, got something else"):format(options.describe(info.name)), 0)
  end
  local dims = of.shape and {}
  for n, dim in ipairs(of.shape and of.shape.dim or {}) do
    dims[n] = dim.dim_value or dim.dim_param or false
  end
  return dims, of.elem_type or 0
end

--- The axes of an input whose sizes are open.
local function open_axes(info)
  local list = {}
  for _, dim in ipairs(info.type and info.type.tensor_type and (info.type.tensor_type.shape or {}).dim or {}) do
    list[#list + 1] = not dim.dim_value and dim or nil
  end
  return list
end

--- Fixes sizes that the file leaves open: by the name that they have there, or by the name of an input,
--- of which it is the last open one.
---@param model table
---@param sizes table<string, integer>
function file.fix_sizes(model, sizes)
  local is_used = {}
  for _, info in ipairs(model.graph.input or {}) do
    local open = open_axes(info)
    for k, dim in ipairs(open) do
      local by = dim.dim_param and sizes[dim.dim_param] and dim.dim_param
        or k == #open and sizes[info.name] and info.name
      if by then
        dim.dim_value, is_used[by] = sizes[by], true
      end
    end
  end
  for _, name in ipairs(sorted.keys(sizes)) do
    if not is_used[name] then
      error(("expected sizes of inputs with open ones, or by the names of open sizes, got %s"):format(
        options.describe(name)), 0)
    end
  end
end

return file
