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
---@field n integer  states of a head
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
  local self, places = new { functions = functions, move = move_head, places = places_of_head, n = n }, {}
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
  local self = new { a = a, b = b, move = move_both, places = places_of_both, n = a.n }
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

--- All heads of a layer of tokens.
---@param layer saros.nn.Finite
---@return saros.automata.Machine
local function of_layer(layer)
  local all = {}
  for h = 1, layer.o.heads do
    all[h] = h
  end
  return machine.of(machine.heads(layer), all)
end

--- States of heads as their layer's output has them.
local function one_hots(self, states)
  local list = {}
  for _, state in ipairs(states) do
    self:places(state, list)
  end
  return core.one_hot(core.ids(list), self.n):reshape(#states, -1)
end

-- --- A second layer -------------------------------------------------------------------------------

--- Where the pointers of the second layer go, from a token and the first layer's state after it.
local function functions_of(self, below, token)
  local key = below << 32 | token
  if not self.functions[key] then
    local layer, x = self.layer, core.one_hot(core.ids { token }, self.tokens) .. one_hots(self.below, { below })
    self.functions[key] = core.linear(x, layer.weight:detach(), layer.bias:detach())
      :reshape(layer.o.heads, self.n, self.n):argmax(-1):totable()
  end
  return self.functions[key]
end

local function move_above(self, state, token)
  local value, places = self.values[state], {}
  local below = self.below:step(value.below, token)
  for h, of in ipairs(functions_of(self, below, token)) do
    places[h] = of[value.places[h]]
  end
  return number_of(self, below .. " " .. table.concat(places, " "), { below = below, places = places })
end

local function places_above(self, state, list)
  local places = self.values[state].places
  table.move(places, 1, #places, #list + 1, list)
end

--- A machine and a layer of one pointer a head, which reads tokens and the machine's states.
local function over(below, layer, tokens)
  local self, places = new { below = below, layer = layer, tokens = tokens, n = layer.o.states, functions = {},
    move = move_above, places = places_above }, {}
  for h = 1, layer.o.heads do
    places[h] = 1
  end
  number_of(self, "1 " .. table.concat(places, " "), { below = 1, places = places })
  return self
end

-- --- A net -----------------------------------------------------------------------------------------

--- All heads of a net.
---@param model saros.automata.Model
---@return saros.automata.Machine
function machine.whole(model)
  local first = of_layer(model.finite)
  return model.second and over(first, model.second, model.o.tokens) or first
end

--- States as the readout of the net reads them.
---@param self saros.automata.Machine
---@param states integer[]
---@return saros.Tensor  (#states, F)
function machine.features(self, states)
  if not self.below then
    return one_hots(self, states)
  end
  local below = {}
  for n, state in ipairs(states) do
    below[n] = self.values[state].below
  end
  return one_hots(self.below, below) .. one_hots(self, states)
end

return machine
