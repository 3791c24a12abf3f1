---@meta

--- A generator of random numbers. Same seed, same numbers.
---@class saros.Generator
local Generator = {}

---@param seed integer
---@return saros.Generator self
function Generator:seed(seed) end

--- All there is to know about the numbers that follow.
---@return string  64 hex digits
function Generator:state() end

--- Goes on as from the moment of `state`.
---@param state string
---@return saros.Generator self
function Generator:restore(state) end

--- A number in [0, 1).
---@return number
function Generator:number() end

--- An integer in 1..limit, each as likely.
---@param limit integer  >= 1
---@return integer
function Generator:integer(limit) end

--- A tensor of numbers in [low, high).
---@param shape saros.Shape
---@param low? number  (0)
---@param high? number  (1)
---@return saros.Tensor
function Generator:uniform(shape, low, high) end

--- A tensor of numbers from the normal distribution.
---@param shape saros.Shape
---@param mean? number  (0)
---@param deviation? number  >= 0 (1)
---@return saros.Tensor
function Generator:normal(shape, mean, deviation) end

--- In place, as all functions named fill.
---@param tensor saros.Tensor
---@param low? number  (0)
---@param high? number  (1)
---@return saros.Tensor tensor
function Generator:fill_uniform(tensor, low, high) end

---@param tensor saros.Tensor
---@param mean? number  (0)
---@param deviation? number  >= 0 (1)
---@return saros.Tensor tensor
function Generator:fill_normal(tensor, mean, deviation) end

--- Rows, or columns if fewer, that are orthonormal, times gain.
---@param tensor saros.Tensor  (m, n)
---@param gain? number  (1)
---@return saros.Tensor tensor
function Generator:fill_orthogonal(tensor, gain) end

--- Ids drawn with probability proportional to their weights. Error at weights
--- that are negative, not finite, or all 0 in a row.
---@param weights saros.Tensor  (S..., V)
---@return saros.Tensor ids  (S...)
function Generator:categorical(weights) end

--- The ids 1..n in random order.
---@param n integer
---@return saros.Tensor ids  (n)
function Generator:permutation(n) end
