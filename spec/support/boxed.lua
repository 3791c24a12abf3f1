-- Objects of the binding: open files, and closed ones.

local core = require "saros.core"

local Paths = {
  __close = function(list)
    for _, path in ipairs(list) do
      os.remove(path)
    end
  end,
}

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

local boxed = {}

--- What make() gives, closed.
function boxed.closed(make)
  local kept
  do
    local object <close> = make()
    kept = object
  end
  return kept
end

--- A token file of "text".
function boxed.tokens(codec)
  local paths <close> = setmetatable({ os.tmpname(), os.tmpname() }, Paths)
  write(paths[1], "text")
  assert(codec:prepare(paths[1], paths[2], 0, "{}"))
  return assert(core.open_tokens(paths[2]))
end

--- A file of two fields, four bytes.
function boxed.wire()
  local paths <close> = setmetatable({ os.tmpname() }, Paths)
  write(paths[1], "\x08\x01\x08\x02")
  return assert(core.open_wire(paths[1]))
end

return boxed
