-- Proofs and automata of nets of one's own whose states are exact.

require "spec.support.values"
local saros = require "saros"
local references = require "saros.automata.reference"
local nn, automata = saros.nn, saros.automata

-- Every token is allowed, and an answer is asked after each.
local function anything(tokens, answers)
  return { tokens = tokens, answers = answers, start = 1, step = function() return 1, 1 end }
end

-- Tokens 1 and 2 set a switch, 3 turns it, 4 leaves it: the answer is where it stands.
local switch = { tokens = 4, answers = 2, start = 1, step = function(state, token)
  state = token < 3 and token or token == 3 and 3 - state or state
  return state, state
end }

local function delta(hidden, o)
  o.input, o.hidden = hidden, hidden
  return nn.delta(o)
end

local NETS = {
  ["one exact head"] = function()
    return nn.chain { nn.embedding { 3, 6 }, delta(6, { exact = true, heads = 1 }), nn.linear { 6, 4 } }
  end,
  ["gates and norms, in a residual block"] = function()
    return nn.chain { nn.embedding { 3, 6 }, delta(6, { exact = true, heads = 1, key_size = 3, value_size = 3,
      reflections = 2, output_gate = true, output_norm = true, residual = true }), nn.linear { 6, 4 } }
  end,
  ["a finite-state layer, and an exact one that reads it"] = function()
    return nn.chain { nn.finite { tokens = 3, heads = 1, states = 3 }, nn.linear { 3, 6 },
      delta(6, { exact = true, heads = 1, key_size = 2, value_size = 2, batch_first = false }), nn.linear { 6, 4 } }
  end,
}

-- The first net of some seeds that is proved, and its proof.
local function proved_switch()
  for seed = 1, 5 do
    local layer = delta(16, { exact = true, heads = 2 })
    local net = nn.chain { nn.embedding { 4, 16 }, layer, nn.linear { 16, 2 } }:init { seed = seed }
    automata.curriculum(net, switch, { updates = 400 })
    automata.polish(net, switch, { updates = 20 })
    local proof = automata.prove(net, switch)
    if proof.proved then
      return net, proof
    end
  end
end

describe("the automaton of a net", function()
  for name, build in pairs(NETS) do
    it("answers as the net does: " .. name, function()
      for seed = 1, 3 do
        local net = build():init { seed = seed }
        local found = automata.extract(net, { reference = anything(3, 4) })
        for row = 1, 3 do
          local ids = references.of("spec", anything(3, 4)):words(saros.generator(10 * seed + row), 1, 200)
          assert.same(net(ids):argmax(-1):reshape(200):totable(), found:run(ids:reshape(200):totable()))
        end
      end
    end)
  end

end)

