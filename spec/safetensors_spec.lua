local core = require "saros.core"
local files = require "spec.support.files"
require "spec.support.values"

local with_file = files.with_path

--- Writes a file of these bytes and returns the error of reading it.
local function refusal(path, bytes)
  local file <close> = assert(io.open(path, "wb"))
  file:write(bytes)
  file:flush()
  local tensors, message = core.read_tensors(path)
  assert.is_nil(tensors)
  return message
end

--- The bytes of a file: a header with its length in front, and elements.
local function bytes_of(header, elements)
  return string.pack("<s8", header) .. elements
end

describe("a file of tensors", function()
  it("gives back every tensor and the metadata", function()
    with_file(function(path)
      local generator = core.generator(1)
      local tensors = {
        ["rnn.weight_ih_l0"] = generator:normal({ 5, 3 }),
        turned = generator:normal({ 4, 2 }):transpose(),
        loss = core.tensor(0.25),
        none = core.zeros(0, 3),
        targets = core.ids { 1, 7, 3 },
      }
      assert.is_true(core.write_tensors(path, tensors, { format = "pt", ["é"] = "\n{}" }))
      local got, metadata = core.read_tensors(path)
      for name, tensor in pairs(tensors) do
        assert.same_values(tensor, got[name], 0)
        got[name] = nil
      end
      assert.are.same({}, got)
      assert.are.same({ format = "pt", ["é"] = "\n{}" }, metadata)
    end)
  end)

  it("is the same, byte for byte, when it is written again", function()
    with_file(function(path)
      local function write()
        local tensors = {}
        for i = 1, 20 do tensors["t" .. i] = core.full({ i }, i) end
        assert.is_true(core.write_tensors(path, tensors, { b = "1", a = "2" }))
        local file <close> = io.open(path, "rb")
        return file:read("a")
      end
      assert.are.equal(write(), write())
    end)
  end)

  it("holds ids from 0, as other programs count", function()
    with_file(function(path)
      core.write_tensors(path, { x = core.ids { 1, 300 } }, {})
      local file <close> = io.open(path, "rb")
      assert.are.equal(string.pack("<i4i4", 0, 299), file:read("a"):sub(-8))
    end)
  end)

  it("is read when another program has written it", function()
    with_file(function(path)
      local header = '{"b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]}, '
        .. '"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}   '
      local file <close> = assert(io.open(path, "wb"))
      file:write(bytes_of(header, string.pack("<i8I2I2", 41, 0x3FC0, 0xC000)))
      file:flush()
      local tensors, metadata = core.read_tensors(path)
      assert.are.same({ 1.5, -2 }, tensors.b:totable())
      assert.are.equal(42, tensors.a:item())
      assert.are.same({}, metadata)
    end)
  end)

  it("is refused with the reason when it is malformed", function()
    with_file(function(path)
      local header = '{"rnn.weight":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
      assert.are.equal(
        'safetensors: expected data_offsets that begin at 0, got 4 for "rnn.weight" in "' .. path .. '"',
        refusal(path, bytes_of(header, "12345678")))
      assert.matches("expected a header of 99999999 bytes, got only 2",
        refusal(path, string.pack("<I8", 99999999) .. "{}"))
    end)
  end)

  it("is refused, with the position counted from 1, where an id is too large", function()
    with_file(function(path)
      local header = '{"x":{"dtype":"I64","shape":[2],"data_offsets":[0,16]}}'
      assert.matches('got 2147483648 at position 2 for "x"',
        refusal(path, bytes_of(header, string.pack("<i8i8", 0, 2147483648))))
    end)
  end)

  it("that is missing gives nil and the cause", function()
    local tensors, message = core.read_tensors("/no/such/file")
    assert.is_nil(tensors)
    assert.are.equal('safetensors: expected to read "/no/such/file", got "No such file or directory"', message)
  end)

  it("in a missing folder cannot be written", function()
    local done, message = core.write_tensors("/no/such/file", {}, {})
    assert.is_nil(done)
    assert.are.equal('safetensors: expected to write "/no/such/file", got "No such file or directory"', message)
  end)

  it("stays as it is when the new one cannot be written", function()
    with_file(function(path)
      assert.is_true(core.write_tensors(path, { x = core.ones(2) }, {}))
      assert.has_error(function() core.write_tensors(path, { ["\xFF"] = core.ones(3) }, {}) end)
      assert.has_error(function() core.write_tensors(path, { __metadata__ = core.ones(3) }, {}) end)
      assert.same_values(core.ones(2), core.read_tensors(path).x, 0)
    end)
  end)
end)

describe("write_file", function()
  it("replaces a file by any bytes, and leaves nothing else", function()
    with_file(function(path)
      assert.is_true(core.write_file(path, "first"))
      assert.is_true(core.write_file(path, "a\0b\n"))
      local file <close> = assert(io.open(path, "rb"))
      assert.equal("a\0b\n", file:read "a")
    end)
  end)

  it("gives nil and the cause where it cannot", function()
    local done, message = core.write_file("/no/such/file", "text")
    assert.is_nil(done)
    assert.equal('write_file: expected to write "/no/such/file", got "No such file or directory"', message)
  end)
end)

describe("make_folder", function()
  it("makes a folder with its parents, and is content with one that is there", function()
    local root = os.tmpname()
    os.remove(root)
    assert.is_true(core.make_folder(root .. "/a/b"))
    assert.is_true(core.make_folder(root .. "/a/b"))
    assert.is_true(core.write_tensors(root .. "/a/b/x", {}, {}))
    for _, name in ipairs { "/a/b/x", "/a/b", "/a", "" } do assert(os.remove(root .. name)) end
  end)

  it("gives nil and the cause where a file is in the way", function()
    with_file(function(path)
      local done, message = core.make_folder(path .. "/a")
      assert.is_nil(done)
      assert.are.equal('make_folder: expected to make "' .. path .. '/a", got "Not a directory"', message)
    end)
  end)
end)
