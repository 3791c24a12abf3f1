-- One definition of a model, all its uses: over a whole sequence, in parts, node by node,
-- in sessions and learners, from its file in a fresh process and in a host without Lua,
-- and as C under two compilers it says the same, or says why it is not used so.

local c = require "spec.support.c_files"
local commands = require "spec.support.commands"
local definitions = require "spec.support.definitions"
local files = require "spec.support.files"
local folders = require "spec.support.folders"
local gradients = require "spec.support.said_gradients"
local narrow = require "spec.support.narrow_weights"
local said = require "spec.support.said"
local saros = require "saros"
local core = require "saros.core"
local twin = require "spec.support.program_twin"
local nn = saros.nn

local T, B, CUT = 7, 3, 3
local TOLERANCE = c.is_double and 1e-9 or 5e-5

-- --- Subjects: a row, what is known of it once ---------------------------------------------------

local subjects = {}
for n, row in ipairs(definitions.rows) do
  local model, inputs = definitions.built(row), definitions.inputs_of(row, T, B)
  local s = { n = n, row = row, name = row.name, model = model, inputs = inputs }
  if not row.pairs then
    s.program = model:program()
    s.names, s.both_ways = said.names(s.program), said.is_both_ways(s.program)
    s.outputs, s.state = said.whole(model, inputs)
    s.pieces = row.pieces ~= false
  end
  subjects[n] = s
end

-- Values are the same, relative to what is above 1, and up to what else they may be off.
local function same(expected, got, what, more)
  assert(got, what .. ": nothing")
  assert.equal(expected:count(), got:count(), what)
  local a = expected:contiguous():reshape(-1)
  local off = ((a - got:contiguous():reshape(-1)):abs() / a:abs():maximum(1)):max():item()
  assert(off <= TOLERANCE + (more or 0), ("%s: %g off"):format(what, off))
end

-- All tensors by name.
local function all_same(expected, got, what, more)
  for name, tensor in pairs(expected) do
    same(tensor, got[name], what .. ", " .. name, more)
  end
  for name in pairs(got) do
    assert(expected[name], what .. ", " .. name .. ": too much")
  end
end

