--- Bytes to whole characters.

local REPLACEMENT = utf8.char(0xFFFD)

--- The length of the UTF-8 sequence that a byte begins; nil if it begins none.
local function sequence_length(byte)
  return byte < 0x80 and 1
    or byte >= 0xC2 and byte <= 0xDF and 2
    or byte >= 0xE0 and byte <= 0xEF and 3
    or byte >= 0xF0 and byte <= 0xF4 and 4
    or nil
end

-- Could more bytes still make a character of these?
local function is_unfinished(bytes)
  local needed = sequence_length(bytes:byte())
  return needed and #bytes < needed and bytes:find "^.[\x80-\xBF]*$" ~= nil
end

--- A function that takes bytes, one or a few after the other, and returns the characters
--- that they complete, mostly none or one. What is no UTF-8 comes out as U+FFFD.
---@return fun(bytes: string): string
local function characters()
  local waiting = ""
  return function(bytes)
    waiting = waiting .. bytes
    local complete = {}
    while waiting ~= "" and not is_unfinished(waiting) do
      local length = sequence_length(waiting:byte())
      local character = length and waiting:sub(1, length)
      if not (character and utf8.len(character)) then
        character, length = REPLACEMENT, 1
      end
      complete[#complete + 1] = character
      waiting = waiting:sub(length + 1)
    end
    return table.concat(complete)
  end
end

return characters
