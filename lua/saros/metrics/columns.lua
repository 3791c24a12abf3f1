--- Tables for terminals.

--- Rows of text in columns that are as wide as they have to be, the first to the left.
---@param rows string[][]
---@return string
local function in_columns(rows)
  local widths, lines = {}, {}
  for _, row in ipairs(rows) do
    for n, cell in ipairs(row) do
      widths[n] = math.max(widths[n] or 0, utf8.len(cell) or #cell)
    end
  end
  for r, row in ipairs(rows) do
    local cells = {}
    for n, cell in ipairs(row) do
      local space = (" "):rep(widths[n] - (utf8.len(cell) or #cell))
      cells[n] = n == 1 and cell .. space or space .. cell
    end
    lines[r] = table.concat(cells, "  "):gsub(" +$", "")
  end
  return table.concat(lines, "\n")
end

return in_columns
