--- Programs as tables: what a module computes in one step, for one row. The table has
--- the form of the JSON text; nodes, states and parameters count from 0 there:
---
---     { format = 1, parameters = { { name, shape } },
---       states = { { name, width, first?, next, reverse?, shape?, title? } },
---       nodes = { { op, in, ... } }, outputs = { { name, node } } }
---
--- A state of a module's program also has its `path`, the keys that lead to it in the
--- module's state, and `axis`, the axis of rows if that is not the first. The program has
--- `asks_training` if the module asked whether it is being trained: then its program in
--- training may differ. Files have none of these.

local core = require "saros.core"
local sorted = require "saros.sorted"

---@class saros.ProgramState
---@field name string
---@field width integer
---@field first? integer
---@field next integer
---@field reverse? boolean
---@field shape? integer[]  of a row, if it is no vector
---@field title? string  what its layer calls it
---@field path? any[]
---@field axis? integer  of the rows (1)

---@class saros.Program
---@field format integer
---@field parameters { name: string, shape: integer[] }[]
---@field states saros.ProgramState[]
---@field nodes table[]
---@field outputs { name: string, node: integer }[]
---@field asks_training? boolean
---@field captured? saros.program.Captured  what the functions that it was traced from read
local Program = {}
Program.__index = Program

local program = {}

-- Attributes in the order in which a line shows them; others follow by name.
local FIRST = { "name", "width", "count", "parameter", "state", "states", "cell", "with", "value", "values" }

local function text_of(value)
  if type(value) ~= "table" then
    return type(value) == "number" and core.format(math.type(value) == "float" and "%.6g" or "%d", value)
      or tostring(value)
  end
  local parts = {}
  for n = 1, math.min(#value, 6) do
    parts[n] = text_of(value[n])
  end
  return "[" .. table.concat(parts, ", ") .. (#value > 6 and ", ...]" or "]")
end

--- The attributes of a node as text: " outer 1, n 4".
local function attributes_of(self, node)
  local parts, seen = {}, { op = true, ["in"] = true }
  local function add(name)
    if node[name] ~= nil and not seen[name] then
      seen[name] = true
      local text = name == "parameter" and self.parameters[node[name] + 1].name
        or name == "state" and self.states[node[name] + 1].name or text_of(node[name])
      parts[#parts + 1] = name .. " " .. text
    end
  end
  for _, name in ipairs(FIRST) do
    add(name)
  end
  for _, name in ipairs(sorted.keys(node)) do
    add(name)
  end
  return #parts > 0 and "  " .. table.concat(parts, ", ") or ""
end

--- One line a node, then the states and the outputs.
function Program:__tostring()
  local lines = {}
  for n, node in ipairs(self.nodes) do
    local operands = table.concat(node["in"] or {}, " ")
    lines[n] = ("%4d  %s%s%s"):format(n - 1, node.op, operands == "" and "" or " " .. operands,
      attributes_of(self, node))
  end
  for _, state in ipairs(self.states) do
    lines[#lines + 1] = ("state %s  width %d, first %s, next %s%s"):format(state.name, state.width,
      state.first or "zeros", state.next, state.reverse and ", reverse" or "")
  end
  for _, output in ipairs(self.outputs) do
    lines[#lines + 1] = ("output %s  %d"):format(output.name, output.node)
  end
  return table.concat(lines, "\n")
end

-- --- JSON ---------------------------------------------------------------------------------

--- A list as JSON, each element by a function; one a line if `lines`.
local function list_text(list, lines)
  local parts = {}
  for n, element in ipairs(list) do
    parts[n] = core.json_encode(element):gsub('("%a+":%s*){}', "%1[]") -- empty lists, of tables
  end
  return "[" .. (lines and #parts > 0 and "\n" or "") .. table.concat(parts, lines and ",\n" or ", ") .. "]"
end

--- The program as JSON text, one node a line; `core.program` reads it.
---@return string
function Program:encode()
  local states = {}
  for n, state in ipairs(self.states) do
    states[n] = { name = state.name, width = state.width, first = state.first, next = state.next,
      reverse = state.reverse, shape = state.shape, title = state.title }
  end
  return ('{"format": %d,\n"parameters": %s,\n"states": %s,\n"nodes": %s,\n"outputs": %s}'):format(self.format,
    list_text(self.parameters, true), list_text(states, true), list_text(self.nodes, true), list_text(self.outputs))
end

--- The program that a table is, with the methods of programs.
---@param given table
---@return saros.Program
function program.new(given)
  return setmetatable(given, Program)
end

--- The nodes of a program that take something, in their order.
---@param given saros.Program
---@return table[]
function program.inputs(given)
  local list = {}
  for _, node in ipairs(given.nodes) do
    if node.op == "input" or node.op == "ids" then
      list[#list + 1] = node
    end
  end
  return list
end

--- True if a program drops or keeps units by chance in training.
---@param given saros.Program
---@return boolean
function program.is_random(given)
  for _, node in ipairs(given.nodes) do
    if node.op == "dropout" or node.zoneout or node.dropout then
      return true
    end
  end
  return false
end

--- The program that JSON text says, unchecked: core.program checks it.
---@param text string
---@return saros.Program
function program.decode(text)
  return program.new(core.json_decode(text))
end

return program
