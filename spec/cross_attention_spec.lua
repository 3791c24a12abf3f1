-- Attention with several heads over a memory.

require "spec.support.gradients"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local ROUNDING = saros.info().real == "double" and 1e-12 or 1e-5
local T, S, B, F = 3, 5, 2, 6

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

local function build(given)
  local o = { size = F }
  for name, value in pairs(given or {}) do
    o[name] = value
  end
  local net = nn.cross_attention(o):init { seed = 1 }
  saros.generator(3):fill_normal(net.in_proj_bias)
  return net
end

-- One query of one row over the first `length` steps of the memory, head by head.
local function naive(net, query, memory, length)
  local heads, parts, mean = net.o.heads, {}, saros.zeros(length)
  local size = F // heads
  local function project(n, x, head)
    local own = ({ net.q_proj_weight, net.k_proj_weight, net.v_proj_weight })[n]
    local first = (head - 1) * size + 1
    local weight = own or net.in_proj_weight:slice(1, (n - 1) * F + 1, n * F)
    return weight:slice(1, first, first + size - 1):matmul(x)
      + net.in_proj_bias:slice(1, (n - 1) * F + first, (n - 1) * F + first + size - 1)
  end
  for head = 1, heads do
    local q, scores, values = project(1, query, head), {}, {}
    for s = 1, length do
      scores[s] = (q * project(2, memory[s], head)):sum():item() / math.sqrt(size)
      values[s] = project(3, memory[s], head)
    end
    local weights = saros.tensor(scores):softmax()
    mean = mean + weights / heads
    parts[head] = weights:matmul(saros.stack(values))
  end
  return net.out_proj(saros.concatenate(parts, 1)), mean
end

describe("attention over a memory", function()
  it("is what a loop over steps, rows and heads computes", function()
    for _, given in ipairs { {}, { heads = 3 }, { heads = 2, memory = 4 }, { heads = 6 } } do
      local net = build(given)
      local query, memory = random(1, T, B, F), random(2, S, B, given.memory or F)
      for _, lengths in ipairs { false, { 5, 2 } } do
        if lengths then
          memory:slice(2, 2, 2):slice(1, 3, 5):fill(0 / 0)
        end
        local y, weights = net(query, memory, lengths and { lengths = lengths } or nil)
        assert.same({ T, B, S }, weights:shape())
        for t = 1, T do
          for row = 1, B do
            local length = lengths and lengths[row] or S
            local expected, mean = naive(net, query[t][row], memory:select(2, row), length)
            assert.same_values(expected, y[t][row], ROUNDING)
            assert.same_values(mean, weights[t][row]:slice(1, 1, length), ROUNDING)
          end
        end
        local step, of_step = net(query[2], memory, lengths and { lengths = lengths } or nil)
        assert.same_values(y[2], step, ROUNDING)
        assert.same_values(weights[2], of_step, ROUNDING)
      end
    end
  end)

  it("has the gradients that finite differences predict", function()
    for _, given in ipairs { { heads = 2 }, { heads = 3, memory = 4 } } do
      local net = build(given)
      local inputs = net:tensors()
      inputs.query, inputs.memory = random(1, T, B, F), random(2, S, B, given.memory or F)
      local weigh, mask = random(3, T, B, F), saros.tensor { { 1, 0 }, { 1, 1 }, { 0, 1 }, { 1, 0 }, { 1, 1 } }
      assert.gradients_match(function()
        local y, weights = net(inputs.query, inputs.memory, { mask = mask })
        return (y * weigh):sum() + (weights * weights):sum()
      end, inputs)
    end
  end)

  it("has PyTorch's names", function()
    local function names(net)
      local list = {}
      for name in pairs(net:tensors()) do
        list[#list + 1] = name
      end
      table.sort(list)
      return table.concat(list, " ")
    end
    assert.equal("in_proj_bias in_proj_weight out_proj.bias out_proj.weight", names(build()))
    assert.equal("in_proj_bias k_proj_weight out_proj.bias out_proj.weight q_proj_weight v_proj_weight",
      names(build { memory = 4 }))
  end)

  it("says what does not fit", function()
    local net, query, memory = build { heads = 2 }, random(1, T, B, F), random(2, S, B, F)
    local function fails(message, ...)
      local arguments = table.pack(...)
      assert.error_matches(function() net(table.unpack(arguments, 1, arguments.n)) end, message)
    end
    fails("cross_attention: expected a query of shape %(T, B, 6%) or %(B, 6%)", random(1, T, B, 5), memory)
    fails("cross_attention: expected a memory of shape %(S, 2, 6%), got a tensor %(5, 1, 6%)", query,
      random(1, S, 1, F))
    fails("cross_attention: expected lengths or a mask", query, memory, { lengths = { 1, 1 }, mask = saros.ones(S, B) })
    fails("cross_attention: expected lengths in 1%.%.5, got 0", query, memory, { lengths = { 0, 1 } })
    fails("a mask with a 1 in every row", query, memory, { mask = saros.zeros(S, B) })
    assert.error_matches(function() nn.cross_attention { 6, heads = 4 } end,
      "expected heads that divide size = 6, got 4")
  end)
end)
