--- Connectionist temporal classification by enumeration: what the specs of the
--- loss and of decoding compare with.

local saros = require "saros"

local ctc_paths = {}

--- What a path collapses to, as a string of ids.
local function collapse(path, blank)
  local ids, last = {}, blank
  for _, id in ipairs(path) do
    if id ~= last and id ~= blank then
      ids[#ids + 1] = id
    end
    last = id
  end
  return table.concat(ids, " ")
end

--- The probability of every target, by walking through all V^T paths.
---@param logits saros.Tensor  (T, V)
---@param blank integer
---@return table<string, number>  by the ids, with spaces between
function ctc_paths.probabilities(logits, blank)
  local p, found = saros.softmax(logits):totable(), {}
  local T, V = #p, #p[1]
  local path = {}
  local function walk(t, probability)
    if t > T then
      local target = collapse(path, blank)
      found[target] = (found[target] or 0) + probability
      return
    end
    for v = 1, V do
      path[t] = v
      walk(t + 1, probability * p[t][v])
    end
  end
  walk(1, 1)
  return found
end

--- The loss of one row.
---@param logits saros.Tensor  (T, V)
---@param ids integer[]
---@param blank integer
---@return number
function ctc_paths.loss_of(logits, ids, blank)
  local T, V = table.unpack(logits:shape())
  local targets = #ids > 0 and saros.ids(ids):reshape(-1, 1) or saros.ids { { blank } }
  return saros.nn.ctc_loss(logits:reshape(T, 1, V), targets,
    { blank = blank, target_lengths = { #ids }, reduction = "none" })[1]
end

--- The ids of a string of them.
---@param text string
---@return integer[]
function ctc_paths.ids_in(text)
  local ids = {}
  for id in text:gmatch "%d+" do
    ids[#ids + 1] = math.tointeger(id)
  end
  return ids
end

return ctc_paths
