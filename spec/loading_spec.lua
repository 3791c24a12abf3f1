-- What loading a model costs, and tensors that have two names.

require "spec.support.values"
local commands = require "spec.support.commands"
local files = require "spec.support.files"
local folders = require "spec.support.folders"
local values = require "spec.support.values"
local saros = require "saros"
local nn, data = saros.nn, saros.data

-- In a process of its own, whose peak is its own. Each small model, with a change
-- in its description, from a file and as tensors: memory of the core and of Lua,
-- in bytes for each byte of the file.
local COST = [==[
local saros = require "saros"
local nn, data = saros.nn, saros.data
local path = %q
local series = data.series(saros.arange(40), {})
local labelled = data.labelled { a = { "ab", "b" }, b = { "ba", "a" } }
local models = {
  language_model = nn.language_model { vocabulary = data.vocabulary.characters "ab", hidden = 4, layers = 1 },
  classifier = nn.classifier { vocabulary = labelled.vocabulary, labels = labelled.labels, hidden = 4 },
  forecaster = nn.forecaster { series = series, hidden = 4 },
  encoder_decoder = nn.encoder_decoder { source = 3, target = 3, hidden = 4 },
}
local changes = {
  embedding = function(d) d.options.embedding = 60000000 end,
  hidden = function(d) d.options.hidden = 60000000 end,
  ["hidden of 2^30"] = function(d) d.options.hidden = 1 << 30 end,
  ["hidden of 2^62"] = function(d) d.options.hidden = 1 << 62 end,
  ["hidden of 1e300"] = function(d) d.options.hidden = 1e300 end,
  ["hidden of 4.5"] = function(d) d.options.hidden = 4.5 end,
  ["hidden of -4"] = function(d) d.options.hidden = -4 end,
  ["hidden of 0"] = function(d) d.options.hidden = 0 end,
  ["hidden as text"] = function(d) d.options.hidden = ("9"):rep(400) end,
  layers = function(d) d.options.layers = 100000 end,
  ["layers of all kinds"] = function(d)
    d.options.layers, d.options.learn_state, d.options.layer_norm = 100000, true, true
  end,
  ["layers in both directions"] = function(d) d.options.layers, d.options.bidirectional = 100000, true end,
  horizon = function(d) d.horizon = 1 << 40 end,
  head = function(d)
    d.options.head = {}
    for n = 1, 300 do d.options.head[n] = 100000 end
  end,
  labels = function(d)
    for n = 1, 300 do d.labels = d.labels or {} d.labels[n] = "label" .. n end
  end,
  symbols = function(d) d.source, d.target = 60000000, 60000000 end,
  ["target of 2^31"] = function(d) d.target = 1 << 31 end,
  attention = function(d) d.options.attention, d.options.hidden = "additive", 60000000 end,
  ["an unknown field"] = function(d) d.options.nonsense = 1 end,
}
-- Those that mean something to one kind alone.
local only = {
  embedding = "language_model classifier encoder_decoder", ["layers of all kinds"] = "language_model",
  ["layers in both directions"] = "classifier encoder_decoder", horizon = "forecaster", head = "language_model",
  labels = "classifier", symbols = "encoder_decoder", ["target of 2^31"] = "encoder_decoder",
  attention = "encoder_decoder",
}
local function cost(load, bytes)
  collectgarbage() collectgarbage() require("saros.core").trim()
  collectgarbage "stop"
  local lua, before = collectgarbage "count", saros.memory()
  local model, message = load()
  local spent = (collectgarbage "count" - lua) * 1024
  local now = saros.memory()
  collectgarbage "restart"
  return model == nil, message, spent / bytes, (now.peak - math.max(before.peak, before.in_use)) / bytes
end
for kind, model in pairs(models) do
  assert(model:save(path))
  saros.load(path) -- whatever modules it needs are there afterwards
  local tensors, metadata = saros.safetensors.read(path)
  for name, change in pairs(changes) do
    if not (only[name] or kind):find(kind, 1, true) then goto continue end
    local d = saros.json_decode(metadata.saros)
    change(d.description)
    local text = saros.json_encode(d)
    assert(saros.safetensors.write(path, tensors, { saros = text }))
    local file <close> = assert(io.open(path, "rb"))
    local bytes = file:seek "end"
    for way, load in pairs {
      file = function() return saros.load(path) end,
      tensors = function() return saros.load(tensors, { saros = text }) end,
    } do
      local refused, message, lua, core = cost(load, bytes)
      local what = kind .. ", " .. name .. ", " .. way
      print(refused, ("%%.1f %%.1f"):format(lua, core), what .. ": " .. tostring(message):gsub("\n.*", ""))
    end
    ::continue::
  end
end
]==]

