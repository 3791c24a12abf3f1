require "spec.support.values"
local saros = require "saros"

local function grid()
  return saros.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
end

describe("a tensor made from Lua values #binding", function()
  it("has the shape and the numbers of nested tables", function()
    local t = saros.tensor { { { 1, 2 } }, { { 3, 4 } }, { { 5, 6 } } }
    assert.same({ 3, 1, 2 }, t:shape())
    assert.same({ { { 1, 2 } }, { { 3, 4 } }, { { 5, 6 } } }, t:totable())
    assert.equal("real", t:dtype())
  end)

  it("has no axis when made from a number", function()
    local t = saros.tensor(2.5)
    assert.same({}, t:shape())
    assert.equal(0, t:rank())
    assert.equal(1, t:count())
    assert.equal(2.5, t:item())
    assert.equal(2.5, t:totable())
  end)

  it("may be empty", function()
    assert.same({ 0 }, saros.tensor {}:shape())
    assert.same({ 2, 0 }, saros.tensor { {}, {} }:shape())
    assert.same({}, saros.tensor {}:totable())
    assert.equal(0, saros.zeros(3, 0, 2):count())
  end)

  it("holds ids that count from 1", function()
    local t = saros.ids { { 1, 2 }, { 3, 2147483648 } }
    assert.equal("ids", t:dtype())
    assert.same({ { 1, 2 }, { 3, 2147483648 } }, t:totable())
    assert.equal(7, saros.ids(7):item())
  end)

  it("becomes ids of a real tensor of whole numbers, in its shape", function()
    local x = saros.tensor { { -1, 2, 0 }, { 3, -4, 5 } }
    local t = saros.ids(x:gt(0) + 1)
    assert.equal("ids", t:dtype())
    assert.same({ { 1, 2, 1 }, { 2, 1, 2 } }, t:totable())
    assert.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, saros.ids(grid():transpose()):totable()) -- a view
    assert.same({ 5, 6 }, saros.ids(grid()[2]:slice(1, 2)):totable())
    assert.equal(7, saros.ids(saros.tensor(7)):item())
    assert.same({ 2, 0 }, saros.ids(saros.zeros(2, 0)):shape())
    assert.same({ 2, 1, 3 }, saros.ids(grid():reshape(2, 1, 3)):shape())
    assert.near(math.log(2), saros.cross_entropy(saros.zeros(2, 2), saros.ids(saros.ones(2))):item(), 1e-6)
  end)

  it("becomes real numbers of ids, in their shape", function()
    local t = saros.tensor(saros.ids { { 1, 2, 3 }, { 4, 5, 6 } }:transpose())
    assert.equal("real", t:dtype())
    assert.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, t:totable())
    assert.equal(7, saros.tensor(saros.ids(7)):item())
    assert.same({ 3, 1, 2 }, saros.ids(saros.tensor(saros.ids { 3, 1, 2 })):totable())
    local ids = saros.ids { 1, 2 }
    saros.tensor(ids):fill(9)
    assert.same({ 1, 2 }, ids:totable())
  end)

  it("names the first number that is no id, and what copies a tensor", function()
    local function fails(make, value, message)
      local ok, got = pcall(function() return make(value), nil end)
      assert.is_false(ok)
      assert.equal(("spec/tensor_spec.lua:%d: %s"):format(debug.getinfo(1, "l").currentline - 2, message), got)
    end
    fails(saros.ids, saros.tensor { { 1, 2, 3 }, { 4, 0.5, 0 } },
      "ids: expected an id (an integer >= 1) at [2][2], got 0.5")
    fails(saros.ids, saros.tensor { { 1, 2 }, { 3, 0 } }:transpose(),
      "ids: expected an id (an integer >= 1) at [2][2], got 0.0")
    fails(saros.ids, saros.tensor(-1), "ids: expected an id (an integer >= 1), got -1.0")
    fails(saros.ids, saros.tensor { 0 / 0 }, "ids: expected an id (an integer >= 1) at [1], got nan")
    fails(saros.ids, saros.tensor { 2 ^ 40 }, "ids: expected an id (an integer >= 1) at [1], got 1099511627776.0")
    fails(saros.ids, saros.ids { 1 }, "ids: expected real numbers or integers, got ids (1); x:clone() copies a tensor")
    fails(saros.tensor, grid(), "tensor: expected ids or numbers, got a tensor (2, 3); x:clone() copies a tensor")
  end)

  it("is named by operations that read ids", function()
    local x = saros.ones(2, 3)
    local cure = ": expected %s to be ids, got real numbers %s; saros.ids(x) makes ids of whole numbers"
    for name, call in pairs {
      cross_entropy = { "targets", "(2)", function() return saros.nn.cross_entropy(x, saros.ones(2)), nil end },
      pick = { "ids", "(2)", function() return x:pick(saros.ones(2)), nil end },
      embedding = { "ids", "(2)", function()
        return saros.nn.embedding { 3, 3 }:init { seed = 1 }(saros.ones(2)), nil
      end },
      gather = { "ids", "(2, 3)", function() return x:gather(2, x), nil end },
      one_hot = { "ids", "(2, 3)", function() return x:one_hot(3), nil end },
      ctc_loss = { "targets", "(1, 1)", function()
        return saros.nn.ctc_loss(saros.ones(2, 1, 3), saros.ones(1, 1)), nil
      end },
      crf_loss = { "tags", "(2, 1)", function()
        return saros.nn.crf { 3 }:init({ seed = 1 }):loss(saros.ones(2, 1, 3), saros.ones(2, 1)), nil
      end },
    } do
      local ok, got = pcall(call[3])
      assert.is_false(ok)
      local line = debug.getinfo(call[3], "S").linedefined
      assert.is_truthy(got:find("spec/tensor_spec.lua:" .. line .. ":", 1, true)
        or got:find("spec/tensor_spec.lua:" .. line + 1 .. ":", 1, true), got)
      assert.is_truthy(got:find(name .. cure:format(call[1], call[2]), 1, true), got)
    end
  end)

  it("comes as zeros, ones, any constant, or a range", function()
    assert.same({ { 0, 0 }, { 0, 0 } }, saros.zeros(2, 2):totable())
    assert.same({ { 0, 0 } }, saros.zeros { 1, 2 }:totable())
    assert.same({ 1, 1 }, saros.ones(2):totable())
    assert.same({ { -1.5 }, { -1.5 } }, saros.full({ 2, 1 }, -1.5):totable())
    assert.same({ 1, 2, 3 }, saros.arange(3):totable())
    assert.same({}, saros.zeros():shape())
    assert.same({}, saros.zeros {}:shape())
  end)

  it("names the place where a table is ragged", function()
    assert.error_matches(function()
      saros.tensor { { 1, 2 }, { 3 } }
    end, "tensor: expected a table of 2 elements at %[2%], got one of 1")
    assert.error_matches(function()
      saros.tensor { { 1, 2 }, { 3, "4" } }
    end, 'tensor: expected a number at %[2%]%[2%], got "4"')
    assert.error_matches(function()
      saros.tensor { { 1, 2 }, 3 }
    end, "tensor: expected a table of 2 elements at %[2%], got 3")
    assert.error_matches(function()
      saros.ids { 1, 0 }
    end, "ids: expected an id %(an integer >= 1%) at %[2%], got 0")
  end)

  it("refuses a table that contains itself", function()
    local endless = {}
    endless[1] = endless
    assert.error_matches(function()
      saros.tensor(endless)
    end, "tensor: expected at most 8 levels of tables")
  end)

  it("refuses a size that no memory has, at once", function()
    assert.error_matches(function()
      saros.zeros(2 ^ 20, 2 ^ 20)
    end, "expected at most .* elements")
    assert.error_matches(function()
      saros.zeros(2 ^ 31)
    end, "zeros: expected a size")
  end)
