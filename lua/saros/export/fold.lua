--- The values of nodes that depend on parameters and constants alone, as tensors
--- of rank 1: what a file then has as constants.

local core = require "saros.core"

local fold = {}

function fold.slice(x, node)
  local n, from, step = node.n, node.from, node.step
  x = x:reshape(node.outer, n, node.inner)
  if step == 1 then
    return x:slice(2, from + 1, from + node.count)
  end
  local kept = {}
  for i = 1, node.count do
    kept[i] = x:select(2, from + (i - 1) * step + 1)
  end
  return core.stack(kept, 2)
end

function fold.concatenate(_, node)
  local list = {}
  for position, input in ipairs(node.inputs) do
    list[position] = input.tensor:reshape(node.outer or 1, -1)
  end
  return core.concatenate(list, 2)
end

function fold.expand(x, node)
  return x:reshape(node.outer, 1, node.inner) * core.ones(node.outer, node.times, node.inner)
end

function fold.transpose(x, node)
  return x:reshape(node.outer, node.a, node.b, node.inner):transpose(2, 3)
end

for _, name in ipairs { "sum", "mean", "max", "min", "logsumexp", "softmax", "log_softmax", "cumsum" } do
  fold[name] = function(x, node)
    return core[name](x:reshape(node.outer, node.n, node.inner), 2)
  end
end

function fold.layer_norm(x, node)
  local gain, bias = node.inputs[2], node.inputs[3]
  return core.layer_norm(x:reshape(-1, node.n), gain and gain.tensor or core.ones(node.n),
    bias and bias.tensor or core.zeros(node.n), node.epsilon)
end

function fold.rms_norm(x, node)
  local gain = node.inputs[2]
  return core.rms_norm(x:reshape(-1, node.n), gain and gain.tensor, node.epsilon)
end

function fold.linear(x, node)
  local bias = node.inputs[3]
  local y = core.linear(x:reshape(1, -1), node.inputs[2].tensor:reshape(-1, x:count()))
  return bias and y + bias.tensor or y
end

function fold.matvec(m, node)
  m = m:reshape(node.heads, node.rows, node.columns)
  m = node.transposed and m:transpose(2, 3) or m
  return m:matmul(node.inputs[2].tensor:reshape(node.heads, -1, 1))
end

function fold.outer(u, node)
  return u:reshape(node.heads, -1, 1):matmul(node.inputs[2].tensor:reshape(node.heads, 1, -1))
end

--- The value of a node whose operands have theirs.
---@param node saros.export.Node
---@return saros.Tensor?  (width); nil if there is no rule
return function(node)
  local first = node.inputs[1]
  if not first then
    return nil
  end
  local rule = fold[node.op]
  if rule then
    return rule(first.tensor, node):reshape(-1)
  end
  local operands = {}
  for position, input in ipairs(node.inputs) do
    operands[position] = input.tensor
  end
  operands[#operands + 1] = node.slope
  return core[node.op](table.unpack(operands)):reshape(-1)
end
