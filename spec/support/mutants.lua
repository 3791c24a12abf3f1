--- Damaged copies of files.

local mutants = {}

--- A text of which a few bytes are replaced, taken away or put in.
---@param generator saros.Generator
---@param text string
---@return string
function mutants.mutated(generator, text)
  for _ = 1, generator:integer(3) do
    local at, kind = generator:integer(#text), generator:integer(4)
    local byte = string.char(generator:integer(256) - 1)
    if kind == 1 then
      text = text:sub(1, at - 1) .. text:sub(at + generator:integer(8))
    elseif kind == 2 then
      text = text:sub(1, at) .. byte:rep(generator:integer(4)) .. text:sub(at + 1)
    else
      text = text:sub(1, at - 1) .. byte .. text:sub(at + 1)
    end
  end
  return text
end

return mutants
