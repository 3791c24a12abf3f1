-- Saros computes what PyTorch computes, from the same numbers: those in
-- spec/references, which spec/references/make.py made with PyTorch. It also
-- says what they are named there.

local gradients = require "spec.support.gradients"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

-- Of 1 + |expected|. Both sides start from the same floats; sums of up to a
-- hundred terms then differ in their order, and tanh and sigmoid by a few ulps.
local TOLERANCE = gradients.is_double and 1e-12 or 2e-6

-- One row for each file: the module that has its parameters, and its options.
local ROWS = {
  { file = "rnn_tanh", kind = "rnn", options = { activation = "tanh" } },
  { file = "rnn_relu", kind = "rnn", options = { activation = "relu" } },
  { file = "lstm", kind = "lstm" },
  { file = "lstm_projected", kind = "lstm" },
  { file = "gru", kind = "gru" },
}

--- The cases of a file, and all its tensors.
local function read(file)
  local tensors, metadata = assert(saros.safetensors.read("spec/references/" .. file .. ".safetensors"))
  return assert(saros.json_decode(metadata.cases)), tensors
end

--- The tensors of one case, or of a part of it, without the prefix.
local function below(prefix, tensors)
  local found = {}
  for name, tensor in pairs(tensors) do
    if name:sub(1, #prefix) == prefix then
      found[name:sub(#prefix + 1)] = tensor
    end
  end
  return found
end

--- One line for each tensor that is absent, has another shape or is too far.
local function differences(expected, actual)
  local lines = {}
  for name, wanted in pairs(expected) do
    local got = actual[name]
    if not got then
      lines[#lines + 1] = name .. " is absent"
    elseif table.concat(got:shape(), ", ") ~= table.concat(wanted:shape(), ", ") then
      lines[#lines + 1] = ("%s: expected %s, got %s"):format(name, wanted, got)
    else
      local distance = saros.abs(got - wanted) / (saros.abs(wanted) + 1)
      if saros.le(distance, TOLERANCE):sum():item() < wanted:count() then -- so that nan is too far
        lines[#lines + 1] = ("%s differs by %g"):format(name, distance:max():item())
      end
    end
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

local function build(row, case)
  local constructor = nn[row.kind]
    or error(("expected saros.nn.%s, got nil: a row of ROWS asks for it"):format(row.kind), 0)
  local options = {
    input = case.input, hidden = case.hidden, layers = case.layers, projection = case.projection,
    bidirectional = case.bidirectional or nil,
  }
  for name, value in pairs(row.options or {}) do
    options[name] = value
  end
  return constructor(options)
end

--- From (layers * directions, B, H) for each of h and c to a state, and back.
local function state_of(given)
  if not given.h_0 then
    return nil
  end
  local state = {}
  for row = 1, given.h_0:size(1) do
    state[row] = { given.h_0[row], given.c_0 and given.c_0[row] }
  end
  return state
end

local function stacked(state, which)
  local rows = {}
  for row, tensors in ipairs(state) do
    rows[row] = tensors[which]
  end
  return #rows > 0 and saros.stack(rows) or nil
end

--- Results, and the gradients of their weighed sum, by the names of the file.
local function run(net, given, forward)
  local tape <close> = saros.tape()
  local inputs = net:tensors()
  for _, name in ipairs { "x", "h_0", "c_0" } do
    if given[name] and given[name]:dtype() == "real" then
      inputs[name] = tape:watch(given[name])
    end
  end
  local results, loss = forward(), 0
  for name, result in pairs(results) do
    loss = loss + (result * given["weighing/" .. name]):sum()
  end
  tape:backward(loss)
  for name, tensor in pairs(inputs) do
    results["gradient/" .. name] = tensor:gradient()
  end
  return results
end

--- What PyTorch computed: the results and their gradients.
local function expected_of(given)
  local expected = { output = given.output, h_n = given.h_n, c_n = given.c_n }
  for name, gradient in pairs(below("gradient/", given)) do
    expected["gradient/" .. name] = gradient
  end
  return expected
end

for _, row in ipairs(ROWS) do
  describe(("PyTorch's %s and ours"):format(row.file), function()
    local cases, tensors = read(row.file)
    for _, case in ipairs(cases) do
      it("agree in outputs, states and gradients: " .. case.name, function()
        local given = below(case.name .. "/", tensors)
        local net = build(row, case):load(tensors, case.name .. "/parameter/")
        local actual = run(net, given, function()
          local lengths = case.lengths and { lengths = case.lengths }
          local y, last = net(given.x, state_of(given), lengths)
          return { output = y, h_n = stacked(last, 1), c_n = stacked(last, 2) }
        end)
        assert.equal("", differences(expected_of(given), actual))
      end)

      it("exchange parameters by name through files: " .. case.name, function()
        local prefix = case.name .. "/parameter/"
        local path = os.tmpname()
        local net = build(row, case):load(tensors, prefix)
        assert(saros.safetensors.write(path, net:tensors(prefix)))
        local saved = assert(saros.safetensors.read(path))
        os.remove(path)
        for name, tensor in pairs(tensors) do
          if name:find(prefix, 1, true) then
            assert.same_values(tensor, saved[name], 0)
            saved[name] = nil
          end
        end
        assert.same({}, saved)
      end)
    end
  end)
end

describe("PyTorch's modules and ours", function()
  local modules = {
    linear = function() return nn.linear { 3, 4 } end,
    embedding = function() return nn.embedding { 7, 3 } end,
    sequential = function()
      return nn.chain {
        nn.embedding { 7, 3 }, nn.linear { 3, 5 }, saros.tanh, nn.linear { 5, 2, bias = false },
      }
    end,
  }
  local _, tensors = read "modules"

  for name, new in pairs(modules) do
    it("agree in outputs and gradients: " .. name, function()
      local given = below(name .. "/", tensors)
      local net = new():load(tensors, name .. "/parameter/")
      local actual = run(net, given, function()
        return { output = net(given.x) }
      end)
      assert.equal("", differences(expected_of(given), actual))
    end)
  end
end)
