--- Reads the ONNX files of a folder and compares what they say with what is written beside them:
--- NAME.safetensors has "in.x" (T, B, F) or ids (T, B) from 0, "in.lengths", states "in.h0" and
--- "in.c0" (layers, B, H), and "out.y", "out.hn", "out.cn"; "axes" of a file with a fixed number of steps
--- is 1 if rows come first in it.

local saros = require "saros"

local reading = {}

--- The largest difference, over the largest value or 1.
local function off(got, wanted, what)
  local a, b = table.concat(got:shape(), ", "), table.concat(wanted:shape(), ", ")
  if a ~= b then
    error(("%s of shape (%s), not (%s)"):format(what, a, b), 0)
  end
  return ((got - wanted):abs():max() / wanted:abs():max():maximum(1)):item()
end

--- States as a module has them: of one layer (B, H), of several a list of these.
local function state_of(tensor)
  local list = {}
  for n = 1, tensor:size(1) do
    list[n] = tensor[n]
  end
  return #list == 1 and list[1] or list
end

local function stacked(value)
  return saros.stack(type(value) == "table" and value or { value }, 1)
end

--- Ids from 1 of whole numbers from 0.
local function ids_of(x)
  return saros.ids(x + 1)
end

local function integers(x)
  local list = {}
  for n = 1, x:count() do
    list[n] = math.tointeger(x[n])
  end
  return list
end

--- How far a file is off; an error says why it cannot be read or run.
---@param path string  without its extension
---@return number
function reading.difference(path)
  local given = assert(saros.safetensors.read(path .. ".safetensors"))
  local letters = given.axes and (given.axes[1] == 1 and "BT" or "TB") .. (given["in.x"]:rank() == 3 and "F" or "")
  local model, message = saros.onnx.read(path .. ".onnx", { axes = { x = letters } })
  if not model then
    error(message, 0)
  end
  local x, state = given["in.x"], nil
  for _, name in ipairs { "h0", "c0" } do
    if given["in." .. name] then
      state = state or {}
      state[name] = state_of(given["in." .. name])
    end
  end
  local lengths = given["in.lengths"] and integers(given["in.lengths"])
  local y, after = model(x:rank() == 2 and ids_of(x) or x, state, lengths and { lengths = lengths })
  local worst = off(y, given["out.y"], "y")
  for before, behind in pairs { h0 = "hn", c0 = "cn" } do
    if given["out." .. behind] then
      worst = math.max(worst, off(stacked(after[before]), given["out." .. behind], behind))
    end
  end
  return worst
end

return reading
