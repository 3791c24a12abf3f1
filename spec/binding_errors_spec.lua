-- Whatever a script passes, the C module answers with a result or with an error
-- that is a string and says which function expected what.

local lfs = require "lfs"
local saros = require "saros"
local boxed = require "spec.support.boxed"
local core = require "saros.core"
local refusals = require "spec.support.refusals"
local call, grid, refuses, sorted = refusals.call, refusals.grid, refusals.refuses, refusals.sorted

local closed = boxed.closed

-- Values that a script may pass by mistake, each under the name of its kind.
local function junk()
  return {
    { "nil", nil }, { "boolean", true }, { "string", "text" }, { "table", {} },
    { "function", print }, { "coroutine", coroutine.create(print) }, { "file", io.stdout },
    { "generator", saros.generator(1) }, { "tensor", grid() }, { "ids", saros.ids { 1, 2 } },
    { "closed", closed(function() return saros.zeros(2) end) },
    { "positive", 1 }, { "negative", -1 }, { "zero", 0 }, { "fraction", 1.5 },
    { "nan", 0 / 0 }, { "inf", 1 / 0 }, { "huge", 2 ^ 53 },
  }
end

-- Which kinds an argument of a kind may be; everything else is an error.
local numbers = "positive negative zero fraction nan inf huge"
local accepts = {
  ["function"] = "function", tensor = "tensor ids", operand = "tensor ids " .. numbers, generator = "generator",
  number = numbers, integer = "positive negative zero huge", limit = "positive huge",
  size = "positive zero", outputs = "positive zero", axis = "positive negative", position = "positive negative",
  threads = "positive", bytes = "positive zero", flag = "boolean", list = "", shape = "table", options = "table",
  sizes = "positive zero table", character = "", text = "string", path = "string", cell = "", state = "",
  ["empty list"] = "table", last = "positive zero negative", ["sizes or rest"] = "positive negative table",
  row = "positive", states = "table", nested = "table ids " .. numbers, ids = "table tensor positive huge",
  file = "file",
  tensors = "table", any = "boolean string table positive negative zero fraction huge",
  whatever = "nil boolean string table function coroutine file generator tensor ids closed nan inf " .. numbers,
  tape = "", session = "", codec = "", tokens = "", wire = "", program = "", count = "positive zero",
  json = "", unit = "",
  share = "zero", stride = "positive negative huge", parameters = "table", which = "positive",
}

-- An argument: its kind, with a '?' if it may be left out, and a right value.
local function A(kind, value)
  return { kind = kind:gsub("%?", ""), optional = kind:find "%?" ~= nil, value = value }
end

local function tensor(...)
  return A("tensor", saros.generator(1):uniform({ ... }, 0.5, 1))
end

local function ids(...)
  return A("tensor", saros.ids { ... })
end

local function layer()
  return A("options", { weight_ih = saros.ones(4, 3), weight_hh = saros.ones(4, 4) })
end

local function crf()
  return A("options", { transitions = saros.ones(3, 3), start = saros.ones(3), stop = saros.ones(3) })
end

local function parameter()
  return A("tensor", saros.ones(2):trainable(true))
end

