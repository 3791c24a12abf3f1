--- What the functions of saros.automata expect of their arguments.

local module = require "saros.nn.module"
local options = require "saros.options"

local expect = {}

--- Refuse what is no net of finite states that reads tokens.
---@param owner string  for messages
---@param model any
function expect.net(owner, model)
  if type(model) ~= "table" or getmetatable(model) == nil or model.kind ~= "automaton" then
    options.fail(("%s: expected a net of saros.automata, got %s"):format(owner, options.describe(model)))
  end
end

--- Refuse a net whose states are soft, too.
---@param owner string
---@param model any
function expect.hard(owner, model)
  expect.net(owner, model)
  if model.finite.is_soft then
    options.fail(owner .. ": expected a net of hard states, got one that is soft; call model:harden() first")
  end
end

--- Refuse a reference that has other tokens or answers than a net.
---@param owner string
---@param model saros.automata.Model
---@param reference saros.automata.Reference
function expect.fit(owner, model, reference)
  if model.o.tokens ~= reference.tokens or model.o.answers ~= reference.answers then
    options.fail(("%s: expected a reference of %d tokens and %d answers, got one of %d and %d"):format(
      owner, model.o.tokens, model.o.answers, reference.tokens, reference.answers))
  end
end

--- The tables of a reference that fits a net.
---@param owner string
---@param model any
---@param reference saros.automata.Reference
---@return saros.automata.Reference
function expect.both(owner, model, reference)
  expect.net(owner, model)
  expect.fit(owner, model, reference)
  return reference
end

--- The tables of a reference that fits a net, which may be any net of tokens.
---@param owner string
---@param model any
---@param reference saros.automata.Reference
---@return saros.automata.Reference
function expect.trainable(owner, model, reference)
  if not module.is(model) then
    options.fail(("%s: expected a net that reads tokens, got %s"):format(owner, options.describe(model)))
  elseif model.kind == "automaton" then
    expect.fit(owner, model, reference)
  end
  return reference
end

return expect