describe("the proof of a net", function()
  it("sees all of its states, which are as few as what it has learned, joined", function()
    local net, proof = proved_switch()
    local found = automata.extract(net, { reference = switch })
    assert.same({ { 1, 2, 2, 1 }, { 1, 2, 1, 2 } }, found.next)
    assert.same({ 1, 2 }, found.told)
    local ids, answers = references.of("spec", switch):words(saros.generator(1), 1, 10000)
    assert.equal(1, net(ids):argmax(-1):eq(answers):min():item())
    assert.is_true(proof.margin > 0 and proof.states < 1000)
    assert.matches("^proved: %d+ states, depth %d+, smallest margin ", tostring(proof))
  end)

  it("finds a shortest word that is wrong", function()
    local net = nn.chain { nn.embedding { 4, 16 }, delta(16, { exact = true, heads = 2 }), nn.linear { 16, 2 } }
      :init { seed = 1 }
    local proof = automata.prove(net, switch)
    assert.is_true(proof.closed and not proof.proved)
    local said = net(saros.ids(proof.word):reshape(#proof.word, 1)):argmax(-1):reshape(-1):totable()
    local state, answer = switch.start, nil
    for t, token in ipairs(proof.word) do
      state, answer = switch.step(state, token)
      assert.equal(t < #proof.word, said[t] == answer)
    end
    assert.equal(answer, proof.expected)
    assert.equal(said[#said], proof.got)
  end)

  it("ends at a limit", function()
    local net = nn.chain { nn.embedding { 4, 16 }, delta(16, { exact = true }), nn.linear { 16, 1 } }:init { seed = 1 }
    local one = anything(4, 1)
    assert.equal("not decided: more than 50 pairs of states (option limit)",
      tostring(automata.prove(net, one, { limit = 50 })))
    assert.error_matches(function() automata.extract(net, { reference = one, limit = 50 }) end,
      "automaton: expected at most 50 states, got more", 1, true)
  end)

  it("is refused to nets whose states may be rounded", function()
    local function fails(net, message)
      assert.error_matches(function() automata.prove(net, switch) end,
        "prove: expected a net of saros.automata, or one whose states are exact (nn.finite; nn.delta with exact = true "
        .. "and no convolution), got " .. message, 1, true)
    end
    local function net_of(layer)
      return nn.chain { nn.embedding { 4, 6 }, layer, nn.linear { 6, 2 } }:init { seed = 1 }
    end
    fails(net_of(nn.gru { 6, 6 }), "gru 6 -> 6")
    fails(net_of(delta(6, {})), "delta 6 -> 6")
    fails(net_of(delta(6, { exact = true, convolution = 2 })), "delta 6 -> 6")
    fails(net_of(delta(6, { exact = 1, heads = 2, convolution = 0 })), "delta 6 -> 6")
    fails(nn.chain { nn.finite { tokens = 4, heads = 1, states = 3, start = "soft" }, nn.linear { 3, 2 } }, "finite")
    fails(nn.linear { 2, 2 }, "")
    fails(nil, "nil")
  end)

  it("wants a reference that fits", function()
    local net = NETS["one exact head"]():init { seed = 1 }
    assert.error_matches(function() automata.prove(net, anything(3, 2)) end,
      "prove: expected a net with outputs of shape (1, 3, 2), as many classes as the reference has answers, got a "
      .. "tensor (1, 3, 4)", 1, true)
    assert.error_matches(function() automata.extract(net) end, "automaton: expected the option 'reference'", 1, true)
  end)
end)

-- A net with eight exact heads that has learned the switch. `o`: more options of its layer.
local function learned_switch(o)
  o.exact = true
  local net = nn.chain { nn.embedding { 4, 16 }, delta(16, o), nn.linear { 16, 2 } }:init { seed = 1 }
  assert.is_true((automata.curriculum(net, switch, { updates = 400 })))
  return net
end

local function values_of(net)
  local list = {}
  for name, tensor in pairs(net:tensors()) do
    list[name] = tensor:totable()
  end
  return list
end

describe("a net whose exact heads are pruned", function()
  for name, o in pairs {
    ["heads alone"] = {},
    ["two reflections, norms, an output gate, a residual connection"] = { reflections = 2, heads = 6, key_size = 3,
      value_size = 2, output_gate = true, output_norm = true, residual = true },
  } do
    it("is proved where all of its heads have too many states: " .. name, function()
      local net = learned_switch(o)
      local before = values_of(net)
      assert.is_false(automata.prove(net, switch, { limit = 500 }).proved)
      local small = assert(automata.prune(net, switch))
      local proof = automata.prove(small, switch)
      assert.is_true(proof.proved and proof.margin > 0 and proof.states < 500, tostring(proof))
      assert.is_true(small.steps[2].o.heads < net.steps[2].o.heads)
      assert.same(before, values_of(net))
      local ids, answers = references.of("spec", switch):words(saros.generator(1), 1, 2000)
      assert.equal(1, small(ids):argmax(-1):eq(answers):min():item())
    end)
  end

  it("keeps what each head does, whichever is left", function()
    local heads = require "saros.automata.exact_heads"
    local net = nn.chain { nn.embedding { 4, 6 }, delta(6, { exact = true, heads = 3, reflections = 2, key_size = 3,
      value_size = 2 }), nn.linear { 6, 2 } }:init { seed = 3 }
    local ids = references.of("spec", switch):words(saros.generator(2), 5, 30)
    local _, state = net(ids)
    local all = state[2][1][1]:reshape(5, 3, 6)
    for _, which in ipairs { { 1 }, { 2, 3 }, { 3, 1 } } do
      local _, after = heads.smaller(net, 2, which)(ids)
      local some = after[2][1][1]:reshape(5, #which, 6)
      for n, h in ipairs(which) do
        assert.same(all:slice(2, h, h):reshape(-1):totable(), some:slice(2, n, n):reshape(-1):totable())
      end
    end
  end)

  it("learns on, and reads rows first if the given one does", function()
    local net = learned_switch {}
    local rows = nn.chain { nn.embedding { 4, 16 }, delta(16, { exact = true }), nn.linear { 16, 2 },
      batch_first = true }
    assert(rows:load(net:tensors()))
    local small, turned = assert(automata.prune(net, switch)), assert(automata.prune(rows, switch))
    local ids, answers = references.of("spec", switch):words(saros.generator(1), 2, 100)
    assert.equal(1, turned(ids:transpose()):argmax(-1):eq(answers:transpose()):min():item())
    automata.polish(small, switch, { updates = 5 })
    assert.is_true(automata.prove(small, switch).closed)
  end)

  it("is nil with the reason, if too few heads are tried or the readout is not fitted", function()
    -- Two switches, and whether they agree.
    local two = { tokens = 4, answers = 2, start = "1 1", step = function(state, token)
      local a, b = state:match "(%d) (%d)"
      a, b = token == 1 and 3 - a or a, token == 2 and 3 - b or b
      return ("%d %d"):format(a, b), a == b and 1 or 2
    end }
    local net = nn.chain { nn.embedding { 4, 16 }, delta(16, { exact = true, heads = 2 }), nn.linear { 16, 2 } }
      :init { seed = 1 }
    assert.same({ nil, "prune: no 1 heads determine every answer (options most, limit)" },
      { automata.prune(net, two, { most = 1 }) })
    local unread = learned_switch {}
    unread.steps[3]:init { seed = 9 }
    assert.same({ nil, "prune: the readout is not right in all states after 1 updates (option updates)" },
      { automata.prune(unread, switch, { updates = 1, lr = 1e-6 }) })
  end)

  it("is refused where other members have states, or the outputs do not fit", function()
    local function fails(message, net, reference)
      assert.error_matches(function() automata.prune(net:init { seed = 1 }, reference or switch) end, message, 1, true)
    end
    fails("prune: expected a net of saros.automata, or a chain whose only member with a state is one layer of nn.delta "
      .. "with exact = true and no convolution, got chain", nn.chain { nn.embedding { 4, 6 }, nn.gru { 6, 6 },
        delta(6, { exact = true }), nn.linear { 6, 2 } })
    fails("only member with a state", nn.chain { nn.embedding { 4, 6 }, delta(6, { exact = 1, heads = 2 }),
      nn.linear { 6, 2 } })
    fails("only member with a state", nn.chain { nn.embedding { 4, 6 }, delta(6, { exact = true, layers = 2 }),
      nn.linear { 6, 2 } })
    fails("prune: expected a net with outputs of shape (1, ", nn.chain { nn.embedding { 3, 6 },
      delta(6, { exact = true }), nn.linear { 6, 2 } }, anything(3, 1))
  end)
end)
