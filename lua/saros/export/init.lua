--- A trained model as one C99 file that needs nothing but the C library: the
--- weights as constants, a state that the caller owns, and a step. What a
--- session can step can be exported, as both read the model's `stages`.

local core = require "saros.core"
local options = require "saros.options"
local functions = require "saros.export.functions"
local names_of = require "saros.export.names"
local build = require "saros.export.stages"
local templates = require "saros.export.templates"
local module = require "saros.nn.module"

local identifier = options.kind("a C identifier of at most 40 characters that begins with a letter", function(value)
  return type(value) == "string" and #value <= 40 and value:find "^[A-Za-z][A-Za-z0-9_]*$" and value or nil
end)

local check = options.declare("export_c", {
  { "name", identifier, "model" },
  { "weights", options.one_of { "real", "int8" }, "real" },
  { "test", options.optional(options.kind("a sequence that the model reads", function(value)
    return value
  end)) },
})

-- What the test of a file steps through, unless it is given.
local TEST_STEPS = 8

--- A model that takes or tells more than its stages do.
---@class saros.export.Parts
---@field net saros.nn.Module  whose stages step
---@field before saros.export.Scale?  the units of what goes in
---@field behind saros.export.Ahead?  and of what comes out
---@field labels string[]?  of the outputs
---@field input fun(sequence: any): saros.Tensor  what scripts give the model, as ids (T) or numbers (T, F)
---@field session fun(session: saros.Session): table  a session of the net as one of the model
---@field ask fun(input: saros.Tensor): saros.Tensor  what the model says after each step, (T, outputs)

-- --- Weights of 8 bits --------------------------------------------------------------------

--- The tensors of a stage that are matrices to multiply with.
local MATRICES = { "weight", "weight_ih", "weight_hh", "weight_hr" }

-- What the largest weight of a row of zeros is taken for.
local SMALLEST = 1e-30

--- Whole numbers by the rounding of sums that leave no room for a fraction.
local function round(x)
  local large = 1.5 * 2 ^ (core.info().real == "float" and 23 or 52)
  return x + large - large
end

--- Rows (n, k) as integers in -127..127 and a scale (n) for each row.
local function quantise(weight)
  local scale = weight:abs():max(2):reshape(-1, 1):maximum(SMALLEST) / 127
  local integers = round(weight / scale)
  return { integers = integers, scale = scale:reshape(-1), values = integers * scale }
end

--- The same stages with the matrices that int8 makes of theirs, and those by
--- the tensors that took their place.
local function quantise_stages(stages)
  local made, by_tensor, list = {}, {}, {}
  for number, stage in ipairs(stages) do
    list[number] = {}
    for field, value in pairs(stage) do
      list[number][field] = value
    end
    for _, field in ipairs(MATRICES) do
      local weight = stage[field]
      if weight and weight:rank() == 2 then
        made[weight] = made[weight] or quantise(weight)
        list[number][field] = made[weight].values
        by_tensor[made[weight].values] = made[weight]
      end
    end
  end
  return list, by_tensor
end

-- --- What the file is checked with ---------------------------------------------------------

--- Some input, a row for each step: ids (T) or features (T, inputs).
local function draw(facts)
  local generator, scale = core.generator(1), facts.before
  if scale then
    return generator:normal { TEST_STEPS, facts.inputs } * core.tensor(scale.factor) + core.tensor(scale.shift)
  elseif not facts.symbols then
    return generator:normal { TEST_STEPS, facts.inputs }
  end
  local ids = {}
  for step = 1, TEST_STEPS do
    ids[step] = generator:integer(facts.symbols)
  end
  return core.ids(ids)
end

--- What a session makes of it, (T, outputs).
local function walk(session, input, facts)
  local rows = {}
  for step = 1, #input do
    rows[step] = session:step(facts.symbols and input[step] or input:select(1, step)):reshape(-1):clone()
  end
  return core.stack(rows)
end

--- How many symbols or features a model reads, their units, and the labels.
local function facts_of(stages, parts)
  local first = stages[1]
  local weight = first.weight or first.weight_ih
  if first.kind == "embedding" then
    return { symbols = weight:size(1), labels = parts.labels }
  end
  return { inputs = weight:size(-1), before = parts.before, behind = parts.behind, labels = parts.labels }
end

--- True if it is what a step of the net takes, once for each step.
local function fits(input, facts)
  if options.tensor.accept(input) == nil or #input == 0 then
    return false
  elseif facts.symbols then
    return input:dtype() == "ids" and input:rank() == 1
  end
  return input:dtype() == "real" and input:rank() == 2 and input:size(2) == facts.inputs
end

