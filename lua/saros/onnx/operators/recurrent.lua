--- RNN, GRU and LSTM with all their attributes. A node is a layer of Saros: a fused one where
--- there is one, else one of saros.onnx.operators.cells.
---
---     ONNX's order of gates    iofc, zrh       Saros and PyTorch    ifgo, rzn
---     weights                  W (D, G H, I), R (D, G H, H), B (D, 2 G H), P (D, 3 H) in the order iof

local core = require "saros.core"
local nn = require "saros.nn"
local activations = require "saros.onnx.operators.activations"
local cells = require "saros.onnx.operators.cells"
local permute = require "saros.onnx.permute"
local tensors = require "saros.onnx.tensors"
local work = require "saros.onnx.work"

local real = tensors.real

---@class saros.onnx.RecurrentKind
---@field gates integer
---@field order integer[]  ONNX's gates in the order of Saros
---@field usual string[]
---@field states integer
---@field fused fun(o: table): table?  options of the fused layer; nil if it has none
local KINDS = {
  RNN = {
    gates = 1, order = { 1 }, usual = { "tanh" }, states = 1, layer = "rnn",
    fused = function(o)
      local name = o.functions[1].name
      return (name == "tanh" or name == "relu") and { activation = name } or nil
    end,
  },
  GRU = {
    gates = 3, order = { 2, 1, 3 }, usual = { "sigmoid", "tanh" }, states = 1, layer = "gru",
    fused = function(o)
      return o.is_usual and { reset = o.resets_after and "after" or "before" } or nil
    end,
  },
  LSTM = {
    gates = 4, order = { 1, 3, 4, 2 }, usual = { "sigmoid", "tanh", "tanh" }, states = 2, layer = "lstm",
    fused = function(o)
      return o.is_usual and not o.couples and { peepholes = o.peeps } or nil
    end,
  },
}

-- --- Weights -------------------------------------------------------------------------------------------

--- Blocks of H rows in another order.
local function reordered(x, order, H)
  local blocks = {}
  for n, at in ipairs(order) do
    blocks[n] = x:slice(1, (at - 1) * H + 1, at * H)
  end
  return #blocks == 1 and x or core.concatenate(blocks, 1)
end

local function fused_weights(kind, w, H)
  local named = { weight_ih = reordered(w.W, kind.order, H), weight_hh = reordered(w.R, kind.order, H) }
  if w.B then
    local half = kind.gates * H
    named.bias_ih = reordered(w.B:slice(1, 1, half), kind.order, H)
    named.bias_hh = reordered(w.B:slice(1, half + 1, 2 * half), kind.order, H)
  end
  named.peephole = w.P and reordered(w.P, { 1, 3, 2 }, H):reshape(3, H)
  return named, "%s_l0%s"
end

--- Rows of the states' map: a GRU has another one for what it resets.
local function own_weights(kind, w, H)
  local rows = kind.layer == "gru" and 2 * H or kind.gates * H
  local all = kind.gates * H
  local named = { ["from_input.weight"] = w.W, ["from_state.weight"] = w.R:slice(1, 1, rows) }
  if rows < all then
    named["from_reset.weight"] = w.R:slice(1, rows + 1, all)
  end
  if w.B then
    named["from_input.bias"] = w.B:slice(1, 1, all)
    named["from_state.bias"] = w.B:slice(1, all + 1, all + rows)
    named["from_reset.bias"] = rows < all and w.B:slice(1, all + rows + 1, 2 * all) or nil
  end
  named.peephole = w.P and w.P:reshape(3, H)
  return named, "cell_l0%s"
end

--- The weights of a direction.
local function of_direction(given, d)
  local own = {}
  for name, x in pairs(given) do
    own[name] = x:select(1, d)
  end
  return own
end

local function give_weights(node, kind, given, o, is_fused)
  for d = 1, o.directions do
    local suffix = d == 2 and "_reverse" or ""
    local named = (is_fused and fused_weights or own_weights)(kind, of_direction(given, d), o.hidden)
    for name, x in pairs(named) do
      local full = is_fused and ("%s_l0%s"):format(name, suffix) or ("cell_l0%s.%s"):format(suffix, name)
      node.model:give(node.layer, full, x:contiguous())
    end
  end
