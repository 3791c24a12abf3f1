--- Attention: for each query, a mean of the values, weighted by how well the
--- query fits their keys. The fit of a query q and a key k is one of
---
---     dot          q . k                     (Luong et al. 2015)
---     scaled_dot   q . k / sqrt(K)           (Vaswani et al. 2017)
---     general      (W q) . k                 (Luong et al. 2015)
---     additive     v . tanh(W q + U k + b)   (Bahdanau et al. 2015)
---
--- All queries of a sequence meet all keys in one batched product.

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local linear = require "saros.nn.linear"
local module = require "saros.nn.module"
local steps = require "saros.nn.steps"

---@class saros.nn.Attention: saros.nn.Module
---@field form "dot"|"scaled_dot"|"general"|"additive"
---@field query saros.nn.Linear?  W: general (Q -> K), additive (Q -> A)
---@field key saros.nn.Linear?  U and b: additive (K -> A)
---@field score saros.Tensor?  v: additive (1, A)
---@field queries integer  Q
---@field keys integer  K
local Attention = module.class "attention"

--- (T, B, n) as (B, T, n), a view: products run over the rows.
local function by_rows(x)
  return x:transpose(1, 2)
end

local function dot(_, query, keys)
  return by_rows(query):matmul(by_rows(keys):transpose())
end

--- How well every query fits every key: (T, B, Q), (S, B, K) -> (B, T, S).
---@type table<string, fun(self: saros.nn.Attention, query: saros.Tensor, keys: saros.Tensor): saros.Tensor>
local SCORES = {
  dot = dot,
  scaled_dot = function(self, query, keys)
    return dot(self, query / math.sqrt(self.keys), keys)
  end,
  general = function(self, query, keys)
    return dot(self, self.query(query), keys)
  end,
  additive = function(self, query, keys)
    local q, k = by_rows(self.query(query)), by_rows(self.key(keys))
    local B, T, A, S = q:size(1), q:size(2), q:size(3), k:size(2)
    local sums = q:reshape(B, T, 1, A) + k:reshape(B, 1, S, A)
    return core.linear(core.tanh(sums), self.score):reshape(B, T, S)
  end,
}

local check_given = options.declare("attention", {
  { "lengths", options.optional(options.table) },
  { "mask", options.optional(options.tensor) },
  { "values", options.optional(options.tensor) },
})

local function check_inputs(self, query, keys, values)
  local is_query = type(query) == "userdata" and (query:rank() == 2 or query:rank() == 3)
    and query:size(-1) == self.queries
  if not is_query then
    options.fail(("attention: expected a query of shape (T, B, %d) or (B, %d), got %s"):format(
      self.queries, self.queries, options.describe(query)))
  end
  local B = query:size(-2)
  if type(keys) ~= "userdata" or keys:rank() ~= 3 or keys:size(2) ~= B or keys:size(3) ~= self.keys then
    options.fail(("attention: expected keys of shape (S, %d, %d), got %s"):format(
      B, self.keys, options.describe(keys)))
  elseif values and (values:rank() ~= 3 or values:size(1) ~= #keys or values:size(2) ~= B) then
    options.fail(("attention: expected values of shape (%d, %d, F), got %s"):format(
      #keys, B, options.describe(values)))
  end
end

---@class saros.nn.AttentionOptions
---@field lengths? integer[]  of the B rows, each in 1..S; positions behind get weight 0 and are not read
---@field mask? saros.Tensor  (S, B), 1 or 0: a step where it is 0 is not looked at
---@field values? saros.Tensor  (S, B, F): what the mean is taken of (the keys)

---@param query saros.Tensor  (T, B, Q), or (B, Q) for a single step
---@param keys saros.Tensor  (S, B, K)
---@param given? saros.nn.AttentionOptions
---@return saros.Tensor context  (T, B, F), or (B, F)
---@return saros.Tensor weights  (T, B, S), or (B, S); each sums to 1 over S
function Attention:forward(query, keys, given)
  local o = check_given(given)
  check_inputs(self, query, keys, o.values)
  local S, B = keys:size(1), keys:size(2)
  local mask = options.about("attention", steps.of_memory, o, S, B)
  keys = steps.hide(keys, mask)
  local values = o.values and steps.hide(o.values, mask) or keys
  local is_step = query:rank() == 2
  local scores = SCORES[self.form](self, is_step and query:reshape(1, B, -1) or query, keys)
  if mask then
    scores = scores + steps.far_below(mask):transpose():reshape(B, 1, S)
  end
  local weights = core.softmax(scores)
  local context = by_rows(weights:matmul(by_rows(values)))
  weights = by_rows(weights)
  if is_step then
    return context:select(1, 1), weights:select(1, 1)
  end
  return context, weights
end

function Attention:describe()
  return ("%s attention, %d -> %d"):format(self.form, self.queries, self.keys)
end

local check = options.declare("nn.attention", {
  { "query", options.size },
  { "keys", options.optional(options.size) },
  { "kind", options.one_of { "dot", "scaled_dot", "general", "additive" }, "dot" },
  { "size", options.optional(options.size) },
}, 2)

---@class saros.nn.AttentionSizes
---@field query integer  Q: features of a query
---@field keys? integer  K: features of a key (Q)
---@field kind? "dot"|"scaled_dot"|"general"|"additive"  ("dot")
---@field size? integer  A: hidden units of additive attention (K)

--- `nn.attention { 128, kind = "additive" }`
---@param given saros.nn.AttentionSizes
---@return saros.nn.Attention
local function attention(given)
  local o = check(given)
  local self = Attention.new()
  self.form, self.queries, self.keys = o.kind, o.query, o.keys or o.query
  if o.kind == "additive" then
    local size = o.size or self.keys
    self.query = self:add_member("query", linear { o.query, size, bias = false })
    self.key = self:add_member("key", linear { self.keys, size })
    self.score = self:add_parameter("score", { 1, size }, initialize.matrix(1 / math.sqrt(size)))
  elseif o.size then
    options.fail(('nn.attention: expected size only with kind = "additive", got it with %q'):format(o.kind))
  elseif o.kind == "general" then
    self.query = self:add_member("query", linear { o.query, self.keys, bias = false })
  elseif self.keys ~= o.query then
    options.fail(('nn.attention: expected keys = %d, the size of the query, got %d; '
      .. 'kind = "general" or "additive" takes any'):format(o.query, self.keys))
  end
  return self
end

return attention
