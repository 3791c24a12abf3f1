--- States are plain values: nil at the beginning, then a tree of tables whose
--- leaves are tensors (B, H). A recurrent layer's is state[layer][which], a
--- chain's state[position]; none of that matters to who carries it.

local core = require "saros.core"

local state = {}

---@alias saros.nn.State nil|saros.Tensor|table<any, saros.nn.State>

--- The same tree with each tensor replaced by fn(tensor).
---@param tree saros.nn.State
---@param fn fun(tensor: saros.Tensor): saros.Tensor
---@return saros.nn.State
function state.map(tree, fn)
  if type(tree) ~= "table" then
    return tree and fn(tree)
  end
  local result = {}
  for key, branch in pairs(tree) do
    result[key] = state.map(branch, fn)
  end
  return result
end

--- Other rows of the batch, in any order and number: row rows[i] becomes row i.
---@param tree saros.nn.State
---@param rows saros.Tensor  ids (B'), each in 1..B
---@return saros.nn.State
function state.rows(tree, rows)
  return state.map(tree, function(tensor)
    return core.embedding(tensor, rows)
  end)
end

--- The same values without history, where a tape is open across windows.
---@param tree saros.nn.State
---@return saros.nn.State
function state.detach(tree)
  return state.map(tree, core.detach)
end

return state
