-- Looking inside a model while it reads.

require "spec.support.values"
local saros = require "saros"
local core = require "saros.core"
local inspect, nn = saros.inspect, saros.nn

local TEXT = 'He said "go on (now)" and\nshe went "home". The End, 7 of 9.\n'
local vocabulary = saros.data.text({ string = TEXT:rep(9) }, { valid = 0 }).vocabulary

local function model(given)
  local o = { vocabulary = vocabulary, cell = "lstm", hidden = 5, embedding = 4, layers = 2, seed = 3 }
  for name, value in pairs(given or {}) do
    o[name] = value
  end
  return nn.language_model(o)
end

-- The states of every layer after each symbol, by the fused operation over the whole text.
local function whole(lm, layer)
  local ids = saros.ids(vocabulary:encode(TEXT)):reshape(-1, 1)
  local x = lm.embedding(ids)
  for n = 1, layer do
    local d = lm.recurrent.directions[n]
    local first = d.initial and { d.initial[1]:reshape(1, -1), d.initial[2] and d.initial[2]:reshape(1, -1) } or nil
    x = core.recurrent(lm.recurrent.operation, x, first, d.parameters)
  end
  return x:select(2, 1)
end

describe("the neurons of a model", function()
  it("are the states after each symbol", function()
    for _, cell in ipairs { "rnn", "lstm", "gru" } do
      local lm = model { cell = cell }
      local seen = inspect.neurons(lm, TEXT, { state = "h" })
      assert.equal(#TEXT, #seen.symbols)
      for layer = 1, 2 do
        assert.same_values(whole(lm, layer), seen.layers[layer], 1e-5) -- float sums in another order
      end
    end
  end)

  it("are tanh(c) of an LSTM by default", function()
    local lm = model { layers = 1 }
    local seen = inspect.neurons(lm, TEXT)
    local _, state = lm(saros.ids(vocabulary:encode(TEXT)):reshape(-1, 1))
    assert.same_values(state[1][2]:tanh():reshape(-1), seen.layers[1]:select(1, -1), 1e-5)
  end)

  it("are found when they follow a property of the text", function()
    -- A tanh unit that is 1 at upper case and -1 elsewhere, among others that do nothing.
    local lm = model { cell = "rnn", layers = 1, hidden = 3, embedding = 1 }
    for _, parameter in ipairs(lm:parameters()) do
      parameter:fill(0)
    end
    for id, symbol in ipairs(vocabulary.symbols) do
      lm.embedding.weight[id][1] = symbol:find "%u" and 9 or -9
    end
    lm.recurrent.directions[1].parameters.weight_ih[2][1] = -1
    local seen = inspect.neurons(lm, TEXT)
    assert.same({ layer = 1, unit = 2, property = "upper case" }, {
      layer = seen.best[1].layer, unit = seen.best[1].unit, property = seen.best[1].property })
    assert.near(-1, seen.best[1].score, 1e-3)
    assert.equal(3, #seen.list)
    assert.equal(2, seen.list[1].unit)
    assert.equal(0, seen.list[2].score)
    assert.matches("\nupper case +1 +2 +%-1.00", tostring(seen))
  end)

  it("are compared with properties that hold where they should", function()
    local function where(name)
      local symbols = {}
      for _, code in utf8.codes(TEXT) do
        symbols[#symbols + 1] = utf8.char(code)
      end
      for _, property in ipairs(require("saros.inspect.properties").of(symbols)) do
        if property.name == name then
          return table.concat(property.values, "", 1, #property.values)
        end
      end
    end
    assert.equal(("0"):rep(8) .. ("1"):rep(12) .. "0000", where("inside double quotes"):sub(1, 24))
    assert.equal("0000000000000001111", where("inside parentheses"):sub(1, 19))
    assert.equal("12012340", where("length of the word so far"):sub(1, 8))
  end)

  it("colour the text", function()
    local seen = inspect.neurons(model(), TEXT)
    local plain = seen:ansi():gsub("\27%[[%d;]*m", "")
    assert.equal((TEXT:gsub("\n", " \n")), plain)
    local html = seen:html { { layer = 1, unit = 2 } }
    assert.matches("<h2>layer 1, neuron 2</h2>", html, 1, true)
    local text = html:match("<pre.->(.*)</pre>"):gsub("<.->", ""):gsub("&quot;", '"')
    assert.equal((TEXT:gsub("\n", " \n")), text)
    assert.matches("^<svg", seen:svg())
    assert.matches(">1.2 </text>", seen:svg { { layer = 1, unit = 2 } }, 1, true)
  end)

  it("show nothing that a terminal or a browser would obey", function()
    local hostile = "<b>&\27[2J\0\x9B\u{9B}"
    local lm = nn.language_model { vocabulary = require("saros.data.vocabulary").bytes(), hidden = 3, layers = 1 }
    local seen, guesses = inspect.neurons(lm, hostile), inspect.guesses(lm, hostile)
    for _, text in ipairs { seen:ansi(), guesses:ansi() } do
      local rest = text:gsub("\27%[[%d;]+m", ""):gsub("\27%[0m", "")
      assert.is_nil(rest:find "[%z\1-\9\11-\31]")
      assert.is_truthy(utf8.len(rest))
    end
    for _, text in ipairs { seen:html(), guesses:html() } do
      assert.is_nil(text:find "[%z\1-\8\27]")
      assert.is_truthy(utf8.len(text))
      assert.equal(0, select(2, text:gsub("<b>&", "")))
    end
  end)

  it("go to a file, or say why not", function()
    local seen, path = inspect.neurons(model(), TEXT), os.tmpname()
    assert.is_true(seen:save(path))
    local file <close> = assert(io.open(path))
    assert.equal(seen:html(), file:read "a")
    os.remove(path)
    assert.is_nil((seen:save "no/such/folder/x.html"))
    for _, page in ipairs { seen, inspect.guesses(model(), TEXT) } do
      assert.error_matches(function() page:save "no/such/folder/x.svg" end,
        'save: expected a name that ends in .html or .htm, as it is a page, got "no/such/folder/x.svg"', 1, true)
    end
  end)

  it("show what a model with a net of its own predicts, and refuse what they would need its layers for", function()
    local stack = model()
    local lm = nn.language_model { vocabulary = vocabulary, net = stack }
    local guesses, same = inspect.guesses(lm, TEXT, { top = 3 }), inspect.guesses(stack, TEXT, { top = 3 })
    assert.equal(same:html(), guesses:html())
    for name, act in pairs {
      ["inspect.neurons"] = function() inspect.neurons(lm, TEXT) end,
      ["inspect.gates"] = function() inspect.gates(lm, TEXT) end,
      ["inspect.reach"] = function() inspect.reach(lm, TEXT, { length = 8 }) end,
    } do
      assert.error_matches(act,
        name .. ": expected a language model made of a recurrent stack, got one with a net of its own", 1, true)
    end
  end)

  it("refuse what they cannot show", function()
    local lm = model()
    for message, act in pairs {
      ["inspect.neurons: expected a language model, got 3"] = function() inspect.neurons(3, TEXT) end,
      ["inspect.neurons: expected a string to read, got nil"] = function() inspect.neurons(lm) end,
      ["inspect.neurons: expected a text of 2 or more symbols, got 0"] = function() inspect.neurons(lm, "") end,
      ['inspect.neurons: encode: expected one of the %d+ characters of the vocabulary, got "z"'] = function()
        inspect.neurons(lm, "zz")
      end,
      ['inspect.neurons: expected state "h", as this model has no c, got "c"'] = function()
        inspect.neurons(model { cell = "gru" }, TEXT, { state = "c" })
      end,
      ["ansi: expected a unit in 1..5, got 6"] = function() inspect.neurons(lm, TEXT):ansi { unit = 6 } end,
      ["ansi: expected a layer in 1..2, got 0"] = function() inspect.neurons(lm, TEXT):ansi { layer = 0, unit = 1 } end,
    } do
      assert.error_matches(act, message)
    end
  end)
end)

describe("the gates of a model", function()
  -- i, f, o of an LSTM and its own g make the c and h that the layer has.
  it("are those of its LSTM layers", function()
    for _, given in ipairs { {}, { learn_state = true }, { layer_norm = true }, { residual = true, embedding = 5 } } do
      local lm = model(given)
      local last = lm.recurrent.directions[2]
      if given.learn_state then
        last.initial[1]:fill(0.5)
        last.initial[2]:fill(-0.7)
      end
      local read = require("saros.inspect.reading").of("spec", lm, TEXT)
      local rows = inspect.gates(lm, TEXT).rows
      assert.equal(6, #rows)
      local o, c = rows[6].values, read.layers[2].c
      local p = last.parameters
      local squashed = p.norm_c_gain and core.layer_norm(c, p.norm_c_gain, p.norm_c_bias):tanh() or c:tanh()
      assert.equal("output", rows[6].name)
      assert.same_values(read.layers[2].h, o * squashed, 1e-5)
      -- c = f c_before + i g with |g| < 1
      local T = c:size(1)
      local rest = c:slice(1, 2) - rows[5].values:slice(1, 2) * c:slice(1, 1, T - 1)
      local g = rest / rows[4].values:slice(1, 2)
      assert.is_true(g:abs():max():item() <= 1 + 1e-4)
    end
  end)

  it("are those of its GRU layers", function()
    local lm = model { cell = "gru", layers = 1 }
    local d, x = lm.recurrent.directions[1].parameters, lm.embedding(saros.ids(vocabulary:encode(TEXT)))
    local seen, h = inspect.gates(lm, TEXT), saros.zeros(5)
    local all = require("saros.inspect.reading").of("spec", lm, TEXT).layers[1].h
    for t = 1, 9 do
      local a = d.weight_ih:matmul(x[t]) + d.bias_ih
      local u = d.weight_hh:matmul(h) + d.bias_hh
      local r, z = (a + u):slice(1, 1, 5):sigmoid(), (a + u):slice(1, 6, 10):sigmoid()
      assert.same_values(r, seen.rows[1].values[t], 1e-5)
      assert.same_values(z, seen.rows[2].values[t], 1e-5)
      local n = (a:slice(1, 11) + r * u:slice(1, 11)):tanh()
      h = n + z * (h - n)
      assert.same_values(h, all[t], 1e-5)
    end
    assert.same({ "reset", "update" }, { seen.rows[1].name, seen.rows[2].name })
  end)

  it("are those of its minimal layers", function()
    for cell, name in pairs { mingru = "update", minlstm = "forget" } do
      local lm = model { cell = cell, layer_norm = cell == "minlstm", residual = true }
      local seen = inspect.gates(lm, TEXT)
      assert.same({ name, name }, { seen.rows[1].name, seen.rows[2].name })
      -- The state lies between the old one, 0 at first, and the candidate, as far
      -- as the gate says.
      local d, x = lm.recurrent.directions[1], lm.embedding(saros.ids(vocabulary:encode(TEXT)))
      local a = d.norm_ih and core.layer_norm(core.linear(x, d.weight_ih), d.norm_ih[1], d.norm_ih[2])
        or core.linear(x, d.parameters.weight_ih, d.parameters.bias_ih)
      local all = require("saros.inspect.reading").of("spec", lm, TEXT).layers[1].h
      local h = saros.zeros(5)
      for t = 1, 9 do
        local gate, n = seen.rows[1].values[t], a[t]:slice(1, -5)
        local taken = cell == "mingru" and gate or 1 - gate
        h = h + taken * (n - h)
        assert.same_values(h, all[t], 1e-5)
      end
    end
  end)

  it("are those that a cell of one's own names", function()
    local cell = saros.nn.cell("mine", {}, function(p, x, h)
      local z = p:named("update", saros.sigmoid(p.z(x .. h)))
      return (1 - z) * h + z * p:named("candidate", saros.tanh(p.n(x .. h)))
    end)
    local lm = model { cell = cell, layers = 1 }
    local rows = inspect.gates(lm, TEXT).rows
    assert.equal(1, #rows)
    assert.equal("update", rows[1].name)
    local h = require("saros.inspect.reading").of("spec", lm, TEXT).layers[1].h
    local T, z = h:size(1), rows[1].values
    local n = (h:slice(1, 2) - (1 - z:slice(1, 2)) * h:slice(1, 1, T - 1)) / z:slice(1, 2)
    assert.is_true(n:abs():max():item() <= 1 + 1e-4)
  end)

  it("are counted where they are shut and open", function()
    local lm = model { layers = 1 }
    lm.recurrent.directions[1].parameters.bias_ih:slice(1, 1, 5):fill(9) -- i
    lm.recurrent.directions[1].parameters.bias_ih:slice(1, 6, 10):fill(-9) -- f
    local seen = inspect.gates(lm, TEXT)
    assert.equal(1, seen.rows[1].open)
    assert.equal(1, seen.rows[2].shut)
    assert.same({ 1, 1, 1, 1, 1 }, seen.rows[2].units_shut:totable())
    assert.matches("\n1 +forget +100.0 %% +0.0 %% +0.00\n", tostring(seen))
    local svg = seen:svg()
    assert.matches(">forget 1</text>", svg, 1, true)
    assert.equal(3, select(2, svg:gsub("<polyline", "")))
  end)

  it("are not there in a plain layer", function()
    assert.error_matches(function() inspect.gates(model { cell = "rnn" }, TEXT) end,
      "inspect.gates: expected a model with gates (lstm, gru, mingru, minlstm, ugrnn, slstm), got elman_tanh", 1, true)
  end)
end)

describe("the reach of gradients", function()
  it("is what finite differences of the loss say", function()
    local lm = model { cell = "rnn", layers = 1, embedding = 1 }
    local length, row = 4, vocabulary:encode(TEXT)
    local seen = inspect.reach(lm, TEXT:sub(1, length + 1), { length = length })
    assert.equal(1, seen.rows)
    local x = lm.embedding(saros.ids(table.move(row, 1, length, 1, {})):reshape(-1, 1)):clone()
    local function loss()
      return saros.cross_entropy(lm.head(lm.recurrent(x):select(1, -1)), saros.ids { row[length + 1] }):item()
    end
    for distance = 0, length - 1 do
      local at = x:select(1, length - distance)
      local value = at:item()
      at:fill(value + 1e-2)
      local above = loss()
      at:fill(value - 1e-2)
      local slope = (above - loss()) / 2e-2
      at:fill(value)
      assert.near(math.abs(slope), seen.norms[distance + 1], 1e-3 * math.abs(slope) + 1e-4)
    end
  end)

  it("is short where the recurrent weights are small, and long where they carry", function()
    local lm = model { cell = "rnn", layers = 1 }
    local function distance(scale)
      local weight = lm.recurrent.directions[1].parameters.weight_hh
      weight:fill(0)
      for n = 1, 5 do
        weight[n][n] = scale
      end
      return inspect.reach(lm, TEXT, { length = 30, rows = 8 }):distance(0.1)
    end
    assert.is_true(distance(0.1) <= 2)
    assert.is_true(distance(0.8) > 4)
  end)

  -- A text of two symbols, each as often.
  local function coins(count)
    local symbols = {}
    for n, heads in ipairs(saros.generator(1):uniform({ count }):lt(0.5):totable()) do
      symbols[n] = heads == 1 and "a" or "b"
    end
    return table.concat(symbols)
  end

  -- Unit n of a layer is what the first one was n - 1 steps before.
  local function shift(weight_ih, weight_hh, biases)
    for _, parameter in ipairs { weight_ih, weight_hh, table.unpack(biases) } do
      parameter:fill(0)
    end
    weight_ih[1][1] = 1
    for n = 2, #weight_hh do
      weight_hh[n][n - 1] = 1
    end
  end

  -- A model that says the symbol of five steps ago, and knows no more.
  local function five_back()
    local two = saros.data.text({ string = "ab" }, { valid = 0 }).vocabulary
    local lm = nn.language_model { vocabulary = two, cell = "rnn", layers = 1, hidden = 5, embedding = 1 }
    local p = lm.recurrent.layers[1]
    shift(p.weight_ih, p.weight_hh, { p.bias_ih, p.bias_hh, lm.head.weight, lm.head.bias })
    for id, symbol in ipairs(two.symbols) do
      lm.embedding.weight[id][1] = symbol == "a" and 1 or -1
      lm.head.weight[id][5] = symbol == "a" and 20 or -20
    end
    return lm
  end

  it("is as long as a model was made to look back", function()
    local seen = inspect.reach(five_back(), coins(5):rep(40), { length = 30 })
    assert.equal(5, seen.steps)
    assert.matches("^uses about 5 steps\nsteps  gradient  loss\n1      0.00e%+00  0.6931\n", tostring(seen))
    assert.matches(">How far back: uses about 5 steps</", seen:svg(), 1, true)
    assert.same({ 1, 2, 3, 4, 6, 8, 12, 16, 24, 30 }, seen.contexts)
    for n, steps in ipairs(seen.contexts) do
      assert.near(steps < 5 and math.log(2) or 0, seen.losses[n], 1e-4)
    end
    for n, norm in ipairs(seen.norms) do
      assert.equal(n == 5, norm > 0)
    end
  end)

  it("has a readout that tells what is in the state, and no more", function()
    local seen = inspect.reach(five_back(), coins(3000), { length = 30, recall = true })
    assert.equal(7, #seen.recalled)
    for n, told in ipairs(seen.recalled) do
      if seen.contexts[n] <= 5 then
        assert.equal(1, told)
      else
        assert.is_true(told < 0.6, told)
      end
    end
    assert.near(0.5, seen.guessed, 0.1)
    assert.matches("\n4 +%S+ +%S+  100 %%\n", tostring(seen))
    assert.matches(">recalled</text>", seen:svg(), 1, true)
    assert.equal(1, seen.steps) -- as what it tells is no help with coins
    assert.matches("^uses one step\n", tostring(seen))
  end)

  it("is seen in models that read numbers, from windows", function()
    local layer, head = nn.rnn { 2, 4, activation = "relu", bias = false }, nn.linear { 4, 1, bias = false }
    local net = nn.chain({ layer, head }):init { seed = 1 }
    shift(layer.layers[1].weight_ih, layer.layers[1].weight_hh, { head.weight })
    head.weight[1][4] = 1
    local windows = {}
    for n = 1, 2 do
      local x = saros.generator(n):uniform { 9, 3, 2 }
      windows[n] = { inputs = x, targets = x:slice(3, 1, 1):slice(1, 1, 6) + 0 } -- the last: three steps before
    end
    local seen = inspect.reach(net, windows)
    assert.equal(6, seen.rows)
    assert.equal(4, seen.steps)
    assert.near(0, seen.losses[#seen.losses], 1e-12)
  end)

  it("is at least all that was read where more would help", function()
    local seen = inspect.reach(five_back(), coins(5):rep(40), { length = 5 })
    assert.equal(5, seen.steps)
    assert.matches("^uses 5 steps or more\n", tostring(seen))
  end)

  it("leaves the model and its gradients as they were", function()
    local lm = model()
    local seen = inspect.reach(lm, TEXT, { length = 10, recall = true })
    assert.equal(10, #seen.norms)
    assert.matches("<polyline", seen:svg())
    for _, parameter in ipairs(lm:parameters()) do
      assert.is_true(parameter:trainable())
      assert.is_nil(parameter:gradient())
    end
  end)

  it("refuses what it cannot look at", function()
    local lm, net = model(), nn.linear({ 2, 3 }):init { seed = 1 }
    for message, act in pairs {
      ["inspect.reach: expected a text of 3 or more symbols, got 2"] = function()
        inspect.reach(lm, "He", { length = 2 })
      end,
      ["inspect.reach: expected a language model, or a module and windows, got 3"] = function()
        inspect.reach(3, TEXT)
      end,
      ["inspect.reach: expected a language model, got a saros.nn.linear"] = function() inspect.reach(net, TEXT) end,
      ["inspect.reach: expected a string to read or a list of windows, got nil"] = function() inspect.reach(net) end,
      ["inspect.reach: expected a string to read or a list of windows, got a saros.Text"] = function()
        inspect.reach(net, saros.data.text({ string = TEXT }))
      end,
      ["inspect.reach: expected window 1 to be { inputs = tensor, targets = tensor }, got 7"] = function()
        inspect.reach(net, { 7 })
      end,
      ["inspect.reach with recall: expected a language model, got a saros.nn.linear"] = function()
        inspect.reach(net, { { inputs = saros.zeros(4, 2, 2), targets = saros.zeros(4, 2, 3) } }, { recall = true })
      end,
    } do
      assert.error_matches(act, message, 1, true)
    end
  end)
end)

describe("the guesses of a model", function()
  it("show words as a text has them", function()
    local known = saros.data.vocabulary.words(TEXT)
    local lm = model { vocabulary = known }
    local seen = inspect.guesses(lm, "He said now, and", { top = 1 })
    local words = {}
    for n, entry in ipairs(seen.list) do
      words[n] = entry.symbol
    end
    assert.same({ "He", " said", " now", ",", " and" }, words)
    local first_line = seen:ansi():match "^[^\n]*":gsub("\27%[[%d;]*m", "")
    assert.equal("He said now, and", first_line)
    assert.matches(">said<", inspect.neurons(lm, "He said now, and"):svg(), 1, true)
  end)

  it("are the likeliest symbols after each one", function()
    local lm = model()
    local seen = inspect.guesses(lm, TEXT, { top = 3 })
    assert.equal(#TEXT, #seen.list)
    for _, t in ipairs { 1, 10, #TEXT } do
      local expected = lm:next { prime = TEXT:sub(1, t), top = 3 }
      for n = 1, 3 do
        assert.near(expected[n].probability, seen.list[t].next[n].probability, 1e-5)
      end
      assert.equal(expected[1].symbol, seen.list[t].next[1].symbol)
    end
    assert.is_nil(seen.list[1].probability)
    for _, entry in ipairs(lm:next { prime = TEXT:sub(1, 9), top = #vocabulary }) do
      if entry.symbol == TEXT:sub(10, 10) then
        assert.near(entry.probability, seen.list[10].probability, 1e-5)
      end
    end
  end)

  it("stand under the text", function()
    local seen = inspect.guesses(model(), TEXT, { top = 2 })
    local lines = {}
    for line in seen:ansi(20):gsub("\27%[[%d;]*m", ""):gmatch "([^\n]*)\n" do
      lines[#lines + 1] = line
    end
    assert.equal('He said "go on (now)', lines[1])
    assert.equal(20, utf8.len(lines[2]))
    assert.equal("", lines[4])
    assert.equal(#TEXT, select(2, seen:html():gsub('class="saros%-guess"', "")))
    assert.matches("guesses %(%d+ symbols, %d%.%d+ bits per symbol%)", tostring(seen))
  end)

  it("are no more than there are symbols", function()
    local two = saros.data.text({ string = "abab" }, { valid = 0 }).vocabulary
    local lm = nn.language_model { vocabulary = two, hidden = 2 }
    assert.equal(2, #inspect.guesses(lm, "ab", { top = 9 }).list[1].next)
  end)
end)
