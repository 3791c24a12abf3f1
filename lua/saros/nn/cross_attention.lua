--- Attention with several heads from a sequence to a memory (Vaswani et al. 2017): each
--- step of the query (T, B, F) reads the steps of the memory (S, B, M),
---
---     q = W_q query + b_q, k = W_k memory + b_k, v = W_v memory + b_v, F features each,
---     in equal parts for the heads: weights = softmax over s of q . k(s) / sqrt(F / heads)
---     y = W_o (sum over s of weights(s) v(s)) + b_o
---
--- Parameters are those of PyTorch's MultiheadAttention: in_proj_weight (3 F, F), or
--- q_proj_weight (F, F), k_proj_weight and v_proj_weight (F, M) where M is not F;
--- in_proj_bias (3 F), out_proj.

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local linear = require "saros.nn.linear"
local module = require "saros.nn.module"
local steps = require "saros.nn.steps"

---@class saros.nn.CrossAttention: saros.nn.Module
---@field o table  the options
---@field in_proj_weight saros.Tensor?  (3 F, F)
---@field q_proj_weight saros.Tensor?  (F, F)
---@field k_proj_weight saros.Tensor?  (F, M)
---@field v_proj_weight saros.Tensor?  (F, M)
---@field in_proj_bias saros.Tensor  (3 F)
---@field out_proj saros.nn.Linear
local CrossAttention = module.class "cross_attention"

local check_given = options.declare("cross_attention", {
  { "lengths", options.optional(options.table) },
  { "mask", options.optional(options.tensor) },
})

local function check_inputs(self, query, memory)
  local F, M = self.o.size, self.o.memory
  local is_query = options.tensor.accept(query) and (query:rank() == 2 or query:rank() == 3) and query:size(-1) == F
  if not is_query then
    options.fail(("cross_attention: expected a query of shape (T, B, %d) or (B, %d), got %s"):format(
      F, F, options.describe(query)))
  end
  local B = query:size(-2)
  if not options.tensor.accept(memory) or memory:rank() ~= 3 or memory:size(2) ~= B or memory:size(3) ~= M then
    options.fail(("cross_attention: expected a memory of shape (S, %d, %d), got %s"):format(
      B, M, options.describe(memory)))
  end
end

--- One of q, k and v (n = 1, 2, 3) of x (T, B, ...), by heads: (B, heads, T, F / heads).
local function projected(self, n, x)
  local F, heads = self.o.size, self.o.heads
  local own = ({ self.q_proj_weight, self.k_proj_weight, self.v_proj_weight })[n]
  local weight = own or self.in_proj_weight:slice(1, (n - 1) * F + 1, n * F)
  local y = core.linear(x, weight, self.in_proj_bias:slice(1, (n - 1) * F + 1, n * F))
  return y:reshape(x:size(1), x:size(2), heads, F // heads):transpose(1, 2):transpose(2, 3)
end

---@class saros.nn.CrossAttentionSteps
---@field lengths? integer[]  of the B rows of the memory, each in 1..S; what is behind them is not read
---@field mask? saros.Tensor  (S, B), 1 or 0: a step where it is 0 is not read

---@param query saros.Tensor  (T, B, F), or (B, F) for a single step
---@param memory saros.Tensor  (S, B, M)
---@param given? saros.nn.CrossAttentionSteps
---@return saros.Tensor y  (T, B, F), or (B, F)
---@return saros.Tensor weights  (T, B, S), or (B, S): the mean over the heads; each sums to 1 over S
function CrossAttention:forward(query, memory, given)
  local o = check_given(given)
  check_inputs(self, query, memory)
  local S, B, F = memory:size(1), memory:size(2), self.o.size
  local mask, is_step = options.about("cross_attention", steps.of_memory, o, S, B), query:rank() == 2
  memory = steps.hide(memory, mask)
  local q = projected(self, 1, is_step and query:reshape(1, B, F) or query) * (F // self.o.heads) ^ -0.5
  local scores = q:matmul(projected(self, 2, memory):transpose())
  if mask then
    scores = scores + steps.far_below(mask):transpose():reshape(B, 1, 1, S)
  end
  local weights = core.softmax(scores)
  local context = weights:matmul(projected(self, 3, memory)):transpose(2, 3):transpose(1, 2)
  local y = self.out_proj(context:reshape(-1, B, F))
  weights = weights:mean(2):transpose(1, 2)
  if is_step then
    return y:select(1, 1), weights:select(1, 1)
  end
  return y, weights
end

function CrossAttention:describe()
  local o = self.o
  return ("cross attention %d -> %d, %d head%s"):format(o.size, o.memory, o.heads, o.heads == 1 and "" or "s")
end

local check = options.declare("nn.cross_attention", {
  { "size", options.size },
  { "memory", options.optional(options.size) },
  { "heads", options.size, 1 },
}, 2)

---@class saros.nn.CrossAttentionOptions
---@field size integer  F: features of the query and of y
---@field memory? integer  M: features of the memory (F)
---@field heads? integer  that read F / heads features each (1)

--- `nn.cross_attention { 128, heads = 4 }`
---@param given saros.nn.CrossAttentionOptions
---@return saros.nn.CrossAttention
local function cross_attention(given)
  local o = check(given)
  local F, M = o.size, o.memory or o.size
  if F % o.heads ~= 0 then
    options.fail(("nn.cross_attention: expected heads that divide size = %d, got %d"):format(F, o.heads))
  end
  local self = CrossAttention.new()
  self.o = { size = F, memory = M, heads = o.heads }
  if M == F then
    self.in_proj_weight = self:add_parameter("in_proj_weight", { 3 * F, F },
      initialize.gates(1 / math.sqrt(F), 3, false))
  else
    for _, part in ipairs { { "q_proj_weight", F }, { "k_proj_weight", M }, { "v_proj_weight", M } } do
      self[part[1]] = self:add_parameter(part[1], { F, part[2] }, initialize.matrix(1 / math.sqrt(part[2])))
    end
  end
  self.in_proj_bias = self:add_parameter("in_proj_bias", { 3 * F }, initialize.constant(0))
  self.out_proj = self:add_member("out_proj", linear { F, F })
  return self
end

return cross_attention
