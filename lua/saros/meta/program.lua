---@meta

--- What a model computes in one time step, read from JSON by core.program. It
--- never changes.
---@class saros.Program
local Program = {}

---@class saros.ProgramValue
---@field name string
---@field width integer  features; 1 for ids
---@field count integer?  of an input of ids: how many there are
---@field reverse boolean?  of a state: it walks from the last step to the first

--- The inputs of a step, in order.
---@return saros.ProgramValue[]
function Program:inputs() end

--- What a step computes for others, in order.
---@return saros.ProgramValue[]
function Program:outputs() end

--- What a step leaves to the next one, in order.
---@return saros.ProgramValue[]
function Program:states() end

--- The tensors that a step reads, in order.
---@return { name: string, shape: integer[] }[]
function Program:parameters() end

--- The text that it was read from.
---@return string
function Program:text() end
