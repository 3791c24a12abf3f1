--- JSON files of nets: reading under limits, and tensors as nested lists.

local core = require "saros.core"
local options = require "saros.options"
local refusal = require "saros.formats.refusal"

local json_file = {}

-- A value takes some 50 bytes in memory, so a file of more than a mebibyte must have
-- numbers with digits; weights have 8 and more.
local BYTES_OF_VALUE, FEW = 10, 100000

local function check_density(text)
  local _, values = text:gsub("[%[,{]", "")
  if values > FEW and values * BYTES_OF_VALUE > #text then
    refusal.raise("expected numbers of %d characters on average, got %d values in %d bytes", BYTES_OF_VALUE - 1,
      values, #text)
  end
end

--- The object that a text holds.
---@param text string
---@return table
function json_file.decode(text)
  check_density(text)
  local value, message = core.json_decode(text)
  if type(value) ~= "table" then
    refusal.raise("expected an object in JSON, got %s", message or options.describe(value))
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
---@param list any
---@param rank integer
---@param what string  for the refusal
---@return saros.Tensor
function json_file.tensor(list, rank, what)
  local ok, tensor = pcall(core.tensor, list)
  if not ok or type(list) ~= "table" or tensor:rank() ~= rank or tensor:count() == 0 then
    refusal.raise("expected %s as lists of numbers, %d deep, got others", what, rank)
  end
  return tensor
end

return json_file
