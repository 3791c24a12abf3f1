-- Damaged and hostile files of tensors are read or refused: no error of another kind, no
-- long search, and no more memory than four times their bytes, beside a mebibyte.

local core = require "saros.core"
local files = require "spec.support.files"
local mutated = require("spec.support.mutants").mutated
local zip = require "spec.support.zip"
local saros = require "saros"
local nn = saros.nn

local FOLDER = "spec/references/formats/"
local SECONDS, ALLOWANCE = 2, 1 << 20

-- Tensors, and all that Lua takes meanwhile, garbage included, in bytes.
local function taken_by(act)
  collectgarbage()
  collectgarbage "stop"
  core.trim()
  core.mark_memory()
  local tensors, before = core.memory().in_use, collectgarbage "count"
  local ok, message = pcall(act)
  local lua = (collectgarbage "count" - before) * 1024
  collectgarbage "restart"
  assert(ok, message)
  return core.memory().recent - tensors, lua
end

local function ask(path)
  local found, message = saros.read_tensors(path)
  assert(found or type(message) == "string" and message:find("^read_tensors: "), message)
  found, message = saros.inspect_file(path)
  assert(found or type(message) == "string" and message:find("^inspect_file: "), message)
  local _ = tostring(found)
end

-- Reads a file of these bytes, and asks what is in it; of some files it tells the memory.
local function try(path, bytes, is_measured)
  os.remove(path) -- a file that is written over is synced by some file systems
  files.write(path, bytes)
  if not is_measured then
    return ask(path)
  end
  local tensors, lua = taken_by(function() ask(path) end)
  assert.is_true(tensors <= 4 * #bytes + ALLOWANCE, tensors)
  assert.is_true(lua <= 8 * #bytes + ALLOWANCE, lua) -- twice, and the garbage of both
end

-- The pickle of a small state dict, as PyTorch writes it.
local function pickle()
  local container <close> = assert(core.open_container(FOLDER .. "checkpoint.pt"))
  for n = 1, #container do
    local name, bytes = container:member(n)
    if name:find "data%.pkl$" then
      return assert(container:read(n, 0, bytes))
    end
  end
end

local function with_pickle(text)
  return zip.of { { "a/data.pkl", text }, { "a/data/0", ("\0"):rep(8) }, { "a/data/1", ("\0"):rep(4) } }
end

describe("a damaged file of tensors", function()
  for _, name in ipairs {
    "state.pt", "state_old.pth", "arrays.npz", "packed.npz", "array.npy", "keras.weights.h5", "types.h5",
  } do
    it("is read or refused wherever it ends: " .. name, function()
      local text, start = files.read(FOLDER .. name), os.clock()
      files.with_path(function(path)
        for last = 0, #text - 1, #text > 8000 and 7 or 1 do
          try(path, text:sub(1, last), last % 40 == 0)
        end
      end)
      assert.is_true(os.clock() - start < SECONDS * 5)
    end)

    it("is read or refused whatever has changed: " .. name, function()
      local text, generator = files.read(FOLDER .. name), saros.generator(1)
      local start = os.clock()
      files.with_path(function(path)
        for n = 1, 1000 do
          try(path, mutated(generator, text), n % 20 == 0)
        end
      end)
      assert.is_true(os.clock() - start < SECONDS * 5)
    end)
  end

  it("is read or refused whatever has changed in a .keras file whose sum is right", function()
    local text, generator = files.read(FOLDER .. "keras.weights.h5"), saros.generator(3)
    files.with_path(function(path)
      for n = 1, 300 do
        try(path, zip.of { { "model.weights.h5", mutated(generator, text) } }, n % 20 == 0)
      end
    end)
  end)

  it("is read or refused whatever has changed in an ONNX file", function()
    local net, generator = nn.chain { nn.gru { 2, 3 }, nn.linear { 3, 1 } }:init { seed = 1 }, saros.generator(4)
    files.with_path(function(path)
      assert(saros.onnx.write(net, path, { metadata = { title = "small" } }))
      local text = files.read(path)
      for n = 1, 500 do
        try(path, mutated(generator, text), n % 20 == 0)
      end
      for last = 0, #text - 1, 5 do
        try(path, text:sub(1, last))
      end
    end)
  end)

  it("is read or refused whatever has changed in a pickle whose sum is right", function()
    local text, generator = pickle(), saros.generator(2)
    files.with_path(function(path)
      try(path, with_pickle(text), true)
      assert(saros.read_tensors(path))
      for n = 1, 2000 do
        try(path, with_pickle(mutated(generator, text)), n % 20 == 0)
      end
    end)
  end)
end)

describe("a hostile pickle", function()
  local function refusal(text)
    local message
    files.with_path(function(path)
      try(path, with_pickle("\x80\2" .. text), true)
      local tensors
      tensors, message = saros.read_tensors(path)
      message = tensors and "read" or message
    end)
    return message
  end

  it("runs nothing, and what it asks for is refused by name", function()
    assert.matches('got "os.system"', refusal "cos\nsystem\n(X\2\0\0\0lstR.", 1, true)
    assert.matches('got "builtins.eval"', refusal "\x8c\8builtins\x8c\4eval\x93.", 1, true)
    assert.matches('got "torch.nn.Linear"', refusal "ctorch.nn\nLinear\n)\x81.", 1, true)
    assert.matches("got a call of it", refusal "ctorch\nFloatStorage\n)R.", 1, true)
    assert.matches('got the opcode "i"', refusal "(ios\nsystem\n.", 1, true)
  end)

  it("cannot take much memory", function()
    assert.matches("got more", refusal(("}"):rep(300000)))
    assert.matches("got more", refusal(("]"):rep(300000) .. "."))
    assert.matches("got more", refusal("]" .. ("q\0"):rep(300000)))
    local doubled = { "}q\0" } -- each a dictionary with the one before it, twice
    for n = 1, 40 do
      doubled[#doubled + 1] = ("}q%s(X\1\0\0\0ah%sX\1\0\0\0bh%su"):format(string.char(n), string.char(n - 1),
        string.char(n - 1))
    end
    assert.matches("few dictionaries inside each other", refusal(table.concat(doubled) .. "."))
    assert.matches("few dictionaries inside each other", refusal "}q\0X\1\0\0\0ah\0s.") -- in itself
  end)

  it("has no tensor outside its storage", function()
    local function tensor(offset, sizes, strides, count)
      return "}X\1\0\0\0xctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
        .. "X\1\0\0\0" .. "0X\3\0\0\0cpuK" .. string.char(count) .. "tQK" .. string.char(offset) .. sizes .. strides
        .. "\x89}tRs."
    end
    assert.equal("read", refusal(tensor(0, "K\2\x85", "K\1\x85", 2)))
    assert.matches("places within 2 elements", refusal(tensor(1, "K\2\x85", "K\1\x85", 2)))
    assert.matches("places within 2 elements", refusal(tensor(0, "K\2\x85", "K\2\x85", 2)))
    assert.matches("a stride for each size", refusal(tensor(0, "K\2\x85", ")", 2)))
    assert.matches("expected more bytes, got too few", refusal(tensor(0, "K\2\x85", "K\1\x85", 9)))
  end)
end)

describe("a hostile zip", function()
  it("unpacks to no more than the caller allows", function()
    local tensors, message = saros.read_tensors(FOLDER .. "bomb.npz")
    assert.is_nil(tensors)
    assert.matches("expected at most %d+ bytes more, the limit, got 4000000 for \"zeros.npy\"", message)
    assert.equal(1000000, assert(saros.read_tensors(FOLDER .. "bomb.npz", { limit = 4000000 })).zeros:count())
    assert.is_nil((saros.read_tensors(FOLDER .. "bomb.npz", { limit = 3999999 })))
    assert.equal(1, #assert(saros.inspect_file(FOLDER .. "bomb.npz")).tensors)
  end)

  it("has each name once, and a header for each", function()
    files.with_path(function(path)
      files.write(path, zip.of { { "a.npy", "x" }, { "a.npy", "x" } })
      assert.matches('expected each name once, got "a.npy" twice', select(2, saros.read_tensors(path)), 1, true)
      local text = zip.of { { "a", "" } }
      local entry = text:match "PK\1\2.*PK\5\6":sub(1, -5)
      local many = 3000
      files.write(path, text:match "^(.-)PK\1\2" .. entry:rep(many) .. "PK\5\6"
        .. string.pack("<I2I2I2I2I4I4I2", 0, 0, many, many, many * #entry, 31, 0))
      assert.matches("expected a header for each name, got fewer", select(2, saros.read_tensors(path)), 1, true)
    end)
  end)

  it("with a changed byte of an element is refused by its sum", function()
    local text = files.read(FOLDER .. "state.pt")
    local at = assert(text:find(string.pack("<ffff", 0.5, -1.5, 2, 3), 1, true))
    files.with_path(function(path)
      files.write(path, text:sub(1, at - 1) .. "\1" .. text:sub(at + 1))
      assert.matches("expected sound bytes, got damage", select(2, saros.read_tensors(path)), 1, true)
    end)
  end)
end)
