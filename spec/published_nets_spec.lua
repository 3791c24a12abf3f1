-- Networks that people publish, each written in a few lines (spec/nets), in every use: they
-- step, go into C files, come back from files and learn, by public functions alone.

local c = require "spec.support.c_files"
local files = require "spec.support.files"
require "spec.support.values"
local saros = require "saros"
local nn, optim = saros.nn, saros.optim

local LINES = 45
local T, B = 12, 3
local ROUNDING = c.is_double and 1e-12 or 2e-6

-- What each reads, ids or features, and how many of them.
local NETS = {
  voice_activity = { width = 16 },
  noise_suppressor = { width = 42 },
  attention_over_layers = { count = 30 },
  dilated_convolutions = { width = 3 },
  mamba = { width = 8 },
  slstm = { width = 8 },
  g2p = { pairs = true },
}

local function path_of(name)
  return ("spec/nets/%s.lua"):format(name)
end

-- Lines that are neither empty nor comments alone.
local function lines_of(name)
  local count = 0
  for line in files.read(path_of(name)):gmatch "[^\n]+" do
    if line:find "%S" and not line:find "^%s*%-%-" then
      count = count + 1
    end
  end
  return count
end

local function ids(generator, count, ...)
  local shape, list = { ... }, {}
  for n = 1, shape[1] * shape[2] do
    list[n] = generator:integer(count)
  end
  return saros.ids(list):reshape(shape)
end

local function input_of(entry, seed, rows)
  local generator = saros.generator(seed)
  return entry.width and generator:normal { T, rows, entry.width } or ids(generator, entry.count, T, rows)
end

-- Outputs by name; of a single one, "y".
local function outputs_of(y)
  return type(y) == "table" and y or { y = y }
end

local function assert_same(expected, got, tolerance)
  local count = 0
  for name, tensor in pairs(outputs_of(expected)) do
    assert.same_values(tensor, outputs_of(got)[name], tolerance)
    count = count + 1
  end
  assert.is_true(count > 0)
end

-- Outputs by the given names of a session at all steps: (T, rows, features) each.
local function stepped(net, x, names)
  local session, all = net:session { streams = x:size(2) }, {}
  for t = 1, T do
    session:step(x[t])
    for name in pairs(outputs_of(names)) do
      all[name] = all[name] or {}
      all[name][t] = session:output(name):clone():reshape(x:size(2), -1)
    end
  end
  for name, list in pairs(all) do
    all[name] = saros.stack(list)
  end
  return all
end

-- Compiles the C file and runs its test, which prints how far off the outputs are.
local function off_in_c(net, test)
  local output, ok
  files.with_folder(function(folder)
    assert(saros.export_c(net, folder .. "/a.c", { test = test }))
    output, ok = c.test_alone(folder, "gcc", "MODEL")
  end)
  assert(ok, output)
  return tonumber(output:match "off by at most (%S+):")
end

-- One update by a loss; the loss before and after. All gradients are finite and some of
-- each parameter that learns are not 0.
local function update(net, loss_of)
  local learning = {}
  for _, tensor in ipairs(net:parameters()) do
    learning[#learning + 1] = tensor:trainable() and tensor or nil
  end
  local before
  do
    local tape <close> = saros.tape()
    local loss = loss_of()
    tape:backward(loss)
    before = loss:item()
  end
  for _, tensor in ipairs(learning) do
    local gradient = tensor:gradient()
    assert.equal(gradient:count(), saros.isfinite(gradient):sum():item())
    assert.is_true(gradient:abs():max():item() > 0)
  end
  optim.sgd(learning, { lr = 1e-3 }):step()
  return before, loss_of():item()
end

describe("published networks", function()
  for name in pairs(NETS) do
    it("are written in few lines: " .. name, function()
      local count = lines_of(name)
      assert.is_true(count >= 3 and count <= LINES, count)
      assert.is_nil(files.read(path_of(name)):find('require "saros.', 1, true)) -- public functions alone
    end)
  end

  for name, entry in pairs(NETS) do
    if not entry.pairs then
      it("step, come back and are the same in C: " .. name, function()
        local net = dofile(path_of(name))
        local x = input_of(entry, 1, B)
        local y = net(x)
        for _, tensor in pairs(outputs_of(y)) do
          assert.is_true((tensor[T] - tensor[1]):abs():max():item() > 1e-3) -- it says something
        end
        assert_same(y, stepped(net, x, y), ROUNDING)
        local loaded = files.reloaded(net)
        assert_same(y, (loaded(x)), ROUNDING)
        assert_same(y, stepped(loaded, x, y), ROUNDING)
        local test = x:select(2, 1):totable()
        assert.is_true(off_in_c(net, test) < ROUNDING)
        assert.is_true(off_in_c(loaded, test) < ROUNDING)
      end)

      it("learn, also after they came back: " .. name, function()
        local net = dofile(path_of(name))
        local x = input_of(entry, 2, B)
        for _, model in ipairs { net, files.reloaded(net) } do
          local before, after = update(model, function()
            local total = 0
            for _, y in pairs(outputs_of((model(x)))) do
              total = nn.mse(y, saros.ones(table.unpack(y:shape()))) + total
            end
            return total
          end)
          assert.is_true(after < before, ("%g, then %g"):format(before, after))
        end
      end)
    end
  end
end)

describe("a grapheme-to-phoneme network", function()
  local function batch()
    local generator = saros.generator(1)
    return { sources = ids(generator, 29, 7, B), targets = ids(generator, 39, 5, B), source_lengths = { 7, 3, 5 },
      target_lengths = { 5, 5, 5 } }
  end

  it("writes step by step what it says of whole sequences, and comes back", function()
    local net, given = dofile(path_of "g2p"), batch()
    local logits = net(given)
    for _, model in ipairs { net, files.reloaded(net) } do
      assert.same_values(logits, model(given), 0)
      local memory = model:encode(given.sources, given.source_lengths)
      local last, state = saros.ids { model.boundary, model.boundary, model.boundary }, memory.state
      for t = 1, 5 do
        local y
        y, state = model:decode(last:reshape(1, B), state, memory)
        assert.same_values(logits[t], y[1], ROUNDING)
        last = given.targets[t]
      end
    end
  end)

  it("is the same in C, and learns", function()
    local net = dofile(path_of "g2p")
    assert.is_true(off_in_c(net, { 4, 29, 11, 2 }) < ROUNDING)
    local before, after = update(net, function() return (net:loss(batch())) end)
    assert.is_true(after < before, ("%g, then %g"):format(before, after))
  end)
end)
