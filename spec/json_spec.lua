local saros = require "saros"
local encode, decode, null = saros.json_encode, saros.json_decode, saros.null

describe("JSON #binding", function()
  it("keeps values as they are, there and back", function()
    local value = {
      name = "saros", size = 3, rate = 0.1, tiny = 5e-324, big = math.maxinteger, least = math.mininteger,
      whole = 2.0, yes = true, no = false, none = null, text = 'quote " slash \\ é \u{1F311} \0 \n',
      list = { 1, { 2, { 3 } }, null }, empty = {}, third = 1 / 3,
    }
    local back = decode(encode(value))
    assert.same(value, back)
    assert.equal("integer", math.type(back.size))
    assert.equal("float", math.type(back.whole))
    assert.equal(math.maxinteger, back.big)
  end)

  it("takes single values", function()
    assert.equal("1", encode(1))
    assert.equal('"x"', encode "x")
    assert.equal("null", encode(null))
    assert.equal(5, decode "5")
    assert.equal(null, decode "null")
    assert.is_false(decode "false")
  end)

  it("writes equal tables as equal texts, numbers as short as they can be", function()
    assert.equal('{"a": 1, "b": 0.1, "c": [1, 2]}', encode { c = { 1, 2 }, b = 0.1, a = 1 })
    assert.equal('{\n  "a": [\n    1\n  ]\n}', encode({ a = { 1 } }, true))
    assert.equal(0.1 + 0.2, decode(encode(0.1 + 0.2)))
  end)

  it("refuses what JSON cannot say", function()
    local endless = {}
    endless.again = endless
    for _, case in ipairs {
      { 0 / 0, "a finite number" }, { { 1 / 0 }, "a finite number" },
      { { 1, 2, x = 3 }, "keys" }, { { [1.5] = 1 }, "keys" }, { { [5] = 1 }, "keys" },
      { { a = print }, "a table, string, number, boolean or null" },
      { io.stdout, "a table, string" }, { { [true] = 1 }, "keys" },
      { "\xff\xfe", "a string of UTF%-8" }, { { ["\xff"] = 1 }, "keys of UTF%-8" },
      { { ["a\0b"] = 1 }, "keys without zero bytes" }, { endless, "levels" },
    } do
      assert.error_matches(function()
        encode(case[1])
      end, "json_encode: expected .*" .. case[2])
    end
    assert.error_matches(function()
      encode(nil)
    end, "json_encode: expected")
  end)

  it("says where a text goes wrong", function()
    for text, message in pairs {
      ['{"a": 1, "a": 2}'] = "duplicate",
      ["[1, 2"] = "line 1",
      ["[1] x"] = "end of file expected",
      [""] = "line 1",
      ["[01]"] = "line 1",
      ["[NaN]"] = "line 1",
      ['"\xff"'] = "unable to decode byte 0xff",
      ["[1e999]"] = "real number overflow",
      ["[99999999999999999999]"] = "too big integer",
      [("["):rep(100000)] = "depth",
    } do
      local value, got = decode(text)
      assert.is_nil(value)
      assert.matches("^json_decode: line %d+, column %d+: ", got)
      assert.is_truthy(got:find(message, 1, true) or text == "", got)
    end
  end)

  it("goes as deep as it may", function()
    local text = ("["):rep(2000) .. ("]"):rep(2000)
    local value = assert(decode(text))
    assert.equal(text:sub(1, -1), (encode(value):gsub("{}", "[]")))
  end)
end)
