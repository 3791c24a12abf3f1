--- Large lists of numbers in JSON, taken out of the text as tensors before it is parsed: a
--- parsed number takes some 56 bytes, and has as few as 2 in the file.
---
--- What is taken is a list of a few levels whose rows are of one length, beside which
--- nothing but numbers stands. In its place the text gets an object with a number.

local core = require "saros.core"

local json_numbers = {}

local LEAST = 64 -- numbers of a list that is taken
local MOST_RANK = 4
local BLOCK = 8192 -- numbers that are a table at one time
local BYTES = 1 << 16 -- of text, the same
local MARK = "list of numbers"

-- --- Rows ----------------------------------------------------------------------------------------

local function flush(list)
  if #list.values > 0 then
    list.parts[#list.parts + 1] = core.tensor(list.values)
    list.values = {}
  end
end

-- Adds the numbers in text[first..last]; returns how many, or nil if it has anything else.
local function add_piece(list, text, first, last)
  local numbers = core.json_decode("[" .. text:sub(first, last) .. "]")
  if type(numbers) ~= "table" or #numbers == 0 then
    return nil
  end
  for _, value in ipairs(numbers) do
    if type(value) ~= "number" then
      return nil
    end
  end
  table.move(numbers, 1, #numbers, #list.values + 1, list.values)
  if #list.values > BLOCK then
    flush(list)
  end
  return #numbers
end

-- The same for a row of any length, in pieces that end before a comma.
local function add_row(list, text, first, last)
  local count = 0
  while true do
    local comma = last - first > BYTES and text:find(",", first + BYTES, true) or last + 1
    comma = math.min(comma, last + 1)
    local added = add_piece(list, text, first, comma - 1)
    if not added then
      return nil
    end
    count, first = count + added, comma + 1
    if comma > last then
      return count
    end
  end
end

-- --- Lists ---------------------------------------------------------------------------------------

-- What may stand between two brackets.
local BETWEEN = { ["[["] = "^%s*$", ["]]"] = "^%s*$", ["]["] = "^%s*,%s*$" }

-- Ends a level: all of a depth have one size.
local function close(list)
  local depth, size = list.depth, list.counts[list.depth]
  if list.shape[depth] and list.shape[depth] ~= size then
    return false
  end
  list.shape[depth], list.depth = size, depth - 1
  if depth > 1 then
    list.counts[depth - 1] = list.counts[depth - 1] + 1
  end
  return true
end

-- Goes on from one bracket, at `from`, to the next, at `to`; false if the list is of another form.
local function step(list, text, from, to)
  local bracket, before = text:sub(to, to), text:sub(from, from)
  if before == "[" and bracket == "]" then
    if list.rank and list.rank ~= list.depth then
      return false
    end
    list.rank = list.depth
    list.counts[list.depth] = add_row(list, text, from + 1, to - 1)
    return list.counts[list.depth] ~= nil and close(list)
  elseif to - from > 100 or not text:sub(from + 1, to - 1):find(BETWEEN[before .. bracket]) then
    return false
  elseif bracket == "]" then
    return close(list)
  end
  list.depth = list.depth + 1
  list.counts[list.depth] = 0
  return list.depth <= MOST_RANK
end

-- The list at a place, up to `stop`: its numbers as a tensor and its last byte; nil if it is of another form.
local function read_list(text, place, stop)
  local list = { values = {}, parts = {}, depth = 1, counts = { 0 }, shape = {}, rank = nil }
  local from = place
  while list.depth > 0 do
    local to = text:find("[%[%]]", from + 1)
    if not to or to >= stop or not step(list, text, from, to) then
      return nil
    end
    from = to
  end
  local count = 1
  for _, size in ipairs(list.shape) do
    count = count * size
  end
  if count < LEAST then
    return nil, from
  end
  flush(list)
  return core.concatenate(list.parts, 1):reshape(list.shape), from
end

-- The place behind the string that begins at a place.
local function behind_string(text, place)
  local at = place + 1
  while true do
    at = text:find('["\\]', at)
    if not at then
      return #text + 1
    elseif text:sub(at, at) == '"' then
      return at + 1
    end
    at = at + 2
  end
end

--- A text without its large lists of numbers, and these.
---@param text string
---@return string rest
---@return saros.Tensor[] lists
function json_numbers.take(text)
  local parts, lists, at, kept, stop = {}, {}, 1, 1, 0
  while true do
    local place = text:find('["%[]', at)
    if not place then
      break
    elseif text:sub(place, place) == '"' then
      at = behind_string(text, place)
    else
      stop = stop > place and stop or text:find("[^%d%s.,eE+%-%[%]]", place) or #text + 1
      local list, last = read_list(text, place, stop)
      if list then
        lists[#lists + 1] = list
        parts[#parts + 1] = text:sub(kept, place - 1)
        parts[#parts + 1] = ('{"%s":%d}'):format(MARK, #lists)
        kept = last + 1
      end
      at = (last or place) + 1
    end
  end
  parts[#parts + 1] = text:sub(kept)
  return table.concat(parts), lists
end

--- Puts the lists where their numbers are, in a table that the rest was parsed to.
---@param value table
---@param lists saros.Tensor[]
---@return any
function json_numbers.put(value, lists)
  local n = value[MARK]
  if n ~= nil then
    return lists[n]
  end
  for key, element in pairs(value) do
    if type(element) == "table" then
      value[key] = json_numbers.put(element, lists)
    end
  end
  return value
end

return json_numbers
