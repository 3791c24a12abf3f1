--- A module as a table: a row for each member, or for a module without
--- members one row for itself.

local core = require "saros.core"
local spelling = require "saros.spelling"

local format = core.format

---@class saros.nn.Summary
---@field rows saros.nn.SummaryRow[]
---@field parameters integer  in all
---@field multiply_adds integer  in all
---@field bytes integer  that they take
local Summary = {}

---@class saros.nn.SummaryRow
---@field name string
---@field description string  with its shapes
---@field parameters integer
---@field multiply_adds integer  of a step of one row, forward: each weight takes part once, and with attention
---  over past steps what is kept of each of them

spelling.methods(Summary, "saros.nn.Summary")

local BYTES = core.info().real == "double" and 8 or 4

--- 1234567 as "1,234,567".
local function grouped(n)
  local digits = tostring(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (digits:gsub("^,", ""))
end

local function size_text(bytes)
  if bytes < 1 << 20 then
    return format("%.1f KiB", bytes / 1024)
  end
  return format("%.1f MiB", bytes / (1 << 20))
end

function Summary:__tostring()
  local rows = { { "member", "layer", "parameters", "multiply-adds a step" } }
  for _, row in ipairs(self.rows) do
    rows[#rows + 1] = { row.name, row.description, grouped(row.parameters), grouped(row.multiply_adds) }
  end
  rows[#rows + 1] = { "", "in all, " .. size_text(self.bytes), grouped(self.parameters), grouped(self.multiply_adds) }

  local widths = { 0, 0, 0, 0 }
  for _, row in ipairs(rows) do
    for column, cell in ipairs(row) do
      widths[column] = math.max(widths[column], #cell)
    end
  end
  local lines = {}
  for position, row in ipairs(rows) do
    local cells = {}
    for column, cell in ipairs(row) do -- names to the left, numbers to the right
      local space = (" "):rep(widths[column] - #cell)
      cells[column] = column <= 2 and cell .. space or space .. cell
    end
    lines[position] = table.concat(cells, "  ")
  end
  return table.concat(lines, "\n")
end

--- The weights that are multiplied: matrices, but for tables of vectors. A
--- module that multiplies something else says so itself.
local function multiply_adds(module)
  local count = 0
  module:visit(function(part)
    if part.multiply_adds then
      count = count + part:multiply_adds()
      return
    end
    for _, parameter in ipairs(part.looks_up and {} or part.own) do
      count = count + (parameter.tensor:rank() > 1 and parameter.tensor:count() or 0)
    end
  end)
  return count
end

local function row_of(name, module)
  return { name = name, description = module:describe(), parameters = module:count(),
    multiply_adds = multiply_adds(module) }
end

---@param module saros.nn.Module
---@return saros.nn.Summary
local function summary(module)
  local rows = {}
  for position, member in ipairs(module.members) do
    rows[position] = row_of(member.name, member.module)
  end
  if #rows == 0 then
    rows[1] = row_of("", module)
  end
  local count = module:count()
  return setmetatable({ rows = rows, parameters = count, bytes = count * BYTES,
    multiply_adds = multiply_adds(module) }, Summary)
end

return summary
