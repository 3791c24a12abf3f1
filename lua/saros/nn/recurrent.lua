--- Stacks of recurrent layers over whole sequences, in one direction or both.
---
--- What a cell does in a layer is either fused (one operation of the core) or a step
--- function, compiled or unrolled; the stack around it is the same.
--- Parameters have PyTorch's names: layer k, counted from 0, has weight_ih_lk
--- (G H, I), weight_hh_lk (G H, H), bias_ih_lk and bias_hh_lk (G H), and those
--- of the direction from the end have "_reverse" behind that.

local core = require "saros.core"
local options = require "saros.options"
local activation = require "saros.nn.cells.activation"
local cells = require "saros.nn.cells"
local cell_names = require "saros.nn.cells.list"
local initialize = require "saros.nn.initialize"
local layer_options = require "saros.nn.layer_options"
local lazy = require "saros.lazy"
local maker = require "saros.nn.maker"
local module = require "saros.nn.module"
local scope = require "saros.nn.scope"
local given_steps = require "saros.nn.steps"
local states = require "saros.nn.state"

-- What a layer of fused cells seldom needs.
local late = lazy({}, {
  own_cells = { "saros.nn.cell" },
  own_layer = { "saros.nn.own_layer" },
  replay = { "saros.nn.replay" },
  unfused = { "saros.nn.cells.unfused" },
})

--- One layer in one direction.
---@class saros.nn.Direction
---@field reverse boolean
---@field output integer  features of y
---@field sizes integer[]  of its states
---@field parameters saros.Layer?  of a fused cell
---@field norm_ih saros.Tensor[]?  gain and bias of the norm of W x
---@field around saros.nn.Around?  what surrounds the walk over time
---@field cell saros.nn.Module?  of one's own
---@field own saros.nn.DirectionLayer?  around it, or what a cell such as delta is in place of a call of the core
---@field learned integer?  see saros.nn.Made, as for ends_in_output
---@field ends_in_output boolean?
---@field initial saros.Tensor[]?  learned first states
---@field named string[]  the gates and the like that `layers = "all"` returns, in order
---@field replay saros.nn.Replay?  of a fused cell, once these are asked for

--- What a layer did in one direction: (T, B, ...) each, 0 at padded steps.
---@class saros.nn.LayerValues
---@field y saros.Tensor  its output
---@field states table<string, saros.Tensor>  after each step, by the names of state_names: h, and c of an LSTM
---@field gates table<string, saros.Tensor>  of an LSTM input, forget, candidate, output; of a GRU reset, update,
---  candidate; of ugrnn and mingru update, candidate; of minlstm forget (the share of the old state), candidate; of a
---  cell of nn.cell what p:named names

---@class saros.nn.StackStepOptions: saros.nn.StepOptions
---@field layers? boolean|"all"  also return the output of every layer, or all that it did at every step (false)

---@class saros.nn.Recurrent: saros.nn.Module
---@field directions saros.nn.Direction[]  layer by layer; of each forward, then reverse
---@field layers saros.Layer[]  the parameters of each of them
---@field o table  the options
---@field gates integer?  of a fused cell, G
---@field diagonal integer?  see saros.nn.Cell
---@field fused saros.nn.Cell?  whose kernels run
---@field generator saros.Generator?
local Recurrent = module.class "recurrent"
Recurrent.stateful = true
Recurrent.hides_padding = true
Recurrent.reads_rows = true

-- --- Forward ------------------------------------------------------------------------

--- "{ {h, c}, {h, c} } (2 layers)": what a state looks like.
local function state_form(self)
  local o, entry = self.o, "{" .. table.concat(self.state_names, ", ") .. "}"
  local entries = #self.directions <= 3 and (entry .. ", "):rep(#self.directions - 1) .. entry
    or entry .. ", ..., " .. entry
  local layers = o.layers == 1 and "1 layer" or o.layers .. " layers"
  return ("{ %s } (%s%s)"):format(entries, layers, o.bidirectional and ", forward and reverse" or "")
end

--- Does a value fit as the states of a direction? Returns what is wrong.
local function state_problem(self, position, entry, B)
  local direction = self.directions[position]
  if direction.own then
    local problem = direction.own:state_problem(entry, B)
    return problem and ("%s at [%d]"):format(problem, position)
  elseif type(entry) ~= "table" or #entry ~= #direction.sizes then
    return ("%s at [%d]"):format(options.describe(entry), position)
  end
  for n, size in ipairs(direction.sizes) do
    local h = entry[n]
    if not options.has_shape(h, B, size) then
      return ("%s at [%d][%d]"):format(options.describe(h), position, n)
    end
  end
