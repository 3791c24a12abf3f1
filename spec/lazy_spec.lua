-- What scripts load of the library. The collector goes over all that is loaded in every
-- cycle, and small layers train in microseconds, so a module comes when it is needed.

local commands = require "spec.support.commands"
local files = require "spec.support.files"
local cells = require "saros.nn.cells"
local list = require "saros.nn.cells.list"

--- The modules of the library that a script loads, as a set of names: "nn/chain".
local function loaded_by(script)
  local path = os.tmpname()
  files.write(path, ([[
    local names = {}
    debug.sethook(function()
      local chunk = debug.getinfo(2, "S")
      names[#names + 1] = chunk.what == "main" and chunk.source:match "^@saros/(.*)%%.lua$" or nil
    end, "c")
    local saros = require "saros"
    local nn = saros.nn
    %s
    debug.sethook()
    print(table.concat(names, " "))]]):format(script))
  local output = commands.succeed(path)
  os.remove(path)
  local loaded = {}
  for name in output:gmatch "%S+" do
    loaded[name] = true
  end
  return loaded
end

-- A window of training.
local TRAIN = [[
  local parameters = net:parameters()
  local optimizer = saros.optim.adam(parameters)
  do
    local tape <close> = saros.tape()
    local y = net(saros.ids { { 1 }, { 2 }, { 3 } })
    tape:backward(nn.cross_entropy(y, saros.ids { { 2 }, { 3 }, { 1 } }))
  end
  saros.optim.clip_norm(parameters, 1)
  optimizer:step()]]

-- What runs steps that are written in Lua, or reads definitions of cells.
local OTHERS = { "nn/cell", "nn/own_layer", "nn/compiled", "nn/unroll", "nn/stepper", "nn/replay", "nn/state_form",
  "nn/program", "nn/program_cell", "nn/session", "nn/cells/activated", "nn/cells/unfused",
  "nn/cells/definition" }

local function lacks_others(loaded)
  assert.is_true(loaded["nn/recurrent"])
  for _, name in ipairs(OTHERS) do
    assert.is_nil(loaded[name], name)
  end
  for name in pairs(loaded) do
    assert.is_nil(name:match "^program/", name)
  end
end

describe("training a layer of a named cell", function()
  for _, cell in ipairs(list) do
    it(("loads its own cell alone: %s"):format(cell), function()
      local loaded = loaded_by(([[
        local net = nn.chain { nn.embedding { 3, 4 }, nn.%s { 4, 4, layers = 2 }, nn.linear { 4, 3 } }
        net:init { seed = 1 }]]):format(cell) .. TRAIN)
      if cells[cell].maker or cell == "mlstm" then -- whose stabiliser is a cell of nn.cell
        assert.is_true(loaded["nn/cell"] and loaded["nn/own_layer"])
        return
      end
      lacks_others(loaded)
      for _, name in ipairs(list) do
        assert.equal(name == cell or nil, loaded["nn/cells/" .. name], name)
      end
    end)
  end

  it("loads more where its options ask for it", function()
    local loaded = loaded_by [[
      local net = nn.lstm({ 2, 3 }):init { seed = 1 }
      net(saros.zeros(2, 1, 2), nil, { layers = "all" })]]
    assert.is_true(loaded["nn/replay"])
    assert.is_nil(loaded["nn/own_layer"])
    loaded = loaded_by 'nn.lstm { 2, 3, activation = "softsign" }'
    assert.is_true(loaded["nn/cells/activated"] and loaded["nn/own_layer"])
  end)
end)

describe("training a language model", function()
  it("loads neither programs nor cells of one's own", function()
    lacks_others(loaded_by([[
      local text = saros.data.text { string = "abcabc" }
      local net = nn.language_model { vocabulary = text.vocabulary, hidden = 4, seed = 1 }]] .. TRAIN))
  end)
end)
