---@meta

--- A file in the wire format of protocol buffers. Positions are bytes from 0; its length
--- is their number. What is wrong with the file is nil and a message.
---@class saros.Wire
---@operator len: integer
local Wire = {}

--- The field that begins at a position, of a message that ends at `stop`.
---@param at integer
---@param stop integer
---@return integer? number
---@return integer|string kind  0: varint, 1: 64 bits, 2: bytes, 5: 32 bits
---@return integer? value  the bits; of bytes, where they begin
---@return integer? after  where the field ends
function Wire:next(at, stop) end

--- Those bytes.
---@param from integer
---@param stop integer
---@return string
function Wire:text(from, stop) end

--- Elements as a tensor of reals: the bytes of the range, or the field of that number of the
--- message there.
---@param type string  as safetensors names it: "F32", "I64"
---@param number integer  0: bytes
---@param from integer
---@param stop integer
---@param shape integer[]
---@return saros.Tensor? x
---@return string? message
function Wire:reals(type, number, from, stop, shape) end

--- The same as a list of integers.
---@param type string
---@param number integer
---@param from integer
---@param stop integer
---@param count integer
---@return integer[]? list
---@return string? message
function Wire:integers(type, number, from, stop, count) end
