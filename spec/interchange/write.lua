--- Writes random nets as ONNX files, with what goes into them and comes out.
---
---     saros spec/interchange/write.lua FOLDER FROM TO
---
--- NAME.onnx and NAME.safetensors for each seed; the double build writes NAME.double.safetensors alone,
--- what the same net says with more digits. Prints a line "NAME<TAB>what it is" for each.

local saros = require "saros"
local nets = require "spec.support.random_nets"

local folder, first, last = arg[1], math.tointeger(tonumber(arg[2])), math.tointeger(tonumber(arg[3]))
local is_double = saros.info().real == "double"

local function describe(net)
  local words = { net.name, ("opset %d"):format(net.options.opset) }
  for _, name in ipairs { "states", "lengths", "batch_first" } do
    words[#words + 1] = net.options[name] and name or nil
  end
  return table.concat(words, ", ")
end

for seed = first, last do
  local net, name = nets.random(seed), ("%04d"):format(seed)
  local path = folder .. "/" .. name
  if not is_double then
    assert(saros.onnx.write(net.model, path .. ".onnx", net.options))
  end
  assert(saros.safetensors.write(path .. (is_double and ".double" or "") .. ".safetensors", nets.tensors(net)))
  print(name .. "\t" .. describe(net))
end