end)

describe("indexing a tensor", function()
  it("gives numbers of a vector and rows of a matrix", function()
    local t = grid()
    assert.equal(2, #t)
    assert.same({ 4, 5, 6 }, t[2]:totable())
    assert.same({ 4, 5, 6 }, t[-1]:totable())
    assert.equal(6, t[2][3])
    assert.equal(4, t[2][-3])
    assert.equal(9, saros.ids { 7, 8, 9 }[3])
  end)

  it("is an error out of range", function()
    local vector = saros.arange(3)
    for _, position in ipairs { 0, 4, -4, 1.5, 0 / 0, 1 / 0, math.mininteger } do
      assert.error_matches(function()
        return vector[position]
      end, "index: expected a position in 1..3 or %-3..%-1, got")
    end
    assert.error_matches(function()
      return grid()[3]
    end, "got 3")
  end)

  it("refuses to be compared as numbers are, and says how", function()
    local x = saros.tensor { 1, 2 }
    for _, compare in ipairs {
      function() return x > 0 end, function() return 0 >= x end, function() return x < x end,
    } do
      assert.error_matches(compare, "tensor: expected numbers to compare .*x:gt%(y%)")
    end
  end)

  it("refuses an unknown method and names the nearest one", function()
    assert.error_matches(function() return grid().no_such_method end,
      'tensor: expected the name of a method, got "no_such_method"$')
    assert.error_matches(function() grid():reshap(3) end, 'got "reshap"; did you mean \'reshape\'?', 1, true)
  end)

  it("assigns numbers and tensors in place", function()
    local t = grid()
    t[1] = 0
    assert.same({ { 0, 0, 0 }, { 4, 5, 6 } }, t:totable())
    t[2] = saros.tensor { 7, 8, 9 }
    assert.same({ 7, 8, 9 }, t[2]:totable())
    t[2][1] = -1
    assert.equal(-1, t[2][1])
    local ids = saros.ids { 1, 1 }
    ids[2] = 5
    assert.same({ 1, 5 }, ids:totable())
  end)

  it("shares storage between a row and its matrix", function()
    local t = grid()
    local row = t[1]
    row:fill(9)
    assert.same({ { 9, 9, 9 }, { 4, 5, 6 } }, t:totable())
  end)
end)

describe("views of a tensor", function()
  it("slice with both ends, and from the end", function()
    local t = saros.arange(5)
    assert.same({ 2, 3 }, t:slice(1, 2, 3):totable())
    assert.same({ 4, 5 }, t:slice(1, 4):totable())
    assert.same({ 4, 5 }, t:slice(1, -2):totable())
    assert.same({ 2, 3, 4 }, t:slice(-1, 2, -2):totable())
    assert.same({ { 2 }, { 5 } }, grid():slice(2, 2, 2):totable())
  end)

  it("select one position of any axis", function()
    assert.same({ 3, 6 }, grid():select(2, 3):totable())
    assert.same({ 3, 6 }, grid():select(-1, -1):totable())
  end)

  it("transpose the last two axes, or the named ones", function()
    assert.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, grid():transpose():totable())
    local t = saros.zeros(2, 3, 4)
    assert.same({ 2, 4, 3 }, t:transpose():shape())
    assert.same({ 4, 3, 2 }, t:transpose(1, 3):shape())
    assert.is_false(t:transpose():is_contiguous())
    assert.is_true(t:transpose():contiguous():is_contiguous())
  end)

  it("reshape, with one size left to compute", function()
    local t = saros.arange(6)
    assert.same({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, t:reshape(-1, 2):totable())
    assert.same({ 2, 3 }, t:reshape { 2, 3 }:shape())
    assert.same({ 1, 4, 2, 5, 3, 6 }, grid():transpose():reshape(6):totable())
    assert.same({ 1, 2, 3, 4, 5, 6 }, grid():flatten():totable())
    assert.same({ 0 }, saros.zeros(3, 0):flatten():shape())
  end)

  it("are seen through by what is changed in place", function()
    local t = grid()
    t:transpose():slice(1, 2, 3):fill(0)
    assert.same({ { 1, 0, 0 }, { 4, 0, 0 } }, t:totable())
    local copy = t:clone()
    copy:fill(1)
    assert.equal(0, t[1][2])
  end)
end)

describe("changing a tensor in place", function()
  it("fills, assigns, clamps and adds, and returns the tensor", function()
    local t = grid()
    assert.equal(t, t:fill(2))
    assert.equal(t, t:assign(saros.tensor { 1, 2, 3 }))
    assert.same({ { 1, 2, 3 }, { 1, 2, 3 } }, t:totable())
    assert.equal(t, t:clamp(1.5, 2.5))
    assert.same({ 1.5, 2, 2.5 }, t[1]:totable())
    assert.equal(t, t:add_scaled(2, saros.ones(2, 3)))
    assert.same({ 3.5, 4, 4.5 }, t[2]:totable())
    assert.equal(7, t:assign(7)[1][1])
  end)
end)

describe("a tensor as text", function()
  local function shows(expected, tensor)
    assert.equal(expected, tostring(tensor))
  end

  it("shows rows with aligned columns", function()
    shows("tensor (2, 3)\n  1.0000  2.0000 -0.5000\n  0.2500  0.0000  4.0000",
      saros.tensor { { 1, 2, -0.5 }, { 0.25, 0, 4 } })
    shows("tensor (3)\n -1 10  0", saros.tensor { -1, 10, 0 })
    shows("ids (3)\n 1 2 3", saros.ids { 1, 2, 3 })
  end)

  it("shows a number without an axis as a number", function()
    shows("0.1", saros.tensor(0.1))
    shows("3", saros.ids(3))
    shows("nan", saros.tensor(0 / 0))
    shows("-inf", saros.tensor(-math.huge))
  end)

  it("shows numbers of any size", function()
    shows("tensor (3)\n 1.0000e+20 1.0000e+00 5.0000e-01", saros.tensor { 1e20, 1, 0.5 })
    assert.matches("inf", tostring(saros.tensor { math.huge, -math.huge, 0.5 }))
    assert.matches("nan", tostring(saros.tensor { 0 / 0, 1 }))
    assert.matches("e%-", tostring(saros.tensor { 1e-30, 2e-30 }))
  end)

  it("shows what is small as a whole", function()
    shows("tensor (10)\n  1  2  3  4  5  6  7  8  9 10", saros.arange(10))
    shows("tensor (10, 10)" .. ("\n" .. (" 0"):rep(10)):rep(10), saros.zeros(10, 10))
    assert.equal(1 + 200, select(2, tostring(saros.zeros(200, 5)):gsub("\n", "\n")) + 1)
  end)

  it("leaves out the middle of wide rows and of large tensors", function()
    assert.matches(" 33$", tostring(saros.arange(33)))
    shows("tensor (60)\n  1  2  3  ... 58 59 60", saros.arange(60))
    assert.equal(3, select(2, tostring(saros.zeros(2, 60)):gsub("\n", "\n")) + 1)
    local text = tostring(saros.zeros(1000, 1000))
    assert.equal(8, select(2, text:gsub("\n", "\n")) + 1)
    assert.is_true(#text < 400)
  end)

  it("heads the blocks of more than two axes with their positions", function()
    local text = tostring(saros.zeros(2, 3, 2, 2))
    assert.matches("%[1, 1, ..%]", text)
    assert.matches("%[2, 3, ..%]", text)
    assert.is_true(#tostring(saros.zeros(9, 9, 9, 9, 9, 9)) < 4000)
  end)

  it("shows an empty tensor by its shape", function()
    shows("tensor (0, 3)", saros.zeros(0, 3))
    shows("tensor (3, 0)", saros.zeros(3, 0))
    shows("tensor (0, 2, 3)", saros.zeros(0, 2, 3))
  end)
end)

describe("a frequent mistake", function()
  local x = saros.ones(2, 3)
  for message, mistake in pairs {
    ['concat: expected two tensors, got "loss "; x:item() is the number'] = function() return "loss " .. x end,
    ['concat: expected two tensors, got " nats"; x:item()'] = function() return x .. " nats" end,
    ['tensor: expected only positions as keys, got "a"'] = function() return saros.tensor { a = 1 } end,
    ['tensor: expected only positions as keys at [1], got "x"'] = function()
      return saros.tensor { { 1, 2, x = 3 }, { 1, 2 } }
    end,
    ["-1 the last) as argument 1, got 0"] = function() local y = x:sum(0) return y end,
    ["-1 the last) as argument 2, got 0"] = function() local y = saros.sum(x, 0) return y end,
    ["normal: expected a table of sizes, got 5; write normal({5, 5})"] = function()
      return saros.generator(1):normal(5, 5)
    end,
  } do
    it(("is explained (%s)"):format(message), function()
      assert.error_matches(mistake, message, 1, true)
    end)
  end
end)

describe("the memory of tensors #binding", function()
  it("is given back when a tensor is closed", function()
    collectgarbage()
    local before = saros.memory().in_use
    do
      local t <close> = saros.zeros(1000, 1000)
      assert.is_true(saros.memory().in_use >= before + t:count() * 4)
    end
    assert.is_true(saros.memory().in_use < before + 1000)
  end)

  it("stays in proportion without any call of the collector", function()
    local function make_garbage()
      local most = 0
      for _ = 1, 2000 do
        local _ = saros.zeros(250, 250) + 1
        most = math.max(most, saros.memory().in_use)
      end
      return most
    end
    make_garbage() -- from here on nothing is left of what other specs held
    local before = saros.memory().in_use
    local most = make_garbage()
    assert.is_true(most - before < 20e6, ("%.0f bytes of garbage beside %.0f"):format(most - before, before))
  end)

  it("is kept by a view of a tensor that is closed", function()
    local row
    do
      local t <close> = grid()
      row = t[2]
    end
    collectgarbage()
    assert.same({ 4, 5, 6 }, row:totable())
  end)

  it("of a closed tensor is out of reach", function()
    local kept
    do
      local t <close> = grid()
      kept = t
    end
    assert.error_matches(function()
      kept:sum()
    end, "sum: expected a live tensor, got a closed one")
    assert.equal("tensor (closed)", tostring(kept))
  end)

  it("survives a collection at any moment", function()
    local pause = collectgarbage("setpause", 0)
    local t = saros.zeros(3, 3)
    for i = 1, 300 do
      t = (t + i):transpose():reshape(9):reshape(3, 3):clone()
      local parts = { t, t * 2, saros.tensor { { i, i, i } } }
      t = saros.concatenate(parts, 1):slice(1, 1, 3)
    end
    collectgarbage("setpause", pause)
    assert.equal(300 * 301 / 2, t[1][1])
  end)
end)

describe("tensors in a file #binding", function()
  local path = os.tmpname()

  after_each(function()
    os.remove(path)
  end)

  it("come back as they were, with the metadata", function()
    local tensors = {
      a = grid() / 3, ["b.c"] = saros.ids { { 1, 2147483648 } }, d = saros.zeros(0, 2), e = saros.ones(),
    }
    assert.is_true(saros.safetensors.write(path, tensors, { kind = "test", text = "é \n" }))
    local back, metadata = saros.safetensors.read(path)
    assert.same({ kind = "test", text = "é \n" }, metadata)
    for name, tensor in pairs(tensors) do
      assert.same_values(tensor, back[name], 0)
      assert.equal(tensor:dtype(), back[name]:dtype())
      back[name] = nil
    end
    assert.is_nil(next(back))
  end)

  it("are written in their order, whatever their strides", function()
    assert.is_true(saros.safetensors.write(path, { t = grid():transpose() }))
    assert.same(grid():transpose():totable(), saros.safetensors.read(path).t:totable())
  end)

  it("make the same bytes from the same tables", function()
    local function bytes()
      local tensors, metadata = {}, {}
      for i = 1, 20 do
        tensors["t" .. i], metadata["m" .. i] = saros.full({ i }, i), tostring(i)
      end
      assert.is_true(saros.safetensors.write(path, tensors, metadata))
      local file <close> = assert(io.open(path, "rb"))
      return file:read "a"
    end
    assert.equal(bytes(), bytes())
  end)

  it("are nil and a message where there is no such file", function()
    for _, result in ipairs {
      table.pack(saros.safetensors.read "/nowhere/at/all"),
      table.pack(saros.safetensors.write("/nowhere/at/all", {})),
      table.pack(saros.make_folder "/dev/null/folder"),
    } do
      assert.is_nil(result[1])
      assert.matches("/", result[2])
    end
  end)

  it("are nil and a message where the file holds something else", function()
    local file <close> = assert(io.open(path, "wb"))
    file:write "no tensors"
    file:flush()
    local tensors, message = saros.safetensors.read(path)
    assert.is_nil(tensors)
    assert.is_truthy(message:find(path, 1, true), message)
  end)
end)

describe("a question about all elements of a tensor #binding", function()
  local g = saros.generator(1)

  it("finds a single infinity or not-a-number, wherever it is", function()
    for _, strange in ipairs { 1 / 0, -1 / 0, 0 / 0 } do
      for position = 1, 67 do
        local x = g:normal { 67 }
        assert.is_true(x:all_finite())
        x[position] = strange
        assert.is_false(x:all_finite())
        assert.equal(position > 60, not x:slice(1, 61, 67):all_finite())
      end
    end
  end)

  it("looks only at what a view shows", function()
    local x = saros.zeros(5, 4)
    x:slice(2, 3, 3):fill(0 / 0)
    assert.is_false(x:transpose():all_finite())
    assert.is_true(x:slice(2, 1, 2):all_finite())
    assert.is_false(x:slice(2, 3, 4):all_finite())
    assert.is_true(saros.zeros(0):all_finite())
    assert.is_true(saros.ids { 1, 2 }:all_finite())
  end)

  it("has one digest for the same shape and bits, however they lie in memory", function()
    local x = g:normal { 3, 4 }
    assert.matches("^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x$", x:digest())
    assert.equal(x:digest(), x:clone():digest())
    assert.equal(x:transpose():digest(), x:transpose():clone():digest())
    assert.not_equal(x:digest(), x:transpose():digest())
    assert.not_equal(x:digest(), x:reshape(4, 3):digest())
    assert.not_equal(saros.ids { 1, 2, 3 }:digest(), saros.ids { 1, 3, 2 }:digest())
    assert.not_equal(saros.zeros(2):digest(), saros.zeros(3):digest())
  end)

  it("has another digest after the smallest change", function()
    local x, seen = saros.zeros(100), {}
    seen[x:digest()] = true
    for position = 1, 100 do
      x[position] = 1e-30
      assert.is_nil(seen[x:digest()])
      seen[x:digest()] = true
      x[position] = 0
    end
  end)
end)