describe("a description that does not fit its tensors", function()
  it("costs no more than a multiple of the file", function()
    files.with_path(function(path)
      local output, lines = commands.succeed("-e", COST:format(path)), 0
      for line in output:gmatch "[^\n]+" do
        local refused, lua, core, what = line:match "^(%w+)%s+(%S+) (%S+)%s+(.*)$"
        assert.equal("true", refused, line)
        assert.is_true(tonumber(lua) < 60 and tonumber(core) < 60, what .. ": " .. line)
        assert.matches("load: ", what, 1, true)
        assert.is_nil(what:find("load: .*load: "), what)
        lines = lines + 1
      end
      assert.equal(2 * (4 * 10 + 12), lines, output)
    end)
  end)

  local function message_for(change)
    local lm = nn.language_model { vocabulary = data.vocabulary.characters "ab", hidden = 4, layers = 1 }
    local folder = folders.unused()
    assert(os.execute("mkdir " .. folder))
    local path = folder .. "/model.safetensors"
    assert(lm:save(path))
    local tensors, metadata = assert(saros.safetensors.read(path))
    local d = saros.json_decode(metadata.saros)
    change(d.description.options)
    assert(saros.safetensors.write(path, tensors, { saros = saros.json_encode(d) }))
    local model, message = saros.load(folder)
    folders.remove(folder)
    assert.is_nil(model)
    return message
  end

  it("is refused in run folders, too, with what does not fit", function()
    assert.matches("misshapen embedding.weight: expected (2, 60000000), got (2, 4)",
      message_for(function(o) o.embedding = 60000000 end), 1, true)
    assert.matches("missing recurrent.weight_ih_l1 (4, 4)", message_for(function(o) o.layers = 2 end), 1, true)
    assert.matches("expected a description of the 7 tensors, got one of more than 30 parameters",
      message_for(function(o) o.layers = 100000 end), 1, true)
    assert.matches("expected a shape that a tensor can have for weight, got (2, 1099511627776)",
      message_for(function(o) o.hidden, o.embedding = 1 << 40, 1 << 40 end), 1, true)
  end)

  it("leaves no trace in what is built afterwards", function()
    message_for(function(o) o.layers = 100000 end)
    local lm = nn.language_model { vocabulary = data.vocabulary.characters "ab", hidden = 4, seed = 1 }
    assert.is_true(lm.head.weight:abs():max():item() > 0)
    lm.head.weight:fill(0)
  end)
end)

describe("tied weights", function()
  local vocabulary = data.vocabulary.characters "abcde"

  local function build(given)
    return nn.language_model { vocabulary = vocabulary, hidden = 4, layers = 1, seed = given.seed, tie = given.tie }
  end

  -- The tensors of a tied model without some of their names.
  local function without(...)
    local tensors = build({ tie = true, seed = 5 }):tensors()
    for _, name in ipairs { ... } do
      tensors[name] = nil
    end
    return tensors
  end

  local function whole_file(path, tensors)
    local lm = build { tie = true, seed = 1 }
    assert(lm:save(path))
    local _, metadata = assert(saros.safetensors.read(path))
    assert(saros.safetensors.write(path, tensors, metadata))
  end

  local wanted = values.fingerprint(build({ tie = true, seed = 5 }):tensors())

  for _, name in ipairs { "embedding.weight", "head.weight" } do
    it(("are loaded from a file without %s"):format(name), function()
      files.with_path(function(path)
        local tensors = without(name)
        whole_file(path, tensors)
        for way, lm in pairs {
          load = build({ tie = true, seed = 1 }):load(tensors),
          ["load of a file"] = assert(build({ tie = true, seed = 1 }):load(path)),
          adopt = build({ tie = true, seed = 1 }):adopt(tensors),
          saros_load = assert(saros.load(path)),
          shared = assert(saros.load(saros.safetensors.read(path))),
        } do
          assert.equal(lm.embedding.weight, lm.head.weight, way)
          assert.equal(wanted, values.fingerprint(lm:tensors()), way)
        end
      end)
    end)
  end

  it("are in our files under both names", function()
    files.with_path(function(path)
      assert(build({ tie = true, seed = 5 }):save(path))
      local tensors = assert(saros.safetensors.read(path))
      assert.same(tensors["embedding.weight"]:totable(), tensors["head.weight"]:totable())
      assert.equal(wanted, values.fingerprint(assert(saros.load(path)):tensors()))
    end)
  end)

  it("that disagree are refused by both names", function()
    files.with_path(function(path)
      local tensors, expected = without(), "differing embedding.weight and head.weight: expected the same elements"
      tensors["head.weight"] = tensors["head.weight"] + 1e-3
      whole_file(path, tensors)
      local lm = build { tie = true, seed = 1 }
      local before = values.fingerprint(lm:tensors())
      assert.error_matches(function() lm:load(tensors) end, expected)
      assert.error_matches(function() lm:load(path) end, expected)
      assert.error_matches(function() lm:adopt(tensors) end, expected)
      local model, message = saros.load(path)
      assert.is_nil(model)
      assert.matches(expected, message)
      assert.equal(before, values.fingerprint(lm:tensors()))
    end)
  end)

  it("that are missing or misshapen are told by name", function()
    local lm = build { tie = true, seed = 1 }
    assert.error_matches(function() lm:load(without("embedding.weight", "head.weight")) end,
      "missing embedding.weight, or its other name head.weight %(5, 4%)")
    local tensors = without "head.weight"
    tensors["embedding.weight"] = saros.zeros(5, 3)
    assert.error_matches(function() lm:load(tensors) end, "misshapen embedding.weight: expected %(5, 4%), got %(5, 3%)")
    assert.error_matches(function() build({ seed = 1 }):load(without "head.weight") end, "missing head.weight %(5, 4%)")
  end)

  it("of several modules under a prefix are one, too", function()
    local a, b = nn.linear { 2, 2, bias = false }, nn.linear { 2, 2, bias = false }
    b:tie("weight", a.weight)
    local net = nn.chain { a, b }:init { seed = 1 }
    local value = saros.tensor { { 1, 2 }, { 3, 4 } }
    net:load({ ["net.1.weight"] = value, other = value }, "net.")
    assert.same(value:totable(), a.weight:totable())
  end)
end)
