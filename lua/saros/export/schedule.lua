--- The order in which the nodes of a body are computed, and where their values
--- are: element-wise nodes of one width share a loop, parts of an array are read
--- where they lie, and a state takes its new value in place where nothing reads
--- the old one later.

--- Functions of each element, as C says them of x, y and z, and what they use.
local ELEMENTWISE = {
  negate = "-x", abs = "fabs$f(x)", exp = "$name_exp(x)", log = "log$f(x)", sqrt = "sqrt$f(x)",
  tanh = "$name_tanh(x)", sigmoid = "$name_sigmoid(x)", relu = "x < 0 ? 0 : x", sin = "sin$f(x)", cos = "cos$f(x)",
  softplus = "$name_softplus(x)", silu = "x * $name_sigmoid(x)", gelu = "$name_gelu(x)",
  gelu_tanh = "$name_gelu_tanh(x)", elu = "x > 0 ? x : slope * expm1$f(x)", leaky_relu = "x < 0 ? slope * x : x",
  hard_sigmoid = "$name_clamped(x / 6 + ($real)0.5, 0, 1)", hard_tanh = "$name_clamped(x, -1, 1)",
  isfinite = "x - x == 0 ? 1 : 0", isnan = "x != x ? 1 : 0",
  add = "x + y", subtract = "x - y", multiply = "x * y", divide = "x / y", power = "pow$f(x, y)",
  maximum = "x > y || x != x ? x : y", minimum = "x < y || x != x ? x : y",
  lt = "x < y ? 1 : 0", le = "x <= y ? 1 : 0", gt = "x > y ? 1 : 0", ge = "x >= y ? 1 : 0",
  eq = "x == y ? 1 : 0", ne = "x != y ? 1 : 0", where = "x != 0 ? y : z", copy = "x",
}

---@class saros.export.Item  one statement: a call, or a loop over some nodes
---@field nodes saros.export.Node[]
---@field width integer?  of a loop
---@field place integer  in the body

local schedule = { ELEMENTWISE = ELEMENTWISE }

--- Only one element is repeated, or nothing: a loop can do that.
local function is_elementwise(node)
  return ELEMENTWISE[node.op] ~= nil or node.op == "expand" and node.inputs[1].width == 1
end

--- True if the node is a run of elements of its operand.
local function is_part(node)
  return node.op == "slice" and node.outer == 1 and (node.step == 1 or node.count == 1)
end

--- What holds the elements of a node, and which is its first there.
---@return saros.export.Node root
---@return integer offset
function schedule.root(node)
  local offset = 0
  while is_part(node) and not node.tensor do
    offset, node = offset + node.from * node.inner, node.inputs[1]
  end
  return node, offset
end

local root = schedule.root

-- Nodes without a statement.
local GIVEN = { input = true, ids = true, state = true }

--- True if a statement computes it.
function schedule.is_computed(node)
  return not (node.tensor or GIVEN[node.op] or is_part(node) or node.looked_up)
end

-- --- Items ----------------------------------------------------------------------------------

local Schedule = {}
Schedule.__index = Schedule

--- Finish the loop that a node is in, so that others can read its array.
local function close(self, node)
  local group = self.open_of[node]
  if not group then
    return
  end
  self.open[group.width] = nil
  for _, member in ipairs(group.nodes) do
    self.open_of[member] = nil
  end
  self.items[#self.items + 1] = group
end

local function join(self, node)
  for _, input in ipairs(node.inputs) do
    local source = root(input)
    local group = self.open_of[source]
    if group and (group.width ~= node.width or source ~= input) then
      close(self, source)
    end
  end
  local group = self.open[node.width] or { width = node.width, nodes = {} }
  self.open[node.width] = group
  group.nodes[#group.nodes + 1] = node
  self.open_of[node], self.item_of[node] = group, group
end

local function call(self, node)
  for _, input in ipairs(node.inputs) do
    close(self, (root(input)))
  end
  local item = { nodes = { node } }
  self.items[#self.items + 1], self.item_of[node] = item, item
end

--- Group nodes into loops and calls.
---@param nodes saros.export.Node[]
---@return saros.export.Item[] items
---@return table<saros.export.Node, saros.export.Item> item_of
function schedule.items(nodes)
  local self = setmetatable({ items = {}, open = {}, open_of = {}, item_of = {} }, Schedule)
  for _, node in ipairs(nodes) do
    if schedule.is_computed(node) then
      (is_elementwise(node) and join or call)(self, node)
    end
  end
  for _, node in ipairs(nodes) do
    close(self, node)
  end
  for place, item in ipairs(self.items) do
    item.place = place
  end
  return self.items, self.item_of
end

-- --- Who reads what --------------------------------------------------------------------------

--- The operands of all statements: for each root, where it is read.
---@return table<saros.export.Node, { item: saros.export.Item, direct: boolean }[]>
function schedule.readers(items)
  local readers = {}
  for _, item in ipairs(items) do
    for _, node in ipairs(item.nodes) do
      for _, input in ipairs(node.inputs) do
        local source = root(input)
        readers[source] = readers[source] or {}
        table.insert(readers[source], { item = item, direct = source == input })
      end
    end
  end
  return readers
end

--- True if something besides its own loop reads the value of a node.
function schedule.is_read(node, item, readers)
  for _, reader in ipairs(readers[node] or {}) do
    if reader.item ~= item or not reader.direct then
      return true
    end
  end
  return false
end

--- True if nothing reads the old value of a state after, or beside, the new one.
---@param state saros.export.State
---@param item saros.export.Item  which computes the new one
---@param nodes saros.export.Node[]
---@param at_end table<saros.export.Node, true>  roots that are read after all statements
function schedule.in_place(state, item, nodes, readers, at_end)
  for _, node in ipairs(nodes) do
    if node.op == "state" and node.state == state then
      if at_end[node] then
        return false
      end
      for _, reader in ipairs(readers[node] or {}) do
        local place = reader.item.place
        if place > item.place or place == item.place
          and not (item.width and reader.direct and item.width == state.width) then
          return false
        end
      end
    end
  end
  return true
end

return schedule
