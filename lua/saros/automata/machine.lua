--- What heads of a finite-state layer do, as automata: states are integers, from 1, found
--- as they are reached. The functions are those of the layer's weights, so a machine
--- walks exactly as the layer does.

local core = require "saros.core"

---@class saros.automata.Machine
---@field rows integer[][]  by state and token: the state after it, as far as known
---@field values any[]  by state
---@field numbers table<any, integer>  by key: its state
---@field move fun(self: saros.automata.Machine, state: integer, token: integer): integer
---@field places fun(self: saros.automata.Machine, state: integer, list: integer[])  appends where pointers stand
local Machine = {}
Machine.__index = Machine

local function new(fields)
  fields.rows, fields.values, fields.numbers = {}, {}, {}
  return setmetatable(fields, Machine)
end

--- The number of a state of this key; the value is kept with it.
local function number_of(self, key, value)
  local number = self.numbers[key]
  if not number then
    number = #self.values + 1
    self.numbers[key], self.values[number], self.rows[number] = number, value, {}
  end
  return number
end

---@param state integer
---@param token integer
---@return integer
function Machine:step(state, token)
  local row = self.rows[state]
  local after = row[token]
  if not after then
    after = self:move(state, token)
    row[token] = after
  end
  return after
end

-- --- One head ---------------------------------------------------------------------------------

local function move_head(self, state, token)
  local places, of = {}, self.functions[token]
  for p, place in ipairs(self.values[state]) do
    places[p] = of[place]
  end
  return number_of(self, #places == 1 and places[1] or table.concat(places, " "), places)
end

local function places_of_head(self, state, list)
  table.move(self.values[state], 1, #self.values[state], #list + 1, list)
end

--- functions[token][place]: where a pointer goes.
local function of_head(functions, n, is_all)
  local self, places = new { functions = functions, move = move_head, places = places_of_head }, {}
  for p = 1, is_all and n or 1 do
    places[p] = p
  end
  number_of(self, #places == 1 and places[1] or table.concat(places, " "), places)
  return self
end

-- --- Several heads ------------------------------------------------------------------------------

local function move_both(self, state, token)
  local pair = self.values[state]
  local a, b = self.a:step(pair[1], token), self.b:step(pair[2], token)
  return number_of(self, a << 32 | b, { a, b })
end

local function places_of_both(self, state, list)
  local pair = self.values[state]
  self.a:places(pair[1], list)
  self.b:places(pair[2], list)
end

local machine = {}

--- Two machines side by side.
---@param a saros.automata.Machine
---@param b saros.automata.Machine
---@return saros.automata.Machine
function machine.both(a, b)
  local self = new { a = a, b = b, move = move_both, places = places_of_both }
  number_of(self, 1 << 32 | 1, { 1, 1 })
  return self
end

--- The machine of each head of a layer of tokens.
---@param layer saros.nn.Finite
---@return saros.automata.Machine[]
function machine.heads(layer)
  local o = layer.o
  local all = layer.weight:detach():reshape(o.tokens, o.heads, o.states, o.states):argmax(-1):totable()
  local list = {}
  for h = 1, o.heads do
    local functions = {}
    for token = 1, o.tokens do
      functions[token] = all[token][h]
    end
    list[h] = of_head(functions, o.states, o.pointers == "all")
  end
  return list
end

--- Some of the heads together.
---@param heads saros.automata.Machine[]
---@param which integer[]
---@return saros.automata.Machine
function machine.of(heads, which)
  local self = heads[which[1]]
  for n = 2, #which do
    self = machine.both(self, heads[which[n]])
  end
  return self
end

--- All heads of a layer.
---@param layer saros.nn.Finite
---@return saros.automata.Machine
function machine.whole(layer)
  local all = {}
  for h = 1, layer.o.heads do
    all[h] = h
  end
  return machine.of(machine.heads(layer), all)
end

--- States as the layer's output has them.
---@param self saros.automata.Machine
---@param states integer[]
---@param n integer  states of a head
---@return saros.Tensor  (#states, heads P n)
function machine.one_hots(self, states, n)
  local list = {}
  for _, state in ipairs(states) do
    self:places(state, list)
  end
  return core.one_hot(core.ids(list), n):reshape(#states, -1)
end

return machine
