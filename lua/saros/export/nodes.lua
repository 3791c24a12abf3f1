--- The operations of a program that are calls in C: one rule each. `to` is the
--- array that the result goes to.

local core = require "saros.core"

---@type table<string, fun(body: saros.export.Body, node: saros.export.Node, to: string)>
local rules = {}

local function optional(self, node)
  return node and self:pointer(node) or "NULL"
end

function rules.linear(self, node, to)
  local x, weight, b = node.inputs[1], node.inputs[2], optional(self, node.inputs[3])
  if weight.tensor then
    local w, scale = self.file:weights(weight, node.width)
    if scale then
      self:call("affine_int8", to, w, scale, b, self:pointer(x), self:whole_numbers(x.width), node.width, x.width)
    else
      self:call("affine", to, w, b, self:pointer(x), node.width, x.width)
    end
  else
    self:call("affine", to, self:pointer(weight), b, self:pointer(x), node.width, x.width)
  end
end

--- Only of rows in 8 bits; others are read where they are.
function rules.lookup(self, node, to)
  local w, scale = self.file:rows(node.inputs[2], node.inputs[1].count)
  local id = self:pointer(node.inputs[1])
  self:call("row_int8", to, ("%s + (size_t)%s * %d"):format(w, id, node.width), ("%s[%s]"):format(scale, id),
    node.width)
end

function rules.expand(self, node, to)
  self:call("expand", to, self:pointer(node.inputs[1]), node.outer, node.times, node.inner)
end

function rules.slice(self, node, to)
  self:call("slice", to, self:pointer(node.inputs[1]), node.outer, node.n, node.inner, node.from, node.count, node.step)
end

function rules.transpose(self, node, to)
  self:call("transpose", to, self:pointer(node.inputs[1]), node.outer, node.a, node.b, node.inner)
end

function rules.concatenate(self, node, to)
  local outer, at = node.outer or 1, 0
  for _, input in ipairs(node.inputs) do
    local width, behind = input.width // outer, at > 0 and (" + %d"):format(at) or ""
    if outer == 1 then
      self:say("memcpy(%s%s, %s, %d * sizeof($real));", to, behind, self:pointer(input), width)
    else
      self:call("interleave", to .. behind, self:pointer(input), outer, width, node.width // outer)
    end
    at = at + width
  end
end

for _, name in ipairs { "sum", "mean", "max", "min", "logsumexp", "softmax", "log_softmax", "cumsum" } do
  rules[name] = function(self, node, to)
    self:call(name, to, self:pointer(node.inputs[1]), node.outer, node.n, node.inner)
  end
end

function rules.layer_norm(self, node, to)
  local x = node.inputs[1]
  self:call("layer_norm", to, self:pointer(x), optional(self, node.inputs[2]), optional(self, node.inputs[3]),
    self.file:literal(node.epsilon), x.width // node.n, node.n)
end

function rules.rms_norm(self, node, to)
  local x = node.inputs[1]
  self:call("rms_norm", to, self:pointer(x), optional(self, node.inputs[2]), self.file:literal(node.epsilon),
    x.width // node.n, node.n)
end

function rules.matvec(self, node, to)
  self:call(node.transposed and "matvec_transposed" or "matvec", to, self:pointer(node.inputs[1]),
    self:pointer(node.inputs[2]), node.heads, node.rows, node.columns)
end

function rules.outer(self, node, to)
  local u, v, heads = node.inputs[1], node.inputs[2], node.heads
  self:call("outer", to, self:pointer(u), self:pointer(v), heads, u.width // heads, v.width // heads)
end

--- Complex numbers as pairs: a rotation and a sum.
function rules.rotate(self, node, to)
  local h, decay, a = node.inputs[1], node.inputs[2], node.inputs[3]
  self:call("rotate", to, self:pointer(h), self:pointer(decay), self:pointer(a), node.width)
end

function rules.window(self, node, to)
  local ring = node.owns[1]
  self:call("window", to, "state->" .. ring.member, "state->" .. ring.member .. "_place", self:pointer(node.inputs[1]),
    node.inputs[1].width, node.taps, node.dilation)
end

function rules.attention(self, node, to)
  local q, k, v, distance = table.unpack(node.inputs)
  local memory = "state->" .. node.owns[1].member
  self:call("attention", to, memory, memory .. "_place", self:array("weights", node.window), self:pointer(q),
    self:pointer(k), self:pointer(v), self:pointer(distance), node.heads, q.width // node.heads, node.window)
end

--- A gate of a delta node: a constant for all heads and reflections is an array, or NULL
--- if it does nothing.
local function gate(self, node, count, nothing)
  if node.op ~= "constant" or node.width == count and count > 1 then
    return self:pointer(node)
  end
  local value = node.tensor[1]
  return value == nothing and "NULL"
    or self.file:constant { tensor = core.full({ count }, value), title = node.title }
end

function rules.delta(self, node, to)
  local q, k, v, write, erase, decay = table.unpack(node.inputs)
  local heads, n = node.heads, node.reflections
  local columns = node.width // heads
  self:call("delta", to, "state->" .. node.owns[1].member, self:array("update", columns), self:pointer(q),
    self:pointer(k), self:pointer(v), gate(self, write, n * heads, 1), gate(self, erase, n * heads, 0),
    optional(self, decay), decay and decay.width // heads or 0, heads, n, q.width // heads, columns)
end

-- --- The units of the data ----------------------------------------------------------------

function rules.scale(self, node, to)
  local file = self.file
  self:call("scale", to, self:pointer(node.inputs[1]), file:doubles("input_mean", node.scale.shift),
    file:doubles("input_scale", node.scale.factor), node.width)
end

function rules.ahead(self, node, to)
  local file, scale, now, place = self.file, node.scale, "NULL", "NULL"
  if scale.places then
    now, place = self:pointer(node.inputs[2]), file:declare("int32_t", "place", scale.places)
  end
  local factor, targets = file:doubles("target_scale", scale.factor), #scale.shift
  self:call("ahead", to, self:pointer(node.inputs[1]), now, place, file:doubles("target_mean", scale.shift), factor,
    scale.horizon, targets)
  file.unit = ("%s[i %% %d]"):format(factor, targets)
end

return rules
