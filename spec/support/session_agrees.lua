-- Run by spec/session_spec.lua once for each instruction set: do sessions agree
-- with their models?

local saros = require "saros"
local nn = saros.nn

local tolerance = saros.info().real == "double" and 1e-12 or 1e-6

local function attention(sizes)
  return nn.chain { nn.linear(sizes), nn.windowed_attention { sizes[2], 20 } }
end

local makers = { attention }
for _, cell in ipairs(require "saros.nn.cells.list") do
  if cell ~= "lru" then -- it remembers the roundings of many steps
    makers[#makers + 1] = nn[cell]
  end
end

for _, make in ipairs(makers) do
  for _, hidden in ipairs { 3, 8, 24, 40 } do
    for _, streams in ipairs { 1, 3 } do
      local model = nn.chain { make { 2, hidden }, nn.linear { hidden, 5 } }:init { seed = 1 }
      local session, state = model:session { streams = streams }, nil
      local generator = saros.generator(1)
      for _ = 1, 1000 do
        local x = generator:normal { streams, 2 }
        local y
        y, state = model(x:reshape(1, streams, 2), state)
        local off = (y:reshape(-1) - session:step(x):reshape(-1)):abs():max():item()
        local divides = make == nn.delta or make == nn.mlstm -- by lengths near 0
        assert(off <= (divides and 10 * tolerance or tolerance), off)
      end
    end
  end
end
print "agrees"