-- The arguments of every function, such that the call succeeds.
local shared = {
  matmul = function() return tensor(2, 3), tensor(3, 2) end,
  slice = function() return tensor(2, 3), A("axis", 1), A("position", 1), A("last?", 2), A("stride?", 1) end,
  flip = function() return tensor(2, 3), A("axis", 1) end,
  select = function() return tensor(2, 3), A("axis", 1), A("position", 1) end,
  transpose = function() return tensor(2, 3), A("axis?", 1), A("axis?", 2) end,
  reshape = function() return tensor(2, 3), A("sizes or rest", { 6 }) end,
  flatten = function() return tensor(2, 3) end,
  clone = function() return tensor(2, 3) end,
  contiguous = function() return tensor(2, 3) end,
  detach = function() return tensor(2, 3) end,
  frozen = function() return tensor(2, 3) end,
  argmax = function() return tensor(2, 3), A("axis?", 1) end,
  softmax = function() return tensor(2, 3), A("axis?", 1) end,
  log_softmax = function() return tensor(2, 3), A("axis?", 1) end,
  cumsum = function() return tensor(2, 3), A("axis?", 1) end,
  topk = function() return tensor(2, 3), A("row", 1), A("axis?", 1) end,
  gather = function() return tensor(2, 3), A("axis", 2), A("tensor", saros.ids { { 1, 3 }, { 2, 2 } }) end,
  pick = function() return tensor(2, 3), ids(1, 3) end,
  one_hot = function() return ids(1, 3), A("size", 3) end,
  embedding = function() return tensor(2, 3), ids(1, 2) end,
  cross_entropy = function() return tensor(2, 3), ids(1, 3), A("options?", { mask = saros.ones(2) }) end,
  kl = function() return tensor(2, 3), tensor(2, 3), A("options?", { mask = saros.ones(2) }) end,
  ctc_loss = function()
    return tensor(5, 1, 4), A("tensor", saros.ids { { 2 }, { 3 } }), A("options?", { input_lengths = { 4 } })
  end,
  dropout = function() return tensor(2), A("number", 0.5), A("generator", saros.generator(1)) end,
  layer_norm = function() return tensor(2, 3), tensor(3), tensor(3), A("number?", 1e-3) end,
  rms_norm = function() return tensor(2, 3), A("tensor?", saros.ones(3)), A("number?", 1e-3) end,
  gated_rms_norm = function() return tensor(6), tensor(6), tensor(3), A("number?", 1e-3), A("unit?", "silu") end,
  linear = function() return tensor(2, 3), tensor(4, 3), A("tensor?", saros.ones(4)) end,
}

for _, name in ipairs { "mse", "l1", "huber", "bce" } do
  shared[name] = function() return tensor(2), tensor(2), A("options?", { mask = saros.ones(2) }) end
end
for _, name in ipairs { "negate", "abs", "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "isfinite", "isnan",
  "sin", "cos", "softplus", "silu", "gelu", "gelu_tanh", "elu", "leaky_relu", "hard_sigmoid", "hard_tanh" } do
  shared[name] = function() return A("operand", grid()) end
end
for _, name in ipairs { "add", "subtract", "multiply", "divide", "power", "maximum", "minimum",
  "lt", "le", "gt", "ge", "eq", "ne" } do
  shared[name] = function() return A("operand", grid()), A("operand", grid()) end
end
shared.where = function() return A("operand", grid()), A("operand", grid()), A("operand", grid()) end
for _, name in ipairs { "sum", "mean", "max", "min", "logsumexp" } do
  shared[name] = function() return tensor(2, 3), A("axis?", 1), A("flag?", true) end
end

local one_product = [[{ "format": 1, "parameters": [{ "name": "w", "shape": [2, 3] }], "states": [],
  "nodes": [{ "op": "input", "name": "x", "width": 3 }, { "op": "parameter", "parameter": 0 },
  { "op": "linear", "in": [0, 1] }], "outputs": [{ "name": "y", "node": 2 }] }]]

local function parameters()
  return { saros.ones(2, 3) }
end

local program_text = [[{ "format": 1, "parameters": [], "states": [], "outputs": [],
  "nodes": [{ "op": "input", "name": "x", "width": 2 }] }]]

