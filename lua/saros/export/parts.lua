--- What stands before and behind the net of a model, which a file of it has, too.

--- A model that takes or tells more than its net does.
---@class saros.export.Parts
---@field net saros.nn.Module  which has the program
---@field before saros.export.Scale?  the units of what goes in
---@field behind saros.export.Ahead?  and of what comes out
---@field labels string[]?  of the outputs
---@field final boolean?  do outputs come at the end of a sequence alone?
---@field input fun(sequence: any): saros.Tensor  what scripts give the model, as ids (T) or numbers (T, F)
---@field ask fun(input: saros.Tensor): saros.Tensor  what the model says after each step, (T, outputs)

--- The units of the columns that go in: (x - shift) / factor goes into the net.
---@class saros.export.Scale
---@field shift number[]  F of them
---@field factor number[]
---@field names string[]  of the columns

--- And of those that come out.
---@class saros.export.Ahead: saros.export.Scale
---@field horizon integer
---@field places saros.Tensor?  ids (K): where their present values are among those that go in

--- What steps, and what stands before and behind it.
---@param model saros.nn.Module
---@return saros.export.Parts
return function(model)
  if model.export_parts then
    return model:export_parts()
  end
  local known = model.vocabulary
  return { net = model, input = function(sequence)
    return known and known:tensor(sequence) or sequence
  end }
end
