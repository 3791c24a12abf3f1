--- A module as a table: a row for each member, or for a module without
--- members one row for itself.

local core = require "saros.core"

---@class saros.nn.Summary
---@field rows { name: string, description: string, parameters: integer }[]
---@field parameters integer  in all
---@field bytes integer  that they take
local Summary = {}
Summary.__index = Summary

local BYTES = core.info().real == "double" and 8 or 4

--- 1234567 as "1,234,567".
local function grouped(n)
  local digits = tostring(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (digits:gsub("^,", ""))
end

local function size_text(bytes)
  if bytes < 1 << 20 then
    return ("%.1f KiB"):format(bytes / 1024)
  end
  return ("%.1f MiB"):format(bytes / (1 << 20))
end

function Summary:__tostring()
  local rows = { { "member", "layer", "parameters" } }
  for _, row in ipairs(self.rows) do
    rows[#rows + 1] = { row.name, row.description, grouped(row.parameters) }
  end
  rows[#rows + 1] = { "", "in all, " .. size_text(self.bytes), grouped(self.parameters) }

  local widths = { 0, 0, 0 }
  for _, row in ipairs(rows) do
    for column, cell in ipairs(row) do
      widths[column] = math.max(widths[column], #cell)
    end
  end
  local layout = ("%%-%ds  %%-%ds  %%%ds"):format(table.unpack(widths))
  local lines = {}
  for position, row in ipairs(rows) do
    lines[position] = layout:format(table.unpack(row))
  end
  return table.concat(lines, "\n")
end

---@param module saros.nn.Module
---@return saros.nn.Summary
local function summary(module)
  local rows = {}
  for position, member in ipairs(module.members) do
    rows[position] = {
      name = member.name,
      description = member.module:describe(),
      parameters = member.module:count(),
    }
  end
  if #rows == 0 then
    rows[1] = { name = "", description = module:describe(), parameters = module:count() }
  end
  local count = module:count()
  return setmetatable({ rows = rows, parameters = count, bytes = count * BYTES }, Summary)
end

return summary
