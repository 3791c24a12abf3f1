--- Linear recurrent units (Orvieto et al. 2023, "Resurrecting Recurrent Neural
--- Networks for Long Sequences"): N complex units between two products,
---
---     h(t) = lambda h(t-1) + e^gamma (B x(t)),  lambda = e^(i e^theta - e^nu)
---     y(t) = Re(C h(t)) + d x(t)
---
--- h is kept as pairs of real and imaginary part, (T, B, 2 N). The walk over time is
--- the core's; what is before and behind it is here.

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"

local format = core.format

---@class saros.nn.LruOptions: saros.nn.RecurrentOptions  without biases and layer_norm
---@field units? integer  N: complex ones (half of hidden)
---@field r_min? number  the least part of its state that a unit starts to keep in a step (0)
---@field r_max? number  the largest (0.999)
---@field max_phase? number  the largest angle that a unit starts to turn by in a step (2 pi)

---@class saros.nn.RecurrentConstructors
---@field lru fun(given: saros.nn.LruOptions): saros.nn.Recurrent  `nn.lru { 64, 128 }`; the state h is (B, 2 N)

-- --- Around the walk ------------------------------------------------------------------

---@class saros.nn.Lru: saros.nn.Around
---@field gamma saros.Tensor  (N)
---@field weight_hr saros.Tensor  (H, 2 N): C, with the signs that the imaginary parts have in y
---@field skip saros.Tensor?  (H): d, where the layer's input has the size of its output
local Lru = {}
Lru.__index = Lru

--- The parameters for the core: the rows of B times e^gamma.
---@param p saros.Layer
---@return saros.Layer
function Lru:scaled(p)
  local factors = (self.gamma:exp():reshape(-1, 1) * core.ones(1, 2)):reshape(-1, 1)
  return { weight_ih = p.weight_ih * factors, nu = p.nu, theta = p.theta, first_h = p.first_h }
end

--- y from h.
---@param h saros.Tensor  (T, B, 2 N)
---@param x saros.Tensor  (T, B, I)
---@return saros.Tensor y  (T, B, H)
function Lru:output(h, x)
  if not self.skip then
    return core.linear(h, self.weight_hr)
  end
  local y <close> = core.linear(h, self.weight_hr)
  local passed <close> = x * self.skip
  return y + passed
end

-- --- Parameters -------------------------------------------------------------------------

--- Units start on the ring r_min <= |lambda| <= r_max, as many in equal areas.
local function ring(o)
  return function(nu, generator)
    local square = generator:uniform(nu:shape(), math.max(o.r_min, 1e-3) ^ 2, o.r_max ^ 2)
    nu:assign((square:log() * -0.5):log())
  end
end

--- The logarithms of angles up to max_phase, none of which is 0.
local function phases(o)
  return function(theta, generator)
    theta:assign(generator:uniform(theta:shape(), 1e-4 * o.max_phase, o.max_phase):log())
  end
end

--- So large that h has the variance of what B x has, if x is white noise.
local function normalization(nu)
  return function(gamma)
    gamma:assign((1 - (nu:exp() * -2):exp()):log() * 0.5)
  end
end

local function add_lru(_, o, inputs, add)
  local H, N = o.hidden, o.units or (o.hidden + 1) // 2
  local nu = add("nu_log", { N }, ring(o))
  local theta = add("theta_log", { N }, phases(o))
  local gamma = add("gamma_log", { N }, normalization(nu))
  local weight_ih = add("weight_ih", { 2 * N, inputs }, initialize.normal(math.sqrt(0.5 / inputs)))
  local weight_hr = add("weight_hr", { H, 2 * N }, initialize.normal(math.sqrt(1 / N)))
  local skip = inputs == H and add("skip", { H }, initialize.normal(1)) or nil
  return {
    parameters = { weight_ih = weight_ih, nu = nu, theta = theta },
    around = setmetatable({ gamma = gamma, weight_hr = weight_hr, skip = skip, reads_x = skip ~= nil }, Lru),
    output = H,
    sizes = { 2 * N },
  }
end

--- The factors of the state, as pairs.
local function decay_of(nu, theta)
  local decay = {}
  nu, theta = nu.tensor:totable(), theta.tensor:totable()
  for unit = 1, #nu do
    local size, phase = math.exp(-math.exp(nu[unit])), math.exp(theta[unit])
    decay[2 * unit - 1], decay[2 * unit] = size * math.cos(phase), size * math.sin(phase)
  end
  return core.tensor(decay)
end

local function define(cell)
  local decay = cell.build:constant(decay_of(cell.p.nu, cell.p.theta), "decay")
  return cell:apply("rotate", cell.h, decay, cell:from_input())
end

-- --- The cell ------------------------------------------------------------------------------

local function check(o)
  if o.r_min >= o.r_max then
    return format("expected r_min < r_max, got %g and %g", o.r_min, o.r_max)
  end
end

---@type saros.nn.Cell
return {
  gates = 1,
  states = { "h" },
  linear = true,
  diagonal = 2,
  lacks = { "recurrent_dropout", "layer_norm" },
  options = {
    { "units", options.optional(options.size) },
    { "r_min", options.fraction, 0 },
    { "r_max", options.fraction, 0.999 },
    { "max_phase", options.positive, 2 * math.pi },
  },
  operation = function()
    return "lru"
  end,
  check = check,
  add = add_lru,
  definitions = { lru = define },
}
