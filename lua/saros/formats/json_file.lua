--- JSON files of nets: reading under limits, and tensors as nested lists.

local core = require "saros.core"
local options = require "saros.options"
local json_numbers = require "saros.formats.json_numbers"
local refusal = require "saros.formats.refusal"

local json_file = {}

-- In memory, at most about, while a text is parsed; and what may be taken in any case.
local VALUE_BYTES, LIST_BYTES, ALLOWANCE = 56, 240, 1 << 20

local function check_memory(text, size)
  local _, values = text:gsub(",", "")
  local _, lists = text:gsub("[%[{]", "")
  if values * VALUE_BYTES + lists * LIST_BYTES > 2 * size + ALLOWANCE then
    refusal.raise("expected numbers in lists of one length, for the memory of others, got %d values and %d lists in "
      .. "%d bytes", values, lists, size)
  end
end

--- The object that a text holds, in which large lists of numbers are tensors.
---@param text string
---@return table
function json_file.decode(text)
  local rest, lists = json_numbers.take(text)
  check_memory(rest, #text)
  local value, message = core.json_decode(rest)
  if type(value) ~= "table" then
    refusal.raise("expected an object in JSON, got %s", message or options.describe(value))
  end
  value = json_numbers.put(value, lists)
  if type(value) ~= "table" then
    refusal.raise "expected an object in JSON, got a list of numbers"
  end
  return value
end

--- The object that a file holds.
---@param path string
---@return table
function json_file.read(path)
  local container <close> = refusal.check(core.open_container(path))
  return json_file.decode(refusal.check(container:read(1, 0, select(2, container:member(1)))))
end

--- A field that is a table; a refusal names it.
---@param owner table
---@param name string|integer
---@return table
function json_file.table(owner, name)
  if type(owner[name]) ~= "table" then
    refusal.raise("expected a list or object as %s, got %s", options.describe(name), options.describe(owner[name]))
  end
  return owner[name]
end

--- A field that is an integer in 1..most.
---@param owner table
---@param name string|integer
---@param most integer
---@return integer
function json_file.integer(owner, name, most)
  local value = math.type(owner[name]) and math.tointeger(owner[name])
  if not value or value < 1 or value > most then
    refusal.raise("expected an integer in 1..%d as %s, got %s", most, options.describe(name),
      options.describe(owner[name]))
  end
  return value
end

--- Nested lists of numbers as a tensor of some rank.
---@param list any  or a tensor, of a large one
---@param rank integer
---@param what string  for the refusal
---@return saros.Tensor
function json_file.tensor(list, rank, what)
  local ok, tensor = type(list) == "userdata", list
  if type(list) == "table" then
    ok, tensor = pcall(core.tensor, list)
  end
  if not ok or tensor:rank() ~= rank or tensor:count() == 0 then
    refusal.raise("expected %s as lists of numbers, %d deep, got others", what, rank)
  end
  return tensor
end

return json_file