end

local function check_state(self, state, B)
  local problem
  if type(state) ~= "table" then
    problem = options.describe(state)
  elseif #state ~= #self.directions then
    problem = ("a list of %d"):format(#state)
  end
  for position = 1, problem and 0 or #self.directions do
    problem = problem or state_problem(self, position, state[position], B)
  end
  if problem then
    local shapes = {}
    for n, size in ipairs(self.directions[1].sizes) do
      local sizes = type(size) == "table" and table.concat(size, ", ") or size
      shapes[n] = ("each %s of shape (%d, %s)"):format(self.state_names[n] or "state", B, sizes)
    end
    options.fail(("%s: expected a state %s, %s, got %s"):format(
      self.kind, state_form(self), table.concat(shapes, ", "), problem))
  end
end

--- Factors that are 1 or 0 in training and their mean otherwise.
local function zone(self, p, ...)
  return p > 0 and core.dropout(core.ones(...), p, self.generator) * (1 - p) or nil
end

--- The steps of one direction: the caller's, and the randomness of this pass.
local function direction_steps(self, direction, steps, T, B)
  local o = self.o
  local h, c = direction.sizes[1], direction.sizes[2]
  return {
    mask = steps and steps.mask,
    reset = steps and steps.reset,
    reverse = direction.reverse,
    dropout = o.recurrent_dropout > 0
      and core.dropout(core.ones(B, h), o.recurrent_dropout, self.generator) or nil,
    zoneout_h = zone(self, o.zoneout, T, B, h),
    zoneout_c = c and zone(self, o.zoneout_cell or 0, T, B, c),
  }
end

--- "recurrent.layer 2 reverse": what a direction is called in profiles.
local function scope_of(self, position)
  local layer = self.o.bidirectional and (position + 1) // 2 or position
  return ("%s.layer %d%s"):format(scope.name_of(self), layer,
    self.directions[position].reverse and " reverse" or "")
end

--- The parameters of a direction that reads ids: W x for every symbol takes the
--- place of W.
local function looking_up(p, table)
  local others = { table = core.linear(table, p.weight_ih, p.bias_ih) }
  for name, tensor in pairs(p) do
    if name ~= "weight_ih" and name ~= "bias_ih" then
      others[name] = tensor
    end
  end
  return others
end

--- A direction over the sequence: y, last states, and what every step did if that is
--- wanted. With a table (V, I), x is ids.
local function run(self, position, x, state, steps, table, is_all)
  local _ <close> = scope.profiles > 0 and scope.enter(scope_of(self, position))
  local direction = self.directions[position]
  local T, B = x:size(1), x:size(2)
  if direction.own then
    return direction.own:run(x, state, steps, direction.reverse, is_all, table)
  end
  if direction.norm_ih then
    x = core.layer_norm(core.linear(x, direction.weight_ih), direction.norm_ih[1], direction.norm_ih[2])
  end
  local around = direction.around
  local p = around and around:scaled(direction.parameters) or direction.parameters
  local walk = direction_steps(self, direction, steps, T, B)
  local h, last = core.recurrent(self.operation, x, state, table and looking_up(p, table) or p, walk)
  local y = around and around:output(h, x) or h
  if is_all then
    x = table and core.embedding(table, given_steps.hide(x, walk.mask)) or x
    local values = { y = y }
    values.states, values.gates = late.replay.run(self, direction, x, h, state, walk)
    return y, last, values
  end
  local _ <close> = around and h -- the tape keeps what it needs of it
  return y, last
end

--- Dropout of what a layer reads, nil without: at every element, or the same
--- features all the time (Gal and Ghahramani 2016).
local function drop(self, x)
  local o = self.o
  if o.dropout == 0 then
    return nil
  elseif o.variational then
    return x * core.dropout(core.ones(1, x:size(2), x:size(3)), o.dropout, self.generator)
  end
  return core.dropout(x, o.dropout, self.generator)
end

--- Lets go of a tensor that only the tape may still need: the collector would
--- not come by before the next window.
local function forget(x)
  local _ <close> = x
end

--- One layer in its directions; their states go to `last`, and what they give to
--- `seen` if it is wanted. With a table, x is ids.
local function run_layer(self, layer, x, state, steps, last, table, seen)
  local release, is_all = seen and function() end or forget, seen and seen.is_all
  local width = self.o.bidirectional and 2 or 1
  local dropped <close> = layer > 1 and drop(self, x) or nil
  local outputs = {}
  for way = 1, width do
    local position = (layer - 1) * width + way
    if scope.tracer then
      scope.tracer:titles(state and state[position], self.state_names)
    end
    local y, after, values = run(self, position, dropped or x, state and state[position], steps, table, is_all)
    outputs[way], last[position] = y, after
    if seen then
      seen.list[position] = values or y
    end
  end
  local y = outputs[1]
  if width == 2 then
    y = outputs[1] .. outputs[2]
    release(outputs[1])
    release(outputs[2])
  end
  local features = table and table:size(2) or x:size(3)
  if self.o.residual and y:size(3) == features then
    local rows <close> = table and given_steps.embed(table, x, steps and steps.mask) or nil
    local sum = y + (rows or x)
    release(y)
    y = sum
  end
  return y
end

--- The core reads no padding; what else the layers are made of reads all steps.
local function reads_padding(self)
  local direction = self.directions[1]
  return self.o.residual or direction.norm_ih or direction.around
end

local layers_option = options.kind('true or false, or "all"', function(value)
  if type(value) == "boolean" or value == "all" then
    return value
  end
  return nil
end)

--- What a caller wants to see of the layers: a list of their outputs, or of all that they did.
---@class saros.nn.Seen
---@field list (saros.Tensor|saros.nn.LayerValues)[]
---@field is_all boolean

--- The steps that a caller gives, and a place for what layers give if he wants it.
local function wanted(given)
  if type(given) ~= "table" or given.layers == nil then
    return given, nil
  end
  options.argument("layers", 3, layers_option, given.layers)
  local rest, is_all = {}, given.layers == "all"
  for name, value in pairs(given) do
    rest[name] = name ~= "layers" and value or nil
  end
  if is_all and scope.tracer then
    scope.tracer:refuse 'layers = "all"'
  end
  return next(rest) and rest or nil, given.layers and { list = {}, is_all = is_all } or nil
end

--- Zeros at padded steps of what layers give, which their own norms and products are not.
local function hide_seen(seen, mask)
  for position, given in ipairs(seen.list) do
    if seen.is_all then
      given.y = given_steps.hide(given.y, mask)
    else
      seen.list[position] = given_steps.hide(given, mask)
    end
  end
end

--- All layers, the first of which reads x, or ids of a table.
local function run_layers(self, x, state, given, seen, table)
  if state ~= nil then
    check_state(self, state, x:size(2))
  end
  local steps = options.about(self.kind, given_steps.of, given, x)
  local mask = steps and reads_padding(self) and steps.mask
  local hidden <close> = mask and not table and given_steps.hide(x, mask) or nil
  local last = states.new {}
  local y = run_layer(self, 1, hidden or x, state, steps, last, table, seen)
  for layer = 2, self.o.layers do
    local _ <close> = not seen and y or nil
    y = run_layer(self, layer, y, state, steps, last, nil, seen)
  end
  if mask and self.directions[1].around then -- whose products have seen all steps
    local _ <close> = not seen and y or nil
    y = given_steps.hide(y, mask)
  end
  if mask and seen then
    hide_seen(seen, mask)
  end
  return y, last, seen and seen.list
end

--- A loss of any window, for `memory`.
function Recurrent:sample_loss(T, B)
  local y <close> = self:forward(core.zeros(T, B, self.o.input))
  return y:sum()
end

--- May W x of the first layer be made ahead: does nothing stand between the embedding and the product?
local function has_product(self)
  for way = 1, self.o.bidirectional and 2 or 1 do
    local direction = self.directions[way]
    if direction.cell and not direction.own:looks_up(direction.reverse) then
      return false
    end
  end
  local direction = self.directions[1]
  return not direction.norm_ih and not (direction.around and direction.around.reads_x)
end

--- Is W x for every symbol less work than for every position, and may it be made ahead?
--- A program has the embedding and the product.
local function pays_to_look_up(self, ids, table)
  return not scope.tracer and options.tensor.accept(ids) and ids:rank() == 2
    and 2 * table:size(1) <= core.trace_rows(ids:count())
    and has_product(self)
end

--- `x` may be padded: see saros.nn.StepOptions. Padded steps have outputs of 0
--- and change nothing; the direction from the end starts at each row's own end.
---
--- With an embedding, x is ids (T, B), and `net(ids, state, given, embedding)` is
--- `net(embedding(ids), state, given)`; but where symbols occur again and again,
--- the first layer's product with its input is made once for each symbol, not
--- for each position, and so are its gradients.
---@param x saros.Tensor  (T, B, I)
---@param state? saros.Tensor[][]  for each layer (and direction) its states, each (B, H)
---@param given? saros.nn.StackStepOptions
---@param embedding? saros.nn.Embedding
---@return saros.Tensor y  (T, B, H): h(t) of the last layer; (T, B, 2 H) in both directions
---@return saros.Tensor[][] state  after the last step, like `state`
---@return saros.Tensor[]|saros.nn.LayerValues[]|nil layers  with `layers = true` in `given`: what each layer (and
--- direction) gives, (T, B, H); with `layers = "all"` what it did at every step, its states and gates, too
function Recurrent:forward(x, state, given, embedding)
  local seen
  given, seen = wanted(given)
  if embedding and pays_to_look_up(self, x, embedding.weight) then
    return run_layers(self, x, state, given, seen, embedding.weight)
  end
  local embedded <close> = embedding and embedding(x, nil, given)
  x = embedded or x
  if options.tensor.accept(x) == nil or x:rank() ~= 3 then
    options.fail(("%s: expected x of shape (T, B, %d), got %s"):format(
      self.kind, self.o.input, options.describe(x)))
  end
  return run_layers(self, x, state, given, seen)
end

--- True if the cells of one's own run in the core, as programs, and a note on what in
--- them is slow there or may change unnoticed, if there is anything; false and why, if
--- they are unrolled step by step. Fused layers need no program.
---@return boolean
---@return string? reason
function Recurrent:compiled()
  local note
  for _, direction in ipairs(self.directions) do
    local handle, reason
    if direction.own then
      handle, reason = direction.own:compile(direction.reverse)
      if not handle then
        return false, reason
      end
      note = note or handle.note
    end
  end
  return true, note
end

function Recurrent:describe()
  local o = self.o
  return ("%s %d -> %d, %d layer%s%s"):format(self.operation, o.input, o.hidden, o.layers,
    o.layers == 1 and "" or "s", o.bidirectional and ", both ways" or "")
end

-- --- Parameters ------------------------------------------------------------------------

--- The parameters of a fused cell for one direction.
local function add_fused(self, direction, cell, inputs, suffix)
  local made = cell:add(self.o, inputs, function(name, shape, fill)
    return self:add_parameter(name .. suffix, shape, fill)
  end)
  for name, value in pairs(made) do
    direction[name] = value
  end
  self.state_names = direction.own and direction.own.names or self.state_names
  direction.named = direction.named or {}
  for n, entry in ipairs(cell.named or {}) do
    direction.named[n] = entry[2]
  end
end

--- The module that a user's function makes for one direction.
local function add_own(self, direction, make, inputs, suffix)
  local cell = maker.make(make, inputs, self.o.hidden)
  direction.cell = self:add_member("cell" .. suffix, cell)
  direction.own = late.own_layer.of(cell, inputs, self.o, self.state_names, rawget(self, "generator"))
  direction.output, direction.named = cell.output or self.o.hidden, {}
  for n, entry in ipairs(late.own_cells.named(cell)) do
    direction.named[n] = entry.name
  end
  direction.sizes, self.state_names = direction.own.shapes, direction.own.names
end

local function add_initial(self, direction, suffix)
  direction.initial = {}
  local own = direction.own
  for position = 1, direction.learned or #direction.sizes do
    local size = direction.sizes[position]
    local name = ("initial_%s%s"):format(self.state_names[position] or position, suffix)
    direction.initial[position] = self:add_parameter(name, type(size) == "table" and size or { size },
      initialize.constant(own and own.firsts[position] or 0))
  end
  if own then
    own:begin_at(direction.initial)
  elseif direction.parameters then
    direction.parameters.first_h, direction.parameters.first_c = table.unpack(direction.initial)
  end
end

--- Adds all layers; add(direction, inputs, suffix) fills one direction.
local function build(self, add)
  local o, inputs = self.o, self.o.input
  self.directions, self.layers, self.reads_ahead = {}, {}, o.bidirectional
  for layer = 1, o.layers do
    local output = 0
    for way = 1, o.bidirectional and 2 or 1 do
      local direction = { reverse = way == 2 }
      local suffix = ("_l%d%s"):format(layer - 1, way == 2 and "_reverse" or "")
      add(direction, inputs, suffix)
      if o.learn_state then
        add_initial(self, direction, suffix)
      end
      output = output + direction.output
      self.directions[#self.directions + 1] = direction
      self.layers[#self.layers + 1] = direction.parameters or direction.cell
    end
    inputs = output
  end
  self.output = inputs
end

local function new(kind, o, state_names)
  local self = Recurrent.new()
  self.kind, self.o, self.state_names = kind, o, state_names
  self.input, self.hidden, self.batch_first = o.input, o.hidden, o.batch_first
  local is_random = false
  for _, name in ipairs { "dropout", "recurrent_dropout", "zoneout", "zoneout_cell" } do
    is_random = is_random or type(o[name]) == "table" or (o[name] or 0) > 0
  end
  if is_random then
    self.generator = self:add_generator "dropout"
  end
  return self
end

local own_layers -- of cells of one's own

local function constructor(name, cell)
  local named = layer_options.named_for(cell)
  local check = options.declare("nn." .. name, layer_options.joined(layer_options.common, named, cell.options), 2)
  return function(given)
    local o = check(given)
    local problem = layer_options.problem(named, o) or cell.check and cell.check(o)
    if problem then
      options.fail(("nn.%s: %s"):format(name, problem))
    end
    if cell.maker or not activation.is_fused(name, o) then
      local self = own_layers(late.unfused(name, cell, o, layer_options.common), name)
      for option, value in pairs(o) do
        self.o[option] = value
      end
      return self
    end
    local self = new(name, o, cell.states)
    self.operation, self.gates, self.diagonal = cell.operation(o), cell.gates, cell.diagonal
    self.fused = cell
    build(self, function(direction, inputs, suffix)
      add_fused(self, direction, cell, inputs, suffix)
    end)
    return self
  end
end

-- --- Public ------------------------------------------------------------------------------

--- The constructors by name of cell: nn.lstm and so on. The files in nn/cells/ declare them.
---@class saros.nn.RecurrentConstructors
---@field names string[]
local recurrent = { names = { table.unpack(cell_names) } }
table.sort(recurrent.names)

-- A constructor is made when it is first asked for, because that loads its cell.
setmetatable(recurrent, {
  __index = function(_, name)
    local cell = cells[name]
    local make = cell and constructor(name, cell)
    recurrent[name] = make
    return make
  end,
})

---@class saros.nn.RecurrentOptions
---@field input integer  I
---@field hidden integer  H
---@field layers? integer  (1)
---@field bidirectional? boolean  from both ends; outputs side by side (false)
---@field dropout? number  of what layers after the first read, in training (0)
---@field variational? boolean  dropout of the same features at all steps (false)
---@field residual? boolean  add a layer's input to its output where the sizes agree (false)
---@field learn_state? boolean  is the first state, where resets lead, too, a parameter? (false)
---@field batch_first? boolean  x and y are (B, T, ...), masks and resets (B, T); states stay (B, H) (false)
---@field bias? boolean  (true)
---@field recurrent_dropout? number  of h in the product U h, the same units at all steps (0)
---@field zoneout? number  how likely a unit of h keeps its value, in training (0)
---@field layer_norm? boolean  of W x, of U h and, in the LSTM, of c (Ba et al. 2016) (false)

--- A share of one state, or shares by name of a state.
local shares = options.kind("a number in [0, 1), or such numbers by name of a state", function(value)
  if type(value) ~= "table" then
    return options.fraction.accept(value)
  end
  for name, share in pairs(value) do
    if type(name) ~= "string" or not options.fraction.accept(share) then
      return nil
    end
  end
  return value
end)

local check_own = options.declare("nn.recurrent", layer_options.joined(layer_options.common, {
  { "cell", maker.option },
  { "recurrent_dropout", shares, 0 },
  { "zoneout", shares, 0 },
  { "compiled", options.boolean, true },
}), 2)

---@class saros.nn.OwnRecurrentOptions: saros.nn.RecurrentOptions  without bias and layer_norm
---@field cell saros.nn.CellMaker|fun(inputs: integer, hidden: integer): saros.nn.Module
---@field recurrent_dropout? number|table<string, number>  of what maps of the cell read of the first state, or of
---  states by name, the same units at all steps (0)
---@field zoneout? number|table<string, number>  how likely a unit of the first state, or of states by name, keeps its
---  value, in training (0)
---@field compiled? boolean  false: step by step in Lua, always; else where a step cannot be traced alone (true)

--- A stack of cells of one's own: of nn.cell, or any function `cell(inputs, hidden)`
--- that makes a module for each layer and direction; its forward is the step
---
---     y (B, P), states = forward(x (B, I), states)
---
--- where states is a list of tensors (B, H); returning just y means that y is
--- the state, too. A module may have `states`, the sizes of its states
--- ({ hidden }), and `output`, the size of y (hidden).
---@param given saros.nn.OwnRecurrentOptions
---@return saros.nn.Recurrent
function recurrent.own(given)
  return own_layers(given, "recurrent")
end

function own_layers(given, kind)
  local o = check_own(given)
  local make = o.cell
  o.cell = nil
  local self = new(kind, o, { "h", "c" })
  build(self, function(direction, inputs, suffix)
    add_own(self, direction, make, inputs, suffix)
  end)
  self.operation = self.directions[1].cell.kind
  return self
end

return recurrent
