--- A finite-state layer: heads whose state is one of n, where each input is a function
--- of the n states onto themselves. What it knows is an integer, so it does not drift:
--- a net that reads it is right at every length or wrong at one that a search finds
--- (saros.automata).
---
---     s(t) = argmax over j of Z(x(t))[s(t-1)][j]         for each head, and pointer
---
--- Z is a table of logits for each token, or a linear map of features. With one pointer
--- a head begins at state 1 and its output is s as a one-hot. With all pointers it
--- begins with the identity: pointer p tells where the tokens so far lead from state p,
--- n one-hots, which is what products in groups of permutations need.
---
--- Training is straight-through (see core.finite). A layer with `start = "soft"` walks
--- with the softmax of the logits until `harden` is called.

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local module = require "saros.nn.module"
local states = require "saros.nn.state"
local steps = require "saros.nn.steps"

---@class saros.nn.Finite: saros.nn.Module
---@field o saros.nn.FiniteOptions
---@field weight saros.Tensor  (V, heads n n) of tokens, (heads n n, I) of features
---@field bias saros.Tensor?  (heads n n), of features
---@field is_soft boolean  walks with the softmax of the logits
---@field output integer  features of y: heads n, with all pointers heads n n
local Finite = module.class "finite"
Finite.stateful = true
Finite.hides_padding = true
Finite.watched = "is_soft"

local function check_input(self, x)
  local o, is_tensor = self.o, options.tensor.accept(x)
  if o.tokens and not (is_tensor and x:dtype() == "ids" and x:rank() == 2) then
    options.fail("finite: expected ids of shape (T, B), got " .. options.describe(x))
  elseif o.input and not (is_tensor and x:dtype() == "real" and x:rank() == 3 and x:size(3) == o.input) then
    options.fail(("finite: expected x of shape (T, B, %d), got %s"):format(o.input, options.describe(x)))
  end
end

--- The one-hots of a state, as the layer returned it; also alone, as a tensor.
local function one_hots(self, state, B)
  local s = state
  if type(state) == "table" and options.tensor.accept(state) == nil then
    s = #state == 1 and state[1] or nil
  end
  if state ~= nil and not options.has_shape(s, B, self.output) then
    options.fail(("finite: expected a state { s }, s of shape (%d, %d), the states of all heads as one-hots, got %s")
      :format(B, self.output, options.describe(s or state)))
  end
  return s
end

--- What core.finite is asked for.
local function walk_options(self, walk)
  local o = self.o
  return {
    heads = o.heads, states = o.states, pointers = o.pointers == "all" and o.states or 1, soft = self.is_soft,
    mask = walk.mask, reset = walk.reset,
  }
end

---@param x saros.Tensor  ids (T, B), or features (T, B, I)
---@param state? saros.nn.State  { one-hots (B, output) }
---@param given? saros.nn.StepOptions
---@return saros.Tensor y  (T, B, output): of each head the state, of each of its pointers, as one-hots; 0 behind the
---  ends of rows
---@return saros.nn.State state
function Finite:forward(x, state, given)
  check_input(self, x)
  local walk = options.about(self.kind, steps.of, given, x) or {}
  local before = one_hots(self, state, x:size(2))
  x = steps.hide(x, walk.mask)
  local logits, ids = self.weight, x
  if self.bias then
    logits, ids = core.linear(x, self.weight, self.bias), nil
  end
  local y, last = core.finite(logits, ids, before, walk_options(self, walk))
  return y, states.new { last }
end

--- Walk with the functions themselves from now on, no longer with the softmax.
---@return saros.nn.Finite  self
function Finite:harden()
  self.is_soft = false
  return self
end

function Finite:describe()
  local o = self.o
  return ("finite %s -> %d, %d head%s of %d states, %s%s"):format(
    o.tokens and ("%d tokens"):format(o.tokens) or o.input, self.output, o.heads, o.heads == 1 and "" or "s", o.states,
    o.pointers == "all" and "all pointers" or "one pointer", self.is_soft and ", soft" or "")
end

--- Of a step, but for the product of features: a look-up for each head and pointer.
function Finite:multiply_adds()
  return self.bias and self.weight:count() or 0
end

-- As core.finite takes them.
local MOST_STATES = 1024

local check = options.declare("nn.finite", {
  { "tokens", options.optional(options.size) },
  { "input", options.optional(options.size) },
  { "heads", options.size, 8 },
  { "states", options.range(2, MOST_STATES), 8 },
  { "pointers", options.one_of { "one", "all" }, "one" },
  { "start", options.one_of { "hard", "soft" }, "hard" },
})

---@class saros.nn.FiniteOptions
---@field tokens? integer  V: x is ids
---@field input? integer  I: x is features; either this or tokens
---@field heads? integer  (8)
---@field states? integer  n, of each head, at most 1024; one or two more than are needed learn best (8)
---@field pointers? "one"|"all"  (one)
---@field start? "hard"|"soft"  walk with the softmax until `harden` is called? ("hard")

--- `nn.finite { tokens = 60, heads = 8, states = 6, pointers = "all" }`
---@param given saros.nn.FiniteOptions
---@return saros.nn.Finite
local function finite(given)
  local o = check(given)
  if (o.tokens == nil) == (o.input == nil) then
    options.fail "nn.finite: expected either tokens, whose number is given, or input, of features"
  end
  local self, width = Finite.new(), o.heads * o.states * o.states
  self.o, self.is_soft = o, o.start == "soft"
  self.output = o.pointers == "all" and width or o.heads * o.states
  self.looks_up = o.tokens ~= nil
  if o.tokens then
    self.weight = self:add_parameter("weight", { o.tokens, width }, initialize.normal(1))
  else
    self.weight = self:add_parameter("weight", { width, o.input }, initialize.normal(1 / math.sqrt(o.input)))
    self.bias = self:add_parameter("bias", { width }, initialize.normal(1))
  end
  return self
end

return finite
