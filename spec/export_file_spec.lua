-- The file of an exported model: its numbers, its names, its errors.

local c = require "spec.support.c_files"
local files = require "spec.support.files"
local saros = require "saros"
local nn = saros.nn

local write, read, in_folder = files.write, files.read, files.with_folder
local succeed, source_of, test_alone = c.succeed, c.source_of, c.test_alone

local function small_model()
  return nn.chain { nn.linear { 2, 3 }, nn.lstm { 3, 4 }, nn.linear { 4, 2 } }:init { seed = 1 }
end

describe("the comment of an exported file", function()
  it("says what the model is, with the + of what is added", function()
    local model = nn.chain { nn.residual { nn.linear { 2, 2 }, saros.tanh } }:init { seed = 1 }
    in_folder(function(folder)
      assert(saros.export_c(model, folder .. "/a.c"))
      assert.matches("^/%*\n%*%* chain %(x %+ chain %(linear 2 %-> 2; function%)%)%.\n", files.read(folder .. "/a.c"))
    end)
  end)
end)

describe("export_c", function()
  it("writes numbers that are exactly the weights, and the same bytes each time", function()
    local model = nn.linear { 4, 4, bias = false }:init { seed = 1 }
    local odd = { 0.0, -0.0, 1, -99999, 100000, 0.1, -1 / 3, 2 ^ -126, 2 ^ -149, 16777215, 2 ^ 127, -2 ^ -130,
      1e-10, 3.4028234663852886e38, 0.5, -7 }
    model.weight:assign(saros.tensor(odd):reshape(4, 4))
    local text = source_of(model)
    assert.equal(text, source_of(model))
    local at, list = 0, text:match "model_weight%[16%] = {(.-)}"
    for literal in list:gmatch "[^%s,]+" do
      at = at + 1
      local x = tonumber((literal:gsub("f$", ""))) -- hexadecimal in Lua, too
      local expected = model.weight:reshape(-1)[at]
      assert.equal(expected, x)
      assert.equal(1 / expected, 1 / (literal == "-0x0p0f" and -0.0 or x))
    end
    assert.equal(16, at)
  end)

  it("writes a test that notices a changed weight", function()
    in_folder(function(folder)
      assert(saros.export_c(small_model(), folder .. "/a.c"))
      local text = read(folder .. "/a.c")
      write(folder .. "/a.c", (text:gsub("(model_2_bias%[2%] = {\n *)[^,]+", "%11", 1)))
      local output, ok = test_alone(folder, "gcc", "MODEL")
      assert.is_false(ok)
      assert.matches("^model: 8 steps, off by at most [%d.e-]+: WRONG\n", output)
    end)
  end)

  it("keeps weights in 8 bits on request", function()
    local model = nn.chain { nn.embedding { 7, 20 }, nn.gru { 20, 20, reset = "before" },
      nn.lstm { 20, 20, projection = 9 }, nn.windowed_attention { 9, 4 }, nn.linear { 9, 7 } }:init { seed = 1 }
    model.steps[5].weight:slice(1, 2, 2):fill(0)
    in_folder(function(folder)
      assert(saros.export_c(model, folder .. "/a.c", { weights = "int8" }))
      local text = read(folder .. "/a.c")
      assert.matches("static const int8_t model_2_weight_hr_l0%[180%]", text)
      for list in text:gmatch "int8_t [%w_]+%[%d+%] = {(.-)}" do
        local largest = 0
        for literal in list:gmatch "[^%s,]+" do
          local value = assert(math.tointeger(tonumber(literal)), literal)
          largest = math.max(largest, math.abs(value))
        end
        assert.equal(127, largest)
      end
      local output, ok = test_alone(folder, "gcc", "MODEL")
      assert(ok, output)
    end)
  end)

  it("takes a name that C takes", function()
    assert.matches("void rnn_2_reset%(rnn_2_state %*state%)", source_of(small_model(), { name = "rnn_2" }))
    for _, name in ipairs { "", "2x", "_x", "a b", "a;", "a\0", "x\n", "\u{e9}", ("x"):rep(41), 7, "a-b" } do
      assert.has_error(function()
        saros.export_c(small_model(), "/nowhere/a.c", { name = name })
      end, nil)
    end
    local ok, message = pcall(saros.export_c, small_model(), "/nowhere/a.c", { name = "a-b" })
    assert.is_false(ok)
    assert.matches("export_c: expected option 'name' to be a C identifier of at most 40 characters that begins "
      .. 'with a letter, got "a%-b"', message)
  end)

  it("refuses what has no program, with the reason, and blames the caller", function()
    local own, noisy = nn.module "own", nn.module "noisy"
    function noisy.forward(_, x)
      return x * x:mean():item()
    end
    local reads_a_value = noisy.new()
    reads_a_value.input = 3
    for _, model in ipairs {
      nn.chain { nn.linear { 2, 3 }, nn.embedding { 4, 2 } }:init { seed = 1 }, nn.linear { 2, 3 }, own.new(),
      reads_a_value,
    } do
      local _, expected = pcall(function() model:program() end)
      local _, message = pcall(function() saros.export_c(model, "/nowhere/a.c") end)
      assert.equal((expected:gsub("^.-:%d+: ", "")), (message:gsub("^.-:%d+: ", "")))
      assert.matches("^spec/export_file_spec.lua:%d+: ", message)
    end
  end)

  it("says what is wrong with its arguments", function()
    local function message_of(...)
      return select(2, pcall(saros.export_c, ...))
    end
    assert.matches("export_c: expected a model, got a table", message_of({}, "/nowhere/a.c"))
    assert.matches("export_c: expected a path, got nil", message_of(small_model()))
    assert.matches("unknown option \"nmae\"", message_of(small_model(), "/nowhere/a.c", { nmae = "x" }))
    assert.matches("expected option 'weights'", message_of(small_model(), "/nowhere/a.c", { weights = "int4" }))
    assert.matches("zero bytes", message_of(small_model(), "/nowhere/a\0.c"))
  end)

  it("leaves the old file where it cannot write, and nothing beside it where it can", function()
    local result, message = saros.export_c(small_model(), "/nowhere/a.c")
    assert.is_nil(result)
    assert.equal('export_c: expected to write "/nowhere/a.c", got "No such file or directory"', message)
    in_folder(function(folder)
      assert.is_nil(saros.export_c(small_model(), folder))
      write(folder .. "/a.c", "old")
      assert.is_true(saros.export_c(small_model(), folder .. "/a.c"))
      assert.equal("a.c\n", succeed("ls -A '%s'", folder))
    end)
  end)

  it("cannot be left by what a model is called", function()
    local model = small_model()
    function model.describe() return "*/ #error \\\n$name ??/" end
    assert.matches("^/%*\n%*%*  +error  +name", source_of(model))
  end)

  it("exports weights that are not finite as they are", function()
    local model = nn.linear { 3, 1 }:init { seed = 1 }
    model.weight:assign(saros.tensor { { 0 / 0, 1 / 0, -1 / 0 } })
    assert.matches("{\n    NAN, INFINITY, %-INFINITY,\n}", source_of(model))
  end)
end)

