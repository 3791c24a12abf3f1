--- One program as C: its state, and the functions that begin again, step, and walk
--- over a whole sequence. A file has one, or an encoder and a decoder.

local passes_of = require "saros.export.passes"
local text = require "saros.export.text"
local translate = require "saros.export.body"

---@class saros.export.Unit
---@field name string  what its functions begin with
---@field graph saros.export.Graph
---@field file saros.export.File
---@field arguments { name: string, type: string, node: saros.export.Node, macro: string, number: integer }[]
---@field results { name: string, node: saros.export.Node, width: integer, macro: string }[]
---@field members { name: string, width: integer, type: string? }[]  of the step under way
---@field memory integer  numbers that a walk keeps for each step
---@field steps boolean  false if it can only walk
---@field takes_ids boolean  functions return -1 at an id that there is not
---@field state string  the members of the state, as text
---@field text string  the functions
local Unit = {}
Unit.__index = Unit

-- Words that C and C++ keep for themselves, and names that the functions have.
local RESERVED = {}
for word in ([[auto break case char class const continue default delete do double else enum extern float for friend
  goto if inline int long new operator private public register restrict return short signed sizeof static struct switch
  template this typedef union unsigned using virtual void volatile while bool true false state steps t i memory NULL
  near far]]):gmatch "%S+" do
  RESERVED[word] = true
end

--- A name in C that is not taken: as it is, or with a number behind it.
local function unique(taken, title, always)
  local stem = title:gsub("[^%w_]+", "_"):gsub("^([%d_])", "n%1")
  local name, n = stem, 1
  if always then
    name = stem .. "_1"
  end
  while taken[name] or RESERVED[name] do
    n = n + 1
    name = ("%s_%d"):format(stem, n)
  end
  taken[name] = true
  return name
end

-- --- What goes in and out ----------------------------------------------------------------------

local function name_arguments(self)
  local inputs, outputs = self.graph.inputs, self.graph.outputs
  for position, node in ipairs(inputs) do
    local alone, is_id = #inputs == 1, node.op == "ids"
    local name = unique(self.taken, alone and "input" or node.name)
    self.takes_ids = self.takes_ids or is_id
    local macro = is_id and "$UNIT_SYMBOLS" or "$UNIT_INPUTS"
    self.arguments[position] = { name = name, node = node, is_id = is_id, number = is_id and node.count or node.width,
      type = is_id and "int32_t " or "const $real *", macro = alone and macro or macro .. "_" .. name:upper() }
  end
  for position, output in ipairs(outputs) do
    local alone = #outputs == 1
    local name = unique(self.taken, alone and "output" or output.name)
    self.results[position] = { name = name, node = output.node, width = output.node.width,
      macro = alone and "$UNIT_OUTPUTS" or "$UNIT_OUTPUTS_" .. name:upper() }
  end
end

