--- An encoder and a decoder as one C file: three programs, of the encoder over a whole
--- source, of a step of the decoder and of what is said from that, and between them
--- attention over the steps of the source.

local core = require "saros.core"
local options = require "saros.options"
local File = require "saros.export.file"
local evaluate = require "saros.export.evaluate"
local frame = require "saros.export.pairs_frame"
local shared = require "saros.export.frame"
local names = require "saros.export.names"
local read = require "saros.export.graph"
local sequence_of = require "saros.export.sequence"
local text = require "saros.export.text"
local unit_of = require "saros.export.unit"
local module = require "saros.nn.module"

-- --- The three programs ---------------------------------------------------------------------

local Encoder, Decoder, Writer = module.class "encoder", module.class "decoder", module.class "writer"

function Encoder:forward(x, state)
  local keys, last = self.encoder(self.embedding(x), state)
  return { keys = keys, sums = self.key and self.key(keys) or nil }, last
end

function Decoder:forward(x, state)
  local y, last = self.decoder(self.embedding(x), state)
  local look, query = self.look, nil
  if look then
    query = look.query and look.query(y) or look.form == "scaled_dot" and y / math.sqrt(look.keys) or y
  end
  return { query = query, y = y }, last
end

function Writer:forward(x)
  if self.combine then
    return self.head(core.tanh(self.combine(x.context .. x.y)))
  end
  return self.head(x)
end

local function with(class, inputs, members)
  local self = class.new()
  self.inputs, self.stateful, self.initialized = inputs, class ~= Writer, true
  for name, member in pairs(members) do
    self[name] = self:add_member(name, member)
  end
  return self
end

--- The modules of a model, and the sizes that count.
local function parts_of(model)
  local look, H = model.attention, model.decoder.output
  local encoder = with(Encoder, { { name = "x", count = model.source_embedding.weight:size(1) } },
    { embedding = model.source_embedding, encoder = model.encoder, key = look and look.key or nil })
  local decoder = with(Decoder, { { name = "x", count = model.boundary } },
    { embedding = model.target_embedding, decoder = model.decoder })
  decoder.look = look
  local inputs = { { name = "y", width = H } }
  if look then
    table.insert(inputs, 1, { name = "context", width = H })
  end
  local writer = with(Writer, inputs, { combine = look and model.combine or nil, head = model.head })
  return { encoder = encoder, decoder = decoder, writer = writer }
end

local function member_of(states, path)
  for _, state in ipairs(states) do
    if table.concat(state.path, ".") == path then
      return state
    end
  end
end

