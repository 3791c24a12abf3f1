--- Text of C files.

local text = {}

--- Text with values in place of its $words; a value may have some, too.
---@param template string
---@param values table<string, any>
---@return string
function text.fill(template, values)
  for _ = 1, 3 do -- $unit_step is $name_step is model_step
    template = template:gsub("%$(%a+)", values)
  end
  return template
end

--- Text for a comment: letters, digits and what cannot end it.
---@param given string
---@return string
function text.harmless(given)
  return (given:gsub("[^%w .,:;()>_+-]", " "))
end

-- How wide a line may become; names will take the place of $words.
local WIDEST = 76

--- Text in lines, broken behind commas.
---@param given string
---@param indent string  of the lines behind the first
---@return string
function text.wrap(given, indent)
  local lines, line = {}, ""
  for part in (given .. ", "):gmatch "(.-, )" do
    if #line + #part > WIDEST and line:find "%S" then
      lines[#lines + 1] = line:gsub(" $", "")
      line = indent
    end
    line = line .. part
  end
  lines[#lines + 1] = line:gsub(", $", "")
  return table.concat(lines, "\n")
end

return text
