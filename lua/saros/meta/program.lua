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

--- The program over whole sequences, differentiable in parameters, inputs and
--- states. With a mask, inputs are hidden, states held and outputs 0 where it is 0.
---@class saros.ProgramRun
---@field parameters table<string, saros.Tensor>  by name, all of them
---@field inputs table<string, saros.Tensor>  by name, all of them: (T, B, width), or ids (T, B)
---@field state? table<string, saros.Tensor>  by name, (B, width); others begin as the program says
---@field mask? saros.Tensor  (T, B) of 1 and 0
---@field reset? saros.Tensor  (T, B) of 1 and 0: at 1 a new piece of the row begins
---@field generator? saros.Generator  of dropout and zoneout nodes, in training
---@field dropout? table<string, saros.Tensor>  by name of a state, (B, width): its factor in products
---@field zoneout? table<string, saros.Tensor>  by name of a state, (T, B, width): s = z s(t) + (1 - z) s(t-1)
---@field plain? boolean  loops by ordinary operations step by step: slow, to compare with (false)

---@param given saros.ProgramRun
---@return table<string, saros.Tensor> outputs  by name, (T, B, width)
---@return table<string, saros.Tensor> states  by name, (B, width), after the last step
function Program:run(given) end
