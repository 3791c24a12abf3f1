--- Batch normalization (Ioffe and Szegedy 2015) of each feature over all steps and rows:
---
---     y = (x - mean) / sqrt(variance + epsilon) * weight + bias
---
--- While a training tape is open, mean and variance are those of the batch, padding
--- aside, and a running mean and variance follow them:
---
---     running = (1 - momentum) running + momentum (of the batch)
---
--- where the variance of the batch is taken over n - 1, as in PyTorch. Otherwise the
--- running ones are used. They are saved with the parameters, but not trained.

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local module = require "saros.nn.module"
local steps = require "saros.nn.steps"

---@class saros.nn.BatchNorm: saros.nn.Module
---@field weight saros.Tensor  (F) the gain
---@field bias saros.Tensor  (F)
---@field running_mean saros.Tensor  (F)
---@field running_var saros.Tensor  (F)
---@field epsilon number
---@field momentum number
local BatchNorm = module.class "batch_norm"
BatchNorm.hides_padding = true

--- Sums over all axes but the last.
local function totals(x)
  return x:reshape(-1, x:size(-1)):sum(1)
end

local function follow(self, running, value)
  running:assign(running * (1 - self.momentum) + value:detach() * self.momentum)
end

--- x less the mean of the batch, and its variance. Padding stays 0.
local function of_batch(self, x, mask)
  local n = mask and mask:sum():item() or x:count() // x:size(-1)
  if n < 2 then
    options.fail(("batch_norm: expected at least two steps or rows that count while a training tape is open, "
      .. "got %d"):format(n))
  end
  local mean = totals(x) / n
  local centred = steps.hide(x - mean, mask)
  local variance = totals(centred * centred) / n
  follow(self, self.running_mean, mean)
  follow(self, self.running_var, variance * (n / (n - 1)))
  return centred, variance
end

---@param x saros.Tensor  (T, B, F), or (..., F)
---@param _ nil  no state
---@param given? saros.nn.StepOptions
---@return saros.Tensor  of the same shape; 0 behind the ends of rows
function BatchNorm:forward(x, _, given)
  local F = self.weight:size(1)
  if not options.tensor.accept(x) or x:rank() < 2 or x:size(-1) ~= F then
    options.fail(("batch_norm: expected x of shape (T, B, %d) or (B, %d), got %s"):format(F, F, options.describe(x)))
  end
  local walk = given and options.about(self.kind, steps.of, given, x)
  local mask = walk and walk.mask
  x = steps.hide(x, mask)
  local centred, variance
  if core.is_training() then
    centred, variance = of_batch(self, x, mask)
  else
    centred, variance = x - self.running_mean, self.running_var
  end
  return steps.hide(centred * (self.weight / (variance + self.epsilon):sqrt()) + self.bias, mask)
end

function BatchNorm:describe()
  return ("batch_norm %d"):format(self.weight:size(1))
end

local check = options.declare("nn.batch_norm", {
  { "size", options.size },
  { "momentum", options.fraction, 0.1 },
  { "epsilon", options.positive, 1e-5 },
}, 1)

---@class saros.nn.BatchNormOptions
---@field size integer  F
---@field momentum? number  how much the running statistics take of a batch (0.1)
---@field epsilon? number  (1e-5)

--- `nn.batch_norm { 128 }`
---@param given saros.nn.BatchNormOptions
---@return saros.nn.BatchNorm
local function batch_norm(given)
  local o = check(given)
  local self, zero, one = BatchNorm.new(), initialize.constant(0), initialize.constant(1)
  self.momentum, self.epsilon = o.momentum, o.epsilon
  self.weight = self:add_parameter("weight", { o.size }, one)
  self.bias = self:add_parameter("bias", { o.size }, zero)
  self.running_mean = self:add_buffer("running_mean", { o.size }, zero)
  self.running_var = self:add_buffer("running_var", { o.size }, one)
  return self
end

return batch_norm
