-- The number of threads may change how long a result takes, never its bits.

local saros = require "saros"

-- The parameters of a model after a few updates, large enough to be shared out.
local function trained_with(threads)
  saros.threads(threads)
  local text = saros.data.text { string = ("to be or not to be, that is the question. "):rep(300) }
  local lm = saros.nn.language_model { vocabulary = text.vocabulary, hidden = 96, dropout = 0.2, seed = 3 }
  saros.fit(lm, text, { batch = 37, length = 24, epochs = 2 })
  return lm:tensors()
end

describe("threads", function()
  local before = saros.threads()
  after_each(function()
    saros.threads(before)
  end)

  it("are as many as one says", function()
    assert.equal(3, saros.threads(3))
    assert.equal(3, saros.info().threads)
  end)

  for _, threads in ipairs { 2, 3, 8 } do
    it(("(%d of them) give the same bits as one"):format(threads), function()
      local one, many = trained_with(1), trained_with(threads)
      for name, tensor in pairs(one) do
        local difference = (tensor - many[name]):abs():max():item()
        assert.equal(0, difference, name)
      end
    end)
  end

  it("share a step of a few rows by its units, and give the same bits", function()
    local function gradients_with(threads, rows)
      saros.threads(threads)
      local net = saros.nn.lstm { 16, 512 }:init { seed = 2 }
      local tape <close> = saros.tape()
      tape:backward((net(saros.generator(1):normal { 6, rows, 16 })):sum())
      local found = {}
      for name, parameter in pairs(net:tensors()) do
        found[name] = parameter:gradient()
      end
      return found
    end
    for _, rows in ipairs { 1, 4 } do
      local one, many = gradients_with(1, rows), gradients_with(3, rows)
      for name, gradient in pairs(one) do
        assert.equal(0, (gradient - many[name]):abs():max():item(), name)
      end
    end
  end)

  it("share elements and rows, and give the same bits as one", function()
    local norm = saros.nn.layer_norm { 131 }:init { seed = 1 }
    local function results_with(threads)
      saros.threads(threads)
      local generator = saros.generator(4)
      local x, mix = generator:normal { 70, 70, 131 }, generator:normal { 131 }
      local tape <close> = saros.tape()
      tape:watch(x)
      local y = saros.softmax(norm(saros.tanh(x * mix + x:transpose(1, 2))))
      tape:backward((y * y):sum())
      return y:detach(), x:gradient()
    end
    local one, gradient_of_one = results_with(1)
    local many, gradient_of_many = results_with(3)
    assert.equal(0, (one - many):abs():max():item())
    assert.equal(0, (gradient_of_one - gradient_of_many):abs():max():item())
  end)

  for _, wrong in ipairs { 0, -1, 257, 1.5, "two" } do
    it("cannot be " .. tostring(wrong), function()
      assert.has_error(function() saros.threads(wrong) end)
    end)
  end
end)
