-- How far lists are checked.

local options = require "saros.options"

--- The positions up to the last value, or up to the first hole before it.
local function naive_extent(values, most)
  local last = 0
  for position = 1, most do
    last = values[position] ~= nil and position or last
  end
  for position = 1, last do
    if values[position] == nil then
      return position, true
    end
  end
  return last, false
end

describe("the extent of a list", function()
  it("ends at its last value, or at the first hole before it", function()
    math.randomseed(1)
    for _ = 1, 500 do
      local list, most = {}, math.random(0, 8)
      for position = most, 1, -1 do
        list[position] = math.random() < 0.8 and position or nil
      end
      for _, key in ipairs { 0, -2, 1.5, "name" } do
        list[key] = math.random() < 0.3 or nil
      end
      assert.same({ naive_extent(list, most) }, { options.extent(list) })
    end
    assert.same({ 2, true }, { options.extent { [1] = 1, [math.maxinteger] = 1 } })
  end)
end)
