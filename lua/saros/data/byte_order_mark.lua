--- The mark that some programs, above all on Windows, put before UTF-8. It is no
--- part of the text.

local MARK = "\xEF\xBB\xBF"

--- The content of a file without the mark.
---@param content string
---@return string
local function without_mark(content)
  return content:sub(1, #MARK) == MARK and content:sub(#MARK + 1) or content
end

return without_mark
