-- What saros.info tells of the machine: enough to judge the speed that a user reports.

local saros = require "saros"

describe("what a build tells of itself", function()
  local info = saros.info()

  it("has the bytes of the caches that the system knows, the larger the farther", function()
    local last = 0
    for _, level in ipairs { "l1", "l2", "l3" } do
      local bytes = info.caches[level]
      assert.is_true(bytes == nil or bytes > last and math.type(bytes) == "integer", level)
      last = bytes or last
    end
  end)

  it("has how large products are cut: by vectors, and ahead by a quarter of L2", function()
    local products = info.products
    assert.equal(0, products.columns % 4)
    assert.equal(512, products.depth)
    assert.is_true(products.ahead * 4 <= (info.caches.l2 or 1 << 18))
    assert.is_true(products.ahead * 5 > (info.caches.l2 or 1 << 18))
  end)
end)