-- Tensors of a table whose names begin with a prefix, without it.
local function under(tensors, prefix)
  local list = {}
  for name, tensor in pairs(tensors) do
    if name:sub(1, #prefix) == prefix then
      list[name:sub(#prefix + 1)] = tensor
    end
  end
  return list
end

local BOTH_WAYS = 'session: expected layers of one direction, got state ".*", which walks from the end of a sequence'
local NO_PROGRAM = "program: expected a module that computes step by step, got an encoder_decoder"

-- Why a model has no session, if it has none.
local function refusal(s)
  return s.row.pairs and NO_PROGRAM or s.both_ways and BOTH_WAYS or nil
end

local function is_refused(pattern, f)
  assert.error_matches(f, pattern)
end

-- The parameters of a subject's program, by name.
local function parameters_of(s)
  local list, tensors = {}, s.model:tensors()
  for _, parameter in ipairs(s.program.parameters) do
    list[parameter.name] = tensors[parameter.name]
  end
  return list
end

-- --- Uses in this process --------------------------------------------------------------------------

local uses = {}

function uses.row_by_row(s)
  for row = 1, B do
    local alone = said.whole(s.model, said.row(s.inputs, row))
    for name, y in pairs(s.outputs) do
      same(y:slice(2, row, row), alone[name], ("row %d, %s"):format(row, name))
    end
  end
end

uses["in parts, with the state carried"] = function(s)
  if not s.pieces or s.both_ways then
    return
  end
  local first, state = said.whole(s.model, said.part(s.inputs, 1, CUT))
  local second, last = said.whole(s.model, said.part(s.inputs, CUT + 1, T), state)
  all_same(s.outputs, said.joined { first, second }, "two parts")
  all_same(said.leaves(s.state), said.leaves(last), "states")
  local parts = {}
  state = nil
  for t = 1, T do
    parts[t], state = said.whole(s.model, said.part(s.inputs, t, t), state)
  end
  all_same(s.outputs, said.joined(parts), "step by step")
  all_same(said.leaves(s.state), said.leaves(state), "states, step by step")
end

uses["where it starts again"] = function(s)
  if not s.pieces then
    return
  end
  local reset = saros.zeros(T, B)
  reset[CUT + 1]:fill(1)
  local outputs, last = said.whole(s.model, s.inputs, nil, { reset = reset })
  local first = said.whole(s.model, said.part(s.inputs, 1, CUT))
  local second, state = said.whole(s.model, said.part(s.inputs, CUT + 1, T))
  all_same(said.joined { first, second }, outputs, "with a reset")
  if not s.both_ways then
    all_same(said.leaves(state), said.leaves(last), "states")
  end
end

local LENGTHS = { 7, 4, 1 }

-- What padded rows say before they end, and the states then.
local function assert_ends(s, outputs, leaves, what)
  for row, length in ipairs(LENGTHS) do
    local alone, state = said.whole(s.model, said.part(said.row(s.inputs, row), 1, length))
    for name, y in pairs(alone) do
      same(y, outputs[name]:slice(2, row, row):slice(1, 1, length), ("%s, row %d, %s"):format(what, row, name))
    end
    for name, leaf in pairs(said.leaves(state)) do
      same(leaf, leaves[name]:slice(1, row, row), ("%s, row %d, state %s"):format(what, row, name))
    end
  end
end

uses["in rows of other lengths"] = function(s)
  if not s.pieces then
    return
  end
  local mask = saros.zeros(T, B)
  for row, length in ipairs(LENGTHS) do
    mask:slice(2, row, row):slice(1, 1, length):fill(1)
  end
  local outputs, state = said.whole(s.model, s.inputs, nil, { mask = mask })
  assert_ends(s, outputs, said.leaves(state), "the model")
  local y, last = core.program(s.program:encode()):run { parameters = parameters_of(s), inputs = s.inputs, mask = mask }
  assert_ends(s, y, last, "its program")
end

uses["node by node"] = function(s)
  local outputs, last = twin.run(s.program, s.model:tensors(), s.inputs, {})
  all_same(s.outputs, outputs, "the twin")
  local leaves = said.leaves(s.state)
  for n, state in ipairs(s.program.states) do
    if leaves[state.name] then
      same(leaves[state.name], last[n], "state " .. state.name)
    end
  end
end

uses["as its program"] = function(s)
  local parameters = parameters_of(s)
  local program = core.program(s.program:encode())
  for way, plain in pairs { ["a loop"] = false, ["plain operations"] = true } do
    local outputs, last = program:run { parameters = parameters, inputs = s.inputs, plain = plain }
    all_same(s.outputs, outputs, way)
    for name, leaf in pairs(said.leaves(s.state)) do
      same(leaf, last[name], way .. ", state " .. name)
    end
  end
end

uses["in sessions"] = function(s)
  local all = s.model:session { streams = B }
  all_same(s.outputs, said.stepped(s.model, all, s.inputs, s.names), "three streams")
  local alone = s.model:session()
  for row = 1, B do
    local outputs = said.stepped(s.model, alone:reset(), said.row(s.inputs, row), s.names)
    for name, y in pairs(s.outputs) do
      same(y:slice(2, row, row), outputs[name], ("one stream, row %d, %s"):format(row, name))
    end
  end
end

local function net_of(model)
  return model.kind == "forecaster" and model.net or model
end

-- The session inside what a classifier or a forecaster makes of it.
local function inner(session)
  return type(session) == "table" and session.inner or session
end

uses["in a session that goes on from a layer, and back"] = function(s)
  if not s.pieces then
    return
  end
  local net = net_of(s.model)
  local _, state = said.whole(s.model, said.part(s.inputs, 1, CUT))
  local session = net:session { streams = B }
  if state then
    session:set_state(state)
    all_same(said.leaves(state), said.leaves(session:state()), "as it was set")
  else
    said.stepped(net, session, said.part(s.inputs, 1, CUT), s.names)
  end
  local outputs = said.stepped(net, session, said.part(s.inputs, CUT + 1, T), s.names)
  for name, y in pairs(s.outputs) do
    same(y:slice(1, CUT + 1, T), outputs[name], name)
  end
  all_same(said.leaves(s.state), state and said.leaves(session:state()) or {}, "states behind it")
  if state then
    local again = said.part(s.inputs, 1, CUT)
    local expected = said.whole(s.model, again, s.state)
    all_same(expected, (said.whole(s.model, again, session:state())), "a layer behind a session")
    all_same(expected, said.stepped(net, session:set_state(s.state), again, s.names), "behind all steps")
    local alone = net:session():set_state(nn.state.select(s.state, 2))
    all_same(said.row(expected, 2), said.stepped(net, alone, said.row(again, 2), s.names), "one stream")
  end
end

-- What a model means with weights in fewer bits: outputs, last states, how far off it may be.
local function narrowed(s, weights)
  if not s[weights] then
    local outputs, last, off = narrow.run(s.program, s.model:tensors(), s.inputs, weights)
    s[weights] = { outputs = outputs, last = last, off = off }
  end
  return s[weights]
end

-- The states that a session has, by the names of the program.
local function assert_states(s, expected, session, what)
  local leaves = said.leaves(inner(session):state())
  for n, state in ipairs(s.program.states) do
    same(expected.last[n], leaves[state.name], what .. ", state " .. state.name, expected.off)
  end
end

uses["in sessions of fewer bits, which go on from each other"] = function(s)
  local first, second = said.part(s.inputs, 1, CUT), said.part(s.inputs, CUT + 1, T)
  for _, weights in ipairs { "bf16", "int8" } do
    local function session(streams)
      return s.model:session { streams = streams, weights = weights }
    end
    local before, behind, alone, expected = session(B), session(B), session(1), narrowed(s, weights)
    local begun = said.stepped(s.model, before, first, s.names)
    local state = inner(before):state()
    inner(behind):set_state(state)
    local outputs = said.joined { begun, said.stepped(s.model, behind, second, s.names) }
    all_same(expected.outputs, outputs, weights, expected.off)
    assert_states(s, expected, behind, weights)
    inner(alone):set_state(nn.state.select(state, 2))
    all_same(said.row(said.part(expected.outputs, CUT + 1, T), 2),
      said.stepped(s.model, alone, said.row(second, 2), s.names), weights .. ", one stream", expected.off)
  end
end

uses["as a learner"] = function(s)
  local learner = s.model:learner { streams = B, window = 4 * T }
  all_same(s.outputs, said.stepped(s.model, learner, s.inputs, s.names), "a learner")
end

-- --- Gradients ----------------------------------------------------------------------------------------

-- Gradients by name, relative to the largest of each; none is none but zeros.
local function same_gradients(expected, got, what)
  for _, pair in ipairs { { expected, got }, { got, expected } } do
    for name, gradient in pairs(pair[1]) do
      local scale = 1 / math.max(1, gradient:abs():max():item())
      local other = pair[2][name] or gradient * 0
      same(gradient * scale, other * scale, ("%s, gradient of %s"):format(what, name))
    end
  end
end

-- Those of a module; nil where they are random, or of another function than its program.
local function gradients_of(s)
  if not s.gradients and not next(s.model:generators()) and not s.row.is_trained_otherwise then
    s.gradients = gradients.of(s.model:tensors(), s.inputs, function() return (said.whole(s.model, s.inputs)) end)
  end
  return s.gradients
end

uses["with the same gradients as its program"] = function(s)
  local expected, parameters, program = gradients_of(s), parameters_of(s), core.program(s.program:encode())
  for way, plain in pairs(expected and { ["a loop"] = false, ["plain operations"] = true } or {}) do
    same_gradients(expected, gradients.of(s.model:tensors(), s.inputs, function()
      return (program:run { parameters = parameters, inputs = s.inputs, plain = plain })
    end), way)
  end
end

uses["with the same gradients as a learner"] = function(s)
  local model = definitions.built(s.row)
  local learner = gradients.learner(model, s.inputs)
  local targets, expected = gradients.of_window(definitions.built(s.row), s.inputs)
  same_gradients(expected, gradients.of_learner(learner, model, s.inputs, targets), "a learner")
end

-- --- What is refused ------------------------------------------------------------------------------

local STEPPED = {
  ["in sessions"] = true, ["as a learner"] = true, ["in a session that goes on from a layer, and back"] = true,
  ["in sessions of fewer bits, which go on from each other"] = true, ["with the same gradients as a learner"] = true,
}

-- What a model refuses of these.
local function refusal_of(s, use)
  local refused = STEPPED[use] and refusal(s)
  if use:find "as a learner" and s.row.refuses and s.row.refuses.learner then
    refused = refused or s.row.refuses.learner
  end
  return refused or nil
end

local function sorted_keys(t)
  local names = {}
  for name in pairs(t) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

describe("one definition", function()
  for _, use in ipairs(sorted_keys(uses)) do
    for _, s in ipairs(subjects) do
      if not s.row.pairs then
        it(("says the same %s: %s"):format(use:gsub("_", " "), s.name), function()
          local pattern = refusal_of(s, use)
          if pattern then
            is_refused(pattern, function() uses[use](s) end)
          else
            uses[use](s)
          end
        end)
      end
    end
  end

  for _, s in ipairs(subjects) do
    if s.row.pairs then
      it("is neither stepped nor learned from step by step: " .. s.name, function()
        for _, use in ipairs { s.model.session, s.model.learner, s.model.program } do
          is_refused(NO_PROGRAM, function() use(s.model) end)
        end
      end)
    end
  end
end)

describe("what no step computes", function()
  for _, row in ipairs(definitions.refused) do
    it("is refused by name, with the reason: " .. row.name, function()
      local model = definitions.built(row)
      for _, use in ipairs { model.program, model.session, model.learner, function(m)
        saros.export_c(m, "/nowhere/a.c")
      end } do
        local ok, message = pcall(use, model)
        assert.is_false(ok)
        assert.is_truthy(message:find(row.why, 1, true), message)
      end
      files.with_path(function(path)
        assert(model:save(path))
        local loaded, message = saros.load(path)
        assert.is_nil(loaded)
        assert.is_truthy(message:find(row.why, 1, true), message)
      end)
    end)
  end
end)

-- --- Uses elsewhere -------------------------------------------------------------------------------

-- Everything that other processes need, once: files, their inputs, C sources.
local folder, host

local function scale_of(s)
  return s.model.kind == "forecaster" and s.model.scale.inputs or s.model.features
end

-- Inputs as a host without Lua gives them.
local function in_units(s, inputs)
  local scale, list = scale_of(s), {}
  for name, x in pairs(inputs) do
    list[name] = scale and scale:invert(x) or x
  end
  return list
end

-- What a host was told, as the model itself tells it.
local function on_scale(s, outputs)
  local targets = s.model.kind == "forecaster" and s.model.scale.targets
  for name, y in pairs(outputs) do
    outputs[name] = targets and targets:apply(y:reshape(-1, #targets)):reshape(y:shape()) or y
  end
  return outputs
end

local function save_all()
  for _, s in ipairs(subjects) do
    local inputs = s.inputs
    if s.row.pairs then
      inputs = { source = inputs.x:slice(2, 1, 1):reshape(-1):clone() }
    end
    assert(s.model:save(("%s/%d.safetensors"):format(folder, s.n)))
    assert(saros.safetensors.write(("%s/%d.inputs"):format(folder, s.n), inputs))
    assert(saros.safetensors.write(("%s/%d.units"):format(folder, s.n), in_units(s, inputs)))
  end
end

-- A host, built as spec/c is: against the library of the build that runs.
local function build_host()
  local build = commands.interpreter:match "^(.*)/saros$"
  host = folder .. "/host"
  local real = c.is_double and "-DSAROS_DOUBLE" or ""
  local watched = build:find("sanitize", 1, true) and "-fsanitize=address,undefined" or ""
  c.succeed("cc -std=c99 -O1 -Wall -Wextra -Werror %s %s -Isrc spec/support/said_by_host.c %s/libsaros.a -o '%s' "
    .. "$(pkg-config --libs lua5.4 openblas jansson minizip) -lm -lpthread", real, watched, build, host)
end

-- What another process has written of a model: tensors, metadata.
local function said_elsewhere(s, kind)
  return assert(saros.safetensors.read(("%s/%d.%s"):format(folder, s.n, kind)))
end

-- A file of a process that ran a model and stepped it.
local function assert_same_elsewhere(s, kind)
  local tensors, metadata = said_elsewhere(s, kind)
  local function told(prefix)
    return kind == "host" and on_scale(s, under(tensors, prefix)) or under(tensors, prefix)
  end
  all_same(s.outputs, told "run.", "the sequence")
  for name, leaf in pairs(s.pieces and said.leaves(s.state) or {}) do
    same(leaf, tensors["last." .. name], "state " .. name)
  end
  if s.both_ways then
    assert.matches(BOTH_WAYS, metadata.session)
  else
    assert.is_nil(metadata.session)
    all_same(s.outputs, told "step.", "a session")
  end
end

-- What sessions of the host say with states of others: behind CUT steps of another
-- session, with weights of each kind, and behind the whole sequence.
local function assert_handed_over(s)
  local tensors = said_elsewhere(s, "host")
  local all = { real = { outputs = s.outputs, off = 0 }, bf16 = narrowed(s, "bf16"), int8 = narrowed(s, "int8") }
  for weights, expected in pairs(all) do
    local second = said.part(expected.outputs, CUT + 1, T)
    all_same(second, on_scale(s, under(tensors, weights .. ".")), weights, expected.off)
    all_same(said.row(second, 1), on_scale(s, under(tensors, weights .. " alone.")), weights .. ", one stream",
      expected.off)
  end
  if s.pieces then
    local again = said.whole(s.model, said.part(s.inputs, 1, CUT), s.state)
    all_same(again, on_scale(s, under(tensors, "again.")), "behind all steps")
  end
end

-- The sequence for the test of a C file, as the model takes it from scripts.
local function test_of(s)
  local list = {}
  for name, x in pairs(s.inputs) do
    local row = x:select(2, 1):contiguous()
    row = scale_of(s) and scale_of(s):invert(row) or row
    list[name] = s.model.vocabulary and s.model.vocabulary:decode(row:totable()) or row
  end
  return said.only(list)
end

-- One program with the tests of all files: NAME.c of models called PREFIX and a number.
local function write_program(name, prefix, weights)
  local lines, calls = {}, {}
  for n, s in ipairs(subjects) do
    local own = prefix .. n
    assert(saros.export_c(s.model, ("%s/%s.c"):format(folder, own), { name = own, test = test_of(s),
      weights = weights }))
    lines[n] = ("#define %s_TEST\n#define main %s_main\n#include \"%s.c\"\n#undef main\n"):format(own:upper(), own,
      own)
    calls[n] = ("  %s_main();\n"):format(own)
  end
  files.write(("%s/%s.c"):format(folder, name), ("%sint main(void) {\n%s  return 0;\n}\n"):format(
    table.concat(lines), table.concat(calls)))
end

-- In what ways C files are compiled. Most of the time goes into optimizing, which
-- spec/export_program_spec.lua has both compilers do for all cells.
local COMPILED = {
  { program = "real", prefix = "m", command = "gcc " .. c.FLAGS },
  { program = "real", prefix = "m", command = "clang " .. c.FLAGS:gsub("-O1", "-O0") },
  { program = "int8", prefix = "i", command = "clang " .. c.FLAGS:gsub("-O1", "-O0") },
}

-- How far off a file may be. In 8 bits its test has what the session in 8 bits says,
-- which knows the operands of products as the file does where bytes are multiplied.
local function bound_of(s, prefix)
  local is_stepped = prefix == "i" and not refusal(s)
  if prefix == "i" and not is_stepped then
    return 2e-3 -- the sums in Lua, of operands with all digits
  end
  local is_same = c.is_double or saros.info().isa:find "^avx512."
  return TOLERANCE + (is_stepped and not is_same and narrowed(s, "int8").off or 0)
end

describe("one definition, elsewhere", function()
  setup(function()
    folder = folders.unused()
    assert(require("lfs").mkdir(folder))
    save_all()
  end)

  teardown(function()
    folders.remove(folder)
  end)

  describe("in a fresh process", function()
    setup(function()
      commands.succeed("spec/support/said_by_file.lua", folder, #subjects)
    end)

    for _, s in ipairs(subjects) do
      it("says the same: " .. s.name, function()
        if not s.row.pairs then
          assert_same_elsewhere(s, "fresh")
          assert.equal(tostring(s.model.batch_first), select(2, said_elsewhere(s, "fresh")).batch_first)
          if gradients_of(s) then
            same_gradients(gradients_of(s), under(said_elsewhere(s, "fresh"), "gradient."), "from a file")
          elseif s.row.is_trained_otherwise then
            assert.matches("expected no training tape", select(2, said_elsewhere(s, "fresh")).gradient, 1, true)
          end
          return
        end
        local found = said.translated(s.model, { source = s.inputs.x:slice(2, 1, 1) })
        same(found, said_elsewhere(s, "fresh")["run.y"], "a translation")
      end)
    end
  end)

  describe("in a host without Lua", function()
    setup(function()
      build_host()
      c.succeed("'%s' '%s' %d", host, folder, #subjects)
    end)

    for _, s in ipairs(subjects) do
      it("says the same: " .. s.name, function()
        if not s.row.pairs then
          assert_same_elsewhere(s, "host")
          if not s.both_ways then
            assert_handed_over(s)
          end
          return
        end
        local _, metadata = said_elsewhere(s, "host")
        assert.matches("expected a program", metadata.load, 1, true)
      end)
    end
  end)

  describe("as C", function()
    local printed = {}
    setup(function()
      write_program("real", "m", "real")
      write_program("int8", "i", "int8")
      local lines = {} -- all at once
      for n, how in ipairs(COMPILED) do
        lines[n] = ("{ %s %s.c -o %d.out -lm && ./%d.out > %d.txt; } & "):format(how.command, how.program, n, n, n)
      end
      c.succeed("cd '%s' && { %swait; }", folder, table.concat(lines))
      for n in ipairs(COMPILED) do
        printed[n] = files.read(("%s/%d.txt"):format(folder, n))
      end
    end)

    for _, s in ipairs(subjects) do
      it("says the same under every compiler, also in 8 bits: " .. s.name, function()
        for n, how in ipairs(COMPILED) do
          local line = ("\n" .. printed[n]):match(("\n(%s%d: [^\n]*)"):format(how.prefix, s.n))
          assert.equal("well", line and line:match "(%w+)$", how.command)
          local off = tonumber(line:match "off by at most (%S+):")
          assert(off <= bound_of(s, how.prefix), ("%s: %g off"):format(how.command, off))
        end
      end)
    end
  end)
end)
