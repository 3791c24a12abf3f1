--- Rows of the benchmark in files: one file for each processor, a line of JSON for
--- each measurement.

local saros = require "saros"

local rows = {}

-- What tells rows apart; everything else was measured. (`processors` and the like
-- belong to the machine, of which a file has one row.)
local IDENTITY = {
  "case", "of", "cell", "precision", "threads", "hidden", "layers", "batch", "length", "steps", "weights", "outputs",
  "inputs", "shape", "kernel", "function", "call", "varies", "library", "how",
}

local function key_of(row)
  local words = {}
  for position, field in ipairs(IDENTITY) do
    words[position] = tostring(row[field] or field == "precision" and "real" or "")
  end
  return table.concat(words, "|")
end

--- The rows of a file, in order; none if there is no such file.
---@param path string
---@return table[]
function rows.read(path)
  local list, file = {}, io.open(path)
  if file then
    for line in file:lines() do
      list[#list + 1] = assert(saros.json_decode(line))
    end
    file:close()
  end
  return list
end

--- Put a row in the place of an older one of the same measurement, or at the end.
---@param list table[]
---@param row table
function rows.put(list, row)
  local key = key_of(row)
  for position, old in ipairs(list) do
    if key_of(old) == key then
      list[position] = row
      return
    end
  end
  list[#list + 1] = row
end

--- Write a file of rows; at no time is there half a file.
---@param path string
---@param list table[]
function rows.write(path, list)
  local lines = {}
  for position, row in ipairs(list) do
    lines[position] = saros.json_encode(row) .. "\n"
  end
  local file = assert(io.open(path .. ".new", "w"))
  assert(file:write(table.concat(lines)))
  assert(file:close())
  assert(os.rename(path .. ".new", path))
end

--- The same rows by their case, each list in order.
---@param list table[]
---@return table<string, table[]>
function rows.by_case(list)
  local found = {}
  for _, row in ipairs(list) do
    found[row.case] = found[row.case] or {}
    table.insert(found[row.case], row)
  end
  return found
end

--- The first row in which all these fields have these values. Rows of products
--- say nothing of their precision where it is that of real numbers.
---@param list table[]?
---@param fields table
---@return table?
function rows.find(list, fields)
  for _, row in ipairs(list or {}) do
    local same = true
    for field, value in pairs(fields) do
      local has = row[field]
      same = same and (has == value or field == "precision" and has == nil and value == "real")
    end
    if same then
      return row
    end
  end
end

return rows
