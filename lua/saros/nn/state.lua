--- States are plain values: nil at the beginning, then a tree of tables whose
--- leaves are tensors (B, H). A recurrent layer's is state[layer][which], a
--- chain's state[position]; none of that matters to who carries it.
---
--- What modules return also has these functions as methods: `state:rows(ids)`.
---
--- A row starts again with `reset`, see saros.nn.StepOptions: only the module knows
--- the state that its rows begin with, which may be a learned one.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"

---@class saros.nn.StateMethods
local state = {}
spelling.methods(state, "saros.nn.State")

---@alias saros.nn.State nil|saros.Tensor|table<any, saros.nn.State>

--- A tree with the functions of this module as methods.
---@generic T: table
---@param tree T
---@return T
function state.new(tree)
  options.argument("state.new", 1, options.table, tree)
  return setmetatable(tree, state)
end

--- The same tree with fn(leaf) for each leaf, which is a tensor.
local function mapped(owner, tree, fn)
  if type(tree) ~= "table" then
    if tree and not options.tensor.accept(tree) then
      options.fail(("%s: expected a state, which is tensors in tables, got %s"):format(owner, options.describe(tree)))
    end
    return tree and fn(tree)
  end
  local result = state.new {}
  for key, branch in pairs(tree) do
    result[key] = mapped(owner, branch, fn)
  end
  return result
end

--- The same tree with each tensor replaced by fn(tensor).
---@param tree saros.nn.State
---@param fn fun(tensor: saros.Tensor): saros.Tensor
---@return saros.nn.State
function state.map(tree, fn)
  options.argument("state.map", 2, options.callback, fn)
  return mapped("state.map", tree, fn)
end

--- Other rows of the batch, in any order and number: row rows[i] becomes row i.
---@param tree saros.nn.State
---@param rows saros.Tensor  ids (B'), each in 1..B
---@return saros.nn.State
function state.rows(tree, rows)
  return mapped("state.rows", tree, function(tensor)
    return core.embedding(tensor, rows)
  end)
end

--- One row of the batch, as a batch of one.
---@param tree saros.nn.State
---@param row integer  1..B
---@return saros.nn.State
function state.select(tree, row)
  options.argument("state.select", 2, options.size, row)
  return mapped("state.select", tree, function(tensor)
    return tensor:slice(1, row, row)
  end)
end

--- The same values without history, where a tape is open across windows.
---@param tree saros.nn.State
---@return saros.nn.State
function state.detach(tree)
  return mapped("state.detach", tree, core.detach)
end

local function collect(tree, prefix, tensors)
  for key, branch in pairs(tree) do
    if type(branch) == "table" then
      collect(branch, prefix .. key .. ".", tensors)
    else
      tensors[prefix .. key] = branch
    end
  end
  return tensors
end

--- All tensors by name, "layer.which", as saros.safetensors.write takes them.
---@param tree table
---@param prefix? string  put before each name
---@return table<string, saros.Tensor>
function state.tensors(tree, prefix)
  options.argument("state.tensors", 1, options.table, tree)
  options.argument("state.tensors", 2, options.string, prefix or "")
  return collect(tree, prefix or "", {})
end

--- The state that `tensors` made of.
---@param tensors table<string, saros.Tensor>
---@param prefix? string  of the names that belong to this state
---@return saros.nn.State
function state.from(tensors, prefix)
  if type(tensors) ~= "table" then
    options.fail("state.from: expected a table of tensors by name, got " .. options.describe(tensors))
  end
  prefix = prefix or ""
  options.argument("state.from", 2, options.string, prefix)
  local tree = state.new {}
  for name, tensor in pairs(tensors) do
    if type(name) ~= "string" or not options.tensor.accept(tensor) then
      options.fail(("state.from: expected tensors by name, got %s as %s"):format(
        options.describe(tensor), options.describe(name)))
    end
    if name:sub(1, #prefix) == prefix then
      local branch, last = tree, nil
      for key in name:sub(#prefix + 1):gmatch "[^.]+" do
        if last then
          branch[last] = branch[last] or state.new {}
          branch = branch[last]
        end
        last = math.tointeger(tonumber(key)) or key
      end
      branch[last] = tensor
    end
  end
  return tree
end

--- The shapes of the tensors, in the form of the tree.
function state.__tostring(tree)
  options.argument("state.__tostring", 1, options.table, tree)
  local parts = {}
  for key, branch in pairs(tree) do
    local text = type(branch) == "table" and state.__tostring(branch)
      or "(" .. table.concat(branch:shape(), ", ") .. ")"
    parts[#parts + 1] = { key = tostring(key), text = text }
  end
  table.sort(parts, function(a, b) return a.key < b.key end)
  for position, part in ipairs(parts) do
    local is_next = part.key == tostring(position)
    parts[position] = is_next and part.text or ("[%s] = %s"):format(part.key, part.text)
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

return state