local functions = {
  tensor = function() return A("nested", { 1, 2 }) end,
  ids = function() return A("ids", { 1, 2 }) end,
  zeros = function() return A("sizes?", { 2 }) end,
  ones = function() return A("sizes?", { 2 }) end,
  full = function() return A("shape", { 2 }), A("number", 3) end,
  blank = function() return A("shape", { 2 }) end,
  arange = function() return A("size", 3) end,
  concatenate = function() return A("list", { grid(), grid() }), A("axis", 1) end,
  stack = function() return A("list", { grid(), grid() }), A("axis?", 1) end,
  recurrent = function()
    return A("cell", "elman_tanh"), tensor(5, 2, 3), A("states?", { saros.ones(2, 4) }), layer()
  end,
  keep = function() return tensor(5, 2), A("tensor?", saros.ones(5, 2)), A("flag?", true) end,
  window = function()
    return tensor(5, 2, 3), A("tensor?", saros.ones(2, 6)), A("options", { kernel = 3, mask = saros.ones(5, 2) })
  end,
  finite = function()
    return tensor(4, 18), A("tensor?", saros.ids { { 1, 4 }, { 2, 3 } }), A("tensor?", saros.ones(2, 6)),
      A("options", { heads = 2, states = 3, mask = saros.ones(2, 2) })
  end,
  delta = function()
    return tensor(5, 2, 3), tensor(5, 2, 3), tensor(5, 2, 4), A("options", { heads = 1, write = saros.ones(5, 2, 1) }),
      A("tensor?", saros.ones(2, 12))
  end,
  depthwise = function()
    return tensor(5, 2, 3), tensor(3, 3), A("tensor?", saros.ones(3)), A("tensor?", saros.ones(2, 6)),
      A("options?", { mask = saros.ones(5, 2) })
  end,
  mask_rows = function() return tensor(5, 2, 3), tensor(5, 2) end,
  tape = function() return A("options?", { training = false, parameters = false }) end,
  no_gradient = function() end, is_training = function() end,
  crf_loss = function() return tensor(2, 2, 3), A("tensor", saros.ids { { 1, 2 }, { 3, 1 } }), crf() end,
  crf_best = function() return tensor(4, 2, 3), crf() end,
  operation = function()
    return A("text", "own"), A("function", print), A("function", print), A("outputs", 1)
  end,
  generator = function() return A("integer", 1) end,
  clip_norm = function() return A("empty list", { grid() }), A("number", 1) end,
  clip_value = function() return A("empty list", { grid() }), A("number", 1) end,
  update = function()
    return A("options", { rule = "sgd", lr = 1 }), parameter(), A("tensor?", saros.zeros(2)),
      A("tensor?", saros.zeros(2))
  end,
  threads = function() return A("threads?", 1) end,
  write_tensors = function()
    return A("path", "/nowhere/at/all"), A("tensors", { x = grid() }), A("options?", { key = "value" })
  end,
  read_tensors = function() return A("text", "/nowhere/at/all") end,
  describe_tensors = function() return A("text", "/nowhere/at/all") end,
  open_container = function() return A("text", "/nowhere/at/all"), A("size?", 1) end,
  strided = function() return tensor(6), A("count", 0), A("shape", { 2, 3 }), A("list", { 3, 1 }) end,
  make_folder = function() return A("path", "/dev/null/at/all") end,
  write_file = function() return A("path", "/dev/null/at/all"), A("text", "x") end,
  write_source = function() return A("path", "/dev/null/at/all"), A("tensors", { "x", saros.ones(2) }) end,
  json_encode = function() return A("any", { 1 }), A("flag?", true) end,
  json_decode = function() return A("text", "[1]") end,
  format = function() return A("text", "%%") end,
  to_number = function() return A("text", "1") end,
  fields = function() return A("text", "1,2"), A("character", ","), A("tensors", {}), A("text", "") end,
  is_terminal = function() return A("file", io.stdout) end,
  terminal_width = function() return A("file", io.stdout) end,
  profiling = function() return A("flag", false) end,
  watch_finite = function() return A("flag", false) end,
  record = function() return A("function", function() end) end,
  with_room = function() return A("function", function() end) end,
  layer = function() return A("text", "layer 1") end,
  precision = function() return A("text?", "real") end, trace_rows = function() return A("number", 1) end,
  trace = function() return A("flag?", false), A("number?", 1) end,
  block_bytes = function() return A("bytes", 100) end,
  session = function()
    return A("program", core.program(one_product)), A("list", parameters()), A("limit", 2), A("cell", "real")
  end,
  round_weights = function() return tensor(2, 3), A("cell", "int8") end,
  program = function() return A("json", program_text) end,
  codec = function() return A("unit", "word"), A("empty list", { "a", "b" }), A("flag?", true) end,
  learn_codec = function()
    return A("unit", "word"), A("text", "some text"), A("flag?", false), A("size", 0), A("limit", 1), A("flag?", true)
  end,
  write_pieces = function() return A("path", "/dev/null/at/all"), A("tensors", { "x", saros.ones(2) }) end,
  open_wire = function() return A("path", "/nowhere/at/all") end,
  open_tokens = function() return A("text", "/nowhere/at/all") end,
  caller = function() end, defined_at = function() return A("function", print) end,
  upvalue = function() return A("function", print), A("number", 1) end,
  nearest = function() return A("text", "widht"), A("options", { width = 1 }) end,
  hint = function() return A("whatever", "widht"), A("options", { "width" }) end, info = function() end,
  memory = function() end, mark_memory = function() end, is_recording = function() end, collect_soon = function() end,
  is_method = function() return A("function", print) end, trim = function() end, clock = function() end,
}

