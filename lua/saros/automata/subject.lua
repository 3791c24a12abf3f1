--- What can be proved and shown as an automaton: nets of saros.automata, and other nets whose
--- states are exact. Both are a machine and the answers in its states.

local options = require "saros.options"
local expect = require "saros.automata.expect"
local machine = require "saros.automata.machine"
local net_machine = require "saros.automata.net_machine"
local readout = require "saros.automata.readout"

---@class saros.automata.Subject
---@field machine saros.automata.Machine
---@field tokens integer
---@field answers integer
---@field read fun(states: integer[]): integer[], number  the answers in states, and the smallest margin there

local subject = {}

local function of_model(owner, model, reference)
  expect.hard(owner, model)
  if reference then
    expect.fit(owner, model, reference)
  end
  local whole = machine.whole(model)
  return { machine = whole, tokens = model.o.tokens, answers = model.o.answers, read = function(states)
    return readout.answers(model, whole, states)
  end }
end

---@param owner string  for messages
---@param model saros.nn.Module
---@param reference saros.automata.Reference?  which only nets of saros.automata can do without
---@return saros.automata.Subject
function subject.of(owner, model, reference)
  if type(model) == "table" and model.kind == "automaton" then
    return of_model(owner, model, reference)
  end
  net_machine.expect(owner, model)
  if not reference then
    options.fail(owner .. ": expected the option 'reference', for the tokens and answers of a net that is none of "
      .. "saros.automata")
  end
  local whole = net_machine.new(owner, model, reference.tokens, reference.answers)
  return { machine = whole, tokens = reference.tokens, answers = reference.answers, read = function(states)
    return whole:answers(states)
  end }
end

return subject
