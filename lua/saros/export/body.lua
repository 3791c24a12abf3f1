--- The statements of a step: arrays for the values, loops, calls, and what
--- becomes of the states.

local options = require "saros.options"
local rules = require "saros.export.nodes"
local schedule = require "saros.export.schedule"
local text = require "saros.export.text"

---@class saros.export.Body
---@field file saros.export.File
---@field lines string[]
---@field at table<saros.export.Node, string>  C for the array of a node
---@field members { name: string, width: integer, type: string? }[]  of the step under way
---@field graph saros.export.Graph
---@field names table<saros.export.Node, string>
local Body = {}
Body.__index = Body

local root = schedule.root

-- --- Text ---------------------------------------------------------------------------------

function Body:say(...)
  self.lines[#self.lines + 1] = "  " .. (...):format(select(2, ...))
end

--- A call of one of the file's functions.
function Body:call(name, ...)
  self.file:use(name)
  local arguments = { ... }
  for position, argument in ipairs(arguments) do
    arguments[position] = tostring(argument)
  end
  self:say("%s", text.wrap(("$name_%s(%s)"):format(name, table.concat(arguments, ", ")), "      ") .. ";")
end

--- The name of a node as a variable or an array.
function Body:name(node)
  self.names[node] = self.names[node] or self.unique(node.title or node.op)
  return self.names[node]
end

-- --- Arrays --------------------------------------------------------------------------------

--- An array of the step under way.
function Body:array(title, width, kind)
  local name = self.unique(title)
  self.members[#self.members + 1] = { name = name, width = width, type = kind }
  return "state->" .. name
end

--- C for the array whose elements are those of a root.
local function base(self, node)
  local at = self.at[node]
  if at then
    return at
  elseif node.tensor then
    return self.file:constant(node)
  elseif node.op == "state" then
    return "state->" .. node.state.member
  elseif node.looked_up then
    return ("%s + (size_t)%s * %d"):format(self.file:constant(node.inputs[2]), self.at[node.inputs[1]], node.width)
  end
  error("no place for " .. node.op)
end

--- A pointer to the elements of a node.
function Body:pointer(node)
  if node.op == "ids" then
    return self.at[node]
  end
  local source, offset = root(node)
  local array = base(self, source)
  return offset > 0 and ("%s + %d"):format(array, offset) or array
end

--- Element i of a node, or its only one.
local function element(self, node, item, i)
  if node.tensor and node.width == 1 then
    return self.file:literal(node.tensor[1])
  elseif node.op == "ids" then
    return ("(%s)%s"):format(self.file.real, self.at[node])
  elseif self.item_of[node] == item then
    return self:name(node)
  end
  local source, offset = root(node)
  local array = base(self, source)
  array = array:find " " and ("(%s)"):format(array) or array
  if node.width == 1 then
    return ("%s[%d]"):format(array, offset)
  end
  return offset > 0 and ("%s[%d + %s]"):format(array, offset, i) or ("%s[%s]"):format(array, i)
end

-- Where a program names none.
local SLOPES = { elu = 1, leaky_relu = 0.01 }

--- Room for x as whole numbers.
function Body:whole_numbers(width)
  for _, member in ipairs(self.members) do
    if member.type then
      member.width = math.max(member.width, width)
      return "state->" .. member.name
    end
  end
  return self:array("whole", width, "int16_t ")
end

-- --- Loops ----------------------------------------------------------------------------------

--- The expression of an element-wise node.
local function expression(self, node, item, i)
  local rule, operands = schedule.ELEMENTWISE[node.op] or "x", {}
  for position, letter in ipairs { "x", "y", "z" } do
    operands[letter] = node.inputs[position] and element(self, node.inputs[position], item, i)
  end
  operands.slope = self.file:literal(node.slope or SLOPES[node.op] or 0)
  for name in rule:gmatch "%$name_([%w_]+)" do
    self.file:use(name)
  end
  return (rule:gsub("%f[%w_$]%a+%f[^%w_]", operands))
end

local function emit_loop(self, item)
  local i = item.width == 1 and "0" or "i"
  self:say(item.width == 1 and "{" or "for (int i = 0; i < %d; i++) {", item.width)
  for _, node in ipairs(item.nodes) do
    self:say("  const $real %s = %s;", self:name(node), expression(self, node, item, i))
  end
  for _, node in ipairs(item.nodes) do -- at the end, as a state may be written over
    if self.at[node] then
      self:say("  %s[%s] = %s;", self.at[node], i, self:name(node))
    end
  end
  self:say "}"
end

-- --- Places ---------------------------------------------------------------------------------

--- The roots that are read when all statements are done.
local function read_at_end(self)
  local at_end = {}
  for _, output in ipairs(self.outputs) do
    at_end[root(output.node)] = true
  end
  for _, state in ipairs(self.states) do
    if state.next then
      at_end[root(state.next)] = true
    end
  end
  return at_end
end

--- New values that can take the place of the old ones.
local function place_states(self, readers, at_end)
  for _, state in ipairs(self.states) do
    local node = state.next
    local item = node and self.item_of[node]
    if item and not self.at[node] and node.width == state.width
      and schedule.in_place(state, item, self.nodes, readers, at_end) then
      self.at[node], state.placed = "state->" .. state.member, true
    end
  end
end

--- Results of calls that can be written where the caller wants them.
local function place_outputs(self)
  for _, output in ipairs(self.outputs) do
    local item = self.item_of[output.node]
    if item and not item.width and not self.at[output.node] then
      self.at[output.node], output.placed = output.to, true
    end
  end
end

local function place_rest(self, readers, at_end)
  for _, item in ipairs(self.items) do
    for _, node in ipairs(item.nodes) do
      if not self.at[node] and (not item.width or at_end[node] or schedule.is_read(node, item, readers)) then
        local name = self:name(node)
        self.members[#self.members + 1] = { name = name, width = node.width }
        self.at[node] = "state->" .. name
      end
    end
  end
end

-- --- All of it -------------------------------------------------------------------------------

local function emit_copies(self)
  for _, output in ipairs(self.outputs) do
    if not output.placed then
      self:say("memcpy(%s, %s, %d * sizeof(%s));", output.to, self:pointer(output.node), output.node.width, "$real")
    end
  end
  for _, state in ipairs(self.states) do
    if state.next and not state.placed then
      self:say("memcpy(state->%s, %s, %d * sizeof($real));", state.member, self:pointer(state.next), state.width)
    end
  end
end

--- What a comment calls a node.
local function comment(node)
  local from = {}
  for position, input in ipairs(node.inputs) do
    from[position] = not input.tensor and tostring(input.width) or nil
  end
  local widths = {}
  for position = 1, #node.inputs do
    widths[#widths + 1] = from[position]
  end
  return ("%s: %s -> %d"):format(node.op, table.concat(widths, ", "), node.width)
end

local function emit_item(self, item)
  if item.width then
    emit_loop(self, item)
    return
  end
  local node = item.nodes[1]
  local rule = rules[node.op]
    or options.fail(("export_c: expected operations that C files have, got %q"):format(node.op))
  self:say("/* %s */", comment(node))
  rule(self, node, self.at[node])
end

--- Where the new value of a state is the old value of a state, which the body may
--- overwrite, that is copied first.
local function copy_states(nodes, states)
  local list = table.move(nodes, 1, #nodes, 1, {})
  for _, state in ipairs(states) do
    local node = state.next
    if node and root(node).op == "state" then
      local copy = { op = "copy", inputs = { node }, width = node.width, title = state.name }
      list[#list + 1], state.next = copy, copy
    end
  end
  return list
end

--- Translate nodes. `at` has the places of inputs and of what was computed
--- elsewhere, outputs those of the outputs (`to`).
---@param file saros.export.File
---@param nodes saros.export.Node[]
---@param given { at: table, outputs: table[], states: saros.export.State[], name: function, members: table[] }
---@return saros.export.Body
local function translate(file, nodes, given)
  local self = setmetatable({ file = file, lines = {}, at = given.at, outputs = given.outputs,
    states = given.states, names = {}, unique = given.name, members = given.members }, Body)
  self.nodes = copy_states(nodes, self.states)
  self.items, self.item_of = schedule.items(self.nodes)
  local readers, at_end = schedule.readers(self.items), read_at_end(self)
  place_states(self, readers, at_end)
  place_outputs(self)
  place_rest(self, readers, at_end)
  for _, item in ipairs(self.items) do
    emit_item(self, item)
  end
  emit_copies(self)
  return self
end

return translate
