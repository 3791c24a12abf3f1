--- Zips of stored members, made by hand.

local zip = {}

local TABLE = {}
for n = 0, 255 do
  local c = n
  for _ = 1, 8 do
    c = c & 1 == 1 and 0xEDB88320 ~ (c >> 1) or c >> 1
  end
  TABLE[n] = c
end

local function crc(bytes)
  local c = 0xFFFFFFFF
  for n = 1, #bytes do
    c = TABLE[(c ~ bytes:byte(n)) & 255] ~ (c >> 8)
  end
  return c ~ 0xFFFFFFFF
end

--- The bytes of a zip.
---@param members { [1]: string, [2]: string }[]  name, content
---@return string
function zip.of(members)
  local parts, directory, at = {}, {}, 0
  for _, member in ipairs(members) do
    local name, content = member[1], member[2]
    local common = string.pack("<I2I2I2I2I2I4I4I4I2I2", 20, 0, 0, 0, 0, crc(content), #content, #content, #name, 0)
    local part = "PK\3\4" .. common .. name .. content
    directory[#directory + 1] = "PK\1\2\20\0" .. common .. string.pack("<I2I2I2I4I4", 0, 0, 0, 0, at) .. name
    parts[#parts + 1], at = part, at + #part
  end
  local list = table.concat(directory)
  return table.concat(parts) .. list
    .. "PK\5\6" .. string.pack("<I2I2I2I2I4I4I2", 0, 0, #members, #members, #list, at, 0)
end

return zip
