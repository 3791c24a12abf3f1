-- Modules of scripts whose fields hold layers and tensors that are no parts of them.

local saros = require "saros"
local nn = saros.nn

describe("a field of a module", function()
  local function make(fill)
    local Own = nn.module "own"
    function Own.forward(_, x) return x end
    local self = Own.new()
    fill(self)
    return self
  end

  local function refused(fill, message)
    for _, ask in ipairs {
      function(m) m:init { seed = 1 } end, function(m) m:parameters() end, function(m) m:tensors() end,
      function(m) m:count() end, function(m) nn.chain({ m }):parameters() end, function(m) m:save "/nowhere/at/all" end,
    } do
      local m = make(fill)
      local ok, got = pcall(ask, m)
      assert.is_false(ok)
      assert.matches("^spec/stray_spec.lua:%d+: own: expected " .. message, got)
    end
  end

  local function free(fill)
    local m = make(fill)
    m:init { seed = 1 }
    return #m:parameters(), m
  end

  it("that is a layer must be a member", function()
    local message = "the module in self.%s to be a member, as self:add_member%%(name, module%%) makes it, got one that "
      .. "is neither trained nor saved with it"
    refused(function(m) m.lin = nn.linear { 2, 2 } end, message:format "lin")
    refused(function(m) m.layers = { nn.linear { 2, 2 } } end, message:format "layers%[1%]")
    refused(function(m) m.heads = { { out = nn.gru { 2, 2 } } } end, message:format "heads%[1%]%[out%]")
    refused(function(m) -- another one than the member
      m.lin = m:add_member("lin", nn.linear { 2, 2 })
      m.lin = nn.linear { 2, 3 }
    end, message:format "lin")
  end)

  it("that is a trainable tensor must be a parameter", function()
    refused(function(m) m.w = saros.ones(2):trainable(true) end,
      "the trainable tensor in self.w to be made by self:add_parameter%(name, shape, fill%)")
    refused(function(m) m.list = { saros.ones(2):trainable(true) } end, "the trainable tensor in self.list%[1%]")
  end)

  it("may hold parts, parts of others, what it is part of, and what is frozen", function()
    local shared = nn.chain { nn.embedding { 4, 2 }, nn.linear { 2, 4 } }
    assert.equal(2, free(function(m)
      m.lin = m:add_member("lin", nn.linear { 2, 2 })
      m.same, m.list, m.weight = m.lin, { m.lin }, m.lin.weight
      m.embedding, m.table = shared.steps[1], shared.steps[1].weight
      m.constant, m.norm, m.text = saros.ones(2), nn.dropout { 0.1 }, "text"
    end))
    assert.equal(0, free(function(m)
      m.teacher = nn.linear({ 2, 2 }):init { seed = 1 }
      for _, tensor in ipairs(m.teacher:parameters()) do
        tensor:trainable(false)
      end
    end))
    local _, inner = free(function() end)
    inner.parent = make(function(m) m:add_member("inner", inner) end)
    assert.equal(0, #inner:parameters())
    assert.equal(0, #inner.parent:parameters())
    local closed
    do
      local _ <close> = saros.ones(2)
      closed = _
    end
    assert.equal(0, free(function(m) m.closed = closed end))
  end)
end)
