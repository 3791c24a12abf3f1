-- Files of tensors that other programs write, and what is said of them.

local core = require "saros.core"
local files = require "spec.support.files"
require "spec.support.values"
local zip = require "spec.support.zip"
local saros = require "saros"
local nn = saros.nn

local function write(path, bytes)
  local file <close> = assert(io.open(path, "wb"))
  file:write(bytes)
end

describe("inspect_file", function()
  it("tells names, types, shapes, bytes and metadata of a safetensors file", function()
    files.with_path(function(path)
      local header = '{"b":{"dtype":"BF16","shape":[2,1],"data_offsets":[8,12]},'
        .. '"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"__metadata__":{"format":"pt"}}'
      write(path, string.pack("<s8", header) .. ("\0"):rep(12))
      local found = assert(saros.inspect_file(path))
      assert.same({
        { name = "a", type = "I64", shape = {}, bytes = 8 }, { name = "b", type = "BF16", shape = { 2, 1 }, bytes = 4 },
      }, found.tensors)
      assert.same({ format = "pt" }, found.metadata)
      assert.equal("safetensors", found.format)
      assert.equal(8 + #header + 12, found.bytes)
      assert.is_nil(found.model)
      assert.equal(path .. ": safetensors, 161 bytes, 2 tensors\n  a  I64   ()\n  b  BF16  (2, 1)\n"
        .. "  metadata format: pt", tostring(found))
    end)
  end)

  it("tells what kind of model a file holds", function()
    files.with_path(function(path)
      assert(nn.chain({ nn.gru { 2, 3 }, nn.linear { 3, 1 } }):init({ seed = 1 }):save(path))
      local found = assert(saros.inspect_file(path))
      assert.equal("program", found.model)
      assert.matches('a model of the kind "program"', tostring(found), 1, true)
      assert.equal(6, #found.tensors)
    end)
  end)

  it("does not read the elements", function()
    files.with_path(function(path)
      local header = '{"x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}'
      write(path, string.pack("<s8", header) .. ("\255"):rep(7) .. "\127")
      assert.is_nil((core.read_tensors(path))) -- 2^63 - 1 is no id
      assert.equal(1, #assert(saros.inspect_file(path)).tensors)
    end)
  end)

  it("says why a file cannot be read", function()
    local function refusal(path)
      local found, message = saros.inspect_file(path)
      assert.is_nil(found)
      return message
    end
    assert.equal('inspect_file: file: expected to read "/no/such/file", got "No such file or directory"',
      refusal "/no/such/file")
    assert.matches("expected a regular file", refusal "spec")
    assert.has_error(function() saros.inspect_file(3) end, "inspect_file: expected a string as argument 1, got 3")
    files.with_path(function(path)
      write(path, "")
      assert.matches('got one that begins with ""', refusal(path))
      write(path, "GIF89a and more")
      assert.matches("numpy, pytorch, hdf5, onnx, json; got one that begins with \"GIF89a a\"", refusal(path))
      write(path, string.pack("<s8", "{"))
      assert.matches("^inspect_file: safetensors: expected '\"', got the end of the header", refusal(path))
    end)
  end)
end)

local FOLDER = "spec/references/formats/"

local STATE = {
  f32 = { { 0.5, -1.5 }, { 2, 3 } }, f16 = { 0, 0.25, 0.5, 0.75 }, bf16 = { 0, 0.25, 0.5, 0.75 },
  i64 = { 1, 2, 3, 4, 5 }, i32 = { 7, 8 }, i16 = { 9, 301 }, i8 = { 2, 128 }, u8 = { 2, 201 }, bool = { 2, 1 },
  turned = { { 0, 3 }, { 1, 4 }, { 2, 5 } }, part = { { 1, 4 }, { 2, 5 } }, same = { { 3, 4, 5 }, { 3, 4, 5 } },
}

local function names_of(tensors)
  local names = {}
  for name in pairs(tensors) do
    names[#names + 1] = name
  end
  table.sort(names)
  return table.concat(names, " ")
end

describe("read_tensors", function()
  for _, name in ipairs { "state.pt", "state_old.pth" } do
    it("gives the tensors of every type, strided and shared, that PyTorch has saved: " .. name, function()
      local tensors, metadata, format = assert(saros.read_tensors(FOLDER .. name))
      assert.equal("bf16 bool empty f16 f32 f64 i16 i32 i64 i8 part same scalar turned u8", names_of(tensors))
      for key, expected in pairs(STATE) do
        assert.same(expected, tensors[key]:totable(), key)
      end
      assert.same_values(saros.tensor { 0, 1 / 3, 2 / 3 }, tensors.f64, 1e-7)
      assert.equal(2.5, tensors.scalar:item())
      assert.same({ 0, 3 }, tensors.empty:shape())
      assert.same({}, metadata)
      assert.equal("pytorch", format)
    end)
  end

  it("turns the bytes of a file from a machine of the other order", function()
    local container <close> = assert(core.open_container(FOLDER .. "state.pt"))
    local members, sizes = {}, { 4, 8, 2, 2, 8, 4, 2, 1, 1, 1, 4, 4, 4 } -- of elements, by storage
    for n = 1, #container do
      local name, bytes = container:member(n)
      local text = assert(container:read(n, 0, bytes))
      local storage = tonumber(name:match "data/(%d+)$")
      if storage then
        text = text:gsub(("."):rep(sizes[storage + 1]), string.reverse)
      end
      members[n] = { name, name:find "byteorder$" and "big" or text }
    end
    files.with_path(function(path)
      write(path, zip.of(members))
      local tensors, expected = assert(saros.read_tensors(path)), assert(saros.read_tensors(FOLDER .. "state.pt"))
      for name, x in pairs(expected) do
        assert.same(x:totable(), tensors[name]:totable(), name)
      end
    end)
  end)

  it("names what is in the dictionaries of a checkpoint with dots, and keeps numbers and texts", function()
    local tensors, metadata = assert(saros.read_tensors(FOLDER .. "checkpoint.pt"))
    assert.equal("net.0.bias net.0.weight parameters.0 parameters.1", names_of(tensors))
    assert.same({ { 0.25, -0.5 } }, tensors["net.0.weight"]:totable())
    assert.equal("3", metadata.epoch)
    assert.equal("small", metadata.name)
    assert.equal("0.01", metadata["optimizer.param_groups.0.lr"])
  end)

  it("keeps devices, types, bytes and sets of a checkpoint as texts", function()
    files.with_path(function(path)
      local function item(name, value)
        return "X" .. string.pack("<s4", name) .. value .. "s"
      end
      local text = "}" .. item("device", "ctorch\ndevice\nX\3\0\0\0cpu\x85R") .. item("type", "ctorch\nbfloat16\n")
        .. item("bytes", "c_codecs\nencode\nX\2\0\0\0abX\6\0\0\0latin1\x86R")
        .. item("set", "c__builtin__\nset\n](K\3K\5e\x85R")
      write(path, zip.of { { "a/data.pkl", "\x80\2" .. text .. "." } })
      local tensors, metadata = assert(saros.read_tensors(path))
      assert.is_nil(next(tensors))
      assert.same({ device = "cpu", type = "torch.bfloat16", bytes = "ab", ["set.0"] = "3", ["set.1"] = "5" }, metadata)
      for _, wrong in ipairs { "ctorch\ndevice\nK\3\x85R", "ctorch\nfloat32\n)R", "c__builtin__\nset\nK\3\x85R" } do
        write(path, zip.of { { "a/data.pkl", "\x80\2}" .. item("x", wrong) .. "." } })
        assert.is_nil((saros.read_tensors(path)))
      end
    end)
  end)

  it("refuses whole modules by name, and arrays of objects", function()
    local tensors, message = saros.read_tensors(FOLDER .. "whole.pt")
    assert.is_nil(tensors)
    assert.equal("read_tensors: spec/references/formats/whole.pt: expected tensors, numbers, texts, lists and "
      .. 'dictionaries alone, got "torch.nn.modules.container.Sequential"', message)
    assert.matches('for "o", got type "|O"', select(2, saros.read_tensors(FOLDER .. "objects.npz")), 1, true)
  end)

  it("gives the arrays of NumPy: by rows, by columns, in either order of bytes", function()
    local tensors, _, format = assert(saros.read_tensors(FOLDER .. "arrays.npz"))
    assert.equal("big bools columns empty half ids rows scalar", names_of(tensors))
    assert.same({ { 0, 1, 2 }, { 3, 4, 5 } }, tensors.rows:totable())
    assert.same({ { 0, 1, 2 }, { 3, 4, 5 } }, tensors.columns:totable())
    assert.same({ 0, 1, 2 }, tensors.big:totable())
    assert.same({ 0, 1, 2 }, tensors.half:totable())
    assert.same({ 1, 2, 3 }, tensors.ids:totable())
    assert.same({ 2, 1 }, tensors.bools:totable())
    assert.equal(2.5, tensors.scalar:item())
    assert.same({ 0, 2 }, tensors.empty:shape())
    assert.equal("numpy", format)
    tensors = assert(saros.read_tensors(FOLDER .. "packed.npz"))
    assert.equal(299, tensors.x[100][3])
    assert.same({ { 0, 1, 2 }, { 3, 4, 5 } }, assert(saros.read_tensors(FOLDER .. "array.npy")).array:totable())
  end)

  it("gives the datasets of HDF5 by their paths, and says what it leaves out", function()
    local tensors, metadata, format = assert(saros.read_tensors(FOLDER .. "types.h5"))
    assert.equal("hdf5", format)
    for n = 0, 19 do
      assert.same({ { n, n, n }, { n, n, n } }, tensors["many/layer_" .. n]:totable())
    end
    assert.same({ 0, 1, 2 }, tensors.big:totable())
    assert.same({ 0, 1, 2 }, tensors.half:totable())
    assert.same({ 1, 2, 3 }, tensors.ids:totable())
    assert.equal(2.5, tensors.scalar:item())
    assert.same({ 0, 2 }, tensors.empty:shape())
    local left_out = "left out: of a type that tensors cannot have"
    assert.same({ text = left_out, unsigned = left_out }, metadata)
    assert.matches('in one piece, not packed, for "x"', select(2, saros.read_tensors(FOLDER .. "packed.h5")), 1, true)
  end)

  it("reads the weights within a .keras file", function()
    files.with_path(function(path)
      write(path, zip.of { { "config.json", "{}" }, { "model.weights.h5", files.read(FOLDER .. "types.h5") } })
      local tensors, metadata, format = assert(saros.read_tensors(path))
      local expected, left_out = assert(saros.read_tensors(FOLDER .. "types.h5"))
      assert.equal("hdf5", format)
      assert.equal(names_of(expected), names_of(tensors))
      assert.same(left_out, metadata)
      assert.same({ { 7, 7, 7 }, { 7, 7, 7 } }, tensors["many/layer_7"]:totable())
      assert.equal(#saros.inspect_file(FOLDER .. "types.h5").tensors, #saros.inspect_file(path).tensors)
      write(path, zip.of { { "model.weights.h5", "no HDF5" } })
      assert.matches("expected 7 bytes at byte 8, got the end", select(2, saros.read_tensors(path)), 1, true)
    end)
  end)

  it("gives the initializers of ONNX, those of layers by node and role", function()
    files.with_path(function(path)
      local net = nn.chain { nn.lstm { 2, 3, bidirectional = true }, nn.linear { 6, 1 } }:init { seed = 1 }
      assert(saros.onnx.write(net, path, { metadata = { title = "small" } }))
      local tensors, metadata, format = assert(saros.read_tensors(path))
      assert.equal("onnx", format)
      assert.equal("small", metadata.title)
      local found, layer = assert(saros.inspect_file(path))
      assert.matches("onnx, %d+ bytes, %d+ tensors, read by saros.onnx.read\nONNX model of saros", tostring(found))
      for name, x in pairs(tensors) do
        layer = name:match "^(.*)/W$" or layer
        assert.equal("real", x:dtype())
      end
      assert.same({ 2, 12, 2 }, tensors[layer .. "/W"]:shape())
      local lstm = nn.lstm({ 2, 3, bidirectional = true }):load(path, { names = "onnx", strict = false })
      local x = saros.generator(1):normal { 4, 1, 2 }
      assert.same_values((net.steps[1](x)), (lstm(x)), 1e-6)
      write(path, "\8\7\18\3abc")
      assert.matches("expected an ONNX model, got a file without a graph", select(2, saros.read_tensors(path)))
    end)
  end)

  it("reads safetensors, too", function()
    local tensors, metadata, format = assert(saros.read_tensors "spec/references/modules.safetensors")
    assert.equal("safetensors", format)
    assert.truthy(next(tensors) and metadata.cases)
  end)

  it("gives layers what they load", function()
    local net = nn.chain { nn.linear { 2, 1 } }:load(assert(saros.read_tensors(FOLDER .. "checkpoint.pt")), "net.")
    assert.equal(0.25 - 1 + 0.125, net(saros.tensor { { { 1, 2 } } }):item())
  end)
end)

describe("inspect_file of other formats", function()
  it("tells the types in the file, without the elements", function()
    local found = assert(saros.inspect_file(FOLDER .. "state.pt"))
    assert.equal("pytorch", found.format)
    local types = {}
    for n, tensor in ipairs(found.tensors) do
      types[n] = tensor.type
    end
    assert.equal("F32 F64 F16 BF16 I64 I32 I16 I8 U8 BOOL F32 F32 F32 F32 F32", table.concat(types, " "))
    assert.same({ name = "part", type = "F32", shape = { 2, 2 }, bytes = 16 }, found.tensors[12])
    assert.equal("3", assert(saros.inspect_file(FOLDER .. "checkpoint.pt")).metadata.epoch)
    assert.same({ name = "columns", type = "F64", shape = { 2, 3 }, bytes = 48 },
      assert(saros.inspect_file(FOLDER .. "arrays.npz")).tensors[2])
  end)
end)

describe("a container", function()
  it("refuses wrong members, places and types", function()
    local container <close> = assert(core.open_container(FOLDER .. "arrays.npz"))
    assert.equal(8, #container)
    for _, n in ipairs { 0, 9, "x", 1.5 } do
      assert.error_matches(function() container:member(n) end, "expected the number of a member as argument 1")
    end
    assert.error_matches(function() container:read(1, -1, 3) end, "expected a count as argument 2")
    assert.error_matches(function() container:elements(1, "F32", 0, 1, 1) end, "as argument 5")
    assert.is_nil((container:read(1, 0, 1 << 40)))
    assert.is_nil((container:elements(1, "F99", 0, 1)))
    assert.is_nil((container:elements(1, "F32", 0, 1 << 31)))
  end)

  it("cannot be used once it is closed", function()
    local kept
    do
      local container <close> = assert(core.open_container(FOLDER .. "array.npy"))
      kept = container
    end
    assert.error_matches(function() kept:member(1) end, "member: expected")
  end)

  it("gives views of elements that lie within them alone", function()
    local x = saros.arange(6)
    assert.same({ { 2, 5 }, { 3, 6 } }, core.strided(x, 1, { 2, 2 }, { 1, 3 }):totable())
    for _, case in ipairs { { 3, { 2, 2 }, { 1, 3 } }, { 6, {}, {} }, { 0, { 0 }, { 1 } }, { 0, { 7 }, { 1 } },
      { 1 << 50, { 1 }, { 1 } }, { 0, { 2 }, { 1 << 52 } }, { 0, { 1 << 30, 1 << 30 }, { 0, 0 } } } do
      assert.error_matches(function() core.strided(x, table.unpack(case)) end, "strided: expected places within %(6%)")
    end
    assert.error_matches(function() core.strided(x:reshape(2, 3):transpose(), 0, { 1 }, { 1 }) end, "expected places")
  end)
end)
