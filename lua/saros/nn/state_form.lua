--- The states of a program, (B, width) each, as modules have them: with the shape of a
--- row, and with the axis of the rows where the module has it; and where they are in
--- the tree that is the module's state.

local states = require "saros.nn.state"

local form = {}

--- Does a tensor have the form of a state?
local function fits(state, h)
  local shape = h:shape()
  table.remove(shape, state.axis or 1)
  return table.concat(shape, " ") == table.concat(state.shape or { state.width }, " ")
end

--- Another order of the axes: axis `from` comes to be axis `to`.
local function moved(h, from, to)
  local step = from < to and 1 or -1
  for k = from, to - step, step do
    h = h:transpose(k, k + step)
  end
  return h
end

--- (B, width) from the tensor of a module; a tensor of another form stays as it is.
---@param state { width: integer, shape?: integer[], axis?: integer }  of a program
---@param h saros.Tensor
---@return saros.Tensor
function form.flat(state, h)
  if not fits(state, h) then
    return h
  end
  h = moved(h, state.axis or 1, 1)
  return h:reshape(h:size(1), state.width)
end

--- The tensor of a module from (B, width).
---@param state { width: integer, shape?: integer[], axis?: integer }  of a program
---@param h saros.Tensor
---@return saros.Tensor
function form.shaped(state, h)
  if state.shape then
    h = h:reshape(h:size(1), table.unpack(state.shape))
  end
  return moved(h, 1, state.axis or 1)
end

--- What is in a tree behind a path; nil if the path does not lead anywhere.
---@param tree any
---@param path any[]
---@return any
function form.find(tree, path)
  for _, key in ipairs(path) do
    tree = type(tree) == "table" and tree[key] or nil
  end
  return tree
end

--- Put a tensor where a path leads to, with the branches that this needs.
---@param tree saros.nn.State
---@param path any[]
---@param tensor saros.Tensor
---@return saros.nn.State tree  the tensor itself if the path is empty
function form.put(tree, path, tensor)
  if #path == 0 then
    return tensor
  end
  local branch = tree
  for n = 1, #path - 1 do
    branch[path[n]] = rawget(branch, path[n]) or states.new {} -- states have methods, too
    branch = branch[path[n]]
  end
  branch[path[#path]] = tensor
  return tree
end

return form