end

-- --- Layers --------------------------------------------------------------------------------------------

--- The functions of direction d.
local function functions_of(o, kind, d)
  local count = #kind.usual
  return table.move(o.functions, (d - 1) * count + 1, d * count, 1, {})
end

--- What makes cells, a direction after the other.
local function cell_maker(op, kind, o)
  local made = 0
  return function(inputs, hidden)
    made = made + 1
    local own = setmetatable({ functions = functions_of(o, kind, made) }, { __index = o })
    return cells[op](own)(inputs, hidden)
  end
end

local function layer_of(op, kind, o)
  local common = { input = o.input, hidden = o.hidden, bidirectional = o.directions == 2 }
  local fused = not o.clip and kind.fused(o)
  if fused then
    for name, value in pairs(common) do
      fused[name] = value
    end
    fused.bias = o.has_bias
    return nn[kind.layer](fused), true
  end
  common.cell = cell_maker(op, kind, o)
  return nn.recurrent(common), false
end

--- True if all functions are those of the fused layers.
local function is_usual(functions, usual)
  for n, entry in ipairs(functions) do
    if entry.name ~= usual[(n - 1) % #usual + 1] then
      return false
    end
  end
  return true
end

--- What is wrong with the shapes of the weights; nil if nothing is.
local function shape_problem(kind, w, D, H)
  local G = kind.gates
  local shapes = { W = { D, G * H, w.W:size(-1) }, R = { D, G * H, H }, B = { D, 2 * G * H }, P = { D, 3 * H } }
  for name, x in pairs(w) do
    local wanted, got = table.concat(shapes[name], ", "), table.concat(x:shape(), ", ")
    if wanted ~= got then
      return ("%s of shape (%s) instead of (%s)"):format(name, got, wanted)
    end
  end
end

--- The options of a node's layer; nil and what is not supported.
local function read_options(node, kind, w)
  local given = node.attributes
  local direction = given.direction or "forward"
  local o = {
    directions = direction == "bidirectional" and 2 or 1, input = w.W:size(-1), clip = given.clip,
    hidden = given.hidden_size or w.R:size(-1), has_bias = w.B ~= nil, peeps = w.P ~= nil,
    couples = (given.input_forget or 0) ~= 0, resets_after = (given.linear_before_reset or 0) ~= 0,
  }
  local unknown
  o.functions, unknown = activations.of(node, kind.usual, o.directions)
  if not o.functions then
    return nil, ("activation %q"):format(unknown)
  end
  o.is_usual = is_usual(o.functions, kind.usual)
  return o, shape_problem(kind, w, o.directions, o.hidden)
end

--- The layer of a node, from its weights.
local function make(node, model, kind, w)
  if w.W:rank() ~= 3 or w.R:rank() ~= 3 then
    return "weights without an axis of directions"
  end
  local o, problem = read_options(node, kind, w)
  if problem then
    return problem
  end
  local layer, is_fused = layer_of(node.op == "DynamicQuantizeLSTM" and "LSTM" or node.op, kind, o)
  if node.attributes.direction == "reverse" then
    layer.directions[1].reverse, layer.reads_ahead = true, true
  end
  node.layer = model:add_layer(node, layer)
  node.batch_first = (node.attributes.layout or 0) ~= 0
  node.state_count, node.directions = kind.states, o.directions
  give_weights(node, kind, w, o, is_fused)
end

-- --- A call --------------------------------------------------------------------------------------------

--- The states (B, H) of each direction, from tensors (D, B, H), or (B, D, H) with layout 1.
local function given_states(node, B, h, c)
  local list = {}
  for place, value in ipairs { h or false, c or false } do
    if value then
      if node.batch_first then
        value = permute(real(value), { 2, 1, 3 })
      end
      for d, part in ipairs(tensors.parts_of(value)) do
        list[d] = list[d] or {}
        list[d][place] = part:size(1) == B and part or core.zeros(B, part:size(2)) + part
      end
    end
  end
  for _, states in pairs(list) do -- one of the two may be absent
    for place = 1, node.state_count do
      states[place] = states[place] or states[3 - place] * 0
    end
  end
  return #list > 0 and list or nil
end

--- y (T, B, D H) as ONNX has it.
local function output_of(node, y, B, T)
  local D = node.directions
  y = y:reshape(T, B, D, y:size(3) // D)
  return permute(y, node.batch_first and { 2, 1, 3, 4 } or { 1, 3, 2, 4 })
end

local function last_of(node, after, place)
  local parts = {}
  for d, states in ipairs(after) do
    parts[d] = states[place]
  end
  local all = tensors.parts(parts)
  return node.batch_first and permute(tensors.real(all), { 2, 1, 3 }) or all
end

--- Lengths of rows, from integers or ids.
local function lengths_of(lens)
  if not lens then
    return nil
  elseif tensors.is_integers(lens) then
    return { lengths = tensors.list(lens) }
  end
  local list = {}
  for b = 1, lens:count() do
    list[b] = lens:flatten()[b] - (lens:dtype() == "ids" and 1 or 0)
  end
  return { lengths = list }
end

local function run(node, x, lens, h, c)
  x = real(x)
  x = node.batch_first and x:transpose(1, 2) or x
  local T, B = x:size(1), x:size(2)
  local given = node.model:state_of(node) or given_states(node, B, h, c)
  local y, after = node.layer(x, given, lengths_of(lens))
  node.model:keep_state(node, after)
  return output_of(node, y, B, T), last_of(node, after, 1), node.state_count == 2 and last_of(node, after, 2) or nil
end

--- Outputs of zeros, as a trial of sizes needs them.
local function sampled(node, x, _, R)
  local is_first, H = (node.attributes.layout or 0) ~= 0, node.attributes.hidden_size or tensors.shape(R)[3]
  local D, shape = node.attributes.direction == "bidirectional" and 2 or 1, tensors.shape(x)
  local T, B = shape[is_first and 2 or 1], shape[is_first and 1 or 2]
  local last = core.zeros(work.check_shape(is_first and { B, D, H } or { D, B, H }, node.budget))
  return core.zeros(work.check_shape(is_first and { B, T, D, H } or { T, D, B, H }, node.budget)), last, last
end

-- --- Operators -------------------------------------------------------------------------------------------

local operators = {}

for name, kind in pairs(KINDS) do
  operators[name] = {
    fixed = { 2, 3, 4, name == "LSTM" and 8 or nil },
    initial = { 6, name == "LSTM" and 7 or nil },
    sample = sampled,
    make = function(node, model)
      local function weight(n)
        local value = model:constant(node.inputs[n])
        return value and real(value)
      end
      return make(node, model, kind, {
        W = weight(2), R = weight(3), B = weight(4), P = name == "LSTM" and weight(8) or nil,
      })
    end,
    run = function(node, x, _, _, _, lens, h, c)
      return run(node, x, lens, h, c)
    end,
  }
end

--- Numbers from integers of 8 bits: (q - zero) * scale, per direction, or per direction and column.
local function dequantised(q, scale, zero)
  local shape = { q:size(1), 1, scale:count() // q:size(1) }
  return (q - (zero and zero:reshape(shape) or 0)) * scale:reshape(shape)
end

--- com.microsoft: W (D, I, 4 H) and R (D, H, 4 H) in 8 bits. What they are multiplied with keeps all digits.
operators.DynamicQuantizeLSTM = {
  fixed = { 2, 3, 4, 8, 9, 10, 11, 12 },
  initial = { 6, 7 },
  sample = sampled,
  make = function(node, model)
    local function number(n)
      local value = model:constant(node.inputs[n])
      return value and real(value)
    end
    local W, R = dequantised(number(2), number(9), number(10)), dequantised(number(3), number(11), number(12))
    return make(node, model, KINDS.LSTM,
      { W = W:transpose(2, 3), R = R:transpose(2, 3), B = number(4), P = number(8) })
  end,
  run = operators.LSTM.run,
}

return operators
