--- Nodes that keep states by themselves, as operators of ONNX: windows of past values, attention
--- over them, and matrices with the delta rule. Windows are cut from a whole sequence at once, or
--- step by step in a loop, where the last ones only are there.

local keepers = {}

--- --- Windows ----------------------------------------------------------------------------------------

--- A state (rows, slots F) as (slots, rows, F), before a sequence; or back.
local function before_sequence(b, ring, slots)
  local split = b:op("Reshape", { ring, b:integers { 0, slots, -1 } })
  return b:op("Transpose", { split }, { perm = { 1, 0, 2 } })
end

local function behind_sequence(b, ring)
  return b:op("Reshape", { b:op("Transpose", { ring }, { perm = { 1, 0, 2 } }), b:integers { 0, -1 } })
end

--- x in the other order of time.
local function backwards(b, x)
  return b:slice(x, 0, -1, -b.END, -1)
end

--- Over all steps: the parts (T, B, F) of x, and what the ring is behind them.
local function cut_sequence(b, x, state, ring, slots, dilation)
  x = state.reverse and backwards(b, x) or x
  local all, parts = b:op("Concat", { before_sequence(b, ring, slots), x }, { axis = 0 }), {}
  for from = 0, slots, dilation do
    local part = b:slice(all, 0, from, from < slots and from - slots or b.END)
    parts[#parts + 1] = state.reverse and backwards(b, part) or part
  end
  return parts, behind_sequence(b, b:slice(all, 0, -slots, b.END))
end

--- In a step: the parts (B, F).
local function cut_step(b, x, ring, F, slots, dilation)
  local all, parts = b:op("Concat", { ring, x }, { axis = -1 }), {}
  for from = 0, slots, dilation do
    parts[#parts + 1] = b:slice(all, -1, from * F, (from + 1) * F)
  end
  return parts, b:slice(all, -1, F, b.END)
end

--- x (lead, F) and what stood before it, the oldest first: (lead, taps F).
---@param b saros.onnx.Builder
---@param x string
---@param F integer
---@param state saros.export.State
---@param taps integer
---@param dilation integer
---@return string
local function windowed(b, x, F, state, taps, dilation)
  local ring, slots = b:before(state), (taps - 1) * dilation
  if slots == 0 then
    b:keep(state, ring)
    return x
  end
  local parts, after
  if b.lead == 2 then
    parts, after = cut_sequence(b, x, state, ring, slots, dilation)
  else
    parts, after = cut_step(b, x, ring, F, slots, dilation)
  end
  b:keep(state, after)
  return b:op("Concat", parts, { axis = -1 })
end

function keepers.window(b, node)
  local x = node.inputs[1]
  return windowed(b, b:spread(x), x.width, node.owns[1], node.taps, node.dilation)
end

-- --- Attention --------------------------------------------------------------------------------------

-- Added to the scores of steps that there are not.
local FAR_BELOW = 1e9

--- Keys or values of the steps seen, (lead, heads, W, d).
local function seen_part(b, seen, node, from, F)
  local heads = node.heads
  local part = b:slice(b:shaped(seen, { node.window, 2 * F }), -1, from, from + F)
  return b:shaped(part, { node.window, heads, F // heads })
end

function keepers.attention(b, node)
  local q, k, v, distance = table.unpack(node.inputs)
  local F, heads, W = q.width, node.heads, node.window
  local d = F // heads
  local both = b:op("Concat", { b:spread(k), b:spread(v) }, { axis = -1 })
  local seen = windowed(b, both, 2 * F, node.owns[1], W, 1)
  local ones = b:op("Expand", { b:number(1), b:sizes(1) })
  local exists = windowed(b, ones, 1, node.owns[2], W, 1)
  local keys = b:transposed(seen_part(b, seen, node, 0, F), { 1, 2, 0 })
  local values = b:transposed(seen_part(b, seen, node, F, F), { 1, 0, 2 })
  local query = b:op("Mul", { b:blocks(q, { heads, 1, d }), b:number(d ^ -0.5) })
  local scores = b:op("Add", { b:op("MatMul", { query, keys }), b:blocks(distance, { heads, 1, W }) })
  local far = b:op("Mul", { b:op("Sub", { b:shaped(exists, { 1, 1, W }), b:number(1) }), b:number(FAR_BELOW) })
  local weights = b:op("Softmax", { b:op("Add", { scores, far }) }, { axis = -1 })
  return b:flat(b:op("MatMul", { weights, values }), F)
end

-- --- The delta rule -----------------------------------------------------------------------------------

--- Part r, from 0, of the n parts of a node, as (lead, dims).
local function part_of(b, node, r, n, dims)
  if n == 1 or node.width == 1 then
    return b:blocks(node, node.width == 1 and { 1, 1, 1 } or dims)
  end
  local whole = b:blocks(node, { n, table.unpack(dims) })
  return b:op("Squeeze", { b:slice(whole, -4, r, r + 1), b:integers { -4 } })
end

--- True if a gate is the constant that does nothing.
local function is_nothing(gate, value)
  return gate.tensor ~= nil and gate.tensor:ne(value):max():item() == 0
end

--- One step: m <- decay m, then for each key and value m <- m + k u with u = write v - erase k m; y = q m.
function keepers.delta(b, node)
  local q, k, v, write, erase, decay = table.unpack(node.inputs)
  local state, heads, n = node.owns[1], node.heads, node.reflections
  local K, V = q.width // heads, node.width // heads
  local m = b:shaped(b:before(state), { heads, K, V })
  if decay then
    m = b:op("Mul", { m, b:op("Exp", { b:blocks(decay, { heads, decay.width // heads, 1 }) }) })
  end
  for r = 0, n - 1 do
    local u = part_of(b, v, r, n, { heads, 1, V })
    if not is_nothing(write, 1) then
      u = b:op("Mul", { u, part_of(b, write, r, n, { heads, 1, 1 }) })
    end
    if not is_nothing(erase, 0) then
      local read = b:op("MatMul", { part_of(b, k, r, n, { heads, 1, K }), m })
      u = b:op("Sub", { u, b:op("Mul", { read, part_of(b, erase, r, n, { heads, 1, 1 }) }) })
    end
    m = b:op("Add", { m, b:op("Mul", { part_of(b, k, r, n, { heads, K, 1 }), u }) })
  end
  b:keep(state, b:flat(m, state.width))
  return b:flat(b:op("MatMul", { b:blocks(q, { heads, 1, K }), m }), node.width)
end

return keepers