--- What the test of the file steps through: as given, or drawn.
local function test_input(o, facts, parts)
  if o.test == nil then
    return draw(facts)
  end
  local input = options.about("export_c", parts.input, o.test)
  return fits(input, facts) and input or options.fail(
    "export_c: expected option 'test' to be a sequence that the model reads, got " .. options.describe(o.test))
end

-- --- What is exported ----------------------------------------------------------------------

--- What steps, and what stands before and behind it.
local function parts_of(model)
  if model.export_parts then
    return model:export_parts()
  end
  local function same(value)
    return value
  end
  local known = model.vocabulary
  return { net = model, session = same, input = known and function(text)
    return known:tensor(text)
  end or same }
end

--- All stages, those before and behind the net among them.
local function whole(stages, parts)
  if not parts.before then
    return stages
  end
  local list = { parts.before, table.unpack(stages) }
  if parts.behind then
    parts.behind.back = parts.behind.places and #stages or nil
    list[#list + 1] = parts.behind
  end
  return list
end

-- --- Text ---------------------------------------------------------------------------------

--- Text with values in place of its $words; a value may have some, too.
local function fill(template, values)
  local function once(text)
    return (text:gsub("%$(%a+)", values))
  end
  return once(once(template))
end

--- Text for a comment: letters, digits and what cannot end it.
local function harmless(text)
  return (text:gsub("[^%w .,:;()>_+-]", " "))
end

-- --- Parts of the file ----------------------------------------------------------------------

--- Members of the state, in a fixed order, and its bytes.
local function state_text(builder, bytes)
  local lines, elements = {}, 0
  local function member(name, size)
    lines[#lines + 1] = ("  %s %s[%d];\n"):format(builder.real, name, size)
    elements = elements + size
  end
  for _, entry in ipairs(builder.state) do
    member(entry.name, entry.size)
  end
  local names = {}
  for name in pairs(builder.scratch) do
    names[#names + 1] = name
  end
  table.sort(names)
  if #names > 0 then
    lines[#lines + 1] = "  /* of the step under way */\n"
  end
  for _, name in ipairs(names) do
    member(name, builder.scratch[name])
  end
  if elements == 0 then
    return "  char none; /* C wants a member */\n", 1
  end
  return table.concat(lines), elements * bytes
end

local function sizes_text(facts, outputs)
  local input = facts.symbols and ("#define $NAME_SYMBOLS %d /* ids that go in: 0..%d */"):format(
    facts.symbols, facts.symbols - 1) or ("#define $NAME_INPUTS %d /* numbers that go in */"):format(facts.inputs)
  return ("%s\n#define $NAME_OUTPUTS %d /* numbers that come out */\n"):format(input, outputs)
end

--- What goes in.
local function input_text(facts)
  if facts.symbols then
    return ("an id in 0..%d; another one is refused: -1, and nothing changes"):format(facts.symbols - 1)
  elseif facts.before then
    local units = facts.labels and "their own units" or "the units of the series"
    return ("%d numbers in %s: %s"):format(facts.inputs, units, harmless(table.concat(facts.before.names, ", ")))
  end
  return ("%d numbers"):format(facts.inputs)
end

--- What comes out.
local function output_text(facts, outputs)
  local text, series = ("%d numbers; not where the input is"):format(outputs), facts.behind
  if facts.labels then
    return text .. "\n**          the logits of $name_labels for what was read so far: the largest is the likeliest's"
  elseif not series then
    return text
  end
  return ("%s\n**          in the units of the series, %d for each of the next %d steps: %s"):format(text,
    #series.names, series.horizon, harmless(table.concat(series.names, ", ")))
end

--- What a reader wants to know first.
local function about_text(facts, outputs, parameters, state_bytes, weights)
  local lines = {
    "input:   " .. input_text(facts),
    "output:  " .. output_text(facts, outputs),
    ("weights: %d, constant%s"):format(parameters, weights == "int8" and ", matrices in 8 bits" or ""),
    ("state:   %d bytes; nothing else changes, nothing is allocated"):format(state_bytes),
  }
  if facts.before then
    local back = facts.behind and ", and back at the end" or ""
    table.insert(lines, 3, "scale:   inside, (x - $name_mean_1) / $name_scale_1" .. back)
  end
  return table.concat(lines, "\n** ")
end

--- What differs between models of symbols and of features.
local function input_values(facts, real, T)
  if facts.symbols then
    return {
      declaration = "int $name_step($name_state *state, int32_t input, $real *output)",
      begin = "  const $real *x;\n  if (input < 0 || input >= $NAME_SYMBOLS)\n    return -1;",
      finish = "  return 0;\n",
      type = "int32_t",
      drawn = T,
      argument = "$name_test_input[at]",
    }
  end
  return {
    declaration = "void $name_step($name_state *state, const $real *input, $real *output)",
    begin = "  const $real *x = input;",
    finish = "",
    type = real,
    drawn = T * facts.inputs,
    argument = "$name_test_input + at * $NAME_INPUTS",
  }
end

--- How far an output may be off. A norm of values that hardly differ divides by
--- their deviation, and that makes more of the order of a sum.
local function tolerance_of(builder)
  if builder.used.layer_norm then
    return builder.real == "float" and "1e-3" or "1e-9"
  end
  return builder.real == "float" and "1e-5" or "1e-12"
end

--- The values of the $words in the templates.
local function values_of(model, o, builder, facts, output)
  local real, T, outputs = builder.real, output:size(1), output:size(2)
  local state, bytes = state_text(builder, real == "float" and 4 or 8)
  local values = input_values(facts, real, T)
  values.name, values.NAME, values.real, values.f = o.name, o.name:upper(), real, builder.f
  values.title, values.version = harmless(model:describe()), core.info().version
  values.about = about_text(facts, outputs, model:count(), bytes, o.weights)
  values.sizes, values.state = sizes_text(facts, outputs), state
  values.first = table.concat(builder.first)
  values.steps = table.concat(builder.step, "\n")
  values.begin = values.begin .. (bytes == 1 and "\n  (void)state;" or "")
  values.T, values.expected = T, T * outputs
  values.tolerance, values.unit = tolerance_of(builder), builder.unit or "1"
  return values
end

--- The functions that the steps call.
local function functions_text(used)
  local list = {}
  for _, entry in ipairs(functions) do
    if used[entry.name] then
      list[#list + 1] = entry.source .. "\n"
    end
  end
  return table.concat(list)
end

--- The file: strings, and tensors between them. `names` are those of symbols and
--- labels.
local function pieces_of(values, builder, names, input, output)
  local pieces = {}
  local function add(piece)
    pieces[#pieces + 1] = type(piece) == "string" and fill(piece, values) or piece
  end
  values.vocabulary = names.declarations
  add(templates.declarations)
  for _, piece in ipairs(builder.constants) do
    add(piece)
  end
  add(names.definitions)
  add(functions_text(builder.used))
  add(templates.steps)
  add(templates.test_input)
  add(input)
  add(templates.test_output)
  add(output)
  add(templates.test_main)
  add "\n#endif\n"
  return pieces
end

--- Write a trained model as one C99 file without dependencies: `NAME_state`,
--- `NAME_reset(state)` and `NAME_step(state, input, output)`, with its weights as
--- constants. Ids count from 0 there. The file has a test, too: compiled with
--- -DNAME_TEST (in capitals) it steps through some input and returns 0 if the
--- outputs are what the model says here: a classifier's `classify`, a forecaster's
--- `forecasts`, other models' sessions. `test` is a sequence for it, as the model
--- takes it from scripts: a text, or rows of numbers in their own units.
---
--- A forecaster takes and tells numbers in the units of its series, a classifier
--- takes them in the units of its features and has `NAME_labels`. A model that
--- sessions refuse is refused with their error. In 8 bits matrices
--- are whole numbers and a scale for each row, and so a quarter of the size; the
--- test then compares with a session that has these weights.
---@param model saros.nn.Module
---@param path string
---@param given? { name?: string, weights?: "real"|"int8", test?: any }  "model"; "real": exactly as they are
---@return true? ok  nil if the file could not be written
---@return string? message
local function export_c(model, path, given)
  local _ <close> = core.no_gradient()
  local o = check(given)
  if not module.is(model) then
    options.fail("export_c: expected a model, got " .. options.describe(model))
  elseif type(path) ~= "string" then
    options.fail("export_c: expected a path, got " .. options.describe(path))
  end
  local parts = parts_of(model)
  local session, stages, quantised = parts.net:session(), parts.net:stages(), {}
  local ask = parts.ask
  if o.weights == "int8" then
    stages, quantised = quantise_stages(stages)
    session, ask = core.session(stages, 1, "real"), nil
  end
  local facts = facts_of(stages, parts)
  local input = test_input(o, facts, parts)
  local output = ask and ask(input) or walk(parts.session(session), input, facts)
  local builder = build(whole(stages, parts), facts.inputs or 1, core.info().real, quantised)
  local names = names_of(model.vocabulary, facts.symbols, facts.labels)
  return core.write_source(path, pieces_of(values_of(model, o, builder, facts, output), builder, names, input, output))
end

return export_c
