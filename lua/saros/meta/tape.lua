---@meta

--- What is recorded while it is open: operations on tensors that are trainable,
--- watched, or computed from such. Closing frees all that it saved, at once:
---
---     local tape <close> = saros.tape()
---     tape:backward(loss())
---
--- What a script still holds stays valid, as a value without history.
---@class saros.Tape
local Tape = {}

--- Asks for the gradient of x: an input before it is used, a result afterwards.
--- Error if the tape is closed.
---@param x saros.Tensor
---@return saros.Tensor x
function Tape:watch(x) end

--- Adds the gradient of loss to the gradient of every trainable and watched
--- tensor that it was computed from. Once only: the tape is spent afterwards.
--- Error if the tape is closed, or the loss is not on it.
---@param loss saros.Tensor  of one element, unless a gradient is given
---@param gradient? saros.Tensor  of the elements of loss, of its shape
function Tape:backward(loss, gradient) end

--- A second call does nothing.
function Tape:close() end

--- While it is open, no tape records: see saros.no_gradient.
---@class saros.Pause
local Pause = {}

--- The tape that was set aside records again. A second call does nothing.
function Pause:close() end
