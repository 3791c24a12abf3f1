--- Hostile calls, for spec/c/hostile.c: everything that a script can reach is
--- called with anything, wrong or nearly right. What can be called is found by
--- walking the module and the metatables of its objects; words for options are
--- picked up from the errors. Returns how many functions succeeded, how many
--- there were, and two lists of strings: what went wrong, and which errors blame
--- a line of the library.

local seed, calls, timed, trace = ...
local debug, io = debug, io
math.randomseed(seed)

-- The library may print, but not here; it reads nothing from us.
_G.print = function() end
io.output "/dev/null"
io.input "/dev/null"
io.stdout, io.stderr = io.output(), io.output()

local saros = require "saros"
local core = require "saros.core"

local random = math.random

local SECONDS = 0.05 -- for a call

local function one_of(list)
  return list[random(#list)]
end

-- --- What is there to call -----------------------------------------------------

local functions = {} -- { f =, path =, owner = } sorted by path
local known = {} -- by function or table

local walk

--- The tables among the upvalues of a function in C: hidden methods.
local function walk_upvalues(f, path, owner)
  for index = 1, 255 do
    local name, value = debug.getupvalue(f, index)
    if name ~= "" then
      return
    elseif type(value) == "table" then
      walk(value, path, owner)
    end
  end
end

function walk(value, path, owner)
  if known[value] then
    return
  elseif type(value) == "function" then
    known[value] = true
    functions[#functions + 1] = { f = value, path = path, owner = owner }
    walk_upvalues(value, path, owner)
  elseif type(value) == "table" then
    known[value] = true
    for name, field in pairs(value) do
      if type(name) == "string" then
        walk(field, path .. "." .. name, owner)
      end
    end
    local class = debug.getmetatable(value)
    if class then
      walk(class, path .. ".metatable", owner)
    end
  elseif type(value) == "userdata" and debug.getmetatable(value) then
    walk(debug.getmetatable(value), path, owner)
  end
end

-- --- Objects ---------------------------------------------------------------------

local TEXT = ("the cat sat on the mat. "):rep(8)

local function text(unit)
  return saros.data.text({ string = TEXT }, { unit = unit, valid = 0.2 })
end

local function model()
  return saros.nn.language_model { vocabulary = text().vocabulary, hidden = 8, seed = 1 }
end

local function series()
  local rows = {}
  for t = 1, 60 do
    rows[t] = { math.sin(t), math.cos(t) }
  end
  return saros.data.series(saros.tensor(rows), { valid = 0.2 })
end

local function labelled()
  return saros.data.labelled({ a = { "abab", "abba", "aab" }, b = { "bbb", "babb", "bb" } }, { valid = 0.3 })
end

-- One of each kind: { name, how to make it }. A kind that cannot be made is a
-- complaint, so that the list stays true.
local kinds = {
  { "tensor", function() return saros.tensor { { 1, 2, 3 }, { 4, 5, 6 } } end },
  { "vector", function() return saros.arange(3) end },
  { "cube", function() return saros.ones(4, 2, 3) end },
  { "turned", function() return saros.ones(2, 3):transpose() end },
  { "scalar", function() return saros.zeros() end },
  { "empty", function() return saros.zeros(2, 0) end },
  { "not finite", function() return saros.tensor { 0 / 0, 1 / 0 } end },
  { "ids", function() return saros.ids { 1, 2 } end },
  { "more ids", function() return saros.ids { { 3, 1 }, { 2, 2 } } end },
  { "parameter", function() return saros.ones(2, 3):trainable(true) end },
  { "closed", function() local x = saros.zeros(2) do local _ <close> = x end return x end },
  { "generator", function() return saros.generator(1) end },
  { "tape", function() return saros.tape() end },
  { "pause", function() return saros.no_gradient() end },
  { "session", function() return saros.nn.linear { 3, 2 }:init { seed = 1 }:session() end },
  { "attention session", function()
    return saros.nn.windowed_attention({ 4, 3, heads = 2 }):init({ seed = 1 }):session { streams = 2 }
  end },
  { "delta session", function()
    return core.session(core.program [[{ "format": 1, "parameters": [],
      "states": [{ "name": "m", "width": 4, "next": 4 }],
      "nodes": [{ "op": "input", "name": "x", "width": 6 },
        { "op": "slice", "in": [0], "outer": 1, "n": 3, "inner": 2, "from": 0, "count": 1 },
        { "op": "slice", "in": [0], "outer": 1, "n": 3, "inner": 2, "from": 1, "count": 1 },
        { "op": "constant", "value": 1 },
        { "op": "delta", "in": [1, 2, 1, 3, 3], "heads": 1, "states": [0] }],
      "outputs": [{ "name": "y", "node": 4 }] }]], {}, 2, "real")
  end },
  { "classifier session", function()
    local set = labelled()
    return saros.nn.classifier({ vocabulary = set.vocabulary, labels = set.labels, bidirectional = false }):session()
  end },
  { "text session", function() return model():session { streams = 2 } end },
  { "codec", function() return core.codec("bpe", { 98, 99 }) end },
  { "linear", function() return saros.nn.linear { 3, 2 }:init { seed = 1 } end },
  { "lstm", function() return saros.nn.lstm { 3, 4, layers = 2 }:init { seed = 1 } end },
  { "chain", function()
    return saros.nn.chain { saros.nn.embedding { 5, 3 }, saros.nn.gru { 3, 4 }, saros.nn.linear { 4, 5 } }
  end },
  { "model", model },
  { "text", function() return text() end },
  { "bytes", function() return text "byte" end },
  { "window", function() return (text():windows { batch = 2, length = 5 }()) end },
  { "adam", function() return saros.optim.adam(model():parameters(), { lr = 1e-3 }) end },
  { "sampler", function() return saros.sampler {} end },
  { "series", series },
  { "labelled", labelled },
  { "pieces", function() return saros.data.pieces({ "abc", "abd", "acd" }, { valid = 0.3 }) end },
  { "chart", function() return saros.plot.lines { title = "t", series = { { name = "a", y = { 1, 2, 3 } } } } end },
}

local pool = {} -- one object of each kind, then results of calls

local function make(kind)
  local ok, value = pcall(kind[2])
  if not ok or value == nil then
    return nil, tostring(value)
  end
  return value
end

-- --- Arguments --------------------------------------------------------------------

local numbers = {
  0, 1, 1, 2, 2, 3, 4, 5, 8, 16, -1, -2, -3, 0.5, 0.1, -0.5, 1.5, 1e-3, 1e300, -1e300, 1e-300, 0 / 0, 1 / 0,
  -1 / 0, 2 ^ 31, 2 ^ 53, 100, 1000, 0x7fffffff, -0x80000000, 1 << 32, math.maxinteger, math.mininteger,
}
local words = {
  "", "a", "text", "the cat", TEXT, "\0", "a\0b", "\xff\xfe", ("x"):rep(3000), "%s%n%d", "[1, {}]", "{}", "model",
  "run", "elman_tanh", "lstm", "gru", "adam", ("7"):rep(64), "real", "char",
}
local names = { "seed", "lr", "batch", "length", "hidden", "layers", "cell", "vocabulary", "valid", "epochs", "run" }
local is_word = {}
for _, list in ipairs { words, names } do
  for _, word in ipairs(list) do
    is_word[word] = true
  end
end

--- Words that the library itself uses: names of options and of choices.
local function learn_words(message)
  for word in message:sub(1, 600):gmatch "%f[%w_][%a_][%w_]+" do
    if #word < 20 and #names < 400 and not is_word[word] then
      is_word[word] = true
      names[#names + 1] = word
      words[#words + 1] = word
    end
  end
end

local value
local depth = 0

local raised = setmetatable({}, { __tostring = function() return "raised" end })

--- Does to the toolkit what a callback should not.
local function misbehave()
  local what = random(8)
  if what == 1 then
    error(raised)
  elseif what == 2 then
    error "raised by a callback"
  elseif what == 3 then
    local _ <close> = pool[random(11)]
  elseif what == 4 then
    collectgarbage()
  elseif what == 5 and depth < 3 then
    depth = depth + 1
    pcall(one_of(functions).f, value(), value(), value())
    depth = depth - 1
  end
  return value(), value()
end

local function callback()
  return random(2) == 1 and misbehave or coroutine.wrap(misbehave)
end

--- A list, or a table of options, of arbitrary values.
local function composed()
  local t = {}
  if random(2) == 1 then
    local same = random(3) > 1 and value()
    for i = 1, random(0, 4) do
      t[i] = same or value()
    end
  end
  if random(3) > 1 then
    for _ = 1, random(4) do
      t[one_of(names)] = value()
    end
  end
  return t
end

--- A table that lies about itself.
local function forged()
  local class = {}
  for _, event in ipairs { "__index", "__newindex", "__len", "__call", "__pairs", "__eq", "__tostring", "__name",
    "__gc", "__close", "__metatable", "__concat", "__add" } do
    if random(3) == 1 then
      class[event] = random(2) == 1 and callback() or value()
    end
  end
  if random(3) == 1 then
    class = debug.getmetatable(one_of(pool)) or class
  end
  local ok, t = pcall(setmetatable, composed(), class)
  return ok and t or class
end

local function object()
  return one_of(pool)
end

local makers = {
  object, object, object, object,
  function() return one_of(numbers) end,
  function() return one_of(numbers) end,
  function() return random(6) end,
  function() return one_of(words) end,
  function() return one_of(names) end,
  function() return depth < 3 and composed() or {} end,
  function() return depth < 3 and composed() or {} end,
  function() return depth < 3 and forged() or {} end,
  callback,
  function() return random(2) == 1 end,
  function() return nil end,
  function() return one_of(functions).f end,
  function() return coroutine.create(misbehave) end,
  function() return io.output() end,
  function() return saros.null end,
}

function value()
  depth = depth + 1
  local made = one_of(makers)()
  depth = depth - 1
  return made
end

local count_elements = saros.zeros().count

-- --- Calls -----------------------------------------------------------------------

local complaints, remarks, is_told = {}, {}, {}

local function tell(list, ...)
  local message = (...):format(select(2, ...))
  if not is_told[message] then
    is_told[message] = true
    list[#list + 1] = message
  end
end

--- Keeps a result for a while.
local function keep(result)
  local _, count = pcall(count_elements, result)
  if result ~= nil and (math.type(count) ~= "integer" or count < 1000) then
    pool[random(#kinds + 1, #kinds + 30)] = result
  end
end

local function judge(entry, arguments, ok, result, second)
  if ok then
    entry.right = arguments
    if random(4) == 1 then
      keep(result)
      keep(second)
    end
  elseif type(result) == "string" then
    learn_words(result)
    local place = result:match "^saros/[%w_/]+%.lua:%d+: .*"
    if place and not place:find "raised by a callback" and not place:find "out of time" then
      tell(remarks, "%s: %s", entry.path, place:gsub("'[^']*'", "?"):sub(1, 120))
    end
  elseif result ~= raised then
    tell(complaints, "%s raises %s", entry.path, type(result))
  end
end

--- The object that a method belongs to, mostly.
local function self_of(entry)
  if entry.owner and random(8) > 1 then
    return pool[entry.owner]
  end
  return value()
end

local function new_arguments(entry)
  local arguments = { n = random(0, 5), self_of(entry), value(), value(), value(), value() }
  arguments.n = entry.owner and math.max(arguments.n, 1) or arguments.n
  if random(10) == 1 then
    arguments[2] = arguments[1]
  end
  return arguments
end

--- What was right the last time, but for one argument or one field of it.
local function changed_arguments(arguments)
  local changed = table.move(arguments, 1, arguments.n, 1, { n = arguments.n })
  local at = random(math.max(arguments.n, 1))
  local argument = changed[at]
  if type(argument) == "table" and not debug.getmetatable(argument) and random(4) > 1 then
    changed[at] = {}
    for key, field in next, argument do
      changed[at][key] = random(4) == 1 and value() or field
    end
    changed[at][one_of(names)] = random(2) == 1 and value() or nil
  elseif at <= arguments.n then
    changed[at] = value()
  end
  return changed
end

local function call()
  local entry = one_of(functions)
  local is_known = entry.right and random(3) > 1
  local arguments = is_known and changed_arguments(entry.right) or new_arguments(entry)
  if trace then
    trace(entry.path, table.unpack(arguments, 1, arguments.n))
  end
  local f = random(20) == 1 and coroutine.wrap(entry.f) or entry.f
  judge(entry, arguments, timed(SECONDS, f, table.unpack(arguments, 1, arguments.n)))
end

--- New objects in place of some that were closed or spoilt.
local function refresh()
  for at, kind in ipairs(kinds) do
    if random(6) == 1 then
      local made = make(kind)
      if made ~= nil then
        pool[at] = made
      end
    end
  end
end

walk(saros, "saros")
walk(core, "core")
for at, kind in ipairs(kinds) do
  local made, message = make(kind)
  pool[at] = made
  if made == nil then
    tell(complaints, "no %s: %s", kind[1], message)
  end
  walk(made, kind[1], at)
  if type(made) == "userdata" or type(made) == "table" then
    walk(debug.getmetatable(made), kind[1], at)
  end
end
for at = #kinds + 1, #kinds + 30 do
  pool[at] = one_of(numbers)
end
table.sort(functions, function(a, b) return a.path < b.path end)
for n = 1, calls do
  call()
  if n % 50 == 0 then
    refresh()
  end
end

local succeeded = 0
for _, entry in ipairs(functions) do
  succeeded = succeeded + (entry.right and 1 or 0)
end
return succeeded, #functions, complaints, remarks