local methods = {
  shape = function() return tensor(2, 3) end,
  size = function() return tensor(2, 3), A("axis", 1) end,
  rank = function() return tensor(2, 3) end,
  count = function() return tensor(2, 3) end,
  dtype = function() return tensor(2, 3) end,
  item = function() return tensor(1, 1) end,
  all_finite = function() return tensor(2, 3) end,
  digest = function() return tensor(2, 3) end,
  totable = function() return tensor(2, 3) end,
  is_contiguous = function() return tensor(2, 3) end,
  fill = function() return tensor(2, 3), A("number", 1) end,
  assign = function() return tensor(2, 3), A("operand", saros.ones(3)) end,
  adopt = function() return tensor(2, 3), tensor(2, 3) end,
  clamp = function() return tensor(2, 3), A("number", 0), A("number", 1) end,
  add_scaled = function() return tensor(2, 3), A("number", 0), tensor(2, 3) end,
  trainable = function() return tensor(2, 3), A("flag", true) end,
  gradient = function() return parameter() end,
  clear_gradient = function() return parameter() end,
}

local generator_methods = {
  seed = function() return A("integer", 1) end,
  state = function() end,
  restore = function() return A("state", ("1"):rep(64)) end,
  number = function() end,
  integer = function() return A("limit", 6) end,
  uniform = function() return A("shape", { 2 }), A("number?", 1), A("number?", 2) end,
  normal = function() return A("shape", { 2 }), A("number?", 1), A("number?", 2) end,
  fill_uniform = function() return tensor(2), A("number?", 1), A("number?", 2) end,
  fill_normal = function() return tensor(2), A("number?", 1), A("number?", 2) end,
  fill_orthogonal = function() return tensor(2, 3), A("number?", 1) end,
  categorical = function() return tensor(2, 3) end,
  permutation = function() return A("size", 3) end,
}

local function session()
  return core.session(core.program(one_product), parameters(), 2, "real")
end

local session_methods = {
  step = function() return tensor(2, 3) end,
  sample = function() return A("generator?", saros.generator(1)), A("options?", { top_k = 1 }) end,
  reset = function() return A("row?", 1) end,
  restore = function() return A("state", session():dump()) end,
  repack = function() return A("parameters", parameters()) end,
  output = function() return A("which?", "y") end,
  set_state = function() return A("states", {}) end,
  state = function() end,
  logits = function() end, probabilities = function() end, dump = function() end,
  fork = function() end, streams = function() end,
}

local function codec()
  return core.codec("bpe", { 98, 99 })
end

local function program()
  return core.program(program_text)
end

local program_methods = {
  inputs = function() end, outputs = function() end, states = function() end, parameters = function() end,
  text = function() end, run = function() return A("options", { inputs = { x = saros.ones(2, 1, 2) } }) end,
}

