-- Every public function and method, called with what it does not take: an error in
-- the toolkit's words that blames the line of the script, never one from inside.

local saros = require "saros"
local nn, data, optim = saros.nn, saros.data, saros.optim

-- They would write files, or wait.
local UNSAFE = {
  save = true, export_c = true, report = true, make_folder = true, prepare = true, write = true, html = true,
}

local function objects()
  local text = data.text({ string = ("the cat sat. "):rep(12) }, { valid = 0.2 })
  local labelled = data.labelled({ a = { "abab", "abba", "aab" }, b = { "bbb", "babb", "bb" } }, { valid = 0 })
  local features = data.labelled({ a = { saros.ones(4, 2) }, b = { saros.zeros(3, 2) } }, { valid = 0 })
  local pairs_of = data.pairs({ { "ab", "ba" }, { "b", "b" } }, { valid = 0 })
  local series = data.series(saros.arange(60), { valid = 0.2 })
  local lm = nn.language_model { vocabulary = text.vocabulary, hidden = 4, cell = "gru", seed = 1 }
  local forecaster = nn.forecaster { series = series, hidden = 3 }
  local classifier = nn.classifier { vocabulary = labelled.vocabulary, labels = labelled.labels, hidden = 3,
    bidirectional = false, seed = 1 }
  local numeric = nn.classifier { features = features.features, labels = features.labels, hidden = 3,
    bidirectional = false, seed = 1 }
  local gru = nn.gru { 3, 4 }:init { seed = 1 }
  local _, state = gru(saros.ones(2, 2, 3))
  return {
    tensor = saros.ones(2, 3), ids = saros.ids { 1, 2 }, generator = saros.generator(1),
    text = text, labelled = labelled, pairs = pairs_of,
    series = series, part = series.train, scale = series.scale.inputs,
    pieces = data.pieces({ "abc", "abd", "acd" }, { valid = 0.3 }), vocabulary = text.vocabulary,
    language_model = lm, forecaster = forecaster, classifier = classifier, numeric = numeric,
    encoder_decoder = nn.encoder_decoder { source = pairs_of.source, target = pairs_of.target, hidden = 3, seed = 1 },
    gru = gru, state = state, linear = nn.linear { 3, 2 }:init { seed = 1 }, embedding = nn.embedding { 5, 3 },
    chain = nn.chain { nn.embedding { 5, 3 }, nn.gru { 3, 4 }, nn.linear { 4, 5 } }:init { seed = 1 },
    dropout = nn.dropout { 0.5 }, norm = nn.layer_norm { 3 }:init { seed = 1 },
    attention = nn.windowed_attention { 4, 4, heads = 2 }:init { seed = 1 },
    adam = optim.adam(lm:parameters(), { lr = 1e-3 }), session = lm:session(), live = forecaster:session(),
    live_classifier = numeric:session(), learner = forecaster:learner { window = 2 },
    sampler = saros.sampler {}, chart = saros.plot.lines { series = { { name = "a", y = { 1, 2, 3 } } } },
    summary = lm:summary(), memory = lm:memory { length = 3, batch = 2 }, task = data.tasks.flip_flop { length = 4 },
  }
end

-- They serve the library alone.
local INTERNAL = {
  new = true, fits = true, on_scale = true, columns = true, apply_column = true, invert_column = true,
  apply_values = true, present = true, training_weight = true, sample_window = true, trace = true,
}

-- Values of many kinds, none of which does anything by itself.
local function junk()
  return {
    false, true, 5, -1, 1.5, 0 / 0, "nonsense", {}, { 5 }, { nonsense = 1 }, function() end, io.stdout, saros.null,
    saros.ones(2, 3, 2), saros.ids { 1 }, saros.generator(1), nn.linear { 1, 1 },
  }
end

local function shown(value)
  return math.type(value) and tostring(value) or type(value)
end

-- What is wrong with an error, if it is one.
local function fault_of(ok, message)
  if ok then
    return nil
  elseif type(message) ~= "string" then
    return "a " .. type(message) .. " as the error"
  elseif not message:find "blame_spec%.lua:%d+: " then
    return message
  end
  return (message:find("attempt to", 1, true) or message:find("bad argument", 1, true)
    or message:find "[^%w_/]saros/[%w_/]+%.lua:%d+: ") and message or nil
end

-- Every junk in each of the first places, and too few arguments.
local function provoke(faults, name, f, self)
  local function try(what, ...)
    local fault = fault_of(pcall(function(...) return (f(...)) end, ...))
    faults[#faults + 1] = fault and ("%s (%s): %s"):format(name, what, fault) or nil
  end
  try("nothing", self)
  for _, value in ipairs(junk()) do
    if self ~= nil then
      try(shown(value) .. " as self", value)
      try(shown(value), self, value)
      try("nil, " .. shown(value), self, nil, value)
    else
      try(shown(value), value)
      try("nil, " .. shown(value), nil, value)
      try(shown(value) .. " twice", value, value)
    end
  end
end

local function sorted(names)
  local list = {}
  for name in pairs(names) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

-- Names of the methods of an object: of its class, or hidden in C.
local function methods_of(object)
  local class = debug.getmetatable(object)
  local methods = class and class.__index
  if type(methods) == "function" then
    local index, hidden = methods, nil
    for n = 1, 5 do
      local _, value = debug.getupvalue(index, n)
      hidden = hidden or type(value) == "table" and value
    end
    methods = hidden
  end
  local found = {}
  for name, f in pairs(type(methods) == "table" and methods or {}) do
    if type(name) == "string" and name:sub(1, 2) ~= "__" and type(f) == "function" and not UNSAFE[name]
      and not INTERNAL[name] then
      found[name] = f
    end
  end
  return found
end

describe("an error of a wrong argument", function()
  for _, space in ipairs { "saros", "nn", "optim", "data", "plot", "inspect", "ctc" } do
    it("is in the words of " .. space .. ", and blames the script", function()
      local functions = space == "saros" and saros or saros[space]
      local faults = {}
      for _, name in ipairs(sorted(functions)) do
        if type(functions[name]) == "function" and not UNSAFE[name] then
          provoke(faults, name, functions[name])
        end
      end
      assert.same({}, faults)
    end)
  end

  it("is in the words of every method, and blames the script", function()
    local faults, count = {}, 0
    local all = objects()
    for _, kind in ipairs(sorted(all)) do
      local methods, object = methods_of(all[kind]), objects()[kind]
      for _, name in ipairs(sorted(methods)) do
        count = count + 1
        provoke(faults, kind .. ":" .. name, methods[name], object)
      end
    end
    assert.is_true(count > 150, count)
    assert.same({}, faults)
  end)
end)
