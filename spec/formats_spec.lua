-- Files of tensors that other programs write, and what is said of them.

local core = require "saros.core"
local files = require "spec.support.files"
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
    assert.matches("^inspect_file: /no/such/file: No such file", refusal "/no/such/file")
    assert.matches("expected a file, got a folder", refusal "spec")
    assert.has_error(function() saros.inspect_file(3) end, "inspect_file: expected a string as argument 1, got 3")
    files.with_path(function(path)
      write(path, "")
      assert.matches("expected a file, got no bytes", refusal(path))
      write(path, "GIF89a and more")
      assert.matches('one of these formats: safetensors.*; got one that begins with "GIF89a a"', refusal(path))
      write(path, string.pack("<s8", "{"))
      assert.matches("^inspect_file: safetensors: expected '\"', got the end of the header", refusal(path))
    end)
  end)
end)
