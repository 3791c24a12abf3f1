--- The file of a program: what stands in it, from the comment at its beginning to
--- the test at its end.

local core = require "saros.core"
local File = require "saros.export.file"
local frame = require "saros.export.frame"
local names_of = require("saros.export.names").of
local read = require "saros.export.graph"
local text = require "saros.export.text"
local unit_of = require "saros.export.unit"

---@class saros.export.Facts  what a program does not say
---@field name string
---@field title string
---@field weights "real"|"int8"
---@field vocabulary any?
---@field labels string[]?
---@field before saros.export.Scale?  the units of what goes in
---@field behind saros.export.Ahead?  and of what comes out
---@field final boolean?  do the outputs come at the end of a sequence alone?
---@field test { inputs: saros.Tensor[], outputs: saros.Tensor[] }?  (T, ...) each
---@field parameters integer?  how many weights there are

-- --- What goes in and out -----------------------------------------------------------------

local function sizes_text(unit)
  local lines = {}
  for _, argument in ipairs(unit.arguments) do
    lines[#lines + 1] = argument.is_id and ("#define %s %d /* ids that go in: 0..%d */"):format(argument.macro,
      argument.number, argument.number - 1) or ("#define %s %d /* numbers that go in */"):format(argument.macro,
      argument.number)
  end
  for _, result in ipairs(unit.results) do
    lines[#lines + 1] = ("#define %s %d /* numbers that come out */"):format(result.macro, result.width)
  end
  if unit.memory > 0 then
    lines[#lines + 1] = ("/* Numbers that a walk needs room for. */\n"
      .. "#define $UNIT_MEMORY(steps) ((size_t)(steps) * %d)"):format(unit.memory)
  end
  return table.concat(lines, "\n") .. "\n"
end

--- What goes in.
local function input_text(argument, facts)
  local before = facts.before
  if argument.is_id then
    return ("an id in 0..%d; another one is refused: -1, and nothing changes"):format(argument.number - 1)
  elseif before then
    local units = facts.labels and "their own units" or "the units of the series"
    return ("%d numbers in %s: %s"):format(argument.number, units, text.harmless(table.concat(before.names, ", ")))
  end
  return ("%d numbers"):format(argument.number)
end

--- What comes out.
local function output_text(result, facts)
  local told, series = ("%d numbers; not where the input is"):format(result.width), facts.behind
  if facts.labels then
    return ("%s\n**          the logits of $name_labels for %s: the largest is the likeliest's"):format(told,
      facts.final and "the whole sequence" or "what was read so far")
  elseif not series then
    return told
  end
  return ("%s\n**          in the units of the series, %d for each of the next %d steps: %s"):format(told,
    #series.names, series.horizon, text.harmless(table.concat(series.names, ", ")))
end

--- What a reader wants to know first.
local function about_text(unit, facts)
  local lines, bytes = {}, core.info().real == "float" and 4 or 8
  for _, argument in ipairs(unit.arguments) do
    lines[#lines + 1] = ("%-8s %s"):format(argument.name .. ":", input_text(argument, facts))
  end
  for _, result in ipairs(unit.results) do
    lines[#lines + 1] = ("%-8s %s"):format(result.name .. ":", output_text(result, facts))
  end
  if facts.before then
    local back = facts.behind and ", and back at the end" or ""
    lines[#lines + 1] = "scale:   inside, (x - $name_input_mean) / $name_input_scale" .. back
  end
  lines[#lines + 1] = ("weights: %d, constant%s"):format(facts.parameters, facts.weights == "int8"
    and ", matrices in 8 bits" or "")
  lines[#lines + 1] = ("state:   %d bytes; nothing else changes, nothing is allocated"):format(unit.elements * bytes)
  return table.concat(lines, "\n** ")
end

local function members_text(unit)
  local lines = {}
  for position, state in ipairs(unit.graph.states) do
    lines[position] = ("\n**   %s: %s"):format(state.member, text.harmless(state.name))
  end
  return #lines > 0 and table.concat(lines) or "nothing"
end

local function call_of(unit, what)
  local list = { "&state" }
  for _, argument in ipairs(unit.arguments) do
    list[#list + 1] = argument.name
  end
  if what == "run" then
    list[#list + 1] = "steps"
  end
  for _, result in ipairs(unit.results) do
    list[#list + 1] = result.name
  end
  if what == "run" and unit.memory > 0 then
    list[#list + 1] = "memory"
  end
  return ("**   $name_%s(%s);"):format(what, table.concat(list, ", "))
end

local function usage_text(unit)
  local lines = { "**   $name_state state;", "**   $name_reset(&state);                   before the first step" }
  if unit.steps then
    lines[#lines + 1] = call_of(unit, "step") .. "     once for each step, as often as you like"
    lines[#lines + 1] = call_of(unit, "run") .. "     or for several steps at once, one behind the other"
  else
    lines[#lines + 1] = call_of(unit, "run") .. "     for a whole sequence, which is read to and fro"
    if unit.memory > 0 then
      lines[#lines + 1] = "** memory is yours: $NAME_MEMORY(steps) numbers, whatever is in them."
    end
  end
  return table.concat(lines, "\n")
end

--- True if the outputs are logits of labels or of the symbols that go in.
local function is_choice(unit, facts)
  local known, result = facts.vocabulary, unit.results[1]
  return #unit.results == 1 and (facts.labels
    or type(known) == "table" and type(known.symbols) == "table" and #known.symbols == result.width) and true or false
end

local function prototypes_text(unit, facts)
  local lines = { "void $unit_reset($unit_state *state);" }
  lines[#lines + 1] = unit.heads.step and unit.heads.step .. ";" or nil
  lines[#lines + 1] = unit.heads.run .. ";"
  if is_choice(unit, facts) then
    lines[#lines + 1] = "int32_t $name_probabilities($real *probabilities, const $real *output);"
  end
  return table.concat(lines, "\n") .. "\n"
end

-- --- The test ------------------------------------------------------------------------------

local function tolerance_of(file, facts)
  local is_norm = file.used.layer_norm or file.used.rms_norm
  if file.real == "double" then
    return is_norm and "1e-9" or "1e-12"
  elseif facts.weights == "int8" then
    return "2e-3"
  end
  return is_norm and "1e-3" or "1e-5"
end

--- A call over the test's inputs: step t, or all steps.
local function test_call(unit, what)
  local call = { "&state" }
  for _, argument in ipairs(unit.arguments) do
    local name, at = "$name_test_" .. argument.name, argument.is_id and "[t]" or (" + t * %d"):format(argument.number)
    call[#call + 1] = what == "run" and name or name .. at
  end
  if what == "run" then
    call[#call + 1] = "$NAME_TEST_STEPS"
  end
  for _, result in ipairs(unit.results) do
    call[#call + 1] = what == "run" and result.name or ("%s + t * %d"):format(result.name, result.width)
  end
  if what == "run" and unit.memory > 0 then
    call[#call + 1] = "memory"
  end
  return ("$name_%s(%s);\n"):format(what, table.concat(call, ", "))
end

local COMPARE = [[
    for (int i = 0; i < %s; i++) {
      const double off = $name_test_off(%s[i], $name_test_%s[i], %s);
      worst = off > worst ? off : worst;
    }
]]

--- How many numbers of a result the test compares.
local function test_size(unit, result)
  return unit.graph.final and result.macro or ("$NAME_TEST_STEPS * %d"):format(result.width)
end

--- The statements that walk and compare: a step at a time, then all.
local function walk_text(unit, facts)
  local lines = {}
  for _, result in ipairs(unit.results) do
    lines[#lines + 1] = ("    static $real %s[%s];\n"):format(result.name, test_size(unit, result))
  end
  if unit.memory > 0 then
    lines[#lines + 1] = "    static $real memory[$NAME_MEMORY($NAME_TEST_STEPS)];\n"
  end
  if unit.steps then
    lines[#lines + 1] = "    for (int t = 0; t < $NAME_TEST_STEPS && round == 0; t++)\n      "
    lines[#lines + 1] = test_call(unit, "step")
    lines[#lines + 1] = "    if (round == 1)\n  "
  end
  lines[#lines + 1] = "    " .. test_call(unit, "run")
  for _, result in ipairs(unit.results) do
    lines[#lines + 1] = COMPARE:format(test_size(unit, result), result.name, result.name,
      facts.behind and unit.file.unit or "1")
  end
  return table.concat(lines)
end

--- The pieces of the test: arrays, and the program.
local function add_test(add, unit, test)
  add(frame.test)
  for position, argument in ipairs(unit.arguments) do
    frame.add_array(add, argument.is_id and "int32_t" or "$real", argument.name, test.inputs[position])
  end
  for position, result in ipairs(unit.results) do
    frame.add_array(add, "$real", result.name, test.outputs[position])
  end
  add(frame.test_main)
end

-- --- All of it -----------------------------------------------------------------------------

local CHECK = "** Does it work here?   cc -std=c99 -O2 -D$NAME_TEST THIS_FILE -lm && ./a.out\n"

local function values_of(unit, file, facts)
  return {
    name = facts.name, NAME = facts.name:upper(), unit = "$name", UNIT = "$NAME", real = file.real, f = file.f,
    title = text.harmless(facts.title), version = core.info().version, usage = usage_text(unit),
    about = about_text(unit, facts), check = facts.test and CHECK or "", sizes = sizes_text(unit),
    types = frame.type, members = members_text(unit), state = unit.state, prototypes = prototypes_text(unit, facts),
    first = unit.first ~= "" and unit.first .. "\n" or "",
    T = facts.test and #(facts.test.inputs[1] or facts.test.outputs[1]),
    tolerance = tolerance_of(file, facts), walk = walk_text(unit, facts),
  }
end

--- The pieces of the file of a program: strings, and tensors between them.
---@param program table  plain data, as a program's JSON has it
---@param tensors table<string, saros.Tensor>  its parameters by name
---@param facts saros.export.Facts
---@param test? fun(graph: saros.export.Graph): { inputs: saros.Tensor[], outputs: saros.Tensor[] }
---@return (string|saros.Tensor)[]
return function(program, tensors, facts, test)
  local file = File.new(facts.weights)
  local graph = read(program, tensors, facts)
  facts.test = test and test(graph) or facts.test
  local unit = unit_of(file, graph)
  local choice = is_choice(unit, facts) and frame.choice or ""
  file:use(choice ~= "" and "softmax" or "")
  local values = values_of(unit, file, facts)
  local id = unit.arguments[1] and unit.arguments[1].is_id and unit.arguments[1].number
  local names = names_of(facts.vocabulary, id, facts.labels)
  values.vocabulary = names.declarations
  local pieces, add = frame.open(file, values, frame.declarations, names.definitions)
  add(frame.model)
  add(frame.reset)
  add(unit.text)
  add(choice)
  add(frame.finish)
  if facts.test then
    add_test(add, unit, facts.test)
  end
  add "\n#endif\n"
  return pieces
end
