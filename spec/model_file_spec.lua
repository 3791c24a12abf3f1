local files = require "spec.support.files"
local values = require "spec.support.values"
local saros = require "saros"
local nn, data = saros.nn, saros.data

local with_file = files.with_path

local function build(given)
  local options = { vocabulary = data.vocabulary.characters "ab\0é世\n", hidden = 8, seed = 3 }
  for name, value in pairs(given or {}) do
    options[name] = value
  end
  return nn.language_model(options)
end

local variants = {
  plain = {},
  ["with dropout"] = { dropout = 0.2 },
  ["with options of its layers"] = { dropout = 0.2, variational = true, recurrent_dropout = 0.3,
    zoneout = 0.1, layer_norm = true, residual = true },
  ["with a deep head"] = { head = { 7, 5 } },
  ["with a learned first state"] = { learn_state = true, layers = 3 },
  ["with another embedding"] = { embedding = 4 },
  ["of bytes"] = { vocabulary = data.vocabulary.bytes() },
}

describe("a model file", function()
  for name, given in pairs(variants) do
    it(("gives back the model that was saved (%s)"):format(name), function()
      with_file(function(path)
        local lm = build(given)
        for _, tensor in ipairs(lm:parameters()) do
          saros.generator(9):fill_normal(tensor, 0, 1)
        end
        assert(lm:save(path))
        local loaded = assert(saros.load(path))
        assert.equal(values.fingerprint(lm:tensors()), values.fingerprint(loaded:tensors()))
        assert.same(lm.vocabulary.symbols, loaded.vocabulary.symbols)
        assert.same(lm.configuration, loaded.configuration)
        local first, second = lm:generate { seed = 1 }, loaded:generate { seed = 1 }
        for piece in first do
          assert.equal(piece, second())
        end
      end)
    end)
  end

  it("holds PyTorch's names", function()
    with_file(function(path)
      assert(build({ layers = 1 }):save(path))
      local names = {}
      for name in pairs((assert(saros.safetensors.read(path)))) do
        names[#names + 1] = name
      end
      table.sort(names)
      assert.same({
        "embedding.weight", "head.bias", "head.weight",
        "recurrent.bias_hh_l0", "recurrent.bias_ih_l0",
        "recurrent.weight_hh_l0", "recurrent.weight_ih_l0",
      }, names)
    end)
  end)

  it("that is not there gives nil and a message", function()
    local model, message = saros.load "no/such/file"
    assert.is_nil(model)
    assert.matches("no/such/file", message)
  end)

  it("that cannot be written gives nil and a message", function()
    local ok, message = build():save "no/such/folder/model.safetensors"
    assert.is_nil(ok)
    assert.matches("no/such/folder", message)
  end)

  -- Save, change the description, load: returns the message.
  local function message_for(change)
    local message
    with_file(function(path)
      assert(build():save(path))
      local tensors, metadata = assert(saros.safetensors.read(path))
      local description = saros.json_decode(metadata.saros)
      local replacement = change(description, tensors)
      assert(saros.safetensors.write(path, tensors, { saros = replacement or saros.json_encode(description) }))
      local model
      model, message = saros.load(path)
      assert.is_nil(model)
    end)
    return message
  end

  it("of a newer format says so", function()
    assert.matches("expected format 1, got 2; written by a newer version",
      message_for(function(description) description.format = 2 end))
  end)

  it("whose description makes no sense says so", function()
    local function matches(expected, change)
      assert.matches(expected, message_for(change), 1, true)
    end
    matches("expected a model description in JSON", function() return "{" end)
    matches("expected a model description in JSON", function() return "3" end)
    matches("expected a format number, got nil", function() return "{}" end)
    matches("expected a format number, got \"1\"", function(d) d.format = "1" end)
    matches("expected a known kind of model, got \"os.execute\"", function(d) d.kind = "os.execute" end)
    matches("unknown option \"hide\"", function(d) d.description.options.hide = 3 end)
    matches("expected option 'hidden'", function(d) d.description.options.hidden = -3 end)
    matches("vocabulary.from_table", function(d) d.description.vocabulary = "abc" end)
    matches("misshapen", function(d) d.description.options.hidden = 9 end)
    matches("expected a description, got 3", function(d) d.description = 3 end)
    matches("expected the options of a model, got nil", function(d) d.description.options = nil end)
    matches("missing head.bias", function(_, tensors) tensors["head.bias"] = nil end)
    matches("unexpected extra", function(_, tensors) tensors.extra = saros.zeros(1) end)
  end)

  it("that is no model at all says so", function()
    with_file(function(path)
      assert(saros.safetensors.write(path, { x = saros.zeros(2) }, {}))
      local model, message = saros.load(path)
      assert.is_nil(model)
      assert.matches("got parameters only; build the module and call module:load(path)", message, 1, true)
      local file = assert(io.open(path, "w"))
      file:write "return os.exit(1)"
      file:close()
      model, message = saros.load(path)
      assert.is_nil(model)
      assert.matches("; is it a model, as model:save(path) and fit's run folders keep it?", message, 1, true)
    end)
  end)

  it("wants a path", function()
    assert.error_matches(function() saros.load() end, "load: expected a path, or tensors and their metadata, got nil")
    assert.error_matches(function() build():save() end, "save: expected a path, got nil")
  end)
end)
