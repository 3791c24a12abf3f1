---@meta

--- Turns text into ids; what a vocabulary does it with.
---@class saros.Codec
---@operator len: integer
local Codec = {}

---@return string[]  id -> symbol
function Codec:symbols() end

--- BPE: the parts of symbols 257 and on, two ids for each.
---@return integer[]
function Codec:merges() end

--- Words: true if a space stands between two symbols, or before a word that may follow the first.
--- False for other units.
---@param before integer  an id
---@param after? integer  an id
---@return boolean
function Codec:space(before, after) end

--- Error at unknown symbols, each with line and column.
---@param text string
---@return saros.Tensor ids  (N)
function Codec:encode(text) end

--- Writes the token file of a text. Error at an unknown symbol.
---@param text_path string
---@param path string
---@param held_out number  the fraction held out from the end, in [0, 1)
---@param description string  of the vocabulary
---@return integer? count  the number of ids; nil if a file could not be read or written
---@return string? message
function Codec:prepare(text_path, path, held_out, description) end

--- An open token file. Its length is the number of ids.
---@class saros.Tokens
---@operator len: integer
local Tokens = {}

--- How many ids, at the end, are held out.
---@return integer
function Tokens:held_out() end

--- Tells apart token files of different ids.
---@return string  16 hex digits
function Tokens:digest() end

---@return integer count  of the vocabulary
---@return string description  of the vocabulary
function Tokens:symbols() end

--- Reads a window: inputs[t][b] is id number first + (b - 1) * stride + t - 1,
--- and the targets are the ids behind. Error beyond the last id, or where the
--- file was changed or cut since it was opened.
---@param first integer
---@param stride integer  from row to row
---@param T integer
---@param B integer
---@return saros.Tensor inputs  ids (T, B)
---@return saros.Tensor targets  ids (T, B)
function Tokens:window(first, stride, T, B) end
