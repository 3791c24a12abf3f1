--- Cells of RNN, GRU and LSTM that no fused layer of Saros has: other functions of gates,
--- clipping, coupled gates. Gates stay in ONNX's order, iofc and zrh.
---
--- Equations: onnx.ai/onnx/operators, LSTM, GRU and RNN.

local core = require "saros.core"
local cell = require "saros.nn.cell".cell

---@class saros.onnx.CellOptions
---@field functions saros.onnx.Activation[]  of one direction
---@field clip number?
---@field has_bias boolean
---@field couples boolean?  LSTM: f = 1 - i
---@field peeps boolean?  LSTM
---@field resets_after boolean?  GRU: linear_before_reset

local cells = {}

--- f of what is clipped.
local function applied(o, n, x)
  if o.clip then
    x = core.minimum(core.maximum(x, -o.clip), o.clip)
  end
  return o.functions[n].apply(x)
end

--- Gate n, from 1, of sums side by side.
local function gate(sums, n, H)
  return sums:slice(2, (n - 1) * H + 1, n * H)
end

local function options_of(o, states, maps)
  local parameters = {}
  for _, name in ipairs(o.has_bias and {} or maps) do
    parameters[name] = { bias = false }
  end
  return { states = states, parameters = parameters }
end

function cells.LSTM(o)
  return cell("onnx_lstm", options_of(o, { "h", "c" }, { "from_input", "from_state" }), function(p, x, h, c)
    local H = p.hidden
    local sums = p.from_input(x, 4 * H) + p.from_state(h, 4 * H)
    local peephole = o.peeps and p.peephole:tensor { 3, H } -- i o f
    local function sum(n, place, state)
      return peephole and gate(sums, n, H) + peephole:select(1, place) * state or gate(sums, n, H)
    end
    local i = applied(o, 1, sum(1, 1, c))
    local f = o.couples and 1 - i or applied(o, 1, sum(3, 3, c))
    local after = f * c + i * applied(o, 2, gate(sums, 4, H))
    return applied(o, 1, sum(2, 2, after)) * o.functions[3].apply(after), after
  end)
end

function cells.GRU(o)
  return cell("onnx_gru", options_of(o, { "h" }, { "from_input", "from_state", "from_reset" }), function(p, x, h)
    local H = p.hidden
    local a, u = p.from_input(x, 3 * H), p.from_state(h, 2 * H)
    local z = applied(o, 1, gate(a, 1, H) + gate(u, 1, H))
    local r = applied(o, 1, gate(a, 2, H) + gate(u, 2, H))
    local read = o.resets_after and r * p.from_reset(h) or p.from_reset(r * h)
    local n = applied(o, 2, gate(a, 3, H) + read)
    return n + z * (h - n)
  end)
end

function cells.RNN(o)
  return cell("onnx_rnn", options_of(o, { "h" }, { "from_input", "from_state" }), function(p, x, h)
    return applied(o, 1, p.from_input(x) + p.from_state(h))
  end)
end

return cells
