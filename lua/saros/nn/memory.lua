--- How much memory training takes at the most, told before it is taken.
---
--- A window of the same length is run with a few rows, twice, and each time
--- every block of memory is noted as it is taken and given back. The size of a
--- block grows with the rows along a straight line, so two sizes tell the third,
--- and playing the notes back with the sizes for all rows gives the peak. It
--- holds for any model, one's own cells included, and costs a fraction of one
--- window. (If the number of blocks depends on the rows, the sums are taken
--- along the line instead.) Tensors that the window has left to the collector
--- come on top, up to what the collector lets them be.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local kept_gradients = require "saros.kept_gradients"
local model_loss = require "saros.nn.loss"
local lazy = require "saros.lazy"

local format = core.format
local late = lazy({}, { segments = { "saros.train.segments" } })

---@class saros.nn.MemoryOptions
---@field length integer  T: steps of a window
---@field batch integer  B: its rows
---@field optimizer? "adam"|"adamw"|"rmsprop"|"sgd"  ("adam")
---@field loss? fun(T: integer, B: integer): saros.Tensor  of some window of that size; models for data have one
---@field segment? integer  steps, as in saros.fit (whole windows)
---@field accumulate? integer  windows between updates, as in saros.fit (1)
---@field average? number  decay, as in saros.fit (none)
---@field pieces? boolean  true if rows start again within a window, as in data.pieces (false)

---@class saros.nn.Memory
---@field length integer
---@field batch integer
---@field parameters integer  bytes, as all that follow
---@field gradients integer  part of `backward`
---@field moments integer  of the optimizer
---@field averages integer  of the weights, and one more of the largest while they change; 0 without `average`
---@field activations integer  what back-propagation keeps of the window; 0 with `segment`
---@field backward integer  what it takes beside them, at the most: gradients of parameters and of activations
---@field others integer  windows before and after this one, and what they leave to the collector, at the most
---@field total integer  at the peak: parameters, moments, averages, activations, backward and others
local Memory = {}
spelling.methods(Memory, "saros.nn.Memory")

local BYTES = core.info().real == "double" and 8 or 4

--- How many numbers an optimizer remembers for each parameter.
local MOMENTS = { sgd = 1, rmsprop = 1, adam = 2, adamw = 2 }

--- The collector comes to tensors when they have grown by so much, or by a quarter
--- of what is in use; after a tape that has held so much, at once.
local CYCLE = 4 << 20

--- Windows of so few steps of rows are run as they are.
local SMALL = 512

--- Blocks of so few bytes are not looked at one by one.
local TINY = 256

--- Bytes for what is not looked at, beside a hundredth of the rest.
local SPARE = 64 << 10

