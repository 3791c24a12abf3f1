--- The cells by name, each the table of its file here.

--- What a cell adds to the stack of layers that recurrent.lua makes. A cell is fused, an
--- operation of the core, or has a `maker`: its layers are those of nn.recurrent for the
--- cell of nn.cell that this makes, so `linear` and `diagonal`, `operation`, `bias`, `add`
--- and `definitions` are none of its fields.
---@class saros.nn.Cell
---@field maker? fun(o: table): saros.nn.CellMaker  of a cell without a kernel, for the options
---@field gates integer  G: blocks of H rows in the weights
---@field linear? boolean  in the state, which is not multiplied by weights
---@field diagonal? integer  where the state of a unit follows from x and from rows of weights that belong to that
---  unit alone: how many numbers it has, side by side
---@field states string[]  what is carried from step to step
---@field options table[]  beside those that all layers have
---@field lacks? string[]  the options of named cells that this one has no use for: bias, layer_norm and the like
---@field operation? fun(o: table): string  the core's name for these options
---@field check? fun(o: table): string?  what is wrong with the options, if anything
---@field bias? fun(which: string, o: table, bound: number): saros.nn.Filler  fills bias_ih or bias_hh
---@field add? fun(cell: saros.nn.Cell, o: table, inputs: integer, add: saros.nn.AddParameter): saros.nn.Made
---@field definitions? table<string, fun(cell: saros.nn.Definition): table, table?>  the new h (and c) of each of the
---  core's operations, made of nodes
---@field named? { [1]: string, [2]: string }[]  values that a definition names: the title there, such as "i", and the
---  word of the textbook, such as "input"; the same word twice where p:named has it

---@alias saros.nn.AddParameter fun(name: string, shape: integer[], fill: saros.nn.Filler): saros.Tensor

--- The parameters of one layer in one direction.
---@class saros.nn.Made
---@field parameters saros.Layer  that the core takes
---@field output integer  features of y
---@field sizes integer[]  of the states
---@field norm_ih saros.Tensor[]?  gain and bias of a layer norm of W x
---@field weight_ih saros.Tensor?  W, where that norm comes between W x and the core
---@field around saros.nn.Around?  what is computed before and behind the walk over time
---@field own saros.nn.DirectionLayer?  what runs a direction in place of core.recurrent
---@field named string[]?  its gates
---@field learned integer?  how many of its states, from the first on, learn_state makes parameters (all)
---@field ends_in_output boolean?  what a row has read is told by its last output, not by its first state

--- A direction that is more than one call of core.recurrent.
---@class saros.nn.DirectionLayer
---@field names string[]  of its states
---@field firsts number[]  what the learned ones begin with
---@field run function  run(self, x, state, given, reverse, tells, table) over a sequence: y, the states and, if it
---  tells, what it did at every step (saros.nn.LayerValues). With a table (V, I), x is ids (T, B): only where the
---  direction has `parameters`
---@field state_problem fun(self: self, state: any, B: integer): string?  what is wrong with states of B rows
---@field begin_at fun(self: self, tensors: saros.Tensor[])  learned first states
---@field compile fun(self: self, reverse: boolean): ({ note: string? }|false), string?  false and why, if it is
---  unrolled step by step

--- What surrounds the walk over time, which is the core's, in a direction.
---@class saros.nn.Around
---@field scaled fun(self: self, p: saros.Layer): saros.Layer  the parameters as the core takes them
---@field output fun(self: self, h: saros.Tensor, x: saros.Tensor): saros.Tensor  y (T, B, H)
---@field gamma saros.Tensor?  scales the rows of weight_ih by e^gamma
---@field reads_x boolean  the output reads x, too

local lazy = require "saros.lazy"
local list = require "saros.nn.cells.list"

local places = {}
for _, name in ipairs(list) do
  places[name] = { "saros.nn.cells." .. name }
end

---@type table<string, saros.nn.Cell>
return lazy({}, places)