describe("the state of an exported file", function()
  local Holt = nn.cell("holt", { states = { "level", "trend" } }, function(p, x, level, trend)
    local next_level = saros.tanh(p.read(x .. level)) + trend
    return next_level, trend + p.turn(next_level - level)
  end)

  local function members_of(model)
    local list = {}
    local struct = source_of(model):match "typedef struct model_state {\n(.-)/%* of the step"
    for name in struct:gmatch "  %a+ ([%w_]+)%[" do
      list[#list + 1] = name
    end
    return list
  end

  -- A model as it is, as its file gives it back, and inside another.
  local function forms_of(model)
    local loaded
    in_folder(function(folder)
      assert(model:save(folder .. "/a.safetensors"))
      loaded = assert(saros.load(folder .. "/a.safetensors"))
    end)
    return model, loaded, nn.chain { nn.linear({ 3, 3 }):init { seed = 1 }, loaded }
  end

  it("has the names that layers and cells give, and the number of the layer", function()
    local model = nn.recurrent { 3, 4, cell = Holt, layers = 2 }:init { seed = 1 }
    local own, loaded, inside = forms_of(model)
    assert.same({ "level_1", "trend_1", "level_2", "trend_2" }, members_of(own))
    assert.same(members_of(own), members_of(loaded))
    assert.same({ "level_2_1", "trend_2_1", "level_2_2", "trend_2_2" }, members_of(inside))
    assert.same({ "h_1", "c_1", "h_2", "c_2" }, members_of(nn.lstm { 3, 4, layers = 2 }:init { seed = 1 }))
  end)

  it("has those of every layer in a chain", function()
    local model = nn.chain { nn.linear { 3, 4 }, nn.recurrent { 4, 4, cell = Holt }, nn.residual { nn.gru { 4, 4 } },
      nn.windowed_attention { 4, 3 }, nn.conv1d { 4, 2, kernel = 2 } }:init { seed = 1 }
    local own, loaded = forms_of(model)
    assert.same({ "level_2_1", "trend_2_1", "h_3_1_1", "memory_4", "memory_5" }, members_of(own))
    assert.same(members_of(own), members_of(loaded))
  end)

  it("has numbers alone where an older file knows no names", function()
    in_folder(function(folder)
      local path = folder .. "/a.safetensors"
      assert(nn.recurrent({ 3, 4, cell = Holt }):init({ seed = 1 }):save(path))
      local tensors, metadata = saros.safetensors.read(path)
      metadata.program = metadata.program:gsub(',? *"title": *"%a+"', "")
      assert.is_nil(metadata.program:find "title")
      assert.same({ "state_1_1", "state_1_2" }, members_of(saros.load(tensors, metadata)))
    end)
  end)

  it("has them in the encoder and in the decoder", function()
    local text = source_of(nn.encoder_decoder { source = 5, target = 4, hidden = 3, cell = "lstm" }:init { seed = 1 })
    assert.matches("state->decoder.c_1, state->encoder.c_1,", text, 1, true)
  end)
end)