local codec_methods = {
  encode = function() return A("text", "text") end,
  prepare = function()
    return A("text", "/nowhere/at/all"), A("path", "/dev/null/at/all"), A("share", 0), A("text", "{}")
  end,
  symbols = function() end, merges = function() end,
  space = function() return A("row", 1), A("row?", 2) end,
}

local function tokens()
  return boxed.tokens(codec())
end

local tokens_methods = {
  window = function() return A("limit", 1), A("limit", 1), A("limit", 1), A("limit", 1) end,
  held_out = function() end, digest = function() end, symbols = function() end,
}

local wire_methods = {
  next = function() return A("size", 0), A("size", 4) end,
  text = function() return A("size", 0), A("size", 4) end,
  reals = function() return A("text", "I8"), A("size", 1), A("size", 0), A("size", 4), A("shape", { 2 }) end,
  integers = function() return A("text", "I8"), A("size", 1), A("size", 0), A("size", 4), A("size", 2) end,
}

local function values_of(arguments)
  local values = { n = #arguments }
  for i, argument in ipairs(arguments) do
    values[i] = argument.value
  end
  return values
end

-- Every kind of junk in every place of the arguments.
local function check_function(name, f, make)
  assert.equal("function", type(f), name)
  local ok, message = call(f, values_of { make() })
  assert.is_true(ok, message)
  for place, argument in ipairs { make() } do
    for _, wrong in ipairs(junk()) do
      local kind, value = wrong[1], wrong[2]
      local may = kind == "nil" and argument.optional
        or (" " .. accepts[argument.kind] .. " "):find(" " .. kind .. " ", 1, true)
      if not may then
        local values = values_of { make() }
        values[place] = value
        refuses(name, f, values, ("%s as argument %d"):format(kind, place))
      end
    end
  end
end

-- The hidden table of the methods of a type.
local function methods_of(object)
  local index = debug.getmetatable(object).__index
  if type(index) == "table" then
    return index
  end
  return select(2, debug.getupvalue(index, 3))
end

local function with_self(self, make)
  return function()
    return self, make()
  end
end

describe("wrong arguments #binding", function()
  after_each(function()
    collectgarbage() -- closes a tape that a spec left open
  end)

  for _, name in ipairs(sorted(functions)) do
    it("of saros." .. name .. " are errors", function()
      check_function(name, core[name], functions[name])
    end)
  end

  for _, name in ipairs(sorted(shared)) do
    it("of saros." .. name .. " are errors, as a method too", function()
      check_function(name, core[name], shared[name])
      assert.equal(core[name], grid()[name])
    end)
  end

  for _, name in ipairs(sorted(methods)) do
    it("of the method " .. name .. " are errors", function()
      check_function(name, grid()[name], methods[name])
    end)
  end

  for _, name in ipairs(sorted(generator_methods)) do
    it("of the generator's " .. name .. " are errors", function()
      local self = A("generator", saros.generator(1))
      check_function(name, self.value[name], with_self(self, generator_methods[name]))
    end)
  end

  for _, name in ipairs(sorted(session_methods)) do
    it("of the session's " .. name .. " are errors", function()
      local self = A("session", session())
      check_function(name, self.value[name], with_self(self, session_methods[name]))
    end)
  end

  for _, case in ipairs {
    { "codec", codec, codec_methods }, { "tokens", tokens, tokens_methods }, { "wire", boxed.wire, wire_methods },
    { "program", program, program_methods },
  } do
    local kind, make, list = table.unpack(case)
    for _, name in ipairs(sorted(list)) do
      it(("of the method %s of %s are errors"):format(name, kind), function()
        local self = A(kind, make())
        check_function(name, self.value[name], with_self(self, list[name]))
      end)
    end
  end

  it("of the tape's methods are errors", function()
    for name in pairs { watch = 1, backward = 1 } do
      local tape <close> = saros.tape()
      local f = tape[name]
      for _, wrong in ipairs(junk()) do
        refuses(name, f, { wrong[2], grid(), n = 2 }, wrong[1])
        if wrong[1] ~= "tensor" and (name ~= "watch" or wrong[1] ~= "ids") then
          refuses(name, f, { tape, wrong[2], n = 2 }, wrong[1])
        end
      end
    end
    local tape <close> = saros.tape()
    for _, wrong in ipairs(junk()) do
      refuses("close", tape.close, { wrong[2], n = 1 }, wrong[1])
    end
  end)

  it("are checked here for all that there is", function()
    for name, value in pairs(core) do
      assert.is_true(shared[name] ~= nil or functions[name] ~= nil or type(value) ~= "function", name)
    end
    for name in pairs(methods_of(grid())) do
      assert.is_true(shared[name] ~= nil or methods[name] ~= nil, name)
    end
    for name in pairs(methods_of(saros.generator(1))) do
      assert.is_true(generator_methods[name] ~= nil, name)
    end
    for name in pairs(methods_of(session())) do
      assert.is_true(session_methods[name] ~= nil, name)
    end
    assert.same(sorted(codec_methods), sorted(methods_of(codec())))
    assert.same(sorted(tokens_methods), sorted(methods_of(tokens())))
    assert.same(sorted(wire_methods), sorted(methods_of(boxed.wire())))
    assert.same(sorted(program_methods), sorted(methods_of(program())))
    local tape <close> = saros.tape()
    assert.same({ "backward", "close", "watch" }, sorted(methods_of(tape)))
    local pause <close> = saros.no_gradient()
    assert.same({ "close" }, sorted(methods_of(pause)))
  end)

  it("are annotated for editors, for all that there is", function()
    local text = ""
    for name in lfs.dir "lua/saros/meta" do
      if name:find "%.lua$" then
        local file <close> = assert(io.open("lua/saros/meta/" .. name))
        text = text .. file:read "a"
      end
    end
    local tape <close> = saros.tape()
    for class, list in pairs {
      core = core, Tensor = methods_of(grid()), Tape = methods_of(tape), Generator = methods_of(saros.generator(1)),
      Session = methods_of(session()), Codec = methods_of(codec()),
      Tokens = methods_of(tokens()), Wire = methods_of(boxed.wire()),
      Program = methods_of(program()),
    } do
      for name, value in pairs(list) do
        local annotated = text:find(("%s[.:]%s%%f[^%%w_]"):format(class, name))
        assert.is_truthy(annotated or type(value) ~= "function", class .. "." .. name)
      end
    end
  end)
end)

describe("objects that are closed or forged #binding", function()
  it("are refused", function()
    local tensor_, generator = closed(function() return saros.zeros(2) end), saros.generator(1)
    local tape = closed(saros.tape)
    refuses("sum", core.sum, { tensor_, n = 1 }, "a closed tensor")
    refuses("concatenate", core.concatenate, { { tensor_ }, 1, n = 2 }, "a closed tensor")
    refuses("backward", tape.backward, { tape, grid(), n = 2 }, "a closed tape")
    local g = closed(function() return saros.generator(1) end)
    refuses("number", generator.number, { g, n = 1 }, "a closed generator")
    local s = closed(session)
    refuses("step", session().step, { s, 1, n = 2 }, "a closed session")
    assert.equal("session (closed)", tostring(s))
    assert.equal("tape (closed)", tostring(tape))
    assert.equal("generator (closed)", tostring(g))
  end)

  it("stay what they are when the module is opened again", function()
    package.loaded["saros.core"] = nil
    assert.equal(core, require "saros.core")
    assert.equal(21, require("saros.core").sum(grid()):item())
  end)

  it("hide their metatables", function()
    for _, object in ipairs { grid(), saros.generator(1), session(), closed(saros.tape), closed(saros.no_gradient) } do
      assert.equal("string", type(getmetatable(object)))
      assert.is_false(pcall(setmetatable, object, {}))
    end
  end)

  it("survive finalizers called by hand, again, and on others", function()
    for _, object in ipairs { grid(), saros.generator(1), session(), closed(saros.tape), closed(saros.no_gradient) } do
      local metatable = debug.getmetatable(object)
      for _, value in ipairs { object, object, io.stdout, 1, "x", {}, saros.zeros(2) } do
        pcall(metatable.__gc, value)
        pcall(metatable.__close, value)
        pcall(metatable.__tostring, value)
      end
      pcall(metatable.__gc)
      assert.matches("closed", tostring(object))
    end
  end)
end)

describe("20,000 calls of anything with anything #binding", function()
  local unsafe = {
    write_tensors = true, make_folder = true, write_file = true, write_source = true, write_pieces = true, -- files
    profiling = true, trace = true, watch_finite = true, record = true, -- would go on
  }

  local function operators()
    return {
      function(a, b) return a[b] end,
      function(a, b, c) a[b] = c end,
      function(a, b) return a + b end,
      function(a, b) return a .. b end,
      function(a, b) return a == b end,
      function(a) return #a end,
      function(a) return -a end,
      function(a) return tostring(a) end,
      function(a) local _ <close> = a end,
    }
  end

  local function all_functions(tape)
    local list = operators()
    for _, source in ipairs {
      core, methods_of(grid()), methods_of(saros.generator(1)), methods_of(tape), methods_of(session()),
    } do
      for _, name in ipairs(sorted(source)) do
        if type(source[name]) == "function" and not unsafe[name] then
          list[#list + 1] = source[name]
        end
      end
    end
    return list
  end

  -- Values that are often right, and junk.
  local function pool_of_values(tape)
    local pool = {
      grid(), saros.arange(3), saros.ids { 1, 2 }, saros.zeros(2, 0), saros.zeros(), saros.ones(4, 2, 3),
      parameter().value, saros.ids { { 3, 1 }, { 2, 2 } }, saros.generator(9), tape, layer().value,
      session(), { { kind = "linear", weight = saros.ones(2, 3) } }, "real",
      { grid(), grid() }, { 2, 3 }, { -1, 2 }, { mask = saros.ones(2) }, { rule = "adam", lr = 0.1 },
      { training = true }, "elman_tanh", ("7"):rep(64), "[1, {}]", 1, 2, 3, -1, -2, 0.5, 2 ^ 31, 1e300,
      math.mininteger, false, saros.null,
    }
    for _, value in ipairs(junk()) do
      pool[#pool + 1] = value[2]
    end
    return pool
  end

  local function keep(pool, at, value)
    local is_tensor = getmetatable(value) == "saros.tensor" and tostring(value) ~= "tensor (closed)"
    if not is_tensor or value:count() <= 1000 then
      pool[at] = value
    end
  end

  it("end with a result or an error that is a string", function()
    local random = saros.generator(20)
    local tape = saros.tape()
    local list, pool = all_functions(tape), pool_of_values(tape)
    local size, succeeded = #pool, 0
    for _ = 1, 20000 do
      local f, values = list[random:integer(#list)], { n = random:integer(5) - 1 }
      for i = 1, values.n do
        values[i] = pool[random:integer(size)]
      end
      local ok, result = call(f, values)
      assert.is_true(ok or type(result) == "string", type(result))
      if ok then
        succeeded = succeeded + 1
        if type(result) == "userdata" and random:integer(4) == 1 then
          keep(pool, random:integer(8), result)
        end
      end
      if random:integer(500) == 1 then
        pool[1], pool[3], pool[10] = grid(), saros.ids { 1, 2 }, closed(function() return saros.zeros(1) end)
        collectgarbage()
        local opened, fresh = pcall(saros.tape)
        pool[10] = opened and fresh or pool[10]
      end
    end
    assert.is_true(succeeded > 1000, ("only %d calls succeeded"):format(succeeded))
    saros.threads(1)
    tape:close()
    list, pool = nil, nil
    collectgarbage()
    assert.is_nil(list or pool)
  end)
end)
