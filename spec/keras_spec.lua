-- Nets of Keras from .keras files.

local core = require "saros.core"
local files = require "spec.support.files"
local mutated = require("spec.support.mutants").mutated
require "spec.support.values"
local zip = require "spec.support.zip"
local saros = require "saros"

local NET, VALUES = "spec/references/formats/net.keras", "spec/references/formats/net_keras.npz"

-- The members of the file, whose config may be another.
local function members(change)
  local container <close> = assert(core.open_container(NET))
  local list = {}
  for n = 1, #container do
    local name, bytes = container:member(n)
    local text = assert(container:read(n, 0, bytes))
    list[n] = { name, name == "config.json" and change(text) or text }
  end
  return list
end

-- What is said of a file in which a text of the config is replaced by another.
local function refusal(from, to)
  local net, message
  files.with_path(function(path)
    files.write(path, zip.of(members(function(text)
      local first, last = assert(text:find(from, 1, true))
      return text:sub(1, first - 1) .. to .. text:sub(last + 1)
    end)))
    net, message = saros.keras.read(path)
    message = net and "read" or message:gsub("^keras.read: [^:]*: ", "")
  end)
  return message
end

describe("keras.read", function()
  it("gives a net that says what Keras says, of many kinds of layers", function()
    local given = assert(saros.read_tensors(VALUES))
    local net, metadata = assert(saros.keras.read(NET))
    local y = net(given.x:transpose())
    assert.same_values(given.y, y[y:size(1)], 2e-6)
    assert.is_true(math.abs(given.y[1][1] - given.y[2][1]) > 1e-4)
    assert.equal("of the last step", metadata.output)
    assert.matches("^3%.%d+", metadata.keras_version)
  end)

  it("gives a net that is saved and loaded as others are", function()
    local given, net = assert(saros.read_tensors(VALUES)), assert(saros.keras.read(NET))
    files.with_path(function(path)
      assert(net:save(path))
      assert.same_values(net(given.x:transpose()), assert(saros.load(path))(given.x:transpose()), 1e-6)
    end)
  end)

  it("refuses by name what it does not know, and all of it at once", function()
    assert.equal("read", refusal('"causal"', '"causal"'))
    assert.matches('known, got "?Lambda"?; build the net and load its weights', refusal('"Dropout"', '"Lambda"'))
    assert.matches('expected padding = "causal", got "same"', refusal('"causal"', '"same"'), 1, true)
    assert.matches("mask_zero = false, got true", refusal('"mask_zero": false', '"mask_zero": true'), 1, true)
    assert.matches("go_backwards = false, got true", refusal('"go_backwards": false', '"go_backwards": true'), 1, true)
    assert.matches('got "selu" in LSTM', refusal('"activation": "tanh"', '"activation": "selu"'), 1, true)
    assert.matches('merge_mode = concat, got "sum"', refusal('"merge_mode": "concat"', '"merge_mode": "sum"'), 1, true)
    assert.matches("no layer over time behind one without return_sequences",
      refusal('"return_sequences": true', '"return_sequences": false'), 1, true)
    assert.matches('class Sequential or Functional, got "Model"', refusal('"Sequential"', '"Model"'), 1, true)
    assert.matches("expected layers/lstm/cell/vars/0 of shape (3, 4000000), got (3, 16)",
      refusal('"units": 4', '"units": 1000000'), 1, true)
    assert.matches("expected a .keras file of Keras 3", select(2, saros.keras.read(VALUES)), 1, true)
    assert.has_error(function() saros.keras.read(3) end, "keras.read: expected a string as argument 1, got 3")
    assert.is_nil((saros.keras.read "spec/none.keras"))
  end)

  it("reads or refuses a file whatever has changed in its config", function()
    local generator = saros.generator(1)
    files.with_path(function(path)
      for _ = 1, 200 do
        files.write(path, zip.of(members(function(text) return mutated(generator, text) end)))
        local net, message = saros.keras.read(path)
        assert(net or message:find "^keras.read: ", message)
      end
    end)
  end)
end)
