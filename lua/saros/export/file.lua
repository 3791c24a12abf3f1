--- What the parts of an exported file share: its constants, the C functions that
--- it needs, and how numbers are written.

local core = require "saros.core"
local functions = require "saros.export.rows"
local quantise = require "saros.export.quantise"

---@class saros.export.File
---@field real string  "float", or "double" in the double build
---@field f string  what follows the functions of math.h and literals
---@field quantised boolean  are matrices in 8 bits?
---@field used table<string, boolean>  names of functions
---@field constants (string|saros.Tensor)[]  pieces of the file
---@field names table<saros.export.Node, string>  of the constants
---@field small table<saros.export.Node, table>  matrices in 8 bits
---@field taken table<string, true>
local File = {}
File.__index = File

-- Other names that files define.
local OWN = { "state", "reset", "step", "run", "finish", "symbols", "labels", "space", "probabilities", "lanes",
  "lanes_wide", "fold", "fold_wide", "products_wide", "whole_products_wide", "whole_products_widest",
  "encode", "next", "translate", "look", "sources", "targets" }

--- Names that constants cannot have.
local function reserved()
  local taken = {}
  for _, entry in ipairs(functions) do
    taken[entry.name] = true
  end
  for _, name in ipairs(OWN) do
    taken[name] = true
  end
  return taken
end

--- @param weights "real"|"int8"
---@return saros.export.File
function File.new(weights)
  local real = core.info().real
  return setmetatable({ real = real, f = real == "float" and "f" or "", quantised = weights == "int8", used = {},
    constants = {}, names = {}, small = {}, taken = reserved() }, File)
end

--- A number as a literal.
function File:literal(x)
  if x ~= x then
    return "NAN"
  elseif x == math.huge or x == -math.huge then
    return x < 0 and "-INFINITY" or "INFINITY"
  end
  local text = core.format(self.real == "float" and "%.9g" or "%.17g", x)
  return (text:find "[.en]" and text or text .. ".0") .. self.f
end

--- Say that a function is needed, and those that it calls.
function File:use(name)
  self.used[name] = true
end

local function unique(self, title)
  local stem = title:gsub("[^%w_]+", "_")
  local name, n = stem, 1
  while self.taken[name] or name:find "^test_" do
    n = n + 1
    name = ("%s_%d"):format(stem, n)
  end
  self.taken[name] = true
  return "$name_" .. name
end

--- Declare an array of elements of a type.
---@return string name
function File:declare(kind, title, tensor)
  local all, name = self.constants, unique(self, title)
  all[#all + 1] = ("static const %s %s[%d] = {"):format(kind, name, tensor:count())
  all[#all + 1] = tensor
  all[#all + 1] = "};\n\n"
  return name
end

--- Numbers of double precision as a constant, and its name.
function File:doubles(title, numbers)
  local name, texts = unique(self, title), {}
  for n, x in ipairs(numbers) do
    texts[n] = core.format("%.17g", x)
  end
  self.constants[#self.constants + 1] = ("static const double %s[%d] = {\n    %s,\n};\n\n"):format(name, #numbers,
    table.concat(texts, ",\n    "))
  return name
end

--- The name of the array of a node that depends on parameters alone.
function File:constant(node)
  if not self.names[node] then
    self.names[node] = self:declare(self.real, node.parameter or node.title or node.op, node.tensor)
  end
  return self.names[node]
end

--- The array of the weights of a product and, in 8 bits, the array of their scales.
---@param node saros.export.Node
---@param outputs integer
---@return string name
---@return string? scale
function File:weights(node, outputs)
  if not self.quantised or quantise.is_exact(outputs) then
    return self:constant(node)
  end
  return self:rows(node, outputs)
end

--- The arrays of a matrix in 8 bits: its rows, and their scales.
---@param node saros.export.Node
---@param rows integer
---@return string name
---@return string scale
function File:rows(node, rows)
  local small = self.small[node]
  if not small then
    local title = node.parameter or node.title or node.op
    local made = quantise.rows(node.tensor:reshape(rows, -1))
    small = { self:declare("int8_t", title, made.integers), self:declare("float", title .. "_scale", made.scale) }
    self.small[node] = small
  end
  return small[1], small[2]
end

--- The functions that the file calls, in the order of their list.
function File:functions()
  for at = #functions, 1, -1 do -- each stands behind those that it calls
    local entry = functions[at]
    for name in self.used[entry.name] and entry.source:gmatch "%$name_([%w_]+)%(" or function() end do
      self.used[name] = true
    end
  end
  local list = {}
  for _, entry in ipairs(functions) do
    if self.used[entry.name] then
      list[#list + 1] = entry.source .. "\n"
    end
  end
  return table.concat(list)
end

return File
