--- How much memory training takes, told before it is taken.
---
--- A window of the same length is run with a few rows, twice, and each time
--- every block of memory is noted as it is taken and given back. The size of a
--- block grows with the rows along a straight line, so two sizes tell the third,
--- and playing the notes back with the sizes for all rows gives the peak. It
--- holds for any model, one's own cells included, and costs a fraction of one
--- window. (If the number of blocks depends on the rows, the sums are taken
--- along the line instead. Scratch that the core takes for large products alone,
--- about a megabyte, is not seen with few rows.)

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local kept_gradients = require "saros.kept_gradients"

local format = core.format

---@class saros.nn.MemoryOptions
---@field length integer  T: steps of a window
---@field batch integer  B: its rows
---@field optimizer? "adam"|"adamw"|"rmsprop"|"sgd"  ("adam")
---@field loss? fun(T: integer, B: integer): saros.Tensor  of some window of that size; models for text have one

---@class saros.nn.Memory
---@field length integer
---@field batch integer
---@field parameters integer  bytes, as all that follow
---@field gradients integer  part of `backward`
---@field moments integer  of the optimizer
---@field activations integer  what back-propagation keeps of the window
---@field backward integer  what it takes beside them, at the most: gradients of parameters and of activations
---@field total integer  at the peak: parameters, moments, activations and backward
local Memory = {}
spelling.methods(Memory, "saros.nn.Memory")

local BYTES = core.info().real == "double" and 8 or 4

--- How many numbers an optimizer remembers for each parameter.
local MOMENTS = { sgd = 1, rmsprop = 1, adam = 2, adamw = 2 }

function Memory:__tostring()
  local lines = { ("training on %d steps of %d rows"):format(self.length, self.batch) }
  for _, row in ipairs {
    { "parameters", self.parameters }, { "moments of the optimizer", self.moments },
    { "activations", self.activations }, { "backward, at its most", self.backward }, { "in all", self.total },
  } do
    lines[#lines + 1] = format("%-24s %10.1f MiB", row[1], row[2] / (1 << 20))
  end
  return table.concat(lines, "\n")
end

-- --- Notes ------------------------------------------------------------------------------

--- Play notes back: what is kept at the mark, and the peak.
local function play(events, size_at)
  local sizes, in_use, kept, peak = {}, 0, 0, 0
  for position, event in ipairs(events) do
    if event > 0 then
      local size = core.block_bytes(size_at(position, event))
      sizes[#sizes + 1] = size
      in_use = in_use + size
      peak = math.max(peak, in_use)
    elseif event < 0 then
      in_use = in_use - sizes[-event]
    else
      kept = in_use
    end
  end
  return kept, peak
end

--- Do two notes tell of the same blocks, whatever their sizes?
local function are_alike(a, b)
  if #a ~= #b then
    return false
  end
  for position, event in ipairs(a) do
    if event ~= b[position] and (event <= 0 or b[position] <= 0) then
      return false
    end
  end
  return true
end

local function as_it_is(_, event)
  return event
end

--- What notes for two numbers of rows say of a third: kept, peak.
local function extend(a, b, rows_a, rows_b, rows)
  local slope = (rows - rows_a) / (rows_b - rows_a)
  if are_alike(a, b) then
    return play(a, function(position, event)
      return math.ceil(event + (b[position] - event) * slope - 1e-6)
    end)
  end
  local kept_a, peak_a = play(a, as_it_is)
  local kept_b, peak_b = play(b, as_it_is)
  return math.ceil(kept_a + (kept_b - kept_a) * slope), math.ceil(peak_a + (peak_b - peak_a) * slope)
end

-- --- A window ---------------------------------------------------------------------------

local function check_loss(loss)
  if options.tensor.accept(loss) == nil then
    options.fail("memory: expected option 'loss' to return a tensor, got " .. options.describe(loss))
  end
  return loss
end

--- Ends the notes, if an error has ended the window.
local Noting = setmetatable({}, { __close = function()
  core.trace(false)
end })

--- The notes of one window.
local function trace(loss_of, T, B)
  local tape <close> = core.tape()
  core.trace(true)
  local _ <close> = Noting
  local loss <close> = check_loss((loss_of(T, B)))
  core.trace()
  tape:backward(loss)
  return core.trace(false)
end

--- What a window changes beside gradients. Closing brings it back.
local Kept = {}

function Kept:__close()
  for generator, state in pairs(self.generators) do
    generator:restore(state)
  end
  if self.is_collecting then
    collectgarbage "restart"
  end
end

local function keep(model)
  local kept = { generators = {}, is_collecting = collectgarbage "isrunning" }
  for _, generator in pairs(model:generators()) do
    kept.generators[generator] = generator:state()
  end
  return setmetatable(kept, Kept)
end

local function clear(model)
  model:clear_gradients()
  collectgarbage()
  collectgarbage "stop"
end

-- --- Public -----------------------------------------------------------------------------

local check = options.declare("memory", {
  { "length", options.size },
  { "batch", options.size },
  { "optimizer", options.one_of { "adam", "adamw", "rmsprop", "sgd" }, "adam" },
  { "loss", options.optional(options.callback) },
})

local function bytes_of(parameters)
  local sum = 0
  for _, tensor in ipairs(parameters) do
    sum = sum + core.block_bytes(tensor:count() * BYTES)
  end
  return sum
end

--- Kept and peak of a window, from two small ones.
local function measure(model, loss_of, T, B)
  local _ <close> = keep(model)
  local _ <close> = kept_gradients(model:tensors())
  local few = math.max(2, B // 8)
  local function notes_of(rows)
    clear(model)
    return trace(loss_of, T, rows)
  end
  local a, b = notes_of(few), notes_of(few + 1)
  if not are_alike(a, b) then -- the first window may have begun something, such as threads
    a = notes_of(few)
  end
  return extend(a, b, few, few + 1, B)
end

--- How many bytes training takes for windows of a size, as saros.fit trains.
--- The model, its gradients and its generators are as before. What the script
--- holds beside the model comes on top, and up to 4 MiB, or a quarter of what is
--- in use between two windows, that the collector has not come to yet.
---@param model saros.nn.Module
---@param given saros.nn.MemoryOptions
---@return saros.nn.Memory
local function memory(model, given)
  local _ <close> = core.no_gradient()
  local o = check(given)
  local loss_of = o.loss
  if not loss_of and not model.sample_loss then
    options.fail(("memory: expected option 'loss', a function that returns the loss of a window "
      .. "of T steps and B rows, for a %s"):format(model.kind))
  end
  local kept, peak = measure(model, loss_of or function(T, B)
    return model:sample_loss(T, B)
  end, o.length, o.batch)
  local parameters = bytes_of(model:parameters())
  local moments = MOMENTS[o.optimizer] * parameters
  return setmetatable({
    length = o.length,
    batch = o.batch,
    parameters = parameters,
    gradients = parameters,
    moments = moments,
    activations = kept,
    backward = peak - kept,
    total = parameters + moments + peak,
  }, Memory)
end

return memory
