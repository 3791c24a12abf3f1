--- Stages of a model (see saros.Stage) as C: what each adds to the step, the
--- state and the constants of a file.

local core = require "saros.core"

local format = core.format

---@class saros.export.Builder
---@field real string  "float", or "double" in the double build
---@field f string  what follows the functions of math.h and literals
---@field quantised table<saros.Tensor, { integers: saros.Tensor, scale: saros.Tensor }>
---@field used table<string, boolean>  names of functions
---@field constants (string|saros.Tensor)[]  pieces of the file
---@field names table<saros.Tensor, string>  of the constants
---@field state { name: string, size: integer }[]  carried from step to step
---@field first string[]  statements of reset
---@field scratch table<string, integer>  sizes of what a step needs besides
---@field step string[]  statements
---@field kept table<integer, true>  stages whose input is added later
---@field width integer  of x, the output of the stages so far
---@field number integer  of the stage
---@field last boolean  is it the last stage?
---@field unit string?  of output i, where that is not 1: what errors are compared with
---@field in_output boolean  is x the output already?
local Builder = {}
Builder.__index = Builder

--- A number as a literal.
local function literal(self, x)
  local text = format("%.17g", x)
  return (text:find "[.en]" and text or text .. ".0") .. self.f
end

local function say(self, ...)
  self.step[#self.step + 1] = "  " .. (...):format(select(2, ...)) .. ";"
end

--- A call of one of the functions.
local function call(self, name, ...)
  self.used[name] = true
  local arguments = { ... }
  for position, argument in ipairs(arguments) do
    arguments[position] = tostring(argument)
  end
  say(self, "$name_%s(%s)", name, table.concat(arguments, ", "))
end

local function declare(self, kind, name, tensor)
  local all = self.constants
  all[#all + 1] = ("static const %s $name_%s[%d] = {"):format(kind, name, tensor:count())
  all[#all + 1] = tensor
  all[#all + 1] = "};\n\n"
end

--- The name of a tensor among the constants, "NULL" if there is none. Tensors
--- that are shared are written once.
local function constant(self, what, tensor)
  if not tensor then
    return "NULL"
  elseif not self.names[tensor] then
    local name, small = ("%s_%d"):format(what, self.number), self.quantised[tensor]
    self.names[tensor] = "$name_" .. name
    if small then
      declare(self, "int8_t", name, small.integers)
      declare(self, self.real, name .. "_scale", small.scale)
    else
      declare(self, self.real, name, tensor)
    end
  end
  return self.names[tensor]
end

--- Room for a part of a step.
local function scratch(self, name, size)
  self.scratch[name] = math.max(self.scratch[name] or 0, size)
  return "state->" .. name
end

--- An array that is carried on, and where it begins.
local function carried(self, name, size, first)
  name = ("%s_%d"):format(name, self.number)
  self.state[#self.state + 1] = { name = name, size = size }
  if first then
    self.first[#self.first + 1] = ("  memcpy(state->%s, %s, sizeof state->%s);"):format(
      name, constant(self, "first_" .. name:sub(1, 1), first), name)
  end
  return "state->" .. name
end

--- Where a stage without a state puts its result.
local function result(self, size)
  if self.last then
    self.in_output = true
    return "output"
  end
  return scratch(self, "y_" .. self.number, size)
end

--- x is what was put there.
local function pass_on(self, where, size)
  self.width = size
  if not self.in_output then
    say(self, "x = %s", where)
  end
end

--- to = W x + b, of `rows` rows of W after the first `skipped`.
local function affine(self, to, what, weight, bias_name, bias, x, rows, skipped)
  local columns = weight:size(2)
  local w, b = constant(self, what, weight), constant(self, bias_name, bias)
  local function behind(name, by)
    return by > 0 and name ~= "NULL" and ("%s + %d"):format(name, by) or name
  end
  skipped = skipped or 0
  if self.quantised[weight] then
    call(self, "affine_int8", to, behind(w, skipped * columns), behind(w .. "_scale", skipped),
      behind(b, skipped), x, rows, columns)
  else
    call(self, "affine", to, behind(w, skipped * columns), behind(b, skipped), x, rows, columns)
  end
end

local function layer_norm(self, y, x, what, gain, bias, epsilon, size)
  call(self, "layer_norm", y, x, constant(self, what .. "_gain", gain),
    constant(self, what .. "_bias", bias), literal(self, epsilon), size)
end

-- --- Stages without a state -------------------------------------------------------------

local stages = {}

function stages.embedding(self, stage)
  local weight, E = stage.weight, stage.weight:size(2)
  local name = constant(self, "embedding", weight)
  if self.quantised[weight] then
    local y = scratch(self, "y_" .. self.number, E)
    call(self, "row_int8", y, ("%s + (size_t)input * %d"):format(name, E), name .. "_scale[input]", E)
    pass_on(self, y, E)
  else
    pass_on(self, ("%s + (size_t)input * %d"):format(name, E), E)
  end
end

function stages.linear(self, stage)
  local O = stage.weight:size(1)
  local y = result(self, O)
  affine(self, y, "weight", stage.weight, "bias", stage.bias, "x", O)
  pass_on(self, y, O)
end

function stages.layer_norm(self, stage)
  local y = result(self, self.width)
  layer_norm(self, y, "x", "norm", stage.weight, stage.bias, stage.epsilon, self.width)
  pass_on(self, y, self.width)
end

-- The functions that are made of the sigmoid.
local OF_SIGMOID = { sigmoid = true, silu = true, gelu_tanh = true }

stages["function"] = function(self, stage)
  local y, name = result(self, self.width), stage["function"]
  self.used.sigmoid = self.used.sigmoid or OF_SIGMOID[name]
  call(self, "apply_" .. name, y, "x", self.width)
  pass_on(self, y, self.width)
end

-- --- The units of the data ----------------------------------------------------------------

---@class saros.export.Scale: saros.Stage  of the columns that go in
---@field shift number[]  F of them
---@field factor number[]
---@field names string[]  of the columns

---@class saros.export.Ahead: saros.export.Scale  of the columns that come out
---@field horizon integer
---@field places saros.Tensor?  ids (K): where their present values are among those that go in
---@field back integer?  so many stages before it read these

--- Numbers of double precision as a constant, and its name.
local function doubles(self, what, numbers)
  local name, texts = ("%s_%d"):format(what, self.number), {}
  for n, x in ipairs(numbers) do
    texts[n] = core.format("%.17g", x)
  end
  self.constants[#self.constants + 1] = ("static const double $name_%s[%d] = {\n    %s,\n};\n\n"):format(
    name, #numbers, table.concat(texts, ",\n    "))
  return "$name_" .. name
end

function stages.scale(self, stage)
  local y = result(self, self.width)
  call(self, "scale", y, "x", doubles(self, "mean", stage.shift), doubles(self, "scale", stage.factor), self.width)
  pass_on(self, y, self.width)
end

function stages.ahead(self, stage)
  local y, now, place = result(self, self.width), "NULL", "NULL"
  if stage.places then
    now, place = "read_" .. self.number - stage.back, "$name_place"
    declare(self, "int32_t", "place", stage.places)
  end
  local scale, targets = doubles(self, "scale", stage.factor), #stage.shift
  call(self, "ahead", y, "x", now, place, doubles(self, "mean", stage.shift), scale, stage.horizon, targets)
  self.unit = ("%s[i %% %d]"):format(scale, targets)
  pass_on(self, y, self.width)
end

-- --- Recurrent stages ---------------------------------------------------------------------

--- The layer norm of cells has PyTorch's epsilon.
local CELL_EPSILON = 1e-5

--- The sums from x, normalised where that is wanted.
local function project_input(self, stage)
  local rows = stage.weight_ih:size(1)
  local a = scratch(self, "a", rows)
  affine(self, a, "weight_ih", stage.weight_ih, "bias_ih", stage.bias_ih, "x", rows)
  if stage.norm_ih_gain then
    layer_norm(self, a, a, "norm_ih", stage.norm_ih_gain, stage.norm_ih_bias, CELL_EPSILON, rows)
  end
  return a
end

--- Likewise those from h, of the first rows.
local function project_state(self, stage, h, rows)
  local u = scratch(self, "u", stage.weight_hh:size(1))
  affine(self, u, "weight_hh", stage.weight_hh, "bias_hh", stage.bias_hh, h, rows)
  if stage.norm_gain then
    layer_norm(self, u, u, "norm_hh", stage.norm_gain, stage.norm_bias, CELL_EPSILON, rows)
  end
  return u
end

--- Cells put the new h into `now`, which may be h.
local cells = {}

local function elman(self, stage, now, h, H)
  local a, u = project_input(self, stage), project_state(self, stage, h, H)
  call(self, stage.cell, now, a, u, H)
end

cells.elman_tanh, cells.elman_relu = elman, elman

function cells.lstm(self, stage, now, h, H)
  local c = carried(self, "c", H, stage.first_c)
  local a, u = project_input(self, stage), project_state(self, stage, h, 4 * H)
  local zoneout = stage.zoneout_c or 0
  local c_now = zoneout > 0 and scratch(self, "c_now", H) or c
  local seen, output = c_now, now
  self.used.sigmoid = true
  call(self, "lstm", c_now, a, u, c, constant(self, "peephole", stage.peephole), H)
  if stage.norm_c_gain then
    seen = scratch(self, "c_seen", H)
    layer_norm(self, seen, c_now, "norm_c", stage.norm_c_gain, stage.norm_c_bias, CELL_EPSILON, H)
  end
  if stage.weight_hr then
    output = scratch(self, "inner", H)
  end
  call(self, "lstm_output", output, a, seen, H)
  if stage.weight_hr then
    affine(self, now, "weight_hr", stage.weight_hr, "", nil, output, stage.weight_hr:size(1))
  end
  if zoneout > 0 then
    call(self, "mix", c, c_now, literal(self, 1 - zoneout), H)
  end
end

function cells.gru(self, stage, now, h, H)
  local a, u = project_input(self, stage), project_state(self, stage, h, 3 * H)
  self.used.sigmoid = true
  call(self, "gru", now, a, u, h, H)
end

function cells.gru_before(self, stage, now, h, H)
  local a, u = project_input(self, stage), project_state(self, stage, h, 2 * H)
  local inner = scratch(self, "inner", H)
  self.used.sigmoid = true
  call(self, "gru_reset", inner, a, u, h, H)
  affine(self, u, "weight_hh", stage.weight_hh, "bias_hh", stage.bias_hh, inner, H, 2 * H)
  call(self, "gru_finish", now, a, u, h, H)
end

--- For cells that change the new state in place: it begins as h.
local function begin_as(self, now, h, size)
  if now ~= h then
    say(self, "memcpy(%s, %s, %d * sizeof *%s)", now, h, size, now)
  end
end

--- The factors of the state of an LRU, as pairs.
local function decay_of(stage)
  local decay, nu, theta = {}, stage.nu:totable(), stage.theta:totable()
  for unit = 1, #nu do
    local size, phase = math.exp(-math.exp(nu[unit])), math.exp(theta[unit])
    decay[2 * unit - 1], decay[2 * unit] = size * math.cos(phase), size * math.sin(phase)
  end
  return core.tensor(decay)
end

function cells.lru(self, stage, now, h, H)
  local a = project_input(self, stage)
  begin_as(self, now, h, H)
  call(self, "lru", now, a, constant(self, "decay", decay_of(stage)), constant(self, "gamma", stage.gamma:exp()), H)
end

--- The cells with gates that come from x alone: function, gates, is n made positive?
local minimal = {
  mingru = { "mingru", 2, 0 }, mingru_positive = { "mingru", 2, 1 },
  minlstm = { "minlstm", 3, 0 }, minlstm_positive = { "minlstm", 3, 1 },
}

for cell, facts in pairs(minimal) do
  cells[cell] = function(self, stage, now, h, H)
    local a = project_input(self, stage)
    self.used.sigmoid, self.used.candidate = true, true
    begin_as(self, now, h, H)
    call(self, facts[1], now, a, facts[3], H)
  end
end

--- The sizes of h and of the units of a recurrent stage.
local function sizes_of(stage)
  if not stage.weight_hh then
    local H = stage.weight_ih:size(1) // (minimal[stage.cell] or { nil, 1 })[2]
    return H, H
  end
  local P = stage.weight_hh:size(2)
  return P, stage.weight_hr and stage.weight_hr:size(2) or P
end

function stages.recurrent(self, stage)
  local P, H = sizes_of(stage)
  local h, zoneout = carried(self, "h", P, stage.first_h), stage.zoneout_h or 0
  local now = zoneout > 0 and scratch(self, "h_now", P) or h
  cells[stage.cell](self, stage, now, h, H)
  if zoneout > 0 then
    call(self, "mix", h, now, literal(self, 1 - zoneout), P)
  end
  if stage.residual and P == self.width then
    local y = result(self, P)
    call(self, "add", y, h, "x", P)
    h = y
  end
  pass_on(self, h, P)
end

--- x and what an earlier stage read, which has been kept.
function stages.add(self, stage)
  local y, read = result(self, self.width), "read_" .. self.number - stage.back
  if stage.weight then
    call(self, "add_scaled", y, "x", constant(self, "scale", stage.weight), read, self.width)
  else
    call(self, "add", y, "x", read, self.width)
  end
  pass_on(self, y, self.width)
end

--- q, k and v of all heads to what these look back at.
function stages.attention(self, stage)
  local heads, W, F = stage.distance:size(1), stage.distance:size(2), self.width // 3
  local y = result(self, F)
  self.used.attention_weights = true
  call(self, "attention", y, carried(self, "keys", W * F), carried(self, "values", W * F),
    carried(self, "place", 1), scratch(self, "weights", W), "x", constant(self, "distance", stage.distance),
    heads, F // heads, W)
  pass_on(self, y, F)
end

-- --- All of them -----------------------------------------------------------------------------

--- What a line of comment calls a stage.
local function title(stage, before, after)
  local kind = stage.cell or stage["function"] or stage.kind
  return stage.kind == "embedding" and ("embedding, %d symbols -> %d"):format(stage.weight:size(1), after)
    or ("%s %d -> %d"):format(kind, before, after)
end

local function add_stage(self, stage)
  local at, before = #self.step + 1, self.width
  self.step[at] = ""
  if self.kept[self.number] then
    say(self, "const $real *read_%d = x", self.number)
  end
  stages[stage.kind](self, stage)
  self.step[at] = ("\n  /* %d: %s */"):format(self.number, title(stage, before, self.width))
end

--- Translate a list of stages that a session accepted.
---@param list saros.Stage[]
---@param inputs integer  features of the input
---@param real string
---@param quantised table
---@return saros.export.Builder
local function build(list, inputs, real, quantised)
  local self = setmetatable({
    real = real, f = real == "float" and "f" or "", quantised = quantised,
    used = {}, constants = {}, names = {}, state = {}, first = {}, scratch = {}, step = {}, kept = {}, width = inputs,
  }, Builder)
  for number, stage in ipairs(list) do
    if stage.back then
      self.kept[number - stage.back] = true
    end
  end
  for number, stage in ipairs(list) do
    self.number, self.last = number, number == #list
    add_stage(self, stage)
  end
  if not self.in_output then
    self.step[#self.step + 1] = ("\n  memcpy(output, x, %d * sizeof *output);"):format(self.width)
  end
  return self
end

return build
