--- What is in an ONNX file, without reading its weights.

local file = require "saros.onnx.file"
local operators = require "saros.onnx.operators"
local sorted = require "saros.sorted"

---@class saros.onnx.Summary
---@field format "onnx"
---@field producer string
---@field opset integer
---@field inputs { name: string, shape: string }[]
---@field outputs { name: string, shape: string }[]
---@field operators table<string, integer>  how often each stands there
---@field unknown string[]  operators that saros.onnx.read does not know
---@field parameters integer  numbers in initializers
---@field metadata table<string, string>
local Summary = {}
Summary.__index = Summary
Summary.__name = "summary of an ONNX file"

local function shape_text(info)
  local dims = info.type and file.dims(info)
  local list = {}
  for n, dim in ipairs(dims or {}) do
    list[n] = dim and tostring(dim) or "?"
  end
  return dims and "(" .. table.concat(list, ", ") .. ")" or "(...)"
end

local function described(list, hidden)
  local made = {}
  for _, info in ipairs(list or {}) do
    made[#made + 1] = not hidden[info.name] and { name = info.name, shape = shape_text(info) } or nil
  end
  return made
end

local function line_of(word, list)
  local parts = {}
  for n, entry in ipairs(list) do
    parts[n] = entry.name .. " " .. entry.shape
  end
  return ("%-10s %s"):format(word, table.concat(parts, ", "))
end

function Summary:__tostring()
  local counts = {}
  for n, name in ipairs(sorted.keys(self.operators)) do
    counts[n] = ("%s %d"):format(name, self.operators[name])
  end
  local lines = {
    ("ONNX model of %s, opset %d, %d parameters"):format(self.producer, self.opset, self.parameters),
    line_of("inputs", self.inputs), line_of("outputs", self.outputs),
    ("%-10s %s"):format("operators", table.concat(counts, ", ")),
  }
  if #self.unknown > 0 then
    lines[#lines + 1] = ("%-10s %s"):format("unknown", table.concat(self.unknown, ", "))
  end
  return table.concat(lines, "\n")
end

--- Counts the operators of a graph and of those inside its nodes. If is none that is unknown: its branch is taken.
local function count_operators(graph, counts, unknown)
  for _, node in ipairs(graph.node or {}) do
    local name = operators.title(node)
    if not counts[name] and not operators.of(node) and name ~= "If" then
      unknown[#unknown + 1] = name
    end
    counts[name] = (counts[name] or 0) + 1
    for _, given in ipairs(node.attribute or {}) do
      count_operators(given.g or {}, counts, unknown)
    end
  end
end

--- What is in a file.
---@param path string
---@return saros.onnx.Summary
return function(path)
  local model = file.open(path, false)
  local hidden, count, metadata = {}, 0, {}
  for _, proto in ipairs(model.graph.initializer or {}) do
    local size = 1
    for _, dim in ipairs(proto.dims or {}) do
      size = size * dim
    end
    hidden[proto.name or ""], count = true, count + size
  end
  for _, entry in ipairs(model.metadata_props or {}) do
    metadata[entry.key or ""] = entry.value or ""
  end
  local counts, unknown = {}, {}
  count_operators(model.graph, counts, unknown)
  table.sort(unknown)
  return setmetatable({
    format = "onnx", producer = model.producer_name or "an unnamed program", opset = model.opset, parameters = count,
    inputs = described(model.graph.input, hidden), outputs = described(model.graph.output, {}),
    operators = counts, unknown = unknown, metadata = metadata,
  }, Summary)
end