--- The list of arguments of a step, or with `of_all` of a walk.
local function declared(self, of_all)
  local list = { "$unit_state *state" }
  for _, argument in ipairs(self.arguments) do
    local kind = of_all and argument.is_id and "const int32_t *" or argument.type
    list[#list + 1] = kind .. argument.name
  end
  if of_all then
    list[#list + 1] = "int steps"
  end
  for _, result in ipairs(self.results) do
    list[#list + 1] = "$real *" .. result.name
  end
  if of_all and self.memory > 0 then
    list[#list + 1] = "$real *memory"
  end
  return table.concat(list, ", ")
end

-- --- The functions ---------------------------------------------------------------------------

local function result_places(self)
  local places = {}
  for position, result in ipairs(self.results) do
    places[position] = { node = result.node, to = result.name }
  end
  return places
end

local function argument_places(self)
  local at = {}
  for _, argument in ipairs(self.arguments) do
    at[argument.node] = argument.name
  end
  return at
end

local function body_of(self, nodes, states, outputs, at)
  return translate(self.file, nodes, { at = at, outputs = outputs, states = states, members = self.members,
    name = function(title)
      return unique(self.taken, title, true)
    end })
end

--- Refusing ids: the lines, for a step or for all of them.
local function id_checks(self)
  local lines = {}
  for _, argument in ipairs(self.arguments) do
    if argument.is_id then
      lines[#lines + 1] = ("  if (%s < 0 || %s >= %s)\n    return -1;"):format(argument.name, argument.name,
        argument.macro)
    end
  end
  return lines
end

--- (void)state; where nothing reads it.
local function unused(source, name)
  return source:find("%f[%w_]" .. name .. "%f[^%w_]") and "" or ("  (void)%s;\n"):format(name)
end

local function unused_arguments(self, source)
  local names = unused(source, "state")
  for _, argument in ipairs(self.arguments) do
    names = names .. unused(source, argument.name)
  end
  return names
end

local function step_text(self)
  local body = body_of(self, self.graph.nodes, self.graph.states, result_places(self), argument_places(self))
  local lines = id_checks(self)
  table.move(body.lines, 1, #body.lines, #lines + 1, lines)
  lines[#lines + 1] = self.takes_ids and "  return 0;" or nil
  local source = table.concat(lines, "\n") .. "\n"
  local head = text.wrap(("%s $unit_step(%s)"):format(self.takes_ids and "int" or "void", declared(self)), "    ")
  return head, ("%s {\n%s%s}\n"):format(head, unused_arguments(self, source), source)
end

--- How step t of something lies in what is given for all of them.
local function at_step(name, width, is_id)
  return is_id and ("%s[t]"):format(name) or ("%s + (size_t)t * %d"):format(name, width)
end

--- A walk of a program that can step.
local function plain_run(self)
  local list = { "state" }
  for _, argument in ipairs(self.arguments) do
    list[#list + 1] = at_step(argument.name, argument.number, argument.is_id)
  end
  for _, result in ipairs(self.results) do
    list[#list + 1] = at_step(result.name, result.width)
  end
  local call = ("$unit_step(%s)"):format(table.concat(list, ", "))
  if self.takes_ids then
    return text.wrap(("    if (%s != 0)"):format(call), "        ") .. "\n      return -1;\n"
  end
  return text.wrap("    " .. call, "        ") .. ";\n"
end

--- What a pass is given for a step: (in C, in the call, is it used?)
local function pass_parameters(self, pass, kept)
  local list = {}
  for _, argument in ipairs(self.arguments) do
    list[#list + 1] = { argument.type .. argument.name, argument.name,
      at_step(argument.name, argument.number, argument.is_id) }
  end
  for _, result in ipairs(self.results) do
    list[#list + 1] = { "$real *" .. result.name, result.name, at_step(result.name, result.width) }
  end
  for _, node in ipairs(pass.reads) do
    list[#list + 1] = { "const $real *" .. kept[node].name, kept[node].name, kept[node].at }
  end
  for _, node in ipairs(pass.keeps) do
    list[#list + 1] = { "$real *" .. kept[node].name, kept[node].name, kept[node].at }
  end
  return list
end

--- Where a value is kept for all steps.
local function keep(self, pass, kept)
  for _, node in ipairs(pass.keeps) do
    local name = unique(self.taken, node.title or node.op, true)
    kept[node] = { name = name,
      at = ("memory + (size_t)steps * %d + (size_t)t * %d"):format(self.memory, node.width) }
    self.memory = self.memory + node.width
  end
end

local function pass_text(self, pass, number, kept)
  keep(self, pass, kept)
  local at, outputs = argument_places(self), {}
  for _, list in ipairs { pass.reads, pass.keeps } do
    for _, node in ipairs(list) do
      at[node] = kept[node].name
    end
  end
  for position, output in ipairs(self.graph.outputs) do
    for _, mine in ipairs(pass.outputs) do
      if mine == output then
        outputs[#outputs + 1] = { node = output.node, to = self.results[position].name }
      end
    end
  end
  local body = body_of(self, pass.nodes, pass.states, outputs, at)
  local source = table.concat(body.lines, "\n") .. "\n"
  local head, call = { "$unit_state *state" }, { "state" }
  for _, entry in ipairs(pass_parameters(self, pass, kept)) do
    if unused(source, entry[2]) == "" then
      head[#head + 1], call[#call + 1] = entry[1], entry[3]
    end
  end
  local name = "$unit_pass_" .. number
  local declaration = text.wrap(("static void %s(%s)"):format(name, table.concat(head, ", ")), "    ")
  return declaration .. " {\n" .. unused(source, "state") .. source .. "}\n\n",
    text.wrap(("    %s(%s)"):format(name, table.concat(call, ", ")), "        ") .. ";\n"
end

local FORWARD, BACK = "  for (int t = 0; t < steps; t++)", "  for (int t = steps - 1; t >= 0; t--)"

--- Begin states that walk back again.
local function reset_lines(self, reverse_only)
  local lines = {}
  for _, state in ipairs(self.graph.states) do
    if not reverse_only or state.reverse then
      if reverse_only and not state.first then
        lines[#lines + 1] = ("  memset(state->%s, 0, sizeof state->%s);"):format(state.member, state.member)
      elseif state.first then
        lines[#lines + 1] = ("  memcpy(state->%s, %s, sizeof state->%s);"):format(state.member,
          self.file:constant { tensor = state.first, title = "first_" .. state.member }, state.member)
      end
    end
  end
  return lines
end

local function run_checks(self)
  local lines = {}
  for _, argument in ipairs(self.arguments) do
    if argument.is_id then
      lines[#lines + 1] = ("%s\n    if (%s[t] < 0 || %s[t] >= %s)\n      return -1;"):format(FORWARD, argument.name,
        argument.name, argument.macro)
    end
  end
  return lines
end

local function run_head(self)
  return text.wrap(("%s $unit_run(%s)"):format(self.takes_ids and "int" or "void", declared(self, true)), "    ")
end

-- --- What is said at the end ----------------------------------------------------------------

local function gather(node, walked)
  if node and not walked[node] then
    walked[node] = true
    for _, input in ipairs(node.inputs) do
      gather(input, walked)
    end
  end
end

--- The nodes that states need, and those that come after the walk: they read states as
--- it leaves them.
---@param graph saros.export.Graph
---@return saros.export.Graph walk
---@return saros.export.Node[] finish
local function split(graph)
  local walked, walk, finish = {}, {}, {}
  for _, state in ipairs(graph.states) do
    gather(state.next, walked)
  end
  for _, node in ipairs(graph.nodes) do
    local list = (walked[node] or node.op == "input" or node.op == "ids" or node.op == "state") and walk or finish
    list[#list + 1] = node
  end
  return { nodes = walk, inputs = graph.inputs, outputs = {}, states = graph.states }, finish
end

--- The function of those nodes, and its call.
local function finish_text(self, finish)
  local at = {}
  for _, state in ipairs(self.graph.states) do
    if state.next then
      at[state.next] = "state->" .. state.member
    end
  end
  local body = body_of(self, finish, {}, result_places(self), at)
  local head = ("static void $unit_finish($unit_state *state, $real *%s)"):format(self.results[1].name)
  return ("/* What the states say at the end. */\n%s {\n%s\n}\n\n"):format(head, table.concat(body.lines, "\n")),
    ("  $unit_finish(state, %s);\n"):format(self.results[1].name)
end

--- Passes to and fro, and what comes after them.
local function long_run(self, passes, finish)
  local functions, calls, kept = {}, {}, {}
  for number, pass in ipairs(passes) do
    local call
    functions[number], call = pass_text(self, pass, number, kept)
    calls[number] = (pass.back and BACK or FORWARD) .. "\n" .. call
  end
  if finish then
    functions[#functions + 1], calls[#calls + 1] = finish_text(self, finish)
  end
  local checks, reset = run_checks(self), reset_lines(self, true)
  table.move(reset, 1, #reset, #checks + 1, checks)
  checks[#checks + 1] = ""
  local head, source = run_head(self), table.concat(checks, "\n") .. table.concat(calls)
  return head, ("%s%s {\n%s%s%s}\n"):format(table.concat(functions), head, unused_arguments(self, source), source,
    self.takes_ids and "  return 0;\n" or "")
end

-- --- The state -------------------------------------------------------------------------------

--- What a state is called, and where: state h of layer 2 ("2.1") is h_2. Where nothing
--- names it, it is state 1 of layer 2: state_2_1.
local function member_of(state)
  local keys, title = {}, state.title
  for key in state.name:gmatch "[^.]+" do
    keys[#keys + 1] = key
  end
  if title or not tonumber(keys[#keys]) then
    title = title or keys[#keys]
    keys[#keys] = nil
  end
  return table.concat({ title or "state", table.unpack(keys) }, "_")
end

local function name_states(self)
  for _, state in ipairs(self.graph.states) do
    state.member = unique(self.taken, member_of(state))
    self.taken[state.member .. "_place"] = true
  end
end

--- The text of the members: first the state, then the step under way.
local function state_text(self)
  local lines, elements = {}, 0
  for _, state in ipairs(self.graph.states) do
    if not state.counted then
      lines[#lines + 1] = ("  $real %s[%d];\n"):format(state.member, state.width)
      elements = elements + state.width
    end
    if state.ring then
      lines[#lines + 1] = ("  int32_t %s_place[2]; /* of the oldest step in it; how many there were */\n"):format(
        state.member)
    end
  end
  if #self.members > 0 then
    lines[#lines + 1] = "  /* of the step under way; without a meaning between steps */\n"
  end
  for _, member in ipairs(self.members) do
    lines[#lines + 1] = ("  %s%s[%d];\n"):format(member.type or "$real ", member.name, member.width)
    elements = elements + member.width
  end
  return #lines > 0 and table.concat(lines) or "  char none; /* C wants a member */\n", elements
end

--- Translate a program.
---@param file saros.export.File
---@param graph saros.export.Graph
---@param given? { run?: boolean }  false: without a function over several steps, and begun by others
---@return saros.export.Unit
return function(file, graph, given)
  local self = setmetatable({ file = file, graph = graph, arguments = {}, results = {}, members = {}, taken = {},
    memory = 0, takes_ids = false }, Unit)
  name_arguments(self)
  name_states(self)
  for _, node in ipairs(graph.nodes) do -- rows in 8 bits are no rows to read in place
    node.looked_up = node.op == "lookup" and not file.quantised
  end
  local walk, finish = graph, nil
  if graph.final then
    walk, finish = split(graph)
  end
  local passes = passes_of(walk)
  self.steps = #passes <= 1 and not (passes[1] or {}).back and not finish
  local step_head, step, run_of
  if self.steps then
    step_head, step = step_text(self)
    run_of = run_head(self)
    local tail = self.takes_ids and "  return 0;\n" or ""
    self.text = given and given.run == false and step
      or ("%s\n%s {\n%s\n%s%s}\n"):format(step, run_of, FORWARD, plain_run(self), tail)
  else
    run_of, self.text = long_run(self, passes, finish)
  end
  self.heads = { step = step_head, run = run_of }
  self.first = given and given.run == false and "" or table.concat(reset_lines(self), "\n")
  self.state, self.elements = state_text(self)
  return self
end