function Memory:__tostring()
  local lines = { ("training on %d steps of %d rows"):format(self.length, self.batch) }
  for _, row in ipairs {
    { "parameters", self.parameters }, { "moments of the optimizer", self.moments },
    { "averages of the weights", self.averages }, { "activations", self.activations },
    { "backward, at its most", self.backward }, { "other windows, at the most", self.others },
    { "in all, at the most", self.total },
  } do
    lines[#lines + 1] = format("%-27s %10.1f MiB", row[1], row[2] / (1 << 20))
  end
  return table.concat(lines, "\n")
end

-- --- Notes ------------------------------------------------------------------------------

--- Play notes back: the peak, and what is in use at each mark and at the end.
local function play(events, size_at)
  local sizes, in_use, sums = {}, 0, { 0 }
  for position, event in ipairs(events) do
    if event > 0 then
      local size = core.block_bytes(size_at(position, event))
      sizes[#sizes + 1] = size
      in_use = in_use + size
      sums[1] = math.max(sums[1], in_use)
    elseif event < 0 then
      in_use = in_use - sizes[-event]
    else
      sums[#sums + 1] = in_use
    end
  end
  sums[#sums + 1] = in_use
  return sums
end

--- Notes without tiny blocks, such as views, of which there may be some for each row.
local function without_tiny(events)
  local kept, places, taken, large = {}, {}, 0, 0
  for _, event in ipairs(events) do
    if event > 0 then
      taken = taken + 1
      large = large + (event > TINY and 1 or 0)
      places[taken] = event > TINY and large
      kept[#kept + 1] = places[taken] and event or nil
    elseif event < 0 then
      kept[#kept + 1] = places[-event] and -places[-event] or nil
    else
      kept[#kept + 1] = 0
    end
  end
  return kept
end

--- True if two notes tell of the same blocks, whatever their sizes, tiny ones aside.
local function are_alike(a, b)
  a, b = without_tiny(a), without_tiny(b)
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

--- Sums along the line through two of them.
local function along(a, b, slope)
  local sums = {}
  for n, sum in ipairs(a) do
    sums[n] = math.ceil(sum + (b[n] - sum) * slope)
  end
  return sums
end

--- What notes for two numbers of rows say of a third, as `play` does: every block
--- along its line where they are alike, and the sums of tiny ones.
local function extend(a, b, rows_a, rows_b, rows)
  local slope = (rows - rows_a) / (rows_b - rows_a)
  local sums = along(play(a, as_it_is), play(b, as_it_is), slope)
  if not are_alike(a, b) then
    return sums
  end
  a, b = without_tiny(a), without_tiny(b)
  local large = along(play(a, as_it_is), play(b, as_it_is), slope)
  for n, sum in ipairs(play(a, function(position, event)
    return math.ceil(event + (b[position] - event) * slope - 1e-6)
  end)) do
    sums[n] = sums[n] - large[n] + sum
  end
  return sums
end

-- --- A window ---------------------------------------------------------------------------

local function check_loss(loss, ...)
  if options.tensor.accept(loss) == nil then
    options.fail("memory: expected option 'loss' to return a tensor, got " .. options.describe(loss))
  end
  return loss, ...
end

--- Ends the notes, if an error has ended the window.
local Noting = setmetatable({}, { __close = function()
  core.trace(false)
end })

--- Learn from a window in segments. The collector, which does not run, comes to what a segment
--- has left before the next one.
local function learn_in_segments(self, rows)
  local model, o, taped = self.model, self.options, 0
  local window = model:sample_window(o.length, rows, o.pieces)
  core.trace()
  local _, state = late.segments.backward(model, window, nil, {
    segment = o.segment,
    loss = function(part, before, share)
      collectgarbage()
      local value, last = model_loss.to_learn(model, part, before)
      taped = math.max(taped, core.memory().taped)
      return value * share, last
    end,
  })
  return taped, state, window
end

--- Learn from a window, as saros.fit does, and mark what is kept of it. Returns the bytes that a
--- tape held at the most, the state, and the window.
local function learn(self, rows)
  if self.options.segment then
    return learn_in_segments(self, rows)
  end
  local tape <close> = core.tape()
  local loss <close>, state, window = check_loss(self.loss_of(self.options.length, rows))
  local taped = core.memory().taped
  core.trace()
  tape:backward(loss)
  return taped, state, window
end

--- The notes of one window, and the bytes that a tape held. Marks: what is kept, what is left for
--- the collector; at the end is what lives on.
local function notes_of(self, rows)
  self.model:clear_gradients()
  collectgarbage()
  collectgarbage "stop"
  if self.options.accumulate > 1 then -- a window finds the gradients of those before it
    learn(self, rows)
  end
  core.trace(true, math.max(1, self.options.batch / rows))
  local _ <close> = Noting
  local taped, state, window = learn(self, rows)
  self.model:clear_gradients()
  core.trace()
  collectgarbage()
  self.state, self.window = state, window -- live so long
  return core.trace(false), taped
end

--- What a window changes beside gradients. Closing brings it back.
local Kept = {}

function Kept:__close()
  for generator, state in pairs(self.generators) do
    generator:restore(state)
  end
  for buffer, value in pairs(self.buffers) do
    buffer:assign(value)
  end
  if self.is_collecting then
    collectgarbage "restart"
  end
end

local function keep(model)
  local kept = { generators = {}, buffers = {}, is_collecting = collectgarbage "isrunning" }
  for _, generator in pairs(model:generators()) do
    kept.generators[generator] = generator:state()
  end
  for _, buffer in ipairs(model:buffers()) do
    kept.buffers[buffer] = buffer:clone()
  end
  return setmetatable(kept, Kept)
end

-- --- Public -----------------------------------------------------------------------------

local check = options.declare("memory", {
  { "length", options.size },
  { "batch", options.size },
  { "optimizer", options.one_of { "adam", "adamw", "rmsprop", "sgd" }, "adam" },
  { "loss", options.optional(options.callback) },
  { "segment", options.optional(options.size) },
  { "accumulate", options.size, 1 },
  { "average", options.optional(options.fraction) },
  { "pieces", options.boolean, false },
})

--- The bytes of all parameters, and of the largest.
local function bytes_of(parameters)
  local sum, largest = 0, 0
  for _, tensor in ipairs(parameters) do
    local bytes = core.block_bytes(tensor:count() * BYTES)
    sum, largest = sum + bytes, math.max(largest, bytes)
  end
  return sum, largest
end

--- What `play` says of a window, and the bytes that a tape holds, from two small ones.
local function measure(self)
  local _ <close> = keep(self.model)
  local _ <close> = kept_gradients(self.model:tensors())
  local B = self.options.batch
  local few = math.max(2, B // 8)
  if few + 1 >= B or B * self.options.length <= SMALL then
    local all, taped = notes_of(self, B)
    return play(all, as_it_is), taped
  end
  local a, taped = notes_of(self, few)
  local b, more = notes_of(self, few + 1)
  if not are_alike(a, b) then -- the first window may have begun something, such as threads
    a = notes_of(self, few)
  end
  local rows = few + 1
  if not are_alike(a, b) then -- along a line, whose slope is better known from rows further apart
    rows = math.min(2 * few, B)
    b, more = notes_of(self, rows)
  end
  return extend(a, b, few, rows, B), taped + (more - taped) * (B - few) / (rows - few)
end

--- What gives the loss of a window of T steps and B rows.
local function loss_of(model, o)
  if o.loss then
    return o.loss
  elseif model.sample_window then
    return function(T, B)
      local window = model:sample_window(T, B, o.pieces)
      local loss, state = model_loss.to_learn(model, window)
      return loss, state, window
    end
  elseif model.sample_loss then
    return function(T, B)
      return model:sample_loss(T, B)
    end
  end
  options.fail(("memory: expected option 'loss', a function that returns the loss of a window "
    .. "of T steps and B rows, for a %s"):format(model.kind))
end

--- Refuse options that mean nothing to a model.
local function check_use(model, o)
  if o.segment and (o.loss or not model.sample_window or model:sample_window(1, 1).symbols) then
    options.fail(("memory: expected no option 'segment' %s"):format(
      o.loss and "beside 'loss'" or ("for a %s, whose sequences stay whole"):format(model.kind)))
  elseif o.pieces and (o.loss or not model.reads_pieces) then
    options.fail(("memory: expected no option 'pieces' for a %s%s, which reads none"):format(
      model.kind, o.loss and " with a loss of its own" or ""))
  end
end

--- How many bytes training takes at the most for windows of a size, as saros.fit
--- trains. The model, its gradients and its generators are as before. What the
--- script holds beside the model, its data first of all, comes on top; and where its
--- Lua values take more than all tensors, the collector comes later than is told.
---@param model saros.nn.Module
---@param given saros.nn.MemoryOptions
---@return saros.nn.Memory
local function memory(model, given)
  local _ <close> = core.no_gradient()
  local o = check(given)
  check_use(model, o)
  local self = { model = model, options = o, loss_of = loss_of(model, o) }
  local sums, taped = measure(self)
  local peak, kept, left, alive = table.unpack(sums)
  local parameters, largest = bytes_of(model:parameters())
  local moments, averages = MOMENTS[o.optimizer] * parameters, o.average and parameters + largest or 0
  local gradients = o.accumulate > 1 and parameters or 0 -- that a window finds
  local lasting = parameters + moments + averages + gradients
  local others = alive * (o.accumulate > 1 and 2 * o.accumulate or 1) -- while the next windows are read
  -- Segments and batches differ, and some are small.
  local waits = taped < CYCLE or o.segment or type(self.window) == "table" and self.window.symbols
  local cycle = waits and math.min(left, CYCLE) + math.max(CYCLE, (lasting + alive) // 4) or 0
  local rest = others + cycle + SPARE + (lasting + peak) // 100
  return setmetatable({
    length = o.length,
    batch = o.batch,
    parameters = parameters,
    gradients = parameters,
    moments = moments,
    averages = averages,
    activations = kept,
    backward = peak - kept + gradients,
    others = rest,
    total = lasting + peak + rest,
  }, Memory)
end

return memory
