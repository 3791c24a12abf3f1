-- What models from files say in a process that knows nothing else of them:
--
--     saros said_by_file.lua FOLDER COUNT
--
-- reads N.safetensors and N.inputs for each N up to COUNT, and writes N.fresh: "run.NAME"
-- of a sequence, "step.NAME" of a session of all rows, "last.STATE", "gradient.NAME" of
-- parameters and inputs. The metadata have what was refused, and whether the model is called
-- with rows first.

local gradients = require "spec.support.said_gradients"
local said = require "spec.support.said"
local saros = require "saros"

local folder, count = arg[1], tonumber(arg[2])

local function add(all, prefix, tensors)
  for name, tensor in pairs(tensors) do
    all[prefix .. name] = tensor:clone()
  end
end

local function walk(n)
  local model = assert(saros.load(("%s/%d.safetensors"):format(folder, n)))
  local inputs, all = saros.safetensors.read(("%s/%d.inputs"):format(folder, n)), {}
  local metadata = { batch_first = tostring(model.batch_first) }
  if model.kind == "encoder_decoder" then
    all["run.y"] = said.translated(model, inputs)
  else
    local outputs, state = said.whole(model, inputs)
    add(all, "run.", outputs)
    add(all, "last.", said.leaves(state))
    local trains, made = pcall(gradients.of, model:tensors(), inputs, function()
      return (said.whole(model, inputs))
    end)
    metadata.gradient = not trains and made or nil
    add(all, "gradient.", trains and made or {})
    local _, x = next(inputs)
    local ok, session = pcall(model.session, model, { streams = x:size(2) })
    if ok then
      add(all, "step.", said.stepped(model, session, inputs, said.names(model:program())))
    else
      metadata.session = session
    end
  end
  assert(saros.safetensors.write(("%s/%d.fresh"):format(folder, n), all, metadata))
end

for n = 1, count do
  walk(n)
end