--- For each state of the decoder those of the encoder that it begins with.
local function bridges_of(model, graphs)
  local list = {}
  for _, state in ipairs(graphs.decoder.states) do
    local layer, which = state.path[1], state.path[2]
    local from = { ("%d.%s"):format(layer, which) }
    if model.configuration.bidirectional then
      from = { ("%d.%s"):format(2 * layer - 1, which), ("%d.%s"):format(2 * layer, which) }
    end
    for position, path in ipairs(from) do
      from[position] = member_of(graphs.encoder.states, path)
        or options.fail("export_c: expected a decoder that begins where the encoder ends, got another state")
    end
    list[#list + 1] = { to = state, from = from }
  end
  return list
end

-- --- What the file is checked with --------------------------------------------------------------

local TEST_STEPS = 8

--- A function that says the logits after each symbol, by the model as it is.
local function steps_of_model(model, source)
  local memory = model:encode(source:reshape(-1, 1))
  local state = memory.state
  return function(before)
    local logits
    logits, state = model:decode(core.ids { { before } }, state, memory)
    return logits:reshape(-1)
  end
end

--- What a query finds among the keys.
local function looked(model, query, encoded)
  local keys, is_additive = encoded[1], model.attention.form == "additive"
  local scores = is_additive and core.linear(core.tanh(encoded[2] + query:reshape(1, -1)), model.attention.score)
    or keys:matmul(query:reshape(-1, 1))
  return core.softmax(scores:reshape(-1)):reshape(1, -1):matmul(keys)
end

--- The same with matrices in 8 bits.
local function steps_in_8_bits(model, graphs, bridges, source)
  local encoded, last = evaluate(graphs.encoder, { source }, #source)
  for _, bridge in ipairs(bridges) do
    local list = {}
    for position, state in ipairs(bridge.from) do
      list[position] = last[state]
    end
    bridge.to.first = core.concatenate(list, 1)
  end
  return function(before)
    local made, after = evaluate(graphs.decoder, { core.ids { before } }, 1)
    for state, value in pairs(after) do
      state.first = value
    end
    local y = made[#made]
    local inputs = model.attention and { looked(model, made[1]:reshape(-1), encoded), y } or { y }
    return evaluate(graphs.writer, inputs, 1)[1]:reshape(-1)
  end
end

local function test_source(model, o)
  if o.test ~= nil then
    local known = model.source
    return sequence_of(o.test, function(given)
      return type(given) == "string" and type(known) == "table" and known:whole(given) or given
    end, { op = "ids" }) or options.fail("export_c: expected option 'test' to be a sequence that the model reads, got "
      .. options.describe(o.test))
  end
  local generator, ids = core.generator(1), {}
  for step = 1, TEST_STEPS do
    ids[step] = generator:integer(model.source_embedding.weight:size(1))
  end
  return core.ids(ids)
end

--- A greedy walk: the logits of each step, and the symbols, at most TEST_STEPS.
local function test_of(model, o, graphs, bridges)
  local source = test_source(model, o)
  local step = o.weights == "int8" and steps_in_8_bits(model, graphs, bridges, source) or steps_of_model(model, source)
  local logits, ids, before = {}, {}, model.boundary
  while #ids < TEST_STEPS do
    logits[#logits + 1] = step(before)
    before = logits[#logits]:argmax():item()
    if before == model.boundary then
      break
    end
    ids[#ids + 1] = before
  end
  return { source = source, logits = core.stack(logits), ids = ids }
end

-- --- Text ---------------------------------------------------------------------------------

--- A part's text under the part's own name.
local function as(part, source)
  return (source:gsub("%$unit", "$name_" .. part):gsub("%$UNIT", "$NAME_" .. part:upper()))
end

local function type_of(part, unit)
  return ("typedef struct $name_%s_state {\n%s} $name_%s_state;\n\n"):format(part, unit.state, part)
end

--- Its functions, which the file keeps to itself.
local function functions_of(part, unit)
  local source = as(part, unit.text)
  return (("\n" .. source):gsub("\nvoid ", "\nstatic void "):gsub("\nint ", "\nstatic int "))
end

local function bridge_text(bridges)
  local lines = {}
  for _, bridge in ipairs(bridges) do
    local at = 0
    for _, state in ipairs(bridge.from) do
      lines[#lines + 1] = ("  memcpy(state->decoder.%s%s, state->encoder.%s,\n      %d * sizeof($real));"):format(
        bridge.to.member, at > 0 and " + " .. at or "", state.member, state.width)
      at = at + state.width
    end
  end
  return table.concat(lines, "\n")
end

local function reset_text(unit)
  local first = unit.first:gsub("state%->", "state->encoder.")
  return first ~= "" and first .. "\n" or ""
end

--- A symbol table of a side, where it has a vocabulary.
local function symbols_of(what, known)
  local list = type(known) == "table" and known.symbols or nil
  return names.table_of(what, "id", what:upper() .. "S", list)
end

local function values_of(model, o, file, units, bridges, test)
  local H, look = model.decoder.output, model.attention
  local A = look and look.form == "additive" and look.score:size(2) or 0
  local source_names, source_defined = symbols_of("source", model.source)
  local target_names, target_defined = symbols_of("target", model.target)
  local tolerance = file.real == "double" and "1e-12" or o.weights == "int8" and "2e-3" or "1e-5"
  return {
    name = o.name, NAME = o.name:upper(), real = file.real, f = file.f, version = core.info().version,
    title = text.harmless(model:describe()), parameters = model:count(), H = H, A = math.max(A, 1),
    sources = model.source_embedding.weight:size(1), targets = model.boundary - 1,
    room = H + A + 1 + units.encoder.memory, Q = A > 0 and A or H, weights = H + A, behind = H + A + 1,
    types = type_of("encoder", units.encoder) .. type_of("decoder", units.decoder)
      .. type_of("writer", units.writer),
    bridges = bridge_text(bridges), first = reset_text(units.encoder),
    sums = A > 0 and ", keys + (size_t)length * $H" or "",
    extra = units.encoder.memory > 0 and ", keys + (size_t)length * $behind" or "",
    query = look and "state->query, state->y" or "state->y", look = look and frame.look or "",
    context = look and "state->context, state->y" or "state->y",
    unused = look and "" or "  (void)memory, (void)length;\n",
    declared = source_names .. target_names, defined = source_defined .. target_defined,
    T = #test.source, N = test.logits:size(1), C = #test.ids, tolerance = tolerance,
  }
end

--- The pieces of the file of an encoder-decoder.
---@param model saros.nn.EncoderDecoder
---@param o { name: string, weights: "real"|"int8", test: any }
---@return (string|saros.Tensor)[]
return function(model, o)
  local file, parts, graphs, units = File.new(o.weights), parts_of(model), {}, {}
  for _, part in ipairs { "encoder", "decoder", "writer" } do
    graphs[part] = read(parts[part]:program(), parts[part]:tensors())
    units[part] = unit_of(file, graphs[part], { run = part == "encoder" })
  end
  local bridges, look = bridges_of(model, graphs), model.attention
  local score = look and look.form == "additive" and file:declare(file.real, "score", look.score:reshape(-1))
  for _, name in ipairs(look and { "exp", score and "tanh" or "affine" } or {}) do
    file:use(name)
  end
  local test = test_of(model, o, graphs, bridges)
  local values = values_of(model, o, file, units, bridges, test)
  local pieces, add = shared.open(file, values, frame.declarations, values.defined)
  for _, part in ipairs { "encoder", "decoder", "writer" } do
    add(functions_of(part, units[part]))
  end
  add(look and (score and frame.additive or frame.product) or "")
  add(frame.functions)
  frame.add_test(add, test)
  add "\n#endif\n"
  return pieces
end
