--- What a data set says of itself behind its first line: what was left out and why,
--- what was dropped, what was put in.

local remarks = {}

--- Columns with why they are left out, those with one reason together.
---@param left_out saros.data.LeftOut[]
---@return string[]
function remarks.by_reason(left_out)
  local reasons, names, list = {}, {}, {}
  for _, entry in ipairs(left_out) do
    if not names[entry.why] then
      reasons[#reasons + 1], names[entry.why] = entry.why, {}
    end
    table.insert(names[entry.why], entry.name)
  end
  for n, why in ipairs(reasons) do
    list[n] = ("%s (%s)"):format(table.concat(names[why], ", "), why)
  end
  return list
end

--- The first three of these behind a colon; "" if there is none.
---@param left_out saros.data.LeftOut[]
---@return string
function remarks.text(left_out)
  local list = remarks.by_reason(left_out)
  local first = table.concat(list, ", ", 1, math.min(#list, 3))
  return #list == 0 and "" or (": %s%s"):format(first, #list > 3 and " ..." or "")
end

--- How often something came, where it did: "2 blank lines".
---@param entries { [1]: integer, [2]: string, [3]: string }[]  count, what one is called, and several
---@return string[]
function remarks.counts(entries)
  local list = {}
  for _, entry in ipairs(entries) do
    list[#list + 1] = entry[1] > 0 and ("%d %s"):format(entry[1], entry[1] == 1 and entry[2] or entry[3]) or nil
  end
  return list
end

--- Numbers that were put in, by column.
---@param filled table<string, integer>
---@return string[]
function remarks.filled(filled)
  local list = {}
  for name, count in pairs(filled) do
    list[#list + 1] = ("%s (%d number%s)"):format(name, count, count == 1 and "" or "s")
  end
  table.sort(list)
  return list
end

--- Lines of which each has a title and a list; those without anything are left out.
---@param entries { [1]: string, [2]: string[] }[]
---@return string
function remarks.lines(entries)
  local lines = {}
  for _, entry in ipairs(entries) do
    lines[#lines + 1] = #entry[2] > 0 and ("\n  %s: %s"):format(entry[1], table.concat(entry[2], ", ")) or nil
  end
  return table.concat(lines)
end

return remarks
