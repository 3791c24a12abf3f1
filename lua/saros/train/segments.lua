--- Back-propagation through a window that is too long for one tape, in the memory
--- of a part of it (gradient checkpointing, Chen et al. 2016, over time). The
--- window is cut into segments. A first pass keeps nothing but the state before
--- each. Then, from the last to the first, a segment is run once more, on a tape of
--- its own, and what flows back is
---
---     its loss + <state behind it, gradient that came back from the segment there>
---
--- so the gradients are those of the whole window, up to rounding. With segments of
--- sqrt(T) steps, memory grows with sqrt(T), and the forward pass is made twice.
--- Random generators go back with the states, so dropout is the same both times;
--- one that stays the same over a window stays the same over a segment.

local core = require "saros.core"
local options = require "saros.options"
local batch_first = require "saros.nn.batch_first"
local loss = require "saros.nn.loss"
local states = require "saros.nn.state"
local checkpoint = require "saros.train.checkpoint"

local segments = {}

local check = options.declare("backward_in_segments", {
  { "segment", options.size },
  { "loss", options.optional(options.callback) },
  { "scale", options.nonnegative, 1 },
})

--- What is needed to run a segment again.
---@class saros.train.Border
---@field state saros.nn.State  before it
---@field generators table<string, string>

--- The steps of a window in tensors (T, ...).
local function length_of(window)
  local T
  for name, value in pairs(type(window) == "table" and window or {}) do
    if options.tensor.accept(value) then
      T = T or value:size(1)
      if value:rank() == 0 or value:size(1) ~= T then
        options.fail(("backward_in_segments: expected all tensors of a window to have as many steps, got %s as %s")
          :format(options.describe(value), options.describe(name)))
      end
    end
  end
  return T or options.fail("backward_in_segments: expected a window with tensors (T, ...), got "
    .. options.describe(window))
end

--- Steps first..last of a window.
local function part_of(window, first, last)
  local part = {}
  for name, value in pairs(window) do
    part[name] = options.tensor.accept(value) and value:slice(1, first, last) or value
  end
  if window.reset == true and first > 1 then
    part.reset = nil -- rows that start again with the window go on in it
  end
  return part
end

--- The loss of a segment, on the open tape, and the state behind it.
local function run(self, n, state)
  local first = (n - 1) * self.segment + 1
  local last = math.min(first + self.segment - 1, self.length)
  return self.loss(part_of(self.window, first, last), state, (last - first + 1) / self.length)
end

--- A state that holds nothing else in memory.
local function kept(state)
  return states.map(state, core.clone)
end

local function here(self, state)
  return { state = state, generators = checkpoint.generator_states(self.generators) }
end

--- Run all segments but the last. Returns what is before each segment, and the
--- sums of the objectives and of the plain losses.
local function run_ahead(self, state)
  local borders, total, plain = { here(self, state) }, 0, 0
  for n = 1, self.count - 1 do
    local tape <close> = core.tape() -- unused: dropout acts as it does in training
    local part, last, of_part = run(self, n, state)
    total, plain = total + part:item(), of_part and plain + of_part
    tape:close()
    state = kept(last)
    borders[n + 1] = here(self, state)
  end
  return borders, total, plain
end

--- Real tensors of a state, by name.
local function leaves_of(state)
  local leaves = type(state) == "table" and states.tensors(state) or { state }
  for name, tensor in pairs(leaves) do
    leaves[name] = tensor:dtype() == "real" and tensor or nil
  end
  return leaves
end

--- One segment back. Takes and returns gradients of states by name, of the one
--- behind the segment and of the one before it.
local function run_back(self, n, border, behind)
  local tape <close> = core.tape()
  local leaves, before = n > 1 and leaves_of(border.state) or {}, {}
  for _, leaf in pairs(leaves) do
    tape:watch(leaf)
  end
  local part, last, plain = run(self, n, border.state)
  local objective, ends = part * self.scale, leaves_of(last)
  for name, gradient in pairs(behind) do
    objective = objective + (ends[name] * gradient):sum()
  end
  tape:backward(objective)
  for name, leaf in pairs(leaves) do
    before[name] = leaf:gradient()
  end
  return before, part, last, plain
end

--- The loss that `saros.fit` would take, whose mean is over the steps of the window, or
--- over what its mask leaves of them.
local function loss_of(model, window)
  local all = window.mask and window.mask:sum():item()
  return function(part, state, share)
    if all then
      share = all ~= 0 and part.mask:sum():item() / all or 0
    end
    local value, last, _, plain = loss.to_learn(model, part, state)
    return value * share, last, plain and plain * share
  end
end

--- Add the gradients of a window of any length to those of the parameters.
---
--- `loss(part, state, share)` is called for each segment with its steps of the
--- window's tensors, all (T, ...); it returns the segment's part of the loss, and the
--- state behind it. The parts add up to the loss of the window: a mean over the
--- steps of a segment has to be multiplied with `share`, which the segment has of all
--- steps. By default it is the loss that `saros.fit` would take.
---@param model saros.nn.Module  stateful
---@param window table<string, any>
---@param state saros.nn.State
---@param given { segment: integer, loss?: (fun(part: table, state: saros.nn.State, share: number): saros.Tensor,
---  saros.nn.State), scale?: number }  steps of a segment; scale: factor of the gradients (1)
---@return number loss
---@return saros.nn.State state  behind the window
---@return number? plain  of a model whose objective is not its loss: the loss
function segments.backward(model, window, state, given)
  local o = check(given)
  local length = length_of(window)
  batch_first.refuse("backward_in_segments", model, "windows are cut by their first axis")
  if #model:buffers() > 0 then
    options.fail("backward_in_segments: expected a model that keeps no statistics of what it reads, which would "
      .. "count each segment twice, got one with nn.batch_norm")
  end
  local self = {
    window = window,
    length = length,
    segment = o.segment,
    count = (length - 1) // o.segment + 1,
    scale = o.scale,
    generators = model:generators(),
    loss = o.loss or loss_of(model, window),
  }
  local borders, total, plain = run_ahead(self, state)
  local behind, part, last, of_part = run_back(self, self.count, borders[self.count], {})
  local value, final = total + part:item(), here(self, kept(last))
  for n = self.count - 1, 1, -1 do
    checkpoint.restore_generators(model, borders[n].generators)
    behind = run_back(self, n, borders[n], behind)
    borders[n + 1] = nil
  end
  checkpoint.restore_generators(model, final.generators)
  return value, final.state, of_part and plain + of_part
end

return segments
