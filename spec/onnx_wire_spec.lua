-- Files in the wire format of protocol buffers: what was written is read, and what is no such file is refused.

local core = require "saros.core"
local saros = require "saros"
local files = require "spec.support.files"
local schema = require "saros.onnx.schema"
local wire = require "saros.onnx.wire"

local PATH = os.tmpname()

local function read(bytes)
  files.write(PATH, bytes)
  local ok, message = pcall(function()
    return wire.read(assert(core.open_wire(PATH)), schema, "Model")
  end)
  return ok and message or nil, message
end

local function refused(bytes, expected)
  local message, said = read(bytes)
  assert.is_nil(message)
  assert.matches(expected, said, 1, true)
end

local MODEL = {
  ir_version = 8, producer_name = "spec",
  opset_import = { { domain = "", version = 17 }, { domain = "x", version = -1 } },
  graph = {
    name = "g",
    node = { { input = { "a", "" }, output = { "b" }, op_type = "Clip", attribute = {
      { name = "f", f = 0.5, type = 1 }, { name = "l", ints = { 1, -2, 1 << 40 }, type = 7 },
    } } },
    initializer = { { name = "w", dims = { 2, 2 }, data_type = 1, raw_data = saros.tensor { { 1, 2 }, { 3, -4.5 } } } },
  },
}

local function written(model)
  assert(wire.write(PATH, schema, "Model", model))
  return files.read(PATH)
end

describe("a file in the wire format", function()
  teardown(function() os.remove(PATH) end)

  it("says what was written, but for tensors, which stay where they are", function()
    local model = read(written(MODEL))
    local tensor = model.graph.initializer[1]
    assert.same({ 1, 2, 3, -4.5 },
      core.open_wire(PATH):reals("F32", 0, tensor.raw_data.from, tensor.raw_data.stop, { 4 }):totable())
    assert.is_true(tensor.from < tensor.raw_data.from and tensor.raw_data.stop == tensor.stop)
    tensor.from, tensor.stop, tensor.raw_data = nil, nil, nil
    local expected = { name = "w", dims = { 2, 2 }, data_type = 1 }
    assert.same(expected, tensor)
    model.graph.initializer = MODEL.graph.initializer
    assert.same(MODEL, model)
  end)

  it("reads packed lists of numbers as those that are not", function()
    -- Attribute { ints = packed { 1, 300, -1 }, floats = packed { 0.5, -2 } }
    local attribute = "\x42\x0d\x01\xac\x02" .. ("\xff"):rep(9) .. "\x01" .. "\x3a\x08" .. string.pack("<ff", 0.5, -2)
    local function inside(number, text)
      return string.char(number << 3 | 2, #text) .. text
    end
    local model = read(inside(7, inside(1, inside(5, attribute))))
    assert.same({ 1, 300, -1 }, model.graph.node[1].attribute[1].ints)
    assert.same({ 0.5, -2 }, model.graph.node[1].attribute[1].floats)
  end)

  it("has elements of every type, as bytes and as fields", function()
    local function elements(bytes, kind, number, count)
      files.write(PATH, bytes)
      local file = core.open_wire(PATH)
      return assert(file:reals(kind, number, 0, #bytes, { count })):totable(),
        kind:find "^[FB]" and {} or file:integers(kind, number, 0, #bytes, count)
    end
    for kind, form in pairs { F32 = "<ff", F64 = "<dd", I8 = "<i1i1", I16 = "<i2i2", I32 = "<i4i4", I64 = "<i8i8" } do
      local reals, integers = elements(string.pack(form, 3, -5), kind, 0, 2)
      assert.same({ 3, -5 }, reals)
      assert.same(kind:find "F" and {} or { 3, -5 }, integers)
    end
    assert.same({ 200, 7 }, elements("\xc8\x07", "U8", 0, 2))
    assert.same({ 1.5, -2 }, elements("\x00\x3e\x00\xc0", "F16", 0, 2))
    assert.same({ 1.5, -2 }, elements("\xc0\x3f\x00\xc0", "BF16", 0, 2))
    assert.same({ 1.5, 2 }, elements("\x2a\x05\x80\x7c\x80\x80\x01", "F16", 5, 2))
    assert.same({ 1, 300, 2 }, elements("\x38\x01\x3a\x02\xac\x02\x38\x02", "I64", 7, 3))
    local half, four = string.pack("<f", 0.5), string.pack("<f", 4)
    assert.same({ 0.5, 4 }, elements("\x25" .. half .. "\x22\x04" .. four, "F32", 4, 2))
  end)

  it("is refused where elements are not as many as a shape says", function()
    files.write(PATH, ("\0"):rep(8))
    local file = core.open_wire(PATH)
    for _, case in ipairs {
      { "F32", { 3 }, "expected 3 elements, got 2" }, { "F32", { 1 << 20, 1 << 20 }, "no more elements than the file" },
      { "F64", { 2 }, "expected 2 elements, got 1" },
    } do
      local x, message = file:reals(case[1], 0, 0, 8, case[2])
      assert.is_nil(x)
      assert.matches(case[3], message, 1, true)
    end
    assert.matches("whole elements", select(2, file:reals("F32", 0, 0, 7, { 1 })), 1, true)
    assert.error_matches(function() file:next(3, 9) end, "position in the file")
    assert.error_matches(function() file:next(5, 3) end, "expected a range")
  end)

  it("is refused if it is none", function()
    refused("\0\0", "the number and kind of a field")
    refused("\x3a\x7f", "a field that ends inside its message")
    refused("\x3a" .. ("\xff"):rep(9) .. "\x01", "a field that ends inside its message")
    refused("\x3b\x3c", "a field that ends inside its message") -- a group
    refused("\x38\x01", 'a field "graph" of the kind that ONNX has')
    refused("\x0a\x01x", 'expected a number as "ir_version"')
    assert.matches("expected to read", select(2, core.open_wire "/no/such/file"), 1, true)
  end)

  it("is refused if its messages stand too deep in each other", function()
    local function varint(n)
      return n < 128 and string.char(n) or string.char(n & 127 | 128, n >> 7)
    end
    local text = ""
    for _ = 1, 20 do -- a graph in an attribute of a node of a graph
      for _, number in ipairs { 6, 5, 1 } do
        text = string.char(number << 3 | 2) .. varint(#text) .. text
      end
    end
    refused("\x3a" .. varint(#text) .. text, "in each other 32 times at most")
  end)

  it("takes memory within three times its size", function()
    local nodes = ("\x0a\0"):rep(1 << 20) -- empty nodes, each of which would be a table
    refused("\x3a" .. "\x80\x80\x80\x01" .. nodes, "messages take at most three times its size")
  end)

  it("is read or refused at every length, and with any byte changed", function()
    local text = written(MODEL)
    local read_ones = 0
    for size = 0, #text do
      read_ones = read_ones + (read(text:sub(1, size)) and 1 or 0)
    end
    assert.is_true(read_ones > 0 and read_ones < #text)
    local generator = saros.generator(3)
    for _ = 1, 1000 do
      local at, byte = generator:integer(#text), generator:integer(256) - 1
      local model = read(text:sub(1, at - 1) .. string.char(byte) .. text:sub(at + 1))
      assert.is_true(model == nil or type(model) == "table")
    end
  end)
end)
